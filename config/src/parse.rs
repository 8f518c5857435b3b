//! From the text of a file to a [`Config`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annotate_snippets::Level;
use godwit_bgp::Family;
use godwit_policy::route::{PolicySet, Registry};
use ipnet::IpNet;
use toml::de::DeTable;

use crate::error::{ConfigErrors, Problem};
use crate::model::{
    AddPathConfig, AggregateConfig, ApiConfig, Changes, Config, FibConfig, LimitAction, LimitCount,
    LogConfig, LogFormat, NextHopConfig, OnStop, OriginateConfig, PeerConfig, PeerKey, PrefixLimit,
    RouterConfig,
};
use crate::path;
use crate::policies;
use crate::reader::{Problems, Table};
use crate::schema;
use crate::settings::{
    DefaultSettings, FamilySettings, KeySpans, PeerSettings, Resolver, no_group,
};
use crate::syntax;
use crate::values;

/// Reads and checks a file.
pub fn load(path: impl AsRef<Path>) -> Result<Config, ConfigErrors> {
    load_with(path, &Registry::default())
}

/// The same, where there are policies written in Rust.
pub fn load_with(path: impl AsRef<Path>, registry: &Registry) -> Result<Config, ConfigErrors> {
    let path = path.as_ref();
    parse_with(&path.display().to_string(), &read_text(path)?, registry)
}

/// The text of a file, not checked yet.
pub fn read_text(path: impl AsRef<Path>) -> Result<String, ConfigErrors> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let fail =
        |what: String, help: &str| ConfigErrors::new(&name, "", vec![Problem::new(what, help)]);
    let bytes = std::fs::read(path).map_err(|error| {
        fail(
            format!("can't be read: {error}"),
            "name another file with -c, or make this one readable",
        )
    })?;
    String::from_utf8(bytes).map_err(|_| fail("is not text".to_owned(), "save it as UTF-8"))
}

/// Checks the text of a file; `name` is shown with errors.
pub fn parse(name: &str, text: &str) -> Result<Config, ConfigErrors> {
    parse_with(name, text, &Registry::default())
}

/// The same, where there are policies written in Rust.
pub fn parse_with(name: &str, text: &str, registry: &Registry) -> Result<Config, ConfigErrors> {
    let (document, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        let problems = syntax::problems(&faults, text);
        return Err(ConfigErrors::new(name, text, problems));
    }
    let problems = Problems::default();
    let warnings = Problems::default();
    let root = Table::new(
        document.get_ref(),
        document.span(),
        &schema::ROOT,
        &problems,
    );
    let config = read(&root, &warnings, registry);
    let problems = problems.into_inner();
    match config {
        Some(mut config) if problems.is_empty() => {
            let mut warnings = warnings.into_inner();
            warnings.sort_by_key(|w| w.span.as_ref().map(|s| s.start));
            config.warnings = warnings
                .iter()
                .map(|w| w.render(&Level::WARNING, name, text, false))
                .collect();
            Ok(config)
        }
        _ => Err(ConfigErrors::new(name, text, problems)),
    }
}

/// `None` only after a problem was noted.
fn read(root: &Table<'_>, warnings: &Problems, registry: &Registry) -> Option<Config> {
    let problems = root.problems();
    let router = router(root);
    let originate = originate(root, warnings);
    let aggregate = aggregate(root, &originate);
    let policy = policies::read(root, registry);
    let policies = Arc::new(policy.compile(registry, problems));
    let groups = groups(root, &policies, warnings);
    let resolver = Resolver {
        asn: router.as_ref().map(|router| router.asn),
        policies: &policies,
        sets: &policy.spec.prefix_sets,
    };
    let peers = peers(root, &groups, &resolver, warnings);
    let fib = fib(root);
    let next_hop = root.table("next-hop", &schema::NEXT_HOP);
    let flag = |key| next_hop.and_then(|table| table.plain(key, values::boolean));
    Some(Config {
        next_hop: NextHopConfig {
            require: flag("require").unwrap_or(fib.enabled),
            via_default: flag("via-default").unwrap_or(true),
        },
        originate,
        aggregate,
        peers,
        fib,
        api: api(root),
        log: log(root),
        warnings: Vec::new(),
        groups,
        policy_spec: policy.spec,
        policy_text: policy.text,
        policies,
        // Last: all else is to be read even so.
        router: router?,
    })
}

