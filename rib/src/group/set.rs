//! All update groups: who belongs where, and their turns.

use bytes::Bytes;
use foldhash::quality::RandomState;
use godwit_bgp::Family;
use hashbrown::HashMap;

use super::retired::{Others, Retired};
use super::{Debts, Group, GroupKey, tell};
use crate::api::PeerId;
use crate::core::Core;
use crate::export::Export;
use crate::presence::Condition;
use crate::ring::Mark;

/// The groups, by id and by key.
#[derive(Debug, Default)]
pub struct Groups {
    groups: Vec<Option<Group>>,
    by_key: HashMap<GroupKey, u32, RandomState>,
    retired: Vec<Retired>,
    /// Of the last group that was made.
    serial: u64,
    /// Of the last run of any group.
    seq: u64,
    /// Peers whose export policy changed and who may be in the wrong group.
    moving: Vec<PeerId>,
    pub max_held: Option<usize>,
    /// Nothing is announced yet.
    held: bool,
    /// Default routes may be others than before.
    defaults_due: bool,
    /// Some group has a default route made up for it, or may have.
    any_defaults: bool,
}

impl Groups {
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flatten()
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn of(&self, id: PeerId, core: &Core) -> Option<&Group> {
        let group = core.peers.at(id)?.member.group?;
        self.groups.get(group as usize)?.as_ref()
    }

    pub fn of_mut(&mut self, id: PeerId, core: &Core) -> Option<&mut Group> {
        let group = core.peers.at(id)?.member.group?;
        self.groups.get_mut(group as usize)?.as_mut()
    }

    /// Whether some peer is sent several paths of a prefix.
    pub fn send_several(&self) -> bool {
        self.iter()
            .any(|group| group.output.iter().any(|output| output.has_several()))
    }

    pub fn at_mut(&mut self, group: u32) -> Option<&mut Group> {
        self.groups.get_mut(group as usize)?.as_mut()
    }

    /// A peer came up, holding nothing.
    pub fn peer_up(&mut self, id: PeerId, core: &mut Core) {
        let Some(peer) = core.peers.at_mut(id) else {
            return;
        };
        peer.member.owes_end_of_rib = peer.spec.families;
        self.join(id, Box::default(), core);
    }

    fn join(&mut self, id: PeerId, debts: Box<Debts>, core: &mut Core) {
        let Some(peer) = core.peers.at(id) else {
            return;
        };
        let key = GroupKey::of(&peer.spec);
        let at = match self.by_key.get(&key) {
            Some(at) => *at,
            None => {
                let export = Export::new(&peer.spec, &core.config);
                let free = self.groups.iter().position(Option::is_none);
                let at = free.unwrap_or_else(|| {
                    self.groups.push(None);
                    self.groups.len() - 1
                });
                self.serial += 1;
                let mut group = Group::new(at as u32, self.serial, export, core.ring.begin());
                group.max_held = self.max_held.unwrap_or(group.max_held);
                self.groups[at] = Some(group);
                self.by_key.insert(key, at as u32);
                self.defaults_due = true;
                at as u32
            }
        };
        if let Some(group) = &mut self.groups[at as usize] {
            group.join(id, debts, core, &mut self.seq);
        }
    }

    /// A peer went down.
    pub fn peer_down(&mut self, id: PeerId, core: &mut Core) {
        self.moving.retain(|other| *other != id);
        self.leave(id, false, core);
    }

    /// `remember`: what the peer may hold matters still.
    fn leave(&mut self, id: PeerId, remember: bool, core: &mut Core) -> Box<Debts> {
        let Some(at) = core.peers.at(id).and_then(|peer| peer.member.group) else {
            return Box::default();
        };
        let Some(group) = &mut self.groups[at as usize] else {
            return Box::default();
        };
        let mut debts = group.leave(id, core, &mut self.seq);
        if remember {
            group.remember(id, &mut debts);
        }
        if group.members.is_empty() {
            self.retired
                .extend(self.groups[at as usize].take().map(Retired::new));
            self.by_key.retain(|_, other| *other != at);
            self.defaults_due = true;
        }
        debts
    }

