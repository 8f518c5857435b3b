//! The small types that every crate of the daemon speaks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

/// An address family this daemon routes. Anything else is an [`AfiSafi`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    Ipv4Unicast = 0,
    Ipv6Unicast = 1,
}

impl Family {
    pub const ALL: [Family; 2] = [Family::Ipv4Unicast, Family::Ipv6Unicast];
    pub const COUNT: usize = 2;

    /// Index into a `[T; Family::COUNT]`.
    pub const fn index(self) -> usize {
        self as usize
    }

    pub const fn afi_safi(self) -> AfiSafi {
        match self {
            Family::Ipv4Unicast => AfiSafi { afi: 1, safi: 1 },
            Family::Ipv6Unicast => AfiSafi { afi: 2, safi: 1 },
        }
    }

    /// The family's longest prefix, in bits.
    pub const fn max_prefix_len(self) -> u8 {
        match self {
            Family::Ipv4Unicast => 32,
            Family::Ipv6Unicast => 128,
        }
    }

    /// Name as the configuration and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Ipv4Unicast => "ipv4-unicast",
            Family::Ipv6Unicast => "ipv6-unicast",
        }
    }

    pub const fn of(address: &IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4Unicast,
            IpAddr::V6(_) => Family::Ipv6Unicast,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Family::ALL.into_iter().find(|f| f.name() == s).ok_or(())
    }
}

/// AFI and SAFI as on the wire, known to us or not (RFC 4760 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AfiSafi {
    pub afi: u16,
    pub safi: u8,
}

impl AfiSafi {
    pub const fn family(self) -> Option<Family> {
        match (self.afi, self.safi) {
            (1, 1) => Some(Family::Ipv4Unicast),
            (2, 1) => Some(Family::Ipv6Unicast),
            _ => None,
        }
    }
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family() {
            Some(family) => f.write_str(family.name()),
            None => write!(f, "afi {} safi {}", self.afi, self.safi),
        }
    }
}

/// A four-octet AS number (RFC 6793). Zero is never a valid one (RFC 7607).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asn(pub u32);

impl Asn {
    /// AS_TRANS (RFC 6793 §9): stands for a number that does not fit two octets.
    pub const TRANS: Asn = Asn(23456);

    /// For use inside a network only (RFC 6996).
    pub const fn is_private(self) -> bool {
        matches!(self.0, 64_512..=65_534 | 4_200_000_000..=4_294_967_294)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A BGP Identifier or cluster id: any non-zero number (RFC 6286), in host
/// order so that it compares as RFC 4271 §6.8 wants; printed as an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouterId(pub u32);

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from(self.0).fmt(f)
    }
}

impl From<Ipv4Addr> for RouterId {
    fn from(a: Ipv4Addr) -> Self {
        RouterId(a.into())
    }
}

/// Tells the paths of one peer for one prefix apart (RFC 7911 §3). Means nothing
/// else, and 0 is as good as any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(pub u32);

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which paths of a prefix a peer is sent that takes several (RFC 7911).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendPaths {
    /// The best ones, so many at most.
    Best(NonZeroU16),
    /// Every usable one.
    All,
    /// Those that we forward by ourselves: the best and what is of equal merit.
    Ecmp,
}

impl fmt::Display for SendPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendPaths::Best(n) => n.fmt(f),
            SendPaths::All => f.write_str("all"),
            SendPaths::Ecmp => f.write_str("ecmp"),
        }
    }
}

/// What a session is, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionKind {
    External,
    /// Internal, not a client of ours (RFC 4456 §6: "Non-Client peer").
    Internal,
    /// Internal, and we reflect for it.
    InternalClient,
}

impl SessionKind {
    pub const fn is_external(self) -> bool {
        matches!(self, SessionKind::External)
    }
}

/// What we are to an external neighbour (RFC 9234 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// It buys transit from us.
    Provider = 0,
    /// We are a route server, it is a client of ours.
    RouteServer = 1,
    /// We are a client of a route server, which it is.
    RouteServerClient = 2,
    /// We buy transit from it.
    Customer = 3,
    /// Neither pays the other: each tells its own and its customers' routes.
    Peer = 4,
}

impl Role {
    pub const ALL: [Role; 5] = [
        Role::Provider,
        Role::RouteServer,
        Role::RouteServerClient,
        Role::Customer,
        Role::Peer,
    ];

    pub fn from_wire(value: u8) -> Option<Role> {
        Role::ALL.into_iter().find(|role| *role as u8 == value)
    }

