//! Next hops on the wire: NEXT_HOP (RFC 4271 §5.1.3) and the field of
//! MP_REACH_NLRI (RFC 4760 §3, RFC 2545 §3, RFC 8950 §3).

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use crate::types::{Family, NextHop};

/// Reads the next hop of MP_REACH_NLRI. `None`: a length its family does not
/// have. `extended`: RFC 8950 was negotiated, IPv4 routes may have IPv6 ones.
pub(super) fn read(field: &[u8], family: Family, extended: bool) -> Option<NextHop> {
    if family == Family::Ipv4Unicast {
        if let Ok(v4) = <[u8; 4]>::try_from(field) {
            return Some(NextHop::V4(v4.into()));
        }
        if !extended {
            return None;
        }
    }
    let (global, second) = match field.len() {
        16 => (field, None),
        32 => {
            let (global, second) = field.split_at_checked(16)?;
            (global, Some(second))
        }
        _ => return None,
    };
    let global = Ipv6Addr::from(<[u8; 16]>::try_from(global).ok()?);
    let second = match second {
        Some(second) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(second).ok()?)),
        None => None,
    };
    Some(with_link_local(
        global,
        second.filter(Ipv6Addr::is_unicast_link_local),
    ))
}

/// One form for what implementations send: a link-local address alone, or twice,
/// or beside `::`, is a next hop without a global one. A second address that is
/// no link-local one says nothing.
fn with_link_local(global: Ipv6Addr, link_local: Option<Ipv6Addr>) -> NextHop {
    if global.is_unicast_link_local() {
        return NextHop::V6WithLinkLocal(Ipv6Addr::UNSPECIFIED, link_local.unwrap_or(global), 0);
    }
    match link_local {
        Some(link_local) => NextHop::V6WithLinkLocal(global, link_local, 0),
        None => NextHop::V6(global),
    }
}

/// Whether the address can be a host's at all (RFC 4271 §6.3).
pub(super) fn is_host(next_hop: NextHop) -> bool {
    match next_hop {
        NextHop::V4(a) => is_host_v4(a),
        NextHop::V6WithLinkLocal(a, ..) if a.is_unspecified() => true,
        NextHop::V6(a) | NextHop::V6WithLinkLocal(a, ..) => {
            !(a.is_unspecified() || a.is_loopback() || a.is_multicast())
        }
    }
}

pub(super) fn is_host_v4(a: Ipv4Addr) -> bool {
    let [first, ..] = a.octets();
    !matches!(first, 0 | 127 | 224..)
}

/// Writes the field of MP_REACH_NLRI with its length. An IPv4 next hop of an
/// IPv6 route is written IPv4-mapped.
pub(super) fn put(next_hop: NextHop, family: Family, out: &mut BytesMut) {
    match next_hop {
        NextHop::V4(a) if family == Family::Ipv4Unicast => {
            out.put_u8(4);
            out.put_slice(&a.octets());
        }
        NextHop::V4(a) => {
            out.put_u8(16);
            out.put_slice(&a.to_ipv6_mapped().octets());
        }
        NextHop::V6(a) => {
            out.put_u8(16);
            out.put_slice(&a.octets());
        }
        NextHop::V6WithLinkLocal(a, link_local, _) => {
            out.put_u8(32);
            out.put_slice(&a.octets());
            out.put_slice(&link_local.octets());
        }
    }
}
