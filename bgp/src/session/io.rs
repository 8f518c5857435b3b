//! What goes into a [`Session`](super::Session) and what comes out.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::negotiate::Negotiated;
use crate::types::Family;
use crate::wire::{MessageType, Notification, Update};

/// One TCP connection of a session, never reused within it.
/// Made by [`Session::new_conn_id`](super::Session::new_conn_id) for accepted
/// ones, by the session itself for those it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u32);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Outgoing,
    Incoming,
}

/// The states of RFC 4271 §8.2.2. Of two connections the further one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Idle,
    Connect,
    Active,
    OpenSent,
    OpenConfirm,
    Established,
}

impl State {
    /// Name as the RFC spells it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Idle => "Idle",
            State::Connect => "Connect",
            State::Active => "Active",
            State::OpenSent => "OpenSent",
            State::OpenConfirm => "OpenConfirm",
            State::Established => "Established",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a session that is not Established waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// [`Input::ManualStart`].
    Start,
    /// In Idle, until the time is over, after this many failures; 0: for
    /// another reason than failures.
    Hold { until: Duration, failures: u32 },
    /// An answer to the attempt to connect.
    Answer { until: Duration },
    /// The next attempt to connect, after so many that came to nothing.
    Retry { until: Duration, attempts: u32 },
    /// The peer to connect.
    Peer,
    /// The peer's OPEN or KEEPALIVE.
    Message { until: Option<Duration> },
}

/// What happened outside. Anything about a connection that the session has
/// closed or never knew is ignored, so late events do no harm.
#[derive(Clone, Debug)]
pub enum Input {
    /// Event 1. From then on the session starts itself again (events 3 and 6)
    /// until stopped.
    ManualStart,
    /// Event 2: Cease with this subcode and text (RFC 9003; the text is used
    /// with subcodes 2 and 4 only) and Idle until started again.
    ManualStop { subcode: u8, message: String },
    /// Cease as above, then start again at once. Subcode 9 is sent as a hard
    /// reset (RFC 8538 §3.1) around an administrative one.
    Reset { subcode: u8, message: String },
    /// Event 8: the caller found a fault that ends the session, for example a
    /// prefix limit (6/1). This goes to the peer, and the next start is damped.
    Fail(Notification),
    /// Event 8 with a pause that the caller sets: this goes to the peer, which is
    /// then refused until the time is over, or without one until
    /// [`ManualStart`](Input::ManualStart), which also cuts the pause short.
    /// Only while Established.
    Hold {
        fault: Notification,
        pause: Option<Duration>,
    },
    /// Event 16: the connection asked for by [`Action::Connect`] stands.
    Connected(ConnId),
    /// Event 17: the peer connected to us.
    Accepted(ConnId),
    /// Event 18 for a connection that never stood.
    ConnectFailed(ConnId, String),
    /// Event 18 for one that did: end of stream, reset, time-out.
    /// Of an attempt it counts as `ConnectFailed`.
    Closed(ConnId, String),
    /// The same, and the peer cannot be reached any more, nor can what it
    /// announced: nothing of it is to be kept (RFC 4724).
    Unreachable(ConnId, String),
    /// The byte stream cannot be split into frames (event 21): what
    /// [`split_frame`](crate::wire::split_frame) returned.
    BadFrame(ConnId, Notification),
}

/// What [`handle_frame`](super::Session::handle_frame) hands straight back.
#[derive(Debug)]
pub enum Event {
    Update(Update),
    /// The peer begins to send all its routes of a family again (RFC 7313):
    /// those that it has sent until now are stale, and stay usable.
    RefreshBegin(Family),
    /// It has sent all: what is still stale goes.
    RefreshEnd(Family),
}

/// What the caller is to do, in order.
#[derive(Debug)]
pub enum Action {
    /// Connect to the peer; answer with `Connected` or `ConnectFailed`.
    Connect(ConnId),
    /// Write these bytes, whole frames. `urgent` (KEEPALIVE, NOTIFICATION) goes
    /// ahead of frames of which nothing has been written yet.
    Send {
        conn: ConnId,
        bytes: Bytes,
        urgent: bool,
    },
    /// Give what was sent a short while to leave, then close; or abandon the
    /// attempt. The session knows nothing of this connection any more.
    Close(ConnId),
    /// The session is Established on this connection. Of the routes that the
    /// last [`Down`](Action::Down) wanted kept, those of these families stay
    /// until the peer's End-of-RIB, and then what it did not announce again goes;
    /// the others go now (RFC 4724 §4.2).
    Up(ConnId, Box<Negotiated>, [bool; Family::COUNT]),
    /// It no longer is. Follows every `Up` exactly once. Routes of these families
    /// are kept, as stale ones, but for those that were stale already; until
    /// `Up` or [`StaleExpired`](Action::StaleExpired).
    Down(DownReason, [bool; Family::COUNT]),
    /// What is still stale of these families goes: the peer was not back in its
    /// Restart Time, or not through in
    /// [`stale_time`](super::SessionConfig::stale_time); or it is not waited for
    /// any more. After all that came before.
    StaleExpired([bool; Family::COUNT]),
    /// The peer asks for our routes again (RFC 2918). Only while up, and only
    /// for a family that was negotiated.
    Refresh(Family),
    /// A refresh that the peer began has not ended in
    /// [`refresh_hold`](super::SessionConfig::refresh_hold): as good as
    /// [`Event::RefreshEnd`], after all that came before.
    RefreshExpired(Family),
    /// A message ends the connection because it could not be read, or has no
    /// place here; its body, and what is wrong with it. The report of the end
    /// follows.
    BadMessage {
        kind: MessageType,
        body: Bytes,
        fault: Notification,
    },
    /// Something went wrong on one connection, for the log: from then on the
    /// [`last_error`](super::Session::last_error) or, in Connect, the
    /// [`connect_error`](super::Session::connect_error).
    Report(SessionError),
}

/// Why an Established session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// We ended it with this message.
    Sent(Notification),
    /// The peer did.
    Received(Notification),
    /// The connection ended without a NOTIFICATION.
    Closed(String),
    /// The peer opened a new connection and had promised to restart gracefully
    /// (RFC 4724 §5): routes may be kept as stale.
    PeerRestarted,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownReason::Sent(n) => write!(f, "sent {n}"),
            DownReason::Received(n) => write!(f, "received {n}"),
            DownReason::Closed(why) => f.write_str(why),
            DownReason::PeerRestarted => f.write_str("peer restarted and connected anew"),
        }
    }
}

/// Which side found the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorOrigin {
    /// We sent a NOTIFICATION.
    Sent,
    /// We received one.
    Received,
    /// Connection failures, of which nothing was said on the wire.
    Transport,
}

/// The last thing that went wrong, kept for `peer show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionError {
    pub origin: ErrorOrigin,
    /// In which state of the connection.
    pub state: State,
    pub notification: Option<Notification>,
    /// How long the session had been Established, if it was.
    pub uptime: Option<Duration>,
    /// What happened, without "sent" or "received".
    pub text: String,
    /// Since the caller's start of time.
    pub at: Duration,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            ErrorOrigin::Sent => write!(f, "sent {} in {}", self.text, self.state),
            ErrorOrigin::Received => write!(f, "received {} in {}", self.text, self.state),
            ErrorOrigin::Transport => write!(f, "{} in {}", self.text, self.state),
        }
    }
}
