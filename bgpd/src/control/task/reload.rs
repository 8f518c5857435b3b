//! The file, read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use godwit_config::Password;
use godwit_rib::PeerSpec;
use tracing::{error, info, warn};

use super::ControlTask;
use crate::control::desired::{Desired, Step, steps};
use crate::control::{ControlError, Loaded, NewPeer, resolve};
use crate::logging;
use crate::peer::{self, PeerCommand, PeerName, PeerSettings};
use crate::ribthread::Port;
use crate::status::PeerOrigin;

impl ControlTask {
    pub(super) async fn reload(&mut self) -> Result<Vec<String>, ControlError> {
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
        let loaded = self.shared.loaded.load_full();
        let registry = loaded.config.policies().registry();
        let config = resolve::load(&loaded.path, registry).map_err(ControlError::Invalid)?;
        logging::check(&config.log).map_err(ControlError::Invalid)?;
        let identity = &self.shared.identity;
        let mut next = resolve::desired(&config, identity);
        // They take effect with the next start, as the list of changes says.
        next.rib.fib = self.desired.rib.fib;
        next.rib.require_next_hop = self.desired.rib.require_next_hop;
        let mut changes: Vec<String> = resolve::needs_restart(&self.shared.started, &config);
        let peers_next = self.peers_next(&config, &next)?;
        let peers_now: BTreeMap<PeerName, PeerSettings> = self
            .peers
            .iter()
            .map(|(address, peer)| (*address, peer.settings.clone()))
            .collect();
        let sessions = |address: PeerName| {
            let peer = self.peers.get(&address)?;
            peer.entry.view.status().session.clone()
        };
        let steps = steps(&peers_now, &peers_next, &self.desired, &next, sessions);
        // From here on nothing can fail.
        for warning in &config.warnings {
            warn!("{warning}");
        }
        self.runtime
            .retain(|address, _| !next.peers.contains_key(address));
        self.runtime_routes
            .retain(|prefix, _| !next.routes.contains_key(prefix));
        self.shared.gate.set_rate(config.router.connection_rate);
        self.shared.ranges.keep(&next.ranges);
        self.desired = next;
        self.shared.loaded.store(Arc::new(Loaded {
            config: Arc::new(config),
            path: loaded.path.clone(),
            at: SystemTime::now(),
            last_error: None,
        }));
        // Before the sessions that come up anew with other keys.
        self.listen(peers_next.values()).await;
        let log = &self.shared.loaded.load().config.log;
        if let Err(e) = logging::set_level(log) {
            warn!("cannot change the log level: {e}");
        }
        self.apply_in_place(&steps);
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
    ) -> Result<BTreeMap<PeerName, PeerSettings>, ControlError> {
        let mut peers = next.peers.clone();
        for (address, new) in &self.runtime {
            if !peers.contains_key(address) {
                let new = with_key_read_again(new);
                let settings =
                    resolve::runtime_peer(config, &self.shared.identity, &new).map_err(|e| {
                        ControlError::Invalid(format!("peer {address}, added by command: {e}"))
                    })?;
                peers.insert(*address, settings);
            }
        }
        for (address, peer) in &self.peers {
            if matches!(peer.settings.origin, PeerOrigin::Range(_))
                && !peers.contains_key(address)
                && let Some(settings) = next.for_caller(peer.settings.address)
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

    /// Gives all sessions their new policies and roles in one job: an update
    /// group that moves as a whole sends its members the difference once.
    fn apply_in_place(&self, steps: &[Step]) {
        let changed: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::ChangePeer { settings, restart } if restart.is_empty() => {
                    self.new_spec(settings)
                }
                _ => None,
            })
            .collect();
        if changed.is_empty() {
            return;
        }
        self.shared.rib.command(move |rib| {
            for (port, spec) in changed {
                if let Some(id) = port.id() {
                    rib.set_spec(id, spec);
                }
            }
        });
    }

    /// What the RIB is to know of an established session under these settings.
    pub(super) fn new_spec(&self, settings: &PeerSettings) -> Option<(Arc<Port>, PeerSpec)> {
        let status = self.peers.get(&settings.name)?.entry.view.status();
        let session = status.session.as_ref()?;
        let (local, remote) = (session.local, session.remote.ip());
        let place = self.context.interfaces.place(local, remote);
        // Of a peer on an interface only its task knows the address.
        let settings = PeerSettings {
            address: remote,
            ..settings.clone()
        };
        let spec = peer::spec::peer_spec(&settings, &session.negotiated, local.ip(), &place);
        Some((Arc::clone(&session.port), spec))
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::AddPeer(settings) => self.spawn(settings),
            Step::RemovePeer(address) => self.drop_peer(address, String::new()).await,
            Step::ChangePeer { settings, restart } => {
                if let Some(peer) = self.peers.get_mut(&settings.name) {
                    peer.settings = settings.clone();
                    let command = PeerCommand::Configure {
                        settings: Box::new(settings),
                        reset: !restart.is_empty(),
                    };
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
}

/// A peer that was added by command, with what its password file holds now. One
/// that can't be read any more costs no session.
fn with_key_read_again(new: &NewPeer) -> NewPeer {
    let mut new = new.clone();
    if let Some(password) = &mut new.settings.password {
        match Password::read(password.file()) {
            Ok(read) => *password = read,
            Err(e) => {
                let file = password.file().display();
                warn!(peer = %new.name, %file, "{e}; the key that it had stays in force");
            }
        }
    }
    new
}
