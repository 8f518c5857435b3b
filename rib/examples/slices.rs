//! How long the RIB thread is away at most: a full table from four senders to
//! fifty clients, then all that touches the whole of it. Each call that the
//! daemon makes between two looks at its clock is measured by itself, without
//! the time that others had the processor:
//! `cargo run --release -p godwit-rib --example slices [PREFIXES]`, on a machine
//! that does nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// A slice is as long as others wait for it.
#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use godwit_bgp::attrs::{AttrsBuf, Origin};
use godwit_bgp::wire::{DecodeContext, Update, UpdateEncoder, decode_update, split_frame};
use godwit_bgp::{Asn, NextHop, PathId, RouterId, SendPaths, SessionKind};
use godwit_policy::route::{Amount, PolicyRef, PolicySet, PolicySetSpec, RuleSpec, SetSpec, Then};
use godwit_rib::{
    Aggregate, Drain, NextHopState, PeerId, PeerSpec, Proposal, Rib, RibConfig, RibEvent,
};

use ipnet::Ipv4Net;

use crate::common::{spec, table, updates};

/// As the daemon has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As in the daemon's loop: a stretch, and units between two looks at the clock.
const SLICE: Duration = Duration::from_millis(1);
const UNITS: usize = 256;
const COUNT_UNITS: usize = 64;
const FIB_BATCH: usize = 1024;
/// Octets that a session takes at once.
const ROOM: usize = 256 << 10;
/// Of one that reads slowly, and how many such there are.
const SLOW_ROOM: usize = 2 << 10;
const SLOW: usize = 5;

const SENDERS: u16 = 4;
const CLIENTS: u16 = 50;
/// Of one prefix and sender, as many as there may be.
const PATHS: u32 = 1024;
const NOW: Duration = Duration::from_secs(1);

/// Times of calls by what was called, in microseconds.
#[derive(Default)]
struct Times(BTreeMap<&'static str, Vec<f32>>);

/// How long this thread has waited for a processor, which is no fault of the
/// RIB's; exact whenever it has just got one.
fn waited() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let ns: f64 = stat.split(' ').nth(1).unwrap().parse().unwrap();
    ns / 1e3
}

struct Bench {
    rib: Rib,
    /// When it was looked at last.
    waited: f64,
    times: Times,
    config: RibConfig,
    ready: BTreeSet<PeerId>,
    slow: BTreeSet<PeerId>,
    frames: Vec<Bytes>,
    changes: Vec<godwit_rib::FibChange>,
}

impl Bench {
    fn timed<T>(&mut self, what: &'static str, call: impl FnOnce(&mut Rib) -> T) -> T {
        let start = Instant::now();
        let result = call(&mut self.rib);
        let mut took = start.elapsed().as_secs_f32() * 1e6;
        if took > 300.0 {
            let waited = waited();
            took = (took - (waited - self.waited) as f32).max(0.0);
            self.waited = waited;
        }
        self.times.0.entry(what).or_default().push(took);
        result
    }

    fn reconfigure(&mut self, change: impl FnOnce(&mut RibConfig)) {
        change(&mut self.config);
        let config = self.config;
        self.timed("reconfigure", |rib| rib.reconfigure(config));
    }

    fn up(&mut self, spec: PeerSpec) -> PeerId {
        self.timed("peer up", |rib| rib.peer_up(spec, NOW))
    }

    fn down(&mut self, id: PeerId) {
        self.ready.remove(&id);
        self.slow.remove(&id);
        self.timed("peer down", |rib| rib.peer_down(id));
    }

