//! Bringing the kernel's nexthop objects in line with the sets: single
//! objects first, then groups, then away with what no group holds.

use godwit_netlink::{Failure, GroupMember};

use crate::groups::{GROUP_BASE, Groups, HOP_BASE, Moved, Single, same_members};
use crate::kernel::{Hop, Op};

impl Groups {
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

    pub(super) fn set_singles<E>(
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

    pub(super) fn set_groups<E>(
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

    pub(super) fn members(&self, resolved: &[(Hop, u16)]) -> Vec<GroupMember> {
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

    pub(super) fn remove_singles<E>(
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
}
