//! Many patterns, the common forms of which are looked up in tables.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use super::{AsPathPattern, Plain, Position, Positions};

/// A path is in the set when any pattern is found in it.
#[derive(Clone, Debug, Default)]
pub struct AsPathSet {
    contains: HashSet<u32>,
    first: HashSet<u32>,
    last: HashSet<u32>,
    exactly: HashSet<Vec<u32>>,
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
                Some(Plain::Exactly(path)) => _ = set.exactly.insert(path),
                None => set.rest.push(pattern.clone()),
            }
        }
        set
    }

    pub fn matches(&self, path: &Positions<'_>) -> bool {
        let any = |table: &HashSet<u32>, position: Option<Position<'_>>| {
            !table.is_empty()
                && position.is_some_and(|p| p.asns().any(|asn| table.contains(&asn.0)))
        };
        any(&self.first, path.first())
            || any(&self.last, path.last())
            || (!self.contains.is_empty() && path.asns().any(|a| self.contains.contains(&a.0)))
            || self.is_exactly(path)
            || self.rest.iter().any(|p| p.program.finds(path))
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
            // A set stands for any of its numbers: no single key.
            None => self.patterns.iter().any(|pattern| {
                matches!(pattern.plain, Some(Plain::Exactly(_))) && pattern.program.finds(path)
            }),
        }
    }
}
