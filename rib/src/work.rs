//! What follows from updates, done a bounded amount at a time.

use godwit_bgp::Family;
use ipnet::IpNet;

use crate::aggregate;
use crate::api::{LocalRoute, PeerId, RibEvent};
use crate::core::{Core, Grave, Quiet};
use crate::dest::{DIRTY, GRAVE, LIVE, QUIET, TOUCHED};
use crate::local::AGGREGATED;
use crate::presence::{News, Stand};
use crate::rib::Rib;
use crate::ring::Mark;
use crate::slab::NONE;
use crate::sweep::Done;

/// Units that a task takes before the next one has its turn.
const TURN: usize = 256;
/// What it costs to move a peer to another group.
const REGROUP: usize = 128;
/// Destinations without paths that are looked at in a call, at least: else as
/// many as it has units. They may all wait for a slow reader.
const GRAVES: usize = 64;

/// What is done in turn.
///
/// The rule: every task that has something to do is given [`TURN`] units, then
/// the next one is, round and round. A call that ends amid a turn is gone on
/// with by the next call. So none waits for another to come to an end, however
/// much is received meanwhile: between two turns of a task lies at most one of
/// each other, of which there are three for every update group. A group reads as
/// many changes in a round as are decided, so that it does not fall behind, and
/// goes on with its walk besides. What it has queued is encoded when nothing
/// more is due, or after some rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Task {
    #[default]
    Sweep,
    MarkDependents,
    MarkAll,
    Decide,
    /// Aggregates and conditions.
    Presence,
    /// Next hops that paths depend on, where that is to be known or no longer.
    CountNextHops,
    /// What the kernel was asked for before it was to be asked no more.
    ForgetFib,
    /// The output of groups that are no more.
    Retired,
    /// Members of a group that are too slow for it.
    Part(usize),
    /// The changes that a group has not looked at.
    Changes(usize),
    /// A group's walk over all destinations.
    Walk(usize),
}

impl Task {
    /// Those that don't belong to a group.
    const SINGLE: usize = 8;

