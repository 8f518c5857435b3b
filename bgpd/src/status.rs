//! What others may see of a peer, kept by its task and read without asking it.

use std::fmt;
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

use crate::bfd;
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
    /// The BFD session that watches the path, where the settings want one.
    pub(crate) bfd: Option<(bfd::Key, bfd::View)>,
    /// Routes of it that are kept while it restarts (RFC 4724).
    pub stale: Option<StaleStatus>,
    /// Where they are, while it has no session.
    pub(crate) away: Option<Arc<Port>>,
    /// Only while not Established: what the session waits for, and until when
    /// at the longest.
    pub waiting: Option<(Waiting, Option<SystemTime>)>,
    /// When it last closed our only connection as one too many.
    pub collision: Option<SystemTime>,
    /// Why the last session ended or did not come up.
    pub last_error: Option<(SystemTime, SessionError)>,
}

impl PeerStatus {
    /// The prefix limit that keeps the session down.
    pub fn excess(&self) -> Option<Excess> {
        match self.waiting.as_ref()?.0 {
            Waiting::Enable(excess) => excess,
            Waiting::Pause(excess) => Some(excess),
            _ => None,
        }
    }
}

/// What a session that is not Established waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Somebody to enable it; with what it was stopped for, where that was a limit.
    Enable(Option<Excess>),
    /// The end of its pause after a limit.
    Pause(Excess),
    /// The end of its pause after so many failures in a row.
    BackOff(u32),
    /// An answer to the attempt to connect.
    Answer,
    /// The next attempt to connect, after so many that came to nothing.
    Retry(u32),
    /// The neighbour to connect.
    Neighbour,
    /// The neighbour's OPEN or KEEPALIVE.
    Message,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::Enable(None) => f.write_str("`godwit peer enable`"),
            Waiting::Enable(Some(excess)) => write!(f, "`godwit peer enable`: {excess}"),
            Waiting::Pause(excess) => write!(f, "held down: {excess}"),
            Waiting::BackOff(0 | 1) => f.write_str("held down after a failure"),
            Waiting::BackOff(n) => write!(f, "held down after {n} failures in a row"),
            Waiting::Answer => f.write_str("an answer to the attempt to connect"),
            Waiting::Retry(0 | 1) => f.write_str("the next attempt to connect"),
            Waiting::Retry(n) => write!(f, "the next attempt to connect, after {n} in vain"),
            Waiting::Neighbour => f.write_str("the peer to connect"),
            Waiting::Message => f.write_str("the peer's next message"),
        }
    }
}

/// A prefix limit that was passed, and that ended the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// [`IN`](Excess::IN) or [`OUT`](Excess::OUT), as the file has it.
    pub key: &'static str,
    pub family: Family,
    pub max: u32,
}

impl Excess {
    pub const IN: &str = "prefix-limit";
    pub const OUT: &str = "prefix-limit-out";
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excess { key, family, max } = self;
        write!(f, "past its {key} of {max} {family} prefixes")
    }
}

/// Routes of a peer that restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleStatus {
    /// By [`Family::index`]: of which some may be stale.
    pub families: [bool; Family::COUNT],
    /// The peer is back, and its End-of-RIB awaited; else it is awaited itself.
    pub back: bool,
    /// When they go, unless it comes.
    pub until: SystemTime,
}

impl PeerStatus {
    /// The peer's number in the RIB, the key of route queries; none where the
    /// RIB has nothing of it.
    pub fn rib_id(&self) -> Option<PeerId> {
        match (&self.session, &self.away) {
            (Some(session), _) => session.rib_id(),
            (None, away) => away.as_ref()?.id(),
        }
    }
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
    pub refusal: Option<(SystemTime, Rejection)>,
}

/// Why a connection of the neighbour's was closed unanswered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It connects more often than `connection-rate` allows.
    Rate,
    /// It arrived with a TTL below what `ttl-security` wants (RFC 5082).
    Ttl { arrived: u8, least: u8 },
    /// It is not signed, and `password-file` wants that (RFC 2385).
    Unsigned,
    /// It sent before it could be looked at, and the kernel did not keep its
    /// first segment, by which `ttl-security` and `password-file` judge.
    FirstSegmentUnknown,
    /// It came by another interface than this one.
    Interface(String),
    /// The kernel's word.
    System(String),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Rate => f.write_str("it connects more often than `connection-rate` allows"),
            Rejection::Ttl { arrived, least } => write!(
                f,
                "it arrived with TTL {arrived}, and ttl-security wants {least} or more"
            ),
            Rejection::Unsigned => {
                f.write_str("it has no TCP-MD5 signature, which password-file wants")
            }
            Rejection::FirstSegmentUnknown => f.write_str(
                "its first segment was not kept (SYN cookies), by which ttl-security and \
                 password-file judge",
            ),
            Rejection::Interface(wanted) => write!(
                f,
                "it came by another interface than local-interface {wanted}"
            ),
            Rejection::System(why) => f.write_str(why),
        }
    }
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
    pub(crate) fn refused(&self, why: Rejection) {
        let mut clues = lock(&self.clues);
        clues.refused += 1;
        clues.refusal = Some((SystemTime::now(), why));
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
