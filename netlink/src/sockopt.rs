//! Options of BGP's TCP sockets. Whoever calls must look at the result: a
//! session that runs without its TTL check is not the one that was configured.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use ipnet::IpNet;

use crate::sys;

/// Which header the socket's packets have. An IPv6 socket never carries
/// mapped IPv4 here (the listener is v6-only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    V4,
    V6,
}

impl From<IpAddr> for IpVersion {
    fn from(address: IpAddr) -> Self {
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

/// Index of the interface that the socket is bound to.
pub fn bound_device(socket: &impl AsFd) -> io::Result<Option<u32>> {
    let mut index = [0; 4];
    let fd = socket.as_fd();
    sys::get_bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &mut index)?;
    Ok(Some(u32::from_ne_bytes(index)).filter(|index| *index != 0))
}

/// Keeps an IPv6 listener from taking IPv4 connections.
pub fn set_v6_only(socket: &impl AsFd) -> io::Result<()> {
    sys::set_int(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)
}

/// Bytes received and not read yet.
pub fn unread_bytes(socket: &impl AsFd) -> io::Result<usize> {
    sys::unread_bytes(socket.as_fd())
}

/// The longest key of TCP-MD5 that the kernel takes.
pub const MD5_KEY_MAX: usize = libc::TCP_MD5SIG_MAXKEYLEN;

/// Signs and checks every segment to and from `peers` (RFC 2385); an empty key
/// takes the one of exactly this prefix away. Of several around a peer the
/// longest counts. On a listener it holds for connections to come, which keep
/// the key that they began with.
///
/// `ENOMEM` where the socket's keys fill `net.core.optmem_max`.
pub fn set_md5_key(socket: &impl AsFd, peers: IpNet, key: &[u8]) -> io::Result<()> {
    let request = md5_request(peers, key).ok_or(io::ErrorKind::InvalidInput)?;
    sys::set_bytes(
        socket.as_fd(),
        libc::IPPROTO_TCP,
        libc::TCP_MD5SIG_EXT,
        &request,
    )
}

/// `struct tcp_md5sig` of linux/tcp.h: a `sockaddr_storage`, flags, prefix
/// length, key length, interface, key.
const MD5_REQUEST: usize = SOCKADDR_STORAGE + 8 + MD5_KEY_MAX;
const SOCKADDR_STORAGE: usize = 128;

fn md5_request(peers: IpNet, key: &[u8]) -> Option<[u8; MD5_REQUEST]> {
    const FLAG_PREFIX: u8 = 1;
    let mut request = [0; MD5_REQUEST];
    let mut put = |at: usize, bytes: &[u8]| {
        request
            .get_mut(at..at + bytes.len())?
            .copy_from_slice(bytes);
        Some(())
    };
    // The address stands behind the port in `sockaddr_in`, and behind the flow
    // label too in `sockaddr_in6`.
    match peers.network() {
        IpAddr::V4(v4) => {
            put(0, &(libc::AF_INET as u16).to_ne_bytes())?;
            put(4, &v4.octets())?;
        }
        IpAddr::V6(v6) => {
            put(0, &(libc::AF_INET6 as u16).to_ne_bytes())?;
            put(8, &v6.octets())?;
        }
    }
    let length = u16::try_from(key.len())
        .ok()
        .filter(|n| usize::from(*n) <= MD5_KEY_MAX)?;
    put(SOCKADDR_STORAGE, &[FLAG_PREFIX, peers.prefix_len()])?;
    put(SOCKADDR_STORAGE + 2, &length.to_ne_bytes())?;
    put(SOCKADDR_STORAGE + 8, key)?;
    Some(request)
}

/// Whether the kernel has TCP-AO (RFC 5925: Linux 6.7 with `CONFIG_TCP_AO`).
/// Asks with a request that is too short to do anything.
pub fn has_tcp_ao() -> io::Result<bool> {
    const TCP_AO_ADD_KEY: libc::c_int = 38;
    let socket = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let asked = sys::set_bytes(socket.as_fd(), libc::IPPROTO_TCP, TCP_AO_ADD_KEY, &[0]);
    Ok(!asked.is_err_and(|e| e.raw_os_error() == Some(libc::ENOPROTOOPT)))
}

/// Has a listener keep the header of each connection's first segment, for
/// [`first_segment`].
pub fn save_first_segment(listener: &impl AsFd) -> io::Result<()> {
    sys::set_int(listener.as_fd(), libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, 1)
}

/// How the first segment of an accepted connection arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstSegment {
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// It had a TCP-MD5 signature (RFC 2385). The kernel drops those that it
    /// has no key for, so the connection is one that the listener's key covers.
    pub signed: bool,
}

