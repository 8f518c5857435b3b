//! The configuration with every default filled in and every reference resolved.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use godwit_bgp::{Asn, Family, InterfaceName, RouterId, SendPaths, SessionKind};
use godwit_policy::import::ImportRules;
use godwit_policy::route::{PolicyRef, PolicySet, PolicySetSpec, PrefixRange};
use ipnet::IpNet;

use crate::password::Password;
use crate::path::PathConfig;
use crate::policies::{PatternSets, RuleText};
use crate::settings::PeerSettings;

/// A whole configuration file, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub router: RouterConfig,
    /// No two alike.
    pub originate: Vec<OriginateConfig>,
    /// No two alike, and none that is originated.
    pub aggregate: Vec<AggregateConfig>,
    /// In the order of the file; keys are unique.
    pub peers: Vec<PeerConfig>,
    pub fib: FibConfig,
    pub next_hop: NextHopConfig,
    pub bfd: BfdConfig,
    pub api: ApiConfig,
    pub log: LogConfig,
    /// What stands in the file and works, but likely not as meant; each text
    /// shows the place, as errors do.
    pub warnings: Vec<String>,
    pub(crate) groups: BTreeMap<String, PeerSettings>,
    /// By which peers are internal or external.
    pub(crate) asn: Asn,
    pub(crate) policy_spec: PolicySetSpec,
    pub(crate) policy_text: BTreeMap<String, Vec<RuleText>>,
    pub(crate) pattern_sets: PatternSets,
    pub(crate) policies: Arc<PolicySet>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    pub asn: Asn,
    /// `None`: the daemon chooses one and keeps it.
    pub router_id: Option<RouterId>,
    pub listen: Vec<SocketAddr>,
    /// `None`: the router id (RFC 4456 §7).
    pub cluster_id: Option<RouterId>,
    pub multipath_relax: bool,
    /// Unequal shares by link bandwidth communities.
    pub link_bandwidth: bool,
    /// Zero: nothing is held back.
    pub update_delay: Duration,
    /// Of that, what peers have to become Established.
    pub establish_wait: Duration,
    pub max_paths_external: u16,
    pub max_paths_internal: u16,
    /// New connections a second from one address; 0: no limit.
    pub connection_rate: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginateConfig {
    pub prefix: IpNet,
    /// The kernel gets a blackhole route for it.
    pub blackhole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateConfig {
    pub prefix: IpNet,
    /// What is within it is not announced.
    pub summary_only: bool,
    pub blackhole: bool,
}

/// A default route for one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultOriginateConfig {
    /// As the file has it, and the prefixes that it means; `None`: always.
    pub when: Option<(String, Vec<PrefixRange>)>,
    pub policy: PolicyChain,
}

/// What names a peer: one neighbour, the one on an interface, or all that call
/// from a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerKey {
    Address(IpAddr),
    Interface(InterfaceName),
    Range(IpNet),
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerKey::Address(address) => address.fmt(f),
            PeerKey::Interface(interface) => interface.fmt(f),
            PeerKey::Range(range) => range.fmt(f),
        }
    }
}

/// The AS number that a peer must show in its OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAs {
    Asn(Asn),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

impl fmt::Display for RemoteAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAs::Asn(asn) => asn.fmt(f),
            RemoteAs::External => f.write_str("external"),
            RemoteAs::Internal => f.write_str("internal"),
        }
    }
}

