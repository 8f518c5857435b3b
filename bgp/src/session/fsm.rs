//! The session itself: what starts, ends and restarts connections.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::config::SessionConfig;
use super::conn::{Conn, Phase};
use super::counters::Counters;
use super::ending::{After, Ending};
use super::faults;
use super::graceful::Stale;
use super::io::{Action, ConnId, Direction, Input, SessionError, State, Waiting};
use super::negotiate::Negotiated;
use super::timers::{ConnTimers, back_off};
use crate::jitter::Jitter;
use crate::types::{Asn, Family};
use crate::wire::{self, MessageType, Notification, Open};

/// Pause before the first repeated attempt to connect.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The least SendHoldTime that RFC 9687 §3.2 recommends.
const LEAST_SEND_HOLD: Duration = Duration::from_secs(8 * 60);

/// One peer's finite state machine (RFC 4271 §8), with up to two connections.
///
/// ```text
///              ManualStart, IdleHold over
///      ┌──────┐──────────────────────────▶┌─────────┐  connected   ┌──────────┐
///      │ Idle │   (passive)               │ Connect │─────────────▶│ OpenSent │
///      └──────┘──────────────┐            └─────────┘              └──────────┘
///       ▲ ▲ ▲                ▼       failed │    ▲ ConnectRetry      │ ▲    │ OPEN: send
///       │ │ │            ┌────────┐◀────────┘    │                   │ │    │ KEEPALIVE
///       │ │ │            │ Active │──────────────┘    closed by peer │ │    ▼
///       │ │ │            └────────┘◀─────────────────────────────────┘ │ ┌─────────────┐
///       │ │ │                 │ accepted: send OPEN                    │ │ OpenConfirm │
///       │ │ │                 └────────────────────────────────────────┘ └─────────────┘
///       │ │ └── any error: NOTIFICATION, ──── OpenSent                     │   │ KEEPALIVE
///       │ └──── close, IdleHold ───────────── OpenConfirm ◀────────────────┘   ▼
///       │                                                               ┌─────────────┐
///       └────── ManualStop, error, hold timer, NOTIFICATION ────────────│ Established │
///                                                                       └─────────────┘
/// ```
///
/// What of it is per connection (OpenSent and later) stands in the connections,
/// so that the two of a collision run side by side (§6.8) and each has its own
/// timers; [`state`](Session::state) is that of the one further on. Everything
/// else, connecting and waiting included, is the session's.
///
/// Invariants, which hold between calls:
/// - at most one connection is Established; `Up` and `Down` alternate;
/// - with one in OpenConfirm or Established nothing is being connected;
/// - started and not passive: there is an outgoing connection, an attempt, a
///   timer that leads to one, or a connection at least in OpenConfirm.
#[derive(Debug)]
pub struct Session {
    pub(super) config: SessionConfig,
    pub(super) jitter: Jitter,
    pub(super) run: Run,
    pub(super) conns: SmallVec<[Conn; 2]>,
    pub(super) attempt: Option<Attempt>,
    /// The ConnectRetryTimer between attempts.
    pub(super) retry_at: Option<Duration>,
    next_conn: u32,
    /// ConnectRetryCounter: failures since a session last stood for long.
    pub(super) failures: u32,
    /// Attempts to connect that came to nothing since a peer last answered.
    pub(super) retries: u32,
    /// The peer refused capabilities: do without (RFC 5492 §3).
    pub(super) plain_open: bool,
    /// The peer knows us by the alternate number.
    pub(super) as_alternate: bool,
    pub(super) actions: VecDeque<Action>,
    pub(super) counters: Counters,
    pub(super) last_error: Option<SessionError>,
    pub(super) connect_error: Option<SessionError>,
    pub(super) lone_collision: Option<Duration>,
    /// By when a refresh that the peer began has to end, by family.
    pub(super) refresh_until: [Option<Duration>; Family::COUNT],
    /// Routes of the peer that are kept while it restarts.
    pub(super) stale: Option<Stale>,
    pub(super) peer_open: Option<Open>,
    seen_state: State,
    state_since: Duration,
    pub(super) established_since: Option<Duration>,
}

