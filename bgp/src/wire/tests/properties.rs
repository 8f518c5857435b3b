//! Properties of the whole codec on random input.

use bytes::{Bytes, BytesMut};
use ipnet::{Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;

use super::build::*;
use crate::attrs::{AttrsBuf, Origin, code};
use crate::types::{Asn, Family, NextHop, PathId, RouterId};
use crate::wire::*;

fn context() -> impl Strategy<Value = DecodeContext> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<[bool; 2]>(),
        any::<[bool; 2]>(),
    )
        .prop_map(
            |(as4, external, extended_next_hop, families, add_path)| DecodeContext {
                as4,
                external,
                extended_next_hop,
                families,
                add_path,
            },
        )
}

/// Attributes that are often sound, sometimes not.
fn attribute() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![6 => Just(None), 1 => any::<u8>().prop_map(Some)];
    let code = prop_oneof![8 => 0u8..20, 1 => Just(32), 1 => any::<u8>()];
    let value = prop_oneof![
        Just(vec![0]),
        vec(any::<u8>(), 4),
        vec(any::<u8>(), 8),
        vec(any::<u8>(), 12),
        (1u8..4, vec(1u8.., 0..10)).prop_map(|(kind, asns)| {
            let mut path = vec![kind, u8::try_from(asns.len()).unwrap()];
            path.extend(asns.iter().flat_map(|a| [0, 0, 0, *a]));
            path
        }),
        vec(8u8..20, 0..8).prop_map(|n| mp_reach(1, &[192, 0, 2, 1], &n)),
        vec(8u8..20, 0..8).prop_map(|n| mp_reach(2, &global(1), &n)),
        vec(any::<u8>(), 0..300),
    ];
    (flags, code, value).prop_map(|(flags, code, value)| {
        let flags = flags.unwrap_or(match code {
            1..=3 | 5 | 6 => 0x40,
            4 | 9 | 10 | 14 | 15 => 0x80,
            _ => 0xc0,
        });
        attr(
            if value.len() > 255 {
                flags | 0x10
            } else {
                flags
            },
            code,
            &value,
        )
    })
}

fn update_body() -> impl Strategy<Value = Bytes> {
    let classic = prop_oneof![Just(NLRI.to_vec()), Just(vec![]), vec(any::<u8>(), 0..6)];
    let base = prop_oneof![
        Just(vec![]),
        Just(mandatory(EXTERNAL)),
        Just(mandatory(INTERNAL)),
        Just(mandatory(OLD))
    ];
    (
        classic.clone(),
        base,
        vec(attribute(), 0..6),
        classic,
        any::<bool>(),
    )
        .prop_map(|(withdrawn, mut attrs, more, nlri, reverse)| {
            attrs.extend(more);
            if reverse {
                attrs.reverse();
            }
            body(&withdrawn, &attrs, &nlri)
        })
}

/// Everything that a caller may do with an UPDATE.
fn exercise(body: Bytes, ctx: DecodeContext) {
    let total = body.len();
    let Ok(update) = decode_update(body, ctx) else {
        return;
    };
    let v4 = update.announced_v4().count() + update.withdrawn_v4().count();
    let v6 = update.announced_v6().count() + update.withdrawn_v6().count();
    let counted = update.withdrawn.len()
        + update.announced.len()
        + update.mp_reach.map_or(0, |(_, _, n)| n.len())
        + update.mp_unreach.map_or(0, |(_, n)| n.len());
    assert_eq!(v4 + v6, counted);
    assert_eq!(update.is_empty(), counted == 0);
    for net in update.announced_v4().chain(update.withdrawn_v4()) {
        assert_eq!(net, net.trunc());
    }
    for net in update.announced_v6().chain(update.withdrawn_v6()) {
        assert_eq!(net, net.trunc());
    }
    if update.action == UpdateAction::TreatAsWithdraw {
        assert_eq!(
            update.announced_v4().count() + update.announced_v6().count(),
            0
        );
        assert!(
            update
                .faults
                .iter()
                .any(|f| f.action == FaultAction::TreatAsWithdraw)
        );
        return;
    }
    for family in Family::ALL {
        let announced = match family {
            Family::Ipv4Unicast => update.announced_v4().count(),
            Family::Ipv6Unicast => update.announced_v6().count(),
        };
        assert!(announced == 0 || update.next_hop(family).is_some());
    }
    for fault in &update.faults {
        assert!(fault.range().end <= total);
    }
    assert_canonical_is_stable(&update, ctx);
}

