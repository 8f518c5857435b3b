//! How the rest of the daemon asks for changes: one command type, whether from
//! the API, a signal or the file, answered by one task.

pub(crate) mod desired;
pub(crate) mod listeners;
pub(crate) mod resolve;
pub mod revisions;
pub(crate) mod task;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use godwit_bgp::{Asn, Family, RouterId};
use godwit_config::Config;
use godwit_fib::FibHandle;
use ipnet::IpNet;
use tokio::sync::{broadcast, mpsc, oneshot};

use self::revisions::{Applied, Apply, Plan, Revisions, RolledBack, Shown};
use crate::listener::{Gate, ListenerStatus, Refused};
use crate::peer::{PeerName, Registry};
use crate::ribthread::RibHandle;
use crate::state::changes::NewRoute;
use crate::status::{PeerEvent, PeerView};
use crate::sync::lock;

/// A peer to add while running. What is absent comes from the group, else is
/// the default, as in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPeer {
    pub name: PeerName,
    pub group: Option<String>,
    pub settings: godwit_config::PeerSettings,
}

impl NewPeer {
    /// What could not be read from a file as it is would be another, or none, after
    /// a restart.
    fn check_by(&self, config: &Config) -> Result<(), ControlError> {
        let key = self.name.key();
        let text = godwit_config::edit::add_peer("", key, self.group.as_deref(), &self.settings);
        let text = text.map_err(ControlError::Internal)?;
        match config.read_peers(&text).into_iter().next() {
            Some(Ok(read)) if read.settings == self.settings && read.group == self.group => Ok(()),
            Some(Err(why)) => Err(ControlError::Invalid(why)),
            _ => Err(ControlError::Invalid(format!(
                "a value of peer {} has more digits than a file can have",
                self.name
            ))),
        }
    }
}

/// What a client or a signal wants.
#[derive(Debug)]
pub enum Command {
    /// On behalf of the user with this id.
    As(u32, Box<Command>),
    /// Put a configuration, or the file as it is now, in force.
    Apply(Box<Apply>, Reply<Applied>),
    /// Keep what was applied on trial.
    Confirm(Reply<u64>),
    /// Put a former configuration in force again; none named: the one before.
    Rollback(Option<u64>, String, Reply<RolledBack>),
    Revisions(Reply<Revisions>),
    /// The text of a revision; none named: what is in force.
    Show(Option<u64>, Reply<Box<Shown>>),
    /// What a text (or the file) of this name would change.
    Plan(Option<String>, String, Reply<Box<Plan>>),
    /// Out of service: the last choice for `wait`, then, if so wanted, nothing.
    Drain {
        wait: Duration,
        withdraw: bool,
        reply: Reply<DrainStatus>,
    },
    Undrain(Reply<()>),
    AddPeer(Box<NewPeer>, Reply<()>),
    RemovePeer(PeerName, String, Reply<()>),
    EnablePeer(PeerName, Reply<()>),
    /// The text goes to the neighbour (RFC 9003).
    DisablePeer(PeerName, String, Reply<()>),
    ResetPeer {
        address: PeerName,
        hard: bool,
        message: String,
        reply: Reply<()>,
    },
    /// Ask the peer for its routes again; no families: all that were negotiated.
    RefreshIn(PeerName, Vec<Family>, Reply<()>),
    /// Send it ours again.
    RefreshOut(PeerName, Vec<Family>, Reply<()>),
    AddRoute(Box<NewRoute>, Reply<()>),
    RemoveRoute(IpNet, Reply<()>),
    Stop,
}

pub type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// Why a command was refused; maps to the canonical codes of gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// No such peer or route.
    NotFound(String),
    AlreadyExists(String),
    /// It is in the file, or the session is not in the state for it.
    FailedPrecondition(String),
    /// Somebody else was faster.
    Conflict(String),
    /// The argument, or the file, is wrong; for a file the underlined text.
    Invalid(String),
    /// The daemon is stopping.
    Stopping,
    /// Something of the system refused.
    Internal(String),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::NotFound(text)
            | ControlError::AlreadyExists(text)
            | ControlError::FailedPrecondition(text)
            | ControlError::Conflict(text)
            | ControlError::Invalid(text)
            | ControlError::Internal(text) => f.write_str(text),
            ControlError::Stopping => f.write_str("the daemon is stopping"),
        }
    }
}

impl std::error::Error for ControlError {}

