//! What a sound UPDATE says.

use std::net::Ipv6Addr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::build::*;
use crate::types::{Family, NextHop, PathId};
use crate::wire::*;

fn v4(list: &[&str]) -> Vec<Ipv4Net> {
    list.iter().map(|p| p.parse().unwrap()).collect()
}

fn v6(list: &[&str]) -> Vec<Ipv6Net> {
    list.iter().map(|p| p.parse().unwrap()).collect()
}

#[test]
fn classic_update_announces_and_withdraws() {
    let withdrawn = [0, 32, 203, 0, 113, 9, 9, 172, 0xff];
    let update = read(body(&withdrawn, &mandatory(EXTERNAL), &NLRI), EXTERNAL);
    assert_eq!(
        update.announced_v4().collect::<Vec<_>>(),
        v4(&["10.1.0.0/16", "10.2.3.0/24"])
    );
    // host bits are cleared
    let expected = v4(&["0.0.0.0/0", "203.0.113.9/32", "172.128.0.0/9"]);
    assert_eq!(update.withdrawn_v4().collect::<Vec<_>>(), expected);
    assert_eq!((update.withdrawn.len(), update.announced.len()), (3, 2));
    let next_hop = NextHop::V4([192, 0, 2, 1].into());
    assert_eq!(update.next_hop(Family::Ipv4Unicast), Some(next_hop));
    assert_eq!(update.next_hop(Family::Ipv6Unicast), None);
    assert_eq!(update.end_of_rib(), None);
    assert!(!update.is_empty());
}

#[test]
fn only_a_family_that_agreed_on_them_is_read_with_path_identifiers() {
    let ids = DecodeContext {
        add_path: [true, false],
        ..EXTERNAL
    };
    let reach = attr(0x80, 14, &mp_reach(2, &global(1), &[16, 0x20, 1]));
    let mut attrs = mandatory(EXTERNAL);
    attrs.push(reach);
    let withdrawn = [0, 0, 0, 7, 8, 9];
    let announced = [0, 0, 0, 0, 16, 10, 1, 0, 0, 0, 9, 16, 10, 1];
    let update = read(body(&withdrawn, &attrs, &announced), ids);
    let net = v4(&["10.1.0.0/16"])[0];
    let paths = [(PathId(0), net), (PathId(9), net)];
    assert!(update.announced_paths_v4().eq(paths));
    let gone = [(PathId(7), v4(&["9.0.0.0/8"])[0])];
    assert!(update.withdrawn_paths_v4().eq(gone));
    let plain = [(PathId(0), v6(&["2001::/16"])[0])];
    assert!(update.announced_paths_v6().eq(plain));
    // octets that are no prefixes to whom they stand for such alone
    assert!(decode_update(body(&withdrawn, &attrs, &announced), EXTERNAL).is_err());
}

#[test]
fn a_path_identifier_that_ends_early_costs_the_session() {
    let ids = DecodeContext {
        add_path: [true, true],
        ..EXTERNAL
    };
    for cut in [&[0][..], &[0, 0, 0], &[0, 0, 0, 1], &[0, 0, 0, 1, 16, 10]] {
        for mp in [false, true] {
            let mut attrs = mandatory(EXTERNAL);
            let classic = if mp { &[][..] } else { cut };
            if mp {
                attrs.push(attr(0x80, 14, &mp_reach(2, &global(1), cut)));
            }
            assert!(decode_update(body(&[], &attrs, classic), ids).is_err());
            assert!(decode_update(body(classic, &attrs, &[]), ids).is_err());
        }
    }
}

#[test]
fn treat_as_withdraw_withdraws_each_path() {
    let ids = DecodeContext {
        add_path: [true, true],
        ..EXTERNAL
    };
    let attrs = [origin(), next_hop()];
    let announced = [0, 0, 0, 1, 16, 10, 1, 0, 0, 0, 2, 16, 10, 1];
    let update = read(body(&[], &attrs, &announced), ids);
    assert_eq!(update.action, UpdateAction::TreatAsWithdraw);
    let net = v4(&["10.1.0.0/16"])[0];
    let paths = [(PathId(1), net), (PathId(2), net)];
    assert!(update.withdrawn_paths_v4().eq(paths));
}

