//! The finite state machine of one peer (RFC 4271 §8), pure: time is an
//! argument, sockets are the caller's.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod collision;
mod config;
mod conn;
mod counters;
mod faults;
mod fsm;
mod io;
mod messages;
mod negotiate;
mod timers;

#[cfg(test)]
mod tests;

pub use config::{Capabilities, GracefulRestart, RemoteAs, SessionConfig};
pub use counters::{Counters, MessageCounts};
pub use fsm::Session;
pub use io::{
    Action, ConnId, Direction, DownReason, ErrorOrigin, Event, Input, SessionError, State,
};
pub use negotiate::{Negotiated, PeerGracefulRestart};
