//! `[peer-group.NAME]` and `[[peer]]`.

use std::collections::BTreeMap;
use std::ops::Range;

use godwit_bgp::Family;
use godwit_policy::route::PolicySet;
use ipnet::IpNet;
use toml::de::DeTable;

use super::settings::settings;
use crate::error::Problem;
use crate::model::{Config, PeerConfig, PeerKey};
use crate::reader::{Problems, Table};
use crate::schema;
use crate::settings::{KeySpans, PeerSettings, Resolver, no_group};
use crate::values;

pub(super) fn groups(
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

pub(super) fn peers(
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
                _ => {
                    let wrong = wrong.iter().map(|problem| with_line(problem, text));
                    Err(wrong.collect::<Vec<_>>().join("; "))
                }
            }
        };
        let tables = root.tables("peer", &schema::PEER);
        // What is wrong with keys comes with the tables; each is read by itself.
        let keys = problems.take();
        let mut found: Vec<_> = tables.iter().map(read).collect();
        found.extend(keys.iter().map(|problem| Err(with_line(problem, text))));
        found
    }
}

/// What is wrong behind the line that it is in, for whoever does not see the text.
fn with_line(problem: &Problem, text: &str) -> String {
    let at = problem.span.as_ref().map(|span| span.start);
    let (before, behind) = at
        .and_then(|at| text.split_at_checked(at))
        .unwrap_or_default();
    let begin = before.rsplit('\n').next().unwrap_or_default();
    let end = behind.split('\n').next().unwrap_or_default();
    let line = format!("{begin}{end}");
    match line.trim() {
        "" => problem.one_line(),
        line => format!("`{line}`: {}", problem.one_line()),
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
        (None, _)
            if ["address", "interface", "range"]
                .iter()
                .any(|key| table.misspelt(key).is_some()) =>
        {
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
