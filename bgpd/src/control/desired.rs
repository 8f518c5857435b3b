//! What the file wants, and the steps from one wish to the next.

use std::collections::BTreeMap;
use std::net::IpAddr;

use godwit_config::{Effect, Password};
use godwit_rib::{Aggregate, LocalRoute, RibConfig};
use ipnet::IpNet;

use crate::peer::{PeerName, PeerSettings};
use crate::status::{PeerOrigin, SessionStatus};

/// Any neighbour from `range` becomes a peer like `template`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub range: IpNet,
    pub template: PeerSettings,
}

/// Everything of the file that can change while the daemon runs.
#[derive(Clone, Debug)]
pub struct Desired {
    pub peers: BTreeMap<PeerName, PeerSettings>,
    /// Longest first, so that the first match is the right one.
    pub ranges: Vec<Range>,
    pub routes: BTreeMap<IpNet, LocalRoute>,
    pub aggregates: Vec<Aggregate>,
    pub rib: RibConfig,
}

impl Desired {
    /// The settings that a neighbour who calls from `address` has by a range.
    pub fn for_caller(&self, address: IpAddr) -> Option<PeerSettings> {
        let found = self.ranges.iter().find(|r| r.range.contains(&address))?;
        Some(PeerSettings {
            name: address.into(),
            address,
            ..found.template.clone()
        })
    }

    /// Whether the prefix is one of the file's aggregates.
    pub fn aggregates(&self, prefix: IpNet) -> bool {
        self.aggregates.iter().any(|a| a.prefix == prefix)
    }
}

/// The TCP-MD5 keys that listening sockets need: of single peers, of ranges for
/// whoever calls from there, and of peers on an interface for whom `neighbour`
/// says is there. The kernel tells link-local addresses of several links apart by
/// VRF alone: of two neighbours with the same one, the latter's key holds.
pub fn listening_keys<'a>(
    peers: impl Iterator<Item = &'a PeerSettings>,
    ranges: &[Range],
    neighbour: impl Fn(PeerName) -> Option<IpAddr>,
) -> BTreeMap<IpNet, Password> {
    let key = |peers, settings: &PeerSettings| Some((peers, settings.config.password.clone()?));
    let ranges = ranges.iter().filter_map(|r| key(r.range, &r.template));
    let single = peers
        .filter(|p| !matches!(p.origin, PeerOrigin::Range(_)))
        .filter_map(|p| {
            let address = match p.name {
                PeerName::Address(address) => address,
                PeerName::Interface(_) => neighbour(p.name)?,
            };
            key(IpNet::from(address), p)
        });
    // A peer comes before a range of its address alone.
    ranges.chain(single).collect()
}

/// One step of a reload.
#[derive(Clone, Debug)]
pub enum Step {
    AddPeer(PeerSettings),
    RemovePeer(PeerName),
    /// The session has to come up anew for the keys of `restart`.
    ChangePeer {
        settings: PeerSettings,
        restart: Vec<&'static str>,
        /// All that differ.
        keys: Vec<(&'static str, Effect)>,
    },
    /// Of ranges only who connects later is concerned: neighbours that are there
    /// have steps of their own.
    AddRange(IpNet),
    RemoveRange(IpNet),
    ChangeRange {
        range: IpNet,
        keys: Vec<(&'static str, Effect)>,
    },
    Originate(LocalRoute),
    Withdraw(IpNet),
    Aggregate(Vec<Aggregate>),
    Reconfigure(RibConfig),
}

impl Step {
    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Step::AddPeer(s) => format!("peer {} added", s.name),
            Step::RemovePeer(address) => format!("peer {address} removed"),
            Step::ChangePeer {
                settings,
                restart,
                keys,
            } => {
                let address = settings.name;
                match &restart[..] {
                    [] if matches!(keys[..], [("disabled", _)]) => {
                        let word = if settings.disabled {
                            "disabled"
                        } else {
                            "enabled"
                        };
                        format!("peer {address} {word}")
                    }
                    [] => format!("peer {address} changed{}", listed(keys)),
                    keys => {
                        let keys = keys.join(", ");
                        format!("peer {address} changed, its session restarts for {keys}")
                    }
                }
            }
            Step::AddRange(range) => format!("range {range} added"),
            Step::RemoveRange(range) => format!("range {range} removed"),
            Step::ChangeRange { range, keys } => format!("range {range} changed{}", listed(keys)),
            Step::Originate(route) => format!("route {} originated", route.prefix),
            Step::Withdraw(prefix) => format!("route {prefix} withdrawn"),
            Step::Aggregate(all) => format!("aggregates changed, now {}", all.len()),
            Step::Reconfigure(_) => "route selection changed".to_owned(),
        }
    }
}

