//! Nexthop objects (Linux 5.3): a route names one by its id, and a change of
//! the object moves all its routes.

use std::net::IpAddr;

use crate::Error;
use crate::codec::{self, AF_INET, AF_INET6, Attributes};
use crate::request::{Batch, RequestSocket};

pub(crate) const RTM_NEWNEXTHOP: u16 = 104;
pub(crate) const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_BLACKHOLE: u16 = 4;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;

/// `struct nhmsg`.
const NEXTHOP_HEADER: usize = 8;
/// `struct nexthop_grp`.
const GROUP_ENTRY: usize = 8;
const ON_LINK: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupMember {
    pub id: u32,
    /// 1 to 256.
    pub weight: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHopTarget {
    Hop {
        /// None: every destination is on the link.
        via: Option<IpAddr>,
        interface: u32,
        on_link: bool,
    },
    Group(Vec<GroupMember>),
    Blackhole,
}

/// A nexthop object as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopObject {
    pub id: u32,
    /// `RTPROT_*` of who made it.
    pub protocol: u8,
    pub target: NextHopTarget,
}

impl Batch {
    /// Makes or changes the object of this id, whoever's it is.
    pub fn set_hop(&mut self, id: u32, protocol: u8, via: IpAddr, interface: u32, on_link: bool) {
        self.push(
            RTM_NEWNEXTHOP,
            libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
            |buf| {
                let family = if via.is_ipv4() { AF_INET } else { AF_INET6 };
                header(buf, family, protocol, if on_link { ON_LINK } else { 0 });
                codec::put_u32(buf, NHA_ID, id);
                codec::put_u32(buf, NHA_OIF, interface);
                codec::put_address(buf, NHA_GATEWAY, via);
            },
        );
    }

    /// Makes or changes a group; its members exist already, each once.
    pub fn set_group(&mut self, id: u32, protocol: u8, members: &[GroupMember]) {
        self.push(
            RTM_NEWNEXTHOP,
            libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
            |buf| {
                header(buf, 0, protocol, 0);
                codec::put_u32(buf, NHA_ID, id);
                let group = codec::begin_attribute(buf, NHA_GROUP);
                for member in members {
                    buf.extend_from_slice(&member.id.to_ne_bytes());
                    let weight = u8::try_from(member.weight.saturating_sub(1)).unwrap_or(u8::MAX);
                    buf.extend_from_slice(&[weight, 0, 0, 0]);
                }
                codec::end_attribute(buf, group);
            },
        );
    }

    /// Removes an object, its routes, and its places in groups.
    pub fn delete_next_hop(&mut self, id: u32) {
        self.push(RTM_DELNEXTHOP, 0, |buf| {
            header(buf, 0, 0, 0);
            codec::put_u32(buf, NHA_ID, id);
        });
    }
}

fn header(buf: &mut Vec<u8>, family: u8, protocol: u8, flags: u32) {
    buf.extend_from_slice(&[family, 0, protocol, 0]);
    buf.extend_from_slice(&flags.to_ne_bytes());
}

impl RequestSocket {
    /// All nexthop objects of the namespace. A kernel without them refuses
    /// with `EOPNOTSUPP`.
    pub fn next_hops(&mut self) -> Result<Vec<NextHopObject>, Error> {
        self.dump(
            RTM_GETNEXTHOP,
            &[0; NEXTHOP_HEADER],
            Vec::new,
            |objects, payload| {
                objects.extend(NextHopObject::decode(payload));
            },
        )
    }

    /// Removes an object, its routes, and its places in groups.
    pub fn delete_next_hop(&mut self, id: u32) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.delete_next_hop(id);
        self.execute_one(&mut batch, || format!("cannot remove nexthop object {id}"))
    }
}

impl NextHopObject {
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let protocol = *payload.get(2)?;
        let on_link = codec::read_u32(payload, 4)? & ON_LINK != 0;
        let (mut id, mut via, mut interface, mut group, mut blackhole) = (0, None, 0, None, false);
        for (kind, value) in Attributes::after(payload, NEXTHOP_HEADER) {
            match kind {
                NHA_ID => id = codec::read_u32(value, 0)?,
                NHA_OIF => interface = codec::read_u32(value, 0)?,
                NHA_GATEWAY => via = codec::address(value),
                NHA_BLACKHOLE => blackhole = true,
                NHA_GROUP => group = Some(decode_group(value)),
                _ => {}
            }
        }
        let target = match group {
            Some(members) => NextHopTarget::Group(members),
            None if blackhole => NextHopTarget::Blackhole,
            None => NextHopTarget::Hop {
                via,
                interface,
                on_link,
            },
        };
        Some(Self {
            id,
            protocol,
            target,
        })
    }
}

fn decode_group(value: &[u8]) -> Vec<GroupMember> {
    value
        .chunks_exact(GROUP_ENTRY)
        .filter_map(|entry| {
            let weight = u16::from(*entry.get(4)?) + 1;
            Some(GroupMember {
                id: codec::read_u32(entry, 0)?,
                weight,
            })
        })
        .collect()
}
