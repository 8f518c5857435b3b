//! Random operations in random order, with peers that read slowly.

use std::collections::BTreeSet;

use godwit_bgp::{Family, NextHop};
use godwit_rib::{NextHopState, PeerId, PeerSpec};
use ipnet::IpNet;

use crate::draw::{self, Lot};
use crate::world::World;

const PEERS: u64 = 6;

fn state(lot: &mut Lot) -> NextHopState {
    NextHopState {
        reachable: !lot.one_in(3),
        cost: lot.below(3) as u32 * 10,
    }
}

fn some(lot: &mut Lot, nets: &[IpNet], family: Family) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = nets
        .iter()
        .filter(|net| Family::of(&net.addr()) == family)
        .copied()
        .collect();
    nets.retain(|_| lot.one_in(3));
    nets
}

pub struct Run {
    pub lot: Lot,
    pub world: World,
    nets: Vec<IpNet>,
    /// By number of the peer's address.
    up: Vec<Option<PeerId>>,
    /// Those of which routes are kept.
    away: Vec<Option<PeerId>>,
}

impl Run {
    pub fn new(seed: u64) -> Run {
        let mut lot = Lot::new(seed);
        let hops: Vec<NextHop> = Family::ALL.into_iter().flat_map(draw::next_hops).collect();
        let own = [
            "2001:db8:1::1".parse().map(NextHop::V6).unwrap(),
            "203.0.113.1".parse().map(NextHop::V4).unwrap(),
        ];
        let own_pair = NextHop::V6WithLinkLocal(
            "2001:db8:1::1".parse().unwrap(),
            "fe80::9".parse().unwrap(),
            0,
        );
        let on_links = |hop: NextHop| [hop, hop.on(draw::LINKS[0]), hop.on(draw::LINKS[1])];
        let hops: BTreeSet<NextHop> = hops.into_iter().flat_map(on_links).collect();
        let hops = hops.into_iter().chain(own).chain([own_pair]);
        let hops = hops.map(|hop| (hop, state(&mut lot))).collect();
        let mut world = World::new(draw::config(&mut lot), hops);
        world.rib.set_group_backlog(600);
        Run {
            lot,
            world,
            nets: draw::prefixes(),
            up: vec![None; PEERS as usize],
            away: vec![None; PEERS as usize],
        }
    }

    fn peer(&mut self) -> Option<PeerId> {
        let up: Vec<PeerId> = self.up.iter().flatten().copied().collect();
        (!up.is_empty()).then(|| self.lot.pick(&up))
    }

    pub fn step(&mut self) {
        let Run {
            lot,
            world,
            nets,
            up,
            away,
        } = self;
        match lot.below(100) {
            0..=6 => {
                let number = lot.below(PEERS) as usize;
                match (up[number].take(), away[number].take()) {
                    (Some(id), _) if lot.one_in(2) => {
                        let keep = [!lot.one_in(4), !lot.one_in(4)];
                        world.away(id, keep);
                        away[number] = (keep != [false; 2]).then_some(id);
                    }
                    (None, Some(id)) if !lot.one_in(4) => {
                        let keep = [!lot.one_in(4), !lot.one_in(4)];
                        let new = draw::spec(lot, number as u8);
                        let same = world.naive.peers[&id.0].spec.clone();
                        let spec = match lot.below(4) {
                            0 => new,
                            1 => PeerSpec {
                                import: new.import,
                                export: new.export,
                                families: new.families,
                                own_next_hop: new.own_next_hop,
                                ..same
                            },
                            _ => same,
                        };
                        up[number] = Some(world.back(id, spec, keep));
                    }
                    (Some(id), _) | (None, Some(id)) => world.down(id),
                    (None, None) => {
                        up[number] = Some(world.up(draw::spec(lot, number as u8)));
                    }
                }
            }
            7..=10 => {
                // Some that are aggregates, too.
                let net = match lot.one_in(8) {
                    true => draw::aggregated(lot),
                    false => lot.pick(nets),
                };
                if world.naive.local.contains_key(&net) {
                    world.withdraw_local(net);
                } else {
                    let hop = draw::next_hops(Family::of(&net.addr()))[0];
                    let origin = godwit_bgp::attrs::Origin::Igp;
                    let mut attrs = godwit_bgp::attrs::AttrsBuf::new(hop, origin);
                    if lot.one_in(2) {
                        attrs.set_med(Some(9));
                    }
                    world.originate(net, attrs, lot.one_in(2));
                }
            }
            11..=16 => {
                let family = lot.pick(&Family::ALL);
                let hop = lot.pick(&draw::next_hops(family));
                let hop = hop.on(lot.pick(&draw::LINKS));
                world.next_hop(hop, state(lot));
            }
            17..=18 => {
                let config = draw::config(lot);
                world.reconfigure(config);
            }
            19..=20 => world.aggregate(draw::aggregates(lot)),
            21..=22 => {
                let net = lot.pick(nets);
                world.ask(net);
            }
            n => {
                let Some(id) = self.peer() else {
                    return;
                };
                self.step_of(id, n);
            }
        }
    }

