//! What the daemon gives to the RIB and hears from it.

pub mod read;
pub mod rules;
pub mod spec;

use godwit_bgp::{Family, NextHop};

pub use godwit_policy::import::ImportRules;
pub use read::{
    Advertisement, DryRunCounts, DryRunResult, ExplainedPath, Explanation, PathFate, PeerCounters,
    PrefixFilter, Proposal, RouteCursor, RouteEntry, RoutePage, RouteQuery, RouteView, Summary,
    WhyNot,
};
pub use rules::ExportRules;
pub use spec::{
    Aggregate, Counted, DefaultOriginate, Drain, LocalRoute, PeerSpec, PrefixLimit, RibConfig,
};

/// A peer of the RIB from [`peer_up`](crate::Rib::peer_up) until the
/// [`RibEvent::PeerGone`] that follows [`peer_down`](crate::Rib::peer_down).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u16);

impl PeerId {
    /// The daemon itself, source of the routes it originates.
    pub const LOCAL: PeerId = PeerId(0);
}

/// Names an observer of changes (see [`Rib::open_tap`](crate::Rib::open_tap)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TapId(pub u32);

/// What a tap's poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapPoll {
    /// There is more now.
    More,
    /// All is read; a [`RibEvent::TapReady`] will tell when there is more.
    Empty,
    /// The tap was too slow and changes are lost: read the routes anew.
    Lapped,
}

/// What is to be said of a prefix limit; once, until there are clearly fewer.
/// Numbers are of prefixes, or of paths where there are several of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitNews {
    InNear(Family, u64),
    InExceeded(Family, u64),
    /// There is room again. What was kept out and remembered is looked at anew;
    /// of what was `dropped` only the peer knows.
    InRelieved {
        family: Family,
        dropped: u64,
    },
    OutNear(Family, u64),
    OutExceeded(Family, u64),
}

/// What the RIB tells the daemon, unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RibEvent {
    /// [`poll_frames`](crate::Rib::poll_frames) has something for this peer.
    /// Said once until it was polled empty.
    FramesReady(PeerId),
    /// [`poll_fib`](crate::Rib::poll_fib) has something. Said once until it was
    /// polled empty.
    FibReady,
    /// [`poll_tap`](crate::Rib::poll_tap) has something. Said once until it was
    /// polled empty.
    TapReady(TapId),
    /// The peer has sent its End-of-RIB for this family (RFC 4724 §2).
    EndOfRib(PeerId, Family),
    /// Some path needs this next hop: say what becomes of it by
    /// [`next_hop`](crate::Rib::next_hop). Unreachable until then.
    TrackNextHop(NextHop),
    /// No path needs it any more.
    UntrackNextHop(NextHop),
    /// A peer is near a prefix limit, past it, or below again.
    Limit(PeerId, LimitNews),
    /// The last path of a peer that went down is gone, and its id is free.
    PeerGone(PeerId),
}
