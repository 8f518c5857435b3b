//! Path attributes in the canonical form that the daemon keeps.
//!
//! Canonical bytes hold the attributes in ascending order of their type, each
//! once, with normal flags: the low four bits zero, Extended Length exactly when
//! the value is longer than 255 octets, Partial only on optional transitive
//! ones. AS_PATH and AGGREGATOR have four-octet AS numbers; AS4_PATH and
//! AS4_AGGREGATOR are merged into them. NEXT_HOP, MP_REACH_NLRI and
//! MP_UNREACH_NLRI are left out: the next hop stands beside the bytes. So two
//! paths have equal attributes exactly when (next hop, bytes) are equal.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod buf;
mod leave;
mod local;
mod path;
#[cfg(test)]
mod tests;
mod view;

pub use buf::AttrsBuf;
pub use leave::{CommunityKinds, RemovePrivate};
pub use local::Local;
pub use path::{AsPath, Asns, Segment, SegmentKind, Segments};
pub(crate) use path::{PathBuilder, PathBytes, segment as path_segment};
pub use view::{AttrIter, AttrsRef, Origin, RawAttr};

pub use crate::community::LargeCommunity;
pub use crate::community::well_known as community;
pub(crate) use view::{attribute, push};

/// Attribute type codes (IANA "BGP Path Attributes").
pub mod code {
    /// Reserved (RFC 4271 §4.3): never on the wire. See [`Local`](super::Local).
    pub const LOCAL: u8 = 0;
    pub const ORIGIN: u8 = 1;
    pub const AS_PATH: u8 = 2;
    pub const NEXT_HOP: u8 = 3;
    pub const MED: u8 = 4;
    pub const LOCAL_PREF: u8 = 5;
    pub const ATOMIC_AGGREGATE: u8 = 6;
    pub const AGGREGATOR: u8 = 7;
    pub const COMMUNITIES: u8 = 8;
    pub const ORIGINATOR_ID: u8 = 9;
    pub const CLUSTER_LIST: u8 = 10;
    pub const MP_REACH_NLRI: u8 = 14;
    pub const MP_UNREACH_NLRI: u8 = 15;
    pub const EXT_COMMUNITIES: u8 = 16;
    pub const AS4_PATH: u8 = 17;
    pub const AS4_AGGREGATOR: u8 = 18;
    pub const IPV6_EXT_COMMUNITIES: u8 = 25;
    pub const LARGE_COMMUNITIES: u8 = 32;
    /// "Only to Customer" (RFC 9234 §5).
    pub const OTC: u8 = 35;
}

/// Attribute flags (RFC 4271 §4.3).
pub mod flag {
    pub const OPTIONAL: u8 = 0x80;
    pub const TRANSITIVE: u8 = 0x40;
    pub const PARTIAL: u8 = 0x20;
    pub const EXTENDED: u8 = 0x10;
}
