//! What is written.

use bytes::{Bytes, BytesMut};
use ipnet::{Ipv4Net, Ipv6Net};

use super::build::*;
use crate::attrs::{AttrsBuf, Origin, code};
use crate::types::{Asn, Family, NextHop, PathId};
use crate::wire::*;

fn v4(n: u32) -> Vec<Ipv4Net> {
    (0..n)
        .map(|i| Ipv4Net::new((0x0a00_0000 + (i << 8)).into(), 24).unwrap())
        .collect()
}

fn v6(n: u128) -> Vec<Ipv6Net> {
    (0..n)
        .map(|i| Ipv6Net::new(((0x2001 << 112) + (i << 80)).into(), 48).unwrap())
        .collect()
}

fn route(next_hop: NextHop) -> AttrsBuf {
    let mut attrs = AttrsBuf::new(next_hop, Origin::Igp);
    attrs.prepend_as(Asn(65001), 2);
    attrs.set_med(Some(7));
    attrs
}

fn frames(mut out: BytesMut, max: usize) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    while let Some(frame) = split_frame(&mut out, max).unwrap() {
        assert_eq!(frame.kind, MessageType::Update);
        bodies.push(frame.body);
    }
    assert!(out.is_empty());
    bodies
}

const V4: NextHop = NextHop::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn v6_hop() -> NextHop {
    NextHop::V6WithLinkLocal(global(1).into(), link_local(1).into(), 0)
}

#[test]
fn classic_routes_are_packed_and_next_hop_stands_in_its_place() {
    let mut out = BytesMut::new();
    let prefixes = v4(2500);
    let attrs = route(V4);
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
    encoder
        .announce_v4(attrs.as_ref(), prefixes.iter().copied(), &mut out)
        .unwrap();
    let bodies = frames(out, MAX_MESSAGE);
    // header 19, lengths 4, attributes 4 + 13 + 7 + 7: 4042 octets for prefixes of 4
    assert_eq!(bodies.len(), 2500usize.div_ceil(4042 / 4));
    let mut read_back = Vec::new();
    for body in &bodies {
        let update = read(body.clone(), EXTERNAL);
        assert!(update.faults.is_empty());
        let codes: Vec<u8> = body[4..].iter().copied().take(1).collect();
        assert_eq!(codes, [0x40]);
        assert!(update.attrs.spans.is_some());
        assert_eq!(canonical(&update), attrs.bytes());
        assert_eq!(update.next_hop(Family::Ipv4Unicast), Some(V4));
        read_back.extend(update.announced_v4());
    }
    assert_eq!(read_back, prefixes);
}

#[test]
fn nothing_to_say_is_no_message() {
    let mut out = BytesMut::new();
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
    encoder
        .announce_v4(route(V4).as_ref(), v4(0).into_iter(), &mut out)
        .unwrap();
    encoder
        .announce_v6(route(v6_hop()).as_ref(), v6(0).into_iter(), &mut out)
        .unwrap();
    encoder.withdraw_v4(v4(0).into_iter(), &mut out);
    encoder.withdraw_v6(v6(0).into_iter(), &mut out);
    assert!(out.is_empty());
}

#[test]
fn path_identifiers_stand_before_the_prefixes_of_a_family_that_has_them() {
    let mut out = BytesMut::new();
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
    let net: Ipv4Net = "10.1.0.0/16".parse().unwrap();
    let paths = [(PathId(0), net), (PathId(0x0102_0304), net)];
    encoder
        .announce_v4(route(V4).as_ref(), paths.into_iter(), &mut out)
        .unwrap();
    encoder.withdraw_v4(paths.into_iter(), &mut out);
    let bodies = frames(out, MAX_MESSAGE);
    let wire = [0, 0, 0, 0, 16, 10, 1, 1, 2, 3, 4, 16, 10, 1];
    assert!(bodies[0].ends_with(&wire));
    assert_eq!(bodies[1][2..16], wire);
    let ctx = DecodeContext {
        add_path: [true, false],
        ..EXTERNAL
    };
    let (announced, withdrawn) = (read(bodies[0].clone(), ctx), read(bodies[1].clone(), ctx));
    assert!(announced.announced_paths_v4().eq(paths));
    assert!(withdrawn.withdrawn_paths_v4().eq(paths));
    // the same two prefixes, to whom the identifiers mean nothing
    assert!(announced.announced_v4().eq([net, net]));
}

