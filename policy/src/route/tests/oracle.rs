//! The compiled chains against a naive interpreter.

use std::collections::BTreeSet;

use godwit_bgp::attrs::{AttrsRef, Local, Origin, SegmentKind, code, flag};
use godwit_bgp::community::{ExtCommunity, Ipv6ExtCommunity, LargeCommunity, StandardCommunity};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use super::super::edits::communities;
use super::super::*;
use super::{Community, LOCAL, OWN, apply, neighbour, peer, route};

/// A route as the naive interpreter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    local_pref: Option<u32>,
    med: Option<u32>,
    origin: Origin,
    communities: BTreeSet<Community>,
    /// A set is one place of several numbers.
    path: Vec<Vec<u32>>,
    next_hop: NextHop,
    local: Local,
}

impl Model {
    fn read(attrs: AttrsRef<'_>) -> Model {
        let segments = attrs.as_path().segments();
        let path = segments.flat_map(|segment| {
            let asns: Vec<u32> = segment.asns().map(|asn| asn.0).collect();
            match segment.kind {
                SegmentKind::Sequence => asns.into_iter().map(|asn| vec![asn]).collect(),
                _ => vec![asns],
            }
        });
        Model {
            local_pref: attrs.local_pref(),
            med: attrs.med(),
            origin: attrs.origin(),
            communities: communities(attrs).collect(),
            path: path.collect(),
            next_hop: attrs.next_hop,
            local: attrs.local(),
        }
    }
}

/// All that a rule is held against.
struct Case<'a> {
    spec: &'a PolicySetSpec,
    peer: &'a PeerContext,
    source: &'a Source,
    net: IpNet,
}

/// Whether a pattern is found, by trying every way.
fn path_matches(pattern: &str, path: &[Vec<u32>]) -> bool {
    let has = |at: usize, asn: u32| path.get(at).is_some_and(|p| p.contains(&asn));
    let n = path.len();
    match pattern {
        "_1_" => (0..n).any(|at| has(at, 1)),
        "^2" => has(0, 2),
        "3$" => n > 0 && has(n - 1, 3),
        "^$" => n == 0,
        "^65000$" => n == 1 && has(0, 65000),
        "^2 .* 3$" => n >= 2 && has(0, 2) && has(n - 1, 3),
        "1 (2|3)+ 4?$" => (0..n).any(|at| {
            let run = |to: usize| to > at + 1 && (at + 1..to).all(|i| has(i, 2) || has(i, 3));
            has(at, 1) && (run(n) || (has(n.max(1) - 1, 4) && run(n - 1)))
        }),
        "[^1-3]{2}" => (1..n).any(|at| {
            [at - 1, at]
                .iter()
                .all(|i| path[*i].iter().any(|asn| !(1..=3).contains(asn)))
        }),
        other => panic!("{other}"),
    }
}

const PATHS: [&str; 8] = [
    "_1_",
    "^2",
    "3$",
    "^$",
    "^65000$",
    "^2 .* 3$",
    "1 (2|3)+ 4?$",
    "[^1-3]{2}",
];

