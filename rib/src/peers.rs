//! Peers in a slab, and beside them the few facts that decisions compare.

use std::net::IpAddr;

use godwit_bgp::{Family, RouterId, SessionKind};

use crate::api::{PeerId, PeerSpec};
use crate::group::Member;
use crate::import::ClassId;
use crate::limits::Standing;
use crate::path::Path;

/// What decisions ask of the peer of a path.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// Orders peers by address, IPv4 first; those of a link-local one by their
    /// link.
    pub address_rank: u128,
    pub router_id: RouterId,
    pub kind: SessionKind,
    /// Not up: its paths wait to be removed, and take part in nothing.
    pub up: bool,
}

/// The facts of all peers, by id.
#[derive(Debug)]
pub struct Briefs(Vec<Brief>);

impl Briefs {
    #[inline]
    pub fn at(&self, id: PeerId) -> &Brief {
        &self.0[usize::from(id.0)]
    }
}

/// Kept while routes come and go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Paths.
    pub received: [u64; 2],
    /// Prefixes that these are of.
    pub prefixes: [u64; 2],
    pub accepted: [u64; 2],
    /// Of those received, what the prefix limit keeps out.
    pub over_limit: [u64; 2],
    pub best: [u64; 2],
    /// Announcements beyond [`MAX_SIBLINGS`](crate::core::MAX_SIBLINGS).
    pub refused: [u64; 2],
    /// Of those received, what is of the epoch that the peer is in; the others
    /// are stale.
    pub fresh: [u64; 2],
    /// The same as [`Refreshes::epoch`], at hand.
    epoch: [u8; 2],
}

impl Counts {
    pub fn stale(&self, family: usize) -> u64 {
        self.received[family] - self.fresh[family]
    }

    /// A path of this epoch came.
    pub fn came(&mut self, family: usize, epoch: u8) {
        self.fresh[family] += u64::from(epoch == self.epoch[family]);
    }

    /// A path of this epoch went.
    pub fn went(&mut self, family: usize, epoch: u8) {
        self.fresh[family] -= u64::from(epoch == self.epoch[family]);
    }
}

/// A peer, from up until its last path is gone.
#[derive(Debug)]
pub struct Peer {
    pub spec: PeerSpec,
    /// False from down until gone.
    pub up: bool,
    /// It has no session, and what it announced stays (RFC 4724 §4.2).
    pub away: bool,
    pub import: [ClassId; 2],
    pub member: Member,
    /// By family.
    pub refreshes: [Refreshes; 2],
    /// Some of its paths are as an import left them that has changed since: what
    /// is accepted says nothing yet.
    pub unjudged: bool,
    /// By family.
    pub standing_in: [Standing; 2],
    pub standing_out: [Standing; 2],
}

/// The refreshes of one family that a peer made (RFC 7313). Counted in a
/// circle: of the numbers from `oldest` to `epoch` there may be paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refreshes {
    /// How many it has begun.
    pub epoch: u8,
    /// No path is of an epoch before this one.
    oldest: u8,
    /// Paths of an epoch before this one are to go.
    expected: u8,
    /// It has begun one and not ended it.
    pub under_way: bool,
    /// What was begun is not a refresh but its graceful restart: it ends with
    /// its End-of-RIB (RFC 4724 §4.2).
    pub restarting: bool,
    /// It has sent its End-of-RIB (RFC 4724 §2).
    pub end_of_rib: bool,
}

/// Paths that a refresh did not bring again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    oldest: u8,
    expected: u8,
}

impl Refreshes {
    /// All that there is becomes stale, also where a refresh is under way.
    /// False: so many, and no sweep between them, that those which it has
    /// announced since the last count as fresh.
    fn begin(&mut self) -> bool {
        self.under_way = true;
        let next = self.epoch.wrapping_add(1);
        let can = next != self.oldest;
        if can {
            self.epoch = next;
        }
        can
    }

    /// False: none was under way.
    pub fn end(&mut self) -> bool {
        self.expected = self.epoch;
        std::mem::take(&mut self.under_way)
    }

    pub fn missed(&self) -> Missed {
        Missed {
            oldest: self.oldest,
            expected: self.expected,
        }
    }

    /// These are gone.
    pub fn swept(&mut self, missed: Missed) {
        self.oldest = missed.expected;
    }
}

impl Missed {
    pub fn includes(self, epoch: u8) -> bool {
        epoch.wrapping_sub(self.oldest) < self.expected.wrapping_sub(self.oldest)
    }
}

/// All peers.
#[derive(Debug)]
pub struct Peers {
    pub briefs: Briefs,
    pub counts: Vec<Counts>,
    slots: Vec<Option<Box<Peer>>>,
    free: Vec<u16>,
}

impl Default for Peers {
    fn default() -> Self {
        let local = Brief {
            address_rank: 0,
            router_id: RouterId(0),
            kind: SessionKind::Internal,
            up: true,
        };
        Peers {
            briefs: Briefs(vec![local]),
            counts: vec![Counts::default()],
            slots: vec![None],
            free: Vec::new(),
        }
    }
}

