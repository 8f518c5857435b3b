//! The fib's thread: drains the inbox and the monitor, lets the engine work,
//! waits.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use godwit_netlink::{Error, Event, Monitor, Waker, wait_readable};
use godwit_rib::FibChange;

use crate::api::{FibConfig, FibSink, OnStop};
use crate::engine::Engine;
use crate::handle::{Command, FibHandle, Inbox, Query, Shared};
use crate::kernel::Netlink;

/// Datagrams of the monitor that are read before other work gets its turn.
const MONITOR_BURST: usize = 1024;
/// What a stop may take to write and to remove.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Starts fibs.
#[derive(Debug)]
pub struct Fib;

impl Fib {
    /// Starts the thread, in the calling thread's network namespace. Returns
    /// once the kernel is read and our routes of an earlier run are adopted.
    pub fn spawn(config: FibConfig, sink: impl FibSink) -> Result<FibHandle, Error> {
        let system = |what: &str| {
            let what = what.to_owned();
            move |source| Error::System { what, source }
        };
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox::default()),
            stopped: Condvar::new(),
            waker: Waker::new().map_err(system("cannot make an eventfd"))?,
            capacity: config.queue,
        });
        let (started, start) = mpsc::channel();
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("fib".into())
            .spawn(move || {
                let _stopped = SayStopped(&inside);
                match Worker::start(&inside, config, sink) {
                    Ok(worker) => {
                        let _ = started.send(Ok(()));
                        worker.run();
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            })
            .map_err(system("cannot start the fib's thread"))?;
        let ended = || {
            Err(Error::System {
                what: "the fib's thread ended at once".into(),
                source: std::io::ErrorKind::Other.into(),
            })
        };
        start.recv().unwrap_or_else(|_| ended())?;
        Ok(FibHandle {
            shared,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }
}

/// Whoever waits for the end hears of it even if the thread panics.
struct SayStopped<'a>(&'a Shared);

impl Drop for SayStopped<'_> {
    fn drop(&mut self) {
        let mut inbox = self.0.lock();
        inbox.stopped = true;
        // Dropping the questions answers them.
        inbox.commands.clear();
        inbox.changes.clear();
        drop(inbox);
        self.0.stopped.notify_all();
    }
}

struct Worker<'a, S> {
    shared: &'a Shared,
    engine: Engine<Netlink, S>,
    monitor: Monitor,
    began: Instant,
    /// Changes and commands taken from the inbox, in their order. The engine
    /// gets a batch of changes at a time: what it has just looked up is still
    /// in the processor's cache when it is written.
    changes: VecDeque<std::vec::IntoIter<FibChange>>,
    /// End-of-RIB and stop come after the changes that were sent before them.
    last_words: VecDeque<Command>,
    batch: usize,
    /// Wishes may wait in the engine up to here before it gets more.
    backlog: usize,
}

impl<'a, S: FibSink> Worker<'a, S> {
    fn start(shared: &'a Shared, config: FibConfig, sink: S) -> Result<Self, Error> {
        let kernel = Netlink::open(&config)?;
        // Before the first reading: nothing may fall between the two.
        let monitor = Monitor::open(Some(kernel.port()))?;
        let (batch, backlog) = (config.batch, config.queue);
        let engine = Engine::start(config, kernel, sink)?;
        Ok(Self {
            shared,
            engine,
            monitor,
            began: Instant::now(),
            changes: VecDeque::new(),
            last_words: VecDeque::new(),
            batch,
            backlog,
        })
    }

    fn run(mut self) {
        loop {
            let now = self.began.elapsed();
            self.read_monitor(now);
            let questions = self.read_inbox();
            if let Some(on_stop) = self.feed() {
                return self.stop(on_stop);
            }
            // After a sweep that was ordered before them, if nothing holds that up.
            for question in questions {
                let queued = self.queued();
                self.engine.answer(question, queued, now);
            }
            if self.engine.work(now) || !self.changes.is_empty() {
                continue;
            }
            let timeout = self
                .engine
                .next_deadline()
                .map(|at| at.saturating_sub(self.began.elapsed()));
            match wait_readable([self.shared.waker.as_fd(), self.monitor.as_fd()], timeout) {
                Ok([true, _]) => self.shared.waker.clear(),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "the fib cannot wait for events");
                    // poll(2) fails for want of memory only; do not spin meanwhile.
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn read_monitor(&mut self, now: Duration) {
        for _ in 0..MONITOR_BURST {
            let engine = &mut self.engine;
            match self.monitor.read(|event| engine.event(event, now)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot follow the kernel");
                    return self.engine.event(Event::Resync, now);
                }
            }
        }
    }

    /// Takes in what the daemon wants, when what it wanted before is with the
    /// engine. Questions and next hops never wait.
    fn read_inbox(&mut self) -> Vec<Query> {
        let mut inbox = self.shared.lock();
        let commands = std::mem::take(&mut inbox.commands);
        let mut was_refused = false;
        if self.changes.is_empty() {
            inbox.queued = 0;
            was_refused = std::mem::take(&mut inbox.refused);
            self.changes.extend(
                std::mem::take(&mut inbox.changes)
                    .into_iter()
                    .map(Vec::into_iter),
            );
        }
        // Changes that stay outside were sent before these, perhaps.
        let all_in = inbox.changes.is_empty();
        let (last_words, commands): (Vec<_>, Vec<_>) = commands
            .into_iter()
            .partition(|c| matches!(c, Command::EndOfRib | Command::Stop(_)));
        if all_in {
            self.last_words.extend(last_words);
        } else {
            inbox.commands.splice(..0, last_words);
        }
        drop(inbox);
        if was_refused {
            self.engine.ready_for_more();
        }
        let mut questions = Vec::new();
        for command in commands {
            match command {
                Command::Track(next_hop) => self.engine.track(next_hop),
                Command::Untrack(next_hop) => self.engine.untrack(next_hop),
                Command::Query(query) => questions.push(query),
                Command::EndOfRib | Command::Stop(_) => {}
            }
        }
        questions
    }

    /// Changes that the engine has not got yet.
    fn queued(&self) -> usize {
        let taken = self
            .changes
            .iter()
            .map(ExactSizeIterator::len)
            .sum::<usize>();
        self.shared.lock().queued + taken
    }

    /// Gives the engine its next batch.
    fn feed(&mut self) -> Option<OnStop> {
        let mut room = self.batch;
        while room > 0 && self.engine.routes.pending() <= self.backlog {
            let Some(next) = self.changes.front_mut() else {
                break;
            };
            let Some(change) = next.next() else {
                self.changes.pop_front();
                continue;
            };
            self.engine.change(change);
            room -= 1;
        }
        if self.changes.iter().any(|c| c.len() > 0) {
            return None;
        }
        self.changes.clear();
        while let Some(command) = self.last_words.pop_front() {
            match command {
                Command::Stop(on_stop) => return Some(on_stop),
                _ => self.engine.sweep(),
            }
        }
        None
    }

    fn stop(mut self, on_stop: OnStop) {
        if on_stop == OnStop::Remove {
            self.engine.remove_all();
        }
        let deadline = self.began.elapsed() + STOP_PATIENCE;
        while self.engine.work(self.began.elapsed()) {
            if self.began.elapsed() > deadline {
                tracing::warn!("stopping with writes to the kernel undone");
                break;
            }
        }
        if on_stop == OnStop::Remove {
            self.engine.restore_settings();
        }
    }
}
