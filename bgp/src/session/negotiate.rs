//! Two OPENs into what both sides agreed on. Nothing else in the session reads
//! capabilities.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::config::{AFI_IPV6, AddPath, SessionConfig};
use super::faults;
use crate::types::{AfiSafi, Asn, Family, Role, RouterId};
use crate::wire::{Capability, DecodeContext, MAX_EXTENDED, MAX_MESSAGE, Notification, Open};

/// What holds for a connection from the moment the peer's OPEN is accepted, and
/// exists only from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    pub local_asn: Asn,
    pub remote_asn: Asn,
    pub remote_router_id: RouterId,
    pub external: bool,
    /// The smaller of both (RFC 4271 §4.2). Zero: no hold timer, no keepalives.
    pub hold_time: Duration,
    /// Time between keepalives before jitter; zero if there are none.
    pub keepalive: Duration,
    /// By [`Family::index`].
    pub families: [bool; Family::COUNT],
    /// Of those, which way several paths a prefix may go (RFC 7911).
    pub add_path: [AddPath; Family::COUNT],
    /// Both speak four-octet AS numbers (RFC 6793).
    pub as4: bool,
    /// Both take messages of up to 65535 octets (RFC 8654).
    pub extended_message: bool,
    /// The peer takes ROUTE-REFRESH (RFC 2918). That we do is in our OPEN.
    pub route_refresh: bool,
    /// Both mark begin and end of a refresh (RFC 7313).
    pub enhanced_refresh: bool,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// The peer's capability 64, if we advertised ours too.
    pub graceful_restart: Option<PeerGracefulRestart>,
    /// Both OPENs as they went over the wire, for whoever wants the rest.
    pub local: Open,
    pub remote: Open,
}

/// The peer's graceful restart capability (RFC 4724 §3), with the families that
/// we know and negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerGracefulRestart {
    pub restarted: bool,
    /// N bit (RFC 8538).
    pub notification: bool,
    pub restart_time: Duration,
    /// By [`Family::index`]: is the family listed, and was forwarding kept?
    pub families: [Option<bool>; Family::COUNT],
}

impl Negotiated {
    /// How this connection's UPDATEs are to be read.
    pub fn decode_context(&self) -> DecodeContext {
        DecodeContext {
            as4: self.as4,
            external: self.external,
            families: self.families,
            add_path: self.add_path.map(|add_path| add_path.receive),
            extended_next_hop: self.extended_next_hop,
        }
    }

    /// The largest message that may be sent.
    pub fn max_message(&self) -> usize {
        if self.extended_message {
            MAX_EXTENDED
        } else {
            MAX_MESSAGE
        }
    }

    /// The role that the peer advertises (RFC 9234 §4.1), if it is a known one.
    pub fn remote_role(&self) -> Option<Role> {
        roles(&self.remote).next().and_then(Role::from_wire)
    }

    pub fn has(&self, family: Family) -> bool {
        self.families.get(family.index()).copied().unwrap_or(false)
    }

    /// Does a NOTIFICATION end the session as a lost connection does, unless it
    /// is a hard reset (RFC 8538 §3)? Where both sides say so.
    pub(super) fn notification_is_graceful(&self) -> bool {
        self.graceful_restart.is_some_and(|gr| gr.notification)
            && self.local.capabilities.iter().any(|c| {
                matches!(
                    c,
                    Capability::GracefulRestart {
                        notification: true,
                        ..
                    }
                )
            })
    }

    /// Did the peer promise to keep forwarding anything over a restart?
    pub(super) fn peer_restarts_gracefully(&self) -> bool {
        self.graceful_restart
            .is_some_and(|gr| gr.families.iter().any(Option::is_some))
    }
}

