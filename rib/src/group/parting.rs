//! Lets go of the slowest members when too much is kept for them: in slices,
//! and once for all that are as slow.
//!
//! From then on they are detached, and what changes they owe like others that
//! are. What they have not read until then they come to owe run by run, and a
//! run that all of them owe is let go of. They are sent nothing before that is
//! done: a debt that is paid must not be found in an older run again.
//!
//! While it lasts more is kept than the bound says: no more than twice as much,
//! since a turn takes up more runs than a round makes.

use super::runs::Run;
use super::{Audience, Debts, Group, Place, tell};
use crate::api::PeerId;
use crate::core::Core;

/// Destinations of a run that are a unit of work, and paths: these are looked up.
const MARKS: usize = 64;
const GONE: usize = 4;
/// Units that it costs to hand the debts over to a member.
const HAND_OVER: usize = 64;

/// Members that are being let go.
#[derive(Debug)]
pub struct Parting {
    /// With the first run that each has not read.
    members: Vec<(PeerId, u64)>,
    /// What all of them owe. It may be more than one of them does: also the few
    /// runs that it had read and a slower one had not, and its own routes, which
    /// others that are detached owe as well.
    pub debts: Debts,
    /// The first run that is not in there, and where theirs end.
    at: u64,
    end: u64,
}

impl Parting {
    /// Adds the next run, which is this one.
    fn add(&mut self, run: &Run, core: &mut Core) {
        let Audience::Only(id) = run.audience else {
            self.debts.unread(run);
            return;
        };
        let unread = |(member, from): &(PeerId, u64)| *member == id && *from <= self.at;
        if self.members.iter().any(unread)
            && let Some(peer) = core.peers.at_mut(id)
            && let Place::Detached(debts) = &mut peer.member.place
        {
            debts.unread(run);
            owe_end_of_rib(run, &mut peer.member.owes_end_of_rib);
        }
    }

    /// How many have not read the next run.
    fn readers(&self) -> u32 {
        let members = self.members.iter();
        members.filter(|(_, from)| *from <= self.at).count() as u32
    }
}

fn owe_end_of_rib(run: &Run, owes: &mut [bool; 2]) {
    if let Some(family) = run.end_of_rib {
        owes[family.index()] = true;
    }
}

impl Group {
    /// Begins to let go of the slowest members, so many that what is kept will be
    /// bounded.
    pub(super) fn bound(&mut self, core: &mut Core) {
        if self.parting.is_some() || self.runs.held() <= self.max_held {
            return;
        }
        let kept = self.runs.newest(self.max_held);
        let mut members = Vec::new();
        for &id in &self.members {
            if let Some(peer) = core.peers.at_mut(id)
                && let Place::Attached(from) = peer.member.place
                && from < kept
            {
                peer.member.place = Place::Detached(Box::new(Debts::incomplete()));
                members.push((id, from));
            }
        }
        let Some(at) = members.iter().map(|(_, from)| *from).min() else {
            return;
        };
        self.attached -= members.len() as u32;
        self.parting = Some(Parting {
            members,
            debts: Debts::default(),
            at,
            end: self.runs.end(),
        });
    }

    /// Goes on letting members go. True: there is more.
    pub(super) fn part(&mut self, units: &mut usize, core: &mut Core) -> bool {
        let Some(parting) = &mut self.parting else {
            return false;
        };
        while *units > 0 && parting.at < parting.end {
            if let Some(run) = self.runs.at(parting.at) {
                let members = parting.members.len();
                let cost = 1 + (run.marks.len() + members) / MARKS + run.gone.len() / GONE;
                *units = units.saturating_sub(cost);
                parting.add(run, core);
            }
            self.runs.passed(parting.at, parting.readers());
            parting.at += 1;
        }
        while *units > 0
            && let Some((id, _)) = parting.members.pop()
        {
            *units = units.saturating_sub(HAND_OVER);
            if let Some(peer) = core.peers.at_mut(id)
                && let Place::Detached(debts) = &mut peer.member.place
            {
                debts.complete(&parting.debts);
                tell(&mut peer.member, id, &mut core.events);
            }
        }
        if parting.members.is_empty() {
            self.parting = None;
        }
        self.parting.is_some()
    }

    /// From here on the member's frames are its own. What it has not read of
    /// the runs, it owes.
    pub(super) fn detach(&mut self, id: PeerId, core: &mut Core) {
        let Some(peer) = core.peers.at_mut(id) else {
            return;
        };
        let Place::Attached(from) = peer.member.place else {
            return;
        };
        let mut debts = Box::<Debts>::default();
        let owes_end_of_rib = &mut peer.member.owes_end_of_rib;
        self.runs.leave(from, self.runs.end(), |run| {
            if run.audience.includes(id) {
                debts.unread(run);
                owe_end_of_rib(run, owes_end_of_rib);
            }
        });
        peer.member.place = Place::Detached(debts);
        self.attached -= 1;
        tell(&mut peer.member, id, &mut core.events);
    }

    /// Has a member that is being let go owe at once all that it has not read.
    pub(super) fn finish_parting(&mut self, id: PeerId, core: &mut Core) {
        let Some(parting) = &mut self.parting else {
            return;
        };
        let mut members = parting.members.iter();
        let Some(at) = members.position(|(member, _)| *member == id) else {
            return;
        };
        let (_, from) = parting.members.swap_remove(at);
        let from = from.max(parting.at);
        if let Some(peer) = core.peers.at_mut(id)
            && let Place::Detached(debts) = &mut peer.member.place
        {
            debts.complete(&parting.debts);
            let owes_end_of_rib = &mut peer.member.owes_end_of_rib;
            self.runs.leave(from, parting.end, |run| {
                if run.audience.includes(id) {
                    debts.unread(run);
                    owe_end_of_rib(run, owes_end_of_rib);
                }
            });
        }
        if parting.members.is_empty() {
            self.parting = None;
        }
    }
}