    /// Name as the configuration and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Provider => "provider",
            Role::RouteServer => "rs-server",
            Role::RouteServerClient => "rs-client",
            Role::Customer => "customer",
            Role::Peer => "peer",
        }
    }

    /// The only role that the other side may have (RFC 9234 §4.2).
    pub const fn counterpart(self) -> Role {
        match self {
            Role::Provider => Role::Customer,
            Role::RouteServer => Role::RouteServerClient,
            Role::RouteServerClient => Role::RouteServer,
            Role::Customer => Role::Provider,
            Role::Peer => Role::Peer,
        }
    }

    /// Routes from there may go down only: to customers and to clients of a
    /// route server.
    pub const fn looks_up_or_across(self) -> bool {
        matches!(self, Role::Customer | Role::Peer | Role::RouteServerClient)
    }

    /// Routes to there may go down only from then on.
    pub const fn looks_down_or_across(self) -> bool {
        matches!(self, Role::Provider | Role::Peer | Role::RouteServer)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Role::ALL.into_iter().find(|r| r.name() == s).ok_or(())
    }
}

/// The next hop of a path, as received or as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NextHop {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// Global and link-local (RFC 2545 §3, 32 bytes). The global address may be
    /// `::` where the peer has none. The number is the index of the interface
    /// that the link-local address is on, without which it means nothing: two
    /// links may each have a neighbour of that address. 0 on the wire, and where
    /// the address is our own.
    V6WithLinkLocal(Ipv6Addr, Ipv6Addr, u32),
}

impl NextHop {
    /// The global address, or else the link-local one.
    pub const fn address(&self) -> IpAddr {
        match self {
            NextHop::V4(a) => IpAddr::V4(*a),
            NextHop::V6WithLinkLocal(a, link_local, _) if a.is_unspecified() => {
                IpAddr::V6(*link_local)
            }
            NextHop::V6(a) | NextHop::V6WithLinkLocal(a, ..) => IpAddr::V6(*a),
        }
    }

    pub const fn link_local(&self) -> Option<Ipv6Addr> {
        match self {
            NextHop::V6WithLinkLocal(_, link_local, _) => Some(*link_local),
            _ => None,
        }
    }

    /// The interface that the link-local address is on; 0: not known.
    pub const fn interface(&self) -> u32 {
        match self {
            NextHop::V6WithLinkLocal(.., interface) => *interface,
            _ => 0,
        }
    }

    /// The same, of a neighbour on this interface.
    #[must_use]
    pub const fn on(self, interface: u32) -> NextHop {
        match self {
            NextHop::V6WithLinkLocal(global, link_local, _) => {
                NextHop::V6WithLinkLocal(global, link_local, interface)
            }
            other => other,
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(a: IpAddr) -> Self {
        match a {
            IpAddr::V4(a) => NextHop::V4(a),
            IpAddr::V6(a) => NextHop::V6(a),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::V6WithLinkLocal(a, link_local, interface)
                if a.is_unspecified() && *interface != 0 =>
            {
                write!(f, "{link_local}%{interface}")
            }
            other => other.address().fmt(f),
        }
    }
}

/// The name of a network interface, as Linux allows it (`IFNAMSIZ`): 1 to 15
/// octets, no slash, no space, not `.` and not `..`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceName([u8; InterfaceName::LONGEST]);

impl InterfaceName {
    pub const LONGEST: usize = 15;

    pub fn as_str(&self) -> &str {
        let name = self.0.split(|b| *b == 0).next().unwrap_or_default();
        // It was text when it came, and was not cut.
        std::str::from_utf8(name).unwrap_or_default()
    }
}

impl FromStr for InterfaceName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let odd = |b: u8| matches!(b, 0 | b'/' | b':' | b'%') || b.is_ascii_whitespace();
        if matches!(name, "" | "." | "..") || name.bytes().any(odd) {
            return Err(());
        }
        let mut octets = [0; InterfaceName::LONGEST];
        let place = octets.get_mut(..name.len()).ok_or(())?;
        place.copy_from_slice(name.as_bytes());
        Ok(InterfaceName(octets))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_are_those_that_linux_allows() {
        for good in ["eth1", "eth0.100", "a", "fifteen-octets0", "br-öäü"] {
            let name: InterfaceName = good.parse().unwrap();
            assert_eq!((name.as_str(), name.to_string()), (good, good.to_owned()));
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a\0",
            "eth0:1",
            "sixteen-octets-0",
        ] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_local_next_hop_is_shown_with_its_interface() {
        let link_local = "fe80::1".parse().unwrap();
        let alone = NextHop::V6WithLinkLocal(Ipv6Addr::UNSPECIFIED, link_local, 0);
        assert_eq!(alone.to_string(), "fe80::1");
        assert_eq!(alone.on(3).to_string(), "fe80::1%3");
        assert_eq!(alone.address(), IpAddr::V6(link_local));
        assert_ne!(alone.on(3), alone.on(4));
        let both = NextHop::V6WithLinkLocal("2001:db8::1".parse().unwrap(), link_local, 3);
        assert_eq!(both.to_string(), "2001:db8::1");
    }
}
