//! What a rule asks: `match` and `unless`.

use std::net::IpAddr;

use godwit_bgp::attrs::Origin;
use godwit_policy::route::{
    AsPathPattern, CommunityPattern, MatchSpec, NeighbourMatch, PrefixRange, SourceMatch,
};
use ipnet::IpNet;
use serde_spanned::Spanned;
use toml::de::DeValue;

use super::{Names, not_found, plain, wrong_item};
use crate::error::Problem;
use crate::reader::Table;
use crate::suggest::closest;
use crate::values::{self, Wrong};

/// Keys that take lists, none of which may be empty: would that hold always or
/// never?
const LISTS: [&str; 11] = [
    "prefix-set",
    "community",
    "community-all",
    "as-path",
    "origin-as",
    "first-as",
    "next-hop",
    "origin",
    "source",
    "neighbour",
    "interface",
];

pub(super) fn read(table: &Table<'_>, names: &Names) -> MatchSpec {
    for key in LISTS {
        if let Some(span) = table.empty_list(key) {
            let title = format!("`{key}` has nothing to match");
            let help = "name at least one, or take the key out";
            table.problems().push(Problem::new(title, help).at(span));
        }
    }
    let number = |key| table.plain(key, values::number_range);
    let asns = |key| list(table, key, values::asn_range);
    MatchSpec {
        prefix_sets: prefix_sets(table, names),
        family: table.plain("family", values::family),
        communities: communities(table, "community", names),
        communities_all: communities(table, "community-all", names),
        as_path: as_path(table, names),
        as_path_length: number("as-path-length"),
        origin_as: asns("origin-as"),
        first_as: asns("first-as"),
        next_hop: next_hop(table, names),
        origin: list(table, "origin", origin),
        med: number("med"),
        local_pref: number("local-pref"),
        weight: number("weight"),
        source: list(table, "source", |value| source(value, names)),
        neighbours: list(table, "neighbour", |value| neighbour(value, names)),
        interfaces: list(table, "interface", values::string),
    }
}

fn list<T>(
    table: &Table<'_>,
    key: &'static str,
    item: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
) -> Vec<T> {
    table.one_or_list(key, item).map(plain).unwrap_or_default()
}

/// Items of which each may be the name of a set of them.
fn flat<T>(table: &Table<'_>, what: &str, items: Option<Vec<Spanned<Vec<T>>>>) -> Vec<T> {
    let items = items.unwrap_or_default();
    for set in items.iter().filter(|set| set.get_ref().is_empty()) {
        let problem = Problem::new(format!("this set has no {what}"), "add one to it");
        table.problems().push(problem.at(set.span()));
    }
    plain(items).into_iter().flatten().collect()
}

fn prefix_sets(table: &Table<'_>, names: &Names) -> Vec<String> {
    let listed = table.one_or_list("prefix-set", values::string);
    let known = |name: &Spanned<String>| {
        let found = names.prefix_sets.contains_key(name.get_ref());
        if !found {
            let known = names.prefix_sets.keys().map(String::as_str);
            let problem = not_found("prefix set", "[policy.prefix-set]", name.get_ref(), known);
            table.problems().push(problem.at(name.span()));
        }
        found
    };
    plain(
        listed
            .unwrap_or_default()
            .into_iter()
            .filter(known)
            .collect(),
    )
}

fn communities(table: &Table<'_>, key: &'static str, names: &Names) -> Vec<CommunityPattern> {
    let items = table.one_or_list(key, |value| patterns(value, names));
    flat(table, "communities", items)
}

/// A pattern, or all of a set.
pub(super) fn patterns(value: &DeValue<'_>, names: &Names) -> Result<Vec<CommunityPattern>, Wrong> {
    let sets = &names.communities;
    if let Some(set) = value.as_str().and_then(|name| sets.get(name)) {
        return Ok(set.clone());
    }
    values::community_pattern(value)
        .map(|pattern| vec![pattern])
        .map_err(|wrong| {
            let name = value.as_str().unwrap_or_default();
            wrong_item(name, "community", sets.keys().map(String::as_str), wrong)
        })
}