fn router(root: &Table<'_>) -> Option<RouterConfig> {
    const HELP: &str = "add `[router]` with `asn = NUMBER`, our AS number";
    if !root.has("router") {
        let problem = Problem::new("`[router]` is missing", HELP);
        root.problems().push(problem);
        return None;
    }
    let table = root.table("router", &schema::ROUTER)?;
    let asn = table.required("asn", "add `asn = NUMBER`, our AS number", values::asn);
    let paths = |key| table.plain(key, values::number(1..=256));
    let max_paths = paths("max-paths").unwrap_or(16);
    let external = paths("max-paths-external").unwrap_or(max_paths);
    let internal = paths("max-paths-internal").unwrap_or(max_paths);
    let router_id = table.plain("router-id", values::router_id);
    let cluster_id = table.plain("cluster-id", values::router_id);
    let relax = table.plain("multipath-relax", values::boolean);
    let connection_rate = table.plain("connection-rate", values::number(0..=10_000));
    let listen = listeners(&table);
    let hour = Duration::from_secs(3600);
    let delay = values::duration_within(Duration::ZERO, hour);
    let update_delay = table.plain("update-delay", delay);
    let bandwidth = values::word(&[("use", true), ("ignore", false)]);
    let link_bandwidth = table.plain("link-bandwidth", bandwidth);
    Some(RouterConfig {
        asn: asn?.into_inner(),
        router_id,
        listen,
        cluster_id,
        multipath_relax: relax.unwrap_or(false),
        link_bandwidth: link_bandwidth.unwrap_or(true),
        update_delay: update_delay.unwrap_or_default(),
        max_paths_external: external,
        max_paths_internal: internal,
        connection_rate: connection_rate.unwrap_or(10),
    })
}

fn listeners(router: &Table<'_>) -> Vec<SocketAddr> {
    let Some(listed) = router.list("listen", values::listener) else {
        return vec![
            SocketAddr::from(([0, 0, 0, 0], 179)),
            SocketAddr::from(([0u16; 8], 179)),
        ];
    };
    let mut seen: BTreeMap<SocketAddr, Range<usize>> = BTreeMap::new();
    for item in &listed {
        if let Some(first) = seen.insert(*item.get_ref(), item.span()) {
            let problem = Problem::new("listed twice", "take one of them out")
                .at(item.span())
                .label("again")
                .and(first, "first here");
            router.problems().push(problem);
        }
    }
    listed.into_iter().map(|item| item.into_inner()).collect()
}

fn originate(root: &Table<'_>, warnings: &Problems) -> Vec<OriginateConfig> {
    let mut out = Vec::new();
    let mut seen: BTreeMap<IpNet, Range<usize>> = BTreeMap::new();
    for table in root.tables("originate", &schema::ORIGINATE) {
        let help = "add `prefix = \"ADDRESS/LENGTH\"`, what to announce";
        let prefix = table.required("prefix", help, values::prefix);
        let blackhole = table.plain("blackhole", values::boolean).unwrap_or(false);
        let Some(prefix) = prefix else { continue };
        let (span, prefix) = (prefix.span(), prefix.into_inner());
        if let Some(first) = seen.get(&prefix) {
            let problem = Problem::new(
                format!("{prefix} is originated twice"),
                "take one of them out",
            );
            let problem = problem
                .at(span)
                .label("again")
                .and(first.clone(), "first here");
            root.problems().push(problem);
            continue;
        }
        if let Some((other, first)) = overlapping(&seen, prefix) {
            let problem = Problem::new(
                format!("{prefix} and {other} overlap"),
                "both are announced; take one out if that is not meant",
            );
            warnings.push(problem.at(span.clone()).and(first.clone(), "the other"));
        }
        seen.insert(prefix, span);
        out.push(OriginateConfig { prefix, blackhole });
    }
    out
}

