//! The control task: the one place where peers come and go and the
//! configuration changes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_bgp::Family;
use godwit_bgp::wire::notification::cease;
use godwit_rib::LocalRoute;
use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use super::desired::{Desired, Step, steps};
use super::resolve;
use super::{Command, ControlError, Loaded, NewPeer, Shared};
use crate::listener::{Doorman, Stranger};
use crate::peer::{self, Entry, PeerCommand, PeerSettings};
use crate::ribthread::{Notice, Notices};
use crate::status::PeerOrigin;

/// How long a restarted daemon keeps the kernel routes that nobody has claimed
/// again, where some peer sends no End-of-RIB.
const SWEEP_AFTER: Duration = Duration::from_secs(120);
/// How long sessions get to say goodbye.
const FAREWELL: Duration = Duration::from_secs(3);

/// Where everything that the task answers to comes in.
pub(crate) struct Inputs {
    pub commands: mpsc::Receiver<Command>,
    pub strangers: mpsc::Receiver<Stranger>,
    pub notices: Notices,
}

pub(crate) struct ControlTask {
    shared: Arc<Shared>,
    context: peer::Context,
    inputs: Inputs,
    tasks: JoinSet<()>,
    /// Which peer a task serves.
    addresses: HashMap<task::Id, IpAddr>,
    peers: BTreeMap<IpAddr, Peer>,
    /// As the file wants it.
    desired: Desired,
    /// Added by command.
    runtime: BTreeMap<IpAddr, NewPeer>,
    /// Disabled (true) or enabled by command, against the file.
    forced: BTreeMap<IpAddr, bool>,
    runtime_routes: BTreeMap<IpNet, LocalRoute>,
    doorman: Doorman,
    /// Most peers that there may be.
    limit: usize,
    /// Until the kernel routes of a former run are swept.
    sweep_at: Option<Instant>,
}

struct Peer {
    settings: PeerSettings,
    entry: Entry,
    task: task::Id,
}

/// Why the task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Stopped,
    /// The RIB thread is gone.
    Failed,
}

impl ControlTask {
    pub fn new(
        shared: Arc<Shared>,
        context: peer::Context,
        inputs: Inputs,
        desired: Desired,
        limit: usize,
    ) -> ControlTask {
        let sweep_at = shared.fib.as_ref().map(|_| Instant::now() + SWEEP_AFTER);
        ControlTask {
            shared,
            context,
            inputs,
            tasks: JoinSet::new(),
            addresses: HashMap::new(),
            peers: BTreeMap::new(),
            desired,
            runtime: BTreeMap::new(),
            forced: BTreeMap::new(),
            runtime_routes: BTreeMap::new(),
            doorman: Doorman::default(),
            limit,
            sweep_at,
        }
    }

    /// Runs until told to stop; the sessions are closed when it returns.
    pub async fn run(mut self) -> Ended {
        for route in self.desired.routes.values().cloned().collect::<Vec<_>>() {
            self.originate(route);
        }
        for settings in self.desired.peers.values().cloned().collect::<Vec<_>>() {
            self.spawn(settings);
        }
        let ended = loop {
            let sweep_at = self
                .sweep_at
                .unwrap_or_else(|| Instant::now() + SWEEP_AFTER);
            tokio::select! {
                command = self.inputs.commands.recv() => match command {
                    None | Some(Command::Stop) => break Ended::Stopped,
                    Some(command) => self.command(command).await,
                },
                Some(stranger) = self.inputs.strangers.recv() => self.stranger(stranger),
                notice = self.inputs.notices.recv() => match notice {
                    Some(Notice::EndOfRib(address, family)) => self.end_of_rib(address, family),
                    Some(Notice::Failed) | None => break Ended::Failed,
                },
                Some(done) = self.tasks.join_next_with_id() => self.task_ended(&done),
                () = sleep_until(sweep_at), if self.sweep_at.is_some() => {
                    info!("no End-of-RIB from some peer: sweeping unclaimed kernel routes now");
                    self.sweep();
                }
            }
        };
        // First of all the thread: the ends of the sessions must not withdraw the
        // routes from a kernel that is to keep them.
        self.shared.rib.stop();
        self.farewell().await;
        ended
    }

    async fn farewell(&mut self) {
        for peer in self.peers.values() {
            let command = PeerCommand::Remove {
                subcode: cease::ADMIN_SHUTDOWN,
                message: String::new(),
            };
            // A full queue or an ended task: its socket is closed all the same.
            let _ = peer.entry.commands.try_send(command);
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            warn!("some sessions did not close in time");
        }
    }

