//! What is shared between peers, what is read, and what the kernel is asked.

use std::net::{IpAddr, Ipv4Addr};

use godwit_bgp::attrs::flag;
use godwit_bgp::{Asn, Family, RouterId, SendPaths, SessionKind};
use godwit_policy::route::{
    NeighbourMatch, PolicyRef, PolicySet, PolicySetSpec, RuleSpec, SetSpec, Then,
};
use godwit_rib::{
    Counted, DefaultOriginate, InKey, KNOBS, PeerId, PrefixFilter, PrefixLimit, RibConfig,
    RouteQuery, RouteView, Verdict, WhyNot,
};
use ipnet::IpNet;

use crate::rules::{NET, config, external, inside, net, spec, via, world};
use crate::world::World;

const LIMIT: PrefixLimit = PrefixLimit {
    max: 1,
    warn_from: 1,
    count: Counted::Received,
    enforced: true,
};

#[test]
fn every_knob_of_a_peer_is_in_the_group_key_or_does_not_matter() {
    let asking = || {
        let rule = RuleSpec {
            matches: godwit_policy::route::MatchSpec {
                neighbours: vec![NeighbourMatch::Asn(Asn(1))],
                ..Default::default()
            },
            sets: SetSpec::default(),
            then: Some(Then::Reject),
            ..RuleSpec::default()
        };
        let mut set = PolicySetSpec::default();
        set.policies.insert("ask".into(), vec![rule]);
        let set = PolicySet::compile(&set).unwrap();
        set.chain(&["ask", "accept-all"]).unwrap()
    };
    for &(knob, in_key) in KNOBS {
        for asks in [false, true] {
            let mut one = external(1);
            if asks {
                one.export = [asking(), asking()];
            }
            let mut other = one.clone();
            match knob {
                "address" => other.address = "203.0.113.9".parse().unwrap(),
                "asn" => other.asn = Asn(5),
                "group" => other.group = Some("tor".into()),
                "router_id" => other.router_id = RouterId(99),
                "local_asn" => other.local_asn = Asn(64999),
                "local_address" => other.local_address = "203.0.113.8".parse().unwrap(),
                "local_link_local" => other.local_link_local = Some("fe80::2".parse().unwrap()),
                "interface" => other.interface = Some("eth1".parse().unwrap()),
                "link" => other.link = 7,
                "own_next_hop" => {
                    other.own_next_hop[1] = Some("2001:db8::1".parse::<IpAddr>().unwrap().into());
                }
                "kind" => other.kind = SessionKind::InternalClient,
                "families" => other.families[1] = false,
                "extended_next_hop" => other.extended_next_hop = true,
                "add_path_receive" => other.add_path_receive[0] = true,
                "add_path_send" => other.add_path_send[1] = Some(SendPaths::All),
                "as4" => other.as4 = false,
                "enhanced_refresh" => other.enhanced_refresh = true,
                "sends_end_of_rib" => other.sends_end_of_rib = true,
                "max_message" => other.max_message = 65535,
                "import" => other.import[0] = PolicyRef::reject_all(),
                "export" => other.export[1] = PolicyRef::reject_all(),
                "limit_in" => other.limit_in[0] = Some(LIMIT),
                "limit_out" => other.limit_out[0] = Some(LIMIT),
                "next_hop_self" => other.next_hop_self = true,
                "default_originate" => {
                    other.default_originate[0] = Some(DefaultOriginate {
                        when: None,
                        policy: PolicyRef::accept_all(),
                    });
                }
                "weight" => other.weight = 7,
                "shared_subnet" => other.shared_subnet = true,
                "import_rules" => other.import_rules.allow_as_in = 1,
                "export_rules" => other.export_rules.replace_as = true,
                _ => panic!("{knob}: say here how to turn it"),
            }
            let mut world = world();
            world.up(one);
            world.up(other);
            let apart = match in_key {
                InKey::Always => true,
                InKey::IfAsked => asks,
                InKey::Never(_) => false,
            };
            let groups = world.rib.summary().update_groups;
            assert_eq!(groups, 1 + u64::from(apart), "{knob}, asks: {asks}");
        }
    }
}

