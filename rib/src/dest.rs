//! Destinations: what is known of each prefix, keyed inline, in one slab a
//! family.

use std::hash::BuildHasher;
use std::net::{Ipv4Addr, Ipv6Addr};

use foldhash::quality::RandomState;
use godwit_bgp::Family;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::index::Index;
use crate::ring::Mark;
use crate::slab::{Chunked, NONE};

/// What is known of a prefix, apart from its address.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// First of the paths, linked by `next`.
    pub paths: u32,
    /// The path that the last decision chose, never one that is gone.
    pub best: u32,
    /// What the kernel was last asked for (see [`crate::fibview`]).
    pub fib: u32,
    /// Low half of the sequence number of that.
    pub fib_seq: u32,
    pub len: u8,
    pub flags: u8,
    /// See [`crate::presence`].
    pub presence: u8,
    /// Unused; keeps the size in words.
    _spare: u8,
}

/// Has an id and a place in the index.
pub const LIVE: u8 = 0x01;
/// Waits for a decision.
pub const DIRTY: u8 = 0x02;
/// Its best path was replaced or removed since the last decision.
pub const TOUCHED: u8 = 0x04;
/// Is in the change ring, and no reader has been there yet.
pub const PENDING: u8 = 0x08;
/// Is in the line of those to be freed.
pub const GRAVE: u8 = 0x10;
/// The kernel has what `fib` says.
pub const INSTALLED: u8 = 0x20;
/// The kernel refused what `fib` says.
pub const REFUSED: u8 = 0x40;
/// No reader has been told of it since its grave was found quiet.
pub const QUIET: u8 = 0x80;

impl State {
    fn new(len: u8) -> State {
        State {
            paths: NONE,
            best: NONE,
            fib: 0,
            fib_seq: 0,
            len,
            flags: LIVE,
            presence: 0,
            _spare: 0,
        }
    }

    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub fn set(&mut self, flag: u8) {
        self.flags |= flag;
    }

    #[inline]
    pub fn clear(&mut self, flag: u8) {
        self.flags &= !flag;
    }
}

/// An address as a destination keeps it: words, so that nothing is padded.
pub trait Address: Copy + Eq + Default {
    type Net: Copy + Into<IpNet>;
    const FAMILY: Family;
    fn of(net: Self::Net) -> (Self, u8);
    fn net(self, len: u8) -> Self::Net;
    fn hash(self, len: u8, seed: &RandomState) -> u64;
    fn table(tables: &Tables) -> &Table<Self>;
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
}

/// An IPv4 address in host order.
pub type V4 = u32;

/// An IPv6 address in host order, highest word first.
pub type V6 = [u32; 4];

impl Address for V4 {
    type Net = Ipv4Net;
    const FAMILY: Family = Family::Ipv4Unicast;

    #[inline]
    fn of(net: Ipv4Net) -> (V4, u8) {
        (net.addr().into(), net.prefix_len())
    }

    #[inline]
    fn net(self, len: u8) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::from(self), len)
    }

    #[inline]
    fn hash(self, len: u8, seed: &RandomState) -> u64 {
        seed.hash_one(u64::from(self) << 8 | u64::from(len))
    }

    #[inline]
    fn table(tables: &Tables) -> &Table<V4> {
        &tables.v4
    }

    #[inline]
    fn table_mut(tables: &mut Tables) -> &mut Table<V4> {
        &mut tables.v4
    }
}

