//! What the daemon and the BFD process say to each other: one JSON object a
//! line. Both come from one build or from neighbouring ones; an unknown kind of
//! line is ignored, so that a newer one may say more.

use std::fmt;
use std::net::IpAddr;

use godwit_bgp::bfd::Hops;
use serde::{Deserialize, Serialize};

/// Raised when an old reader would misunderstand a new writer.
pub(super) const VERSION: u32 = 1;
/// The longest line; whoever sends a longer one is cut off. Some 10,000 sessions.
pub(super) const LONGEST: usize = 4 << 20;

/// What makes a session one of its own: where to, and which way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) remote: IpAddr,
    /// Packets leave with this address; otherwise the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) local: Option<IpAddr>,
    /// Packets leave and arrive by this interface; needed for a link-local address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
    #[serde(default)]
    pub(crate) multihop: bool,
}

impl Key {
    pub(crate) fn hops(&self) -> Hops {
        if self.multihop {
            Hops::Multi
        } else {
            Hops::Single
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.remote)?;
        if let Some(interface) = &self.interface {
            write!(f, "%{interface}")?;
        }
        Ok(())
    }
}

/// A session that is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    #[serde(flatten)]
    pub(crate) key: Key,
    /// Microseconds, both for what we send and for what we can receive.
    pub(crate) interval: u32,
    pub(crate) multiplier: u8,
}

/// From the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// The first line. `hold`: milliseconds for which the sessions go on when
    /// the daemon is gone without [`Request::Goodbye`].
    Hello { version: u32, hold: u32 },
    /// All sessions that there are to be; those that are not named end.
    Sessions { sessions: Vec<Wanted> },
    /// A planned end: all sessions are taken down administratively.
    Goodbye,
    #[serde(other)]
    Unknown,
}

/// From the BFD process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Report {
    /// The first line. `real_time`: whether its packets go before other work.
    Hello { version: u32, real_time: bool },
    /// A session as it is now: after the request that names it, and whenever
    /// its state or pace changes.
    Session(Box<Status>),
    /// Why the request before was not followed.
    Refused { reason: String },
    #[serde(other)]
    Unknown,
}

/// A session's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    AdminDown,
    Down,
    Init,
    Up,
}

impl From<godwit_bgp::bfd::State> for State {
    fn from(state: godwit_bgp::bfd::State) -> Self {
        use godwit_bgp::bfd::State as Of;
        match state {
            Of::AdminDown => State::AdminDown,
            Of::Down => State::Down,
            Of::Init => State::Init,
            Of::Up => State::Up,
        }
    }
}

/// Why a session last left Up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Loss {
    /// Nothing arrived for the detection time.
    Expired,
    /// The other end's session is down.
    NeighborDown,
    /// The other end's administrator took it down: the path may be well.
    NeighborAdminDown,
    /// We took it down.
    Administrative,
}

impl Loss {
    /// Whether it says that packets do not get through (RFC 5882 §3.2).
    pub(crate) fn is_failure(self) -> bool {
        match self {
            Loss::Expired | Loss::NeighborDown => true,
            Loss::NeighborAdminDown | Loss::Administrative => false,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::Expired => "nothing heard for the detection time",
            Loss::NeighborDown => "the neighbour hears nothing",
            Loss::NeighborAdminDown => "taken down by the neighbour's administrator",
            Loss::Administrative => "taken down here",
        })
    }
}

/// A session as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    #[serde(flatten)]
    pub(crate) key: Key,
    pub(crate) state: State,
    pub(crate) remote_state: State,
    /// Why it last left Up; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<Loss>,
    /// How often it has left Up by a failure of the path, since the process
    /// knows of it: who was away sees what was missed.
    pub(crate) failures: u32,
    /// Microseconds between our packets, before jitter; none: no periodic ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transmit_interval: Option<u64>,
    /// Microseconds of silence that take it down.
    pub(crate) detection_time: u64,
    pub(crate) local_discriminator: u32,
    pub(crate) remote_discriminator: u32,
    /// The other end's BFD outlives its control plane (C).
    pub(crate) remote_independent: bool,
    /// Milliseconds since the state last changed.
    pub(crate) since: u64,
    /// Why no packets leave at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}
