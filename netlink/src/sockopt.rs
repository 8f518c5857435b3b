//! Options of BGP's TCP sockets. Whoever calls must look at the result: a
//! session that runs without its TTL check is not the one that was configured.

use std::io;
use std::os::fd::AsFd;

use crate::sys;

/// Which header the socket's packets have. An IPv6 socket never carries
/// mapped IPv4 here (the listener is v6-only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    V4,
    V6,
}

impl From<std::net::IpAddr> for IpVersion {
    fn from(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() {
            IpVersion::V4
        } else {
            IpVersion::V6
        }
    }
}

/// TTL or hop limit of what we send.
pub fn set_ttl(socket: &impl AsFd, version: IpVersion, ttl: u8) -> io::Result<()> {
    let fd = socket.as_fd();
    match version {
        IpVersion::V4 => sys::set_int(fd, libc::IPPROTO_IP, libc::IP_TTL, ttl.into()),
        IpVersion::V6 => sys::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, ttl.into()),
    }
}

/// Packets with a lower TTL are dropped by the kernel (RFC 5082). 0 switches it off.
pub fn set_min_ttl(socket: &impl AsFd, version: IpVersion, ttl: u8) -> io::Result<()> {
    let fd = socket.as_fd();
    match version {
        IpVersion::V4 => sys::set_int(fd, libc::IPPROTO_IP, libc::IP_MINTTL, ttl.into()),
        IpVersion::V6 => sys::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, ttl.into()),
    }
}

/// DSCP CS6, "network control" (RFC 4594 §3.2): routing must pass when the link is full.
pub fn set_network_control(socket: &impl AsFd, version: IpVersion) -> io::Result<()> {
    const CS6: i32 = 48 << 2;
    let fd = socket.as_fd();
    match version {
        IpVersion::V4 => sys::set_int(fd, libc::IPPROTO_IP, libc::IP_TOS, CS6),
        IpVersion::V6 => sys::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, CS6),
    }
}

/// The socket counts as unwritable while so many bytes are not sent yet, so
/// that a keepalive does not queue behind megabytes.
pub fn set_notsent_lowat(socket: &impl AsFd, bytes: u32) -> io::Result<()> {
    let bytes = i32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    sys::set_int(
        socket.as_fd(),
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        bytes,
    )
}

/// Only this interface's packets; an empty name lifts the bond.
pub fn bind_device(socket: &impl AsFd, interface: &str) -> io::Result<()> {
    sys::set_bytes(
        socket.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        interface.as_bytes(),
    )
}

/// Keeps an IPv6 listener from taking IPv4 connections.
pub fn set_v6_only(socket: &impl AsFd) -> io::Result<()> {
    sys::set_int(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)
}

/// Bytes received and not read yet.
pub fn unread_bytes(socket: &impl AsFd) -> io::Result<usize> {
    sys::unread_bytes(socket.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn options_are_accepted_by_both_versions() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        set_ttl(&v4, IpVersion::V4, 255).unwrap();
        set_min_ttl(&v4, IpVersion::V4, 254).unwrap();
        set_network_control(&v4, IpVersion::V4).unwrap();
        set_notsent_lowat(&v4, 1 << 17).unwrap();
        let v6 = TcpListener::bind("[::1]:0").unwrap();
        set_ttl(&v6, IpVersion::V6, 255).unwrap();
        set_min_ttl(&v6, IpVersion::V6, 254).unwrap();
        set_network_control(&v6, IpVersion::V6).unwrap();
    }

    #[test]
    fn a_wrong_version_is_an_error() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(set_ttl(&v4, IpVersion::V6, 255).is_err());
    }

    #[test]
    fn unread_bytes_are_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .send_to(b"four", socket.local_addr().unwrap())
            .unwrap();
        assert_eq!(unread_bytes(&socket).unwrap(), 4);
    }
}
