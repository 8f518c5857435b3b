//! Drawing by lot, repeatably.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use godwit_bgp::attrs::{AttrsBuf, CommunityKinds, Origin, RemovePrivate, code, community, flag};
use godwit_bgp::community::{Community, ExtCommunity, StandardCommunity};
use godwit_bgp::{Asn, Family, NextHop, PathId, Role, RouterId, SendPaths, SessionKind};
use godwit_policy::route::{
    Amount, CommunityPattern, MatchSpec, NeighbourMatch, NextHopSpec, PolicyRef, PolicySet,
    PolicySetSpec, Prepend, RuleSpec, SetSpec, SourceMatch, Then,
};
use godwit_rib::{
    Aggregate, Condition, Counted, DefaultOriginate, Drain, ExportRules, ImportRules, PeerSpec,
    PrefixLimit, RibConfig,
};
use ipnet::IpNet;

/// SplitMix64.
pub struct Lot(u64);

impl Lot {
    pub fn new(seed: u64) -> Lot {
        Lot(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

pub const OUR_AS: Asn = Asn(65000);
pub const OUR_ID: RouterId = RouterId(0x0a00_0001);

pub fn config(lot: &mut Lot) -> RibConfig {
    RibConfig {
        asn: OUR_AS,
        router_id: OUR_ID,
        cluster_id: lot.pick(&[OUR_ID, RouterId(77)]),
        max_paths_external: lot.pick(&[1, 2, 4]),
        max_paths_internal: lot.pick(&[1, 3]),
        multipath_relax: lot.one_in(2),
        link_bandwidth: lot.one_in(2),
        drain: lot.pick(&[
            Drain::No,
            Drain::No,
            Drain::No,
            Drain::LastChoice,
            Drain::Withdrawn,
        ]),
        require_next_hop: lot.one_in(2),
        fib: !lot.one_in(4),
    }
}

pub fn prefixes() -> Vec<IpNet> {
    let v4 = (0..14).map(|i| format!("10.{}.{i}.0/{}", i / 3, 24 - i % 3));
    let v6 = (0..8).map(|i| format!("2001:db8:{i}::/{}", 48 - i % 2));
    let all = v4.chain(v6).chain(["0.0.0.0/0".into(), "::/0".into()]);
    all.map(|net| net.parse::<IpNet>().unwrap().trunc())
        .collect()
}

/// Links that peers may be on.
pub const LINKS: [u32; 2] = [2, 3];

pub fn next_hops(family: Family) -> Vec<NextHop> {
    match family {
        Family::Ipv4Unicast => (1..5)
            .map(|i| NextHop::V4(Ipv4Addr::new(192, 0, 2, i)))
            // Ours, while there is a peer on that subnet: not to be used.
            .chain([NextHop::V4(Ipv4Addr::new(198, 51, 100, 1))])
            .collect(),
        Family::Ipv6Unicast => {
            let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
            let mut all: Vec<NextHop> = (1..4)
                .map(|i| NextHop::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, i)))
                .collect();
            let global = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 9);
            let ours = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
            for (global, link_local) in [
                (global, link_local),
                (Ipv6Addr::UNSPECIFIED, link_local),
                (Ipv6Addr::UNSPECIFIED, ours),
            ] {
                all.push(NextHop::V6WithLinkLocal(global, link_local, 0));
            }
            all
        }
    }
}

