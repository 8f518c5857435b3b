//! The way to the fib's thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use godwit_bgp::NextHop;
use godwit_netlink::Waker;
use godwit_rib::FibChange;
use ipnet::IpNet;

use crate::api::{CheckReport, FibStatus, Full, NextHopInfo, OnStop, RoutePage, Story};

/// A question that the fib's thread answers between two batches.
#[derive(Debug)]
pub(crate) enum Query {
    Routes {
        after: u64,
        limit: usize,
        answer: mpsc::Sender<RoutePage>,
    },
    NextHops(mpsc::Sender<Vec<NextHopInfo>>),
    Explain {
        prefix: IpNet,
        next_hops: Vec<NextHop>,
        answer: mpsc::Sender<Story>,
    },
    Check(mpsc::Sender<CheckReport>),
    Status(mpsc::Sender<FibStatus>),
}

#[derive(Debug)]
pub(crate) enum Command {
    Track(NextHop),
    Untrack(NextHop),
    EndOfRib,
    Query(Query),
    Stop(OnStop),
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub commands: Vec<Command>,
    pub changes: Vec<Vec<FibChange>>,
    /// Changes in `changes` and those that the thread has not handled yet.
    pub queued: usize,
    /// Somebody was told [`Full`] and waits for the sign.
    pub refused: bool,
    pub stopped: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub inbox: Mutex<Inbox>,
    pub stopped: Condvar,
    pub waker: Waker,
    pub capacity: usize,
}

impl Shared {
    /// A panic elsewhere must not take the routes' owner with it.
    pub fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fib has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Speaks to the fib's thread. Clones speak to the same one.
#[derive(Clone, Debug)]
pub struct FibHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl FibHandle {
    /// Hands over changes, in order. An empty queue takes any amount.
    pub fn try_send(&self, changes: Vec<FibChange>) -> Result<(), Full> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut inbox = self.shared.lock();
        if inbox.queued > 0 && inbox.queued + changes.len() > self.shared.capacity {
            inbox.refused = true;
            return Err(Full(changes));
        }
        let idle = inbox.changes.is_empty();
        inbox.queued += changes.len();
        inbox.changes.push(changes);
        drop(inbox);
        if idle {
            self.shared.waker.wake();
        }
        Ok(())
    }

    /// Follow a next hop. Counted: untrack as often as tracked.
    pub fn track(&self, next_hop: NextHop) {
        self.command(Command::Track(next_hop));
    }

    pub fn untrack(&self, next_hop: NextHop) {
        self.command(Command::Untrack(next_hop));
    }

    /// Every peer has sent its End-of-RIB, or the wait for it is over, and all
    /// changes that came of it are sent: adopted routes that nobody reclaimed
    /// go away.
    pub fn end_of_rib_complete(&self) {
        self.command(Command::EndOfRib);
    }

    /// Our routes, a page at a time; begin with `after` 0. Blocks until the
    /// thread has time, like the other questions: not for async code.
    pub fn routes(&self, after: u64, limit: usize) -> Result<RoutePage, Stopped> {
        self.ask(|answer| Query::Routes {
            after,
            limit,
            answer,
        })
    }

    /// Every tracked next hop.
    pub fn next_hops(&self) -> Result<Vec<NextHopInfo>, Stopped> {
        self.ask(Query::NextHops)
    }

    /// What became of a prefix, and how these next hops are reached.
    pub fn explain(&self, prefix: IpNet, next_hops: Vec<NextHop>) -> Result<Story, Stopped> {
        self.ask(|answer| Query::Explain {
            prefix,
            next_hops,
            answer,
        })
    }

    /// Dumps the kernel's routes and compares.
    pub fn check(&self) -> Result<CheckReport, Stopped> {
        self.ask(Query::Check)
    }

    pub fn status(&self) -> Result<FibStatus, Stopped> {
        self.ask(Query::Status)
    }

    /// Writes what is queued, then leaves or removes our routes, and waits for
    /// the thread to end. True if it ended within `patience`.
    pub fn stop(&self, on_stop: OnStop, patience: Duration) -> bool {
        self.command(Command::Stop(on_stop));
        let inbox = self.shared.lock();
        let (inbox, _) = self
            .shared
            .stopped
            .wait_timeout_while(inbox, patience, |i| !i.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        let ended = inbox.stopped;
        drop(inbox);
        if ended {
            let thread = self
                .thread
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(thread) = thread {
                // A panic there has been reported by the hook already.
                let _ = thread.join();
            }
        }
        ended
    }

    fn command(&self, command: Command) {
        let mut inbox = self.shared.lock();
        if inbox.stopped {
            return;
        }
        inbox.commands.push(command);
        drop(inbox);
        self.shared.waker.wake();
    }

    fn ask<T>(&self, query: impl FnOnce(mpsc::Sender<T>) -> Query) -> Result<T, Stopped> {
        let (answer, answered) = mpsc::channel();
        self.command(Command::Query(query(answer)));
        answered.recv().map_err(|_| Stopped)
    }
}
