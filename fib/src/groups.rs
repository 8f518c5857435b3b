//! Next-hop sets and the nexthop objects that stand for them: a group for each
//! set, never a single object, because a group cannot be replaced by one; its
//! members are single objects that sets share. Routes name a slot here, and a
//! slot's number is its group's id.

use std::collections::HashMap;
use std::sync::Arc;

use godwit_bgp::NextHop;
use godwit_netlink::{Failure, GroupMember, NextHopObject, NextHopTarget};

use crate::kernel::{Hop, Op};
use crate::table::Target;

/// Ids of our single objects begin here, those of groups at [`GROUP_BASE`].
pub(crate) const HOP_BASE: u32 = 0x4700_0000;
pub(crate) const GROUP_BASE: u32 = 0x4780_0000;
const RANGE_END: u32 = 0x4800_0000;

/// A next-hop set, or a group of before the restart that no set has claimed.
#[derive(Debug, Default)]
struct Slot {
    /// None: adopted.
    set: Option<Arc<[NextHop]>>,
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
    by_set: HashMap<Arc<[NextHop]>, u32>,
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
    pub fn set_of(&self, slot: u32) -> Option<&Arc<[NextHop]>> {
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

    pub fn find(&self, set: &Arc<[NextHop]>) -> Option<u32> {
        self.by_set.get(set).copied()
    }

    /// Sets in use.
    pub fn sets(&self) -> impl Iterator<Item = (u32, &Arc<[NextHop]>)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(i, s)| Some((i as u32, s.as_ref()?.set.as_ref()?)))
    }

    /// A slot for a new set that resolves so. A group of before the restart
    /// that holds the same is taken, best the one that the route already
    /// names (`have`).
    pub fn add(&mut self, set: &Arc<[NextHop]>, resolved: Vec<(Hop, u16)>, have: Target) -> u32 {
        let claimable =
            |s: &Slot| s.set.is_none() && !s.members.is_empty() && s.resolved == resolved;
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

    /// A link lost its carrier: the kernel has removed our objects there, taken
    /// them out of groups, and dropped groups without members with their
    /// routes. Returns those groups.
    pub fn link_lost(&mut self, interface: u32) -> Vec<u32> {
        let gone: Vec<u32> = (0..self.singles.len() as u32)
            .filter(|i| {
                self.singles[*i as usize]
                    .as_ref()
                    .is_some_and(|s| s.hop.interface == interface)
            })
            .collect();
        for index in &gone {
            if let Some(single) = &mut self.singles[*index as usize] {
                single.in_kernel = false;
            }
        }
        let is_gone = |m: &GroupMember| gone.contains(&m.id.wrapping_sub(HOP_BASE));
        let mut lost = Vec::new();
        for slot in 0..self.slots.len() as u32 {
            let Some(entry) = self.slot_mut(slot) else {
                continue;
            };
            if !entry.members.iter().any(is_gone) {
                continue;
            }
            let (left, old): (Vec<_>, Vec<_>) = entry.members.iter().partition(|m| !is_gone(m));
            entry.members = left;
            if entry.members.is_empty() {
                lost.push(slot);
            }
            if entry.set.is_none() {
                // Adopted: what is left of it is what it is.
                entry.resolved.retain(|(hop, _)| hop.interface != interface);
            }
            self.mark_dirty(slot);
            for member in old {
                self.release_single(member.id);
            }
        }
        self.forget_singles();
        lost
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

    /// Brings the kernel's groups in line; `apply` carries writes out and
    /// answers which were refused.
    pub fn sync<E>(
        &mut self,
        mut apply: impl FnMut(&[Op]) -> Result<Vec<Failure>, E>,
    ) -> Result<Moved, E> {
        let mut moved = Moved::default();
        let dirty = std::mem::take(&mut self.dirty);
        for slot in &dirty {
            if let Some(entry) = self.slot_mut(*slot) {
                entry.listed = false;
                entry.error = None;
            }
        }
        let result = self
            .set_singles(&dirty, &mut apply)
            .and_then(|()| self.set_groups(&dirty, &mut moved, &mut apply));
        if let Err(error) = result {
            // Nothing is known: all of it once more, later.
            for slot in dirty {
                self.mark_dirty(slot);
            }
            return Err(error);
        }
        self.remove_singles(&mut apply)?;
        Ok(moved)
    }

    fn set_singles<E>(
        &mut self,
        dirty: &[u32],
        apply: &mut impl FnMut(&[Op]) -> Result<Vec<Failure>, E>,
    ) -> Result<(), E> {
        let hops: Vec<Hop> = dirty
            .iter()
            .flat_map(|s| self.resolved(*s))
            .map(|(hop, _)| *hop)
            .collect();
        let mut missing: Vec<u32> = hops.into_iter().map(|hop| self.single(hop)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing.retain(|i| {
            self.singles[*i as usize]
                .as_ref()
                .is_some_and(|s| !s.in_kernel)
        });
        let ops: Vec<Op> = missing
            .iter()
            .filter_map(|i| {
                let hop = self.singles[*i as usize].as_ref()?.hop;
                Some(Op::SetHop {
                    id: HOP_BASE + i,
                    hop,
                })
            })
            .collect();
        let failures = apply(&ops)?;
        for (index, single) in missing.iter().enumerate() {
            let failure = failures.iter().find(|f| f.index == index);
            if let Some(single) = &mut self.singles[*single as usize] {
                single.in_kernel = failure.is_none();
            }
            let Some(failure) = failure else { continue };
            let hop = self.singles[*single as usize].as_ref().map(|s| s.hop);
            for slot in dirty {
                if let Some(entry) = self.slot_mut(*slot)
                    && entry.resolved.iter().any(|(h, _)| Some(*h) == hop)
                {
                    entry.error = Some(failure.clone());
                }
            }
        }
        Ok(())
    }

    fn set_groups<E>(
        &mut self,
        dirty: &[u32],
        moved: &mut Moved,
        apply: &mut impl FnMut(&[Op]) -> Result<Vec<Failure>, E>,
    ) -> Result<(), E> {
        let mut ops = Vec::new();
        let mut changed: Vec<(u32, Vec<GroupMember>)> = Vec::new();
        for slot in dirty {
            let Some(entry) = self.slot(*slot) else {
                continue;
            };
            // Without the hops that the kernel refused: better a few than none.
            let members = self.members(&entry.resolved);
            if same_members(&members, &entry.members) {
                continue;
            }
            let id = GROUP_BASE + slot;
            if members.is_empty() {
                ops.push(Op::DeleteNextHop { id });
            } else {
                ops.push(Op::SetGroup {
                    id,
                    members: members.clone(),
                });
            }
            changed.push((*slot, members));
        }
        let failures = apply(&ops)?;
        for (index, (slot, members)) in changed.into_iter().enumerate() {
            let Some(entry) = self.slot_mut(slot) else {
                continue;
            };
            let failure = failures.iter().find(|f| f.index == index);
            match failure {
                Some(failure) if !members.is_empty() => {
                    entry.error = Some(failure.clone());
                    continue;
                }
                // Cannot be removed: it was not there.
                _ => {}
            }
            if members.is_empty() {
                moved.lost.push(slot);
            } else if std::mem::take(&mut entry.awaited) {
                moved.retry.push(slot);
            }
            let old = std::mem::replace(&mut entry.members, members.clone());
            for member in members {
                if let Some(Some(single)) = self
                    .singles
                    .get_mut(member.id.wrapping_sub(HOP_BASE) as usize)
                {
                    single.groups += 1;
                }
            }
            for member in old {
                self.release_single(member.id);
            }
        }
        Ok(())
    }

    fn members(&self, resolved: &[(Hop, u16)]) -> Vec<GroupMember> {
        resolved
            .iter()
            .filter_map(|(hop, weight)| {
                let index = *self.by_hop.get(hop)?;
                let single = self.singles[index as usize].as_ref()?;
                single.in_kernel.then_some(GroupMember {
                    id: HOP_BASE + index,
                    weight: *weight,
                })
            })
            .collect()
    }

    fn remove_singles<E>(
        &mut self,
        apply: &mut impl FnMut(&[Op]) -> Result<Vec<Failure>, E>,
    ) -> Result<(), E> {
        let unused = |s: &Single| s.groups == 0 && s.in_kernel;
        let ids: Vec<u32> = (0..self.singles.len() as u32)
            .filter(|i| self.singles[*i as usize].as_ref().is_some_and(unused))
            .collect();
        let ops: Vec<Op> = ids
            .iter()
            .map(|i| Op::DeleteNextHop { id: HOP_BASE + i })
            .collect();
        // Refused: was not there.
        apply(&ops)?;
        for index in ids {
            if let Some(single) = &mut self.singles[index as usize] {
                single.in_kernel = false;
            }
        }
        self.forget_singles();
        Ok(())
    }

    pub fn has_unused(&self) -> bool {
        !self.unused.is_empty()
    }

    /// Removes groups that no route wants or names.
    pub fn reap<E>(
        &mut self,
        mut apply: impl FnMut(&[Op]) -> Result<Vec<Failure>, E>,
    ) -> Result<(), E> {
        let mut unused = std::mem::take(&mut self.unused);
        unused.sort_unstable();
        unused.dedup();
        unused.retain(|slot| self.slot(*slot).is_some_and(|s| s.users == 0));
        let ops: Vec<Op> = unused
            .iter()
            .filter(|slot| self.is_ready(**slot))
            .map(|slot| Op::DeleteNextHop {
                id: GROUP_BASE + slot,
            })
            .collect();
        // Refused: was not there.
        apply(&ops)?;
        for slot in unused {
            let Some(entry) = self.slots[slot as usize].take() else {
                continue;
            };
            self.dirty.retain(|d| *d != slot);
            if let Some(set) = entry.set {
                self.by_set.remove(&set);
            }
            for member in entry.members {
                self.release_single(member.id);
            }
        }
        self.remove_singles(&mut apply)
    }

    /// Compares with the kernel's objects and believes those: after a start,
    /// and when something may have changed them. Objects of ours that stand
    /// for nothing are returned for removal; groups that are gone with their
    /// routes are in `Moved::lost`.
    pub fn reconcile(
        &mut self,
        objects: &[NextHopObject],
        protocol: u8,
        adopt: bool,
    ) -> (Moved, Vec<Op>) {
        let mut strays = Vec::new();
        let ours = |o: &&NextHopObject| (HOP_BASE..RANGE_END).contains(&o.id);
        self.taken = objects
            .iter()
            .filter(ours)
            .filter(|o| o.protocol != protocol)
            .map(|o| o.id)
            .collect();
        let objects: Vec<&NextHopObject> = objects
            .iter()
            .filter(ours)
            .filter(|o| o.protocol == protocol)
            .collect();
        if adopt {
            self.adopt_singles(&objects);
        }
        for (index, single) in self.singles.iter_mut().enumerate() {
            if let Some(single) = single {
                let id = HOP_BASE + index as u32;
                single.in_kernel = objects.iter().any(|o| o.id == id && is_hop(o, &single.hop));
            }
        }
        let mut moved = Moved::default();
        if adopt {
            self.adopt_groups(&objects);
        }
        for slot in 0..self.slots.len() as u32 {
            let Some(entry) = self.slot(slot) else {
                continue;
            };
            let found = objects.iter().find(|o| o.id == GROUP_BASE + slot);
            let members = match found.map(|o| &o.target) {
                Some(NextHopTarget::Group(members)) => members.clone(),
                _ => Vec::new(),
            };
            if same_members(&members, &entry.members) {
                continue;
            }
            if members.is_empty() {
                moved.lost.push(slot);
            }
            let old = self
                .slot_mut(slot)
                .map(|e| std::mem::replace(&mut e.members, members.clone()));
            for member in &members {
                if let Some(Some(single)) = self
                    .singles
                    .get_mut(member.id.wrapping_sub(HOP_BASE) as usize)
                {
                    single.groups += 1;
                }
            }
            for member in old.unwrap_or_default() {
                self.release_single(member.id);
            }
            self.mark_dirty(slot);
        }
        for object in objects {
            let known = match object.id.checked_sub(GROUP_BASE) {
                Some(slot) => self.slot(slot).is_some(),
                None => matches!(
                    self.singles.get((object.id - HOP_BASE) as usize),
                    Some(Some(_))
                ),
            };
            if !known {
                strays.push(Op::DeleteNextHop { id: object.id });
            }
        }
        (moved, strays)
    }

    fn adopt_singles(&mut self, objects: &[&NextHopObject]) {
        for object in objects.iter().filter(|o| o.id < GROUP_BASE) {
            let index = (object.id - HOP_BASE) as usize;
            let NextHopTarget::Hop {
                via: Some(via),
                interface,
                on_link,
            } = object.target
            else {
                continue;
            };
            let hop = Hop {
                via,
                interface,
                on_link,
            };
            // A far-off number would cost memory; such an object is a stray.
            if index > objects.len() * 16 + 1024 || self.by_hop.contains_key(&hop) {
                continue;
            }
            if self.singles.len() <= index {
                self.singles.resize_with(index + 1, || None);
            }
            self.singles[index] = Some(Single {
                hop,
                in_kernel: true,
                groups: 0,
            });
            self.by_hop.insert(hop, index as u32);
        }
    }

    fn adopt_groups(&mut self, objects: &[&NextHopObject]) {
        for object in objects.iter().filter(|o| o.id >= GROUP_BASE) {
            let slot = (object.id - GROUP_BASE) as usize;
            let NextHopTarget::Group(members) = &object.target else {
                continue;
            };
            let resolved: Option<Vec<(Hop, u16)>> = members
                .iter()
                .map(|m| {
                    let single = self
                        .singles
                        .get(m.id.wrapping_sub(HOP_BASE) as usize)?
                        .as_ref()?;
                    Some((single.hop, m.weight))
                })
                .collect();
            let Some(mut resolved) = resolved else {
                continue;
            };
            if slot > objects.len() * 16 + 1024 {
                continue;
            }
            resolved.sort_unstable();
            if self.slots.len() <= slot {
                self.slots.resize_with(slot + 1, || None);
            }
            for member in members {
                if let Some(Some(single)) = self
                    .singles
                    .get_mut(member.id.wrapping_sub(HOP_BASE) as usize)
                {
                    single.groups += 1;
                }
            }
            let entry = Slot {
                resolved,
                members: members.clone(),
                ..Slot::default()
            };
            self.slots[slot] = Some(entry);
            self.unused.push(slot as u32);
        }
    }

    /// Which target a kernel route with this object has.
    pub fn target_of(&self, object: u32) -> Target {
        match object.checked_sub(GROUP_BASE) {
            Some(slot) if self.is_ready(slot) => Target::slot(slot),
            _ => Target::OTHER,
        }
    }
}

fn is_hop(object: &NextHopObject, hop: &Hop) -> bool {
    object.target
        == NextHopTarget::Hop {
            via: Some(hop.via),
            interface: hop.interface,
            on_link: hop.on_link,
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
