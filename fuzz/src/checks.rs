//! One function a fuzz target: nothing that a peer sends may make it panic.

use bytes::{Bytes, BytesMut};
use godwit_bgp::attrs::AttrsRef;
use godwit_bgp::wire::{
    DecodeContext, FaultAction, MAX_EXTENDED, MAX_MESSAGE, MessageType, Notification, Open,
    RouteRefresh, Update, UpdateAction, UpdateEncoder, decode_update, split_frame,
};
use godwit_bgp::{Family, NextHop};

/// A stream of messages: every frame is split off and read as what it is.
pub fn message(data: &[u8]) {
    for max in [MAX_MESSAGE, MAX_EXTENDED] {
        let mut stream = BytesMut::from(data);
        loop {
            let before = stream.len();
            match split_frame(&mut stream, max) {
                Ok(Some(frame)) => {
                    assert!(stream.len() < before);
                    assert!(frame.body.len() < max);
                    body(frame.kind, &frame.body);
                }
                Ok(None) => break,
                Err(notification) => {
                    show(&notification);
                    break;
                }
            }
        }
    }
}

fn body(kind: MessageType, body: &Bytes) {
    match kind {
        MessageType::Open => open(body),
        MessageType::Update => (0..32).for_each(|bits| update_as(body, context(bits))),
        MessageType::Notification => show(&Notification::decode(body).expect("a whole frame")),
        MessageType::Keepalive => assert!(body.is_empty()),
        MessageType::RouteRefresh => match RouteRefresh::decode(body, true) {
            Ok(refresh) => assert_eq!(refresh.encode().get(19..), body.get(..4)),
            Err(notification) => show(&notification),
        },
    }
}

/// The body of an OPEN: what was understood is written and read the same.
pub fn open(data: &[u8]) {
    match Open::decode(&Bytes::copy_from_slice(data)) {
        Ok(open) => {
            let again = open.encode();
            assert!(again.len() <= MAX_MESSAGE);
            if data.len() <= MAX_MESSAGE - 19 {
                assert_eq!(Open::decode(&again.slice(19..)), Ok(open));
            }
        }
        Err(notification) => show(&notification),
    }
}

/// One octet that chooses the session's kind, then the body of an UPDATE.
pub fn update(data: &[u8]) {
    if let Some((bits, body)) = data.split_first() {
        update_as(&Bytes::copy_from_slice(body), context(*bits));
    }
}

fn context(bits: u8) -> DecodeContext {
    DecodeContext {
        as4: bits & 1 == 0,
        external: bits & 2 == 0,
        extended_next_hop: bits & 4 != 0,
        families: [bits & 8 == 0, bits & 16 == 0],
        add_path: [bits & 32 != 0, bits & 64 != 0],
    }
}

fn show(notification: &Notification) {
    let text = notification.to_string();
    assert!(!text.chars().any(char::is_control));
    assert!(notification.encode().len() <= MAX_MESSAGE);
}

fn update_as(body: &Bytes, ctx: DecodeContext) {
    let update = match decode_update(body.clone(), ctx) {
        Ok(update) => update,
        Err(notification) => return show(&notification),
    };
    let counted = update.withdrawn.len()
        + update.announced.len()
        + update.mp_reach.map_or(0, |(_, _, nlri)| nlri.len())
        + update.mp_unreach.map_or(0, |(_, nlri)| nlri.len());
    assert_eq!(announced(&update) + withdrawn(&update), counted);
    assert!(
        update
            .announced_v4()
            .chain(update.withdrawn_v4())
            .all(|p| p == p.trunc())
    );
    assert!(
        update
            .announced_v6()
            .chain(update.withdrawn_v6())
            .all(|p| p == p.trunc())
    );
    assert!(update.end_of_rib().is_none() || counted == 0);
    for fault in &update.faults {
        assert!(update.body.get(fault.range()).is_some());
    }
    if update.action == UpdateAction::TreatAsWithdraw {
        assert_eq!(announced(&update), 0);
        assert!(
            update
                .faults
                .iter()
                .any(|f| f.action == FaultAction::TreatAsWithdraw)
        );
    } else if announced(&update) > 0 {
        pass_on(&update, ctx);
    }
}