#[test]
fn treat_as_withdraw_turns_announced_into_withdrawn() {
    let attrs = [
        attr(0x80, 14, &mp_reach(2, &global(1), &[16, 0x20, 1])),
        origin(),
        next_hop(),
    ];
    let update = read(body(&[8, 9], &attrs, &NLRI), EXTERNAL);
    assert_eq!(update.action, UpdateAction::TreatAsWithdraw);
    let expected = v4(&["9.0.0.0/8", "10.1.0.0/16", "10.2.3.0/24"]);
    assert_eq!(update.withdrawn_v4().collect::<Vec<_>>(), expected);
    assert_eq!(
        update.withdrawn_v6().collect::<Vec<_>>(),
        v6(&["2001::/16"])
    );
    assert_eq!(
        update.announced_v4().count() + update.announced_v6().count(),
        0
    );
}

#[test]
fn one_update_may_carry_both_families() {
    let reach = attr(
        0x80,
        14,
        &mp_reach(2, &global(9), &[32, 0x20, 1, 0xd, 0xb8, 0]),
    );
    let unreach = attr(0x90, 15, &[0, 2, 1, 13, 0x20, 0xff]);
    let attrs = [mandatory(INTERNAL), vec![reach, unreach]].concat();
    let update = read(body(&[], &attrs, &NLRI), INTERNAL);
    assert_eq!(update.announced_v4().count(), 2);
    assert_eq!(
        update.announced_v6().collect::<Vec<_>>(),
        v6(&["2001:db8::/32", "::/0"])
    );
    assert_eq!(
        update.withdrawn_v6().collect::<Vec<_>>(),
        v6(&["20f8::/13"])
    );
    let next_hop = NextHop::V6(Ipv6Addr::from(global(9)));
    assert_eq!(update.next_hop(Family::Ipv6Unicast), Some(next_hop));
}

#[test]
fn ipv4_in_mp_attributes_is_read_like_the_classic_fields() {
    let reach = attr(0x80, 14, &mp_reach(1, &[192, 0, 2, 9], &[8, 11]));
    let unreach = attr(0x80, 15, &[0, 1, 1, 8, 12]);
    let update = read(
        body(&[], &[reach, unreach, origin(), as_path()], &[]),
        EXTERNAL,
    );
    assert_eq!(
        update.announced_v4().collect::<Vec<_>>(),
        v4(&["11.0.0.0/8"])
    );
    assert_eq!(
        update.withdrawn_v4().collect::<Vec<_>>(),
        v4(&["12.0.0.0/8"])
    );
    let next_hop = NextHop::V4([192, 0, 2, 9].into());
    assert_eq!(update.next_hop(Family::Ipv4Unicast), Some(next_hop));
}

#[test]
fn ipv4_with_two_next_hops_is_withdrawn() {
    for (last, action) in [(1, UpdateAction::Keep), (2, UpdateAction::TreatAsWithdraw)] {
        let reach = attr(0x80, 14, &mp_reach(1, &[192, 0, 2, last], &[8, 11]));
        let attrs = [mandatory(EXTERNAL), vec![reach]].concat();
        assert_eq!(read(body(&[], &attrs, &NLRI), EXTERNAL).action, action);
    }
}

#[test]
fn a_next_hop_beside_no_prefixes_is_nobodys_4760_3() {
    let reach = attr(0x80, 14, &mp_reach(1, &[192, 0, 2, 9], &[]));
    let attrs = [mandatory(EXTERNAL), vec![reach]].concat();
    let update = read(body(&[], &attrs, &NLRI), EXTERNAL);
    assert_eq!(update.action, UpdateAction::Keep);
    let classic = NextHop::V4([192, 0, 2, 1].into());
    assert_eq!(update.next_hop(Family::Ipv4Unicast), Some(classic));
}

#[test]
fn ipv6_next_hop_for_ipv4_needs_negotiation() {
    let reach = attr(0x80, 14, &mp_reach(1, &global(1), &[8, 11]));
    let body = body(&[], &[reach, origin(), as_path()], &[]);
    assert!(decode_update(body.clone(), EXTERNAL).is_err());
    let update = read(
        body,
        DecodeContext {
            extended_next_hop: true,
            ..EXTERNAL
        },
    );
    let next_hop = NextHop::V6(Ipv6Addr::from(global(1)));
    assert_eq!(update.next_hop(Family::Ipv4Unicast), Some(next_hop));
}

