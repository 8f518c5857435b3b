//! The daemon's one clock: monotonic time since it started, and what that is on the wall.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

static START: OnceLock<(Instant, SystemTime)> = OnceLock::new();

/// Begins counting, the first time.
pub fn start() -> &'static (Instant, SystemTime) {
    START.get_or_init(|| (Instant::now(), SystemTime::now()))
}

/// Time since the daemon started; what the pure crates take as `now`.
pub fn now() -> Duration {
    start().0.elapsed()
}

/// The wall time at which the daemon started.
pub fn started_at() -> SystemTime {
    start().1
}

/// The instant of a `now`, for timers.
pub fn instant(at: Duration) -> Instant {
    start().0 + at
}

/// The wall time of a `now`, as the wall clock stood when the daemon started.
pub fn wall(at: Duration) -> SystemTime {
    start().1 + at
}