    async fn command(&mut self, command: Command) {
        // A reply that nobody waits for any more is dropped.
        match command {
            Command::Reload(reply) => {
                let _ = reply.send(self.reload().await);
            }
            Command::AddPeer(peer, reply) => {
                let _ = reply.send(self.add_peer(*peer));
            }
            Command::RemovePeer(address, message, reply) => {
                let _ = reply.send(self.remove_peer(address, message).await);
            }
            Command::EnablePeer(address, reply) => {
                let _ = reply.send(self.force(address, false, String::new()).await);
            }
            Command::DisablePeer(address, message, reply) => {
                let _ = reply.send(self.force(address, true, message).await);
            }
            Command::ResetPeer {
                address,
                hard,
                message,
                reply,
            } => {
                let _ = reply.send(self.reset(address, hard, message).await);
            }
            Command::RefreshIn(address, families, reply) => {
                let _ = reply.send(self.refresh_in(address, families).await);
            }
            Command::RefreshOut(address, families, reply) => {
                let command = PeerCommand::RefreshOut(families);
                let _ = reply.send(self.tell_established(address, command).await);
            }
            Command::AddRoute(route, reply) => {
                let _ = reply.send(self.add_route(*route));
            }
            Command::RemoveRoute(prefix, reply) => {
                let _ = reply.send(self.remove_route(prefix));
            }
            Command::Stop => {}
        }
    }

    // Peers.

    fn spawn(&mut self, mut settings: PeerSettings) {
        let address = settings.address;
        if let Some(disabled) = self.forced.get(&address) {
            settings.disabled = *disabled;
        }
        let (entry, task) = peer::spawn(settings.clone(), &self.context, &mut self.tasks);
        self.addresses.insert(task, address);
        self.shared.registry.insert(address, entry.clone());
        self.peers.insert(
            address,
            Peer {
                settings,
                entry,
                task,
            },
        );
    }

    /// A task ended: removed, a range's neighbour that left, or a panic.
    fn task_ended(&mut self, done: &Result<(task::Id, ()), task::JoinError>) {
        let (id, panicked) = match done {
            Ok((id, ())) => (*id, false),
            Err(e) => (e.id(), e.is_panic()),
        };
        let Some(address) = self.addresses.remove(&id) else {
            return;
        };
        // A peer that was removed and added again has another task by now.
        let Some(peer) = self.peers.get(&address).filter(|p| p.task == id) else {
            return;
        };
        let settings = peer.settings.clone();
        self.peers.remove(&address);
        self.shared.registry.remove(address);
        if panicked {
            error!(peer = %address, "the peer's task panicked; starting it anew");
            if !matches!(settings.origin, PeerOrigin::Range(_)) {
                self.spawn(settings);
            }
        }
    }

    fn stranger(&mut self, stranger: Stranger) {
        let address = stranger.address;
        if !self.peers.contains_key(&address) {
            let Some(settings) = self.desired.for_caller(address) else {
                self.doorman.refuse(stranger, "no such peer is configured");
                return;
            };
            if self.peers.len() >= self.limit {
                self.doorman
                    .refuse(stranger, "too many peers for the limit of open files");
                return;
            }
            self.spawn(settings);
        }
        if let Some(peer) = self.peers.get(&address) {
            let accepted = PeerCommand::Accepted(stranger.stream);
            // Its queue is full: the connection is closed, the neighbour tries again.
            let _ = peer.entry.commands.try_send(accepted);
        }
    }

    fn known(&self, address: IpAddr) -> Result<&Peer, ControlError> {
        self.peers
            .get(&address)
            .ok_or_else(|| ControlError::NotFound(format!("no peer {address}")))
    }

    async fn tell(&self, address: IpAddr, command: PeerCommand) -> Result<(), ControlError> {
        let peer = self.known(address)?;
        let gone = |_| ControlError::NotFound(format!("peer {address} has just gone"));
        peer.entry.commands.send(command).await.map_err(gone)
    }

    async fn tell_established(
        &self,
        address: IpAddr,
        command: PeerCommand,
    ) -> Result<(), ControlError> {
        if self.known(address)?.entry.view.status().session.is_none() {
            let text = format!("peer {address} is not established");
            return Err(ControlError::FailedPrecondition(text));
        }
        self.tell(address, command).await
    }

    fn add_peer(&mut self, new: NewPeer) -> Result<(), ControlError> {
        let address = new.address;
        if self.peers.contains_key(&address) {
            let text = format!("peer {address} exists already");
            return Err(ControlError::AlreadyExists(text));
        }
        let loaded = self.shared.loaded.load();
        let settings = resolve::runtime_peer(&loaded.config, &self.shared.identity, &new)
            .map_err(ControlError::Invalid)?;
        self.runtime.insert(address, new);
        info!(peer = %address, "peer added by command; it lasts until the daemon restarts");
        self.spawn(settings);
        Ok(())
    }

