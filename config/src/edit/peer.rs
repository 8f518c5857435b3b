//! A `[[peer]]` as one would write it.

use std::time::Duration;

use godwit_bgp::attrs::RemovePrivate;
use godwit_bgp::{Family, SendPaths};
use toml_edit::{Array, InlineTable, Item, Table, Value};

use crate::model::{
    AddPathConfig, LimitAction, LimitCount, PeerBfdConfig, PeerKey, PrefixLimit, RemoteAs,
};
use crate::path::{LocalAs, PathSettings};
use crate::settings::{DefaultSettings, FamilySettings, PeerSettings};

/// As one would write it. Taken apart without `..`: a new key does not compile
/// before it is written, too.
pub(super) fn peer_table(key: PeerKey, group: Option<&str>, settings: &PeerSettings) -> Table {
    let PeerSettings {
        description,
        disabled,
        remote_as,
        hold_time,
        send_hold_time,
        keepalive,
        connect_retry,
        refresh_timeout,
        graceful_restart,
        stale_time,
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
        spans: _,
    } = settings;
    let mut table = Table::new();
    let mut put = |key: &str, given: Option<Value>| {
        if let Some(given) = given {
            table.insert(key, Item::Value(given));
        }
    };
    let name = match key {
        PeerKey::Address(_) => "address",
        PeerKey::Interface(_) => "interface",
        PeerKey::Range(_) => "range",
    };
    put(name, Some(key.to_string().into()));
    put("group", group.map(Value::from));
    put("remote-as", remote_as.map(remote_as_value));
    put("description", description.as_ref().map(Value::from));
    put("disabled", disabled.map(Value::from));
    put("hold-time", hold_time.map(duration));
    put("send-hold-time", send_hold_time.map(duration));
    put("keepalive", keepalive.map(duration));
    put("connect-retry", connect_retry.map(duration));
    put("refresh-timeout", refresh_timeout.map(duration));
    put("graceful-restart", graceful_restart.map(Value::from));
    put("stale-time", stale_time.map(duration));
    put("passive", passive.map(Value::from));
    put("port", port.map(number));
    put("local-address", local_address.map(|a| a.to_string().into()));
    put("multihop", multihop.map(number));
    put("local-interface", local_interface.as_ref().map(Value::from));
    put("ttl-security", ttl_security.map(ttl_security_value));
    let file = password.as_ref().map(|p| p.file().display().to_string());
    put("password-file", file.map(Value::from));
    put("limit", limit.map(number));
    put("next-hop-self", next_hop_self.map(Value::from));
    put("extended-next-hop", extended_next_hop.map(Value::from));
    put(
        "route-reflector-client",
        route_reflector_client.map(Value::from),
    );
    put(
        "default-originate",
        default_originate.as_ref().map(default_value),
    );
    put("weight", weight.map(number));
    put("blackhole-community", blackhole_community.map(Value::from));
    put("graceful-shutdown", graceful_shutdown.map(Value::from));
    put("import", import.as_ref().map(names));
    put("export", export.as_ref().map(names));
    put("bfd", bfd.as_ref().map(bfd_value));
    path_keys(path, &mut put);
    for family in Family::ALL {
        let Some(Some(settings)) = families.get(family.index()) else {
            continue;
        };
        let FamilySettings {
            import,
            export,
            default_originate,
            prefix_limit,
            prefix_limit_out,
            add_path,
        } = settings;
        let mut own = Table::new();
        if let Some(import) = import {
            own.insert("import", Item::Value(names(import)));
        }
        if let Some(export) = export {
            own.insert("export", Item::Value(names(export)));
        }
        if let Some(default) = default_originate {
            own.insert("default-originate", Item::Value(default_value(default)));
        }
        if let Some(AddPathConfig { receive, send }) = add_path {
            let mut paths = InlineTable::new();
            paths.insert("receive", (*receive).into());
            if let Some(send) = send {
                paths.insert("send", send_paths_value(*send));
            }
            own.insert("add-path", Item::Value(paths.into()));
        }
        let limits = [
            ("prefix-limit", prefix_limit),
            ("prefix-limit-out", prefix_limit_out),
        ];
        for (key, limit) in limits {
            if let Some(limit) = limit {
                own.insert(key, Item::Value(limit_value(*limit)));
            }
        }
        let families = table
            .entry("family")
            .or_insert_with(|| {
                let mut families = Table::new();
                families.set_implicit(true);
                Item::Table(families)
            })
            .as_table_mut();
        if let Some(families) = families {
            families.insert(family.name(), Item::Table(own));
        }
    }
    table
}

