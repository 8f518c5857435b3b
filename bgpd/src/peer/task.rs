//! The task of one peer: waits for its sockets, its timers, its commands and the
//! RIB's frames, and lets the session decide.

mod commands;
mod graceful;
mod limits;
mod neighbour;
mod path;
mod transfer;
mod view;

use std::future::{pending, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, SystemTime};

use godwit_bgp::Family;
use godwit_bgp::session::{Action, ConnId, Input, Negotiated, Session, Stale, State};
use godwit_netlink::sockopt;
use smallvec::SmallVec;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{debug, info, warn};

use self::path::Watched;
use self::view::{Seen, status_of};
use super::connection::{Connection, linger};
use super::settings::PeerSettings;
use super::{COMMANDS, Entry, PeerCommand, PeerName, Registry, socket, spec};
use crate::bfd::Bfd;
use crate::clock;
use crate::discovery::{self, Discovery};
use crate::interfaces::Interfaces;
use crate::links::Links;
use crate::netstat::Drops;
use crate::ribthread::{Batch, Item, Port, RibHandle};
use crate::status::{Attempt, AttemptFailure, Excess, PeerFigures, PeerOrigin, PeerView};
use crate::sync::lock;

/// A timer that waits for nothing.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What every peer's task needs of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub rib: RibHandle,
    pub registry: Arc<Registry>,
    pub interfaces: Arc<Interfaces>,
    pub links: Arc<Links>,
    pub bfd: Arc<Bfd>,
}

/// Starts the task of a peer. It ends after [`PeerCommand::Remove`], and that of
/// a neighbour from a range with its last connection.
pub(crate) fn spawn(
    settings: PeerSettings,
    context: &Context,
    tasks: &mut JoinSet<()>,
) -> (Entry, tokio::task::Id) {
    let (sender, commands) = mpsc::channel(COMMANDS);
    let session = Session::new(
        settings.session.clone(),
        RandomState::new().hash_one(settings.name),
        clock::now(),
    );
    let discovery = match settings.name {
        PeerName::Interface(interface) => Some(Discovery::new(interface)),
        PeerName::Address(_) => None,
    };
    let seen = Seen {
        discovery: discovery.as_deref(),
        ..Seen::default()
    };
    let status = status_of(&settings, &session, seen);
    let view = Arc::new(PeerView::new(status));
    let listening = discovery.as_ref().map(|found| {
        let (view, registry) = (Arc::clone(&view), Arc::clone(&context.registry));
        let interfaces = Arc::clone(&context.interfaces);
        discovery::spawn(
            Arc::clone(found),
            view,
            &context.links,
            registry,
            interfaces,
        )
    });
    let task = PeerTask {
        discovery,
        listening,
        bfd: None,
        wanted: !settings.disabled,
        settings,
        session,
        context: context.clone(),
        view: Arc::clone(&view),
        commands,
        connections: SmallVec::new(),
        dialing: None,
        up: None,
        away: None,
        lingering: JoinSet::new(),
        figures: PeerFigures::default(),
        changed: false,
        published: (State::Idle, None),
        served: false,
        removed: false,
        held: None,
        next_fault_log: Duration::ZERO,
        state_since: None,
    };
    let id = tasks.spawn(task.run()).id();
    let entry = Entry {
        view,
        commands: sender,
    };
    (entry, id)
}

/// A connection that is being made.
struct Dialing {
    id: ConnId,
    stream: TcpStream,
    /// What the host had dropped before, where segments may be dropped.
    drops: Option<Drops>,
}

