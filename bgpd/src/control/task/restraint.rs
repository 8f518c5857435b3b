//! What keeps our routes from peers on purpose: an operator who drains the
//! router, and the time after a start in which half of the routes are missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_rib::Drain;
use tokio::time::Instant;
use tracing::info;

use super::{ControlTask, Peer};
use crate::control::{ControlError, DrainStatus, Restraint};

impl ControlTask {
    /// Announces everything as the last choice (RFC 8326), and after `wait`
    /// nothing any more, if so wanted. Again: the wait begins anew.
    pub(super) fn drain(&mut self, wait: Duration, withdraw: bool) -> DrainStatus {
        let known = self.shared.restraint.load().drain.clone();
        let withdraw_at = withdraw.then(|| SystemTime::now() + wait);
        self.withdraw_at = withdraw.then(|| Instant::now() + wait);
        let status = DrainStatus {
            since: known.map_or_else(SystemTime::now, |known| known.since),
            withdraw_at,
            withdrawn: false,
        };
        info!(wait = wait.as_secs(), withdraw, "draining by command");
        self.set_drain(Drain::LastChoice);
        self.tell_drain(Some(status.clone()));
        status
    }

    pub(super) fn undrain(&mut self) -> Result<(), ControlError> {
        if self.shared.restraint.load().drain.is_none() {
            let text = "this router is not drained".to_owned();
            return Err(ControlError::FailedPrecondition(text));
        }
        info!("in service again by command");
        self.withdraw_at = None;
        self.set_drain(Drain::No);
        self.tell_drain(None);
        Ok(())
    }

    /// The neighbours have had their time to find other ways.
    pub(super) fn withdraw_all(&mut self) {
        self.withdraw_at = None;
        let Some(drain) = self.shared.restraint.load().drain.clone() else {
            return;
        };
        info!("drained: withdrawing everything");
        self.set_drain(Drain::Withdrawn);
        self.tell_drain(Some(DrainStatus {
            withdraw_at: None,
            withdrawn: true,
            ..drain
        }));
    }

    fn set_drain(&mut self, drain: Drain) {
        self.desired.rib.drain = drain;
        let config = self.desired.rib;
        self.shared.rib.command(move |rib| rib.reconfigure(config));
    }

    fn tell_drain(&self, drain: Option<DrainStatus>) {
        let restraint = Restraint {
            drain,
            ..Restraint::clone(&self.shared.restraint.load())
        };
        self.shared.restraint.store(Arc::new(restraint));
    }

    /// Once, before any session: updates wait for the routes of all peers.
    pub(super) fn hold_updates(&mut self) {
        let delay = self.shared.started.router.update_delay;
        if delay.is_zero() {
            return;
        }
        info!(
            at_most = delay.as_secs(),
            "holding updates back until every peer has sent its End-of-RIB"
        );
        self.held_until = Some(Instant::now() + delay);
        let wait = self.shared.started.router.establish_wait;
        self.awaits_at = (wait < delay).then(|| Instant::now() + wait);
        let restraint = Restraint {
            held_until: Some(SystemTime::now() + delay),
            ..Restraint::clone(&self.shared.restraint.load())
        };
        self.shared.restraint.store(Arc::new(restraint));
        self.shared.rib.command(|rib| rib.hold_updates(true));
    }

    /// Peers have had their time to come up: who is not Established now is not
    /// waited for.
    pub(super) fn await_established(&mut self) {
        self.awaits_at = None;
        let up = |peer: &Peer| peer.entry.view.status().session.is_some();
        let (up, down): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.expected().partition(|(_, peer)| up(peer));
        for peer in down.keys() {
            info!(%peer, "not Established: its routes are not waited for");
        }
        self.awaited = Some(up.into_keys().copied().collect());
        self.release_if_complete();
    }

    /// Lets updates go where all have told what they have that are waited for.
    pub(super) fn release_if_complete(&mut self) {
        let awaited = |name| self.awaited.as_ref().is_none_or(|set| set.contains(name));
        let complete = (self.expected().filter(|(name, _)| awaited(name)))
            .all(|(_, peer)| peer.has_told_all());
        if complete {
            self.release_updates("every peer that is waited for has sent its End-of-RIB");
        }
    }

    pub(super) fn release_updates(&mut self, why: &str) {
        if self.held_until.take().is_none() {
            return;
        }
        self.awaits_at = None;
        self.awaited = None;
        info!("{why}: letting updates go");
        let restraint = Restraint {
            held_until: None,
            ..Restraint::clone(&self.shared.restraint.load())
        };
        self.shared.restraint.store(Arc::new(restraint));
        self.shared.rib.command(|rib| rib.hold_updates(false));
    }
}
