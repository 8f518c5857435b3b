//! Desired routes against the kernel's: the latest wish of each prefix wins,
//! writes go in batches, routes name nexthop groups, so that a change of the
//! way to a next hop is one message however many routes use it; BGP's next
//! hops are resolved over the kernel's routes. See docs/architecture.md.

mod api;
mod engine;
mod groups;
mod handle;
mod kernel;
mod place;
mod resolve;
mod route;
mod table;
mod thread;
mod world;

pub use api::*;
pub use handle::{FibHandle, Stopped};
pub use thread::Fib;
