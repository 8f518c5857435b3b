//! What is announced without being received: aggregates, default routes; and
//! what is announced of a router that is drained or has just started.

use std::time::Duration;

use godwit_bgp::attrs::{AttrsBuf, Origin, community};
use godwit_bgp::{PathId, SendPaths};
use godwit_policy::route::{
    MatchSpec, PolicyRef, PolicySet, PolicySetSpec, RuleSpec, SourceMatch, Then,
};
use godwit_rib::{Aggregate, Condition, DefaultOriginate, Drain, KernelOptions, RibConfig, WhyNot};

use crate::naive::Target;
use crate::rules::{config, external, hop, internal, net, via, world};
use crate::world::World;

fn aggregate(prefix: &str, summary_only: bool) -> Aggregate {
    Aggregate {
        prefix: net(prefix),
        summary_only,
        blackhole: true,
    }
}

fn told(world: &World, peer: godwit_rib::PeerId) -> Vec<String> {
    let table = &world.remotes[&peer.0].table;
    table.keys().map(|(net, _)| net.to_string()).collect()
}

#[test]
fn an_aggregate_stands_while_something_is_in_it_and_hides_it() {
    let mut world = world();
    let source = world.up(external(1));
    let hears = world.up(external(2));
    world.aggregate(vec![aggregate("10.0.0.0/16", true)]);
    world.settle();
    assert!(told(&world, hears).is_empty());
    world.announce(
        source,
        &[net("10.0.1.0/24"), net("10.1.0.0/24")],
        &via(65101, 1),
    );
    world.settle();
    world.compare("stands");
    assert_eq!(told(&world, hears), ["10.0.0.0/16", "10.1.0.0/24"]);
    let whole = world.remotes[&hears.0].table[&(net("10.0.0.0/16"), PathId(0))].clone();
    let attrs = whole.as_ref();
    assert!(attrs.atomic_aggregate() && !attrs.as_path().has_set());
    assert_eq!(attrs.aggregator().unwrap().0, config().asn);
    assert_eq!(
        world.kernel.get(&net("10.0.0.0/16")),
        Some(&Target::Blackhole(KernelOptions::default()))
    );
    let story = world.rib.explain(net("10.0.1.0/24")).unwrap();
    assert!(
        story
            .not_advertised_to
            .contains(&(hears, WhyNot::Aggregated(net("10.0.0.0/16"))))
    );
    world.withdraw(source, &[net("10.0.1.0/24")]);
    world.settle();
    world.compare("fell");
    assert_eq!(told(&world, hears), ["10.1.0.0/24"]);
}

#[test]
fn what_an_aggregate_hid_comes_back_when_it_is_taken_away() {
    let mut world = world();
    let source = world.up(external(1));
    let hears = world.up(internal(2));
    world.announce(source, &[net("10.0.1.0/24")], &via(65101, 1));
    world.aggregate(vec![aggregate("10.0.0.0/16", true)]);
    world.settle();
    assert_eq!(told(&world, hears), ["10.0.0.0/16"]);
    world.aggregate(vec![aggregate("10.0.0.0/16", false)]);
    world.settle();
    world.compare("no longer hides");
    assert_eq!(told(&world, hears), ["10.0.0.0/16", "10.0.1.0/24"]);
    world.aggregate(Vec::new());
    world.settle();
    world.compare("gone");
    assert_eq!(told(&world, hears), ["10.0.1.0/24"]);
}

#[test]
fn an_aggregate_of_our_own_routes_alone_has_lost_no_path() {
    let mut world = world();
    let hears = world.up(external(2));
    world.aggregate(vec![aggregate("10.0.0.0/16", false)]);
    world.originate(
        net("10.0.1.0/24"),
        AttrsBuf::new(hop(9), Origin::Igp),
        false,
    );
    world.settle();
    world.compare("own");
    let atomic = |world: &World| {
        let whole = &world.remotes[&hears.0].table[&(net("10.0.0.0/16"), PathId(0))];
        whole.as_ref().atomic_aggregate()
    };
    assert!(!atomic(&world));
    let source = world.up(external(1));
    world.announce(source, &[net("10.0.2.0/24")], &via(65101, 1));
    world.settle();
    world.compare("and another's");
    assert!(atomic(&world));
}

