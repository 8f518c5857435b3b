//! Bidirectional Forwarding Detection (RFC 5880) in a process of its own.
//!
//! `godwitd bfd` ([`process`]) keeps the sessions; it has no RIB, no
//! configuration and no store, so that a crash of the daemon costs no session.
//! The daemon ([`client`]) tells it over a Unix socket which sessions there are
//! to be, and hears of their states ([`messages`]).
//!
//! ```text
//!  neighbours ──UDP 3784, 4784──► process ◄──Unix socket── client ──► peers
//!                                  │ table: sessions by discriminator and key,
//!                                  │        their deadlines in order
//!                                  └ senders: a UDP socket a session
//! ```
//!
//! When the daemon goes without a word, the sessions go on for the time that it
//! asked for; then, as at its planned end, they are taken down
//! administratively, which no neighbour takes for a lost path (RFC 5882 §3.2).

mod channel;
mod client;
mod messages;
mod process;
mod sender;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use client::{Bfd, Path, View};
pub(crate) use messages::{Key, State, Wanted};
pub(crate) use process::{Options, run};
