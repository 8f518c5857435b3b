//! Peers in a slab, and beside them the few facts that decisions compare.

use std::net::IpAddr;

use godwit_bgp::{RouterId, SessionKind};

use crate::api::{PeerId, PeerSpec};
use crate::group::Member;
use crate::import::ClassId;

/// What decisions ask of the peer of a path.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// Orders peers by address, IPv4 first.
    pub address_rank: u128,
    pub router_id: RouterId,
    pub kind: SessionKind,
    /// Paths of another generation are stale.
    pub generation: u8,
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
    pub received: [u64; 2],
    pub accepted: [u64; 2],
    pub best: [u64; 2],
}

/// A peer, from up until its last path is gone.
#[derive(Debug)]
pub struct Peer {
    pub spec: PeerSpec,
    /// False from down until gone.
    pub up: bool,
    pub import: [ClassId; 2],
    pub member: Member,
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
            generation: 0,
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
            address_rank: rank(peer.spec.address),
            router_id: peer.spec.router_id,
            kind: peer.spec.kind,
            generation: self.briefs.0[at].generation,
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
        let brief = &mut self.briefs.0[usize::from(id.0)];
        brief.generation = brief.generation.wrapping_add(1);
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

    /// The peer, if its session is up.
    pub fn up(&self, id: PeerId) -> Option<&Peer> {
        self.at(id).filter(|peer| peer.up)
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

fn rank(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}
