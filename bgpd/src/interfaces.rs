//! Where an address of ours stands: on which link, beside which others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use godwit_netlink::{Address, RequestSocket};
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
    /// A global IPv4 address of the interface.
    pub v4: Option<Ipv4Addr>,
    /// A global IPv6 address of the interface.
    pub v6: Option<Ipv6Addr>,
    pub link_local: Option<Ipv6Addr>,
    /// The neighbour is on a subnet of the interface.
    pub shared: bool,
}

/// The kernel's list of addresses, kept for a moment.
#[derive(Debug, Default)]
pub struct Interfaces {
    cache: Mutex<Option<(Duration, Arc<Vec<Address>>)>>,
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
        let addresses = Arc::new(addresses.iter().map(address).collect());
        Interfaces {
            cache: Mutex::new(Some((EVER, addresses))),
        }
    }

    pub fn place(&self, local: IpAddr, remote: IpAddr) -> Place {
        place(&self.addresses(), local, remote)
    }

    /// The first IPv4 address that is neither loopback nor link-local.
    pub fn first_global_v4(&self) -> Option<Ipv4Addr> {
        self.addresses().iter().find_map(|a| global_v4(a.local))
    }

    /// A session without them is better than none.
    fn addresses(&self) -> Arc<Vec<Address>> {
        let now = clock::now();
        let mut cache = lock(&self.cache);
        if let Some((at, addresses)) = &*cache
            && now < *at + FRESH
        {
            return Arc::clone(addresses);
        }
        let read = RequestSocket::open().and_then(|mut socket| socket.addresses());
        let addresses = Arc::new(read.unwrap_or_else(|error| {
            warn!(%error, "cannot read the addresses of this host");
            Vec::new()
        }));
        *cache = Some((now, Arc::clone(&addresses)));
        addresses
    }
}

fn place(addresses: &[Address], local: IpAddr, remote: IpAddr) -> Place {
    let Some(own) = addresses.iter().find(|a| a.local == local) else {
        return Place::default();
    };
    let beside = || {
        addresses
            .iter()
            .filter(|a| a.interface == own.interface && !a.tentative)
    };
    Place {
        interface: Some(own.interface),
        v4: beside().find_map(|a| global_v4(a.local)),
        v6: beside().find_map(|a| global_v6(a.local)),
        link_local: beside().find_map(|a| match a.local {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(v6),
            _ => None,
        }),
        shared: beside().any(|a| a.prefix.contains(&remote)),
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

    fn host() -> Vec<Address> {
        vec![
            address(1, "127.0.0.1/8", false),
            address(2, "10.0.0.1/24", false),
            address(2, "fe80::1/64", false),
            address(2, "2001:db8::1/64", false),
            address(3, "10.0.1.1/24", false),
            address(3, "2001:db8:1::1/64", true),
        ]
    }

    #[test]
    fn next_hops_of_the_other_family_come_from_the_sessions_interface() {
        let found = place(
            &host(),
            "10.0.0.1".parse().unwrap(),
            "10.0.0.2".parse().unwrap(),
        );
        assert_eq!(found.v6, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(found.link_local, Some("fe80::1".parse().unwrap()));
        assert!(found.shared);
    }

    #[test]
    fn a_tentative_address_is_no_next_hop() {
        let found = place(
            &host(),
            "10.0.1.1".parse().unwrap(),
            "10.9.9.9".parse().unwrap(),
        );
        assert_eq!(found.v6, None);
        assert!(!found.shared);
    }
}
