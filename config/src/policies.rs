//! The `[policy]` part of the file.

use std::collections::BTreeMap;

use godwit_bgp::Asn;
use godwit_policy::route::{
    Community, MatchSpec, NeighbourMatch, PolicySet, PolicySetSpec, PrefixRange, Prepend, RuleSpec,
    SetSpec, Then,
};
use serde_spanned::Spanned;
use toml::de::DeValue;

use crate::error::Problem;
use crate::reader::{Table, list_of};
use crate::schema;
use crate::suggest::closest;
use crate::values::{self, Wrong};

/// Sets of communities by name, resolved into the rules as they are read.
type CommunitySets = BTreeMap<String, Vec<Community>>;

pub(crate) fn read(root: &Table<'_>) -> PolicySetSpec {
    let Some(table) = root.table("policy", &schema::POLICY) else {
        return PolicySetSpec::default();
    };
    let prefix_sets = named_lists(&table, "prefix-set", values::prefix_range);
    let community_sets = named_lists(&table, "community-set", values::community);
    let mut policies = BTreeMap::new();
    for (name, value) in table.named("route") {
        if PolicySet::is_builtin(name.get_ref()) {
            let title = format!("`{}` is built in", name.get_ref());
            let problem = Problem::new(title, "give the policy another name").at(name.span());
            table.problems().push(problem.label("taken"));
            continue;
        }
        let rules = table
            .as_tables(value, &schema::RULE)
            .iter()
            .map(|rule| read_rule(rule, &prefix_sets, &community_sets))
            .collect();
        policies.insert(name.get_ref().to_string(), rules);
    }
    PolicySetSpec {
        prefix_sets,
        policies,
    }
}

fn named_lists<T>(
    table: &Table<'_>,
    key: &'static str,
    item: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
) -> BTreeMap<String, Vec<T>> {
    let read = |value| {
        let items = list_of(value, false, table.problems(), &item);
        items.into_iter().map(Spanned::into_inner).collect()
    };
    let named = table.named(key).into_iter();
    named
        .map(|(name, value)| (name.get_ref().to_string(), read(value)))
        .collect()
}

fn read_rule(
    rule: &Table<'_>,
    prefix_sets: &BTreeMap<String, Vec<PrefixRange>>,
    community_sets: &CommunitySets,
) -> RuleSpec {
    let then = values::word(&[
        ("accept", Then::Accept),
        ("reject", Then::Reject),
        ("next", Then::Next),
    ]);
    let matches = rule.table("match", &schema::MATCH);
    let sets = rule.table("set", &schema::SET);
    RuleSpec {
        matches: matches
            .map(|table| read_match(&table, prefix_sets, community_sets))
            .unwrap_or_default(),
        sets: sets
            .map(|table| read_set(&table, community_sets))
            .unwrap_or_default(),
        then: rule.plain("then", then),
    }
}

fn read_match(
    table: &Table<'_>,
    prefix_sets: &BTreeMap<String, Vec<PrefixRange>>,
    community_sets: &CommunitySets,
) -> MatchSpec {
    let found = |name: &Spanned<String>| {
        let found = prefix_sets.contains_key(name.get_ref());
        if !found {
            let known = prefix_sets.keys().map(String::as_str);
            let problem = not_found("prefix set", "[policy.prefix-set]", name.get_ref(), known);
            table.problems().push(problem.at(name.span()));
        }
        found
    };
    let prefix_set = table.value("prefix-set", values::string).filter(found);
    let communities = communities(table, "community", community_sets);
    // An empty set is an error where it would match everything, or nothing.
    for list in communities.iter().flatten() {
        if list.get_ref().is_empty() {
            let problem = Problem::new("this set has no communities", "add one to it");
            table.problems().push(problem.at(list.span()));
        }
    }
    for key in ["community", "neighbour"] {
        if let Some(span) = table.empty_list(key) {
            let problem = Problem::new(
                format!("`{key}` has nothing to match"),
                "name at least one, or take the key out",
            );
            table.problems().push(problem.at(span));
        }
    }
    MatchSpec {
        prefix_set: prefix_set.map(Spanned::into_inner),
        communities: flat(communities).unwrap_or_default(),
        neighbours: plain(table.one_or_list("neighbour", neighbour)).unwrap_or_default(),
        family: table.plain("family", values::family),
    }
}

