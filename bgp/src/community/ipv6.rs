//! IPv6-address-specific extended communities (RFC 5701).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::{CommunityError, NON_TRANSITIVE, decimal, from_hex, write_hex};

const SPECIFIC: u8 = 0x00;
const ROUTE_TARGET: u8 = 0x02;
const ROUTE_ORIGIN: u8 = 0x03;

/// An IPv6-address-specific extended community, as its twenty octets:
/// `rt:[2001:db8::1]:7`, `soo:[2001:db8::1]:7`, else the octets in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ipv6ExtCommunity(pub [u8; 20]);

impl Ipv6ExtCommunity {
    /// Whether it may leave the AS (RFC 5701 §2).
    pub const fn is_transitive(&self) -> bool {
        self.0[0] & NON_TRANSITIVE == 0
    }
}

impl fmt::Display for Ipv6ExtCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, sub, rest @ ..] = self.0;
        let name = match (kind, sub) {
            (SPECIFIC, ROUTE_TARGET) => "rt",
            (SPECIFIC, ROUTE_ORIGIN) => "soo",
            _ => return write_hex(&self.0, f),
        };
        let [address @ .., a, b] = rest;
        let number = u16::from_be_bytes([a, b]);
        write!(f, "{name}:[{}]:{number}", Ipv6Addr::from(address))
    }
}

impl FromStr for Ipv6ExtCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        if let Ok(octets) = from_hex(text) {
            return Ok(Ipv6ExtCommunity(octets));
        }
        let (name, rest) = text.split_once(":[").ok_or(CommunityError)?;
        let (address, number) = rest.split_once("]:").ok_or(CommunityError)?;
        let sub = match name {
            "rt" => ROUTE_TARGET,
            "soo" => ROUTE_ORIGIN,
            _ => return Err(CommunityError),
        };
        let address: Ipv6Addr = address.parse().map_err(|_| CommunityError)?;
        let number: u16 = decimal(number)?;
        let mut octets = [0; 20];
        let head = [SPECIFIC, sub].into_iter();
        let value = head.chain(address.octets()).chain(number.to_be_bytes());
        octets
            .iter_mut()
            .zip(value)
            .for_each(|(to, from)| *to = from);
        Ok(Ipv6ExtCommunity(octets))
    }
}
