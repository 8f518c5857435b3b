//! Reading: pages of routes, the story of one prefix, counters.

use core::time::Duration;
use std::net::IpAddr;

use godwit_bgp::attrs::AttrsBuf;
use godwit_bgp::{Family, PathId};
use godwit_policy::route::RuleName;
use ipnet::IpNet;

use super::{Aggregate, LocalRoute, PeerId, PeerSpec, RibConfig};
use crate::decide::Step;
use crate::fib::FibTarget;
use crate::path::Verdict;

/// Which routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteView {
    /// Every path of every peer, rejected ones too.
    All,
    /// The same, each as its peer sent it; `All` has the accepted ones as the
    /// import policy left them.
    AllReceived,
    /// The best path of each prefix.
    Best,
    /// All that a peer sent, as it sent it.
    Received(PeerId),
    /// What the import policy let through, as it left it.
    Accepted(PeerId),
    /// What the import policy or a sanity check kept out, as received.
    Rejected(PeerId),
    /// What we advertise to a peer, as it leaves us.
    Advertised(PeerId),
}

/// Which prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PrefixFilter {
    #[default]
    Any,
    Exact(IpNet),
    /// This prefix and all inside it.
    Longer(IpNet),
    /// This prefix and all that contain it.
    Covering(IpNet),
    /// The longest prefix with a path in view that contains this address.
    LongestMatch(IpAddr),
}

/// What to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteQuery {
    pub view: RouteView,
    /// `None`: both.
    pub family: Option<Family>,
    pub prefix: PrefixFilter,
}

/// Where the next page begins. Opaque; stays good while routes change: a route
/// that was there all the time is listed exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteCursor(pub u64);

/// One path of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    pub prefix: IpNet,
    /// Whom we have it from.
    pub peer: PeerId,
    /// By which it goes over the wire (RFC 7911): as we send it in
    /// [`RouteView::Advertised`], else as its peer sent it. `None`: with none.
    pub path_id: Option<PathId>,
    /// Index into [`RoutePage::attrs`].
    pub attrs: usize,
    pub best: bool,
    /// Used besides the best one.
    pub multipath: bool,
    pub verdict: Verdict,
    /// The rule that rejected it.
    pub rejected_by: Option<RuleName>,
    /// When it came, as the caller told time then; whole seconds.
    pub since: Duration,
    /// The kernel holds the prefix as we want it.
    pub installed: bool,
    /// The errno with which the kernel refused.
    pub install_error: Option<i32>,
    /// Of a peer that is gone, about to be removed; or of one that is
    /// refreshing the family, or restarting, and has not announced it again yet.
    pub stale: bool,
}

/// A part of an answer.
#[derive(Clone, Debug, Default)]
pub struct RoutePage {
    /// Attribute sets of the entries, each once.
    pub attrs: Vec<AttrsBuf>,
    pub entries: Vec<RouteEntry>,
    /// `None`: this was the last. A page may be short, even empty, and yet not
    /// the last: reading stops after a bounded number of prefixes.
    pub next: Option<RouteCursor>,
}

/// What became of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathFate {
    /// The best; the step is the one that ruled out the last rival.
    Best(Step),
    /// Not the best, but used besides it; the step is where it fell behind.
    Multipath(Step),
    /// Ruled out at this step.
    Lost(Step),
    /// Never took part: its next hop is unreachable or unknown.
    Unreachable,
    /// Never took part: kept out at import.
    Rejected,
    /// Of a peer that is gone; about to be removed.
    Stale,
}

/// One path and why it is used or not.
#[derive(Clone, Debug)]
pub struct ExplainedPath {
    pub peer: PeerId,
    /// As its peer sent it (RFC 7911); `None`: with none.
    pub path_id: Option<PathId>,
    pub received: AttrsBuf,
    /// After the import policy, where it was accepted.
    pub accepted: Option<AttrsBuf>,
    pub verdict: Verdict,
    /// The rule of the import policy that decided.
    pub rule: Option<RuleName>,
    pub fate: PathFate,
    /// Whom it lost to, by the identifier that its peer gave it.
    pub beaten_by: Option<(PeerId, Option<PathId>)>,
    pub igp_cost: Option<u32>,
    pub since: Duration,
}

