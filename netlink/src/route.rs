//! Routes: read, written and dumped.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::codec::{self, AF_INET, AF_INET6, Attributes};
use crate::request::{Batch, RequestSocket, next_dump_chunk};
use crate::{Error, request};

pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_NH_ID: u16 = 30;

/// `struct rtmsg`.
const ROUTE_HEADER: usize = 12;
/// `RTM_F_CLONED`: a cached copy, no route of a table.
const CLONED: u32 = 0x200;
const ON_LINK: u8 = 4;

/// `RTN_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteType {
    Unicast,
    /// An address of this host.
    Local,
    Broadcast,
    Anycast,
    Multicast,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw,
    Other(u8),
}

impl From<u8> for RouteType {
    fn from(number: u8) -> Self {
        match number {
            1 => RouteType::Unicast,
            2 => RouteType::Local,
            3 => RouteType::Broadcast,
            4 => RouteType::Anycast,
            5 => RouteType::Multicast,
            6 => RouteType::Blackhole,
            7 => RouteType::Unreachable,
            8 => RouteType::Prohibit,
            9 => RouteType::Throw,
            other => RouteType::Other(other),
        }
    }
}

/// Where a route sends packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteHop {
    /// None: the destination is on the link.
    pub via: Option<IpAddr>,
    /// Index of the interface.
    pub interface: u32,
    /// 1 and more.
    pub weight: u16,
    /// The gateway counts as on the link whatever the addresses say.
    pub on_link: bool,
}

/// What a new route points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteTarget<'a> {
    /// A nexthop object, single or group.
    Object(u32),
    Blackhole,
    /// Next hops in the route itself, for those who have no objects.
    Hops(&'a [RouteHop]),
}

/// What tells routes apart in a table, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteKey {
    pub prefix: IpNet,
    pub table: u32,
    pub metric: u32,
    /// `RTPROT_*`.
    pub protocol: u8,
}

/// A route as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub key: RouteKey,
    pub kind: RouteType,
    pub tos: u8,
    /// The nexthop object, if it names one; `hops` may be empty then.
    pub object: Option<u32>,
    pub hops: Vec<RouteHop>,
    /// The source address of packets of this host, where they have none yet.
    pub source: Option<IpAddr>,
}

/// What to dump. The kernel does the filtering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteFilter {
    pub table: Option<u32>,
    pub protocol: Option<u8>,
}

impl Batch {
    /// Adds a route, if there is none of its prefix and metric, whoever's.
    /// `source`: an address of this host that its own packets are to have.
    pub fn create_route(
        &mut self,
        key: &RouteKey,
        target: RouteTarget<'_>,
        source: Option<IpAddr>,
    ) {
        self.route(libc::NLM_F_CREATE | libc::NLM_F_EXCL, key, target, source);
    }

    /// Puts a route in the place of the one of its prefix and metric, whoever's
    /// that is; adds it if there is none.
    pub fn replace_route(
        &mut self,
        key: &RouteKey,
        target: RouteTarget<'_>,
        source: Option<IpAddr>,
    ) {
        self.route(
            libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
            key,
            target,
            source,
        );
    }

    fn route(
        &mut self,
        flags: i32,
        key: &RouteKey,
        target: RouteTarget<'_>,
        source: Option<IpAddr>,
    ) {
        const UNICAST: u8 = 1;
        const BLACKHOLE: u8 = 6;
        const SCOPE_LINK: u8 = 253;
        /// Where `rtm_flags` stands in `struct rtmsg`, its lowest byte first.
        const RTM_FLAGS: usize = 8;
        self.push(RTM_NEWROUTE, flags, |buf| {
            let kind = if target == RouteTarget::Blackhole {
                BLACKHOLE
            } else {
                UNICAST
            };
            let on_link = matches!(target, RouteTarget::Hops([hop]) if hop.via.is_none());
            let scope = if on_link && key.prefix.addr().is_ipv4() {
                SCOPE_LINK
            } else {
                0
            };
            let flags_at = buf.len() + RTM_FLAGS;
            put_key(buf, key, scope, kind);
            if let Some(source) = source {
                codec::put_address(buf, RTA_PREFSRC, source);
            }
            match target {
                RouteTarget::Object(id) => codec::put_u32(buf, RTA_NH_ID, id),
                RouteTarget::Blackhole => {}
                RouteTarget::Hops([hop])
                    if hop
                        .via
                        .is_none_or(|v| v.is_ipv4() == key.prefix.addr().is_ipv4()) =>
                {
                    if hop.on_link {
                        // A lone hop has its flags in the route's header.
                        buf[flags_at] |= ON_LINK;
                    }
                    put_hop(buf, hop);
                    codec::put_u32(buf, RTA_OIF, hop.interface);
                }
                RouteTarget::Hops(hops) => put_multipath(buf, key, hops),
            }
        });
    }