/// None where the kernel did not keep it (SYN cookies). It can be asked once.
pub fn first_segment(accepted: &impl AsFd) -> io::Result<Option<FirstSegment>> {
    /// Room for the headers of IP and TCP with all their options.
    const HEADERS: usize = 320;
    let mut headers = [0; HEADERS];
    let fd = accepted.as_fd();
    let length = sys::get_bytes(fd, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, &mut headers)?;
    Ok(headers.get(..length).and_then(read_segment))
}

fn read_segment(packet: &[u8]) -> Option<FirstSegment> {
    let first = packet.first()?;
    let (ttl, tcp) = match first >> 4 {
        4 => (packet.get(8)?, packet.get(usize::from(first & 15) * 4..)?),
        6 => (packet.get(7)?, after_extensions(packet)?),
        _ => return None,
    };
    Some(FirstSegment {
        ttl: *ttl,
        signed: has_md5_option(tcp),
    })
}

/// What follows the headers of an IPv6 packet.
fn after_extensions(packet: &[u8]) -> Option<&[u8]> {
    const TCP: u8 = 6;
    let (mut next, mut at) = (*packet.get(6)?, 40);
    while next != TCP {
        let [after, units] = *packet.get(at..)?.first_chunk()?;
        next = after;
        at += (usize::from(units) + 1) * 8;
    }
    packet.get(at..)
}

fn has_md5_option(tcp: &[u8]) -> bool {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const MD5: u8 = 19;
    let length = tcp.get(12).map_or(0, |offset| usize::from(offset >> 4) * 4);
    let mut options = tcp.get(20..length).unwrap_or_default();
    loop {
        options = match options {
            [] | [END, ..] => return false,
            [NO_OPERATION, rest @ ..] => rest,
            [MD5, 18, ..] => return true,
            [_, length, ..] if *length >= 2 => {
                options.get(usize::from(*length)..).unwrap_or_default()
            }
            _ => return false,
        };
    }
}

/// Index of the interface that an accepted connection came in by.
pub fn arrival_interface(accepted: &impl AsFd, version: IpVersion) -> io::Result<Option<u32>> {
    let fd = accepted.as_fd();
    let (level, switch, name, at) = match version {
        // `in_pktinfo` begins with the interface, `in6_pktinfo` ends with it.
        IpVersion::V4 => (libc::IPPROTO_IP, libc::IP_PKTINFO, libc::IP_PKTOPTIONS, 0),
        IpVersion::V6 => (
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVPKTINFO,
            libc::IPV6_2292PKTOPTIONS,
            16,
        ),
    };
    let mut controls = [0; 128];
    sys::set_int(fd, level, switch, 1)?;
    let length = sys::get_bytes(fd, level, name, &mut controls)?;
    sys::set_int(fd, level, switch, 0)?;
    let header = size_of::<libc::cmsghdr>();
    let found = controls
        .get(..length)
        .and_then(|all| all.get(header + at..header + at + 4)?.try_into().ok());
    Ok(found.map(u32::from_ne_bytes).filter(|index| *index != 0))
}

