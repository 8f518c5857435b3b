//! Routes and decisions: what peers sent, which path of each prefix is best,
//! what every peer is to be sent and what the kernel is to have.
//!
//! [`Rib`] is pure and has one owner: no clock, no sockets, no locks. Updates
//! go in, [`Rib::work`] does a bounded amount of what follows from them, and
//! frames, kernel changes and events are polled. See docs/architecture.md.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod aggregate;
mod api;
mod bitmap;
mod core;
mod decide;
mod dest;
mod dryrun;
mod explain;
mod export;
pub mod fib;
mod fibview;
mod graceful;
mod group;
mod import;
mod index;
mod interner;
mod limits;
mod local;
mod memo;
mod nexthop;
mod path;
mod peers;
mod presence;
mod query;
mod rank;
mod rib;
mod ring;
mod slab;
mod sweep;
mod taps;
mod work;

pub use api::*;
pub use decide::{LOCAL_WEIGHT, Step};
pub use dryrun::DryRun;
pub use fib::{
    FibAck, FibChange, FibTarget, KernelOptions, NextHopSet, NextHopSetId, NextHopState,
    RouteChange, WeightedHop,
};
pub use group::{InKey, KNOBS};
pub use path::Verdict;
pub use presence::Condition;
pub use rib::Rib;