    /// Removes the route with exactly this prefix, table, metric and protocol.
    pub fn delete_route(&mut self, key: &RouteKey) {
        /// Any scope and type match.
        const SCOPE_NOWHERE: u8 = 255;
        const UNSPECIFIED: u8 = 0;
        self.push(RTM_DELROUTE, 0, |buf| {
            put_key(buf, key, SCOPE_NOWHERE, UNSPECIFIED);
        });
    }
}

fn put_key(buf: &mut Vec<u8>, key: &RouteKey, scope: u8, kind: u8) {
    let family = if key.prefix.addr().is_ipv4() {
        AF_INET
    } else {
        AF_INET6
    };
    let table = u8::try_from(key.table).unwrap_or(0);
    buf.extend_from_slice(&[
        family,
        key.prefix.prefix_len(),
        0,
        0,
        table,
        key.protocol,
        scope,
        kind,
    ]);
    buf.extend_from_slice(&[0; 4]);
    codec::put_address(buf, RTA_DST, key.prefix.addr());
    codec::put_u32(buf, RTA_PRIORITY, key.metric);
    if table == 0 {
        codec::put_u32(buf, RTA_TABLE, key.table);
    }
}

fn put_hop(buf: &mut Vec<u8>, hop: &RouteHop) {
    if let Some(via) = hop.via {
        codec::put_address(buf, RTA_GATEWAY, via);
    }
}

