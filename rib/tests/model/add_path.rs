//! Several paths of a prefix, in and out (RFC 7911).

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use godwit_bgp::attrs::AttrsBuf;
use godwit_bgp::community::{Community, StandardCommunity};
use godwit_bgp::{Asn, Family, NextHop, PathId, SendPaths, SessionKind};
use godwit_policy::route::{CommunityPattern, PolicyRef, PolicySet, PolicySetSpec, RuleSpec, Then};
use godwit_rib::{
    NextHopState, PeerId, PeerSpec, PrefixFilter, RibConfig, RouteQuery, RouteView, Step,
};
use ipnet::IpNet;

use crate::naive::Target;
use crate::rules::{NET, config, external, hop, inside, internal, net, spec, via, world};
use crate::world::World;

fn best(n: u16) -> SendPaths {
    SendPaths::Best(NonZeroU16::new(n).unwrap())
}

/// A reflector client that takes several paths.
fn client(number: u8, send: SendPaths) -> PeerSpec {
    PeerSpec {
        add_path_send: [Some(send); 2],
        ..spec(number, SessionKind::InternalClient)
    }
}

/// A peer that gives several.
fn giver(number: u8) -> PeerSpec {
    PeerSpec {
        add_path_receive: [true; 2],
        ..external(number)
    }
}

/// What a peer holds of [`NET`]: next hops by identifier.
fn held(world: &World, id: PeerId) -> BTreeMap<PathId, NextHop> {
    let table = &world.remotes[&id.0].table;
    let of_net = table.iter().filter(|((of, _), _)| *of == net(NET));
    of_net
        .map(|((_, id), attrs)| (*id, attrs.next_hop))
        .collect()
}

fn hops(world: &World, id: PeerId) -> Vec<NextHop> {
    let mut hops: Vec<NextHop> = held(world, id).into_values().collect();
    hops.sort();
    hops
}

/// The identifier under which a peer holds the path over this next hop.
fn id_of(world: &World, peer: PeerId, hop: NextHop) -> PathId {
    let held = held(world, peer);
    let mut ids = held.iter().filter(|(_, other)| **other == hop);
    let (id, _) = ids.next().unwrap_or_else(|| panic!("{hop} is not there"));
    assert_eq!(ids.count(), 0, "{hop} is there twice");
    *id
}

fn settled(world: &mut World, when: &str) {
    world.settle();
    world.compare(when);
}

/// Three external paths of equal merit, from peers 1 to 3 over hops 1 to 3.
fn three_paths(world: &mut World) -> [PeerId; 3] {
    [1, 2, 3].map(|n| {
        let id = world.up(external(n));
        world.announce(id, &[net(NET)], &via(65100 + u32::from(n), n));
        id
    })
}

#[test]
fn paths_of_one_peer_are_apart_by_identifier_and_zero_is_one_of_them() {
    let mut world = world();
    let from = world.up(giver(1));
    let to = world.up(client(2, SendPaths::All));
    for (id, last) in [(0, 1), (1, 2), (u32::MAX, 3)] {
        world.announce_path(from, PathId(id), &[net(NET)], &via(65101, last));
    }
    settled(&mut world, "three");
    assert_eq!(hops(&world, to), [hop(1), hop(2), hop(3)]);
    world.withdraw_path(from, PathId(0), &[net(NET)]);
    settled(&mut world, "without 0");
    assert_eq!(hops(&world, to), [hop(2), hop(3)]);
    world.withdraw_path(from, PathId(7), &[net(NET)]);
    settled(&mut world, "one that was not there");
    assert_eq!(hops(&world, to), [hop(2), hop(3)]);
    let counters = world.rib.peer_counters(from);
    assert_eq!((counters.received[0], counters.prefixes[0]), (2, 1));
}

