//! The keys that peers and groups share.

use std::time::Duration;

use godwit_bgp::Family;
use godwit_policy::route::PolicySet;

use crate::error::Problem;
use crate::model::{AddPathConfig, LimitAction, LimitCount, PeerBfdConfig, PrefixLimit};
use crate::path;
use crate::policies;
use crate::reader::{Problems, Table};
use crate::schema;
use crate::settings::{DefaultSettings, FamilySettings, KeySpans, PeerSettings};
use crate::values;

pub(super) fn settings(
    table: &Table<'_>,
    policies: &PolicySet,
    warnings: &Problems,
) -> PeerSettings {
    const HOUR: Duration = Duration::from_secs(3600);
    let mut spans = KeySpans {
        table: Some(table.span()),
        ..KeySpans::default()
    };
    // A place is kept for a wrong value too: it is not to be called missing.
    macro_rules! take {
        ($key:literal, $read:expr) => {{
            if let Some(span) = table.value_span($key).or_else(|| table.misspelt($key)) {
                spans.keys.insert($key, span);
            }
            table.plain($key, $read)
        }};
    }
    let second = Duration::from_secs(1);
    let mut names = |key| {
        if let Some(span) = table.key_span(key) {
            spans.keys.insert(key, span);
        }
        policies::names(table, key, policies)
    };
    let (import, export) = (names("import"), names("export"));
    let path = path::read(table, |key| {
        if let Some(span) = table.value_span(key) {
            spans.keys.insert(key, span);
        }
    });
    let password = take!("password-file", values::password_file);
    if let Some(password) = password.as_ref().filter(|p| p.is_exposed()) {
        let problem = Problem::new(
            "others than its owner can read or change this password file",
            format!("`chmod 600 {}`", password.file().display()),
        );
        warnings.push(problem.at(table.value_span("password-file").unwrap_or_default()));
    }
    PeerSettings {
        description: None,
        disabled: take!("disabled", values::boolean),
        remote_as: take!("remote-as", values::remote_as),
        hold_time: take!("hold-time", values::hold_time),
        keepalive: take!("keepalive", values::duration_within(second, HOUR * 6)),
        connect_retry: take!("connect-retry", values::duration_within(second, HOUR)),
        send_hold_time: take!("send-hold-time", values::duration_within(second, HOUR * 24)),
        refresh_timeout: take!("refresh-timeout", values::duration_within(second, HOUR)),
        graceful_restart: take!("graceful-restart", values::boolean),
        stale_time: take!("stale-time", values::duration_within(second, HOUR * 24)),
        passive: take!("passive", values::boolean),
        port: take!("port", values::number(1..=u16::MAX)),
        local_address: take!("local-address", values::unicast),
        multihop: take!("multihop", values::number(2..=u8::MAX)),
        local_interface: take!("local-interface", values::interface),
        ttl_security: take!("ttl-security", values::ttl_security),
        password,
        limit: None,
        next_hop_self: take!("next-hop-self", values::boolean),
        extended_next_hop: take!("extended-next-hop", values::boolean),
        route_reflector_client: take!("route-reflector-client", values::boolean),
        default_originate: default_originate(table, policies),
        weight: take!("weight", values::number(0..=u32::MAX)),
        blackhole_community: take!("blackhole-community", values::boolean),
        graceful_shutdown: take!("graceful-shutdown", values::boolean),
        import,
        export,
        families: families(table, policies),
        path,
        bfd: bfd(table),
        spans,
    }
}

/// `true`, `false`, or a table of what is not as usual.
fn bfd(table: &Table<'_>) -> Option<Option<PeerBfdConfig>> {
    const KEY: &str = "bfd";
    let usual = PeerBfdConfig::default();
    if !table.raw(KEY)?.get_ref().is_table() {
        let on = table.plain(KEY, values::boolean)?;
        return Some(on.then_some(usual));
    }
    let table = table.table(KEY, &schema::PEER_BFD)?;
    let interval = table.plain("interval", values::bfd_interval);
    let multiplier = table.plain("multiplier", values::number(1..=u8::MAX));
    Some(Some(PeerBfdConfig {
        interval: interval.unwrap_or(usual.interval),
        multiplier: multiplier.unwrap_or(usual.multiplier),
        multihop: table.plain("multihop", values::boolean),
    }))
}

