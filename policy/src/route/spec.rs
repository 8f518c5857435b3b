//! Policies as plain data, before compilation.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use godwit_bgp::attrs::{LargeCommunity, community};
use godwit_bgp::{Asn, Family};

use super::PrefixRange;

/// All that a configuration says about routing policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySetSpec {
    pub prefix_sets: BTreeMap<String, Vec<PrefixRange>>,
    pub policies: BTreeMap<String, Vec<RuleSpec>>,
}

/// One rule: when every condition of `matches` holds, `sets` is applied and
/// `then` says how to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    pub matches: MatchSpec,
    pub sets: SetSpec,
    /// `None`: the next rule, keeping what was set.
    pub then: Option<Then>,
}

/// Conditions, all of which must hold; an absent one always does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchSpec {
    /// The prefix is in the set of this name.
    pub prefix_set: Option<String>,
    /// The route carries at least one of these. Empty: no condition.
    pub communities: Vec<Community>,
    /// The peer is one of these. Empty: no condition.
    pub neighbours: Vec<NeighbourMatch>,
    pub family: Option<Family>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighbourMatch {
    Address(IpAddr),
    Asn(Asn),
}

/// What a rule changes on the routes it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetSpec {
    pub local_pref: Option<u32>,
    pub med: Option<u32>,
    /// Replaces every standard and large community; `Some(vec![])` removes all.
    pub community_set: Option<Vec<Community>>,
    /// Applied after `community_set`.
    pub community_remove: Vec<Community>,
    /// Applied after `community_remove`.
    pub community_add: Vec<Community>,
    pub next_hop_self: bool,
    /// Put before the AS path, so that it then reads in this order.
    pub prepend: Vec<Prepend>,
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
    /// Leave this policy for the next of the peer's list.
    Next,
}

/// A standard (RFC 1997) or large (RFC 8092) community.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Community {
    Standard(u32),
    Large(LargeCommunity),
}

/// Names of the IANA registry that may stand for the number.
const WELL_KNOWN: [(&str, u32); 8] = [
    ("graceful-shutdown", 0xFFFF_0000),
    ("accept-own", 0xFFFF_0001),
    ("llgr-stale", 0xFFFF_0006),
    ("no-llgr", 0xFFFF_0007),
    ("blackhole", 0xFFFF_029A),
    ("no-export", community::NO_EXPORT),
    ("no-advertise", community::NO_ADVERTISE),
    ("no-export-subconfed", community::NO_EXPORT_SUBCONFED),
];

/// Text that is no community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommunityError;

impl fmt::Display for CommunityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a community: write `64512:100`, a large one as `64512:1:2`, or one of the names ",
        )?;
        for (i, (name, _)) in WELL_KNOWN.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for CommunityError {}

impl FromStr for Community {
    type Err = CommunityError;

    fn from_str(s: &str) -> Result<Self, CommunityError> {
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == s) {
            return Ok(Community::Standard(*value));
        }
        let mut parts = s.split(':');
        let (a, b, c) = (parts.next(), parts.next(), parts.next());
        match (a, b, c, parts.next()) {
            (Some(a), Some(b), None, None) => {
                let high: u16 = decimal(a)?;
                let low: u16 = decimal(b)?;
                Ok(Community::Standard(u32::from(high) << 16 | u32::from(low)))
            }
            (Some(a), Some(b), Some(c), None) => Ok(Community::Large(LargeCommunity {
                global: decimal(a)?,
                local1: decimal(b)?,
                local2: decimal(c)?,
            })),
            _ => Err(CommunityError),
        }
    }
}

/// Digits only: `u32::from_str` would take a leading `+`.
fn decimal<T: FromStr>(s: &str) -> Result<T, CommunityError> {
    if s.bytes().all(|b| b.is_ascii_digit()) {
        s.parse().map_err(|_| CommunityError)
    } else {
        Err(CommunityError)
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Community::Standard(value) => {
                match WELL_KNOWN.iter().find(|(_, known)| known == value) {
                    Some((name, _)) => f.write_str(name),
                    None => write!(f, "{}:{}", value >> 16, value & 0xFFFF),
                }
            }
            Community::Large(c) => write!(f, "{}:{}:{}", c.global, c.local1, c.local2),
        }
    }
}
