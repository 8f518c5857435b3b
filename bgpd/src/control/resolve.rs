//! From the checked file to what the daemon's parts take.

use std::collections::BTreeMap;
use std::net::IpAddr;

use godwit_bgp::attrs::{AttrsBuf, Origin};
use godwit_bgp::session::{AddPath, Capabilities, GracefulRestart, RemoteAs, SessionConfig};
use godwit_bgp::{Family, NextHop, RouterId};
use godwit_config::{AggregateConfig, Config, PeerConfig, PeerKey};
use godwit_rib::{Aggregate, Drain, LocalRoute, RibConfig};
use ipnet::IpNet;

use super::desired::{Desired, Range};
use super::{Identity, NewPeer};
use crate::peer::{PeerName, PeerSettings};
use crate::status::PeerOrigin;

pub fn identity(config: &Config, router_id: RouterId) -> Identity {
    Identity {
        node: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        asn: config.router.asn,
        router_id,
        cluster_id: config.router.cluster_id.unwrap_or(router_id),
    }
}

/// What the file wants of the parts that change while the daemon runs.
pub fn desired(config: &Config, identity: &Identity) -> Desired {
    let mut peers = BTreeMap::new();
    let mut ranges = Vec::new();
    for peer in &config.peers {
        match peer.key {
            PeerKey::Address(address) => {
                let settings = settings(peer, address, PeerOrigin::File, identity);
                peers.insert(address.into(), settings);
            }
            PeerKey::Interface(interface) => {
                let settings = settings(peer, nobody(), PeerOrigin::File, identity);
                peers.insert(PeerName::Interface(interface), settings);
            }
            PeerKey::Range(range) => ranges.push(Range {
                range,
                template: settings(peer, range.addr(), PeerOrigin::Range(range), identity),
            }),
        }
    }
    ranges.sort_by_key(|r| std::cmp::Reverse(r.range.prefix_len()));
    let routes = config
        .originate
        .iter()
        .map(|o| (o.prefix, local_route(o.prefix, o.blackhole)));
    Desired {
        peers,
        ranges,
        routes: routes.collect(),
        aggregates: config.aggregate.iter().map(aggregate).collect(),
        rib: rib_config(config, identity),
    }
}

/// The address of a neighbour that is not found yet.
fn nobody() -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
}

fn aggregate(config: &AggregateConfig) -> Aggregate {
    let AggregateConfig {
        prefix,
        summary_only,
        blackhole,
    } = *config;
    Aggregate {
        prefix,
        summary_only,
        blackhole,
    }
}

fn settings(
    peer: &PeerConfig,
    address: IpAddr,
    origin: PeerOrigin,
    identity: &Identity,
) -> PeerSettings {
    let name = match peer.key {
        PeerKey::Interface(interface) => PeerName::Interface(interface),
        PeerKey::Address(_) | PeerKey::Range(_) => PeerName::Address(address),
    };
    PeerSettings {
        name,
        address,
        scope: 0,
        origin,
        disabled: peer.disabled,
        config: peer.clone(),
        session: session_config(peer, identity),
    }
}

fn session_config(peer: &PeerConfig, identity: &Identity) -> SessionConfig {
    let remote_as = match peer.remote_as {
        godwit_config::RemoteAs::Asn(asn) => RemoteAs::Asn(asn),
        godwit_config::RemoteAs::External => RemoteAs::External,
        godwit_config::RemoteAs::Internal => RemoteAs::Internal,
    };
    let local_as = peer.path.local_as;
    let asn = local_as.map_or(identity.asn, |local| local.asn);
    SessionConfig {
        alternate_asn: local_as.filter(|local| local.dual_as).map(|_| identity.asn),
        hold_time: peer.hold_time,
        keepalive: peer.keepalive,
        connect_retry: peer.connect_retry,
        send_hold: peer.send_hold_time,
        refresh_hold: peer.refresh_timeout,
        stale_time: peer.graceful_restart.then_some(peer.stale_time),
        passive: peer.passive,
        add_path: peer.add_path.map(|add_path| AddPath {
            receive: add_path.receive,
            send: add_path.send.is_some(),
        }),
        families: Family::ALL
            .into_iter()
            .filter(|f| peer.families.get(f.index()) == Some(&true))
            .collect(),
        capabilities: Capabilities {
            extended_next_hop: peer.extended_next_hop,
            role: peer.path.role,
            role_strict: peer.path.role_strict,
            graceful_restart: Some(GracefulRestart {
                notification: peer.graceful_restart,
                ..GracefulRestart::default()
            }),
            ..Capabilities::default()
        },
        ..SessionConfig::new(asn, identity.router_id, remote_as)
    }
}

/// A prefix of this host: its peers see ourselves as its next hop.
pub fn local_route(prefix: IpNet, blackhole: bool) -> LocalRoute {
    let nobody = match prefix {
        IpNet::V4(_) => NextHop::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpNet::V6(_) => NextHop::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    LocalRoute {
        prefix,
        attrs: AttrsBuf::new(nobody, Origin::Igp),
        blackhole,
    }
}

fn rib_config(config: &Config, identity: &Identity) -> RibConfig {
    RibConfig {
        asn: identity.asn,
        router_id: identity.router_id,
        cluster_id: config.router.cluster_id.unwrap_or(identity.router_id),
        max_paths_external: config.router.max_paths_external,
        max_paths_internal: config.router.max_paths_internal,
        multipath_relax: config.router.multipath_relax,
        link_bandwidth: config.router.link_bandwidth,
        drain: Drain::No,
        require_next_hop: config.next_hop.require,
        fib: config.fib.enabled,
    }
}

pub fn fib_config(config: &Config) -> godwit_fib::FibConfig {
    godwit_fib::FibConfig {
        enabled: config.fib.enabled,
        table: config.fib.table,
        metric: config.fib.metric,
        protocol: config.fib.protocol,
        via_default: config.next_hop.via_default,
        ..godwit_fib::FibConfig::default()
    }
}

/// A peer added by command, with its group and the defaults filled in.
pub fn runtime_peer(
    config: &Config,
    identity: &Identity,
    new: &NewPeer,
) -> Result<PeerSettings, String> {
    let (key, address) = match new.name {
        PeerName::Address(address) => (PeerKey::Address(address), address),
        PeerName::Interface(interface) => (PeerKey::Interface(interface), nobody()),
    };
    let peer = config
        .resolve_peer(key, new.group.as_deref(), &new.settings)
        .map_err(|problems| problems.join("; "))?;
    Ok(settings(&peer, address, PeerOrigin::Runtime, identity))
}
