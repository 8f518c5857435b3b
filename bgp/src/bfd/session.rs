//! One session (RFC 5880 §6.8), asynchronous mode, active role.

use std::num::NonZeroU32;
use std::time::Duration;

use super::packet::{Diagnostic, Packet, State};
use super::timing::{Remote, SLOW, Timing, spread};
use crate::jitter::Jitter;

/// What an operator chooses for a session. Intervals are whole microseconds, at
/// most [`Packet::MAX_INTERVAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// The shortest interval at which we send while the session is up.
    pub desired_min_tx: Duration,
    /// The shortest interval at which we can receive. Not zero: that would ask
    /// the other end for silence (§6.8.1).
    pub required_min_rx: Duration,
    /// So many lost packets of ours mean a lost path. Not 0.
    pub detect_mult: u8,
    /// C: this end lives on when the control plane does not.
    pub control_plane_independent: bool,
}

/// That a session came up or is up no more, and why, for who relies on it
/// (RFC 5882).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Both ends hear each other.
    Up,
    /// Nothing arrived for the detection time.
    DetectionTimeExpired,
    /// The other end says that its session is down, and why.
    NeighborDown(Diagnostic),
    /// The administrator of the other end took the session down: no statement
    /// about the path, so that a client goes on without BFD (RFC 5882 §3.2, §4.2).
    NeighborAdminDown,
    /// We were taken down ourselves, or left that state.
    Administrative,
}

/// The state machine of one session.
///
/// Time is a duration since any fixed moment. The caller hands in what arrives,
/// calls [`handle_timeout`](Session::handle_timeout) at
/// [`next_deadline`](Session::next_deadline), and after each of these sends what
/// [`poll_transmit`](Session::poll_transmit) gives. It reads its sockets empty
/// *before* it calls `handle_timeout`: what lies in a socket has arrived in time.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    jitter: Jitter,

    state: State,
    diagnostic: Diagnostic,
    local_discriminator: NonZeroU32,
    /// 0: unknown.
    remote_discriminator: u32,
    remote_state: State,
    remote_diagnostic: Diagnostic,
    remote_demand: bool,
    remote_independent: bool,
    remote: Remote,
    timing: Timing,

    /// When the last valid packet arrived; none within the detection time: None.
    heard: Option<Duration>,
    /// When the last periodic packet left, and the jittered time until the next.
    sent: Option<Duration>,
    wait: Duration,
    /// A packet is due at once: what it says changed.
    urgent: bool,
    /// A poll of the other end waits for its answer.
    reply: bool,
    /// In AdminDown: until when the other end is told.
    tell_until: Option<Duration>,
}

impl Session {
    /// A session in Down that begins to send at once. `local_discriminator` must
    /// be unique among the sessions of this system; `seed` makes the jitter.
    #[must_use]
    pub fn new(local_discriminator: NonZeroU32, config: SessionConfig, seed: u64) -> Self {
        Session {
            timing: Timing::new(config.desired_min_tx.max(SLOW), config.required_min_rx),
            config,
            jitter: Jitter::new(seed),
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            local_discriminator,
            remote_discriminator: 0,
            remote_state: State::Down,
            remote_diagnostic: Diagnostic::NONE,
            remote_demand: false,
            remote_independent: false,
            remote: Remote::UNKNOWN,
            heard: None,
            sent: None,
            wait: Duration::ZERO,
            urgent: true,
            reply: false,
            tell_until: None,
        }
    }

    /// Where the session stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it last left Up, as our packets say.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// Our name for the session, that packets to us carry.
    #[must_use]
    pub fn local_discriminator(&self) -> NonZeroU32 {
        self.local_discriminator
    }

    /// The other end's name for it; 0: unknown.
    #[must_use]
    pub fn remote_discriminator(&self) -> u32 {
        self.remote_discriminator
    }

    /// What the other end last said: its state, and why it last left Up.
    #[must_use]
    pub fn remote(&self) -> (State, Diagnostic) {
        (self.remote_state, self.remote_diagnostic)
    }

    /// Whether the other end's BFD outlives its control plane (its C bit).
    #[must_use]
    pub fn remote_control_plane_independent(&self) -> bool {
        self.remote_independent
    }

    /// The interval at which we send, before jitter; None: the other end wants
    /// no periodic packets.
    #[must_use]
    pub fn transmit_interval(&self) -> Option<Duration> {
        self.timing.transmit_interval(&self.remote)
    }

    /// How long nothing may be heard before the session goes down.
    #[must_use]
    pub fn detection_time(&self) -> Duration {
        self.timing.detection_time(&self.remote)
    }

    /// Other intervals. A session that is up stays up: the other end is asked to
    /// confirm before anything relies on the change (§6.8.3).
    pub fn set_config(&mut self, config: SessionConfig) {
        if config == self.config {
            return;
        }
        self.config = config;
        self.retime();
        self.urgent = true;
    }

    /// A packet whose TTL and addresses were found right, and which is of this
    /// session: by Your Discriminator, or by address where that is 0.
    pub fn receive(&mut self, packet: &Packet, now: Duration) -> Option<Change> {
        self.heard = Some(now);
        self.remote_discriminator = packet.my_discriminator.get();
        self.remote_state = packet.state;
        self.remote_diagnostic = packet.diagnostic;
        self.remote_demand = packet.demand;
        self.remote_independent = packet.control_plane_independent;
        let interval = self.transmit_interval();
        self.remote = Remote::of(packet);
        if packet.is_final && self.timing.answered() {
            self.urgent = true;
        }
        if self.transmit_interval() != interval {
            self.reschedule();
        }
        if self.state == State::AdminDown {
            return None;
        }
        let change = self.follow(packet);
        // §6.8.7: answered at once, whatever the timers say.
        self.reply |= packet.poll;
        change
    }