/// Each condition that is given, and whether it holds.
fn conditions(m: &MatchSpec, case: &Case<'_>, r: &Model) -> Vec<bool> {
    let Case {
        spec,
        peer,
        source,
        net,
    } = case;
    let mut out = Vec::new();
    let mut given = |given: bool, holds: bool| {
        if given {
            out.push(holds);
        }
    };
    given(
        !m.prefix_sets.is_empty(),
        (m.prefix_sets.iter()).any(|set| spec.prefix_sets[set].iter().any(|r| r.contains(net))),
    );
    given(m.family.is_some(), m.family == Some(peer.family));
    let carried = |p: &CommunityPattern| r.communities.iter().any(|c| p.matches(*c));
    given(!m.communities.is_empty(), m.communities.iter().any(carried));
    given(
        !m.communities_all.is_empty(),
        m.communities_all.iter().all(carried),
    );
    given(
        !m.as_path.is_empty(),
        (m.as_path.iter()).any(|p| path_matches(&p.to_string(), &r.path)),
    );
    let within = |range: Option<NumberRange>, n: u32| range.is_some_and(|r| r.contains(n));
    given(
        m.as_path_length.is_some(),
        within(m.as_path_length, r.path.len() as u32),
    );
    let one_of = |ranges: &[NumberRange], place: Option<&Vec<u32>>| {
        let mut asns = place.into_iter().flatten();
        asns.any(|asn| ranges.iter().any(|r| r.contains(*asn)))
    };
    given(!m.origin_as.is_empty(), one_of(&m.origin_as, r.path.last()));
    given(!m.first_as.is_empty(), one_of(&m.first_as, r.path.first()));
    let hop = r.next_hop.address();
    given(
        !m.next_hop.is_empty(),
        (m.next_hop.iter()).any(|range| range.prefix().contains(&hop)),
    );
    given(!m.origin.is_empty(), m.origin.contains(&r.origin));
    given(m.med.is_some(), within(m.med, r.med.unwrap_or(0)));
    given(
        m.local_pref.is_some(),
        within(m.local_pref, r.local_pref.unwrap_or(100)),
    );
    given(m.weight.is_some(), within(m.weight, r.local.weight));
    let is = |n: &Neighbour, wanted: &NeighbourMatch| match wanted {
        NeighbourMatch::Address(address) => n.address == *address,
        NeighbourMatch::Asn(asn) => n.asn == *asn,
        NeighbourMatch::Group(group) => n.group.as_deref() == Some(group),
    };
    given(
        !m.source.is_empty(),
        m.source.iter().any(|wanted| match (wanted, source.kind) {
            (SourceMatch::Local, kind) => kind == SourceKind::Local,
            (SourceMatch::Aggregate, kind) => kind == SourceKind::Aggregate,
            (SourceMatch::External, SourceKind::Peer(kind)) => kind == SessionKind::External,
            (SourceMatch::Internal, SourceKind::Peer(kind)) => kind != SessionKind::External,
            (SourceMatch::Client, SourceKind::Peer(kind)) => kind == SessionKind::InternalClient,
            (SourceMatch::Neighbour(wanted), _) => {
                source.neighbour.as_ref().is_some_and(|n| is(n, wanted))
            }
            _ => false,
        }),
    );
    given(
        !m.neighbours.is_empty(),
        m.neighbours
            .iter()
            .any(|wanted| is(&peer.neighbour, wanted)),
    );
    given(
        !m.interfaces.is_empty(),
        (m.interfaces.iter()).any(|i| peer.neighbour.interface.as_deref() == Some(i)),
    );
    out
}

fn set(s: &SetSpec, peer: &PeerContext, r: &mut Model) {
    let amount = |amount: Option<Amount>, now: u32| {
        amount.map(|amount| match amount {
            Amount::Exactly(n) => n,
            Amount::Plus(n) => u32::try_from(u64::from(now) + u64::from(n)).unwrap_or(u32::MAX),
            Amount::Minus(n) => u32::try_from(i64::from(now) - i64::from(n)).unwrap_or(0),
        })
    };
    r.local_pref = amount(s.local_pref, r.local_pref.unwrap_or(100)).or(r.local_pref);
    r.med = amount(s.med, r.med.unwrap_or(0)).or(r.med);
    r.local.weight = amount(s.weight, r.local.weight).unwrap_or(r.local.weight);
    r.origin = s.origin.unwrap_or(r.origin);
    if let Some(set) = &s.community_set {
        r.communities = set.iter().copied().collect();
    }
    (r.communities).retain(|c| !s.community_remove.iter().any(|p| p.matches(*c)));
    r.communities.extend(&s.community_add);
    match s.next_hop {
        Some(NextHopSpec::Own) => r.next_hop = OWN,
        Some(NextHopSpec::PeerAddress) if peer.direction == Direction::Export => r.next_hop = OWN,
        Some(NextHopSpec::PeerAddress) if peer.family == Family::Ipv4Unicast => {
            r.next_hop = NextHop::V4("10.0.0.254".parse().unwrap());
        }
        Some(NextHopSpec::Address(to)) if Family::of(&to) == peer.family => {
            r.next_hop = match to {
                std::net::IpAddr::V4(a) => NextHop::V4(a),
                std::net::IpAddr::V6(a) => NextHop::V6(a),
            };
        }
        _ => {}
    }
    let ahead = s.prepend.iter().flat_map(|prepend| match prepend {
        Prepend::Local(n) => vec![vec![LOCAL.0]; usize::from(*n)],
        Prepend::Asn(asn) => vec![vec![asn.0]],
    });
    r.path = ahead.chain(r.path.clone()).collect();
    r.local.table = s.kernel_table.or(r.local.table);
    r.local.metric = s.kernel_metric.or(r.local.metric);
    for source in &s.preferred_source {
        if Family::of(source) == peer.family {
            r.local.source = Some(*source);
        }
    }
    r.local.blackhole = s.blackhole.unwrap_or(r.local.blackhole);
}

