//! Where a member of a group stands.

use std::collections::BTreeSet;

use smallvec::SmallVec;

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
    /// Where to go on: destinations that change all the time must not come
    /// before all others each time.
    from: [u32; 2],
}

impl Debts {
    pub fn changed(&mut self, mark: Mark) {
        self.changed[mark.family().index()].set(mark.dest());
    }

    /// It may hold this path, which is advertised to it no more.
    pub fn gone(&mut self, mark: Mark, path: u32) {
        self.changed(mark);
        self.gone[mark.family().index()].insert((mark.dest(), path));
    }

    /// It may hold these paths, of destinations that are marked as changed.
    /// Quickest in order.
    pub fn all_gone(&mut self, family: usize, paths: impl Iterator<Item = (u32, u32)>) {
        self.gone[family].append(&mut paths.collect());
    }

    pub fn is_empty(&self) -> bool {
        [0, 1].into_iter().all(|f| self.is_settled(f))
    }

    /// Nothing is owed of this family.
    pub fn is_settled(&self, family: usize) -> bool {
        self.changed[family].is_empty() && self.resend[family].is_empty()
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
        self.from[family] = dest + 1;
    }

    /// What was said to be gone of a destination, and is said no more.
    pub fn take_gone(&mut self, family: usize, dest: u32) -> SmallVec<[u32; 8]> {
        let gone = &mut self.gone[family];
        let paths: SmallVec<[u32; 8]> = gone
            .range((dest, 0)..=(dest, u32::MAX))
            .map(|(_, path)| *path)
            .collect();
        for path in &paths {
            gone.remove(&(dest, *path));
        }
        paths
    }
}
