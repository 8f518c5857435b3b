//! The ring of changed destinations, appended to by decisions and read by the
//! kernel's view, the update groups and the taps, each at its own pace.

use godwit_bgp::Family;

use crate::slab::Queue;

/// A destination of either family. Ordered: all of IPv4 before IPv6, by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u32);

const V6: u32 = 1 << 31;

impl Mark {
    pub const FIRST: Mark = Mark(0);

    #[inline]
    pub fn new(family: Family, dest: u32) -> Mark {
        match family {
            Family::Ipv4Unicast => Mark(dest),
            Family::Ipv6Unicast => Mark(dest | V6),
        }
    }

    #[inline]
    pub fn family(self) -> Family {
        if self.0 & V6 == 0 {
            Family::Ipv4Unicast
        } else {
            Family::Ipv6Unicast
        }
    }

    #[inline]
    pub fn dest(self) -> u32 {
        self.0 & !V6
    }

    /// The next id of the family.
    pub fn successor(self) -> Mark {
        Mark(self.0 + 1)
    }

    /// Where the family that is walked after this one begins.
    pub fn family_after(family: Family) -> Option<Mark> {
        match family {
            Family::Ipv4Unicast => Some(Mark(V6)),
            Family::Ipv6Unicast => None,
        }
    }

    pub fn bits(self) -> u32 {
        self.0
    }

    pub fn from_bits(bits: u32) -> Mark {
        Mark(bits)
    }
}

/// Entries that a reader may be behind before it has to start over: 8 MB.
const MAX_BEHIND: usize = 2 << 20;

/// The changes that some reader has not seen. A position counts all that were
/// ever appended.
#[derive(Debug, Default)]
pub struct Ring {
    entries: Queue<Mark>,
    begin: u64,
}

impl Ring {
    /// Appends; the caller keeps a destination from standing twice in what no
    /// reader has passed. What is lost by it, if the ring is full.
    pub fn push(&mut self, mark: Mark) -> Option<Mark> {
        let lost = if self.entries.len() == MAX_BEHIND {
            self.begin += 1;
            self.entries.pop_front()
        } else {
            None
        };
        self.entries.push_back(mark);
        lost
    }

    /// The position of the first entry that is kept. A new reader begins here:
    /// a destination that stands in the ring is not appended again when it
    /// changes before anybody has come to it.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The position after the last entry.
    pub fn end(&self) -> u64 {
        self.begin + self.entries.len() as u64
    }

    /// Whether entries after this position are lost.
    pub fn lapped(&self, cursor: u64) -> bool {
        cursor < self.begin
    }

    #[inline]
    pub fn at(&self, cursor: u64) -> Option<Mark> {
        let i = cursor.checked_sub(self.begin)?;
        self.entries.at(i as usize)
    }

    /// All readers are at this position or after it.
    pub fn trim(&mut self, cursor: u64) {
        let n = cursor.saturating_sub(self.begin) as usize;
        self.entries.drop_front(n);
        self.begin = self.begin.max(cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_left_behind_is_told() {
        let mut ring = Ring::default();
        for i in 0..MAX_BEHIND as u32 + 2 {
            ring.push(Mark::new(Family::Ipv4Unicast, i));
        }
        assert!(ring.lapped(1));
        assert!(!ring.lapped(2));
        assert_eq!(ring.at(2).map(Mark::dest), Some(2));
        ring.trim(ring.end());
        assert_eq!(ring.at(ring.end()), None);
        assert!(ring.lapped(2));
    }
}
