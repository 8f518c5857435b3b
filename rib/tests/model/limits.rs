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

/// Of as many attributes as there are prefixes.
fn announce_apart(world: &mut World, id: PeerId, nets: &[IpNet]) {
    for (i, net) in (1..).zip(nets) {
        let mut attrs = inside(via(1, i), 100);
        attrs.set_med(Some(i.into()));
        world.announce(id, &[*net], &attrs);
    }
    world.settle();
}

#[test]
fn what_is_turned_away_takes_no_attributes_from_others() {
    let mut world = world();
    // Its import edits, so that nobody else has its attributes.
    let source = world.up(PeerSpec {
        weight: 5,
        ..limited(1, limit(1))
    });
    let other = world.up(spec(2, SessionKind::InternalClient));
    world.up(spec(3, SessionKind::InternalClient));
    announce(&mut world, source, &nets(0, 1));
    world.announce(source, &nets(1, 3), &inside(via(7, 7), 100));
    announce_apart(&mut world, other, &nets(10, 8));
    world.compare("turned away");
    // One that may change comes after one that may not.
    let both = [nets(4, 1), nets(0, 1)].concat();
    world.announce(source, &both, &inside(via(8, 8), 100));
    announce_apart(&mut world, other, &nets(20, 8));
    world.compare("turned away, then taken");
}

fn accepted_limit(max: u32) -> PrefixLimit {
    PrefixLimit {
        count: Counted::Accepted,
        ..limit(max)
    }
}

/// Accepts what is in here.
fn only(range: &str) -> [PolicyRef; 2] {
    let mut set = PolicySetSpec::default();
    set.prefix_sets
        .insert("some".into(), vec![range.parse().unwrap()]);
    let rule = RuleSpec {
        matches: MatchSpec {
            prefix_sets: vec!["some".into()],
            ..MatchSpec::default()
        },
        sets: SetSpec::default(),
        then: Some(Then::Accept),
        ..RuleSpec::default()
    };
    set.policies.insert("some".into(), vec![rule]);
    let some = PolicySet::compile(&set).unwrap().chain(&["some"]).unwrap();
    [some.clone(), some]
}

#[test]
fn a_limit_that_comes_with_a_tighter_import_counts_what_that_accepts() {
    let mut world = world();
    let source = world.up(spec(1, SessionKind::InternalClient));
    announce(&mut world, source, &nets(0, 1000));
    let tighter = PeerSpec {
        import: only("10.0.0.0/18{24,24}"),
        ..limited(1, accepted_limit(100))
    };
    world.set_spec(source, tighter.clone());
    // Also while the import is about to judge the others.
    world.announce(source, &nets(0, 1), &inside(via(2, 2), 100));
    world.announce(source, &nets(63, 2), &inside(via(2, 2), 100));
    world.rib.work(100);
    world.announce(source, &nets(2, 1), &inside(via(2, 2), 100));
    world.settle();
    assert_eq!(news(&mut world), []);
    assert_eq!(figures(&world, source), (1000, 64, 0, 0));
    world.compare("below its limit");
    // One that leaves more than its limit does pass it, by what came last.
    let wide = PeerSpec {
        import: only("10.0.0.0/16{24,24}"),
        ..tighter
    };
    world.set_spec(source, wide);
    world.settle();
    assert_eq!(news(&mut world), [LimitNews::InExceeded(V4, 101)]);
    assert_eq!(figures(&world, source), (1000, 100, 156, 0));
}

#[test]
fn what_was_kept_out_comes_in_when_an_import_makes_room() {
    let mut world = world();
    let source = world.up(limited(1, accepted_limit(100)));
    // Those over the limit are looked at before the others.
    let other = world.up(spec(2, SessionKind::InternalClient));
    announce(&mut world, other, &nets(64, 20));
    announce(&mut world, source, &nets(0, 64));
    announce(&mut world, source, &nets(84, 36));
    announce(&mut world, source, &nets(64, 20));
    assert_eq!(figures(&world, source), (120, 100, 20, 0));
    world.set_import(source, only("10.0.64.0/18{24,24}"));
    world.settle();
    assert_eq!(figures(&world, source), (120, 56, 0, 0));
    world.compare("all that the policy accepts");
}

#[test]
fn a_limit_that_only_tells_counts_what_another_import_lets_in() {
    let mut world = world();
    let told = PrefixLimit {
        enforced: false,
        ..accepted_limit(100)
    };
    let source = world.up(PeerSpec {
        import: only("10.0.0.0/18{24,24}"),
        ..limited(1, told)
    });
    announce(&mut world, source, &nets(0, 200));
    assert_eq!(news(&mut world), []);
    world.set_import(source, only("10.0.0.0/16{24,24}"));
    world.settle();
    assert_eq!(news(&mut world), [LimitNews::InExceeded(V4, 200)]);
}

#[test]
fn a_limit_outwards_that_comes_with_a_tighter_export_counts_what_that_lets_go() {
    let mut world = world();
    let source = world.up(spec(1, SessionKind::InternalClient));
    let out = world.up(spec(2, SessionKind::InternalClient));
    // So many that they are encoded in more than one go.
    announce(&mut world, source, &nets(0, 40_000));
    let tighter = PeerSpec {
        export: only("10.0.0.0/18{24,24}"),
        limit_out: [Some(limit(100)), None],
        ..spec(2, SessionKind::InternalClient)
    };
    world.set_spec(out, tighter.clone());
    while world.rib.work(7) {
        world.events();
        for id in world.ready.clone() {
            world.poll(id, 300);
        }
    }
    world.settle();
    assert_eq!(world.limits, []);
    assert_eq!(world.remotes[&out.0].table.len(), 64);
    // A lower limit is asked at once.
    world.set_spec(
        out,
        PeerSpec {
            limit_out: [Some(limit(50)), None],
            ..tighter
        },
    );
    world.settle();
    assert_eq!(world.limits, [(out, LimitNews::OutExceeded(V4, 64))]);
}
