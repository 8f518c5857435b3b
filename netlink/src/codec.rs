//! Netlink messages and attributes, by hand: what a full table passes through.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `struct nlmsghdr`.
pub const HEADER: usize = 16;
pub const AF_INET: u8 = libc::AF_INET as u8;
pub const AF_INET6: u8 = libc::AF_INET6 as u8;

pub const fn align(length: usize) -> usize {
    (length + 3) & !3
}

/// Overwrites bytes that are known to be there.
fn patch<const N: usize>(buf: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(slot) = buf.get_mut(at..at + N) {
        slot.copy_from_slice(&bytes);
    }
}

/// Begins a message; [`end_message`] fills in the length.
pub fn begin_message(buf: &mut Vec<u8>, kind: u16, flags: u16) -> usize {
    let start = buf.len();
    buf.extend_from_slice(&[0; 4]);
    buf.extend_from_slice(&kind.to_ne_bytes());
    buf.extend_from_slice(&flags.to_ne_bytes());
    buf.extend_from_slice(&[0; 8]);
    start
}

pub fn end_message(buf: &mut Vec<u8>, start: usize) {
    let length = (buf.len() - start) as u32;
    patch(buf, start, length.to_ne_bytes());
    buf.resize(start + align(length as usize), 0);
}

pub fn set_sequence(buf: &mut [u8], start: usize, sequence: u32) {
    patch(buf, start + 8, sequence.to_ne_bytes());
}

pub fn add_flags(buf: &mut [u8], start: usize, flags: u16) {
    if let Some(old) = read_u16(buf, start + 6) {
        patch(buf, start + 6, (old | flags).to_ne_bytes());
    }
}

pub fn put(buf: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let start = begin_attribute(buf, kind);
    buf.extend_from_slice(value);
    end_attribute(buf, start);
}

pub fn put_u32(buf: &mut Vec<u8>, kind: u16, value: u32) {
    put(buf, kind, &value.to_ne_bytes());
}

pub fn put_address(buf: &mut Vec<u8>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(a) => put(buf, kind, &a.octets()),
        IpAddr::V6(a) => put(buf, kind, &a.octets()),
    }
}

pub fn begin_attribute(buf: &mut Vec<u8>, kind: u16) -> usize {
    let start = buf.len();
    buf.extend_from_slice(&[0; 2]);
    buf.extend_from_slice(&kind.to_ne_bytes());
    start
}

pub fn end_attribute(buf: &mut Vec<u8>, start: usize) {
    let length = buf.len() - start;
    patch(buf, start, (length as u16).to_ne_bytes());
    buf.resize(start + align(length), 0);
}

pub fn read_u16(buf: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(buf.get(at..at + 2)?.try_into().ok()?))
}

pub fn read_u32(buf: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(buf.get(at..at + 4)?.try_into().ok()?))
}

/// A message in a receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// Walks the messages of one datagram; stops at the first that is cut short.
#[derive(Clone, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = read_u32(self.0, 0)? as usize;
        let message = Message {
            kind: read_u16(self.0, 4)?,
            flags: read_u16(self.0, 6)?,
            sequence: read_u32(self.0, 8)?,
            payload: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(align(length)..).unwrap_or_default();
        Some(message)
    }
}

/// Walks attributes: kind without its flag bits, and value.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes after a fixed header of `skip` bytes.
    pub fn after(payload: &'a [u8], skip: usize) -> Self {
        Attributes(payload.get(align(skip)..).unwrap_or_default())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        /// `NLA_F_NESTED | NLA_F_NET_BYTEORDER`
        const FLAGS: u16 = 0xc000;
        let length = usize::from(read_u16(self.0, 0)?);
        let kind = read_u16(self.0, 2)? & !FLAGS;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(align(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// An address of either version, by its length.
pub fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value)
            .ok()
            .map(|a| Ipv4Addr::from(a).into()),
        16 => <[u8; 16]>::try_from(value)
            .ok()
            .map(|a| Ipv6Addr::from(a).into()),
        _ => None,
    }
}

/// A null-terminated string.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// The interface, as the kernel takes it in a signed field.
pub const fn unspecified(family: u8) -> Option<IpAddr> {
    match family {
        AF_INET => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        AF_INET6 => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_and_attributes_come_back() {
        let mut buf = Vec::new();
        for kind in [24_u16, 25] {
            let start = begin_message(&mut buf, kind, 5);
            buf.extend_from_slice(&[0; 12]);
            put(&mut buf, 1, b"abc");
            put_u32(&mut buf, 6, 10_103);
            end_message(&mut buf, start);
            set_sequence(&mut buf, start, u32::from(kind));
        }
        let messages: Vec<_> = Messages(&buf).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[1].kind, messages[1].sequence), (25, 25));
        let attributes: Vec<_> = Attributes::after(messages[1].payload, 12).collect();
        assert_eq!(
            attributes,
            vec![(1, &b"abc"[..]), (6, &10_103_u32.to_ne_bytes()[..])]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for message in Messages(&bytes) {
                let _ = Attributes::after(message.payload, 12).count();
            }
        }
    }
}
