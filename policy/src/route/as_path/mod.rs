//! Patterns over AS paths, matched number by number.
//!
//! A path is a list of positions: one for each number of a sequence, one for a
//! whole set, which matches what any of its numbers matches. Patterns are
//! simulated as nondeterministic automata, so the time is bounded by the length
//! of the path times that of the pattern, whatever a peer sends.

mod parse;
mod program;
mod set;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use godwit_bgp::Asn;
use godwit_bgp::attrs::{AsPath, Asns, Segment, SegmentKind};
use smallvec::SmallVec;

pub use parse::AsPathPatternError;
use program::Program;
pub(super) use set::AsPathSet;

/// A regular expression whose letters are AS numbers.
///
/// | text | what |
/// |---|---|
/// | `65001` | that number |
/// | `64512-65534` | any of them |
/// | `.` | any number |
/// | `[65001 65010-65019]`, `[^65001]` | one of these, any but these |
/// | `^`, `$` | where the path begins and ends; without, anywhere |
/// | `( \| )`, `*`, `+`, `?`, `{2}`, `{2,}`, `{2,4}` | as usual |
/// | blank, `_` | between numbers |
///
/// So `_65001_` is a path through 65001, `^65001 .* 65010$` one from 65010 that
/// we have from 65001, and `^$` the empty path.
#[derive(Clone)]
pub struct AsPathPattern {
    text: Arc<str>,
    program: Arc<Program>,
    plain: Option<Plain>,
    /// A number that every path has that it matches.
    required: Option<u32>,
}

/// What a pattern of the commonest forms asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plain {
    Contains(u32),
    First(u32),
    Last(u32),
    /// The first, anything or nothing, and the last.
    Ends(u32, u32),
    Exactly(Vec<u32>),
}

/// One place of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Position<'a> {
    One(Asn),
    AnyOf(Segment<'a>),
}

/// A path as policy sees it: what was put before it on the way, and the rest.
#[derive(Debug)]
pub(super) struct Positions<'a>(SmallVec<[Position<'a>; 16]>);

impl<'a> Positions<'a> {
    pub fn of(ahead: impl Iterator<Item = Asn>, path: AsPath<'a>) -> Positions<'a> {
        let mut all: SmallVec<[Position<'a>; 16]> = ahead.map(Position::One).collect();
        for segment in path.segments() {
            match segment.kind {
                SegmentKind::Sequence | SegmentKind::ConfedSequence => {
                    all.extend(segment.asns().map(Position::One));
                }
                SegmentKind::Set | SegmentKind::ConfedSet => all.push(Position::AnyOf(segment)),
            }
        }
        Positions(all)
    }

    pub fn first(&self) -> Option<Position<'a>> {
        self.0.first().copied()
    }

    pub fn last(&self) -> Option<Position<'a>> {
        self.0.last().copied()
    }

    fn asns(&self) -> impl Iterator<Item = Asn> + '_ {
        self.0.iter().flat_map(Position::asns)
    }
}

impl<'a> Position<'a> {
    pub fn asns(&self) -> impl Iterator<Item = Asn> + use<'a> {
        let (one, set): (Option<Asn>, Option<Asns<'a>>) = match self {
            Position::One(asn) => (Some(*asn), None),
            Position::AnyOf(segment) => (None, Some(segment.asns())),
        };
        one.into_iter().chain(set.into_iter().flatten())
    }
}

impl FromStr for AsPathPattern {
    type Err = AsPathPatternError;

    fn from_str(text: &str) -> Result<AsPathPattern, AsPathPatternError> {
        let node = parse::parse(text)?;
        Ok(AsPathPattern {
            text: text.into(),
            program: Arc::new(Program::compile(&node)?),
            plain: node.plain(),
            required: node.required(),
        })
    }
}

impl AsPathPattern {
    /// Whether the pattern is found in the path.
    pub fn matches(&self, path: AsPath<'_>) -> bool {
        self.program.finds(&Positions::of(std::iter::empty(), path))
    }
}

impl fmt::Display for AsPathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AsPathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsPathPattern({:?})", self.text)
    }
}

impl PartialEq for AsPathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for AsPathPattern {}

impl Hash for AsPathPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
