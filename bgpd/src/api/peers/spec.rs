//! A peer that a client wants.

use std::num::NonZeroU16;
use std::time::Duration;

use godwit_bgp::{Asn, Family, SendPaths};
use godwit_config::{
    AddPathConfig, DefaultSettings, FamilySettings, MAX_SEND_PATHS, Password, PeerSettings,
    RemoteAs,
};
use godwit_proto::v1;
use tonic::Status;

use super::super::{convert, error, limits, path};
use crate::control::NewPeer;

pub(super) fn new_peer(spec: v1::PeerSpec) -> Result<NewPeer, Status> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let local_address = match spec.local_address.as_str() {
        "" => None,
        text => Some(error::address("peer.local_address", text)?),
    };
    let mut families: [Option<FamilySettings>; Family::COUNT] = Default::default();
    for family in convert::families("peer.families", &spec.families)? {
        families[family.index()] = Some(FamilySettings::default());
    }
    limits::put(&spec.limits, &mut families)?;
    for (i, message) in spec.add_path.iter().enumerate() {
        let field = format!("peer.add_path[{i}]");
        let family = convert::families(&format!("{field}.family"), &[message.family])?[0];
        match &mut families[family.index()] {
            Some(family) => family.add_path = Some(add_path(message, &field)?),
            None => {
                let why = format!("{family} is not among the families that are named");
                return Err(error::bad_field(format!("{field}.family"), why));
            }
        }
    }
    Ok(NewPeer {
        name: error::peer_name("peer.address", &spec.address)?,
        group: some(spec.group),
        settings: PeerSettings {
            description: some(spec.description),
            disabled: spec.disabled,
            remote_as: some(spec.remote_as).map(|t| remote_as(&t)).transpose()?,
            hold_time: span("peer.hold_time", spec.hold_time)?,
            refresh_timeout: span("peer.refresh_timeout", spec.refresh_timeout)?,
            send_hold_time: span("peer.send_hold_time", spec.send_hold_time)?,
            passive: spec.passive,
            port: spec.port.map(|n| small(n, "peer.port")).transpose()?,
            local_address,
            multihop: spec
                .multihop
                .map(|n| small(n, "peer.multihop"))
                .transpose()?,
            ttl_security: spec.ttl_security.map(hops).transpose()?,
            password: some(spec.password_file).map(|t| password(&t)).transpose()?,
            local_interface: some(spec.local_interface).map(interface).transpose()?,
            next_hop_self: spec.next_hop_self,
            extended_next_hop: spec.extended_next_hop,
            route_reflector_client: spec.route_reflector_client,
            default_originate: spec.default_originate.map(|default| DefaultSettings {
                on: true,
                when: some(default.condition),
                policy: (!default.policy.is_empty()).then_some(default.policy),
            }),
            weight: spec.weight,
            blackhole_community: spec.blackhole_community,
            graceful_shutdown: spec.graceful_shutdown,
            import: (!spec.import.is_empty()).then_some(spec.import),
            export: (!spec.export.is_empty()).then_some(spec.export),
            families,
            path: path::settings(spec.path)?,
            ..PeerSettings::default()
        },
    })
}

fn add_path(message: &v1::AddPath, field: &str) -> Result<AddPathConfig, Status> {
    let best = |text: &str| {
        let number = text.parse().ok().filter(|n| *n <= MAX_SEND_PATHS);
        number.and_then(NonZeroU16::new).map(SendPaths::Best)
    };
    let send = match message.send.as_str() {
        "" => None,
        "all" => Some(SendPaths::All),
        "ecmp" => Some(SendPaths::Ecmp),
        text => Some(best(text).ok_or_else(|| {
            let why = format!("`{text}` is neither 1 to {MAX_SEND_PATHS} nor `all` nor `ecmp`");
            error::bad_field(format!("{field}.send"), why)
        })?),
    };
    Ok(AddPathConfig {
        receive: message.receive,
        send,
    })
}

