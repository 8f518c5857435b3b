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

mod gate;
mod keys;

pub use gate::{Budget, Gate, Refused};
pub use keys::{Keys, ListenerStatus};

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use godwit_bgp::wire::Notification;
use godwit_bgp::wire::notification::{cease, code};
use godwit_config::Password;
use godwit_netlink::sockopt::{self, IpVersion};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::clock;
use crate::peer::{PeerCommand, Registry, farewell};
use crate::status::Rejection;

/// Connections that the kernel holds for us: a rack that comes back at once.
const BACKLOG: u32 = 4096;
/// Refusals of strangers are logged this far apart.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Strangers that are told at a time why they are turned away: whoever stays on
/// the line keeps a descriptor of ours for a moment.
const FAREWELLS: usize = 64;
/// Out of descriptors or memory: how long to wait before the next accept.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection from an address that no peer has; a range may cover it.
#[derive(Debug)]
pub struct Stranger {
    pub stream: TcpStream,
    pub address: IpAddr,
}

/// Opens the socket with these keys. `[::]` takes IPv6 alone.
pub fn bind(
    address: SocketAddr,
    wanted: &BTreeMap<IpNet, Password>,
) -> io::Result<(TcpListener, Keys)> {
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
    // Our answers to a first segment leave with the listener's TTL, and a
    // neighbour with TTL security drops lower ones (RFC 5082).
    let version = IpVersion::from(address.ip());
    sockopt::set_ttl(&socket, version, u8::MAX)?;
    sockopt::set_network_control(&socket, version)?;
    sockopt::save_first_segment(&socket)?;
    socket.bind(address)?;
    let mut keys = Keys::default();
    // Before it listens: nobody gets in without the key.
    keys.set(address, &socket, wanted);
    Ok((socket.listen(BACKLOG)?, keys))
}

/// Accepts until the daemon ends.
pub async fn serve(
    listener: Arc<TcpListener>,
    registry: Arc<Registry>,
    gate: Arc<Gate>,
    strangers: mpsc::Sender<Stranger>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => dispatch(stream, from, &registry, &gate, &strangers),
            Err(e) if is_the_peers(&e) => debug!("a connection ended before it was accepted: {e}"),
            Err(e) => {
                warn!("cannot accept connections, trying again: {e}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Hands a connection to whom it concerns. One that would have to wait is
/// closed, and one too many from its address: the neighbour tries again.
fn dispatch(
    stream: TcpStream,
    from: SocketAddr,
    registry: &Registry,
    gate: &Gate,
    strangers: &mpsc::Sender<Stranger>,
) {
    let address = from.ip();
    let now = clock::now();
    let refused = match registry.caller(from) {
        Some(entry) if gate.admits_peer(&entry.view.budget, now) => entry
            .commands
            .try_send(PeerCommand::Accepted(stream))
            .is_err(),
        Some(entry) => {
            entry.view.refused(Rejection::Rate);
            return;
        }
        None if gate.admits_stranger(address, now) => {
            strangers.try_send(Stranger { stream, address }).is_err()
        }
        None => return,
    };
    if refused {
        debug!(peer = %from, "closed a connection: too many at once");
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
#[derive(Debug)]
pub struct Doorman {
    gate: Arc<Gate>,
    next_log: Duration,
    unlogged: u64,
    /// Those who are being told.
    leaving: JoinSet<()>,
}

/// Why a stranger is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Unknown,
    /// Its range has as many neighbours as it may.
    RangeFull,
    /// There are as many peers as the limit of open files allows.
    DaemonFull,
}

impl Refusal {
    fn words(self) -> &'static str {
        match self {
            Refusal::Unknown => "no such peer is configured",
            Refusal::RangeFull => "its range has reached its `limit` of neighbours",
            Refusal::DaemonFull => "too many peers for the limit of open files",
        }
    }
}

impl Doorman {
    pub fn new(gate: Arc<Gate>) -> Doorman {
        Doorman {
            gate,
            next_log: Duration::ZERO,
            unlogged: 0,
            leaving: JoinSet::new(),
        }
    }

    /// Sends Cease/Connection Rejected and closes; closes at once where
    /// [`FAREWELLS`] others are being told.
    pub fn refuse(&mut self, stranger: Stranger, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Unknown => &self.gate.refused.strangers,
            Refusal::RangeFull | Refusal::DaemonFull => &self.gate.refused.limit,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let why = refusal.words();
        let now = clock::now();
        if now >= self.next_log {
            info!(peer = %stranger.address, others = self.unlogged, "refused a connection: {why}");
            self.next_log = now + LOG_EVERY;
            self.unlogged = 0;
        } else {
            self.unlogged += 1;
        }
        while self.leaving.try_join_next().is_some() {}
        if self.leaving.len() < FAREWELLS {
            let words = Notification::new(code::CEASE, cease::CONNECTION_REJECTED);
            self.leaving
                .spawn(farewell(stranger.stream, words.encode()));
        }
    }
}
