//! Sockets of sessions: how they are made and tuned.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

use godwit_config::PeerConfig;
use godwit_netlink::sockopt::{self, FirstSegment, IpVersion};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use tokio::net::TcpStream;

use super::settings::PeerSettings;
use crate::status::Rejection;

/// Unsent octets in the kernel above which a socket counts as full: what a
/// keepalive may have to wait behind, and enough to keep a fast link busy.
const NOTSENT_LOWAT: u32 = 256 << 10;

/// Begins to connect as the settings say; [`connected`] tells how it ends. The
/// socket is at hand meanwhile, as it knows what was dropped. The session
/// abandons what takes too long.
pub fn dial(settings: &PeerSettings) -> io::Result<TcpStream> {
    if settings.address.is_unspecified() {
        let nobody = "nobody was found on the interface";
        return Err(io::Error::new(io::ErrorKind::NotFound, nobody));
    }
    let port = settings.config.port;
    let remote = match settings.address {
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, settings.scope).into(),
        v4 => SocketAddr::new(v4, port),
    };
    let family = match settings.address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let tcp = Some(ipproto::TCP);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, tcp)?;
    // Before the SYN, which otherwise leaves with the system's TTL and unsigned.
    tune(&socket, settings)?;
    if let Some(password) = &settings.config.password {
        sockopt::set_md5_key(&socket, settings.address.into(), password.key())
            .map_err(|e| context("set the TCP-MD5 key", &e))?;
    }
    if let Some(local) = settings.config.local_address {
        rustix::net::bind(&socket, &SocketAddr::new(local, 0))
            .map_err(|e| context(&format!("bind to local-address {local}"), &e.into()))?;
    }
    match rustix::net::connect(&socket, &remote) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Waits until the attempt has succeeded or failed.
pub async fn connected(stream: &TcpStream) -> io::Result<()> {
    poll_fn(|cx| stream.poll_write_ready(cx)).await?;
    match stream.take_error()? {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

/// Gives an accepted connection what an outgoing one has, or says why it is
/// not the peer's.
pub fn admit(stream: &TcpStream, settings: &PeerSettings) -> Result<(), Rejection> {
    let system = |e: io::Error| Rejection::System(e.to_string());
    stream.set_nodelay(true).map_err(system)?;
    tune(stream, settings).map_err(system)?;
    let config = &settings.config;
    let first = sockopt::first_segment(stream).map_err(system)?;
    if let Some(first) = first {
        check(first, config)?;
    }
    if let Some(password) = &config.password {
        // A listener without the key lets in who does not sign, and so did this
        // one if it got the key while the connection waited.
        let from = stream.peer_addr().map_err(system)?.ip();
        sockopt::set_md5_key(stream, from.into(), password.key())
            .map_err(|e| system(context("set the TCP-MD5 key", &e)))?;
    }
    let particular = config.min_ttl().is_some() || config.password.is_some();
    // What came before the options were set has not been looked at.
    if particular && first.is_none() && sockopt::unread_bytes(stream).map_err(system)? > 0 {
        return Err(Rejection::FirstSegmentUnknown);
    }
    if let Some(wanted) = &config.local_interface {
        let version = IpVersion::from(settings.address);
        let came_by = sockopt::arrival_interface(stream, version).map_err(system)?;
        if came_by != sockopt::bound_device(stream).map_err(system)? {
            return Err(Rejection::Interface(wanted.clone()));
        }
    }
    Ok(())
}

fn check(first: FirstSegment, config: &PeerConfig) -> Result<(), Rejection> {
    let arrived = first.ttl;
    match config.min_ttl() {
        Some(least) if arrived < least => Err(Rejection::Ttl { arrived, least }),
        _ if config.password.is_some() && !first.signed => Err(Rejection::Unsigned),
        _ => Ok(()),
    }
}

fn tune(socket: &impl AsFd, settings: &PeerSettings) -> io::Result<()> {
    let version = IpVersion::from(settings.address);
    let config = &settings.config;
    let set = |what: &str, result: io::Result<()>| result.map_err(|e| context(what, &e));
    set(
        "set the TTL",
        sockopt::set_ttl(socket, version, config.ttl()),
    )?;
    if let Some(ttl) = config.min_ttl() {
        let result = sockopt::set_min_ttl(socket, version, ttl);
        set("set the lowest TTL", result)?;
    }
    if let Some(interface) = &config.local_interface {
        let result = sockopt::bind_device(socket, interface);
        set(&format!("bind to local-interface {interface}"), result)?;
    }
    let result = sockopt::set_network_control(socket, version);
    set("set the traffic class", result)?;
    let result = sockopt::set_notsent_lowat(socket, NOTSENT_LOWAT);
    set("limit what waits to be sent", result)
}

fn context(what: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot {what}: {e}"))
}