#[test]
fn a_default_route_is_sent_to_one_peer_while_its_condition_holds() {
    let mut world = world();
    let source = world.up(external(1));
    let mut gets = external(2);
    // Nothing else passes: the default route does not ask the export policy.
    gets.export = [PolicyRef::reject_all(), PolicyRef::reject_all()];
    gets.default_originate[0] = Some(DefaultOriginate {
        when: Some(Condition::new(vec!["10.0.0.0/8+".parse().unwrap()])),
        policy: PolicyRef::accept_all(),
    });
    let gets = world.up(gets);
    let other = world.up(external(3));
    world.settle();
    assert!(told(&world, gets).is_empty());
    world.announce(source, &[net("10.0.1.0/24")], &via(65101, 1));
    world.settle();
    world.compare("holds");
    assert_eq!(told(&world, gets), ["0.0.0.0/0"]);
    assert_eq!(told(&world, other), ["10.0.1.0/24"]);
    assert!(world.rib.explain(net("0.0.0.0/0")).is_none(), "not ours");
    world.withdraw(source, &[net("10.0.1.0/24")]);
    world.settle();
    world.compare("no longer holds");
    assert!(told(&world, gets).is_empty());
}

#[test]
fn a_drained_router_is_the_last_choice_then_gone_and_back() {
    let mut world = world();
    let source = world.up(external(1));
    let near = world.up(internal(2));
    let far = world.up(external(3));
    world.announce(source, &[net("10.0.1.0/24")], &via(65101, 1));
    world.settle();
    let prefix = net("10.0.1.0/24");
    let drain = |world: &mut World, drain| {
        world.reconfigure(RibConfig { drain, ..config() });
        world.settle();
        world.compare("drain");
    };
    drain(&mut world, Drain::LastChoice);
    let at = |world: &World, peer: godwit_rib::PeerId| {
        world.remotes[&peer.0].table[&(prefix, PathId(0))].clone()
    };
    let (inner, outer) = (at(&world, near), at(&world, far));
    assert_eq!(inner.as_ref().local_pref(), Some(0));
    assert!(inner.as_ref().has_community(community::GRACEFUL_SHUTDOWN));
    assert!(outer.as_ref().has_community(community::GRACEFUL_SHUTDOWN));
    assert_eq!(outer.as_ref().local_pref(), None);
    drain(&mut world, Drain::Withdrawn);
    assert!(told(&world, near).is_empty() && told(&world, far).is_empty());
    drain(&mut world, Drain::No);
    let inner = at(&world, near);
    assert_eq!(inner.as_ref().local_pref(), Some(100));
}

#[test]
fn what_is_held_back_is_installed_and_announced_when_let_go() {
    let mut world = world();
    world.rib.hold_updates(true);
    let source = world.up(external(1));
    let hears = world.up(internal(2));
    world.announce(source, &[net("10.0.1.0/24")], &via(65101, 1));
    world.now = Duration::from_secs(1);
    world.settle();
    assert!(world.kernel.contains_key(&net("10.0.1.0/24")));
    let remote = &world.remotes[&hears.0];
    assert_eq!((remote.told, remote.ends_of_rib), (0, [0, 0]));
    world.rib.hold_updates(false);
    world.settle();
    world.compare("let go");
    assert_eq!(told(&world, hears), ["10.0.1.0/24"]);
}

