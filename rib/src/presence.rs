//! Which prefixes have a best path, as far as somebody asked: aggregates stand
//! while there is something in them, conditions hold while some route matches.
//!
//! A change is counted where it happens, by one look-up for each length of
//! aggregate and one in each condition's set. What is new is counted first, in
//! slices: one pass over the table for all that wanted one when it began. Of a
//! destination that the pass has not come to, changes don't count yet.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use godwit_bgp::Family;
use godwit_policy::route::{PrefixRange, PrefixSet};
use hashbrown::HashMap;
use ipnet::IpNet;

use crate::api::Aggregate;
use crate::dest::Tables;
use crate::ring::Mark;

/// Has a best path.
pub const PRESENT: u8 = 1;
/// The best path's AS_PATH is not empty.
pub const WITH_PATH: u8 = 2;

/// Holds while a prefix of a set has a route.
#[derive(Clone, Debug)]
pub struct Condition(Arc<(Vec<PrefixRange>, PrefixSet)>);

impl Condition {
    pub fn new(mut ranges: Vec<PrefixRange>) -> Condition {
        ranges.sort_unstable();
        ranges.dedup();
        let set = PrefixSet::new(&ranges);
        Condition(Arc::new((ranges, set)))
    }

    pub fn matches(&self, net: IpNet) -> bool {
        match net {
            IpNet::V4(net) => self.0.1.contains_v4(net),
            IpNet::V6(net) => self.0.1.contains_v6(net),
        }
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Condition) -> bool {
        self.0.0 == other.0.0
    }
}

impl Eq for Condition {}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.0.hash(state);
    }
}

/// How far something is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not at all: it waits for the next pass.
    Waiting,
    /// As far as the pass that is under way has come.
    Counting,
    Counted,
}

impl Stage {
    /// Whether a change of this destination counts.
    fn takes(self, mark: Mark, pass: Option<Mark>) -> bool {
        match self {
            Stage::Waiting => false,
            Stage::Counting => pass.is_some_and(|at| mark < at),
            Stage::Counted => true,
        }
    }
}

/// How an aggregate is originated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Some path in it had an AS_PATH, which is lost.
    pub atomic: bool,
    pub summary_only: bool,
    pub blackhole: bool,
}

/// An aggregate, and what is in it.
#[derive(Debug)]
struct Watched {
    spec: Aggregate,
    stage: Stage,
    contributors: u64,
    with_path: u64,
    standing: Option<Stand>,
}

impl Watched {
    /// As it should stand. Before all is counted: as it does.
    fn wanted(&self) -> Option<Stand> {
        if self.stage != Stage::Counted {
            return self.standing;
        }
        (self.contributors > 0).then_some(Stand {
            atomic: self.with_path > 0,
            summary_only: self.spec.summary_only,
            blackhole: self.spec.blackhole,
        })
    }

    fn count(&mut self, before: u8, now: u8) {
        count(&mut self.contributors, before, now, PRESENT);
        count(&mut self.with_path, before, now, WITH_PATH);
    }
}

/// A condition, and how many prefixes with a route match it.
#[derive(Debug)]
struct Asked {
    condition: Condition,
    stage: Stage,
    routes: u64,
}

impl Asked {
    /// True: it holds and did not, or the other way round.
    fn count(&mut self, net: IpNet, before: u8, now: u8) -> bool {
        if !self.condition.matches(net) {
            return false;
        }
        let held = self.routes > 0;
        count(&mut self.routes, before, now, PRESENT);
        held != (self.routes > 0)
    }
}

/// What changed so that something must be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Aggregate(IpNet),
    Condition,
}

#[derive(Debug, Default)]
pub struct Presence {
    aggregates: HashMap<IpNet, Watched, RandomState>,
    /// Lengths that aggregates have, by family.
    lengths: [Vec<u8>; Family::COUNT],
    /// Standing ones that hide what is in them.
    hiding: usize,
    conditions: Vec<Asked>,
    /// How far a pass over the table has come, if one is under way.
    pass: Option<Mark>,
    pub news: Vec<News>,
}

