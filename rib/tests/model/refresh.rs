//! The enhanced refresh (RFC 7313), in both roles.

use std::net::Ipv4Addr;

use godwit_bgp::{Family, SessionKind};
use godwit_policy::route::PolicyRef;
use godwit_rib::{PeerId, PeerSpec, PrefixFilter, RouteQuery, RouteView};
use ipnet::IpNet;

use crate::rules::{NET, inside, net, spec, via, world};
use crate::world::World;

const V4: Family = Family::Ipv4Unicast;

fn enhanced(number: u8) -> PeerSpec {
    PeerSpec {
        enhanced_refresh: true,
        ..spec(number, SessionKind::InternalClient)
    }
}

fn many(n: u32) -> Vec<IpNet> {
    let net = |i: u32| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap();
    (0..n).map(net).collect()
}

fn stale(world: &mut World, id: PeerId) -> usize {
    let query = RouteQuery {
        view: RouteView::Received(id),
        family: None,
        prefix: PrefixFilter::Any,
    };
    let page = world.rib.routes(&query, None, 10_000);
    page.entries.iter().filter(|entry| entry.stale).count()
}

#[test]
fn marks_surround_the_routes_of_the_one_who_asked_and_nobody_else_sees_them() {
    let mut world = world();
    let source = world.up(enhanced(1));
    let asks = world.up(enhanced(2));
    let other = world.up(enhanced(3));
    world.announce(source, &many(100), &inside(via(1, 1), 100));
    world.settle();
    world.refresh(asks, V4);
    world.settle();
    world.compare("refreshed");
    let seen = |id: PeerId| (world.remotes[&id.0].told, world.remotes[&id.0].refreshed);
    assert_eq!(seen(asks), (200, [1, 0]));
    assert_eq!(seen(other), (100, [0, 0]));
    assert_eq!(seen(source), (0, [0, 0]));
}

#[test]
fn requests_while_one_is_answered_are_answered_once_more_together() {
    let mut world = world();
    let source = world.up(enhanced(1));
    let asks = world.up(enhanced(2));
    world.announce(source, &many(5000), &inside(via(1, 1), 100));
    world.settle();
    world.refresh(asks, V4);
    world.poll(asks, 10);
    for _ in 0..10 {
        world.refresh(asks, V4);
    }
    world.settle();
    world.compare("refreshed");
    assert_eq!(world.remotes[&asks.0].refreshed, [2, 0]);
}

#[test]
fn a_request_before_the_end_of_rib_waits_for_it() {
    let mut world = world();
    let source = world.up(enhanced(1));
    world.announce(source, &many(50), &inside(via(1, 1), 100));
    world.settle();
    let asks = world.up(enhanced(2));
    // The remote asserts that no mark comes before the End-of-RIB.
    world.refresh(asks, V4);
    world.settle();
    world.compare("refreshed");
    assert_eq!(world.remotes[&asks.0].refreshed, [1, 0]);
}

#[test]
fn a_refresh_survives_a_change_of_policy_in_its_midst() {
    let mut world = world();
    let source = world.up(enhanced(1));
    let asks = world.up(enhanced(2));
    let other = world.up(enhanced(3));
    world.announce(source, &many(5000), &inside(via(1, 1), 100));
    world.settle();
    world.refresh(asks, V4);
    world.poll(asks, 10);
    let none = || [PolicyRef::reject_all(), PolicyRef::reject_all()];
    world.set_export(asks, none());
    world.settle();
    world.compare("one of two");
    let all = || [PolicyRef::accept_all(), PolicyRef::accept_all()];
    world.set_export(asks, all());
    world.refresh(other, V4);
    world.poll(other, 10);
    world.set_export(other, none());
    world.set_export(asks, none());
    world.set_export(source, none());
    world.settle();
    world.compare("the whole group");
    assert_eq!(world.remotes[&asks.0].refreshed, [1, 0]);
    assert_eq!(world.remotes[&other.0].refreshed, [1, 0]);
}

#[test]
fn what_a_peer_refreshes_stays_in_use_until_the_end_and_then_goes_if_it_did_not_come() {
    let mut world = world();
    let source = world.up(enhanced(1));
    let other = world.up(enhanced(2));
    world.announce(source, &many(10), &inside(via(1, 1), 100));
    world.settle();
    world.refresh_begin(source, V4);
    world.announce(source, &many(4), &inside(via(1, 1), 100));
    world.settle();
    world.compare("under way");
    assert!(world.rib.peer_counters(source).refreshing[0]);
    assert_eq!(stale(&mut world, source), 6);
    assert_eq!(world.remotes[&other.0].told, 10, "nothing was told twice");
    world.refresh_end(source, V4);
    world.settle();
    world.compare("over");
    assert_eq!(world.remotes[&other.0].table.len(), 4);
    assert_eq!(stale(&mut world, source), 0);
    assert!(!world.rib.peer_counters(source).refreshing[0]);
}

#[test]
fn a_second_beginning_starts_over() {
    let mut world = world();
    let source = world.up(enhanced(1));
    world.announce(source, &many(10), &inside(via(1, 1), 100));
    world.refresh_begin(source, V4);
    world.announce(source, &many(8), &inside(via(1, 1), 100));
    world.refresh_begin(source, V4);
    world.announce(source, &many(2), &inside(via(1, 1), 100));
    world.refresh_end(source, V4);
    world.settle();
    world.compare("over");
    assert_eq!(world.rib.peer_counters(source).received, [2, 0]);
}

#[test]
fn a_beginning_in_the_midst_of_the_sweep_of_the_last_takes_no_more_with_it() {
    let mut world = world();
    let source = world.up(enhanced(1));
    world.announce(source, &many(3000), &inside(via(1, 1), 100));
    world.refresh_begin(source, V4);
    world.announce(source, &many(1000), &inside(via(1, 1), 100));
    world.refresh_end(source, V4);
    world.rib.work(100);
    world.refresh_begin(source, V4);
    world.settle();
    world.compare("swept once");
    assert_eq!(world.rib.peer_counters(source).received, [1000, 0]);
    world.refresh_end(source, V4);
    world.settle();
    world.compare("swept twice");
}

#[test]
fn an_end_without_a_beginning_and_a_beginning_before_the_end_of_rib_mean_nothing() {
    let mut world = world();
    let restarts = PeerSpec {
        sends_end_of_rib: true,
        ..enhanced(1)
    };
    let source = world.up(restarts);
    world.announce(source, &[net(NET)], &inside(via(1, 1), 100));
    world.refresh_end(source, V4);
    world.rib.refresh_begin(source, V4);
    world.rib.refresh_end(source, V4);
    world.settle();
    world.compare("as before");
    world.end_of_rib(source, V4);
    world.refresh_begin(source, V4);
    world.refresh_end(source, V4);
    world.settle();
    world.compare("gone");
    assert_eq!(world.rib.peer_counters(source).received, [0, 0]);
}

#[test]
fn a_session_that_ends_in_the_midst_of_a_refresh_leaves_nothing() {
    let mut world = world();
    let source = world.up(enhanced(1));
    world.announce(source, &many(2000), &inside(via(1, 1), 100));
    world.refresh_begin(source, V4);
    world.announce(source, &many(1000), &inside(via(1, 1), 100));
    world.refresh_end(source, V4);
    world.rib.work(10);
    world.down(source);
    world.settle();
    assert_eq!(world.rib.summary(), Default::default());
    let source = world.up(enhanced(1));
    world.announce(source, &many(10), &inside(via(1, 1), 100));
    world.settle();
    world.compare("again");
    assert_eq!(stale(&mut world, source), 0);
}
