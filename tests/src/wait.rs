//! Waiting for a condition, never for luck.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails. Long, because several
/// tests share few cores; a passing test never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(50);

/// Polls until `probe` gives a value; panics, saying `what` was awaited, after
/// [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_for_within(PATIENCE, what, probe)
}

/// [`wait_for`] with a deadline of the caller's own.
#[track_caller]
pub fn wait_for_within<T>(patience: Duration, what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_for_every(POLL, patience, what, probe)
}

/// [`wait_for_within`], looking as often as the caller wants: for what is timed.
#[track_caller]
pub fn wait_for_every<T>(
    tick: Duration,
    patience: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain for: {what}"
        );
        std::thread::sleep(tick);
    }
}

/// Watches for `span` that `probe` stays true: for what must *not* happen.
#[track_caller]
pub fn holds_for(span: Duration, what: &str, mut probe: impl FnMut() -> bool) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        assert!(probe(), "no longer true: {what}");
        std::thread::sleep(POLL);
    }
}
