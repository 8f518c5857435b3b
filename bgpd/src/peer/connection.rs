//! One TCP connection of a peer.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use godwit_bgp::session::ConnId;
use godwit_netlink::sockopt::{self, IpVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::incoming::Incoming;
use super::outgoing::{Outgoing, Written};

/// Frames taken from the RIB at once, in octets.
const REFILL: usize = 128 << 10;
/// Octets written before others get a turn.
const TURN: usize = 1 << 20;
/// How long the last frames of a closed connection may take to leave.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Connection {
    pub id: ConnId,
    pub stream: TcpStream,
    pub incoming: Incoming,
    pub out: Outgoing,
    /// Not read while the RIB has no room.
    pub paused: bool,
    /// Writing failed: what has come is still read, then it is closed for this.
    pub broken: Option<String>,
}

impl Connection {
    pub fn new(id: ConnId, stream: TcpStream) -> Connection {
        Connection {
            id,
            stream,
            incoming: Incoming::default(),
            out: Outgoing::default(),
            paused: false,
            broken: None,
        }
    }

    /// Writes until the socket is full, a turn is over or there is nothing left.
    /// `refill` appends frames of at least the octets it is asked for, if there are.
    pub fn write(
        &mut self,
        mut refill: impl FnMut(usize, &mut VecDeque<Bytes>) -> usize,
    ) -> Written {
        let mut total = Written::default();
        if self.broken.is_some() {
            return total;
        }
        loop {
            if self.out.bytes() < REFILL {
                self.out.fill(|frames| refill(REFILL, frames));
            }
            // A turn never ends with an empty queue while there is more to take:
            // nothing would start the next one.
            if self.out.is_empty() || total.octets >= TURN {
                break;
            }
            let written = match self.out.write(&self.stream) {
                Ok(written) => written,
                Err(e) => {
                    self.broken = Some(e.to_string());
                    self.paused = false;
                    self.out = Outgoing::default();
                    break;
                }
            };
            total.octets += written.octets;
            total.updates += written.updates;
            total.refresh_marks += written.refresh_marks;
            if written.blocked {
                total.blocked = true;
                break;
            }
        }
        total
    }

    /// Octets that came and were not read.
    pub fn has_unread(&self) -> bool {
        sockopt::unread_bytes(&self.stream).is_ok_and(|n| n > 0)
    }

    /// Ready: it can be read (true), or what waits can be written.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let readable = !self.paused && self.stream.poll_read_ready(cx).is_ready();
        if readable || self.broken.is_some() {
            return Poll::Ready(true);
        }
        if !self.out.is_empty() && self.stream.poll_write_ready(cx).is_ready() {
            return Poll::Ready(false);
        }
        Poll::Pending
    }
}

/// Lets the last frames leave, then closes. Octets that come meanwhile are read
/// and dropped: closing with unread ones sends a reset, which would overtake
/// our NOTIFICATION.
pub async fn linger(mut stream: TcpStream, mut out: Outgoing) {
    // A neighbour with TTL security must hear it too, and one that has just been
    // configured to be further away: else it would keep its end for minutes.
    if let Ok(remote) = stream.peer_addr() {
        let version = IpVersion::from(remote.ip());
        // Without it the farewell reaches those that the session reached.
        let _ = sockopt::set_ttl(&stream, version, u8::MAX);
    }
    let flush = async {
        while !out.is_empty() {
            stream.writable().await?;
            out.write(&stream)?;
        }
        stream.shutdown().await?;
        let mut sink = [0u8; 4096];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut sink) {
                Ok(0) => return io::Result::Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    };
    // Either way the connection ends here.
    let _ = timeout(LINGER, flush).await;
}

/// Says this one thing to whoever connected, as [`linger`] does.
pub async fn farewell(stream: TcpStream, message: Bytes) {
    let mut out = Outgoing::default();
    out.push(message, true);
    linger(stream, out).await;
}
