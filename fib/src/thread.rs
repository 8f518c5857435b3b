//! The fib's thread: drains the inbox and the monitor, lets the engine work,
//! waits.

use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use godwit_netlink::{Error, Event, Monitor, Waker, wait_readable};

use crate::api::{FibConfig, FibSink, OnStop};
use crate::engine::Engine;
use crate::handle::{Command, FibHandle, Inbox, Shared};
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
    /// Wishes may wait in the engine up to here before more are taken in.
    backlog: usize,
}

impl<'a, S: FibSink> Worker<'a, S> {
    fn start(shared: &'a Shared, config: FibConfig, sink: S) -> Result<Self, Error> {
        let kernel = Netlink::open(&config)?;
        // Before the first reading: nothing may fall between the two.
        let monitor = Monitor::open(kernel.port())?;
        let backlog = config.queue;
        let engine = Engine::start(config, kernel, sink)?;
        Ok(Self {
            shared,
            engine,
            monitor,
            began: Instant::now(),
            backlog,
        })
    }

    fn run(mut self) {
        loop {
            let now = self.began.elapsed();
            self.read_monitor(now);
            if let Some(on_stop) = self.read_inbox(now) {
                return self.stop(on_stop);
            }
            if self.engine.work(now) {
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

    /// Takes in what the daemon wants. Changes stay outside while the engine
    /// has enough to do; commands never wait, but End-of-RIB and stop come
    /// after the changes that were sent before them.
    fn read_inbox(&mut self, now: Duration) -> Option<OnStop> {
        let mut inbox = self.shared.lock();
        let last_words = inbox
            .commands
            .iter()
            .any(|c| matches!(c, Command::EndOfRib | Command::Stop(_)));
        let full = self.engine.routes.pending() > self.backlog && !last_words;
        let changes = if full {
            Vec::new()
        } else {
            std::mem::take(&mut inbox.changes)
        };
        let commands = std::mem::take(&mut inbox.commands);
        if !full {
            inbox.queued = 0;
        }
        let queued = inbox.queued;
        let was_refused = !full && std::mem::take(&mut inbox.refused);
        drop(inbox);
        for change in changes.into_iter().flatten() {
            self.engine.change(change);
        }
        if was_refused {
            self.engine.ready_for_more();
        }
        let mut stop = None;
        for command in commands {
            match command {
                Command::Track(next_hop) => self.engine.track(next_hop),
                Command::Untrack(next_hop) => self.engine.untrack(next_hop),
                Command::EndOfRib => self.engine.sweep(),
                Command::Query(query) => self.engine.answer(query, queued, now),
                Command::Stop(on_stop) => stop = Some(on_stop),
            }
        }
        stop
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
