//! UPDATE (RFC 4271 §4.3, RFC 4760): a view over the bytes, and the verdict of
//! RFC 7606 on what is malformed.

use std::net::Ipv4Addr;
use std::ops::Range;

use bytes::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};
use smallvec::SmallVec;

use super::canonical;
use super::nlri::{Nlri, PathsV4, PathsV6};
use super::notification::Notification;
use super::read_update::Reader;
use crate::types::{Family, NextHop, PathId};

/// What reading an UPDATE depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeContext {
    /// Both sides have four-octet AS numbers (RFC 6793).
    pub as4: bool,
    /// The peer is in another AS.
    pub external: bool,
    /// IPv4 routes may have IPv6 next hops (RFC 8950 negotiated).
    pub extended_next_hop: bool,
    /// The negotiated families, by [`Family::index`]. Routes of others are
    /// ignored.
    pub families: [bool; Family::COUNT],
    /// Of those, the families whose prefixes the peer sends with path
    /// identifiers (RFC 7911 negotiated, this way round).
    pub add_path: [bool; Family::COUNT],
}

impl DecodeContext {
    pub(super) const fn negotiated(&self, family: Family) -> bool {
        of(self.families, family)
    }

    pub(super) const fn path_ids(&self, family: Family) -> bool {
        of(self.add_path, family)
    }
}

const fn of([ipv4, ipv6]: [bool; Family::COUNT], family: Family) -> bool {
    match family {
        Family::Ipv4Unicast => ipv4,
        Family::Ipv6Unicast => ipv6,
    }
}

/// What becomes of the routes that an UPDATE announces (RFC 7606 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateAction {
    Keep,
    TreatAsWithdraw,
}

/// What a fault costs; a session reset is the error of [`decode_update`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// The attribute is ignored, the routes are kept.
    Discard,
    TreatAsWithdraw,
}

/// Something malformed that the session survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Type of the attribute, 0 when it is none's.
    pub attribute: u8,
    /// Where in [`Update::body`] the attribute lies, header included.
    pub start: u16,
    pub end: u16,
    pub action: FaultAction,
    /// What a NOTIFICATION would have said before RFC 7606.
    pub code: u8,
    pub subcode: u8,
    pub what: &'static str,
}

impl Fault {
    pub fn range(&self) -> Range<usize> {
        self.start.into()..self.end.into()
    }
}

/// Where the path attributes lie, and how to bring them into canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttrs {
    pub(super) start: u16,
    pub(super) end: u16,
    pub(super) as4: bool,
    pub(super) external: bool,
    /// The parts of the body that are the canonical form as they stand, if they
    /// are: the usual case.
    pub(super) spans: Option<Spans>,
}

/// A few parts of the body, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) parts: [(u16, u16); 4],
    pub(super) used: u8,
}

impl RawAttrs {
    pub fn range(&self) -> Range<usize> {
        self.start.into()..self.end.into()
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// An UPDATE, read and judged. It owns the bytes it was read from; prefixes are
/// decoded as they are iterated over, host bits cleared.
#[derive(Clone, Debug)]
pub struct Update {
    pub body: Bytes,
    /// The IPv4 field of RFC 4271, as [`Update::announced`] is.
    pub withdrawn: Nlri,
    pub announced: Nlri,
    pub mp_unreach: Option<(Family, Nlri)>,
    pub mp_reach: Option<(Family, NextHop, Nlri)>,
    /// NEXT_HOP, when it is sound; it belongs to `announced` only.
    pub next_hop: Option<Ipv4Addr>,
    pub attrs: RawAttrs,
    pub action: UpdateAction,
    /// The first few faults, for the log.
    pub faults: SmallVec<[Fault; 1]>,
}

/// Reads the body of an UPDATE.
///
/// # Errors
/// The NOTIFICATION that ends the session, where RFC 7606 leaves no other way:
/// the prefixes cannot be told apart from the rest. "AFI/SAFI disable" is not
/// used.
pub fn decode_update(body: Bytes, ctx: DecodeContext) -> Result<Update, Notification> {
    Reader::read(body, ctx)
}

impl Update {
    /// IPv4 prefixes that are withdrawn, those of a treat-as-withdraw included.
    /// They are to be handled before the announced ones: a prefix in both is
    /// announced (RFC 4271 §4.3).
    pub fn withdrawn_v4(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        self.withdrawn_paths_v4().map(|(_, net)| net)
    }

    /// As [`Update::withdrawn_v4`].
    pub fn withdrawn_v6(&self) -> impl Iterator<Item = Ipv6Net> + '_ {
        self.withdrawn_paths_v6().map(|(_, net)| net)
    }

    /// IPv4 prefixes that are announced, with [`Update::next_hop`] of their family.
    pub fn announced_v4(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        self.announced_paths_v4().map(|(_, net)| net)
    }

    /// As [`Update::announced_v4`].
    pub fn announced_v6(&self) -> impl Iterator<Item = Ipv6Net> + '_ {
        self.announced_paths_v6().map(|(_, net)| net)
    }

