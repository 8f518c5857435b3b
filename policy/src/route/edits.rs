//! What a chain does to the attributes of a route that it accepts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Local, Origin, code, flag};
use godwit_bgp::community::{Community, ExtCommunity, StandardCommunity};
use godwit_bgp::{Asn, NextHop};

use super::Prepend;

/// The sum of all `set`s on the way to an outcome, in a normal form: equal
/// effects by equal rules compare equal, whatever the order they were set in.
/// Arithmetic and wildcards are worked out: it holds for one attribute block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Edits {
    pub(super) local_pref: Option<u32>,
    pub(super) med: Option<u32>,
    pub(super) origin: Option<Origin>,
    pub(super) next_hop: Option<NewNextHop>,
    /// As the AS path will begin.
    pub(super) prepend: Vec<Prepend>,
    pub(super) communities: CommunityEdits,
    pub(super) weight: Option<u32>,
    pub(super) kernel_table: Option<u32>,
    pub(super) kernel_metric: Option<u32>,
    pub(super) preferred_source: Option<IpAddr>,
    pub(super) blackhole: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NewNextHop {
    Own,
    To(IpAddr),
}

/// The longest value that a path attribute's length field can tell.
const MAX_VALUE: usize = u16::MAX as usize;

/// Change of all communities: `(cleared ? {} : old - removed) + added`.
///
/// Invariant: `removed` is empty when `cleared`, and disjoint from `added`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct CommunityEdits {
    cleared: bool,
    removed: BTreeSet<Community>,
    added: BTreeSet<Community>,
}

impl CommunityEdits {
    pub fn clear(&mut self) {
        self.cleared = true;
        self.removed.clear();
        self.added.clear();
    }

    pub fn remove(&mut self, one: Community) {
        self.added.remove(&one);
        if !self.cleared {
            self.removed.insert(one);
        }
    }

    pub fn add(&mut self, one: Community) {
        self.removed.remove(&one);
        self.added.insert(one);
    }

    fn is_empty(&self) -> bool {
        !self.cleared && self.removed.is_empty() && self.added.is_empty()
    }

    fn then(&mut self, later: &CommunityEdits) {
        if later.cleared {
            self.clear();
        }
        later.removed.iter().for_each(|one| self.remove(*one));
        later.added.iter().for_each(|one| self.add(*one));
    }

    fn stays(&self, one: &Community) -> bool {
        !self.cleared && !self.removed.contains(one)
    }

    /// All that the route carries once edited; some of them twice.
    pub fn after<'a>(
        &'a self,
        attrs: AttrsRef<'a>,
    ) -> impl Iterator<Item = Community> + Clone + use<'a> {
        let stay = communities(attrs).filter(|one| self.stays(one));
        stay.chain(self.added.iter().copied())
    }

    /// Rewrites the attribute of one kind: what stays in the order it came,
    /// then what is new. Stops at the length that one attribute can hold.
    fn apply<const N: usize>(
        &self,
        buf: &mut AttrsBuf,
        attribute: u8,
        decode: impl Fn([u8; N]) -> Community,
        encode: impl Fn(Community) -> Option<[u8; N]>,
    ) {
        let mut new: Vec<(Community, [u8; N])> = (self.added.iter())
            .filter_map(|one| Some((*one, encode(*one)?)))
            .collect();
        let old = buf.as_ref().find(attribute).map_or(&[][..], |a| a.value);
        let (old, _) = old.as_chunks::<N>();
        let mut list = Vec::with_capacity((old.len() + new.len()) * N);
        for octets in old {
            let one = decode(*octets);
            let again = new.iter().position(|(added, _)| *added == one);
            if let Some(at) = again {
                new.remove(at);
            }
            if again.is_some() || self.stays(&one) {
                list.extend_from_slice(octets);
            }
        }
        for (_, octets) in new {
            if list.len() + N > MAX_VALUE {
                break;
            }
            list.extend_from_slice(&octets);
        }
        replace(buf, attribute, &list);
    }
}

/// Every community of the route.
pub(super) fn communities<'a>(
    attrs: AttrsRef<'a>,
) -> impl Iterator<Item = Community> + Clone + use<'a> {
    attrs
        .communities()
        .map(|c| Community::Standard(StandardCommunity(c)))
        .chain(
            attrs
                .ext_communities()
                .map(|c| Community::Extended(ExtCommunity(c))),
        )
        .chain(attrs.ipv6_ext_communities().map(Community::Ipv6Extended))
        .chain(attrs.large_communities().map(Community::Large))
}

impl Edits {
    /// These edits, then `later` on top of them.
    pub fn then(&mut self, later: &Edits) {
        let Edits {
            local_pref,
            med,
            origin,
            next_hop,
            prepend,
            communities,
            weight,
            kernel_table,
            kernel_metric,
            preferred_source,
            blackhole,
        } = later;
        self.local_pref = local_pref.or(self.local_pref);
        self.med = med.or(self.med);
        self.origin = origin.or(self.origin);
        self.next_hop = next_hop.or(self.next_hop);
        self.prepend.splice(0..0, prepend.iter().copied());
        self.communities.then(communities);
        self.weight = weight.or(self.weight);
        self.kernel_table = kernel_table.or(self.kernel_table);
        self.kernel_metric = kernel_metric.or(self.kernel_metric);
        self.preferred_source = preferred_source.or(self.preferred_source);
        self.blackhole = blackhole.or(self.blackhole);
    }

