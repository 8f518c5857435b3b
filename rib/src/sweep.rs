//! Passes over all destinations: removing what peers that went down left, and
//! importing anew where a policy changed. One pass serves all peers that wanted
//! one when it began.

use crate::api::PeerId;
use crate::core::Core;
use crate::import::Imports;
use crate::path::{Path, Verdict};
use crate::ring::Mark;
use crate::slab::NONE;

/// What a sweep is to do with a peer's paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    Reimport,
    Remove,
}

/// The pass under way and what waits for the next.
#[derive(Debug, Default)]
pub struct Sweep {
    waiting: Vec<(PeerId, Task)>,
    /// By peer.
    tasks: Vec<Option<Task>>,
    at: Option<Mark>,
}

impl Sweep {
    pub fn request(&mut self, peer: PeerId, task: Task) {
        match self.waiting.iter_mut().find(|(other, _)| *other == peer) {
            Some((_, waiting)) => *waiting = task.max(*waiting),
            None => self.waiting.push((peer, task)),
        }
    }

    /// Goes on. Peers whose removal is complete go to `gone`. True: there is
    /// more.
    pub fn work(
        &mut self,
        units: &mut usize,
        core: &mut Core,
        imports: &mut Imports,
        gone: &mut Vec<PeerId>,
    ) -> bool {
        let Some(mut at) = self.at else {
            return self.begin();
        };
        let mut found: Vec<(PeerId, Task)> = Vec::new();
        loop {
            if self.nothing_left(core) {
                return self.finish(gone);
            }
            let mark = match core.tables.next_live(at, units) {
                Ok(mark) => mark,
                Err(Some(next)) => {
                    self.at = Some(next);
                    return true;
                }
                Err(None) => return self.finish(gone),
            };
            let mut id = core.state(mark).paths;
            while id != NONE {
                let path = core.paths.at(id);
                let task = self.tasks.get(usize::from(path.peer.0)).copied().flatten();
                found.extend(task.map(|task| (path.peer, task)));
                id = path.next;
            }
            for (peer, task) in found.drain(..) {
                match task {
                    Task::Remove => {
                        core.remove_path(mark, peer);
                    }
                    Task::Reimport => reimport(mark, peer, core, imports),
                }
            }
            at = mark.successor();
        }
    }

    fn begin(&mut self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        self.tasks.clear();
        for (peer, task) in self.waiting.drain(..) {
            let at = usize::from(peer.0);
            if at >= self.tasks.len() {
                self.tasks.resize(at + 1, None);
            }
            self.tasks[at] = Some(task);
        }
        self.at = Some(Mark::FIRST);
        true
    }

    /// Only removals are under way, and nothing to remove is left.
    fn nothing_left(&self, core: &Core) -> bool {
        self.tasks
            .iter()
            .enumerate()
            .all(|(peer, task)| match task {
                None => true,
                Some(Task::Reimport) => false,
                Some(Task::Remove) => core.peers.counts[peer].received == [0; 2],
            })
    }

    fn finish(&mut self, gone: &mut Vec<PeerId>) -> bool {
        self.at = None;
        for (peer, task) in self.tasks.iter().enumerate() {
            if *task == Some(Task::Remove) {
                gone.push(PeerId(peer as u16));
            }
        }
        !self.waiting.is_empty()
    }
}

fn reimport(mark: Mark, id: PeerId, core: &mut Core, imports: &mut Imports) {
    let (Some((_, at)), Some(peer)) = (core.path_of(mark, id), core.peers.up(id)) else {
        return;
    };
    let path = *core.paths.at(at);
    let class = peer.import[mark.family().index()];
    let net = core.tables.net(mark);
    let mut evaluated = imports.evaluate(class, path.attr_in, &core.config, &core.attrs);
    let accepted = evaluated.accept(net, &mut core.attrs);
    core.attrs.retain(path.attr_in);
    let (verdict, attr) = Verdict::split(accepted);
    core.put_path(
        mark,
        Path {
            attr,
            flags: Path::flags_of(verdict, false),
            ..path
        },
    );
}
