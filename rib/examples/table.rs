//! Receives a full table from some peers, sends it to others, and says what
//! that took in processor time: `cargo run --release -p godwit-rib --example table -- SENDERS
//! RECEIVERS [PREFIXES]`. Bytes are those asked of the allocator.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use godwit_bgp::{Asn, RouterId, SessionKind};
use godwit_rib::{Drain, PeerId, PeerSpec, Rib, RibConfig};

use crate::common::{spec, table, updates};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)]
// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Time that this thread has had a processor: others' load does not count.
#[derive(Clone, Copy)]
struct Instant(Duration);

impl Instant {
    fn now() -> Instant {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let ns = stat.split(' ').next().unwrap().parse().unwrap();
        Instant(Duration::from_nanos(ns))
    }

    fn elapsed(self) -> Duration {
        Instant::now().0 - self.0
    }
}

/// Work, and every receiver reads all there is.
#[inline(never)]
fn settle(rib: &mut Rib, receivers: &[PeerId], frames: &mut Vec<bytes::Bytes>) -> usize {
    while rib.work(65_536) {}
    let mut bytes = 0;
    for id in receivers {
        while rib.poll_frames(*id, 1 << 20, frames) {}
        bytes += frames.iter().map(bytes::Bytes::len).sum::<usize>();
        frames.clear();
    }
    while rib.poll_event().is_some() {}
    bytes
}

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .map(|n| n.parse().expect("a number"))
        .collect();
    let at = |i: usize, default| numbers.get(i).copied().unwrap_or(default);
    let (senders, receivers, prefixes) = (at(0, 1), at(1, 1), at(2, 968_425));
    let kind = if receivers > 1 {
        SessionKind::InternalClient
    } else {
        SessionKind::External
    };
    let table = table(prefixes);
    let mut rib = Rib::new(RibConfig {
        asn: Asn(65_000),
        router_id: RouterId(1),
        cluster_id: RouterId(1),
        max_paths_external: 1,
        max_paths_internal: 1,
        multipath_relax: false,
        link_bandwidth: true,
        drain: Drain::No,
        require_next_hop: false,
        fib: false,
    });
    let now = Duration::from_secs(1);
    let sources: Vec<PeerSpec> = (0..senders).map(|n| spec(n as u16, kind)).collect();
    let sinks: Vec<PeerId> = (0..receivers)
        .map(|n| rib.peer_up(spec(10_000 + n as u16, kind), now))
        .collect();
    println!(
        "{prefixes} prefixes, {} attribute sets, {senders} senders, {receivers} receivers",
        table.len()
    );
    let base = HELD.load(Relaxed);
    let mut frames = Vec::new();
    let mut ids = Vec::new();
    for source in &sources {
        let id = rib.peer_up(source.clone(), now);
        ids.push(id);
        let input = updates(&table, source);
        let (held, calls) = (HELD.load(Relaxed), CALLS.load(Relaxed));
        PEAK.store(held, Relaxed);
        let start = Instant::now();
        let mut sent = 0;
        let mut slowest = Duration::ZERO;
        let mut receiving = Duration::ZERO;
        let mut deciding = Duration::ZERO;
        for batch in input.chunks(512) {
            let slice = Instant::now();
            for update in batch {
                rib.update(id, update, now);
            }
            receiving += slice.elapsed();
            {
                let slice = Instant::now();
                while rib.work(1024) {}
                deciding += slice.elapsed();
                slowest = slowest.max(slice.elapsed());
                sent += settle(&mut rib, &sinks, &mut frames);
            }
        }
        sent += settle(&mut rib, &sinks, &mut frames);
        let took = start.elapsed();
        println!(
            "in and out: {:.0} ns a prefix ({took:.2?}; {:.0} in update, {:.0} in work), {:.1} MB sent, slowest work {slowest:.1?}, {:.2} allocations a prefix, {:.1} MB more held, peak {:.1}",
            took.as_nanos() as f64 / prefixes as f64,
            receiving.as_nanos() as f64 / prefixes as f64,
            deciding.as_nanos() as f64 / prefixes as f64,
            sent as f64 / 1e6,
            (CALLS.load(Relaxed) - calls) as f64 / prefixes as f64,
            (HELD.load(Relaxed) - held) as f64 / 1e6,
            (PEAK.load(Relaxed) - held) as f64 / 1e6,
        );
        drop(input);
    }
    println!(
        "held by the RIB: {:.1} MB; {:?}",
        (HELD.load(Relaxed) - base) as f64 / 1e6,
        rib.summary()
    );
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let line = |name| {
            status
                .lines()
                .find(|l| l.starts_with(name))
                .map(str::to_owned)
        };
        println!("{:?} {:?}", line("VmRSS"), line("VmHWM"));
    }
    let start = Instant::now();
    let late = rib.peer_up(spec(20_000, kind), now);
    let sent = settle(&mut rib, &[late], &mut frames);
    let took = start.elapsed().as_nanos() as f64 / prefixes as f64;
    println!(
        "a late member: {took:.0} ns a prefix, {:.1} MB sent",
        sent as f64 / 1e6
    );
    let start = Instant::now();
    for id in ids {
        rib.peer_down(id);
    }
    settle(&mut rib, &sinks, &mut frames);
    settle(&mut rib, &[late], &mut frames);
    while rib.work(65_536) {}
    let took = start.elapsed().as_nanos() as f64 / prefixes as f64;
    println!(
        "all senders down: {took:.0} ns a prefix; {:?}; held {:.1} MB",
        rib.summary(),
        (HELD.load(Relaxed) - base) as f64 / 1e6
    );
}
