//! The harness itself: without these, a failure elsewhere says little.

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::{Lab, wait_for};

fn pair<A: Router, B: Router>(lab: &Lab) -> (A, B) {
    let (a, b) = (lab.host("a"), lab.host("b"));
    lab.link(
        &a,
        &["10.0.0.1/24", "fd00::1/64"],
        &b,
        &["10.0.0.2/24", "fd00::2/64"],
    );
    let spec = |asn: u32, id: &str, peer: &str, peer_asn, announce| RouterSpec {
        asn,
        router_id: id.to_owned(),
        neighbours: vec![Neighbour::new(peer, peer_asn)],
        announce,
    };
    (
        A::start(
            &a,
            spec(
                65001,
                "10.0.0.1",
                "10.0.0.2",
                65002,
                vec![Announce::rich("10.1.0.0/24"), Announce::rich("fd01::/64")],
            ),
        ),
        B::start(
            &b,
            spec(
                65002,
                "10.0.0.2",
                "10.0.0.1",
                65001,
                vec![Announce::rich("10.2.0.0/24")],
            ),
        ),
    )
}

#[test]
fn bird_and_frr_read_each_others_attributes_alike() {
    let lab = Lab::new();
    let (bird, frr): (Bird, Frr) = pair(&lab);
    let at_bird = wait_for("FRR's route at BIRD", || bird.route("10.2.0.0/24"));
    let at_frr = wait_for("BIRD's route at FRR", || frr.route("10.1.0.0/24"));
    wait_for("BIRD's IPv6 route at FRR", || frr.route("fd01::/64"));

    assert_eq!(at_bird.as_path, "65002 65020 4200000000");
    assert_eq!(at_frr.as_path, "65001 65020 4200000000");
    for seen in [&at_bird, &at_frr] {
        assert_eq!(seen.med, Some(50));
        assert_eq!(seen.communities, ["65000:1", "65000:2"]);
        assert_eq!(seen.large, ["4200000001:2:3"]);
        assert_eq!(seen.ext, ["rt:65000:7"]);
        assert_eq!(seen.origin, "igp");
    }
    assert_eq!(at_bird.next_hops, ["10.0.0.2"]);
    assert_eq!(at_frr.next_hops, ["10.0.0.1"]);
}

#[test]
fn a_withdrawn_route_goes_from_bird_and_frr() {
    let lab = Lab::new();
    let (mut bird, mut frr): (Bird, Frr) = pair(&lab);
    wait_for("FRR's route at BIRD", || bird.route("10.2.0.0/24"));
    wait_for("BIRD's route at FRR", || frr.route("10.1.0.0/24"));
    bird.withdraw("10.1.0.0/24");
    frr.withdraw("10.2.0.0/24");
    wait_for("BIRD's withdrawal", || {
        frr.route("10.1.0.0/24").is_none().then_some(())
    });
    wait_for("FRR's withdrawal", || {
        bird.route("10.2.0.0/24").is_none().then_some(())
    });
}
