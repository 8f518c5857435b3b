//! What others may see of a peer, kept by its task and read without asking it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use godwit_bgp::session::{Counters, Negotiated, SessionError, State};
use godwit_bgp::wire::Open;
use godwit_bgp::{Asn, Family, SessionKind};
use godwit_config::PeerConfig;
use godwit_rib::PeerId;
use ipnet::IpNet;

use crate::discovery::Finding;
use crate::listener::Budget;
use crate::netstat::Drops;
use crate::peer::PeerName;
use crate::peer::history::History;
use crate::ribthread::Port;
use crate::sync::lock;

/// Where a peer comes from; decides what a reload does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerOrigin {
    /// A `[[peer]]` of the file.
    File,
    /// Called from within this configured range; gone with its session.
    Range(IpNet),
    /// Added while running; survives a reload, not a restart.
    Runtime,
}

/// One peer, as it stands.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    pub name: PeerName,
    /// Of the neighbour; `::`: not found yet.
    pub address: IpAddr,
    /// Where the neighbour is found by router advertisements.
    pub finding: Option<Finding>,
    pub origin: PeerOrigin,
    /// By the file or, against it, by command.
    pub disabled: bool,
    /// As configured; of a range, where `origin` says so.
    pub config: PeerConfig,
    pub kind: SessionKind,
    pub state: State,
    /// When Established was reached or left; none: never was.
    pub state_since: Option<SystemTime>,
    pub local_asn: Asn,
    /// From the configuration where it names one, else from the peer's OPEN.
    pub remote_asn: Option<Asn>,
    /// Only while Established.
    pub session: Option<SessionStatus>,
    /// Only while not Established: what the session waits for, and until when
    /// at the longest.
    pub waiting: Option<(String, Option<SystemTime>)>,
    /// Why the last session ended or did not come up.
    pub last_error: Option<(SystemTime, SessionError)>,
}

/// An established session.
#[derive(Clone, Debug)]
pub struct SessionStatus {
    pub negotiated: Arc<Negotiated>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub(crate) port: Arc<Port>,
    /// The interface that the neighbour is on, where it is one hop away.
    pub(crate) link: Option<u32>,
}

impl SessionStatus {
    /// The peer's number in the RIB, the key of route queries; none in the
    /// moment before the RIB thread has taken it up.
    pub fn rib_id(&self) -> Option<PeerId> {
        self.port.id()
    }

    /// Octets received and not yet decided.
    pub fn input_bytes(&self) -> u64 {
        self.port.input_bytes()
    }

    /// The family's End-of-RIB has come, and all before it is in the RIB.
    pub fn end_of_rib(&self, family: Family) -> bool {
        self.port.end_of_rib(family)
    }
}

/// Figures of a peer since the daemon knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerFigures {
    pub messages: Counters,
    /// Octets of messages, headers included.
    pub octets_in: u64,
    pub octets_out: u64,
    /// UPDATEs with errors that were survived (RFC 7606).
    pub treated_as_withdraw: u64,
    pub attributes_discarded: u64,
}

/// What a peer's task shares with readers.
#[derive(Debug)]
pub struct PeerView {
    pub(crate) status: ArcSwap<PeerStatus>,
    pub(crate) figures: Mutex<PeerFigures>,
    /// For connections that the neighbour opens.
    pub(crate) budget: Budget,
    pub(crate) clues: Mutex<Clues>,
    pub(crate) history: Mutex<History>,
}

/// What tells why a peer is not up, beyond its status.
#[derive(Clone, Debug, Default)]
pub struct Clues {
    /// The latest attempt to connect that failed.
    pub attempt: Option<Attempt>,
    /// The latest OPEN of the neighbour, accepted or not.
    pub open: Option<Open>,
    /// What the host had dropped when the peer was last set up or up.
    pub drops: Drops,
    /// Connections of the neighbour that were closed, and why the latest was.
    pub refused: u64,
    pub refusal: Option<(SystemTime, String)>,
}

/// An attempt to connect that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at: SystemTime,
    pub failure: AttemptFailure,
    /// Segments of the neighbour that the kernel dropped before TCP saw them.
    pub dropped: u32,
    /// What the whole host dropped meanwhile.
    pub drops: Drops,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptFailure {
    /// Nothing came back in time.
    Silence,
    /// The kernel's word.
    Error(io::ErrorKind, String),
}

impl PeerView {
    pub(crate) fn new(status: PeerStatus) -> PeerView {
        let clues = Clues {
            drops: Drops::lately(),
            ..Clues::default()
        };
        PeerView {
            status: ArcSwap::from_pointee(status),
            figures: Mutex::default(),
            budget: Budget::default(),
            clues: Mutex::new(clues),
            history: Mutex::default(),
        }
    }

    pub fn clues(&self) -> Clues {
        lock(&self.clues).clone()
    }

    /// Notes that a connection of the neighbour's was closed.
    pub(crate) fn refused(&self, why: impl Into<String>) {
        let mut clues = lock(&self.clues);
        clues.refused += 1;
        clues.refusal = Some((SystemTime::now(), why.into()));
    }

    pub fn status(&self) -> Arc<PeerStatus> {
        self.status.load_full()
    }

    pub fn history(&self) -> History {
        lock(&self.history).clone()
    }

    pub fn figures(&self) -> PeerFigures {
        *lock(&self.figures)
    }
}

/// A change that watchers of peers see.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// Appeared, or changed.
    Changed(Arc<PeerStatus>),
    Removed(PeerName),
}