#[test]
fn the_same_identifier_again_replaces_the_path() {
    let mut world = world();
    let from = world.up(giver(1));
    let to = world.up(client(2, SendPaths::All));
    world.announce_path(from, PathId(4), &[net(NET)], &via(65101, 1));
    world.announce_path(from, PathId(5), &[net(NET)], &via(65101, 2));
    settled(&mut world, "two");
    let before = id_of(&world, to, hop(1));
    world.announce_path(from, PathId(4), &[net(NET)], &via(65101, 3));
    settled(&mut world, "replaced");
    assert_eq!(hops(&world, to), [hop(2), hop(3)]);
    assert_eq!(id_of(&world, to, hop(3)), before);
}

#[test]
fn of_two_equal_paths_of_one_peer_the_lower_identifier_is_best() {
    let mut world = world();
    let from = world.up(giver(1));
    world.announce_path(from, PathId(9), &[net(NET)], &via(65101, 1));
    world.announce_path(from, PathId(2), &[net(NET)], &via(65101, 2));
    settled(&mut world, "two");
    let story = world.rib.explain(net(NET)).unwrap();
    assert_eq!(story.paths[0].path_id, Some(PathId(2)));
    assert_eq!(
        story.paths[0].fate,
        godwit_rib::PathFate::Best(Step::PathId)
    );
}

#[test]
fn a_session_without_identifiers_leaves_nothing_of_one_with_them() {
    let mut world = world();
    let from = world.up(giver(1));
    let to = world.up(client(2, SendPaths::All));
    for id in 0..3 {
        world.announce_path(from, PathId(id), &[net(NET)], &via(65101, id as u8 + 1));
    }
    settled(&mut world, "three");
    world.down(from);
    let again = world.up(external(1));
    world.announce(again, &[net(NET)], &via(65101, 9));
    settled(&mut world, "another session");
    assert_eq!(hops(&world, to), [hop(9)]);
    assert_eq!(world.rib.summary().paths, [1, 0]);
}

#[test]
fn a_changed_import_policy_judges_each_path() {
    let mut world = world();
    let from = world.up(giver(1));
    let to = world.up(client(2, SendPaths::All));
    for id in 0..3 {
        world.announce_path(from, PathId(id), &[net(NET)], &via(65101, id as u8 + 1));
    }
    settled(&mut world, "three");
    let ids = held(&world, to);
    world.set_import(from, [PolicyRef::reject_all(), PolicyRef::reject_all()]);
    settled(&mut world, "rejected");
    assert!(held(&world, to).is_empty());
    assert_eq!(world.rib.peer_counters(from).rejected[0], 3);
    world.set_import(from, [PolicyRef::accept_all(), PolicyRef::accept_all()]);
    settled(&mut world, "accepted");
    // The paths were here all the time, and so were their identifiers.
    assert_eq!(held(&world, to), ids);
}

#[test]
fn one_number_all_or_those_of_equal_merit_are_sent() {
    let mut world = world();
    world.reconfigure(RibConfig {
        max_paths_external: 2,
        multipath_relax: true,
        ..config()
    });
    let mut worse = via(65104, 4);
    worse.prepend_as(Asn(65104), 1);
    three_paths(&mut world);
    let last = world.up(external(4));
    world.announce(last, &[net(NET)], &worse);
    let [one, two, all, ecmp] = [
        (11, best(1)),
        (12, best(2)),
        (13, SendPaths::All),
        (14, SendPaths::Ecmp),
    ]
    .map(|(n, send)| world.up(client(n, send)));
    settled(&mut world, "sent");
    assert_eq!(hops(&world, one), [hop(1)]);
    assert_eq!(hops(&world, two), [hop(1), hop(2)]);
    assert_eq!(hops(&world, all), [hop(1), hop(2), hop(3), hop(4)]);
    assert_eq!(hops(&world, ecmp), [hop(1), hop(2)]);
    world.reconfigure(RibConfig {
        max_paths_external: 3,
        multipath_relax: true,
        ..config()
    });
    settled(&mut world, "more paths");
    assert_eq!(hops(&world, ecmp), [hop(1), hop(2), hop(3)]);
}

