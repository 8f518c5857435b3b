//! Many patterns, compiled so that ten thousand cost about as much as one.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use godwit_bgp::community::{Community, LargeCommunity, StandardCommunity};

use super::super::NumberRange;
use super::CommunityPattern;

/// Literals stand in a hash table, patterns that are one interval of the order
/// of communities in a sorted list; only what is left is tried one by one.
#[derive(Clone, Debug, Default)]
pub struct CommunitySet {
    exact: HashSet<Community>,
    /// First and last; disjoint, ascending.
    intervals: Box<[(Community, Community)]>,
    rest: Box<[CommunityPattern]>,
    /// As given.
    patterns: Box<[CommunityPattern]>,
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
        let mut exact = HashSet::new();
        let mut intervals = Vec::new();
        let mut rest = Vec::new();
        for pattern in patterns {
            match pattern {
                CommunityPattern::Exactly(one) => {
                    exact.insert(*one);
                }
                other => match interval(other) {
                    Some(found) => intervals.push(found),
                    None => rest.push(other.clone()),
                },
            }
        }
        intervals.sort_unstable();
        let mut merged: Vec<(Community, Community)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        CommunitySet {
            exact,
            intervals: merged.into(),
            rest: rest.into(),
            patterns: patterns.into(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn contains(&self, community: Community) -> bool {
        self.exact.contains(&community)
            || self.in_interval(community)
            || self.rest.iter().any(|p| p.matches(community))
    }

    fn in_interval(&self, community: Community) -> bool {
        let after = self.intervals.partition_point(|i| i.0 <= community);
        let around = after.checked_sub(1).and_then(|at| self.intervals.get(at));
        around.is_some_and(|(_, last)| community <= *last)
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

/// First and last, where all between match too.
fn interval(pattern: &CommunityPattern) -> Option<(Community, Community)> {
    const SHORT: u32 = 0xffff;
    match pattern {
        CommunityPattern::Standard([high, low]) if high.is_one() || low.covers(SHORT) => {
            let one = |high: u32, low: u32| {
                Community::Standard(StandardCommunity(high.min(SHORT) << 16 | low.min(SHORT)))
            };
            Some((one(high.min, low.min), one(high.max, low.max)))
        }
        CommunityPattern::Large(parts) => {
            let full = |range: &NumberRange| range.covers(u32::MAX);
            let [a, b, c] = parts;
            let contiguous = (full(c) && (full(b) || a.is_one())) || (a.is_one() && b.is_one());
            let one = |[global, local1, local2]: [u32; 3]| {
                Community::Large(LargeCommunity {
                    global,
                    local1,
                    local2,
                })
            };
            contiguous.then(|| (one(parts.map(|p| p.min)), one(parts.map(|p| p.max))))
        }
        _ => None,
    }
}
