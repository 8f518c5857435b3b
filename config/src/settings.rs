//! What a peer or a group says, before defaults; and how the two become a
//! [`PeerConfig`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use godwit_bgp::{Asn, Family};
use godwit_policy::route::{PolicyRef, PolicySet, PrefixRange};

use crate::error::Problem;
use crate::model::{
    AddPathConfig, Config, DefaultOriginateConfig, PeerBfdConfig, PeerConfig, PeerKey, PolicyChain,
    PrefixLimit, RemoteAs,
};
use crate::password::Password;
use crate::path::{self, PathSettings};
use crate::suggest::closest;
use crate::values::{hold_time_allowed, no_neighbour};

/// The keys of a `[[peer]]` or a `[peer-group.NAME]`, as far as given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSettings {
    pub description: Option<String>,
    pub disabled: Option<bool>,
    pub remote_as: Option<RemoteAs>,
    pub hold_time: Option<Duration>,
    pub keepalive: Option<Duration>,
    pub connect_retry: Option<Duration>,
    pub refresh_timeout: Option<Duration>,
    pub graceful_restart: Option<bool>,
    pub stale_time: Option<Duration>,
    pub send_hold_time: Option<Duration>,
    pub passive: Option<bool>,
    pub port: Option<u16>,
    pub local_address: Option<IpAddr>,
    pub multihop: Option<u8>,
    pub local_interface: Option<String>,
    /// Hops; 0: off, also where the group has it on.
    pub ttl_security: Option<u8>,
    pub password: Option<Password>,
    /// Of a range only.
    pub limit: Option<u32>,
    pub next_hop_self: Option<bool>,
    pub extended_next_hop: Option<bool>,
    pub route_reflector_client: Option<bool>,
    pub default_originate: Option<DefaultSettings>,
    pub weight: Option<u32>,
    pub blackhole_community: Option<bool>,
    pub graceful_shutdown: Option<bool>,
    pub import: Option<Vec<String>>,
    pub export: Option<Vec<String>>,
    /// By [`Family::index`]; `None`: not named.
    pub families: [Option<FamilySettings>; Family::COUNT],
    pub path: PathSettings,
    /// `Some(None)`: switched off.
    pub bfd: Option<Option<PeerBfdConfig>>,
    /// Where the file says so.
    pub spans: KeySpans,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilySettings {
    pub default_originate: Option<DefaultSettings>,
    pub import: Option<Vec<String>>,
    pub export: Option<Vec<String>>,
    pub prefix_limit: Option<PrefixLimit>,
    pub prefix_limit_out: Option<PrefixLimit>,
    pub add_path: Option<AddPathConfig>,
}

/// What a `default-originate` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultSettings {
    pub on: bool,
    /// A prefix with its range, or the name of a set.
    pub when: Option<String>,
    pub policy: Option<Vec<String>>,
}

/// Places of keys in the file; empty for what did not come from one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySpans {
    /// The table as a whole.
    pub(crate) table: Option<Range<usize>>,
    pub(crate) keys: BTreeMap<&'static str, Range<usize>>,
}

const HOLD_TIME: Duration = Duration::from_secs(90);
const CONNECT_RETRY: Duration = Duration::from_secs(10);
const REFRESH_TIMEOUT: Duration = Duration::from_secs(360);
const STALE_TIME: Duration = Duration::from_secs(360);
const PORT: u16 = 179;
const LIMIT: u32 = 1000;

impl Config {
    /// A peer made at run time, by the rules of the file: `group` is one of its
    /// groups. Errors are one line each.
    pub fn resolve_peer(
        &self,
        key: PeerKey,
        group: Option<&str>,
        settings: &PeerSettings,
    ) -> Result<PeerConfig, Vec<String>> {
        let group = match group {
            None => None,
            Some(name) => match self.groups.get_key_value(name) {
                Some((name, settings)) => Some((name.as_str(), settings)),
                None => return Err(vec![no_group(name, self.group_names()).one_line()]),
            },
        };
        let resolver = Resolver {
            asn: Some(self.asn),
            policies: &self.policies,
            sets: &self.policy_spec.prefix_sets,
        };
        resolver
            .resolve(key, group, settings)
            .map_err(|problems| problems.iter().map(Problem::one_line).collect())
    }
}

