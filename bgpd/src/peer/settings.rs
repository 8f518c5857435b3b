//! What a peer is to be.

use std::net::IpAddr;

use godwit_bgp::session::{RemoteAs, SessionConfig};
use godwit_bgp::{Asn, Family, SessionKind};
use godwit_config::PeerConfig;
use godwit_policy::route::PolicyRef;

use super::PeerName;
use crate::status::{PeerOrigin, SessionStatus};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    pub name: PeerName,
    /// `::` where it is not known: of an interface on which nobody was found.
    pub address: IpAddr,
    /// The interface of a link-local address, else 0.
    pub scope: u32,
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
        self.config.kind()
    }

    /// Whether the neighbour is expected on a link of ours: where it is not
    /// told to be further away.
    pub fn on_link(&self) -> bool {
        self.config.on_link()
    }

    /// The keys for which a session must come up anew to be as `new` wants it.
    /// None: it is untouched, or all that differs is applied to it as it runs.
    pub fn restart_keys(
        &self,
        new: &PeerSettings,
        session: Option<&SessionStatus>,
    ) -> Vec<&'static str> {
        let change = godwit_config::change(&self.config, &new.config);
        let has_already = |key: &str| match (key, session) {
            ("local-address", Some(s)) => {
                new.config.local_address.is_none_or(|a| a == s.local.ip())
            }
            ("remote-as", Some(s)) => {
                let asn = s.negotiated.remote_asn;
                self.config.external == new.config.external
                    && match new.config.remote_as {
                        godwit_config::RemoteAs::Asn(wanted) => wanted == asn,
                        godwit_config::RemoteAs::External => asn != s.negotiated.local_asn,
                        godwit_config::RemoteAs::Internal => asn == s.negotiated.local_asn,
                    }
            }
            _ => false,
        };
        let restarts = change.iter().flat_map(|change| change.restarts());
        restarts.filter(|key| !has_already(key)).collect()
    }

    pub fn import(&self) -> [PolicyRef; Family::COUNT] {
        self.config.import.each_ref().map(|c| c.policy.clone())
    }

    pub fn export(&self) -> [PolicyRef; Family::COUNT] {
        self.config.export.each_ref().map(|c| c.policy.clone())
    }
}
