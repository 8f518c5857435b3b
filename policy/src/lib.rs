//! What may pass: routing policy ([`route`]), and what comes before it ([`import`]).
//!
//! Pure: no sockets, no clock, no runtime.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod import;
pub mod route;