fn default_value(default: &DefaultSettings) -> Value {
    let DefaultSettings { on, when, policy } = default;
    if !on || (when.is_none() && policy.is_none()) {
        return (*on).into();
    }
    let mut table = InlineTable::new();
    if let Some(when) = when {
        table.insert("if", when.into());
    }
    if let Some(policy) = policy {
        table.insert("policy", names(policy));
    }
    table.into()
}

fn send_paths_value(send: SendPaths) -> Value {
    match send {
        SendPaths::Best(count) => number(count.get()),
        SendPaths::All => "all".into(),
        SendPaths::Ecmp => "ecmp".into(),
    }
}

fn limit_value(limit: PrefixLimit) -> Value {
    let PrefixLimit {
        max,
        then,
        warn_at,
        count,
    } = limit;
    let mut table = InlineTable::new();
    table.insert("max", number(max));
    let (word, pause) = match then {
        LimitAction::Warn => ("warn", None),
        LimitAction::Discard => ("discard", None),
        LimitAction::Restart(pause) => ("restart", Some(pause)),
        LimitAction::Disable => ("disable", None),
    };
    table.insert("then", word.into());
    if let Some(pause) = pause {
        table.insert("restart-after", duration(pause));
    }
    table.insert("warn-at", number(warn_at));
    if count == LimitCount::Accepted {
        table.insert("count", "accepted".into());
    }
    table.into()
}

fn path_keys(settings: &PathSettings, put: &mut impl FnMut(&str, Option<Value>)) {
    let PathSettings {
        local_as,
        allow_as_in,
        as_override,
        remove_private_as,
        enforce_first_as,
        accept_as_set,
        max_as_path_length,
        role,
        role_strict,
        send_communities,
    } = settings;
    put("local-as", local_as.map(local_as_value));
    put("allow-as-in", allow_as_in.map(number));
    put("as-override", as_override.map(Value::from));
    let private = remove_private_as.map(|how| match how {
        RemovePrivate::No => false.into(),
        RemovePrivate::IfAlone => true.into(),
        how => how.name().into(),
    });
    put("remove-private-as", private);
    put("enforce-first-as", enforce_first_as.map(Value::from));
    let as_set = accept_as_set.map(|accept| if accept { "accept" } else { "withdraw" });
    put("as-set", as_set.map(Value::from));
    put("max-as-path-length", max_as_path_length.map(number));
    put("role", role.map(|role| role.name().into()));
    put("role-strict", role_strict.map(Value::from));
    let kinds = send_communities.map(|kinds| Array::from_iter(kinds.names()));
    put("send-communities", kinds.map(Value::from));
}

fn local_as_value(local: LocalAs) -> Value {
    let LocalAs {
        asn,
        no_prepend,
        replace_as,
        dual_as,
    } = local;
    let asn = Value::from(i64::from(asn.0));
    if !no_prepend && !replace_as && !dual_as {
        return asn;
    }
    let mut table = InlineTable::new();
    table.insert("asn", asn);
    for (key, set) in [
        ("no-prepend", no_prepend),
        ("replace-as", replace_as),
        ("dual-as", dual_as),
    ] {
        if set {
            table.insert(key, true.into());
        }
    }
    table.into()
}

fn remote_as_value(remote_as: RemoteAs) -> Value {
    match remote_as {
        RemoteAs::Asn(asn) => i64::from(asn.0).into(),
        RemoteAs::External => "external".into(),
        RemoteAs::Internal => "internal".into(),
    }
}

fn number(number: impl Into<i64>) -> Value {
    number.into().into()
}

fn ttl_security_value(hops: u8) -> Value {
    match hops {
        0 => false.into(),
        1 => true.into(),
        hops => number(hops),
    }
}

fn duration(span: Duration) -> Value {
    match span.subsec_millis() {
        0 => format!("{}s", span.as_secs()).into(),
        _ => format!("{}ms", span.as_millis()).into(),
    }
}

fn names(names: &Vec<String>) -> Value {
    Array::from_iter(names).into()
}

fn bfd_value(bfd: &Option<PeerBfdConfig>) -> Value {
    let Some(PeerBfdConfig {
        interval,
        multiplier,
        multihop,
    }) = bfd
    else {
        return false.into();
    };
    let mut table = InlineTable::new();
    table.insert("interval", duration(*interval));
    table.insert("multiplier", number(*multiplier));
    if let Some(multihop) = multihop {
        table.insert("multihop", (*multihop).into());
    }
    table.into()
}
