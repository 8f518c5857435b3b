//! Router discovery (RFC 4861) on one interface: saying that we are there, and
//! hearing who else is. Only the presence of a router counts here; what its
//! advertisements tell hosts (prefixes, lifetimes) is not looked at.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::{Error, sys};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
const SOURCE_LINK_ADDRESS: u8 = 1;
/// RFC 4861 §6.1: packets from beyond the link have a lower one.
const HOP_LIMIT: u8 = 255;

/// Level and name of the kernel's filter by ICMPv6 type (RFC 3542 §3.2).
const ICMP6_FILTER: i32 = 1;
/// `linux/socket.h`; not in libc for every target.
const SO_BINDTOIFINDEX: i32 = 62;

/// What waits in the kernel until it is read; more is dropped there.
const RECEIVE_BUFFER: i32 = 32 << 10;
/// Fixed part and a few options; nothing behind that is of interest, but an
/// option that is cut makes the message invalid, so: an Ethernet frame.
const READ: usize = 1500;

/// A valid message of a neighbour on the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A router is there. `lifetime`: seconds for which hosts may take it as
    /// their default router; 0: never.
    Advertisement { from: Ipv6Addr, lifetime: u16 },
    /// Somebody wants to hear routers.
    Solicitation,
}

impl Heard {
    /// A message as it came in a packet with this hop limit; `None`: it is to be
    /// ignored (RFC 4861 §6.1.1 and §6.1.2). The kernel has checked the checksum.
    pub fn read(message: &[u8], from: Ipv6Addr, hop_limit: Option<u8>) -> Option<Heard> {
        if hop_limit != Some(HOP_LIMIT) {
            return None;
        }
        match message {
            [ADVERTISEMENT, 0, _, _, _, _, high, low, rest @ ..]
                if from.is_unicast_link_local() =>
            {
                let options = rest.get(8..)?;
                are_options(options).then_some(Heard::Advertisement {
                    from,
                    lifetime: u16::from_be_bytes([*high, *low]),
                })
            }
            [SOLICITATION, 0, _, _, _, _, _, _, options @ ..] => {
                are_options(options).then_some(Heard::Solicitation)
            }
            _ => None,
        }
    }
}

/// A raw ICMPv6 socket that passes nothing but router discovery on one
/// interface, and never waits.
#[derive(Debug)]
pub struct RouterSocket {
    fd: OwnedFd,
    interface: u32,
}

impl RouterSocket {
    /// Opens it on the interface of this index. Needs `CAP_NET_RAW`.
    pub fn open(interface: u32) -> Result<Self, Error> {
        let what = |e| Error::system("cannot open a socket for router advertisements", e);
        let fd = sys::icmpv6_socket().map_err(what)?;
        set_options(fd.as_fd(), interface).map_err(what)?;
        Ok(Self { fd, interface })
    }

    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// Reads one message; `None`: it is to be ignored (RFC 4861 §6.1). With
    /// nothing to read the error is `WouldBlock`.
    pub fn receive(&self) -> io::Result<Option<Heard>> {
        let mut buffer = [0; READ];
        let received = sys::receive(self.fd.as_fd(), &mut buffer)?;
        let message = buffer.get(..received.length).unwrap_or_default();
        let IpAddr::V6(from) = received.from.ip() else {
            return Ok(None);
        };
        Ok(Heard::read(message, from, received.ttl))
    }

    /// Tells all on the link that a router is here, whom hosts are not to take
    /// as their default router. `hardware`: the interface's address.
    pub fn advertise(&self, hardware: &[u8]) -> io::Result<()> {
        // Hop limit, flags, lifetime and timers all unspecified (RFC 4861 §4.2).
        let mut message = vec![ADVERTISEMENT];
        message.resize(16, 0);
        put_link_address(&mut message, hardware);
        self.send(&message, ALL_NODES)
    }

    /// Asks routers on the link to advertise themselves.
    pub fn solicit(&self, hardware: &[u8]) -> io::Result<()> {
        let mut message = vec![SOLICITATION];
        message.resize(8, 0);
        put_link_address(&mut message, hardware);
        self.send(&message, ALL_ROUTERS)
    }

    fn send(&self, message: &[u8], to: Ipv6Addr) -> io::Result<()> {
        let to = SocketAddrV6::new(to, 0, 0, self.interface);
        sys::send_to(self.fd.as_fd(), message, to)
    }
}