fn listed(keys: &[(&str, Effect)]) -> String {
    let keys: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
    match keys.is_empty() {
        true => String::new(),
        false => format!(": {}", keys.join(", ")),
    }
}

fn range_steps(now: &[Range], next: &[Range]) -> Vec<Step> {
    let find = |ranges: &[Range], range: IpNet| ranges.iter().position(|r| r.range == range);
    let gone = now.iter().filter(|old| find(next, old.range).is_none());
    let mut steps: Vec<Step> = gone.map(|old| Step::RemoveRange(old.range)).collect();
    for new in next {
        match find(now, new.range).map(|at| &now[at]) {
            None => steps.push(Step::AddRange(new.range)),
            Some(old) if old != new => steps.push(Step::ChangeRange {
                range: new.range,
                keys: keys(&old.template, &new.template),
            }),
            Some(_) => {}
        }
    }
    steps
}

/// The peers that should be there next, against those that are, then the rest.
/// What is equal is not touched. Removals come first: a new peer may need the
/// place of an old one.
pub fn steps(
    peers_now: &BTreeMap<PeerName, PeerSettings>,
    peers_next: &BTreeMap<PeerName, PeerSettings>,
    now: &Desired,
    next: &Desired,
    session: impl Fn(PeerName) -> Option<SessionStatus>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for address in peers_now.keys() {
        if !peers_next.contains_key(address) {
            steps.push(Step::RemovePeer(*address));
        }
    }
    steps.extend(range_steps(&now.ranges, &next.ranges));
    for prefix in now.routes.keys() {
        if !next.routes.contains_key(prefix) {
            steps.push(Step::Withdraw(*prefix));
        }
    }
    if now.aggregates != next.aggregates {
        steps.push(Step::Aggregate(next.aggregates.clone()));
    }
    if now.rib != next.rib {
        steps.push(Step::Reconfigure(next.rib));
    }
    for (address, settings) in peers_next {
        match peers_now.get(address) {
            None => steps.push(Step::AddPeer(settings.clone())),
            Some(old) if old != settings => steps.push(Step::ChangePeer {
                settings: settings.clone(),
                restart: old.restart_keys(settings, session(*address).as_ref()),
                keys: keys(old, settings),
            }),
            Some(_) => {}
        }
    }
    for (prefix, route) in &next.routes {
        if now
            .routes
            .get(prefix)
            .is_none_or(|old| !same_route(old, route))
        {
            steps.push(Step::Originate(route.clone()));
        }
    }
    steps
}

/// Those of the file, and whether it is disabled by command.
fn keys(old: &PeerSettings, new: &PeerSettings) -> Vec<(&'static str, Effect)> {
    let change = godwit_config::change(&old.config, &new.config);
    let mut keys = change.map(|change| change.keys).unwrap_or_default();
    keys.retain(|(_, effect)| *effect != Effect::Switch);
    if old.disabled != new.disabled {
        keys.insert(0, ("disabled", Effect::Switch));
    }
    keys
}

fn same_route(a: &LocalRoute, b: &LocalRoute) -> bool {
    a.prefix == b.prefix && a.attrs == b.attrs && a.blackhole == b.blackhole
}

#[cfg(test)]
mod tests {
    use godwit_bgp::RouterId;

    use super::*;
    use crate::control::resolve;

    const BASE: &str = "[router]\nasn = 65001\n[fib]\nenabled = false\n";

    fn desired(text: &str) -> Desired {
        let config = godwit_config::parse("test", &format!("{BASE}{text}")).unwrap();
        resolve::desired(&config, &resolve::identity(&config, RouterId(1)))
    }

