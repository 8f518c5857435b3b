//! Addresses of interfaces.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use crate::Error;
use crate::codec::{self, Attributes};
use crate::request::{Batch, RequestSocket};

pub(crate) const RTM_NEWADDR: u16 = 20;
pub(crate) const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
const TENTATIVE: u32 = 0x40;
const NO_PREFIX_ROUTE: u32 = 0x200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub interface: u32,
    /// The address of this host.
    pub local: IpAddr,
    /// What is on the link: around `local`, or the peer of a point-to-point link.
    pub prefix: IpNet,
    /// Duplicate address detection has not ended.
    pub tentative: bool,
    /// The kernel made no connected route for it.
    pub no_prefix_route: bool,
}

impl Address {
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let &[_, length, flags, ..] = payload else {
            return None;
        };
        let (mut local, mut peer, mut flags) = (None, None, u32::from(flags));
        for (kind, value) in Attributes::after(payload, ADDRESS_HEADER) {
            match kind {
                IFA_LOCAL => local = codec::address(value),
                IFA_ADDRESS => peer = codec::address(value),
                IFA_FLAGS => flags = codec::read_u32(value, 0)?,
                _ => {}
            }
        }
        let prefix = IpNet::new(peer.or(local)?, length).ok()?.trunc();
        Some(Address {
            interface: codec::read_u32(payload, 4)?,
            local: local.or(peer)?,
            prefix,
            tentative: flags & TENTATIVE != 0,
            no_prefix_route: flags & NO_PREFIX_ROUTE != 0,
        })
    }
}

impl RequestSocket {
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.dump(
            RTM_GETADDR,
            &[0; ADDRESS_HEADER],
            Vec::new,
            |addresses, payload| {
                addresses.extend(Address::decode(payload));
            },
        )
    }

    /// `address` with its host bits. IPv6 without duplicate address detection,
    /// so that it can be used at once.
    pub fn add_address(&mut self, interface: u32, address: IpNet) -> Result<(), Error> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        self.address_request(RTM_NEWADDR, flags, interface, address, "add")
    }

    pub fn delete_address(&mut self, interface: u32, address: IpNet) -> Result<(), Error> {
        self.address_request(RTM_DELADDR, 0, interface, address, "remove")
    }

    fn address_request(
        &mut self,
        kind: u16,
        flags: i32,
        interface: u32,
        address: IpNet,
        verb: &str,
    ) -> Result<(), Error> {
        let mut message = AddressMessage::default();
        message.header.index = interface;
        message.header.prefix_len = address.prefix_len();
        message.header.family = AddressFamily::Inet;
        message
            .attributes
            .push(AddressAttribute::Local(address.addr()));
        message
            .attributes
            .push(AddressAttribute::Address(address.addr()));
        if address.addr().is_ipv6() {
            message.header.family = AddressFamily::Inet6;
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let mut batch = Batch::default();
        batch.push_packet(kind, flags, &message);
        self.execute_one(&mut batch, || {
            format!("cannot {verb} address {address} on interface {interface}")
        })
    }
}
