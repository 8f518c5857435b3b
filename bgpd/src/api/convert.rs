//! From the daemon's own types to messages.

use std::time::{Duration, SystemTime};

use godwit_bgp::session::{Counters as SessionCounters, ErrorOrigin, SessionError, State};
use godwit_bgp::wire::{Capability as WireCapability, MessageType, printable};
use godwit_bgp::{Family, Role, SessionKind};
use godwit_config::{PeerConfig, PolicyChain};
use godwit_proto::v1;
use godwit_rib::PeerCounters;
use prost_types::Timestamp;

use super::{limits, path};
use crate::bfd;
use crate::clock;
use crate::peer::PeerName;
use crate::peer::history::{BadMessage, Outcome};
use crate::status::{PeerFigures, PeerOrigin, PeerStatus, PeerView, SessionStatus, StaleStatus};

pub fn time(at: SystemTime) -> Option<Timestamp> {
    Some(at.into())
}

/// Beyond 10,000 years there is no span that anybody configures.
pub fn span(span: Duration) -> Option<prost_types::Duration> {
    span.try_into().ok()
}

/// Families that are set in the message; none: none was named.
pub fn families(field: &str, numbers: &[i32]) -> Result<Vec<Family>, tonic::Status> {
    let known = |(i, n): (usize, &i32)| family(&format!("{field}[{i}]"), *n);
    numbers.iter().enumerate().map(known).collect()
}

/// The family of a field that has one.
pub fn family(field: &str, number: i32) -> Result<Family, tonic::Status> {
    let known = v1::Family::try_from(number).ok();
    known
        .and_then(v1::Family::known)
        .ok_or_else(|| super::error::bad_field(field, "no such family"))
}

/// A peer as it stands; `counters` are the RIB's, while its session is up.
pub fn peer(view: &PeerView, counters: Option<&PeerCounters>) -> v1::Peer {
    let status = view.status();
    let config = &status.config;
    v1::Peer {
        address: status.name.to_string(),
        interface: interface(&status),
        neighbour: neighbour(&status),
        neighbour_since: status
            .finding
            .as_ref()
            .and_then(|f| time(clock::wall(f.neighbour?.1))),
        note: status
            .finding
            .as_ref()
            .map_or_else(String::new, |f| f.note.to_string()),
        description: config.description.clone().unwrap_or_default(),
        group: config.group.clone().unwrap_or_default(),
        source: source(status.origin) as i32,
        kind: kind(status.kind) as i32,
        local_asn: status.local_asn.0,
        remote_asn: status.remote_asn.map_or(0, |asn| asn.0),
        disabled: status.disabled,
        passive: config.passive,
        state: state(status.state) as i32,
        state_since: status.state_since.and_then(time),
        session: status.session.as_ref().map(session),
        timers: Some(timers(&status)),
        counters: Some(self::counters(&view.figures(), view.clues().refused)),
        last_error: status.last_error.as_ref().map(last_error),
        waiting_for: status
            .waiting
            .as_ref()
            .map_or(String::new(), |w| w.0.to_string()),
        waiting_until: status.waiting.as_ref().and_then(|w| w.1).and_then(time),
        families: Family::ALL
            .into_iter()
            .filter(|f| config.families[f.index()])
            .map(|f| peer_family(&status, f, counters))
            .collect(),
        path: Some(path::message(&config.path)),
        weight: config.weight,
        blackhole_community: config.blackhole_community,
        graceful_shutdown: config.graceful_shutdown,
        graceful_restart: config.graceful_restart,
        stale: status.stale.as_ref().map(stale),
        transport: Some(transport(config)),
        bfd: status.bfd.as_ref().map(|(key, view)| bfd(key, view)),
    }
}