#[test]
fn identifiers_stay_when_another_path_becomes_the_best() {
    let mut world = world();
    let [first, second, _] = three_paths(&mut world);
    let all = world.up(client(11, SendPaths::All));
    let two = world.up(client(12, best(2)));
    settled(&mut world, "first is best");
    let before = held(&world, all);
    assert_eq!(before.len(), 3);
    let told = world.remotes[&all.0].told;
    // Worse than all others now, and told of anew under its own identifier.
    let mut longer = via(65101, 1);
    longer.prepend_as(Asn(65101), 2);
    world.announce(first, &[net(NET)], &longer);
    settled(&mut world, "second is best");
    assert_eq!(held(&world, all), before);
    assert_eq!(world.remotes[&all.0].told, told + 1);
    assert_eq!(hops(&world, two), [hop(2), hop(3)]);
    assert_eq!(id_of(&world, two, hop(2)), id_of(&world, all, hop(2)));
    world.withdraw(second, &[net(NET)]);
    settled(&mut world, "second is gone");
    assert_eq!(hops(&world, two), [hop(1), hop(3)]);
    assert_eq!(id_of(&world, all, hop(1)), before_id(&before, hop(1)));
    assert_eq!(id_of(&world, all, hop(3)), before_id(&before, hop(3)));
}

fn before_id(before: &BTreeMap<PathId, NextHop>, hop: NextHop) -> PathId {
    *before.iter().find(|(_, other)| **other == hop).unwrap().0
}

#[test]
fn a_path_does_not_go_back_to_its_source_but_the_others_do() {
    let mut world = world();
    let source = |n| PeerSpec {
        add_path_send: [Some(SendPaths::All); 2],
        ..spec(n, SessionKind::InternalClient)
    };
    let [one, two] = [1, 2].map(|n| world.up(source(n)));
    let third = world.up(client(3, SendPaths::All));
    assert_eq!(world.rib.summary().update_groups, 1);
    world.announce(one, &[net(NET)], &inside(via(1, 1), 100));
    world.announce(two, &[net(NET)], &inside(via(1, 2), 200));
    settled(&mut world, "two sources");
    assert_eq!(hops(&world, one), [hop(2)]);
    assert_eq!(hops(&world, two), [hop(1)]);
    assert_eq!(hops(&world, third), [hop(1), hop(2)]);
    assert_eq!(
        [one, two, third].map(|id| world.rib.peer_counters(id).advertised[0]),
        [1, 1, 2]
    );
}

#[test]
fn an_identifier_that_another_path_takes_over_is_withdrawn_from_its_source() {
    let mut world = world();
    let [one, two, third] = [1, 2, 3].map(|n| world.up(client(n, SendPaths::All)));
    world.announce(one, &[net(NET)], &inside(via(1, 1), 100));
    settled(&mut world, "from the first");
    let id = id_of(&world, third, hop(1));
    assert_eq!(id_of(&world, two, hop(1)), id);
    // In one go: its slot is free, and the very next path takes it.
    world.withdraw(one, &[net(NET)]);
    world.announce(two, &[net(NET)], &inside(via(1, 1), 100));
    settled(&mut world, "from the second");
    assert_eq!(id_of(&world, third, hop(1)), id);
    assert_eq!(id_of(&world, one, hop(1)), id);
    assert!(held(&world, two).is_empty());
}

#[test]
fn a_secondary_path_that_a_policy_comes_to_reject_is_withdrawn() {
    let not_from = |asn: u32| {
        let mut rule = RuleSpec {
            then: Some(Then::Reject),
            ..RuleSpec::default()
        };
        let community = StandardCommunity(65000 << 16 | (asn - 65100));
        rule.matches.communities = vec![CommunityPattern::Exactly(Community::Standard(community))];
        let mut set = PolicySetSpec::default();
        set.policies.insert("not".into(), vec![rule]);
        let set = PolicySet::compile(&set).unwrap();
        set.chain(&["not", "accept-all"]).unwrap()
    };
    let mut world = world();
    let sources = [1u8, 2, 3].map(|n| {
        let id = world.up(external(n));
        let mut attrs = via(65100 + u32::from(n), n);
        attrs.community_add(&[65000 << 16 | u32::from(n)]);
        world.announce(id, &[net(NET)], &attrs);
        id
    });
    let [all, other] = [11, 12].map(|n| world.up(client(n, SendPaths::All)));
    settled(&mut world, "all");
    // One of the group alone, which so leaves it.
    world.set_export(all, [not_from(65102), not_from(65102)]);
    settled(&mut world, "without the second");
    assert_eq!(hops(&world, all), [hop(1), hop(3)]);
    assert_eq!(hops(&world, other).len(), 3);
    // Its paths are the ones the whole group is sent.
    world.set_export(all, [PolicyRef::accept_all(), PolicyRef::accept_all()]);
    settled(&mut world, "all again");
    assert_eq!(held(&world, all), held(&world, other));
    // A route may become such that it does not go out.
    let mut confined = via(65103, 3);
    confined.community_add(&[godwit_bgp::attrs::community::NO_ADVERTISE]);
    world.announce(sources[2], &[net(NET)], &confined);
    settled(&mut world, "without the third");
    assert_eq!(hops(&world, all), [hop(1), hop(2)]);
}