/// Accepts the peer's OPEN, or says why not (RFC 4271 §6.2). `local` is the OPEN
/// that was sent on the same connection, with our number `asn`.
pub(super) fn negotiate(
    config: &SessionConfig,
    asn: Asn,
    local: Open,
    remote: Open,
) -> Result<Negotiated, Notification> {
    if remote.version != 4 {
        return Err(faults::unsupported_version());
    }
    // AS 0 is never acceptable (RFC 7607 §2).
    if remote.asn.0 == 0 || !config.remote_as.accepts(asn, remote.asn) {
        return Err(faults::bad_peer_as());
    }
    let external = remote.asn != asn;
    // Any non-zero number will do, but within one AS they differ (RFC 6286 §2.2).
    if remote.router_id.0 == 0 || (!external && remote.router_id == local.router_id) {
        return Err(faults::bad_bgp_identifier());
    }
    if matches!(remote.hold_time, 1 | 2) {
        return Err(faults::unacceptable_hold_time());
    }
    if external {
        check_role(config, &local, &remote)?;
    }
    let families = common_families(&local, &remote)?;
    let hold_time = Duration::from_secs(local.hold_time.min(remote.hold_time).into());
    Ok(Negotiated {
        local_asn: asn,
        remote_asn: remote.asn,
        remote_router_id: remote.router_id,
        external,
        hold_time,
        keepalive: keepalive_interval(hold_time, config.keepalive),
        families,
        add_path: add_path(&local, &remote, families),
        as4: both(&local, &remote, |c| matches!(c, Capability::FourOctetAs(_))),
        extended_message: both(&local, &remote, |c| {
            matches!(c, Capability::ExtendedMessage)
        }),
        route_refresh: remote.capabilities.contains(&Capability::RouteRefresh),
        enhanced_refresh: both(&local, &remote, |c| {
            matches!(c, Capability::EnhancedRouteRefresh)
        }),
        extended_next_hop: families.first() == Some(&true)
            && both(&local, &remote, ipv6_next_hops_for_ipv4),
        graceful_restart: graceful_restart(&local, &remote, families),
        local,
        remote,
    })
}

/// RFC 9234 §4.2: what both sides say must fit; one that says nothing is
/// believed, unless we are strict.
fn check_role(config: &SessionConfig, local: &Open, remote: &Open) -> Result<(), Notification> {
    // Of the OPEN that was sent: it may be older than the configuration.
    let Some(ours) = roles(local).next().and_then(Role::from_wire) else {
        return Ok(());
    };
    let fits = |theirs: u8| theirs == ours.counterpart() as u8;
    let silent = roles(remote).next().is_none();
    if (silent && config.capabilities.role_strict) || !roles(remote).all(fits) {
        return Err(faults::role_mismatch());
    }
    Ok(())
}

fn roles(open: &Open) -> impl Iterator<Item = u8> + '_ {
    open.capabilities.iter().filter_map(|c| match c {
        Capability::Role(role) => Some(*role),
        _ => None,
    })
}

fn both(local: &Open, remote: &Open, is: impl Fn(&Capability) -> bool) -> bool {
    local.capabilities.iter().any(&is) && remote.capabilities.iter().any(&is)
}

fn ipv6_next_hops_for_ipv4(capability: &Capability) -> bool {
    let wanted = (Family::Ipv4Unicast.afi_safi(), AFI_IPV6);
    matches!(capability, Capability::ExtendedNextHop(list) if list.contains(&wanted))
}

/// A third of the hold time, or less if configured; never under one second
/// (RFC 4271 §4.4).
pub(super) fn keepalive_interval(hold_time: Duration, configured: Option<Duration>) -> Duration {
    if hold_time.is_zero() {
        return Duration::ZERO;
    }
    let third = hold_time / 3;
    configured
        .unwrap_or(third)
        .min(third)
        .max(Duration::from_secs(1))
}

