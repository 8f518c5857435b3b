//! The control task: the one place where peers come and go and the
//! configuration changes.

mod by_command;
mod commands;
mod reload;
mod restraint;
mod revisions;
mod trial;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use godwit_bgp::Family;
use godwit_bgp::wire::notification::cease;
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use self::trial::Trial;
use super::desired::{Desired, listening_keys};
use super::listeners::Listeners;
use super::{Command, Shared};
use crate::listener::{Doorman, Refusal, Stranger};
use crate::peer::{self, Entry, PeerCommand, PeerName, PeerSettings};
use crate::ribthread::{Notice, Notices};
use crate::state::Store;
use crate::state::changes::Changes;
use crate::state::history::History;
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
    pub listeners: Listeners,
}

/// What outlives the process.
pub(crate) struct Kept {
    pub store: Store,
    pub history: History,
}

pub(crate) struct ControlTask {
    shared: Arc<Shared>,
    context: peer::Context,
    inputs: Inputs,
    tasks: JoinSet<()>,
    /// Which peer a task serves.
    addresses: HashMap<task::Id, PeerName>,
    peers: BTreeMap<PeerName, Peer>,
    /// As the file wants it.
    desired: Desired,
    /// What was changed by command.
    changes: Changes,
    history: History,
    store: Store,
    /// The newest revision, where it goes unless it is confirmed.
    trial: Option<Trial>,
    /// On whose behalf the command at hand is; none: the daemon's own.
    uid: Option<u32>,
    doorman: Doorman,
    /// Most peers that there may be.
    limit: usize,
    /// Until the kernel routes of a former run are swept.
    sweep_at: Option<Instant>,
    /// When a router that is being drained ceases to announce.
    withdraw_at: Option<Instant>,
    /// Until when updates are held back after the start.
    held_until: Option<Instant>,
    /// When it is found out whose routes they wait for.
    awaits_at: Option<Instant>,
    /// Whose: those that were Established by then; before that, everybody's.
    awaited: Option<BTreeSet<PeerName>>,
}

struct Peer {
    settings: PeerSettings,
    entry: Entry,
    task: task::Id,
}

