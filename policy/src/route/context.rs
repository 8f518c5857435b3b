//! What a policy may look at, and what a policy is.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use godwit_bgp::attrs::AttrsRef;
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use ipnet::IpNet;

use super::{Residual, Trace};

/// Who a peer is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Neighbour {
    pub address: IpAddr,
    pub asn: Asn,
    /// The peer group.
    pub group: Option<Arc<str>>,
    /// Where the peer is found by its interface.
    pub interface: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Import,
    Export,
}

/// The session that a route comes in by (import) or leaves by (export).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerContext {
    pub direction: Direction,
    pub neighbour: Arc<Neighbour>,
    pub kind: SessionKind,
    pub local_asn: Asn,
    /// Ourselves as a next hop on this session; none where there is no address.
    pub own_next_hop: Option<NextHop>,
    pub family: Family,
}

/// Where a route comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    pub kind: SourceKind,
    /// Of a peer's route, on import and where [`Uses::source`] asks.
    pub neighbour: Option<Arc<Neighbour>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// Originated here.
    Local,
    /// Summed up here.
    Aggregate,
    Peer(SessionKind),
}

/// All that one evaluation may look at besides the prefix.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    pub peer: &'a PeerContext,
    pub source: &'a Source,
    pub attrs: AttrsRef<'a>,
}

/// What can change an outcome besides prefix, attributes, family, kinds of
/// session and our own numbers. Peers share results where it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Uses {
    /// [`PeerContext::neighbour`].
    pub neighbour: bool,
    /// [`Source::neighbour`].
    pub source: bool,
}

impl Uses {
    pub const ALL: Uses = Uses {
        neighbour: true,
        source: true,
    };

    pub(super) const fn or(self, other: Uses) -> Uses {
        Uses {
            neighbour: self.neighbour || other.neighbour,
            source: self.source || other.source,
        }
    }
}

/// An import or export policy, immutable and shared. The language of the
/// configuration is one implementation; `examples/own-policy` has another.
///
/// Routes are many and attribute blocks few: [`specialise`](Self::specialise)
/// is called once for a block and a kind of peer, and leaves what a prefix can
/// still change.
pub trait RoutePolicy: Send + Sync + fmt::Debug {
    /// Decides all that depends on the peer and the attribute block. Must
    /// depend on nothing else: results are kept.
    fn specialise(&self, route: &Route<'_>) -> Residual;

    /// What it looks at. Saying less than it does gives peers the results of
    /// others.
    fn uses(&self) -> Uses {
        Uses::ALL
    }

    /// Equal content has an equal id: a reload that changes it evaluates all
    /// routes again, one that doesn't leaves them alone. By default the `Debug`
    /// text counts.
    fn id(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        hasher.finish()
    }

    /// The same decision for one prefix, with the way to it.
    fn trace(&self, route: &Route<'_>, net: IpNet) -> Trace {
        Trace {
            steps: Vec::new(),
            outcome: self.specialise(route).decide(net),
        }
    }
}

/// A policy by reference; equal when the content is.
#[derive(Clone, Debug)]
pub struct PolicyRef(pub Arc<dyn RoutePolicy>);

impl PartialEq for PolicyRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.id() == other.0.id()
    }
}

impl Eq for PolicyRef {}

impl Hash for PolicyRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}
