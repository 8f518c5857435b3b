//! The kernel's view: which route the kernel should have for each prefix, as a
//! stream of differences that is pulled as fast as the kernel takes them.

use std::sync::Arc;

use foldhash::quality::RandomState;
use godwit_bgp::NextHop;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::api::{PeerId, RibEvent};
use crate::core::Core;
use crate::dest::{INSTALLED, REFUSED};
use crate::fib::{FibAck, FibChange, FibTarget, NextHopSetId, RouteChange};
use crate::ring::Mark;

/// As a destination keeps its target: nothing, a blackhole, or a set.
const NOTHING: u32 = 0;
const BLACKHOLE: u32 = 1;
const FIRST_SET: u32 = 2;

type Hops = SmallVec<[NextHop; 2]>;

/// Next-hop sets that routes in the kernel name.
#[derive(Debug, Default)]
struct Sets {
    /// The hops and how many destinations name them.
    sets: Vec<Option<(Arc<[NextHop]>, u32)>>,
    free: Vec<u32>,
    index: HashMap<Arc<[NextHop]>, u32, RandomState>,
}

impl Sets {
    /// The set's id, with one more user, and its content if it is new.
    fn acquire(&mut self, hops: &[NextHop]) -> (u32, Option<Arc<[NextHop]>>) {
        if let Some(id) = self.index.get(hops).copied() {
            if let Some((_, users)) = &mut self.sets[id as usize] {
                *users += 1;
            }
            return (id, None);
        }
        let hops: Arc<[NextHop]> = hops.into();
        let id = self.free.pop().unwrap_or_else(|| {
            self.sets.push(None);
            self.sets.len() as u32 - 1
        });
        self.sets[id as usize] = Some((hops.clone(), 1));
        self.index.insert(hops.clone(), id);
        (id, Some(hops))
    }

    fn release(&mut self, id: u32) {
        let slot = &mut self.sets[id as usize];
        if let Some((hops, users)) = slot {
            *users -= 1;
            if *users == 0 {
                self.index.remove(hops);
                *slot = None;
                self.free.push(id);
            }
        }
    }
}

/// What the kernel was asked for, and how far in the ring that is.
#[derive(Debug, Default)]
pub struct FibView {
    enabled: bool,
    sets: Sets,
    cursor: u64,
    /// How far a walk over all destinations came, if one is under way.
    walk: Option<Mark>,
    seq: u64,
    told: bool,
    /// Why the kernel refused, of the destinations marked so.
    errors: HashMap<Mark, i32, RandomState>,
}

impl FibView {
    /// Begins (with all routes) or ends to produce changes. Ending forgets what
    /// was asked for: the next beginning asks for everything.
    pub fn enable(&mut self, enabled: bool, core: &mut Core) {
        if enabled && !self.enabled {
            self.cursor = core.ring.begin();
            self.walk = Some(Mark::FIRST);
        }
        if self.enabled && !enabled {
            let (mut at, mut budget) = (Mark::FIRST, usize::MAX);
            while let Ok(mark) = core.tables.next_live(at, &mut budget) {
                let state = core.tables.state_mut(mark);
                state.fib = NOTHING;
                state.clear(INSTALLED | REFUSED);
                at = mark.successor();
            }
            *self = FibView {
                seq: self.seq,
                ..FibView::default()
            };
        }
        self.enabled = enabled;
    }

    /// Position in the ring, where changes are wanted.
    pub fn cursor(&self) -> Option<u64> {
        self.enabled.then_some(self.cursor)
    }

    /// Says that there is something to poll, once.
    pub fn tell(&mut self, core: &mut Core) {
        let any = self.walk.is_some() || self.cursor < core.ring.end();
        if self.enabled && any && !self.told {
            self.told = true;
            core.events.push_back(RibEvent::FibReady);
        }
    }

