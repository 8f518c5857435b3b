//! Path attributes and prefixes as bytes, written down independently of the
//! daemon's own encoder so that the tests do not check it against itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// One attribute as on the wire; Extended Length where the value needs it.
pub fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 4);
    match u8::try_from(value.len()) {
        Ok(len) => out.extend([flags, code, len]),
        Err(_) => {
            let len = u16::try_from(value.len()).expect("an attribute fits 65,535 bytes");
            out.extend([flags | 0x10, code]);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend(value);
    out
}

pub fn origin(value: u8) -> Vec<u8> {
    attribute(0x40, 1, &[value])
}

/// One AS_SEQUENCE, four octets an AS; nothing for an empty path.
pub fn as_path(asns: &[u32]) -> Vec<u8> {
    attribute(0x40, 2, &sequence(asns, true))
}

/// One AS_SEQUENCE, two octets an AS, as a peer without RFC 6793 sends it.
pub fn as_path_2(asns: &[u16]) -> Vec<u8> {
    let wide: Vec<u32> = asns.iter().copied().map(u32::from).collect();
    attribute(0x40, 2, &sequence(&wide, false))
}

/// AS4_PATH (RFC 6793 §3).
pub fn as4_path(asns: &[u32]) -> Vec<u8> {
    attribute(0xc0, 17, &sequence(asns, true))
}

fn sequence(asns: &[u32], wide: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if asns.is_empty() {
        return out;
    }
    out.extend([2, u8::try_from(asns.len()).expect("at most 255")]);
    for asn in asns {
        if wide {
            out.extend(asn.to_be_bytes());
        } else {
            out.extend(u16::try_from(*asn).expect("two octets").to_be_bytes());
        }
    }
    out
}

pub fn next_hop(address: Ipv4Addr) -> Vec<u8> {
    attribute(0x40, 3, &address.octets())
}

pub fn med(value: u32) -> Vec<u8> {
    attribute(0x80, 4, &value.to_be_bytes())
}

pub fn local_pref(value: u32) -> Vec<u8> {
    attribute(0x40, 5, &value.to_be_bytes())
}

pub fn atomic_aggregate() -> Vec<u8> {
    attribute(0x40, 6, &[])
}

pub fn aggregator(asn: u32, address: Ipv4Addr) -> Vec<u8> {
    let mut value = asn.to_be_bytes().to_vec();
    value.extend(address.octets());
    attribute(0xc0, 7, &value)
}

pub fn communities(all: &[(u16, u16)]) -> Vec<u8> {
    let value: Vec<u8> = all
        .iter()
        .flat_map(|(a, b)| [a.to_be_bytes(), b.to_be_bytes()].concat())
        .collect();
    attribute(0xc0, 8, &value)
}

/// Route targets of a two-octet AS (RFC 4360 §4).
pub fn route_targets(all: &[(u16, u32)]) -> Vec<u8> {
    let mut value = Vec::new();
    for (asn, number) in all {
        value.extend([0, 2]);
        value.extend(asn.to_be_bytes());
        value.extend(number.to_be_bytes());
    }
    attribute(0xc0, 16, &value)
}

pub fn large_communities(all: &[(u32, u32, u32)]) -> Vec<u8> {
    let value: Vec<u8> = all
        .iter()
        .flat_map(|(a, b, c)| [a.to_be_bytes(), b.to_be_bytes(), c.to_be_bytes()].concat())
        .collect();
    attribute(0xc0, 32, &value)
}

pub fn mp_reach_ipv6(next_hop: Ipv6Addr, prefixes: &[IpNet]) -> Vec<u8> {
    let mut value = vec![0, 2, 1, 16];
    value.extend(next_hop.octets());
    value.push(0);
    value.extend(nlri(prefixes));
    attribute(0x80, 14, &value)
}

pub fn mp_unreach_ipv6(prefixes: &[IpNet]) -> Vec<u8> {
    let mut value = vec![0, 2, 1];
    value.extend(nlri(prefixes));
    attribute(0x80, 15, &value)
}

pub fn nlri(prefixes: &[IpNet]) -> Vec<u8> {
    let mut out = Vec::new();
    for prefix in prefixes {
        let len = prefix.prefix_len();
        out.push(len);
        let bytes = usize::from(len.div_ceil(8));
        match prefix.addr() {
            IpAddr::V4(a) => out.extend(&a.octets()[..bytes]),
            IpAddr::V6(a) => out.extend(&a.octets()[..bytes]),
        }
    }
    out
}

/// The prefixes of an NLRI field. Panics on bytes that are none: the daemon
/// sent them.
pub fn parse_nlri(mut bytes: &[u8], ipv6: bool) -> Vec<IpNet> {
    let mut out = Vec::new();
    while let Some((&len, rest)) = bytes.split_first() {
        let (field, rest) = rest.split_at(usize::from(len.div_ceil(8)));
        let net = if ipv6 {
            let mut octets = [0; 16];
            octets[..field.len()].copy_from_slice(field);
            IpNet::new(IpAddr::V6(octets.into()), len)
        } else {
            let mut octets = [0; 4];
            octets[..field.len()].copy_from_slice(field);
            IpNet::new(IpAddr::V4(octets.into()), len)
        };
        out.push(net.expect("a prefix length of its family"));
        bytes = rest;
    }
    out
}

/// The body of an UPDATE.
pub fn update(withdrawn: &[IpNet], attributes: &[Vec<u8>], announced: &[IpNet]) -> Vec<u8> {
    let withdrawn = nlri(withdrawn);
    let attributes = attributes.concat();
    let mut out = Vec::new();
    for part in [&withdrawn, &attributes] {
        let len = u16::try_from(part.len()).expect("fits an UPDATE");
        out.extend(len.to_be_bytes());
        out.extend(part);
    }
    out.extend(nlri(announced));
    out
}

/// An UPDATE taken apart, attributes in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedUpdate {
    pub withdrawn: Vec<IpNet>,
    pub announced: Vec<IpNet>,
    /// Flags, code, value. MP_REACH_NLRI and MP_UNREACH_NLRI of IPv6 are taken
    /// apart into the fields above and below and are not among them.
    pub attributes: Vec<(u8, u8, Vec<u8>)>,
    pub next_hop_ipv6: Vec<u8>,
    /// Nothing withdrawn and nothing announced (RFC 4724 §2).
    pub end_of_rib: bool,
}

