//! A peer that a client wants.

use std::num::NonZeroU16;
use std::time::Duration;

use godwit_bgp::{Asn, Family, SendPaths};
use godwit_config::{
    AddPathConfig, DefaultSettings, FamilySettings, MAX_SEND_PATHS, Password, PeerBfdConfig,
    PeerSettings, RemoteAs,
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
        let family = convert::family(&format!("{field}.family"), message.family)?;
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
            keepalive: span("peer.keepalive", spec.keepalive)?,
            connect_retry: span("peer.connect_retry", spec.connect_retry)?,
            refresh_timeout: span("peer.refresh_timeout", spec.refresh_timeout)?,
            graceful_restart: spec.graceful_restart,
            stale_time: span("peer.stale_time", spec.stale_time)?,
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
            bfd: spec.bfd.map(|message| bfd(&message)).transpose()?,
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

/// `Some(None)`: off.
fn bfd(message: &v1::BfdSpec) -> Result<Option<PeerBfdConfig>, Status> {
    if message.off {
        return Ok(None);
    }
    let usual = PeerBfdConfig::default();
    let interval = span("peer.bfd.interval", message.interval)?.unwrap_or(usual.interval);
    let whole = interval.subsec_nanos().is_multiple_of(1_000_000);
    if !whole || !PeerBfdConfig::INTERVALS.contains(&interval) {
        let why = "not whole milliseconds from 10 ms to 60 s";
        return Err(error::bad_field("peer.bfd.interval", why));
    }
    Ok(Some(PeerBfdConfig {
        interval,
        multiplier: match message.multiplier {
            0 => usual.multiplier,
            number => small(number, "peer.bfd.multiplier")?,
        },
        multihop: message.multihop,
    }))
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
    use godwit_config::{LimitAction, LimitCount, PrefixLimit};
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

    /// Each field unlike its default. A field that comes to be and is not here
    /// does not compile.
    fn full(key: &std::path::Path) -> v1::PeerSpec {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let limit = |max| {
            Some(v1::PrefixLimit {
                max,
                then: v1::LimitAction::Restart as i32,
                restart_after: seconds(77),
                warn_at: Some(66),
                accepted: max == 5,
            })
        };
        v1::PeerSpec {
            address: "10.0.0.1".into(),
            group: "some".into(),
            remote_as: "65002".into(),
            description: "the first".into(),
            passive: Some(true),
            disabled: Some(true),
            hold_time: seconds(30),
            local_address: "10.0.0.9".into(),
            port: Some(1179),
            route_reflector_client: Some(false),
            next_hop_self: Some(true),
            import: vec!["accept-all".into()],
            export: vec!["reject-all".into()],
            families: vec![v1::Family::Ipv4Unicast as i32],
            multihop: None,
            refresh_timeout: seconds(33),
            graceful_restart: Some(false),
            stale_time: seconds(35),
            path: Some(v1::PathRules {
                local_as: Some(v1::LocalAs {
                    asn: 64999,
                    no_prepend: true,
                    replace_as: true,
                    dual_as: true,
                }),
                allow_as_in: Some(2),
                as_override: Some(true),
                remove_private_as: Some("all".into()),
                enforce_first_as: Some(false),
                accept_as_set: Some(true),
                max_as_path_length: Some(99),
                role: Some("peer".into()),
                role_strict: Some(true),
                send_communities: Some(v1::CommunityKinds {
                    kinds: vec!["standard".into(), "large".into()],
                }),
            }),
            weight: Some(7),
            default_originate: Some(v1::DefaultOriginate {
                condition: "10.9.0.0/16+".into(),
                policy: vec!["accept-all".into()],
            }),
            blackhole_community: Some(true),
            graceful_shutdown: Some(true),
            extended_next_hop: Some(true),
            limits: vec![v1::FamilyLimits {
                family: v1::Family::Ipv4Unicast as i32,
                r#in: limit(5),
                out: limit(6),
            }],
            send_hold_time: seconds(44),
            keepalive: seconds(9),
            connect_retry: seconds(4),
            password_file: key.display().to_string(),
            ttl_security: Some(1),
            local_interface: "eth7".into(),
            bfd: Some(v1::BfdSpec {
                interval: Some(Duration::from_millis(70).try_into().unwrap()),
                multiplier: 4,
                multihop: Some(true),
                off: false,
            }),
            add_path: vec![v1::AddPath {
                family: v1::Family::Ipv4Unicast as i32,
                receive: true,
                send: "4".into(),
            }],
        }
    }

    /// A key of TCP-MD5, where a daemon would have its own.
    fn key() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret").unwrap();
        file
    }

    #[test]
    fn every_field_becomes_a_setting() {
        let key = key();
        let peer = new_peer(full(key.path())).unwrap();
        assert_eq!(peer.name.to_string(), "10.0.0.1");
        assert_eq!(peer.group.as_deref(), Some("some"));
        let secs = |n| Some(Duration::from_secs(n));
        let names = |name: &str| Some(vec![name.to_owned()]);
        // As the test above: all of them.
        let PeerSettings {
            description,
            disabled,
            remote_as,
            hold_time,
            keepalive,
            connect_retry,
            refresh_timeout,
            graceful_restart,
            stale_time,
            send_hold_time,
            passive,
            port,
            local_address,
            multihop,
            local_interface,
            ttl_security,
            password,
            limit,
            next_hop_self,
            extended_next_hop,
            route_reflector_client,
            default_originate,
            weight,
            blackhole_community,
            graceful_shutdown,
            import,
            export,
            families,
            path,
            bfd,
            spans,
        } = peer.settings;
        let bfd = bfd.unwrap().unwrap();
        assert_eq!(bfd.interval, Duration::from_millis(70));
        assert_eq!((bfd.multiplier, bfd.multihop), (4, Some(true)));
        assert_eq!(description.as_deref(), Some("the first"));
        assert_eq!((disabled, passive), (Some(true), Some(true)));
        assert_eq!(remote_as, Some(RemoteAs::Asn(Asn(65002))));
        assert_eq!((hold_time, keepalive), (secs(30), secs(9)));
        assert_eq!((connect_retry, refresh_timeout), (secs(4), secs(33)));
        assert_eq!((graceful_restart, stale_time), (Some(false), secs(35)));
        assert_eq!(send_hold_time, secs(44));
        assert_eq!(port, Some(1179));
        assert_eq!(local_address, Some("10.0.0.9".parse().unwrap()));
        assert_eq!((multihop, ttl_security), (None, Some(1)));
        assert_eq!(local_interface.as_deref(), Some("eth7"));
        assert_eq!(password.unwrap().key(), b"secret");
        // Of a range and of a file.
        assert_eq!((limit, spans), (None, Default::default()));
        assert_eq!((next_hop_self, extended_next_hop), (Some(true), Some(true)));
        assert_eq!(route_reflector_client, Some(false));
        let default = DefaultSettings {
            on: true,
            when: Some("10.9.0.0/16+".into()),
            policy: names("accept-all"),
        };
        assert_eq!(default_originate, Some(default));
        assert_eq!(weight, Some(7));
        assert_eq!(
            (blackhole_community, graceful_shutdown),
            (Some(true), Some(true))
        );
        assert_eq!((import, export), (names("accept-all"), names("reject-all")));
        assert_eq!(path, path::settings(full(key.path()).path).unwrap());
        let [Some(ipv4), None] = families else {
            panic!("{families:?}");
        };
        let limit = |max| PrefixLimit {
            max,
            then: LimitAction::Restart(Duration::from_secs(77)),
            warn_at: 66,
            count: match max {
                5 => LimitCount::Accepted,
                _ => LimitCount::Received,
            },
        };
        let expected = FamilySettings {
            prefix_limit: Some(limit(5)),
            prefix_limit_out: Some(limit(6)),
            add_path: Some(AddPathConfig {
                receive: true,
                send: NonZeroU16::new(4).map(SendPaths::Best),
            }),
            ..FamilySettings::default()
        };
        assert_eq!(ipv4, expected);
        let far = v1::PeerSpec {
            multihop: Some(3),
            ttl_security: None,
            ..full(key.path())
        };
        assert_eq!(new_peer(far).unwrap().settings.multihop, Some(3));
    }

    #[test]
    fn several_paths_are_read_in_every_form() {
        let send = |text: &str| {
            let spec = v1::PeerSpec {
                families: vec![v1::Family::Ipv6Unicast as i32],
                add_path: vec![v1::AddPath {
                    family: v1::Family::Ipv6Unicast as i32,
                    receive: false,
                    send: text.into(),
                }],
                ..spec()
            };
            let settings = new_peer(spec).map(|peer| peer.settings);
            settings.map(|s| {
                s.families[Family::Ipv6Unicast.index()]
                    .clone()?
                    .add_path?
                    .send
            })
        };
        let best = |n| NonZeroU16::new(n).map(SendPaths::Best);
        assert_eq!(send("").unwrap(), None);
        assert_eq!(send("all").unwrap(), Some(SendPaths::All));
        assert_eq!(send("ecmp").unwrap(), Some(SendPaths::Ecmp));
        assert_eq!(send("1").unwrap(), best(1));
        assert_eq!(send("256").unwrap(), best(256));
        for wrong in ["0", "257", "-1", "best", "ALL"] {
            assert!(send(wrong).is_err(), "{wrong}");
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
        fn family(family: i32, send: &str) -> v1::AddPath {
            v1::AddPath {
                family,
                receive: false,
                send: send.into(),
            }
        }
        const IPV4: i32 = v1::Family::Ipv4Unicast as i32;
        const BELOW: prost_types::Duration = prost_types::Duration {
            seconds: -1,
            nanos: 0,
        };
        let wrong: [(&str, Spoil); 16] = [
            ("peer.address", |s| s.address = "10.0.0.300".into()),
            ("peer.remote_as", |s| s.remote_as = "0".into()),
            ("peer.port", |s| s.port = Some(65536)),
            ("peer.multihop", |s| s.multihop = Some(0)),
            ("peer.local_address", |s| s.local_address = "x".into()),
            ("peer.families[0]", |s| s.families = vec![0]),
            ("peer.password_file", |s| s.password_file = "key".into()),
            ("peer.ttl_security", |s| s.ttl_security = Some(255)),
            ("peer.local_interface", |s| s.local_interface = "a/b".into()),
            ("peer.keepalive", |s| s.keepalive = Some(BELOW)),
            ("peer.connect_retry", |s| s.connect_retry = Some(BELOW)),
            ("peer.add_path[0].family", |s| {
                s.add_path = vec![family(IPV4, "")];
            }),
            ("peer.add_path[0].family", |s| {
                s.add_path = vec![family(99, "")];
            }),
            ("peer.add_path[1].send", |s| {
                s.families = vec![IPV4];
                s.add_path = vec![family(IPV4, "all"), family(IPV4, "most")];
            }),
            ("peer.limits[0].family", |s| {
                s.limits = vec![v1::FamilyLimits::default()];
            }),
            ("peer.limits[0].family", |s| {
                s.limits = vec![v1::FamilyLimits {
                    family: IPV4,
                    ..v1::FamilyLimits::default()
                }];
            }),
        ];
        for (field, spoil) in wrong {
            let mut spec = spec();
            spoil(&mut spec);
            assert_eq!(field_at_fault(spec), field);
        }
    }
}
