//! Replays the fuzz corpus of patterns.

#[path = "../../fuzz/src/patterns.rs"]
mod patterns;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn as_path_patterns() {
    replay("as_path", patterns::as_path);
}

#[test]
fn community_patterns() {
    replay("community", patterns::community);
}