struct PeerTask {
    settings: PeerSettings,
    session: Session,
    context: Context,
    view: Arc<PeerView>,
    /// Where the neighbour is found by router advertisements, and the task that
    /// listens for them.
    discovery: Option<Arc<Discovery>>,
    listening: Option<AbortHandle>,
    /// Where the path to the neighbour is watched.
    bfd: Option<Watched>,
    commands: mpsc::Receiver<PeerCommand>,
    /// Two while they collide (RFC 4271 §6.8).
    connections: SmallVec<[Connection; 2]>,
    dialing: Option<Dialing>,
    /// While Established.
    up: Option<Up>,
    /// The session that is over and whose routes are kept (RFC 4724); never
    /// beside one that is up.
    away: Option<Up>,
    /// Closed ones whose last frames are still leaving.
    lingering: JoinSet<()>,
    figures: PeerFigures,
    /// The operator wants it up.
    wanted: bool,
    /// The status must be published anew, also where the state is the same.
    changed: bool,
    published: (State, Option<Stale>),
    /// It has had a connection.
    served: bool,
    removed: bool,
    /// Why the session is kept down for a while, or until somebody enables it.
    held: Option<Excess>,
    next_fault_log: Duration,
    state_since: Option<Duration>,
}

struct Up {
    connection: ConnId,
    port: Arc<Port>,
    negotiated: Arc<Negotiated>,
    local: SocketAddr,
    remote: SocketAddr,
    /// The interface that the neighbour is on, where it is one hop away.
    link: Option<u32>,
}

enum Wake {
    Command(Option<PeerCommand>),
    Readable(usize),
    Dialed(io::Result<()>),
    /// There is news of who is on the interface.
    Neighbour,
    /// BFD says something else of the path.
    Path,
    /// Timer, writable, frames, room, or last words that have left: looked at on
    /// every turn anyway.
    Turn,
}

impl PeerTask {
    async fn run(mut self) {
        let timer = sleep_until(Instant::now());
        tokio::pin!(timer);
        self.start();
        self.watch_path();
        loop {
            self.act();
            self.write();
            self.publish();
            if self.over() {
                break;
            }
            match self.wait(timer.as_mut()).await {
                Wake::Command(Some(command)) => {
                    self.command(command);
                    self.watch_path();
                }
                Wake::Command(None) => self.remove(0, String::new()),
                Wake::Readable(index) => self.read(index),
                Wake::Dialed(result) => self.dialed(result),
                Wake::Neighbour => {
                    self.look_for_neighbour();
                    self.watch_path();
                }
                Wake::Path => self.path_news(),
                Wake::Turn => {}
            }
            self.limits();
            self.expire();
        }
        while self.lingering.join_next().await.is_some() {}
    }

    fn over(&self) -> bool {
        if !self.connections.is_empty() || self.dialing.is_some() {
            return false;
        }
        // One that is held down is remembered, so that calling again is no way
        // out. While its last words leave it may call already: who else would
        // answer?
        let guest = matches!(self.settings.origin, PeerOrigin::Range(_));
        let idle =
            self.served && self.held.is_none() && self.away.is_none() && self.lingering.is_empty();
        self.removed || (guest && idle)
    }

    async fn wait(&mut self, mut timer: Pin<&mut Sleep>) -> Wake {
        let deadline = self
            .session
            .next_deadline()
            .map_or_else(|| Instant::now() + FAR, |at| clock::instant(at).into());
        // A deadline that moved out leaves the timer as it is: one turn for nothing
        // costs less than setting it for every message.
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        let connections = &self.connections;
        let port = self.up.as_ref().map(|up| &up.port);
        tokio::select! {
            biased;
            command = self.commands.recv() => Wake::Command(command),
            // Before what lies in the sockets: that may take long.
            () = path_changed(self.bfd.as_mut()) => Wake::Path,
            index = poll_fn(|cx| poll_connections(connections, cx)) => index.map_or(Wake::Turn, Wake::Readable),
            result = dialed(self.dialing.as_ref()) => Wake::Dialed(result),
            () = changed(port) => Wake::Turn,
            () = sought(self.discovery.as_deref()) => Wake::Neighbour,
            Some(_) = self.lingering.join_next() => Wake::Turn,
            () = timer => Wake::Turn,
        }
    }