fn read_set(table: &Table<'_>, sets: &CommunitySets) -> SetSpec {
    SetSpec {
        local_pref: table.plain("local-pref", values::number(0..=u32::MAX)),
        med: table.plain("med", values::number(0..=u32::MAX)),
        community_set: flat(communities(table, "community-set", sets)),
        community_remove: flat(communities(table, "community-remove", sets)).unwrap_or_default(),
        community_add: flat(communities(table, "community-add", sets)).unwrap_or_default(),
        next_hop_self: table
            .plain("next-hop-self", values::boolean)
            .unwrap_or(false),
        prepend: table.plain("prepend", prepend).unwrap_or_default(),
    }
}

/// Communities and names of sets of them.
fn communities(
    table: &Table<'_>,
    key: &'static str,
    sets: &CommunitySets,
) -> Option<Vec<Spanned<Vec<Community>>>> {
    table.one_or_list(key, |value| {
        let text = value.as_str().and_then(|name| sets.get(name));
        match text {
            Some(set) => Ok(set.clone()),
            None => values::community(value).map(|c| vec![c]).map_err(|wrong| {
                let name = value.as_str().unwrap_or_default();
                match closest(name, sets.keys().map(String::as_str)) {
                    Some(set) => Wrong::new(
                        format!("`{name}` is no community and no community set"),
                        "not found",
                        format!("did you mean `{set}`?"),
                    ),
                    None => wrong,
                }
            }),
        }
    })
}

fn flat<T>(lists: Option<Vec<Spanned<Vec<T>>>>) -> Option<Vec<T>> {
    Some(plain(lists)?.into_iter().flatten().collect())
}

fn plain<T>(list: Option<Vec<Spanned<T>>>) -> Option<Vec<T>> {
    Some(list?.into_iter().map(Spanned::into_inner).collect())
}

fn neighbour(value: &DeValue<'_>) -> Result<NeighbourMatch, Wrong> {
    if value.is_integer() {
        values::asn(value).map(NeighbourMatch::Asn)
    } else {
        values::unicast(value).map(NeighbourMatch::Address)
    }
}

/// A count of our own number, or the numbers.
fn prepend(value: &DeValue<'_>) -> Result<Vec<Prepend>, Wrong> {
    let max = PolicySet::MAX_PREPEND;
    match value {
        DeValue::Array(items) => {
            let asns: Vec<Asn> = items
                .iter()
                .map(|item| values::asn(item.get_ref()))
                .collect::<Result<_, _>>()?;
            if asns.len() > max {
                return Err(Wrong::new(
                    format!("{} AS numbers are too many to prepend", asns.len()),
                    "too long",
                    format!("write at most {max}"),
                ));
            }
            Ok(asns.into_iter().map(Prepend::Asn).collect())
        }
        value if value.is_integer() => {
            let count = values::number(1..=max as u8)(value)?;
            Ok(vec![Prepend::Local(count)])
        }
        other => Err(Wrong::kind(
            "a count or a list of AS numbers",
            other,
            "write `prepend = 2` for our own number twice, or `prepend = [64512, 64513]`",
        )),
    }
}

/// Names of policies; `None` where the key is absent.
pub(crate) fn names(
    table: &Table<'_>,
    key: &'static str,
    policies: &PolicySet,
) -> Option<Vec<String>> {
    let names = table.list(key, values::string)?;
    let known = |name: &Spanned<String>| {
        let found = policies.names().any(|known| known == name.get_ref());
        if !found {
            let problem = not_found(
                "routing policy",
                &format!("[[policy.route.{}]]", name.get_ref()),
                name.get_ref(),
                policies.names(),
            );
            table.problems().push(problem.at(name.span()));
        }
        found
    };
    Some(
        names
            .into_iter()
            .filter(known)
            .map(Spanned::into_inner)
            .collect(),
    )
}

fn not_found<'a>(
    what: &str,
    header: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Problem {
    let help = match closest(name, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("add it below `{header}`"),
    };
    Problem::new(format!("no {what} is named `{name}`"), help).label("not found")
}
