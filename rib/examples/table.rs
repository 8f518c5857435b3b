//! Receives a full table from some peers, sends it to others, and says what
//! that took in processor time: `cargo run --release -p godwit-rib --example table -- SENDERS
//! RECEIVERS [PREFIXES]`. Bytes are those asked of the allocator.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::BytesMut;
use godwit_bgp::attrs::{AttrsBuf, Origin};
use godwit_bgp::wire::{DecodeContext, Update, UpdateEncoder, decode_update, split_frame};
use godwit_bgp::{Asn, NextHop, RouterId, SessionKind};
use godwit_policy::route::PolicyRef;
use godwit_rib::{Drain, ExportRules, ImportRules, PeerId, PeerSpec, Rib, RibConfig};
use ipnet::Ipv4Net;

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

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Prefixes in groups that share attributes, about eleven each, as a table of
/// the Internet has them.
fn table(prefixes: usize) -> Vec<(AttrsBuf, Vec<Ipv4Net>)> {
    let mut state = 7;
    let mut all = Vec::new();
    let mut made = 0;
    while made < prefixes {
        let mut attrs = AttrsBuf::new(NextHop::V4(Ipv4Addr::UNSPECIFIED), Origin::Igp);
        for _ in 0..2 + next(&mut state) % 4 {
            attrs.prepend_as(Asn(1000 + (next(&mut state) % 70_000) as u32), 1);
        }
        if next(&mut state).is_multiple_of(2) {
            let high = (next(&mut state) % 60_000) as u32;
            attrs.community_add(&[high << 16 | 1, high << 16 | 2, high << 16 | 3]);
        }
        // Half have one prefix only.
        let n = 1 + match next(&mut state) % 8 {
            0..=3 => 0,
            4..=6 => next(&mut state) % 10,
            _ => next(&mut state) % 140,
        };
        let nets = (0..n)
            .map(|_| {
                made += 1;
                // A bijection on the first 24 bits: no doubles.
                let bits = (made as u32).wrapping_mul(0x9e37_79b1) & 0x00ff_ffff;
                Ipv4Net::new(Ipv4Addr::from(bits << 8), 24).unwrap()
            })
            .collect();
        all.push((attrs, nets));
    }
    all
}

fn spec(number: u16, kind: SessionKind) -> PeerSpec {
    let own = Ipv4Addr::new(10, 0, 0, 1);
    PeerSpec {
        group: None,
        address: IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + u32::from(number))),
        asn: match kind {
            SessionKind::External => Asn(64_512 + u32::from(number)),
            _ => Asn(65_000),
        },
        router_id: RouterId(0x0a01_0000 + u32::from(number)),
        local_asn: Asn(65_000),
        local_address: own.into(),
        local_link_local: None,
        interface: None,
        link: 0,
        own_next_hop: [Some(NextHop::V4(own)), None],
        kind,
        add_path_receive: [false; 2],
        add_path_send: [None; 2],
        families: [true, false],
        extended_next_hop: false,
        as4: true,
        enhanced_refresh: false,
        sends_end_of_rib: false,
        max_message: 4096,
        import: [PolicyRef::accept_all(), PolicyRef::accept_all()],
        export: [PolicyRef::accept_all(), PolicyRef::accept_all()],
        limit_in: [None; 2],
        limit_out: [None; 2],
        next_hop_self: false,
        weight: 0,
        default_originate: [None, None],
        shared_subnet: false,
        import_rules: ImportRules {
            enforce_first_as: false,
            ..ImportRules::default()
        },
        export_rules: ExportRules::default(),
    }
}

fn updates(table: &[(AttrsBuf, Vec<Ipv4Net>)], spec: &PeerSpec) -> Vec<Update> {
    let mut encoder = UpdateEncoder::new(spec.max_message, spec.as4);
    let mut out = Vec::new();
    let IpAddr::V4(address) = spec.address else {
        panic!("an IPv4 peer");
    };
    for (attrs, nets) in table {
        let mut attrs = attrs.clone();
        attrs.next_hop = NextHop::V4(address);
        if spec.kind.is_external() {
            attrs.prepend_as(spec.asn, 1);
        } else {
            attrs.set_local_pref(Some(100));
        }
        let mut frames = BytesMut::new();
        encoder
            .announce_v4(attrs.as_ref(), nets.iter().copied(), &mut frames)
            .unwrap();
        let context = DecodeContext {
            as4: spec.as4,
            external: spec.kind.is_external(),
            extended_next_hop: false,
            families: spec.families,
            add_path: [false; 2],
        };
        while let Some(frame) = split_frame(&mut frames, 4096).unwrap() {
            out.push(decode_update(frame.body, context).unwrap());
        }
    }
    out
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
