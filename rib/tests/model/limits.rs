//! Prefix limits, in both directions.

use std::net::Ipv4Addr;

use godwit_bgp::{Family, SessionKind};
use godwit_policy::route::{
    MatchSpec, PolicyRef, PolicySet, PolicySetSpec, RuleSpec, SetSpec, Then,
};
use godwit_rib::{
    Counted, LimitNews, PeerId, PeerSpec, PrefixFilter, PrefixLimit, RouteQuery, RouteView, Verdict,
};
use ipnet::IpNet;

use crate::rules::{inside, spec, via, world};
use crate::world::World;

const V4: Family = Family::Ipv4Unicast;

fn limit(max: u32) -> PrefixLimit {
    PrefixLimit {
        max,
        warn_from: max * 8 / 10,
        count: Counted::Received,
        enforced: true,
    }
}

fn limited(number: u8, limit: PrefixLimit) -> PeerSpec {
    PeerSpec {
        limit_in: [Some(limit), None],
        ..spec(number, SessionKind::InternalClient)
    }
}

fn nets(from: u32, n: u32) -> Vec<IpNet> {
    let net = |i: u32| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap();
    (from..from + n).map(net).collect()
}

fn announce(world: &mut World, id: PeerId, nets: &[IpNet]) {
    world.announce(id, nets, &inside(via(1, 1), 100));
    world.settle();
}

/// Held, accepted, kept out and remembered, forgotten.
fn figures(world: &World, id: PeerId) -> (u64, u64, u64, u64) {
    let c = world.rib.peer_counters(id);
    (c.received[0], c.accepted[0], c.over_limit[0], c.dropped[0])
}

fn news(world: &mut World) -> Vec<LimitNews> {
    world.limits.drain(..).map(|(_, news)| news).collect()
}

#[test]
fn what_is_over_the_limit_is_kept_out_and_little_of_it_remembered() {
    let mut world = world();
    let source = world.up(limited(1, limit(100)));
    let other = world.up(spec(2, SessionKind::InternalClient));
    announce(&mut world, source, &nets(0, 5000));
    assert_eq!(figures(&world, source), (1124, 100, 1024, 3876));
    assert_eq!(world.remotes[&other.0].table.len(), 100);
    assert_eq!(world.rib.summary().prefixes, [1124, 0]);
    assert_eq!(news(&mut world), [LimitNews::InExceeded(V4, 101)]);
    // Again and again: nothing grows, and nothing is said twice.
    announce(&mut world, source, &nets(0, 5000));
    announce(&mut world, source, &nets(10_000, 5000));
    assert_eq!(world.rib.summary().prefixes, [1124, 0]);
    assert_eq!(news(&mut world), []);
    let query = RouteQuery {
        view: RouteView::Rejected(source),
        family: None,
        prefix: PrefixFilter::Any,
    };
    let page = world.rib.routes(&query, None, 5);
    let over = |entry: &godwit_rib::RouteEntry| entry.verdict == Verdict::OverLimit;
    assert!(page.entries.iter().all(over));
}

#[test]
fn what_was_in_before_may_change_at_the_limit_and_stays() {
    let mut world = world();
    let source = world.up(limited(1, limit(100)));
    let other = world.up(spec(2, SessionKind::InternalClient));
    announce(&mut world, source, &nets(0, 120));
    world.announce(source, &nets(0, 100), &inside(via(7, 2), 300));
    world.settle();
    assert_eq!(figures(&world, source), (120, 100, 20, 0));
    let table = &world.remotes[&other.0].table;
    let new = |attrs: &godwit_bgp::attrs::AttrsBuf| attrs.as_ref().local_pref() == Some(300);
    assert!(table.len() == 100 && table.values().all(new));
}

#[test]
fn the_same_prefix_twice_in_one_update_counts_once() {
    let mut world = world();
    let source = world.up(limited(1, limit(2)));
    let twice = [nets(0, 2), nets(0, 2)].concat();
    announce(&mut world, source, &twice);
    assert_eq!(figures(&world, source), (2, 2, 0, 0));
    assert_eq!(news(&mut world), [LimitNews::InNear(V4, 2)]);
}

#[test]
fn room_takes_in_what_is_remembered_and_tells_of_what_is_not() {
    let mut world = world();
    let source = world.up(limited(1, limit(100)));
    announce(&mut world, source, &nets(0, 1200));
    assert_eq!(figures(&world, source), (1124, 100, 1024, 76));
    news(&mut world);
    world.withdraw(source, &nets(0, 19));
    world.settle();
    assert_eq!(news(&mut world), [], "not yet: it would come and go");
    assert_eq!(figures(&world, source), (1105, 81, 1024, 76));
    world.withdraw(source, &nets(19, 1));
    world.settle();
    // Taken in from what is remembered, and so at the limit again.
    let relieved = LimitNews::InRelieved {
        family: V4,
        dropped: 76,
    };
    assert_eq!(news(&mut world), [relieved, LimitNews::InExceeded(V4, 101)]);
    assert_eq!(figures(&world, source), (1104, 100, 1004, 0));
}