#[test]
fn another_number_is_applied_in_place() {
    let mut world = world();
    three_paths(&mut world);
    let [one, other] = [11, 12].map(|n| world.up(client(n, best(2))));
    settled(&mut world, "two");
    assert_eq!(world.rib.summary().update_groups, 2);
    world.set_send_paths(one, SendPaths::All);
    settled(&mut world, "one of two");
    assert_eq!(hops(&world, one).len(), 3);
    assert_eq!(hops(&world, other), [hop(1), hop(2)]);
    // It was told of the third path, and of the others once more.
    assert_eq!(world.remotes[&one.0].told, 2 + 3);
    world.set_send_paths(one, best(1));
    world.set_send_paths(other, best(1));
    settled(&mut world, "both");
    assert_eq!(hops(&world, one), [hop(1)]);
    assert_eq!(hops(&world, other), [hop(1)]);
    assert_eq!(world.rib.summary().update_groups, 2);
}

#[test]
fn a_late_member_and_a_refresh_get_every_path_and_the_end_of_rib_once() {
    let mut world = world();
    three_paths(&mut world);
    world.up(client(11, SendPaths::All));
    world.settle();
    let late = world.up(client(12, SendPaths::All));
    settled(&mut world, "late");
    assert_eq!(world.remotes[&late.0].told, 3);
    world.refresh(late, Family::Ipv4Unicast);
    settled(&mut world, "refreshed");
    assert_eq!(world.remotes[&late.0].told, 6);
}

fn many(n: u32) -> Vec<IpNet> {
    (0..n)
        .map(|i| format!("10.{}.{}.0/24", i / 256, i % 256).parse().unwrap())
        .collect()
}

#[test]
fn a_member_that_reads_nothing_is_told_of_every_path_that_went_meanwhile() {
    let mut world = world();
    world.rib.set_group_backlog(20_000);
    let sources = [1, 2, 3].map(|n| world.up(giver(n)));
    let quick = world.up(client(11, SendPaths::All));
    let slow = world.up(client(12, SendPaths::All));
    let nets = many(60);
    for (n, source) in sources.into_iter().enumerate() {
        for id in 0..2 {
            let attrs = via(65101 + n as u32, 1 + id as u8);
            world.announce_path(source, PathId(id), &nets, &attrs);
        }
    }
    settled(&mut world, "six each");
    // What it holds goes, path by path, and others come, under other
    // identifiers or the same; and all of it again.
    for round in 0u32..30 {
        let source = sources[round as usize % 3];
        let (some, rest) = nets.split_at(round as usize * 2);
        world.withdraw_path(source, PathId(round % 2), some);
        world.announce_path(
            source,
            PathId(round % 5),
            rest,
            &via(65101, 10 + round as u8),
        );
        while world.rib.work(64) {}
        while world.poll(quick, 1 << 20) {}
    }
    world.withdraw_path(sources[1], PathId(0), &nets);
    world.withdraw_path(sources[1], PathId(1), &nets);
    settled(&mut world, "caught up");
    let (slow, quick) = (&world.remotes[&slow.0], &world.remotes[&quick.0]);
    // Identifiers too.
    assert_eq!(slow.table, quick.table);
    assert!(slow.told < quick.told);
}

