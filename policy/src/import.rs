//! What a route from a peer is held to before the import policy sees it, and
//! what it is given: AS numbers, roles, next hops, kinds of communities.
//!
//! The RIB goes through this for every attribute block; a trial of a route goes
//! through the same, and tells each step.

mod steps;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Local, community};
use godwit_bgp::{Asn, NextHop, Role, RouterId, SessionKind};

pub use steps::{Said, Step};

/// For routes from a peer. What is added is there before policy sees the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImportRules {
    /// How often our own number may stand in an AS path: the router's, and the
    /// session's where that is another, each counted apart.
    pub allow_as_in: u8,
    /// On a session with a number of its own (`local-as`), don't put that before
    /// the path.
    pub no_prepend: bool,
    /// The path of an external peer must begin with its number (RFC 4271 §6.3).
    pub enforce_first_as: bool,
    /// Take paths with sets, which RFC 9774 wants treated as withdrawn.
    pub accept_as_set: bool,
    /// The most numbers that a path may have.
    pub max_as_path: u16,
    /// Ours towards an external peer (RFC 9234).
    pub role: Option<Role>,
    /// Routes with the community BLACKHOLE are to be dropped here (RFC 7999).
    pub blackhole_community: bool,
    /// Routes with the community GRACEFUL_SHUTDOWN are the last choice
    /// (RFC 8326).
    pub graceful_shutdown: bool,
}

impl Default for ImportRules {
    fn default() -> Self {
        ImportRules {
            allow_as_in: 0,
            no_prepend: false,
            enforce_first_as: true,
            accept_as_set: false,
            max_as_path: ImportRules::MAX_AS_PATH,
            role: None,
            blackhole_community: false,
            graceful_shutdown: false,
        }
    }
}

impl ImportRules {
    /// The default of `max_as_path`, far above any real path.
    pub const MAX_AS_PATH: u16 = 750;
}

/// Who takes the route.
#[derive(Clone, Copy, Debug)]
pub struct Router<'a> {
    pub asn: Asn,
    pub router_id: RouterId,
    /// RFC 4456 §7.
    pub cluster_id: RouterId,
    /// Addresses of this host.
    pub own: &'a HashSet<IpAddr>,
}

/// What of a session decides how its routes come in, but for the neighbour's AS
/// number and the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    pub kind: SessionKind,
    /// Our AS as this peer sees it.
    pub local_asn: Asn,
    /// Where its routes may have link-local next hops: ours on that link.
    pub own_link_local: Option<Ipv6Addr>,
    /// Of its routes, unless a rule gives another.
    pub weight: u32,
    pub rules: ImportRules,
}

/// What a route is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    MaxAsPath,
    /// RFC 9774.
    AsSet,
    /// RFC 4271 §9.1.2.
    AsLoop,
    /// RFC 4271 §6.3.
    FirstAs,
    /// RFC 9234 §5.
    Role,
    /// RFC 4456 §8.
    OriginatorId,
    /// RFC 4456 §8.
    ClusterList,
    /// RFC 4271 §6.3.
    NextHop,
    /// RFC 4271 §5.1.3.
    OwnNextHop,
}

/// What it says of a route that failed it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Check::MaxAsPath => "AS path too long",
            Check::AsSet => "AS_SET in the AS path",
            Check::AsLoop => "own AS in the AS path",
            Check::FirstAs => "AS path does not begin with the peer's AS",
            Check::Role => "route leak: marked ONLY_TO_CUSTOMER",
            Check::OriginatorId => "own router id as ORIGINATOR_ID",
            Check::ClusterList => "own cluster id in the CLUSTER_LIST",
            Check::NextHop => "next hop is not a host address",
            Check::OwnNextHop => "next hop is an address of ours",
        })
    }
}

impl Check {
    /// In the order in which they are made.
    const ALL: [Check; 9] = [
        Check::MaxAsPath,
        Check::AsSet,
        Check::AsLoop,
        Check::FirstAs,
        Check::Role,
        Check::OriginatorId,
        Check::ClusterList,
        Check::NextHop,
        Check::OwnNextHop,
    ];
}

/// What a route is given on its way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    weight: u32,
    blackhole: bool,
    last_choice: bool,
    /// Before its path: the number that the neighbour knows us by (`local-as`).
    local_as: Option<Asn>,
    only_to_customer: Option<Asn>,
}

impl Entrance {
    /// Whether the peer's AS number decides, besides the block.
    pub fn asks_who(&self) -> bool {
        self.kind.is_external() && (self.rules.enforce_first_as || self.rules.role.is_some())
    }

    /// # Errors
    /// The first check that the route of this `peer` does not pass.
    pub fn check(&self, attrs: AttrsRef<'_>, peer: Asn, router: &Router<'_>) -> Result<(), Check> {
        let mut all = Check::ALL.into_iter();
        match all.find(|check| !self.passes(*check, attrs, peer, router)) {
            Some(check) => Err(check),
            None => Ok(()),
        }
    }

