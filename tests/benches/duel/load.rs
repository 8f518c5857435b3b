//! What is done to a speaker, and what is timed.

use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use godwit_tests::raw::{Raw, UPDATE};
use godwit_tests::table::Table;

use crate::speaker::{Job, Policies, Speaker};
use crate::tester::{Parts, Scene, TICK, full_table, messages, prefixes, send_all, until};

const REFLECTED: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A whole table from one external peer, to another and into the kernel.
    ToOneAndKernel,
    /// The whole table from each of four, to one.
    FourTimesTheTable,
    /// A tenth of it from one client of a reflector to many.
    Reflect { clients: u8 },
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::ToOneAndKernel => f.write_str("full table, one to one, and the kernel"),
            Load::FourTimesTheTable => f.write_str("full table from four, to one"),
            Load::Reflect { clients } => write!(f, "{REFLECTED} routes to {clients} clients"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    complete: Duration,
    kernel: Option<Duration>,
    withdrawn: Duration,
    processor: f64,
    peak_kib: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = self
            .kernel
            .map_or_else(|| "–".to_owned(), |d| format!("{:.2} s", d.as_secs_f64()));
        write!(
            f,
            "{:.2} s | {kernel} | {:.2} s | {:.1} s | {} MB",
            self.complete.as_secs_f64(),
            self.withdrawn.as_secs_f64(),
            self.processor,
            self.peak_kib / 1024
        )
    }
}

impl Load {
    /// None: the speaker is not set up for it here.
    pub fn run(self, speaker: Speaker) -> Option<Outcome> {
        let job = Job {
            reflect: matches!(self, Load::Reflect { .. }),
            kernel: self == Load::ToOneAndKernel,
            hold_time: 240,
            policies: Policies::Accept,
            keeps_received: false,
        };
        if job.kernel && speaker == Speaker::Frr {
            return None;
        }
        let (senders, receivers) = match self {
            Load::ToOneAndKernel => (1, 1),
            Load::FourTimesTheTable => (4, 1),
            Load::Reflect { clients } => (1, clients),
        };
        let table = match self {
            Load::Reflect { .. } => Table::generate(false, REFLECTED, 1),
            _ => full_table(),
        };
        let prefixes = table.prefixes().len();
        let mut scene = Scene::start(speaker, job);
        let received: Vec<(Raw, Arc<Tally>)> = (1..=receivers)
            .map(|n| {
                let raw = scene.receiver(n);
                let tally = Tally::of(raw.stream(), senders > 1);
                (raw, tally)
            })
            .collect();
        let sending: Vec<(Raw, Vec<u8>)> = (1..=senders)
            .map(|n| {
                let (raw, bytes) = scene.sender(n, &table);
                // What comes back is read, so that nobody waits for us.
                let _ = Tally::of(raw.stream(), false);
                (raw, bytes)
            })
            .collect();
        let us = scene.us.clone();
        let empty = us.kernel_route_count(false);

        let start = Instant::now();
        let sending = send_all(sending);
        until("the table at every receiver", TICK, || {
            received.iter().all(|(_, tally)| tally.held() == prefixes)
        });
        let complete = start.elapsed();
        let kernel = job.kernel.then(|| {
            // A look costs the kernel tens of milliseconds.
            until("the table in the kernel", 20 * TICK, || {
                us.kernel_route_count(false) >= empty + prefixes
            });
            start.elapsed()
        });
        let processor = scene.daemon.cpu_seconds();
        let peak_kib = scene.daemon.peak_rss_kib();

        let start = Instant::now();
        drop(sending);
        until("the table gone from every receiver", TICK, || {
            received.iter().all(|(_, tally)| tally.held() == 0)
        });
        if job.kernel {
            until("the table gone from the kernel", 20 * TICK, || {
                us.kernel_route_count(false) <= empty
            });
        }
        let withdrawn = start.elapsed();
        scene.daemon.terminate();
        Some(Outcome {
            complete,
            kernel,
            withdrawn,
            processor,
            peak_kib,
        })
    }
}

/// How many IPv4 prefixes a receiver holds.
#[derive(Debug, Default)]
struct Tally {
    count: AtomicUsize,
    /// Where a prefix may be announced again; else counting is enough.
    known: Option<Mutex<HashSet<u64>>>,
}

impl Tally {
    fn of(mut stream: TcpStream, again: bool) -> Arc<Tally> {
        let tally = Arc::new(Tally {
            count: AtomicUsize::new(0),
            known: again.then(Mutex::default),
        });
        let held = Arc::clone(&tally);
        thread::spawn(move || {
            let _ = stream.set_read_timeout(None);
            let mut buffer = Vec::new();
            let mut chunk = vec![0; 1 << 18];
            while let Ok(n @ 1..) = stream.read(&mut chunk) {
                buffer.extend_from_slice(&chunk[..n]);
                let mut at = 0;
                for (kind, body) in messages(&buffer) {
                    at = body.end;
                    if kind == UPDATE {
                        held.update(&buffer[body]);
                    }
                }
                buffer.drain(..at);
            }
        });
        tally
    }

    fn held(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn update(&self, body: &[u8]) {
        let parts = Parts::of(body);
        let (gone, come) = (prefixes(parts.withdrawn), prefixes(parts.announced));
        match &self.known {
            Some(known) => {
                let mut known = known.lock().expect("no reader panicked");
                gone.for_each(|p| {
                    known.remove(&p);
                });
                known.extend(come);
                self.count.store(known.len(), Ordering::Relaxed);
            }
            None => {
                self.count.fetch_add(come.count(), Ordering::Relaxed);
                self.count.fetch_sub(gone.count(), Ordering::Relaxed);
            }
        }
    }
}
