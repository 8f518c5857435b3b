//! Accepting neighbours' connections.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use godwit_bgp::wire::Notification;
use godwit_bgp::wire::notification::{cease, code};
use godwit_netlink::sockopt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::clock;
use crate::peer::{PeerCommand, Registry};

/// Connections that the kernel holds for us: a rack that comes back at once.
const BACKLOG: u32 = 4096;
/// Refusals of strangers are logged this far apart.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Out of descriptors or memory: how long to wait before the next accept.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection from an address that no peer has; a range may cover it.
#[derive(Debug)]
pub struct Stranger {
    pub stream: TcpStream,
    pub address: IpAddr,
}

/// Opens the socket. `[::]` takes IPv6 alone.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => {
            let socket = TcpSocket::new_v6()?;
            sockopt::set_v6_only(&socket)?;
            socket
        }
    };
    // A restart must not wait for the old sessions' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the daemon ends.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    strangers: mpsc::Sender<Stranger>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => dispatch(stream, from.ip(), &registry, &strangers),
            Err(e) if is_the_peers(&e) => debug!("a connection ended before it was accepted: {e}"),
            Err(e) => {
                warn!("cannot accept connections, trying again: {e}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Hands a connection to whom it concerns. One that would have to wait is
/// closed: the neighbour tries again.
fn dispatch(
    stream: TcpStream,
    address: IpAddr,
    registry: &Registry,
    strangers: &mpsc::Sender<Stranger>,
) {
    let refused = match registry.entry(address) {
        Some(entry) => entry
            .commands
            .try_send(PeerCommand::Accepted(stream))
            .is_err(),
        None => strangers.try_send(Stranger { stream, address }).is_err(),
    };
    if refused {
        debug!(peer = %address, "closed a connection: too many at once");
    }
}

/// Errors of one connection, not of the listener.
fn is_the_peers(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Turns strangers away, and says so now and then.
#[derive(Debug, Default)]
pub struct Doorman {
    next_log: Duration,
    unlogged: u64,
}

impl Doorman {
    /// Sends Cease/Connection Rejected and closes.
    pub fn refuse(&mut self, stranger: Stranger, why: &str) {
        let now = clock::now();
        if now >= self.next_log {
            info!(peer = %stranger.address, others = self.unlogged, "refused a connection: {why}");
            self.next_log = now + LOG_EVERY;
            self.unlogged = 0;
        } else {
            self.unlogged += 1;
        }
        let mut stream = stranger.stream;
        tokio::spawn(async move {
            let farewell = Notification::new(code::CEASE, cease::CONNECTION_REJECTED).encode();
            let send = async {
                stream.write_all(&farewell).await?;
                stream.shutdown().await
            };
            // Gone already: as good.
            let _ = timeout(Duration::from_secs(1), send).await;
        });
    }
}
