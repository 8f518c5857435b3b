//! What the RIB is told of an established session.

use std::net::IpAddr;
use std::num::NonZeroU16;

use godwit_bgp::session::Negotiated;
use godwit_bgp::{Family, NextHop, SendPaths};
use godwit_config::{LimitAction, LimitCount, PathConfig, PrefixLimit};
use godwit_rib::{Condition, Counted, DefaultOriginate, ExportRules, PeerSpec};

use super::settings::PeerSettings;
use crate::interfaces::Place;

pub fn peer_spec(
    settings: &PeerSettings,
    negotiated: &Negotiated,
    local: IpAddr,
    place: &Place,
) -> PeerSpec {
    // A neighbour on one of our subnets that is configured as further away is
    // treated as such: the path to it may be another one.
    let shared_subnet = place.shared && settings.on_link();
    PeerSpec {
        address: settings.address,
        asn: negotiated.remote_asn,
        group: settings.config.group.as_deref().map(Into::into),
        router_id: negotiated.remote_router_id,
        local_asn: negotiated.local_asn,
        local_address: local,
        local_link_local: place.link_local.filter(|_| shared_subnet),
        interface: place.name.filter(|_| shared_subnet),
        link: place.interface.filter(|_| shared_subnet).unwrap_or(0),
        own_next_hop: Family::ALL.map(|f| match (f, local) {
            // RFC 8950: where the session is an IPv6 one, so is the next hop.
            (Family::Ipv4Unicast, IpAddr::V6(_)) if negotiated.extended_next_hop => {
                own_next_hop(Family::Ipv6Unicast, local, place, shared_subnet)
                    .or_else(|| own_next_hop(f, local, place, shared_subnet))
            }
            _ => own_next_hop(f, local, place, shared_subnet),
        }),
        extended_next_hop: negotiated.extended_next_hop,
        kind: settings.kind(),
        families: negotiated.families,
        add_path_receive: negotiated.add_path.map(|add_path| add_path.receive),
        add_path_send: Family::ALL.map(|f| add_path_send(f, settings, negotiated)),
        as4: negotiated.as4,
        enhanced_refresh: negotiated.enhanced_refresh,
        sends_end_of_rib: negotiated.graceful_restart.is_some(),
        max_message: negotiated.max_message(),
        import: settings.import(),
        export: settings.export(),
        limit_in: settings.config.prefix_limit.map(|l| l.map(prefix_limit)),
        limit_out: settings
            .config
            .prefix_limit_out
            .map(|l| l.map(prefix_limit)),
        next_hop_self: settings.config.next_hop_self,
        shared_subnet,
        weight: settings.config.weight,
        default_originate: settings.config.default_originate.each_ref().map(|default| {
            default.as_ref().map(|default| DefaultOriginate {
                when: (default.when.as_ref()).map(|(_, ranges)| Condition::new(ranges.clone())),
                policy: default.policy.policy.clone(),
            })
        }),
        import_rules: settings.config.import_rules(),
        export_rules: export_rules(&settings.config.path),
    }
}

fn prefix_limit(limit: PrefixLimit) -> godwit_rib::PrefixLimit {
    godwit_rib::PrefixLimit {
        max: limit.max,
        warn_from: limit.warn_from(),
        count: match limit.count {
            LimitCount::Received => Counted::Received,
            LimitCount::Accepted => Counted::Accepted,
        },
        enforced: limit.then != LimitAction::Warn,
    }
}

fn export_rules(path: &PathConfig) -> ExportRules {
    ExportRules {
        replace_as: path.local_as.is_some_and(|local| local.replace_as),
        remove_private: path.remove_private_as,
        as_override: path.as_override,
        role: path.role,
        communities: path.send_communities,
    }
}

/// Which paths the peer is sent, of a family in which it takes several. What was
/// agreed holds until the session ends, even where the settings know of it no
/// more.
pub fn add_path_send(
    family: Family,
    settings: &PeerSettings,
    negotiated: &Negotiated,
) -> Option<SendPaths> {
    let agreed = negotiated.add_path.get(family.index())?;
    let wanted = settings.config.add_path.get(family.index())?;
    let best = SendPaths::Best(NonZeroU16::MIN);
    agreed.send.then(|| wanted.send.unwrap_or(best))
}

/// Ourselves as a next hop: our end of the session, or an address of the other
/// family on the same interface.
fn own_next_hop(family: Family, local: IpAddr, place: &Place, shared: bool) -> Option<NextHop> {
    match family {
        Family::Ipv4Unicast => match local {
            IpAddr::V4(v4) => Some(NextHop::V4(v4)),
            IpAddr::V6(_) => place.v4.map(NextHop::V4),
        },
        Family::Ipv6Unicast => {
            let global = match local {
                IpAddr::V6(v6) if !v6.is_unicast_link_local() => Some(v6),
                IpAddr::V6(_) | IpAddr::V4(_) => place.v6,
            };
            // RFC 2545 §3: the link-local address goes along only on a common subnet.
            match (global, place.link_local.filter(|_| shared)) {
                (Some(global), Some(ll)) => Some(NextHop::V6WithLinkLocal(global, ll, 0)),
                (Some(global), None) => Some(NextHop::V6(global)),
                (None, Some(ll)) => Some(NextHop::V6WithLinkLocal(ll, ll, 0)),
                (None, None) => None,
            }
        }
    }
}
