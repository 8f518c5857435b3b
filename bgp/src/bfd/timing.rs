//! The intervals of a session and when they take effect (RFC 5880 §6.8.2-6.8.4,
//! §6.8.7).

use std::time::Duration;

use super::packet::Packet;
use crate::jitter::Jitter;

/// The slowest that a session may say it sends while it is not up (§6.8.3).
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// What the other end said about itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote {
    pub(super) desired_min_tx: Duration,
    pub(super) required_min_rx: Duration,
    pub(super) detect_mult: u8,
}

impl Remote {
    /// An end that nothing was heard of: it takes all that we send (§6.8.1
    /// wants 1 microsecond).
    pub(super) const UNKNOWN: Remote = Remote {
        desired_min_tx: Duration::ZERO,
        required_min_rx: Duration::from_micros(1),
        detect_mult: 1,
    };

    pub(super) fn of(packet: &Packet) -> Self {
        Remote {
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            detect_mult: packet.detect_mult,
        }
    }
}

/// A value that we send, and the one that we go by until the other end has
/// confirmed that it knows of the change.
#[derive(Debug, Clone, Copy)]
struct Announced {
    said: Duration,
    in_force: Duration,
}

impl Announced {
    fn new(value: Duration) -> Self {
        Announced {
            said: value,
            in_force: value,
        }
    }

    fn settle(&mut self) {
        self.in_force = self.said;
    }
}

/// Where a poll sequence stands (§6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poll {
    Idle,
    /// Every packet asks until one answers.
    Asking,
    /// As `Asking`, but something changed since it began: the answer may be to
    /// a packet from before, so another sequence follows.
    AskingAnew,
}

/// Both intervals of ours, and the poll sequence that makes changes known.
#[derive(Debug)]
pub(super) struct Timing {
    tx: Announced,
    rx: Announced,
    poll: Poll,
}

impl Timing {
    pub(super) fn new(desired_min_tx: Duration, required_min_rx: Duration) -> Self {
        Timing {
            tx: Announced::new(desired_min_tx),
            rx: Announced::new(required_min_rx),
            poll: Poll::Idle,
        }
    }

    /// What the next packet says: desired min TX and required min RX.
    pub(super) fn said(&self) -> (Duration, Duration) {
        (self.tx.said, self.rx.said)
    }

    pub(super) fn polling(&self) -> bool {
        self.poll != Poll::Idle
    }

    /// New values. While the session is up, the other end still goes by the old
    /// ones until it answers a poll: until then we neither send more slowly nor
    /// expect it to send faster (§6.8.3).
    pub(super) fn change(&mut self, desired_min_tx: Duration, required_min_rx: Duration, up: bool) {
        if (desired_min_tx, required_min_rx) == self.said() {
            return;
        }
        self.tx.said = desired_min_tx;
        self.rx.said = required_min_rx;
        if !up {
            self.settle();
            return;
        }
        self.tx.in_force = self.tx.in_force.min(desired_min_tx);
        self.rx.in_force = self.rx.in_force.max(required_min_rx);
        self.poll = match self.poll {
            Poll::Idle => Poll::Asking,
            Poll::Asking | Poll::AskingAnew => Poll::AskingAnew,
        };
    }

    /// The answer to a poll. Returns whether another one begins.
    pub(super) fn answered(&mut self) -> bool {
        match self.poll {
            Poll::Idle => false,
            Poll::Asking => {
                self.settle();
                false
            }
            Poll::AskingAnew => {
                self.poll = Poll::Asking;
                true
            }
        }
    }

    /// All that was said holds from now on, and nobody is asked.
    pub(super) fn settle(&mut self) {
        self.tx.settle();
        self.rx.settle();
        self.poll = Poll::Idle;
    }

    /// The interval at which we send (§6.8.7), before jitter. None: the other
    /// end wants no periodic packets.
    pub(super) fn transmit_interval(&self, remote: &Remote) -> Option<Duration> {
        (!remote.required_min_rx.is_zero()).then(|| self.tx.in_force.max(remote.required_min_rx))
    }

    /// How long nothing may be heard (§6.8.4).
    pub(super) fn detection_time(&self, remote: &Remote) -> Duration {
        self.rx.in_force.max(remote.desired_min_tx) * u32::from(remote.detect_mult)
    }
}

/// An interval with the jitter of §6.8.7: 75 to 100 % of it, to 90 % where a
/// single lost packet counts.
pub(super) fn spread(jitter: &mut Jitter, interval: Duration, detect_mult: u8) -> Duration {
    if detect_mult == 1 {
        jitter.between(interval, 0.75, 0.90)
    } else {
        jitter.spread(interval)
    }
}
