//! What the task is told.

use std::sync::Arc;

use godwit_bgp::Family;
use godwit_bgp::session::{Input, Negotiated};
use godwit_bgp::wire::notification::cease;
use godwit_config::PeerConfig;

use super::{PeerTask, spec};
use crate::clock;
use crate::peer::{PeerCommand, PeerSettings};

impl PeerTask {
    pub(super) fn command(&mut self, command: PeerCommand) {
        let now = clock::now();
        match command {
            PeerCommand::Accepted(stream) => self.accepted(stream),
            PeerCommand::Start => {
                self.wanted = true;
                self.settings.disabled = false;
                self.held = None;
                self.changed = true;
                self.start();
            }
            PeerCommand::Stop { subcode, message } => {
                self.wanted = false;
                // As the status and a later configuration see it.
                self.settings.disabled = true;
                self.held = None;
                self.changed = true;
                self.session
                    .handle_input(Input::ManualStop { subcode, message }, now);
            }
            PeerCommand::Reset { subcode, message } => {
                self.release();
                if self.wanted {
                    self.session
                        .handle_input(Input::Reset { subcode, message }, now);
                }
            }
            PeerCommand::Configure { settings, reset } => self.configure(*settings, reset),
            PeerCommand::RefreshIn(families) => self.refresh_in(&families),
            PeerCommand::RefreshOut(families) => {
                let Some(up) = &self.up else { return };
                for family in chosen(&families, &up.negotiated) {
                    self.context.rib.refresh(&up.port, family);
                }
            }
            PeerCommand::LinkLost(link) => self.link_lost(link),
            PeerCommand::Remove { subcode, message } => self.remove(subcode, message),
        }
        self.changed = true;
    }

    /// A neighbour on a dead link cannot be told anything: waiting for the hold
    /// timer would only delay the other ways to where it led.
    fn link_lost(&mut self, link: u32) {
        let Some(up) = self.up.as_ref().filter(|up| up.link == Some(link)) else {
            return;
        };
        let id = up.connection;
        self.connections.retain(|c| c.id != id);
        let why = "the link to the peer is down".to_owned();
        self.session
            .handle_input(Input::Unreachable(id, why), clock::now());
    }

    pub(super) fn remove(&mut self, subcode: u8, message: String) {
        self.removed = true;
        self.wanted = false;
        self.session
            .handle_input(Input::ManualStop { subcode, message }, clock::now());
    }

    /// Takes new settings. Those of the session count from its next connection on.
    fn configure(&mut self, settings: PeerSettings, reset: bool) {
        let now = clock::now();
        self.session.set_config(settings.session.clone());
        let passive = self.settings.config.passive != settings.config.passive;
        let limits = |config: &PeerConfig| (config.prefix_limit, config.prefix_limit_out);
        let limits = limits(&self.settings.config) != limits(&settings.config);
        let (was, is) = (!self.settings.disabled, !settings.disabled);
        // Whom we have found remains.
        let (address, scope) = (self.settings.address, self.settings.scope);
        self.settings = PeerSettings {
            address,
            scope,
            ..settings
        };
        if reset || limits || was != is {
            self.release();
        }
        if was != is {
            self.wanted = is;
            if is {
                self.start();
            } else {
                let stop = Input::ManualStop {
                    subcode: cease::ADMIN_SHUTDOWN,
                    message: String::new(),
                };
                self.session.handle_input(stop, now);
            }
        } else if (reset || (passive && self.up.is_none())) && self.wanted {
            self.session.handle_input(
                Input::Reset {
                    subcode: cease::OTHER_CONFIG_CHANGE,
                    message: String::new(),
                },
                now,
            );
        } else {
            self.take_over();
        }
    }

    /// What of the settings concerns a running session, or what is left of one.
    fn take_over(&mut self) {
        if let Some(up) = &mut self.up
            && let Some(negotiated) = self.session.negotiated()
        {
            // The keepalive interval may be another now.
            up.negotiated = Arc::new(negotiated.clone());
        }
        // Routes that are kept are judged by what holds now, too.
        let Some(up) = self.up.as_ref().or(self.away.as_ref()) else {
            return;
        };
        let place = self.context.interfaces.place(up.local, up.remote.ip());
        let spec = spec::peer_spec(&self.settings, &up.negotiated, up.local.ip(), &place);
        let port = Arc::clone(&up.port);
        self.context.rib.set_specs(vec![(port, spec)]);
    }

    fn refresh_in(&mut self, families: &[Family]) {
        let Some(up) = &self.up else { return };
        for family in chosen(families, &up.negotiated) {
            // The control task has asked whether the session can do it.
            self.session.request_refresh(family);
        }
    }
}

/// The families of a request that the session has; none given: all of them.
fn chosen(families: &[Family], negotiated: &Negotiated) -> Vec<Family> {
    Family::ALL
        .into_iter()
        .filter(|f| negotiated.has(*f) && (families.is_empty() || families.contains(f)))
        .collect()
}
