//! Desired routes against the kernel's. See docs/architecture.md.

mod api;
mod handle;
mod thread;

pub use api::*;
pub use handle::{FibHandle, Stopped};
pub use thread::Fib;
