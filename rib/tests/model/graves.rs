//! Destinations whose last path went.

use std::net::Ipv4Addr;

use godwit_bgp::SessionKind;
use godwit_bgp::attrs::CommunityKinds;
use godwit_rib::{ExportRules, PeerId, PeerSpec};
use ipnet::IpNet;

use crate::rules::{inside, net, spec, via, world};
use crate::world::World;

fn nets(from: u32, n: u32) -> Vec<IpNet> {
    let net = |i: u32| IpNet::new(Ipv4Addr::from(0x0a00_0000 + (i << 8)).into(), 24).unwrap();
    (from..from + n).map(net).collect()
}

/// All that read do, but for this peer.
fn all_read_but(world: &mut World, slow: PeerId) {
    world.events();
    for id in world.ready.clone().into_iter().filter(|id| *id != slow) {
        world.poll(id, usize::MAX);
    }
    while world.poll_fib(1000) {}
    world.read_tap();
}

/// A call looks at some of many of them: one that was announced and withdrawn
/// since it was looked at last still has a name with those who did not read.
#[test]
fn one_that_lived_again_between_two_looks_is_not_freed_before_all_have_read_of_it() {
    let mut world = world();
    let source = world.up(spec(1, SessionKind::InternalClient));
    let plain = spec(2, SessionKind::InternalClient);
    let slow = world.up(plain.clone());
    let attrs = inside(via(1, 1), 100);
    world.announce(source, &[net("0.0.0.0/0")], &attrs);
    world.announce(source, &nets(0, 10_000), &attrs);
    world.settle();
    let told = |world: &World| world.remotes[&slow.0].told;
    let before = told(&world);
    world.withdraw(source, &nets(0, 10_000));
    while world.rib.work(256) {}
    all_read_but(&mut world, slow);
    while world.rib.work(256) {}
    // All wait for the slow one alone now. Some live again.
    let again: Vec<IpNet> = (0..10).flat_map(|i| nets(i * 1000, 1)).collect();
    world.announce(source, &again, &attrs);
    world.rib.work(5000);
    world.withdraw(source, &again);
    world.rib.work(5000);
    // It reads all but the last withdrawals.
    while told(&world) < before + 10_000 + again.len() {
        world.poll(slow, 1);
    }
    assert_eq!(world.remotes[&slow.0].table.len(), 1 + again.len());
    all_read_but(&mut world, slow);
    // A call looks at as many as it has units.
    for _ in 0..40 {
        world.rib.work(256);
    }
    assert_eq!(world.rib.summary().prefixes, [1 + again.len() as u64, 0]);
    // In another group it owes what it did not read.
    let alone = PeerSpec {
        export_rules: ExportRules {
            communities: CommunityKinds::NONE,
            ..ExportRules::default()
        },
        ..plain
    };
    world.set_spec(slow, alone);
    world.settle();
    world.compare("all are gone");
    assert_eq!(world.rib.summary().prefixes, [1, 0]);
}
