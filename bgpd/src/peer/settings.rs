//! What a peer is to be.

use std::net::IpAddr;

use godwit_bgp::session::{RemoteAs, SessionConfig};
use godwit_bgp::{Asn, Family, SessionKind};
use godwit_config::{ChangeKind, PeerConfig};
use godwit_policy::route::PolicyRef;

use crate::status::PeerOrigin;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    pub address: IpAddr,
    pub origin: PeerOrigin,
    /// By the file or, against it, by command.
    pub disabled: bool,
    /// Of a range, where `origin` says so.
    pub config: PeerConfig,
    /// What follows from `config` and who we are.
    pub session: SessionConfig,
}

impl PeerSettings {
    /// The neighbour's AS where the settings fix it.
    pub fn remote_asn(&self) -> Option<Asn> {
        match self.session.remote_as {
            RemoteAs::Asn(asn) => Some(asn),
            RemoteAs::Internal => Some(self.session.local_asn),
            RemoteAs::External | RemoteAs::Any => None,
        }
    }

    pub fn kind(&self) -> SessionKind {
        match (self.config.external, self.config.route_reflector_client) {
            (true, _) => SessionKind::External,
            (false, true) => SessionKind::InternalClient,
            (false, false) => SessionKind::Internal,
        }
    }

    /// Whether the neighbour is expected on a link of ours: where it is not
    /// told to be further away.
    pub fn on_link(&self) -> bool {
        self.config.multihop.is_none()
    }

    /// Whether an established session must come up anew for `new`. Policies,
    /// names and timers that only count between sessions stay out of it.
    pub fn needs_reset(&self, new: &PeerSettings) -> bool {
        let change = godwit_config::change(&self.config, &new.config);
        matches!(change, Some(ChangeKind::Restart(_)))
    }

    pub fn import(&self) -> [PolicyRef; Family::COUNT] {
        self.config.import.each_ref().map(|c| c.policy.clone())
    }

    pub fn export(&self) -> [PolicyRef; Family::COUNT] {
        self.config.export.each_ref().map(|c| c.policy.clone())
    }
}