    fn step_of(&mut self, id: PeerId, n: u64) {
        let Run {
            lot, world, nets, ..
        } = self;
        let spec = world.naive.peers[&id.0].spec.clone();
        let families: Vec<Family> = Family::ALL
            .into_iter()
            .filter(|family| spec.families[family.index()])
            .collect();
        let family = lot.pick(&families);
        match n {
            23..=49 => {
                let nets = some(lot, nets, family);
                let attrs = draw::attrs(lot, family, &spec);
                world.announce_path(id, draw::path_id(lot), &nets, &attrs);
            }
            50..=59 => {
                let nets = some(lot, nets, family);
                world.withdraw_path(id, draw::path_id(lot), &nets);
            }
            60..=61 => world.set_import(id, [draw::policy(lot), draw::policy(lot)]),
            62 => world.set_send_paths(id, draw::send_paths(lot)),
            63..=65 => world.set_export(id, [draw::policy(lot), draw::policy(lot)]),
            66..=67 => {
                // All of a group move together.
                let to = [draw::policy(lot), draw::policy(lot)];
                let ids: Vec<u16> = world.naive.peers.keys().copied().collect();
                for id in ids {
                    world.set_export(PeerId(id), to.clone());
                }
            }
            68 => {
                // What a reload may change under a session.
                let new = draw::spec(lot, (id.0 % 7) as u8);
                let kind = match (spec.kind.is_external(), lot.one_in(2)) {
                    (true, _) => spec.kind,
                    (false, true) => godwit_bgp::SessionKind::InternalClient,
                    (false, false) => godwit_bgp::SessionKind::Internal,
                };
                let spec = PeerSpec {
                    kind,
                    own_next_hop: new.own_next_hop,
                    next_hop_self: new.next_hop_self,
                    shared_subnet: new.shared_subnet,
                    import: new.import,
                    limit_in: new.limit_in,
                    ..spec
                };
                world.set_spec(id, spec);
            }
            69..=70 => world.refresh(id, family),
            71 => world.refresh_begin(id, family),
            72 => world.refresh_end(id, family),
            73 => world.end_of_rib(id, family),
            74 => world.stale_over(id, family),
            75..=80 => {
                world.events();
                if world.ready.contains(&id) {
                    world.poll(id, lot.below(200) as usize);
                }
            }
            81..=84 => {
                world.poll_fib(lot.below(4) as usize);
            }
            85..=87 => {
                let spec = PeerSpec {
                    import_rules: draw::import_rules(lot),
                    export_rules: draw::export_rules(lot),
                    default_originate: draw::spec(lot, 0).default_originate,
                    ..spec
                };
                world.set_spec(id, spec);
            }
            _ => {
                world.rib.work(1 + lot.below(20) as usize);
            }
        }
    }
}

fn run(seed: u64, steps: usize) {
    let mut run = Run::new(seed);
    for round in 0..4 {
        for _ in 0..steps {
            run.step();
        }
        run.world.settle();
        run.world.compare(&format!("seed {seed}, round {round}"));
    }
    let all = run.up.iter_mut().chain(&mut run.away);
    for id in all.filter_map(Option::take) {
        run.world.down(id);
    }
    run.world.aggregate(Vec::new());
    let own: Vec<IpNet> = run.world.naive.local.keys().copied().collect();
    own.into_iter()
        .for_each(|net| run.world.withdraw_local(net));
    run.world.settle();
    run.world.compare(&format!("seed {seed}, end"));
    let summary = run.world.rib.summary();
    assert_eq!(
        summary,
        Default::default(),
        "seed {seed}: something is left"
    );
    assert!(run.world.tracked.is_empty(), "seed {seed}");
}

#[test]
fn random_operations_leave_both_equal() {
    let from = std::env::var("GODWIT_SEED").ok();
    let from: u64 = from.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count = std::env::var("GODWIT_SEEDS").ok();
    let count: u64 = count.and_then(|count| count.parse().ok()).unwrap_or(60);
    for seed in from..from + count {
        run(seed, 60);
    }
}

#[test]
fn short_runs_leave_both_equal() {
    for seed in 1_000_000..1_000_200 {
        run(seed, 12);
    }
}
