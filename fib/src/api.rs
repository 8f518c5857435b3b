//! What the rest of the daemon sees of the fib.

use std::fmt;
use std::net::IpAddr;

use godwit_bgp::NextHop;
use godwit_rib::{FibAck, FibChange, NextHopState};
use ipnet::IpNet;

/// How the fib works; fixed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibConfig {
    /// False: nothing is ever written; next hops are followed all the same.
    pub enabled: bool,
    /// Kernel table: 254 is `main`.
    pub table: u32,
    /// Kernel metric of every route. Unusual on purpose: a replace at a
    /// foreign route's metric would overwrite that.
    pub metric: u32,
    /// `rtm_protocol` of our routes and nexthop objects: what is ours.
    pub protocol: u8,
    /// Whether a default route may resolve a next hop.
    pub via_default: bool,
    /// Messages a send, one acknowledgement each.
    pub batch: usize,
    /// Changes that [`FibHandle::try_send`](crate::FibHandle::try_send) takes before it answers [`Full`].
    pub queue: usize,
    /// Set `net.ipv4.nexthop_compat_mode=0` while running: with 1 the kernel
    /// notifies every route of a group that changes.
    pub set_compat_mode: bool,
}

impl Default for FibConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            table: 254,
            metric: 10_103,
            protocol: 103,
            via_default: true,
            batch: 256,
            queue: 65_536,
            set_compat_mode: true,
        }
    }
}

/// What to do with our routes when the fib stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    Keep,
    Remove,
}

/// Where the fib's answers go. Called on the fib's thread: must not block.
pub trait FibSink: Send + 'static {
    /// What became of routes, in batches. May also come unasked, when the
    /// kernel lost a route or got it back.
    fn acks(&self, acks: Vec<FibAck>);
    /// States of tracked next hops: the first one soon after
    /// [`FibHandle::track`](crate::FibHandle::track), then every change.
    fn next_hops(&self, states: Vec<(NextHop, NextHopState)>);
    /// There is room again after a [`Full`].
    fn ready_for_more(&self);
}

/// The queue has no room; the changes come back. [`FibSink::ready_for_more`] will say.
#[derive(Debug)]
pub struct Full(pub Vec<FibChange>);

/// Why a route that is wanted does not stand in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// In the kernel as wanted.
    Installed,
    /// Waiting for its turn.
    Pending,
    /// Kept from before the restart; nobody has asked for it yet.
    Adopted,
    /// The prefix is on an interface here; never installed over it.
    Connected,
    /// A route of someone else has our metric; never overwritten.
    Foreign,
    /// No next hop of the set can be reached.
    Unreachable,
    /// The kernel refused, with this errno.
    Refused(i32),
}

impl fmt::Display for RouteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteState::Installed => f.write_str("installed"),
            RouteState::Pending => f.write_str("pending"),
            RouteState::Adopted => f.write_str("adopted"),
            RouteState::Connected => f.write_str("connected here"),
            RouteState::Foreign => f.write_str("another's route has our metric"),
            RouteState::Unreachable => f.write_str("next hop unreachable"),
            RouteState::Refused(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

/// A next hop as the kernel forwards to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedHop {
    pub via: IpAddr,
    pub interface: String,
    pub weight: u16,
}

/// A route of ours for the command line and the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    pub prefix: IpNet,
    pub table: u32,
    pub metric: u32,
    /// The kernel prefers it for packets of this host.
    pub source: Option<IpAddr>,
    pub blackhole: bool,
    /// BGP's next hops; empty for blackholes and for adopted routes.
    pub next_hops: Vec<NextHop>,
    /// Where the kernel sends packets.
    pub resolved: Vec<ResolvedHop>,
    pub state: RouteState,
}

/// A page of [`RouteInfo`], in no particular order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePage {
    pub routes: Vec<RouteInfo>,
    /// Where the next page begins; absent on the last.
    pub next: Option<u64>,
}

/// What names a route of ours in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    pub prefix: IpNet,
    pub table: u32,
    pub metric: u32,
}

/// The wanted routes against a fresh dump of the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    pub wanted: usize,
    pub in_kernel: usize,
    /// Wanted and absent. Each list holds at most 1,000 routes.
    pub missing: Vec<KernelRoute>,
    pub missing_count: usize,
    /// In the kernel with our protocol, not wanted.
    pub extra: Vec<KernelRoute>,
    pub extra_count: usize,
    /// There, but pointing elsewhere, or with another source.
    pub different: Vec<KernelRoute>,
    pub different_count: usize,
}

/// A next hop as the fib sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopInfo {
    pub next_hop: NextHop,
    pub state: NextHopState,
    /// Counts the changes of the state or of the way there.
    pub generation: u32,
    pub resolved: Vec<ResolvedHop>,
}

/// What leads to a next hop, or keeps it from being reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is on the link of its session: no route is asked.
    Link,
    /// The longest match among the kernel's routes; it may lead nowhere.
    Route(IpNet),
    /// An address of this host, or of no host.
    Ourselves,
    /// An address of a link that is down or not known.
    NoLink,
    /// Only a default route, which may not be used for it.
    OnlyDefault,
    Nowhere,
}

/// How a next hop is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopWay {
    pub next_hop: NextHop,
    pub way: Way,
    /// 0 when connected, else the metric of the route.
    pub cost: u32,
    /// None: it is not reached.
    pub resolved: Vec<ResolvedHop>,
}

/// A route of someone else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRoute {
    pub table: u32,
    pub metric: u32,
    /// `RTPROT_*`.
    pub protocol: u8,
    pub hops: Vec<ResolvedHop>,
}

/// What the kernel has of a prefix, and how some next hops are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    pub next_hops: Vec<NextHopWay>,
    /// Ours, one for each table and metric.
    pub routes: Vec<RouteInfo>,
    /// In the tables of ours; the lowest metric first.
    pub foreign: Vec<ForeignRoute>,
}

/// Figures and health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FibStatus {
    pub enabled: bool,
    pub routes_wanted: usize,
    pub routes_installed: usize,
    pub routes_pending: usize,
    pub routes_failed: usize,
    /// Kept from before the restart and not reclaimed yet.
    pub routes_adopted: usize,
    pub groups: usize,
    pub next_hops: usize,
    /// Changes waiting in the queue.
    pub queued: usize,
    pub messages_sent: u64,
    pub resyncs: u64,
    pub swept: bool,
    /// What is wrong with the whole, in words: no nexthop objects in this
    /// kernel, no permission…
    pub error: Option<String>,
    /// `net.ipv4.nexthop_compat_mode` before we set it.
    pub compat_mode_before: Option<String>,
}
