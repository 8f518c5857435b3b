//! Ranges of numbers, and arithmetic on attributes.

use std::fmt;
use std::str::FromStr;

/// Every number from `min` to `max`; as text `7`, `100-199` or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NumberRange {
    pub min: u32,
    pub max: u32,
}

impl NumberRange {
    pub const ALL: NumberRange = NumberRange {
        min: 0,
        max: u32::MAX,
    };

    pub const fn one(number: u32) -> NumberRange {
        NumberRange {
            min: number,
            max: number,
        }
    }

    pub const fn contains(&self, number: u32) -> bool {
        self.min <= number && number <= self.max
    }

    pub const fn is_one(&self) -> bool {
        self.min == self.max
    }

    /// Whether it holds everything up to `limit`.
    pub(super) const fn covers(&self, limit: u32) -> bool {
        self.min == 0 && self.max >= limit
    }
}

/// Text that is no range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRangeError;

impl FromStr for NumberRange {
    type Err = NumberRangeError;

    fn from_str(text: &str) -> Result<NumberRange, NumberRangeError> {
        if text == "*" {
            return Ok(NumberRange::ALL);
        }
        let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true => text.parse::<u32>().map_err(|_| NumberRangeError),
            false => Err(NumberRangeError),
        };
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let (min, max) = (number(min)?, number(max)?);
        match min <= max {
            true => Ok(NumberRange { min, max }),
            false => Err(NumberRangeError),
        }
    }
}

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            NumberRange::ALL => f.write_str("*"),
            NumberRange { min, max } if min == max => write!(f, "{min}"),
            NumberRange { min, max } => write!(f, "{min}-{max}"),
        }
    }
}

/// A number to set: `100`, or what is there and more or less: `"+10"`, `"-10"`.
/// It stops at 0 and at 4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Amount {
    Exactly(u32),
    Plus(u32),
    Minus(u32),
}

impl Amount {
    pub const fn of(self, now: u32) -> u32 {
        match self {
            Amount::Exactly(number) => number,
            Amount::Plus(more) => now.saturating_add(more),
            Amount::Minus(less) => now.saturating_sub(less),
        }
    }

    /// Whether the number that is there does not matter.
    pub const fn is_absolute(self) -> bool {
        matches!(self, Amount::Exactly(_))
    }
}

/// Few or ten thousand numbers: sorted, disjoint ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct NumberSet {
    ranges: Box<[NumberRange]>,
    /// How many ranges begin before each stretch of `1 << shift` numbers, which
    /// are counted from the begin of the first range: leaves few to search.
    /// Empty where there are few anyway.
    before: Box<[u32]>,
    shift: u32,
}

impl NumberSet {
    /// Up to so many are searched without help.
    const FEW: usize = 8;

    pub fn new(mut ranges: Vec<NumberRange>) -> NumberSet {
        ranges.sort_unstable();
        let mut merged: Vec<NumberRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.min <= last.max.saturating_add(1) => {
                    last.max = last.max.max(range.max);
                }
                _ => merged.push(range),
            }
        }
        let mut set = NumberSet {
            ranges: merged.into(),
            ..NumberSet::default()
        };
        if let [first, .., last] = &*set.ranges
            && set.ranges.len() > Self::FEW
        {
            // About as many stretches as ranges.
            let (base, span) = (first.min, last.min - first.min);
            let bits = usize::BITS - set.ranges.len().leading_zeros();
            let shift = (u32::BITS - span.leading_zeros()).saturating_sub(bits);
            let begins = |range: &NumberRange| (range.min - base) >> shift;
            let before = |stretch| set.ranges.partition_point(|range| begins(range) < stretch);
            set.before = (0..=(span >> shift) + 1)
                .map(|stretch| before(stretch) as u32)
                .collect();
            set.shift = shift;
        }
        set
    }

    pub fn contains(&self, number: u32) -> bool {
        let from_first = |first: &NumberRange| number.checked_sub(first.min);
        let Some(offset) = self.ranges.first().and_then(from_first) else {
            return false;
        };
        let all = self.ranges.len();
        let bound = |at: usize| self.before.get(at).map_or(all, |n| *n as usize);
        let stretch = (offset >> self.shift) as usize;
        let (from, to) = match self.before.is_empty() {
            true => (0, all),
            false => (bound(stretch), bound(stretch + 1)),
        };
        let within = self.ranges.get(from..to).unwrap_or_default();
        let after = from + within.partition_point(|range| range.min <= number);
        let around = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        around.is_some_and(|range| number <= range.max)
    }

    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_holds_what_any_of_its_ranges_holds(
            begins in prop::collection::vec((0..40u32, 0..4u32, prop::bool::ANY), 0..40),
            scale in prop::sample::select(vec![1, 3, 1000, 100_000_000]),
            probes in prop::collection::vec((0..44u32, 0..3u32), 40),
        ) {
            let ranges: Vec<NumberRange> = begins
                .into_iter()
                .map(|(begin, length, to_the_end)| NumberRange {
                    min: begin * scale,
                    max: if to_the_end && begin > 38 { u32::MAX } else { begin * scale + length },
                })
                .collect();
            let set = NumberSet::new(ranges.clone());
            for (at, offset) in probes {
                let number = (at.saturating_mul(scale)).saturating_add(offset);
                let expected = ranges.iter().any(|range| range.contains(number));
                prop_assert_eq!(set.contains(number), expected, "{}", number);
            }
        }
    }
}