fn many(from: u32, n: u32) -> Vec<IpNet> {
    (from..from + n)
        .map(|i| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap())
        .collect()
}

#[test]
fn a_member_that_reads_nothing_is_let_go_and_catches_up() {
    let mut world = world();
    world.rib.set_group_backlog(20_000);
    let source = world.up(spec(1, SessionKind::InternalClient));
    let quick = world.up(spec(2, SessionKind::InternalClient));
    let slow = world.up(spec(3, SessionKind::InternalClient));
    world.settle();
    let attrs = |last| inside(via(1, last), 100);
    for round in 0..40 {
        for (i, net) in many(0, 100).iter().enumerate() {
            world.announce(source, &[*net], &attrs((round + i as u32) as u8 % 250));
        }
        while world.rib.work(64) {}
        while world.poll(quick, 1 << 20) {}
    }
    // Prefixes go, and others take their place, before the slow one reads.
    world.withdraw(source, &many(0, 50));
    while world.rib.work(64) {}
    world.announce(source, &many(200, 50), &attrs(1));
    world.settle();
    world.compare("caught up");
    let (slow, quick) = (&world.remotes[&slow.0], &world.remotes[&quick.0]);
    assert_eq!(slow.table, quick.table);
    assert!(
        slow.told < quick.told / 3,
        "{} of {}",
        slow.told,
        quick.told
    );
}

#[test]
fn a_late_member_gets_all_and_then_the_end_of_rib() {
    let mut world = world();
    let source = world.up(spec(1, SessionKind::InternalClient));
    world.up(spec(2, SessionKind::InternalClient));
    world.announce(source, &many(0, 5000), &inside(via(1, 1), 100));
    world.settle();
    let late = world.up(spec(3, SessionKind::InternalClient));
    world.settle();
    world.compare("late");
    assert_eq!(world.remotes[&late.0].told, 5000);
}

#[test]
fn a_refresh_is_answered_to_the_one_who_asked() {
    let mut world = world();
    let source = world.up(spec(1, SessionKind::InternalClient));
    let asks = world.up(spec(2, SessionKind::InternalClient));
    let other = world.up(spec(3, SessionKind::InternalClient));
    world.announce(source, &many(0, 100), &inside(via(1, 1), 100));
    world.settle();
    world.refresh(asks, Family::Ipv4Unicast);
    world.settle();
    world.compare("refreshed");
    assert_eq!(world.remotes[&asks.0].told, 200);
    assert_eq!(world.remotes[&other.0].told, 100);
    assert_eq!(world.remotes[&source.0].told, 0);
}

#[test]
fn a_group_that_changes_its_policy_as_a_whole_is_sent_the_difference() {
    let mut spec_set = PolicySetSpec::default();
    let few = vec!["10.0.0.0/22{24,24}".parse().unwrap()];
    spec_set.prefix_sets.insert("few".into(), few);
    let mut rule = RuleSpec {
        then: Some(Then::Reject),
        ..RuleSpec::default()
    };
    rule.matches.prefix_sets = vec!["few".into()];
    spec_set.policies.insert("not-few".into(), vec![rule]);
    let set = PolicySet::compile(&spec_set).unwrap();
    let policy = set.chain(&["not-few", "accept-all"]).unwrap();
    let mut world = world();
    let source = world.up(external(1));
    let members: Vec<PeerId> = (2..6)
        .map(|n| world.up(spec(n, SessionKind::InternalClient)))
        .collect();
    world.announce(source, &many(0, 100), &via(65101, 1));
    world.settle();
    for id in &members {
        world.set_export(*id, [policy.clone(), policy.clone()]);
    }
    world.settle();
    world.compare("changed");
    for id in &members {
        assert_eq!(world.remotes[&id.0].told, 100 + 4);
    }
}

