//! A peer that restarts and whose routes are kept (RFC 4724 §4.2).

use std::net::Ipv4Addr;
use std::time::Duration;

use godwit_bgp::attrs::{AttrsBuf, Origin};
use godwit_bgp::{Asn, Family, NextHop, RouterId, SessionKind};
use godwit_policy::route::PolicyRef;
use godwit_rib::{PeerId, PeerSpec};
use ipnet::IpNet;

use crate::rules::{inside, spec, via, world};
use crate::world::World;

const V4: Family = Family::Ipv4Unicast;
const BOTH: [bool; 2] = [true; 2];

fn restarts(number: u8) -> PeerSpec {
    PeerSpec {
        sends_end_of_rib: true,
        enhanced_refresh: true,
        ..spec(number, SessionKind::InternalClient)
    }
}

fn many(n: u32) -> Vec<IpNet> {
    let net = |i: u32| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap();
    (0..n).map(net).collect()
}

/// A source of ten routes, and another peer that has them.
fn standing() -> (World, PeerId, PeerId) {
    let mut world = world();
    let source = world.up(restarts(1));
    let other = world.up(restarts(2));
    world.announce(source, &many(10), &inside(via(1, 1), 100));
    world.end_of_rib(source, V4);
    world.settle();
    world.compare("before");
    (world, source, other)
}

fn told(world: &World, id: PeerId) -> usize {
    world.remotes[&id.0].told
}

/// Whether the kernel was to be told anything.
fn kernel_hears(world: &mut World) -> bool {
    let mut changes = Vec::new();
    world.rib.poll_fib(&mut changes, 1000);
    !changes.is_empty()
}

#[test]
fn a_peer_that_comes_back_unchanged_moves_nobody_and_nothing() {
    let (mut world, source, other) = standing();
    let before = told(&world, other);
    world.away(source, BOTH);
    while world.rib.work(1000) {}
    assert!(!kernel_hears(&mut world), "when it went");
    world.compare("away");
    let back = world.back(source, restarts(1), BOTH);
    assert_eq!(back, source);
    world.announce(source, &many(10), &inside(via(1, 1), 100));
    world.end_of_rib(source, V4);
    while world.rib.work(1000) {}
    assert!(!kernel_hears(&mut world), "when it was back");
    world.settle();
    world.compare("back");
    assert_eq!(told(&world, other), before);
}

#[test]
fn a_stale_route_is_as_good_as_it_was() {
    let (mut world, source, _) = standing();
    let third = world.up(restarts(3));
    world.announce(third, &many(10), &inside(via(3, 3), 50));
    world.away(source, BOTH);
    world.settle();
    world.compare("with a rival of a lower LOCAL_PREF");
    assert_eq!(world.rib.peer_counters(source).best, [10, 0]);
    assert_eq!(world.rib.peer_counters(source).stale, [10, 0]);
}

#[test]
fn what_it_does_not_announce_again_goes_with_its_end_of_rib_and_not_before() {
    let (mut world, source, other) = standing();
    world.away(source, BOTH);
    world.back(source, restarts(1), BOTH);
    world.announce(source, &many(4), &inside(via(1, 1), 100));
    world.settle();
    world.compare("half way");
    assert_eq!(world.remotes[&other.0].table.len(), 10);
    world.end_of_rib(source, V4);
    world.settle();
    world.compare("swept");
    assert_eq!(world.remotes[&other.0].table.len(), 4);
}

#[test]
fn an_end_of_rib_that_never_comes_is_not_waited_for() {
    let (mut world, source, other) = standing();
    world.away(source, BOTH);
    world.back(source, restarts(1), BOTH);
    world.announce(source, &many(4), &inside(via(1, 1), 100));
    world.stale_over(source, V4);
    world.settle();
    world.compare("over");
    assert_eq!(world.remotes[&other.0].table.len(), 4);
    // And when it comes, it means nothing any more.
    world.end_of_rib(source, V4);
    world.settle();
    world.compare("late");
}

#[test]
fn a_family_whose_forwarding_was_lost_goes_as_the_peer_comes_back() {
    let (mut world, source, other) = standing();
    let v6: IpNet = "2001:db8:77::/48".parse().unwrap();
    let hop = NextHop::V6("2001:db8::7".parse().unwrap());
    let attrs = inside(AttrsBuf::new(hop, Origin::Igp), 100);
    world.announce(source, &[v6], &attrs);
    world.settle();
    world.away(source, BOTH);
    world.settle();
    world.compare("away");
    let had = world.remotes[&other.0].table.len();
    world.back(source, restarts(1), [false, true]);
    world.settle();
    world.compare("IPv4 was lost");
    assert_eq!(world.remotes[&other.0].table.len(), had - 10);
}

#[test]
fn a_family_that_it_no_longer_speaks_goes_as_the_peer_comes_back() {
    let (mut world, source, other) = standing();
    world.away(source, BOTH);
    let spec = PeerSpec {
        families: [false, true],
        ..restarts(1)
    };
    world.back(source, spec, BOTH);
    world.settle();
    world.compare("without IPv4");
    assert!(world.remotes[&other.0].table.is_empty());
}

#[test]
fn a_second_restart_deletes_what_was_stale_and_keeps_what_was_not() {
    let (mut world, source, other) = standing();
    world.away(source, BOTH);
    world.back(source, restarts(1), BOTH);
    world.announce(source, &many(3), &inside(via(1, 1), 100));
    world.settle();
    world.away(source, BOTH);
    world.settle();
    world.compare("again");
    assert_eq!(world.remotes[&other.0].table.len(), 3);
    assert_eq!(world.rib.peer_counters(source).stale, [3, 0]);
    world.down(source);
    world.settle();
    world.compare("given up");
    assert!(world.remotes[&other.0].table.is_empty());
    assert!(world.gone.contains(&source));
}

#[test]
fn restarts_without_a_sweep_between_them_lose_routes_rather_than_keep_a_lie() {
    let (mut world, source, _) = standing();
    let mut id = source;
    for _ in 0..600 {
        world.rib.peer_away(id, BOTH);
        id = world.rib.peer_back(id, restarts(1), BOTH, Duration::ZERO);
    }
    world.rib.peer_down(id);
    while world.rib.work(1000) {}
    assert_eq!(world.rib.summary().paths, [0, 0]);
}

#[test]
fn another_router_behind_the_same_address_inherits_nothing() {
    for (what, new) in [
        (
            "router id",
            PeerSpec {
                router_id: RouterId(77),
                ..restarts(1)
            },
        ),
        (
            "AS",
            PeerSpec {
                asn: Asn(65_077),
                kind: SessionKind::External,
                ..restarts(1)
            },
        ),
    ] {
        let (mut world, source, other) = standing();
        world.away(source, BOTH);
        let new = world.back(source, new, BOTH);
        assert_ne!(new, source, "{what}");
        world.settle();
        world.compare(what);
        assert!(world.remotes[&other.0].table.is_empty(), "{what}");
    }
}

#[test]
fn a_policy_that_changes_while_the_peer_is_away_judges_its_routes() {
    let (mut world, source, other) = standing();
    world.away(source, BOTH);
    world.set_import(source, [PolicyRef::reject_all(), PolicyRef::reject_all()]);
    world.settle();
    world.compare("rejected");
    assert!(world.remotes[&other.0].table.is_empty());
    let spec = PeerSpec {
        import: [PolicyRef::accept_all(), PolicyRef::accept_all()],
        ..restarts(1)
    };
    world.back(source, spec, BOTH);
    world.settle();
    world.compare("accepted again");
    assert_eq!(world.remotes[&other.0].table.len(), 10);
}