/// Segments that were dropped before the socket saw their content: for a wrong
/// or missing signature, or a TTL that is too low.
pub fn dropped_segments(socket: &impl AsFd) -> io::Result<u32> {
    /// `SK_MEMINFO_DROPS`, an index into what `SO_MEMINFO` gives.
    const DROPS: usize = 8;
    let mut figures = [0; (DROPS + 1) * 4];
    let fd = socket.as_fd();
    let length = sys::get_bytes(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut figures)?;
    let drops = figures
        .get(DROPS * 4..length)
        .and_then(|bytes| bytes.try_into().ok());
    Ok(drops.map_or(0, u32::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, connect, socket};
    use std::net::{TcpListener, TcpStream, UdpSocket};

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
    fn the_key_request_is_laid_out_as_the_kernel_wants_it() {
        let request = md5_request("10.1.0.0/16".parse().unwrap(), b"key").unwrap();
        assert_eq!(request.len(), 216);
        assert_eq!(request[..8], [2, 0, 0, 0, 10, 1, 0, 0]);
        assert_eq!(request[128..136], [1, 16, 3, 0, 0, 0, 0, 0]);
        assert_eq!(&request[136..140], b"key\0");
        let request = md5_request("fd00::/64".parse().unwrap(), b"key").unwrap();
        assert_eq!(request[..10], [10, 0, 0, 0, 0, 0, 0, 0, 0xfd, 0]);
        assert_eq!(md5_request("fd00::/64".parse().unwrap(), &[0; 81]), None);
    }

    #[test]
    fn keys_come_and_go_for_hosts_and_ranges_of_both_versions() {
        for (listen, host, range) in [
            ("127.0.0.1:0", "127.0.0.2/32", "127.1.0.0/16"),
            ("[::1]:0", "fd00::1/128", "fd00::/64"),
        ] {
            let listener = TcpListener::bind(listen).unwrap();
            for peers in [host, range] {
                let peers = peers.parse().unwrap();
                set_md5_key(&listener, peers, b"one").unwrap();
                set_md5_key(&listener, peers, b"another").unwrap();
                set_md5_key(&listener, peers, b"").unwrap();
                assert!(set_md5_key(&listener, peers, b"").is_err(), "it is gone");
            }
        }
    }

    #[test]
    fn an_accepted_connection_tells_how_it_arrived() {
        for (listen, version) in [("127.0.0.1:0", IpVersion::V4), ("[::1]:0", IpVersion::V6)] {
            let listener = TcpListener::bind(listen).unwrap();
            save_first_segment(&listener).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let first = FirstSegment {
                ttl: 64,
                signed: false,
            };
            assert_eq!(first_segment(&accepted).unwrap(), Some(first));
            // Kept for one question.
            assert_eq!(first_segment(&accepted).unwrap(), None);
            // The loopback interface is always the first.
            assert_eq!(arrival_interface(&accepted, version).unwrap(), Some(1));
            assert_eq!(bound_device(&accepted).unwrap(), None);
            bind_device(&accepted, "lo").unwrap();
            assert_eq!(bound_device(&accepted).unwrap(), Some(1));
            assert_eq!(dropped_segments(&client).unwrap(), 0);
        }
    }

    #[test]
    fn a_connection_that_is_signed_says_so() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(listen).unwrap();
            save_first_segment(&listener).unwrap();
            let address = listener.local_addr().unwrap();
            set_md5_key(&listener, address.ip().into(), b"key").unwrap();
            let family = match address.is_ipv4() {
                true => AddressFamily::INET,
                false => AddressFamily::INET6,
            };
            let client = socket(family, SocketType::STREAM, None).unwrap();
            set_md5_key(&client, address.ip().into(), b"key").unwrap();
            connect(&client, &address).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert!(first_segment(&accepted).unwrap().unwrap().signed);
        }
    }

    #[test]
    fn headers_are_read_past_options_and_extensions_and_never_beyond_their_end() {
        let signature = [&[2, 4, 5, 180, 1, 1, 19, 18][..], &[7; 16]].concat();
        let mut tcp = vec![0; 20];
        tcp[12] = 11 << 4;
        tcp.extend(&signature);
        let ipv4 = [&[0x46, 0, 0, 0, 0, 0, 0, 0, 61][..], &[0; 15], &tcp].concat();
        let mut ipv6 = vec![0; 40];
        (ipv6[0], ipv6[6], ipv6[7]) = (0x60, 60, 255);
        ipv6.extend([6, 1].iter().chain(&[0; 14]).chain(&tcp));
        for (packet, ttl) in [(ipv4, 61), (ipv6, 255)] {
            let signed = FirstSegment { ttl, signed: true };
            assert_eq!(read_segment(&packet), Some(signed));
            for end in 0..packet.len() {
                assert!(read_segment(&packet[..end]).is_none_or(|first| !first.signed));
            }
        }
        // An option of no length would be read for ever.
        tcp[20..22].copy_from_slice(&[9, 0]);
        assert!(!has_md5_option(&tcp));
    }

    #[test]
    fn the_kernel_can_be_asked_for_tcp_ao() {
        has_tcp_ao().unwrap();
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
