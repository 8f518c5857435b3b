//! Which way the kernel would send a packet.

use std::net::IpAddr;

use crate::codec::{self, AF_INET, AF_INET6, Attributes};
use crate::request::RequestSocket;
use crate::{Error, RouteType};

const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_VIA: u16 = 18;
/// `struct rtmsg`.
const ROUTE_HEADER: usize = 12;

/// The kernel's answer for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub kind: RouteType,
    /// None: the destination is on the link.
    pub via: Option<IpAddr>,
    pub interface: Option<u32>,
    /// The address that packets leave with.
    pub source: Option<IpAddr>,
}

impl RequestSocket {
    /// Looks the destination up as for a packet from `source`, out of
    /// `interface` where one is given. `Refused` where there is no route.
    pub fn way_to(
        &mut self,
        destination: IpAddr,
        source: Option<IpAddr>,
        interface: Option<u32>,
    ) -> Result<Way, Error> {
        let (family, bits) = match destination {
            IpAddr::V4(_) => (AF_INET, 32),
            IpAddr::V6(_) => (AF_INET6, 128),
        };
        let mut body = vec![0; ROUTE_HEADER];
        body[..3].copy_from_slice(&[family, bits, if source.is_some() { bits } else { 0 }]);
        codec::put_address(&mut body, RTA_DST, destination);
        if let Some(source) = source {
            codec::put_address(&mut body, RTA_SRC, source);
        }
        if let Some(interface) = interface {
            codec::put_u32(&mut body, RTA_OIF, interface);
        }
        let answer = self.ask_one(RTM_GETROUTE, &body, || format!("no route to {destination}"))?;
        Way::decode(&answer).ok_or(Error::Malformed { what: "a route" })
    }
}

impl Way {
    fn decode(payload: &[u8]) -> Option<Way> {
        let mut way = Way {
            kind: (*payload.get(7)?).into(),
            via: None,
            interface: None,
            source: None,
        };
        for (kind, value) in Attributes::after(payload, ROUTE_HEADER) {
            match kind {
                RTA_OIF => way.interface = codec::read_u32(value, 0),
                RTA_GATEWAY => way.via = codec::address(value),
                RTA_VIA => way.via = value.get(2..).and_then(codec::address),
                RTA_PREFSRC => way.source = codec::address(value),
                _ => {}
            }
        }
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_reached_over_the_loopback_interface() {
        for text in ["127.0.0.1", "::1"] {
            let address = text.parse().unwrap();
            let way = RequestSocket::open().unwrap().way_to(address, None, None);
            let way = way.unwrap();
            assert_eq!((way.kind, way.via), (RouteType::Local, None));
            assert_eq!(way.interface, Some(1));
        }
    }
}
