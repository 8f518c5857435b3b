//! Reads a pattern.

use std::fmt;
use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

use super::super::NumberRange;
use super::super::number::NumberSet;
use super::Plain;

/// What is wrong in a pattern, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsPathPatternError {
    /// In bytes of the pattern.
    pub at: Range<usize>,
    pub what: String,
    pub help: &'static str,
}

impl fmt::Display for AsPathPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.help)
    }
}

impl std::error::Error for AsPathPatternError {}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Any,
    Class {
        negated: bool,
        /// As given, to see a single number as one.
        ranges: Vec<NumberRange>,
    },
    Start,
    End,
    Concat(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u16,
        /// `None`: without end.
        max: Option<u16>,
    },
}

/// The most that `{n}` may say.
const MAX_REPEAT: u16 = 255;
/// Groups within groups.
const MAX_DEPTH: usize = 32;
/// Of the text; a set of more alternatives is an `[policy.as-path-set]`.
const MAX_TEXT: usize = 4096;

pub(super) fn parse(text: &str) -> Result<Node, AsPathPatternError> {
    if text.len() > MAX_TEXT {
        return Err(AsPathPatternError {
            at: 0..text.len(),
            what: format!("a pattern of {} characters is too long", text.len()),
            help: "write several into a `[policy.as-path-set]`",
        });
    }
    let mut parser = Parser {
        chars: text.char_indices().peekable(),
        end: text.len(),
        depth: 0,
    };
    let node = parser.either()?;
    match parser.chars.peek() {
        None => Ok(node),
        Some((at, _)) => Err(wrong(*at, "this `)` closes nothing", "take it out")),
    }
}

fn wrong(at: usize, what: impl Into<String>, help: &'static str) -> AsPathPatternError {
    AsPathPatternError {
        at: at..at + 1,
        what: what.into(),
        help,
    }
}

struct Parser<'a> {
    chars: Peekable<CharIndices<'a>>,
    end: usize,
    depth: usize,
}

const WHOLE: &str =
    "patterns match whole AS numbers, not digits: put a blank between them, and write `.` for any";

impl Parser<'_> {
    fn either(&mut self) -> Result<Node, AsPathPatternError> {
        let mut branches = vec![self.concat()?];
        while self.take('|') {
            branches.push(self.concat()?);
        }
        Ok(match branches.len() {
            1 => branches.remove(0),
            _ => Node::Either(branches),
        })
    }

    fn concat(&mut self) -> Result<Node, AsPathPatternError> {
        let mut items = Vec::new();
        // Whether a number ended right here.
        let mut touching = false;
        while let Some(&(at, c)) = self.chars.peek() {
            let node = match c {
                '|' | ')' => break,
                ' ' | '\t' | '_' => {
                    self.chars.next();
                    touching = false;
                    continue;
                }
                '0'..='9' | '.' | '[' if touching => {
                    return Err(wrong(at, "this touches what stands before it", WHOLE));
                }
                '*' | '+' | '?' | '{' => {
                    let help = "put it behind a number, a `.`, a `[…]` or a `(…)`";
                    return Err(wrong(at, format!("nothing for `{c}` to repeat"), help));
                }
                _ => self.item()?,
            };
            touching = matches!(c, '0'..='9' | '.' | '[');
            items.push(self.repeated(node)?);
        }
        Ok(match items.len() {
            1 => items.remove(0),
            _ => Node::Concat(items),
        })
    }

    fn item(&mut self) -> Result<Node, AsPathPatternError> {
        let Some(&(at, c)) = self.chars.peek() else {
            return Ok(Node::Concat(Vec::new()));
        };
        if c.is_ascii_digit() {
            return Ok(Node::Class {
                negated: false,
                ranges: vec![self.range()?],
            });
        }
        self.chars.next();
        match c {
            '.' => Ok(Node::Any),
            '^' => Ok(Node::Start),
            '$' => Ok(Node::End),
            '[' => self.class(at),
            '(' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    let help = "write it with fewer parentheses";
                    return Err(wrong(at, "too many groups within groups", help));
                }
                let node = self.either()?;
                self.depth -= 1;
                match self.take(')') {
                    true => Ok(node),
                    false => Err(wrong(at, "this `(` is not closed", "add a `)`")),
                }
            }
            other => Err(wrong(
                at,
                format!("`{other}` has no meaning in an AS path"),
                "write AS numbers, `.` for any, `_` or blanks between, `^` `$` `* + ? | ( ) [ ] { }`",
            )),
        }
    }

    fn class(&mut self, at: usize) -> Result<Node, AsPathPatternError> {
        let negated = self.take('^');
        let mut ranges = Vec::new();
        loop {
            match self.chars.peek() {
                Some((_, ' ' | '\t' | ',' | '_')) => {
                    self.chars.next();
                }
                Some((_, ']')) => {
                    self.chars.next();
                    break;
                }
                Some((_, '0'..='9')) => ranges.push(self.range()?),
                Some(&(at, c)) => {
                    let what = format!("`{c}` is no AS number");
                    return Err(wrong(at, what, "write `[65001 65010-65019]`"));
                }
                None => return Err(wrong(at, "this `[` is not closed", "add a `]`")),
            }
        }
        // What was meant is a run of digits.
        if ranges.iter().any(|r| (r.min, r.max) == (0, 9)) {
            return Err(wrong(at, "`0-9` are AS numbers here", WHOLE));
        }
        match ranges.is_empty() {
            false => Ok(Node::Class { negated, ranges }),
            true => Err(wrong(at, "these brackets are empty", "write `.` for any")),
        }
    }

    fn range(&mut self) -> Result<NumberRange, AsPathPatternError> {
        let start = self.at();
        let min = self.number(u32::MAX)?;
        let max = match self.take('-') {
            true => self.number(u32::MAX)?,
            false => min,
        };
        match min <= max {
            true => Ok(NumberRange { min, max }),
            false => Err(wrong(
                start,
                "the first number is the larger one",
                "swap them",
            )),
        }
    }

    fn number(&mut self, max: u32) -> Result<u32, AsPathPatternError> {
        let start = self.at();
        let mut number = None;
        while let Some((_, c)) = self.chars.peek()
            && let Some(digit) = c.to_digit(10)
        {
            let next = number.unwrap_or(0u32).checked_mul(10);
            let next = next.and_then(|n| n.checked_add(digit));
            let Some(next) = next.filter(|n| *n <= max) else {
                return Err(wrong(
                    start,
                    "this number is too large",
                    "write a smaller one",
                ));
            };
            number = Some(next);
            self.chars.next();
        }
        number.ok_or_else(|| wrong(start, "a number is missing", "write digits"))
    }

    fn repeated(&mut self, mut node: Node) -> Result<Node, AsPathPatternError> {
        while let Some(&(at, c)) = self.chars.peek() {
            let (min, max) = match c {
                '*' => (0, None),
                '+' => (1, None),
                '?' => (0, Some(1)),
                '{' => (0, Some(0)),
                _ => break,
            };
            self.chars.next();
            let (min, max) = match c {
                '{' => self.counts(at)?,
                _ => (min, max),
            };
            node = Node::Repeat {
                node: Box::new(node),
                min,
                max,
            };
        }
        Ok(node)
    }

    /// Behind a `{`.
    fn counts(&mut self, at: usize) -> Result<(u16, Option<u16>), AsPathPatternError> {
        let count = |parser: &mut Self| {
            let n = parser.number(MAX_REPEAT.into())?;
            Ok(n as u16)
        };
        let min = count(self)?;
        let max = match self.take(',') {
            false => Some(min),
            true => match self.chars.peek() {
                Some((_, '}')) => None,
                _ => Some(count(self)?),
            },
        };
        if !self.take('}') {
            return Err(wrong(
                at,
                "this `{` is not closed",
                "write `{2}`, `{2,}` or `{2,4}`",
            ));
        }
        match max {
            Some(max) if max < min => {
                Err(wrong(at, "the first count is the larger one", "swap them"))
            }
            max => Ok((min, max)),
        }
    }

    fn at(&mut self) -> usize {
        self.chars
            .peek()
            .map_or(self.end.saturating_sub(1), |(at, _)| *at)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }
}