/// Who this daemon is; fixed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub node: String,
    pub asn: Asn,
    pub router_id: RouterId,
    pub cluster_id: RouterId,
}

/// The file that is in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Arc<Config>,
    pub text: Arc<str>,
    /// Its number in the history.
    pub revision: u64,
    pub path: PathBuf,
    pub at: SystemTime,
    /// Why the last attempt to load it anew was refused.
    pub last_error: Option<String>,
    /// Why the way back from a revision that was not confirmed is not done yet.
    pub going_back: Option<String>,
}

/// Connections that ranges turned away because they were full.
#[derive(Debug, Default)]
pub struct Ranges(Mutex<BTreeMap<IpNet, u64>>);

impl Ranges {
    pub fn refused(&self, range: IpNet) -> u64 {
        lock(&self.0).get(&range).copied().unwrap_or(0)
    }

    pub(crate) fn refuse(&self, range: IpNet) {
        *lock(&self.0).entry(range).or_default() += 1;
    }

    /// Forgets those that the file has no more.
    pub(crate) fn keep(&self, ranges: &[desired::Range]) {
        lock(&self.0).retain(|range, _| ranges.iter().any(|r| r.range == *range));
    }
}

/// A router on its way out of service, or there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainStatus {
    pub since: SystemTime,
    /// When it will cease to announce.
    pub withdraw_at: Option<SystemTime>,
    /// It announces nothing.
    pub withdrawn: bool,
}

/// What keeps our routes from peers on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restraint {
    pub drain: Option<DrainStatus>,
    /// Updates are held back after the start, at most until then.
    pub held_until: Option<SystemTime>,
}

/// What everybody may read at any time.
#[derive(Debug)]
pub(crate) struct Shared {
    pub identity: Identity,
    pub loaded: ArcSwap<Loaded>,
    /// As the daemon started; what only a restart changes is as here.
    pub started: Arc<Config>,
    pub listeners: ArcSwap<Vec<ListenerStatus>>,
    pub gate: Arc<Gate>,
    pub ranges: Ranges,
    pub restraint: ArcSwap<Restraint>,
    pub registry: Arc<Registry>,
    pub rib: RibHandle,
    pub fib: Option<FibHandle>,
}

impl Shared {
    /// Changes what is told of the file. Only the control task does.
    fn amend(&self, change: impl FnOnce(&mut Loaded)) {
        let mut loaded = Loaded::clone(&self.loaded.load());
        change(&mut loaded);
        self.loaded.store(Arc::new(loaded));
    }
}

/// The way into the daemon for the API; cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    uid: Option<u32>,
}

impl Control {
    pub(crate) fn new(commands: mpsc::Sender<Command>, shared: Arc<Shared>) -> Control {
        Control {
            commands,
            shared,
            uid: None,
        }
    }

    /// The same, on behalf of the user with this id.
    #[must_use]
    pub fn on_behalf_of(&self, uid: Option<u32>) -> Control {
        Control {
            uid,
            ..self.clone()
        }
    }

    // Reading: never asks the control task, never waits for a peer.

    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    pub fn loaded(&self) -> Arc<Loaded> {
        self.shared.loaded.load_full()
    }

    /// As the daemon started; what only a restart changes is as here.
    pub fn started(&self) -> &Config {
        &self.shared.started
    }

    pub fn listeners(&self) -> Arc<Vec<ListenerStatus>> {
        self.shared.listeners.load_full()
    }

    /// Connections that were turned away.
    pub fn refused(&self) -> &Refused {
        &self.shared.gate.refused
    }

    /// Neighbours that this range turned away for being full.
    pub fn refused_by(&self, range: IpNet) -> u64 {
        self.shared.ranges.refused(range)
    }

    pub fn restraint(&self) -> Arc<Restraint> {
        self.shared.restraint.load_full()
    }

    /// Every peer, by address.
    pub fn peers(&self) -> Vec<Arc<PeerView>> {
        self.shared.registry.views()
    }

    pub fn peer(&self, address: impl Into<PeerName>) -> Option<Arc<PeerView>> {
        self.shared.registry.view(address)
    }

    /// Changes of peers from now on. A reader that falls behind gets `Lagged`:
    /// read [`Control::peers`] anew.
    pub fn watch_peers(&self) -> broadcast::Receiver<PeerEvent> {
        self.shared.registry.watch()
    }

    pub fn rib(&self) -> &RibHandle {
        &self.shared.rib
    }