impl ParsedUpdate {
    pub fn parse(body: &[u8]) -> ParsedUpdate {
        let (withdrawn, rest) = counted(body);
        let (mut attributes, announced) = counted(rest);
        let mut out = ParsedUpdate {
            withdrawn: parse_nlri(withdrawn, false),
            announced: parse_nlri(announced, false),
            ..ParsedUpdate::default()
        };
        while !attributes.is_empty() {
            let (flags, code) = (attributes[0], attributes[1]);
            let (value, rest) = if flags & 0x10 != 0 {
                counted(&attributes[2..])
            } else {
                attributes[3..].split_at(usize::from(attributes[2]))
            };
            attributes = rest;
            match code {
                14 if value[..3] == [0, 2, 1] => {
                    let hop = usize::from(value[3]);
                    out.next_hop_ipv6 = value[4..4 + hop].to_vec();
                    out.announced.extend(parse_nlri(&value[5 + hop..], true));
                }
                15 if value[..3] == [0, 2, 1] => {
                    out.withdrawn.extend(parse_nlri(&value[3..], true));
                }
                _ => out.attributes.push((flags, code, value.to_vec())),
            }
        }
        out.end_of_rib =
            out.withdrawn.is_empty() && out.announced.is_empty() && out.attributes.is_empty();
        out
    }

    /// The attribute of this code, flags without Extended Length.
    pub fn attribute(&self, code: u8) -> Option<(u8, &[u8])> {
        self.attributes
            .iter()
            .find(|(_, c, _)| *c == code)
            .map(|(flags, _, value)| (flags & !0x10, value.as_slice()))
    }
}

fn counted(bytes: &[u8]) -> (&[u8], &[u8]) {
    let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2..].split_at(len)
}