/// What the session as a whole is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Idle until ManualStart.
    Stopped,
    /// Idle until the time is over (DampPeerOscillations). After a first failure
    /// the peer may come in nevertheless: a restarted router is welcome at once.
    IdleHold {
        until: Duration,
        lenient: bool,
    },
    Running,
}

/// A connection that the caller is making for us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) id: ConnId,
    deadline: Duration,
}

impl Session {
    /// A session in Idle, to be started with [`Input::ManualStart`]. `seed` is
    /// for the jitter of timers; two peers should not have the same.
    pub fn new(config: SessionConfig, seed: u64, now: Duration) -> Session {
        Session {
            config,
            jitter: Jitter::new(seed),
            run: Run::Stopped,
            conns: SmallVec::new(),
            attempt: None,
            retry_at: None,
            next_conn: 0,
            failures: 0,
            retries: 0,
            plain_open: false,
            as_alternate: false,
            actions: VecDeque::new(),
            counters: Counters::default(),
            last_error: None,
            connect_error: None,
            lone_collision: None,
            refresh_until: [None; Family::COUNT],
            stale: None,
            peer_open: None,
            seen_state: State::Idle,
            state_since: now,
            established_since: None,
        }
    }

    /// An id for a connection that was accepted.
    pub fn new_conn_id(&mut self) -> ConnId {
        self.next_conn = self.next_conn.wrapping_add(1);
        ConnId(self.next_conn)
    }

    pub fn handle_input(&mut self, input: Input, now: Duration) {
        match input {
            Input::ManualStart => self.manual_start(now),
            Input::ManualStop { subcode, message } => {
                let cease = faults::cease(subcode, &message);
                self.run = Run::Stopped;
                self.end_all(&cease, After::Retry, now);
                self.forget_stale();
            }
            Input::Reset { subcode, message } => {
                if self.run != Run::Stopped {
                    let cease = faults::cease(subcode, &message);
                    self.run = Run::Running;
                    self.end_all(&cease, After::Restart, now);
                }
            }
            Input::Fail(fault) => {
                // established or nothing: others have done no harm yet
                let at = self.established_at().or(self.conns.len().checked_sub(1));
                if let Some(at) = at {
                    self.end(at, Ending::Send(fault), After::Hold, now);
                }
            }
            Input::Hold { fault, pause } => {
                if self.established_at().is_some() {
                    self.run = match pause {
                        None => Run::Stopped,
                        Some(pause) => Run::IdleHold {
                            until: now.saturating_add(pause),
                            lenient: false,
                        },
                    };
                    self.end_all(&fault, After::AsItIs, now);
                    self.forget_stale();
                }
            }
            Input::Connected(id) => self.connected(id, now),
            Input::Accepted(id) => self.accepted(id, now),
            Input::ConnectFailed(id, why) => self.connect_failed(id, why, now),
            Input::Closed(id, why) => {
                if let Some(at) = self.find(id) {
                    let after = match self.conns.get(at).map(Conn::state) {
                        // RFC 4271 §8.2.2, OpenSent, event 18
                        Some(State::OpenSent) => After::Retry,
                        _ => After::Hold,
                    };
                    self.end(at, Ending::Closed(why), after, now);
                } else {
                    self.connect_failed(id, why, now);
                }
            }
            Input::Unreachable(id, why) => {
                if let Some(at) = self.find(id) {
                    self.end(at, Ending::Lost(why), After::Hold, now);
                }
            }
            Input::BadFrame(id, fault) => {
                if let Some(at) = self.find(id) {
                    self.end(at, Ending::Send(fault), After::Hold, now);
                }
            }
        }
        self.settle(now);
    }

