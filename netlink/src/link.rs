//! Interfaces.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::Emitable;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use crate::Error;
use crate::codec::{self, Attributes};
use crate::request::{Batch, RequestSocket};

pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;

/// An interface as the kernel reports it. Read by hand: the monitor must not
/// fail on a message in which some attribute has a new shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Up and with carrier: packets pass.
    pub running: bool,
    pub loopback: bool,
    pub mtu: u32,
    /// Hardware address; empty where there is none.
    pub hardware_address: Vec<u8>,
}

impl Link {
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let flags = codec::read_u32(payload, 8)?;
        let has = |flag: i32| flags & flag as u32 != 0;
        let mut link = Link {
            index: codec::read_u32(payload, 4)?,
            name: String::new(),
            up: has(libc::IFF_UP),
            // The kernel drops nexthop objects when either is missing.
            running: has(libc::IFF_UP) && has(libc::IFF_RUNNING) && has(libc::IFF_LOWER_UP),
            loopback: has(libc::IFF_LOOPBACK),
            mtu: 0,
            hardware_address: Vec::new(),
        };
        for (kind, value) in Attributes::after(payload, LINK_HEADER) {
            match kind {
                IFLA_IFNAME => link.name = codec::text(value),
                IFLA_MTU => link.mtu = codec::read_u32(value, 0)?,
                IFLA_ADDRESS => link.hardware_address = value.to_vec(),
                _ => {}
            }
        }
        Some(link)
    }
}

/// One end of a new veth pair.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    pub name: &'a str,
    /// Where it is born; the socket's own namespace if none.
    pub namespace: Option<BorrowedFd<'a>>,
    pub mtu: Option<u32>,
}

impl VethEnd<'_> {
    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::IfName(self.name.to_owned()));
        if let Some(namespace) = self.namespace {
            message
                .attributes
                .push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        }
        message.attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        message
    }
}

impl RequestSocket {
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.dump(
            RTM_GETLINK,
            &[0; LINK_HEADER],
            Vec::new,
            |links, payload| {
                links.extend(Link::decode(payload));
            },
        )
    }

    /// Index of the interface of this name.
    pub fn link_index(&mut self, name: &str) -> Result<u32, Error> {
        self.links()?
            .iter()
            .find(|l| l.name == name)
            .map(|l| l.index)
            .ok_or_else(|| Error::Refused {
                what: format!("no interface {name}"),
                errno: libc::ENODEV,
                text: None,
            })
    }

    /// Makes a veth pair; both ends are down.
    pub fn add_veth(&mut self, left: VethEnd<'_>, right: VethEnd<'_>) -> Result<(), Error> {
        let mut message = left.message();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(right.message()))),
        ]));
        self.link_request(
            RTM_NEWLINK,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &message,
            || format!("cannot make veth pair {} and {}", left.name, right.name),
        )
    }

    pub fn set_link_up(&mut self, index: u32, up: bool) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up {
            LinkFlags::Up
        } else {
            LinkFlags::empty()
        };
        self.link_request(RTM_NEWLINK, 0, &message, || {
            format!(
                "cannot set interface {index} {}",
                if up { "up" } else { "down" }
            )
        })
    }

    pub fn delete_link(&mut self, index: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.link_request(RTM_DELLINK, 0, &message, || {
            format!("cannot remove interface {index}")
        })
    }

    fn link_request(
        &mut self,
        kind: u16,
        flags: i32,
        message: &LinkMessage,
        what: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.push_packet(kind, flags, message);
        self.execute_one(&mut batch, what)
    }
}

impl Batch {
    /// A message that `netlink-packet-route` encodes.
    pub(crate) fn push_packet(&mut self, kind: u16, flags: i32, packet: &impl Emitable) {
        self.push(kind, flags, |buf| {
            let start = buf.len();
            buf.resize(start + packet.buffer_len(), 0);
            packet.emit(&mut buf[start..]);
        });
    }
}
