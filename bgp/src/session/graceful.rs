//! The receiving side of a graceful restart (RFC 4724 §4.2, RFC 8538): whether
//! the routes of a peer outlive its session, and how long.

use std::time::Duration;

use super::conn::Conn;
use super::ending::Ending;
use super::faults;
use super::fsm::Session;
use super::io::{Action, State};
use super::negotiate::Negotiated;
use crate::types::Family;
use crate::wire::Notification;

/// Routes of the peer that the caller keeps while it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// By [`Family::index`]: those of which some may be stale.
    pub families: [bool; Family::COUNT],
    /// The peer is back, and its End-of-RIB awaited; else it is awaited itself.
    pub back: bool,
    /// When what is stale goes.
    pub until: Duration,
    /// When it goes at the latest.
    limit: Duration,
}

impl Session {
    /// What is kept of the peer, if anything is.
    pub fn stale(&self) -> Option<Stale> {
        self.stale
    }

    /// An Established connection has ended: of which families are the peer's
    /// routes kept?
    pub(super) fn keep_stale(
        &mut self,
        conn: &Conn,
        ending: &Ending,
        now: Duration,
    ) -> [bool; Family::COUNT] {
        self.stale = self.stale_after(conn, ending, now);
        self.stale.map_or([false; Family::COUNT], |s| s.families)
    }

    fn stale_after(&self, conn: &Conn, ending: &Ending, now: Duration) -> Option<Stale> {
        let stale_time = self.config.stale_time?;
        let negotiated = conn.negotiated()?;
        let gr = negotiated.graceful_restart?;
        let graceful = match ending {
            Ending::Closed(_) | Ending::Replaced => true,
            Ending::Lost(_) => false,
            Ending::Received(n) => {
                negotiated.notification_is_graceful() && !faults::is_hard_reset(n)
            }
            Ending::Send(n) => negotiated.notification_is_graceful() && !faults::is_final(n),
        };
        let families = gr.families.map(|listed| listed.is_some());
        let wait = gr.restart_time.min(stale_time);
        if !graceful || wait.is_zero() || !families.contains(&true) {
            return None;
        }
        Some(Stale {
            families,
            back: false,
            until: now.saturating_add(wait),
            limit: now.saturating_add(stale_time),
        })
    }

    /// The session is Established again. A family that the peer does not list
    /// any more, or did not go on to forward, is not waited for (§4.2).
    pub(super) fn stale_back(&mut self, negotiated: &Negotiated) -> [bool; Family::COUNT] {
        let mut kept = [false; Family::COUNT];
        if let (Some(stale), Some(gr)) = (self.stale.take(), negotiated.graceful_restart) {
            for (kept, (was, now)) in kept.iter_mut().zip(stale.families.iter().zip(gr.families)) {
                *kept = *was && now == Some(true);
            }
            self.stale = kept.contains(&true).then_some(Stale {
                families: kept,
                back: true,
                until: stale.limit,
                limit: stale.limit,
            });
        }
        kept
    }

    /// The peer's End-of-RIB came.
    pub(super) fn stale_ended(&mut self, family: Family) {
        let Some(stale) = self.stale.as_mut().filter(|stale| stale.back) else {
            return;
        };
        if let Some(slot) = stale.families.get_mut(family.index()) {
            *slot = false;
        }
        if !stale.families.contains(&true) {
            self.stale = None;
        }
    }

    /// The peer is not waited for any more.
    pub(super) fn forget_stale(&mut self) {
        if let Some(stale) = self.stale.take() {
            self.actions.push_back(Action::StaleExpired(stale.families));
        }
    }

    pub(super) fn stale_timeout(&mut self, now: Duration) {
        if self.stale.is_some_and(|stale| stale.until <= now) {
            self.forget_stale();
        }
    }
}

impl Conn {
    /// The NOTIFICATION as it goes out: where another one would leave our routes
    /// with the peer, one that is to end them is a hard reset (RFC 8538 §5).
    pub(super) fn farewell(&self, n: &Notification) -> Notification {
        let graceful = self.state() == State::Established
            && (self.negotiated()).is_some_and(Negotiated::notification_is_graceful);
        if graceful && faults::is_final(n) && !faults::is_hard_reset(n) {
            return faults::hard_reset(n);
        }
        n.clone()
    }
}
