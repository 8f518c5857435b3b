//! All policies of a configuration, compiled together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::chain::{ACCEPT_ALL, Chain, Policy, REJECT_ALL, Rule, builtin};
use super::{Edits, PolicyRef, PolicySetSpec, PrefixSet, Prepend, RuleSpec};

/// The named policies, ready to be put into chains.
#[derive(Debug)]
pub struct PolicySet {
    policies: BTreeMap<String, Arc<Policy>>,
}

/// Why a policy set does not compile, or a chain does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    UnknownPrefixSet {
        policy: String,
        /// From 1, as shown to people.
        rule: usize,
        name: String,
    },
    UnknownPolicy {
        name: String,
    },
    /// `accept-all` and `reject-all` mean what they say.
    BuiltinName {
        name: String,
    },
    PrependTooLong {
        policy: String,
        rule: usize,
        count: usize,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::UnknownPrefixSet { policy, rule, name } => {
                write!(f, "{policy} rule {rule}: no prefix set is named {name:?}")
            }
            PolicyError::UnknownPolicy { name } => {
                write!(f, "no routing policy is named {name:?}")
            }
            PolicyError::BuiltinName { name } => {
                write!(f, "{name:?} is built in: give the policy another name")
            }
            PolicyError::PrependTooLong {
                policy,
                rule,
                count,
            } => write!(
                f,
                "{policy} rule {rule}: prepends {count} AS numbers, at most {} are allowed",
                PolicySet::MAX_PREPEND
            ),
        }
    }
}

impl std::error::Error for PolicyError {}

impl Default for PolicySet {
    /// The built-in policies alone.
    fn default() -> Self {
        PolicySet {
            policies: [(ACCEPT_ALL, true), (REJECT_ALL, false)]
                .map(|(name, accept)| (name.to_owned(), builtin(accept, name)))
                .into(),
        }
    }
}

impl PolicySet {
    /// AS numbers that one rule may prepend. Longer paths meet filters anyway,
    /// and must leave room in a 4096-octet message.
    pub const MAX_PREPEND: usize = 32;

    pub fn compile(spec: &PolicySetSpec) -> Result<PolicySet, PolicyError> {
        let prefix_sets: BTreeMap<&str, Arc<PrefixSet>> = spec
            .prefix_sets
            .iter()
            .map(|(name, ranges)| (name.as_str(), Arc::new(PrefixSet::new(ranges))))
            .collect();
        let mut set = PolicySet::default();
        for (name, rules) in &spec.policies {
            if PolicySet::is_builtin(name) {
                return Err(PolicyError::BuiltinName { name: name.clone() });
            }
            let rules = rules
                .iter()
                .zip(1..)
                .map(|(rule, number)| compile_rule(name, number, rule, &prefix_sets))
                .collect::<Result<_, _>>()?;
            set.policies
                .insert(name.clone(), Arc::new(Policy { rules }));
        }
        Ok(set)
    }

    pub fn is_builtin(name: &str) -> bool {
        name == ACCEPT_ALL || name == REJECT_ALL
    }

    /// The policy of a peer that lists these names, in order. An empty list
    /// rejects everything.
    pub fn chain<S: AsRef<str>>(&self, names: &[S]) -> Result<PolicyRef, PolicyError> {
        let policies = names
            .iter()
            .map(|name| {
                let name = name.as_ref();
                self.policies
                    .get(name)
                    .cloned()
                    .ok_or_else(|| PolicyError::UnknownPolicy { name: name.into() })
            })
            .collect::<Result<_, _>>()?;
        Ok(PolicyRef(Arc::new(Chain::new(policies))))
    }

    /// Names of all policies, built-in ones included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }
}

fn compile_rule(
    policy: &str,
    number: usize,
    spec: &RuleSpec,
    prefix_sets: &BTreeMap<&str, Arc<PrefixSet>>,
) -> Result<Rule, PolicyError> {
    let prefix_set = match &spec.matches.prefix_set {
        None => None,
        Some(name) => Some(prefix_sets.get(name.as_str()).cloned().ok_or_else(|| {
            PolicyError::UnknownPrefixSet {
                policy: policy.to_owned(),
                rule: number,
                name: name.clone(),
            }
        })?),
    };
    let count = spec
        .sets
        .prepend
        .iter()
        .map(|prepend| match prepend {
            Prepend::Local(times) => usize::from(*times),
            Prepend::Asn(_) => 1,
        })
        .sum();
    if count > PolicySet::MAX_PREPEND {
        return Err(PolicyError::PrependTooLong {
            policy: policy.to_owned(),
            rule: number,
            count,
        });
    }
    Ok(Rule {
        name: format!("{policy} rule {number}").into(),
        prefix_set,
        communities: spec.matches.communities.as_slice().into(),
        neighbours: spec.matches.neighbours.as_slice().into(),
        family: spec.matches.family,
        edits: Edits::from_spec(&spec.sets),
        then: spec.then,
    })
}