/// Attributes as a peer of this kind might send them.
pub fn attrs(lot: &mut Lot, family: Family, spec: &PeerSpec) -> AttrsBuf {
    let origin = lot.pick(&[Origin::Igp, Origin::Igp, Origin::Egp, Origin::Incomplete]);
    let mut hops = next_hops(family);
    if spec.extended_next_hop {
        hops.extend(next_hops(Family::Ipv6Unicast));
    }
    let mut buf = AttrsBuf::new(lot.pick(&hops), origin);
    for _ in 0..lot.below(3) {
        let asn = lot.pick(&[65101, 65102, 65103, 400_000, 65000]);
        // Our own number would make most paths loops.
        if asn != 65000 || lot.one_in(4) {
            buf.prepend_as(Asn(asn), 1);
        }
    }
    let external = spec.kind.is_external();
    if lot.one_in(8) {
        // A set at the far end.
        let mut path = buf.as_ref().as_path().bytes().to_vec();
        let asn = lot.pick(&[65101u32, 400_000]);
        path.extend([1, 2]);
        path.extend(asn.to_be_bytes());
        path.extend(65102u32.to_be_bytes());
        buf.set(code::AS_PATH, flag::TRANSITIVE, &path);
    }
    if lot.one_in(4) {
        buf.set_only_to_customer(Asn(lot.pick(&[65101, 65102, 400_000])));
    }
    if lot.one_in(4) {
        let local = [0x40, 4, 0, 1, 0, 0, 0, 0];
        let list = [&local[..], &[0, 2, 0, 1, 0, 0, 0, 7]].concat();
        let list = lot.pick(&[local.to_vec(), list]);
        buf.set(
            code::EXT_COMMUNITIES,
            flag::OPTIONAL | flag::TRANSITIVE,
            &list,
        );
    }
    if external {
        if !lot.one_in(12) {
            buf.prepend_as(spec.asn, 1);
        }
    } else {
        buf.set_local_pref(Some(lot.pick(&[100, 100, 200])));
        if lot.one_in(3) {
            let id = lot.pick(&[RouterId(5), RouterId(6), OUR_ID]);
            buf.set_originator_id(id);
            buf.prepend_cluster(lot.pick(&[RouterId(77), RouterId(78), RouterId(79)]));
            if lot.one_in(2) {
                buf.prepend_cluster(RouterId(80));
            }
        }
    }
    if lot.one_in(2) {
        buf.set_med(Some(lot.below(3) as u32));
    }
    let community = lot.pick(&[
        None,
        None,
        None,
        Some(community::NO_EXPORT),
        Some(community::NO_ADVERTISE),
        Some(community::NO_EXPORT_SUBCONFED),
        Some(community::BLACKHOLE),
        Some(community::GRACEFUL_SHUTDOWN),
        Some(65000 << 16 | 1),
        Some(65000 << 16 | 2),
    ]);
    if let Some(community) = community {
        buf.community_add(&[community]);
    }
    if lot.one_in(3) {
        let octets = lot.pick(&[0.0, 1e6, 2.5e6, 1e9]);
        let bandwidth = ExtCommunity::from_link_bandwidth(spec.asn, octets, lot.one_in(4));
        let mut list = bandwidth.0.to_vec();
        if lot.one_in(2) {
            list.extend([0x40, 2, 0, 1, 0, 0, 0, 1]);
        }
        buf.set(
            code::EXT_COMMUNITIES,
            flag::OPTIONAL | flag::TRANSITIVE,
            &list,
        );
    }
    match lot.below(8) {
        0 => buf.set(99, flag::OPTIONAL | flag::TRANSITIVE, &[1, 2, 3]),
        1 => buf.set(100, flag::OPTIONAL, &[4, 5]),
        2 => buf.set(code::ATOMIC_AGGREGATE, flag::TRANSITIVE, &[]),
        _ => {}
    }
    buf
}