impl Node {
    pub fn set(ranges: &[NumberRange]) -> NumberSet {
        NumberSet::new(ranges.to_vec())
    }

    fn one(&self) -> Option<u32> {
        match self {
            Node::Class {
                negated: false,
                ranges,
            } => match ranges.as_slice() {
                [range] if range.is_one() => Some(range.min),
                _ => None,
            },
            _ => None,
        }
    }

    /// A number without which no path is matched, if there is one: the last,
    /// because more paths have their beginning in common than their end.
    pub fn required(&self) -> Option<u32> {
        match self {
            Node::Concat(items) => items.iter().rev().find_map(Node::required),
            Node::Either(branches) => {
                let mut all = branches.iter().map(Node::required);
                let first = all.next().flatten()?;
                all.all(|one| one == Some(first)).then_some(first)
            }
            Node::Repeat { node, min: 1.., .. } => node.required(),
            one => one.one(),
        }
    }

    /// The form that a table look-up answers, if it is one.
    pub fn plain(&self) -> Option<Plain> {
        let any = Node::Repeat {
            node: Box::new(Node::Any),
            min: 0,
            max: None,
        };
        let items = match self {
            Node::Concat(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let (mut items, mut from_start) = match items {
            [Node::Start, rest @ ..] => (rest, true),
            items => (items, false),
        };
        let mut to_end = false;
        if let [rest @ .., Node::End] = items {
            (items, to_end) = (rest, true);
        }
        while let [first, rest @ ..] = items
            && *first == any
        {
            (items, from_start) = (rest, false);
        }
        while let [rest @ .., last] = items
            && *last == any
        {
            (items, to_end) = (rest, false);
        }
        if let ([first, between, last], true, true) = (items, from_start, to_end)
            && *between == any
        {
            return Some(Plain::Ends(first.one()?, last.one()?));
        }
        let numbers: Vec<u32> = items.iter().map(Node::one).collect::<Option<_>>()?;
        match (numbers.as_slice(), from_start, to_end) {
            (_, true, true) => Some(Plain::Exactly(numbers)),
            ([one], false, false) => Some(Plain::Contains(*one)),
            ([one], true, false) => Some(Plain::First(*one)),
            ([one], false, true) => Some(Plain::Last(*one)),
            _ => None,
        }
    }
}
