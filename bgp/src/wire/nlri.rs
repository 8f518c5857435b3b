//! Prefixes on the wire (RFC 4271 §4.3): a length in bits and as many octets
//! as it needs, with ADD-PATH after an identifier (RFC 7911 §3). Checked once,
//! decoded when asked for.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::types::PathId;

/// Where a run of checked prefixes lies in the body of an UPDATE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nlri {
    start: u16,
    end: u16,
    count: u16,
    /// Each after a path identifier.
    ids: bool,
}

impl Nlri {
    /// Checks every prefix of `field`, which starts at `start` in the body.
    /// `None` when one is longer than `max_bits` or the field ends within one
    /// (RFC 7606 §5.3). `ids`: each stands after a path identifier.
    pub(super) fn check(field: &[u8], start: usize, max_bits: u8, ids: bool) -> Option<Nlri> {
        let mut rest = field;
        let mut count = 0u16;
        while !rest.is_empty() {
            if ids {
                (_, rest) = rest.split_first_chunk::<ID>()?;
            }
            let (&bits, tail) = rest.split_first()?;
            if bits > max_bits {
                return None;
            }
            rest = tail.get(octets(bits)..)?;
            count += 1;
        }
        let start = u16::try_from(start).ok()?;
        let end = start.checked_add(u16::try_from(field.len()).ok()?)?;
        Some(Nlri {
            start,
            end,
            count,
            ids,
        })
    }

    /// How many prefixes.
    pub const fn len(self) -> usize {
        self.count as usize
    }

    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The octets, in the body that the prefixes were found in.
    fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start.into()..self.end.into())
            .unwrap_or_default()
    }

    pub(super) fn v4(self, body: &[u8]) -> PathsV4<'_> {
        PathsV4 {
            rest: self.of(body),
            ids: self.ids,
        }
    }

    pub(super) fn v6(self, body: &[u8]) -> PathsV6<'_> {
        PathsV6 {
            rest: self.of(body),
            ids: self.ids,
        }
    }
}

/// Octets of a path identifier.
const ID: usize = 4;

/// Octets that a prefix of so many bits takes.
#[inline]
const fn octets(bits: u8) -> usize {
    (bits as usize).div_ceil(8)
}

/// Takes the identifier that a prefix stands after, if there are any. A path
/// without one has the identifier 0, which is as good as any other.
#[inline]
fn take_id(rest: &[u8], ids: bool) -> Option<(PathId, &[u8])> {
    if !ids {
        return Some((PathId(0), rest));
    }
    let (id, rest) = rest.split_first_chunk::<ID>()?;
    Some((PathId(u32::from_be_bytes(*id)), rest))
}

/// The prefixes of one field, host bits cleared. Empty past a fault, which
/// checked fields do not have.
#[derive(Clone, Debug)]
pub struct PathsV4<'a> {
    rest: &'a [u8],
    ids: bool,
}

impl Iterator for PathsV4<'_> {
    type Item = (PathId, Ipv4Net);

    #[inline]
    fn next(&mut self) -> Option<(PathId, Ipv4Net)> {
        let (id, rest) = take_id(self.rest, self.ids)?;
        let (&bits, tail) = rest.split_first()?;
        let (prefix, rest) = tail.split_at_checked(octets(bits))?;
        self.rest = rest;
        let address = match *prefix {
            [] => 0,
            [a] => u32::from_be_bytes([a, 0, 0, 0]),
            [a, b] => u32::from_be_bytes([a, b, 0, 0]),
            [a, b, c] => u32::from_be_bytes([a, b, c, 0]),
            [a, b, c, d] => u32::from_be_bytes([a, b, c, d]),
            _ => return None,
        };
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        let net = Ipv4Net::new(Ipv4Addr::from(address & mask), bits).ok()?;
        Some((id, net))
    }
}

/// As [`PathsV4`].
#[derive(Clone, Debug)]
pub struct PathsV6<'a> {
    rest: &'a [u8],
    ids: bool,
}

impl Iterator for PathsV6<'_> {
    type Item = (PathId, Ipv6Net);

    #[inline]
    fn next(&mut self) -> Option<(PathId, Ipv6Net)> {
        let (id, rest) = take_id(self.rest, self.ids)?;
        let (&bits, tail) = rest.split_first()?;
        let (prefix, rest) = tail.split_at_checked(octets(bits))?;
        self.rest = rest;
        let mut address = [0; 16];
        address.get_mut(..prefix.len())?.copy_from_slice(prefix);
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        let address = u128::from_be_bytes(address) & mask;
        let net = Ipv6Net::new(Ipv6Addr::from(address), bits).ok()?;
        Some((id, net))
    }
}

/// What can be written into a field of prefixes of type `N`: the prefix, or an
/// identifier and the prefix, to a peer that takes several paths (RFC 7911 §3).
pub trait Entry<N> {
    /// Octets of it that are none of the prefix.
    const EXTRA: usize;
    /// Octets it takes on the wire.
    fn size(&self) -> usize;
    fn put(&self, out: &mut BytesMut);
}

impl Entry<Ipv4Net> for Ipv4Net {
    const EXTRA: usize = 0;

    #[inline]
    fn size(&self) -> usize {
        1 + octets(self.prefix_len())
    }

    #[inline]
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.prefix_len());
        let address = self.addr().octets();
        out.put_slice(address.get(..octets(self.prefix_len())).unwrap_or(&address));
    }
}

impl Entry<Ipv6Net> for Ipv6Net {
    const EXTRA: usize = 0;

    #[inline]
    fn size(&self) -> usize {
        1 + octets(self.prefix_len())
    }

    #[inline]
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.prefix_len());
        let address = self.addr().octets();
        out.put_slice(address.get(..octets(self.prefix_len())).unwrap_or(&address));
    }
}

impl<N: Entry<N>> Entry<N> for (PathId, N) {
    const EXTRA: usize = ID;

    #[inline]
    fn size(&self) -> usize {
        ID + self.1.size()
    }

    #[inline]
    fn put(&self, out: &mut BytesMut) {
        out.put_u32(self.0.0);
        self.1.put(out);
    }
}
