//! The compiled chains against a naive interpreter, and rule semantics.

use std::collections::{BTreeMap, BTreeSet};

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, LargeCommunity, Origin, community};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use super::*;

const LOCAL: Asn = Asn(64512);
const OWN: NextHop = NextHop::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn peer() -> PeerContext {
    PeerContext {
        address: "10.0.0.254".parse().unwrap(),
        asn: Asn(65000),
        local_asn: LOCAL,
        kind: SessionKind::External,
        family: Family::Ipv4Unicast,
    }
}

fn net(s: &str) -> Ipv4Net {
    s.parse().unwrap()
}

fn communities(list: &[&str]) -> Vec<Community> {
    list.iter().map(|c| c.parse().unwrap()).collect()
}

fn route(standard: &[u32]) -> AttrsBuf {
    let mut buf = AttrsBuf::new(NextHop::V4([10, 0, 0, 254].into()), Origin::Igp);
    buf.prepend_as(Asn(65000), 1);
    buf.community_add(standard);
    buf
}

fn spec(sets: &[(&str, &[&str])], policies: &[(&str, Vec<RuleSpec>)]) -> PolicySetSpec {
    PolicySetSpec {
        prefix_sets: sets
            .iter()
            .map(|(name, ranges)| {
                let ranges = ranges.iter().map(|r| r.parse().unwrap()).collect();
                ((*name).to_owned(), ranges)
            })
            .collect(),
        policies: policies
            .iter()
            .map(|(name, rules)| ((*name).to_owned(), rules.clone()))
            .collect(),
    }
}

fn in_set(name: &str) -> MatchSpec {
    MatchSpec {
        prefix_set: Some(name.to_owned()),
        ..MatchSpec::default()
    }
}

fn with_community(list: &[&str]) -> MatchSpec {
    MatchSpec {
        communities: communities(list),
        ..MatchSpec::default()
    }
}

fn rule(matches: MatchSpec, sets: SetSpec, then: Option<Then>) -> RuleSpec {
    RuleSpec {
        matches,
        sets,
        then,
    }
}

fn add(list: &[&str]) -> SetSpec {
    SetSpec {
        community_add: communities(list),
        ..SetSpec::default()
    }
}

fn local_pref(value: u32) -> SetSpec {
    SetSpec {
        local_pref: Some(value),
        ..SetSpec::default()
    }
}

fn outcome(policy: &PolicyRef, attrs: AttrsRef<'_>, net: Ipv4Net) -> Outcome {
    let mut residual = policy.0.specialise(&peer(), attrs);
    let picked = usize::from(residual.pick_v4(net));
    residual.outcomes()[picked].clone()
}

#[test]
fn an_accepted_route_carries_what_its_rule_set() {
    let spec = spec(
        &[("pods", &["10.244.0.0/16{16,28}"])],
        &[(
            "from-tor",
            vec![rule(in_set("pods"), local_pref(200), Some(Then::Accept))],
        )],
    );
    let policy = PolicySet::compile(&spec)
        .unwrap()
        .chain(&["from-tor"])
        .unwrap();
    let mut attrs = route(&[]);
    let inside = outcome(&policy, attrs.as_ref(), net("10.244.3.0/24"));
    assert!(inside.accept);
    assert_eq!(&*inside.rule, "from-tor rule 1");
    inside.edits.apply(Some(OWN), LOCAL, &mut attrs);
    assert_eq!(attrs.as_ref().local_pref(), Some(200));

    let outside = outcome(&policy, attrs.as_ref(), net("10.244.3.0/29"));
    assert!(!outside.accept);
    assert_eq!(&*outside.rule, "end of the policy list");
}

#[test]
fn a_rule_without_then_goes_on_with_what_was_set() {
    let spec = spec(
        &[],
        &[(
            "p",
            vec![
                rule(MatchSpec::default(), add(&["64512:1"]), None),
                rule(
                    with_community(&["64512:1"]),
                    local_pref(50),
                    Some(Then::Accept),
                ),
            ],
        )],
    );
    let policy = PolicySet::compile(&spec).unwrap().chain(&["p"]).unwrap();
    let picked = outcome(&policy, route(&[]).as_ref(), net("10.0.0.0/8"));
    assert_eq!(&*picked.rule, "p rule 2");
    assert_eq!(picked.edits.local_pref(), Some(50));
}

