//! A policy changes under a full table, with many clients: how long it takes
//! until each of them holds what the new one gives, and whether sessions are
//! kept alive meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use godwit_tests::raw::{KEEPALIVE, NOTIFICATION, Raw, UPDATE, frame};
use godwit_tests::table::Table;

use crate::speaker::{Job, MARK, Policies, REJECTED, Speaker};
use crate::tester::{Parts, Scene, TICK, full_table, messages, number, prefixes, send_all, until};

const SENDERS: u8 = 2;
const CLIENTS: u8 = 50;
const HOLD_TIME: u16 = 9;
/// RFC 4271 §4.4.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(HOLD_TIME as u64 / 3);
/// Nothing came for so long: the table has been sent.
const QUIET: Duration = Duration::from_secs(3);

/// Which policy changes: every route gets a community by it, those of one prefix
/// length are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Import,
    Export,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = match self {
            Change::Import => "import",
            Change::Export => "export",
        };
        write!(
            f,
            "new {which} policy, full table from {SENDERS}, {CLIENTS} clients"
        )
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// From the command until the last client has it all.
    complete: Duration,
    processor: f64,
    peak_kib: u64,
    /// The longest that a client, or a sender, heard nothing, until a while
    /// after the change.
    silence: [Duration; 2],
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [clients, senders] = self.silence.map(|d| d.as_secs_f64());
        write!(
            f,
            "{:.2} s | {:.1} s | {} MB | {clients:.2} s | {senders:.2} s",
            self.complete.as_secs_f64(),
            self.processor,
            self.peak_kib / 1024
        )
    }
}

impl Change {
    /// None: the speaker is not set up for it here.
    pub fn run(self, speaker: Speaker) -> Option<Outcome> {
        if speaker == Speaker::Frr {
            return None;
        }
        let job = Job {
            reflect: false,
            kernel: false,
            hold_time: HOLD_TIME,
            policies: Policies::Accept,
            keeps_received: self == Change::Import,
        };
        let table = full_table();
        let wanted = Wanted::of(&table);
        let mut scene = Scene::start(speaker, job);
        let pulse = Pulse::default();
        let clients: Vec<Client> = (1..=CLIENTS)
            .map(|n| Client::listen(scene.receiver(n), &pulse))
            .collect();
        let (raws, witnesses): (Vec<_>, Vec<_>) = (1..=SENDERS)
            .map(|n| {
                let (raw, bytes) = scene.sender(n, &lengthened(&table, usize::from(n)));
                let witness = Witness::of(raw.stream());
                ((raw, bytes), witness)
            })
            .unzip();
        let senders: Vec<Client> = send_all(raws)
            .into_iter()
            .zip(witnesses)
            .map(|(raw, witness)| Client::with(raw, witness, &pulse))
            .collect();
        let all = || clients.iter().chain(&senders);
        until("the table at every client, and silence", 10 * TICK, || {
            all().for_each(|client| client.lock().assert_up());
            clients.iter().all(|client| {
                let record = client.lock();
                record.announced >= wanted.len() && record.update.elapsed() > QUIET
            })
        });

        all().for_each(|client| client.lock().arm());
        let before = scene.daemon.cpu_seconds();
        let start = Instant::now();
        let policies = match self {
            Change::Import => Policies::MarkIn,
            Change::Export => Policies::MarkOut,
        };
        speaker.reload(&scene.us, Job { policies, ..job });
        // Enough was announced and withdrawn; whether it is the right thing, and
        // when it was, tells what was recorded.
        let mut unproven: Vec<&Client> = clients.iter().collect();
        let mut last = start;
        until("the new policy's routes at every client", TICK, || {
            all().for_each(|client| client.lock().assert_up());
            let enough = |client: &&Client| client.lock().covers(&wanted);
            if !unproven.iter().all(enough) {
                return false;
            }
            unproven.retain(|client| match wanted.since(&client.lock()) {
                Some(at) => {
                    last = last.max(at);
                    false
                }
                None => true,
            });
            unproven.is_empty()
        });
        let processor = scene.daemon.cpu_seconds() - before;
        // What is late still comes.
        let end = Instant::now() + KEEPALIVE_INTERVAL;
        let silence = |clients: &[Client]| {
            let all = clients.iter().map(|client| client.lock().silence());
            all.max().unwrap_or_default()
        };
        until("late keepalives", TICK, || Instant::now() > end);
        all().for_each(|client| client.lock().assert_up());
        let outcome = Outcome {
            complete: last - start,
            processor,
            peak_kib: scene.daemon.peak_rss_kib(),
            silence: [silence(&clients), silence(&senders)],
        };
        pulse.stop();
        scene.daemon.terminate();
        Some(outcome)
    }
}

/// The table by which a sender is the best for one path in `SENDERS`, and the
/// others have it longer.
fn lengthened(table: &Table, sender: usize) -> Table {
    let mut table = table.clone();
    for (i, path) in table.paths.iter_mut().enumerate() {
        if i % usize::from(SENDERS) != sender - 1 {
            path.insert(0, 1300);
        }
    }
    table
}

/// What each client is to hold after the change.
struct Wanted {
    /// Every prefix, with its place among all.
    places: HashMap<u64, usize>,
    /// By place.
    rejected: Vec<bool>,
    rejections: usize,
}

impl Wanted {
    fn of(table: &Table) -> Wanted {
        let mut places = HashMap::new();
        let mut rejected = Vec::new();
        for (prefix, _) in &table.routes {
            if let ipnet::IpNet::V4(net) = prefix {
                places
                    .entry(number(net.prefix_len(), net.addr().octets()))
                    .or_insert_with(|| {
                        rejected.push(net.prefix_len() == REJECTED);
                        rejected.len() - 1
                    });
            }
        }
        Wanted {
            rejections: rejected.iter().filter(|rejected| **rejected).count(),
            places,
            rejected,
        }
    }