    /// The daemon's loop, until nothing is left to do.
    fn run(&mut self, mut input: Vec<(PeerId, std::vec::IntoIter<Update>)>) {
        loop {
            let mut busy = false;
            self.waited = waited();
            let end = Instant::now() + SLICE;
            while !input.is_empty() && Instant::now() < end {
                busy = true;
                input.retain_mut(|(id, updates)| {
                    let next = updates.next();
                    if let Some(update) = &next {
                        self.timed("update", |rib| rib.update(*id, update, NOW));
                    }
                    next.is_some()
                });
            }
            let end = Instant::now() + SLICE;
            while self.timed("work", |rib| rib.work(UNITS)) {
                busy = true;
                if Instant::now() >= end {
                    break;
                }
            }
            busy |= self.events();
            busy |= self.read();
            let end = Instant::now() + SLICE;
            loop {
                let mut changes = std::mem::take(&mut self.changes);
                let more = self.timed("fib", |rib| rib.poll_fib(&mut changes, FIB_BATCH));
                busy |= !changes.is_empty();
                changes.clear();
                self.changes = changes;
                if !more || Instant::now() >= end {
                    break;
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn events(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.rib.poll_event() {
            any = true;
            match event {
                RibEvent::FramesReady(id) => drop(self.ready.insert(id)),
                RibEvent::TrackNextHop(next_hop) => {
                    let state = NextHopState {
                        reachable: true,
                        cost: 0,
                    };
                    self.timed("next hop", |rib| rib.next_hop(next_hop, state));
                }
                _ => {}
            }
        }
        any
    }

    fn read(&mut self) -> bool {
        let mut busy = false;
        for id in self.ready.clone() {
            busy = true;
            let room = match self.slow.contains(&id) {
                true => SLOW_ROOM,
                false => ROOM,
            };
            let mut frames = std::mem::take(&mut self.frames);
            let more = self.timed("frames", |rib| rib.poll_frames(id, room, &mut frames));
            frames.clear();
            self.frames = frames;
            if !more {
                self.ready.remove(&id);
            }
        }
        busy
    }

    /// Runs until nothing is left to do, and says what took how long.
    fn report(&mut self, what: &str) {
        self.run(Vec::new());
        self.print(what);
    }

    fn print(&mut self, what: &str) {
        let times = std::mem::take(&mut self.times).0;
        let mut all: Vec<f32> = times.values().flatten().copied().collect();
        let over = all.iter().filter(|took| **took > 1000.0).count();
        let (n, total) = (all.len(), all.iter().sum::<f32>() / 1000.0);
        println!(
            "{what}: {n} calls, {total:.0} ms, p99.9 {:.0} µs, max {:.0} µs, {over} over 1 ms",
            at(&mut all, 0.999),
            at(&mut all, 1.0)
        );
        for (call, mut times) in times {
            if times.len() > 50 || times.iter().any(|took| *took > 300.0) {
                println!(
                    "    {call}: {} calls, {:.0} ms, p99.9 {:.0} µs, max {:.0} µs",
                    times.len(),
                    times.iter().sum::<f32>() / 1000.0,
                    at(&mut times, 0.999),
                    at(&mut times, 1.0)
                );
            }
        }
    }
}

fn at(times: &mut [f32], part: f64) -> f32 {
    times.sort_by(f32::total_cmp);
    let last = times.len() as f64 - 1.0;
    times.get((last * part) as usize).copied().unwrap_or(0.0)
}

/// Accepts everything, with another preference.
fn prefer(local_pref: u32) -> PolicyRef {
    let mut set = PolicySetSpec::default();
    let rule = RuleSpec {
        sets: SetSpec {
            local_pref: Some(Amount::Exactly(local_pref)),
            ..SetSpec::default()
        },
        then: Some(Then::Accept),
        ..RuleSpec::default()
    };
    set.policies.insert("prefer".into(), vec![rule]);
    let set = PolicySet::compile(&set).unwrap();
    set.chain(&["prefer"]).unwrap()
}

fn client(number: u16) -> PeerSpec {
    spec(number, SessionKind::InternalClient)
}

/// What a sender with ADD-PATH makes of one prefix, each path with attributes of
/// its own.
fn paths(spec: &PeerSpec, med: u32) -> Vec<Update> {
    let mut encoder = UpdateEncoder::new(spec.max_message, spec.as4);
    let mut frames = BytesMut::new();
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
    for id in 0..PATHS {
        let mut attrs = AttrsBuf::new(next_hop, Origin::Igp);
        attrs.set_local_pref(Some(100));
        attrs.set_med(Some(med + id));
        let net: Ipv4Net = "10.0.0.0/24".parse().unwrap();
        let entry = (PathId(id), net);
        encoder
            .announce_v4(attrs.as_ref(), [entry].into_iter(), &mut frames)
            .unwrap();
    }
    let context = DecodeContext {
        as4: spec.as4,
        external: false,
        extended_next_hop: false,
        families: spec.families,
        add_path: spec.add_path_receive,
    };
    let mut out = Vec::new();
    while let Some(frame) = split_frame(&mut frames, 4096).unwrap() {
        out.push(decode_update(frame.body, context).unwrap());
    }
    out
}

/// As many paths of one prefix as four senders may give, to two that take all.
/// A prefix is done in one go.
fn many_paths(b: &mut Bench) {
    let gives = |number| PeerSpec {
        add_path_receive: [true, false],
        ..client(number)
    };
    let takes = |number| PeerSpec {
        add_path_send: [Some(SendPaths::All), None],
        ..client(number)
    };
    let senders = [0, 1, 2, 3].map(|n| (n, b.up(gives(n))));
    let takers = [10, 11].map(|n| b.up(takes(n)));
    for (what, med) in [("come", 0), ("change", 100_000)] {
        let input = senders.map(|(n, id)| (id, paths(&gives(n), med).into_iter()));
        b.run(Vec::from(input));
        b.print(&format!("4,096 paths of a prefix {what}"));
    }
    b.timed("explain", |rib| rib.explain("10.0.0.0/24".parse().unwrap()));
    let proposal = Proposal {
        specs: vec![(takers[0], client(10))],
        gone: vec![senders[0].1],
        originated: Vec::new(),
        withdrawn: Vec::new(),
        aggregates: Vec::new(),
        config: b.config,
    };
    let mut run = b.timed("begin", |rib| rib.dry_run(proposal));
    while b.timed("count", |rib| rib.count(&mut run, COUNT_UNITS)) {}
    b.print("explain and a dry run");
    senders.iter().for_each(|(_, id)| b.down(*id));
    b.report("their senders down");
    takers.into_iter().for_each(|id| b.down(id));
}

fn main() {
    let prefixes = std::env::args().nth(1);
    let prefixes = prefixes.map_or(968_425, |n| n.parse().expect("a number"));
    let table = table(prefixes);
    let config = RibConfig {
        asn: Asn(65_000),
        router_id: RouterId(1),
        cluster_id: RouterId(1),
        max_paths_external: 1,
        max_paths_internal: 1,
        multipath_relax: false,
        link_bandwidth: true,
        drain: Drain::No,
        require_next_hop: false,
        fib: true,
    };
    let mut bench = Bench {
        rib: Rib::new(config),
        waited: waited(),
        times: Times::default(),
        config,
        ready: BTreeSet::new(),
        slow: BTreeSet::new(),
        frames: Vec::new(),
        changes: Vec::new(),
    };
    let b = &mut bench;
    let clients: Vec<PeerId> = (0..CLIENTS).map(|n| b.up(client(10_000 + n))).collect();
    b.slow.extend(clients.iter().take(SLOW));
    let mut input = Vec::new();
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        let id = b.up(client(n));
        senders.push(id);
        input.push((id, updates(&table, &client(n)).into_iter()));
    }
    b.run(input);
    b.print("initial load, 4 senders, 50 clients (5 slow)");

    for (what, local_pref) in [("worse", 50), ("better", 200)] {
        let import = [prefer(local_pref), PolicyRef::accept_all()];
        b.timed("set import", |rib| rib.set_import(senders[0], import));
        b.report(&format!("import policy of a sender makes it {what}"));
    }
    for id in &clients {
        let export = [prefer(300), PolicyRef::accept_all()];
        b.timed("set export", |rib| rib.set_export(*id, export));
    }
    b.report("export policy of all clients");

    b.reconfigure(|config| config.require_next_hop = true);
    b.report("next hops come to be required");
    b.reconfigure(|config| config.require_next_hop = false);
    b.report("and no longer");
    b.reconfigure(|config| config.fib = false);
    b.report("kernel off");
    b.reconfigure(|config| config.fib = true);
    b.report("and on");
    b.reconfigure(|config| config.cluster_id = RouterId(2));
    b.report("another cluster id");

    let aggregate = |prefix: &str, summary_only| Aggregate {
        prefix: prefix.parse().unwrap(),
        summary_only,
        blackhole: false,
    };
    let two = [
        aggregate("10.0.0.0/8", false),
        aggregate("64.0.0.0/2", true),
    ];
    b.timed("aggregates", |rib| rib.set_aggregates(&two, NOW));
    b.report("two aggregates, one hides a quarter");
    b.timed("aggregates", |rib| rib.set_aggregates(&[], NOW));
    b.report("and gone");

    let mut specs = vec![(senders[1], client(1))];
    let others = (0..CLIENTS).map(|n| (clients[usize::from(n)], client(10_000 + n)));
    specs.extend(others);
    for (_, spec) in &mut specs {
        spec.import[0] = prefer(250);
        spec.export[0] = prefer(150);
    }
    let proposal = Proposal {
        specs,
        gone: vec![senders[2]],
        originated: Vec::new(),
        withdrawn: Vec::new(),
        aggregates: two.to_vec(),
        config: b.config,
    };
    let mut run = b.timed("begin", |rib| rib.dry_run(proposal));
    while b.timed("count", |rib| rib.count(&mut run, COUNT_UNITS)) {}
    let result = run.result();
    b.print(&format!(
        "dry run ({} best paths would change)",
        result.best_changed
    ));

    let several = |number, send| PeerSpec {
        add_path_send: [Some(send), None],
        ..client(number)
    };
    let takers = [0, 1].map(|n| b.up(several(20_000 + n, SendPaths::All)));
    b.report("two clients that take all paths join");
    let export = [prefer(400), PolicyRef::accept_all()];
    b.timed("set export", |rib| rib.set_export(takers[0], export));
    b.report("one of them is moved alone");
    takers.into_iter().for_each(|id| b.down(id));
    b.report("both down");
    b.down(clients[0]);
    b.report("a client down");
    b.down(senders[0]);
    b.report("a sender down");
    senders[1..].iter().for_each(|id| b.down(*id));
    b.report("all senders down");
    clients[1..].iter().for_each(|id| b.down(*id));
    b.report("all clients down");
    many_paths(b);
    println!("{:?}", b.rib.summary());
}
