//! Many patterns, compiled so that ten thousand cost about as much as one.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;
use godwit_bgp::community::{Community, LargeCommunity};

use super::super::NumberRange;
use super::super::number::NumberSet;
use super::CommunityPattern;
use super::pattern::{Administrator, CommunityRegex, parts};
use super::regexes::CommunityRegexes;

/// Literals stand in a hash table, ranges in sorted lists, regular expressions
/// are tried all at once; only what is left is tried one by one.
#[derive(Clone, Debug, Default)]
pub struct CommunitySet {
    exact: HashSet<Community, RandomState>,
    /// Standard ones as numbers.
    standard: NumberSet,
    /// Standard ones of anyone, by their second half.
    standard_of_any: NumberSet,
    large: LargeIntervals,
    /// Route targets and origins, by sub-type and administrator.
    administered: HashMap<(u8, Administrator), NumberSet, RandomState>,
    regexes: Option<CommunityRegexes>,
    rest: Box<[CommunityPattern]>,
    /// As given.
    patterns: Box<[CommunityPattern]>,
}

/// Intervals of the order of large communities.
#[derive(Clone, Debug, Default)]
struct LargeIntervals {
    /// First and last; disjoint, ascending.
    intervals: Box<[(LargeCommunity, LargeCommunity)]>,
    /// The first numbers of what is in them: mostly enough to say no.
    globals: NumberSet,
}

impl LargeIntervals {
    fn new(mut intervals: Vec<(LargeCommunity, LargeCommunity)>) -> LargeIntervals {
        intervals.sort_unstable();
        let mut merged: Vec<(LargeCommunity, LargeCommunity)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        let globals = merged.iter().map(|(first, last)| NumberRange {
            min: first.global,
            max: last.global,
        });
        LargeIntervals {
            globals: NumberSet::new(globals.collect()),
            intervals: merged.into(),
        }
    }

    fn contains(&self, community: LargeCommunity) -> bool {
        if !self.globals.contains(community.global) {
            return false;
        }
        let after = self.intervals.partition_point(|i| i.0 <= community);
        let around = after.checked_sub(1).and_then(|at| self.intervals.get(at));
        around.is_some_and(|(_, last)| community <= *last)
    }
}

impl PartialEq for CommunitySet {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for CommunitySet {}

impl Hash for CommunitySet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.patterns.hash(state);
    }
}

impl CommunitySet {
    pub fn new(patterns: &[CommunityPattern]) -> CommunitySet {
        let mut set = CommunitySet {
            patterns: patterns.into(),
            ..CommunitySet::default()
        };
        let (mut standard, mut of_any, mut large) = (Vec::new(), Vec::new(), Vec::new());
        let mut administered: HashMap<_, Vec<NumberRange>> = HashMap::new();
        let mut regexes: Vec<&CommunityRegex> = Vec::new();
        let mut rest = Vec::new();
        for pattern in patterns {
            match pattern {
                CommunityPattern::Exactly(one) => _ = set.exact.insert(*one),
                CommunityPattern::Standard([high, low]) if high.covers(SHORT) => of_any.push(*low),
                CommunityPattern::Standard(parts) if let Some(range) = standard_range(*parts) => {
                    standard.push(range);
                }
                CommunityPattern::Large(parts) if let Some(found) = interval(*parts) => {
                    large.push(found);
                }
                CommunityPattern::Administered {
                    name,
                    who: Some(who),
                    number,
                } if who.is_one() => {
                    let key = (u8::from(*name), *who);
                    administered.entry(key).or_default().push(*number);
                }
                CommunityPattern::Regex(regex) => regexes.push(regex),
                other => rest.push(other.clone()),
            }
        }
        set.standard = NumberSet::new(standard);
        set.standard_of_any = NumberSet::new(of_any);
        set.large = LargeIntervals::new(large);
        let administered = administered.into_iter();
        set.administered = administered
            .map(|(key, numbers)| (key, NumberSet::new(numbers)))
            .collect();
        if !regexes.is_empty() {
            set.regexes = CommunityRegexes::new(&regexes);
            if set.regexes.is_none() {
                rest.extend(regexes.into_iter().cloned().map(CommunityPattern::Regex));
            }
        }
        set.rest = rest.into();
        set
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn contains(&self, community: Community) -> bool {
        self.contains_any(std::iter::once(community))
    }

    /// Whether any of these is in it.
    pub fn contains_any(&self, mut communities: impl Iterator<Item = Community>) -> bool {
        let listed = |one| self.is_listed(one);
        match &self.regexes {
            None => communities.any(listed),
            Some(regexes) => regexes.find_any(communities, listed),
        }
    }

    /// All but regular expressions.
    fn is_listed(&self, community: Community) -> bool {
        self.exact.contains(&community)
            || match community {
                Community::Standard(c) => {
                    self.standard.contains(c.0) || self.standard_of_any.contains(c.0 & SHORT)
                }
                Community::Large(c) => self.large.contains(c),
                other => !self.administered.is_empty() && self.is_administered(other),
            }
            || self.rest.iter().any(|p| p.matches(community))
    }

    fn is_administered(&self, community: Community) -> bool {
        parts(community).is_some_and(|(sub, who, number)| {
            let numbers = self.administered.get(&(sub, who));
            numbers.is_some_and(|numbers| numbers.contains(number))
        })
    }

    /// Whether each pattern matches at least one of these.
    pub fn all_in(&self, communities: &(impl Iterator<Item = Community> + Clone)) -> bool {
        let found: HashSet<Community> = communities
            .clone()
            .filter(|c| self.exact.contains(c))
            .collect();
        found.len() == self.exact.len()
            && self.patterns.iter().all(|pattern| {
                matches!(pattern, CommunityPattern::Exactly(_))
                    || communities.clone().any(|c| pattern.matches(c))
            })
    }
}

/// The most that half of a standard community can be.
const SHORT: u32 = 0xffff;

/// A pattern that is one range of standard communities as numbers.
fn standard_range([high, low]: [NumberRange; 2]) -> Option<NumberRange> {
    let one = |high: u32, low: u32| high.min(SHORT) << 16 | low.min(SHORT);
    (high.is_one() || low.covers(SHORT)).then(|| NumberRange {
        min: one(high.min, low.min),
        max: one(high.max, low.max),
    })
}

/// A pattern that is one interval of the order of large communities.
fn interval(parts: [NumberRange; 3]) -> Option<(LargeCommunity, LargeCommunity)> {
    let full = |range: NumberRange| range.covers(u32::MAX);
    let [a, b, c] = parts;
    let contiguous = (full(c) && (full(b) || a.is_one())) || (a.is_one() && b.is_one());
    let one = |[global, local1, local2]: [u32; 3]| LargeCommunity {
        global,
        local1,
        local2,
    };
    contiguous.then(|| (one(parts.map(|p| p.min)), one(parts.map(|p| p.max))))
}
