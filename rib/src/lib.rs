//! See docs/architecture.md.

pub mod fib;

pub use fib::{FibAck, FibChange, FibTarget, NextHopSetId, NextHopState, RouteChange};
