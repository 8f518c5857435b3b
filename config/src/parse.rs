//! From the text of a file to a [`Config`].

mod originate;
mod peers;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annotate_snippets::Level;
use godwit_bgp::Asn;
use godwit_policy::route::Registry;
use toml::de::DeTable;

use crate::error::{ConfigErrors, Problem};
use crate::model::{
    ApiConfig, BfdConfig, Changes, Config, FibConfig, LogConfig, LogFormat, NextHopConfig, OnStop,
    RouterConfig,
};
use crate::policies;
use crate::reader::{Problems, Table};
use crate::schema;
use crate::settings::Resolver;
use crate::syntax;
use crate::values;
use originate::{aggregate, originate};
pub use peers::ReadPeer;
use peers::{groups, peers};

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
    parse_as(name, text, registry, None)
}

/// The same for a daemon that runs as this AS: which peers are internal follows
/// from that, as another `[router] asn` takes effect when it is started again.
pub fn parse_running(
    name: &str,
    text: &str,
    registry: &Registry,
    asn: Asn,
) -> Result<Config, ConfigErrors> {
    parse_as(name, text, registry, Some(asn))
}

fn parse_as(
    name: &str,
    text: &str,
    registry: &Registry,
    runs_as: Option<Asn>,
) -> Result<Config, ConfigErrors> {
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
    let config = read(&root, &warnings, registry, runs_as);
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
fn read(
    root: &Table<'_>,
    warnings: &Problems,
    registry: &Registry,
    runs_as: Option<Asn>,
) -> Option<Config> {
    let problems = root.problems();
    let router = router(root);
    let originate = originate(root, warnings);
    let aggregate = aggregate(root, &originate);
    let policy = policies::read(root, registry);
    let policies = Arc::new(policy.compile(registry, problems));
    let groups = groups(root, &policies, warnings);
    let asn = runs_as.or(router.as_ref().map(|router| router.asn));
    let resolver = Resolver {
        asn,
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
        bfd: bfd(root),
        api: api(root),
        log: log(root),
        warnings: Vec::new(),
        groups,
        asn: asn?,
        policy_spec: policy.spec,
        policy_text: policy.text,
        pattern_sets: policy.sets,
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
    let update_delay = table.plain("update-delay", &delay).unwrap_or_default();
    let establish_wait = table.value("establish-wait", &delay);
    if let Some(wait) = &establish_wait
        && *wait.get_ref() > update_delay
    {
        let problem = Problem::new(
            "`establish-wait` is longer than `update-delay`",
            "it is a part of that time: make it shorter, or `update-delay` longer",
        );
        let problem = problem.at(wait.span()).label("longer");
        table.problems().push(problem);
    }
    let bandwidth = values::word(&[("use", true), ("ignore", false)]);
    let link_bandwidth = table.plain("link-bandwidth", bandwidth);
    Some(RouterConfig {
        asn: asn?.into_inner(),
        router_id,
        listen,
        cluster_id,
        multipath_relax: relax.unwrap_or(false),
        link_bandwidth: link_bandwidth.unwrap_or(true),
        update_delay,
        establish_wait: establish_wait.map_or(update_delay, |wait| wait.into_inner()),
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

fn bfd(root: &Table<'_>) -> BfdConfig {
    let table = root.table("bfd", &schema::BFD);
    let hold = values::duration_within(Duration::ZERO, Duration::from_secs(3600));
    BfdConfig {
        socket: table
            .and_then(|t| t.plain("socket", values::string))
            .map_or_else(|| PathBuf::from("/run/godwit/bfd.sock"), PathBuf::from),
        hold: table
            .and_then(|t| t.plain("hold", hold))
            .unwrap_or(Duration::from_secs(120)),
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
