//! The finite state machine of one peer (RFC 4271 §8), pure: time is an
//! argument, sockets are the caller's.
//!
//! The caller puts [`Input`]s, frames and the time in, drains
//! [`poll_action`](Session::poll_action), and calls
//! [`handle_timeout`](Session::handle_timeout) at
//! [`next_deadline`](Session::next_deadline).
//!
//! # Events of RFC 4271 §8.1 and where they come in
//!
//! | event | here |
//! |---|---|
//! | 1 ManualStart, 4 with PassiveTcpEstablishment | [`Input::ManualStart`]; passive by the configuration |
//! | 2 ManualStop | [`Input::ManualStop`] |
//! | 3, 5, 6, 7 AutomaticStart | the session starts itself again after every error, damped |
//! | 8 AutomaticStop | [`Input::Fail`]; [`Input::Reset`] is a stop and a start |
//! | 9 ConnectRetryTimer | time between attempts, and the longest one may take |
//! | 10 HoldTimer, 11 KeepaliveTimer | per connection |
//! | 12 DelayOpenTimer, 20 BGPOpen while it runs | not implemented: OPEN goes at once |
//! | 13 IdleHoldTimer | after errors; doubles, see [`SessionConfig::idle_hold`] |
//! | 14 TcpConnection_Valid, 15 Tcp_CR_Invalid | the caller's: it accepts for configured addresses only |
//! | 16 Tcp_CR_Acked, 17 TcpConnectionConfirmed | [`Input::Connected`], [`Input::Accepted`] |
//! | 18 TcpConnectionFails | [`Input::ConnectFailed`], [`Input::Closed`], [`Input::Unreachable`] |
//! | 19 BGPOpen, 22 BGPOpenMsgErr | [`Session::handle_frame`], by negotiation |
//! | 21 BGPHeaderErr | [`Input::BadFrame`] |
//! | 23 OpenCollisionDump | within the session, which holds both connections |
//! | 24 NotifMsgVerErr, 25 NotifMsg | [`Session::handle_frame`] |
//! | 26 KeepAliveMsg, 27 UpdateMsg, 28 UpdateMsgErr | [`Session::handle_frame`] |
//! | 29 SendHoldTimer (RFC 9687) | per connection, see [`Session::blocked`] |
//!
//! Optional attributes: AllowAutomaticStart and DampPeerOscillations are always
//! on, PassiveTcpEstablishment and CollisionDetectEstablishedState are settings.
//! Not implemented: DelayOpen, TrackTcpState, AcceptConnectionsUnconfiguredPeers
//! (a caller that serves a range makes a session when somebody comes).
//! SendNOTIFICATIONwithoutOPEN: for the one that a stopped session refuses with.
//!
//! # Where it departs from the letter
//!
//! - A failed attempt to connect leads to Active and not to Idle (§8.2.2,
//!   Connect, event 18), so that we can be reached while we wait.
//! - In Idle after a *first* failure the peer may connect (§8.2.2, Idle, refuses
//!   all): a restarted router is back as soon as it wants to be. After repeated
//!   ones it is refused until IdleHoldTime is over.
//! - A NOTIFICATION is answered in no state (§8.2.2, OpenSent, event 25, wants
//!   one); §6.4 is what everybody does.
//! - A version error (event 24) is damped like any other: there is no other
//!   version that we could try.
//! - Cease/Connection Collision Resolution is no failure before Established: no
//!   damping, no last error.
//! - With a hold time of zero the wait for the KEEPALIVE in OpenConfirm still
//!   ends, after the large hold time.
//! - A peer that promised to restart gracefully replaces its Established
//!   connection by opening a new one (RFC 4724 §5).
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
mod ending;
mod faults;
mod fsm;
mod graceful;
mod io;
mod messages;
mod negotiate;
mod timers;

#[cfg(test)]
mod tests;

pub use config::{AddPath, Capabilities, GracefulRestart, RemoteAs, SessionConfig};
pub use counters::{Counters, MessageCounts};
pub use fsm::Session;
pub use graceful::Stale;
pub use io::{
    Action, ConnId, Direction, DownReason, ErrorOrigin, Event, Input, SessionError, State, Waiting,
};
pub use negotiate::{Negotiated, PeerGracefulRestart};
