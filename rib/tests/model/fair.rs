//! Input without pause: what is due besides decisions goes on all the same.

use std::net::Ipv4Addr;

use godwit_bgp::{Family, SessionKind};
use godwit_rib::PeerId;
use ipnet::IpNet;

use crate::rules::{external, inside, spec, via, world};
use crate::world::World;

const STABLE: u32 = 2000;
const CHURNING: u32 = 2048;
/// Destinations that change before every call, and units in it: deciding alone
/// could use all.
const BATCH: usize = 64;

fn nets(from: u32, n: u32) -> Vec<IpNet> {
    (from..from + n)
        .map(|i| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap())
        .collect()
}

/// A world with a peer whose routes change all the time.
struct Churn {
    world: World,
    source: PeerId,
    changing: Vec<IpNet>,
    /// Calls so far.
    calls: usize,
}

impl Churn {
    fn new() -> Churn {
        let mut world = world();
        let source = world.up(spec(1, SessionKind::InternalClient));
        let changing = nets(STABLE / 2, CHURNING);
        world.announce(source, &nets(0, STABLE / 2), &inside(via(1, 1), 100));
        world.announce(source, &changing, &inside(via(1, 1), 100));
        let rest = nets(STABLE / 2 + CHURNING, STABLE / 2);
        world.announce(source, &rest, &inside(via(1, 1), 100));
        world.settle();
        Churn {
            world,
            source,
            changing,
            calls: 0,
        }
    }

    fn stable() -> Vec<IpNet> {
        let mut stable = nets(0, STABLE / 2);
        stable.extend(nets(STABLE / 2 + CHURNING, STABLE / 2));
        stable
    }

    /// One more batch, one more call. Members read at most `max` bytes.
    fn step(&mut self, max: usize) {
        let batches = self.changing.len() / BATCH;
        let (round, batch) = (self.calls / batches, self.calls % batches);
        let some = self.changing[batch * BATCH..][..BATCH].to_vec();
        let attrs = inside(via(1, 2 + (round % 2) as u8), 100);
        self.world.announce(self.source, &some, &attrs);
        self.world.rib.work(BATCH);
        self.world.events();
        for id in self.world.ready.clone() {
            self.world.poll(id, max);
        }
        self.calls += 1;
    }

    /// Until it holds, for a bounded number of calls.
    fn until(&mut self, what: &str, max: usize, calls: usize, holds: impl Fn(&World) -> bool) {
        let end = self.calls + calls;
        while !holds(&self.world) {
            assert!(self.calls < end, "not within {calls} calls: {what}");
            self.step(max);
        }
        println!("{what}: {} of {calls} calls", self.calls + calls - end);
    }
}

fn has_all(world: &World, id: PeerId) -> bool {
    let remote = &world.remotes[&id.0];
    let has = |net: &IpNet| remote.route(*net).is_some();
    remote.ends_of_rib[Family::Ipv4Unicast.index()] == 1
        && nets(0, STABLE + CHURNING).iter().all(has)
}

#[test]
fn a_new_group_is_sent_all_while_routes_change_without_pause() {
    let mut churn = Churn::new();
    (0..100).for_each(|_| churn.step(1 << 20));
    let late = churn.world.up(external(2));
    churn.until("a table", 1 << 20, 2000, |world| has_all(world, late));
    churn.world.settle();
    churn.world.compare("after it");
}

#[test]
fn a_late_member_of_a_group_is_sent_all_while_routes_change_without_pause() {
    let mut churn = Churn::new();
    (0..100).for_each(|_| churn.step(1 << 20));
    let late = churn.world.up(spec(3, SessionKind::InternalClient));
    churn.until("a table", 1 << 20, 2000, |world| has_all(world, late));
    churn.world.settle();
    churn.world.compare("after it");
}

#[test]
fn a_change_is_told_while_others_go_on_without_pause() {
    let mut churn = Churn::new();
    let other = churn.world.up(spec(3, SessionKind::InternalClient));
    churn.world.settle();
    (0..100).for_each(|_| churn.step(1 << 20));
    let net = Churn::stable()[7];
    let attrs = inside(via(1, 9), 100);
    churn.world.announce(churn.source, &[net], &attrs);
    churn.until("a change", 1 << 20, 4000, |world| {
        let route = world.remotes[&other.0].route(net);
        route.is_some_and(|route| route.next_hop == attrs.next_hop)
    });
    churn.world.withdraw(churn.source, &[net]);
    churn.until("a withdrawal", 1 << 20, 4000, |world| {
        world.remotes[&other.0].route(net).is_none()
    });
    churn.world.settle();
    churn.world.compare("after it");
}