fn remote_as(text: &str) -> Result<RemoteAs, Status> {
    match text {
        "external" => Ok(RemoteAs::External),
        "internal" => Ok(RemoteAs::Internal),
        number => match number.parse() {
            Ok(0) | Err(_) => Err(error::bad_field(
                "peer.remote_as",
                format!("`{number}` is neither an AS number nor `external` nor `internal`"),
            )),
            Ok(number) => Ok(RemoteAs::Asn(Asn(number))),
        },
    }
}

fn password(path: &str) -> Result<Password, Status> {
    Password::read(path.as_ref())
        .map_err(|e| error::bad_field("peer.password_file", format!("{}; {}", e.what, e.help)))
}

fn interface(name: String) -> Result<String, Status> {
    match godwit_config::interface_name(&name) {
        Ok(()) => Ok(name),
        Err(why) => Err(error::bad_field("peer.local_interface", why)),
    }
}

/// 0 is off.
fn hops(number: u32) -> Result<u8, Status> {
    match u8::try_from(number) {
        Ok(hops @ 0..=254) => Ok(hops),
        _ => Err(error::bad_field(
            "peer.ttl_security",
            format!("{number} is out of range: 1 to 254 hops, or 0"),
        )),
    }
}

fn span(field: &str, span: Option<prost_types::Duration>) -> Result<Option<Duration>, Status> {
    let negative = |_| error::bad_field(field, "a span cannot be negative");
    span.map(|span| Duration::try_from(span).map_err(negative))
        .transpose()
}

/// A number that fits, and is not zero.
fn small<T: TryFrom<u32>>(number: u32, field: &str) -> Result<T, Status> {
    match T::try_from(number) {
        Ok(value) if number != 0 => Ok(value),
        _ => Err(error::bad_field(field, format!("{number} is out of range"))),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn field_at_fault(spec: v1::PeerSpec) -> String {
        let status = new_peer(spec).unwrap_err();
        let mut violations = status.get_details_bad_request().unwrap().field_violations;
        violations.remove(0).field
    }

    fn spec() -> v1::PeerSpec {
        v1::PeerSpec {
            address: "10.0.0.1".into(),
            remote_as: "external".into(),
            ..v1::PeerSpec::default()
        }
    }

    #[test]
    fn an_interface_is_a_peers_name_too() {
        for address in ["eth1", "fe80::1%eth1"] {
            let spec = v1::PeerSpec {
                address: address.into(),
                ..spec()
            };
            assert_eq!(new_peer(spec).unwrap().name.to_string(), "eth1");
        }
    }

    #[test]
    fn what_is_absent_stays_open_for_the_group() {
        let peer = new_peer(spec()).unwrap();
        let settings = peer.settings;
        assert_eq!(settings.remote_as, Some(RemoteAs::External));
        assert_eq!((peer.group, settings.port), (None, None));
        assert_eq!((settings.import, settings.disabled), (None, None));
    }

    #[test]
    fn each_wrong_field_is_named() {
        type Spoil = fn(&mut v1::PeerSpec);
        let wrong: [(&str, Spoil); 9] = [
            ("peer.address", |s| s.address = "10.0.0.300".into()),
            ("peer.remote_as", |s| s.remote_as = "0".into()),
            ("peer.port", |s| s.port = Some(65536)),
            ("peer.multihop", |s| s.multihop = Some(0)),
            ("peer.local_address", |s| s.local_address = "x".into()),
            ("peer.families[0]", |s| s.families = vec![0]),
            ("peer.password_file", |s| s.password_file = "key".into()),
            ("peer.ttl_security", |s| s.ttl_security = Some(255)),
            ("peer.local_interface", |s| s.local_interface = "a/b".into()),
        ];
        for (field, spoil) in wrong {
            let mut spec = spec();
            spoil(&mut spec);
            assert_eq!(field_at_fault(spec), field);
        }
    }
}