    async fn remove_peer(&mut self, address: IpAddr, message: String) -> Result<(), ControlError> {
        let precondition = match self.known(address)?.settings.origin {
            PeerOrigin::Runtime => None,
            PeerOrigin::File => Some(format!(
                "peer {address} is in the configuration file: remove it there and reload, or disable it"
            )),
            PeerOrigin::Range(range) => Some(format!(
                "peer {address} comes from the range {range} of the configuration file"
            )),
        };
        if let Some(text) = precondition {
            return Err(ControlError::FailedPrecondition(text));
        }
        self.runtime.remove(&address);
        self.forced.remove(&address);
        info!(peer = %address, "peer removed by command");
        self.drop_peer(address, message).await;
        Ok(())
    }

    async fn drop_peer(&mut self, address: IpAddr, message: String) {
        if let Some(peer) = self.peers.remove(&address) {
            self.shared.registry.remove(address);
            // RFC 9003 carries words with Shutdown and Reset only.
            let subcode = if message.is_empty() {
                cease::PEER_DECONFIGURED
            } else {
                cease::ADMIN_SHUTDOWN
            };
            let command = PeerCommand::Remove { subcode, message };
            // An ended task has no session to close.
            let _ = peer.entry.commands.send(command).await;
        }
    }

    /// Enables or disables against the file, until the daemon restarts.
    async fn force(
        &mut self,
        address: IpAddr,
        disabled: bool,
        message: String,
    ) -> Result<(), ControlError> {
        let command = if disabled {
            PeerCommand::Stop {
                subcode: cease::ADMIN_SHUTDOWN,
                message,
            }
        } else {
            PeerCommand::Start
        };
        self.tell(address, command).await?;
        self.forced.insert(address, disabled);
        if let Some(peer) = self.peers.get_mut(&address) {
            peer.settings.disabled = disabled;
        }
        Ok(())
    }

    /// Soft: both directions anew in the same session.
    async fn reset(
        &mut self,
        address: IpAddr,
        hard: bool,
        message: String,
    ) -> Result<(), ControlError> {
        if hard {
            let subcode = cease::ADMIN_RESET;
            return self
                .tell(address, PeerCommand::Reset { subcode, message })
                .await;
        }
        self.tell_established(address, PeerCommand::RefreshOut(Vec::new()))
            .await?;
        self.refresh_in(address, Vec::new()).await
    }

    async fn refresh_in(
        &mut self,
        address: IpAddr,
        families: Vec<Family>,
    ) -> Result<(), ControlError> {
        let session = &self.known(address)?.entry.view.status().session;
        if session
            .as_ref()
            .is_some_and(|s| !s.negotiated.route_refresh)
        {
            let text = format!("peer {address} did not negotiate route refresh");
            return Err(ControlError::FailedPrecondition(text));
        }
        self.tell_established(address, PeerCommand::RefreshIn(families))
            .await
    }

    // Routes.

    fn originate(&self, route: LocalRoute) {
        self.shared
            .rib
            .command(move |rib| rib.originate(&route, crate::clock::now()));
    }

    fn withdraw(&self, prefix: IpNet) {
        self.shared.rib.command(move |rib| {
            rib.withdraw_local(prefix);
        });
    }

    fn add_route(&mut self, route: LocalRoute) -> Result<(), ControlError> {
        let prefix = route.prefix;
        if self.desired.routes.contains_key(&prefix) {
            let text = format!("route {prefix} is in the configuration file");
            return Err(ControlError::FailedPrecondition(text));
        }
        self.runtime_routes.insert(prefix, route.clone());
        self.originate(route);
        Ok(())
    }

    fn remove_route(&mut self, prefix: IpNet) -> Result<(), ControlError> {
        if self.runtime_routes.remove(&prefix).is_some() {
            self.withdraw(prefix);
            return Ok(());
        }
        Err(if self.desired.routes.contains_key(&prefix) {
            let text =
                format!("route {prefix} is in the configuration file: remove it there and reload");
            ControlError::FailedPrecondition(text)
        } else {
            ControlError::NotFound(format!("no route {prefix} of our own"))
        })
    }

    // The file.

    async fn reload(&mut self) -> Result<Vec<String>, ControlError> {
        let result = self.try_reload().await;
        let last_error = match &result {
            Ok(changes) if changes.is_empty() => {
                info!("configuration read again: nothing changed");
                None
            }
            Ok(changes) => {
                info!(changes = changes.join("; "), "configuration read again");
                None
            }
            Err(e) => {
                error!("configuration not applied, the old one stays in force:\n{e}");
                Some(e.to_string())
            }
        };
        let loaded = self.shared.loaded.load();
        self.shared.loaded.store(Arc::new(Loaded {
            last_error,
            ..Loaded::clone(&loaded)
        }));
        result
    }