#[test]
fn defaults_and_aggregates_go_to_a_peer_that_takes_several_paths_too() {
    let mut world = world();
    let sources = [world.up(external(1)), world.up(external(2))];
    let mut takes = internal(3);
    takes.add_path_send = [Some(SendPaths::All), None];
    takes.default_originate[0] = Some(DefaultOriginate {
        when: Some(Condition::new(vec!["10.0.0.0/8+".parse().unwrap()])),
        policy: PolicyRef::accept_all(),
    });
    let takes = world.up(takes);
    world.aggregate(vec![aggregate("10.0.0.0/16", true)]);
    for (id, asn) in sources.into_iter().zip([65101, 65102]) {
        let nets = [net("10.0.1.0/24"), net("10.1.1.0/24")];
        world.announce(id, &nets, &via(asn, asn as u8));
    }
    world.settle();
    world.compare("several paths");
    let expected = ["0.0.0.0/0", "10.0.0.0/16", "10.1.1.0/24", "10.1.1.0/24"];
    assert_eq!(told(&world, takes), expected);
    world.withdraw(sources[0], &[net("10.0.1.0/24"), net("10.1.1.0/24")]);
    world.withdraw(sources[1], &[net("10.0.1.0/24"), net("10.1.1.0/24")]);
    world.settle();
    world.compare("nothing left");
    assert!(told(&world, takes).is_empty());
}

#[test]
fn a_policy_tells_aggregates_from_other_routes_of_ours() {
    let mut set = PolicySetSpec::default();
    let whole = RuleSpec {
        matches: MatchSpec {
            source: vec![SourceMatch::Aggregate],
            ..MatchSpec::default()
        },
        then: Some(Then::Reject),
        ..RuleSpec::default()
    };
    set.policies.insert("parts".into(), vec![whole]);
    let set = PolicySet::compile(&set).unwrap();
    let parts = set.chain(&["parts", "accept-all"]).unwrap();
    let mut world = world();
    let mut spec = external(2);
    spec.export = [parts.clone(), parts];
    let hears = world.up(spec);
    world.aggregate(vec![aggregate("10.0.0.0/16", false)]);
    world.originate(
        net("10.0.1.0/24"),
        AttrsBuf::new(hop(9), Origin::Igp),
        false,
    );
    world.settle();
    world.compare("without the whole");
    assert_eq!(told(&world, hears), ["10.0.1.0/24"]);
}

#[test]
fn a_route_and_an_aggregate_of_the_same_prefix_come_and_go_apart() {
    let mut world = world();
    let source = world.up(external(1));
    let hears = world.up(external(2));
    let whole = net("10.0.0.0/16");
    let route = || AttrsBuf::new(hop(9), Origin::Incomplete);
    world.announce(source, &[net("10.0.1.0/24")], &via(65101, 1));
    world.originate(whole, route(), false);
    world.aggregate(vec![aggregate("10.0.0.0/16", true)]);
    world.settle();
    world.compare("both");
    assert_eq!(told(&world, hears), ["10.0.0.0/16"]);
    world.withdraw_local(whole);
    world.settle();
    world.compare("the aggregate alone");
    assert_eq!(told(&world, hears), ["10.0.0.0/16"]);
    world.originate(whole, route(), false);
    world.withdraw(source, &[net("10.0.1.0/24")]);
    world.settle();
    world.compare("the route alone");
    assert_eq!(told(&world, hears), ["10.0.0.0/16"]);
}

#[test]
fn an_aggregate_that_is_taken_away_stays_until_what_it_hid_is_told() {
    let mut world = world();
    let source = world.up(external(1));
    let hears = world.up(external(2));
    let parts: Vec<_> = (0..20_000)
        .map(|i: u32| {
            net(&format!(
                "10.{}.{}.{}/30",
                i >> 14,
                i >> 6 & 255,
                (i & 63) * 4
            ))
        })
        .collect();
    world.announce(source, &parts, &via(65101, 1));
    world.aggregate(vec![aggregate("10.0.0.0/8", true)]);
    world.settle();
    assert_eq!(told(&world, hears), ["10.0.0.0/8"]);
    world.aggregate(Vec::new());
    let mut seen = std::collections::BTreeSet::new();
    while world.rib.work(256) {
        world.events();
        world.poll(hears, usize::MAX);
        let table = &world.remotes[&hears.0].table;
        let whole = table.contains_key(&(net("10.0.0.0/8"), PathId(0)));
        assert!(whole || table.len() == parts.len(), "{}", table.len());
        seen.insert(table.len());
    }
    assert!(seen.len() > 1, "it is told piece by piece");
    world.settle();
    assert_eq!(world.remotes[&hears.0].table.len(), parts.len());
}
