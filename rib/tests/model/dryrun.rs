//! A dry run against what then happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use godwit_bgp::attrs::AttrsBuf;
use godwit_bgp::{PathId, SessionKind};
use godwit_rib::{DryRunCounts, PeerId, PeerSpec, RibConfig};
use ipnet::IpNet;

use crate::draw;
use crate::naive::NaivePeer;
use crate::random::Run;
use crate::world::World;

type Table = BTreeMap<(IpNet, PathId), AttrsBuf>;

/// What each peer is sent, and what of its routes is accepted.
fn snapshot(world: &World) -> BTreeMap<u16, [Table; 2]> {
    let peers = world.naive.peers.iter();
    let of = |(id, peer): (&u16, &NaivePeer)| {
        let nets = peer.received.keys();
        let accepted = nets.filter_map(|(net, id)| {
            let attrs = world.naive.accepted(peer, *net, *id)?;
            Some(((*net, *id), attrs))
        });
        (*id, [world.remotes[id].table.clone(), accepted.collect()])
    };
    peers.map(of).collect()
}

/// Gone, come, otherwise.
fn differences(old: &Table, new: &Table) -> (u64, u64, u64) {
    let come = new.keys().filter(|net| !old.contains_key(*net)).count();
    let gone = old.keys().filter(|net| !new.contains_key(*net)).count();
    let other = new
        .iter()
        .filter(|(net, attrs)| old.get(*net).is_some_and(|o| o != *attrs))
        .count();
    (gone as u64, come as u64, other as u64)
}

/// A dry run counts what then happens, for policies and roles of any peers.
#[test]
fn a_dry_run_counts_what_then_happens() {
    for seed in 0..150 {
        let mut run = Run::new(seed);
        run.world.reconfigure(RibConfig {
            require_next_hop: false,
            ..run.world.naive.config
        });
        for _ in 0..120 {
            run.step();
        }
        run.world.reconfigure(RibConfig {
            require_next_hop: false,
            ..run.world.naive.config
        });
        run.world.settle();
        let Run { lot, world, .. } = &mut run;
        // Best paths are what it counts: routes that are made up besides them are
        // left out of it.
        world.aggregate(Vec::new());
        let plain: Vec<(u16, PeerSpec)> = (world.naive.peers.iter())
            .map(|(id, peer)| {
                let spec = PeerSpec {
                    default_originate: [None, None],
                    ..peer.spec.clone()
                };
                (*id, spec)
            })
            .collect();
        for (id, spec) in plain {
            world.set_spec(PeerId(id), spec);
        }
        world.settle();
        let mut specs = Vec::new();
        for (id, peer) in &world.naive.peers {
            if lot.one_in(2) {
                let role = lot.one_in(3) && !peer.spec.kind.is_external();
                let spec = PeerSpec {
                    import: [draw::policy(lot), draw::policy(lot)],
                    export: [draw::policy(lot), draw::policy(lot)],
                    next_hop_self: lot.one_in(2),
                    kind: match role {
                        true => SessionKind::InternalClient,
                        false => peer.spec.kind,
                    },
                    ..peer.spec.clone()
                };
                specs.push((PeerId(*id), spec));
            }
        }
        let gone: Vec<PeerId> = (world.naive.peers.keys())
            .map(|id| PeerId(*id))
            .filter(|id| !specs.iter().any(|(other, _)| other == id) && lot.one_in(4))
            .collect();
        // An address that is no longer ours lets other peers' routes in, too.
        let ours = |but: &[PeerId]| -> BTreeSet<IpAddr> {
            let stay = world.naive.peers.iter();
            let stay = stay.filter(|(id, _)| !but.contains(&PeerId(**id)));
            stay.flat_map(|(_, peer)| {
                let hops = peer.spec.own_next_hop.iter().flatten();
                hops.map(|hop| hop.address())
                    .chain([peer.spec.local_address])
            })
            .collect()
        };
        if ours(&[]) != ours(&gone) {
            continue;
        }
        let before = snapshot(world);
        let mut dry = world.rib.dry_run(specs.clone(), &gone);
        let mut slices = 0;
        while world.rib.count(&mut dry, 7) {
            slices += 1;
        }
        assert!(slices > 0 || world.naive.prefixes().len() < 7);
        let told = dry.result();
        assert_eq!(told.changed_meanwhile, 0);
        assert!(!world.rib.work(1000), "nothing was to be done");
        assert_eq!(snapshot(world), before, "nothing was done");
        let addresses: BTreeMap<u16, IpAddr> = (world.naive.peers.iter())
            .map(|(id, peer)| (*id, peer.spec.address))
            .collect();
        for (id, spec) in specs {
            world.set_spec(id, spec);
        }
        for id in &gone {
            world.down(*id);
        }
        world.settle();
        let after = snapshot(world);
        for (id, [sent, accepted]) in &after {
            let [sent_before, accepted_before] = &before[id];
            let (withdrawn, advertised, changed) = differences(sent_before, sent);
            let (rejected, accepted, edited) = differences(accepted_before, accepted);
            let counts = told
                .peers
                .iter()
                .find(|(a, _)| *a == addresses[id])
                .map(|(_, c)| *c);
            let counts = counts.unwrap_or_default();
            let expected = DryRunCounts {
                newly_accepted: accepted,
                newly_rejected: rejected,
                accepted_changed: edited,
                newly_advertised: advertised,
                withdrawn,
                advertised_changed: changed,
            };
            if world.naive.peers[id].spec.add_path_send == [None, None] {
                assert_eq!(counts, expected, "seed {seed}, peer {id}");
            }
        }
    }
}