pub(crate) fn no_group<'a>(name: &str, groups: impl Iterator<Item = &'a str>) -> Problem {
    let help = match closest(name, groups) {
        Some(group) => format!("did you mean `{group}`?"),
        None => format!("add a `[peer-group.{name}]`, or take the key out"),
    };
    Problem::new(format!("no peer group is named `{name}`"), help).label("not found")
}

pub(crate) struct Resolver<'a> {
    /// `None`: the file says none that is right, which was complained about.
    pub asn: Option<Asn>,
    pub policies: &'a PolicySet,
    pub sets: &'a BTreeMap<String, Vec<PrefixRange>>,
}

/// A peer's own settings before its group's.
struct Merged<'a> {
    own: &'a PeerSettings,
    group: Option<&'a PeerSettings>,
}

impl<'a> Merged<'a> {
    fn take<T: Clone + 'a>(&self, field: impl Fn(&'a PeerSettings) -> &'a Option<T>) -> Option<T> {
        field(self.own)
            .clone()
            .or_else(|| self.group.and_then(|group| field(group).clone()))
    }

    /// The place that gave `key`.
    fn span(&self, key: &str) -> Option<&Range<usize>> {
        let inherited = || self.group.and_then(|group| group.spans.keys.get(key));
        self.own.spans.keys.get(key).or_else(inherited)
    }

    /// The problem, at the place that gave `key`, else at the peer.
    fn at(&self, key: &str, problem: Problem) -> Problem {
        match self.span(key).or(self.own.spans.table.as_ref()) {
            Some(span) => problem.at(span.clone()),
            None => problem,
        }
    }

    /// The families of the more special one that names any.
    fn families(&self) -> Option<&'a [Option<FamilySettings>; Family::COUNT]> {
        let named = |settings: &&PeerSettings| settings.families.iter().any(Option::is_some);
        let own = Some(self.own).filter(named);
        own.or(self.group.filter(named)).map(|s| &s.families)
    }

    /// What the more special one says of a family.
    fn of_family<T>(
        &self,
        family: Family,
        field: impl Fn(&FamilySettings) -> Option<T>,
    ) -> Option<T> {
        let of = |settings: &PeerSettings| field(settings.families.get(family.index())?.as_ref()?);
        of(self.own).or_else(|| self.group.and_then(of))
    }

    /// The policies of one direction and family, the most special that are given.
    fn names(
        &self,
        family: Family,
        of_family: impl Fn(&FamilySettings) -> &Option<Vec<String>>,
        of_peer: impl Fn(&'a PeerSettings) -> &'a Option<Vec<String>>,
    ) -> Option<Vec<String>> {
        let special = |settings: &PeerSettings| {
            let family = settings.families.get(family.index())?.as_ref()?;
            of_family(family).clone()
        };
        special(self.own)
            .or_else(|| of_peer(self.own).clone())
            .or_else(|| self.group.and_then(special))
            .or_else(|| self.group.and_then(|group| of_peer(group).clone()))
    }
}