    fn accepted(&mut self, stream: TcpStream) {
        self.served = true;
        // First: one that is refused says nothing of who the neighbour is.
        if let Err(why) = socket::admit(&stream, &self.settings) {
            debug!(peer = %self.settings.name, "refused a connection: {why}");
            self.view.refused(why);
            return;
        }
        if !self.is_from_neighbour(&stream) {
            return;
        }
        let id = self.session.new_conn_id();
        self.connections.push(Connection::new(id, stream));
        self.session.handle_input(Input::Accepted(id), clock::now());
    }

    fn dial(&mut self, id: ConnId) {
        let config = &self.settings.config;
        let may_drop = config.password.is_some() || config.ttl_security.is_some();
        let drops = may_drop.then(Drops::lately);
        match socket::dial(&self.settings) {
            Ok(stream) => self.dialing = Some(Dialing { id, stream, drops }),
            Err(e) => self.dial_failed(id, None, &e),
        }
    }

    fn dialed(&mut self, result: io::Result<()>) {
        let Some(dialing) = self.dialing.take() else {
            return;
        };
        let id = dialing.id;
        match result {
            Ok(()) => {
                lock(&self.view.clues).attempt = None;
                self.connections.push(Connection::new(id, dialing.stream));
                self.session
                    .handle_input(Input::Connected(id), clock::now());
            }
            Err(e) => self.dial_failed(id, Some(&dialing), &e),
        }
    }

    fn dial_failed(&mut self, id: ConnId, dialing: Option<&Dialing>, e: &io::Error) {
        self.note_attempt(dialing, AttemptFailure::Error(e.kind(), e.to_string()));
        let input = Input::ConnectFailed(id, e.to_string());
        self.session.handle_input(input, clock::now());
    }

    /// What is known of an attempt that came to nothing.
    fn note_attempt(&self, dialing: Option<&Dialing>, failure: AttemptFailure) {
        let dropped = dialing.and_then(|d| sockopt::dropped_segments(&d.stream).ok());
        let dropped = dropped.unwrap_or(0);
        let drops = match dialing.and_then(|d| d.drops) {
            Some(before) if dropped > 0 => Drops::now().since(before),
            _ => Drops::default(),
        };
        lock(&self.view.clues).attempt = Some(Attempt {
            at: SystemTime::now(),
            failure,
            dropped,
            drops,
        });
    }

    /// Lets timers fire that are due. It is asked after every event, so that a
    /// peer that always has something to read delays no keepalive.
    fn expire(&mut self) {
        let now = clock::now();
        if self.session.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        if let Some(id) = self.session.hold_expiring(now)
            && let Some(c) = self.connections.iter().find(|c| c.id == id)
            && c.has_unread()
        {
            self.session.unread_bytes(id, now);
        }
        self.session.handle_timeout(now);
        if self.session.is_running() && self.held.take().is_some() {
            self.changed = true;
        }
    }

