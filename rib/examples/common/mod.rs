//! A table of routes as the Internet has it, and who sends it.

use std::net::{IpAddr, Ipv4Addr};

use bytes::BytesMut;
use godwit_bgp::attrs::{AttrsBuf, Origin};
use godwit_bgp::wire::{DecodeContext, Update, UpdateEncoder, decode_update, split_frame};
use godwit_bgp::{Asn, NextHop, RouterId, SessionKind};
use godwit_policy::route::PolicyRef;
use godwit_rib::{ExportRules, ImportRules, PeerSpec};
use ipnet::Ipv4Net;

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Prefixes in groups that share attributes, about eleven each, as a table of
/// the Internet has them.
pub fn table(prefixes: usize) -> Vec<(AttrsBuf, Vec<Ipv4Net>)> {
    let mut state = 7;
    let mut all = Vec::new();
    let mut made = 0;
    while made < prefixes {
        let mut attrs = AttrsBuf::new(NextHop::V4(Ipv4Addr::UNSPECIFIED), Origin::Igp);
        for _ in 0..2 + next(&mut state) % 4 {
            attrs.prepend_as(Asn(1000 + (next(&mut state) % 70_000) as u32), 1);
        }
        if next(&mut state).is_multiple_of(2) {
            let high = (next(&mut state) % 60_000) as u32;
            attrs.community_add(&[high << 16 | 1, high << 16 | 2, high << 16 | 3]);
        }
        // Half have one prefix only.
        let n = 1 + match next(&mut state) % 8 {
            0..=3 => 0,
            4..=6 => next(&mut state) % 10,
            _ => next(&mut state) % 140,
        };
        let nets = (0..n)
            .map(|_| {
                made += 1;
                // A bijection on the first 24 bits: no doubles.
                let bits = (made as u32).wrapping_mul(0x9e37_79b1) & 0x00ff_ffff;
                Ipv4Net::new(Ipv4Addr::from(bits << 8), 24).unwrap()
            })
            .collect();
        all.push((attrs, nets));
    }
    all
}

pub fn spec(number: u16, kind: SessionKind) -> PeerSpec {
    let own = Ipv4Addr::new(10, 0, 0, 1);
    PeerSpec {
        group: None,
        address: IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + u32::from(number))),
        asn: match kind {
            SessionKind::External => Asn(64_512 + u32::from(number)),
            _ => Asn(65_000),
        },
        router_id: RouterId(0x0a01_0000 + u32::from(number)),
        local_asn: Asn(65_000),
        local_address: own.into(),
        local_link_local: None,
        interface: None,
        link: 0,
        own_next_hop: [Some(NextHop::V4(own)), None],
        kind,
        add_path_receive: [false; 2],
        add_path_send: [None; 2],
        families: [true, false],
        extended_next_hop: false,
        as4: true,
        enhanced_refresh: false,
        sends_end_of_rib: false,
        max_message: 4096,
        import: [PolicyRef::accept_all(), PolicyRef::accept_all()],
        export: [PolicyRef::accept_all(), PolicyRef::accept_all()],
        limit_in: [None; 2],
        limit_out: [None; 2],
        next_hop_self: false,
        weight: 0,
        default_originate: [None, None],
        shared_subnet: false,
        import_rules: ImportRules {
            enforce_first_as: false,
            ..ImportRules::default()
        },
        export_rules: ExportRules::default(),
    }
}

pub fn updates(table: &[(AttrsBuf, Vec<Ipv4Net>)], spec: &PeerSpec) -> Vec<Update> {
    let mut encoder = UpdateEncoder::new(spec.max_message, spec.as4);
    let mut out = Vec::new();
    let IpAddr::V4(address) = spec.address else {
        panic!("an IPv4 peer");
    };
    for (attrs, nets) in table {
        let mut attrs = attrs.clone();
        attrs.next_hop = NextHop::V4(address);
        if spec.kind.is_external() {
            attrs.prepend_as(spec.asn, 1);
        } else {
            attrs.set_local_pref(Some(100));
        }
        let mut frames = BytesMut::new();
        encoder
            .announce_v4(attrs.as_ref(), nets.iter().copied(), &mut frames)
            .unwrap();
        let context = DecodeContext {
            as4: spec.as4,
            external: spec.kind.is_external(),
            extended_next_hop: false,
            families: spec.families,
            add_path: [false; 2],
        };
        while let Some(frame) = split_frame(&mut frames, 4096).unwrap() {
            out.push(decode_update(frame.body, context).unwrap());
        }
    }
    out
}
