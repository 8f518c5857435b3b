//! Communities that mean the same everywhere, and those of IPv6 addresses.

use std::net::Ipv6Addr;

use godwit_tests::attrs;
use godwit_tests::bird::Bird;
use godwit_tests::gobgp::Gobgp;
use godwit_tests::router::Announce;
use godwit_tests::wait_for;

use crate::duo::{Duo, Options, RAW, RAW_ASN, THEM};

/// RFC 1997. BIRD alone sends them to another AS where it is told to.
#[test]
fn what_may_not_be_exported_stays_here() {
    let kept = [
        ("10.5.1.0/24", 65281, "no-export", "no-export"),
        ("10.5.2.0/24", 65282, "no-advertise", "no-advertise"),
        ("10.5.3.0/24", 65283, "no-export-subconfed", "no-export"),
    ];
    let announce = |(prefix, low, ..): (&str, u16, &str, &str)| Announce {
        communities: vec![(65535, low)],
        ..Announce::plain(prefix)
    };
    let mut they_announce: Vec<Announce> = kept.map(announce).into();
    they_announce.push(Announce::plain("10.5.4.0/24"));
    let duo: Duo<Bird> = Duo::start(Options {
        they_announce,
        ..Options::default()
    });
    let _raw = duo.raw();
    for (prefix, _, name, _) in kept {
        duo.wait_their_route(prefix);
        let shown = duo.us.cli(&["route", "show", prefix]).expect("it is there");
        assert!(shown.contains(name), "{shown}");
    }
    let told = |prefix: &str| {
        let sent = duo
            .us
            .json(&["route", "list", "--peer", RAW, "--advertised"]);
        sent.to_string().contains(prefix)
    };
    wait_for("the one that may", || told("10.5.4.0/24").then_some(()));
    for (prefix, _, _, stopped_by) in kept {
        assert!(!told(prefix), "{prefix} is told on");
        let why = duo.us.json(&["route", "explain", prefix])["announcements"].to_string();
        assert!(why.contains(stopped_by), "{why}");
    }
}

/// RFC 5701, of which GoBGP alone shows something.
#[test]
fn communities_of_ipv6_addresses_reach_gobgp() {
    let duo: Duo<Gobgp> = Duo::start(Options::default());
    duo.wait_established();
    let of: Ipv6Addr = "2001:db8::7".parse().expect("an address");
    // A route target.
    let mut value = vec![0x00, 0x02];
    value.extend(of.octets());
    value.extend([0, 9]);
    let all = [
        attrs::origin(0),
        attrs::as_path(&[RAW_ASN]),
        attrs::next_hop(RAW.parse().expect("an address")),
        attrs::attribute(0xc0, 25, &value),
    ];
    let prefix = "10.9.0.0/24".parse().expect("a prefix");
    let mut raw = duo.raw();
    raw.send_update(&attrs::update(&[], &all, &[prefix]));
    duo.wait_our_route("10.9.0.0/24");
    let shown = duo
        .them
        .ask(&["global", "rib", "10.9.0.0/24", "-j"])
        .expect("GoBGP answers");
    assert!(shown.contains("2001:db8::7"), "{shown}");
    let ours = duo.us.cli(&["route", "show", "10.9.0.0/24"]).expect("here");
    assert!(ours.contains("2001:db8::7"), "{ours}");
    assert!(duo.us.is_established(THEM.parse().expect("an address")));
}
