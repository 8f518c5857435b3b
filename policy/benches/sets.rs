//! What large sets cost a route: a whole evaluation, the attribute part and one
//! prefix, by a rule without a set, and by one whose set has ten thousand
//! entries, of which none or one is what the route has.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use godwit_bgp::attrs::{AttrsBuf, Origin, code, flag};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use godwit_policy::route::{
    CommunityPattern, Direction, MatchSpec, Neighbour, NumberRange, PeerContext, PolicyRef,
    PolicySet, PolicySetSpec, PrefixRange, Route, RuleSpec, Source, SourceKind, Then,
};
use ipnet::Ipv4Net;

const ENTRIES: u32 = 10_000;

/// Rejects what fits, and accepts the rest.
fn policy(prefixes: Vec<PrefixRange>, matches: MatchSpec) -> PolicyRef {
    let rule = |matches, then| RuleSpec {
        matches,
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

/// Routes as the table of the internet has them: five AS numbers, four standard
/// communities, and one each of the other kinds. What differs among them is in
/// no set.
fn routes() -> Vec<AttrsBuf> {
    (0..64)
        .map(|n| {
            let mut attrs = AttrsBuf::new(NextHop::V4([192, 0, 2, 1].into()), Origin::Igp);
            for asn in [65100, 65101, 65102, 65103 + 16 * n, 65104] {
                attrs.prepend_as(Asn(asn), 1);
            }
            attrs.community_add(&[
                0xfde8_7530 + n,
                0xfde8_7630 + n,
                0xfde8_7730 + n,
                0xfde8_0004,
            ]);
            let optional = flag::OPTIONAL | flag::TRANSITIVE;
            let route_target = [0, 2, 0xfd, 0xe8, 0, 0, 0, 9];
            attrs.set(code::EXT_COMMUNITIES, optional, &route_target);
            let large = [65000, n, 7].map(u32::to_be_bytes);
            attrs.set(code::LARGE_COMMUNITIES, optional, large.as_flattened());
            attrs
        })
        .collect()
}

/// Prefixes all over: one in cache would say little.
fn net(i: u32) -> Ipv4Net {
    Ipv4Net::new_assert((i.wrapping_mul(3_266_489_917) & !0xff).into(), 24)
}

/// One entry more of a kind of set, by its number; `None`: one that fits all
/// routes.
type Entry = fn(&mut MatchSpec, Option<u32>);

fn community(matches: &mut MatchSpec, text: &str) {
    let pattern = text.parse::<CommunityPattern>().expect("a pattern");
    matches.communities.push(pattern);
}

fn as_path(matches: &mut MatchSpec, text: &str) {
    matches.as_path.push(text.parse().expect("a pattern"));
}

const KINDS: [(&str, Entry); 12] = [
    ("communities", |m, i| {
        let i = i.map(|i| format!("{}:{}", 1 + i / 5000, i % 5000));
        community(m, i.as_deref().unwrap_or("65000:4"));
    }),
    ("communities `N:*`", |m, i| {
        community(m, &format!("{}:*", i.map_or(65000, |i| 1 + i)));
    }),
    ("communities `*:N`", |m, i| {
        community(m, &format!("*:{}", i.map_or(4, |i| 10_000 + i)));
    }),
    ("large communities `N:*:*`", |m, i| {
        community(m, &format!("{}:*:*", i.map_or(65000, |i| 100_000 + i)));
    }),
    ("route targets `rt:N:*`", |m, i| {
        community(m, &format!("rt:{}:*", i.map_or(65000, |i| 1 + i)));
    }),
    ("expressions `/^N:1..$/`", |m, i| {
        let i = i.map(|i| format!("/^{}:1..$/", 1 + i));
        community(m, i.as_deref().unwrap_or("/^65000:.$/"));
    }),
    ("AS paths `_N_`", |m, i| {
        as_path(m, &format!("_{}_", i.map_or(65100, |i| 100_000 + i)));
    }),
    ("AS paths `^N .* M$`", |m, i| {
        let [first, last] = i.map_or([65104, 65100], |i| [65104, 100_000 + i]);
        as_path(m, &format!("^{first} .* {last}$"));
    }),
    ("AS paths `^N . [M M+1]`", |m, i| {
        let [first, other] = i.map_or([65104, 65102], |i| [100_000 + i, 65102]);
        as_path(m, &format!("^{first} . [{other} {}]", other + 1));
    }),
    ("origin AS", |m, i| {
        let asn = i.map_or(65100, |i| 100_000 + 2 * i);
        m.origin_as.push(NumberRange::one(asn));
    }),
    ("next hops", |m, i| {
        let net = i.map_or(Ipv4Net::new_assert([192, 0, 2, 0].into(), 24), net);
        m.next_hop.push(PrefixRange::exact(net.into()));
    }),
    // The set itself is the same for all.
    ("prefixes", |m, _| m.prefix_sets = vec!["s".into()]),
];

fn sets(criterion: &mut Criterion) {
    let routes = routes();
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
    let mut measure = |name: &str, policy: &PolicyRef, nets: u32| {
        let nets: Vec<Ipv4Net> = (nets..nets + 4096).map(net).collect();
        let mut next = 0;
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                next = (next + 1) & 4095;
                let route = Route {
                    peer: &peer,
                    source: &source,
                    attrs: routes[next & 63].as_ref(),
                };
                let mut residual = policy.0.specialise(black_box(&route));
                residual.pick_v4(nets[next])
            });
        });
    };
    let elsewhere = 2 * ENTRIES;
    let without = MatchSpec {
        origin: vec![Origin::Incomplete],
        ..MatchSpec::default()
    };
    measure("no set", &policy(Vec::new(), without), elsewhere);
    for (name, entry) in KINDS {
        let prefixes = (0..ENTRIES).map(|i| PrefixRange::exact(net(i).into()));
        let prefixes: Vec<PrefixRange> = prefixes.collect();
        let mut matches = MatchSpec::default();
        (0..ENTRIES).for_each(|i| entry(&mut matches, Some(i)));
        let miss = policy(prefixes.clone(), matches.clone());
        measure(&format!("{name}, none fits"), &miss, elsewhere);
        entry(&mut matches, None);
        let hit = policy(prefixes, matches);
        measure(&format!("{name}, one fits"), &hit, 0);
    }
    // Where nothing but prefixes is asked for there is no attribute part.
    let in_set = MatchSpec {
        prefix_sets: vec!["s".into()],
        ..MatchSpec::default()
    };
    let empty = policy(Vec::new(), in_set);
    measure("prefixes, empty set", &empty, elsewhere);
}

criterion_group! {
    name = benches;
    // Two dozen of them: a minute in all.
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = sets
}
criterion_main!(benches);