    /// A peer's export policy changed; it is moved with the next work, together
    /// with all others of which that is true by then.
    pub fn spec_changed(&mut self, id: PeerId) {
        if !self.moving.contains(&id) {
            self.moving.push(id);
        }
    }

    /// Moves a peer, or a whole group, to where it now belongs. A group that
    /// moves as a whole stays what it is under another key: what it advertises
    /// is compared to what it should, and only the difference sent. False: all
    /// are where they belong.
    pub fn regroup(&mut self, core: &mut Core) -> bool {
        while let Some(first) = self.moving.last().copied() {
            let Some(peer) = core.peers.at(first) else {
                self.moving.pop();
                continue;
            };
            let key = GroupKey::of(&peer.spec);
            let Some(at) = peer.member.group else {
                self.moving.pop();
                continue;
            };
            if self.by_key.get(&key) == Some(&at) {
                self.moving.pop();
                // It may be another limit that it is to be asked about.
                if let Some(peer) = core.peers.at_mut(first) {
                    tell(&mut peer.member, first, &mut core.events);
                }
                continue;
            }
            let whole = !self.by_key.contains_key(&key)
                && self.groups[at as usize].as_ref().is_some_and(|group| {
                    group.members.iter().all(|id| {
                        let peer = core.peers.at(*id);
                        peer.is_some_and(|peer| GroupKey::of(&peer.spec) == key)
                    })
                });
            if whole {
                let export = Export::new(&peer.spec, &core.config);
                if let Some(group) = &mut self.groups[at as usize] {
                    group.flush(core, &mut self.seq);
                    group.export = export;
                    group.walk = Some(Mark::FIRST);
                    self.defaults_due = true;
                    self.by_key.retain(|_, other| *other != at);
                    self.by_key.insert(key, at);
                    let members = &group.members;
                    self.moving.retain(|id| !members.contains(id));
                }
            } else {
                self.moving.pop();
                let debts = self.leave(first, true, core);
                self.join(first, debts, core);
            }
            return true;
        }
        false
    }

    /// Goes on giving back what groups advertised that are no more. True: there
    /// is more.
    pub fn release_retired(&mut self, units: &mut usize, core: &mut Core) -> bool {
        let more = (self.retired.iter_mut()).any(|group| group.release(units, core));
        self.retired.retain(|group| !group.is_over(core));
        more
    }

    /// What holds for the whole router changed: all output is worked out anew.
    pub fn reconfigure(&mut self, core: &mut Core) {
        // Any member speaks for its group only when all are where they belong.
        while self.regroup(core) {}
        self.defaults_due = true;
        for group in self.groups.iter_mut().flatten() {
            let member = group.members.first().and_then(|id| core.peers.at(*id));
            if let Some(peer) = member {
                let export = Export::new(&peer.spec, &core.config);
                group.flush(core, &mut self.seq);
                group.export = export;
                group.walk = Some(Mark::FIRST);
            }
        }
    }

    /// Holds everything back, or lets it go.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Has conditions counted that default routes ask about, where groups came,
    /// went or changed.
    pub fn watch_conditions(&mut self, core: &mut Core) {
        if !std::mem::take(&mut self.defaults_due) {
            return;
        }
        let groups = self.groups.iter().flatten();
        let defaults = groups.flat_map(|group| group.export.default_originate.iter().flatten());
        let mut any = false;
        let mut conditions: Vec<&Condition> = Vec::new();
        for default in defaults {
            any = true;
            conditions.extend(&default.when);
        }
        core.presence.set_conditions(&conditions);
        // Before they are looked at: a default route may be of no table, and its
        // destination must not be freed under the entry in the ring.
        self.any_defaults = any;
        if any {
            core.renotify_defaults();
        }
    }

    /// Places of groups, taken or not.
    pub fn slots(&self) -> usize {
        self.groups.len()
    }

