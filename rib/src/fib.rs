//! What the RIB asks of the kernel and hears back: the only types that the
//! `fib` crate takes from here.

use std::net::IpAddr;
use std::sync::Arc;

use godwit_bgp::NextHop;
use ipnet::IpNet;
use smallvec::SmallVec;

/// Names a next-hop set of the RIB. An id may be defined anew with other
/// content once no route of the RIB names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextHopSetId(pub u32);

/// A next hop and its share of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightedHop {
    pub next_hop: NextHop,
    /// 1 to 256; what counts is its ratio to the others of the set.
    pub weight: u16,
}

/// Where in the kernel a route goes and what it says besides its next hops;
/// `None`: as the fib is configured, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelOptions {
    pub table: Option<u32>,
    pub metric: Option<u32>,
    /// Of the route's family.
    pub source: Option<IpAddr>,
}

/// What a route can be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NextHopSet {
    /// Sorted, each next hop once; none: the kernel is to drop what goes there.
    pub hops: SmallVec<[WeightedHop; 2]>,
    pub options: KernelOptions,
}

impl NextHopSet {
    /// Equal shares, and no options.
    pub fn of(next_hops: &[NextHop]) -> NextHopSet {
        let mut hops: SmallVec<[WeightedHop; 2]> = next_hops
            .iter()
            .map(|&next_hop| WeightedHop {
                next_hop,
                weight: 1,
            })
            .collect();
        hops.sort_unstable();
        hops.dedup();
        NextHopSet {
            hops,
            options: KernelOptions::default(),
        }
    }
}

/// Where a route is to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FibTarget {
    /// A set that a [`FibChange::Define`] went ahead of.
    Hops(NextHopSetId),
    /// Without options.
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
    Define(NextHopSetId, Arc<NextHopSet>),
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
