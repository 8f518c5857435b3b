//! What rules mean, case by case.

mod features;
mod oracle;

use std::collections::BTreeMap;
use std::sync::Arc;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Origin, community};
use godwit_bgp::community::Community;
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use ipnet::Ipv4Net;

use super::*;

const LOCAL: Asn = Asn(64512);
const OWN: NextHop = NextHop::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn neighbour(asn: Asn) -> Arc<Neighbour> {
    Arc::new(Neighbour {
        address: "10.0.0.254".parse().unwrap(),
        asn,
        group: Some("tor".into()),
        interface: Some("eth1".into()),
    })
}

fn peer() -> PeerContext {
    PeerContext {
        direction: Direction::Import,
        neighbour: neighbour(Asn(65000)),
        kind: SessionKind::External,
        local_asn: LOCAL,
        own_next_hop: Some(OWN),
        family: Family::Ipv4Unicast,
    }
}

/// As import has it.
fn from(peer: &PeerContext) -> Source {
    Source {
        kind: SourceKind::Peer(peer.kind),
        neighbour: Some(Arc::clone(&peer.neighbour)),
    }
}

fn net(s: &str) -> Ipv4Net {
    s.parse().unwrap()
}

fn communities(list: &[&str]) -> Vec<Community> {
    list.iter().map(|c| c.parse().unwrap()).collect()
}

fn patterns(list: &[&str]) -> Vec<CommunityPattern> {
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
        prefix_sets: vec![name.to_owned()],
        ..MatchSpec::default()
    }
}

fn with_community(list: &[&str]) -> MatchSpec {
    MatchSpec {
        communities: patterns(list),
        ..MatchSpec::default()
    }
}

fn rule(matches: MatchSpec, sets: SetSpec, then: Option<Then>) -> RuleSpec {
    RuleSpec {
        matches,
        sets,
        then,
        ..RuleSpec::default()
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
        local_pref: Some(Amount::Exactly(value)),
        ..SetSpec::default()
    }
}

fn outcome(policy: &PolicyRef, attrs: AttrsRef<'_>, net: Ipv4Net) -> Outcome {
    let peer = peer();
    let route = Route {
        peer: &peer,
        source: &from(&peer),
        attrs,
    };
    policy.0.specialise(&route).decide(net.into())
}

/// What a `set` alone does to a route.
fn apply(sets: &SetSpec, attrs: &mut AttrsBuf) {
    let peer = peer();
    let route = Route {
        peer: &peer,
        source: &from(&peer),
        attrs: attrs.as_ref(),
    };
    let edits = sets.edits(&route);
    edits.apply(Some(OWN), LOCAL, attrs);
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
    assert!(inside.is_accepted());
    assert_eq!(&*inside.rule, "from-tor rule 1");
    inside.edits.apply(Some(OWN), LOCAL, &mut attrs);
    assert_eq!(attrs.as_ref().local_pref(), Some(200));

    let outside = outcome(&policy, attrs.as_ref(), net("10.244.3.0/29"));
    assert!(!outside.is_accepted());
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
        (
            through.is_accepted(),
            &*through.rule,
            through.edits.local_pref()
        ),
        (true, "accept-all", Some(3))
    );
    let off_the_end = outcome(
        &set.chain(&["a", "b"]).unwrap(),
        attrs.as_ref(),
        net("10.0.0.0/8"),
    );
    assert!(!off_the_end.is_accepted());
    assert!(off_the_end.edits.is_empty());
}

#[test]
fn an_empty_chain_rejects() {
    let policy = PolicySet::default().chain::<&str>(&[]).unwrap();
    assert!(!outcome(&policy, route(&[]).as_ref(), net("10.0.0.0/8")).is_accepted());
}

#[test]
fn prepend_puts_the_list_before_the_path_in_its_order() {
    let sets = SetSpec {
        prepend: vec![Prepend::Local(2), Prepend::Asn(Asn(65001))],
        ..SetSpec::default()
    };
    let mut attrs = route(&[]);
    apply(&sets, &mut attrs);
    assert_eq!(
        attrs.as_ref().as_path().to_string(),
        "64512 64512 65001 65000"
    );
}

#[test]
fn next_hop_self_takes_the_sessions_own_address() {
    let sets = SetSpec {
        next_hop: Some(NextHopSpec::Own),
        ..SetSpec::default()
    };
    let mut attrs = route(&[]);
    apply(&sets, &mut attrs);
    assert_eq!(attrs.next_hop, OWN);
}

#[test]
fn removing_the_last_community_removes_the_attribute() {
    let sets = SetSpec {
        community_remove: patterns(&["no-export"]),
        ..SetSpec::default()
    };
    let mut attrs = route(&[community::NO_EXPORT]);
    apply(&sets, &mut attrs);
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
    let asking = MatchSpec {
        neighbours: vec![NeighbourMatch::Asn(Asn(65000))],
        ..MatchSpec::default()
    };
    let spec = spec(
        &[],
        &[(
            "p",
            vec![rule(asking, SetSpec::default(), Some(Then::Accept))],
        )],
    );
    let policy = PolicySet::compile(&spec).unwrap().chain(&["p"]).unwrap();
    assert!(policy.0.uses().neighbour);
    assert_eq!(PolicyRef::accept_all().0.uses(), Uses::default());
    let accepted = |asn| {
        let peer = PeerContext {
            neighbour: neighbour(asn),
            ..peer()
        };
        let attrs = route(&[]);
        let route = Route {
            peer: &peer,
            source: &from(&peer),
            attrs: attrs.as_ref(),
        };
        policy.0.specialise(&route).outcomes()[0].is_accepted()
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
        assert!(picked.is_accepted());
        assert_eq!(attrs.as_ref().communities().count(), count, "{prefix}");
    }
    let (attrs, peer) = (route(&[]), peer());
    let mut residual = policy.0.specialise(&Route {
        peer: &peer,
        source: &from(&peer),
        attrs: attrs.as_ref(),
    });
    for third in 0..=255 {
        residual.pick_v4(net(&format!("10.3.{third}.0/24")));
    }
    assert_eq!(
        residual.outcomes().len(),
        2,
        "grows by outcome, not by prefix"
    );
}
