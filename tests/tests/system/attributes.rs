//! Path attributes on their way through us, byte for byte at the raw speaker's
//! end and as the other make prints them at theirs.

use std::net::Ipv4Addr;

use godwit_tests::attrs::{self, ParsedUpdate};
use godwit_tests::raw::Raw;
use godwit_tests::router::{Announce, Router, Seen};
use godwit_tests::wait_for;
use ipnet::IpNet;

use crate::duo::{Duo, Options, RAW_ASN};

const BIG_ASN: u32 = 4_200_000_000;

/// Value of an attribute as [`attrs`] writes it, without its header.
fn value_of(attribute: &[u8]) -> &[u8] {
    &attribute[3..]
}

/// What [`Announce::rich`] becomes two ASes later.
#[track_caller]
fn check_rich(update: &ParsedUpdate) {
    let expected = [
        (0x40, attrs::origin(0)),
        (0x40, attrs::as_path(&[64512, 65002, 65020, BIG_ASN])),
        (0xc0, attrs::communities(&[(65000, 1), (65000, 2)])),
        (0xc0, attrs::route_targets(&[(65000, 7)])),
        (0xc0, attrs::large_communities(&[(4_200_000_001, 2, 3)])),
    ];
    for (flags, attribute) in &expected {
        assert_eq!(
            update.attribute(attribute[1]),
            Some((*flags, value_of(attribute))),
            "attribute {} of {update:?}",
            attribute[1]
        );
    }
    assert_eq!(
        update.attribute(4),
        None,
        "MED is not passed on to a third AS"
    );
    assert_eq!(update.attribute(5), None, "LOCAL_PREF stays within an AS");
}

fn of_theirs_reach_a_third_as_intact_over_ipv4<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        they_announce: vec![Announce::rich("10.2.0.0/24")],
        ..Options::default()
    });
    let update = duo.raw().expect_announcement("10.2.0.0/24");
    check_rich(&update);
    assert_eq!(
        update.attribute(3),
        Some((0x40, &[10, 0, 1, 1][..])),
        "next hop: us"
    );
}

fn of_theirs_reach_a_third_as_intact_over_ipv6<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        they_announce: vec![Announce::rich("fd02::/64")],
        ..Options::default()
    });
    let update = duo.raw().expect_announcement("fd02::/64");
    check_rich(&update);
    let us: std::net::Ipv6Addr = "fd00:1::1".parse().expect("an address");
    assert_eq!(&update.next_hop_ipv6[..16], us.octets(), "next hop: us");
}

/// One of each transitive attribute, from the raw speaker.
fn send_rich(raw: &mut Raw, prefix: &str) {
    let prefix: IpNet = prefix.parse().expect("a prefix");
    let mut all = vec![
        attrs::origin(1),
        attrs::as_path(&[RAW_ASN, 65030, BIG_ASN]),
        attrs::med(77),
        attrs::atomic_aggregate(),
        attrs::aggregator(BIG_ASN + 1, Ipv4Addr::new(198, 51, 100, 1)),
        attrs::communities(&[(65000, 3), (65000, 4)]),
        attrs::route_targets(&[(65000, 9)]),
        attrs::large_communities(&[(BIG_ASN + 2, 5, 6)]),
    ];
    let body = match prefix {
        IpNet::V4(_) => {
            all.insert(2, attrs::next_hop(Ipv4Addr::new(10, 0, 1, 2)));
            attrs::update(&[], &all, &[prefix])
        }
        IpNet::V6(_) => {
            let hop = "fd00:1::2".parse().expect("an address");
            all.push(attrs::mp_reach_ipv6(hop, &[prefix]));
            attrs::update(&[], &all, &[])
        }
    };
    raw.send_update(&body);
}

#[track_caller]
fn check_seen(seen: &Seen) {
    assert_eq!(seen.origin, "egp");
    assert_eq!(seen.as_path, "64512 65003 65030 4200000000");
    assert_eq!(seen.communities, ["65000:3", "65000:4"]);
    assert_eq!(seen.ext, ["rt:65000:9"]);
    assert_eq!(seen.large, ["4200000002:5:6"]);
    assert!(seen.atomic_aggregate);
    assert_eq!(seen.aggregator.as_deref(), Some("4200000001 198.51.100.1"));
    assert_eq!(
        seen.med.unwrap_or(0),
        0,
        "MED is not passed on to a third AS"
    );
}

fn of_a_third_as_reach_them_intact_over_ipv4<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    let mut raw = duo.raw();
    send_rich(&mut raw, "10.9.0.0/24");
    check_seen(&wait_for("the route there", || {
        duo.them.route("10.9.0.0/24")
    }));
}

fn of_a_third_as_reach_them_intact_over_ipv6<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    let mut raw = duo.raw();
    send_rich(&mut raw, "fd09::/64");
    check_seen(&wait_for("the route there", || duo.them.route("fd09::/64")));
}

with_every_router!(
    of_theirs_reach_a_third_as_intact_over_ipv4,
    of_theirs_reach_a_third_as_intact_over_ipv6,
    of_a_third_as_reach_them_intact_over_ipv4,
    of_a_third_as_reach_them_intact_over_ipv6,
);
