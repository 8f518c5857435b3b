//! How long a table takes into the kernel and out again. Run it inside a
//! network namespace: `fibload TABLE GATEWAY [GATEWAY…]`, TABLE with a prefix
//! at the beginning of each line.
#![allow(clippy::print_stdout)]

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use godwit_bgp::NextHop;
use godwit_fib::{Fib, FibConfig, FibHandle, FibSink, Full, OnStop};
use godwit_rib::{
    FibAck, FibChange, FibTarget, NextHopSet, NextHopSetId, NextHopState, RouteChange,
};
use ipnet::IpNet;

#[derive(Default)]
struct Progress {
    acks: AtomicUsize,
    failed: AtomicUsize,
    news: Mutex<bool>,
    heard: Condvar,
}

impl Progress {
    fn ring(&self) {
        *self.news.lock().expect("no panic holds it") = true;
        self.heard.notify_all();
    }

    fn wait(&self) {
        let mut news = self.news.lock().expect("no panic holds it");
        while !*news {
            news = self.heard.wait(news).expect("no panic holds it");
        }
        *news = false;
    }
}

struct Sink(Arc<Progress>);

impl FibSink for Sink {
    fn acks(&self, acks: Vec<FibAck>) {
        let failed = acks.iter().filter(|a| a.error.is_some()).count();
        self.0.failed.fetch_add(failed, Ordering::Relaxed);
        self.0.acks.fetch_add(acks.len(), Ordering::Relaxed);
        self.0.ring();
    }

    fn next_hops(&self, _: Vec<(NextHop, NextHopState)>) {}

    fn ready_for_more(&self) {
        self.0.ring();
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(table), gateways) = (arguments.next(), arguments) else {
        println!("usage: fibload TABLE GATEWAY [GATEWAY…]");
        return;
    };
    let gateways: Vec<NextHop> = gateways
        .map(|g| g.parse::<IpAddr>().expect("a gateway is an address").into())
        .collect();
    let text = std::fs::read_to_string(&table).expect("the table can be read");
    let mut prefixes: Vec<IpNet> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    shuffle(&mut prefixes);

    let progress = Arc::new(Progress::default());
    let started = Instant::now();
    let fib =
        Fib::spawn(FibConfig::default(), Sink(Arc::clone(&progress))).expect("the fib starts");
    println!("start {:.3}s", started.elapsed().as_secs_f64());
    let set = NextHopSetId(1);
    fib.try_send(vec![FibChange::Define(
        set,
        Arc::new(NextHopSet::of(&gateways)),
    )])
    .expect("an empty queue has room");
    pass("install", &fib, &progress, &prefixes, FibTarget::Hops(set));
    println!("memory {} MB", resident());
    let checked = Instant::now();
    let report = fib.check().expect("the fib runs");
    println!(
        "check {:.2}s wanted={} in_kernel={} missing={} different={}",
        checked.elapsed().as_secs_f64(),
        report.wanted,
        report.in_kernel,
        report.missing_count,
        report.different_count
    );
    if std::env::var_os("KEEP").is_some() {
        fib.stop(OnStop::Keep, Duration::from_secs(60));
        return;
    }
    pass(
        "unchanged",
        &fib,
        &progress,
        &prefixes,
        FibTarget::Hops(set),
    );
    pass("remove", &fib, &progress, &prefixes, FibTarget::None);
    fib.stop(OnStop::Remove, Duration::from_secs(60));
}

fn pass(name: &str, fib: &FibHandle, progress: &Progress, prefixes: &[IpNet], target: FibTarget) {
    const CHUNK: usize = 4096;
    progress.acks.store(0, Ordering::Relaxed);
    progress.failed.store(0, Ordering::Relaxed);
    let began = Instant::now();
    for chunk in prefixes.chunks(CHUNK) {
        let mut changes: Vec<FibChange> = chunk
            .iter()
            .map(|prefix| {
                FibChange::Route(RouteChange {
                    prefix: *prefix,
                    seq: 1,
                    target,
                })
            })
            .collect();
        while let Err(Full(back)) = fib.try_send(changes) {
            changes = back;
            progress.wait();
        }
    }
    while progress.acks.load(Ordering::Relaxed) < prefixes.len() {
        progress.wait();
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{name} n={} {seconds:.2}s {:.0}/s failed={}",
        prefixes.len(),
        prefixes.len() as f64 / seconds,
        progress.failed.load(Ordering::Relaxed)
    );
}

/// The order in which BGP brings routes is none; the same one each time.
fn shuffle(prefixes: &mut [IpNet]) {
    let mut state = 1_u64;
    for i in (1..prefixes.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        prefixes.swap(i, (state >> 33) as usize % (i + 1));
    }
}

/// Megabytes of this process in memory, the table's text included.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<usize>().ok())
        .unwrap_or(0)
        / 1024
}
