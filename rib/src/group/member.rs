//! Where a member of a group stands.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::runs::Run;
use crate::bitmap::Bitmap;
use crate::ring::Mark;

/// A member's place.
#[derive(Debug, Default)]
pub struct Member {
    /// Which group; `None` before it joined and after it left.
    pub group: Option<u32>,
    pub place: Place,
    /// Families whose End-of-RIB it has not been sent (RFC 4724 §2).
    pub owes_end_of_rib: [bool; 2],
    /// Refreshes of ours that it takes with marks (RFC 7313), by family.
    pub refresh: [Refresh; 2],
    /// It was told that there are frames, and has not polled them all.
    pub told: bool,
}

/// A refresh of one family for one member.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refresh {
    /// It waits for one that has not begun.
    pub asked: bool,
    /// It was sent the beginning mark and not the end.
    pub begun: bool,
}

impl Member {
    /// A refresh is under way or wanted: nobody else gets its frames.
    pub fn is_refreshing(&self) -> bool {
        self.refresh.iter().any(|r| r.asked || r.begun)
    }
}

/// How it gets its frames.
#[derive(Debug)]
pub enum Place {
    /// Reads the group's runs from this position on.
    Attached(u64),
    /// Has its own frames made of the group's output.
    Detached(Box<Debts>),
}

impl Default for Place {
    fn default() -> Self {
        Place::Detached(Box::default())
    }
}

/// What a detached member does not have yet.
#[derive(Debug, Default)]
pub struct Debts {
    /// May hold something else than it should: announce or withdraw.
    pub changed: [Bitmap; 2],
    /// Announce once more, if there is something.
    pub resend: [Bitmap; 2],
    /// Of `changed`, by destination and slot: paths that it may hold under their
    /// identifiers, and is to hold no more unless they are advertised again.
    gone: [BTreeSet<(u32, u32)>; 2],
    /// Paths likewise that are advertised to it and that it cannot hold: they
    /// came when it was detached, and it was not sent them. So `gone` grows no
    /// further than what it once was sent, however often paths come and go.
    fresh: [BTreeSet<(u32, u32)>; 2],
    /// Of `changed`: it may hold also what groups advertise that it was in.
    former: [Bitmap; 2],
    /// Those groups.
    names: SmallVec<[u64; 1]>,
    /// What was owed when the End-of-RIB was to be sent, and still is. What
    /// changes later comes after that: a peer that reads slower than routes
    /// change would never get it.
    first: [Option<Bitmap>; 2],
    /// Where to go on: destinations that change all the time must not come
    /// before all others each time.
    from: [u32; 2],
    /// It is being let go: there may be more.
    incomplete: bool,
}

impl Debts {
    /// Of a member that is being let go.
    pub fn incomplete() -> Debts {
        Debts {
            incomplete: true,
            ..Debts::default()
        }
    }

    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// It owes also this, and is let go with that.
    pub fn complete(&mut self, other: &Debts) {
        for f in [0, 1] {
            self.changed[f].union(&other.changed[f]);
            for place in &other.gone[f] {
                self.may_hold_path(f, *place);
            }
        }
        self.incomplete = false;
    }

    /// It has not read this run and will not.
    pub fn unread(&mut self, run: &Run) {
        run.marks.iter().for_each(|mark| self.changed(*mark));
        let gone = run.gone.iter();
        gone.for_each(|path| self.gone(path.mark, path.path));
    }

    pub fn changed(&mut self, mark: Mark) {
        self.changed[mark.family().index()].set(mark.dest());
    }

    /// This path is advertised to it, and was not before.
    pub fn come(&mut self, mark: Mark, path: u32) {
        let f = mark.family().index();
        let place = (mark.dest(), path);
        if !self.gone[f].contains(&place) && !self.may_hold_former(mark) {
            self.fresh[f].insert(place);
        }
        self.changed(mark);
    }

    /// It may hold this path, which is advertised to it no more.
    pub fn gone(&mut self, mark: Mark, path: u32) {
        self.changed(mark);
        self.may_hold_path(mark.family().index(), (mark.dest(), path));
    }

    fn may_hold_path(&mut self, family: usize, place: (u32, u32)) {
        if !self.fresh[family].remove(&place) {
            self.gone[family].insert(place);
        }
    }

    /// It may hold what a group that it was in advertises of these destinations,
    /// which are marked as changed.
    pub fn may_hold(&mut self, family: usize, dests: &Bitmap) {
        self.former[family].union(dests);
    }

