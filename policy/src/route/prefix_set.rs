//! Sets of prefixes with ranges of lengths, compiled to one binary search.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use godwit_bgp::Family;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Every prefix inside `prefix` whose length is from `min` to `max`.
///
/// As text: `10.0.0.0/8` (that prefix alone), `10.244.0.0/16{16,28}` (lengths 16
/// to 28), `10.0.0.0/8+` (it and all that is inside).
///
/// Invariant: host bits are zero and `prefix.prefix_len() <= min <= max <=` the
/// family's longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixRange {
    prefix: IpNet,
    min: u8,
    max: u8,
}

/// Why a text or a triple is no [`PrefixRange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixRangeError {
    /// Not an address, a slash and a length.
    Prefix,
    /// Not `{min,max}` behind the prefix.
    Braces,
    /// Bits beyond the length are set; the prefix that was probably meant.
    HostBits(IpNet),
    /// Shortest, longest, and the family's longest.
    Lengths { min: u8, max: u8, prefix: IpNet },
}

impl fmt::Display for PrefixRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixRangeError::Prefix => f.write_str(
                "not a prefix: write `10.0.0.0/8`, `10.0.0.0/8+` (it and all inside) or `10.0.0.0/8{16,24}` (lengths 16 to 24)",
            ),
            PrefixRangeError::Braces => {
                f.write_str("not a range of lengths: write `{16,24}` right after the prefix")
            }
            PrefixRangeError::HostBits(net) => {
                write!(f, "bits beyond the prefix length are set: write `{net}`")
            }
            PrefixRangeError::Lengths { min, max, prefix } => write!(
                f,
                "{{{min},{max}}} is no range of lengths here: the first may not be below {} nor above the second, the second not above {}",
                prefix.prefix_len(),
                prefix.max_prefix_len()
            ),
        }
    }
}

impl std::error::Error for PrefixRangeError {}

impl PrefixRange {
    pub fn new(prefix: IpNet, min: u8, max: u8) -> Result<Self, PrefixRangeError> {
        if prefix != prefix.trunc() {
            return Err(PrefixRangeError::HostBits(prefix.trunc()));
        }
        if min < prefix.prefix_len() || min > max || max > prefix.max_prefix_len() {
            return Err(PrefixRangeError::Lengths { min, max, prefix });
        }
        Ok(PrefixRange { prefix, min, max })
    }

    /// `prefix` alone.
    pub fn exact(prefix: IpNet) -> Self {
        let prefix = prefix.trunc();
        let len = prefix.prefix_len();
        PrefixRange {
            prefix,
            min: len,
            max: len,
        }
    }

    /// `prefix` and all that is inside.
    pub fn or_longer(prefix: IpNet) -> Self {
        let prefix = prefix.trunc();
        PrefixRange {
            prefix,
            min: prefix.prefix_len(),
            max: prefix.max_prefix_len(),
        }
    }

    pub const fn prefix(&self) -> IpNet {
        self.prefix
    }

    /// Whether `net` is in the range; what [`PrefixSet`] answers for many at once.
    pub fn contains(&self, net: &IpNet) -> bool {
        (self.min..=self.max).contains(&net.prefix_len()) && self.prefix.contains(net)
    }
}

impl FromStr for PrefixRange {
    type Err = PrefixRangeError;

    fn from_str(s: &str) -> Result<Self, PrefixRangeError> {
        let parse = |text: &str| text.parse::<IpNet>().map_err(|_| PrefixRangeError::Prefix);
        if let Some(text) = s.strip_suffix('+') {
            let prefix = parse(text)?;
            return PrefixRange::new(prefix, prefix.prefix_len(), prefix.max_prefix_len());
        }
        let Some((text, braces)) = s.split_once('{') else {
            let prefix = parse(s)?;
            return PrefixRange::new(prefix, prefix.prefix_len(), prefix.prefix_len());
        };
        let prefix = parse(text)?;
        let (min, max) = braces
            .strip_suffix('}')
            .and_then(|inner| inner.split_once(','))
            .ok_or(PrefixRangeError::Braces)?;
        let length = |text: &str| text.trim().parse().map_err(|_| PrefixRangeError::Braces);
        PrefixRange::new(prefix, length(min)?, length(max)?)
    }
}

