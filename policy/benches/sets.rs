//! What large sets cost a route: a whole evaluation, the attribute part and one
//! prefix, with an empty set and with one of ten thousand entries.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use godwit_bgp::attrs::{AttrsBuf, Origin};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use godwit_policy::route::{
    Direction, MatchSpec, Neighbour, NumberRange, PeerContext, PolicyRef, PolicySet, PolicySetSpec,
    PrefixRange, Route, RuleSpec, SetSpec, Source, SourceKind, Then,
};
use ipnet::Ipv4Net;

const ENTRIES: u32 = 10_000;

/// Rejects what the set has, and accepts the rest.
fn policy(prefixes: Vec<PrefixRange>, matches: MatchSpec) -> PolicyRef {
    let rule = |matches, then| RuleSpec {
        matches,
        sets: SetSpec::default(),
        then: Some(then),
        ..RuleSpec::default()
    };
    let mut spec = PolicySetSpec::default();
    spec.prefix_sets.insert("s".into(), prefixes);
    let rules = vec![
        rule(matches, Then::Reject),
        rule(MatchSpec::default(), Then::Accept),
    ];
    spec.policies.insert("p".into(), rules);
    let set = PolicySet::compile(&spec).expect("it is right");
    set.chain(&["p"]).expect("it is there")
}

/// A route as the table of the internet has them.
fn attrs() -> AttrsBuf {
    let mut attrs = AttrsBuf::new(NextHop::V4([192, 0, 2, 1].into()), Origin::Igp);
    for asn in [65100, 65101, 65102, 65103, 65104] {
        attrs.prepend_as(Asn(asn), 1);
    }
    attrs.community_add(&[0xfde8_0001, 0xfde8_0002, 0xfde8_0003, 0xfde8_0004]);
    attrs
}

fn sets(criterion: &mut Criterion) {
    let attrs = attrs();
    let neighbour = Arc::new(Neighbour {
        address: [192, 0, 2, 1].into(),
        asn: Asn(65104),
        group: None,
        interface: None,
    });
    let kind = SessionKind::External;
    let peer = PeerContext {
        direction: Direction::Import,
        neighbour: Arc::clone(&neighbour),
        kind,
        local_asn: Asn(64512),
        own_next_hop: None,
        family: Family::Ipv4Unicast,
    };
    let source = Source {
        kind: SourceKind::Peer(kind),
        neighbour: Some(neighbour),
    };
    let route = Route {
        peer: &peer,
        source: &source,
        attrs: attrs.as_ref(),
    };
    let mut measure = |name: &str, policy: &PolicyRef| {
        // Prefixes all over: one in cache would say little.
        let nets: Vec<Ipv4Net> = (0..4096u32)
            .map(|i| Ipv4Net::new_assert((i.wrapping_mul(2_654_435_761) & !0xff).into(), 24))
            .collect();
        let mut next = 0;
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                next = (next + 1) & 4095;
                let mut residual = policy.0.specialise(black_box(&route));
                residual.pick_v4(nets[next])
            });
        });
    };
    for (size, count) in [("one entry", 1), ("10,000 entries", ENTRIES)] {
        let in_set = MatchSpec {
            prefix_sets: vec!["s".into()],
            ..MatchSpec::default()
        };
        let prefixes = (0..count).map(|i| {
            let address = i.wrapping_mul(3_266_489_917) & !0xff;
            PrefixRange::exact(Ipv4Net::new_assert(address.into(), 24).into())
        });
        measure(
            &format!("prefix set, {size}"),
            &policy(prefixes.collect(), in_set),
        );

        let communities = (0..count).map(|i| format!("{}:{}", 1 + i / 5000, i % 5000));
        let carries = MatchSpec {
            communities: communities
                .map(|c| c.parse().expect("a community"))
                .collect(),
            ..MatchSpec::default()
        };
        measure(
            &format!("community set, {size}"),
            &policy(Vec::new(), carries),
        );

        let wild = (0..count).map(|i| format!("{}:*", 1 + i));
        let carries = MatchSpec {
            communities: wild.map(|c| c.parse().expect("a pattern")).collect(),
            ..MatchSpec::default()
        };
        measure(
            &format!("community wildcards, {size}"),
            &policy(Vec::new(), carries),
        );

        let through = (0..count).map(|i| format!("_{}_", 100_000 + i));
        let through = MatchSpec {
            as_path: through.map(|p| p.parse().expect("a pattern")).collect(),
            ..MatchSpec::default()
        };
        measure(
            &format!("AS path set, {size}"),
            &policy(Vec::new(), through),
        );

        let origins = MatchSpec {
            origin_as: (0..count)
                .map(|i| NumberRange::one(100_000 + 2 * i))
                .collect(),
            ..MatchSpec::default()
        };
        measure(
            &format!("origin AS set, {size}"),
            &policy(Vec::new(), origins),
        );
    }
}

criterion_group!(benches, sets);
criterion_main!(benches);
