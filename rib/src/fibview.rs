//! The kernel's view: which route the kernel should have for each prefix, as a
//! stream of differences that is pulled as fast as the kernel takes them.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::quality::RandomState;
use godwit_bgp::Family;
use godwit_bgp::attrs::Local;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::api::{PeerId, RibEvent};
use crate::core::Core;
use crate::dest::{INSTALLED, REFUSED};
use crate::fib::{
    FibAck, FibChange, FibTarget, KernelOptions, NextHopSet, NextHopSetId, RouteChange, WeightedHop,
};
use crate::interner::Interner;
use crate::path::Paths;
use crate::ring::Mark;

/// As a destination keeps its target: nothing, a blackhole, or a set.
const NOTHING: u32 = 0;
const BLACKHOLE: u32 = 1;
const FIRST_SET: u32 = 2;

/// Next-hop sets that routes in the kernel name.
#[derive(Debug, Default)]
struct Sets {
    /// The sets and how many destinations name them.
    sets: Vec<Option<(Arc<NextHopSet>, u32)>>,
    free: Vec<u32>,
    index: HashMap<Arc<NextHopSet>, u32, RandomState>,
}

impl Sets {
    /// The set's id, with one more user, and its content if it is new.
    fn acquire(&mut self, set: &NextHopSet) -> (u32, Option<Arc<NextHopSet>>) {
        if let Some(id) = self.index.get(set).copied() {
            if let Some((_, users)) = &mut self.sets[id as usize] {
                *users += 1;
            }
            return (id, None);
        }
        let set = Arc::new(set.clone());
        let id = self.free.pop().unwrap_or_else(|| {
            self.sets.push(None);
            self.sets.len() as u32 - 1
        });
        self.sets[id as usize] = Some((set.clone(), 1));
        self.index.insert(set.clone(), id);
        (id, Some(set))
    }

    fn release(&mut self, id: u32) {
        let slot = &mut self.sets[id as usize];
        if let Some((set, users)) = slot {
            *users -= 1;
            if *users == 0 {
                self.index.remove(set);
                *slot = None;
                self.free.push(id);
            }
        }
    }
}

/// What the kernel was asked for, and how far in the ring that is.
#[derive(Debug, Default)]
pub struct FibView {
    /// Changes are wanted.
    enabled: bool,
    /// How far what was asked for is forgotten, where that is under way. What is
    /// still there means nothing.
    forgetting: Option<Mark>,
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
    /// was asked for, in slices: the next beginning waits for that, and asks for
    /// everything.
    pub fn enable(&mut self, enabled: bool, core: &Core) {
        if self.is_on() && !enabled {
            *self = FibView {
                seq: self.seq,
                forgetting: Some(Mark::FIRST),
                ..FibView::default()
            };
        }
        let begins = enabled && !self.enabled && self.forgetting.is_none();
        self.enabled = enabled;
        if begins {
            self.begin(core);
        }
    }

    fn begin(&mut self, core: &Core) {
        self.cursor = core.ring.begin();
        self.walk = Some(Mark::FIRST);
    }

    fn is_on(&self) -> bool {
        self.enabled && self.forgetting.is_none()
    }

    /// Goes on forgetting. True: there is more.
    pub fn forget(&mut self, units: &mut usize, core: &mut Core) -> bool {
        let Some(mut at) = self.forgetting else {
            return false;
        };
        self.forgetting = loop {
            match core.tables.next_live(at, units) {
                Ok(mark) => {
                    let state = core.tables.state_mut(mark);
                    state.fib = NOTHING;
                    state.clear(INSTALLED | REFUSED);
                    at = mark.successor();
                }
                Err(next) => break next,
            }
        };
        if self.is_on() {
            self.begin(core);
        }
        self.forgetting.is_some()
    }

    /// Position in the ring, where changes are wanted.
    pub fn cursor(&self) -> Option<u64> {
        self.is_on().then_some(self.cursor)
    }