    /// The table of §6.2 and §6.8.6.
    fn follow(&mut self, packet: &Packet) -> Option<Change> {
        match (self.state, packet.state) {
            (State::Init, State::AdminDown) => {
                self.leave(Diagnostic::NEIGHBOR_SIGNALED_DOWN);
                None
            }
            (State::Up, State::AdminDown) => {
                self.leave(Diagnostic::NEIGHBOR_SIGNALED_DOWN);
                Some(Change::NeighborAdminDown)
            }
            (State::Down, State::Down) => {
                self.enter(State::Init);
                None
            }
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up);
                Some(Change::Up)
            }
            (State::Up, State::Down) => {
                self.leave(Diagnostic::NEIGHBOR_SIGNALED_DOWN);
                Some(Change::NeighborDown(packet.diagnostic))
            }
            (State::AdminDown, _)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Change> {
        if self.tell_until.is_some_and(|until| now >= until) {
            self.tell_until = None;
        }
        let expired = self
            .heard
            .is_some_and(|at| now >= at + self.detection_time());
        if !expired {
            return None;
        }
        let change = match self.state {
            State::Up => {
                self.leave(Diagnostic::DETECTION_TIME_EXPIRED);
                Some(Change::DetectionTimeExpired)
            }
            // It never worked, so nothing was lost.
            State::Init => {
                self.leave(Diagnostic::DETECTION_TIME_EXPIRED);
                None
            }
            State::Down | State::AdminDown => None,
        };
        self.forget();
        change
    }

    /// Takes the session down or lets it come up again (§6.8.16). The other end
    /// is told for as long as it would need to notice, see
    /// [`finished`](Session::finished).
    pub fn set_admin_down(&mut self, down: bool, now: Duration) -> Option<Change> {
        if down == (self.state == State::AdminDown) {
            return None;
        }
        if down {
            let said = self.transmit_interval().unwrap_or(SLOW).max(SLOW);
            self.tell_until = Some(now + said * u32::from(self.config.detect_mult));
            self.diagnostic = Diagnostic::ADMINISTRATIVELY_DOWN;
            self.enter(State::AdminDown);
        } else {
            self.tell_until = None;
            self.diagnostic = Diagnostic::NONE;
            self.enter(State::Down);
        }
        Some(Change::Administrative)
    }

    /// Whether a session in AdminDown has told the other end long enough: it
    /// sends nothing more and may be dropped.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.state == State::AdminDown && self.tell_until.is_none()
    }

    /// When to call [`handle_timeout`](Session::handle_timeout) and
    /// [`poll_transmit`](Session::poll_transmit) next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let expiry = self.heard.map(|at| at + self.detection_time());
        [self.next_transmit(), expiry, self.tell_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next packet to send, if one is due. Call until there is none.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Packet> {
        if self.reply {
            self.reply = false;
            return Some(self.packet(true));
        }
        if self.next_transmit().is_none_or(|at| now < at) {
            return None;
        }
        self.urgent = false;
        self.sent = Some(now);
        self.reschedule();
        Some(self.packet(false))
    }

    /// When the next periodic packet is due; zero: at once.
    fn next_transmit(&self) -> Option<Duration> {
        if self.reply || (self.urgent && !self.finished()) {
            return Some(Duration::ZERO);
        }
        self.transmit_interval()?;
        if self.finished() || (self.silenced() && !self.timing.polling()) {
            return None;
        }
        Some(self.sent.map_or(Duration::ZERO, |at| at + self.wait))
    }

    /// §6.6: demand mode is active at the other end.
    fn silenced(&self) -> bool {
        self.remote_demand && self.state == State::Up && self.remote_state == State::Up
    }

    /// A new wait from the last packet on, for a new interval.
    fn reschedule(&mut self) {
        let interval = self.transmit_interval().unwrap_or_default();
        self.wait = spread(&mut self.jitter, interval, self.config.detect_mult);
    }

    fn leave(&mut self, diagnostic: Diagnostic) {
        self.diagnostic = diagnostic;
        self.enter(State::Down);
    }

    /// A change of state goes out at once (§6.8.7), with the intervals that the
    /// new state allows.
    fn enter(&mut self, state: State) {
        self.state = state;
        self.urgent = true;
        self.retime();
    }

    /// The intervals of the configuration and the state.
    fn retime(&mut self) {
        let SessionConfig {
            desired_min_tx,
            required_min_rx,
            ..
        } = self.config;
        let up = self.state == State::Up;
        let tx = if up {
            desired_min_tx
        } else {
            desired_min_tx.max(SLOW)
        };
        self.timing.change(tx, required_min_rx, up);
        if !up {
            self.timing.settle();
        }
        self.reschedule();
    }

    /// Nothing was heard for the detection time: its name is no longer valid
    /// (§6.8.1), nor what it asked of us; it may have been restarted.
    fn forget(&mut self) {
        self.heard = None;
        self.remote_discriminator = 0;
        self.remote_state = State::Down;
        self.remote_demand = false;
        self.remote = Remote::UNKNOWN;
        self.reschedule();
    }

    fn packet(&self, is_final: bool) -> Packet {
        let (desired_min_tx, required_min_rx) = self.timing.said();
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: !is_final && self.timing.polling(),
            is_final,
            control_plane_independent: self.config.control_plane_independent,
            demand: false,
            detect_mult: self.config.detect_mult,
            my_discriminator: self.local_discriminator,
            your_discriminator: self.remote_discriminator,
            desired_min_tx,
            required_min_rx,
            required_min_echo_rx: Duration::ZERO,
        }
    }
}