impl fmt::Display for PrefixRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.prefix.prefix_len();
        self.prefix.fmt(f)?;
        if self.min == len && self.max == len {
            Ok(())
        } else if self.min == len && self.max == self.prefix.max_prefix_len() {
            f.write_str("+")
        } else {
            write!(f, "{{{},{}}}", self.min, self.max)
        }
    }
}

/// A compiled set: the address line is cut where any range begins or ends, and
/// each piece holds the lengths that match there.
///
/// One probe suffices although ranges nest: a range inside the asked prefix only
/// ever matches lengths beyond the asked one (`min >= prefix.prefix_len()`), so
/// the piece that holds the prefix's first address has exactly the bits of the
/// ranges around the prefix at that length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PrefixSet {
    v4: Pieces<u32>,
    v6: Pieces<u128>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pieces<A> {
    /// First address of each piece, ascending (lower addresses match nothing),
    /// and where its lengths stand.
    pieces: Box<[(A, u32)]>,
    /// Few in most sets: each different one once.
    lengths: Box<[Lengths]>,
    /// How many pieces begin below each value of the leading bits, about as many
    /// values as pieces: leaves few to search.
    buckets: Box<[u32]>,
}

impl<A> Default for Pieces<A> {
    fn default() -> Self {
        Pieces {
            pieces: Box::default(),
            lengths: Box::default(),
            buckets: Box::default(),
        }
    }
}

/// An address as a number.
trait Bits: Copy + Ord {
    /// The number that its first `count` bits are.
    fn leading(self, count: u32) -> usize;
}

impl Bits for u32 {
    fn leading(self, count: u32) -> usize {
        self.checked_shr(u32::BITS - count).unwrap_or(0) as usize
    }
}

impl Bits for u128 {
    fn leading(self, count: u32) -> usize {
        self.checked_shr(u128::BITS - count).unwrap_or(0) as usize
    }
}

/// Values of the leading bits at most, as bits.
const MAX_BUCKET_BITS: u32 = 16;

/// A set of prefix lengths, 0 to 128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lengths {
    zero: bool,
    /// Bit n is length n + 1.
    rest: u128,
}

impl Hash for Lengths {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.zero, self.rest).hash(state);
    }
}

impl Lengths {
    const NONE: Lengths = Lengths {
        zero: false,
        rest: 0,
    };

    fn range(min: u8, max: u8) -> Lengths {
        // Bits for the lengths 1..=n.
        let up_to = |n: u8| match n {
            0 => 0,
            128.. => u128::MAX,
            n => (1u128 << n) - 1,
        };
        Lengths {
            zero: min == 0,
            rest: up_to(max) & !up_to(min.saturating_sub(1)),
        }
    }

    fn union(self, other: Lengths) -> Lengths {
        Lengths {
            zero: self.zero | other.zero,
            rest: self.rest | other.rest,
        }
    }

    const fn contains(self, len: u8) -> bool {
        match len {
            0 => self.zero,
            n => self.rest >> (n - 1) & 1 == 1,
        }
    }
}

