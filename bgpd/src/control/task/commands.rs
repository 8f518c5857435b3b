//! What clients ask: peers and routes that come, go and change by command.

use godwit_bgp::Family;
use godwit_bgp::wire::notification::cease;
use godwit_config::{Changes as Policy, edit};
use godwit_rib::{Aggregate, LocalRoute};
use ipnet::IpNet;
use tracing::info;

use super::{ControlTask, Peer};
use crate::control::{ControlError, NewPeer, resolve};
use crate::peer::{PeerCommand, PeerName};
use crate::state::changes::NewRoute;
use crate::status::PeerOrigin;

impl ControlTask {
    fn known(&self, address: PeerName) -> Result<&Peer, ControlError> {
        self.peers
            .get(&address)
            .ok_or_else(|| ControlError::NotFound(format!("no peer {address}")))
    }

    pub(super) async fn tell(
        &self,
        address: PeerName,
        command: PeerCommand,
    ) -> Result<(), ControlError> {
        let peer = self.known(address)?;
        let gone = |_| ControlError::NotFound(format!("peer {address} has just gone"));
        peer.entry.commands.send(command).await.map_err(gone)
    }

    pub(super) async fn tell_established(
        &self,
        address: PeerName,
        command: PeerCommand,
    ) -> Result<(), ControlError> {
        if self.known(address)?.entry.view.status().session.is_none() {
            let text = format!("peer {address} is not established");
            return Err(ControlError::FailedPrecondition(text));
        }
        self.tell(address, command).await
    }

    fn writes(&self) -> bool {
        self.shared.loaded.load().config.api.changes == Policy::Write
    }

    pub(super) async fn add_peer(&mut self, new: NewPeer) -> Result<(), ControlError> {
        let address = new.name;
        if self.peers.contains_key(&address) {
            let text = format!("peer {address} exists already");
            return Err(ControlError::AlreadyExists(text));
        }
        let loaded = self.shared.loaded.load_full();
        let settings = resolve::runtime_peer(&loaded.config, &self.shared.identity, &new)
            .map_err(ControlError::Invalid)?;
        new.check_by(&loaded.config)?;
        if self.writes() {
            let key = address.key();
            let edit = |text: &str| edit::add_peer(text, key, new.group.as_deref(), &new.settings);
            return self.rewrite(format!("peer {address} added"), edit).await;
        }
        self.changes.peers.insert(address, new);
        self.keep_changes();
        info!(peer = %address, "peer added by command");
        self.spawn(settings);
        self.listen_for_all().await;
        Ok(())
    }

    pub(super) async fn remove_peer(
        &mut self,
        address: PeerName,
        message: String,
    ) -> Result<(), ControlError> {
        match self.known(address)?.settings.origin {
            PeerOrigin::Runtime => {}
            PeerOrigin::File if self.writes() => {
                let edit = |text: &str| edit::remove_peer(text, address.key());
                let why = format!("peer {address} removed");
                if message.is_empty() {
                    return self.rewrite(why, edit).await;
                }
                self.nothing_waits()?;
                let was_disabled = self.known(address)?.settings.disabled;
                // Said first: the step that removes it has no words.
                let stop = PeerCommand::Stop {
                    subcode: cease::ADMIN_SHUTDOWN,
                    message,
                };
                self.tell(address, stop).await?;
                let removed = self.rewrite(why, edit).await;
                if removed.is_err() && !was_disabled {
                    self.tell(address, PeerCommand::Start).await?;
                }
                return removed;
            }
            PeerOrigin::File => {
                return Err(ControlError::FailedPrecondition(format!(
                    "peer {address} is in the configuration file: remove it there and reload, or disable it"
                )));
            }
            PeerOrigin::Range(range) => {
                return Err(ControlError::FailedPrecondition(format!(
                    "peer {address} comes from the range {range} of the configuration file"
                )));
            }
        }
        self.changes.peers.remove(&address);
        self.changes.forced.remove(&address);
        self.keep_changes();
        info!(peer = %address, "peer removed by command");
        self.drop_peer(address, message).await;
        self.listen_for_all().await;
        Ok(())
    }

