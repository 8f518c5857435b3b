//! The `[policy]` part of the file.

mod matches;
mod sets;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use godwit_policy::route::{
    AsPathPattern, CommunityPattern, MatchSpec, PolicyError, PolicySet, PolicySetSpec, PrefixRange,
    Registry, RuleSpec, Then,
};
use serde_spanned::Spanned;
use toml::de::DeValue;

use crate::error::Problem;
use crate::reader::{Problems, Table, list_of};
use crate::schema;
use crate::suggest::closest;
use crate::values::{self, Wrong};

pub use shown::RuleText;

/// All of `[policy]`.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub spec: PolicySetSpec,
    pub sets: PatternSets,
    /// The rules as they stand in the file.
    pub text: BTreeMap<String, Vec<RuleText>>,
    spans: BTreeMap<String, Range<usize>>,
}

/// Sets that rules have within them, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct PatternSets {
    pub communities: BTreeMap<String, Vec<CommunityPattern>>,
    pub as_paths: BTreeMap<String, Vec<AsPathPattern>>,
}

/// What rules may name. Sets of communities and of paths are resolved into the
/// rules as they are read.
#[derive(Default)]
struct Names {
    prefix_sets: BTreeMap<String, Vec<PrefixRange>>,
    communities: BTreeMap<String, Vec<CommunityPattern>>,
    as_paths: BTreeMap<String, Vec<AsPathPattern>>,
    groups: Vec<String>,
    policies: BTreeSet<String>,
}

pub(crate) fn read(root: &Table<'_>, registry: &Registry) -> Policies {
    let Some(table) = root.table("policy", &schema::POLICY) else {
        return Policies::default();
    };
    let groups = root.named("peer-group").into_iter();
    let mut names = Names {
        prefix_sets: named_lists(&table, "prefix-set", values::prefix_range),
        communities: named_lists(&table, "community-set", values::community_pattern),
        as_paths: named_lists(&table, "as-path-set", values::as_path_pattern),
        groups: groups.map(|(name, _)| name.get_ref().to_string()).collect(),
        policies: BTreeSet::new(),
    };
    let policies = table.named("route");
    let known = policies.iter().map(|(name, _)| name.get_ref().to_string());
    names.policies = (known.chain(registry.names()))
        .chain(PolicySet::default().names().map(str::to_owned))
        .collect();
    let mut out = Policies::default();
    let mut calls = BTreeMap::new();
    for (name, value) in policies {
        let span = name.span();
        let name = name.get_ref().to_string();
        if PolicySet::is_builtin(&name) || name.starts_with(Registry::PREFIX) {
            let title = match PolicySet::is_builtin(&name) {
                true => format!("`{name}` is built in"),
                false => format!("`{}` is for policies written in Rust", Registry::PREFIX),
            };
            let problem = Problem::new(title, "give the policy another name").at(span);
            table.problems().push(problem.label("taken"));
            continue;
        }
        let tables = table.as_tables(value, &schema::RULE);
        let rules = tables.iter().map(|rule| {
            let called = rule.value_span("call");
            let rule = read_rule(rule, &names, registry);
            if let (Some(span), Some(call)) = (called, &rule.call) {
                calls.insert((name.clone(), call.clone()), span);
            }
            rule
        });
        out.spec.policies.insert(name.clone(), rules.collect());
        let text = tables.iter().map(RuleText::of).collect();
        out.text.insert(name.clone(), text);
        out.spans.insert(name, span);
    }
    out.spec.prefix_sets = names.prefix_sets;
    out.sets = PatternSets {
        communities: names.communities,
        as_paths: names.as_paths,
    };
    refuse_rings(&mut out.spec, &calls, table.problems());
    out
}

impl Policies {
    pub fn compile(&self, registry: &Registry, problems: &Problems) -> PolicySet {
        PolicySet::compile_with(&self.spec, registry).unwrap_or_else(|error| {
            let span = match &error {
                PolicyError::TooManyRules { policy }
                | PolicyError::TooDeep { policy }
                | PolicyError::PrependTooLong { policy, .. }
                | PolicyError::UnknownPrefixSet { policy, .. } => self.spans.get(policy),
                _ => None,
            };
            let problem = Problem::new(error.to_string(), "");
            problems.push(match span {
                Some(span) => problem.at(span.clone()),
                None => problem,
            });
            PolicySet::default()
        })
    }
}

