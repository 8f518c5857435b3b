//! What the RIB has to know about the router and its peers.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use godwit_bgp::attrs::AttrsBuf;
use godwit_bgp::{Asn, Family, InterfaceName, NextHop, RouterId, SendPaths, SessionKind};
use godwit_policy::import::Entrance;
use godwit_policy::route::{Neighbour, PolicyRef};
use ipnet::IpNet;

use crate::presence::Condition;

use super::{ExportRules, ImportRules};

/// What holds for the whole router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RibConfig {
    pub asn: Asn,
    pub router_id: RouterId,
    /// RFC 4456 §7.
    pub cluster_id: RouterId,
    /// The most external paths of equal merit to use at once; at least 1.
    pub max_paths_external: u16,
    /// The same for internal paths.
    pub max_paths_internal: u16,
    /// External paths of other neighbour ASes, and internal ones of other AS
    /// paths, are of equal merit when their AS paths are equally long.
    pub multipath_relax: bool,
    /// Share traffic over the paths of one route in the ratio of their link
    /// bandwidth communities, where all carry one.
    pub link_bandwidth: bool,
    pub drain: Drain,
    /// Ask for the state of next hops, and use no path before its next hop is
    /// known to be reachable. Otherwise all are, at cost 0.
    pub require_next_hop: bool,
    /// Produce changes for the kernel.
    pub fib: bool,
}

/// How many prefixes of one family may come from a peer, or go to it: with
/// ADD-PATH (RFC 7911), how many paths, each of which costs what a prefix does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLimit {
    pub max: u32,
    /// So many, and [`RibEvent::Limit`](super::RibEvent::Limit) says that the
    /// limit is near.
    pub warn_from: u32,
    /// Which prefixes count; of those to a peer all that it is sent.
    pub count: Counted,
    /// In: what is over it is kept out. Out: the peer is sent nothing any more.
    /// Not enforced, it only tells.
    pub enforced: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Counted {
    /// All that the peer announces.
    #[default]
    Received,
    /// What the import policy lets through.
    Accepted,
}

/// What holds for one peer while its session is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSpec {
    pub address: IpAddr,
    pub asn: Asn,
    /// The peer group, for policies that ask.
    pub group: Option<Arc<str>>,
    pub router_id: RouterId,
    /// Our AS as this peer sees it.
    pub local_asn: Asn,
    /// Our end of the session.
    pub local_address: IpAddr,
    pub local_link_local: Option<Ipv6Addr>,
    /// The link that the neighbour is on, where it is one hop away: its name,
    /// and its index, with which link-local next hops are kept; 0: none.
    pub interface: Option<InterfaceName>,
    pub link: u32,
    /// What we put where we set ourselves as next hop; `None`: routes that
    /// need it are not advertised.
    pub own_next_hop: [Option<NextHop>; Family::COUNT],
    pub kind: SessionKind,
    /// Negotiated families (RFC 4760).
    pub families: [bool; Family::COUNT],
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Of those, the ones of which it may give several paths a prefix, under
    /// identifiers (RFC 7911).
    pub add_path_receive: [bool; Family::COUNT],
    /// Of those, the ones of which it takes several, and which it is sent.
    pub add_path_send: [Option<SendPaths>; Family::COUNT],
    /// Both sides speak four-octet AS numbers (RFC 6793).
    pub as4: bool,
    /// Marks the begin and end of a refresh, and takes such marks (RFC 7313).
    pub enhanced_refresh: bool,
    /// It ends what it sends first with End-of-RIB (RFC 4724 §2).
    pub sends_end_of_rib: bool,
    /// The largest message it takes, in bytes (RFC 8654).
    pub max_message: usize,
    pub import: [PolicyRef; Family::COUNT],
    pub export: [PolicyRef; Family::COUNT],
    pub limit_in: [Option<PrefixLimit>; Family::COUNT],
    pub limit_out: [Option<PrefixLimit>; Family::COUNT],
    /// Internal peers: send routes that were not reflected with ourselves as
    /// next hop.
    pub next_hop_self: bool,
    /// External peers: it is on the subnet of our own next hop, so the next
    /// hop of a route learned from another such peer there may stand (RFC 4271
    /// §5.1.3, "third party").
    pub shared_subnet: bool,
    /// Of its routes, unless a rule gives another; higher wins before all that
    /// a route carries.
    pub weight: u32,
    /// By family.
    pub default_originate: [Option<DefaultOriginate>; Family::COUNT],
    pub import_rules: ImportRules,
    pub export_rules: ExportRules,
}

impl PeerSpec {
    /// How its routes of a family come in.
    pub fn entrance(&self, family: Family) -> Entrance {
        Entrance {
            kind: self.kind,
            local_asn: self.local_asn,
            own_link_local: self
                .local_link_local
                .filter(|_| family == Family::Ipv6Unicast || self.extended_next_hop),
            weight: self.weight,
            rules: self.import_rules,
        }
    }

    /// Whether others may be sent its routes as they were when it was `old`:
    /// all is the same but what concerns the peer's own routes in and out.
    pub(crate) fn is_same_source(&self, old: PeerSpec) -> bool {
        *self
            == PeerSpec {
                import: self.import.clone(),
                export: self.export.clone(),
                limit_in: self.limit_in,
                limit_out: self.limit_out,
                add_path_send: self.add_path_send,
                ..old
            }
    }

    /// Whether a peer that was `old` is still who it was: its paths of then are
    /// its own.
    pub(crate) fn is_same_peer(&self, old: &PeerSpec) -> bool {
        let who = |spec: &PeerSpec| {
            let PeerSpec {
                address,
                link,
                asn,
                router_id,
                local_asn,
                kind,
                ..
            } = *spec;
            (address, link, asn, router_id, local_asn, kind)
        };
        who(self) == who(old)
    }

    /// The peer as policies see it.
    pub fn neighbour(&self) -> Arc<Neighbour> {
        Arc::new(Neighbour {
            address: self.address,
            asn: self.asn,
            group: self.group.clone(),
            interface: self.interface.map(|name| name.as_str().into()),
        })
    }
}

/// A default route for one peer, which is in no table of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DefaultOriginate {
    /// `None`: always.
    pub when: Option<Condition>,
    /// What it is given; the peer's export policy does not see it.
    pub policy: PolicyRef,
}

/// A prefix of ours that stands while some route is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    pub prefix: IpNet,
    /// Peers are not told what is in it.
    pub summary_only: bool,
    /// The kernel drops what no more specific route takes.
    pub blackhole: bool,
}

/// Whether this router is on its way out of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Drain {
    #[default]
    No,
    /// All that is announced is the last choice (RFC 8326).
    LastChoice,
    /// Nothing is announced.
    Withdrawn,
}

/// A route that the daemon originates.
#[derive(Clone, Debug)]
pub struct LocalRoute {
    pub prefix: IpNet,
    /// Its next hop is not used: peers get ours.
    pub attrs: AttrsBuf,
    /// Put a blackhole into the kernel, so that what no more specific route
    /// takes goes nowhere.
    pub blackhole: bool,
}
