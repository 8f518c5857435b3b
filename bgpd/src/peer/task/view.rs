//! What the task shows.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_bgp::session::{Session, Waiting};

use super::{PeerTask, Up};
use crate::clock;
use crate::discovery::Discovery;
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
        if let Some(open) = self.session.peer_open() {
            lock(&self.view.clues).open = Some(open.clone());
        }
        let status = Arc::new(status_of(
            &self.settings,
            &self.session,
            self.up.as_ref(),
            self.state_since,
            self.held.as_deref(),
            self.discovery.as_deref(),
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
    held: Option<&str>,
    discovery: Option<&Discovery>,
) -> PeerStatus {
    let negotiated = up.map(|up| &up.negotiated);
    PeerStatus {
        name: settings.name,
        address: settings.address,
        finding: discovery.map(Discovery::finding),
        origin: settings.origin,
        disabled: settings.disabled,
        state: session.state(),
        state_since: state_since.map(clock::wall),
        local_asn: negotiated.map_or_else(|| session.shown_asn(), |n| n.local_asn),
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
        waiting: session.waiting().map(|w| waiting(w, held)),
        last_error: session
            .last_error()
            .or_else(|| session.connect_error())
            .map(|e| (clock::wall(e.at), e.clone())),
    }
}

fn waiting(waiting: Waiting, held: Option<&str>) -> (String, Option<SystemTime>) {
    let (text, until) = match waiting {
        Waiting::Start => match held {
            Some(why) => (format!("`godwit peer enable`: {why}"), None),
            None => ("`godwit peer enable`".to_owned(), None),
        },
        Waiting::Hold { until, failures } => match (held, failures) {
            (Some(why), _) => (format!("held down: {why}"), Some(until)),
            (None, 0 | 1) => ("held down after a failure".to_owned(), Some(until)),
            (None, n) => (
                format!("held down after {n} failures in a row"),
                Some(until),
            ),
        },
        Waiting::Answer { until } => {
            let text = "an answer to the attempt to connect";
            (text.to_owned(), Some(until))
        }
        Waiting::Retry { until, attempts } => {
            let text = match attempts {
                0 | 1 => "the next attempt to connect".to_owned(),
                n => format!("the next attempt to connect, after {n} in vain"),
            };
            (text, Some(until))
        }
        Waiting::Peer => ("the peer to connect".to_owned(), None),
        Waiting::Message { until } => ("the peer's next message".to_owned(), until),
    };
    (text, until.map(clock::wall))
}
