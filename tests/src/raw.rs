//! A blocking BGP speaker that sends whatever bytes it is told: malformed
//! messages, half of one, nothing at all, or a whole table.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};

use crate::attrs::ParsedUpdate;
use crate::lab::Host;
use crate::wait::{PATIENCE, wait_for};

pub const OPEN: u8 = 1;
pub const UPDATE: u8 = 2;
pub const NOTIFICATION: u8 = 3;
pub const KEEPALIVE: u8 = 4;
pub const ROUTE_REFRESH: u8 = 5;

/// ROUTE-REFRESH bodies for IPv4 unicast: a request, and the marks of RFC 7313.
pub const REFRESH_IPV4: &[u8] = &[0, 1, 0, 1];
pub const BEGIN_IPV4: &[u8] = &[0, 1, 1, 1];
pub const END_IPV4: &[u8] = &[0, 1, 2, 1];

/// What our OPEN says.
#[derive(Clone, Debug)]
pub struct RawOpen {
    pub asn: u32,
    pub router_id: Ipv4Addr,
    pub hold_time: u16,
    pub as4: bool,
    pub ipv6: bool,
    pub extended_message: bool,
    /// Both of RFC 7313 are known: ROUTE-REFRESH with marks.
    pub enhanced_refresh: bool,
    /// Whole capabilities besides.
    pub extra: Vec<Vec<u8>>,
}

impl RawOpen {
    /// Both families, four-octet AS numbers, hold time 240 s.
    pub fn new(asn: u32, router_id: &str) -> RawOpen {
        RawOpen {
            asn,
            router_id: router_id.parse().expect("a router id"),
            hold_time: 240,
            as4: true,
            ipv6: true,
            extended_message: false,
            enhanced_refresh: false,
            extra: Vec::new(),
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut capabilities: Vec<Vec<u8>> = vec![vec![1, 4, 0, 1, 0, 1], vec![2, 0]];
        if self.ipv6 {
            capabilities.push(vec![1, 4, 0, 2, 0, 1]);
        }
        if self.extended_message {
            capabilities.push(vec![6, 0]);
        }
        if self.enhanced_refresh {
            capabilities.push(vec![70, 0]);
        }
        if self.as4 {
            let mut four = vec![65, 4];
            four.extend(self.asn.to_be_bytes());
            capabilities.push(four);
        }
        capabilities.extend(self.extra.iter().cloned());
        let capabilities = capabilities.concat();
        let len = u8::try_from(capabilities.len()).expect("few capabilities");
        let my_as = u16::try_from(self.asn).unwrap_or(23456);
        let mut out = vec![4];
        out.extend(my_as.to_be_bytes());
        out.extend(self.hold_time.to_be_bytes());
        out.extend(self.router_id.octets());
        out.extend([len + 2, 2, len]);
        out.extend(capabilities);
        out
    }
}

/// A received message, without its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub body: Vec<u8>,
}

/// One connection to the daemon.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// The peer's OPEN, once it came.
    pub peer_open: Vec<u8>,
}

