//! Members that read too slowly are let go in slices, and hold in the end what
//! the others do, whatever comes and goes meanwhile.

use std::net::Ipv4Addr;

use godwit_bgp::{Family, SendPaths, SessionKind};
use godwit_policy::route::PolicyRef;
use godwit_rib::{PeerId, PeerSpec};
use ipnet::IpNet;

use crate::draw::Lot;
use crate::rules::{external, inside, spec, via, world};

/// Far less than the routes of a test take.
const BACKLOG: usize = 20_000;

fn nets(from: u32, n: u32) -> Vec<IpNet> {
    (from..from + n)
        .map(|i| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap())
        .collect()
}

fn client(number: u8, several: bool, marks: bool) -> PeerSpec {
    PeerSpec {
        add_path_send: [several.then_some(SendPaths::All), None],
        enhanced_refresh: marks,
        ..spec(number, SessionKind::InternalClient)
    }
}

/// Calls of one unit that it takes to tell five members of changes, of whom four
/// read nothing.
fn calls(backlog: usize) -> usize {
    let mut world = world();
    world.rib.set_group_backlog(backlog);
    let source = world.up(spec(1, SessionKind::InternalClient));
    let quick = world.up(spec(2, SessionKind::InternalClient));
    let slow = [3, 4, 5, 6].map(|n| world.up(spec(n, SessionKind::InternalClient)));
    world.settle();
    let mut calls = 0;
    for last in 1..10 {
        world.announce(source, &nets(0, 1000), &inside(via(1, last), 100));
        while world.rib.work(1) {
            calls += 1;
        }
        while world.poll(quick, 1 << 20) {}
    }
    world.settle();
    world.compare("all told");
    let told = |id: PeerId| world.remotes[&id.0].told;
    let let_go = slow.iter().all(|id| told(*id) < told(quick) / 2);
    assert_eq!(let_go, backlog == BACKLOG);
    calls
}

#[test]
fn a_call_lets_go_of_no_more_than_its_units_say() {
    let (keeps, lets_go) = (calls(1 << 30), calls(BACKLOG));
    // One for each of them, and one for each run that they have not read.
    assert!(lets_go >= keeps + 4 + 2, "{lets_go}, {keeps} without");
}

#[test]
fn who_is_let_go_in_slices_misses_nothing_that_changes_meanwhile() {
    for seed in 0..48 {
        let mut lot = Lot::new(seed);
        let several = seed % 2 == 1;
        let mut world = world();
        world.rib.set_group_backlog(BACKLOG);
        let sources = [1, 2, 3].map(|n| world.up(external(n)));
        let mut members: Vec<PeerId> = (4..9)
            .map(|n| world.up(client(n, several, n == 4)))
            .collect();
        for (n, source) in sources.iter().enumerate() {
            let attrs = via(65101 + n as u32, 1 + n as u8);
            world.announce(*source, &nets(0, 300), &attrs);
        }
        world.settle();
        for _ in 0..250 {
            let at = lot.below(members.len() as u64) as usize;
            match lot.below(16) {
                0 => {
                    world.down(members[at]);
                    members[at] = world.up(client(4 + at as u8, several, at == 0));
                }
                1 => world.refresh(members[at], Family::Ipv4Unicast),
                2 => {
                    let policies = [PolicyRef::accept_all(), PolicyRef::reject_all()];
                    let export = lot.pick(&policies);
                    world.set_export(members[at], [export.clone(), export]);
                }
                3 => {
                    let from = lot.below(300) as u32;
                    let own = inside(via(1, at as u8 + 1), 50 + lot.below(100) as u32);
                    world.announce(members[at], &nets(from, 20), &own);
                }
                4 | 5 => {
                    let from = lot.below(300) as u32;
                    world.withdraw(lot.pick(&sources), &nets(from, 60));
                }
                6..=8 => {
                    let (from, n) = (lot.below(300) as u32, lot.below(3) as usize);
                    let attrs = via(65101 + n as u32, 1 + lot.below(9) as u8);
                    world.announce(sources[n], &nets(from, 60), &attrs);
                }
                9 => {
                    world.events();
                    world.poll(members[at], 500);
                }
                _ => {
                    // The first of them keeps up.
                    world.rib.work(1 + lot.below(120) as usize);
                    world.events();
                    world.poll(members[0], 1 << 20);
                }
            }
        }
        world.settle();
        world.compare(&format!("seed {seed}"));
    }
}