/// Why a peer does not get the best route of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The route came from it.
    Source,
    /// The family was not negotiated.
    Family,
    NoAdvertise,
    NoExport,
    /// Marked ONLY_TO_CUSTOMER, and the peer is none (RFC 9234 §5).
    RouteLeak,
    /// From one non-client to another (RFC 4456 §6).
    NotReflected,
    /// A rule of the export policy.
    Policy(RuleName),
    /// We have no next hop of this family towards it.
    NoNextHop,
    /// This router is being drained.
    Drained,
    /// An aggregate stands in for it.
    Aggregated(IpNet),
    /// The attributes don't fit a message of the size it takes.
    TooLong,
    /// No path can be used.
    NoBest,
    /// Nothing is against it: it waits to be sent.
    Pending,
}

/// A route as a peer is sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    pub to: PeerId,
    pub path_id: Option<PathId>,
    pub attrs: AttrsBuf,
    /// The rule of the export policy that let it go; `None` where no path is
    /// behind it, as with a default route made for the peer.
    pub rule: Option<RuleName>,
}

/// The story of one prefix.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub prefix: IpNet,
    /// Best first, then in no order that matters.
    pub paths: Vec<ExplainedPath>,
    /// What the kernel was last told.
    pub fib: FibTarget,
    pub installed: bool,
    pub install_error: Option<i32>,
    /// Who gets the best route, or which routes (RFC 7911).
    pub advertised_to: Vec<Advertisement>,
    pub not_advertised_to: Vec<(PeerId, WhyNot)>,
}

/// Numbers of one peer, by family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Paths held of it: as many as prefixes, unless it gives several a prefix
    /// (RFC 7911).
    pub received: [u64; Family::COUNT],
    /// Prefixes that these are of.
    pub prefixes: [u64; Family::COUNT],
    pub accepted: [u64; Family::COUNT],
    pub rejected: [u64; Family::COUNT],
    /// Prefixes whose best path is its.
    pub best: [u64; Family::COUNT],
    /// Paths that it is sent.
    pub advertised: [u64; Family::COUNT],
    /// Kept out by the prefix limit, and remembered; part of `rejected`.
    pub over_limit: [u64; Family::COUNT],
    /// Announcements that the prefix limit turned away and nobody remembers.
    pub dropped: [u64; Family::COUNT],
    /// It has begun to announce all anew and is not through (RFC 7313).
    pub refreshing: [bool; Family::COUNT],
    /// Paths that it has not announced again since it began to, or since its
    /// session ended, if they are kept (RFC 4724 §4.2).
    pub stale: [u64; Family::COUNT],
    /// Paths that were not kept, because there were more than a peer may have of
    /// one prefix; since its session is up.
    pub refused: [u64; Family::COUNT],
}

/// Numbers of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub prefixes: [u64; Family::COUNT],
    pub paths: [u64; Family::COUNT],
    /// Distinct attribute sets.
    pub attribute_sets: u64,
    pub next_hops: u64,
    pub peers: u64,
    pub update_groups: u64,
}

/// What a dry run supposes.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Peers that would be these, as [`set_spec`](crate::Rib::set_spec) takes
    /// them.
    pub specs: Vec<(PeerId, PeerSpec)>,
    /// Peers that would go, with their routes.
    pub gone: Vec<PeerId>,
    /// Routes of our own that would be new, or others.
    pub originated: Vec<LocalRoute>,
    /// Those that would go.
    pub withdrawn: Vec<IpNet>,
    /// All aggregates that there would be.
    pub aggregates: Vec<Aggregate>,
    /// Whether next hops are required stays as it is: of those that nobody has
    /// asked for nothing is known.
    pub config: RibConfig,
}

/// What a dry run counted of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DryRunCounts {
    /// Of what it announces to us.
    pub newly_accepted: u64,
    pub newly_rejected: u64,
    /// Accepted before and after, with other attributes.
    pub accepted_changed: u64,
    /// What it is sent: prefixes, or paths where it takes several.
    pub newly_advertised: u64,
    pub withdrawn: u64,
    pub advertised_changed: u64,
}

/// What a dry run counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRunResult {
    /// Every peer that is up.
    pub peers: Vec<(PeerId, IpAddr, DryRunCounts)>,
    /// Looked at.
    pub prefixes: u64,
    pub best_changed: u64,
    /// Decisions on routes while it ran: the figures are about so many off.
    pub changed_meanwhile: u64,
}
