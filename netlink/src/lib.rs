//! The only crate that talks to the kernel, blocking, over `netlink-sys`.
//!
//! [`RequestSocket`] sends many messages at once with one acknowledgement;
//! [`Monitor`] reports what others change. Links and addresses are encoded by
//! `netlink-packet-route`; routes and nexthop objects here, because that crate
//! has no nexthop messages and its route type allocates for each attribute,
//! which a full table feels. `rtnetlink` is not used: it sends one message at
//! a time (`Handle` has no batches) and wants a runtime, which neither the
//! fib's thread nor the command line has.

mod address;
mod codec;
mod datagram;
mod error;
mod link;
mod lookup;
mod monitor;
pub mod netns;
mod nexthop;
mod request;
mod route;
mod router;
pub mod sockopt;
mod sys;
pub mod sysctl;
mod wait;

pub use address::Address;
pub use datagram::{Datagram, become_real_time, interface_index, receive_datagram, tell_arrival};
pub use error::Error;
pub use link::{Link, VethEnd};
pub use lookup::Way;
pub use monitor::{Event, Monitor};
pub use nexthop::{GroupMember, NextHopObject, NextHopTarget};
pub use request::{Batch, Failure, RequestSocket};
pub use route::{Route, RouteDump, RouteFilter, RouteHop, RouteKey, RouteTarget, RouteType};
pub use router::{Heard, RouterSocket};
pub use wait::{Waker, wait_readable};

/// `RT_TABLE_MAIN`.
pub const TABLE_MAIN: u32 = 254;
/// `RT_TABLE_LOCAL`: addresses of this host.
pub const TABLE_LOCAL: u32 = 255;