impl Peer {
    /// Its End-of-RIB of every family has come.
    fn has_told_all(&self) -> bool {
        self.entry.view.status().session.as_ref().is_some_and(|s| {
            let mut families = Family::ALL.into_iter().filter(|f| s.negotiated.has(*f));
            families.all(|f| s.end_of_rib(f))
        })
    }
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
        kept: Kept,
        desired: Desired,
        limit: usize,
    ) -> ControlTask {
        let gate = Arc::clone(&shared.gate);
        let sweep_at = shared.fib.as_ref().map(|_| Instant::now() + SWEEP_AFTER);
        ControlTask {
            shared,
            context,
            inputs,
            tasks: JoinSet::new(),
            addresses: HashMap::new(),
            peers: BTreeMap::new(),
            desired,
            changes: Changes::default(),
            history: kept.history,
            store: kept.store,
            trial: None,
            uid: None,
            doorman: Doorman::new(gate),
            limit,
            sweep_at,
            withdraw_at: None,
            held_until: None,
            awaits_at: None,
            awaited: None,
        }
    }

    /// Runs until told to stop; the sessions are closed when it returns.
    pub async fn run(mut self) -> Ended {
        self.hold_updates();
        self.aggregate(self.desired.aggregates.clone());
        self.resume();
        self.restore_changes();
        let peers: Vec<PeerSettings> = self.desired.peers.values().cloned().collect();
        self.listen(peers.iter()).await;
        for route in self.desired.routes.values().cloned().collect::<Vec<_>>() {
            self.originate(route);
        }
        for settings in peers {
            self.spawn(settings);
        }
        self.make_changes();
        if !self.changes.peers.is_empty() {
            self.listen_for_all().await;
        }
        let registry = Arc::clone(&self.shared.registry);
        let ended = loop {
            let or_later = |at: Option<Instant>| at.unwrap_or_else(|| Instant::now() + SWEEP_AFTER);
            let sweep_at = or_later(self.sweep_at);
            let (withdraw_at, held_until) = (or_later(self.withdraw_at), or_later(self.held_until));
            let awaits_at = or_later(self.awaits_at);
            let back_at = or_later(self.trial.as_ref().map(|trial| trial.at));
            tokio::select! {
                command = self.inputs.commands.recv() => match command {
                    None | Some(Command::Stop) => break Ended::Stopped,
                    Some(command) => self.asked(command).await,
                },
                Some(stranger) = self.inputs.strangers.recv() => self.stranger(stranger),
                notice = self.inputs.notices.recv() => match notice {
                    Some(Notice::EndOfRib(address, family)) => self.end_of_rib(address, family),
                    Some(Notice::Failed) | None => break Ended::Failed,
                },
                () = sleep_until(back_at), if self.trial.is_some() => {
                    self.not_confirmed().await;
                }
                // Its key is for the address that was found.
                () = registry.neighbours_changed() => self.listen_for_all().await,
                Some(done) = self.tasks.join_next_with_id() => self.task_ended(&done),
                () = sleep_until(withdraw_at), if self.withdraw_at.is_some() => self.withdraw_all(),
                () = sleep_until(held_until), if self.held_until.is_some() => {
                    self.release_updates("no End-of-RIB from some peer");
                }
                () = sleep_until(awaits_at), if self.awaits_at.is_some() => {
                    self.await_established();
                }
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

    /// At the addresses of the file that is in force, with the keys of these
    /// peers and of its ranges.
    async fn listen<'a>(&mut self, peers: impl Iterator<Item = &'a PeerSettings>) {
        let registry = &self.shared.registry;
        let keys = listening_keys(peers, &self.desired.ranges, |name| registry.neighbour(name));
        let ranges = self.desired.ranges.iter().map(|r| r.range);
        self.shared.gate.set_ranges(ranges.collect());
        let config = Arc::clone(&self.shared.loaded.load().config);
        let listeners = &mut self.inputs.listeners;
        listeners
            .set(&config.router.listen, &keys, &self.shared)
            .await;
    }

    /// The same for the peers that there are.
    async fn listen_for_all(&mut self) {
        let peers: Vec<PeerSettings> = self.peers.values().map(|p| p.settings.clone()).collect();
        self.listen(peers.iter()).await;
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

    async fn asked(&mut self, command: Command) {
        match command {
            Command::As(uid, command) => {
                self.uid = Some(uid);
                self.command(*command).await;
                self.uid = None;
            }
            command => self.command(command).await,
        }
    }

    async fn command(&mut self, command: Command) {
        // A reply that nobody waits for any more is dropped.
        match command {
            Command::Apply(wanted, reply) => {
                let _ = reply.send(self.apply(*wanted).await);
            }
            Command::Confirm(reply) => {
                let _ = reply.send(self.confirm());
            }
            Command::Rollback(to, why, reply) => {
                let _ = reply.send(self.rollback(to, &why).await);
            }
            Command::Revisions(reply) => {
                let _ = reply.send(Ok(self.revisions()));
            }
            Command::Show(number, reply) => {
                let _ = reply.send(self.show(number).map(Box::new));
            }
            Command::Plan(text, name, reply) => {
                let _ = reply.send(self.plan(text.as_deref(), &name).map(Box::new));
            }
            Command::Drain {
                wait,
                withdraw,
                reply,
            } => {
                let _ = reply.send(Ok(self.drain(wait, withdraw)));
            }
            Command::Undrain(reply) => {
                let _ = reply.send(self.undrain());
            }
            Command::AddPeer(peer, reply) => {
                let _ = reply.send(self.add_peer(*peer).await);
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
                let _ = reply.send(self.add_route(*route).await);
            }
            Command::RemoveRoute(prefix, reply) => {
                let _ = reply.send(self.remove_route(prefix).await);
            }
            // One within another is not made.
            Command::Stop | Command::As(..) => {}
        }
    }

    fn spawn(&mut self, mut settings: PeerSettings) {
        let address = settings.name;
        if let Some(disabled) = self.changes.forced.get(&address) {
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
        let name = PeerName::Address(address);
        if !self.peers.contains_key(&name) {
            let Some(settings) = self.desired.for_caller(address) else {
                return self.doorman.refuse(stranger, Refusal::Unknown);
            };
            if self.range_is_full(&settings) {
                return self.doorman.refuse(stranger, Refusal::RangeFull);
            }
            if self.peers.len() >= self.limit {
                return self.doorman.refuse(stranger, Refusal::DaemonFull);
            }
            self.spawn(settings);
        }
        if let Some(peer) = self.peers.get(&name) {
            let accepted = PeerCommand::Accepted(stranger.stream);
            // Its queue is full: the connection is closed, the neighbour tries again.
            let _ = peer.entry.commands.try_send(accepted);
        }
    }

    /// Whether the range that these settings come from has its `limit` of
    /// neighbours; then that counts as refused.
    fn range_is_full(&self, settings: &PeerSettings) -> bool {
        let PeerOrigin::Range(range) = settings.origin else {
            return false;
        };
        let same = |p: &&Peer| p.settings.origin == settings.origin;
        let full = self.peers.values().filter(same).count() >= settings.config.limit as usize;
        if full {
            self.shared.ranges.refuse(range);
        }
        full
    }

    // After a restart.

    fn end_of_rib(&mut self, address: PeerName, family: Family) {
        info!(peer = %address, %family, "End-of-RIB received");
        if self.held_until.is_some() {
            self.release_if_complete();
        }
        if self.sweep_at.is_some() && self.expected().all(|(_, peer)| peer.has_told_all()) {
            info!("every configured peer has sent its End-of-RIB");
            self.sweep();
        }
    }

    /// The peers of the file that are not disabled.
    fn expected(&self) -> impl Iterator<Item = (&PeerName, &Peer)> {
        let of_file = |p: &Peer| p.settings.origin == PeerOrigin::File && !p.settings.disabled;
        self.peers.iter().filter(move |(_, peer)| of_file(peer))
    }

    fn sweep(&mut self) {
        self.sweep_at = None;
        self.shared.rib.sweep_when_settled();
    }
}
