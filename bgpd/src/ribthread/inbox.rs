//! What waits for the RIB thread, and how it is woken.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};

use godwit_bgp::NextHop;
use godwit_rib::{FibAck, NextHopState};

use super::port::Port;
use super::run::Core;
use crate::sync::lock;

pub(super) type Job = Box<dyn FnOnce(&mut Core) + Send>;

#[derive(Default)]
pub(super) struct Waiting {
    pub jobs: VecDeque<Job>,
    /// Ports with input that do not stand in the round yet.
    pub input: Vec<Arc<Port>>,
    /// Ports whose output ran low.
    pub output: Vec<Arc<Port>>,
    pub acks: Vec<FibAck>,
    pub next_hops: Vec<(NextHop, NextHopState)>,
    /// The fib thread has room again.
    pub fib_ready: bool,
    pub stop: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty()
            && self.input.is_empty()
            && self.output.is_empty()
            && self.acks.is_empty()
            && self.next_hops.is_empty()
            && !self.fib_ready
            && !self.stop
    }
}

/// The RIB thread's letter box. Each list in it is bounded by its senders: a
/// port stands in `input` and `output` at most once, jobs are bounded by
/// [`super::QUERIES`] and a few a peer (of its requests for a refresh, one a
/// family), acknowledgements by the changes that the fib queue admits.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl Inbox {
    pub(super) fn job(&self, job: impl FnOnce(&mut Core) + Send + 'static) {
        self.put(|w| w.jobs.push_back(Box::new(job)));
    }

    pub(super) fn schedule(&self, port: Arc<Port>) {
        self.put(|w| w.input.push(port));
    }

    pub(super) fn refill(&self, port: Arc<Port>) {
        self.put(|w| w.output.push(port));
    }

    pub(super) fn stop(&self) {
        self.put(|w| w.stop = true);
    }

    pub(crate) fn acks(&self, mut acks: Vec<FibAck>) {
        self.put(|w| w.acks.append(&mut acks));
    }

    pub(crate) fn next_hops(&self, mut states: Vec<(NextHop, NextHopState)>) {
        self.put(|w| w.next_hops.append(&mut states));
    }

    pub(crate) fn fib_ready(&self) {
        self.put(|w| w.fib_ready = true);
    }

    fn put(&self, put: impl FnOnce(&mut Waiting)) {
        put(&mut lock(&self.waiting));
        if self.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Called once, on the RIB thread, before anything else.
    pub(super) fn attach(&self) {
        let _ = self.thread.set(thread::current());
    }

    /// Exchanges what waits for `empty`, without a lock where nothing does.
    pub(super) fn take(&self, empty: &mut Waiting) {
        std::mem::swap(&mut *lock(&self.waiting), empty);
    }

    /// Sleeps until something waits.
    pub(super) fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        // Whoever put something in before that store saw `parked` unset and woke nobody.
        if !lock(&self.waiting).is_empty() {
            self.parked.store(false, Ordering::SeqCst);
            return;
        }
        while self.parked.load(Ordering::SeqCst) {
            thread::park();
        }
    }
}