#[test]
fn paths_that_no_longer_resolve_are_withdrawn_and_come_back() {
    let reachable = |reachable| NextHopState { reachable, cost: 0 };
    let known = [1, 2, 3].map(|last| (hop(last), reachable(true)));
    let require = RibConfig {
        require_next_hop: true,
        ..config()
    };
    let mut world = World::new(require, known.into());
    three_paths(&mut world);
    let all = world.up(client(11, SendPaths::All));
    settled(&mut world, "three");
    let before = held(&world, all);
    world.next_hop(hop(3), reachable(false));
    settled(&mut world, "two");
    assert_eq!(hops(&world, all), [hop(1), hop(2)]);
    world.next_hop(hop(3), reachable(true));
    settled(&mut world, "three again");
    assert_eq!(held(&world, all), before);
}

#[test]
fn each_path_goes_by_the_rules_of_its_own_source() {
    let mut world = world();
    let edge = world.up(external(1));
    let inner = world.up(internal(2));
    let reflected = world.up(spec(3, SessionKind::InternalClient));
    let own = PeerSpec {
        add_path_send: [Some(SendPaths::All); 2],
        next_hop_self: true,
        ..internal(11)
    };
    let non_client = world.up(own);
    let client = world.up(client(12, SendPaths::All));
    let outside = world.up(PeerSpec {
        add_path_send: [Some(SendPaths::All); 2],
        ..external(13)
    });
    world.announce(edge, &[net(NET)], &via(65101, 1));
    world.announce(inner, &[net(NET)], &inside(via(7, 2), 50));
    world.announce(reflected, &[net(NET)], &inside(via(8, 3), 60));
    settled(&mut world, "sent");
    let ours = NextHop::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
    // RFC 4456 §6: nothing of a non-client to another; ourselves as the next hop
    // of what is not reflected.
    assert_eq!(hops(&world, non_client), [hop(3), ours]);
    assert_eq!(hops(&world, client), [hop(1), hop(2), hop(3)]);
    assert_eq!(hops(&world, outside), [ours; 3]);
    let table = &world.remotes[&client.0].table;
    let reflected = |last: u8| {
        let mut paths = table.values().filter(|a| a.next_hop == hop(last));
        paths.next().unwrap().as_ref().originator_id()
    };
    assert_eq!(reflected(1), None);
    assert!(reflected(2).is_some() && reflected(3) != reflected(2));
}

#[test]
fn one_family_may_have_several_paths_and_the_other_one() {
    let mut world = world();
    let v6: IpNet = "2001:db8:1::/48".parse().unwrap();
    let half = PeerSpec {
        add_path_send: [None, Some(SendPaths::All)],
        ..spec(11, SessionKind::InternalClient)
    };
    let sources = three_paths(&mut world);
    for (n, source) in sources.into_iter().enumerate() {
        let mut attrs = via(65101 + n as u32, 0);
        attrs.next_hop = NextHop::V6(format!("2001:db8:ffff::{}", n + 1).parse().unwrap());
        world.announce(source, &[v6], &attrs);
    }
    let to = world.up(half);
    settled(&mut world, "both");
    let counters = world.rib.peer_counters(to);
    assert_eq!(counters.advertised, [1, 3]);
}

fn advertised(world: &mut World, to: PeerId) -> Vec<(Option<PathId>, PeerId, bool)> {
    let query = RouteQuery {
        view: RouteView::Advertised(to),
        family: None,
        prefix: PrefixFilter::Any,
    };
    let page = world.rib.routes(&query, None, 100);
    let entries = page.entries.iter();
    entries.map(|e| (e.path_id, e.peer, e.best)).collect()
}

