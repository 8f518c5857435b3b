//! Time: back-off, and the timers of one connection.
//!
//! A timer is a pair of a period and the moment it was last restarted; its
//! deadline is computed when somebody asks. Restarting the hold timer for an
//! UPDATE is one store.

use std::time::Duration;

/// `first`, doubled `doublings` times, at most `max`.
pub(super) fn back_off(first: Duration, doublings: u32, max: Duration) -> Duration {
    first.saturating_mul(1u32 << doublings.min(20)).min(max)
}

/// Hold, keepalive and send hold timer of one connection.
#[derive(Debug)]
pub(super) struct ConnTimers {
    /// Zero: none.
    hold: Duration,
    heard: Duration,
    /// We stopped reading, so that hearing nothing says nothing about the peer.
    paused: bool,
    /// The hold timer doesn't fire before this: there were unread bytes.
    grace: Duration,
    /// Already jittered. Zero: none.
    keepalive: Duration,
    sent: Duration,
    /// RFC 9687; runs while bytes wait.
    send_hold: Duration,
    blocked_since: Option<Duration>,
}

/// How long unread bytes in the socket keep the hold timer from firing: enough
/// for a reader that is merely late, and asked again afterwards.
const UNREAD_GRACE: Duration = Duration::from_secs(1);

impl ConnTimers {
    /// A connection that has just been opened: the large hold timer, and the
    /// send hold timer's least value.
    pub(super) fn new(open_hold: Duration, send_hold: Duration, now: Duration) -> Self {
        ConnTimers {
            hold: open_hold,
            heard: now,
            paused: false,
            grace: Duration::ZERO,
            keepalive: Duration::ZERO,
            sent: now,
            send_hold,
            blocked_since: None,
        }
    }

    pub(super) fn set_hold(&mut self, hold: Duration, now: Duration) {
        self.hold = hold;
        self.heard = now;
    }

    /// KEEPALIVE or UPDATE came in.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    pub(super) fn paused(&mut self, paused: bool, now: Duration) {
        if self.paused && !paused {
            self.heard = now;
        }
        self.paused = paused;
    }

    pub(super) fn unread(&mut self, now: Duration) {
        self.grace = now.saturating_add(UNREAD_GRACE);
    }

    /// KEEPALIVE or UPDATE went out, and the next is due after `keepalive`.
    pub(super) fn set_keepalive(&mut self, keepalive: Duration, now: Duration) {
        self.keepalive = keepalive;
        self.sent = now;
    }

    /// The next one is due after `keepalive` at the latest; where the interval
    /// grew, the one after it.
    pub(super) fn shorten_keepalive(&mut self, keepalive: Duration) {
        self.keepalive = self.keepalive.min(keepalive);
    }

    pub(super) fn sent(&mut self, now: Duration) {
        self.sent = now;
    }

    pub(super) fn since_sent(&self, now: Duration) -> Duration {
        now.saturating_sub(self.sent)
    }

    pub(super) fn set_send_hold(&mut self, send_hold: Duration) {
        self.send_hold = send_hold;
    }

    pub(super) fn blocked(&mut self, now: Duration) {
        self.blocked_since.get_or_insert(now);
    }

    pub(super) fn written(&mut self) {
        self.blocked_since = None;
    }

    pub(super) fn hold_deadline(&self) -> Option<Duration> {
        (!self.hold.is_zero() && !self.paused)
            .then(|| self.heard.saturating_add(self.hold).max(self.grace))
    }

    pub(super) fn keepalive_deadline(&self) -> Option<Duration> {
        (!self.keepalive.is_zero()).then(|| self.sent.saturating_add(self.keepalive))
    }

    pub(super) fn send_hold_deadline(&self) -> Option<Duration> {
        self.blocked_since
            .map(|since| since.saturating_add(self.send_hold))
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        [
            self.hold_deadline(),
            self.keepalive_deadline(),
            self.send_hold_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn back_off_doubles_up_to_its_limit() {
        let steps: Vec<u64> = (0..8)
            .map(|n| back_off(SECOND, n, 60 * SECOND).as_secs())
            .collect();
        assert_eq!(steps, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(SECOND, u32::MAX, 60 * SECOND), 60 * SECOND);
    }

    #[test]
    fn hold_timer_rests_while_reading_is_paused_and_starts_over_afterwards() {
        let mut timers = ConnTimers::new(9 * SECOND, 480 * SECOND, Duration::ZERO);
        timers.paused(true, 5 * SECOND);
        assert_eq!(timers.hold_deadline(), None);
        timers.paused(false, 100 * SECOND);
        assert_eq!(timers.hold_deadline(), Some(109 * SECOND));
    }

    #[test]
    fn send_hold_counts_from_the_first_blocked_write_without_progress() {
        let mut timers = ConnTimers::new(9 * SECOND, 480 * SECOND, Duration::ZERO);
        assert_eq!(timers.send_hold_deadline(), None);
        timers.blocked(SECOND);
        timers.blocked(7 * SECOND);
        assert_eq!(timers.send_hold_deadline(), Some(481 * SECOND));
        timers.written();
        timers.blocked(9 * SECOND);
        assert_eq!(timers.send_hold_deadline(), Some(489 * SECOND));
    }
}
