//! What the operator says about one peer, as far as the session goes.

use std::time::Duration;

use crate::types::{AfiSafi, Asn, Family, Role, RouterId};
use crate::wire::{Capability, Open};

/// The AFI of an IPv6 next hop (RFC 8950 §4).
pub(super) const AFI_IPV6: u16 = Family::Ipv6Unicast.afi_safi().afi;

/// Which AS numbers the peer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAs {
    Asn(Asn),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
    Any,
}

impl RemoteAs {
    pub fn accepts(self, local: Asn, remote: Asn) -> bool {
        match self {
            RemoteAs::Asn(asn) => asn == remote,
            RemoteAs::External => local != remote,
            RemoteAs::Internal => local == remote,
            RemoteAs::Any => true,
        }
    }
}

/// Capability 64 as we advertise it (RFC 4724 §3).
///
/// Without families it promises to keep nothing, and still makes a peer send
/// End-of-RIB, which is what tells us that a table is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// The Restart State bit: we restarted, don't wait for our End-of-RIB.
    pub restarted: bool,
    /// The N bit (RFC 8538 §2).
    pub notification: bool,
    /// Seconds, 12 bits on the wire; larger values are cut to 4095.
    pub restart_time: u16,
    /// Families whose forwarding state we keep, with the F bit.
    pub families: Vec<(Family, bool)>,
}

/// Several paths a prefix (RFC 7911 §4), as we offer it or as it was agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddPath {
    /// The peer may send them.
    pub receive: bool,
    /// We may.
    pub send: bool,
}

impl AddPath {
    /// The Send/Receive field; `None`: neither, which the capability does not
    /// list.
    fn wire(self) -> Option<u8> {
        match (self.receive, self.send) {
            (false, false) => None,
            (true, false) => Some(1),
            (false, true) => Some(2),
            (true, true) => Some(3),
        }
    }

    /// `None`: another value, which is as good as not there (RFC 7911 §4).
    pub(super) fn from_wire(mode: u8) -> Option<AddPath> {
        matches!(mode, 1..=3).then_some(AddPath {
            receive: mode != 2,
            send: mode != 1,
        })
    }
}

/// Optional capabilities, apart from the multiprotocol ones, which follow from
/// [`SessionConfig::families`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 6793. Without it the session is one of two-octet AS numbers.
    pub four_octet_as: bool,
    /// RFC 2918.
    pub route_refresh: bool,
    /// RFC 7313; not without `route_refresh`.
    pub enhanced_refresh: bool,
    /// RFC 8654.
    pub extended_message: bool,
    /// RFC 8950, where IPv4 is among the families: IPv4 routes may have IPv6
    /// next hops.
    pub extended_next_hop: bool,
    /// RFC 4724; `None`: not advertised.
    pub graceful_restart: Option<GracefulRestart>,
    /// Our role towards an external peer (RFC 9234); `None`: not advertised.
    pub role: Option<Role>,
    /// A peer that advertises no role is refused (RFC 9234 §4.2, strict mode).
    pub role_strict: bool,
    /// Sent after the above as they are; interpreting the peer's is up to the caller.
    pub extra: Vec<Capability>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities {
            four_octet_as: true,
            route_refresh: true,
            enhanced_refresh: true,
            extended_message: true,
            extended_next_hop: false,
            graceful_restart: Some(GracefulRestart::default()),
            role: None,
            role_strict: false,
            extra: Vec::new(),
        }
    }
}

/// One peer's settings. All durations are jittered where RFC 4271 §10 says so
/// (75 to 100 % of the value), which the values here don't include.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    pub local_asn: Asn,
    /// Also our number: our OPEN shows it where the peer answered the other with
    /// Bad Peer AS, and the other again where it answered this one so. An AS that
    /// is being migrated has neighbours that know either (RFC 7705 §3).
    pub alternate_asn: Option<Asn>,
    pub local_router_id: RouterId,
    pub remote_as: RemoteAs,
    /// What we propose, whole seconds: 0 (no hold timer, no keepalives) or 3 to
    /// 65535. Anything between 0 and 3 is sent as 3.
    pub hold_time: Duration,
    /// Time between keepalives; `None`, and whatever is longer: a third of the
    /// negotiated hold time.
    pub keepalive: Option<Duration>,
    /// ConnectRetryTime: an attempt to connect is given this long, and a failed
    /// one is repeated after it at the latest: the first pauses are 1, 2, 4 s.
    /// Far below the 120 s of RFC 4271 §10: a host that came back is to be
    /// found again in seconds, and a SYN every five costs nothing.
    pub connect_retry: Duration,
    /// Never connect, only accept (PassiveTcpEstablishment).
    pub passive: bool,
    /// Families to negotiate, in the order they are advertised.
    pub families: Vec<Family>,
    /// What we offer of RFC 7911, by [`Family::index`].
    pub add_path: [AddPath; Family::COUNT],
    pub capabilities: Capabilities,
    /// SendHoldTime (RFC 9687); `None`: the larger of 8 min and twice the
    /// negotiated hold time, as §3.2 recommends.
    pub send_hold: Option<Duration>,
    /// IdleHoldTime after the first failure; doubles with each until a session
    /// has stood for `idle_hold_max`.
    pub idle_hold: Duration,
    pub idle_hold_max: Duration,
    /// The hold timer while the peer's OPEN is awaited: 4 min in RFC 4271 §8.2.2.
    pub open_hold: Duration,
    /// How long routes that a peer began to refresh and did not announce again
    /// are kept where its end of refresh does not come (RFC 7313 §4).
    pub refresh_hold: Duration,
    /// How long routes of a peer that restarts gracefully are kept at most, from
    /// the end of its session on (RFC 4724 §4.2); `None`: they are not kept.
    pub stale_time: Option<Duration>,
    /// CollisionDetectEstablishedState (RFC 4271 §8.1.1): also an
    /// Established connection may lose a collision.
    pub collide_established: bool,
}