    pub(super) async fn drop_peer(&mut self, address: PeerName, message: String) {
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

    /// Enables or disables, against the file or in it.
    pub(super) async fn force(
        &mut self,
        address: PeerName,
        disabled: bool,
        message: String,
    ) -> Result<(), ControlError> {
        let in_file = self.known(address)?.settings.origin == PeerOrigin::File;
        let written = in_file && self.writes();
        if written {
            self.nothing_waits()?;
        }
        let command = if disabled {
            PeerCommand::Stop {
                subcode: cease::ADMIN_SHUTDOWN,
                message,
            }
        } else {
            PeerCommand::Start
        };
        self.tell(address, command).await?;
        if let Some(peer) = self.peers.get_mut(&address) {
            peer.settings.disabled = disabled;
        }
        if written {
            let word = if disabled { "disabled" } else { "enabled" };
            let edit = |text: &str| edit::set_disabled(text, address.key(), disabled);
            self.changes.forced.remove(&address);
            let why = format!("peer {address} {word}");
            return match self.rewrite(why, edit).await {
                Ok(()) => Ok(()),
                // It is done all the same, and must not be undone by the next reload.
                Err(e) => {
                    self.changes.forced.insert(address, disabled);
                    self.keep_changes();
                    let text = format!(
                        "{word}, and kept beside the file: it could not be written there: {e}"
                    );
                    Err(ControlError::FailedPrecondition(text))
                }
            };
        }
        let of_file = self.desired.peers.get(&address).map(|s| s.disabled);
        if of_file == Some(disabled) {
            self.changes.forced.remove(&address);
        } else {
            self.changes.forced.insert(address, disabled);
        }
        self.keep_changes();
        Ok(())
    }

    /// Soft: both directions anew in the same session.
    pub(super) async fn reset(
        &mut self,
        address: PeerName,
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

    pub(super) async fn refresh_in(
        &mut self,
        address: PeerName,
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

    pub(super) fn originate(&self, route: LocalRoute) {
        self.shared
            .rib
            .command(move |rib| rib.originate(&route, crate::clock::now()));
    }

    pub(super) fn aggregate(&self, aggregates: Vec<Aggregate>) {
        self.shared
            .rib
            .command(move |rib| rib.set_aggregates(&aggregates, crate::clock::now()));
    }

    pub(super) fn withdraw(&self, prefix: IpNet) {
        self.shared.rib.command(move |rib| {
            rib.withdraw_local(prefix);
        });
    }

    pub(super) async fn add_route(&mut self, new: NewRoute) -> Result<(), ControlError> {
        let (prefix, blackhole) = (new.route.prefix, new.route.blackhole);
        if self.desired.routes.contains_key(&prefix) {
            let text = format!("route {prefix} is in the configuration file");
            return Err(ControlError::FailedPrecondition(text));
        }
        if self.desired.aggregates(prefix) {
            let text = format!("{prefix} is an aggregate of the configuration file");
            return Err(ControlError::FailedPrecondition(text));
        }
        // What the file has no key for is kept beside it.
        if self.writes() && new.fits_the_file() {
            let edit = |text: &str| edit::add_route(text, prefix, blackhole);
            return self.rewrite(format!("route {prefix} added"), edit).await;
        }
        self.originate(new.route.clone());
        self.changes.routes.insert(prefix, new);
        self.keep_changes();
        Ok(())
    }

    pub(super) async fn remove_route(&mut self, prefix: IpNet) -> Result<(), ControlError> {
        if self.changes.routes.remove(&prefix).is_some() {
            self.withdraw(prefix);
            self.keep_changes();
            return Ok(());
        }
        if !self.desired.routes.contains_key(&prefix) {
            let text = format!("no route {prefix} of our own");
            return Err(ControlError::NotFound(text));
        }
        if self.writes() {
            let edit = |text: &str| edit::remove_route(text, prefix);
            return self.rewrite(format!("route {prefix} removed"), edit).await;
        }
        let text =
            format!("route {prefix} is in the configuration file: remove it there and reload");
        Err(ControlError::FailedPrecondition(text))
    }
}
