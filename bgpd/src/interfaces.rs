//! Where an address of ours stands: on which link, beside which others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use godwit_bgp::InterfaceName;
use godwit_netlink::{Address, Link, RequestSocket};
use tracing::warn;

use crate::clock;
use crate::sync::lock;

/// A thousand sessions that come up at once ask the kernel once.
const FRESH: Duration = Duration::from_secs(1);

/// The surroundings of our end of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The interface; none where the address is on none.
    pub interface: Option<u32>,
    pub name: Option<InterfaceName>,
    /// A global IPv4 address of the interface.
    pub v4: Option<Ipv4Addr>,
    /// A global IPv6 address of the interface.
    pub v6: Option<Ipv6Addr>,
    pub link_local: Option<Ipv6Addr>,
    /// The neighbour is on a subnet of the interface.
    pub shared: bool,
}

/// The kernel's lists of links and addresses, kept for a moment.
#[derive(Debug, Default)]
pub struct Interfaces {
    cache: Mutex<Option<(Duration, Arc<Host>)>>,
}

#[derive(Debug, Default)]
struct Host {
    links: Vec<Link>,
    addresses: Vec<Address>,
}

impl Interfaces {
    /// A host that has these addresses, all on one interface, and keeps them.
    #[cfg(test)]
    pub fn fixed(addresses: &[(IpAddr, u8)]) -> Interfaces {
        let address = |&(local, length): &(IpAddr, u8)| Address {
            interface: 1,
            local,
            prefix: ipnet::IpNet::new(local, length).unwrap().trunc(),
            tentative: false,
            no_prefix_route: false,
        };
        const EVER: Duration = Duration::from_secs(1 << 40);
        let host = Host {
            links: Vec::new(),
            addresses: addresses.iter().map(address).collect(),
        };
        Interfaces {
            cache: Mutex::new(Some((EVER, Arc::new(host)))),
        }
    }

    /// `local`: as the socket tells it, a link-local address with its scope.
    pub fn place(&self, local: SocketAddr, remote: IpAddr) -> Place {
        self.host().place(local, remote)
    }

    /// Whether the address is one of ours on this interface.
    pub fn has(&self, address: IpAddr, interface: u32) -> bool {
        let ours = |a: &Address| a.local == address && a.interface == interface;
        self.host().addresses.iter().any(ours)
    }

    /// Whether the address is on a network of one of our links.
    pub fn is_beside(&self, address: IpAddr) -> bool {
        let host = self.host();
        host.addresses.iter().any(|a| a.prefix.contains(&address))
    }

    /// The first IPv4 address that is neither loopback nor link-local.
    pub fn first_global_v4(&self) -> Option<Ipv4Addr> {
        self.host()
            .addresses
            .iter()
            .find_map(|a| global_v4(a.local))
    }

    /// A session without them is better than none.
    fn host(&self) -> Arc<Host> {
        let now = clock::now();
        let mut cache = lock(&self.cache);
        if let Some((at, host)) = &*cache
            && now < *at + FRESH
        {
            return Arc::clone(host);
        }
        let read = RequestSocket::open().and_then(|mut socket| {
            Ok(Host {
                links: socket.links()?,
                addresses: socket.addresses()?,
            })
        });
        let host = Arc::new(read.unwrap_or_else(|error| {
            warn!(%error, "cannot read the addresses of this host");
            Host::default()
        }));
        *cache = Some((now, Arc::clone(&host)));
        host
    }
}

impl Host {
    fn place(&self, local: SocketAddr, remote: IpAddr) -> Place {
        // Several links may have the same link-local address.
        let scope = match local {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
            _ => None,
        };
        let ours =
            |a: &&Address| a.local == local.ip() && scope.is_none_or(|scope| a.interface == scope);
        let Some(own) = self.addresses.iter().find(ours) else {
            return Place::default();
        };
        let beside = || {
            self.addresses
                .iter()
                .filter(|a| a.interface == own.interface && !a.tentative)
        };
        let link = self.links.iter().find(|l| l.index == own.interface);
        Place {
            interface: Some(own.interface),
            name: link.and_then(|link| link.name.parse().ok()),
            v4: beside().find_map(|a| global_v4(a.local)),
            v6: beside().find_map(|a| global_v6(a.local)),
            // Of several, that of the session.
            link_local: link_local(local.ip())
                .or_else(|| beside().find_map(|a| link_local(a.local))),
            shared: scope.is_some() || beside().any(|a| a.prefix.contains(&remote)),
        }
    }
}

fn link_local(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(v6),
        _ => None,
    }
}

fn global_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) if !v4.is_loopback() && !v4.is_link_local() => Some(v4),
        _ => None,
    }
}

fn global_v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() && !v6.is_unicast_link_local() => Some(v6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interface: u32, with_length: &str, tentative: bool) -> Address {
        let net: ipnet::IpNet = with_length.parse().unwrap();
        Address {
            interface,
            local: net.addr(),
            prefix: net.trunc(),
            tentative,
            no_prefix_route: false,
        }
    }

    fn host() -> Host {
        let addresses = vec![
            address(1, "127.0.0.1/8", false),
            address(2, "10.0.0.1/24", false),
            address(2, "fe80::1/64", false),
            address(2, "2001:db8::1/64", false),
            address(3, "10.0.1.1/24", false),
            address(3, "fe80::1/64", false),
            address(3, "2001:db8:1::1/64", true),
        ];
        Host {
            links: Vec::new(),
            addresses,
        }
    }

    fn at(local: &str) -> SocketAddr {
        SocketAddr::new(local.parse().unwrap(), 179)
    }

    #[test]
    fn next_hops_of_the_other_family_come_from_the_sessions_interface() {
        let found = host().place(at("10.0.0.1"), "10.0.0.2".parse().unwrap());
        assert_eq!(found.v6, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(found.link_local, Some("fe80::1".parse().unwrap()));
        assert!(found.shared);
    }

    #[test]
    fn a_tentative_address_is_no_next_hop() {
        let found = host().place(at("10.0.1.1"), "10.9.9.9".parse().unwrap());
        assert_eq!(found.v6, None);
        assert!(!found.shared);
    }

    #[test]
    fn the_scope_tells_links_of_one_link_local_address_apart() {
        for link in [2, 3] {
            let local = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 179, 0, link);
            let found = host().place(local.into(), "fe80::2".parse().unwrap());
            assert_eq!((found.interface, found.shared), (Some(link), true));
        }
    }
}