    /// The group at a place, if groups are to do anything.
    fn working(&mut self, at: usize) -> Option<(&mut Group, &mut u64)> {
        let group = self.groups.get_mut(at)?.as_mut()?;
        (!self.held).then_some((group, &mut self.seq))
    }

    /// Has a group look at changes. True: there are more.
    pub fn read_changes(&mut self, at: usize, units: &mut usize, core: &mut Core) -> bool {
        let Some((group, seq)) = self.working(at) else {
            return false;
        };
        while *units > 0 {
            if core.ring.lapped(group.cursor) {
                group.cursor = core.ring.begin();
                group.walk = Some(Mark::FIRST);
            }
            let Some(mark) = core.ring.at(group.cursor) else {
                break;
            };
            core.passed(mark);
            let looked_at = group.process(mark, core, seq);
            group.cursor += 1;
            *units = units.saturating_sub(looked_at);
        }
        group.cursor < core.ring.end()
    }

    /// Has a group go on with its walk. True: there is more.
    pub fn walk(&mut self, at: usize, units: &mut usize, core: &mut Core) -> bool {
        let Some((group, seq)) = self.working(at) else {
            return false;
        };
        group.walk(units, core, seq);
        group.walk.is_some()
    }

    /// Has a group go on letting its slowest members go. True: there is more.
    pub fn part(&mut self, at: usize, units: &mut usize, core: &mut Core) -> bool {
        let group = self.groups.get_mut(at).and_then(Option::as_mut);
        group.is_some_and(|group| group.part(units, core))
    }

    /// A group had its turns of this round.
    pub fn end_round(&mut self, at: usize, core: &mut Core) {
        if let Some((group, seq)) = self.working(at) {
            group.end_round(core, seq);
        }
    }

    /// The least position in the change ring.
    pub fn cursor(&self) -> Option<u64> {
        self.iter().map(|group| group.cursor).min()
    }

    pub fn refresh(&mut self, id: PeerId, family: Family, core: &mut Core) {
        let at = core.peers.at(id).and_then(|peer| peer.member.group);
        if let Some(at) = at
            && let Some(group) = &mut self.groups[at as usize]
        {
            group.refresh(id, family, core, &mut self.seq);
        }
    }

    pub fn poll(&mut self, id: PeerId, max: usize, out: &mut Vec<Bytes>, core: &mut Core) -> bool {
        if self.held {
            // Told again when all that there is has been looked at.
            if let Some(peer) = core.peers.at_mut(id) {
                peer.member.told = false;
            }
            return false;
        }
        let Some(at) = core.peers.at(id).and_then(|peer| peer.member.group) else {
            return false;
        };
        if self.moving.contains(&id)
            && let Some(peer) = core.peers.at_mut(id)
        {
            // Told again when it is where it belongs.
            peer.member.told = false;
            return false;
        }
        let (before, rest) = self.groups.split_at_mut(at as usize);
        let Some((Some(group), after)) = rest.split_first_mut() else {
            return false;
        };
        let n = [0, 1].map(|f| group.output[f].count_for(id));
        // Else there may be much that an export which was tightened withdraws
        // yet.
        let settled = group.walk.is_none();
        if core.may_be_sent(id, n, settled) {
            let others = Others {
                before,
                after,
                retired: &self.retired,
            };
            return group.poll(id, max, out, core, &others, &mut self.seq);
        }
        // Told again at the end of the walk.
        if let Some(peer) = core.peers.at_mut(id) {
            peer.member.told &= settled;
        }
        false
    }

    /// Whether the destination's id stands for something in a group.
    pub fn needs(&self, mark: Mark, core: &Core) -> bool {
        (self.any_defaults && core.is_default(mark))
            || self.iter().any(|group| group.needs(mark, core))
    }

    /// Number of the last run, and of the oldest that somebody has yet to read.
    pub fn run_seqs(&self) -> (u64, u64) {
        let oldest = self
            .iter()
            .filter_map(|group| group.runs.oldest_seq())
            .min();
        (self.seq, oldest.unwrap_or(u64::MAX))
    }
}