fn put_multipath(buf: &mut Vec<u8>, key: &RouteKey, hops: &[RouteHop]) {
    let multipath = codec::begin_attribute(buf, RTA_MULTIPATH);
    for hop in hops {
        let start = buf.len();
        // struct rtnexthop: length, flags, hops (weight - 1), interface.
        let weight = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
        buf.extend_from_slice(&[0, 0, if hop.on_link { ON_LINK } else { 0 }, weight]);
        buf.extend_from_slice(&hop.interface.to_ne_bytes());
        match hop.via {
            // An IPv4 route over an IPv6 next hop (RFC 8950).
            Some(IpAddr::V6(via)) if key.prefix.addr().is_ipv4() => {
                let mut value = [0; 18];
                value[..2].copy_from_slice(&u16::from(AF_INET6).to_ne_bytes());
                value[2..].copy_from_slice(&via.octets());
                codec::put(buf, RTA_VIA, &value);
            }
            _ => put_hop(buf, hop),
        }
        let length = (buf.len() - start) as u16;
        buf[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
    codec::end_attribute(buf, multipath);
}

impl RequestSocket {
    /// All routes that pass the filter, of both families.
    pub fn routes(&mut self, filter: RouteFilter) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let found = self.dump(
                RTM_GETROUTE,
                &dump_body(family, filter),
                Vec::new,
                |routes: &mut Vec<Route>, payload| {
                    routes.extend(Route::decode(payload));
                },
            );
            match found {
                Ok(mut found) => routes.append(&mut found),
                // The family has no such table, so nothing in it.
                Err(error) if filter.table.is_some() && error.errno() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(routes)
    }

    /// Adds one route; an equal one is an error.
    pub fn add_route(&mut self, key: &RouteKey, target: RouteTarget<'_>) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.create_route(key, target, None);
        self.execute_one(&mut batch, || format!("cannot add route {}", key.prefix))
    }

    pub fn delete_route(&mut self, key: &RouteKey) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.delete_route(key);
        self.execute_one(&mut batch, || format!("cannot remove route {}", key.prefix))
    }
}

fn dump_body(family: u8, filter: RouteFilter) -> Vec<u8> {
    let mut body = vec![0; ROUTE_HEADER];
    body[0] = family;
    body[5] = filter.protocol.unwrap_or(0);
    if let Some(table) = filter.table {
        body[4] = u8::try_from(table).unwrap_or(0);
        codec::put_u32(&mut body, RTA_TABLE, table);
    }
    body
}

/// A dump of both families' routes that is read a piece at a time, on a socket
/// of its own: the kernel goes on only as it is read.
#[derive(Debug)]
pub struct RouteDump {
    socket: RequestSocket,
    filter: RouteFilter,
    families: &'static [u8],
    sequence: Option<u32>,
}

impl RouteDump {
    pub fn start(filter: RouteFilter) -> Result<Self, Error> {
        let socket = RequestSocket::open()?;
        Ok(Self {
            socket,
            filter,
            families: &[AF_INET, AF_INET6],
            sequence: None,
        })
    }

    /// Reads some more routes; false when there are none left.
    pub fn next_chunk(&mut self, mut each: impl FnMut(Route)) -> Result<bool, Error> {
        let Some((family, rest)) = self.families.split_first() else {
            return Ok(false);
        };
        let sequence = match self.sequence {
            Some(sequence) => sequence,
            None => request::start_dump(
                &mut self.socket,
                RTM_GETROUTE,
                &dump_body(*family, self.filter),
            )?,
        };
        self.sequence = Some(sequence);
        let (more, _) = next_dump_chunk(&mut self.socket, sequence, &mut |payload| {
            if let Some(route) = Route::decode(payload) {
                each(route);
            }
        })?;
        if !more {
            self.families = rest;
            self.sequence = None;
        }
        Ok(!self.families.is_empty())
    }
}

impl Route {
    /// None: not a route of a table of ours (cached, other family, broken).
    pub(crate) fn decode(payload: &[u8]) -> Option<Route> {
        let &[family, length, _, tos, table, protocol, _, kind, ..] = payload else {
            return None;
        };
        if codec::read_u32(payload, 8)? & CLONED != 0 {
            return None;
        }
        let mut destination = codec::unspecified(family)?;
        let mut route = Route {
            key: RouteKey {
                prefix: IpNet::default(),
                table: table.into(),
                metric: 0,
                protocol,
            },
            kind: kind.into(),
            tos,
            object: None,
            hops: Vec::new(),
            source: None,
        };
        let mut hop = RouteHop {
            via: None,
            interface: 0,
            weight: 1,
            on_link: false,
        };
        hop.on_link = *payload.get(8)? & ON_LINK != 0;
        for (kind, value) in Attributes::after(payload, ROUTE_HEADER) {
            match kind {
                RTA_DST => destination = codec::address(value)?,
                RTA_OIF => hop.interface = codec::read_u32(value, 0)?,
                RTA_GATEWAY => hop.via = codec::address(value),
                RTA_VIA => hop.via = codec::address(value.get(2..)?),
                RTA_PRIORITY => route.key.metric = codec::read_u32(value, 0)?,
                RTA_TABLE => route.key.table = codec::read_u32(value, 0)?,
                RTA_PREFSRC => route.source = codec::address(value),
                RTA_NH_ID => route.object = codec::read_u32(value, 0),
                RTA_MULTIPATH => decode_multipath(value, &mut route.hops),
                _ => {}
            }
        }
        route.key.prefix = IpNet::new(destination, length).ok()?;
        if hop.interface != 0 && route.hops.is_empty() {
            route.hops.push(hop);
        }
        Some(route)
    }
}

fn decode_multipath(mut value: &[u8], hops: &mut Vec<RouteHop>) {
    const HOP_HEADER: usize = 8;
    while let (Some(length), Some(interface)) =
        (codec::read_u16(value, 0), codec::read_u32(value, 4))
    {
        let Some(one) = value.get(..usize::from(length)) else {
            return;
        };
        let &[_, _, flags, weight, ..] = one else {
            return;
        };
        let mut hop = RouteHop {
            via: None,
            interface,
            weight: u16::from(weight) + 1,
            on_link: flags & ON_LINK != 0,
        };
        for (kind, value) in Attributes::after(one, HOP_HEADER) {
            match kind {
                RTA_GATEWAY => hop.via = codec::address(value),
                RTA_VIA => hop.via = value.get(2..).and_then(codec::address),
                _ => {}
            }
        }
        hops.push(hop);
        if length == 0 {
            return;
        }
        value = value.get(codec::align(length.into())..).unwrap_or_default();
    }
}
