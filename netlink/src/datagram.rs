//! UDP with what the standard library does not tell: the TTL that a datagram
//! came with, and where it arrived.

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use crate::sockopt::IpVersion;
use crate::sys;

const RECEIVE_BUFFER: i32 = 1 << 20;

/// What was read of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Octets in the buffer; what did not fit is cut.
    pub length: usize,
    pub from: SocketAddr,
    /// The address that it was sent to.
    pub to: IpAddr,
    /// The index of the interface that it came in by.
    pub interface: u32,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// Asks a bound UDP socket for what [`receive_datagram`] tells.
pub fn tell_arrival(socket: &impl AsFd, version: IpVersion) -> io::Result<()> {
    // Room for what comes while we are kept from reading; the kernel gives what
    // it allows.
    sys::set_int(
        socket.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_RCVBUF,
        RECEIVE_BUFFER,
    )?;
    let (level, options) = match version {
        IpVersion::V4 => (libc::IPPROTO_IP, [libc::IP_RECVTTL, libc::IP_PKTINFO]),
        IpVersion::V6 => (
            libc::IPPROTO_IPV6,
            [libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVPKTINFO],
        ),
    };
    for option in options {
        sys::set_int(socket.as_fd(), level, option, 1)?;
    }
    Ok(())
}

/// Reads one datagram of a socket that was set up by [`tell_arrival`].
pub fn receive_datagram(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    let received = sys::receive(socket.as_fd(), buffer)?;
    let (to, interface) = received.arrival.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Datagram {
        length: received.length,
        from: received.from,
        to,
        interface,
        ttl: received.ttl.ok_or(io::ErrorKind::InvalidData)?,
    })
}

/// The index of the interface of this name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    sys::interface_index(&name)
}

/// Puts the calling thread before all that is not real-time (SCHED_RR, the
/// lowest priority of that class). Needs `CAP_SYS_NICE`.
pub fn become_real_time() -> io::Result<()> {
    sys::set_real_time(1)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::sockopt;

    #[test]
    fn a_datagram_tells_its_ttl_and_where_it_arrived() {
        for host in ["127.0.0.1", "::1"] {
            let host: IpAddr = host.parse().unwrap();
            let socket = UdpSocket::bind(SocketAddr::new(host, 0)).unwrap();
            tell_arrival(&socket, host.into()).unwrap();
            let sender = UdpSocket::bind(SocketAddr::new(host, 0)).unwrap();
            sockopt::set_ttl(&sender, host.into(), 254).unwrap();
            let to = socket.local_addr().unwrap();
            let mut buffer = [0; 8];
            sender.send_to(b"hello world", to).unwrap();
            let datagram = receive_datagram(&socket, &mut buffer).unwrap();
            assert_eq!(&buffer, b"hello wo");
            assert_eq!(datagram.from, sender.local_addr().unwrap());
            assert_eq!(datagram.to, host);
            assert_eq!(datagram.interface, interface_index("lo").unwrap());
            assert_eq!(datagram.ttl, 254);
        }
    }
}
