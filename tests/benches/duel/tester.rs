//! The other ends of a speaker's sessions. They share the processors with what
//! they measure, so they look at bytes no longer than they must.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Duration;

use godwit_tests::child::Daemon;
use godwit_tests::raw::{Raw, RawOpen, UPDATE, frame};
use godwit_tests::table::Table;
use godwit_tests::{Host, Lab, wait_for_every};

use crate::speaker::{ASN, Job, Speaker};

/// Routes of a whole table.
const FULL: usize = 970_000;

/// How often what is counted is looked at; less than what the figures are read
/// to.
pub const TICK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(240);
const HEADER: usize = 19;

pub fn until(what: &str, tick: Duration, mut done: impl FnMut() -> bool) {
    wait_for_every(tick, PATIENCE, what, || done().then_some(()));
}

/// The whole table of the internet, or what stands for it.
pub fn full_table() -> Table {
    match std::env::var_os("GODWIT_TABLE4") {
        Some(path) => Table::read(Path::new(&path)).unwrap_or_else(|e| panic!("{e}")),
        None => Table::generate(false, FULL, 1),
    }
}

/// A speaker on one host, those that test it on another.
pub struct Scene {
    pub daemon: Daemon,
    pub us: Host,
    them: Host,
    job: Job,
    _lab: Lab,
}

impl Scene {
    pub fn start(speaker: Speaker, job: Job) -> Scene {
        let lab = Lab::new();
        let (us, them) = (lab.host("us"), lab.host("them"));
        lab.link(&us, &["10.0.0.1/16"], &them, &["10.0.0.2/16"]);
        for range in ["10.0.16.0/24", "10.0.32.0/24"] {
            them.ip(&["route", "add", "local", range, "dev", "lo"]);
        }
        Scene {
            daemon: speaker.start(&us, job),
            us,
            them,
            job,
            _lab: lab,
        }
    }

    /// The session of the `n`th that receives; all such are of one AS.
    pub fn receiver(&self, n: u8) -> Raw {
        self.session(Ipv4Addr::new(10, 0, 32, n), ASN + 100)
    }

    /// The session of the `n`th that sends, and what announces this table on it.
    pub fn sender(&self, n: u8, table: &Table) -> (Raw, Vec<u8>) {
        let address = Ipv4Addr::new(10, 0, 16, n);
        let asn = ASN + u32::from(n);
        let unused = address.to_ipv6_mapped();
        let bodies = if self.job.reflect {
            table.updates_internal(address, unused)
        } else {
            table.updates(asn, address, unused)
        };
        let bytes = bodies.iter().flat_map(|b| frame(UPDATE, b)).collect();
        (self.session(address, asn), bytes)
    }

    fn session(&self, address: Ipv4Addr, asn: u32) -> Raw {
        let asn = if self.job.reflect { ASN } else { asn };
        let mut open = RawOpen::new(asn, &address.to_string());
        open.ipv6 = false;
        open.hold_time = self.job.hold_time;
        Raw::establish(&self.them, &address.to_string(), "10.0.0.1", &open)
    }
}

/// Sends all at once, each on a thread of its own, and waits for the last.
pub fn send_all(sending: Vec<(Raw, Vec<u8>)>) -> Vec<Raw> {
    let threads: Vec<_> = sending
        .into_iter()
        .map(|(mut raw, bytes)| {
            thread::spawn(move || {
                raw.send_bytes(&bytes).expect("the session stays up");
                raw
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().expect("a sender ends well"))
        .collect()
}

/// The whole messages at the front of `bytes`, each with its type and where its
/// body lies.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = (u8, Range<usize>)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let header = bytes.get(at..at + HEADER)?;
        let len = usize::from(u16::from_be_bytes([header[16], header[17]]));
        bytes.get(at..at + len)?;
        let body = at + HEADER..at + len;
        at += len;
        Some((header[18], body))
    })
}

/// The parts of an UPDATE.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    pub withdrawn: &'a [u8],
    pub attributes: &'a [u8],
    pub announced: &'a [u8],
}

impl<'a> Parts<'a> {
    pub fn of(body: &'a [u8]) -> Parts<'a> {
        let field = |at: usize| usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        let withdrawn = 2..2 + field(0);
        let attributes = withdrawn.end + 2;
        let announced = attributes + field(withdrawn.end);
        Parts {
            withdrawn: &body[withdrawn],
            attributes: &body[attributes..announced],
            announced: &body[announced..],
        }
    }

    /// Whether it carries this community (RFC 1997).
    pub fn has_community(&self, community: (u16, u16)) -> bool {
        const COMMUNITIES: u8 = 8;
        const EXTENDED_LENGTH: u8 = 0x10;
        let [a, b] = [community.0, community.1].map(u16::to_be_bytes);
        let mut rest = self.attributes;
        while let [flags, code, tail @ ..] = rest {
            let (len, tail) = if flags & EXTENDED_LENGTH == 0 {
                (usize::from(tail[0]), &tail[1..])
            } else {
                let len = u16::from_be_bytes([tail[0], tail[1]]);
                (usize::from(len), &tail[2..])
            };
            let (value, tail) = tail.split_at(len);
            if *code == COMMUNITIES {
                return value.chunks(4).any(|c| c == [a[0], a[1], b[0], b[1]]);
            }
            rest = tail;
        }
        false
    }
}

/// IPv4 NLRI, each as its length above its address.
pub fn prefixes(mut bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    std::iter::from_fn(move || {
        let (&length, rest) = bytes.split_first()?;
        let octets = usize::from(length.div_ceil(8));
        let mut address = [0; 4];
        address[..octets].copy_from_slice(&rest[..octets]);
        bytes = &rest[octets..];
        Some(number(length, address))
    })
}

/// A prefix as [`prefixes`] gives it.
pub fn number(length: u8, address: [u8; 4]) -> u64 {
    u64::from(length) << 32 | u64::from(u32::from_be_bytes(address))
}