impl AsFd for RouterSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn set_options(fd: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let index = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
    // First of all the filter, so that nothing else ever waits in the socket.
    sys::set_bytes(fd, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter())?;
    sys::set_int(fd, libc::SOL_SOCKET, SO_BINDTOIFINDEX, index)?;
    sys::set_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
    for (name, value) in [
        (libc::IPV6_RECVHOPLIMIT, 1),
        (libc::IPV6_MULTICAST_IF, index),
        (libc::IPV6_MULTICAST_HOPS, HOP_LIMIT.into()),
        (libc::IPV6_UNICAST_HOPS, HOP_LIMIT.into()),
        // Not what we say ourselves.
        (libc::IPV6_MULTICAST_LOOP, 0),
    ] {
        sys::set_int(fd, libc::IPPROTO_IPV6, name, value)?;
    }
    for group in [ALL_NODES, ALL_ROUTERS] {
        // struct ipv6_mreq
        let mut request = group.octets().to_vec();
        request.extend_from_slice(&index.to_ne_bytes());
        sys::set_bytes(fd, libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, &request)?;
    }
    Ok(())
}

/// `struct icmp6_filter`: a bit set for each type that does not pass, in words
/// of 32.
fn filter() -> Vec<u8> {
    let mut words = [u32::MAX; 8];
    for kind in [SOLICITATION, ADVERTISEMENT] {
        if let Some(word) = words.get_mut(usize::from(kind >> 5)) {
            *word &= !(1 << (kind & 31));
        }
    }
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// An Ethernet address saves the other side a question; others are left out.
fn put_link_address(message: &mut Vec<u8>, hardware: &[u8]) {
    if hardware.len() == 6 {
        message.extend_from_slice(&[SOURCE_LINK_ADDRESS, 1]);
        message.extend_from_slice(hardware);
    }
}

/// Lengths are in units of eight octets, and none is zero.
fn are_options(mut options: &[u8]) -> bool {
    while let [_, length, ..] = options {
        match options.get(usize::from(*length) * 8..) {
            Some(rest) if *length > 0 => options = rest,
            _ => return false,
        }
    }
    options.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    fn advertisement(options: &[u8]) -> Vec<u8> {
        let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(options);
        message
    }

    const HEARD: Option<Heard> = Some(Heard::Advertisement {
        from: FROM,
        lifetime: 1800,
    });

    #[test]
    fn an_advertisement_tells_its_sender() {
        assert_eq!(Heard::read(&advertisement(&[]), FROM, Some(255)), HEARD);
        let options = [1, 1, 2, 0, 0, 0, 0, 1, 5, 1, 0, 0, 0, 0, 5, 220];
        assert_eq!(
            Heard::read(&advertisement(&options), FROM, Some(255)),
            HEARD
        );
    }

    #[test]
    fn what_may_come_from_beyond_the_link_is_ignored() {
        for hop_limit in [None, Some(254), Some(1)] {
            assert_eq!(Heard::read(&advertisement(&[]), FROM, hop_limit), None);
        }
        for from in ["2001:db8::1", "::", "::1", "ff02::1"] {
            let from = from.parse().unwrap();
            assert_eq!(Heard::read(&advertisement(&[]), from, Some(255)), None);
        }
    }

    #[test]
    fn malformed_messages_are_ignored() {
        let empty_option = advertisement(&[1, 0, 0, 0, 0, 0, 0, 0]);
        let cut_option = advertisement(&[1, 2, 0, 0, 0, 0, 0, 0]);
        let half_option = advertisement(&[1]);
        let mut other_code = advertisement(&[]);
        other_code[1] = 1;
        let short = advertisement(&[])[..15].to_vec();
        for message in [empty_option, cut_option, half_option, other_code, short] {
            assert_eq!(Heard::read(&message, FROM, Some(255)), None, "{message:?}");
        }
    }

    #[test]
    fn a_host_without_an_address_may_solicit() {
        let solicitation = [133, 0, 0, 0, 0, 0, 0, 0];
        let heard = Heard::read(&solicitation, Ipv6Addr::UNSPECIFIED, Some(255));
        assert_eq!(heard, Some(Heard::Solicitation));
        assert_eq!(Heard::read(&solicitation[..7], FROM, Some(255)), None);
    }

    #[test]
    fn the_filter_passes_two_types() {
        let filter = filter();
        let passes = |kind: u8| {
            let at = usize::from(kind >> 5) * 4;
            let word = u32::from_ne_bytes(filter[at..at + 4].try_into().unwrap());
            word & 1 << (kind & 31) == 0
        };
        let passed: Vec<u8> = (0..=255).filter(|kind| passes(*kind)).collect();
        assert_eq!(passed, [133, 134]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(mut message: Vec<u8>, kind in 133..=134u8) {
            Heard::read(&message, FROM, Some(255));
            if let Some(first) = message.first_mut() {
                *first = kind;
            }
            Heard::read(&message, FROM, Some(255));
        }
    }
}
