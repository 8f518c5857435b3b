//! What is done to a speaker, and what is timed.

use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use godwit_tests::raw::{Raw, RawOpen, UPDATE, frame};
use godwit_tests::table::Table;
use godwit_tests::{Host, Lab, wait_for_every};

use crate::speaker::{ASN, Job, Speaker};

const FULL: usize = 970_000;
const REFLECTED: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(180);
/// Less than what the counts are read to.
const TICK: Duration = Duration::from_millis(5);

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
        };
        if job.kernel && speaker == Speaker::Frr {
            return None;
        }
        let (senders, receivers) = match self {
            Load::ToOneAndKernel => (1, 1),
            Load::FourTimesTheTable => (4, 1),
            Load::Reflect { clients } => (1, clients),
        };
        let table = self.table();
        let prefixes = table.prefixes().len();
        let lab = Lab::new();
        let (us, them) = (lab.host("us"), lab.host("them"));
        lab.link(&us, &["10.0.0.1/16"], &them, &["10.0.0.2/16"]);
        for range in ["10.0.16.0/24", "10.0.32.0/24"] {
            them.ip(&["route", "add", "local", range, "dev", "lo"]);
        }
        let mut daemon = speaker.start(&us, job);

        let asn = |n: u32| if job.reflect { ASN } else { n };
        let received: Vec<(Raw, Arc<Tally>)> = (1..=receivers)
            .map(|n| {
                let raw = session(&them, Ipv4Addr::new(10, 0, 32, n), asn(ASN + 100));
                let tally = Tally::of(raw.stream(), senders > 1);
                (raw, tally)
            })
            .collect();
        let sending: Vec<(Raw, Vec<u8>)> = (1..=senders)
            .map(|n| {
                let address = Ipv4Addr::new(10, 0, 16, n);
                let number = asn(ASN + u32::from(n));
                let raw = session(&them, address, number);
                // What comes back is read, so that nobody waits for us.
                let _ = Tally::of(raw.stream(), false);
                (raw, announcements(&table, address, number, job.reflect))
            })
            .collect();
        let empty = us.kernel_route_count(false);

        let start = Instant::now();
        let sending: Vec<Raw> = sending
            .into_iter()
            .map(|(mut raw, bytes)| {
                thread::spawn(move || {
                    raw.send_bytes(&bytes).expect("the session stays up");
                    raw
                })
            })
            .collect::<Vec<_>>()
            .into_iter()
            .map(|thread| thread.join().expect("a sender ends well"))
            .collect();
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
        let processor = daemon.cpu_seconds();
        let peak_kib = daemon.peak_rss_kib();

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
        daemon.terminate();
        Some(Outcome {
            complete,
            kernel,
            withdrawn,
            processor,
            peak_kib,
        })
    }

    fn table(self) -> Table {
        match (self, std::env::var_os("GODWIT_TABLE4")) {
            (Load::Reflect { .. }, _) => Table::generate(false, REFLECTED, 1),
            (_, Some(path)) => Table::read(Path::new(&path)).unwrap_or_else(|e| panic!("{e}")),
            (_, None) => Table::generate(false, FULL, 1),
        }
    }
}

fn until(what: &str, tick: Duration, mut done: impl FnMut() -> bool) {
    wait_for_every(tick, PATIENCE, what, || done().then_some(()));
}

fn session(host: &Host, address: Ipv4Addr, asn: u32) -> Raw {
    let mut open = RawOpen::new(asn, &address.to_string());
    open.ipv6 = false;
    Raw::establish(host, &address.to_string(), "10.0.0.1", &open)
}

fn announcements(table: &Table, next_hop: Ipv4Addr, asn: u32, internal: bool) -> Vec<u8> {
    let unused = next_hop.to_ipv6_mapped();
    let bodies = if internal {
        table.updates_internal(next_hop, unused)
    } else {
        table.updates(asn, next_hop, unused)
    };
    bodies.iter().flat_map(|b| frame(UPDATE, b)).collect()
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
                while let Some(header) = buffer.get(at..at + 19) {
                    let len = usize::from(u16::from_be_bytes([header[16], header[17]]));
                    let Some(message) = buffer.get(at..at + len) else {
                        break;
                    };
                    if message[18] == UPDATE {
                        held.update(&message[19..]);
                    }
                    at += len;
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
        let field = |at: usize| usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        let withdrawn = field(0);
        let attributes = field(2 + withdrawn);
        let gone = prefixes(&body[2..2 + withdrawn]);
        let come = prefixes(&body[4 + withdrawn + attributes..]);
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

/// IPv4 NLRI, each as its length above its address. Bare numbers, because the
/// receivers share the processors with what they measure.
fn prefixes(mut bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    std::iter::from_fn(move || {
        let (&length, rest) = bytes.split_first()?;
        let octets = usize::from(length.div_ceil(8));
        let mut address = [0; 4];
        address[..octets].copy_from_slice(&rest[..octets]);
        bytes = &rest[octets..];
        Some(u64::from(length) << 32 | u64::from(u32::from_be_bytes(address)))
    })
}
