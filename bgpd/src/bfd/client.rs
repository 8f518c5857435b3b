//! The daemon's side: which sessions its peers want, and how they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::channel::Channel;
use super::messages::{Key, Report, Request, Status, VERSION, Wanted};
use crate::sync::lock;

/// Between two attempts to reach the process.
const RETRY: Duration = Duration::from_secs(1);
/// Changes that come together are told together.
const GATHER: Duration = Duration::from_millis(5);
/// What the process gets to read a farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is known of a session.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// The BFD process does not answer, and what to do about it.
    NoProcess(Arc<str>),
    /// It has been asked and has not said anything yet.
    Asked,
    /// And when its state last changed.
    Known(Arc<Status>, SystemTime),
}

/// All sessions that peers want.
#[derive(Debug)]
pub(crate) struct Bfd {
    socket: PathBuf,
    hold: Duration,
    table: Mutex<Table>,
    /// Something in the table is for the process to know.
    changed: Notify,
}

#[derive(Debug)]
struct Table {
    slots: BTreeMap<Key, Slot>,
    /// Why there is no connection.
    absent: Option<Arc<str>>,
    leaving: bool,
}

#[derive(Debug)]
struct Slot {
    wanted: Wanted,
    /// A peer that is made anew is there twice for a moment. 0: the process is to
    /// be told; who comes back before that finds all as it was.
    users: usize,
    view: watch::Sender<View>,
}

/// A session that a peer wants; it ends with the last of its kind.
#[derive(Debug)]
pub(crate) struct Path {
    key: Key,
    view: watch::Receiver<View>,
    bfd: Arc<Bfd>,
}

impl Bfd {
    /// `hold`: how long sessions go on while this daemon is away.
    pub(crate) fn new(socket: PathBuf, hold: Duration) -> Arc<Self> {
        Arc::new(Bfd {
            socket,
            hold,
            table: Mutex::new(Table {
                slots: BTreeMap::new(),
                absent: None,
                leaving: false,
            }),
            changed: Notify::new(),
        })
    }

    /// Wants a session. One with the same key is shared, with the intervals
    /// that were wanted last.
    pub(crate) fn watch(self: &Arc<Self>, wanted: Wanted) -> Path {
        let key = wanted.key.clone();
        let view = {
            let mut table = lock(&self.table);
            let first = table.absent.clone().map_or(View::Asked, View::NoProcess);
            let slot = table.slots.entry(key.clone()).or_insert_with(|| Slot {
                wanted: wanted.clone(),
                users: 0,
                view: watch::Sender::new(first),
            });
            slot.wanted = wanted;
            slot.users += 1;
            let mut view = slot.view.subscribe();
            // What is known already is news to this one.
            view.mark_changed();
            view
        };
        self.changed.notify_one();
        Path {
            key,
            view,
            bfd: Arc::clone(self),
        }
    }

    /// A planned end: the process is told to take all sessions down.
    pub(crate) fn leave(&self) {
        lock(&self.table).leaving = true;
        self.changed.notify_one();
    }

    /// Speaks with the process until [`leave`](Self::leave). Without any session
    /// wanted it is left alone.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            while !self.is_needed() {
                if lock(&self.table).leaving {
                    return;
                }
                self.changed.notified().await;
            }
            match UnixStream::connect(&self.socket).await {
                Ok(stream) => {
                    info!(socket = %self.socket.display(), "BFD process reached");
                    let why = self.converse(Channel::new(stream)).await;
                    if lock(&self.table).leaving {
                        return;
                    }
                    self.lost(&format!("the BFD process has gone ({why})"));
                }
                Err(e) => self.lost(&format!("no BFD process at {}: {e}", self.socket.display())),
            }
            if lock(&self.table).leaving {
                return;
            }
            sleep(RETRY).await;
        }
    }

    fn is_needed(&self) -> bool {
        let mut table = lock(&self.table);
        table.slots.retain(|_, slot| slot.users > 0);
        !table.slots.is_empty()
    }

    /// One connection; returns why it ended.
    async fn converse(&self, mut channel: Channel) -> String {
        let hold = u32::try_from(self.hold.as_millis()).unwrap_or(u32::MAX);
        channel.push(&Request::Hello {
            version: VERSION,
            hold,
        });
        self.found();
        self.ask(&mut channel);
        loop {
            tokio::select! {
                alive = channel.turn() => if !alive {
                    return "connection closed".to_owned();
                },
                () = self.changed.notified() => {
                    if lock(&self.table).leaving {
                        farewell(channel).await;
                        return "farewell".to_owned();
                    }
                    sleep(GATHER).await;
                    if !self.ask(&mut channel) {
                        return "it does not read".to_owned();
                    }
                }
            }
            while let Some(line) = channel.line() {
                match serde_json::from_slice(&line) {
                    Ok(Report::Hello { version, .. }) if version != VERSION => {
                        return format!(
                            "it speaks version {version} and this daemon {VERSION}: restart it"
                        );
                    }
                    Ok(Report::Session(status)) => self.heard(*status),
                    Ok(Report::Refused { reason }) => warn!("the BFD process: {reason}"),
                    Ok(Report::Hello { .. } | Report::Unknown) => {}
                    Err(e) => return format!("not understood: {e}"),
                }
            }
        }
    }

    fn ask(&self, channel: &mut Channel) -> bool {
        let mut table = lock(&self.table);
        table.slots.retain(|_, slot| slot.users > 0);
        let sessions = table.slots.values().map(|slot| slot.wanted.clone());
        channel.push(&Request::Sessions {
            sessions: sessions.collect(),
        })
    }

    fn heard(&self, status: Status) {
        let since = Duration::from_millis(status.since);
        let changed = SystemTime::now().checked_sub(since);
        let changed = changed.unwrap_or(SystemTime::UNIX_EPOCH);
        let table = lock(&self.table);
        if let Some(slot) = table.slots.get(&status.key) {
            let view = View::Known(Arc::new(status), changed);
            slot.view.send_replace(view);
        }
    }

    fn found(&self) {
        let mut table = lock(&self.table);
        table.absent = None;
        for slot in table.slots.values() {
            slot.view.send_replace(View::Asked);
        }
    }

    fn lost(&self, why: &str) {
        let mut table = lock(&self.table);
        if table.absent.as_deref() != Some(why) {
            warn!("{why}; peers with BFD go on without it");
        }
        let why: Arc<str> = why.into();
        table.absent = Some(Arc::clone(&why));
        for slot in table.slots.values() {
            slot.view.send_replace(View::NoProcess(Arc::clone(&why)));
        }
    }
}

async fn farewell(mut channel: Channel) {
    channel.push(&Request::Goodbye);
    let deadline = Instant::now() + FAREWELL;
    while !channel.is_flushed() && Instant::now() < deadline {
        if !matches!(timeout(FAREWELL, channel.turn()).await, Ok(true)) {
            return;
        }
    }
}

impl Path {
    /// Which session it is, and how it is.
    pub(crate) fn seen(&self) -> (Key, View) {
        (self.key.clone(), self.view.borrow().clone())
    }

    /// How the session is now; whatever it was before is seen with that.
    pub(crate) fn view(&mut self) -> View {
        self.view.borrow_and_update().clone()
    }

    /// Waits until that is another.
    pub(crate) async fn changed(&mut self) {
        // The sender lives in the table as long as this is there.
        let _ = self.view.changed().await;
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        {
            let mut table = lock(&self.bfd.table);
            if let Some(slot) = table.slots.get_mut(&self.key) {
                slot.users -= 1;
            }
        }
        self.bfd.changed.notify_one();
    }
}