    /// Says that there is something to poll, once.
    pub fn tell(&mut self, core: &mut Core) {
        let any = self.walk.is_some() || self.cursor < core.ring.end();
        if self.is_on() && any && !self.told {
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
        if !self.is_on() {
            return false;
        }
        if core.ring.lapped(self.cursor) {
            self.cursor = core.ring.begin();
            self.walk = Some(Mark::FIRST);
        }
        let end = out.len() + max;
        let mut budget = max.saturating_mul(4);
        while let Some(mut at) = self.walk
            && out.len() < end
        {
            match core.tables.next_live(at, &mut budget) {
                Ok(mark) => {
                    let looked_at = self.process(mark, out, core);
                    budget = budget.saturating_sub(looked_at - 1);
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
        // Also what changes nothing for the kernel takes its time.
        while out.len() < end && self.cursor < limit && budget > 0 {
            let Some(mark) = core.ring.at(self.cursor) else {
                break;
            };
            self.cursor += 1;
            core.passed(mark);
            let looked_at = self.process(mark, out, core);
            budget = budget.saturating_sub(looked_at);
        }
        let more = self.walk.is_some() || self.cursor < limit.min(core.ring.end());
        self.told = more;
        more
    }

    /// Asks for what the kernel is to have, if it is another than before. How many
    /// paths were looked at, at least one.
    fn process(&mut self, mark: Mark, out: &mut Vec<FibChange>, core: &mut Core) -> usize {
        let mut set = NextHopSet::default();
        let (wanted, looked_at) = wanted(mark, &mut set, core);
        let code = match wanted {
            NOTHING => NOTHING,
            BLACKHOLE => BLACKHOLE,
            _ => {
                let (id, new) = self.sets.acquire(&set);
                if let Some(set) = new {
                    out.push(FibChange::Define(NextHopSetId(id), set));
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
        looked_at
    }

    /// What became of changes. Those of other than the latest change of a
    /// prefix say nothing.
    pub fn done(&mut self, acks: &[FibAck], core: &mut Core) {
        if !self.is_on() {
            return;
        }
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
        if !self.is_on() {
            return (FibTarget::None, false, None);
        }
        let state = core.state(mark);
        let error = state
            .has(REFUSED)
            .then(|| self.errors.get(&mark).copied())
            .flatten();
        (target(state.fib), state.has(INSTALLED), error)
    }

    pub fn set(&self, id: NextHopSetId) -> Option<Arc<NextHopSet>> {
        let (set, _) = self.sets.sets.get(id.0 as usize)?.as_ref()?;
        Some(set.clone())
    }

    /// Whether the kernel may have a route for the destination.
    pub fn needs(&self, mark: Mark, core: &Core) -> bool {
        self.is_on() && core.state(mark).fib != NOTHING
    }
}

fn target(code: u32) -> FibTarget {
    match code {
        NOTHING => FibTarget::None,
        BLACKHOLE => FibTarget::Blackhole,
        set => FibTarget::Hops(NextHopSetId(set - FIRST_SET)),
    }
}

/// The code of what the kernel should have; for a set, its content. And how many
/// paths were looked at, at least one.
fn wanted(mark: Mark, set: &mut NextHopSet, core: &mut Core) -> (u32, usize) {
    let decided = core.decide(mark).max(1);
    let Some(best) = core.best(mark) else {
        return (NOTHING, decided);
    };
    let Local {
        weight: _,
        table,
        metric,
        source,
        blackhole,
    } = core.attrs.attrs(best.attr).local();
    let blackhole = blackhole || best.blackhole();
    if best.peer == PeerId::LOCAL && !blackhole {
        return (NOTHING, decided);
    }
    let same_family = |source: &IpAddr| Family::of(source) == mark.family();
    set.options = KernelOptions {
        table,
        metric,
        source: source.filter(|source| !blackhole && same_family(source)),
    };
    if blackhole {
        let plain = set.options == KernelOptions::default();
        return (if plain { BLACKHOLE } else { FIRST_SET }, decided);
    }
    let config = &core.config;
    let (used, chosen_of) = match config.max_paths_external.max(config.max_paths_internal) {
        0 | 1 => (SmallVec::new(), 0),
        _ => core.view().multipath(core.state(mark).paths, config),
    };
    // None either where a next hop has just gone: the best path goes with the
    // next decision, and no hops at all would be a blackhole until then.
    if !used.is_empty() {
        let shares = config
            .link_bandwidth
            .then(|| shares(&used, &core.paths, &core.attrs))
            .flatten();
        for (i, path) in used.iter().enumerate() {
            set.hops.push(WeightedHop {
                next_hop: core.attrs.next_hop(core.paths.at(*path).attr),
                weight: shares.as_ref().map_or(1, |shares| shares[i]),
            });
        }
        set.hops.sort_unstable();
    } else {
        set.hops.push(WeightedHop {
            next_hop: core.attrs.next_hop(best.attr),
            weight: 1,
        });
    }
    (FIRST_SET, decided + chosen_of)
}

/// The heaviest share; the kernel has no greater one.
const MAX_SHARE: f64 = 256.0;

/// Shares in the ratio of link bandwidths (draft-ietf-idr-link-bandwidth).
/// `None`, all alike: some path carries none, or there is but one path.
fn shares(used: &[u32], paths: &Paths, attrs: &Interner) -> Option<SmallVec<[u16; 8]>> {
    if used.len() < 2 {
        return None;
    }
    let bandwidth = |path: &u32| attrs.key(paths.at(*path).attr).bandwidth();
    let all: Option<SmallVec<[f64; 8]>> = used.iter().map(bandwidth).collect();
    let all = all?;
    let most = all.iter().copied().fold(0.0, f64::max);
    let share = |bandwidth: &f64| (bandwidth / most * MAX_SHARE).round().max(1.0) as u16;
    Some(all.iter().map(share).collect())
}