/// Canonical bytes, sent again, are canonical as they stand.
fn assert_canonical_is_stable(update: &Update, ctx: DecodeContext) {
    let bytes = canonical(update);
    let again = body(&[], &[bytes.clone(), next_hop()], &[]);
    let ctx = DecodeContext { as4: true, ..ctx };
    let again = read(again, ctx);
    assert!(again.faults.is_empty(), "{:?}", again.faults);
    assert!(again.attrs.spans.is_some());
    assert_eq!(canonical(&again), bytes);
}

fn prefix_v4() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 0u8..=32).prop_map(|(a, l)| Ipv4Net::new(a.into(), l).unwrap().trunc())
}

fn prefix_v6() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0u8..=128).prop_map(|(a, l)| Ipv6Net::new(a.into(), l).unwrap().trunc())
}

fn next_hops() -> impl Strategy<Value = (NextHop, NextHop)> {
    let v4 = any::<[u8; 3]>().prop_map(|[b, c, d]| NextHop::V4([10, b, c, d].into()));
    let v6 = (any::<u8>(), any::<Option<u8>>()).prop_map(|(g, l)| match l {
        Some(l) => NextHop::V6WithLinkLocal(global(g).into(), link_local(l).into(), 0),
        None => NextHop::V6(global(g).into()),
    });
    (v4, v6)
}

