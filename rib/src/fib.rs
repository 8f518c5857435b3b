//! What the RIB asks of the kernel and hears back: the only types that the
//! `fib` crate takes from here.

use std::sync::Arc;

use godwit_bgp::NextHop;
use ipnet::IpNet;

/// Names a next-hop set of the RIB. An id may be defined anew with other
/// content once no route of the RIB names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextHopSetId(pub u32);

/// Where a route is to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FibTarget {
    /// A set that a [`FibChange::Define`] went ahead of.
    Hops(NextHopSetId),
    Blackhole,
    /// No route: remove what is there.
    None,
}

/// One wish. The latest of a prefix wins; earlier ones may never reach the
/// kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteChange {
    pub prefix: IpNet,
    /// Comes back in the [`FibAck`].
    pub seq: u64,
    pub target: FibTarget,
}

/// An item of the stream to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FibChange {
    /// The content of a set: sorted, without duplicates, never empty.
    Define(NextHopSetId, Arc<[NextHop]>),
    Route(RouteChange),
}

/// What became of the latest [`RouteChange`] of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibAck {
    pub prefix: IpNet,
    /// Of the latest change that the fib has seen for the prefix.
    pub seq: u64,
    /// The kernel holds the route as the change wanted it. False after a
    /// removal, too.
    pub installed: bool,
    /// The errno, where the kernel (or a rule of ours) refused.
    pub error: Option<i32>,
}

/// Whether a next hop can be used, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHopState {
    pub reachable: bool,
    /// 0 when connected, else the metric of the route that resolves it
    /// (RFC 4271 §9.1.2.2 e: the interior cost).
    pub cost: u32,
}