#[test]
fn next_and_falling_off_go_on_with_the_next_policy() {
    let spec = spec(
        &[],
        &[
            (
                "a",
                vec![
                    rule(MatchSpec::default(), local_pref(1), Some(Then::Next)),
                    rule(MatchSpec::default(), local_pref(2), Some(Then::Reject)),
                ],
            ),
            ("b", vec![rule(MatchSpec::default(), local_pref(3), None)]),
        ],
    );
    let set = PolicySet::compile(&spec).unwrap();
    let attrs = route(&[]);
    let through = outcome(
        &set.chain(&["a", "b", "accept-all"]).unwrap(),
        attrs.as_ref(),
        net("10.0.0.0/8"),
    );
    assert_eq!(
        (through.accept, &*through.rule, through.edits.local_pref()),
        (true, "accept-all", Some(3))
    );
    let off_the_end = outcome(
        &set.chain(&["a", "b"]).unwrap(),
        attrs.as_ref(),
        net("10.0.0.0/8"),
    );
    assert!(!off_the_end.accept);
    assert!(off_the_end.edits.is_empty());
}

#[test]
fn an_empty_chain_rejects() {
    let policy = PolicySet::default().chain::<&str>(&[]).unwrap();
    assert!(!outcome(&policy, route(&[]).as_ref(), net("10.0.0.0/8")).accept);
}

#[test]
fn prepend_puts_the_list_before_the_path_in_its_order() {
    let sets = SetSpec {
        prepend: vec![Prepend::Local(2), Prepend::Asn(Asn(65001))],
        ..SetSpec::default()
    };
    let mut attrs = route(&[]);
    Edits::from_spec(&sets).apply(None, LOCAL, &mut attrs);
    assert_eq!(
        attrs.as_ref().as_path().to_string(),
        "64512 64512 65001 65000"
    );
}

#[test]
fn next_hop_self_takes_the_sessions_own_address() {
    let sets = SetSpec {
        next_hop_self: true,
        ..SetSpec::default()
    };
    let mut attrs = route(&[]);
    Edits::from_spec(&sets).apply(Some(OWN), LOCAL, &mut attrs);
    assert_eq!(attrs.next_hop, OWN);
}

#[test]
fn removing_the_last_community_removes_the_attribute() {
    let sets = SetSpec {
        community_remove: communities(&["no-export"]),
        ..SetSpec::default()
    };
    let mut attrs = route(&[community::NO_EXPORT]);
    Edits::from_spec(&sets).apply(None, LOCAL, &mut attrs);
    assert!(
        attrs
            .as_ref()
            .find(godwit_bgp::attrs::code::COMMUNITIES)
            .is_none()
    );
}

#[test]
fn equal_chains_have_equal_ids_and_different_ones_not() {
    let build = |pref, ranges: &[&str]| {
        let spec = spec(
            &[("s", ranges)],
            &[(
                "p",
                vec![rule(in_set("s"), local_pref(pref), Some(Then::Accept))],
            )],
        );
        PolicySet::compile(&spec).unwrap().chain(&["p"]).unwrap()
    };
    let one = build(1, &["10.0.0.0/8+", "192.0.2.0/24"]);
    assert_eq!(one, build(1, &["192.0.2.0/24", "10.0.0.0/8+"]));
    assert_ne!(one, build(2, &["10.0.0.0/8+", "192.0.2.0/24"]));
    assert_ne!(one, build(1, &["10.0.0.0/8+"]));
    assert_eq!(
        PolicySet::default().chain(&["accept-all"]).unwrap(),
        PolicyRef::accept_all()
    );
    assert_ne!(PolicyRef::reject_all(), PolicyRef::no_policy());
}