impl Resolver<'_> {
    pub fn resolve(
        &self,
        key: PeerKey,
        group: Option<(&str, &PeerSettings)>,
        own: &PeerSettings,
    ) -> Result<PeerConfig, Vec<Problem>> {
        let merged = Merged {
            own,
            group: group.map(|(_, settings)| settings),
        };
        let mut problems = Vec::new();
        let remote_as = merged.take(|s| &s.remote_as);
        if remote_as.is_none() && merged.span("remote-as").is_none() {
            let problem = Problem::new(
                format!("peer {key} has no `remote-as`"),
                "add `remote-as = NUMBER`, or \"external\" (any AS but ours), or \"internal\" (ours), here or in its group",
            );
            problems.push(merged.at("remote-as", problem));
        }
        let of_group = group.map(|(_, settings)| &settings.path);
        let local_as = own.path.local_as(of_group).map(|local| local.asn);
        let external = match remote_as {
            Some(RemoteAs::Asn(asn)) => local_as.or(self.asn).is_some_and(|own| own != asn),
            Some(RemoteAs::External) => true,
            Some(RemoteAs::Internal) | None => false,
        };
        let hold_time = merged.take(|s| &s.hold_time).unwrap_or(HOLD_TIME);
        let keepalive = merged.take(|s| &s.keepalive);
        let local_address = merged.take(|s| &s.local_address);
        let multihop = merged.take(|s| &s.multihop);
        let client = merged.take(|s| &s.route_reflector_client).unwrap_or(false);
        self.check_key(key, &merged, &mut problems);
        check_timers(hold_time, keepalive, &merged, &mut problems);
        let send_hold_time = merged.take(|s| &s.send_hold_time);
        if send_hold_time.is_some_and(|time| time <= hold_time) {
            let problem = Problem::new(
                "the send hold time is not longer than the hold time",
                "set more than the hold time, or leave it out (RFC 9687 §5)",
            );
            let label = format!("the hold time is {} s", hold_time.as_secs());
            problems.push(merged.at("send-hold-time", problem.label(label)));
        }
        check_local_address(key, local_address, &merged, &mut problems);
        if client && external {
            let problem = Problem::new(
                format!("external peer {key} can't be a route reflector client"),
                "reflection is for internal peers (RFC 4456): take the key out, or set `remote-as = \"internal\"`",
            );
            problems.push(merged.at(
                "route-reflector-client",
                problem.label("internal peers only"),
            ));
        }
        if multihop.is_some_and(|hops| hops < 2) {
            let problem = Problem::new("one hop is the default", "leave `multihop` out");
            problems.push(merged.at("multihop", problem));
        }
        let session = path::Session {
            asn: self.asn,
            remote_as,
            external,
        };
        let path = path::resolve(&own.path, of_group, &session, |key, problem| {
            problems.push(merged.at(key, problem));
        });
        let ttl_security = merged.take(|s| &s.ttl_security).filter(|hops| *hops > 0);
        check_ttl(ttl_security, multihop, &merged, &mut problems);
        let limit = merged.take(|s| &s.limit);
        if limit.is_some() && !matches!(key, PeerKey::Range(_)) {
            let problem = Problem::new(
                "one address is one neighbour",
                "`limit` belongs to a `range`: take it out",
            );
            problems.push(merged.at("limit", problem.label("of a `range` only")));
        }
        let named = merged.families();
        let on = |family: Family| {
            named.is_none_or(|named| named.get(family.index()).is_some_and(Option::is_some))
        };
        let mut chain = |family, of_family: DirectionOfFamily, of_peer: DirectionOfPeer, key| {
            let names = merged.names(family, of_family, of_peer);
            self.chain(names, external).unwrap_or_else(|problem| {
                problems.push(merged.at(key, *problem));
                PolicyChain {
                    names: None,
                    policy: PolicyRef::reject_all(),
                }
            })
        };
        let import = Family::ALL.map(|f| chain(f, |f| &f.import, |s| &s.import, "import"));
        let export = Family::ALL.map(|f| chain(f, |f| &f.export, |s| &s.export, "export"));
        let default_originate = Family::ALL.map(|family| {
            let of_family = |settings: &PeerSettings| {
                let family = settings.families.get(family.index())?.as_ref()?;
                family.default_originate.clone()
            };
            let of = |settings: &PeerSettings| {
                of_family(settings).or_else(|| settings.default_originate.clone())
            };
            let given = of(own).or_else(|| merged.group.and_then(of))?;
            self.default_originate(&given).unwrap_or_else(|problem| {
                problems.push(merged.at("default-originate", *problem));
                None
            })
        });
        let Some(remote_as) = remote_as.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        Ok(PeerConfig {
            key,
            group: group.map(|(name, _)| name.to_owned()),
            description: merged.take(|s| &s.description),
            disabled: merged.take(|s| &s.disabled).unwrap_or(false),
            remote_as,
            external,
            hold_time,
            keepalive,
            connect_retry: merged.take(|s| &s.connect_retry).unwrap_or(CONNECT_RETRY),
            send_hold_time,
            refresh_timeout: merged
                .take(|s| &s.refresh_timeout)
                .unwrap_or(REFRESH_TIMEOUT),
            graceful_restart: merged.take(|s| &s.graceful_restart).unwrap_or(true),
            stale_time: merged.take(|s| &s.stale_time).unwrap_or(STALE_TIME),
            passive: matches!(key, PeerKey::Range(_))
                || merged.take(|s| &s.passive).unwrap_or(false),
            port: merged.take(|s| &s.port).unwrap_or(PORT),
            local_address,
            multihop,
            local_interface: merged.take(|s| &s.local_interface),
            ttl_security,
            password: merged.take(|s| &s.password),
            limit: limit.unwrap_or(LIMIT),
            next_hop_self: merged.take(|s| &s.next_hop_self).unwrap_or(false),
            extended_next_hop: merged
                .take(|s| &s.extended_next_hop)
                .unwrap_or(matches!(key, PeerKey::Interface(_))),
            route_reflector_client: client,
            default_originate,
            weight: merged.take(|s| &s.weight).unwrap_or(0),
            blackhole_community: merged.take(|s| &s.blackhole_community).unwrap_or(false),
            graceful_shutdown: merged.take(|s| &s.graceful_shutdown).unwrap_or(external),
            families: Family::ALL.map(on),
            add_path: Family::ALL.map(|family| {
                let add_path = merged
                    .of_family(family, |f| f.add_path)
                    .filter(|_| on(family));
                add_path.unwrap_or_default()
            }),
            import,
            export,
            path,
            bfd: merged.take(|s| &s.bfd).flatten(),
            prefix_limit: Family::ALL.map(|f| merged.of_family(f, |s| s.prefix_limit)),
            prefix_limit_out: Family::ALL.map(|f| merged.of_family(f, |s| s.prefix_limit_out)),
        })
    }

    /// `None`: off.
    fn default_originate(
        &self,
        given: &DefaultSettings,
    ) -> Result<Option<DefaultOriginateConfig>, Box<Problem>> {
        if !given.on {
            return Ok(None);
        }
        let when = match &given.when {
            None => None,
            Some(text) => match (self.sets.get(text), text.parse::<PrefixRange>()) {
                (Some(set), _) => Some((text.clone(), set.clone())),
                (None, Ok(range)) => Some((text.clone(), vec![range])),
                (None, Err(_)) => {
                    let names = self.sets.keys().map(String::as_str);
                    let help = match closest(text, names) {
                        Some(name) => format!("did you mean `{name}`?"),
                        None => "write a prefix, or name a set of `[policy.prefix-set]`".to_owned(),
                    };
                    let what = format!("`{text}` is neither a prefix nor a prefix set");
                    return Err(Box::new(Problem::new(what, help)));
                }
            },
        };
        // Without any, nothing is changed, and nothing rejected (RFC 8212 is met
        // by who asks for the route).
        let policy = self.chain(given.policy.clone(), false)?;
        Ok(Some(DefaultOriginateConfig { when, policy }))
    }

    fn chain(
        &self,
        names: Option<Vec<String>>,
        external: bool,
    ) -> Result<PolicyChain, Box<Problem>> {
        let policy = match &names {
            None if external => PolicyRef::no_policy(),
            None => PolicyRef::accept_all(),
            Some(names) => self.policies.chain(names).map_err(|error| {
                Box::new(Problem::new(error.to_string(), "name one of the file"))
            })?,
        };
        Ok(PolicyChain { names, policy })
    }

    fn check_key(&self, key: PeerKey, merged: &Merged<'_>, problems: &mut Vec<Problem>) {
        match key {
            PeerKey::Address(address) => {
                if let Some(label) = no_neighbour(&address) {
                    let problem = Problem::new(
                        format!("no neighbour can have the address {address}"),
                        "write the neighbour's own address",
                    );
                    problems.push(merged.at("address", problem.label(label)));
                }
            }
            PeerKey::Range(range) if range != range.trunc() => {
                let problem = Problem::new(
                    "bits beyond the prefix length are set",
                    format!("write {}", range.trunc()),
                );
                problems.push(merged.at("range", problem));
            }
            PeerKey::Range(_) => {}
            // The neighbour is on the link, and both ends have one address there.
            PeerKey::Interface(interface) => {
                let session = "the session is between the link-local addresses";
                for (key, given) in [
                    ("multihop", merged.take(|s| &s.multihop).is_some()),
                    ("local-address", merged.take(|s| &s.local_address).is_some()),
                    (
                        "local-interface",
                        merged.take(|s| &s.local_interface).is_some(),
                    ),
                ] {
                    if given {
                        let problem = Problem::new(
                            format!("`{key}` is not for the neighbour on {interface}"),
                            format!("take it out: {session}"),
                        );
                        problems.push(merged.at(key, problem.label("not on an interface")));
                    }
                }
            }
        }
    }
}