/// `Some`: decided, and whether for it, by which rule.
fn interpret(case: &Case<'_>, name: &str, r: &mut Model) -> Option<(bool, String)> {
    for (rule, number) in case.spec.policies[name].iter().zip(1..) {
        if conditions(&rule.matches, case, r).contains(&false)
            || conditions(&rule.unless, case, r).contains(&true)
        {
            continue;
        }
        set(&rule.sets, case.peer, r);
        if let Some(call) = &rule.call
            && let Some(decided) = interpret(case, call, r)
        {
            return Some(decided);
        }
        let by = format!("{name} rule {number}");
        match rule.then {
            Some(Then::Accept) => return Some((true, by)),
            Some(Then::Reject) => return Some((false, by)),
            Some(Then::Next) => return None,
            None => {}
        }
    }
    None
}

fn any_community() -> impl Strategy<Value = Community> {
    prop_oneof![
        (0..4u32).prop_map(|n| Community::Standard(StandardCommunity(n))),
        (0..3u32).prop_map(|n| Community::Large(LargeCommunity {
            global: n,
            local1: 0,
            local2: 7
        })),
        (0..3u8).prop_map(|n| Community::Extended(ExtCommunity([n % 2, 2, 0, 1, 0, 0, 0, n]))),
        (0..2u8).prop_map(|n| {
            let mut octets = [0; 20];
            octets[1] = 2;
            octets[19] = n;
            Community::Ipv6Extended(Ipv6ExtCommunity(octets))
        }),
    ]
}

fn any_pattern() -> impl Strategy<Value = CommunityPattern> {
    let wild = prop::sample::select(vec![
        "0:*",
        "*:2",
        "0:1-2",
        "*:*",
        "1:*:*",
        "0-1:0:*",
        "*:0:7",
        "rt:*",
        "rt:1:0",
        "rt:1:0-1",
        "/^0:[12]$/",
        "/:7$/",
    ]);
    prop_oneof![
        any_community().prop_map(CommunityPattern::Exactly),
        wild.prop_map(|text| text.parse().unwrap()),
    ]
}

/// Prefixes crowded into few addresses, so that they nest and touch.
fn any_net() -> impl Strategy<Value = IpNet> {
    let v4 = (0..64u32, 0..=32u8)
        .prop_map(|(top, len)| IpNet::from(Ipv4Net::new((top << 26).into(), len).unwrap()));
    let v6 = (0..64u128, 0..=128u8).prop_map(|(top, len)| {
        IpNet::from(ipnet::Ipv6Net::new((top << 122 | top).into(), len).unwrap())
    });
    prop_oneof![3 => v4, 1 => v6].prop_map(|net| net.trunc())
}

fn any_range() -> impl Strategy<Value = PrefixRange> {
    (any_net(), any::<u8>(), any::<u8>()).prop_map(|(net, a, b)| {
        let (len, span) = (net.prefix_len(), net.max_prefix_len() - net.prefix_len());
        let (a, b) = (len + a % (span + 1), len + b % (span + 1));
        PrefixRange::new(net, a.min(b), a.max(b)).unwrap()
    })
}

fn numbers(below: u32) -> impl Strategy<Value = NumberRange> {
    (0..below, 0..below).prop_map(|(a, b)| NumberRange {
        min: a.min(b),
        max: a.max(b),
    })
}

fn rarely<T: std::fmt::Debug + Clone>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<T>> {
    prop::option::weighted(0.08, prop::collection::vec(of, 1..3))
        .prop_map(Option::unwrap_or_default)
}

fn maybe<T: std::fmt::Debug + Clone>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.08, of)
}

fn any_neighbour() -> impl Strategy<Value = NeighbourMatch> {
    prop_oneof![
        Just(NeighbourMatch::Asn(Asn(65000))),
        Just(NeighbourMatch::Asn(Asn(1))),
        Just(NeighbourMatch::Address("10.0.0.254".parse().unwrap())),
        Just(NeighbourMatch::Group("tor".into())),
        Just(NeighbourMatch::Group("spine".into())),
    ]
}

