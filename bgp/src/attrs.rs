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
mod path;
#[cfg(test)]
mod tests;
mod view;

pub use buf::AttrsBuf;
pub(crate) use path::segment as path_segment;
pub use path::{AsPath, Asns, Segment, SegmentKind, Segments};
pub use view::{AttrIter, AttrsRef, LargeCommunity, Origin, RawAttr};
pub(crate) use view::{attribute, push};

/// Attribute type codes (IANA "BGP Path Attributes").
pub mod code {
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
    pub const LARGE_COMMUNITIES: u8 = 32;
}

/// Attribute flags (RFC 4271 §4.3).
pub mod flag {
    pub const OPTIONAL: u8 = 0x80;
    pub const TRANSITIVE: u8 = 0x40;
    pub const PARTIAL: u8 = 0x20;
    pub const EXTENDED: u8 = 0x10;
}

/// Well-known communities (RFC 1997, RFC 3765, RFC 7999, RFC 8326, RFC 9494).
pub mod community {
    pub const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;
    pub const LLGR_STALE: u32 = 0xffff_0006;
    pub const NO_LLGR: u32 = 0xffff_0007;
    pub const BLACKHOLE: u32 = 0xffff_029a;
    pub const NO_EXPORT: u32 = 0xffff_ff01;
    pub const NO_ADVERTISE: u32 = 0xffff_ff02;
    pub const NO_EXPORT_SUBCONFED: u32 = 0xffff_ff03;
    pub const NO_PEER: u32 = 0xffff_ff04;
}
