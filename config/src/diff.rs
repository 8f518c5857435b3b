//! What a reload changes.

use std::collections::BTreeMap;

use crate::model::{Config, PeerConfig, PeerKey};

/// The difference of two configurations, as the daemon applies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub peers_added: Vec<PeerKey>,
    pub peers_removed: Vec<PeerKey>,
    pub peers_changed: Vec<(PeerKey, ChangeKind)>,
    /// Our AS or router id: every session starts anew.
    pub identity_changed: bool,
    /// Paths, cluster id: applied to the RIB in place.
    pub router_changed: bool,
    pub listen_changed: bool,
    /// Some `[[originate]]` came, went or changed.
    pub originate_changed: bool,
    pub fib_changed: bool,
    pub next_hop_changed: bool,
    pub api_changed: bool,
    pub log_changed: bool,
}

/// How a changed peer is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// What was agreed in OPEN, or where the connection goes, changed: end the
    /// session with Cease/Other Configuration Change (RFC 4486) and start anew.
    /// Names the first key that differs.
    Restart(&'static str),
    /// The session stays.
    Soft(SoftChange),
}

/// Parts that change under a running session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftChange {
    pub import: bool,
    pub export: bool,
    /// Timers that only matter while connecting, and the description.
    pub other: bool,
}

impl Diff {
    pub fn is_empty(&self) -> bool {
        *self == Diff::default()
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
    let identity = |config: &Config| (config.router.asn, config.router.router_id);
    let rib = |config: &Config| {
        let r = &config.router;
        (
            r.cluster_id,
            r.multipath_relax,
            r.max_paths_external,
            r.max_paths_internal,
        )
    };
    Diff {
        peers_added: missing_in(&after, &before),
        peers_removed: missing_in(&before, &after),
        peers_changed: after
            .iter()
            .filter_map(|(key, new)| Some((*key, change(before.get(key)?, new)?)))
            .collect(),
        identity_changed: identity(old) != identity(new),
        router_changed: rib(old) != rib(new),
        listen_changed: old.router.listen != new.router.listen,
        originate_changed: old.originate != new.originate,
        fib_changed: old.fib != new.fib,
        next_hop_changed: old.next_hop != new.next_hop,
        api_changed: old.api != new.api,
        log_changed: old.log != new.log,
    }
}

/// `None`: alike. Walks every field: one that is added must be put in a class.
pub fn change(old: &PeerConfig, new: &PeerConfig) -> Option<ChangeKind> {
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
        passive,
        port,
        local_address,
        multihop,
        next_hop_self,
        route_reflector_client,
        families,
        import,
        export,
    } = old;
    let restart = [
        ("disabled", *disabled != new.disabled),
        ("remote-as", *remote_as != new.remote_as),
        ("remote-as", *external != new.external),
        ("hold-time", *hold_time != new.hold_time),
        ("keepalive", *keepalive != new.keepalive),
        ("passive", *passive != new.passive),
        ("port", *port != new.port),
        ("local-address", *local_address != new.local_address),
        ("multihop", *multihop != new.multihop),
        ("next-hop-self", *next_hop_self != new.next_hop_self),
        (
            "route-reflector-client",
            *route_reflector_client != new.route_reflector_client,
        ),
        ("family", *families != new.families),
    ];
    if let Some((key, _)) = restart.into_iter().find(|(_, differs)| *differs) {
        return Some(ChangeKind::Restart(key));
    }
    let policy = |a: &[crate::PolicyChain; 2], b: &[crate::PolicyChain; 2]| {
        a.iter().zip(b).any(|(a, b)| a.policy != b.policy)
    };
    let soft = SoftChange {
        import: policy(import, &new.import),
        export: policy(export, &new.export),
        other: *group != new.group
            || *description != new.description
            || *connect_retry != new.connect_retry,
    };
    (soft != SoftChange::default()).then_some(ChangeKind::Soft(soft))
}
