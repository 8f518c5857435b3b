//! The path to the neighbour, watched by BFD (RFC 5880, RFC 5882).

use godwit_bgp::session::Input;
use godwit_bgp::wire::notification::cease;
use tracing::{info, warn};

use super::PeerTask;
use crate::bfd::{self, Key, View, Wanted};
use crate::clock;
use crate::peer::PeerName;

/// The session that watches the path of a peer.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) path: bfd::Path,
    wanted: Wanted,
    /// Of the last that was heard: our discriminator, and how often the path
    /// had failed.
    heard: Option<(u32, u32)>,
}

impl PeerTask {
    /// Has the path watched as the settings want it now.
    pub(super) fn watch_path(&mut self) {
        let wanted = self.wanted_path();
        if self.bfd.as_ref().map(|watched| &watched.wanted) == wanted.as_ref() {
            return;
        }
        self.changed = true;
        // The new one before the old one goes: with the same key it is the same.
        let heard = self.bfd.as_ref().and_then(|watched| {
            let same = wanted.as_ref()?.key == watched.wanted.key;
            watched.heard.filter(|_| same)
        });
        self.bfd = wanted.map(|wanted| Watched {
            path: self.context.bfd.watch(wanted.clone()),
            wanted,
            heard,
        });
    }

    fn wanted_path(&self) -> Option<Wanted> {
        let settings = &self.settings;
        let config = settings.config.bfd?;
        if !self.wanted || self.removed || settings.address.is_unspecified() {
            return None;
        }
        let interface = match settings.name {
            PeerName::Interface(interface) => Some(interface.to_string()),
            PeerName::Address(_) => settings.config.local_interface.clone(),
        };
        let afar = || !settings.on_link() || (interface.is_none() && self.is_afar());
        Some(Wanted {
            key: Key {
                remote: settings.address,
                local: settings.config.local_address,
                multihop: config.multihop.unwrap_or_else(afar),
                interface,
            },
            interval: u32::try_from(config.interval.as_micros()).unwrap_or(u32::MAX),
            multiplier: config.multiplier,
        })
    }

    /// Whether an internal neighbour is beyond a router. The session knows; without
    /// one the answer stays what it was, since addresses come and go.
    fn is_afar(&self) -> bool {
        if self.settings.config.external {
            return false;
        }
        match (&self.up, &self.bfd) {
            (Some(up), _) => up.link.is_none(),
            (None, Some(watched)) => watched.wanted.key.multihop,
            (None, None) => !self.context.interfaces.is_beside(self.settings.address),
        }
    }

    /// Takes in what BFD says; a path that was lost ends the session. A path
    /// that never worked does not keep it from coming up: the neighbour may
    /// have no BFD (RFC 5882 §4.1).
    pub(super) fn path_news(&mut self) {
        let Some(watched) = &mut self.bfd else {
            return;
        };
        self.changed = true;
        let View::Known(status, _) = watched.path.view() else {
            return;
        };
        let now = (status.local_discriminator, status.failures);
        let before = watched.heard.replace(now);
        // A process that was started anew counts anew.
        let lost = before.is_some_and(|(name, failures)| name == now.0 && now.1 > failures);
        if !lost {
            return;
        }
        let why = match status.loss {
            Some(loss) => format!("BFD: {loss}"),
            None => "BFD: path lost".to_owned(),
        };
        if self.up.is_none() {
            info!(peer = %self.settings.name, "{why}");
            return;
        }
        warn!(peer = %self.settings.name, "{why}");
        let reset = Input::Reset {
            subcode: cease::BFD_DOWN,
            message: why,
        };
        self.session.handle_input(reset, clock::now());
    }
}
