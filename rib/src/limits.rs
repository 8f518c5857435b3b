//! Limits on how many prefixes a peer may announce, or be sent; each path of
//! one counts where there are several (RFC 7911).
//!
//! What is over the limit is kept out, and of that no more than [`KEPT`] paths
//! are remembered, so that a peer which announces millions costs no more than
//! one that keeps to its limit. What was there before stays, and may change.

use godwit_bgp::Family;

use crate::api::{Counted, LimitNews, PeerId, PrefixLimit, RibEvent};
use crate::core::Core;
use crate::path::Verdict;

/// Paths over the limit that are kept, to be shown and to be taken in at once
/// when there is room again.
const KEPT: u64 = 1024;

/// Where a peer stands with one limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// It was told that the limit is near.
    warned: bool,
    /// It was told that the limit is passed, or will be.
    pub exceeded: bool,
    /// It will be, unless there is room when all of its paths are judged.
    untold: bool,
    /// Announcements since then that were turned away and not kept.
    pub dropped: u64,
}

/// What becomes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Yes,
    /// It is kept out.
    Over,
    /// It is not even kept.
    Full,
}

impl Standing {
    /// What is to be told, now that there are `n`.
    fn step(&mut self, limit: &PrefixLimit, n: u64) -> Option<(bool, u64)> {
        let max = u64::from(limit.max);
        let exceeded = n > max || (limit.enforced && self.exceeded);
        if exceeded {
            self.warned = true;
            return (!std::mem::replace(&mut self.exceeded, true)).then_some((true, n));
        }
        let near = u64::from(limit.warn_from);
        if n >= near {
            return (!std::mem::replace(&mut self.warned, true)).then_some((false, n));
        }
        // Not again for each prefix that comes and goes.
        if n < near - near / 10 {
            *self = Standing::default();
        }
        None
    }
}

impl Core {
    fn counted(&self, id: PeerId, family: Family, by: Counted) -> u64 {
        let (counts, f) = (&self.peers.counts[usize::from(id.0)], family.index());
        match by {
            Counted::Received => counts.received[f] - counts.over_limit[f],
            Counted::Accepted => counts.accepted[f],
        }
    }

    /// The limit on what comes from the peer, where it keeps anything out.
    pub fn enforced_limit(&self, id: PeerId, family: Family) -> Option<PrefixLimit> {
        let limit = self.peers.at(id)?.spec.limit_in[family.index()]?;
        limit.enforced.then_some(limit)
    }

    /// What is accepted says nothing of the limit before all paths are judged by
    /// an import that changed: a tighter one must not end the session for what it
    /// is about to reject.
    fn is_unsure(&self, id: PeerId, limit: &PrefixLimit) -> bool {
        limit.count == Counted::Accepted && self.peers.at(id).is_some_and(|peer| peer.unjudged)
    }

    /// Whether there is room for a path that import gave this verdict; `before`
    /// tells the one that is has, if the path is there already.
    pub fn room(
        &mut self,
        id: PeerId,
        family: Family,
        limit: &PrefixLimit,
        verdict: Verdict,
        before: impl FnOnce(&Core) -> Option<Verdict>,
    ) -> Room {
        if self.counted(id, family, limit.count) < u64::from(limit.max) {
            return Room::Yes;
        }
        let counts = |verdict| match limit.count {
            Counted::Received => verdict != Verdict::OverLimit,
            Counted::Accepted => verdict == Verdict::Accepted,
        };
        let before = before(self);
        if !counts(verdict) || before.is_some_and(counts) {
            return Room::Yes;
        }
        let f = family.index();
        let full = before.is_none() && self.peers.counts(id).over_limit[f] >= KEPT;
        let unsure = self.is_unsure(id, limit);
        if let Some(peer) = self.peers.at_mut(id) {
            let standing = &mut peer.standing_in[f];
            standing.dropped += u64::from(full);
            let first = !std::mem::replace(&mut standing.exceeded, true);
            standing.untold |= first && unsure;
            if first && !unsure {
                let n = u64::from(limit.max) + 1;
                let news = LimitNews::InExceeded(family, n);
                self.events.push_back(RibEvent::Limit(id, news));
            }
        }
        if full { Room::Full } else { Room::Over }
    }