    pub fn may_hold_former(&self, mark: Mark) -> bool {
        self.former[mark.family().index()].get(mark.dest())
    }

    /// It was in the group of this number.
    pub fn name(&mut self, group: u64) {
        if !self.names(group) {
            self.names.push(group);
        }
    }

    pub fn names(&self, group: u64) -> bool {
        self.names.contains(&group)
    }

    /// The groups that it was in, as far as that matters still.
    pub fn named(&mut self) -> SmallVec<[u64; 1]> {
        if self.former.iter().all(Bitmap::is_empty) {
            self.names.clear();
        }
        self.names.clone()
    }

    /// Whether it may hold what groups advertise that it was in; asked once.
    pub fn take_former(&mut self, family: usize, dest: u32) -> bool {
        let former = self.former[family].get(dest);
        self.former[family].clear(dest);
        former
    }

    /// What it is to be sent first is other than before.
    pub fn forget_first(&mut self) {
        self.first = [None, None];
    }

    /// Whether all is sent of this family that was owed when this was asked
    /// for the first time.
    pub fn first_is_sent(&mut self, family: usize) -> bool {
        let (changed, resend) = (&self.changed[family], &self.resend[family]);
        let first = self.first[family].get_or_insert_with(|| {
            let mut first = changed.clone();
            first.union(resend);
            first
        });
        let sent = first.is_empty();
        if sent {
            self.first[family] = None;
        }
        sent
    }

    pub fn is_empty(&self) -> bool {
        let mut owed = self.changed.iter().chain(&self.resend);
        !self.incomplete && owed.all(Bitmap::is_empty)
    }

    /// The destination of this family that is owed and has its turn, of those
    /// that may be settled now, and whether it may have to be withdrawn.
    pub fn next(&self, family: usize, now: impl Fn(u32) -> bool) -> Option<(u32, bool)> {
        let after = |from| self.after(family, from).filter(|(dest, _)| now(*dest));
        match self.from[family] {
            0 => after(0),
            from => after(from).or_else(|| after(0)),
        }
    }

    fn after(&self, family: usize, from: u32) -> Option<(u32, bool)> {
        let changed = self.changed[family].next(from);
        let resend = self.resend[family].next(from);
        match (changed, resend) {
            (Some(c), Some(r)) if r < c => Some((r, false)),
            (Some(c), _) => Some((c, true)),
            (None, Some(r)) => Some((r, false)),
            (None, None) => None,
        }
    }

    pub fn settle(&mut self, family: usize, dest: u32) {
        self.changed[family].clear(dest);
        self.resend[family].clear(dest);
        if let Some(first) = &mut self.first[family] {
            first.clear(dest);
        }
        self.from[family] = dest + 1;
    }

    /// What was said to be gone of a destination, and is said no more. It is sent
    /// now what is advertised there.
    pub fn take_gone(&mut self, family: usize, dest: u32) -> SmallVec<[u32; 8]> {
        take(&mut self.fresh[family], dest);
        take(&mut self.gone[family], dest)
    }
}

/// The paths of a destination, which are no longer in the set.
fn take(set: &mut BTreeSet<(u32, u32)>, dest: u32) -> SmallVec<[u32; 8]> {
    let of_dest = set.range((dest, 0)..=(dest, u32::MAX));
    let paths: SmallVec<[u32; 8]> = of_dest.map(|(_, path)| *path).collect();
    for path in &paths {
        set.remove(&(dest, *path));
    }
    paths
}

#[cfg(test)]
mod tests {
    use godwit_bgp::Family;

    use super::*;

    #[test]
    fn paths_that_come_and_go_unsent_leave_nothing() {
        let mut debts = Debts::default();
        let mark = |dest| Mark::new(Family::Ipv4Unicast, dest);
        // It was sent this one, under whose slot another comes later.
        debts.gone(mark(3), 7);
        for slot in 0..1000 {
            for dest in 0..10 {
                debts.come(mark(dest), slot);
            }
            for dest in 0..10 {
                debts.gone(mark(dest), slot);
            }
        }
        assert_eq!((debts.gone[0].len(), debts.fresh[0].len()), (1, 0));
        // What it is sent, it may hold from then on.
        debts.come(mark(1), 5);
        assert!(debts.take_gone(0, 1).is_empty());
        debts.gone(mark(1), 5);
        assert_eq!(debts.take_gone(0, 1)[..], [5]);
        assert_eq!(debts.take_gone(0, 3)[..], [7]);
    }
}