fn announced(update: &Update) -> usize {
    update.announced_v4().count() + update.announced_v6().count()
}

fn withdrawn(update: &Update) -> usize {
    update.withdrawn_v4().count() + update.withdrawn_v6().count()
}

/// What is kept goes out to both kinds of speakers and reads the same there.
fn pass_on(update: &Update, ctx: DecodeContext) {
    let mut bytes = vec![1, 2, 3];
    update.canonical_attrs(&mut bytes);
    for family in Family::ALL {
        let prefixes = match family {
            Family::Ipv4Unicast => update.announced_v4().count(),
            Family::Ipv6Unicast => update.announced_v6().count(),
        };
        if prefixes == 0 {
            continue;
        }
        let next_hop = update
            .next_hop(family)
            .expect("announced routes have a next hop");
        let attrs = AttrsRef {
            next_hop,
            bytes: &bytes,
        };
        read(attrs);
        for as4 in [true, false] {
            write_and_read(update, family, attrs, DecodeContext { as4, ..ctx });
        }
    }
}

fn write_and_read(update: &Update, family: Family, attrs: AttrsRef<'_>, ctx: DecodeContext) {
    let mut out = BytesMut::new();
    let mut encoder = UpdateEncoder::new(MAX_EXTENDED, ctx.as4);
    let ids = ctx.add_path[family.index()];
    let written = match (family, ids) {
        (Family::Ipv4Unicast, false) => encoder.announce_v4(attrs, update.announced_v4(), &mut out),
        (Family::Ipv4Unicast, true) => {
            encoder.announce_v4(attrs, update.announced_paths_v4(), &mut out)
        }
        (Family::Ipv6Unicast, false) => encoder.announce_v6(attrs, update.announced_v6(), &mut out),
        (Family::Ipv6Unicast, true) => {
            encoder.announce_v6(attrs, update.announced_paths_v6(), &mut out)
        }
    };
    if written.is_err() {
        assert!(out.is_empty());
        return;
    }
    let (mut paths_v4, mut paths_v6) = (Vec::new(), Vec::new());
    while let Some(frame) = split_frame(&mut out, MAX_EXTENDED).expect("we wrote it") {
        let again = decode_update(frame.body, ctx).expect("we wrote it");
        assert!(again.faults.is_empty(), "{:?}", again.faults);
        assert_eq!(again.next_hop(family), Some(attrs.next_hop));
        let mut bytes = Vec::new();
        again.canonical_attrs(&mut bytes);
        // AS4_PATH comes back with neighbouring sequences joined
        if ctx.as4 {
            assert_eq!(bytes, attrs.bytes);
        } else {
            let (again, was) = (
                AttrsRef {
                    bytes: &bytes,
                    ..attrs
                },
                attrs,
            );
            assert!(again.as_path().asns().eq(was.as_path().asns()));
            assert_eq!(again.as_path().length(), was.as_path().length());
            assert_eq!(again.aggregator(), was.aggregator());
            assert_eq!(again.iter().count(), was.iter().count());
        }
        paths_v4.extend(again.announced_paths_v4());
        paths_v6.extend(again.announced_paths_v6());
    }
    match family {
        Family::Ipv4Unicast => assert!(update.announced_paths_v4().eq(paths_v4)),
        Family::Ipv6Unicast => assert!(update.announced_paths_v6().eq(paths_v6)),
    }
    assert!(out.is_empty());
}

/// Every accessor, on attributes that came from a peer.
fn read(attrs: AttrsRef<'_>) {
    let codes: Vec<u8> = attrs.iter().map(|a| a.code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b));
    let path = attrs.as_path();
    assert_eq!(path.is_empty(), path.to_string().is_empty());
    let _ = (
        attrs.origin(),
        path.first_as(),
        path.origin_as(),
        path.has_set(),
    );
    let _ = (
        attrs.med(),
        attrs.local_pref(),
        attrs.originator_id(),
        attrs.aggregator(),
    );
    let _ = attrs.communities().count() + attrs.ext_communities().count();
    let _ = attrs.ipv6_ext_communities().count();
    let _ = attrs.large_communities().count() + attrs.cluster_list().count();
    assert!(matches!(attrs.next_hop, NextHop::V4(_)) || attrs.next_hop.address().is_ipv6());
}