/// Takes the calls that close a ring out, so that the rest can be checked.
fn refuse_rings(
    spec: &mut PolicySetSpec,
    calls: &BTreeMap<(String, String), Range<usize>>,
    problems: &Problems,
) {
    let mut closing = BTreeSet::new();
    for ring in spec.call_rings() {
        let problem = Problem::new(
            format!(
                "policies call each other in a ring: {}",
                ring.names.join(" → ")
            ),
            "take one of the calls out",
        );
        let problem = problem.label("closes the ring");
        let call = (ring.caller, ring.called);
        problems.push(match calls.get(&call) {
            Some(span) => problem.at(span.clone()),
            None => problem,
        });
        closing.insert(call);
    }
    if closing.is_empty() {
        return;
    }
    for (name, rules) in &mut spec.policies {
        for rule in rules {
            let call = rule.call.take();
            rule.call = call.filter(|call| !closing.contains(&(name.clone(), call.clone())));
        }
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

fn read_rule(rule: &Table<'_>, names: &Names, registry: &Registry) -> RuleSpec {
    let then = values::word(&[
        ("accept", Then::Accept),
        ("reject", Then::Reject),
        ("next", Then::Next),
    ]);
    let conditions = |key| {
        let table = rule.table(key, &schema::MATCH);
        table.map_or_else(MatchSpec::default, |table| matches::read(&table, names))
    };
    let call = rule.value("call", values::string).filter(|call| {
        let found = names.policies.contains(call.get_ref()) || registry.has(call.get_ref());
        if !found {
            let known: Vec<&str> = names.policies.iter().map(String::as_str).collect();
            let problem = no_policy(call.get_ref(), &known);
            rule.problems().push(problem.at(call.span()));
        }
        found
    });
    RuleSpec {
        matches: conditions("match"),
        unless: conditions("unless"),
        sets: rule
            .table("set", &schema::SET)
            .map(|table| sets::read(&table, names))
            .unwrap_or_default(),
        call: call.map(Spanned::into_inner),
        then: rule.plain("then", then),
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
        let found = policies.has(name.get_ref());
        if !found {
            let custom: Vec<String> = policies.registry().names().collect();
            let known = policies.names().chain(custom.iter().map(String::as_str));
            let problem = no_policy(name.get_ref(), &known.collect::<Vec<_>>());
            table.problems().push(problem.at(name.span()));
        }
        found
    };
    Some(plain(names.into_iter().filter(known).collect()))
}

fn no_policy(name: &str, known: &[&str]) -> Problem {
    match name.starts_with(Registry::PREFIX) {
        false => not_found(
            "routing policy",
            &format!("[[policy.route.{name}]]"),
            name,
            known.iter().copied(),
        ),
        true => {
            let help = match closest(name, known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => {
                    let custom = |known: &&&str| known.starts_with(Registry::PREFIX);
                    let has: Vec<&str> = known.iter().filter(custom).copied().collect();
                    match has.is_empty() {
                        true => "this program has no policies written in Rust".to_owned(),
                        false => format!("this program has {}", has.join(", ")),
                    }
                }
            };
            Problem::new(format!("no policy `{name}` is in this program"), help).label("not found")
        }
    }
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

fn plain<T>(list: Vec<Spanned<T>>) -> Vec<T> {
    list.into_iter().map(Spanned::into_inner).collect()
}

/// What stands in a text that may be a name of a set or an item of it.
fn wrong_item<'a>(
    name: &str,
    what: &str,
    known: impl Iterator<Item = &'a str>,
    wrong: Wrong,
) -> Wrong {
    match closest(name, known) {
        Some(set) => Wrong::new(
            format!("`{name}` is no {what} and no {what} set"),
            "not found",
            format!("did you mean `{set}`?"),
        ),
        None => wrong,
    }
}
