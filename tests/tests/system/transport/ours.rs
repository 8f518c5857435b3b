//! Our end of a session: its address, and what a group and a peer say of it.

use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::wait::holds_for;
use godwit_tests::{Lab, wait_for};

use super::{A_WHILE, NONE, OUR_ASN, Pair, Place, THEIR_ASN, configuration};
use godwit_tests::godwit::Godwit;

/// They know us by the second address of our link alone.
fn the_session_comes_from_its_local_address<R: Router>() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    us.ip(&["addr", "add", "10.0.0.7/24", "dev", "to-them"]);
    let ours = |lines: &str| configuration(Place::Link4, &us, &format!("{NONE}\n{lines}"));
    let godwit = Godwit::start(&us, &ours(""));
    let their = R::start(
        &them,
        RouterSpec {
            asn: THEIR_ASN,
            router_id: "10.0.0.2".to_owned(),
            neighbours: vec![Neighbour {
                passive: true,
                ..Neighbour::new("10.0.0.7", OUR_ASN)
            }],
            announce: vec![Announce::plain("10.2.0.0/24")],
        },
    );
    let us_at = "10.0.0.7".parse().expect("an address");
    holds_for(A_WHILE, "no session", || !their.is_established(us_at));
    godwit.reload(&ours("local-address = \"10.0.0.7\""));
    godwit.wait_established("10.0.0.2");
    wait_for("their side too", || {
        their.is_established(us_at).then_some(())
    });
    wait_for("their route", || {
        godwit
            .best()
            .contains(&"10.2.0.0/24".to_owned())
            .then_some(())
    });
    // Gone from the host, it is what the session waits for.
    us.ip(&["addr", "del", "10.0.0.7/24", "dev", "to-them"]);
    godwit
        .cli(&["peer", "reset", "--hard", "10.0.0.2"])
        .expect("a peer");
    wait_for("the reason", || {
        let explained = match godwit.cli(&["peer", "explain", "10.0.0.2"]) {
            Ok(text) | Err(text) => text,
        };
        explained.contains("10.0.0.7").then_some(())
    });
    us.ip(&["addr", "add", "10.0.0.7/24", "dev", "to-them"]);
    godwit.wait_established("10.0.0.2");
}

/// What the neighbour sees of hold time and number.
fn a_peer_says_otherwise_than_its_group<R: Router>() {
    let group = "[peer-group.g]\nhold-time = \"30s\"\nlocal-as = 64501\n";
    let pair: Pair<R> = Pair::start(
        Place::Link4,
        &format!("{group}{NONE}\ngroup = \"g\""),
        |n| {
            n.asn = 64501;
        },
    );
    pair.comes_up();
    let hold = |seconds: &str| {
        wait_for(&format!("a hold time of {seconds}"), || {
            let shown = pair.us.json(&["peer", "show", "10.0.0.2"]);
            (shown["peer"]["timers"]["hold_time"] == seconds).then_some(())
        });
    };
    hold("30s");
    pair.reload(&format!("{group}{NONE}\ngroup = \"g\"\nhold-time = \"9s\""));
    hold("9s");
    pair.comes_up();
    // Another number is not the one that they know.
    pair.reload(&format!("{group}{NONE}\ngroup = \"g\"\nlocal-as = 64502"));
    wait_for("the session to go", || (!pair.is_up()).then_some(()));
    pair.stays_down();
    pair.reload(&format!("{group}{NONE}\ngroup = \"g\""));
    pair.comes_up();
}

with_every_router!(
    the_session_comes_from_its_local_address,
    a_peer_says_otherwise_than_its_group,
);
