//! Sets of destinations by id.

/// A set of small numbers, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    ones: u32,
}

fn at(id: u32) -> (usize, u64) {
    ((id >> 6) as usize, 1 << (id & 63))
}

impl Bitmap {
    #[inline]
    pub fn get(&self, id: u32) -> bool {
        let (word, bit) = at(id);
        self.words.get(word).is_some_and(|w| w & bit != 0)
    }

    pub fn set(&mut self, id: u32) {
        let (word, bit) = at(id);
        if word >= self.words.len() {
            // In steps that don't reallocate for each destination.
            self.words.resize((word + 1).next_multiple_of(512), 0);
        }
        self.ones += u32::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    pub fn clear(&mut self, id: u32) {
        let (word, bit) = at(id);
        if let Some(w) = self.words.get_mut(word)
            && *w & bit != 0
        {
            *w &= !bit;
            self.ones -= 1;
        }
    }

    /// The first member that is not less than `from`.
    pub fn next(&self, from: u32) -> Option<u32> {
        let (first, _) = at(from);
        let mut word = first;
        let mut bits = *self.words.get(word)? & (u64::MAX << (from & 63));
        while bits == 0 {
            word += 1;
            bits = *self.words.get(word)?;
        }
        Some((word as u32) << 6 | bits.trailing_zeros())
    }

    pub fn union(&mut self, other: &Bitmap) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.ones = 0;
        for (i, word) in self.words.iter_mut().enumerate() {
            *word |= other.words.get(i).copied().unwrap_or(0);
            self.ones += word.count_ones();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_what_was_set_in_order() {
        let mut map = Bitmap::default();
        for id in [70_000, 0, 63, 64, 5] {
            map.set(id);
        }
        map.set(5);
        map.clear(63);
        map.clear(1_000_000);
        let first = map.next(0);
        let all = std::iter::successors(first, |id| map.next(id + 1));
        assert!(all.eq([0, 5, 64, 70_000]));
        let mut other = Bitmap::default();
        other.set(200_000);
        other.union(&map);
        assert_eq!(other.ones, 5);
    }
}
