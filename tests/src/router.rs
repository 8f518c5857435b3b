//! What BIRD and FRR have in common, so that one scenario runs with each.

use std::net::IpAddr;

use crate::child::Daemon;
use crate::lab::Host;

/// A session as one end configures it.
#[derive(Clone, Debug)]
pub struct Neighbour {
    pub address: IpAddr,
    pub asn: u32,
    /// Wait for the other end to connect.
    pub passive: bool,
    /// Speak four-octet AS numbers (RFC 6793). FRR's only way not to sends no
    /// capability at all, so that the session then carries IPv4 alone.
    pub as4: bool,
    pub hold_time: u16,
    /// The other end is our route reflector client.
    pub ipv4: bool,
    pub ipv6: bool,
    /// More about this neighbour in the router's own language: lines of its
    /// block, in FRR's what follows `neighbor ADDRESS`.
    pub extra: Vec<String>,
    /// The key of TCP-MD5 (RFC 2385).
    pub password: Option<String>,
    /// Take packets from so many hops away at most, as their TTL tells (RFC 5082).
    pub ttl_security: Option<u8>,
    /// The neighbour is not on a link.
    pub multihop: Option<u8>,
    /// Several paths a prefix, both ways (RFC 7911), of every source.
    pub several: bool,
}

impl Neighbour {
    /// A session that carries both families, hold time 90 s.
    pub fn new(address: &str, asn: u32) -> Neighbour {
        Neighbour {
            address: address.parse().expect("an address"),
            asn,
            passive: false,
            as4: true,
            hold_time: 90,
            ipv4: true,
            ipv6: true,
            extra: Vec::new(),
            password: None,
            ttl_security: None,
            multihop: None,
            several: false,
        }
    }
}

/// A route that a router originates.
#[derive(Clone, Debug, Default)]
pub struct Announce {
    pub prefix: String,
    /// Prepended to the path, first one leftmost.
    pub as_path: Vec<u32>,
    pub med: Option<u32>,
    pub communities: Vec<(u16, u16)>,
    pub large: Vec<(u32, u32, u32)>,
    /// Route targets, two-octet AS form.
    pub route_targets: Vec<(u16, u32)>,
}

impl Announce {
    pub fn plain(prefix: &str) -> Announce {
        Announce {
            prefix: prefix.to_owned(),
            ..Announce::default()
        }
    }

    /// With one of each attribute that every router can set.
    pub fn rich(prefix: &str) -> Announce {
        Announce {
            prefix: prefix.to_owned(),
            as_path: vec![65020, 4_200_000_000],
            med: Some(50),
            communities: vec![(65000, 1), (65000, 2)],
            large: vec![(4_200_000_001, 2, 3)],
            route_targets: vec![(65000, 7)],
        }
    }

    pub fn is_ipv6(&self) -> bool {
        self.prefix.contains(':')
    }
}

#[derive(Clone, Debug, Default)]
pub struct RouterSpec {
    pub asn: u32,
    pub router_id: String,
    pub neighbours: Vec<Neighbour>,
    pub announce: Vec<Announce>,
}

/// A route as a router shows it: the best path it has for the prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub next_hops: Vec<String>,
    /// Space separated, as everybody prints it.
    pub as_path: String,
    pub origin: String,
    pub med: Option<u32>,
    pub local_pref: Option<u32>,
    /// `65000:1`, sorted.
    pub communities: Vec<String>,
    /// `1:2:3`, sorted.
    pub large: Vec<String>,
    /// `rt:65000:7`, sorted.
    pub ext: Vec<String>,
    /// AS and address: `65010 192.0.2.1`.
    pub aggregator: Option<String>,
    pub atomic_aggregate: bool,
    pub originator_id: Option<String>,
    pub cluster_list: Vec<String>,
}

/// A BGP speaker that is not ours.
pub trait Router: Sized {
    const NAME: &'static str;

    /// Starts it on `host`; returns when it answers its control socket.
    fn start(host: &Host, spec: RouterSpec) -> Self;

    fn process(&mut self) -> &mut Daemon;

    /// The process anew, with the same configuration.
    fn restart(&mut self);

    fn is_established(&self, neighbour: IpAddr) -> bool;

    /// Ends the session and starts it again (a hard reset).
    fn reset(&self, neighbour: IpAddr);

    /// The best route to exactly this prefix.
    fn route(&self, prefix: &str) -> Option<Seen>;

    /// Every prefix of one family that it has from a neighbour.
    fn learned(&self, ipv6: bool) -> Vec<String>;

    fn announce(&mut self, route: Announce);

    fn withdraw(&mut self, prefix: &str);

    /// Asks the neighbour to send everything again (RFC 2918).
    fn ask_refresh(&self, neighbour: IpAddr);

    /// How many route refresh messages the neighbour has sent it.
    fn refreshes_received(&self, neighbour: IpAddr) -> u64;

    /// How many marks of RFC 7313, or all messages like them (FRR), it had.
    fn refresh_marks_received(&self, neighbour: IpAddr) -> u64 {
        self.refreshes_received(neighbour)
    }

    /// How many announced or withdrawn routes (BIRD) or UPDATE messages (FRR)
    /// the neighbour has sent it: grows when everything is sent again.
    fn updates_received(&self, neighbour: IpAddr) -> u64;

    /// How often sessions with the neighbour have come up.
    fn times_established(&self, neighbour: IpAddr) -> u64;
}

/// A router that takes and gives several paths a prefix (RFC 7911).
pub trait Several: Router {
    /// Every path that it has for exactly this prefix.
    fn paths(&self, prefix: &str) -> Vec<Seen>;
}