/// Canonical attributes as an internal peer could send them.
fn attributes() -> impl Strategy<Value = AttrsBuf> {
    let list = |unit: usize| vec(any::<u32>(), 0..80).prop_map(move |l| (l.len() / unit, unit));
    let asns = vec(
        (
            prop_oneof![1u32..70_000, 4_200_000_000u32..4_200_000_009],
            1usize..200,
        ),
        0..5,
    );
    (
        asns,
        0u8..3,
        any::<Option<u32>>(),
        any::<u32>(),
        list(1),
        list(3),
        vec(any::<u8>(), 0..300),
    )
        .prop_map(
            |(asns, origin, med, local_pref, communities, large, unknown)| {
                let origin = Origin::from_wire(origin).unwrap();
                let mut attrs = AttrsBuf::new(NextHop::V4([10, 0, 0, 1].into()), origin);
                for (asn, n) in asns {
                    attrs.prepend_as(Asn(asn), n);
                }
                attrs.set_med(med);
                attrs.set_local_pref(Some(local_pref));
                for (code, (count, unit)) in [(8, communities), (32, large)] {
                    if count > 0 {
                        // No value twice.
                        let value = |n| vec![code ^ n as u8; unit * 4];
                        attrs.set(code, 0xc0, &(0..count).flat_map(value).collect::<Vec<_>>());
                    }
                }
                attrs.set(code::AGGREGATOR, 0xc0, &[0, 1, 0, 0, 1, 1, 1, 1]);
                attrs.set_originator_id(RouterId(9));
                attrs.prepend_cluster(RouterId(8));
                attrs.set(200, 0xe0, &unknown);
                attrs
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_upset_any_decoder(bytes in vec(any::<u8>(), 0..200), ctx in context()) {
        let bytes = Bytes::from(bytes);
        exercise(bytes.clone(), ctx);
        if let Ok(open) = Open::decode(&bytes) {
            let _ = open.encode();
        }
        if let Ok(notification) = Notification::decode(&bytes) {
            prop_assert_eq!(&notification.encode()[19..], &bytes[..]);
            let _ = notification.to_string();
        }
        let _ = RouteRefresh::decode(&bytes, true);
        let _ = split_frame(&mut BytesMut::from(&bytes[..]), MAX_MESSAGE);
    }

    #[test]
    fn no_update_upsets_the_decoder(body in update_body(), ctx in context()) {
        exercise(body, ctx);
    }

    #[test]
    fn no_changed_octet_upsets_the_decoder(
        body in update_body(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ctx in context(),
    ) {
        let mut bytes = body.to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exercise(bytes.into(), ctx);
    }

    #[test]
    fn paths_are_read_with_the_identifiers_they_were_written_with(
        (hop4, hop6) in next_hops(),
        paths4 in vec((any::<u32>().prop_map(PathId), prefix_v4()), 0..1500),
        paths6 in vec((any::<u32>().prop_map(PathId), prefix_v6()), 0..500),
        add_path in any::<[bool; 2]>(),
    ) {
        let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
        let ctx = DecodeContext { add_path, ..EXTERNAL };
        let mut out = BytesMut::new();
        let mut attrs = AttrsBuf::new(hop4, Origin::Igp);
        let nets4 = || paths4.iter().map(|(_, net)| *net);
        let nets6 = || paths6.iter().map(|(_, net)| *net);
        if add_path[0] {
            let _ = encoder.announce_v4(attrs.as_ref(), paths4.iter().copied(), &mut out);
            encoder.withdraw_v4(paths4.iter().copied(), &mut out);
        } else {
            let _ = encoder.announce_v4(attrs.as_ref(), nets4(), &mut out);
            encoder.withdraw_v4(nets4(), &mut out);
        }
        attrs.next_hop = hop6;
        if add_path[1] {
            let _ = encoder.announce_v6(attrs.as_ref(), paths6.iter().copied(), &mut out);
            encoder.withdraw_v6(paths6.iter().copied(), &mut out);
        } else {
            let _ = encoder.announce_v6(attrs.as_ref(), nets6(), &mut out);
            encoder.withdraw_v6(nets6(), &mut out);
        }
        let (mut got4, mut got6, mut gone4, mut gone6) = (vec![], vec![], vec![], vec![]);
        while let Some(frame) = split_frame(&mut out, MAX_MESSAGE).unwrap() {
            let update = read(frame.body, ctx);
            prop_assert!(update.faults.is_empty(), "{:?}", update.faults);
            got4.extend(update.announced_paths_v4());
            got6.extend(update.announced_paths_v6());
            gone4.extend(update.withdrawn_paths_v4());
            gone6.extend(update.withdrawn_paths_v6());
        }
        let want4: Vec<_> = match add_path[0] {
            true => paths4,
            false => nets4().map(|net| (PathId(0), net)).collect(),
        };
        let want6: Vec<_> = match add_path[1] {
            true => paths6,
            false => nets6().map(|net| (PathId(0), net)).collect(),
        };
        prop_assert_eq!(&got4, &want4);
        prop_assert_eq!(gone4, want4);
        prop_assert_eq!(&got6, &want6);
        prop_assert_eq!(gone6, want6);
    }

    #[test]
    fn what_is_written_is_read_the_same(
        mut attrs in attributes(),
        (hop4, hop6) in next_hops(),
        nets4 in vec(prefix_v4(), 0..1500),
        nets6 in vec(prefix_v6(), 0..500),
        as4 in any::<bool>(),
        extended in any::<bool>(),
    ) {
        let max = if extended { MAX_EXTENDED } else { MAX_MESSAGE };
        let mut encoder = UpdateEncoder::new(max, as4);
        let ctx = DecodeContext { as4, ..INTERNAL };
        let mut out = BytesMut::new();
        attrs.next_hop = hop4;
        let v4 = encoder.announce_v4(attrs.as_ref(), nets4.iter().copied(), &mut out);
        attrs.next_hop = hop6;
        let v6 = encoder.announce_v6(attrs.as_ref(), nets6.iter().copied(), &mut out);
        encoder.withdraw_v4(nets4.iter().copied(), &mut out);
        encoder.withdraw_v6(nets6.iter().copied(), &mut out);
        let (mut got4, mut got6, mut gone4, mut gone6) = (vec![], vec![], vec![], vec![]);
        // split_frame checks that no message is longer than max
        while let Some(frame) = split_frame(&mut out, max).unwrap() {
            let update = read(frame.body, ctx);
            prop_assert!(update.faults.is_empty(), "{:?}", update.faults);
            prop_assert!(!update.is_empty() && update.end_of_rib().is_none());
            if !update.attrs.is_empty() && update.mp_unreach.is_none() {
                prop_assert_eq!(canonical(&update), attrs.bytes());
            }
            for (family, hop, n) in [
                (Family::Ipv4Unicast, hop4, update.announced_v4().count()),
                (Family::Ipv6Unicast, hop6, update.announced_v6().count()),
            ] {
                prop_assert!(n == 0 || update.next_hop(family) == Some(hop));
            }
            got4.extend(update.announced_v4());
            got6.extend(update.announced_v6());
            gone4.extend(update.withdrawn_v4());
            gone6.extend(update.withdrawn_v6());
        }
        prop_assert!(out.is_empty());
        prop_assert_eq!(&gone4, &nets4);
        prop_assert_eq!(&gone6, &nets6);
        prop_assert_eq!(got4, if v4.is_ok() { nets4 } else { vec![] });
        prop_assert_eq!(got6, if v6.is_ok() { nets6 } else { vec![] });
    }
}
