//! The sockets that packets leave by: one a session, with a source port of its
//! own (RFC 5881 §4).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::time::Duration;

use godwit_bgp::bfd::{Hops, Packet};
use godwit_netlink::{interface_index, sockopt};

use super::messages::Key;

/// RFC 5881 §4: 49152 to 65535.
const FIRST_PORT: u16 = 49152;
/// So many ports are tried; others on the host may have some.
const ATTEMPTS: u16 = 64;
/// Between two attempts to open a socket.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket of one session, or why there is none.
#[derive(Debug)]
enum Sender {
    Open { socket: UdpSocket, to: SocketAddr },
    Failed { until: Duration },
}

/// What became of a packet.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The socket was opened, on the interface of this index where it is on one.
    pub(super) opened: Option<Option<u32>>,
    /// What keeps packets from leaving, if anything; not told where nothing was
    /// tried.
    pub(super) trouble: Option<Option<String>>,
}

/// The sockets of all sessions, opened when they first send.
#[derive(Debug, Default)]
pub(super) struct Senders {
    senders: HashMap<NonZeroU32, Sender>,
    next_port: u16,
}

impl Senders {
    /// Sends a packet of the session `name`. One that cannot leave is lost; a
    /// socket that is of no use any more is opened anew for the next, and where
    /// that fails again after [`PAUSE`].
    pub(super) fn send(
        &mut self,
        name: NonZeroU32,
        key: &Key,
        packet: &Packet,
        now: Duration,
    ) -> Sent {
        let (socket, to, opened) = match self.senders.remove(&name) {
            Some(Sender::Failed { until }) if now < until => {
                self.senders.insert(name, Sender::Failed { until });
                return Sent::default();
            }
            Some(Sender::Open { socket, to }) => (socket, to, None),
            _ => match self.open(key) {
                Ok((socket, to, index)) => (socket, to, Some(index)),
                Err(e) => {
                    let until = now + PAUSE;
                    self.senders.insert(name, Sender::Failed { until });
                    return Sent {
                        opened: None,
                        trouble: Some(Some(format!("cannot send to {key}: {e}"))),
                    };
                }
            },
        };
        let error = socket.send_to(&packet.encode(), to).err();
        let over = error.as_ref().is_some_and(is_over);
        let trouble = error.filter(|e| !is_passing(e));
        let sender = match over {
            true => Sender::Failed { until: now },
            false => Sender::Open { socket, to },
        };
        self.senders.insert(name, sender);
        Sent {
            opened,
            trouble: Some(trouble.map(|e| format!("cannot send to {key}: {e}"))),
        }
    }

    /// Closes the socket of a session that is no more, or goes another way.
    pub(super) fn close(&mut self, name: NonZeroU32) {
        self.senders.remove(&name);
    }

    /// With the index of the interface, where the key names one.
    fn open(&mut self, key: &Key) -> io::Result<(UdpSocket, SocketAddr, Option<u32>)> {
        let index = key.interface.as_deref().map(interface_index).transpose()?;
        let scope = index.unwrap_or_default();
        let local = key.local.unwrap_or(match key.remote {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        let socket = self.bind(local, scope)?;
        let version = key.remote.into();
        socket.set_nonblocking(true)?;
        sockopt::set_ttl(&socket, version, Hops::TTL)?;
        sockopt::set_network_control(&socket, version)?;
        if let Some(interface) = &key.interface {
            sockopt::bind_device(&socket, interface)?;
        }
        let to = address(key.remote, key.hops().port(), scope);
        Ok((socket, to, index))
    }

    fn bind(&mut self, local: IpAddr, scope: u32) -> io::Result<UdpSocket> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for _ in 0..ATTEMPTS {
            let port = FIRST_PORT + self.next_port % (u16::MAX - FIRST_PORT);
            self.next_port = self.next_port.wrapping_add(1);
            match UdpSocket::bind(address(local, port, scope)) {
                Ok(socket) => return Ok(socket),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }
}

/// `scope`: of a link-local address.
fn address(ip: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))
        }
        ip => SocketAddr::new(ip, port),
    }
}

/// The socket's interface or address has gone.
fn is_over(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let over = [Errno::NODEV, Errno::NXIO, Errno::INVAL, Errno::ADDRNOTAVAIL];
    over.iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Errors that say nothing about the way: a full queue, or what a packet before
/// met.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::OutOfMemory
    ) || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}
