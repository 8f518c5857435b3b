//! What the task shows.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_bgp::session::{self, Session};

use super::{PeerTask, Up};
use crate::bfd::{Key, View};
use crate::clock;
use crate::discovery::Discovery;
use crate::peer::PeerSettings;
use crate::status::{Excess, PeerEvent, PeerStatus, SessionStatus, StaleStatus, Waiting};
use crate::sync::lock;

impl PeerTask {
    pub(super) fn publish(&mut self) {
        self.figures.messages = *self.session.counters();
        *lock(&self.view.figures) = self.figures;
        let state = self.session.state();
        let shown = (state, self.session.stale());
        if std::mem::replace(&mut self.published, shown) == shown
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
            Seen {
                up: self.up.as_ref(),
                away: self.away.as_ref(),
                state_since: self.state_since,
                held: self.held,
                discovery: self.discovery.as_deref(),
                bfd: self.bfd.as_ref().map(|watched| watched.path.seen()),
            },
        ));
        self.view.status.store(Arc::clone(&status));
        self.context.registry.announce(PeerEvent::Changed(status));
    }
}

/// What there is to see besides settings and session.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub(super) up: Option<&'a Up>,
    pub(super) away: Option<&'a Up>,
    pub(super) state_since: Option<Duration>,
    pub(super) held: Option<Excess>,
    pub(super) discovery: Option<&'a Discovery>,
    pub(super) bfd: Option<(Key, View)>,
}

pub(super) fn status_of(settings: &PeerSettings, session: &Session, seen: Seen<'_>) -> PeerStatus {
    let Seen {
        up,
        away,
        state_since,
        held,
        discovery,
        bfd,
    } = seen;
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
        bfd,
        stale: session.stale().map(|stale| StaleStatus {
            families: stale.families,
            back: stale.back,
            until: clock::wall(stale.until),
        }),
        away: away.map(|away| Arc::clone(&away.port)),
        waiting: session.waiting().map(|w| waiting(w, held)),
        collision: session.lone_collision().map(clock::wall),
        last_error: session
            .last_error()
            .or_else(|| session.connect_error())
            .map(|e| (clock::wall(e.at), e.clone())),
    }
}

fn waiting(waiting: session::Waiting, held: Option<Excess>) -> (Waiting, Option<SystemTime>) {
    use session::Waiting as Session;
    let (waiting, until) = match (waiting, held) {
        (Session::Start, held) => (Waiting::Enable(held), None),
        (Session::Hold { until, .. }, Some(excess)) => (Waiting::Pause(excess), Some(until)),
        (Session::Hold { until, failures }, None) => (Waiting::BackOff(failures), Some(until)),
        (Session::Answer { until }, _) => (Waiting::Answer, Some(until)),
        (Session::Retry { until, attempts }, _) => (Waiting::Retry(attempts), Some(until)),
        (Session::Peer, _) => (Waiting::Neighbour, None),
        (Session::Message { until }, _) => (Waiting::Message, until),
    };
    (waiting, until.map(clock::wall))
}
