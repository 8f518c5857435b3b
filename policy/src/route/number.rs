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
pub(super) struct NumberSet(Box<[NumberRange]>);

impl NumberSet {
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
        NumberSet(merged.into())
    }

    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|range| range.min <= number);
        let around = after.checked_sub(1).and_then(|at| self.0.get(at));
        around.is_some_and(|range| number <= range.max)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
