//! A route reflector between clients of different makes, on one switch:
//!
//! ```text
//!   us 10.0.0.1, reflector   bird 10.0.0.2, client   frr 10.0.0.3, client
//!   raw 10.0.0.4, an internal peer that is no client; all AS 65000
//! ```

use std::net::IpAddr;

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen};
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::{Host, Lab, attrs, wait_for};

const ASN: u32 = 65000;

#[derive(Debug)]
struct Reflected {
    us: Godwit,
    bird: Bird,
    frr: Frr,
    raw_host: Host,
    _lab: Lab,
}

fn start() -> Reflected {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [us_host, bird_host, frr_host, raw_host] =
        ["us", "bird", "frr", "raw"].map(|name| lab.host(name));
    for (n, host) in [&us_host, &bird_host, &frr_host, &raw_host]
        .iter()
        .enumerate()
    {
        let (ipv4, ipv6) = (
            format!("10.0.0.{}/24", n + 1),
            format!("fd00::{}/64", n + 1),
        );
        lab.plug(host, &[&ipv4, &ipv6], &switch);
    }
    let us = Godwit::start(
        &us_host,
        r#"
[router]
asn = 65000
router-id = "10.0.0.1"
cluster-id = "10.0.0.100"

[fib]
enabled = false

[peer-group.client]
remote-as = "internal"
route-reflector-client = true

[[peer]]
address = "10.0.0.2"
group = "client"

[[peer]]
address = "10.0.0.3"
group = "client"

[[peer]]
address = "10.0.0.4"
remote-as = "internal"
passive = true
"#,
    );
    let spec = |id: &str, prefixes: [&str; 2]| RouterSpec {
        asn: ASN,
        router_id: id.to_owned(),
        neighbours: vec![Neighbour::new("10.0.0.1", ASN)],
        announce: prefixes.map(Announce::rich).to_vec(),
    };
    Reflected {
        us,
        bird: Bird::start(&bird_host, spec("10.0.0.2", ["10.2.0.0/24", "fd02::/64"])),
        frr: Frr::start(&frr_host, spec("10.0.0.3", ["10.3.0.0/24", "fd03::/64"])),
        raw_host,
        _lab: lab,
    }
}

#[track_caller]
fn check<R: Router>(to: &R, prefix: &str, from: &str) {
    let seen = wait_for(&format!("{prefix} at {}", R::NAME), || to.route(prefix));
    assert_eq!(seen.originator_id.as_deref(), Some(from));
    assert_eq!(seen.cluster_list, ["10.0.0.100"]);
    assert_eq!(seen.local_pref.unwrap_or(100), 100);
    assert_eq!(seen.med, Some(50), "MED travels within an AS");
    assert_eq!(seen.communities, ["65000:1", "65000:2"]);
    assert_eq!(
        seen.as_path, "65020 4200000000",
        "nobody prepends within an AS"
    );
    if !prefix.contains(':') {
        assert_eq!(
            seen.next_hops,
            [from],
            "a reflector leaves the next hop alone"
        );
    }
}

#[test]
fn routes_of_a_bird_client_reach_an_frr_client() {
    let lab = start();
    check(&lab.frr, "10.2.0.0/24", "10.0.0.2");
    check(&lab.frr, "fd02::/64", "10.0.0.2");
}

#[test]
fn routes_of_an_frr_client_reach_a_bird_client() {
    let lab = start();
    check(&lab.bird, "10.3.0.0/24", "10.0.0.3");
    check(&lab.bird, "fd03::/64", "10.0.0.3");
}

#[test]
fn routes_of_clients_reach_a_peer_that_is_no_client_and_back() {
    let lab = start();
    let open = RawOpen::new(ASN, "10.0.0.4");
    let mut raw = Raw::establish(&lab.raw_host, "10.0.0.4", "10.0.0.1", &open);
    let update = raw.expect_announcement("10.2.0.0/24");
    assert_eq!(
        update.attribute(9),
        Some((0x80, &[10, 0, 0, 2][..])),
        "ORIGINATOR_ID"
    );
    assert_eq!(
        update.attribute(10),
        Some((0x80, &[10, 0, 0, 100][..])),
        "CLUSTER_LIST"
    );
    raw.send_update(&attrs::update(
        &[],
        &[
            attrs::origin(0),
            attrs::as_path(&[]),
            attrs::next_hop([10, 0, 0, 4].into()),
            attrs::local_pref(150),
        ],
        &["10.4.0.0/24".parse().expect("a prefix")],
    ));
    for seen in [
        wait_for("the route at BIRD", || lab.bird.route("10.4.0.0/24")),
        wait_for("the route at FRR", || lab.frr.route("10.4.0.0/24")),
    ] {
        assert_eq!(seen.originator_id.as_deref(), Some("10.0.0.4"));
        assert_eq!(seen.local_pref, Some(150));
    }
}

#[test]
fn a_clients_withdrawal_reaches_the_other_client() {
    let mut lab = start();
    wait_for("the route at FRR", || lab.frr.route("10.2.0.0/24"));
    wait_for("the route at BIRD", || lab.bird.route("10.3.0.0/24"));
    lab.bird.withdraw("10.2.0.0/24");
    lab.frr.withdraw("10.3.0.0/24");
    wait_for("the route to go at FRR", || {
        lab.frr.route("10.2.0.0/24").is_none().then_some(())
    });
    wait_for("the route to go at BIRD", || {
        lab.bird.route("10.3.0.0/24").is_none().then_some(())
    });
}

#[test]
fn a_dead_client_takes_its_routes_along() {
    let mut lab = start();
    wait_for("the route at FRR", || lab.frr.route("10.2.0.0/24"));
    lab.bird.process().kill();
    wait_for("the route to go at FRR", || {
        lab.frr.route("10.2.0.0/24").is_none().then_some(())
    });
    let bird: IpAddr = "10.0.0.2".parse().expect("an address");
    assert!(!lab.us.is_established(bird));
}
