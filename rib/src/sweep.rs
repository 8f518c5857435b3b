//! Passes over all destinations: removing what peers that went down left or did
//! not announce again in a refresh, and importing anew where a policy changed. One pass serves all peers that wanted
//! one when it began.
//!
//! A peer may ask for them again and again, by a refresh of the few routes that
//! it has, or by going over its prefix limit and below it. What that costs is
//! bounded here and in [`crate::work`]: one pass is under way at a time, whoever
//! wants one meanwhile shares the next, and a pass has its turn among the other
//! tasks, a share of the slices that is never more than theirs.

use crate::api::PeerId;
use crate::core::Core;
use crate::import::Imports;
use crate::interner::AttrId;
use crate::limits::Room;
use crate::path::{Path, Verdict};
use crate::peers::{Missed, Peers};
use crate::ring::Mark;

/// What a sweep is to do with a peer's paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task(u8);

impl Task {
    /// Judge them by the import policy anew.
    pub const REIMPORT: Task = Task(1);
    /// Remove those that a refresh did not bring again.
    pub const PURGE: Task = Task(2);
    /// Remove all.
    pub const REMOVE: Task = Task(4);

    fn has(self, task: Task) -> bool {
        self.0 & task.0 != 0
    }
}

/// A task under way.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    task: Task,
    /// Of each family, for [`Task::PURGE`].
    missed: [Missed; 2],
}

/// Peers with which a pass is through.
#[derive(Debug, Default)]
pub struct Done {
    /// The last of their paths is gone.
    pub removed: Vec<PeerId>,
    /// What they did not announce again is gone.
    pub purged: Vec<PeerId>,
    /// All of their paths are as import leaves them now.
    pub judged: Vec<PeerId>,
}

/// The pass under way and what waits for the next.
#[derive(Debug, Default)]
pub struct Sweep {
    waiting: Vec<(PeerId, Task)>,
    /// By peer.
    work: Vec<Work>,
    at: Option<Mark>,
}

impl Sweep {
    pub fn request(&mut self, peer: PeerId, task: Task) {
        match self.waiting.iter_mut().find(|(other, _)| *other == peer) {
            Some((_, waiting)) => waiting.0 |= task.0,
            None => self.waiting.push((peer, task)),
        }
    }

    /// Goes on. True: there is more.
    pub fn work(
        &mut self,
        units: &mut usize,
        core: &mut Core,
        imports: &mut Imports,
        done: &mut Done,
    ) -> bool {
        let Some(mut at) = self.at else {
            return self.begin(&core.peers);
        };
        let mut judge: Vec<u32> = Vec::new();
        loop {
            if self.nothing_left(core) {
                return self.finish(&mut core.peers, done);
            }
            let mark = match core.tables.next_live(at, units) {
                Ok(mark) => mark,
                Err(Some(next)) => {
                    self.at = Some(next);
                    return true;
                }
                Err(None) => return self.finish(&mut core.peers, done),
            };
            let mut looked_at = 0;
            let mut some_go = false;
            for (slot, path) in core.paths_of(mark) {
                looked_at += 1;
                match self.task_of(mark, path) {
                    Task::REMOVE => some_go = true,
                    Task::REIMPORT => judge.push(slot),
                    _ => {}
                }
            }
            if some_go {
                core.remove_paths(mark, |path| self.task_of(mark, path) == Task::REMOVE);
            }
            for slot in judge.drain(..) {
                reimport(mark, slot, core, imports);
            }
            // The first is in the destination's unit.
            *units = units.saturating_sub(looked_at.max(1) - 1);
            at = mark.successor();
        }
    }

    /// What is to be done with a path.
    fn task_of(&self, mark: Mark, path: &Path) -> Task {
        let Some(work) = self.work.get(usize::from(path.peer.0)) else {
            return Task::default();
        };
        let missed = || work.missed[mark.family().index()].includes(path.epoch);
        if work.task.has(Task::REMOVE) || (work.task.has(Task::PURGE) && missed()) {
            Task::REMOVE
        } else if work.task.has(Task::REIMPORT) {
            Task::REIMPORT
        } else {
            Task::default()
        }
    }

    fn begin(&mut self, peers: &Peers) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        self.work.clear();
        for (id, task) in self.waiting.drain(..) {
            let at = usize::from(id.0);
            if at >= self.work.len() {
                self.work.resize(at + 1, Work::default());
            }
            let missed = peers.at(id).map(|peer| peer.refreshes.map(|r| r.missed()));
            self.work[at] = Work {
                task,
                missed: missed.unwrap_or_default(),
            };
        }
        self.at = Some(Mark::FIRST);
        true
    }

    /// Only removals are under way, and nothing to remove is left.
    fn nothing_left(&self, core: &Core) -> bool {
        self.work.iter().enumerate().all(|(peer, work)| {
            work.task == Task::default()
                || (work.task.has(Task::REMOVE) && core.peers.counts[peer].received == [0; 2])
        })
    }

    fn finish(&mut self, peers: &mut Peers, done: &mut Done) -> bool {
        self.at = None;
        for (peer, work) in self.work.iter().enumerate() {
            let id = PeerId(peer as u16);
            if work.task.has(Task::REMOVE) {
                done.removed.push(id);
                continue;
            }
            let again = |(peer, task): &(PeerId, Task)| *peer == id && task.has(Task::REIMPORT);
            if work.task.has(Task::REIMPORT) && !self.waiting.iter().any(again) {
                done.judged.push(id);
            }
            if work.task.has(Task::PURGE)
                && let Some(peer) = peers.at_mut(id)
            {
                for (refreshes, missed) in peer.refreshes.iter_mut().zip(work.missed) {
                    refreshes.swept(missed);
                }
                done.purged.push(id);
            }
        }
        !self.waiting.is_empty()
    }
}

fn reimport(mark: Mark, slot: u32, core: &mut Core, imports: &mut Imports) {
    let path = *core.paths.at(slot);
    let id = path.peer;
    let Some(peer) = core.peers.up(id) else {
        return;
    };
    let family = mark.family();
    let class = peer.import[family.index()];
    let net = core.tables.net(mark);
    let asn = peer.spec.asn;
    let mut evaluated = imports.evaluate(class, asn, path.attr_in, &core.config, &core.attrs);
    let accepted = evaluated.accept(net, &mut core.attrs);
    core.attrs.retain(path.attr_in);
    let (mut verdict, mut attr) = Verdict::split(accepted);
    if let Some(limit) = core.enforced_limit(id, family)
        && core.room(id, family, &limit, verdict, |_| Some(path.verdict())) != Room::Yes
    {
        core.attrs.release(attr);
        (verdict, attr) = (Verdict::OverLimit, AttrId::NONE);
    }
    let flags = Path::flags_of(verdict, false);
    core.replace_path(
        mark,
        slot,
        Path {
            attr,
            flags,
            ..path
        },
    );
}