    /// Does what the session wants done.
    fn act(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Connect(id) => self.dial(id),
                Action::Send {
                    conn,
                    bytes,
                    urgent,
                } => {
                    if let Some(c) = self.connections.iter_mut().find(|c| c.id == conn) {
                        c.out.push(bytes, urgent);
                    }
                }
                Action::Close(id) => self.close(id),
                Action::Up(id, negotiated, kept) => self.came_up(id, *negotiated, kept),
                Action::Down(reason, kept) => {
                    self.changed = true;
                    info!(peer = %self.settings.name, %reason, "session down");
                    self.went_away(kept);
                }
                Action::StaleExpired(families) => self.stale_over(families),
                Action::RefreshExpired(family) => {
                    if let Some(up) = &self.up {
                        warn!(peer = %self.settings.name, %family, "a refresh was not ended in time: what it did not bring goes");
                        // Behind all that has been read.
                        let batch = Batch {
                            items: vec![Item::RefreshEnd(family)],
                            bytes: 0,
                        };
                        self.context.rib.push(&up.port, batch);
                    }
                }
                Action::Refresh(family) => {
                    if let Some(up) = &self.up {
                        self.context.rib.refresh(&up.port, family);
                    }
                }
                Action::BadMessage { kind, body, fault } => {
                    lock(&self.view.history).fatal(SystemTime::now(), kind, &body, &fault);
                }
                Action::Report(error) => {
                    self.changed = true;
                    lock(&self.view.history).report(clock::wall(error.at), &error);
                    debug!(peer = %self.settings.name, %error, "session error");
                }
            }
        }
    }

    fn close(&mut self, id: ConnId) {
        if let Some(dialing) = self.dialing.take_if(|d| d.id == id)
            && self.session.state() == State::Connect
        {
            self.note_attempt(Some(&dialing), AttemptFailure::Silence);
        }
        if let Some(index) = self.connections.iter().position(|c| c.id == id) {
            let mut connection = self.connections.swap_remove(index);
            if self.up.as_ref().is_some_and(|up| up.connection == id) {
                connection.out.drop_unsent();
            }
            self.lingering
                .spawn(linger(connection.stream, connection.out));
        }
        // Collects those that are through, also where there is never time to wait.
        while self.lingering.try_join_next().is_some() {}
    }

    fn came_up(&mut self, id: ConnId, negotiated: Negotiated, kept: [bool; Family::COUNT]) {
        let Some((local, remote)) = self
            .connections
            .iter()
            .find(|c| c.id == id)
            .and_then(|c| Some((c.stream.local_addr().ok()?, c.stream.peer_addr().ok()?)))
        else {
            // Reset in this very moment; the next read says so.
            return;
        };
        info!(
            peer = %self.settings.name,
            asn = negotiated.remote_asn.0,
            router_id = %negotiated.remote_router_id,
            hold_time = negotiated.hold_time.as_secs(),
            "session established"
        );
        let place = self.context.interfaces.place(local, remote.ip());
        let port = Arc::new(Port::new(self.settings.name));
        let spec = spec::peer_spec(&self.settings, &negotiated, local.ip(), &place);
        let link = place.interface.filter(|_| spec.shared_subnet);
        let back = self.away.take().map(|away| (away.port, kept));
        self.context.rib.peer_up(Arc::clone(&port), spec, back);
        self.changed = true;
        self.state_since = Some(clock::now());
        self.up = Some(Up {
            connection: id,
            port,
            negotiated: Arc::new(negotiated),
            local,
            remote,
            link,
        });
        // It is known now whether the neighbour is on a link of ours.
        self.watch_path();
    }

    fn went_down(&mut self) {
        if let Some(up) = self.up.take() {
            self.state_since = Some(clock::now());
            lock(&self.view.clues).drops = Drops::lately();
            self.context.rib.peer_down(up.port);
        }
        self.give_up();
    }
}

/// The index of a connection that can be read; none: one that can be written.
fn poll_connections(connections: &[Connection], cx: &mut TaskContext<'_>) -> Poll<Option<usize>> {
    for (index, connection) in connections.iter().enumerate() {
        if let Poll::Ready(readable) = connection.poll(cx) {
            return Poll::Ready(readable.then_some(index));
        }
    }
    Poll::Pending
}

async fn dialed(dialing: Option<&Dialing>) -> io::Result<()> {
    match dialing {
        Some(dialing) => socket::connected(&dialing.stream).await,
        None => pending().await,
    }
}

async fn sought(discovery: Option<&Discovery>) {
    match discovery {
        Some(discovery) => discovery.changed().await,
        None => pending().await,
    }
}

async fn path_changed(watched: Option<&mut Watched>) {
    match watched {
        Some(watched) => watched.path.changed().await,
        None => pending().await,
    }
}

async fn changed(port: Option<&Arc<Port>>) {
    match port {
        Some(port) => port.changed().await,
        None => pending().await,
    }
}

impl Drop for PeerTask {
    /// Also on a panic: a session without a task must not leave routes behind.
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        self.went_down();
    }
}