impl Peers {
    pub fn insert(&mut self, peer: Peer) -> PeerId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.counts.push(Counts::default());
            self.briefs.0.push(self.briefs.0[0]);
            assert!(self.slots.len() < usize::from(u16::MAX), "65534 peers");
            self.slots.len() as u16 - 1
        });
        let at = usize::from(id);
        self.briefs.0[at] = Brief {
            address_rank: rank(peer.spec.address, peer.spec.link),
            router_id: peer.spec.router_id,
            kind: peer.spec.kind,
            up: true,
        };
        self.counts[at] = Counts::default();
        self.slots[at] = Some(Box::new(peer));
        PeerId(id)
    }

    /// Brings the brief up to a spec that was replaced.
    pub fn spec_changed(&mut self, id: PeerId) {
        if let Some(spec) = self.at(id).map(|peer| &peer.spec) {
            let (kind, router_id) = (spec.kind, spec.router_id);
            let brief = &mut self.briefs.0[usize::from(id.0)];
            (brief.kind, brief.router_id) = (kind, router_id);
        }
    }

    /// From now on its paths are stale.
    pub fn down(&mut self, id: PeerId) {
        self.briefs.0[usize::from(id.0)].up = false;
        if let Some(peer) = self.at_mut(id) {
            peer.up = false;
        }
    }

    /// No path names it any more.
    pub fn remove(&mut self, id: PeerId) {
        self.slots[usize::from(id.0)] = None;
    }

    /// Nobody outside knows the id any more: another peer may have it.
    pub fn reuse(&mut self, id: PeerId) {
        self.free.push(id.0);
    }

    #[inline]
    pub fn at(&self, id: PeerId) -> Option<&Peer> {
        self.slots.get(usize::from(id.0))?.as_deref()
    }

    #[inline]
    pub fn at_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.slots.get_mut(usize::from(id.0))?.as_deref_mut()
    }

    /// Whether its peer has gone, or is refreshing it.
    pub fn is_stale(&self, path: &Path, family: Family) -> bool {
        let epoch = self
            .at(path.peer)
            .map_or(0, |peer| peer.refreshes[family.index()].epoch);
        !self.briefs.at(path.peer).up || path.epoch != epoch
    }

    /// All that the peer announced of a family becomes stale, see
    /// [`Refreshes::end`]. False: there were too many beginnings without a sweep
    /// between them.
    pub fn begin_refresh(&mut self, id: PeerId, family: usize) -> bool {
        let Some(peer) = self.at_mut(id) else {
            return false;
        };
        let refreshes = &mut peer.refreshes[family];
        let begun = refreshes.begin();
        let epoch = refreshes.epoch;
        if begun {
            let counts = self.counts(id);
            counts.epoch[family] = epoch;
            counts.fresh[family] = 0;
        }
        begun
    }

    /// The peer, if its routes count: its session is up, or it is away and they
    /// are kept.
    pub fn up(&self, id: PeerId) -> Option<&Peer> {
        self.at(id).filter(|peer| peer.up)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut Peer)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(id, peer)| Some((PeerId(id as u16), peer.as_deref_mut()?)))
    }

    pub fn counts(&mut self, id: PeerId) -> &mut Counts {
        &mut self.counts[usize::from(id.0)]
    }

    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(id, peer)| Some((PeerId(id as u16), peer.as_deref()?)))
    }
}

fn rank(address: IpAddr, link: u32) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        // RFC 4291 §2.5.6: these 54 bits are zero.
        IpAddr::V6(a) if a.is_unicast_link_local() => a.to_bits() | u128::from(link) << 64,
        IpAddr::V6(a) => a.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refresh_missed_is_all_of_before_and_nothing_of_since() {
        let mut refreshes = Refreshes::default();
        assert!(!refreshes.end(), "an end without a beginning");
        assert!(refreshes.begin());
        // Again before the end: what came between the two is stale as well.
        assert!(refreshes.begin());
        assert!(refreshes.end());
        let missed = refreshes.missed();
        assert_eq!([0, 1, 2].map(|e| missed.includes(e)), [true, true, false]);
        // Another one while the sweep is on its way does not add to it.
        refreshes.begin();
        assert!(!missed.includes(refreshes.epoch));
        refreshes.swept(missed);
        assert_eq!([2, 3].map(|e| refreshes.missed().includes(e)), [false; 2]);
        refreshes.end();
        assert_eq!(
            [2, 3].map(|e| refreshes.missed().includes(e)),
            [true, false]
        );
    }

    #[test]
    fn a_peer_that_only_begins_does_not_turn_old_paths_fresh() {
        let mut refreshes = Refreshes::default();
        let begun = (0..1000).filter(|_| refreshes.begin()).count();
        assert_eq!(begun, 255);
        assert_ne!(refreshes.epoch, 0);
        refreshes.end();
        assert!(refreshes.missed().includes(0));
        assert!(!refreshes.missed().includes(refreshes.epoch));
    }
}
