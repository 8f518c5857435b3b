//! Sockets of sessions: how they are made and tuned.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use godwit_netlink::sockopt::{self, IpVersion};
use tokio::net::{TcpSocket, TcpStream};

use super::settings::PeerSettings;

/// Unsent octets in the kernel above which a socket counts as full: what a
/// keepalive may have to wait behind, and enough to keep a fast link busy.
const NOTSENT_LOWAT: u32 = 256 << 10;

/// Connects as the settings say. The session abandons what takes too long.
pub async fn connect(settings: PeerSettings) -> io::Result<TcpStream> {
    let remote = SocketAddr::new(settings.address, settings.config.port);
    let socket = match settings.address {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Before the SYN, which otherwise leaves with the system's TTL.
    tune(&socket, &settings).map_err(|e| context("set socket options", &e))?;
    if let Some(local) = settings.config.local_address {
        socket
            .bind(SocketAddr::new(local, 0))
            .map_err(|e| context(&format!("bind to local-address {local}"), &e))?;
    }
    let stream = socket.connect(remote).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Gives an accepted connection what an outgoing one has.
pub fn tune_accepted(stream: &TcpStream, settings: &PeerSettings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    tune(stream, settings)
}

fn tune(socket: &impl AsFd, settings: &PeerSettings) -> io::Result<()> {
    let version = IpVersion::from(settings.address);
    sockopt::set_ttl(socket, version, settings.config.ttl())?;
    sockopt::set_network_control(socket, version)?;
    sockopt::set_notsent_lowat(socket, NOTSENT_LOWAT)
}

fn context(what: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot {what}: {e}"))
}