fn any_match() -> impl Strategy<Value = MatchSpec> {
    let of_route = (
        prop::option::weighted(0.4, prop::collection::vec(0..12u8, 1..3)),
        rarely(any_pattern()),
        rarely(any_pattern()),
        rarely(prop::sample::select(PATHS.to_vec())),
        maybe(numbers(4)),
        rarely(numbers(5)),
        rarely(numbers(5)),
        rarely(any_range()),
        rarely(prop::sample::select(vec![Origin::Igp, Origin::Egp])),
    );
    let rest = (
        maybe(prop::sample::select(Family::ALL.to_vec())),
        maybe(numbers(3)),
        maybe(numbers(200)),
        maybe(numbers(3)),
        rarely(prop_oneof![
            Just(SourceMatch::Local),
            Just(SourceMatch::External),
            Just(SourceMatch::Internal),
            Just(SourceMatch::Client),
            Just(SourceMatch::Aggregate),
            any_neighbour().prop_map(SourceMatch::Neighbour),
        ]),
        rarely(any_neighbour()),
        rarely(prop::sample::select(vec!["eth1".to_owned(), "eth2".into()])),
    );
    (of_route, rest).prop_map(|(r, o)| MatchSpec {
        prefix_sets: (r.0.unwrap_or_default().iter())
            .map(|n| format!("s{n}"))
            .collect(),
        communities: r.1,
        communities_all: r.2,
        as_path: r.3.iter().map(|p| p.parse().unwrap()).collect(),
        as_path_length: r.4,
        origin_as: r.5,
        first_as: r.6,
        next_hop: r.7,
        origin: r.8,
        family: o.0,
        med: o.1,
        local_pref: o.2,
        weight: o.3,
        source: o.4,
        neighbours: o.5,
        interfaces: o.6,
    })
}

fn any_amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        (0..3u32).prop_map(Amount::Exactly),
        Just(Amount::Plus(1)),
        Just(Amount::Plus(u32::MAX)),
        Just(Amount::Minus(1)),
        Just(Amount::Minus(99)),
    ]
}

fn any_set() -> impl Strategy<Value = SetSpec> {
    let address = prop_oneof![
        Just(NextHopSpec::Own),
        Just(NextHopSpec::PeerAddress),
        Just(NextHopSpec::Address("192.0.2.7".parse().unwrap())),
        Just(NextHopSpec::Address("2001:db8::7".parse().unwrap())),
    ];
    let route = (
        maybe(any_amount()),
        maybe(any_amount()),
        maybe(Just(Origin::Egp)),
        prop::option::weighted(0.1, prop::collection::vec(any_community(), 0..3)),
        prop::collection::vec(any_pattern(), 0..2),
        prop::collection::vec(any_community(), 0..2),
        prop::option::weighted(0.3, address),
        prop::collection::vec(
            prop_oneof![
                (0..3u8).prop_map(Prepend::Local),
                (1..5u32).prop_map(|n| Prepend::Asn(Asn(n)))
            ],
            0..2,
        ),
    );
    let local = (
        maybe(any_amount()),
        maybe(1..3u32),
        maybe(1..3u32),
        rarely(prop::sample::select(vec![
            "192.0.2.8".parse().unwrap(),
            "2001:db8::8".parse().unwrap(),
        ])),
        maybe(any::<bool>()),
    );
    (route, local).prop_map(|(r, l)| {
        let mut preferred_source: Vec<std::net::IpAddr> = l.3;
        preferred_source.dedup();
        SetSpec {
            local_pref: r.0,
            med: r.1,
            origin: r.2,
            community_set: r.3,
            community_remove: r.4,
            community_add: r.5,
            next_hop: r.6,
            prepend: r.7,
            weight: l.0,
            kernel_table: l.1,
            kernel_metric: l.2,
            preferred_source,
            blackhole: l.4,
        }
    })
}

/// Of policy `at`: it may call the later ones.
fn any_rule(at: u8) -> impl Strategy<Value = RuleSpec> {
    let then = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Then::Accept)),
        1 => Just(Some(Then::Reject)),
        1 => Just(Some(Then::Next)),
    ];
    let unless = prop::option::weighted(0.3, any_match());
    let call = (any::<u8>(), 0..5u8).prop_map(move |(n, lot)| {
        let later = 2 - at;
        (later > 0 && lot == 0).then(|| at + 1 + n % later)
    });
    (any_match(), unless, any_set(), call, then).prop_map(|(matches, unless, sets, call, then)| {
        RuleSpec {
            matches,
            unless: unless.unwrap_or_default(),
            sets,
            call: call.map(|n| format!("p{n}")),
            then,
        }
    })
}

