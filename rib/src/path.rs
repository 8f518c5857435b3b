//! A path: one prefix as one peer gave it, under one path identifier where the
//! peer gives several.

use std::fmt;

use godwit_bgp::PathId;
use godwit_policy::import::Check;

use crate::api::PeerId;
use crate::interner::AttrId;
use crate::slab::{Chunked, NONE};

/// What import made of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    #[default]
    Accepted = 0,
    /// A rule of the import policy.
    Policy = 1,
    /// Our own AS is in its AS_PATH (RFC 4271 §9.1.2).
    AsLoop = 2,
    /// Its ORIGINATOR_ID is our router id (RFC 4456 §8).
    OriginatorLoop = 3,
    /// Our cluster id is in its CLUSTER_LIST (RFC 4456 §8).
    ClusterLoop = 4,
    /// Its next hop is one of our own addresses (RFC 4271 §5.1.3).
    OwnNextHop = 5,
    /// Its next hop cannot be anyone's (RFC 4271 §6.3).
    InvalidNextHop = 6,
    /// Its AS_PATH does not begin with the peer's AS (RFC 4271 §6.3).
    FirstAs = 7,
    /// A set is in its AS_PATH (RFC 9774).
    AsSet = 8,
    /// Its AS_PATH has more numbers than we take.
    PathTooLong = 9,
    /// It went up or across before, and comes from below or across (RFC 9234).
    RouteLeak = 10,
    /// The peer's prefix limit has no room for it.
    OverLimit = 11,
}

impl Verdict {
    /// By number.
    const ALL: [Verdict; 12] = [
        Verdict::Accepted,
        Verdict::Policy,
        Verdict::AsLoop,
        Verdict::OriginatorLoop,
        Verdict::ClusterLoop,
        Verdict::OwnNextHop,
        Verdict::InvalidNextHop,
        Verdict::FirstAs,
        Verdict::AsSet,
        Verdict::PathTooLong,
        Verdict::RouteLeak,
        Verdict::OverLimit,
    ];

    fn from_bits(bits: u8) -> Verdict {
        match Verdict::ALL.get(usize::from(bits)) {
            Some(verdict) => *verdict,
            None => unreachable!("only verdicts are written"),
        }
    }
}

impl Verdict {
    /// As a path keeps what import said.
    pub(crate) fn split(accepted: Result<AttrId, Verdict>) -> (Verdict, AttrId) {
        match accepted {
            Ok(attr) => (Verdict::Accepted, attr),
            Err(verdict) => (verdict, AttrId::NONE),
        }
    }
}

impl From<Check> for Verdict {
    fn from(check: Check) -> Verdict {
        match check {
            Check::MaxAsPath => Verdict::PathTooLong,
            Check::AsSet => Verdict::AsSet,
            Check::AsLoop => Verdict::AsLoop,
            Check::FirstAs => Verdict::FirstAs,
            Check::Role => Verdict::RouteLeak,
            Check::OriginatorId => Verdict::OriginatorLoop,
            Check::ClusterList => Verdict::ClusterLoop,
            Check::NextHop => Verdict::InvalidNextHop,
            Check::OwnNextHop => Verdict::OwnNextHop,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Accepted => "accepted",
            Verdict::Policy => "rejected by policy",
            Verdict::AsLoop => return Check::AsLoop.fmt(f),
            Verdict::OriginatorLoop => return Check::OriginatorId.fmt(f),
            Verdict::ClusterLoop => return Check::ClusterList.fmt(f),
            Verdict::OwnNextHop => return Check::OwnNextHop.fmt(f),
            Verdict::InvalidNextHop => return Check::NextHop.fmt(f),
            Verdict::FirstAs => return Check::FirstAs.fmt(f),
            Verdict::AsSet => return Check::AsSet.fmt(f),
            Verdict::PathTooLong => return Check::MaxAsPath.fmt(f),
            Verdict::RouteLeak => return Check::Role.fmt(f),
            Verdict::OverLimit => "over the prefix limit",
        })
    }
}

const VERDICT: u8 = 0x0f;
const BLACKHOLE: u8 = 0x10;

/// 24 bytes. `attr_in` and `attr` each hold one reference to their block;
/// `attr` is that of `attr_in` after the import policy, and [`AttrId::NONE`]
/// where the verdict is not to accept.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The next path of the destination, or of the free list.
    pub next: u32,
    pub peer: PeerId,
    /// How often the peer had begun to refresh the family (RFC 7313), or to
    /// restart (RFC 4724), when it came: fewer times than by now, and it is stale.
    pub epoch: u8,
    pub flags: u8,
    pub attr_in: AttrId,
    pub attr: AttrId,
    /// RFC 7911's path identifier as the peer gave it, 0 without.
    pub rx_path_id: PathId,
    /// Whole seconds.
    pub since: u32,
}

impl Default for Path {
    fn default() -> Self {
        Path {
            next: NONE,
            peer: PeerId::LOCAL,
            epoch: 0,
            flags: 0,
            attr_in: AttrId::NONE,
            attr: AttrId::NONE,
            rx_path_id: PathId(0),
            since: 0,
        }
    }
}

impl Path {
    pub fn flags_of(verdict: Verdict, blackhole: bool) -> u8 {
        verdict as u8 | if blackhole { BLACKHOLE } else { 0 }
    }

    pub fn verdict(&self) -> Verdict {
        Verdict::from_bits(self.flags & VERDICT)
    }

    #[inline]
    pub fn accepted(&self) -> bool {
        self.flags & VERDICT == 0
    }

    /// As accepted, else as received.
    pub fn used_attr(&self) -> AttrId {
        if self.attr.is_some() {
            self.attr
        } else {
            self.attr_in
        }
    }

    /// A route of our own that wants a blackhole in the kernel.
    pub fn blackhole(&self) -> bool {
        self.flags & BLACKHOLE != 0
    }
}

/// The identifier by which the path in this slot goes out (RFC 7911 §3): as
/// stable as the path is.
pub fn tx_path_id(slot: u32) -> PathId {
    PathId(slot + 1)
}

/// All paths of all destinations.
#[derive(Debug)]
pub struct Paths {
    slab: Chunked<Path>,
    free: u32,
}

impl Default for Paths {
    fn default() -> Self {
        Paths {
            slab: Chunked::default(),
            free: NONE,
        }
    }
}

impl Paths {
    pub fn insert(&mut self, path: Path) -> u32 {
        let id = if self.free == NONE {
            self.slab.grow()
        } else {
            let id = self.free;
            self.free = self.slab[id].next;
            id
        };
        self.slab[id] = path;
        id
    }

    pub fn release(&mut self, id: u32) {
        self.slab[id] = Path {
            next: self.free,
            ..Path::default()
        };
        self.free = id;
    }

    #[inline]
    pub fn at(&self, id: u32) -> &Path {
        &self.slab[id]
    }

    #[inline]
    pub fn at_mut(&mut self, id: u32) -> &mut Path {
        &mut self.slab[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_comes_back_from_the_flags() {
        for (bits, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, bits);
            for blackhole in [false, true] {
                let flags = Path::flags_of(verdict, blackhole);
                let path = Path {
                    flags,
                    ..Path::default()
                };
                assert_eq!((path.verdict(), path.blackhole()), (verdict, blackhole));
            }
        }
    }

    #[test]
    fn a_path_takes_24_bytes() {
        assert_eq!(size_of::<Path>(), 24);
    }
}