fn bfd(key: &bfd::Key, view: &bfd::View) -> v1::BfdSession {
    let session = v1::BfdSession {
        multihop: key.multihop,
        ..v1::BfdSession::default()
    };
    let (status, changed) = match view {
        bfd::View::NoProcess(why) => {
            return v1::BfdSession {
                trouble: format!("{why}; start `godwitd bfd`"),
                ..session
            };
        }
        bfd::View::Asked => return session,
        bfd::View::Known(status, changed) => (status, *changed),
    };
    let state = |state| match state {
        bfd::State::AdminDown => v1::BfdState::AdminDown,
        bfd::State::Down => v1::BfdState::Down,
        bfd::State::Init => v1::BfdState::Init,
        bfd::State::Up => v1::BfdState::Up,
    };
    v1::BfdSession {
        state: state(status.state) as i32,
        remote_state: state(status.remote_state) as i32,
        since: time(changed),
        transmit_interval: status
            .transmit_interval
            .and_then(|micros| span(Duration::from_micros(micros))),
        detection_time: span(Duration::from_micros(status.detection_time)),
        last_loss: status
            .loss
            .map_or_else(String::new, |loss| loss.to_string()),
        failures: status.failures,
        remote_independent: status.remote_independent,
        local_discriminator: status.local_discriminator,
        remote_discriminator: status.remote_discriminator,
        trouble: status.trouble.clone().unwrap_or_default(),
        ..session
    }
}

fn stale(stale: &StaleStatus) -> v1::StaleRoutes {
    v1::StaleRoutes {
        families: Family::ALL
            .into_iter()
            .filter(|f| stale.families[f.index()])
            .map(|f| v1::Family::from(f) as i32)
            .collect(),
        back: stale.back,
        until: time(stale.until),
    }
}

fn transport(config: &PeerConfig) -> v1::Transport {
    v1::Transport {
        md5: config.password.is_some(),
        ttl_security: config.ttl_security.unwrap_or(0).into(),
        ttl: config.ttl().into(),
        local_interface: config.local_interface.clone().unwrap_or_default(),
        local_address: config
            .local_address
            .map(|a| a.to_string())
            .unwrap_or_default(),
        port: config.port.into(),
    }
}

/// The interface that it is configured on.
fn interface(status: &PeerStatus) -> String {
    match status.name {
        PeerName::Interface(interface) => interface.to_string(),
        PeerName::Address(_) => String::new(),
    }
}

/// The address that was found there.
fn neighbour(status: &PeerStatus) -> String {
    match (status.name, status.address.is_unspecified()) {
        (PeerName::Interface(interface), false) => format!("{}%{interface}", status.address),
        _ => String::new(),
    }
}

fn source(origin: PeerOrigin) -> v1::PeerSource {
    match origin {
        PeerOrigin::File => v1::PeerSource::File,
        PeerOrigin::Range(_) => v1::PeerSource::Range,
        PeerOrigin::Runtime => v1::PeerSource::Runtime,
    }
}

fn kind(kind: SessionKind) -> v1::SessionKind {
    match kind {
        SessionKind::External => v1::SessionKind::External,
        SessionKind::Internal => v1::SessionKind::Internal,
        SessionKind::InternalClient => v1::SessionKind::InternalClient,
    }
}

pub fn state(state: State) -> v1::SessionState {
    match state {
        State::Idle => v1::SessionState::Idle,
        State::Connect => v1::SessionState::Connect,
        State::Active => v1::SessionState::Active,
        State::OpenSent => v1::SessionState::OpenSent,
        State::OpenConfirm => v1::SessionState::OpenConfirm,
        State::Established => v1::SessionState::Established,
    }
}

