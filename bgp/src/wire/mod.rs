//! The messages of BGP: frames to views over their bytes, and back.
//!
//! Reading never copies: an [`Update`] owns the [`Bytes`](bytes::Bytes) it was
//! read from and decodes its prefixes as they are asked for. What is malformed
//! is judged while reading (RFC 7606), so that a caller acts on the verdict
//! alone. Writing packs as many prefixes as a message holds.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod canonical;
mod capability;
mod encode;
mod frame;
mod next_hop;
mod nlri;
pub mod notification;
mod open;
mod read_update;
mod refresh;
#[cfg(test)]
mod tests;
mod update;
mod verdict;

pub use capability::Capability;
pub use encode::{TooLong, UpdateEncoder};
pub use frame::{
    Frame, HEADER_LEN, MAX_EXTENDED, MAX_MESSAGE, MessageType, keepalive, split_frame,
};
pub use nlri::{Entry, Nlri, PathsV4, PathsV6};
pub use notification::{Notification, printable};
pub use open::Open;
pub use refresh::RouteRefresh;
pub use update::{
    DecodeContext, Fault, FaultAction, RawAttrs, Update, UpdateAction, decode_update,
};