impl Presence {
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.aggregates.is_empty() && self.conditions.is_empty()
    }

    /// What a destination has is other than before.
    pub fn changed(&mut self, mark: Mark, net: IpNet, before: u8, now: u8) {
        let pass = self.pass;
        for around in around(&self.lengths, net) {
            if let Some(watched) = self.aggregates.get_mut(&around)
                && watched.stage.takes(mark, pass)
            {
                watched.count(before, now);
                if watched.wanted() != watched.standing {
                    self.news.push(News::Aggregate(around));
                }
            }
        }
        if (before ^ now) & PRESENT != 0 {
            for asked in &mut self.conditions {
                if asked.stage.takes(mark, pass) && asked.count(net, before, now) {
                    self.news.push(News::Condition);
                }
            }
        }
    }

    /// Whether there is an aggregate of this prefix that stands.
    pub fn stands(&self, prefix: IpNet) -> bool {
        let watched = self.aggregates.get(&prefix);
        watched.is_some_and(|watched| watched.standing.is_some())
    }

    /// Whether an aggregate stands in for the prefix.
    #[inline]
    pub fn hides(&self, net: IpNet) -> Option<IpNet> {
        if self.hiding == 0 {
            return None;
        }
        around(&self.lengths, net).find_map(|around| {
            let standing = self.aggregates.get(&around)?.standing?;
            standing.summary_only.then_some(around)
        })
    }

    /// `None`, no condition: always. One that is not counted yet holds if
    /// something was found already.
    pub fn holds(&self, condition: Option<&Condition>) -> bool {
        condition.is_none_or(|condition| {
            let known = self.conditions.iter().find(|a| a.condition == *condition);
            known.is_some_and(|asked| asked.routes > 0)
        })
    }

    /// Whether it is known if the condition [holds](Self::holds).
    pub fn is_known(&self, condition: &Condition) -> bool {
        let asked = self.conditions.iter().find(|a| a.condition == *condition);
        asked.is_some_and(|asked| asked.routes > 0 || asked.stage == Stage::Counted)
    }

    /// From now on, these conditions are asked about.
    pub fn set_conditions(&mut self, wanted: &[&Condition]) {
        self.conditions
            .retain(|asked| wanted.contains(&&asked.condition));
        for condition in wanted {
            if !self.conditions.iter().any(|a| a.condition == **condition) {
                self.conditions.push(Asked {
                    condition: (*condition).clone(),
                    stage: Stage::Waiting,
                    routes: 0,
                });
            }
        }
    }

    /// From now on, there are to be these aggregates. Returns those that stood
    /// and are gone.
    pub fn set_aggregates(&mut self, wanted: &[Aggregate]) -> Vec<(IpNet, Stand)> {
        let gone = self.aggregates.extract_if(|prefix, _| {
            let mut wanted = wanted.iter();
            !wanted.any(|spec| spec.prefix == *prefix)
        });
        let gone: Vec<(IpNet, Stand)> = gone
            .filter_map(|(prefix, watched)| Some((prefix, watched.standing?)))
            .collect();
        for spec in wanted {
            let watched = self.aggregates.entry(spec.prefix).or_insert(Watched {
                spec: *spec,
                stage: Stage::Waiting,
                contributors: 0,
                with_path: 0,
                standing: None,
            });
            // What is in it does not depend on the rest.
            watched.spec = *spec;
            if watched.wanted() != watched.standing {
                self.news.push(News::Aggregate(spec.prefix));
            }
        }
        self.lengths = Default::default();
        for prefix in self.aggregates.keys() {
            let lengths = &mut self.lengths[Family::of(&prefix.addr()).index()];
            if !lengths.contains(&prefix.prefix_len()) {
                lengths.push(prefix.prefix_len());
            }
        }
        self.count_hiding();
        gone
    }

    /// Goes on counting what is new. True: there is more.
    pub fn count_new(&mut self, units: &mut usize, tables: &Tables) -> bool {
        let Some(mut at) = self.pass.or_else(|| self.begin_pass()) else {
            return false;
        };
        loop {
            match tables.next_live(at, units) {
                Ok(mark) => {
                    at = mark.successor();
                    let has = tables.state(mark).presence;
                    if has & PRESENT != 0 {
                        self.count_one(tables.net(mark), has);
                    }
                }
                Err(next) => {
                    self.pass = next;
                    break;
                }
            }
        }
        if self.pass.is_none() {
            self.end_pass();
        }
        true
    }

    fn begin_pass(&mut self) -> Option<Mark> {
        let aggregates = self.aggregates.values_mut().map(|w| &mut w.stage);
        let conditions = self.conditions.iter_mut().map(|a| &mut a.stage);
        for stage in aggregates.chain(conditions) {
            if *stage == Stage::Waiting {
                *stage = Stage::Counting;
                self.pass = Some(Mark::FIRST);
            }
        }
        self.pass
    }

    fn count_one(&mut self, net: IpNet, has: u8) {
        for around in around(&self.lengths, net) {
            if let Some(watched) = self.aggregates.get_mut(&around)
                && watched.stage == Stage::Counting
            {
                watched.count(0, has);
            }
        }
        for asked in &mut self.conditions {
            if asked.stage == Stage::Counting && asked.count(net, 0, has) {
                self.news.push(News::Condition);
            }
        }
    }

    fn end_pass(&mut self) {
        for watched in self.aggregates.values_mut() {
            if watched.stage == Stage::Counting {
                watched.stage = Stage::Counted;
                if watched.wanted() != watched.standing {
                    self.news.push(News::Aggregate(watched.spec.prefix));
                }
            }
        }
        for asked in &mut self.conditions {
            if asked.stage == Stage::Counting {
                asked.stage = Stage::Counted;
            }
        }
    }

    /// What to do about an aggregate: as it stands, and as it should. `None`:
    /// nothing any more.
    pub fn due(&mut self, prefix: IpNet) -> Option<(Option<Stand>, Option<Stand>)> {
        let watched = self.aggregates.get_mut(&prefix)?;
        let wanted = watched.wanted();
        let before = std::mem::replace(&mut watched.standing, wanted);
        self.count_hiding();
        (before != wanted).then_some((before, wanted))
    }

    fn count_hiding(&mut self) {
        let standing = self.aggregates.values().filter_map(|w| w.standing);
        self.hiding = standing.filter(|stand| stand.summary_only).count();
    }
}

fn count(counter: &mut u64, before: u8, now: u8, bit: u8) {
    match (before & bit != 0, now & bit != 0) {
        (false, true) => *counter += 1,
        (true, false) => *counter = counter.saturating_sub(1),
        _ => {}
    }
}

/// Prefixes of these lengths that contain this one, itself left out.
fn around(lengths: &[Vec<u8>; Family::COUNT], net: IpNet) -> impl Iterator<Item = IpNet> {
    let lengths = &lengths[Family::of(&net.addr()).index()];
    let shorter = lengths.iter().filter(move |len| **len < net.prefix_len());
    shorter.filter_map(move |len| Some(IpNet::new(net.addr(), *len).ok()?.trunc()))
}