fn any_policies() -> impl Strategy<Value = PolicySetSpec> {
    let sets = prop::collection::vec(prop::collection::vec(any_range(), 0..4), 12);
    let rules = |at| prop::collection::vec(any_rule(at), 0..8);
    (sets, rules(0), rules(1), rules(2)).prop_map(|(sets, a, b, c)| PolicySetSpec {
        prefix_sets: (0..).map(|i| format!("s{i}")).zip(sets).collect(),
        policies: (0..).map(|i| format!("p{i}")).zip([a, b, c]).collect(),
    })
}

fn any_source() -> impl Strategy<Value = Source> {
    let kind = prop::sample::select(vec![
        SourceKind::Local,
        SourceKind::Aggregate,
        SourceKind::Peer(SessionKind::External),
        SourceKind::Peer(SessionKind::Internal),
        SourceKind::Peer(SessionKind::InternalClient),
    ]);
    (kind, prop::option::of(0..3u32)).prop_map(|(kind, asn)| Source {
        kind,
        neighbour: asn.map(|asn| neighbour(Asn(asn))),
    })
}

proptest! {
    #[test]
    fn a_compiled_prefix_set_holds_what_its_ranges_hold(
        ranges in prop::collection::vec(any_range(), 0..12),
        nets in prop::collection::vec(any_net(), 1..40),
    ) {
        let set = PrefixSet::new(&ranges);
        for net in nets {
            let naive = ranges.iter().any(|range| range.contains(&net));
            prop_assert_eq!(set.contains(&net), naive, "{}", net);
        }
    }

    #[test]
    fn a_compiled_community_set_holds_what_its_patterns_match(
        patterns in prop::collection::vec(any_pattern(), 0..8),
        carried in prop::collection::vec(any_community(), 0..8),
    ) {
        let set = community::CommunitySet::new(&patterns);
        for one in &carried {
            prop_assert_eq!(set.contains(*one), patterns.iter().any(|p| p.matches(*one)));
        }
        let all = patterns.iter().all(|p| carried.iter().any(|c| p.matches(*c)));
        prop_assert_eq!(set.all_in(&carried.iter().copied()), all);
    }

    #[test]
    fn compiled_chains_do_what_the_naive_interpreter_does(
        spec in any_policies(),
        list in prop::collection::vec(0..3u8, 0..4),
        start in any_set(),
        path_set in prop::collection::vec(1..4u32, 0..3),
        source in any_source(),
        export in any::<bool>(),
        nets in prop::collection::vec(any_net(), 1..12),
    ) {
        let list: Vec<String> = list.iter().map(|n| format!("p{n}")).collect();
        let policy = PolicySet::compile(&spec).unwrap().chain(&list).unwrap();
        let mut attrs = route(&[]);
        if !path_set.is_empty() {
            let mut path = vec![SegmentKind::Set as u8, path_set.len() as u8];
            path.extend(path_set.iter().flat_map(|asn| asn.to_be_bytes()));
            attrs.set(code::AS_PATH, flag::TRANSITIVE, &path);
        }
        apply(&start, &mut attrs);
        for family in Family::ALL {
            let direction = if export { Direction::Export } else { Direction::Import };
            let peer = PeerContext { family, direction, ..peer() };
            let seen = Route { peer: &peer, source: &source, attrs: attrs.as_ref() };
            let mut residual = policy.0.specialise(&seen);
            for net in nets.iter().filter(|net| Family::of(&net.addr()) == family) {
                let got = residual.decide(*net);
                let case = Case { spec: &spec, peer: &peer, source: &source, net: *net };
                let mut edited = attrs.clone();
                let mut want = Model::read(edited.as_ref());
                let decided = list.iter().find_map(|name| interpret(&case, name, &mut want));
                let (accept, by) = decided.unwrap_or((false, "end of the policy list".into()));
                prop_assert_eq!(&*got.rule, by.as_str());
                prop_assert_eq!(got.is_accepted(), accept);
                prop_assert_eq!(&policy.0.trace(&seen, *net).outcome, &got);
                if !accept {
                    continue;
                }
                got.edits.apply(Some(OWN), LOCAL, &mut edited);
                prop_assert_eq!(Model::read(edited.as_ref()), want);
                // Applying twice needs no second thought about duplicates.
                let all: Vec<Community> = communities(edited.as_ref()).collect();
                let distinct: BTreeSet<&Community> = all.iter().collect();
                prop_assert_eq!(all.len(), distinct.len());
            }
        }
    }
}
