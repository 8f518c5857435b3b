//! What clients ask: peers and routes that come, go and change by command.

use godwit_bgp::Family;
use godwit_bgp::wire::notification::cease;
use godwit_rib::LocalRoute;
use ipnet::IpNet;
use tracing::info;

use super::{ControlTask, Peer};
use crate::control::{ControlError, NewPeer, resolve};
use crate::peer::{PeerCommand, PeerName};
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

    pub(super) async fn add_peer(&mut self, new: NewPeer) -> Result<(), ControlError> {
        let address = new.name;
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
        self.listen_for_all().await;
        Ok(())
    }

    pub(super) async fn remove_peer(
        &mut self,
        address: PeerName,
        message: String,
    ) -> Result<(), ControlError> {
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

    /// Enables or disables against the file, until the daemon restarts.
    pub(super) async fn force(
        &mut self,
        address: PeerName,
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

    pub(super) fn withdraw(&self, prefix: IpNet) {
        self.shared.rib.command(move |rib| {
            rib.withdraw_local(prefix);
        });
    }

    pub(super) fn add_route(&mut self, route: LocalRoute) -> Result<(), ControlError> {
        let prefix = route.prefix;
        if self.desired.routes.contains_key(&prefix) {
            let text = format!("route {prefix} is in the configuration file");
            return Err(ControlError::FailedPrecondition(text));
        }
        self.runtime_routes.insert(prefix, route.clone());
        self.originate(route);
        Ok(())
    }

    pub(super) fn remove_route(&mut self, prefix: IpNet) -> Result<(), ControlError> {
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
}
