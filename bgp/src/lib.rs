//! The Border Gateway Protocol, pure: no sockets, no clock, no runtime.
//!
//! [`wire`] turns frames into views over their bytes and back, with the verdict
//! of RFC 7606 for what is malformed; [`attrs`] is the canonical form of path
//! attributes that the rest of the daemon keeps, compares and edits;
//! [`community`] names, reads and prints communities of every kind;
//! [`session`] is the finite state machine of RFC 4271; [`bfd`] is Bidirectional
//! Forwarding Detection.
#![forbid(unsafe_code)]

pub mod attrs;
pub mod bfd;
pub mod community;
mod jitter;
mod parse;
pub mod session;
pub mod types;
pub mod wire;

pub use types::{
    AfiSafi, Asn, Family, InterfaceName, NextHop, PathId, Role, RouterId, SendPaths, SessionKind,
};
