//! What a reload changes, key by key, and what each key does to what runs.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::RouterConfig;
use crate::model::{
    AddPathConfig, ApiConfig, BfdConfig, Config, FibConfig, LogConfig, NextHopConfig, PeerConfig,
    PeerKey,
};
use crate::password::Password;
use crate::path::PathConfig;

/// The difference of two configurations, as the daemon applies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub peers_added: Vec<PeerKey>,
    pub peers_removed: Vec<PeerKey>,
    pub peers_changed: Vec<(PeerKey, PeerChange)>,
    /// Some `[[originate]]` came, went or changed.
    pub originate_changed: bool,
    /// Keys outside of peers, as `[router] asn`.
    pub keys: Vec<(&'static str, Scope)>,
    /// Policies and sets that came, went or read otherwise; those that no peer
    /// uses, too.
    pub policies: Vec<String>,
}

/// What a key of a peer does to its session when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// What was agreed in OPEN, or where the connection goes: it ends with
    /// Cease/Other Configuration Change (RFC 4486) and comes up anew.
    Restart,
    /// Ends or starts it: that is what the key is for.
    Switch,
    /// What the peer sent is judged anew, without asking it.
    Import,
    /// The peer is sent the difference.
    Export,
    /// Applied to the running session; the peer is sent the difference, if any.
    InPlace,
    /// Counts from the next connection on.
    NextConnection,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Restart => "the session restarts",
            Effect::Switch => "ends or starts the session",
            Effect::Import => "what was received is judged anew",
            Effect::Export => "the peer is sent the difference",
            Effect::InPlace => "applied to the running session",
            Effect::NextConnection => "counts from the next connection on",
        })
    }
}

/// What a key outside of peers does when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Live,
    /// Takes effect when the daemon is restarted.
    Daemon,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Live => "applied while running",
            Scope::Daemon => "takes effect when the daemon is restarted",
        })
    }
}

/// The keys of a peer that differ, in the order of [`peer_keys`]; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerChange {
    pub keys: Vec<(&'static str, Effect)>,
}

impl PeerChange {
    /// The keys for which the session has to come up anew.
    pub fn restarts(&self) -> impl Iterator<Item = &'static str> {
        let restart = |(_, effect): &&(&str, Effect)| *effect == Effect::Restart;
        self.keys.iter().filter(restart).map(|(key, _)| *key)
    }

    pub fn has(&self, effect: Effect) -> bool {
        self.keys.iter().any(|(_, other)| *other == effect)
    }
}

impl Diff {
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
    }

    /// Keys that only a restart of the daemon brings about.
    pub fn needs_restart(&self) -> impl Iterator<Item = &'static str> {
        let daemon = |(_, scope): &&(&str, Scope)| *scope == Scope::Daemon;
        self.keys.iter().filter(daemon).map(|(key, _)| *key)
    }
}

/// What to do to get from `old` to `new`.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let by_key = |config: &Config| -> BTreeMap<PeerKey, PeerConfig> {
        let peers = config.peers.iter();
        peers.map(|peer| (peer.key, peer.clone())).collect()
    };
    let (before, after) = (by_key(old), by_key(new));
    let missing_in = |left: &BTreeMap<PeerKey, PeerConfig>,
                      right: &BTreeMap<PeerKey, PeerConfig>| {
        let keys = left.keys().copied();
        keys.filter(|key| !right.contains_key(key)).collect()
    };
    Diff {
        peers_added: missing_in(&after, &before),
        peers_removed: missing_in(&before, &after),
        peers_changed: after
            .iter()
            .filter_map(|(key, new)| Some((*key, change(before.get(key)?, new)?)))
            .collect(),
        originate_changed: old.originate != new.originate,
        keys: differing(global(old, new)),
        policies: policies(old, new),
    }
}