fn aggregate(root: &Table<'_>, originate: &[OriginateConfig]) -> Vec<AggregateConfig> {
    let mut out = Vec::new();
    let mut seen: BTreeMap<IpNet, Range<usize>> = BTreeMap::new();
    for table in root.tables("aggregate", &schema::AGGREGATE) {
        let help = "add `prefix = \"ADDRESS/LENGTH\"`, what to announce";
        let prefix = table.required("prefix", help, values::prefix);
        let flag = |key| table.plain(key, values::boolean);
        let (summary_only, blackhole) = (flag("summary-only"), flag("blackhole"));
        let Some(prefix) = prefix else { continue };
        let (span, prefix) = (prefix.span(), prefix.into_inner());
        if originate.iter().any(|route| route.prefix == prefix) {
            let problem = Problem::new(
                format!("{prefix} is originated too"),
                "it is announced always by `[[originate]]`: take one of the two out",
            );
            root.problems().push(problem.at(span).label("here again"));
            continue;
        }
        if let Some(first) = seen.insert(prefix, span.clone()) {
            let problem = Problem::new(
                format!("{prefix} is aggregated twice"),
                "take one of them out",
            );
            let problem = problem.at(span).label("again").and(first, "first here");
            root.problems().push(problem);
            continue;
        }
        out.push(AggregateConfig {
            prefix,
            summary_only: summary_only.unwrap_or(false),
            blackhole: blackhole.unwrap_or(true),
        });
    }
    out
}

/// The closest prefix that covers this one, or else the first within it. A host
/// may originate thousands, so this looks each length up instead of at each.
fn overlapping<T>(seen: &BTreeMap<IpNet, T>, prefix: IpNet) -> Option<(&IpNet, &T)> {
    let covering = std::iter::successors(prefix.supernet(), IpNet::supernet);
    let covering = covering
        .into_iter()
        .find_map(|net| seen.get_key_value(&net));
    // Prefixes sort by address: what lies within follows at once.
    covering.or_else(|| {
        let next = seen.range(prefix..).next();
        next.filter(|(net, _)| prefix.contains(*net))
    })
}

fn groups(
    root: &Table<'_>,
    policies: &PolicySet,
    warnings: &Problems,
) -> BTreeMap<String, PeerSettings> {
    root.named("peer-group")
        .into_iter()
        .filter_map(|(name, value)| {
            let table = root.as_table(value, &schema::PEER_GROUP)?;
            let settings = settings(&table, policies, warnings);
            Some((name.get_ref().to_string(), settings))
        })
        .collect()
}