    /// Tells of the limit on what comes from the peer, where there is news.
    pub fn check_limit(&mut self, id: PeerId, family: Family) {
        let f = family.index();
        let Some(limit) = self.peers.up(id).and_then(|peer| peer.spec.limit_in[f]) else {
            return;
        };
        let n = self.counted(id, family, limit.count);
        if !self.is_unsure(id, &limit)
            && let Some(peer) = self.peers.at_mut(id)
            && let Some((exceeded, n)) = peer.standing_in[f].step(&limit, n)
        {
            let news = match exceeded {
                true => LimitNews::InExceeded(family, n),
                false => LimitNews::InNear(family, n),
            };
            self.events.push_back(RibEvent::Limit(id, news));
        }
    }

    /// Prefixes of the peer went, or its limit was raised. True: what was kept
    /// out is to be looked at again. `any`: also for little room; else there has
    /// to be as much as when the peer was warned, or a peer at its limit would
    /// be asked for its routes again and again.
    pub fn relieve(&mut self, id: PeerId, family: Family, any: bool) -> bool {
        let f = family.index();
        let Some(peer) = self.peers.up(id) else {
            return false;
        };
        let standing = &peer.standing_in[f];
        if !standing.exceeded {
            return false;
        }
        let kept = self.peers.counts[usize::from(id.0)].over_limit[f];
        let kept_out = standing.dropped > 0 || kept > 0;
        let room = match peer.spec.limit_in[f] {
            None => true,
            Some(limit) if !limit.enforced && kept_out => true,
            Some(limit) if self.is_unsure(id, &limit) => false,
            Some(limit) => {
                let n = self.counted(id, family, limit.count);
                n < u64::from(limit.max) && (any || n <= u64::from(limit.warn_from))
            }
        };
        if room && let Some(peer) = self.peers.at_mut(id) {
            let was = std::mem::take(&mut peer.standing_in[f]);
            let news = LimitNews::InRelieved {
                family,
                dropped: was.dropped,
            };
            self.events.push_back(RibEvent::Limit(id, news));
        }
        room
    }

    /// All paths of the peer are judged by the import that it has. True: what was
    /// kept out is to be looked at again.
    pub fn judged(&mut self, id: PeerId, family: Family) -> bool {
        let Some(peer) = self.peers.at_mut(id) else {
            return false;
        };
        let f = family.index();
        let untold = std::mem::take(&mut peer.standing_in[f].untold);
        let limit = peer.spec.limit_in[f];
        if self.relieve(id, family, true) {
            return true;
        }
        if let Some(limit) = limit.filter(|_| untold) {
            let news = LimitNews::InExceeded(family, u64::from(limit.max) + 1);
            self.events.push_back(RibEvent::Limit(id, news));
        }
        self.check_limit(id, family);
        false
    }

    /// Whether the peer may be sent what it is due, `n` prefixes of each family:
    /// as far as that is known, where it is not `settled`.
    pub fn may_be_sent(&mut self, id: PeerId, n: [u64; 2], settled: bool) -> bool {
        let Some(peer) = self.peers.at_mut(id) else {
            return true;
        };
        let mut may = true;
        for family in Family::ALL {
            let f = family.index();
            let Some(limit) = peer.spec.limit_out[f] else {
                continue;
            };
            may &= !limit.enforced || n[f] <= u64::from(limit.max);
            if settled && let Some((exceeded, n)) = peer.standing_out[f].step(&limit, n[f]) {
                let news = match exceeded {
                    true => LimitNews::OutExceeded(family, n),
                    false => LimitNews::OutNear(family, n),
                };
                self.events.push_back(RibEvent::Limit(id, news));
            }
        }
        may
    }
}