type DirectionOfFamily = fn(&FamilySettings) -> &Option<Vec<String>>;
type DirectionOfPeer = fn(&PeerSettings) -> &Option<Vec<String>>;

fn check_timers(
    hold_time: Duration,
    keepalive: Option<Duration>,
    merged: &Merged<'_>,
    problems: &mut Vec<Problem>,
) {
    if !hold_time_allowed(hold_time) {
        let problem = Problem::new(
            "not a hold time that BGP allows",
            "set 3 s or more, or 0 s to do without keepalives (RFC 4271 §4.2)",
        );
        problems.push(merged.at("hold-time", problem));
    }
    // Later ones could arrive after the neighbour gave us up.
    if let Some(interval) = keepalive
        && !hold_time.is_zero()
        && (interval.is_zero() || interval * 3 > hold_time)
    {
        let problem = Problem::new(
            "the keepalive interval doesn't fit the hold time",
            "set at most a third of the hold time, or leave it out (RFC 4271 §10)",
        );
        let label = format!("the hold time is {} s", hold_time.as_secs());
        problems.push(merged.at("keepalive", problem.label(label)));
    }
}

/// RFC 5082 counts down from 255, `multihop` from less.
fn check_ttl(
    security: Option<u8>,
    multihop: Option<u8>,
    merged: &Merged<'_>,
    problems: &mut Vec<Problem>,
) {
    let (Some(_), Some(hops)) = (security, multihop) else {
        return;
    };
    let problem = Problem::new(
        "`ttl-security` and `multihop` exclude each other",
        format!(
            "write `ttl-security = {}` alone for a neighbour so far away, or `ttl-security = false`",
            hops.min(254)
        ),
    );
    problems.push(merged.at(
        "ttl-security",
        problem.label(format!("beside `multihop = {hops}`")),
    ));
}

fn check_local_address(
    key: PeerKey,
    local: Option<IpAddr>,
    merged: &Merged<'_>,
    problems: &mut Vec<Problem>,
) {
    let Some(local) = local else { return };
    let remote_is_v4 = match key {
        // Complained about already.
        PeerKey::Interface(_) => return,
        PeerKey::Address(address) => address.is_ipv4(),
        PeerKey::Range(range) => range.addr().is_ipv4(),
    };
    if local.is_ipv4() != remote_is_v4 {
        let problem = Problem::new(
            format!("`local-address` and peer {key} are not of the same kind"),
            "both must be IPv4 or both IPv6",
        );
        problems.push(merged.at("local-address", problem.label("the other kind")));
    }
}
