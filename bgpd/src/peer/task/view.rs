//! What the task shows.

use std::sync::Arc;
use std::time::Duration;

use godwit_bgp::session::Session;

use super::{PeerTask, Up};
use crate::clock;
use crate::peer::PeerSettings;
use crate::status::{PeerEvent, PeerStatus, SessionStatus};
use crate::sync::lock;

impl PeerTask {
    pub(super) fn publish(&mut self) {
        self.figures.messages = *self.session.counters();
        *lock(&self.view.figures) = self.figures;
        let state = self.session.state();
        if std::mem::replace(&mut self.published, state) == state
            && !std::mem::take(&mut self.changed)
        {
            return;
        }
        self.changed = false;
        let status = Arc::new(status_of(
            &self.settings,
            &self.session,
            self.up.as_ref(),
            self.state_since,
        ));
        self.view.status.store(Arc::clone(&status));
        self.context.registry.announce(PeerEvent::Changed(status));
    }
}

pub(super) fn status_of(
    settings: &PeerSettings,
    session: &Session,
    up: Option<&Up>,
    state_since: Option<Duration>,
) -> PeerStatus {
    let negotiated = up.map(|up| &up.negotiated);
    PeerStatus {
        address: settings.address,
        origin: settings.origin,
        disabled: settings.disabled,
        state: session.state(),
        state_since: state_since.map(clock::wall),
        local_asn: settings.session.local_asn,
        remote_asn: settings
            .remote_asn()
            .or_else(|| negotiated.map(|n| n.remote_asn)),
        kind: settings.kind(),
        config: settings.config.clone(),
        session: up.map(|up| SessionStatus {
            negotiated: Arc::clone(&up.negotiated),
            local: up.local,
            remote: up.remote,
            port: Arc::clone(&up.port),
            link: up.link,
        }),
        last_error: session
            .last_error()
            .or_else(|| session.connect_error())
            .map(|e| (clock::wall(e.at), e.clone())),
    }
}