    fn next(self, groups: usize) -> Task {
        match self {
            Task::Sweep => Task::MarkDependents,
            Task::MarkDependents => Task::MarkAll,
            Task::MarkAll => Task::Decide,
            Task::Decide => Task::Presence,
            Task::Presence => Task::CountNextHops,
            Task::CountNextHops => Task::ForgetFib,
            Task::ForgetFib => Task::Retired,
            Task::Retired if groups > 0 => Task::Part(0),
            Task::Part(at) => Task::Changes(at),
            Task::Changes(at) => Task::Walk(at),
            Task::Walk(at) if at + 1 < groups => Task::Part(at + 1),
            Task::Retired | Task::Walk(_) => Task::Sweep,
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turn {
    task: Task,
    /// Units of it that are left.
    left: usize,
}

impl Default for Turn {
    fn default() -> Self {
        Turn {
            task: Task::default(),
            left: TURN,
        }
    }
}

impl Rib {
    /// Does some of what is due: a unit is about one destination looked at, or
    /// one path of it where there are several. True: there is more.
    pub fn work(&mut self, units: usize) -> bool {
        let graves = units.max(GRAVES);
        let mut units = units;
        while units > 0 && self.groups.regroup(&mut self.core) {
            units = units.saturating_sub(REGROUP);
        }
        self.groups.watch_conditions(&mut self.core);
        // Turns in a row in which nothing was to be done.
        let mut idle = 0;
        let round = Task::SINGLE + 3 * self.groups.slots();
        while units > 0 && idle < round {
            let given = self.turn.left.min(units);
            let mut rest = given;
            let more = self.take_turn(&mut rest);
            let used = (given - rest).max(usize::from(more));
            idle = if used == 0 { idle + 1 } else { 0 };
            units -= used;
            self.turn.left -= used;
            if !more || self.turn.left == 0 {
                self.end_turn();
            }
        }
        self.trim();
        let more = self.bury(graves) || idle < round;
        self.fib.tell(&mut self.core);
        self.taps.tell(&mut self.core);
        more
    }

    /// True: there is more of the same.
    fn take_turn(&mut self, units: &mut usize) -> bool {
        match self.turn.task {
            Task::Sweep => self.sweep(units),
            Task::MarkDependents => self.mark_dependents(units),
            Task::MarkAll => self.mark_all(units),
            Task::Decide => self.decide(units),
            Task::Presence => {
                self.take_presence(units)
                    || self.rehide(units)
                    || self.core.presence.count_new(units, &self.core.tables)
            }
            Task::CountNextHops => self.count_next_hops(units),
            Task::ForgetFib => self.fib.forget(units, &mut self.core),
            Task::Retired => self.groups.release_retired(units, &mut self.core),
            Task::Part(at) => self.groups.part(at, units, &mut self.core),
            Task::Changes(at) => self.groups.read_changes(at, units, &mut self.core),
            Task::Walk(at) => self.groups.walk(at, units, &mut self.core),
        }
    }

    fn end_turn(&mut self) {
        if let Task::Walk(at) = self.turn.task {
            self.groups.end_round(at, &mut self.core);
        }
        self.turn = Turn {
            task: self.turn.task.next(self.groups.slots()),
            left: TURN,
        };
    }

    fn sweep(&mut self, units: &mut usize) -> bool {
        let mut done = Done::default();
        let more = self
            .sweep
            .work(units, &mut self.core, &mut self.imports, &mut done);
        // What follows from it is not over.
        let any = [&done.purged, &done.judged, &done.removed];
        let any = any.into_iter().any(|ids| !ids.is_empty());
        *units -= usize::from(any).min(*units);
        for id in done.purged {
            for family in Family::ALL {
                self.relieve(id, family, true);
            }
        }
        for id in done.judged {
            self.judged(id);
        }
        for id in done.removed {
            if let Some(peer) = self.core.peers.at(id) {
                let import = peer.import;
                import
                    .into_iter()
                    .for_each(|class| self.imports.leave(class));
                self.core.peers.remove(id);
                self.core.events.push_back(RibEvent::PeerGone(id));
            }
        }
        more
    }

    fn mark_dependents(&mut self, units: &mut usize) -> bool {
        let Some((id, from)) = self.next_hops.front().copied() else {
            return false;
        };
        let mut marks = std::mem::take(&mut self.marks);
        let next = self
            .core
            .attrs
            .next_hops
            .dependents(id, from, *units, &mut marks);
        *units -= marks.len().min(*units);
        for mark in marks.drain(..) {
            // Some of them have long been freed.
            if self.core.state(mark).has(LIVE) {
                self.core.mark_dirty(mark);
            }
        }
        self.marks = marks;
        match next {
            Some(next) => self.next_hops[0].1 = next,
            None => {
                self.next_hops.pop_front();
            }
        }
        true
    }

    /// Counts the paths that are to depend on next hops, or no longer.
    fn count_next_hops(&mut self, units: &mut usize) -> bool {
        let Core {
            tables,
            paths,
            attrs,
            ..
        } = &mut self.core;
        let Some((adds, mut at)) = attrs.next_hops.count_from() else {
            return false;
        };
        let rest = loop {
            match tables.next_live(at, units) {
                Ok(mark) => {
                    let mut id = tables.state(mark).paths;
                    while id != NONE {
                        let path = paths.at(id);
                        if path.accepted() && path.peer != PeerId::LOCAL {
                            let next_hop = attrs.next_hop_id(path.attr);
                            match adds {
                                true => attrs.next_hops.add_path(next_hop, mark),
                                false => attrs.next_hops.remove_path(next_hop),
                            }
                            *units = units.saturating_sub(1);
                        }
                        id = path.next;
                    }
                    at = mark.successor();
                }
                Err(rest) => break rest,
            }
        };
        if attrs.next_hops.counted_to(rest) {
            self.redecide = Some(Mark::FIRST);
        }
        true
    }

    fn mark_all(&mut self, units: &mut usize) -> bool {
        let Some(mut at) = self.redecide else {
            return false;
        };
        self.redecide = loop {
            match self.core.tables.next_live(at, units) {
                Ok(mark) => {
                    // Multipath may change where the best path does not.
                    self.core.tables.state_mut(mark).set(TOUCHED);
                    self.core.mark_dirty(mark);
                    at = mark.successor();
                }
                Err(next) => break next,
            }
        };
        self.redecide.is_some()
    }

    fn decide(&mut self, units: &mut usize) -> bool {
        while *units > 0
            && let Some(mark) = self.core.dirty.pop_front()
        {
            let looked_at = self.core.decide(mark);
            *units = units.saturating_sub(looked_at.max(1));
        }
        !self.core.dirty.is_empty()
    }

    /// Aggregates that came to stand or fell, conditions that came to hold or
    /// ceased to. True: there is more to decide.
    fn take_presence(&mut self, units: &mut usize) -> bool {
        let news = std::mem::take(&mut self.core.presence.news);
        if news.is_empty() {
            return false;
        }
        *units -= news.len().min(*units);
        for news in news {
            match news {
                News::Condition => self.core.renotify_defaults(),
                News::Aggregate(prefix) => {
                    let Some((before, now)) = self.core.presence.due(prefix) else {
                        continue;
                    };
                    match now {
                        Some(stand) => self.put_local(AGGREGATED, &self.aggregate(prefix, stand)),
                        None => drop(self.take_local(AGGREGATED, prefix)),
                    }
                    let hides = |stand: Option<Stand>| stand.is_some_and(|s| s.summary_only);
                    if hides(before) != hides(now) {
                        self.begin_rehide(prefix);
                    }
                }
            }
        }
        true
    }

    fn aggregate(&self, prefix: IpNet, stand: Stand) -> LocalRoute {
        LocalRoute {
            prefix,
            attrs: aggregate::attrs(&self.core.config, prefix, stand.atomic),
            blackhole: stand.blackhole,
        }
    }

    /// Forgets what every reader of the ring has passed.
    fn trim(&mut self) {
        let readers = [self.groups.cursor(), self.fib.cursor(), self.taps.cursor()];
        let least = readers.into_iter().flatten().min();
        self.core.trim(least);
    }

    /// Frees destinations without paths that nothing names any more. True: some
    /// were, and there are others.
    fn bury(&mut self, max: usize) -> bool {
        let (last, oldest) = self.groups.run_seqs();
        let begin = self.core.ring.begin();
        let mut progress = false;
        for _ in 0..max.min(self.core.graves.len()) {
            let Some(grave) = self.core.graves.pop_front() else {
                break;
            };
            let mark = grave.mark;
            let state = *self.core.state(mark);
            if state.paths != NONE {
                self.core.tables.state_mut(mark).clear(GRAVE | QUIET);
                continue;
            }
            let named = state.has(DIRTY)
                || self.fib.needs(mark, &self.core)
                || self.groups.needs(mark, &self.core);
            let now = Quiet {
                ring: self.core.ring.end(),
                run: last,
            };
            // It may have had a life since it was looked at last, which was
            // announced and withdrawn.
            let quiet = match named {
                true => None,
                false => grave.quiet.filter(|_| state.has(QUIET)).or(Some(now)),
            };
            match quiet {
                Some(quiet) if begin >= quiet.ring && oldest > quiet.run => {
                    self.core.tables.remove(mark);
                    progress = true;
                }
                _ => {
                    progress |= quiet != grave.quiet;
                    if quiet.is_some() {
                        self.core.tables.state_mut(mark).set(QUIET);
                    }
                    self.core.graves.push_back(Grave { mark, quiet });
                }
            }
        }
        progress && !self.core.graves.is_empty()
    }
}