/// The families both advertise. A side that advertises no multiprotocol
/// capability at all speaks IPv4 unicast (RFC 4760 §8).
///
/// With nothing in common a session could carry no route: it is refused with
/// Unsupported Capability and the capabilities that would be needed as its data,
/// as RFC 5492 §5 permits. A single missing one is never a reason.
fn common_families(local: &Open, remote: &Open) -> Result<[bool; Family::COUNT], Notification> {
    let ours = advertised_families(local);
    let theirs = advertised_families(remote);
    let mut common = [false; Family::COUNT];
    for (slot, (a, b)) in common.iter_mut().zip(ours.iter().zip(theirs)) {
        *slot = *a && b;
    }
    if common.contains(&true) {
        return Ok(common);
    }
    let needed = Family::ALL
        .into_iter()
        .zip(ours)
        .filter(|(_, ours)| *ours)
        .map(|(family, _)| family.afi_safi());
    Err(faults::unsupported_capability(multiprotocol_bytes(needed)))
}

fn advertised_families(open: &Open) -> [bool; Family::COUNT] {
    let mut any = false;
    let mut families = [false; Family::COUNT];
    for capability in &open.capabilities {
        if let Capability::MultiProtocol(afi_safi) = capability {
            any = true;
            if let Some(slot) = afi_safi.family().and_then(|f| families.get_mut(f.index())) {
                *slot = true;
            }
        }
    }
    if !any && let Some(slot) = families.get_mut(Family::Ipv4Unicast.index()) {
        *slot = true;
    }
    families
}

/// What one side can send and the other receive (RFC 7911 §4), of the families
/// that were negotiated.
fn add_path(
    local: &Open,
    remote: &Open,
    negotiated: [bool; Family::COUNT],
) -> [AddPath; Family::COUNT] {
    let (ours, theirs) = (advertised_add_path(local), advertised_add_path(remote));
    let mut agreed = [AddPath::default(); Family::COUNT];
    for (slot, ((ours, theirs), negotiated)) in agreed
        .iter_mut()
        .zip(ours.into_iter().zip(theirs).zip(negotiated))
    {
        *slot = AddPath {
            receive: negotiated && ours.receive && theirs.send,
            send: negotiated && ours.send && theirs.receive,
        };
    }
    agreed
}

fn advertised_add_path(open: &Open) -> [AddPath; Family::COUNT] {
    let mut families = [AddPath::default(); Family::COUNT];
    for capability in &open.capabilities {
        let Capability::AddPath(listed) = capability else {
            continue;
        };
        for (afi_safi, mode) in listed {
            if let Some(mode) = AddPath::from_wire(*mode)
                && let Some(slot) = afi_safi.family().and_then(|f| families.get_mut(f.index()))
            {
                *slot = mode;
            }
        }
    }
    families
}

/// Capability 1 for each, as it stands in an OPEN (RFC 4760 §8).
fn multiprotocol_bytes(families: impl Iterator<Item = AfiSafi>) -> Bytes {
    let mut out = BytesMut::new();
    for AfiSafi { afi, safi } in families {
        out.put_slice(&[1, 4]);
        out.put_u16(afi);
        out.put_slice(&[0, safi]);
    }
    out.freeze()
}

fn graceful_restart(
    local: &Open,
    remote: &Open,
    negotiated: [bool; Family::COUNT],
) -> Option<PeerGracefulRestart> {
    local
        .capabilities
        .iter()
        .find(|c| matches!(c, Capability::GracefulRestart { .. }))?;
    // All but the last instance are to be ignored (RFC 4724 §3).
    remote.capabilities.iter().rev().find_map(|capability| {
        let Capability::GracefulRestart {
            restart,
            notification,
            time,
            families: listed,
        } = capability
        else {
            return None;
        };
        let mut families = [None; Family::COUNT];
        for (afi_safi, kept) in listed {
            let Some(family) = afi_safi.family() else {
                continue;
            };
            if negotiated.get(family.index()) == Some(&true)
                && let Some(slot) = families.get_mut(family.index())
            {
                *slot = Some(*kept);
            }
        }
        Some(PeerGracefulRestart {
            restarted: *restart,
            notification: *notification,
            restart_time: Duration::from_secs((*time).into()),
            families,
        })
    })
}