    /// [`Update::withdrawn_v4`] with the identifiers of the paths: 0 where the
    /// peer sends none.
    pub fn withdrawn_paths_v4(&self) -> impl Iterator<Item = (PathId, Ipv4Net)> + '_ {
        let (announced, reach) = match self.action {
            UpdateAction::Keep => (Nlri::default(), Nlri::default()),
            UpdateAction::TreatAsWithdraw => (self.announced, self.reach(Family::Ipv4Unicast)),
        };
        let unreach = self.unreach(Family::Ipv4Unicast);
        self.v4(self.withdrawn)
            .chain(self.v4(unreach))
            .chain(self.v4(announced))
            .chain(self.v4(reach))
    }

    /// As [`Update::withdrawn_paths_v4`].
    pub fn withdrawn_paths_v6(&self) -> impl Iterator<Item = (PathId, Ipv6Net)> + '_ {
        let reach = match self.action {
            UpdateAction::Keep => Nlri::default(),
            UpdateAction::TreatAsWithdraw => self.reach(Family::Ipv6Unicast),
        };
        self.v6(self.unreach(Family::Ipv6Unicast))
            .chain(self.v6(reach))
    }

    /// [`Update::announced_v4`] with the identifiers of the paths.
    pub fn announced_paths_v4(&self) -> impl Iterator<Item = (PathId, Ipv4Net)> + '_ {
        let (announced, reach) = match self.action {
            UpdateAction::Keep => (self.announced, self.reach(Family::Ipv4Unicast)),
            UpdateAction::TreatAsWithdraw => (Nlri::default(), Nlri::default()),
        };
        self.v4(announced).chain(self.v4(reach))
    }

    /// As [`Update::announced_paths_v4`].
    pub fn announced_paths_v6(&self) -> impl Iterator<Item = (PathId, Ipv6Net)> + '_ {
        let reach = match self.action {
            UpdateAction::Keep => self.reach(Family::Ipv6Unicast),
            UpdateAction::TreatAsWithdraw => Nlri::default(),
        };
        self.v6(reach)
    }

    /// The next hop of the announced routes of a family. There is one whenever
    /// there are such routes.
    pub fn next_hop(&self, family: Family) -> Option<NextHop> {
        match self.mp_reach {
            // Without prefixes it is nobody's (RFC 4760 §3).
            Some((f, next_hop, nlri)) if f == family && !nlri.is_empty() => Some(next_hop),
            _ if family == Family::Ipv4Unicast => self.next_hop.map(NextHop::V4),
            _ => None,
        }
    }

    /// Replaces `out` by the attributes in canonical form
    /// ([`attrs`](crate::attrs)). Meant for announced routes: without any, or
    /// with a treat-as-withdraw, what comes out may lack mandatory ones.
    pub fn canonical_attrs(&self, out: &mut Vec<u8>) {
        canonical::write(&self.body, &self.attrs, out);
    }

    /// The family whose initial routes this UPDATE says are complete
    /// (RFC 4724 §2).
    pub fn end_of_rib(&self) -> Option<Family> {
        if self.body.as_ref() == [0; 4] {
            return Some(Family::Ipv4Unicast);
        }
        let (family, unreach) = self.mp_unreach?;
        let alone = self.is_empty() && unreach.is_empty() && self.mp_reach.is_none();
        // header of three or four octets, then AFI and SAFI only
        (alone && self.attrs.range().len() <= 7).then_some(family)
    }

    /// Whether it neither announces nor withdraws anything.
    pub fn is_empty(&self) -> bool {
        self.withdrawn.is_empty()
            && self.announced.is_empty()
            && self.mp_unreach.is_none_or(|(_, nlri)| nlri.is_empty())
            && self.mp_reach.is_none_or(|(_, _, nlri)| nlri.is_empty())
    }

    fn reach(&self, family: Family) -> Nlri {
        match self.mp_reach {
            Some((f, _, nlri)) if f == family => nlri,
            _ => Nlri::default(),
        }
    }

    fn unreach(&self, family: Family) -> Nlri {
        match self.mp_unreach {
            Some((f, nlri)) if f == family => nlri,
            _ => Nlri::default(),
        }
    }

    fn v4(&self, nlri: Nlri) -> PathsV4<'_> {
        nlri.v4(&self.body)
    }

    fn v6(&self, nlri: Nlri) -> PathsV6<'_> {
        nlri.v6(&self.body)
    }
}
