//! Learning what became of our nexthop objects: after a restart, when a link
//! took them along, when somebody touched them.

use godwit_netlink::{GroupMember, NextHopObject, NextHopTarget};

use crate::groups::{GROUP_BASE, Groups, HOP_BASE, Moved, RANGE_END, Single, Slot, same_members};
use crate::kernel::{Hop, Op};

impl Groups {
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
}

fn is_hop(object: &NextHopObject, hop: &Hop) -> bool {
    object.target
        == NextHopTarget::Hop {
            via: Some(hop.via),
            interface: hop.interface,
            on_link: hop.on_link,
        }
}