    /// Appends up to about `max` changes, from entries before `limit`. True:
    /// there is more now.
    pub fn poll(
        &mut self,
        out: &mut Vec<FibChange>,
        max: usize,
        limit: u64,
        core: &mut Core,
    ) -> bool {
        if !self.enabled {
            return false;
        }
        if core.ring.lapped(self.cursor) {
            self.cursor = core.ring.begin();
            self.walk = Some(Mark::FIRST);
        }
        let end = out.len() + max;
        let mut budget = max.saturating_mul(16);
        while let Some(mut at) = self.walk
            && out.len() < end
        {
            match core.tables.next_live(at, &mut budget) {
                Ok(mark) => {
                    self.process(mark, out, core);
                    at = mark.successor();
                    self.walk = Some(at);
                }
                Err(Some(next)) => {
                    self.walk = Some(next);
                    return true;
                }
                Err(None) => self.walk = None,
            }
        }
        while out.len() < end && self.cursor < limit {
            let Some(mark) = core.ring.at(self.cursor) else {
                break;
            };
            self.cursor += 1;
            core.passed(mark);
            self.process(mark, out, core);
        }
        let more = self.walk.is_some() || self.cursor < limit.min(core.ring.end());
        self.told = more;
        more
    }

    fn process(&mut self, mark: Mark, out: &mut Vec<FibChange>, core: &mut Core) {
        let mut hops = Hops::new();
        let code = match wanted(mark, &mut hops, core) {
            NOTHING => NOTHING,
            BLACKHOLE => BLACKHOLE,
            _ => {
                let (id, new) = self.sets.acquire(&hops);
                if let Some(hops) = new {
                    out.push(FibChange::Define(NextHopSetId(id), hops));
                }
                id + FIRST_SET
            }
        };
        let state = core.tables.state_mut(mark);
        let old = std::mem::replace(&mut state.fib, code);
        if old != code {
            self.seq += 1;
            state.fib_seq = self.seq as u32;
            if state.has(REFUSED) {
                self.errors.remove(&mark);
            }
            state.clear(INSTALLED | REFUSED);
            out.push(FibChange::Route(RouteChange {
                prefix: core.tables.net(mark),
                seq: self.seq,
                target: target(code),
            }));
        }
        if let Some(old) = old.checked_sub(FIRST_SET) {
            self.sets.release(old);
        }
    }

    /// What became of changes. Those of other than the latest change of a
    /// prefix say nothing.
    pub fn done(&mut self, acks: &[FibAck], core: &mut Core) {
        for ack in acks {
            let Some(mark) = core.tables.find(ack.prefix) else {
                continue;
            };
            let state = core.tables.state_mut(mark);
            if state.fib_seq != ack.seq as u32 || state.fib == NOTHING {
                continue;
            }
            if state.has(REFUSED) {
                self.errors.remove(&mark);
            }
            state.clear(INSTALLED | REFUSED);
            if ack.installed {
                state.set(INSTALLED);
            } else if let Some(error) = ack.error {
                state.set(REFUSED);
                self.errors.insert(mark, error);
            }
        }
    }

    /// What the kernel was last asked for, whether it has it, and why not.
    pub fn status(&self, mark: Mark, core: &Core) -> (FibTarget, bool, Option<i32>) {
        let state = core.state(mark);
        let error = state
            .has(REFUSED)
            .then(|| self.errors.get(&mark).copied())
            .flatten();
        (target(state.fib), state.has(INSTALLED), error)
    }

    pub fn set(&self, id: NextHopSetId) -> Option<Arc<[NextHop]>> {
        let (hops, _) = self.sets.sets.get(id.0 as usize)?.as_ref()?;
        Some(hops.clone())
    }

    /// Whether the kernel may have a route for the destination.
    pub fn needs(&self, mark: Mark, core: &Core) -> bool {
        self.enabled && core.state(mark).fib != NOTHING
    }
}

fn target(code: u32) -> FibTarget {
    match code {
        NOTHING => FibTarget::None,
        BLACKHOLE => FibTarget::Blackhole,
        set => FibTarget::Hops(NextHopSetId(set - FIRST_SET)),
    }
}

/// The code of what the kernel should have; for a set, its hops in order.
fn wanted(mark: Mark, hops: &mut Hops, core: &mut Core) -> u32 {
    let Some(best) = core.best(mark) else {
        return NOTHING;
    };
    if best.peer == PeerId::LOCAL {
        return if best.blackhole() { BLACKHOLE } else { NOTHING };
    }
    let config = &core.config;
    if config.max_paths_external.max(config.max_paths_internal) > 1 {
        let view = core.view();
        let used = view.multipath(core.state(mark).paths, config);
        hops.extend(
            used.iter()
                .map(|path| core.attrs.next_hop(core.paths.at(*path).attr)),
        );
        hops.sort_unstable();
        hops.dedup();
    } else {
        hops.push(core.attrs.next_hop(best.attr));
    }
    FIRST_SET
}
