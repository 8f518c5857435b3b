//! Many patterns, the common forms of which are looked up in tables.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{AsPathPattern, Plain, Position, Positions};

type Numbers = HashSet<u32, RandomState>;

/// A path is in the set when any pattern is found in it.
#[derive(Clone, Debug, Default)]
pub struct AsPathSet {
    contains: Numbers,
    first: Numbers,
    last: Numbers,
    ends: HashSet<(u32, u32), RandomState>,
    exactly: HashSet<Vec<u32>, RandomState>,
    /// Of the other forms, those that match no path without a certain number, by
    /// it: tried one by one where a path has the number.
    with: HashMap<u32, Vec<AsPathPattern>, RandomState>,
    /// Tried one by one.
    rest: Vec<AsPathPattern>,
    /// As given.
    patterns: Box<[AsPathPattern]>,
}

impl Hash for AsPathSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.patterns.hash(state);
    }
}

impl AsPathSet {
    pub fn new(patterns: &[AsPathPattern]) -> AsPathSet {
        let mut set = AsPathSet {
            patterns: patterns.into(),
            ..AsPathSet::default()
        };
        for pattern in patterns {
            match pattern.plain.clone() {
                Some(Plain::Contains(asn)) => _ = set.contains.insert(asn),
                Some(Plain::First(asn)) => _ = set.first.insert(asn),
                Some(Plain::Last(asn)) => _ = set.last.insert(asn),
                Some(Plain::Ends(first, last)) => _ = set.ends.insert((first, last)),
                Some(Plain::Exactly(path)) => _ = set.exactly.insert(path),
                None => {
                    let others = match pattern.required {
                        Some(asn) => set.with.entry(asn).or_default(),
                        None => &mut set.rest,
                    };
                    others.push(pattern.clone());
                }
            }
        }
        set
    }

    pub fn matches(&self, path: &Positions<'_>) -> bool {
        let any = |table: &Numbers, position: Option<Position<'_>>| {
            !table.is_empty()
                && position.is_some_and(|p| p.asns().any(|asn| table.contains(&asn.0)))
        };
        any(&self.first, path.first())
            || any(&self.last, path.last())
            || (!self.contains.is_empty() && path.asns().any(|a| self.contains.contains(&a.0)))
            || self.has_ends(path)
            || self.is_exactly(path)
            || self.finds_with(path)
            || self.rest.iter().any(|p| p.program.finds(path))
    }

    fn finds_with(&self, path: &Positions<'_>) -> bool {
        if self.with.is_empty() {
            return false;
        }
        // A path may repeat a number thousands of times.
        let mut tried: SmallVec<[u32; 8]> = SmallVec::new();
        path.asns().any(|asn| {
            let patterns = self.with.get(&asn.0);
            let untried = patterns.filter(|_| !tried.contains(&asn.0));
            untried.is_some_and(|patterns| {
                tried.push(asn.0);
                patterns.iter().any(|p| p.program.finds(path))
            })
        })
    }

    fn has_ends(&self, path: &Positions<'_>) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        match path.0.as_slice() {
            [] | [_] => false,
            [Position::One(first), .., Position::One(last)] => {
                self.ends.contains(&(first.0, last.0))
            }
            _ => self.tries(path, |plain| matches!(plain, Plain::Ends(..))),
        }
    }

    fn is_exactly(&self, path: &Positions<'_>) -> bool {
        if self.exactly.is_empty() {
            return false;
        }
        let numbers: Option<Vec<u32>> = path
            .0
            .iter()
            .map(|position| match position {
                Position::One(asn) => Some(asn.0),
                Position::AnyOf(_) => None,
            })
            .collect();
        match numbers {
            Some(numbers) => self.exactly.contains(&numbers),
            None => self.tries(path, |plain| matches!(plain, Plain::Exactly(_))),
        }
    }

    /// Where a set in the path stands for any of its numbers there is no single
    /// key: all patterns of a form, one by one.
    fn tries(&self, path: &Positions<'_>, form: impl Fn(&Plain) -> bool) -> bool {
        let mut patterns = self.patterns.iter();
        patterns
            .any(|pattern| pattern.plain.as_ref().is_some_and(&form) && pattern.program.finds(path))
    }
}
