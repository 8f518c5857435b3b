//! The compiled chains against a naive interpreter.

use std::collections::BTreeSet;

use godwit_bgp::attrs::{AttrsRef, LargeCommunity};
use godwit_bgp::{Asn, Family, NextHop};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use super::super::*;
use super::{LOCAL, OWN, peer, route};

/// A route as the naive interpreter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    local_pref: Option<u32>,
    med: Option<u32>,
    communities: BTreeSet<String>,
    path: Vec<u32>,
    next_hop: NextHop,
}

impl Model {
    fn read(attrs: AttrsRef<'_>) -> Model {
        Model {
            local_pref: attrs.local_pref(),
            med: attrs.med(),
            communities: attrs
                .communities()
                .map(Community::Standard)
                .chain(attrs.large_communities().map(Community::Large))
                .map(|c| c.to_string())
                .collect(),
            path: attrs
                .as_path()
                .to_string()
                .split_whitespace()
                .map(|asn| asn.parse().unwrap())
                .collect(),
            next_hop: attrs.next_hop,
        }
    }
}

/// What a rule list does to one route, read off the documentation word by word.
fn interpret(
    spec: &PolicySetSpec,
    list: &[String],
    peer: &PeerContext,
    mut route: Model,
    net: &IpNet,
) -> (Option<Model>, String) {
    'policies: for name in list {
        for (rule, number) in spec.policies[name].iter().zip(1..) {
            let m = &rule.matches;
            let matches = m
                .prefix_set
                .as_ref()
                .is_none_or(|set| spec.prefix_sets[set].iter().any(|r| r.contains(net)))
                && (m.communities.is_empty()
                    || m.communities
                        .iter()
                        .any(|c| route.communities.contains(&c.to_string())))
                && (m.neighbours.is_empty()
                    || m.neighbours.contains(&NeighbourMatch::Asn(peer.asn))
                    || m.neighbours
                        .contains(&NeighbourMatch::Address(peer.address)))
                && m.family.is_none_or(|f| f == peer.family);
            if !matches {
                continue;
            }
            let s = &rule.sets;
            route.local_pref = s.local_pref.or(route.local_pref);
            route.med = s.med.or(route.med);
            if let Some(set) = &s.community_set {
                route.communities = set.iter().map(ToString::to_string).collect();
            }
            for c in &s.community_remove {
                route.communities.remove(&c.to_string());
            }
            for c in &s.community_add {
                route.communities.insert(c.to_string());
            }
            if s.next_hop_self {
                route.next_hop = OWN;
            }
            let mut path = Vec::new();
            for prepend in &s.prepend {
                match prepend {
                    Prepend::Local(n) => path.extend(vec![LOCAL.0; usize::from(*n)]),
                    Prepend::Asn(asn) => path.push(asn.0),
                }
            }
            path.append(&mut route.path);
            route.path = path;
            let by = format!("{name} rule {number}");
            match rule.then {
                Some(Then::Accept) => return (Some(route), by),
                Some(Then::Reject) => return (None, by),
                Some(Then::Next) => continue 'policies,
                None => {}
            }
        }
    }
    (None, "end of the policy list".to_owned())
}

fn any_community() -> impl Strategy<Value = Community> {
    prop_oneof![
        (0..4u32).prop_map(Community::Standard),
        (0..3u32).prop_map(|n| Community::Large(LargeCommunity {
            global: n,
            local1: 0,
            local2: 7
        })),
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

fn any_rule() -> impl Strategy<Value = RuleSpec> {
    let matches = (
        prop::option::of(0..12u8),
        prop::collection::vec(any_community(), 0..2),
        prop::option::of(prop_oneof![
            Just(NeighbourMatch::Asn(Asn(65000))),
            Just(NeighbourMatch::Asn(Asn(1))),
            Just(NeighbourMatch::Address("10.0.0.254".parse().unwrap())),
        ]),
        prop::option::weighted(
            0.2,
            prop_oneof![Just(Family::Ipv4Unicast), Just(Family::Ipv6Unicast)],
        ),
    );
    let sets = (
        prop::option::of(0..3u32),
        prop::option::of(0..3u32),
        prop::option::weighted(0.2, prop::collection::vec(any_community(), 0..3)),
        prop::collection::vec(any_community(), 0..2),
        prop::collection::vec(any_community(), 0..2),
        any::<bool>(),
        prop::collection::vec(
            prop_oneof![
                (0..3u8).prop_map(Prepend::Local),
                (1..5u32).prop_map(|n| Prepend::Asn(Asn(n)))
            ],
            0..2,
        ),
    );
    let then = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Then::Accept)),
        1 => Just(Some(Then::Reject)),
        1 => Just(Some(Then::Next)),
    ];
    (matches, sets, then).prop_map(|(m, s, then)| RuleSpec {
        matches: MatchSpec {
            prefix_set: m.0.map(|n| format!("s{n}")),
            communities: m.1,
            neighbours: m.2.into_iter().collect(),
            family: m.3,
        },
        sets: SetSpec {
            local_pref: s.0,
            med: s.1,
            community_set: s.2,
            community_remove: s.3,
            community_add: s.4,
            next_hop_self: s.5,
            prepend: s.6,
        },
        then,
    })
}

fn any_policies() -> impl Strategy<Value = PolicySetSpec> {
    let sets = prop::collection::vec(prop::collection::vec(any_range(), 0..4), 12);
    let policies = prop::collection::vec(prop::collection::vec(any_rule(), 0..12), 3);
    (sets, policies).prop_map(|(sets, policies)| PolicySetSpec {
        prefix_sets: (0..).map(|i| format!("s{i}")).zip(sets).collect(),
        policies: (0..).map(|i| format!("p{i}")).zip(policies).collect(),
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
    fn compiled_chains_do_what_the_naive_interpreter_does(
        spec in any_policies(),
        list in prop::collection::vec(0..3u8, 0..4),
        start in prop::collection::vec(any_community(), 0..3),
        nets in prop::collection::vec(any_net(), 1..12),
    ) {
        let list: Vec<String> = list.iter().map(|n| format!("p{n}")).collect();
        let policy = PolicySet::compile(&spec).unwrap().chain(&list).unwrap();
        let mut attrs = route(&[]);
        Edits::from_spec(&SetSpec { community_add: start, ..SetSpec::default() })
            .apply(None, LOCAL, &mut attrs);
        for family in Family::ALL {
            let peer = PeerContext { family, ..peer() };
            let mut residual = policy.0.specialise(&peer, attrs.as_ref());
            for net in &nets {
                let index = match (family, net) {
                    (Family::Ipv4Unicast, IpNet::V4(net)) => residual.pick_v4(*net),
                    (Family::Ipv6Unicast, IpNet::V6(net)) => residual.pick_v6(*net),
                    _ => continue,
                };
                let got = residual.outcomes()[usize::from(index)].clone();
                let (want, by) = interpret(&spec, &list, &peer, Model::read(attrs.as_ref()), net);
                prop_assert_eq!(&*got.rule, by.as_str());
                prop_assert_eq!(got.accept, want.is_some());
                let Some(want) = want else { continue };
                let mut edited = attrs.clone();
                got.edits.apply(Some(OWN), LOCAL, &mut edited);
                prop_assert_eq!(Model::read(edited.as_ref()), want);
                // Applying twice needs no second thought about duplicates.
                let all: Vec<u32> = edited.as_ref().communities().collect();
                let distinct: BTreeSet<u32> = all.iter().copied().collect();
                prop_assert_eq!(all.len(), distinct.len());
            }
        }
    }
}