#[test]
fn a_message_is_as_full_with_path_identifiers() {
    for max in [MAX_MESSAGE, MAX_EXTENDED] {
        let mut out = BytesMut::new();
        let paths: Vec<(PathId, Ipv6Net)> = (7..).map(PathId).zip(v6(9000)).collect();
        let attrs = route(v6_hop());
        let mut encoder = UpdateEncoder::new(max, true);
        encoder
            .announce_v6(attrs.as_ref(), paths.iter().copied(), &mut out)
            .unwrap();
        let bodies = frames(out, max);
        let room = max - 23 - 4 - 3 - 33 - 1 - attrs.bytes().len();
        assert_eq!(bodies.len(), 9000usize.div_ceil(room / 11));
        let ctx = DecodeContext {
            add_path: [false, true],
            ..EXTERNAL
        };
        let read_back = bodies.into_iter().flat_map(|body| {
            let update = read(body, ctx);
            update.announced_paths_v6().collect::<Vec<_>>()
        });
        assert!(read_back.eq(paths));
    }
}

#[test]
fn ipv6_routes_are_packed_with_mp_reach_first() {
    for max in [MAX_MESSAGE, MAX_EXTENDED] {
        let mut out = BytesMut::new();
        let (prefixes, attrs) = (v6(11_000), route(v6_hop()));
        let mut encoder = UpdateEncoder::new(max, true);
        encoder
            .announce_v6(attrs.as_ref(), prefixes.iter().copied(), &mut out)
            .unwrap();
        let bodies = frames(out, max);
        let room = max - 23 - 4 - 3 - 33 - 1 - attrs.bytes().len();
        assert_eq!(bodies.len(), 11_000usize.div_ceil(room / 7));
        let mut read_back = Vec::new();
        for body in bodies {
            assert_eq!(body[4..6], [0x90, code::MP_REACH_NLRI]);
            let update = read(body, EXTERNAL);
            assert!(update.faults.is_empty());
            assert_eq!(canonical(&update), attrs.bytes());
            assert_eq!(update.next_hop(Family::Ipv6Unicast), Some(v6_hop()));
            read_back.extend(update.announced_v6());
        }
        assert_eq!(read_back, prefixes);
    }
}

#[test]
fn short_mp_attributes_have_the_short_length() {
    let mut out = BytesMut::new();
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
    for n in [1, 31, 32, 33] {
        encoder
            .announce_v6(route(v6_hop()).as_ref(), v6(n).into_iter(), &mut out)
            .unwrap();
        encoder.withdraw_v6(v6(n + 4).into_iter(), &mut out);
    }
    for body in frames(out, MAX_MESSAGE) {
        let long = body[4] & 0x10 != 0;
        let value = if long {
            u16::from_be_bytes([body[6], body[7]])
        } else {
            body[6].into()
        };
        assert_eq!(long, value > 255);
        let update = read(body, EXTERNAL);
        assert!(update.faults.is_empty());
        assert!(!update.is_empty());
    }
}

#[test]
fn ipv4_routes_with_an_ipv6_next_hop_go_into_mp_reach() {
    let mut out = BytesMut::new();
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
    let prefixes = v4(3);
    encoder
        .announce_v4(route(v6_hop()).as_ref(), prefixes.iter().copied(), &mut out)
        .unwrap();
    let ctx = DecodeContext {
        extended_next_hop: true,
        ..EXTERNAL
    };
    let update = read(frames(out, MAX_MESSAGE).remove(0), ctx);
    assert_eq!(update.announced_v4().collect::<Vec<_>>(), prefixes);
    assert_eq!(update.next_hop(Family::Ipv4Unicast), Some(v6_hop()));
}

#[test]
fn withdrawals_are_packed() {
    let mut out = BytesMut::new();
    let encoder = UpdateEncoder::new(MAX_MESSAGE, true);
    encoder.withdraw_v4(v4(2500).into_iter(), &mut out);
    encoder.withdraw_v6(v6(1500).into_iter(), &mut out);
    let bodies = frames(out, MAX_MESSAGE);
    assert_eq!(
        bodies.len(),
        2500usize.div_ceil(4073 / 4) + 1500usize.div_ceil(4066 / 7)
    );
    let updates: Vec<Update> = bodies
        .into_iter()
        .map(|body| read(body, EXTERNAL))
        .collect();
    assert!(
        updates
            .iter()
            .all(|u| u.faults.is_empty() && u.end_of_rib().is_none())
    );
    let read_back: Vec<Ipv4Net> = updates.iter().flat_map(Update::withdrawn_v4).collect();
    assert_eq!(read_back, v4(2500));
    let read_back: Vec<Ipv6Net> = updates.iter().flat_map(Update::withdrawn_v6).collect();
    assert_eq!(read_back, v6(1500));
}