impl SessionConfig {
    /// Defaults for everything that has one.
    pub fn new(local_asn: Asn, local_router_id: RouterId, remote_as: RemoteAs) -> Self {
        SessionConfig {
            local_asn,
            alternate_asn: None,
            local_router_id,
            remote_as,
            hold_time: Duration::from_secs(90),
            keepalive: None,
            connect_retry: Duration::from_secs(5),
            passive: false,
            families: Family::ALL.to_vec(),
            add_path: Default::default(),
            capabilities: Capabilities::default(),
            send_hold: None,
            idle_hold: Duration::from_secs(1),
            idle_hold_max: Duration::from_secs(60),
            open_hold: Duration::from_secs(240),
            refresh_hold: Duration::from_secs(360),
            stale_time: None,
            collide_established: false,
        }
    }

    /// Hold time as it goes into the OPEN.
    pub fn hold_seconds(&self) -> u16 {
        match u16::try_from(self.hold_time.as_secs()).unwrap_or(u16::MAX) {
            0 if self.hold_time.is_zero() => 0,
            seconds => seconds.max(3),
        }
    }

    /// Our OPEN. `plain`: without capabilities, for a peer that refused them
    /// with Unsupported Optional Parameter (RFC 5492 §3).
    pub fn open(&self, plain: bool) -> Open {
        self.open_as(self.local_asn, plain)
    }

    /// The same with another number.
    pub(super) fn open_as(&self, asn: Asn, plain: bool) -> Open {
        let four_octet = self.capabilities.four_octet_as && !plain;
        let my_as = u16::try_from(asn.0).unwrap_or(Asn::TRANS.0 as u16);
        Open {
            version: 4,
            asn: if four_octet { asn } else { Asn(my_as.into()) },
            my_as,
            hold_time: self.hold_seconds(),
            router_id: self.local_router_id,
            capabilities: if plain {
                Vec::new()
            } else {
                self.capability_list(asn)
            },
        }
    }

    fn capability_list(&self, asn: Asn) -> Vec<Capability> {
        let own = &self.capabilities;
        let mut list: Vec<Capability> = self
            .families
            .iter()
            .map(|f| Capability::MultiProtocol(f.afi_safi()))
            .collect();
        if own.route_refresh {
            list.push(Capability::RouteRefresh);
        }
        if own.route_refresh && own.enhanced_refresh {
            list.push(Capability::EnhancedRouteRefresh);
        }
        if own.extended_message {
            list.push(Capability::ExtendedMessage);
        }
        if let Some(role) = own.role {
            list.push(Capability::Role(role as u8));
        }
        if own.extended_next_hop && self.families.contains(&Family::Ipv4Unicast) {
            let ipv4_over_ipv6 = (Family::Ipv4Unicast.afi_safi(), AFI_IPV6);
            list.push(Capability::ExtendedNextHop(vec![ipv4_over_ipv6]));
        }
        if let Some(gr) = &own.graceful_restart {
            let families: Vec<(AfiSafi, bool)> = gr
                .families
                .iter()
                .map(|(f, kept)| (f.afi_safi(), *kept))
                .collect();
            list.push(Capability::GracefulRestart {
                restart: gr.restarted,
                notification: gr.notification,
                time: gr.restart_time.min(0x0fff),
                families,
            });
        }
        if own.four_octet_as {
            list.push(Capability::FourOctetAs(asn));
        }
        let add_path: Vec<(AfiSafi, u8)> = self
            .families
            .iter()
            .filter_map(|f| Some((f.afi_safi(), self.add_path.get(f.index())?.wire()?)))
            .collect();
        if !add_path.is_empty() {
            list.push(Capability::AddPath(add_path));
        }
        list.extend(own.extra.iter().cloned());
        list
    }
}
