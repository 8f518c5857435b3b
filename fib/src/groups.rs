//! Next-hop sets and the nexthop objects that stand for them: a group for each
//! set, never a single object, because a group cannot be replaced by one; its
//! members are single objects that sets share. Routes name a slot here, and a
//! slot's number is its group's id.

mod adopt;
mod objects;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use godwit_netlink::{Failure, GroupMember};
use godwit_rib::NextHopSet;

use crate::kernel::Hop;
use crate::route::Target;

/// Ids of our single objects begin here, those of groups at [`GROUP_BASE`].
pub(crate) const HOP_BASE: u32 = 0x4700_0000;
pub(crate) const GROUP_BASE: u32 = 0x4780_0000;
const RANGE_END: u32 = 0x4800_0000;

/// A next-hop set, or a group of before the restart that no set has claimed.
#[derive(Debug, Default)]
struct Slot {
    /// None: adopted.
    set: Option<Arc<NextHopSet>>,
    /// Of the set, or what the kernel's routes over an adopted group have.
    source: Option<IpAddr>,
    /// Where the set resolves to now.
    resolved: Vec<(Hop, u16)>,
    /// What the kernel's group holds; empty: the kernel has no group.
    members: Vec<GroupMember>,
    /// Routes that want it, and routes in the kernel that name it.
    users: u32,
    error: Option<Failure>,
    /// In `dirty`.
    listed: bool,
    /// Routes wait for the group to become ready.
    awaited: bool,
}

#[derive(Debug)]
struct Single {
    hop: Hop,
    in_kernel: bool,
    /// Groups of the kernel that hold it.
    groups: u32,
}

/// What a change of groups did to routes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The kernel dropped all routes of these groups.
    pub lost: Vec<u32>,
    /// Routes wait for these groups, and there is news.
    pub retry: Vec<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Groups {
    slots: Vec<Option<Slot>>,
    by_set: HashMap<Arc<NextHopSet>, u32>,
    singles: Vec<Option<Single>>,
    by_hop: HashMap<Hop, u32>,
    /// Slots whose group differs from what it should be.
    dirty: Vec<u32>,
    /// Slots that may have lost their last route.
    unused: Vec<u32>,
    /// Ids of our range that are someone else's.
    taken: Vec<u32>,
}

impl Groups {
    pub fn count(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .filter(|s| !s.members.is_empty())
            .count()
    }

    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The set of a slot; none if adopted.
    pub fn set_of(&self, slot: u32) -> Option<&Arc<NextHopSet>> {
        self.slot(slot)?.set.as_ref()
    }

    pub fn resolved(&self, slot: u32) -> &[(Hop, u16)] {
        self.slot(slot).map_or(&[], |s| &s.resolved)
    }

    /// Whether routes can name the slot's group.
    pub fn is_ready(&self, slot: u32) -> bool {
        self.slot(slot).is_some_and(|s| !s.members.is_empty())
    }

    /// A route waits for the group.
    pub fn await_ready(&mut self, slot: u32) {
        if let Some(entry) = self.slot_mut(slot) {
            entry.awaited = true;
        }
    }

    /// Why a slot that resolves is not ready.
    pub fn error(&self, slot: u32) -> Option<&Failure> {
        self.slot(slot)?.error.as_ref()
    }

    pub fn find(&self, set: &Arc<NextHopSet>) -> Option<u32> {
        self.by_set.get(set).copied()
    }

