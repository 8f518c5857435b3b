//! The thread that owns the routes, and the handles to it.
//!
//! Nothing else touches the [`Rib`]; whoever wants something of it sends a job
//! that runs there between two slices of work.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod inbox;
mod port;
mod run;
mod tap;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use godwit_bgp::Family;
use godwit_rib::{PeerSpec, Rib};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::peer::PeerName;

pub use inbox::Inbox;
pub use port::{Batch, INPUT_LIMIT, Item, OUTPUT_LIMIT, Port};
pub use run::spawn;
pub use tap::Tap;

/// Queries that may wait or run at once; the next one waits its turn before it
/// enters the queue.
const QUERIES: usize = 64;

/// What the RIB thread tells the control task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The first End-of-RIB of a session's family; what came before it is in the
    /// RIB, and decided by the next time that nothing is left to do there.
    EndOfRib(PeerName, Family),
    /// The thread panicked; the daemon cannot go on.
    Failed,
}

pub type Notices = mpsc::UnboundedReceiver<Notice>;

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RibError {
    /// The daemon is stopping.
    Gone,
    /// The query itself panicked; the routes are untouched by that.
    Panicked(String),
}

impl fmt::Display for RibError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RibError::Gone => f.write_str("the daemon is stopping"),
            RibError::Panicked(what) => write!(f, "internal error in a route query: {what}"),
        }
    }
}

impl std::error::Error for RibError {}

/// Sends work to the RIB thread; cheap to clone.
#[derive(Clone)]
pub struct RibHandle {
    inbox: Arc<Inbox>,
    queries: Arc<Semaphore>,
}

impl fmt::Debug for RibHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RibHandle")
    }
}

impl RibHandle {
    pub(crate) fn new(inbox: Arc<Inbox>) -> RibHandle {
        RibHandle {
            inbox,
            queries: Arc::new(Semaphore::new(QUERIES)),
        }
    }

    /// Runs `query` on the RIB thread between two slices of its work and returns
    /// what it gave. A query should end within a millisecond: take long reads in pages.
    pub async fn query<R: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Rib) -> R + Send + 'static,
    ) -> Result<R, RibError> {
        let permit = Arc::clone(&self.queries)
            .acquire_owned()
            .await
            .map_err(|_| RibError::Gone)?;
        let (reply, answer) = oneshot::channel();
        self.inbox.job(move |core| {
            let result = catch_unwind(AssertUnwindSafe(|| query(&mut core.rib)));
            // Nobody waits any more: fine.
            let _ = reply.send(result.map_err(|p| RibError::Panicked(panic_text(&*p))));
            drop(permit);
        });
        answer.await.map_err(|_| RibError::Gone)?
    }

    /// Opens a tap on changes of routes.
    pub async fn open_tap(&self) -> Result<Tap, RibError> {
        Tap::open(self.clone()).await
    }

    /// Runs `command` on the RIB thread, in order with all other commands; for
    /// the few senders whose number bounds the queue (a peer's task, the control task).
    pub(crate) fn command(&self, command: impl FnOnce(&mut Rib) + Send + 'static) {
        self.inbox.job(move |core| command(&mut core.rib));
    }

    /// Gives sessions other specs, all at once; those that are over are left out.
    pub(crate) fn set_specs(&self, specs: Vec<(Arc<Port>, PeerSpec)>) {
        self.inbox.job(move |core| {
            for (port, spec) in specs {
                if let Some(id) = core.id_of(&port) {
                    core.rib.set_spec(id, spec);
                }
            }
        });
    }

    /// Makes a session known; what is pushed to the port counts from here on.
    /// `back`: the port of a session whose routes were kept, and of which
    /// families they still are (RFC 4724).
    pub(crate) fn peer_up(
        &self,
        port: Arc<Port>,
        spec: PeerSpec,
        back: Option<(Arc<Port>, [bool; Family::COUNT])>,
    ) {
        self.inbox.job(move |core| core.peer_up(&port, spec, back));
    }

    /// Ends a session: what its port still holds is dropped, its routes of the
    /// families in `keep` stay until `peer_up` or `peer_down`.
    pub(crate) fn peer_away(&self, port: Arc<Port>, keep: [bool; Family::COUNT]) {
        self.inbox.job(move |core| core.peer_away(&port, keep));
    }

    /// Ends a session, or what is kept of one: what its port still holds is
    /// dropped, its routes go.
    pub(crate) fn peer_down(&self, port: Arc<Port>) {
        self.inbox.job(move |core| core.peer_down(&port));
    }

    /// Hands over what a peer sent.
    pub(crate) fn push(&self, port: &Arc<Port>, batch: Batch) {
        if port.push(batch) {
            self.inbox.schedule(Arc::clone(port));
        }
    }

    /// Sends the peer all routes of a family again. Requests that come before
    /// that begins are one, however many there are: a peer can ask faster than
    /// anybody can answer.
    pub(crate) fn refresh(&self, port: &Arc<Port>, family: Family) {
        if !port.ask_refresh(family) {
            return;
        }
        let port = Arc::clone(port);
        self.command(move |rib| {
            port.take_refresh(family);
            if let Some(id) = port.id() {
                rib.refresh(id, family);
            }
        });
    }

    /// Takes frames to write to the peer, see [`Port`]; returns their octets.
    pub(crate) fn take_frames(
        &self,
        port: &Arc<Port>,
        max: usize,
        into: &mut std::collections::VecDeque<Bytes>,
    ) -> usize {
        let (taken, refill) = port.take_frames(max, into);
        if refill {
            self.inbox.refill(Arc::clone(port));
        }
        taken
    }

    /// Runs once what is queued before it, and all work that follows from that, is done
    /// and with the fib thread.
    pub(crate) fn sweep_when_settled(&self) {
        self.inbox.job(|core| core.sweep_when_settled());
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.queries.close();
        self.inbox.stop();
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}