#[test]
fn only_a_neighbour_condition_uses_the_neighbour() {
    let neighbour = MatchSpec {
        neighbours: vec![NeighbourMatch::Asn(Asn(65000))],
        ..MatchSpec::default()
    };
    let spec = spec(
        &[],
        &[(
            "p",
            vec![rule(neighbour, SetSpec::default(), Some(Then::Accept))],
        )],
    );
    let policy = PolicySet::compile(&spec).unwrap().chain(&["p"]).unwrap();
    assert!(policy.0.uses_neighbour());
    assert!(!PolicyRef::accept_all().0.uses_neighbour());
    let accepted = |asn| {
        let peer = PeerContext { asn, ..peer() };
        policy.0.specialise(&peer, route(&[]).as_ref()).outcomes()[0].accept
    };
    assert!(accepted(Asn(65000)));
    assert!(!accepted(Asn(65001)));
}

#[test]
fn wrong_names_are_errors_that_say_which() {
    let wrong = spec(&[], &[("p", vec![rule(in_set("x"), add(&[]), None)])]);
    assert_eq!(
        PolicySet::compile(&wrong).unwrap_err().to_string(),
        "p rule 1: no prefix set is named \"x\""
    );
    assert_eq!(
        PolicySet::default()
            .chain(&["nope"])
            .unwrap_err()
            .to_string(),
        "no routing policy is named \"nope\""
    );
    assert!(PolicySet::compile(&spec(&[], &[("accept-all", vec![])])).is_err());
}

#[test]
fn communities_are_read_as_they_are_written() {
    for text in ["64512:100", "no-export", "64512:1:2", "blackhole"] {
        assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
    }
    for text in ["", "1", "65536:1", "+1:2", "1:2:3:4", "a:b", "-1:2"] {
        assert!(text.parse::<Community>().is_err(), "{text}");
    }
}

#[test]
fn prefix_ranges_are_read_as_they_are_written() {
    for text in ["10.244.0.0/16{17,28}", "10.0.0.0/8", "::/0+", "0.0.0.0/0"] {
        assert_eq!(text.parse::<PrefixRange>().unwrap().to_string(), text);
    }
    for text in [
        "10.0.0.1/8",
        "10.0.0.0",
        "10.0.0.0/8{7,9}",
        "10.0.0.0/8{9,8}",
        "10.0.0.0/8{8,33}",
        "10.0.0.0/8{8}",
        "10.0.0.0/8{8,9",
        "",
    ] {
        assert!(text.parse::<PrefixRange>().is_err(), "{text}");
    }
}

#[test]
fn too_many_forks_are_evaluated_lazily_with_the_same_result() {
    let names: Vec<String> = (0..20).map(|i| format!("s{i}")).collect();
    let mut rules: Vec<RuleSpec> = (0..20)
        .map(|i| rule(in_set(&names[i]), add(&[&format!("64512:{i}")]), None))
        .collect();
    rules.push(rule(
        MatchSpec::default(),
        SetSpec::default(),
        Some(Then::Accept),
    ));
    let spec = PolicySetSpec {
        prefix_sets: (0..20u8)
            .map(|i| {
                let range = format!("10.{i}.0.0/16+").parse().unwrap();
                (
                    names[usize::from(i)].clone(),
                    vec![range, "10.99.0.0/16".parse().unwrap()],
                )
            })
            .collect(),
        policies: BTreeMap::from([("p".to_owned(), rules)]),
    };
    let policy = PolicySet::compile(&spec).unwrap().chain(&["p"]).unwrap();
    for (prefix, count) in [
        ("10.3.0.0/24", 1),
        ("10.99.0.0/16", 20),
        ("10.98.0.0/16", 0),
    ] {
        let mut attrs = route(&[]);
        let picked = outcome(&policy, attrs.as_ref(), net(prefix));
        picked.edits.apply(None, LOCAL, &mut attrs);
        assert!(picked.accept);
        assert_eq!(attrs.as_ref().communities().count(), count, "{prefix}");
    }
    let mut residual = policy.0.specialise(&peer(), route(&[]).as_ref());
    for third in 0..=255 {
        residual.pick_v4(net(&format!("10.3.{third}.0/24")));
    }
    assert_eq!(
        residual.outcomes().len(),
        2,
        "grows by outcome, not by prefix"
    );
}

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
