//! Reading canonical attributes.

use std::fmt;
use std::net::Ipv4Addr;

use super::local::Local;
use super::path::AsPath;
use super::{code, flag};
use crate::community::{Ipv6ExtCommunity, LargeCommunity};
use crate::parse::{self, Parsed};
use crate::types::{Asn, NextHop, RouterId};

/// One attribute as it lies in memory; `value` without its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttr<'a> {
    pub flags: u8,
    pub code: u8,
    pub value: &'a [u8],
}

/// Reads one attribute, header and value (RFC 4271 §4.3).
#[inline]
pub(crate) fn attribute(input: &[u8]) -> Parsed<'_, RawAttr<'_>> {
    let (input, flags) = parse::octet(input)?;
    let (input, code) = parse::octet(input)?;
    let (input, value) = if flags & flag::EXTENDED != 0 {
        parse::long_field(input)?
    } else {
        parse::short_field(input)?
    };
    Ok((input, RawAttr { flags, code, value }))
}

/// Appends one attribute with normal flags: of `flags`, the upper three bits
/// are taken. False, and nothing written, if the value passes 65,535 octets.
#[must_use]
pub(crate) fn push(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) -> bool {
    let Ok(length) = u16::try_from(value.len()) else {
        return false;
    };
    let flags = flags & !(flag::EXTENDED | 0x0f);
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[flags, code, length]),
        Err(_) => {
            let [hi, lo] = length.to_be_bytes();
            out.extend_from_slice(&[flags | flag::EXTENDED, code, hi, lo]);
        }
    }
    out.extend_from_slice(value);
    true
}

/// The attributes of a byte string, in order; ends where they stop making sense.
#[derive(Clone, Debug)]
pub struct AttrIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AttrIter<'a> {
    type Item = RawAttr<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawAttr<'a>> {
        let (rest, attr) = attribute(self.rest).ok()?;
        self.rest = rest;
        Some(attr)
    }
}

/// ORIGIN, in the order of preference (RFC 4271 §9.1.2.2 b).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Origin {
    Igp = 0,
    Egp = 1,
    Incomplete = 2,
}

impl Origin {
    pub const fn from_wire(value: u8) -> Option<Origin> {
        Some(match value {
            0 => Origin::Igp,
            1 => Origin::Egp,
            2 => Origin::Incomplete,
            _ => return None,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Igp => "igp",
            Origin::Egp => "egp",
            Origin::Incomplete => "incomplete",
        })
    }
}

/// Attributes in canonical form, borrowed: `bytes` come from
/// [`Update::canonical_attrs`](crate::wire::Update::canonical_attrs) or an
/// [`AttrsBuf`](super::AttrsBuf) and are not checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttrsRef<'a> {
    pub next_hop: NextHop,
    pub bytes: &'a [u8],
}

impl<'a> AttrsRef<'a> {
    pub fn iter(&self) -> AttrIter<'a> {
        AttrIter { rest: self.bytes }
    }

    pub fn find(&self, code: u8) -> Option<RawAttr<'a>> {
        self.iter()
            .take_while(|a| a.code <= code)
            .find(|a| a.code == code)
    }

    /// What only this router knows of the route.
    pub fn local(&self) -> Local {
        match self.iter().next() {
            Some(first) if first.code == code::LOCAL => Local::decode(first.value),
            _ => Local::default(),
        }
    }

    /// The attributes that others may see.
    #[must_use]
    pub fn without_local(self) -> AttrsRef<'a> {
        match attribute(self.bytes) {
            Ok((bytes, first)) if first.code == code::LOCAL => AttrsRef { bytes, ..self },
            _ => self,
        }
    }

    /// ORIGIN; canonical attributes have one.
    pub fn origin(&self) -> Origin {
        let value = self.value(code::ORIGIN).first().copied();
        value
            .and_then(Origin::from_wire)
            .unwrap_or(Origin::Incomplete)
    }

    /// AS_PATH; empty for a route of our own AS.
    pub fn as_path(&self) -> AsPath<'a> {
        AsPath::new(self.value(code::AS_PATH))
    }

    pub fn med(&self) -> Option<u32> {
        self.number(code::MED)
    }

    pub fn local_pref(&self) -> Option<u32> {
        self.number(code::LOCAL_PREF)
    }

    pub fn atomic_aggregate(&self) -> bool {
        self.find(code::ATOMIC_AGGREGATE).is_some()
    }

    pub fn aggregator(&self) -> Option<(Asn, Ipv4Addr)> {
        let value: [u8; 8] = self.value(code::AGGREGATOR).try_into().ok()?;
        let [a, b, c, d, address @ ..] = value;
        Some((
            Asn(u32::from_be_bytes([a, b, c, d])),
            Ipv4Addr::from(address),
        ))
    }

    /// Communities in the order received.
    pub fn communities(&self) -> impl Iterator<Item = u32> + Clone + use<'a> {
        let (chunks, _) = self.value(code::COMMUNITIES).as_chunks();
        chunks.iter().map(|c| u32::from_be_bytes(*c))
    }

    pub fn has_community(&self, community: u32) -> bool {
        self.communities().any(|c| c == community)
    }

    /// Extended communities (RFC 4360), as their eight octets.
    pub fn ext_communities(&self) -> impl Iterator<Item = [u8; 8]> + Clone + use<'a> {
        let (chunks, _) = self.value(code::EXT_COMMUNITIES).as_chunks();
        chunks.iter().copied()
    }

    /// IPv6-address-specific extended communities (RFC 5701).
    pub fn ipv6_ext_communities(&self) -> impl Iterator<Item = Ipv6ExtCommunity> + Clone + use<'a> {
        let (chunks, _) = self.value(code::IPV6_EXT_COMMUNITIES).as_chunks();
        chunks.iter().map(|c| Ipv6ExtCommunity(*c))
    }

    pub fn large_communities(&self) -> impl Iterator<Item = LargeCommunity> + Clone + use<'a> {
        let (chunks, _) = self.value(code::LARGE_COMMUNITIES).as_chunks::<4>();
        let (chunks, _) = chunks.as_chunks::<3>();
        chunks
            .iter()
            .map(|[global, local1, local2]| LargeCommunity {
                global: u32::from_be_bytes(*global),
                local1: u32::from_be_bytes(*local1),
                local2: u32::from_be_bytes(*local2),
            })
    }

    pub fn originator_id(&self) -> Option<RouterId> {
        self.number(code::ORIGINATOR_ID).map(RouterId)
    }

    /// Cluster ids, the latest first (RFC 4456 §8).
    pub fn cluster_list(&self) -> impl Iterator<Item = RouterId> + Clone + use<'a> {
        let (chunks, _) = self.value(code::CLUSTER_LIST).as_chunks();
        chunks.iter().map(|c| RouterId(u32::from_be_bytes(*c)))
    }

    /// ONLY_TO_CUSTOMER (RFC 9234 §5).
    pub fn only_to_customer(&self) -> Option<Asn> {
        self.number(code::OTC).map(Asn)
    }

    fn value(&self, code: u8) -> &'a [u8] {
        self.find(code).map_or(&[], |a| a.value)
    }

    fn number(&self, code: u8) -> Option<u32> {
        let value: [u8; 4] = self.value(code).try_into().ok()?;
        Some(u32::from_be_bytes(value))
    }
}