    fn len(&self) -> usize {
        self.rejected.len()
    }

    /// Since when a client holds exactly this: every prefix with the mark that
    /// is not rejected, and no other.
    fn since(&self, record: &Record) -> Option<Instant> {
        let mut right = vec![false; self.len()];
        let mut missing = self.len();
        let mut since = None;
        let mut arrivals = record.arrivals.iter();
        let mut arrival = arrivals.next()?;
        for (kind, body) in messages(&record.bytes) {
            while arrival.1 < body.end {
                arrival = arrivals.next()?;
            }
            if kind != UPDATE {
                continue;
            }
            let update = Parts::of(&record.bytes[body]);
            let marked = !update.announced.is_empty() && update.has_community(MARK);
            let gone = prefixes(update.withdrawn).map(|prefix| (prefix, true));
            let come = prefixes(update.announced).map(|prefix| (prefix, false));
            for (prefix, gone) in gone.chain(come) {
                let place = self.places[&prefix];
                let is_right = match self.rejected[place] {
                    true => gone,
                    false => !gone && marked,
                };
                if is_right != right[place] {
                    right[place] = is_right;
                    missing = if is_right { missing - 1 } else { missing + 1 };
                    since = (missing == 0).then_some(arrival.0);
                }
            }
        }
        since
    }
}

/// A session, kept alive by a pulse and read by a witness.
struct Client {
    _raw: Raw,
    witness: Witness,
}

impl Client {
    fn listen(raw: Raw, pulse: &Pulse) -> Client {
        let witness = Witness::of(raw.stream());
        Client::with(raw, witness, pulse)
    }

    fn with(raw: Raw, witness: Witness, pulse: &Pulse) -> Client {
        pulse.give(raw.stream());
        Client { _raw: raw, witness }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.witness.0.lock().expect("no reader panicked")
    }
}

/// Sends KEEPALIVE on all sessions that it was given, until it is stopped.
#[derive(Clone, Default)]
struct Pulse {
    over: Arc<AtomicBool>,
}

impl Pulse {
    fn give(&self, mut stream: TcpStream) {
        let over = Arc::clone(&self.over);
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) && stream.write_all(&frame(KEEPALIVE, &[])).is_ok()
            {
                thread::sleep(KEEPALIVE_INTERVAL / 2);
            }
        });
    }

    fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Reads a session on a thread of its own.
struct Witness(Arc<Mutex<Record>>);

/// What came on a session, and when.
struct Record {
    /// What is kept, or came in part.
    bytes: Vec<u8>,
    /// Of these: whole messages.
    whole: usize,
    /// When what lies before this place had come.
    arrivals: Vec<(Instant, usize)>,
    /// Keep all that comes.
    armed: bool,
    announced: usize,
    withdrawn: usize,
    /// When the last message came, and the last UPDATE.
    message: Instant,
    update: Instant,
    longest: Duration,
    end: Option<String>,
}

impl Witness {
    fn of(mut stream: TcpStream) -> Witness {
        let now = Instant::now();
        let record = Arc::new(Mutex::new(Record {
            bytes: Vec::new(),
            whole: 0,
            arrivals: Vec::new(),
            armed: false,
            announced: 0,
            withdrawn: 0,
            message: now,
            update: now,
            longest: Duration::ZERO,
            end: None,
        }));
        let shared = Arc::clone(&record);
        thread::spawn(move || {
            let _ = stream.set_read_timeout(None);
            let mut chunk = vec![0; 1 << 17];
            loop {
                let read = stream.read(&mut chunk);
                let mut record = shared.lock().expect("no other thread panicked");
                match read {
                    Ok(0) => record.end("the end of the connection".to_owned()),
                    Ok(n) => record.take(&chunk[..n], Instant::now()),
                    Err(e) => record.end(e.to_string()),
                }
                if record.end.is_some() {
                    return;
                }
            }
        });
        Witness(record)
    }
}

impl Record {
    fn take(&mut self, bytes: &[u8], now: Instant) {
        self.bytes.extend_from_slice(bytes);
        let fresh = &self.bytes[self.whole..];
        let mut read = 0;
        let mut end = None;
        for (kind, body) in messages(fresh) {
            read = body.end;
            let body = &fresh[body];
            match kind {
                UPDATE => {
                    let update = Parts::of(body);
                    self.announced += prefixes(update.announced).count();
                    self.withdrawn += prefixes(update.withdrawn).count();
                    self.update = now;
                }
                NOTIFICATION => end = Some(format!("NOTIFICATION {}/{}", body[0], body[1])),
                _ => {}
            }
        }
        if read > 0 {
            self.longest = self.longest.max(now - self.message);
            self.message = now;
        }
        if self.armed {
            self.whole += read;
            self.arrivals.push((now, self.whole));
        } else {
            self.bytes.drain(..read);
        }
        if let Some(end) = end {
            self.end(end);
        }
    }

    fn end(&mut self, how: String) {
        self.end.get_or_insert(how);
    }

    fn assert_up(&self) {
        if let Some(end) = &self.end {
            panic!("a session ended by {end}");
        }
    }

    /// From here on all is kept.
    fn arm(&mut self) {
        self.armed = true;
        self.announced = 0;
        self.withdrawn = 0;
        self.longest = Duration::ZERO;
    }

    /// As much was announced and withdrawn as is wanted, whatever it is.
    fn covers(&self, wanted: &Wanted) -> bool {
        self.withdrawn >= wanted.rejections && self.announced >= wanted.len() - wanted.rejections
    }

    /// The longest without a message.
    fn silence(&self) -> Duration {
        self.longest.max(self.message.elapsed())
    }
}
