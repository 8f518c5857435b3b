//! What concerns the whole table is done in slices, and comes out right also
//! where routes come and go meanwhile.

use std::net::Ipv4Addr;

use godwit_bgp::{NextHop, SendPaths, SessionKind};
use godwit_policy::route::PolicyRef;
use godwit_rib::{
    Aggregate, Condition, DefaultOriginate, NextHopState, PeerId, PeerSpec, RibConfig,
};
use ipnet::IpNet;

use crate::draw::Lot;
use crate::rules::{config, external, net, spec, via, world};
use crate::world::World;

/// More than a few calls get through.
const MANY: u32 = 300;
/// Units of a call.
const UNITS: usize = 8;

/// Within 10.0.0.0/8, the first 256 of them within 10.0.0.0/16.
fn nets(from: u32, n: u32) -> Vec<IpNet> {
    (from..from + n)
        .map(|i| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap())
        .collect()
}

fn aggregate(prefix: &str) -> Aggregate {
    Aggregate {
        prefix: net(prefix),
        summary_only: true,
        blackhole: false,
    }
}

/// Routes come and go, in every part of the table, and some work is done.
fn churn(world: &mut World, source: PeerId, lot: &mut Lot) {
    for _ in 0..4 {
        let some = nets(lot.below(u64::from(MANY) + 200) as u32, 5);
        match lot.one_in(2) {
            true => world.withdraw(source, &some),
            false => world.announce(source, &some, &via(65101, 1 + lot.below(4) as u8)),
        }
    }
    world.rib.work(UNITS);
}

fn full(world: &mut World) -> PeerId {
    let source = world.up(external(1));
    world.announce(source, &nets(0, MANY), &via(65101, 1));
    world.settle();
    source
}

#[test]
fn aggregates_are_counted_in_slices_while_routes_come_and_go() {
    for seed in 0..8 {
        let mut lot = Lot::new(seed);
        let mut world = world();
        let source = full(&mut world);
        let hears = world.up(external(2));
        world.settle();
        // One alone has but one route in it, at the end of the table.
        let last = nets(MANY - 1, 1);
        world.aggregate(vec![aggregate("10.0.0.0/8")]);
        world.rib.work(UNITS);
        let at_once = world.rib.explain(net("10.0.0.0/8"));
        assert!(at_once.is_none(), "counted in one go");
        (0..lot.below(30)).for_each(|_| churn(&mut world, source, &mut lot));
        // Others while that is under way, and one that changes its kind.
        world.aggregate(vec![
            Aggregate {
                summary_only: false,
                ..aggregate("10.0.0.0/8")
            },
            aggregate("10.1.0.0/16"),
            aggregate(&last[0].supernet().unwrap().to_string()),
        ]);
        (0..lot.below(60)).for_each(|_| churn(&mut world, source, &mut lot));
        world.settle();
        world.compare(&format!("seed {seed}, three"));
        // All that was in one goes while it is counted anew.
        world.aggregate(Vec::new());
        world.aggregate(vec![aggregate("10.0.0.0/16")]);
        world.rib.work(UNITS);
        world.withdraw(source, &nets(0, 256));
        world.settle();
        world.compare(&format!("seed {seed}, empty"));
        let told = &world.remotes[&hears.0];
        assert!(told.route(net("10.0.0.0/16")).is_none());
    }
}

#[test]
fn an_aggregate_that_only_changes_its_kind_is_not_withdrawn() {
    let mut world = world();
    full(&mut world);
    let hears = world.up(external(2));
    world.aggregate(vec![aggregate("10.0.0.0/8")]);
    world.settle();
    let told = world.remotes[&hears.0].told;
    world.aggregate(vec![Aggregate {
        blackhole: true,
        ..aggregate("10.0.0.0/8")
    }]);
    world.settle();
    world.compare("a blackhole now");
    assert_eq!(world.remotes[&hears.0].told, told);
}

#[test]
fn a_default_route_on_a_condition_goes_ahead_of_the_end_of_rib() {
    let mut world = world();
    full(&mut world);
    let mut takes = external(2);
    // Nothing else: its own walk is over long before the condition is counted.
    takes.export = [PolicyRef::reject_all(), PolicyRef::reject_all()];
    takes.default_originate[0] = Some(DefaultOriginate {
        when: Some(Condition::new(vec!["10.1.0.0/16+".parse().unwrap()])),
        policy: PolicyRef::accept_all(),
    });
    let takes = world.up(takes);
    let ended = |world: &World| world.remotes[&takes.0].ends_of_rib[0] == 1;
    while !ended(&world) {
        assert!(world.rib.work(UNITS) || world.ready.contains(&takes));
        world.events();
        world.poll(takes, 1 << 20);
    }
    let default = world.remotes[&takes.0].route(net("0.0.0.0/0"));
    assert!(default.is_some(), "after the End-of-RIB");
    world.settle();
    world.compare("all");
}