/// The keys that peers and groups share.
fn settings(table: &Table<'_>, policies: &PolicySet, warnings: &Problems) -> PeerSettings {
    const HOUR: Duration = Duration::from_secs(3600);
    let mut spans = KeySpans {
        table: Some(table.span()),
        ..KeySpans::default()
    };
    // A place is kept for a wrong value too: it is not to be called missing.
    macro_rules! take {
        ($key:literal, $read:expr) => {{
            if let Some(span) = table.value_span($key) {
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
        spans,
    }
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

fn peers(
    root: &Table<'_>,
    groups: &BTreeMap<String, PeerSettings>,
    resolver: &Resolver<'_>,
    warnings: &Problems,
) -> Vec<PeerConfig> {
    let problems = root.problems();
    let mut seen: BTreeMap<PeerKey, Range<usize>> = BTreeMap::new();
    let mut peers = Vec::new();
    for table in root.tables("peer", &schema::PEER) {
        let mut own = settings(&table, resolver.policies, warnings);
        own.limit = limit(&table, &mut own.spans);
        own.description = table.plain("description", values::string);
        let (key, group) = (peer_key(&table), peer_group(&table, groups));
        let (Some((key, span)), Ok(group)) = (key, group) else {
            continue;
        };
        if let Some(first) = seen.insert(key, span.clone()) {
            let problem = Problem::new(
                format!("peer {key} stands here twice"),
                "take one of them out",
            );
            problems.push(
                problem
                    .at(span.clone())
                    .label("again")
                    .and(first, "first here"),
            );
        }
        match resolver.resolve(key, group, &own) {
            Ok(peer) => {
                warn_of_silence(&peer, span, warnings);
                peers.push(peer);
            }
            Err(found) => found.into_iter().for_each(|problem| problems.push(problem)),
        }
    }
    warn_of_foreign_keys(&peers, &seen, warnings);
    peers
}

/// The kernel has no way to except an address from a range's key.
fn warn_of_foreign_keys(
    peers: &[PeerConfig],
    places: &BTreeMap<PeerKey, Range<usize>>,
    warnings: &Problems,
) {
    let keyed: Vec<(IpNet, PeerKey)> = peers
        .iter()
        .filter(|peer| peer.password.is_some())
        .filter_map(|peer| match peer.key {
            PeerKey::Range(range) => Some((range, peer.key)),
            PeerKey::Address(_) | PeerKey::Interface(_) => None,
        })
        .collect();
    for peer in peers.iter().filter(|peer| peer.password.is_none()) {
        let around = |range: &IpNet| match peer.key {
            PeerKey::Address(address) => range.contains(&address),
            PeerKey::Interface(_) => false,
            PeerKey::Range(inner) => *range != inner && range.contains(&inner),
        };
        if let Some((range, key)) = keyed.iter().find(|(range, _)| around(range))
            && let (Some(here), Some(there)) = (places.get(&peer.key), places.get(key))
        {
            let problem = Problem::new(
                format!("the key of the range {range} holds for {} too", peer.key),
                "give it a `password-file` of its own: it cannot connect to us without any",
            );
            warnings.push(
                problem
                    .at(here.clone())
                    .label("without a key")
                    .and(there.clone(), "with a key"),
            );
        }
    }
}

fn limit(table: &Table<'_>, spans: &mut KeySpans) -> Option<u32> {
    let span = table.value_span("limit")?;
    spans.keys.insert("limit", span);
    table.plain("limit", values::number(1..=30_000))
}

/// A peer as a file has it, not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPeer {
    pub key: PeerKey,
    pub group: Option<String>,
    pub settings: PeerSettings,
}

impl Config {
    /// Reads `[[peer]]` tables that stand elsewhere, as [`edit`](crate::edit)
    /// writes them, by the policies and groups of this file. What is wrong with
    /// one is returned in its place.
    pub fn read_peers(&self, text: &str) -> Vec<Result<ReadPeer, String>> {
        let (document, faults) = DeTable::parse_recoverable(text);
        if let Some(fault) = faults.first() {
            return vec![Err(fault.message().to_owned())];
        }
        let problems = Problems::default();
        let root = Table::new(
            document.get_ref(),
            document.span(),
            &schema::ROOT,
            &problems,
        );
        let read = |table: &Table<'_>| {
            let mut settings = settings(table, self.policies(), &Problems::default());
            settings.limit = limit(table, &mut settings.spans);
            settings.description = table.plain("description", values::string);
            settings.spans = KeySpans::default();
            let key = peer_key(table).map(|(key, _)| key);
            let group = table.plain("group", values::string);
            let wrong = table.problems().take();
            match (key, &wrong[..]) {
                (Some(key), []) => Ok(ReadPeer {
                    key,
                    group,
                    settings,
                }),
                _ => Err(wrong
                    .iter()
                    .map(Problem::one_line)
                    .collect::<Vec<_>>()
                    .join("; ")),
            }
        };
        let tables = root.tables("peer", &schema::PEER);
        // What is wrong with keys comes with the tables; each is read by itself.
        let keys = problems.take();
        let mut found: Vec<_> = tables.iter().map(read).collect();
        found.extend(keys.iter().map(|problem| Err(problem.one_line())));
        found
    }
}

/// `Err`: it names a group that doesn't exist, which was complained about.
fn peer_group<'g>(
    table: &Table<'_>,
    groups: &'g BTreeMap<String, PeerSettings>,
) -> Result<Option<(&'g str, &'g PeerSettings)>, ()> {
    if !table.has("group") {
        return Ok(None);
    }
    let name = table.value("group", values::string).ok_or(())?;
    match groups.get_key_value(name.get_ref().as_str()) {
        Some((name, settings)) => Ok(Some((name.as_str(), settings))),
        None => {
            let names = groups.keys().map(String::as_str);
            let problem = no_group(name.get_ref(), names).at(name.span());
            table.problems().push(problem);
            Err(())
        }
    }
}

fn peer_key(table: &Table<'_>) -> Option<(PeerKey, Range<usize>)> {
    let given = ["address", "interface", "range"].map(|key| Some((key, table.key_span(key)?)));
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some((one, first)), Some((other, second))) => {
            let problem = Problem::new(
                format!(
                    "a peer has an `{one}` or {} `{other}`, not both",
                    article(other)
                ),
                "take one of them out, or write two `[[peer]]` tables",
            );
            let problem = problem.at(second).label("this or").and(first, "this");
            table.problems().push(problem);
            None
        }
        (None, _) => {
            let problem = Problem::new(
                "a peer needs an `address`",
                "add `address = \"ADDRESS\"`, or `interface = \"NAME\"` for the one neighbour there, or `range = \"PREFIX\"` for any neighbour from there",
            );
            table
                .problems()
                .push(problem.at(table.span()).label("in this table"));
            None
        }
        (Some(("address", _)), None) => {
            let address = table.value("address", values::unicast)?;
            Some((PeerKey::Address(*address.get_ref()), address.span()))
        }
        (Some(("interface", _)), None) => {
            let interface = table.value("interface", values::peer_interface)?;
            Some((PeerKey::Interface(*interface.get_ref()), interface.span()))
        }
        (Some(_), None) => {
            let range = table.value("range", values::prefix)?;
            Some((PeerKey::Range(*range.get_ref()), range.span()))
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with('r') { "a" } else { "an" }
}

/// RFC 8212 surprises whoever meets it first.
fn warn_of_silence(peer: &PeerConfig, span: Range<usize>, warnings: &Problems) {
    let silent = |chains: &[crate::PolicyChain; Family::COUNT]| {
        let on = chains.iter().zip(peer.families).filter(|(_, on)| *on);
        peer.external
            && on.clone().count() > 0
            && on.clone().all(|(chain, _)| chain.names.is_none())
    };
    let what = match (silent(&peer.import), silent(&peer.export)) {
        (true, true) => "`import` and `export`: no route passes in either direction",
        (true, false) => "`import`: no route is taken from it",
        (false, true) => "`export`: no route is announced to it",
        (false, false) => return,
    };
    let problem = Problem::new(
        format!("external peer {} has no {what} (RFC 8212)", peer.key),
        "name policies, or `[\"accept-all\"]`; `[\"reject-all\"]` says that it is meant",
    );
    warnings.push(problem.at(span));
}

fn fib(root: &Table<'_>) -> FibConfig {
    let table = root.table("fib", &schema::FIB);
    let on_stop = values::word(&[("keep", OnStop::Keep), ("remove", OnStop::Remove)]);
    FibConfig {
        enabled: table
            .and_then(|t| t.plain("enabled", values::boolean))
            .unwrap_or(true),
        table: table
            .and_then(|t| t.plain("table", values::kernel_table))
            .unwrap_or(254),
        metric: table
            .and_then(|t| t.plain("metric", values::number(257..=u32::MAX)))
            .unwrap_or(10103),
        protocol: table
            .and_then(|t| t.plain("protocol", values::kernel_protocol))
            .unwrap_or(103),
        on_stop: table
            .and_then(|t| t.plain("on-stop", on_stop))
            .unwrap_or(OnStop::Keep),
    }
}

fn api(root: &Table<'_>) -> ApiConfig {
    let table = root.table("api", &schema::API);
    let text = |key| table.and_then(|t| t.plain(key, values::string));
    let changes = values::word(&[
        ("keep", Changes::Keep),
        ("write", Changes::Write),
        ("forget", Changes::Forget),
    ]);
    ApiConfig {
        unix: PathBuf::from(text("unix").unwrap_or_else(|| "/run/godwit/godwit.sock".to_owned())),
        group: text("group").unwrap_or_else(|| "godwit".to_owned()),
        changes: table
            .and_then(|t| t.plain("changes", changes))
            .unwrap_or(Changes::Keep),
    }
}

fn log(root: &Table<'_>) -> LogConfig {
    let table = root.table("log", &schema::LOG);
    let formats = values::word(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    LogConfig {
        level: table
            .and_then(|t| t.plain("level", values::string))
            .unwrap_or_else(|| "info".to_owned()),
        format: table
            .and_then(|t| t.plain("format", formats))
            .unwrap_or(LogFormat::Text),
    }
}