/// A peer, its group merged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    pub key: PeerKey,
    pub group: Option<String>,
    pub description: Option<String>,
    pub disabled: bool,
    pub remote_as: RemoteAs,
    /// Whether the session is external, as `remote_as` and our AS (on this
    /// session: `local-as`) decide.
    pub external: bool,
    /// Zero: neither side sends keepalives. Else 3 to 65535 whole seconds.
    pub hold_time: Duration,
    /// `None`: a third of the negotiated hold time.
    pub keepalive: Option<Duration>,
    pub connect_retry: Duration,
    /// `None`: the larger of 8 min and twice the hold time (RFC 9687 §3.2).
    pub send_hold_time: Option<Duration>,
    /// Of an enhanced refresh that the peer does not end (RFC 7313 §4).
    pub refresh_timeout: Duration,
    /// RFC 4724: a peer's routes may outlive its session.
    pub graceful_restart: bool,
    /// How long at most.
    pub stale_time: Duration,
    /// Never connects, only accepts. Always set on a range.
    pub passive: bool,
    /// Where to connect to.
    pub port: u16,
    pub local_address: Option<IpAddr>,
    /// Hops to the neighbour: the TTL we send with, where not the default of
    /// 1 on an external and 255 on an internal session.
    pub multihop: Option<u8>,
    /// The session's packets pass this interface or none.
    pub local_interface: Option<String>,
    /// Hops to the neighbour at most, as the TTL of its packets proves
    /// (RFC 5082). Never beside `multihop`.
    pub ttl_security: Option<u8>,
    /// The key of TCP-MD5 (RFC 2385).
    pub password: Option<Password>,
    /// Of a range: neighbours at most.
    pub limit: u32,
    pub next_hop_self: bool,
    /// Offer that IPv4 routes have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    pub route_reflector_client: bool,
    /// Of its routes, before all that they carry.
    /// By [`Family::index`].
    pub default_originate: [Option<DefaultOriginateConfig>; Family::COUNT],
    pub weight: u32,
    /// RFC 7999.
    pub blackhole_community: bool,
    /// Received communities count (RFC 8326).
    pub graceful_shutdown: bool,
    /// By [`Family::index`]; at least one is on.
    pub families: [bool; Family::COUNT],
    /// By [`Family::index`]; nothing of a family that is off.
    pub add_path: [AddPathConfig; Family::COUNT],
    /// By [`Family::index`]; the default of the session's kind where none is
    /// named.
    pub import: [PolicyChain; Family::COUNT],
    pub export: [PolicyChain; Family::COUNT],
    pub path: PathConfig,
    /// `None`: the path is not watched.
    pub bfd: Option<PeerBfdConfig>,
    /// By [`Family::index`].
    pub prefix_limit: [Option<PrefixLimit>; Family::COUNT],
    pub prefix_limit_out: [Option<PrefixLimit>; Family::COUNT],
}

impl PeerConfig {
    /// What limits routes of this family from the peer.
    pub fn limit_in(&self, family: Family) -> Option<PrefixLimit> {
        self.prefix_limit.get(family.index()).copied().flatten()
    }

    /// What limits routes of this family to the peer.
    pub fn limit_out(&self, family: Family) -> Option<PrefixLimit> {
        self.prefix_limit_out.get(family.index()).copied().flatten()
    }

    /// TTL or hop limit to send with (RFC 4271 leaves it open; external peers
    /// are one hop away unless told otherwise).
    pub fn ttl(&self) -> u8 {
        match (self.ttl_security, self.multihop) {
            // Whatever has passed a router is told by it (RFC 5082 §3).
            (Some(_), _) => u8::MAX,
            (None, Some(hops)) => hops,
            (None, None) if self.external => 1,
            (None, None) => u8::MAX,
        }
    }

    /// The lowest TTL or hop limit that the neighbour's packets may arrive with.
    pub fn min_ttl(&self) -> Option<u8> {
        Some(u8::MAX - self.ttl_security?.saturating_sub(1))
    }

    pub fn kind(&self) -> SessionKind {
        match (self.external, self.route_reflector_client) {
            (true, _) => SessionKind::External,
            (false, true) => SessionKind::InternalClient,
            (false, false) => SessionKind::Internal,
        }
    }

    /// What its routes are held to and given besides policy.
    pub fn import_rules(&self) -> ImportRules {
        let path = &self.path;
        ImportRules {
            allow_as_in: path.allow_as_in,
            no_prepend: path.local_as.is_some_and(|local| local.no_prepend),
            enforce_first_as: path.enforce_first_as,
            accept_as_set: path.accept_as_set,
            max_as_path: path.max_as_path_length,
            role: path.role,
            blackhole_community: self.blackhole_community,
            graceful_shutdown: self.graceful_shutdown,
        }
    }

    /// Whether the neighbour is expected on a link of ours: where it is not
    /// told to be further away.
    pub fn on_link(&self) -> bool {
        self.multihop.is_none() && self.ttl_security.is_none_or(|hops| hops == 1)
    }
}

/// The most prefixes of one family from a peer, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrefixLimit {
    /// At least 1.
    pub max: u32,
    pub then: LimitAction,
    /// 1 to 100, per cent of `max`.
    pub warn_at: u8,
    /// Of what comes from the peer; of what goes to it `Received`.
    pub count: LimitCount,
}