#[test]
fn another_limit_counts_at_once() {
    let mut world = world();
    let source = world.up(limited(1, limit(100)));
    let other = world.up(spec(2, SessionKind::InternalClient));
    announce(&mut world, source, &nets(0, 150));
    news(&mut world);
    let set = |limit_in, world: &mut World| {
        let spec = PeerSpec {
            limit_in: [limit_in, None],
            ..world.naive.peers[&source.0].spec.clone()
        };
        world.set_spec(source, spec);
        world.settle();
        (figures(world, source).1, news(world))
    };
    let (accepted, said) = set(Some(limit(120)), &mut world);
    assert_eq!((accepted, said.len()), (120, 2), "{said:?}");
    // A lower one takes nothing out, and lets nothing more in.
    let (accepted, _) = set(Some(limit(50)), &mut world);
    assert_eq!(accepted, 120);
    let only_told = PrefixLimit {
        enforced: false,
        ..limit(50)
    };
    let (accepted, _) = set(Some(only_told), &mut world);
    assert_eq!(accepted, 150);
    let (accepted, _) = set(None, &mut world);
    assert_eq!(accepted, 150);
    world.compare("no limit");
    assert_eq!(world.remotes[&other.0].table.len(), 150);
}

#[test]
fn a_limit_that_only_tells_says_near_and_passed_once_each() {
    let mut world = world();
    let told = PrefixLimit {
        enforced: false,
        ..limit(100)
    };
    let source = world.up(limited(1, told));
    for n in 0..200 {
        announce(&mut world, source, &nets(n, 1));
    }
    world.compare("all are in");
    assert_eq!(
        news(&mut world),
        [LimitNews::InNear(V4, 80), LimitNews::InExceeded(V4, 101)]
    );
}

#[test]
fn accepted_prefixes_are_counted_after_the_policy() {
    let mut set = PolicySetSpec::default();
    let low = "10.0.0.0/16{24,24}".parse().unwrap();
    set.prefix_sets.insert("low".into(), vec![low]);
    let rule = RuleSpec {
        matches: MatchSpec {
            prefix_sets: vec!["low".into()],
            ..MatchSpec::default()
        },
        sets: SetSpec::default(),
        then: Some(Then::Accept),
        ..RuleSpec::default()
    };
    set.policies.insert("low".into(), vec![rule]);
    let low = PolicySet::compile(&set).unwrap().chain(&["low"]).unwrap();
    let accepted = PrefixLimit {
        count: Counted::Accepted,
        ..limit(100)
    };
    let mut world = world();
    let source = world.up(PeerSpec {
        import: [low.clone(), low],
        ..limited(1, accepted)
    });
    // 256 of them are low.
    announce(&mut world, source, &nets(156, 300));
    assert_eq!(figures(&world, source), (300, 100, 0, 0));
    // Another policy lets more through: the limit is asked there, too.
    let all = [PolicyRef::accept_all(), PolicyRef::accept_all()];
    world.set_import(source, all);
    world.settle();
    assert_eq!(figures(&world, source), (300, 100, 200, 0));
}

#[test]
fn a_refresh_at_the_limit_makes_room_by_what_it_does_not_bring() {
    let mut world = world();
    let source = world.up(limited(1, limit(100)));
    announce(&mut world, source, &nets(0, 100));
    news(&mut world);
    world.refresh_begin(source, V4);
    announce(&mut world, source, &nets(50, 100));
    assert_eq!(figures(&world, source), (150, 100, 50, 0));
    world.refresh_end(source, V4);
    world.settle();
    world.compare("the new ones alone");
    assert_eq!(figures(&world, source), (100, 100, 0, 0));
}

#[test]
fn a_peer_past_the_limit_outwards_is_sent_nothing_more() {
    let mut world = world();
    let source = world.up(spec(1, SessionKind::InternalClient));
    let out = PeerSpec {
        limit_out: [Some(limit(100)), None],
        ..spec(2, SessionKind::InternalClient)
    };
    let small = world.up(out.clone());
    let other = world.up(spec(3, SessionKind::InternalClient));
    announce(&mut world, source, &nets(0, 90));
    assert_eq!(world.limits, [(small, LimitNews::OutNear(V4, 90))]);
    announce(&mut world, source, &nets(90, 60));
    assert_eq!(world.limits.len(), 2);
    assert_eq!(world.limits[1], (small, LimitNews::OutExceeded(V4, 150)));
    assert_eq!(world.remotes[&small.0].table.len(), 90);
    assert_eq!(world.remotes[&other.0].table.len(), 150);
    // One that comes up now is told before it is sent anything.
    world.down(small);
    let again = world.up(out);
    world.settle();
    assert_eq!(world.remotes[&again.0].table.len(), 0);
    assert_eq!(world.limits[2], (again, LimitNews::OutExceeded(V4, 150)));
}

#[test]
fn a_session_that_ends_past_its_limit_leaves_nothing() {
    let mut world = world();
    let source = world.up(limited(1, limit(100)));
    announce(&mut world, source, &nets(0, 2000));
    world.down(source);
    world.settle();
    assert_eq!(world.rib.summary(), Default::default());
    let source = world.up(limited(1, limit(100)));
    assert_eq!(figures(&world, source), (0, 0, 0, 0));
}
