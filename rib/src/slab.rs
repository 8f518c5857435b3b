//! Storage that grows in chunks and never moves: a doubling `Vec` would need
//! half as much again while it grows, and copy a full table in one go.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Index, IndexMut};

const SHIFT: u32 = 12;
const CHUNK: usize = 1 << SHIFT;
const MASK: usize = CHUNK - 1;

/// No such id.
pub const NONE: u32 = u32::MAX;

/// An array of `T` by id, dense from zero. Ids are handed out by [`grow`];
/// reusing them is the owner's business.
///
/// [`grow`]: Chunked::grow
pub struct Chunked<T> {
    chunks: Vec<Box<[T; CHUNK]>>,
    len: u32,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Chunked {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Default> Chunked<T> {
    /// The next id never used before.
    pub fn grow(&mut self) -> u32 {
        let id = self.len;
        if (id as usize).is_multiple_of(CHUNK) {
            self.chunks.push(chunk());
        }
        self.len += 1;
        id
    }
}

impl<T> Chunked<T> {
    /// One past the greatest id ever handed out.
    pub fn len(&self) -> u32 {
        self.len
    }
}

fn chunk<T: Default>() -> Box<[T; CHUNK]> {
    let items: Box<[T]> = (0..CHUNK).map(|_| T::default()).collect();
    match items.try_into() {
        Ok(chunk) => chunk,
        Err(_) => unreachable!("collected exactly one chunk"),
    }
}

impl<T> Index<u32> for Chunked<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        &self.chunks[(id >> SHIFT) as usize][id as usize & MASK]
    }
}

impl<T> IndexMut<u32> for Chunked<T> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.chunks[(id >> SHIFT) as usize][id as usize & MASK]
    }
}

impl<T> fmt::Debug for Chunked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunked({})", self.len)
    }
}

/// A queue that grows and shrinks in chunks: a full table passes through it, and
/// is not copied for that.
pub struct Queue<T> {
    chunks: VecDeque<Box<[T; CHUNK]>>,
    /// Place of the first item in the first chunk.
    begin: usize,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            chunks: VecDeque::new(),
            begin: 0,
            len: 0,
        }
    }
}

impl<T: Copy + Default> Queue<T> {
    pub fn push_back(&mut self, item: T) {
        let at = self.begin + self.len;
        if at >> SHIFT == self.chunks.len() {
            self.chunks.push_back(chunk());
        }
        self.chunks[at >> SHIFT][at & MASK] = item;
        self.len += 1;
    }

    pub fn pop_front(&mut self) -> Option<T> {
        let item = self.at(0)?;
        self.drop_front(1);
        Some(item)
    }

    #[inline]
    pub fn at(&self, i: usize) -> Option<T> {
        let at = self.begin + i;
        (i < self.len).then(|| self.chunks[at >> SHIFT][at & MASK])
    }

    /// Takes the first `n` out, or all.
    pub fn drop_front(&mut self, n: usize) {
        let n = n.min(self.len);
        self.begin += n;
        self.len -= n;
        // The last one stays for what comes next.
        while self.begin >= CHUNK && self.chunks.len() > 1 {
            self.chunks.pop_front();
            self.begin -= CHUNK;
        }
        if self.len == 0 {
            self.begin = 0;
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.len)
    }
}

/// A sparse array of small values by id: chunks exist where something other
/// than the default was written.
pub struct Sparse<T> {
    chunks: Vec<Option<Box<[T; CHUNK]>>>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Sparse { chunks: Vec::new() }
    }
}

impl<T: Copy + Default> Sparse<T> {
    #[inline]
    pub fn load(&self, id: u32) -> T {
        match self.chunks.get((id >> SHIFT) as usize) {
            Some(Some(chunk)) => chunk[id as usize & MASK],
            _ => T::default(),
        }
    }

    #[inline]
    pub fn slot(&mut self, id: u32) -> &mut T {
        let at = (id >> SHIFT) as usize;
        if at >= self.chunks.len() {
            self.chunks.resize_with(at + 1, || None);
        }
        &mut self.chunks[at].get_or_insert_with(chunk)[id as usize & MASK]
    }
}

impl<T> fmt::Debug for Sparse<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sparse({} chunks)", self.chunks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_values_stay_across_chunks() {
        let mut slab = Chunked::<u64>::default();
        for i in 0..3 * CHUNK as u32 {
            assert_eq!(slab.grow(), i);
            slab[i] = u64::from(i) * 7;
        }
        assert!((0..slab.len()).all(|i| slab[i] == u64::from(i) * 7));
    }

    #[test]
    fn a_queue_gives_back_in_order_and_lets_go_of_chunks() {
        let mut queue = Queue::<u64>::default();
        let (mut next, mut first) = (0, 0);
        for round in 0..2000 {
            for _ in 0..round % 37 {
                queue.push_back(next);
                next += 1;
            }
            for _ in 0..round % 23 {
                let item = queue.pop_front();
                assert_eq!(item, (first < next).then_some(first));
                first += u64::from(item.is_some());
            }
        }
        assert!(queue.len() > 2 * CHUNK);
        assert_eq!(queue.at(queue.len() - 1), Some(next - 1));
        assert_eq!(queue.at(queue.len()), None);
        queue.drop_front(2 * CHUNK);
        first += 2 * CHUNK as u64;
        assert_eq!(queue.at(0), Some(first));
        assert!(queue.chunks.len() <= queue.len() / CHUNK + 2);
        queue.drop_front(usize::MAX);
        assert!(queue.is_empty() && queue.chunks.len() <= 1);
        queue.push_back(7);
        assert_eq!(queue.pop_front(), Some(7));
    }

    #[test]
    fn sparse_reads_default_where_nothing_was_written() {
        let mut sparse = Sparse::<u32>::default();
        *sparse.slot(100_000) = 5;
        assert_eq!(sparse.load(100_000), 5);
        assert_eq!(sparse.load(99_999), 0);
        assert_eq!(sparse.load(4_000_000), 0);
    }
}
