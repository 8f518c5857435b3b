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

/// The sockets of all sessions, opened when they first send.
#[derive(Debug, Default)]
pub(super) struct Senders {
    senders: HashMap<NonZeroU32, Sender>,
    next_port: u16,
}

impl Senders {
    /// Sends a packet of the session `name`.
    ///
    /// # Errors
    /// Why packets do not leave at present. The next packets try again, with a
    /// new socket where the old one failed.
    pub(super) fn send(
        &mut self,
        name: NonZeroU32,
        key: &Key,
        packet: &Packet,
        now: Duration,
    ) -> Result<(), Option<String>> {
        let sender = match self.senders.remove(&name) {
            Some(Sender::Failed { until }) if now < until => {
                self.senders.insert(name, Sender::Failed { until });
                return Err(None);
            }
            Some(open @ Sender::Open { .. }) => Ok(open),
            _ => self.open(key),
        };
        let sent = sender.and_then(|sender| {
            if let Sender::Open { socket, to } = &sender {
                match socket.send_to(&packet.encode(), to) {
                    Ok(_) => {}
                    // A full queue or an ICMP error of before: as good as lost on the way.
                    Err(e) if is_passing(&e) => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(sender)
        });
        match sent {
            Ok(sender) => {
                self.senders.insert(name, sender);
                Ok(())
            }
            Err(e) => {
                let until = now + PAUSE;
                self.senders.insert(name, Sender::Failed { until });
                Err(Some(format!("cannot send to {key}: {e}")))
            }
        }
    }

    /// Closes the sockets of sessions that are no more.
    pub(super) fn retain(&mut self, there: impl Fn(NonZeroU32) -> bool) {
        self.senders.retain(|name, _| there(*name));
    }

    fn open(&mut self, key: &Key) -> io::Result<Sender> {
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
        Ok(Sender::Open { socket, to })
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

/// Errors that say nothing about the socket.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::OutOfMemory
    ) || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}
