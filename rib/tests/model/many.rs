//! As many paths of a prefix as there may be.

use godwit_bgp::{PathId, SessionKind};
use godwit_rib::{PeerId, PeerSpec};
use ipnet::IpNet;

use crate::rules::{NET, external, inside, net, spec, via, world};
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