    /// Whether a check is made on this session at all.
    fn makes(&self, check: Check) -> bool {
        let external = self.kind.is_external();
        match check {
            Check::MaxAsPath | Check::AsLoop | Check::NextHop | Check::OwnNextHop => true,
            Check::AsSet => !self.rules.accept_as_set,
            Check::FirstAs => external && self.rules.enforce_first_as,
            Check::Role => external && self.rules.role.is_some(),
            Check::OriginatorId | Check::ClusterList => !external,
        }
    }

    fn passes(&self, check: Check, attrs: AttrsRef<'_>, peer: Asn, router: &Router<'_>) -> bool {
        if !self.makes(check) {
            return true;
        }
        let (path, rules) = (attrs.as_path(), &self.rules);
        match check {
            Check::MaxAsPath => path.numbers() <= usize::from(rules.max_as_path),
            Check::AsSet => !path.has_set(),
            Check::AsLoop => {
                let few = |asn| path.count(asn) <= usize::from(rules.allow_as_in);
                few(self.local_asn) && few(router.asn)
            }
            Check::FirstAs => path.first_as() == Some(peer),
            Check::Role => !leaks(attrs, rules.role, peer),
            Check::OriginatorId => attrs.originator_id() != Some(router.router_id),
            Check::ClusterList => !attrs.cluster_list().any(|id| id == router.cluster_id),
            Check::NextHop => usable(attrs.next_hop),
            Check::OwnNextHop => {
                let link_local = attrs.next_hop.link_local();
                !router.own.contains(&attrs.next_hop.address())
                    && (link_local.is_none() || link_local != self.own_link_local)
            }
        }
    }

    /// What goes before policy sees the route.
    pub fn additions(&self, attrs: AttrsRef<'_>, peer: Asn, router: &Router<'_>) -> Additions {
        let external = self.kind.is_external();
        let own_number = external && self.local_asn != router.asn && !self.rules.no_prepend;
        // RFC 9234 §5, ingress 3.
        let mark = external
            && self.rules.role.is_some_and(Role::looks_up_or_across)
            && attrs.only_to_customer().is_none();
        Additions {
            weight: self.weight,
            blackhole: self.rules.blackhole_community && attrs.has_community(community::BLACKHOLE),
            last_choice: self.rules.graceful_shutdown
                && attrs.has_community(community::GRACEFUL_SHUTDOWN),
            local_as: own_number.then_some(self.local_asn),
            only_to_customer: mark.then_some(peer),
        }
    }

    /// What policy left, so that no rule makes a last choice a good one again.
    pub fn finish(&self, additions: &Additions, buf: &mut AttrsBuf) {
        let told = || buf.as_ref().has_community(community::GRACEFUL_SHUTDOWN);
        if additions.last_choice || (self.rules.graceful_shutdown && told()) {
            buf.set_local_pref(Some(0));
        }
    }
}

impl Additions {
    pub fn is_empty(&self) -> bool {
        *self == Additions::default()
    }

    pub fn apply(&self, buf: &mut AttrsBuf) {
        buf.set_local(Local {
            weight: self.weight,
            blackhole: self.blackhole,
            ..Local::default()
        });
        if self.blackhole {
            keep_within(buf);
        }
        if let Some(asn) = self.local_as {
            buf.prepend_as(asn, 1);
        }
        if let Some(asn) = self.only_to_customer {
            buf.set_only_to_customer(asn);
        }
    }
}

/// RFC 7999 §3.2: a blackhole is not to spread beyond the AS.
fn keep_within(buf: &mut AttrsBuf) {
    let stays = |c| matches!(c, community::NO_EXPORT | community::NO_ADVERTISE);
    if !buf.as_ref().communities().any(stays) {
        buf.community_add(&[community::NO_EXPORT]);
    }
}

/// RFC 9234 §5, ingress 1 and 2.
fn leaks(attrs: AttrsRef<'_>, role: Option<Role>, peer: Asn) -> bool {
    let Some(marked) = attrs.only_to_customer() else {
        return false;
    };
    match role {
        Some(Role::Provider | Role::RouteServer) => true,
        Some(Role::Peer) => marked != peer,
        Some(Role::Customer | Role::RouteServerClient) | None => false,
    }
}

/// Whether a host could have this address (RFC 4271 §6.3), and, if it is a
/// link-local one alone, whether we know on which link.
fn usable(next_hop: NextHop) -> bool {
    match next_hop {
        NextHop::V4(a) => {
            !(a.octets()[0] == 0
                || a.is_loopback()
                || a.is_multicast()
                || a >= Ipv4Addr::new(240, 0, 0, 0))
        }
        NextHop::V6(a) => !(a.is_unspecified() || a.is_loopback() || a.is_multicast()),
        NextHop::V6WithLinkLocal(a, link_local, interface) => {
            !(a.is_loopback() || a.is_multicast())
                && link_local.is_unicast_link_local()
                && (interface != 0 || !a.is_unspecified())
        }
    }
}