    /// The fib thread; none where neither routes nor next hops are asked of the
    /// kernel. Its questions block: `spawn_blocking`.
    pub fn fib(&self) -> Option<&FibHandle> {
        self.shared.fib.as_ref()
    }

    // Changing.

    pub async fn drain(&self, wait: Duration, withdraw: bool) -> Result<DrainStatus, ControlError> {
        self.ask(|reply| Command::Drain {
            wait,
            withdraw,
            reply,
        })
        .await
    }

    pub async fn undrain(&self) -> Result<(), ControlError> {
        self.ask(Command::Undrain).await
    }

    /// Reads the file again and applies the difference, as SIGHUP does; what
    /// changed, a line each.
    pub async fn reload(&self) -> Result<Vec<String>, ControlError> {
        let applied = self.apply(Apply::reload(self.uid, "")).await?;
        Ok(applied.changes)
    }

    pub async fn apply(&self, wanted: Apply) -> Result<Applied, ControlError> {
        self.ask(|r| Command::Apply(Box::new(wanted), r)).await
    }

    pub async fn confirm(&self) -> Result<u64, ControlError> {
        self.ask(Command::Confirm).await
    }

    pub async fn rollback(&self, to: Option<u64>, why: String) -> Result<RolledBack, ControlError> {
        self.ask(|r| Command::Rollback(to, why, r)).await
    }

    pub async fn revisions(&self) -> Result<Revisions, ControlError> {
        self.ask(Command::Revisions).await
    }

    /// The number of a revision and its text, without secrets. That of the one in
    /// force, where none is named, has what was changed by command written in.
    pub async fn show(&self, number: Option<u64>) -> Result<(u64, String), ControlError> {
        let shown = self.ask(|r| Command::Show(number, r)).await?;
        let number = shown.revision;
        // Thousands of peers and routes take their time.
        let text = tokio::task::spawn_blocking(move || shown.text());
        let text = text.await.map_err(|e| e.to_string()).flatten();
        Ok((number, text.map_err(ControlError::Internal)?))
    }

    pub async fn plan(&self, text: Option<String>, name: String) -> Result<Plan, ControlError> {
        let plan = self.ask(|r| Command::Plan(text, name, r)).await?;
        Ok(*plan)
    }

    pub async fn add_peer(&self, peer: NewPeer) -> Result<(), ControlError> {
        self.ask(|r| Command::AddPeer(Box::new(peer), r)).await
    }

    pub async fn remove_peer(
        &self,
        address: PeerName,
        message: String,
    ) -> Result<(), ControlError> {
        self.ask(|r| Command::RemovePeer(address, message, r)).await
    }

    pub async fn enable_peer(&self, address: PeerName) -> Result<(), ControlError> {
        self.ask(|r| Command::EnablePeer(address, r)).await
    }

    pub async fn disable_peer(
        &self,
        address: PeerName,
        message: String,
    ) -> Result<(), ControlError> {
        self.ask(|r| Command::DisablePeer(address, message, r))
            .await
    }

    pub async fn reset_peer(
        &self,
        address: PeerName,
        hard: bool,
        message: String,
    ) -> Result<(), ControlError> {
        self.ask(|reply| Command::ResetPeer {
            address,
            hard,
            message,
            reply,
        })
        .await
    }

    pub async fn refresh_in(
        &self,
        address: PeerName,
        families: Vec<Family>,
    ) -> Result<(), ControlError> {
        self.ask(|r| Command::RefreshIn(address, families, r)).await
    }

    pub async fn refresh_out(
        &self,
        address: PeerName,
        families: Vec<Family>,
    ) -> Result<(), ControlError> {
        self.ask(|r| Command::RefreshOut(address, families, r))
            .await
    }

    /// The same prefix again replaces the route.
    pub async fn add_route(&self, route: NewRoute) -> Result<(), ControlError> {
        self.ask(|r| Command::AddRoute(Box::new(route), r)).await
    }

    pub async fn remove_route(&self, prefix: IpNet) -> Result<(), ControlError> {
        self.ask(|r| Command::RemoveRoute(prefix, r)).await
    }

    /// Ends the daemon; returns at once.
    pub async fn stop(&self) {
        // Nobody there: it has stopped.
        let _ = self.commands.send(Command::Stop).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        let mut command = command(reply);
        if let Some(uid) = self.uid {
            command = Command::As(uid, Box::new(command));
        }
        self.commands
            .send(command)
            .await
            .map_err(|_| ControlError::Stopping)?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }
}
