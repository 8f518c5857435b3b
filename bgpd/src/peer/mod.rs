//! One task a peer: its session, its sockets, its timers.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod connection;
pub mod history;
mod incoming;
mod name;
mod outgoing;
mod registry;
mod settings;
mod socket;
pub(crate) mod spec;
mod task;

pub use connection::farewell;
pub use name::PeerName;
pub use registry::{Entry, Registry};
pub use settings::PeerSettings;
pub(crate) use task::{Context, spawn};

use godwit_bgp::Family;
use tokio::net::TcpStream;

/// What a peer's task is told. Its queue is short: whoever tells it more than
/// it can take waits, or (a connecting neighbour) is turned away.
#[derive(Debug)]
pub enum PeerCommand {
    /// The neighbour connected to us.
    Accepted(TcpStream),
    Start,
    /// Cease, then stay down.
    Stop {
        subcode: u8,
        message: String,
    },
    /// Cease, then come up again.
    Reset {
        subcode: u8,
        message: String,
    },
    /// Take these settings; `reset` where the session must come up anew for them.
    Configure {
        settings: Box<PeerSettings>,
        reset: bool,
    },
    /// Ask the peer for its routes again (RFC 2918); none: all negotiated.
    RefreshIn(Vec<Family>),
    /// Send it ours again.
    RefreshOut(Vec<Family>),
    /// This interface passes no packets any more.
    LinkLost(u32),
    /// Cease and end the task.
    Remove {
        subcode: u8,
        message: String,
    },
}

/// Commands that wait for a peer's task.
pub const COMMANDS: usize = 8;
