//! The daemon `godwitd`: wires the pure crates with sockets, threads and clients.
//!
//! [`daemon`] starts everything and has a picture of it.

pub mod api;
mod bfd;
pub mod boot;
pub mod clock;
pub mod command;
pub mod control;
pub mod daemon;
mod discovery;
mod explain;
mod identity;
mod interfaces;
mod kernel;
mod links;
pub mod listener;
pub mod logging;
mod netstat;
mod peer;
pub mod ribthread;
pub mod state;
pub mod status;
mod sync;
#[cfg(test)]
mod tests;
