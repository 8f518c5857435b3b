//! Replays the fuzz corpus of messages.

#[path = "../../fuzz/src/checks.rs"]
mod checks;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn messages() {
    replay("message", checks::message);
}

#[test]
fn opens() {
    replay("open", checks::open);
}

#[test]
fn updates() {
    replay("update", checks::update);
}