/// What happens past a prefix limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitAction {
    Warn,
    /// Not of what goes to the peer.
    Discard,
    /// The session ends and is refused this long.
    Restart(Duration),
    /// The session ends and stays down.
    Disable,
}

impl LimitAction {
    /// As the file says it.
    pub const fn name(self) -> &'static str {
        match self {
            LimitAction::Warn => "warn",
            LimitAction::Discard => "discard",
            LimitAction::Restart(_) => "restart",
            LimitAction::Disable => "disable",
        }
    }
}

/// Which prefixes a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LimitCount {
    #[default]
    Received,
    Accepted,
}

impl PrefixLimit {
    pub const WARN_AT: u8 = 80;
    pub const RESTART_AFTER: Duration = Duration::from_secs(15 * 60);

    /// As many prefixes as `warn_at` says; at least 1.
    pub fn warn_from(&self) -> u32 {
        let part = u64::from(self.max) * u64::from(self.warn_at) / 100;
        u32::try_from(part).unwrap_or(self.max).max(1)
    }
}

/// Several paths a prefix (RFC 7911).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddPathConfig {
    pub receive: bool,
    /// `None`: the best alone, without an identifier.
    pub send: Option<SendPaths>,
}

/// A peer's policies of one direction and family: what the file names, and what
/// that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChain {
    /// `None`: none configured.
    pub names: Option<Vec<String>>,
    /// Equal when the content of all policies on the way is.
    pub policy: PolicyRef,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibConfig {
    pub enabled: bool,
    pub table: u32,
    pub metric: u32,
    pub protocol: u8,
    pub on_stop: OnStop,
}

/// What becomes of our kernel routes when the daemon stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnStop {
    Keep,
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopConfig {
    /// A path whose next hop does not resolve is unusable.
    pub require: bool,
    /// A default route may resolve a next hop.
    pub via_default: bool,
}

/// How the path to a neighbour is watched (RFC 5880).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerBfdConfig {
    /// Whole milliseconds, of what we send and of what we can receive.
    pub interval: Duration,
    /// Lost packets in a row that are a lost path.
    pub multiplier: u8,
    /// `None`: as the session and the place of the neighbour have it.
    pub multihop: Option<bool>,
}

impl PeerBfdConfig {
    /// What `interval` may be. RFC 5880 has no limits; these are those of what a
    /// host can keep up with, and of what is of use.
    pub const INTERVALS: RangeInclusive<Duration> =
        Duration::from_millis(10)..=Duration::from_secs(60);
}

impl Default for PeerBfdConfig {
    fn default() -> Self {
        PeerBfdConfig {
            interval: Duration::from_millis(300),
            multiplier: 3,
            multihop: None,
        }
    }
}

/// The BFD process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdConfig {
    pub socket: PathBuf,
    /// How long it keeps sessions while the daemon is away.
    pub hold: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    pub unix: PathBuf,
    pub group: String,
    pub changes: Changes,
}

/// What becomes of peers and routes that are changed by command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Changes {
    /// They are kept beside the file and made again after a restart.
    Keep,
    /// They are written into the file.
    Write,
    /// They are gone with the process.
    Forget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives as `info,godwit_rib=debug`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// The routing policies of the file.
    pub fn policies(&self) -> &Arc<PolicySet> {
        &self.policies
    }

    /// The routing policies as plain data, to be shown.
    pub fn policy_spec(&self) -> &PolicySetSpec {
        &self.policy_spec
    }

    /// The rules of each routing policy, to be shown.
    pub fn policy_text(&self) -> &BTreeMap<String, Vec<RuleText>> {
        &self.policy_text
    }

    pub fn peer(&self, key: &PeerKey) -> Option<&PeerConfig> {
        self.peers.iter().find(|peer| peer.key == *key)
    }

    /// The peer that a connection from `address` belongs to: the one of that
    /// address, else the longest range around it.
    pub fn peer_for(&self, address: IpAddr) -> Option<&PeerConfig> {
        self.peer(&PeerKey::Address(address)).or_else(|| {
            let around = self.peers.iter().filter_map(|peer| match peer.key {
                PeerKey::Range(range) if range.contains(&address) => {
                    Some((range.prefix_len(), peer))
                }
                _ => None,
            });
            around.max_by_key(|(len, _)| *len).map(|(_, peer)| peer)
        })
    }

    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }
}