fn session(session: &SessionStatus) -> v1::Session {
    let agreed = &session.negotiated;
    v1::Session {
        remote_router_id: agreed.remote_router_id.to_string(),
        local_endpoint: session.local.to_string(),
        remote_endpoint: session.remote.to_string(),
        four_octet_as: agreed.as4,
        extended_message: agreed.extended_message,
        route_refresh: agreed.route_refresh,
        enhanced_route_refresh: agreed.enhanced_refresh,
        extended_next_hop: agreed.extended_next_hop,
        families: Family::ALL
            .into_iter()
            .filter(|f| agreed.families[f.index()])
            .map(|f| v1::Family::from(f) as i32)
            .collect(),
        local_capabilities: agreed.local.capabilities.iter().map(capability).collect(),
        remote_capabilities: agreed.remote.capabilities.iter().map(capability).collect(),
        remote_role: agreed
            .remote_role()
            .map(|role| role.to_string())
            .unwrap_or_default(),
    }
}

fn capability(capability: &WireCapability) -> v1::Capability {
    v1::Capability {
        code: capability.code().into(),
        text: capability_text(capability),
    }
}

fn capability_text(capability: &WireCapability) -> String {
    let name = capability.name().unwrap_or("unknown");
    let details = match capability {
        WireCapability::MultiProtocol(family) => family.to_string(),
        WireCapability::FourOctetAs(asn) => asn.to_string(),
        WireCapability::Role(role) => {
            Role::from_wire(*role).map_or_else(|| role.to_string(), |role| role.to_string())
        }
        WireCapability::ExtendedNextHop(list) => {
            join(list.iter().map(|(f, afi)| format!("{f} by afi {afi}")))
        }
        WireCapability::AddPath(list) => join(list.iter().map(|(f, mode)| {
            let mode = match mode {
                1 => "receive",
                2 => "send",
                3 => "both",
                _ => "?",
            };
            format!("{f} {mode}")
        })),
        WireCapability::GracefulRestart {
            restart,
            notification,
            time,
            families,
        } => {
            let flags = [(*restart, "restarted"), (*notification, "notification")];
            let flags = flags.into_iter().filter(|(set, _)| *set);
            let families = families.iter().map(|(f, kept)| match kept {
                true => format!("{f} kept"),
                false => f.to_string(),
            });
            let flags = flags.map(|(_, name)| name.to_owned());
            join(
                std::iter::once(format!("{time}s"))
                    .chain(flags)
                    .chain(families),
            )
        }
        WireCapability::Fqdn { host, domain } => format!(
            "{} {}",
            printable(&String::from_utf8_lossy(host)),
            printable(&String::from_utf8_lossy(domain))
        ),
        WireCapability::Unknown { code, .. } => code.to_string(),
        WireCapability::RouteRefresh
        | WireCapability::ExtendedMessage
        | WireCapability::EnhancedRouteRefresh => String::new(),
    };
    format!("{name} {details}").trim_end().to_owned()
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn timers(status: &PeerStatus) -> v1::Timers {
    let (hold, keepalive) = match &status.session {
        Some(session) => (
            session.negotiated.hold_time,
            Some(session.negotiated.keepalive),
        ),
        None => (status.config.hold_time, status.config.keepalive),
    };
    v1::Timers {
        hold_time: span(hold),
        // RFC 4271 §4.4: a third, unless something else is configured.
        keepalive: span(keepalive.unwrap_or(hold / 3)),
        connect_retry: span(status.config.connect_retry),
        refresh_timeout: span(status.config.refresh_timeout),
        stale_time: span(status.config.stale_time),
    }
}

fn counters(figures: &PeerFigures, refused: u64) -> v1::Counters {
    let messages: &SessionCounters = &figures.messages;
    v1::Counters {
        received: Some(message_counters(&messages.received, figures.octets_in)),
        sent: Some(message_counters(&messages.sent, figures.octets_out)),
        established: messages.established,
        treated_as_withdraw: figures.treated_as_withdraw,
        attributes_discarded: figures.attributes_discarded,
        connections_refused: refused,
    }
}

fn message_counters(
    counts: &godwit_bgp::session::MessageCounts,
    bytes: u64,
) -> v1::MessageCounters {
    v1::MessageCounters {
        open: counts.open,
        update: counts.update,
        notification: counts.notification,
        keepalive: counts.keepalive,
        route_refresh: counts.route_refresh,
        bytes,
    }
}

fn last_error((at, error): &(SystemTime, SessionError)) -> v1::PeerError {
    let (code, subcode) = error
        .notification
        .as_ref()
        .map_or((0, 0), |n| (n.code.into(), n.subcode.into()));
    v1::PeerError {
        text: error.to_string(),
        code,
        subcode,
        sent: error.origin == ErrorOrigin::Sent,
        at: time(*at),
        message: error
            .notification
            .as_ref()
            .and_then(|n| n.printable_communication())
            .unwrap_or_default(),
    }
}

pub fn reset(reset: &(SystemTime, SessionError)) -> v1::PeerReset {
    let (_, error) = reset;
    v1::PeerReset {
        error: Some(last_error(reset)),
        state: state(error.state) as i32,
        uptime: error.uptime.and_then(span),
    }
}

pub fn bad_message(bad: &BadMessage) -> v1::BadMessage {
    let outcome = match bad.outcome {
        Outcome::SessionEnded => v1::BadMessageOutcome::SessionEnded,
        Outcome::TreatedAsWithdraw => v1::BadMessageOutcome::TreatedAsWithdraw,
        Outcome::AttributeDiscarded => v1::BadMessageOutcome::AttributeDiscarded,
    };
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    v1::BadMessage {
        at: time(bad.at),
        r#type: bad.kind.map_or("", MessageType::name).to_owned(),
        what: bad.what.clone(),
        outcome: outcome as i32,
        hex: bad.octets.iter().map(|b| format!("{b:02x}")).collect(),
        length: number(bad.length),
        start: number(bad.place.start),
        end: number(bad.place.end),
    }
}

fn peer_family(
    status: &PeerStatus,
    family: Family,
    counters: Option<&PeerCounters>,
) -> v1::PeerFamily {
    let i = family.index();
    let config = &status.config;
    let counters = counters.copied().unwrap_or_default();
    let session = status.session.as_ref();
    v1::PeerFamily {
        family: v1::Family::from(family) as i32,
        negotiated: session.is_some_and(|s| s.negotiated.families[i]),
        add_path_receive: session.is_some_and(|s| s.negotiated.add_path[i].receive),
        add_path_send: session
            .filter(|s| s.negotiated.add_path[i].send)
            .and(config.add_path[i].send)
            .map_or_else(String::new, |send| send.to_string()),
        received: counters.received[i],
        prefixes: counters.prefixes[i],
        refused: counters.refused[i],
        accepted: counters.accepted[i],
        rejected: counters.rejected[i],
        best: counters.best[i],
        advertised: counters.advertised[i],
        end_of_rib_received: session.is_some_and(|s| s.end_of_rib(family)),
        import: policies(config, &config.import[i]),
        export: policies(config, &config.export[i]),
        refreshing: counters.refreshing[i],
        stale: counters.stale[i],
        default_originate: config.default_originate[i].as_ref().map(|default| {
            v1::DefaultOriginate {
                condition: (default.when.as_ref())
                    .map(|(text, _)| text.clone())
                    .unwrap_or_default(),
                policy: default.policy.names.clone().unwrap_or_default(),
            }
        }),
        prefix_limit: config.prefix_limit[i].as_ref().map(limits::message),
        prefix_limit_out: config.prefix_limit_out[i].as_ref().map(limits::message),
        over_limit: counters.over_limit[i],
        dropped: counters.dropped[i],
    }
}

/// By name; where none is configured, what that means (RFC 8212).
fn policies(config: &PeerConfig, chain: &PolicyChain) -> Vec<String> {
    chain.names.clone().unwrap_or_else(|| {
        let default = if config.external {
            "reject-all"
        } else {
            "accept-all"
        };
        vec![default.into()]
    })
}