    async fn try_reload(&mut self) -> Result<Vec<String>, ControlError> {
        let path: PathBuf = self.shared.loaded.load().path.clone();
        let config = resolve::load(&path).map_err(ControlError::Invalid)?;
        let identity = &self.shared.identity;
        let next = resolve::desired(&config, identity);
        let mut changes: Vec<String> =
            resolve::needs_restart(&self.shared.loaded.load().config, &config);
        let peers_next = self.peers_next(&config, &next)?;
        let peers_now: BTreeMap<IpAddr, PeerSettings> = self
            .peers
            .iter()
            .map(|(address, peer)| (*address, peer.settings.clone()))
            .collect();
        let steps = steps(&peers_now, &peers_next, &self.desired, &next);
        // From here on nothing can fail.
        for warning in &config.warnings {
            warn!("{warning}");
        }
        self.runtime
            .retain(|address, _| !next.peers.contains_key(address));
        self.runtime_routes
            .retain(|prefix, _| !next.routes.contains_key(prefix));
        self.desired = next;
        self.shared.loaded.store(Arc::new(Loaded {
            config: Arc::new(config),
            path,
            at: SystemTime::now(),
            last_error: None,
        }));
        self.apply_policies(&steps);
        for step in steps {
            changes.push(step.describe());
            self.apply(step).await;
        }
        Ok(changes)
    }

    /// All peers as they should stand: those of the file, those added by
    /// command (the file goes first), and neighbours from ranges that remain.
    fn peers_next(
        &self,
        config: &godwit_config::Config,
        next: &Desired,
    ) -> Result<BTreeMap<IpAddr, PeerSettings>, ControlError> {
        let mut peers = next.peers.clone();
        for (address, new) in &self.runtime {
            if !peers.contains_key(address) {
                let settings =
                    resolve::runtime_peer(config, &self.shared.identity, new).map_err(|e| {
                        ControlError::Invalid(format!("peer {address}, added by command: {e}"))
                    })?;
                peers.insert(*address, settings);
            }
        }
        for (address, peer) in &self.peers {
            if matches!(peer.settings.origin, PeerOrigin::Range(_))
                && !peers.contains_key(address)
                && let Some(settings) = next.for_caller(*address)
            {
                peers.insert(*address, settings);
            }
        }
        for (address, disabled) in &self.forced {
            if let Some(settings) = peers.get_mut(address) {
                settings.disabled = *disabled;
            }
        }
        Ok(peers)
    }

    /// Gives all sessions their new policies in one job: an update group that
    /// moves as a whole sends its members the difference once.
    fn apply_policies(&self, steps: &[Step]) {
        let changed: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::ChangePeer {
                    settings,
                    reset: false,
                } => {
                    let status = self.peers.get(&settings.address)?.entry.view.status();
                    let port = Arc::clone(&status.session.as_ref()?.port);
                    Some((port, settings.import(), settings.export()))
                }
                _ => None,
            })
            .collect();
        if changed.is_empty() {
            return;
        }
        self.shared.rib.command(move |rib| {
            for (port, import, export) in changed {
                if let Some(id) = port.id() {
                    rib.set_import(id, import);
                    rib.set_export(id, export);
                }
            }
        });
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::AddPeer(settings) => self.spawn(settings),
            Step::RemovePeer(address) => self.drop_peer(address, String::new()).await,
            Step::ChangePeer { settings, reset } => {
                if let Some(peer) = self.peers.get_mut(&settings.address) {
                    peer.settings = settings.clone();
                    let settings = Box::new(settings);
                    let command = PeerCommand::Configure { settings, reset };
                    // An ended task is taken up by `task_ended`.
                    let _ = peer.entry.commands.send(command).await;
                }
            }
            Step::Originate(route) => self.originate(route),
            Step::Withdraw(prefix) => self.withdraw(prefix),
            Step::Reconfigure(config) => {
                self.shared.rib.command(move |rib| rib.reconfigure(config));
            }
        }
    }

    // After a restart.

    fn end_of_rib(&mut self, address: IpAddr, family: Family) {
        info!(peer = %address, %family, "End-of-RIB received");
        if self.sweep_at.is_some() && self.all_converged() {
            info!("every configured peer has sent its End-of-RIB");
            self.sweep();
        }
    }

    /// Every peer of the file that is not disabled has told us all it has.
    fn all_converged(&self) -> bool {
        let mut configured = self
            .peers
            .values()
            .filter(|p| p.settings.origin == PeerOrigin::File && !p.settings.disabled);
        configured.all(|p| {
            p.entry.view.status().session.as_ref().is_some_and(|s| {
                let mut families = Family::ALL.into_iter().filter(|f| s.negotiated.has(*f));
                families.all(|f| s.end_of_rib(f))
            })
        })
    }

    fn sweep(&mut self) {
        self.sweep_at = None;
        self.shared.rib.sweep_when_settled();
    }
}