    /// Nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Edits::default()
    }

    /// Whether the route is to be announced with our own next hop.
    pub fn next_hop_self(&self) -> bool {
        self.next_hop == Some(NewNextHop::Own)
    }

    pub const fn local_pref(&self) -> Option<u32> {
        self.local_pref
    }

    pub const fn med(&self) -> Option<u32> {
        self.med
    }

    /// Edits `buf` in place. `own_next_hop` is what ourselves as next hop means
    /// on this session (left alone where there is none); `asn` is the number
    /// that [`Prepend::Local`] repeats.
    pub fn apply(&self, own_next_hop: Option<NextHop>, asn: Asn, buf: &mut AttrsBuf) {
        if self.local_pref.is_some() {
            buf.set_local_pref(self.local_pref);
        }
        if self.med.is_some() {
            buf.set_med(self.med);
        }
        if let Some(origin) = self.origin {
            buf.set_origin(origin);
        }
        match self.next_hop {
            Some(NewNextHop::Own) => buf.next_hop = own_next_hop.unwrap_or(buf.next_hop),
            Some(NewNextHop::To(IpAddr::V4(address))) => buf.next_hop = NextHop::V4(address),
            Some(NewNextHop::To(IpAddr::V6(address))) => buf.next_hop = NextHop::V6(address),
            None => {}
        }
        // The last of the list stands next to the old path.
        for prepend in self.prepend.iter().rev() {
            match prepend {
                Prepend::Local(times) => buf.prepend_as(asn, usize::from(*times)),
                Prepend::Asn(asn) => buf.prepend_as(*asn, 1),
            }
        }
        self.apply_communities(buf);
        self.apply_local(buf);
    }

    fn apply_communities(&self, buf: &mut AttrsBuf) {
        use godwit_bgp::community::{Ipv6ExtCommunity, LargeCommunity};
        let edits = &self.communities;
        if edits.is_empty() {
            return;
        }
        // Attributes without a change among them are left as they are.
        let touched = |kind: fn(&Community) -> bool| {
            edits.cleared || edits.removed.iter().chain(&edits.added).any(kind)
        };
        if touched(|c| matches!(c, Community::Standard(_))) {
            edits.apply(
                buf,
                code::COMMUNITIES,
                |octets| Community::Standard(StandardCommunity(u32::from_be_bytes(octets))),
                |one| match one {
                    Community::Standard(c) => Some(c.0.to_be_bytes()),
                    _ => None,
                },
            );
        }
        if touched(|c| matches!(c, Community::Extended(_))) {
            edits.apply(
                buf,
                code::EXT_COMMUNITIES,
                |octets| Community::Extended(ExtCommunity(octets)),
                |one| match one {
                    Community::Extended(c) => Some(c.0),
                    _ => None,
                },
            );
        }
        if touched(|c| matches!(c, Community::Ipv6Extended(_))) {
            edits.apply(
                buf,
                code::IPV6_EXT_COMMUNITIES,
                |octets| Community::Ipv6Extended(Ipv6ExtCommunity(octets)),
                |one| match one {
                    Community::Ipv6Extended(c) => Some(c.0),
                    _ => None,
                },
            );
        }
        if touched(|c| matches!(c, Community::Large(_))) {
            edits.apply(
                buf,
                code::LARGE_COMMUNITIES,
                |octets: [u8; 12]| {
                    let number = |at: usize| {
                        let part = octets.get(at..).and_then(<[u8]>::first_chunk::<4>);
                        part.copied().map_or(0, u32::from_be_bytes)
                    };
                    Community::Large(LargeCommunity {
                        global: number(0),
                        local1: number(4),
                        local2: number(8),
                    })
                },
                |one| match one {
                    Community::Large(c) => Some(c.octets()),
                    _ => None,
                },
            );
        }
    }

    fn apply_local(&self, buf: &mut AttrsBuf) {
        let before = buf.as_ref().local();
        let local = Local {
            weight: self.weight.unwrap_or(before.weight),
            table: self.kernel_table.or(before.table),
            metric: self.kernel_metric.or(before.metric),
            source: self.preferred_source.or(before.source),
            blackhole: self.blackhole.unwrap_or(before.blackhole),
        };
        if local != before {
            buf.set_local(local);
        }
    }
}

/// An empty list is no attribute. Partial stays as received (RFC 4271 §5).
fn replace(buf: &mut AttrsBuf, code: u8, bytes: &[u8]) {
    if bytes.is_empty() {
        buf.remove(code);
        return;
    }
    let flags = buf
        .as_ref()
        .find(code)
        .map_or(flag::OPTIONAL | flag::TRANSITIVE, |attr| attr.flags);
    buf.set(code, flags, bytes);
}
