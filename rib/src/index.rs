//! A hash index from what a slab holds to its id, four bytes an entry and one
//! of control.

use std::fmt;

use hashbrown::HashTable;

const SHARD_BITS: u32 = 8;

/// Split by the hash's upper bits into tables that grow one at a time, so that
/// no insertion pays for moving a whole full table.
pub struct Index {
    shards: Box<[HashTable<u32>]>,
}

impl Default for Index {
    fn default() -> Self {
        Index {
            shards: (0..1 << SHARD_BITS).map(|_| HashTable::new()).collect(),
        }
    }
}

// The table itself takes its bucket from the low bits and its tag from the top
// seven; the shard is taken from below those.
fn shard(hash: u64) -> usize {
    (hash >> (57 - SHARD_BITS)) as usize & ((1 << SHARD_BITS) - 1)
}

impl Index {
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(hash, eq).copied()
    }

    pub fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(&u32) -> u64) {
        self.shards[shard(hash)].insert_unique(hash, id, rehash);
    }

    pub fn remove(&mut self, hash: u64, id: u32) {
        if let Ok(entry) = self.shards[shard(hash)].find_entry(hash, |&other| other == id) {
            entry.remove();
        }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({})", self.len())
    }
}
