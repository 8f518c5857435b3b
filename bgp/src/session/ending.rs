//! How connections end, and what comes after the last.

use std::time::Duration;

use super::conn::Conn;
use super::faults;
use super::fsm::{Run, Session};
use super::io::{Action, DownReason, ErrorOrigin, SessionError, State};
use super::timers::back_off;
use crate::wire::{MessageType, Notification};

/// Why a connection ends.
pub(super) enum Ending {
    Send(Notification),
    Received(Notification),
    Closed(String),
    /// As `Closed`, and nothing of the peer is to be kept.
    Lost(String),
    /// Gives way to the peer's new one (RFC 4724 §5).
    Replaced,
}

/// What comes after the last connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Idle, longer with each failure.
    Hold,
    /// Active, and the retry timer: nobody's fault.
    Retry,
    /// Connect again at once.
    Restart,
    /// Whoever ended it has said what comes next.
    AsItIs,
}

impl Session {
    /// Ends every connection and attempt.
    pub(super) fn end_all(&mut self, cease: &Notification, after: After, now: Duration) {
        self.abandon_attempt();
        self.retry_at = None;
        if self.conns.is_empty() {
            self.after_last(after, now);
        }
        while !self.conns.is_empty() {
            self.end(0, Ending::Send(cease.clone()), after, now);
        }
    }

    pub(super) fn abandon_attempt(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.actions.push_back(Action::Close(attempt.id));
        }
    }

    /// Ends one connection: says why on the wire, to the log, and upwards.
    pub(super) fn end(&mut self, at: usize, ending: Ending, after: After, now: Duration) {
        if at >= self.conns.len() {
            return;
        }
        let conn = self.conns.remove(at);
        let state = conn.state();
        let collision = match &ending {
            Ending::Send(n) | Ending::Received(n) => faults::is_collision(n),
            Ending::Replaced => true,
            Ending::Closed(_) | Ending::Lost(_) => false,
        };
        if let Ending::Send(n) = &ending {
            let bytes = conn.farewell(n).encode();
            self.send(conn.id, MessageType::Notification, bytes);
        }
        if !matches!(ending, Ending::Closed(_) | Ending::Lost(_)) {
            self.actions.push_back(Action::Close(conn.id));
        }
        // one of two connections too many is no error
        if !collision || state == State::Established {
            let since = self
                .established_since
                .filter(|_| state == State::Established);
            let uptime = since.map(|since| now.saturating_sub(since));
            self.report_ending(&ending, state, uptime, now);
        }
        self.adapt_capabilities(&conn, &ending);
        self.adapt_number(&conn, &ending);
        let alone = self.conns.is_empty() && self.attempt.is_none();
        if collision && alone && matches!(ending, Ending::Received(_)) {
            self.lone_collision = Some(now);
        }
        let mut after = after;
        if state == State::Established {
            self.left_established(&conn, ending, now);
        } else if collision && after != After::AsItIs {
            after = After::Retry;
        }
        if self.conns.is_empty() && self.attempt.is_none() {
            self.after_last(after, now);
        }
    }

    fn left_established(&mut self, conn: &Conn, ending: Ending, now: Duration) {
        let since = self.established_since.take().unwrap_or(now);
        if now.saturating_sub(since) >= self.config.idle_hold_max {
            self.failures = 0;
        }
        self.refresh_until = Default::default();
        self.counters.dropped += 1;
        let kept = self.keep_stale(conn, &ending, now);
        let reason = match ending {
            Ending::Send(n) => DownReason::Sent(n),
            Ending::Received(n) => DownReason::Received(n),
            Ending::Closed(why) | Ending::Lost(why) => DownReason::Closed(why),
            Ending::Replaced => DownReason::PeerRestarted,
        };
        self.actions.push_back(Action::Down(reason, kept));
    }

    /// A peer that answers our capabilities with Unsupported Optional Parameter
    /// gets an OPEN without them (RFC 5492 §3), once: the next is whole again.
    fn adapt_capabilities(&mut self, conn: &Conn, ending: &Ending) {
        if conn.plain {
            self.plain_open = false;
        } else if let Ending::Received(n) = ending
            && conn.state() == State::OpenSent
            && faults::refuses_capabilities(n)
        {
            self.plain_open = true;
        }
    }

    /// A peer that knows us by our other number says so with Bad Peer AS.
    fn adapt_number(&mut self, conn: &Conn, ending: &Ending) {
        if let Ending::Received(n) = ending
            && conn.state() < State::Established
            && faults::is_bad_peer_as(n)
            // Of two connections that were refused alike, the second says nothing new.
            && conn.asn == self.shown_asn()
        {
            self.as_alternate = !self.as_alternate;
        }
    }

    fn after_last(&mut self, after: After, now: Duration) {
        if self.run == Run::Stopped {
            return;
        }
        match after {
            After::Hold => {
                let hold = back_off(
                    self.config.idle_hold,
                    self.failures,
                    self.config.idle_hold_max,
                );
                self.failures = self.failures.saturating_add(1);
                self.retry_at = None;
                self.run = Run::IdleHold {
                    until: now.saturating_add(self.jitter.spread(hold)),
                    lenient: self.failures == 1,
                };
            }
            After::AsItIs => {}
            After::Retry => self.run = Run::Running,
            After::Restart => self.start_running(now),
        }
    }

    fn report_ending(
        &mut self,
        ending: &Ending,
        state: State,
        uptime: Option<Duration>,
        now: Duration,
    ) {
        let (origin, notification, text) = match ending {
            Ending::Send(n) => (ErrorOrigin::Sent, Some(n.clone()), n.to_string()),
            Ending::Received(n) => {
                // What it is about, not that nothing is to be kept.
                let n = n.within().unwrap_or_else(|| n.clone());
                let text = n.to_string();
                (ErrorOrigin::Received, Some(n), text)
            }
            Ending::Closed(why) | Ending::Lost(why) => (ErrorOrigin::Transport, None, why.clone()),
            Ending::Replaced => {
                let text = DownReason::PeerRestarted.to_string();
                (ErrorOrigin::Transport, None, text)
            }
        };
        let error = SessionError {
            origin,
            state,
            notification,
            uptime,
            text,
            at: now,
        };
        self.actions.push_back(Action::Report(error.clone()));
        self.last_error = Some(error);
    }

    pub(super) fn report_attempt(&mut self, text: String, now: Duration) {
        let error = SessionError {
            origin: ErrorOrigin::Transport,
            state: State::Connect,
            notification: None,
            uptime: None,
            text,
            at: now,
        };
        self.actions.push_back(Action::Report(error.clone()));
        self.connect_error = Some(error);
    }
}