#[test]
fn link_local_next_hops_have_one_form() {
    let (g, l) = (Ipv6Addr::from(global(1)), Ipv6Addr::from(link_local(1)));
    let none = Ipv6Addr::UNSPECIFIED;
    let cases = [
        (
            [global(1), link_local(1)].concat(),
            NextHop::V6WithLinkLocal(g, l, 0),
        ),
        ([global(1), global(2)].concat(), NextHop::V6(g)),
        ([global(1), [0; 16]].concat(), NextHop::V6(g)),
        (
            [[0; 16], link_local(1)].concat(),
            NextHop::V6WithLinkLocal(none, l, 0),
        ),
        (
            [link_local(2), link_local(1)].concat(),
            NextHop::V6WithLinkLocal(none, l, 0),
        ),
        (link_local(1).to_vec(), NextHop::V6WithLinkLocal(none, l, 0)),
    ];
    for (octets, expected) in cases {
        let reach = attr(0x80, 14, &mp_reach(2, &octets, &[16, 0x20, 1]));
        let update = read(body(&[], &[reach, origin(), as_path()], &[]), EXTERNAL);
        assert_eq!(update.action, UpdateAction::Keep);
        assert_eq!(update.next_hop(Family::Ipv6Unicast), Some(expected));
    }
}

#[test]
fn families_not_negotiated_are_ignored_and_said_so() {
    let reach = attr(0x80, 14, &mp_reach(2, &[1, 2, 3], &[200]));
    let unreach = attr(0x80, 15, &[0, 2, 1, 200]);
    let vpn = attr(0x80, 14, &[0, 1, 128, 0, 0, 1]);
    let ctx = DecodeContext {
        families: [true, false],
        ..EXTERNAL
    };
    for attribute in [reach, unreach, vpn] {
        let attrs = [mandatory(ctx), vec![attribute]].concat();
        let update = read(body(&[], &attrs, &NLRI), ctx);
        assert_eq!(
            (update.action, update.faults.len()),
            (UpdateAction::Keep, 1)
        );
        assert_eq!(update.announced_v4().count(), 2);
        assert!(update.mp_reach.is_none() && update.mp_unreach.is_none());
    }
    let ctx = DecodeContext {
        families: [false, true],
        ..EXTERNAL
    };
    let update = read(body(&[8, 9], &mandatory(ctx), &NLRI), ctx);
    assert_eq!(update.faults.len(), 1);
    assert!(update.is_empty());
    assert_eq!(
        update.withdrawn_v4().count() + update.announced_v4().count(),
        0
    );
}

#[test]
fn next_hop_without_classic_routes_is_ignored_4760_3() {
    let reach = attr(0x80, 14, &mp_reach(2, &global(1), &[16, 0x20, 1]));
    let attrs = [reach, origin(), as_path(), attr(0x40, 3, &[0; 4])];
    let update = read(body(&[], &attrs, &[]), EXTERNAL);
    assert_eq!(
        (update.action, update.faults.len()),
        (UpdateAction::Keep, 0)
    );
    assert_eq!(update.next_hop(Family::Ipv4Unicast), None);
    assert_eq!(canonical(&update), [origin(), as_path()].concat());
}

#[test]
fn end_of_rib_is_told_from_empty_updates() {
    let end = |attrs: &[Vec<u8>]| read(body(&[], attrs, &[]), EXTERNAL).end_of_rib();
    assert_eq!(end(&[]), Some(Family::Ipv4Unicast));
    assert_eq!(
        end(&[attr(0x80, 15, &[0, 2, 1])]),
        Some(Family::Ipv6Unicast)
    );
    assert_eq!(
        end(&[attr(0x90, 15, &[0, 2, 1])]),
        Some(Family::Ipv6Unicast)
    );
    assert_eq!(
        end(&[attr(0x80, 15, &[0, 1, 1])]),
        Some(Family::Ipv4Unicast)
    );
    assert_eq!(end(&[attr(0x80, 15, &[0, 2, 1, 0])]), None);
    assert_eq!(end(&[attr(0x80, 15, &[0, 2, 128])]), None);
    assert_eq!(end(&[origin()]), None);
    assert_eq!(end(&[origin(), attr(0x80, 15, &[0, 2, 1])]), None);
}
