//! What aggregates are announced with.

use std::net::{Ipv4Addr, Ipv6Addr};

use godwit_bgp::NextHop;
use godwit_bgp::attrs::{AttrsBuf, Origin, code, flag};
use ipnet::IpNet;

use crate::api::RibConfig;

/// RFC 4271 §9.2.2.2 without a set (RFC 9774): our own path, and (`atomic`)
/// that others were left out.
pub fn attrs(config: &RibConfig, prefix: IpNet, atomic: bool) -> AttrsBuf {
    let nobody = match prefix {
        IpNet::V4(_) => NextHop::V4(Ipv4Addr::UNSPECIFIED),
        IpNet::V6(_) => NextHop::V6(Ipv6Addr::UNSPECIFIED),
    };
    let mut attrs = AttrsBuf::new(nobody, Origin::Igp);
    if atomic {
        attrs.set(code::ATOMIC_AGGREGATE, flag::TRANSITIVE, &[]);
    }
    let aggregator = [config.asn.0.to_be_bytes(), config.router_id.0.to_be_bytes()];
    attrs.set(
        code::AGGREGATOR,
        flag::OPTIONAL | flag::TRANSITIVE,
        aggregator.as_flattened(),
    );
    attrs
}