#[test]
fn what_does_not_fit_a_message_is_not_advertised_and_said_so() {
    let mut world = world();
    let mut large = external(1);
    large.max_message = 65535;
    let source = world.up(large);
    let sink = world.up(external(2));
    let mut attrs = via(65101, 1);
    attrs.set(99, flag::OPTIONAL | flag::TRANSITIVE, &[7; 5000]);
    world.announce(source, &[net(NET)], &attrs);
    world.settle();
    assert!(world.remotes[&sink.0].table.is_empty());
    let story = world.rib.explain(net(NET)).unwrap();
    assert!(story.advertised_to.is_empty());
    assert!(story.not_advertised_to.contains(&(sink, WhyNot::TooLong)));
    assert!(story.not_advertised_to.contains(&(source, WhyNot::Source)));
}

#[test]
fn pages_hold_every_route_once_and_filters_find_theirs() {
    let mut world = world();
    let mut other = external(2);
    other.import = [PolicyRef::no_policy(), PolicyRef::no_policy()];
    let source = world.up(external(1));
    let rejected = world.up(other);
    let mut nets = many(0, 300);
    nets.extend([net("10.0.0.0/8"), net("0.0.0.0/0"), net("10.0.1.128/25")]);
    world.announce(source, &nets, &via(65101, 1));
    world.announce(rejected, &many(0, 10), &via(65102, 1));
    world.settle();
    let all = |world: &mut World, view, prefix| {
        let query = RouteQuery {
            view,
            family: None,
            prefix,
        };
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = world.rib.routes(&query, cursor, 7);
            found.extend(page.entries);
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    };
    let best = all(&mut world, RouteView::Best, PrefixFilter::Any);
    let mut found: Vec<IpNet> = best.iter().map(|entry| entry.prefix).collect();
    found.sort();
    nets.sort();
    assert_eq!(found, nets);
    assert!(best.iter().all(|entry| entry.best && entry.installed));
    let out = all(&mut world, RouteView::Rejected(rejected), PrefixFilter::Any);
    assert_eq!(out.len(), 10);
    assert!(out.iter().all(|entry| entry.verdict == Verdict::Policy));
    assert!(out.iter().all(|entry| {
        entry
            .rejected_by
            .as_deref()
            .is_some_and(|rule| rule.contains("8212"))
    }));
    let prefixes = |world: &mut World, filter| {
        let found = all(world, RouteView::Received(source), filter);
        let mut found: Vec<IpNet> = found.into_iter().map(|entry| entry.prefix).collect();
        found.sort();
        found
    };
    let longest = PrefixFilter::LongestMatch("10.0.1.200".parse().unwrap());
    assert_eq!(prefixes(&mut world, longest), [net("10.0.1.128/25")]);
    let covering = PrefixFilter::Covering(net("10.0.1.0/24"));
    let chain = [net("0.0.0.0/0"), net("10.0.0.0/8"), net("10.0.1.0/24")];
    assert_eq!(prefixes(&mut world, covering), chain);
    let longer = PrefixFilter::Longer(net("10.0.1.0/24"));
    assert_eq!(
        prefixes(&mut world, longer),
        [net("10.0.1.0/24"), net("10.0.1.128/25")]
    );
    let exact = PrefixFilter::Exact(net("10.0.2.0/24"));
    assert_eq!(prefixes(&mut world, exact), [net("10.0.2.0/24")]);
    let sent = all(
        &mut world,
        RouteView::Advertised(rejected),
        PrefixFilter::Any,
    );
    assert_eq!(sent.len(), nets.len());
}

#[test]
fn a_kernel_view_turned_off_and_on_asks_for_everything_again() {
    let mut world = world();
    let source = world.up(external(1));
    world.announce(source, &many(0, 100), &via(65101, 1));
    world.settle();
    let off = RibConfig {
        fib: false,
        ..config()
    };
    world.reconfigure(off);
    world.settle();
    world.kernel.clear();
    world.reconfigure(config());
    world.settle();
    world.compare("on again");
    assert_eq!(world.kernel.len(), 100);
}
