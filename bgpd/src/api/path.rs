//! AS numbers, roles and kinds of communities of a peer, from and to messages.

use std::fmt::Display;

use godwit_bgp::attrs::CommunityKinds;
use godwit_bgp::{Asn, Role};
use godwit_config::{LocalAs, PathConfig, PathSettings};
use godwit_proto::v1;
use tonic::Status;

use super::error;

pub fn message(path: &PathConfig) -> v1::PathRules {
    let kinds = path.send_communities.names().map(str::to_owned).collect();
    v1::PathRules {
        local_as: path.local_as.map(|local| v1::LocalAs {
            asn: local.asn.0,
            no_prepend: local.no_prepend,
            replace_as: local.replace_as,
            dual_as: local.dual_as,
        }),
        allow_as_in: Some(path.allow_as_in.into()),
        as_override: Some(path.as_override),
        remove_private_as: Some(path.remove_private_as.name().to_owned()),
        enforce_first_as: Some(path.enforce_first_as),
        accept_as_set: Some(path.accept_as_set),
        max_as_path_length: Some(path.max_as_path_length.into()),
        role: path.role.map(|role| role.name().to_owned()),
        role_strict: Some(path.role_strict),
        send_communities: Some(v1::CommunityKinds { kinds }),
    }
}

/// What is absent stays open for the group.
pub fn settings(rules: Option<v1::PathRules>) -> Result<PathSettings, Status> {
    let rules = rules.unwrap_or_default();
    Ok(PathSettings {
        local_as: rules.local_as.map(local_as).transpose()?,
        allow_as_in: rules
            .allow_as_in
            .map(|n| within("allow_as_in", n))
            .transpose()?,
        as_override: rules.as_override,
        remove_private_as: rules
            .remove_private_as
            .map(|text| {
                let help = "is none of false, true, all, replace, all-replace";
                text.parse()
                    .map_err(|()| wrong("remove_private_as", &text, help))
            })
            .transpose()?,
        enforce_first_as: rules.enforce_first_as,
        accept_as_set: rules.accept_as_set,
        max_as_path_length: rules
            .max_as_path_length
            .map(|n| within("max_as_path_length", n))
            .transpose()?,
        role: rules
            .role
            .map(|text| {
                let names = Role::ALL.map(Role::name).join(", ");
                let help = format!("is none of {names}");
                text.parse().map_err(|()| wrong("role", &text, &help))
            })
            .transpose()?,
        role_strict: rules.role_strict,
        send_communities: rules
            .send_communities
            .map(|list| {
                let names = list.kinds.iter().map(String::as_str);
                let help = format!("is none of {}", CommunityKinds::NAMES.join(", "));
                CommunityKinds::of_names(names)
                    .map_err(|name| wrong("send_communities.kinds", name, &help))
            })
            .transpose()?,
    })
}

fn local_as(local: v1::LocalAs) -> Result<LocalAs, Status> {
    match local.asn {
        0 | 23456 | 65535 | u32::MAX => Err(wrong("local_as.asn", local.asn, "is nobody's AS")),
        asn => Ok(LocalAs {
            asn: Asn(asn),
            no_prepend: local.no_prepend,
            replace_as: local.replace_as,
            dual_as: local.dual_as,
        }),
    }
}

/// The configuration's own bounds are checked where peers are resolved.
fn within<T: TryFrom<u32>>(field: &str, number: u32) -> Result<T, Status> {
    T::try_from(number).map_err(|_| wrong(field, number, "is out of range"))
}

fn wrong(field: &str, value: impl Display, help: &str) -> Status {
    error::bad_field(format!("peer.path.{field}"), format!("`{value}` {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_back_as_told() {
        let path = PathConfig {
            local_as: Some(LocalAs {
                asn: Asn(4_200_000_000),
                no_prepend: true,
                replace_as: false,
                dual_as: true,
            }),
            allow_as_in: 3,
            as_override: true,
            remove_private_as: godwit_bgp::attrs::RemovePrivate::ReplaceAll,
            enforce_first_as: false,
            accept_as_set: true,
            max_as_path_length: 100,
            role: Some(Role::RouteServerClient),
            role_strict: true,
            send_communities: CommunityKinds::NONE,
        };
        let settings = settings(Some(message(&path))).unwrap();
        assert_eq!(settings.local_as, path.local_as);
        assert_eq!(settings.allow_as_in, Some(3));
        assert_eq!(settings.as_override, Some(true));
        assert_eq!(settings.remove_private_as, Some(path.remove_private_as));
        assert_eq!(settings.enforce_first_as, Some(false));
        assert_eq!(settings.accept_as_set, Some(true));
        assert_eq!(settings.max_as_path_length, Some(100));
        assert_eq!(
            (settings.role, settings.role_strict),
            (path.role, Some(true))
        );
        assert_eq!(settings.send_communities, Some(CommunityKinds::NONE));
    }

    #[test]
    fn what_is_absent_is_left_to_the_group() {
        assert_eq!(settings(None).unwrap(), PathSettings::default());
        let empty = settings(Some(v1::PathRules::default())).unwrap();
        assert_eq!(empty, PathSettings::default());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let wrong = [
            v1::PathRules {
                role: Some("boss".into()),
                ..v1::PathRules::default()
            },
            v1::PathRules {
                remove_private_as: Some("some".into()),
                ..v1::PathRules::default()
            },
            v1::PathRules {
                allow_as_in: Some(256),
                ..v1::PathRules::default()
            },
            v1::PathRules {
                local_as: Some(v1::LocalAs::default()),
                ..v1::PathRules::default()
            },
            v1::PathRules {
                send_communities: Some(v1::CommunityKinds {
                    kinds: vec!["wide".into()],
                }),
                ..v1::PathRules::default()
            },
        ];
        for rules in wrong {
            settings(Some(rules)).unwrap_err();
        }
    }
}