fn families(table: &Table<'_>, policies: &PolicySet) -> [Option<FamilySettings>; Family::COUNT] {
    let Some(named) = table.table("family", &schema::FAMILIES) else {
        return [None, None];
    };
    Family::ALL.map(|family| {
        let table = named.table(family.name(), &schema::FAMILY)?;
        Some(FamilySettings {
            import: policies::names(&table, "import", policies),
            export: policies::names(&table, "export", policies),
            default_originate: default_originate(&table, policies),
            prefix_limit: prefix_limit(&table, "prefix-limit", &LIMIT_ACTIONS),
            prefix_limit_out: prefix_limit(&table, "prefix-limit-out", &LIMIT_ACTIONS_OUT),
            add_path: table
                .table("add-path", &schema::ADD_PATH)
                .map(|table| AddPathConfig {
                    receive: table.plain("receive", values::boolean).unwrap_or(false),
                    send: table.plain("send", values::send_paths),
                }),
        })
    })
}

const RESTART: LimitAction = LimitAction::Restart(PrefixLimit::RESTART_AFTER);
static LIMIT_ACTIONS: [(&str, LimitAction); 4] = [
    ("warn", LimitAction::Warn),
    ("discard", LimitAction::Discard),
    ("restart", RESTART),
    ("disable", LimitAction::Disable),
];
static LIMIT_ACTIONS_OUT: [(&str, LimitAction); 3] = [
    ("warn", LimitAction::Warn),
    ("restart", RESTART),
    ("disable", LimitAction::Disable),
];

fn prefix_limit(
    family: &Table<'_>,
    key: &'static str,
    actions: &'static [(&'static str, LimitAction)],
) -> Option<PrefixLimit> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let table = family.table(key, &schema::PREFIX_LIMIT)?;
    let problems = table.problems();
    let help = "add `max = NUMBER`, the most prefixes";
    let max = table.required("max", help, values::number(1..=u32::MAX));
    let then = table.plain("then", values::word(actions));
    let pause = table.plain(
        "restart-after",
        values::duration_within(Duration::from_secs(1), DAY * 7),
    );
    let warn_at = table.plain("warn-at", values::number(1..=100));
    let counts = values::word(&[
        ("received", LimitCount::Received),
        ("accepted", LimitCount::Accepted),
    ]);
    let count = table.plain("count", counts);
    let then = match (then.unwrap_or(LimitAction::Warn), pause) {
        (LimitAction::Restart(_), Some(pause)) => LimitAction::Restart(pause),
        (then, Some(_)) => {
            let problem = Problem::new(
                "`restart-after` is for limits that restart the session",
                "add `then = \"restart\"`, or take the key out",
            );
            let at = table.key_span("restart-after").unwrap_or(table.span());
            problems.push(problem.at(at).label("has no effect"));
            then
        }
        (then, None) => then,
    };
    if actions.len() == LIMIT_ACTIONS_OUT.len() && count.is_some() {
        let problem = Problem::new(
            "`count` is for what a peer announces",
            "take the key out: all that the peer is sent counts",
        );
        let at = table.key_span("count").unwrap_or(table.span());
        problems.push(problem.at(at).label("has no effect"));
    }
    Some(PrefixLimit {
        max: max?.into_inner(),
        then,
        warn_at: warn_at.unwrap_or(PrefixLimit::WARN_AT),
        count: count.unwrap_or_default(),
    })
}

/// `true`, `false`, or a table of what goes with it.
fn default_originate(table: &Table<'_>, policies: &PolicySet) -> Option<DefaultSettings> {
    const KEY: &str = "default-originate";
    let value = table.raw(KEY)?;
    if !value.get_ref().is_table() {
        let on = table.plain(KEY, values::boolean)?;
        return Some(DefaultSettings {
            on,
            ..DefaultSettings::default()
        });
    }
    let table = table.table(KEY, &schema::DEFAULT_ORIGINATE)?;
    Some(DefaultSettings {
        on: true,
        when: table.plain("if", values::string),
        policy: policies::names(&table, "policy", policies),
    })
}
