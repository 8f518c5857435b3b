//! Attribute blocks, each distinct one stored once.
//!
//! A block is a next hop and the canonical bytes of the other attributes,
//! copied out of the message they came in. Beside them stands all that the
//! decision process compares, so that comparing never parses.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use godwit_bgp::NextHop;
use godwit_bgp::attrs::{AttrsBuf, AttrsRef, code, community};
use godwit_bgp::community::ExtCommunity;

use crate::index::Index;
use crate::nexthop::{NextHopId, NextHops};
use crate::slab::{Chunked, NONE};

/// Names an attribute block. Whoever keeps one holds a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttrId(pub u32);

impl AttrId {
    pub const NONE: AttrId = AttrId(NONE);

    pub fn is_some(self) -> bool {
        self != AttrId::NONE
    }
}

/// The LOCAL_PREF of a path that carries none.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// What the decision process and the export rules ask of a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Key {
    /// Of [`Local`](godwit_bgp::attrs::Local).
    pub weight: u32,
    pub local_pref: u32,
    /// 0 when missing (RFC 4271 §9.1.2.2 c).
    pub med: u32,
    /// First AS of a leading AS_SEQUENCE, else 0.
    pub neighbour_as: u32,
    /// ORIGINATOR_ID, else 0, which none can be (RFC 6286).
    pub originator_id: u32,
    /// Of the first link bandwidth community, in octets a second; 0: none.
    bandwidth: f32,
    pub path_len: u16,
    pub cluster_len: u16,
    pub origin: u8,
    flags: u8,
}

const NO_EXPORT: u8 = 1;
const NO_ADVERTISE: u8 = 2;
const BLACKHOLE: u8 = 4;

impl Key {
    fn of(attrs: AttrsRef<'_>) -> Key {
        let mut key = Key {
            local_pref: DEFAULT_LOCAL_PREF,
            ..Key::default()
        };
        for attr in attrs.iter() {
            let number = || {
                attr.value
                    .first_chunk()
                    .map_or(0, |b| u32::from_be_bytes(*b))
            };
            match attr.code {
                code::LOCAL => {
                    let local = attrs.local();
                    key.weight = local.weight;
                    if local.blackhole {
                        key.flags |= BLACKHOLE;
                    }
                }
                code::EXT_COMMUNITIES => {
                    let bandwidth = |c| ExtCommunity(c).link_bandwidth();
                    let first = attrs.ext_communities().find_map(bandwidth);
                    key.bandwidth = first.map_or(0.0, |(_, octets)| octets);
                }
                code::ORIGIN => key.origin = attr.value.first().copied().unwrap_or(2),
                code::AS_PATH => {
                    let path = attrs.as_path();
                    key.path_len = u16::try_from(path.length()).unwrap_or(u16::MAX);
                    key.neighbour_as = path.first_as().map_or(0, |asn| asn.0);
                }
                code::MED => key.med = number(),
                code::LOCAL_PREF => key.local_pref = number(),
                code::ORIGINATOR_ID => key.originator_id = number(),
                code::CLUSTER_LIST => key.cluster_len = (attr.value.len() / 4) as u16,
                code::COMMUNITIES => {
                    for c in attrs.communities() {
                        key.flags |= match c {
                            community::NO_EXPORT | community::NO_EXPORT_SUBCONFED => NO_EXPORT,
                            community::NO_ADVERTISE => NO_ADVERTISE,
                            _ => 0,
                        };
                    }
                }
                _ => {}
            }
        }
        key
    }

    /// NO_EXPORT or NO_EXPORT_SUBCONFED (RFC 1997): alike without
    /// confederations.
    pub fn no_export(&self) -> bool {
        self.flags & NO_EXPORT != 0
    }

    /// Octets a second, more than zero.
    pub fn bandwidth(&self) -> Option<f64> {
        (self.bandwidth > 0.0).then_some(self.bandwidth.into())
    }

    /// The kernel is to drop, so the next hop does not matter.
    pub fn blackhole(&self) -> bool {
        self.flags & BLACKHOLE != 0
    }

    pub fn no_advertise(&self) -> bool {
        self.flags & NO_ADVERTISE != 0
    }
}

/// An attribute block: 64 bytes and those of the attributes.
#[derive(Debug, Default)]
struct Block {
    bytes: Box<[u8]>,
    pub key: Key,
    pub next_hop: NextHopId,
    refs: u32,
    hash: u32,
    /// How often the id was given anew: tells a remembered id from its
    /// successor. In a free block, `hash` links to the next free one.
    serial: u32,
}