    /// What to do next, until `None`. To be drained after every other call.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn state(&self) -> State {
        if let Some(state) = self.conns.iter().map(Conn::state).max() {
            return state;
        }
        match (self.run, self.attempt) {
            (Run::Running, Some(_)) => State::Connect,
            (Run::Running, None) => State::Active,
            _ => State::Idle,
        }
    }

    /// Neither stopped nor in an IdleHoldTime.
    pub fn is_running(&self) -> bool {
        self.run == Run::Running
    }

    /// Why the session is not up yet; `None`: it is.
    pub fn waiting(&self) -> Option<Waiting> {
        if let Some(conn) = self.conns.iter().max_by_key(|c| c.state()) {
            let until = conn.timers.hold_deadline();
            return (conn.state() != State::Established).then_some(Waiting::Message { until });
        }
        Some(match (self.run, self.attempt, self.retry_at) {
            (Run::Stopped, ..) => Waiting::Start,
            (Run::IdleHold { until, lenient }, ..) => Waiting::Hold {
                until,
                failures: self.failures.max(u32::from(lenient)),
            },
            (Run::Running, Some(attempt), _) => Waiting::Answer {
                until: attempt.deadline,
            },
            (Run::Running, None, Some(until)) => Waiting::Retry {
                until,
                attempts: self.retries,
            },
            (Run::Running, None, None) => Waiting::Peer,
        })
    }

    /// When [`state`](Session::state) last changed.
    pub fn state_since(&self) -> Duration {
        self.state_since
    }

    /// Since when the session is Established.
    pub fn established_since(&self) -> Option<Duration> {
        self.established_since
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What last went wrong on a connection that stood; attempts that fail
    /// afterwards don't hide it.
    pub fn last_error(&self) -> Option<&SessionError> {
        self.last_error.as_ref()
    }

    /// Why the latest attempt to connect failed, until one succeeds.
    pub fn connect_error(&self) -> Option<&SessionError> {
        self.connect_error.as_ref()
    }

    /// When the peer last closed our only connection as one too many (6/7): it
    /// holds on to another, of which we know nothing. That is no error of a
    /// session, so it stands apart from [`last_error`](Session::last_error).
    pub fn lone_collision(&self) -> Option<Duration> {
        self.lone_collision
    }

    /// The latest OPEN of the peer, whether it was accepted or not.
    pub fn peer_open(&self) -> Option<&Open> {
        self.peer_open.as_ref()
    }

    /// Of the Established connection, or else one in OpenConfirm.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.conns
            .iter()
            .filter(|c| c.negotiated().is_some())
            .max_by_key(|c| c.state())
            .and_then(Conn::negotiated)
    }

    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The number of ours that the next OPEN shows.
    pub fn shown_asn(&self) -> Asn {
        let alternate = self.config.alternate_asn.filter(|_| self.as_alternate);
        alternate.unwrap_or(self.config.local_asn)
    }

    /// Takes effect with the next OPEN that is sent and, for the retry and idle
    /// hold times, with the next timer that is started; the keepalive interval,
    /// of which no OPEN tells, at once. Whatever was said in an OPEN wants a
    /// [`Reset`](Input::Reset) with Other Configuration Change too.
    pub fn set_config(&mut self, config: SessionConfig) {
        for conn in &mut self.conns {
            conn.set_keepalive(config.keepalive);
        }
        let numbers = |c: &SessionConfig| (c.local_asn, c.alternate_asn);
        self.as_alternate &= numbers(&config) == numbers(&self.config);
        self.config = config;
        if self.config.stale_time.is_none() {
            self.forget_stale();
        }
    }

    /// The largest frame to accept, for [`split_frame`](wire::split_frame).
    /// It follows from what was advertised alone (RFC 8654 §4).
    pub fn max_receive(&self) -> usize {
        if self.config.capabilities.extended_message
            || self.conns.iter().any(Conn::takes_extended_messages)
        {
            wire::MAX_EXTENDED
        } else {
            wire::MAX_MESSAGE
        }
    }

    /// The connection that is Established, and who opened it.
    pub fn established_conn(&self) -> Option<(ConnId, Direction)> {
        let conn = self.conns.get(self.established_at()?)?;
        Some((conn.id, conn.direction))
    }

    fn manual_start(&mut self, now: Duration) {
        if self.run == Run::Stopped {
            self.failures = 0;
            self.plain_open = false;
            self.as_alternate = false;
        }
        if self.run != Run::Running {
            self.start_running(now);
        }
    }

    /// Out of Idle: connect, or wait for the peer to.
    pub(super) fn start_running(&mut self, now: Duration) {
        self.run = Run::Running;
        self.retries = 0;
        self.connect(now);
    }

    fn connect(&mut self, now: Duration) {
        self.retry_at = None;
        if self.config.passive {
            return;
        }
        let id = self.new_conn_id();
        let deadline = now.saturating_add(self.jitter.spread(self.config.connect_retry));
        self.attempt = Some(Attempt { id, deadline });
        self.counters.attempts += 1;
        self.actions.push_back(Action::Connect(id));
    }

    fn connected(&mut self, id: ConnId, now: Duration) {
        if self.attempt.is_none_or(|a| a.id != id) {
            return;
        }
        self.attempt = None;
        self.connect_error = None;
        self.open(id, Direction::Outgoing, now);
    }

    fn connect_failed(&mut self, id: ConnId, why: String, now: Duration) {
        if self.attempt.is_some_and(|a| a.id == id) {
            self.attempt = None;
            self.report_attempt(why, now);
        }
    }

    fn accepted(&mut self, id: ConnId, now: Duration) {
        self.counters.accepted += 1;
        match self.run {
            Run::Stopped => return self.refuse(id, Some(&faults::rejected())),
            // no words: many a peer waits longer after a NOTIFICATION
            Run::IdleHold { lenient: false, .. } => return self.refuse(id, None),
            Run::IdleHold { until, .. } => {
                self.run = Run::Running;
                self.retry_at = (!self.config.passive).then_some(until);
            }
            Run::Running => {}
        }
        let rival = self
            .conns
            .iter()
            .position(|c| c.direction == Direction::Incoming && c.state() != State::Established);
        match rival.map(|at| (at, self.conns.get(at).map(Conn::state))) {
            // The peer gave the older one up, and its end is still on the way.
            Some((at, Some(State::OpenSent))) => {
                self.end(at, Ending::Send(faults::collision()), After::Retry, now);
            }
            Some(_) => return self.refuse(id, None),
            None if self.conns.len() >= 2 => return self.refuse(id, None),
            None => {}
        }
        self.probe_established(now);
        if let Some(retry_at) = self.retry_at {
            // this connection is the likelier one now
            let later = now.saturating_add(self.jitter.spread(self.config.connect_retry));
            self.retry_at = Some(retry_at.max(later));
        }
        self.open(id, Direction::Incoming, now);
    }

    fn refuse(&mut self, id: ConnId, why: Option<&Notification>) {
        self.counters.refused += 1;
        if let Some(why) = why {
            self.send(id, MessageType::Notification, why.encode());
        }
        self.actions.push_back(Action::Close(id));
    }

    /// A peer that connects while we are Established may have lost its memory.
    /// If so, its TCP answers a KEEPALIVE with a reset, long before the hold
    /// timer would tell. Never more than one a second (RFC 4271 §4.4).
    fn probe_established(&mut self, now: Duration) {
        let Some(at) = self.established_at() else {
            return;
        };
        let quiet = |c: &Conn| c.timers.since_sent(now) >= Duration::from_secs(1);
        if self.conns.get(at).is_some_and(quiet) {
            self.send_keepalive(at, now);
        }
    }

    /// TCP stands (events 16 and 17): send OPEN, wait long for the peer's.
    fn open(&mut self, id: ConnId, direction: Direction, now: Duration) {
        let plain = self.plain_open;
        let asn = self.shown_asn();
        let open = self.config.open_as(asn, plain);
        self.send(id, MessageType::Open, open.encode());
        let send_hold = self.config.send_hold.unwrap_or(LEAST_SEND_HOLD);
        self.conns.push(Conn {
            id,
            direction,
            phase: Phase::OpenSent(open),
            timers: ConnTimers::new(self.config.open_hold, send_hold, now),
            asn,
            plain,
            opened: now,
        });
    }

    pub(super) fn send_hold_time(&self, negotiated: &Negotiated) -> Duration {
        self.config
            .send_hold
            .unwrap_or_else(|| LEAST_SEND_HOLD.max(negotiated.hold_time * 2))
    }

    pub(super) fn send(&mut self, conn: ConnId, kind: MessageType, bytes: Bytes) {
        self.counters.sent.add(kind, 1);
        self.actions.push_back(Action::Send {
            conn,
            bytes,
            urgent: matches!(kind, MessageType::Keepalive | MessageType::Notification),
        });
    }

    /// Sends one and draws the time to the next.
    pub(super) fn send_keepalive(&mut self, at: usize, now: Duration) {
        let Some(conn) = self.conns.get_mut(at) else {
            return;
        };
        let id = conn.id;
        let period = conn.negotiated().map_or(Duration::ZERO, |n| n.keepalive);
        let period = if period.is_zero() {
            period
        } else {
            self.jitter.spread(period).max(Duration::from_secs(1))
        };
        conn.timers.set_keepalive(period, now);
        self.send(id, MessageType::Keepalive, wire::keepalive());
    }

    pub(super) fn find(&self, id: ConnId) -> Option<usize> {
        self.conns.iter().position(|c| c.id == id)
    }

    pub(super) fn established_at(&self) -> Option<usize> {
        self.conns
            .iter()
            .position(|c| c.state() == State::Established)
    }

    /// Fires what is due. Calling early or often does nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        if let Run::IdleHold { until, .. } = self.run
            && until <= now
        {
            self.start_running(now);
        }
        if let Some(attempt) = self.attempt.filter(|a| a.deadline <= now) {
            self.actions.push_back(Action::Close(attempt.id));
            let text = "no answer to the attempt to connect".to_owned();
            self.report_attempt(text, now);
            self.connect(now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.connect(now);
        }
        self.conn_timeouts(now);
        self.refresh_timeouts(now);
        self.stale_timeout(now);
        self.settle(now);
    }

    /// When [`handle_timeout`](Session::handle_timeout) is to be called.
    pub fn next_deadline(&self) -> Option<Duration> {
        let own = match self.run {
            Run::IdleHold { until, .. } => Some(until),
            Run::Running => self.attempt.map(|a| a.deadline).or(self.retry_at),
            Run::Stopped => None,
        };
        let conns = self.conns.iter().filter_map(|c| c.timers.next_deadline());
        let refreshes = self.refresh_until.into_iter().flatten();
        let stale = self.stale.map(|stale| stale.until);
        own.into_iter()
            .chain(conns)
            .chain(refreshes)
            .chain(stale)
            .min()
    }

    /// Makes the invariants hold again, and notes a change of state.
    pub(super) fn settle(&mut self, now: Duration) {
        if self.run == Run::Running {
            let outgoing = |c: &Conn| c.direction == Direction::Outgoing;
            if self.conns.iter().any(|c| c.state() >= State::OpenConfirm) {
                self.abandon_attempt();
                self.retry_at = None;
                self.retries = 0;
            } else if self.conns.iter().any(outgoing) || self.config.passive {
                self.retry_at = None;
            } else if self.attempt.is_none() && self.retry_at.is_none() {
                let pause = back_off(FIRST_RETRY, self.retries, self.config.connect_retry);
                self.retries = self.retries.saturating_add(1);
                self.retry_at = Some(now.saturating_add(self.jitter.spread(pause)));
            }
        }
        let state = self.state();
        if state != self.seen_state {
            self.seen_state = state;
            self.state_since = now;
        }
    }
}
