//! What the whole-system tests stand on: network namespaces, other BGP
//! speakers, our own daemon, and a speaker that says whatever bytes it is told.
//!
//! Everything waits for a condition with a deadline; nothing sleeps for luck.
//! Whatever a [`Lab`] made goes when it is dropped, on a panic too.

pub mod attrs;
pub mod bird;
pub mod child;
pub mod exabgp;
pub mod frr;
pub mod gobgp;
pub mod godwit;
pub mod lab;
pub mod openbgpd;
pub mod raw;
pub mod router;
pub mod table;
pub mod wait;

pub use lab::{Host, Lab};
pub use wait::{PATIENCE, wait_for, wait_for_every, wait_for_within};