#[test]
fn end_of_rib_is_read_as_such() {
    for family in Family::ALL {
        let mut out = BytesMut::new();
        UpdateEncoder::new(MAX_MESSAGE, true).end_of_rib(family, &mut out);
        assert_eq!(
            read(frames(out, MAX_MESSAGE).remove(0), EXTERNAL).end_of_rib(),
            Some(family)
        );
    }
}

#[test]
fn attributes_without_room_for_a_prefix_are_refused() {
    // 23 octets before the attributes, 24 of them and the unknown one's header,
    // 5 for a /32
    for (next_hop, fixed, longest) in [(V4, 23 + 7, 5), (v6_hop(), 23 + 4 + 3 + 33 + 1, 17)] {
        for spare in [0, 1] {
            let mut attrs = route(next_hop);
            let length = MAX_MESSAGE - fixed - attrs.bytes().len() - 4 - longest + spare;
            attrs.set(99, 0xe0, &vec![1; length]);
            let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
            let mut out = BytesMut::new();
            let result = match next_hop {
                NextHop::V4(_) => {
                    let host = Ipv4Net::new([1, 1, 1, 1].into(), 32).unwrap();
                    encoder.announce_v4(attrs.as_ref(), [host].into_iter(), &mut out)
                }
                _ => {
                    let host = Ipv6Net::new(global(7).into(), 128).unwrap();
                    encoder.announce_v6(attrs.as_ref(), [host].into_iter(), &mut out)
                }
            };
            let expected = if spare == 0 { Ok(()) } else { Err(TooLong) };
            assert_eq!(result, expected);
            // a short MP_REACH_NLRI saves the octet that was kept for a long one
            let full = MAX_MESSAGE - usize::from(next_hop != V4);
            assert_eq!(out.len(), if spare == 0 { full } else { 0 });
        }
    }
}

#[test]
fn old_speakers_get_as_trans_and_the_as4_attributes_6793_4_2_2() {
    let mut attrs = AttrsBuf::new(V4, Origin::Igp);
    attrs.prepend_as(Asn(4_200_000_000), 1);
    attrs.prepend_as(Asn(7), 1);
    attrs.set(code::AGGREGATOR, 0xc0, &[0, 1, 0, 0, 1, 1, 1, 1]);
    attrs.set(99, 0xe0, &[1]);
    let mut out = BytesMut::new();
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, false);
    encoder
        .announce_v4(attrs.as_ref(), v4(1).into_iter(), &mut out)
        .unwrap();
    let body = frames(out, MAX_MESSAGE).remove(0);
    let expected = [
        attr(0x40, 1, &[0]),
        attr(0x40, 2, &[2, 2, 0, 7, 0x5b, 0xa0]),
        attr(0x40, 3, &[192, 0, 2, 1]),
        attr(0xc0, 7, &[0x5b, 0xa0, 1, 1, 1, 1]),
        attr(0xc0, 17, &[2, 2, 0, 0, 0, 7, 0xfa, 0x56, 0xea, 0]),
        attr(0xc0, 18, &[0, 1, 0, 0, 1, 1, 1, 1]),
        attr(0xe0, 99, &[1]),
    ];
    let update = read(body, OLD);
    assert_eq!(update.body[update.attrs.range()], expected.concat());
    assert_eq!(canonical(&update), attrs.bytes());
}

#[test]
fn old_speakers_get_no_as4_attributes_without_need() {
    let mut attrs = route(V4);
    attrs.set(code::AGGREGATOR, 0xc0, &[0, 0, 0, 9, 1, 1, 1, 1]);
    let mut out = BytesMut::new();
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, false);
    encoder
        .announce_v4(attrs.as_ref(), v4(1).into_iter(), &mut out)
        .unwrap();
    let update = read(frames(out, MAX_MESSAGE).remove(0), OLD);
    let raw = &update.body[update.attrs.range()];
    assert!(raw.ends_with(&attr(0xc0, 7, &[0, 9, 1, 1, 1, 1])));
    assert_eq!(canonical(&update), attrs.bytes());
}
