//! As many paths of a prefix as there may be.

use godwit_bgp::{PathId, SendPaths, SessionKind};
use godwit_rib::{
    PathFate, PeerId, PeerSpec, PrefixFilter, Proposal, RibConfig, RouteQuery, RouteView, Step,
};
use ipnet::IpNet;

use crate::rules::{NET, config, external, inside, net, spec, via, world};
use crate::world::World;

/// Gives several paths of a prefix.
fn giver(number: u8) -> PeerSpec {
    PeerSpec {
        add_path_receive: [true; 2],
        ..external(number)
    }
}

/// Not through the naive RIB, which has no limit.
fn fill(world: &mut World, from: PeerId, nets: &[IpNet], n: u32) {
    for id in 0..n {
        world.announce_beside(from, PathId(id), nets, &via(65101, 1));
    }
}

#[test]
fn a_peer_has_no_more_paths_of_a_prefix_than_it_may() {
    let mut world = world();
    let from = world.up(giver(1));
    fill(&mut world, from, &[net(NET)], 1030);
    let counters = world.rib.peer_counters(from);
    assert_eq!((counters.received[0], counters.refused[0]), (1024, 6));
    assert_eq!(counters.prefixes[0], 1);
}

#[test]
fn paths_that_are_too_many_take_no_attributes_from_others() {
    let mut world = world();
    // Its import edits, so that nobody else has its attributes.
    let from = world.up(PeerSpec {
        weight: 5,
        ..giver(1)
    });
    let other = world.up(spec(2, SessionKind::InternalClient));
    let hears = world.up(spec(3, SessionKind::InternalClient));
    let full = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"].map(net);
    fill(&mut world, from, &full, 1024);
    world.announce_beside(from, PathId(5000), &full, &via(7, 7));
    for i in 1..8 {
        let mut attrs = inside(via(1, i), 100);
        attrs.set_med(Some(i.into()));
        world.announce(other, &[net(&format!("10.1.{i}.0/24"))], &attrs);
    }
    world.settle();
    for i in 1..8 {
        let route = world.remotes[&hears.0].route(net(&format!("10.1.{i}.0/24")));
        assert_eq!(route.unwrap().as_ref().med(), Some(i));
    }
}

/// What a slice does with many paths of a prefix is so many units, and what is
/// asked about them takes no longer than there are paths. All of this takes
/// minutes where one path is compared with each other.
#[test]
fn many_paths_of_a_prefix_cost_as_much_as_there_are() {
    let mut world = world();
    world.reconfigure(RibConfig {
        max_paths_external: 16,
        ..config()
    });
    let from = world.up(giver(1));
    let nets: Vec<IpNet> = (0..16).map(|i| net(&format!("10.0.{i}.0/24"))).collect();
    fill(&mut world, from, &nets, 1024);
    let mut calls = 0;
    while world.rib.work(256) {
        calls += 1;
    }
    assert!(calls >= 5, "{calls} calls for 16 times 1024 paths");
    for _ in 0..5 {
        let query = RouteQuery {
            view: RouteView::All,
            family: None,
            prefix: PrefixFilter::Any,
        };
        let page = world.rib.routes(&query, None, usize::MAX);
        assert_eq!(page.entries.len(), 1 << 14);
        world.rib.poll_fib(&mut Vec::new(), 1000);
    }
    world.rib.peer_down(from);
    let mut calls = 0;
    while world.rib.work(256) {
        calls += 1;
    }
    assert!(calls >= 5, "{calls} calls to remove 16 times 1024 paths");
    assert_eq!(world.rib.summary().paths, [0, 0]);
}

/// As above for those that are sent all of them, and what is told of them.
#[test]
fn many_paths_of_a_prefix_go_out_and_are_told_of_at_the_same_cost() {
    let mut world = world();
    let takes = |number| PeerSpec {
        add_path_send: [Some(SendPaths::All), None],
        ..spec(number, SessionKind::InternalClient)
    };
    let one = [net(NET)];
    let from = [1, 2, 3, 4].map(|n| world.up(giver(n)));
    let takers = [5, 6].map(|n| world.up(takes(n)));
    for round in 0..3 {
        for id in 0..4000 {
            let n = (id % 4) as usize;
            let mut attrs = via(65101 + n as u32, 1);
            // Each its own attributes, so that each has a frame of its own.
            attrs.set_med(Some(10_000 * round + id));
            world.announce_beside(from[n], PathId(id), &one, &attrs);
        }
        world.settle();
        for taker in takers {
            assert_eq!(world.remotes[&taker.0].table.len(), 4000);
        }
    }
    // Its list is no more the one that it was.
    let late = world.up(takes(7));
    world.settle();
    assert_eq!(world.remotes[&late.0].table.len(), 4000);
    let story = world.rib.explain(one[0]).unwrap();
    assert_eq!(story.paths.len(), 4000);
    // The givers are sent the best one, which is one's own.
    assert_eq!(story.advertised_to.len(), 3 * 4000 + 3);
    // The least MED of a neighbour AS beats the others of it.
    let least = |n: u32| (from[n as usize], Some(PathId(n)));
    for path in &story.paths {
        if path.fate == PathFate::Lost(Step::Med) {
            let n = path.path_id.unwrap().0 % 4;
            assert_eq!(path.beaten_by, Some(least(n)));
        }
    }
    let proposal = Proposal {
        specs: vec![(takers[0], spec(5, SessionKind::InternalClient))],
        gone: vec![from[3]],
        originated: Vec::new(),
        withdrawn: Vec::new(),
        aggregates: Vec::new(),
        config: config(),
    };
    let mut run = world.rib.dry_run(proposal);
    while world.rib.count(&mut run, 64) {}
    let result = run.result();
    let of = |id: PeerId| {
        result
            .peers
            .iter()
            .find(|(peer, ..)| *peer == id)
            .unwrap()
            .2
    };
    assert_eq!(of(late).withdrawn, 1000);
    from.into_iter().for_each(|id| world.down(id));
    world.settle();
    let empty = |id: &PeerId| world.remotes[&id.0].table.is_empty();
    assert!(takers.iter().chain([&late]).all(empty));
}
