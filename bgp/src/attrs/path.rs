//! AS_PATH, with four-octet numbers (RFC 4271 §5.1.2, RFC 6793).

use std::fmt;

use smallvec::SmallVec;

use crate::parse::{self, Parsed};
use crate::types::Asn;

/// The octets of a path in the making.
pub(crate) type PathBytes = SmallVec<[u8; 512]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    Set = 1,
    Sequence = 2,
    ConfedSequence = 3,
    ConfedSet = 4,
}

impl SegmentKind {
    pub(crate) const fn from_wire(value: u8) -> Option<SegmentKind> {
        Some(match value {
            1 => SegmentKind::Set,
            2 => SegmentKind::Sequence,
            3 => SegmentKind::ConfedSequence,
            4 => SegmentKind::ConfedSet,
            _ => return None,
        })
    }
}

/// One segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    pub kind: SegmentKind,
    asns: &'a [[u8; 4]],
}

/// The numbers of a segment, in order.
pub type Asns<'a> =
    std::iter::Map<std::iter::Copied<std::slice::Iter<'a, [u8; 4]>>, fn([u8; 4]) -> Asn>;

impl<'a> Segment<'a> {
    pub fn asns(&self) -> Asns<'a> {
        self.asns
            .iter()
            .copied()
            .map(|asn| Asn(u32::from_be_bytes(asn)))
    }

    /// The numbers as they lie in memory, in network order.
    pub(crate) const fn octets(&self) -> &'a [[u8; 4]] {
        self.asns
    }

    /// What the segment adds to the path's length: a set counts as one
    /// (RFC 4271 §9.1.2.2 a), a confederation as nothing (RFC 5065 §5.3).
    pub fn length(&self) -> usize {
        match self.kind {
            SegmentKind::Sequence => self.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        }
    }
}

/// A path as in canonical attributes: segments of four-octet numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AsPath<'a> {
    bytes: &'a [u8],
}

impl<'a> AsPath<'a> {
    /// A path over an attribute's value, trusted to be well-formed: reading
    /// stops where it is not.
    pub const fn new(bytes: &'a [u8]) -> AsPath<'a> {
        AsPath { bytes }
    }

    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn segments(&self) -> Segments<'a> {
        Segments { rest: self.bytes }
    }

    /// Every number of the path, whatever its segment.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + use<'a> {
        self.segments().flat_map(|s| s.asns())
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many numbers it has, those of sets included.
    pub fn numbers(&self) -> usize {
        self.segments().map(|s| s.asns.len()).sum()
    }

    /// How often `asn` stands in it.
    pub fn count(&self, asn: Asn) -> usize {
        self.asns().filter(|a| *a == asn).count()
    }

    /// Length as the decision process counts it (RFC 4271 §9.1.2.2 a).
    pub fn length(&self) -> usize {
        self.segments().map(|s| s.length()).sum()
    }

    pub fn contains(&self, asn: Asn) -> bool {
        self.asns().any(|a| a == asn)
    }

    /// The neighbouring AS the route came through: the first number of a leading
    /// sequence. `None` for an empty path and for one that begins with a set.
    pub fn first_as(&self) -> Option<Asn> {
        let mut segments = self.segments().skip_while(|s| s.length() == 0);
        segments
            .next()
            .filter(|s| s.kind == SegmentKind::Sequence)?
            .asns()
            .next()
    }

    /// The AS that originated the route: the last number of a closing sequence.
    pub fn origin_as(&self) -> Option<Asn> {
        self.segments()
            .last()
            .filter(|s| s.kind == SegmentKind::Sequence)?
            .asns()
            .next_back()
    }

    /// Whether any segment is a set, which RFC 9774 no longer allows.
    pub fn has_set(&self) -> bool {
        self.segments()
            .any(|s| matches!(s.kind, SegmentKind::Set | SegmentKind::ConfedSet))
    }
}

/// "65001 65002 {1,2}"; confederation segments as "(1 2)" and "[1,2]".
impl fmt::Display for AsPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, segment) in self.segments().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            let (open, between, close) = match segment.kind {
                SegmentKind::Sequence => ("", " ", ""),
                SegmentKind::Set => ("{", ",", "}"),
                SegmentKind::ConfedSequence => ("(", " ", ")"),
                SegmentKind::ConfedSet => ("[", ",", "]"),
            };
            f.write_str(open)?;
            for (n, asn) in segment.asns().enumerate() {
                if n > 0 {
                    f.write_str(between)?;
                }
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

impl fmt::Debug for AsPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsPath({self})")
    }
}

/// The segments of a path, in order.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        let (rest, (kind, value)) = segment(self.rest, 4).ok()?;
        let (asns, _) = value.as_chunks();
        self.rest = rest;
        Some(Segment {
            kind: SegmentKind::from_wire(kind)?,
            asns,
        })
    }
}

/// Puts segments together, neighbouring sequences as one where it has room: the
/// same path is to be the same bytes wherever it was cut.
#[derive(Default)]
pub(crate) struct PathBuilder {
    bytes: PathBytes,
    /// Where the last segment begins, if it is a sequence.
    open: Option<usize>,
}

impl PathBuilder {
    pub(crate) fn push(&mut self, kind: SegmentKind, asns: &[[u8; 4]]) {
        let Ok(count) = u8::try_from(asns.len()) else {
            return;
        };
        let sequence = kind == SegmentKind::Sequence;
        if sequence
            && let Some(field) = self.open.and_then(|at| self.bytes.get_mut(at + 1))
            && let Some(sum) = field.checked_add(count)
        {
            *field = sum;
        } else {
            self.open = sequence.then_some(self.bytes.len());
            self.bytes.extend_from_slice(&[kind as u8, count]);
        }
        self.bytes.extend_from_slice(asns.as_flattened());
    }
    pub(crate) fn into_bytes(self) -> PathBytes {
        self.bytes
    }
}

/// Reads a segment whose numbers are `width` octets wide: its type and numbers.
#[inline]
pub(crate) fn segment(input: &[u8], width: usize) -> Parsed<'_, (u8, &[u8])> {
    let (input, kind) = parse::octet(input)?;
    let (input, count) = parse::octet(input)?;
    let (input, value) = parse::bytes(input, usize::from(count) * width)?;
    Ok((input, (kind, value)))
}