    fn described(old: &str, new: &str) -> Vec<String> {
        let (old, new) = (desired(old), desired(new));
        let steps = steps(&old.peers, &new.peers, &old, &new, |_| None);
        steps.iter().map(Step::describe).collect()
    }

    const PEER: &str = "[[peer]]\naddress = \"10.0.0.1\"\nremote-as = 65002\n";

    #[test]
    fn equal_files_need_no_step() {
        assert!(described(PEER, PEER).is_empty());
    }

    #[test]
    fn peers_come_and_go() {
        let other = PEER.replace("10.0.0.1", "10.0.0.2");
        let expected = ["peer 10.0.0.1 removed", "peer 10.0.0.2 added"];
        assert_eq!(described(PEER, &other), expected);
    }

    #[test]
    fn a_description_leaves_the_session_alone() {
        let named = format!("{PEER}description = \"x\"\n");
        assert_eq!(
            described(PEER, &named),
            ["peer 10.0.0.1 changed: description"]
        );
    }

    #[test]
    fn a_hold_time_does_not() {
        let timed = format!("{PEER}hold-time = \"9s\"\n");
        let expected = ["peer 10.0.0.1 changed, its session restarts for hold-time"];
        assert_eq!(described(PEER, &timed), expected);
    }

    #[test]
    fn originated_routes_come_go_and_change() {
        let old = "[[originate]]\nprefix = \"192.0.2.0/24\"\n\
                   [[originate]]\nprefix = \"198.51.100.0/24\"\n";
        let new = "[[originate]]\nprefix = \"192.0.2.0/24\"\nblackhole = true\n\
                   [[originate]]\nprefix = \"203.0.113.0/24\"\n";
        let expected = [
            "route 198.51.100.0/24 withdrawn",
            "route 192.0.2.0/24 originated",
            "route 203.0.113.0/24 originated",
        ];
        assert_eq!(described(old, new), expected);
    }

    #[test]
    fn more_paths_are_applied_in_place() {
        let (old, new) = (desired(""), desired(""));
        let mut new = new;
        new.rib.max_paths_external += 1;
        let steps = steps(&old.peers, &new.peers, &old, &new, |_| None);
        assert!(matches!(steps[..], [Step::Reconfigure(_)]), "{steps:?}");
    }

    #[test]
    fn a_key_of_a_peer_on_an_interface_is_for_whom_is_found_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "key").unwrap();
        let signed = format!(
            "remote-as = 65002\npassword-file = '{}'\n",
            file.path().display()
        );
        let desired = desired(&format!(
            "[[peer]]\ninterface = 'eth0'\n{signed}[[peer]]\ninterface = 'eth1'\n{signed}\
             [[peer]]\naddress = '10.0.0.1'\n{signed}[[peer]]\nrange = '10.1.0.0/16'\n{signed}\
             [[peer]]\ninterface = 'eth2'\nremote-as = 65002\n"
        ));
        let found = |name: PeerName| match name.to_string().as_str() {
            "eth1" => "fe80::1".parse().ok(),
            "eth2" => "fe80::2".parse().ok(),
            _ => None,
        };
        let keys = listening_keys(desired.peers.values(), &desired.ranges, found);
        let peers: Vec<String> = keys.keys().map(IpNet::to_string).collect();
        assert_eq!(peers, ["10.0.0.1/32", "10.1.0.0/16", "fe80::1/128"]);
    }

    #[test]
    fn the_longest_range_around_a_caller_counts() {
        let ranges = "[[peer]]\nrange = \"10.0.0.0/8\"\nremote-as = \"external\"\n\
                      [[peer]]\nrange = \"10.1.0.0/16\"\nremote-as = \"internal\"\n";
        let desired = desired(ranges);
        let of = |address: &str| {
            let settings = desired.for_caller(address.parse().unwrap())?;
            Some((settings.address.to_string(), settings.config.external))
        };
        assert_eq!(of("10.1.2.3"), Some(("10.1.2.3".to_owned(), false)));
        assert_eq!(of("10.2.2.3"), Some(("10.2.2.3".to_owned(), true)));
        assert_eq!(of("11.0.0.1"), None);
    }
}
