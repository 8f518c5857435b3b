//! Policies as plain data, before compilation.

use std::collections::BTreeMap;
use std::net::IpAddr;

use godwit_bgp::attrs::Origin;
use godwit_bgp::community::Community;
use godwit_bgp::{Asn, Family};

use super::{Amount, AsPathPattern, CommunityPattern, NumberRange, PrefixRange};

/// All that a configuration says about routing policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySetSpec {
    pub prefix_sets: BTreeMap<String, Vec<PrefixRange>>,
    pub policies: BTreeMap<String, Vec<RuleSpec>>,
}

/// One rule: when every condition of `matches` and none of `unless` holds,
/// `sets` is applied, `call` is gone through, and `then` says how to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    pub matches: MatchSpec,
    pub unless: MatchSpec,
    pub sets: SetSpec,
    /// Another policy. What it accepts or rejects is decided; falling off it
    /// and `next` come back here, with what was set.
    pub call: Option<String>,
    /// `None`: the next rule, keeping what was set.
    pub then: Option<Then>,
}

/// Conditions on a route as it was set so far. A list holds when any of it
/// does; what is absent or empty is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchSpec {
    /// The prefix is in one of the sets of these names.
    pub prefix_sets: Vec<String>,
    pub family: Option<Family>,
    /// The route carries at least one of these.
    pub communities: Vec<CommunityPattern>,
    /// The route carries each of these.
    pub communities_all: Vec<CommunityPattern>,
    pub as_path: Vec<AsPathPattern>,
    /// As the decision counts it: a set is one.
    pub as_path_length: Option<NumberRange>,
    /// The path ends with one of these.
    pub origin_as: Vec<NumberRange>,
    /// The path begins with one of these.
    pub first_as: Vec<NumberRange>,
    /// The next hop lies in one of these.
    pub next_hop: Vec<PrefixRange>,
    pub origin: Vec<Origin>,
    /// None counts as 0.
    pub med: Option<NumberRange>,
    /// None counts as 100.
    pub local_pref: Option<NumberRange>,
    pub weight: Option<NumberRange>,
    /// Where the route comes from.
    pub source: Vec<SourceMatch>,
    /// Whom the session is with.
    pub neighbours: Vec<NeighbourMatch>,
    /// The interface that the peer is found on.
    pub interfaces: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NeighbourMatch {
    Address(IpAddr),
    Asn(Asn),
    /// A peer group.
    Group(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceMatch {
    /// Originated here.
    Local,
    /// Summed up here.
    Aggregate,
    External,
    /// From internal peers, clients among them.
    Internal,
    /// From the clients that we reflect for.
    Client,
    Neighbour(NeighbourMatch),
}

/// What a rule changes on the routes it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetSpec {
    pub local_pref: Option<Amount>,
    pub med: Option<Amount>,
    pub origin: Option<Origin>,
    /// Replaces every community of every kind; `Some(vec![])` removes all.
    pub community_set: Option<Vec<Community>>,
    /// Applied after `community_set`.
    pub community_remove: Vec<CommunityPattern>,
    /// Applied after `community_remove`.
    pub community_add: Vec<Community>,
    pub next_hop: Option<NextHopSpec>,
    /// Put before the AS path, so that it then reads in this order.
    pub prepend: Vec<Prepend>,
    pub weight: Option<Amount>,
    /// For the kernel, as all that follows.
    pub kernel_table: Option<u32>,
    pub kernel_metric: Option<u32>,
    /// One of a family at most; a route takes that of its own.
    pub preferred_source: Vec<IpAddr>,
    pub blackhole: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHopSpec {
    /// Ourselves on this session.
    Own,
    /// On import the neighbour's address, on export ours.
    PeerAddress,
    /// For routes of its family.
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prepend {
    /// Our own number, this many times.
    Local(u8),
    Asn(Asn),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    Accept,
    Reject,
    /// Leave this policy: for the next of the peer's list, or back to the rule
    /// that called it.
    Next,
}