fn as_path(table: &Table<'_>, names: &Names) -> Vec<AsPathPattern> {
    let sets = &names.as_paths;
    let items = table.one_or_list("as-path", |value| {
        if let Some(set) = value.as_str().and_then(|name| sets.get(name)) {
            return Ok(set.clone());
        }
        values::as_path_pattern(value)
            .map(|pattern| vec![pattern])
            .map_err(|wrong| {
                let name = value.as_str().unwrap_or_default();
                wrong_item(
                    name,
                    "AS path pattern",
                    sets.keys().map(String::as_str),
                    wrong,
                )
            })
    });
    flat(table, "patterns", items)
}

fn next_hop(table: &Table<'_>, names: &Names) -> Vec<PrefixRange> {
    const HELP: &str = "write an address, a prefix, or the name of a `[policy.prefix-set]`";
    let sets = &names.prefix_sets;
    let items = table.one_or_list("next-hop", |value| {
        let text = value
            .as_str()
            .ok_or_else(|| Wrong::kind("an address or a prefix", value, HELP))?;
        if let Some(set) = sets.get(text) {
            return Ok(set.clone());
        }
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let net = address.or_else(|_| text.parse::<IpNet>());
        net.map(|net| vec![PrefixRange::or_longer(net)])
            .map_err(|_| {
                let wrong = Wrong::new("not an address, a prefix or a prefix set", "", HELP);
                wrong_item(
                    text,
                    "address or prefix",
                    sets.keys().map(String::as_str),
                    wrong,
                )
            })
    });
    flat(table, "prefixes", items)
}

pub(super) fn origin(value: &DeValue<'_>) -> Result<Origin, Wrong> {
    values::word(&[
        ("igp", Origin::Igp),
        ("egp", Origin::Egp),
        ("incomplete", Origin::Incomplete),
    ])(value)
}

const GROUP: &str = "group:";

fn source(value: &DeValue<'_>, names: &Names) -> Result<SourceMatch, Wrong> {
    const WORDS: [(&str, SourceMatch); 5] = [
        ("local", SourceMatch::Local),
        ("aggregate", SourceMatch::Aggregate),
        ("external", SourceMatch::External),
        ("internal", SourceMatch::Internal),
        ("client", SourceMatch::Client),
    ];
    let text = value.as_str().unwrap_or_default();
    if let Some((_, word)) = WORDS.into_iter().find(|(word, _)| *word == text) {
        return Ok(word);
    }
    neighbour(value, names)
        .map(SourceMatch::Neighbour)
        .map_err(|wrong| {
            if text.starts_with(GROUP) || text.parse::<IpAddr>().is_ok() {
                return wrong;
            }
            let help = match closest(text, WORDS.iter().map(|(word, _)| *word)) {
                Some(word) => format!("did you mean `\"{word}\"`?"),
                None => "write `\"local\"`, `\"aggregate\"`, `\"external\"`, `\"internal\"`, `\"client\"`, \
                         or a peer's address, AS number or `\"group:NAME\"`"
                    .to_owned(),
            };
            match value.is_str() {
                true => Wrong::new("not a source of routes", "not known", help),
                false => Wrong::kind("a source of routes", value, help),
            }
        })
}

fn neighbour(value: &DeValue<'_>, names: &Names) -> Result<NeighbourMatch, Wrong> {
    if value.is_integer() {
        return values::asn(value).map(NeighbourMatch::Asn);
    }
    let Some(group) = value.as_str().and_then(|text| text.strip_prefix(GROUP)) else {
        return values::unicast(value).map(NeighbourMatch::Address);
    };
    if names.groups.iter().any(|known| known == group) {
        return Ok(NeighbourMatch::Group(group.to_owned()));
    }
    let help = match closest(group, names.groups.iter().map(String::as_str)) {
        Some(known) => format!("did you mean `{GROUP}{known}`?"),
        None => format!("add a `[peer-group.{group}]`"),
    };
    let title = format!("no peer group is named `{group}`");
    Err(Wrong::new(title, "not found", help))
}