#[test]
fn what_a_peer_left_goes_while_routes_change_without_pause() {
    let mut churn = Churn::new();
    let leaver = churn.world.up(external(2));
    let left = nets(10_000, 500);
    churn.world.announce(leaver, &left, &via(65102, 1));
    churn.world.settle();
    (0..100).for_each(|_| churn.step(1 << 20));
    churn.world.down(leaver);
    churn.until("gone", 1 << 20, 2000, |world| world.gone.contains(&leaver));
    churn.world.settle();
    churn.world.compare("after it");
}

#[test]
fn a_slow_late_member_is_sent_what_does_not_change_too() {
    let mut world = world();
    let source = world.up(spec(1, SessionKind::InternalClient));
    let quick = world.up(spec(2, SessionKind::InternalClient));
    // More than a member that reads little is made frames of at once.
    let (changing, stable) = (nets(0, 3000), nets(3000, 100));
    world.announce(source, &changing, &inside(via(1, 1), 100));
    world.announce(source, &stable, &inside(via(1, 1), 100));
    world.settle();
    let late = world.up(spec(3, SessionKind::InternalClient));
    for round in 0..4 {
        let attrs = inside(via(1, 2 + round), 100);
        world.announce(source, &changing, &attrs);
        while world.rib.work(64) {}
        world.events();
        world.poll(late, 1);
        while world.poll(quick, 1 << 20) {}
    }
    let remote = &world.remotes[&late.0];
    assert!(stable.iter().all(|net| remote.route(*net).is_some()));
    world.settle();
    world.compare("after it");
}

/// A world in which one member of a group reads nothing unless told to, and
/// before each of its reads more changes than it is made frames of at once.
struct Slow {
    world: World,
    source: PeerId,
    quick: PeerId,
    changing: Vec<IpNet>,
    round: u8,
}

impl Slow {
    fn new(stable: &[IpNet]) -> Slow {
        let mut world = world();
        let source = world.up(spec(1, SessionKind::InternalClient));
        let quick = world.up(spec(2, SessionKind::InternalClient));
        let changing = nets(0, 3000);
        world.announce(source, &changing, &inside(via(1, 1), 100));
        world.announce(source, stable, &inside(via(1, 1), 100));
        world.settle();
        Slow {
            world,
            source,
            quick,
            changing,
            round: 0,
        }
    }

    /// All that changes changes, and the slow one reads a little.
    fn step(&mut self, slow: PeerId) {
        self.round = (self.round + 1) % 200;
        let attrs = inside(via(1, 2 + self.round), 100);
        self.world.announce(self.source, &self.changing, &attrs);
        while self.world.rib.work(64) {}
        self.world.events();
        self.world.poll(slow, 1);
        while self.world.poll(self.quick, 1 << 20) {}
    }
}

#[test]
fn a_member_slower_than_its_routes_change_gets_the_end_of_rib() {
    let stable = nets(3000, 100);
    let mut slow = Slow::new(&stable);
    let late = slow.world.up(spec(3, SessionKind::InternalClient));
    let v4 = Family::Ipv4Unicast.index();
    let ended = |slow: &Slow| slow.world.remotes[&late.0].ends_of_rib[v4] == 1;
    for _ in 0..6 {
        let before = ended(&slow);
        slow.step(late);
        if ended(&slow) && !before {
            let remote = &slow.world.remotes[&late.0];
            let initial = slow.changing.iter().chain(&stable);
            let mut missing = initial.filter(|net| remote.route(**net).is_none());
            assert_eq!(missing.next(), None, "before the End-of-RIB");
        }
    }
    assert!(ended(&slow), "no End-of-RIB");
    slow.world.settle();
    slow.world.compare("after it");
}

#[test]
fn a_refresh_ends_for_a_member_slower_than_its_routes_change() {
    let mut slow = Slow::new(&nets(3000, 100));
    let mut asks = spec(3, SessionKind::InternalClient);
    asks.enhanced_refresh = true;
    let asks = slow.world.up(asks);
    slow.world.settle();
    slow.world.refresh(asks, Family::Ipv4Unicast);
    (0..6).for_each(|_| slow.step(asks));
    let remote = &slow.world.remotes[&asks.0];
    assert_eq!(remote.refreshed[Family::Ipv4Unicast.index()], 1);
    slow.world.settle();
    slow.world.compare("after it");
}
