//! Prefixes on the wire (RFC 4271 §4.3): a length in bits and as many octets
//! as it needs. Checked once, decoded when asked for.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};
use ipnet::{Ipv4Net, Ipv6Net};

/// Where a run of checked prefixes lies in the body of an UPDATE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nlri {
    start: u16,
    end: u16,
    count: u16,
}

impl Nlri {
    /// Checks every prefix of `field`, which starts at `start` in the body.
    /// `None` when one is longer than `max_bits` or the field ends within one
    /// (RFC 7606 §5.3).
    pub(super) fn check(field: &[u8], start: usize, max_bits: u8) -> Option<Nlri> {
        let mut rest = field;
        let mut count = 0u16;
        while let Some((&bits, tail)) = rest.split_first() {
            if bits > max_bits {
                return None;
            }
            rest = tail.get(octets(bits)..)?;
            count += 1;
        }
        let start = u16::try_from(start).ok()?;
        let end = start.checked_add(u16::try_from(field.len()).ok()?)?;
        Some(Nlri { start, end, count })
    }

    /// How many prefixes.
    pub const fn len(self) -> usize {
        self.count as usize
    }

    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The octets, in the body that the prefixes were found in.
    pub(super) fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start.into()..self.end.into())
            .unwrap_or_default()
    }
}

/// Octets that a prefix of so many bits takes.
#[inline]
const fn octets(bits: u8) -> usize {
    (bits as usize).div_ceil(8)
}

/// The prefixes of one field, host bits cleared. Empty past a fault, which
/// checked fields do not have.
#[derive(Clone, Debug)]
pub struct PrefixesV4<'a> {
    pub(super) rest: &'a [u8],
}

impl Iterator for PrefixesV4<'_> {
    type Item = Ipv4Net;

    #[inline]
    fn next(&mut self) -> Option<Ipv4Net> {
        let (&bits, tail) = self.rest.split_first()?;
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
        Ipv4Net::new(Ipv4Addr::from(address & mask), bits).ok()
    }
}

/// As [`PrefixesV4`].
#[derive(Clone, Debug)]
pub struct PrefixesV6<'a> {
    pub(super) rest: &'a [u8],
}

impl Iterator for PrefixesV6<'_> {
    type Item = Ipv6Net;

    #[inline]
    fn next(&mut self) -> Option<Ipv6Net> {
        let (&bits, tail) = self.rest.split_first()?;
        let (prefix, rest) = tail.split_at_checked(octets(bits))?;
        self.rest = rest;
        let mut address = [0; 16];
        address.get_mut(..prefix.len())?.copy_from_slice(prefix);
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        let address = u128::from_be_bytes(address) & mask;
        Ipv6Net::new(Ipv6Addr::from(address), bits).ok()
    }
}

/// A prefix that can be written.
pub(super) trait Prefix {
    /// Octets it takes on the wire.
    fn size(&self) -> usize;
    fn put(&self, out: &mut BytesMut);
}

impl Prefix for Ipv4Net {
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

impl Prefix for Ipv6Net {
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
