//! A dry run against what then happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use godwit_bgp::attrs::{AttrsBuf, Origin};
use godwit_bgp::{Family, PathId, RouterId, SessionKind};
use godwit_rib::{DryRunCounts, LocalRoute, PeerId, PeerSpec, Proposal, RibConfig};
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
        // One that is away is sent nothing.
        let sent = world.remotes.get(id).map(|remote| remote.table.clone());
        (*id, [sent.unwrap_or_default(), accepted.collect()])
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

/// A dry run counts what then happens, for policies, roles and default routes of
/// any peers, routes of our own, aggregates, and how paths are chosen.
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
        // How much room there will be it does not know.
        for (id, peer) in world.naive.peers.clone() {
            let spec = PeerSpec {
                limit_in: [None, None],
                ..peer.spec
            };
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
                    default_originate: match lot.one_in(2) {
                        true => draw::spec(lot, 0).default_originate,
                        false => peer.spec.default_originate.clone(),
                    },
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
        let mut nets = draw::prefixes();
        nets.push(draw::aggregated(lot));
        let (mut originated, mut withdrawn) = (Vec::new(), Vec::new());
        for net in &nets {
            if !lot.one_in(4) {
                continue;
            }
            if world.naive.local.contains_key(net) && lot.one_in(2) {
                withdrawn.push(*net);
            } else {
                let hop = draw::next_hops(Family::of(&net.addr()))[0];
                let mut attrs = AttrsBuf::new(hop, Origin::Igp);
                attrs.set_med(lot.one_in(2).then_some(9));
                originated.push(LocalRoute {
                    prefix: *net,
                    attrs,
                    blackhole: false,
                });
            }
        }
        let aggregates = match lot.one_in(2) {
            true => draw::aggregates(lot),
            false => world.naive.aggregates.clone(),
        };
        let config = RibConfig {
            max_paths_external: 1 + lot.below(3) as u16,
            multipath_relax: lot.one_in(2),
            cluster_id: lot.pick(&[world.naive.config.cluster_id, RouterId(77)]),
            ..world.naive.config
        };
        let before = snapshot(world);
        let mut dry = world.rib.dry_run(Proposal {
            specs: specs.clone(),
            gone: gone.clone(),
            originated: originated.clone(),
            withdrawn: withdrawn.clone(),
            aggregates: aggregates.clone(),
            config,
        });
        let mut slices = 0;
        while world.rib.count(&mut dry, 7) {
            slices += 1;
        }
        assert!(slices > 0 || world.naive.prefixes().len() < 7);
        let told = dry.result();
        assert_eq!(told.changed_meanwhile, 0);
        assert!(!world.rib.work(1000), "nothing was to be done");
        assert_eq!(snapshot(world), before, "nothing was done");
        for (id, spec) in specs {
            world.set_spec(id, spec);
        }
        for id in &gone {
            world.down(*id);
        }
        for net in withdrawn {
            world.withdraw_local(net);
        }
        for route in originated {
            world.originate(route.prefix, route.attrs, route.blackhole);
        }
        world.aggregate(aggregates);
        world.reconfigure(config);
        world.settle();
        let after = snapshot(world);
        for (id, [sent, accepted]) in &after {
            let [sent_before, accepted_before] = &before[id];
            let (withdrawn, advertised, changed) = differences(sent_before, sent);
            let (rejected, accepted, edited) = differences(accepted_before, accepted);
            let counts = told
                .peers
                .iter()
                .find(|(peer, ..)| peer.0 == *id)
                .map(|(.., counts)| *counts);
            let counts = counts.unwrap_or_default();
            let expected = DryRunCounts {
                newly_accepted: accepted,
                newly_rejected: rejected,
                accepted_changed: edited,
                newly_advertised: advertised,
                withdrawn,
                advertised_changed: changed,
            };
            assert_eq!(counts, expected, "seed {seed}, peer {id}");
        }
    }
}