    /// Sets in use.
    pub fn sets(&self) -> impl Iterator<Item = (u32, &Arc<NextHopSet>)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(i, s)| Some((i as u32, s.as_ref()?.set.as_ref()?)))
    }

    /// A slot for a new set that resolves so. A group of before the restart
    /// that holds the same is taken, best the one that the route already
    /// names (`have`).
    pub fn add(&mut self, set: &Arc<NextHopSet>, resolved: Vec<(Hop, u16)>, have: Target) -> u32 {
        let source = set.options.source;
        let claimable = |s: &Slot| {
            s.set.is_none() && !s.members.is_empty() && s.resolved == resolved && s.source == source
        };
        let slot = have
            .as_slot()
            .filter(|slot| self.slot(*slot).is_some_and(claimable))
            .or_else(|| {
                self.slots
                    .iter()
                    .position(|s| s.as_ref().is_some_and(claimable))
                    .map(|i| i as u32)
            });
        let slot = match slot {
            Some(slot) => slot,
            None => self.free_slot(),
        };
        self.by_set.insert(Arc::clone(set), slot);
        let entry = self.slots[slot as usize].get_or_insert_default();
        entry.set = Some(Arc::clone(set));
        entry.source = source;
        entry.resolved = resolved;
        self.mark_dirty(slot);
        self.unused.push(slot);
        slot
    }

    fn free_slot(&mut self) -> u32 {
        let free =
            |i: &usize| self.slots[*i].is_none() && !self.taken.contains(&(GROUP_BASE + *i as u32));
        if let Some(i) = (0..self.slots.len()).find(free) {
            return i as u32;
        }
        while self.taken.contains(&(GROUP_BASE + self.slots.len() as u32)) {
            self.slots.push(None);
        }
        self.slots.push(None);
        self.slots.len() as u32 - 1
    }

    /// Counts a route that points here, or no longer does.
    pub fn moved(&mut self, from: Target, to: Target) {
        if from == to {
            return;
        }
        if let Some(slot) = to.as_slot().and_then(|slot| self.slot_mut(slot)) {
            slot.users += 1;
        }
        if let Some(number) = from.as_slot()
            && let Some(slot) = self.slot_mut(number)
        {
            slot.users = slot.users.saturating_sub(1);
            if slot.users == 0 {
                self.unused.push(number);
            }
        }
    }

    /// Where the set resolves to has changed.
    pub fn set_resolved(&mut self, slot: u32, resolved: Vec<(Hop, u16)>) {
        if let Some(entry) = self.slot_mut(slot)
            && entry.resolved != resolved
        {
            entry.resolved = resolved;
            self.mark_dirty(slot);
        }
    }

    fn mark_dirty(&mut self, slot: u32) {
        if let Some(entry) = self.slot_mut(slot)
            && !entry.listed
        {
            entry.listed = true;
            self.dirty.push(slot);
        }
    }

    /// Try again what the kernel refused.
    pub fn retry_refused(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            if self.error(slot).is_some() {
                self.mark_dirty(slot);
            }
        }
    }

    pub fn any_error(&self) -> bool {
        self.slots.iter().flatten().any(|s| s.error.is_some())
    }

    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    fn release_single(&mut self, id: u32) {
        if let Some(Some(single)) = self.singles.get_mut(id.wrapping_sub(HOP_BASE) as usize) {
            single.groups = single.groups.saturating_sub(1);
        }
    }

    /// Drops what is in no group and not in the kernel.
    fn forget_singles(&mut self) {
        for index in 0..self.singles.len() {
            if let Some(single) = &self.singles[index]
                && single.groups == 0
                && !single.in_kernel
            {
                self.by_hop.remove(&single.hop);
                self.singles[index] = None;
            }
        }
    }

    fn single(&mut self, hop: Hop) -> u32 {
        if let Some(index) = self.by_hop.get(&hop) {
            return *index;
        }
        let free =
            |i: &usize| self.singles[*i].is_none() && !self.taken.contains(&(HOP_BASE + *i as u32));
        let index = match (0..self.singles.len()).find(free) {
            Some(index) => index,
            None => {
                while self.taken.contains(&(HOP_BASE + self.singles.len() as u32)) {
                    self.singles.push(None);
                }
                self.singles.push(None);
                self.singles.len() - 1
            }
        };
        self.singles[index] = Some(Single {
            hop,
            in_kernel: false,
            groups: 0,
        });
        self.by_hop.insert(hop, index as u32);
        index as u32
    }

    pub fn has_unused(&self) -> bool {
        !self.unused.is_empty()
    }

    /// Which target a kernel route with this object and source has.
    pub fn target_of(&self, object: u32, source: Option<IpAddr>) -> Target {
        match object.checked_sub(GROUP_BASE) {
            Some(slot) if self.is_ready(slot) && self.source(slot) == source => Target::slot(slot),
            _ => Target::OTHER,
        }
    }

    /// The source that routes over the slot have.
    pub fn source(&self, slot: u32) -> Option<IpAddr> {
        self.slot(slot)?.source
    }

    /// A route of before the restart is over this object and has this source:
    /// the first one of a group speaks for all.
    pub fn adopt_source(&mut self, object: u32, source: Option<IpAddr>) {
        if let Some(number) = object.checked_sub(GROUP_BASE)
            && let Some(slot) = self.slot_mut(number)
            && slot.set.is_none()
            && slot.users == 0
        {
            slot.source = source;
        }
    }
}

/// The kernel keeps the order in which members were given, we do not.
fn same_members(a: &[GroupMember], b: &[GroupMember]) -> bool {
    let sorted = |m: &[GroupMember]| {
        let mut m = m.to_vec();
        m.sort_unstable();
        m
    };
    sorted(a) == sorted(b)
}
