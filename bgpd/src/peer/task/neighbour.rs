//! The neighbour of a peer that is named by its interface: found, lost, another.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use godwit_bgp::session::Input;
use tokio::net::TcpStream;
use tracing::debug;

use super::PeerTask;
use crate::clock;
use crate::discovery::Tie;
use crate::peer::PeerName;

impl PeerTask {
    /// Lets the session begin, where the operator wants it and somebody is there
    /// to talk to.
    pub(super) fn start(&mut self) {
        let known = !matches!(self.settings.name, PeerName::Interface(_))
            || !self.settings.address.is_unspecified();
        if self.wanted && known {
            self.session.handle_input(Input::ManualStart, clock::now());
        }
    }

    /// Looks whom discovery has found.
    pub(super) fn look_for_neighbour(&mut self) {
        self.changed = true;
        let Some(discovery) = &self.discovery else {
            return;
        };
        let (address, scope) = match discovery.found() {
            Some(found) => (found.address, found.link),
            None => (Ipv6Addr::UNSPECIFIED, 0),
        };
        let address = IpAddr::V6(address);
        if (self.settings.address, self.settings.scope) == (address, scope) {
            return;
        }
        let was = std::mem::replace(&mut self.settings.address, address);
        self.settings.scope = scope;
        let found = Some(address).filter(|address| !address.is_unspecified());
        self.context
            .registry
            .set_neighbour(self.settings.name, found);
        if self.held.is_some() {
            // Goes on when its pause is over, with whoever is there then.
            return;
        }
        if !was.is_unspecified() {
            self.leave();
        }
        if scope != 0 {
            self.start();
        }
    }

    /// Ends all that was with the former neighbour, who cannot be told.
    fn leave(&mut self) {
        let now = clock::now();
        let ids: Vec<_> = self.connections.drain(..).map(|c| c.id).collect();
        for id in ids {
            let why = "the neighbour is not on the interface any more".to_owned();
            self.session.handle_input(Input::Closed(id, why), now);
        }
        let silent = Input::ManualStop {
            subcode: 0,
            message: String::new(),
        };
        self.session.handle_input(silent, now);
        self.act();
    }

    /// Whether the connection is one for this peer; on an interface, whoever
    /// connects shows himself as the neighbour.
    pub(super) fn is_from_neighbour(&mut self, stream: &TcpStream) -> bool {
        let Some(discovery) = &self.discovery else {
            return true;
        };
        let Ok(SocketAddr::V6(from)) = stream.peer_addr() else {
            return false;
        };
        let tie = match (&self.up, self.connections.is_empty()) {
            (Some(_), _) => Tie::Session,
            (None, false) => Tie::Connection,
            (None, true) => Tie::None,
        };
        let known = discovery.called(*from.ip(), from.scope_id(), tie);
        if known {
            self.look_for_neighbour();
        } else {
            debug!(peer = %self.settings.name, %from, "closed a connection: not from the neighbour");
            self.changed = true;
        }
        known
    }
}