type Compared<E> = Vec<(&'static str, bool, E)>;

fn differing<E>(keys: Compared<E>) -> Vec<(&'static str, E)> {
    let differs = keys.into_iter().filter(|(_, differs, _)| *differs);
    differs.map(|(key, _, effect)| (key, effect)).collect()
}

/// `None`: alike.
pub fn change(old: &PeerConfig, new: &PeerConfig) -> Option<PeerChange> {
    let keys = differing(compare(old, new));
    (!keys.is_empty()).then_some(PeerChange { keys })
}

/// Every key of a peer and what its change does, for the reference.
pub(crate) fn peer_keys(sample: &PeerConfig) -> Vec<(&'static str, Effect)> {
    let all = compare(sample, sample).into_iter();
    all.map(|(key, _, effect)| (key, effect)).collect()
}

/// The same of the keys outside of peers.
pub(crate) fn global_keys(sample: &Config) -> Vec<(&'static str, Scope)> {
    let all = global(sample, sample).into_iter();
    all.map(|(key, _, scope)| (key, scope)).collect()
}

/// Walks every field: one that is added must be put in a class.
fn compare(old: &PeerConfig, new: &PeerConfig) -> Compared<Effect> {
    let PeerConfig {
        key: _,
        group,
        description,
        disabled,
        remote_as,
        external,
        hold_time,
        keepalive,
        connect_retry,
        send_hold_time,
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
        families,
        add_path,
        import,
        export,
        prefix_limit,
        prefix_limit_out,
        path,
        bfd,
    } = old;
    let PathConfig {
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
    } = path;
    let number = |path: &PathConfig| path.local_as.map(|local| (local.asn, local.dual_as));
    let (was_path, path) = (path, &new.path);
    let policy = |a: &[crate::PolicyChain; 2], b: &[crate::PolicyChain; 2]| {
        a.iter().zip(b).any(|(a, b)| a != b)
    };
    let offered = |add_path: AddPathConfig| (add_path.receive, add_path.send.is_some());
    vec![
        ("disabled", *disabled != new.disabled, Effect::Switch),
        (
            "remote-as",
            *remote_as != new.remote_as || *external != new.external,
            Effect::Restart,
        ),
        ("hold-time", *hold_time != new.hold_time, Effect::Restart),
        ("port", *port != new.port, Effect::Restart),
        (
            "local-address",
            *local_address != new.local_address,
            Effect::Restart,
        ),
        ("multihop", *multihop != new.multihop, Effect::Restart),
        (
            "local-interface",
            *local_interface != new.local_interface,
            Effect::Restart,
        ),
        (
            "ttl-security",
            *ttl_security != new.ttl_security,
            Effect::Restart,
        ),
        // Another file with the same key is the same to the neighbour.
        (
            "password-file",
            key_of(password) != key_of(&new.password),
            Effect::Restart,
        ),
        (
            "password-file of the same key",
            key_of(password) == key_of(&new.password) && *password != new.password,
            Effect::InPlace,
        ),
        ("family", *families != new.families, Effect::Restart),
        ("role", *role != path.role, Effect::Restart),
        (
            "role-strict",
            *role_strict != path.role_strict,
            Effect::Restart,
        ),
        (
            "local-as",
            number(was_path) != number(path),
            Effect::Restart,
        ),
        (
            "local-as.no-prepend, local-as.replace-as",
            number(was_path) == number(path) && *local_as != path.local_as,
            Effect::InPlace,
        ),
        (
            "allow-as-in",
            *allow_as_in != path.allow_as_in,
            Effect::Import,
        ),
        (
            "enforce-first-as",
            *enforce_first_as != path.enforce_first_as,
            Effect::Import,
        ),
        (
            "as-set",
            *accept_as_set != path.accept_as_set,
            Effect::Import,
        ),
        (
            "max-as-path-length",
            *max_as_path_length != path.max_as_path_length,
            Effect::Import,
        ),
        (
            "as-override",
            *as_override != path.as_override,
            Effect::Export,
        ),
        (
            "remove-private-as",
            *remove_private_as != path.remove_private_as,
            Effect::Export,
        ),
        (
            "send-communities",
            *send_communities != path.send_communities,
            Effect::Export,
        ),
        (
            "add-path",
            add_path.map(offered) != new.add_path.map(offered),
            Effect::Restart,
        ),
        (
            "add-path.send",
            std::iter::zip(add_path, &new.add_path)
                .any(|(a, b)| a.send != b.send && a.send.is_some() && b.send.is_some()),
            Effect::Export,
        ),
        ("import", policy(import, &new.import), Effect::Import),
        ("export", policy(export, &new.export), Effect::Export),
        (
            "prefix-limit",
            *prefix_limit != new.prefix_limit,
            Effect::InPlace,
        ),
        (
            "prefix-limit-out",
            *prefix_limit_out != new.prefix_limit_out,
            Effect::InPlace,
        ),
        (
            "next-hop-self",
            *next_hop_self != new.next_hop_self,
            Effect::InPlace,
        ),
        (
            "extended-next-hop",
            *extended_next_hop != new.extended_next_hop,
            Effect::Restart,
        ),
        (
            "route-reflector-client",
            *route_reflector_client != new.route_reflector_client,
            Effect::InPlace,
        ),
        (
            "default-originate",
            *default_originate != new.default_originate,
            Effect::Export,
        ),
        ("weight", *weight != new.weight, Effect::Import),
        (
            "blackhole-community",
            *blackhole_community != new.blackhole_community,
            Effect::Import,
        ),
        (
            "graceful-shutdown",
            *graceful_shutdown != new.graceful_shutdown,
            Effect::Import,
        ),
        ("bfd", *bfd != new.bfd, Effect::InPlace),
        ("keepalive", *keepalive != new.keepalive, Effect::InPlace),
        (
            "description",
            *description != new.description,
            Effect::InPlace,
        ),
        ("group", *group != new.group, Effect::InPlace),
        ("passive", *passive != new.passive, Effect::NextConnection),
        (
            "connect-retry",
            *connect_retry != new.connect_retry,
            Effect::NextConnection,
        ),
        (
            "send-hold-time",
            *send_hold_time != new.send_hold_time,
            Effect::NextConnection,
        ),
        (
            "refresh-timeout",
            *refresh_timeout != new.refresh_timeout,
            Effect::InPlace,
        ),
        (
            "graceful-restart",
            *graceful_restart != new.graceful_restart,
            Effect::Restart,
        ),
        ("stale-time", *stale_time != new.stale_time, Effect::InPlace),
        ("limit", *limit != new.limit, Effect::NextConnection),
    ]
}

fn key_of(password: &Option<Password>) -> Option<&[u8]> {
    password.as_ref().map(Password::key)
}

/// The same for what is not a peer's.
fn global(old: &Config, new: &Config) -> Compared<Scope> {
    let RouterConfig {
        asn,
        router_id,
        listen,
        cluster_id,
        multipath_relax,
        link_bandwidth,
        update_delay,
        establish_wait,
        max_paths_external,
        max_paths_internal,
        connection_rate,
    } = &old.router;
    let FibConfig {
        enabled,
        table,
        metric,
        protocol,
        on_stop,
    } = &old.fib;
    let NextHopConfig {
        require,
        via_default,
    } = &old.next_hop;
    let BfdConfig { socket, hold } = &old.bfd;
    let ApiConfig {
        unix,
        group,
        changes,
    } = &old.api;
    let LogConfig { level, format } = &old.log;
    let (router, fib, hop) = (&new.router, &new.fib, &new.next_hop);
    vec![
        ("[router] asn", *asn != router.asn, Scope::Daemon),
        (
            "[router] router-id",
            *router_id != router.router_id,
            Scope::Daemon,
        ),
        ("[router] listen", *listen != router.listen, Scope::Live),
        (
            "[router] cluster-id",
            *cluster_id != router.cluster_id,
            Scope::Live,
        ),
        (
            "[router] multipath-relax",
            *multipath_relax != router.multipath_relax,
            Scope::Live,
        ),
        (
            "[router] link-bandwidth",
            *link_bandwidth != router.link_bandwidth,
            Scope::Live,
        ),
        (
            "[router] update-delay",
            *update_delay != router.update_delay,
            Scope::Daemon,
        ),
        (
            "[router] establish-wait",
            *establish_wait != router.establish_wait,
            Scope::Daemon,
        ),
        ("[[aggregate]]", old.aggregate != new.aggregate, Scope::Live),
        (
            "[router] max-paths-external",
            *max_paths_external != router.max_paths_external,
            Scope::Live,
        ),
        (
            "[router] max-paths-internal",
            *max_paths_internal != router.max_paths_internal,
            Scope::Live,
        ),
        (
            "[router] connection-rate",
            *connection_rate != router.connection_rate,
            Scope::Live,
        ),
        ("[fib] enabled", *enabled != fib.enabled, Scope::Daemon),
        ("[fib] table", *table != fib.table, Scope::Daemon),
        ("[fib] metric", *metric != fib.metric, Scope::Daemon),
        ("[fib] protocol", *protocol != fib.protocol, Scope::Daemon),
        ("[fib] on-stop", *on_stop != fib.on_stop, Scope::Live),
        ("[next-hop] require", *require != hop.require, Scope::Daemon),
        (
            "[next-hop] via-default",
            *via_default != hop.via_default,
            Scope::Daemon,
        ),
        ("[bfd] socket", *socket != new.bfd.socket, Scope::Daemon),
        ("[bfd] hold", *hold != new.bfd.hold, Scope::Daemon),
        ("[api] unix", *unix != new.api.unix, Scope::Daemon),
        ("[api] group", *group != new.api.group, Scope::Daemon),
        ("[api] changes", *changes != new.api.changes, Scope::Live),
        ("[log] level", *level != new.log.level, Scope::Live),
        ("[log] format", *format != new.log.format, Scope::Daemon),
    ]
}

/// Names of policies and sets that are not alike in both.
fn policies(old: &Config, new: &Config) -> Vec<String> {
    let (was, sets) = (&old.pattern_sets, &new.pattern_sets);
    let (old, new) = (old.policy_spec(), new.policy_spec());
    let mut names = unlike(&old.prefix_sets, &new.prefix_sets, "prefix-set ");
    names.extend(unlike(
        &was.communities,
        &sets.communities,
        "community-set ",
    ));
    names.extend(unlike(&was.as_paths, &sets.as_paths, "as-path-set "));
    names.extend(unlike(&old.policies, &new.policies, ""));
    names
}

fn unlike<V: PartialEq>(
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
    what: &str,
) -> Vec<String> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let other = new
        .iter()
        .filter(|(name, value)| old.get(*name) != Some(*value));
    let mut names: Vec<&String> = gone.chain(other.map(|(name, _)| name)).collect();
    names.sort();
    names.iter().map(|name| format!("{what}{name}")).collect()
}
