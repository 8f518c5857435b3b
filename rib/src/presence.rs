//! Which prefixes have a best path, as far as somebody asked: aggregates stand
//! while there is something in them, conditions hold while some route matches.
//!
//! A change is counted where it happens, by one look-up for each length of
//! aggregate and one in each condition's set. Nothing is scanned but when an
//! aggregate or a condition is new, and when one that hides its contributors
//! begins or ceases to stand.

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

/// An aggregate, and what is in it.
#[derive(Debug)]
pub struct Watched {
    pub spec: Aggregate,
    contributors: u64,
    with_path: u64,
    /// Originated, and with which ATOMIC_AGGREGATE.
    pub standing: Option<bool>,
}

impl Watched {
    /// As it should stand.
    pub fn wanted(&self) -> Option<bool> {
        (self.contributors > 0).then_some(self.with_path > 0)
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
    conditions: Vec<(Condition, u64)>,
    pub news: Vec<News>,
}

impl Presence {
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.aggregates.is_empty() && self.conditions.is_empty()
    }

    /// What a destination has is other than before.
    pub fn changed(&mut self, net: IpNet, before: u8, now: u8) {
        for around in around(&self.lengths, net) {
            if let Some(watched) = self.aggregates.get_mut(&around) {
                count(&mut watched.contributors, before, now, PRESENT);
                count(&mut watched.with_path, before, now, WITH_PATH);
                if watched.wanted() != watched.standing {
                    self.news.push(News::Aggregate(around));
                }
            }
        }
        if (before ^ now) & PRESENT != 0 {
            for (condition, routes) in &mut self.conditions {
                if condition.matches(net) {
                    let held = *routes > 0;
                    count(routes, before, now, PRESENT);
                    if held != (*routes > 0) {
                        self.news.push(News::Condition);
                    }
                }
            }
        }
    }

    /// Whether an aggregate stands in for the prefix.
    #[inline]
    pub fn hides(&self, net: IpNet) -> Option<IpNet> {
        if self.hiding == 0 {
            return None;
        }
        around(&self.lengths, net).find_map(|around| {
            let watched = self.aggregates.get(&around)?;
            (watched.spec.summary_only && watched.standing.is_some()).then_some(around)
        })
    }

    /// `None`, no condition: always.
    pub fn holds(&self, condition: Option<&Condition>) -> bool {
        condition.is_none_or(|condition| {
            let known = self.conditions.iter().find(|(other, _)| other == condition);
            known.is_some_and(|(_, routes)| *routes > 0)
        })
    }

    /// From now on, these conditions are asked about.
    pub fn set_conditions(&mut self, wanted: &[&Condition], tables: &Tables) {
        self.conditions
            .retain(|(condition, _)| wanted.contains(&condition));
        for condition in wanted {
            if !self.conditions.iter().any(|(known, _)| known == *condition) {
                let routes = scan(tables)
                    .filter(|(net, _)| condition.matches(*net))
                    .count();
                self.conditions.push(((*condition).clone(), routes as u64));
            }
        }
    }

    /// From now on, there are to be these aggregates. Returns those that are
    /// gone.
    pub fn set_aggregates(&mut self, wanted: &[Aggregate], tables: &Tables) -> Vec<Watched> {
        let gone: Vec<IpNet> = self
            .aggregates
            .values()
            .filter(|old| !wanted.contains(&old.spec))
            .map(|old| old.spec.prefix)
            .collect();
        let gone: Vec<Watched> = gone
            .iter()
            .filter_map(|prefix| self.aggregates.remove(prefix))
            .collect();
        let mut new: HashMap<IpNet, Watched, RandomState> = HashMap::default();
        for spec in wanted {
            if !self.aggregates.contains_key(&spec.prefix) {
                let watched = Watched {
                    spec: *spec,
                    contributors: 0,
                    with_path: 0,
                    standing: None,
                };
                new.insert(spec.prefix, watched);
            }
        }
        if !new.is_empty() {
            for (net, state) in scan(tables) {
                for watched in new.values_mut() {
                    let prefix = watched.spec.prefix;
                    if prefix.contains(&net) && prefix != net {
                        count(&mut watched.contributors, 0, state, PRESENT);
                        count(&mut watched.with_path, 0, state, WITH_PATH);
                    }
                }
            }
        }
        let begun = new.values().filter(|watched| watched.wanted().is_some());
        self.news
            .extend(begun.map(|watched| News::Aggregate(watched.spec.prefix)));
        self.aggregates.extend(new);
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

    /// What to do about an aggregate: as it stands, and as it should. `None`:
    /// nothing any more.
    pub fn due(&mut self, prefix: IpNet) -> Option<(Aggregate, Option<bool>, Option<bool>)> {
        let watched = self.aggregates.get_mut(&prefix)?;
        let (before, wanted) = (watched.standing, watched.wanted());
        watched.standing = wanted;
        let spec = watched.spec;
        self.count_hiding();
        (before != wanted).then_some((spec, before, wanted))
    }

    fn count_hiding(&mut self) {
        let hides = |w: &&Watched| w.spec.summary_only && w.standing.is_some();
        self.hiding = self.aggregates.values().filter(hides).count();
    }
}

/// Prefixes with a best path, and what is known of each.
fn scan(tables: &Tables) -> impl Iterator<Item = (IpNet, u8)> {
    let (mut at, mut budget) = (Mark::FIRST, usize::MAX);
    std::iter::from_fn(move || {
        loop {
            let mark = tables.next_live(at, &mut budget).ok()?;
            at = mark.successor();
            let presence = tables.state(mark).presence;
            if presence & PRESENT != 0 {
                return Some((tables.net(mark), presence));
            }
        }
    })
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