pub fn spec(lot: &mut Lot, number: u8) -> PeerSpec {
    let kind = lot.pick(&[
        SessionKind::External,
        SessionKind::External,
        SessionKind::Internal,
        SessionKind::InternalClient,
    ]);
    let asn = match kind {
        SessionKind::External => Asn(lot.pick(&[65101, 65102, 65103])),
        _ => OUR_AS,
    };
    let local: Ipv4Addr = lot.pick(&[
        Ipv4Addr::new(198, 51, 100, 1),
        Ipv4Addr::new(203, 0, 113, 1),
    ]);
    let own_v6 = lot.pick(&[
        None,
        Some(NextHop::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1))),
        Some(NextHop::V6WithLinkLocal(
            Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9),
            0,
        )),
    ]);
    let extended_next_hop = lot.one_in(3);
    let own_v4 = match own_v6 {
        Some(own) if extended_next_hop && lot.one_in(2) => own,
        _ => NextHop::V4(local),
    };
    let families = lot.pick(&[[true, true], [true, true], [true, false], [false, true]]);
    PeerSpec {
        group: lot.pick(&[None, Some("blue"), Some("red")]).map(Into::into),
        address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10 + number)),
        asn,
        router_id: RouterId(lot.pick(&[5, 6, 7, 8])),
        local_asn: if kind.is_external() && lot.one_in(4) {
            Asn(64999)
        } else {
            OUR_AS
        },
        local_address: local.into(),
        local_link_local: own_v6.and_then(|own| own.link_local()),
        interface: None,
        link: lot.pick(&[0, LINKS[0], LINKS[1]]),
        own_next_hop: [Some(own_v4), own_v6],
        kind,
        extended_next_hop,
        families,
        add_path_receive: families.map(|on| on && lot.one_in(2)),
        add_path_send: families.map(|on| (on && lot.one_in(2)).then(|| send_paths(lot))),
        as4: !lot.one_in(4),
        enhanced_refresh: lot.one_in(2),
        sends_end_of_rib: false,
        max_message: lot.pick(&[4096, 65535]),
        import: [policy(lot), policy(lot)],
        export: [policy(lot), policy(lot)],
        limit_in: [limit(lot), limit(lot)],
        limit_out: [None; 2],
        next_hop_self: lot.one_in(3),
        shared_subnet: lot.one_in(3),
        weight: lot.pick(&[0, 0, 0, 5, 40_000]),
        default_originate: [default_originate(lot), default_originate(lot)],
        import_rules: import_rules(lot),
        export_rules: export_rules(lot),
    }
}

fn default_originate(lot: &mut Lot) -> Option<DefaultOriginate> {
    let when = lot.pick(&[None, Some("10.0.0.0/15{16,24}"), Some("2001:db8::/47+")]);
    lot.one_in(3).then(|| DefaultOriginate {
        when: when.map(|range| Condition::new(vec![range.parse().unwrap()])),
        policy: policy(lot),
    })
}

pub fn limit(lot: &mut Lot) -> Option<PrefixLimit> {
    let max = 1 + lot.below(8) as u32;
    lot.one_in(4).then(|| PrefixLimit {
        max,
        warn_from: max * 8 / 10,
        count: lot.pick(&[Counted::Received, Counted::Accepted]),
        enforced: !lot.one_in(4),
    })
}

/// Of prefixes that no peer announces, some within others.
const AGGREGATED: [&str; 4] = ["10.0.0.0/8", "10.0.0.0/14", "10.2.0.0/15", "2001:db8::/40"];

pub fn aggregated(lot: &mut Lot) -> IpNet {
    lot.pick(&AGGREGATED).parse().unwrap()
}

pub fn aggregates(lot: &mut Lot) -> Vec<Aggregate> {
    let some = AGGREGATED.iter().filter(|_| lot.one_in(2));
    let prefixes: Vec<IpNet> = some.map(|net| net.parse().unwrap()).collect();
    let aggregate = |prefix| Aggregate {
        prefix,
        summary_only: lot.one_in(2),
        blackhole: lot.one_in(2),
    };
    prefixes.into_iter().map(aggregate).collect()
}

fn role(lot: &mut Lot) -> Option<Role> {
    lot.one_in(2).then(|| lot.pick(&Role::ALL))
}

pub fn import_rules(lot: &mut Lot) -> ImportRules {
    ImportRules {
        allow_as_in: lot.pick(&[0, 0, 1]),
        no_prepend: lot.one_in(2),
        enforce_first_as: !lot.one_in(3),
        accept_as_set: lot.one_in(2),
        max_as_path: lot.pick(&[750, 750, 3]),
        role: role(lot),
        blackhole_community: lot.one_in(2),
        graceful_shutdown: lot.one_in(2),
    }
}

pub fn export_rules(lot: &mut Lot) -> ExportRules {
    let some = CommunityKinds {
        extended: false,
        ..CommunityKinds::ALL
    };
    ExportRules {
        replace_as: lot.one_in(2),
        remove_private: lot.pick(&[
            RemovePrivate::No,
            RemovePrivate::No,
            RemovePrivate::IfAlone,
            RemovePrivate::All,
            RemovePrivate::ReplaceIfAlone,
            RemovePrivate::ReplaceAll,
        ]),
        as_override: lot.one_in(4),
        role: role(lot),
        communities: lot.pick(&[CommunityKinds::ALL, some, CommunityKinds::NONE]),
    }
}