fn v6_words(address: Ipv6Addr) -> V6 {
    let bits = address.to_bits();
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

fn v6_bits(words: V6) -> u128 {
    words
        .into_iter()
        .fold(0, |bits, word| bits << 32 | u128::from(word))
}

impl Address for V6 {
    type Net = Ipv6Net;
    const FAMILY: Family = Family::Ipv6Unicast;

    #[inline]
    fn of(net: Ipv6Net) -> (V6, u8) {
        (v6_words(net.addr()), net.prefix_len())
    }

    #[inline]
    fn net(self, len: u8) -> Ipv6Net {
        Ipv6Net::new_assert(Ipv6Addr::from_bits(v6_bits(self)), len)
    }

    #[inline]
    fn hash(self, len: u8, seed: &RandomState) -> u64 {
        seed.hash_one((v6_bits(self), len))
    }

    #[inline]
    fn table(tables: &Tables) -> &Table<V6> {
        &tables.v6
    }

    #[inline]
    fn table_mut(tables: &mut Tables) -> &mut Table<V6> {
        &mut tables.v6
    }
}

/// 24 bytes for IPv4, 36 for IPv6.
#[derive(Clone, Copy, Debug)]
struct Dest<A> {
    address: A,
    state: State,
}

impl<A: Default> Default for Dest<A> {
    fn default() -> Self {
        Dest {
            address: A::default(),
            state: State {
                flags: 0,
                ..State::new(0)
            },
        }
    }
}

/// The destinations of one family.
#[derive(Debug)]
pub struct Table<A> {
    slab: Chunked<Dest<A>>,
    index: Index,
    /// Head of the free list, linked by `state.paths`.
    free: u32,
    seed: RandomState,
    /// Destinations by prefix length: a covering search probes only those.
    by_len: Vec<u32>,
}

impl<A: Address> Default for Table<A> {
    fn default() -> Self {
        Table {
            slab: Chunked::default(),
            index: Index::default(),
            free: NONE,
            seed: RandomState::default(),
            by_len: vec![0; usize::from(A::FAMILY.max_prefix_len()) + 1],
        }
    }
}

impl<A: Address> Table<A> {
    #[inline]
    pub fn find(&self, net: A::Net) -> Option<u32> {
        let (address, len) = A::of(net);
        self.lookup(address, len, address.hash(len, &self.seed))
    }

    #[inline]
    fn lookup(&self, address: A, len: u8, hash: u64) -> Option<u32> {
        self.index.find(hash, |&id| {
            let dest = &self.slab[id];
            dest.address == address && dest.state.len == len
        })
    }

    /// The destination of this prefix, made if it has none.
    #[inline]
    pub fn find_or_insert(&mut self, net: A::Net) -> u32 {
        let (address, len) = A::of(net);
        let hash = address.hash(len, &self.seed);
        match self.lookup(address, len, hash) {
            Some(id) => id,
            None => self.insert(address, len, hash),
        }
    }

    fn insert(&mut self, address: A, len: u8, hash: u64) -> u32 {
        let id = if self.free == NONE {
            self.slab.grow()
        } else {
            let id = self.free;
            self.free = self.slab[id].state.paths;
            id
        };
        self.slab[id] = Dest {
            address,
            state: State::new(len),
        };
        self.by_len[usize::from(len)] += 1;
        let (slab, seed) = (&self.slab, &self.seed);
        self.index.insert(hash, id, |&id| {
            let dest = &slab[id];
            dest.address.hash(dest.state.len, seed)
        });
        id
    }

    /// Gives the id back. Nothing may name it any more.
    pub fn remove(&mut self, id: u32) {
        let Dest { address, state } = self.slab[id];
        self.index.remove(address.hash(state.len, &self.seed), id);
        self.by_len[usize::from(state.len)] -= 1;
        self.slab[id] = Dest::default();
        self.slab[id].state.paths = self.free;
        self.free = id;
    }

    #[inline]
    pub fn state(&self, id: u32) -> &State {
        &self.slab[id].state
    }

    #[inline]
    pub fn state_mut(&mut self, id: u32) -> &mut State {
        &mut self.slab[id].state
    }

    #[inline]
    pub fn net(&self, id: u32) -> A::Net {
        let dest = &self.slab[id];
        dest.address.net(dest.state.len)
    }

    /// One past the greatest id.
    pub fn bound(&self) -> u32 {
        self.slab.len()
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether any destination has this prefix length.
    pub fn has_len(&self, len: u8) -> bool {
        self.by_len.get(usize::from(len)).is_some_and(|n| *n > 0)
    }
}

/// The destinations of all families.
#[derive(Debug, Default)]
pub struct Tables {
    pub v4: Table<V4>,
    pub v6: Table<V6>,
}

impl Tables {
    #[inline]
    pub fn state(&self, mark: Mark) -> &State {
        match mark.family() {
            Family::Ipv4Unicast => self.v4.state(mark.dest()),
            Family::Ipv6Unicast => self.v6.state(mark.dest()),
        }
    }

    #[inline]
    pub fn state_mut(&mut self, mark: Mark) -> &mut State {
        match mark.family() {
            Family::Ipv4Unicast => self.v4.state_mut(mark.dest()),
            Family::Ipv6Unicast => self.v6.state_mut(mark.dest()),
        }
    }

    pub fn net(&self, mark: Mark) -> IpNet {
        match mark.family() {
            Family::Ipv4Unicast => self.v4.net(mark.dest()).into(),
            Family::Ipv6Unicast => self.v6.net(mark.dest()).into(),
        }
    }

    pub fn find(&self, net: IpNet) -> Option<Mark> {
        let (family, dest) = match net {
            IpNet::V4(net) => (Family::Ipv4Unicast, self.v4.find(net)?),
            IpNet::V6(net) => (Family::Ipv6Unicast, self.v6.find(net)?),
        };
        Some(Mark::new(family, dest))
    }

    pub fn find_or_insert(&mut self, net: IpNet) -> Mark {
        match net {
            IpNet::V4(net) => Mark::new(Family::Ipv4Unicast, self.v4.find_or_insert(net)),
            IpNet::V6(net) => Mark::new(Family::Ipv6Unicast, self.v6.find_or_insert(net)),
        }
    }

    pub fn remove(&mut self, mark: Mark) {
        match mark.family() {
            Family::Ipv4Unicast => self.v4.remove(mark.dest()),
            Family::Ipv6Unicast => self.v6.remove(mark.dest()),
        }
    }

    pub fn bound(&self, family: Family) -> u32 {
        match family {
            Family::Ipv4Unicast => self.v4.bound(),
            Family::Ipv6Unicast => self.v6.bound(),
        }
    }

    pub fn has_len(&self, family: Family, len: u8) -> bool {
        match family {
            Family::Ipv4Unicast => self.v4.has_len(len),
            Family::Ipv6Unicast => self.v6.has_len(len),
        }
    }

    /// The first live destination that is not before `from`, looking at no
    /// more than `budget` ids, each of which it takes off. `Err` says where to
    /// go on, `Err(None)` that all were seen.
    pub fn next_live(&self, from: Mark, budget: &mut usize) -> Result<Mark, Option<Mark>> {
        let mut at = from;
        loop {
            if at.dest() >= self.bound(at.family()) {
                at = Mark::family_after(at.family()).ok_or(None)?;
                continue;
            }
            if *budget == 0 {
                return Err(Some(at));
            }
            *budget -= 1;
            if self.state(at).has(LIVE) {
                return Ok(at);
            }
            at = at.successor();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_takes_24_and_36_bytes() {
        assert_eq!(size_of::<Dest<V4>>(), 24);
        assert_eq!(size_of::<Dest<V6>>(), 36);
    }

    #[test]
    fn prefixes_are_found_apart_by_length_and_ids_are_reused() {
        let mut tables = Tables::default();
        let nets = ["10.0.0.0/8", "10.0.0.0/16", "2001:db8::/32", "::/0"];
        let nets = nets.map(|net| net.parse::<IpNet>().expect("a prefix"));
        let marks = nets.map(|net| tables.find_or_insert(net));
        for (net, mark) in nets.into_iter().zip(marks) {
            assert_eq!(tables.find(net), Some(mark));
            assert_eq!(tables.net(mark), net);
        }
        tables.remove(marks[0]);
        assert_eq!(tables.find(nets[0]), None);
        assert!(!tables.has_len(Family::Ipv4Unicast, 8));
        let again = tables.find_or_insert("192.0.2.0/24".parse().expect("a prefix"));
        assert_eq!(again, marks[0]);
    }
}