/// An id that is remembered without holding a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weak {
    id: AttrId,
    serial: u32,
}

/// All blocks.
#[derive(Debug)]
pub struct Interner {
    blocks: Chunked<Block>,
    index: Index,
    free: u32,
    seed: RandomState,
    pub next_hops: NextHops,
}

impl Default for Interner {
    fn default() -> Self {
        Interner {
            blocks: Chunked::default(),
            index: Index::default(),
            free: NONE,
            // Peers choose the bytes: they must not choose the collisions.
            seed: RandomState::default(),
            next_hops: NextHops::default(),
        }
    }
}

/// The index splits on the upper bits of a hash, of which a block keeps 32.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Interner {
    /// The id of these attributes, with one more reference.
    pub fn intern(&mut self, attrs: AttrsRef<'_>) -> AttrId {
        let hash = self.seed.hash_one((&attrs.next_hop, attrs.bytes)) as u32;
        let next_hop = self.next_hops.id(attrs.next_hop);
        let found = next_hop.and_then(|next_hop| {
            self.index.find(spread(hash), |&id| {
                let block = &self.blocks[id];
                block.hash == hash && block.next_hop == next_hop && *block.bytes == *attrs.bytes
            })
        });
        let id = match found {
            Some(id) => id,
            None => self.insert(attrs, hash),
        };
        self.blocks[id].refs += 1;
        AttrId(id)
    }

    fn insert(&mut self, attrs: AttrsRef<'_>, hash: u32) -> u32 {
        let id = if self.free == NONE {
            self.blocks.grow()
        } else {
            let id = self.free;
            self.free = self.blocks[id].hash;
            id
        };
        let next_hop = self.next_hops.acquire(attrs.next_hop);
        let block = &mut self.blocks[id];
        *block = Block {
            bytes: attrs.bytes.into(),
            key: Key::of(attrs),
            next_hop,
            refs: 0,
            hash,
            serial: block.serial,
        };
        let blocks = &self.blocks;
        self.index
            .insert(spread(hash), id, |&id| spread(blocks[id].hash));
        id
    }

    #[inline]
    pub fn retain(&mut self, id: AttrId) {
        self.retain_many(id, 1);
    }

    #[inline]
    pub fn retain_many(&mut self, id: AttrId, n: u32) {
        if id.is_some() {
            self.blocks[id.0].refs += n;
        }
    }

    #[inline]
    pub fn release(&mut self, id: AttrId) {
        if id.is_some() {
            let block = &mut self.blocks[id.0];
            block.refs -= 1;
            if block.refs == 0 {
                self.remove(id.0);
            }
        }
    }

    fn remove(&mut self, id: u32) {
        let block = &mut self.blocks[id];
        self.index.remove(spread(block.hash), id);
        self.next_hops.release(block.next_hop);
        block.bytes = Box::default();
        block.serial = block.serial.wrapping_add(1);
        block.hash = self.free;
        self.free = id;
    }

    #[inline]
    pub fn key(&self, id: AttrId) -> &Key {
        &self.blocks[id.0].key
    }

    #[inline]
    pub fn next_hop_id(&self, id: AttrId) -> NextHopId {
        self.blocks[id.0].next_hop
    }

    pub fn attrs(&self, id: AttrId) -> AttrsRef<'_> {
        let block = &self.blocks[id.0];
        AttrsRef {
            next_hop: self.next_hops.address(block.next_hop),
            bytes: &block.bytes,
        }
    }

    pub fn next_hop(&self, id: AttrId) -> NextHop {
        self.next_hops.address(self.next_hop_id(id))
    }

    pub fn owned(&self, id: AttrId) -> AttrsBuf {
        AttrsBuf::from_ref(self.attrs(id))
    }

    /// Remembers the id without keeping it.
    #[inline]
    pub fn weak(&self, id: AttrId) -> Weak {
        let serial = if id.is_some() {
            self.blocks[id.0].serial
        } else {
            0
        };
        Weak { id, serial }
    }

    /// The id, unless it has been given to other attributes since, or to none.
    #[inline]
    pub fn upgrade(&self, weak: Weak) -> Option<AttrId> {
        let live = !weak.id.is_some() || {
            let block = &self.blocks[weak.id.0];
            block.serial == weak.serial && block.refs > 0
        };
        live.then_some(weak.id)
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }
}
