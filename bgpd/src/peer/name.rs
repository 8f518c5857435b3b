//! What a peer is called.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use godwit_bgp::InterfaceName;
use godwit_config::PeerKey;

/// Names one peer: by its address, or, where that is found by router
/// advertisements, by the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerName {
    Address(IpAddr),
    Interface(InterfaceName),
}

impl PeerName {
    /// What the file calls it.
    pub fn key(self) -> PeerKey {
        match self {
            PeerName::Address(address) => PeerKey::Address(address),
            PeerName::Interface(interface) => PeerKey::Interface(interface),
        }
    }
}

impl From<IpAddr> for PeerName {
    fn from(address: IpAddr) -> PeerName {
        PeerName::Address(address)
    }
}

impl From<Ipv4Addr> for PeerName {
    fn from(address: Ipv4Addr) -> PeerName {
        PeerName::Address(address.into())
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerName::Address(address) => address.fmt(f),
            PeerName::Interface(interface) => interface.fmt(f),
        }
    }
}

impl FromStr for PeerName {
    type Err = ();

    /// An address, the name of an interface, or both as `fe80::1%eth1`, which is
    /// the one neighbour on that interface.
    fn from_str(text: &str) -> Result<PeerName, ()> {
        if let Ok(address) = text.parse() {
            return Ok(PeerName::Address(address));
        }
        let interface = match text.split_once('%') {
            Some((address, interface)) => {
                address.parse::<std::net::Ipv6Addr>().map_err(|_| ())?;
                interface
            }
            None => text,
        };
        // More likely an address with a slip of the finger.
        if interface.bytes().all(|b| b == b'.' || b.is_ascii_digit()) {
            return Err(());
        }
        interface.parse().map(PeerName::Interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_address_or_an_interface() {
        let eth1 = PeerName::Interface("eth1".parse().unwrap());
        for text in ["eth1", "fe80::1%eth1"] {
            assert_eq!(text.parse(), Ok(eth1));
        }
        let address = PeerName::Address("fe80::1".parse().unwrap());
        assert_eq!("fe80::1".parse(), Ok(address));
        for text in [
            "",
            "a b",
            "10.0.0.1%eth1",
            "fe80::1%",
            "10.0.0.0/24",
            "10.0.0.300",
        ] {
            assert_eq!(text.parse::<PeerName>(), Err(()), "{text}");
        }
    }
}
