//! The paths of a destination as they would be.

use godwit_bgp::PathId;
use smallvec::SmallVec;

use crate::api::PeerId;
use crate::core::Core;
use crate::decide::{Candidate, Candidates};
use crate::interner::{AttrId, Interner};
use crate::slab::NONE;

/// Where routes of our own stand that are not there yet, by their identifiers.
pub const NEW: [u32; 2] = [NONE, NONE - 2];

/// A path that would be another.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    pub slot: u32,
    pub peer: PeerId,
    pub rx_path_id: PathId,
    /// With a reference; `None`: it would go, or not be accepted.
    pub attr: Option<AttrId>,
    /// As it is: whose next hop counts where nobody has asked for the other yet.
    pub like: AttrId,
}

impl Other {
    fn candidate<'a>(&self, core: &'a Core) -> Option<Candidate<'a>> {
        let attr = self.attr?;
        let key = core.attrs.key(attr);
        let cost = |attr| {
            let next_hops = &core.attrs.next_hops;
            next_hops.cost(core.attrs.next_hop_id(attr))
        };
        Some(Candidate {
            path: self.slot,
            peer: self.peer,
            kind: core.peers.briefs.at(self.peer).kind,
            attr,
            key,
            igp_cost: match self.peer == PeerId::LOCAL || key.blackhole() {
                true => 0,
                false => cost(attr).or_else(|| cost(self.like))?,
            },
            rx_path_id: self.rx_path_id,
        })
    }
}

/// All of a destination.
#[derive(Debug, Default)]
pub struct Others(SmallVec<[Other; 4]>);

impl Others {
    pub fn extend(&mut self, others: impl IntoIterator<Item = Other>) {
        self.0.extend(others);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn release(self, attrs: &mut Interner) {
        for attr in self.0.iter().filter_map(|other| other.attr) {
            attrs.release(attr);
        }
    }

    /// Who would take part in the decision.
    pub fn candidates<'a>(&self, head: u32, core: &'a Core) -> Candidates<'a> {
        let view = core.view();
        let mut all = Candidates::new();
        if self.is_empty() {
            view.candidates(head, &mut all);
            return all;
        }
        let mut others: SmallVec<[&Other; 4]> = self.0.iter().collect();
        others.sort_unstable_by_key(|other| other.slot);
        let mut id = head;
        while id != NONE {
            match others.binary_search_by_key(&id, |other| other.slot) {
                Err(_) => all.extend(view.candidate(id)),
                Ok(at) => all.extend(others[at].candidate(core)),
            }
            id = core.paths.at(id).next;
        }
        let new = self.0.iter().filter(|other| NEW.contains(&other.slot));
        all.extend(new.filter_map(|other| other.candidate(core)));
        all
    }

    /// The best path.
    pub fn best(&self, head: u32, core: &Core) -> Option<Offer> {
        if self.is_empty() {
            let (best, _) = core.view().best(head);
            return (best != NONE).then(|| {
                let path = core.paths.at(best);
                Offer {
                    slot: best,
                    peer: path.peer,
                    attr: path.attr,
                }
            });
        }
        let mut all = self.candidates(head, core);
        core.view().merit(&mut all, |_, _| ());
        core.view().break_tie(&mut all, |_, _| ());
        all.first().map(Offer::of)
    }
}

/// A path that groups may be told of.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub slot: u32,
    pub peer: PeerId,
    pub attr: AttrId,
}

impl Offer {
    pub fn of(candidate: &Candidate<'_>) -> Offer {
        Offer {
            slot: candidate.path,
            peer: candidate.peer,
            attr: candidate.attr,
        }
    }
}
