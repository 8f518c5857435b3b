//! Replays the fuzz corpus of router discovery.

#[path = "../../fuzz/src/neighbours.rs"]
mod neighbours;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn router_advertisements() {
    replay("router", neighbours::router);
}