#[test]
fn next_hops_are_asked_for_in_slices_and_no_route_goes_meanwhile() {
    let open = RibConfig {
        require_next_hop: false,
        ..config()
    };
    let require = RibConfig {
        require_next_hop: true,
        ..config()
    };
    for seed in 0..8 {
        let mut lot = Lot::new(seed);
        let reachable = NextHopState {
            reachable: true,
            cost: 0,
        };
        let mut world = world();
        world.reconfigure(open);
        let source = full(&mut world);
        for last in 1..=4 {
            let next_hop: NextHop = via(65101, last).next_hop;
            world.naive.next_hops.insert(next_hop, reachable);
        }
        let hears = world.up(external(2));
        world.settle();
        let told = world.remotes[&hears.0].told;
        world.reconfigure(require);
        while world.rib.work(UNITS) {
            world.events();
        }
        world.settle();
        world.compare(&format!("seed {seed}, required"));
        assert_eq!(world.remotes[&hears.0].told, told, "a route went");
        for round in 0..4 {
            let to = [require, open][lot.below(2) as usize];
            world.reconfigure(to);
            (0..lot.below(40)).for_each(|_| churn(&mut world, source, &mut lot));
            world.events();
            if round % 2 == 1 {
                world.settle();
                world.compare(&format!("seed {seed}, round {round}"));
            }
        }
        world.reconfigure(require);
        world.rib.work(UNITS);
        world.settle();
        world.compare(&format!("seed {seed}, end"));
    }
}

#[test]
fn what_the_kernel_was_asked_for_is_forgotten_in_slices() {
    let off = RibConfig {
        fib: false,
        ..config()
    };
    for seed in 0..8 {
        let mut lot = Lot::new(seed);
        let mut world = world();
        let source = full(&mut world);
        for round in 0..6 {
            world.reconfigure([off, config()][lot.below(2) as usize]);
            (0..lot.below(40)).for_each(|_| {
                churn(&mut world, source, &mut lot);
                world.poll_fib(20);
            });
            if round % 2 == 1 {
                world.settle();
                world.compare(&format!("seed {seed}, round {round}"));
            }
        }
    }
}

fn client(number: u8) -> PeerSpec {
    PeerSpec {
        add_path_send: [Some(SendPaths::All), None],
        ..spec(number, SessionKind::InternalClient)
    }
}

/// Peers that take several paths and are moved alone, of a group that stays or
/// not, once more before they have caught up, while paths come and go.
#[test]
fn who_moves_alone_holds_no_path_of_its_former_group() {
    let policies = || [PolicyRef::accept_all(), PolicyRef::reject_all()];
    for seed in 0..12 {
        let mut lot = Lot::new(seed);
        let mut world = world();
        world.rib.set_group_backlog(20_000);
        let sources = [1, 2, 3].map(|n| world.up(external(n)));
        let some = nets(0, 300);
        for (n, source) in sources.into_iter().enumerate() {
            world.announce(source, &some, &via(65101 + n as u32, 1 + n as u8));
        }
        let members: Vec<PeerId> = (4..7).map(|n| world.up(client(n))).collect();
        world.settle();
        for _ in 0..60 {
            let id = lot.pick(&members);
            match lot.below(8) {
                0 => {
                    let export = lot.pick(&policies());
                    world.set_export(id, [export.clone(), export]);
                }
                1 => world.set_send_paths(id, lot.pick(&[SendPaths::All, SendPaths::Ecmp])),
                2 | 3 => {
                    world.events();
                    world.poll(id, 500);
                }
                4 => {
                    let from = nets(lot.below(300) as u32, 40);
                    world.withdraw(lot.pick(&sources), &from);
                }
                5 => {
                    let (at, n) = (lot.below(300) as u32, lot.below(3) as usize);
                    let attrs = via(65101 + n as u32, 1 + n as u8);
                    world.announce(sources[n], &nets(at, 40), &attrs);
                }
                _ => {
                    world.rib.work(1 + lot.below(200) as usize);
                }
            }
        }
        world.settle();
        world.compare(&format!("seed {seed}"));
    }
}