impl Drop for Raw {
    /// Also where a thread still holds the socket to read it: the other side is
    /// to see the end now, not when its hold timer expires.
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Raw {
    /// Connects from inside `host` and keeps trying until it is accepted.
    pub fn connect(host: &Host, local: &str, remote: &str) -> Raw {
        let local: IpAddr = local.parse().expect("an address");
        let remote: IpAddr = remote.parse().expect("an address");
        let stream = host.enter(|| {
            wait_for(&format!("{remote} to accept a connection"), || {
                dial(SocketAddr::new(local, 0), SocketAddr::new(remote, 179)).ok()
            })
        });
        Raw::over(stream)
    }

    /// Over a connection on which nothing has been said.
    pub fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).expect("a TCP socket");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        Raw {
            stream,
            peer_open: Vec::new(),
        }
    }

    /// Connects, and exchanges OPEN and KEEPALIVE until the session is up. The
    /// daemon may still turn the connection down while it forgets an older one,
    /// so this tries again until the deadline.
    pub fn establish(host: &Host, local: &str, remote: &str, open: &RawOpen) -> Raw {
        wait_for("a session with the daemon", || {
            let mut raw = Raw::connect(host, local, remote);
            raw.handshake(open).ok()?;
            Some(raw)
        })
    }

    /// Accepts the daemon's connection, and brings the session up.
    pub fn accept(listener: &TcpListener, open: &RawOpen) -> Raw {
        listener
            .set_nonblocking(true)
            .expect("a listening TCP socket");
        wait_for("the daemon to connect", || {
            let (stream, _) = listener.accept().ok()?;
            stream.set_nonblocking(false).expect("a TCP socket");
            let mut raw = Raw::over(stream);
            raw.handshake(open).ok()?;
            Some(raw)
        })
    }

    pub fn send_open(&mut self, open: &RawOpen) -> io::Result<()> {
        self.send(OPEN, &open.body())
    }

    fn handshake(&mut self, open: &RawOpen) -> io::Result<()> {
        self.send_open(open)?;
        let first = self.read_message(PATIENCE)?;
        if first.kind != OPEN {
            return Err(io::Error::other(format!("no OPEN but {first:?}")));
        }
        self.peer_open = first.body;
        self.send(KEEPALIVE, &[])?;
        let second = self.read_message(PATIENCE)?;
        if second.kind != KEEPALIVE {
            return Err(io::Error::other(format!("no KEEPALIVE but {second:?}")));
        }
        Ok(())
    }

    pub fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(kind, body))
    }

    #[track_caller]
    pub fn send_update(&mut self, body: &[u8]) {
        self.send(UPDATE, body).expect("the session is up");
    }

    /// Bytes as they are, no header added.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next message, or an error at the end of stream or of `patience`.
    pub fn read_message(&mut self, patience: Duration) -> io::Result<Message> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut header = [0; 19];
        self.stream.read_exact(&mut header)?;
        let len = usize::from(u16::from_be_bytes([header[16], header[17]]));
        let mut body = vec![0; len.saturating_sub(19)];
        self.stream.read_exact(&mut body)?;
        Ok(Message {
            kind: header[18],
            body,
        })
    }

    /// The next message of `kind`; others are skipped.
    #[track_caller]
    pub fn expect_message(&mut self, kind: u8) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain for a message of type {kind}"
            );
            match self.read_message(left) {
                Ok(message) if message.kind == kind => return message,
                Ok(_) => {}
                Err(e) => panic!("no message of type {kind}: {e}"),
            }
        }
    }

    /// The UPDATE that announces `prefix`; those before it are skipped.
    #[track_caller]
    pub fn expect_announcement(&mut self, prefix: &str) -> ParsedUpdate {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        self.expect_update(|update| update.announced.contains(&prefix))
    }

    #[track_caller]
    pub fn expect_withdrawal(&mut self, prefix: &str) -> ParsedUpdate {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        self.expect_update(|update| update.withdrawn.contains(&prefix))
    }

    #[track_caller]
    pub fn expect_update(&mut self, wanted: impl Fn(&ParsedUpdate) -> bool) -> ParsedUpdate {
        loop {
            let message = self.expect_message(UPDATE);
            let update = ParsedUpdate::parse(&message.body);
            if wanted(&update) {
                return update;
            }
        }
    }

    /// The NOTIFICATION that ends the session: code and subcode.
    #[track_caller]
    pub fn expect_notification(&mut self) -> (u8, u8) {
        let message = self.expect_message(NOTIFICATION);
        (message.body[0], message.body[1])
    }

    /// True when the daemon closed the connection within `patience`.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.read_message(left) {
                Ok(_) => {}
                Err(e) => {
                    return !matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }

    /// A second handle on the same connection, for reading on another thread.
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket can be shared")
    }
}

/// Header and body.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len() + 19).expect("a message fits 65,535 bytes");
    let mut out = vec![0xff; 16];
    out.extend(len.to_be_bytes());
    out.push(kind);
    out.extend(body);
    out
}

/// A socket that listens for the daemon on port 179 of `address`.
pub fn listen(host: &Host, address: &str) -> TcpListener {
    let address: IpAddr = address.parse().expect("an address");
    host.enter(|| TcpListener::bind((address, 179)))
        .expect("nobody else listens there")
}

fn dial(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(remote),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.bind(&local.into())?;
    socket.connect_timeout(&remote.into(), Duration::from_secs(3))?;
    Ok(socket.into())
}