#[test]
fn identifiers_are_told_as_they_go_over_the_wire() {
    let mut world = world();
    let from = world.up(giver(1));
    let plain = world.up(external(2));
    let to = world.up(client(11, SendPaths::All));
    let alone = world.up(spec(12, SessionKind::InternalClient));
    world.announce_path(from, PathId(77), &[net(NET)], &via(65101, 1));
    world.announce_path(from, PathId(3), &[net(NET)], &inside_out(via(65101, 2)));
    world.announce(plain, &[net(NET)], &via(65102, 3));
    settled(&mut world, "three");
    let query = RouteQuery {
        view: RouteView::All,
        family: None,
        prefix: PrefixFilter::Any,
    };
    let page = world.rib.routes(&query, None, 100);
    let mut received: Vec<_> = page.entries.iter().map(|e| (e.peer, e.path_id)).collect();
    received.sort();
    let known = [
        (from, Some(PathId(3))),
        (from, Some(PathId(77))),
        (plain, None),
    ];
    assert_eq!(received, known);
    let mut sent = advertised(&mut world, to);
    sent.sort();
    let ids: Vec<PathId> = sent.iter().filter_map(|(id, ..)| *id).collect();
    assert_eq!(ids, held(&world, to).into_keys().collect::<Vec<_>>());
    assert_eq!(sent.iter().filter(|(.., best)| *best).count(), 1);
    assert_eq!(advertised(&mut world, alone), [(None, from, true)]);
    let story = world.rib.explain(net(NET)).unwrap();
    let of = |peer| story.advertised_to.iter().filter(move |a| a.to == peer);
    assert_eq!(of(to).count(), 3);
    assert_eq!(of(alone).filter(|a| a.path_id.is_none()).count(), 1);
}

/// Worse than without.
fn inside_out(mut attrs: AttrsBuf) -> AttrsBuf {
    attrs.prepend_as(Asn(65101), 1);
    attrs
}

/// What the kernel is to forward by.
fn forwarded(world: &World) -> Vec<NextHop> {
    match &world.kernel[&net(NET)] {
        Target::Hops(hops, _) => hops.iter().map(|(hop, _)| *hop).collect(),
        Target::Blackhole(_) => Vec::new(),
    }
}

fn max_paths(external: u16, internal: u16) -> RibConfig {
    RibConfig {
        max_paths_external: external,
        max_paths_internal: internal,
        multipath_relax: true,
        ..config()
    }
}

#[test]
fn as_many_external_paths_are_used_as_are_allowed_of_their_kind() {
    let mut world = world();
    three_paths(&mut world);
    for (external, used) in [(1, 1), (2, 2), (3, 3), (16, 3), (1, 1)] {
        world.reconfigure(max_paths(external, 9));
        settled(&mut world, "external");
        assert_eq!(forwarded(&world).len(), used, "{external}");
    }
}

#[test]
fn as_many_internal_paths_are_used_as_are_allowed_of_their_kind() {
    let mut world = world();
    for n in 1..=3 {
        let id = world.up(internal(n));
        world.announce(id, &[net(NET)], &inside(via(65101, n), 100));
    }
    for (internal, used) in [(1, 1), (2, 2), (3, 3), (16, 3), (1, 1)] {
        world.reconfigure(max_paths(9, internal));
        settled(&mut world, "internal");
        assert_eq!(forwarded(&world).len(), used, "{internal}");
    }
}

#[test]
fn external_and_internal_paths_are_not_used_at_once() {
    let mut world = world();
    three_paths(&mut world);
    let inner = world.up(internal(4));
    world.announce(inner, &[net(NET)], &inside(via(65104, 4), 100));
    world.reconfigure(max_paths(16, 16));
    settled(&mut world, "both kinds");
    assert_eq!(forwarded(&world), [hop(1), hop(2), hop(3)]);
}

#[test]
fn paths_of_one_peer_are_used_at_once() {
    let mut world = world();
    world.reconfigure(max_paths(16, 16));
    let from = world.up(giver(1));
    for id in 0..3 {
        world.announce_path(from, PathId(id), &[net(NET)], &via(65101, 1 + id as u8));
    }
    // The same way once more is no other way.
    world.announce_path(from, PathId(9), &[net(NET)], &via(65101, 2));
    settled(&mut world, "one peer");
    assert_eq!(forwarded(&world), [hop(1), hop(2), hop(3)]);
}