/// Few, so that they meet; 0 is one like any other (RFC 7911 §3).
pub fn path_id(lot: &mut Lot) -> PathId {
    lot.pick(&[PathId(0), PathId(1), PathId(7), PathId(u32::MAX)])
}

pub fn send_paths(lot: &mut Lot) -> SendPaths {
    let best = |n| SendPaths::Best(NonZeroU16::new(n).unwrap());
    lot.pick(&[
        best(1),
        best(2),
        best(3),
        best(6),
        SendPaths::All,
        SendPaths::Ecmp,
    ])
}

/// A policy of a small pool, so that peers share some.
pub fn policy(lot: &mut Lot) -> PolicyRef {
    let spec = policies();
    let set = PolicySet::compile(&spec).unwrap();
    let names: Vec<&String> = spec.policies.keys().collect();
    match lot.below(8) {
        0 => PolicyRef::reject_all(),
        1..=3 => PolicyRef::accept_all(),
        _ => {
            let a = lot.pick(&names);
            let b = lot.pick(&names);
            set.chain(&[a.as_str(), b.as_str(), "accept-all"]).unwrap()
        }
    }
}

fn policies() -> PolicySetSpec {
    let rule = |matches: MatchSpec, sets: SetSpec, then: Option<Then>| RuleSpec {
        matches,
        sets,
        then,
        ..RuleSpec::default()
    };
    let nets = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect();
    let one = Community::Standard(StandardCommunity(65000 << 16 | 1));
    let two = Community::Standard(StandardCommunity(65000 << 16 | 2));
    let mut spec = PolicySetSpec::default();
    spec.prefix_sets.insert(
        "low".into(),
        nets(&["10.0.0.0/14{14,32}", "2001:db8::/46+"]),
    );
    let in_low = MatchSpec {
        prefix_sets: vec!["low".into()],
        ..MatchSpec::default()
    };
    let with_one = MatchSpec {
        communities: vec![CommunityPattern::Exactly(one)],
        ..MatchSpec::default()
    };
    let from_one = MatchSpec {
        neighbours: vec![NeighbourMatch::Asn(Asn(65101))],
        ..MatchSpec::default()
    };
    let any = MatchSpec::default;
    let mut add = |name: &str, rules| spec.policies.insert(name.into(), rules);
    add(
        "prefer-low",
        vec![rule(
            in_low.clone(),
            SetSpec {
                local_pref: Some(Amount::Exactly(150)),
                med: Some(Amount::Exactly(7)),
                ..SetSpec::default()
            },
            Some(Then::Next),
        )],
    );
    add(
        "no-low",
        vec![rule(in_low, SetSpec::default(), Some(Then::Reject))],
    );
    add(
        "no-one",
        vec![rule(with_one, SetSpec::default(), Some(Then::Reject))],
    );
    add(
        "tag",
        vec![rule(
            any(),
            SetSpec {
                community_add: vec![two],
                prepend: vec![Prepend::Local(2)],
                ..SetSpec::default()
            },
            None,
        )],
    );
    add(
        "self",
        vec![rule(
            from_one,
            SetSpec {
                next_hop: Some(NextHopSpec::Own),
                community_set: Some(vec![one]),
                ..SetSpec::default()
            },
            Some(Then::Accept),
        )],
    );
    let of = |source: Vec<SourceMatch>| MatchSpec {
        source,
        ..MatchSpec::default()
    };
    let group = SourceMatch::Neighbour(NeighbourMatch::Group("blue".into()));
    add(
        "not-blue",
        vec![rule(
            of(vec![group]),
            SetSpec::default(),
            Some(Then::Reject),
        )],
    );
    add(
        "worse-inside",
        vec![rule(
            of(vec![SourceMatch::Internal, SourceMatch::Local]),
            SetSpec {
                med: Some(Amount::Plus(5)),
                weight: Some(Amount::Plus(1)),
                next_hop: Some(NextHopSpec::PeerAddress),
                ..SetSpec::default()
            },
            Some(Then::Next),
        )],
    );
    add(
        "short",
        vec![rule(
            MatchSpec {
                as_path: vec!["^. .$".parse().unwrap()],
                ..MatchSpec::default()
            },
            SetSpec {
                local_pref: Some(Amount::Minus(30)),
                ..SetSpec::default()
            },
            None,
        )],
    );
    spec
}
