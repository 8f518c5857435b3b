//! Communities of every kind: how they are named, read and printed.
//!
//! | kind | attribute | as text |
//! |---|---|---|
//! | standard (RFC 1997) | 8 | `64512:100`, or a well-known name as `no-export` |
//! | extended (RFC 4360) | 16 | `rt:64512:7`, `soo:10.0.0.1:7`, `bandwidth:64512:125000000` |
//! | IPv6-address-specific extended (RFC 5701) | 25 | `rt:[2001:db8::1]:7` |
//! | large (RFC 8092) | 32 | `64512:1:2` |
//!
//! The texts of all kinds differ, so [`Community`] reads any of them. What has
//! no name is written as its octets in hexadecimal behind `0x`; every value has
//! one text, and reads back from it.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod extended;
mod ipv6;
mod large;
#[cfg(test)]
mod tests;
pub mod well_known;

use std::fmt;
use std::str::FromStr;

pub use extended::ExtCommunity;
pub use ipv6::Ipv6ExtCommunity;
pub use large::LargeCommunity;

use crate::attrs::AttrsRef;

/// Of the high type octet: not to leave the AS (RFC 4360 §2).
const NON_TRANSITIVE: u8 = 0x40;

/// A community of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Community {
    Standard(StandardCommunity),
    Extended(ExtCommunity),
    Ipv6Extended(Ipv6ExtCommunity),
    Large(LargeCommunity),
}

impl Community {
    /// Whether the route carries it.
    pub fn is_in(&self, attrs: &AttrsRef<'_>) -> bool {
        match self {
            Community::Standard(c) => attrs.has_community(c.0),
            Community::Extended(c) => attrs.ext_communities().any(|have| have == c.0),
            Community::Ipv6Extended(c) => attrs.ipv6_ext_communities().any(|have| have == *c),
            Community::Large(c) => attrs.large_communities().any(|have| have == *c),
        }
    }
}

/// Text that is no community of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommunityError;

impl fmt::Display for CommunityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a community: write `64512:100`, a large one as `64512:1:2`, an extended one as \
             `rt:64512:100`, or one of the names ",
        )?;
        for (i, (_, name)) in well_known::NAMES.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for CommunityError {}

impl FromStr for Community {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        (text.parse().map(Community::Standard))
            .or_else(|_| text.parse().map(Community::Large))
            .or_else(|_| text.parse().map(Community::Extended))
            .or_else(|_| text.parse().map(Community::Ipv6Extended))
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Community::Standard(c) => c.fmt(f),
            Community::Extended(c) => c.fmt(f),
            Community::Ipv6Extended(c) => c.fmt(f),
            Community::Large(c) => c.fmt(f),
        }
    }
}

/// A community of RFC 1997; "64512:100", or its well-known name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StandardCommunity(pub u32);

impl fmt::Display for StandardCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match well_known::name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl FromStr for StandardCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        if let Some(value) = well_known::value(text) {
            return Ok(StandardCommunity(value));
        }
        let (high, low) = text.split_once(':').ok_or(CommunityError)?;
        let (high, low): (u16, u16) = (decimal(high)?, decimal(low)?);
        Ok(StandardCommunity(u32::from(high) << 16 | u32::from(low)))
    }
}

/// Digits only: `parse` would take a plus sign too.
fn decimal<T: FromStr>(text: &str) -> Result<T, CommunityError> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| CommunityError)
    } else {
        Err(CommunityError)
    }
}

/// `N` octets as "0x" and two digits each.
fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], CommunityError> {
    let digits = text.strip_prefix("0x").ok_or(CommunityError)?;
    if digits.len() != 2 * N || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(CommunityError);
    }
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| CommunityError)?;
        *octet = u8::from_str_radix(pair, 16).map_err(|_| CommunityError)?;
    }
    Ok(octets)
}

fn write_hex(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("0x")?;
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}