impl<A: Bits> Pieces<A> {
    /// `ranges`: first and last address, lengths. Prefixes nest or are disjoint,
    /// so a stack of the open ones is enough.
    fn build(mut ranges: Vec<(A, A, Lengths)>, after: impl Fn(A) -> Option<A>) -> Self {
        // Outer before inner where both begin at the same address.
        ranges.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut pieces: Vec<(A, Lengths)> = Vec::with_capacity(ranges.len() * 2);
        let mut open: Vec<(A, Lengths)> = Vec::new();
        let push = |pieces: &mut Vec<(A, Lengths)>, start: A, lengths: Lengths| {
            // A later cut at the same address replaces the earlier one.
            if pieces.last().is_some_and(|last| last.0 == start) {
                pieces.pop();
            }
            let before = pieces.last().map_or(Lengths::NONE, |last| last.1);
            if before != lengths {
                pieces.push((start, lengths));
            }
        };
        let close = |pieces: &mut Vec<(A, Lengths)>, open: &mut Vec<(A, Lengths)>| {
            if let Some((end, _)) = open.pop()
                && let Some(start) = after(end)
            {
                push(
                    pieces,
                    start,
                    open.last().map_or(Lengths::NONE, |outer| outer.1),
                );
            }
        };
        for (first, last, lengths) in ranges {
            while open.last().is_some_and(|(end, _)| *end < first) {
                close(&mut pieces, &mut open);
            }
            let inherited = open.last().map_or(Lengths::NONE, |outer| outer.1);
            let lengths = inherited.union(lengths);
            push(&mut pieces, first, lengths);
            open.push((last, lengths));
        }
        while !open.is_empty() {
            close(&mut pieces, &mut open);
        }
        let mut lengths = Vec::new();
        let mut known = HashMap::new();
        let mut place = |of: Lengths| {
            *known.entry(of).or_insert_with(|| {
                lengths.push(of);
                lengths.len() as u32 - 1
            })
        };
        let pieces: Box<[(A, u32)]> = (pieces.into_iter())
            .map(|(start, lengths)| (start, place(lengths)))
            .collect();
        let bits = Self::bucket_bits(pieces.len());
        let below = |value: usize| pieces.partition_point(|piece| piece.0.leading(bits) < value);
        Pieces {
            buckets: (0..=1 << bits).map(|value| below(value) as u32).collect(),
            lengths: lengths.into(),
            pieces,
        }
    }

    fn bucket_bits(pieces: usize) -> u32 {
        (usize::BITS - pieces.leading_zeros()).min(MAX_BUCKET_BITS)
    }

    fn contains(&self, first: A, len: u8) -> bool {
        let bucket = first.leading(Self::bucket_bits(self.pieces.len()));
        let bound = |at: usize| self.buckets.get(at).map_or(0, |n| *n as usize);
        let (from, to) = (bound(bucket), bound(bucket + 1));
        let within = self.pieces.get(from..to).unwrap_or_default();
        let index = from + within.partition_point(|piece| piece.0 <= first);
        index
            .checked_sub(1)
            .and_then(|i| self.pieces.get(i))
            .and_then(|(_, lengths)| self.lengths.get(*lengths as usize))
            .is_some_and(|lengths| lengths.contains(len))
    }
}

impl PrefixSet {
    pub fn new(ranges: &[PrefixRange]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for range in ranges {
            let lengths = Lengths::range(range.min, range.max);
            match range.prefix {
                IpNet::V4(p) => v4.push((p.network().into(), p.broadcast().into(), lengths)),
                IpNet::V6(p) => v6.push((p.network().into(), p.broadcast().into(), lengths)),
            }
        }
        PrefixSet {
            v4: Pieces::build(v4, |a: u32| a.checked_add(1)),
            v6: Pieces::build(v6, |a: u128| a.checked_add(1)),
        }
    }

    /// Whether any prefix of the family is in the set.
    pub fn has_family(&self, family: Family) -> bool {
        match family {
            Family::Ipv4Unicast => !self.v4.pieces.is_empty(),
            Family::Ipv6Unicast => !self.v6.pieces.is_empty(),
        }
    }

    pub fn contains_v4(&self, net: Ipv4Net) -> bool {
        self.v4.contains(net.addr().into(), net.prefix_len())
    }

    pub fn contains_v6(&self, net: Ipv6Net) -> bool {
        self.v6.contains(net.addr().into(), net.prefix_len())
    }

    pub fn contains(&self, net: &IpNet) -> bool {
        match net {
            IpNet::V4(net) => self.contains_v4(*net),
            IpNet::V6(net) => self.contains_v6(*net),
        }
    }
}
