//! All policies of a configuration, compiled together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::actions::Actions;
use super::chain::{ACCEPT_ALL, Chain, Element, Policy, REJECT_ALL, Rule, builtin};
use super::conditions::Conditions;
use super::{MatchSpec, PolicyRef, PolicySetSpec, PrefixSet, Prepend, Registry, RuleSpec, Then};

/// The named policies, ready to be put into chains.
#[derive(Debug)]
pub struct PolicySet {
    policies: BTreeMap<String, Element>,
    registry: Registry,
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
    /// Policies that call each other in a ring, the first named again.
    CallCycle {
        names: Vec<String>,
    },
    /// More than [`PolicySet::MAX_RULES`] with all that is called.
    TooManyRules {
        policy: String,
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
            PolicyError::CallCycle { names } => {
                write!(
                    f,
                    "policies call each other in a ring: {}",
                    names.join(" → ")
                )
            }
            PolicyError::TooManyRules { policy } => write!(
                f,
                "{policy} has more than {} rules, those of the policies that it calls included",
                PolicySet::MAX_RULES
            ),
        }
    }
}

impl std::error::Error for PolicyError {}

impl Default for PolicySet {
    /// The built-in policies alone.
    fn default() -> Self {
        PolicySet {
            policies: [(ACCEPT_ALL, Then::Accept), (REJECT_ALL, Then::Reject)]
                .map(|(name, then)| (name.to_owned(), builtin(then, name)))
                .into(),
            registry: Registry::default(),
        }
    }
}

impl PolicySet {
    /// AS numbers that one rule may prepend. Longer paths meet filters anyway,
    /// and must leave room in a 4096-octet message.
    pub const MAX_PREPEND: usize = 32;

    /// Rules that one route may meet in a policy. Calls multiply them.
    pub const MAX_RULES: usize = 100_000;

    pub fn compile(spec: &PolicySetSpec) -> Result<PolicySet, PolicyError> {
        PolicySet::compile_with(spec, &Registry::default())
    }

    /// With policies that are written in Rust.
    pub fn compile_with(
        spec: &PolicySetSpec,
        registry: &Registry,
    ) -> Result<PolicySet, PolicyError> {
        let mut compiler = Compiler {
            spec,
            sets: BTreeMap::new(),
            done: PolicySet {
                registry: registry.clone(),
                ..PolicySet::default()
            },
            open: Vec::new(),
        };
        for name in spec.policies.keys() {
            if PolicySet::is_builtin(name) {
                return Err(PolicyError::BuiltinName { name: name.clone() });
            }
            compiler.policy(name)?;
        }
        Ok(compiler.done)
    }

    pub fn is_builtin(name: &str) -> bool {
        name == ACCEPT_ALL || name == REJECT_ALL
    }

    /// The policy of a peer that lists these names, in order. An empty list
    /// rejects everything.
    pub fn chain<S: AsRef<str>>(&self, names: &[S]) -> Result<PolicyRef, PolicyError> {
        let elements = names
            .iter()
            .map(|name| self.find(name.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(PolicyRef(Arc::new(Chain::new(elements))))
    }

    fn find(&self, name: &str) -> Result<Element, PolicyError> {
        let known = self.policies.get(name).cloned();
        known
            .or_else(|| self.registry.find(name))
            .ok_or_else(|| PolicyError::UnknownPolicy { name: name.into() })
    }

    /// Whether a list of policies may name it.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Names of all policies, built-in ones included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }

    pub const fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl PolicySetSpec {
    /// The first ring of calls, if there is one.
    pub fn call_cycle(&self) -> Option<Vec<String>> {
        let mut done = std::collections::BTreeSet::new();
        let mut names = self.policies.keys();
        names.find_map(|name| self.ring(name, &mut Vec::new(), &mut done))
    }

    fn ring<'a>(
        &'a self,
        name: &'a str,
        open: &mut Vec<&'a str>,
        done: &mut std::collections::BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(at) = open.iter().position(|earlier| *earlier == name) {
            let ring = open.iter().skip(at).chain([&name]);
            return Some(ring.map(|name| (*name).to_owned()).collect());
        }
        let rules = self.policies.get(name)?;
        if done.contains(name) {
            return None;
        }
        open.push(name);
        let mut calls = rules.iter().filter_map(|rule| rule.call.as_deref());
        let found = calls.find_map(|call| self.ring(call, open, done));
        open.pop();
        done.insert(name);
        found
    }
}

struct Compiler<'a> {
    spec: &'a PolicySetSpec,
    /// By the names that a rule lists.
    sets: BTreeMap<&'a [String], Arc<PrefixSet>>,
    done: PolicySet,
    /// Those whose compilation waits for one that they call.
    open: Vec<&'a str>,
}

impl<'a> Compiler<'a> {
    fn policy(&mut self, name: &'a str) -> Result<Element, PolicyError> {
        if let Ok(done) = self.done.find(name) {
            return Ok(done);
        }
        let Some(rules) = self.spec.policies.get(name) else {
            return Err(PolicyError::UnknownPolicy { name: name.into() });
        };
        if let Some(at) = self.open.iter().position(|open| *open == name) {
            let ring = self.open.iter().skip(at).chain([&name]);
            let names = ring.map(|name| (*name).to_owned()).collect();
            return Err(PolicyError::CallCycle { names });
        }
        self.open.push(name);
        let rules = rules
            .iter()
            .zip(1..)
            .map(|(rule, number)| self.rule(name, number, rule))
            .collect::<Result<_, _>>()?;
        self.open.pop();
        let policy = Policy::new(name, rules);
        if policy.size > PolicySet::MAX_RULES {
            return Err(PolicyError::TooManyRules {
                policy: name.to_owned(),
            });
        }
        let element = Element::Rules(Arc::new(policy));
        self.done.policies.insert(name.to_owned(), element.clone());
        Ok(element)
    }

    fn rule(
        &mut self,
        policy: &str,
        number: usize,
        spec: &'a RuleSpec,
    ) -> Result<Rule, PolicyError> {
        let mut conditions = |spec: &'a MatchSpec| {
            let set = self.prefix_set(&spec.prefix_sets);
            let set = set.map_err(|name| PolicyError::UnknownPrefixSet {
                policy: policy.to_owned(),
                rule: number,
                name,
            })?;
            Ok::<_, PolicyError>(Conditions::new(spec, set))
        };
        let matches = conditions(&spec.matches)?;
        let unless = conditions(&spec.unless)?;
        let counts = spec.sets.prepend.iter().map(|prepend| match prepend {
            Prepend::Local(times) => usize::from(*times),
            Prepend::Asn(_) => 1,
        });
        let count = counts.sum();
        if count > PolicySet::MAX_PREPEND {
            return Err(PolicyError::PrependTooLong {
                policy: policy.to_owned(),
                rule: number,
                count,
            });
        }
        let call = spec.call.as_deref();
        Ok(Rule {
            name: format!("{policy} rule {number}").into(),
            matches,
            unless,
            actions: Actions::new(&spec.sets),
            call: call.map(|name| self.policy(name)).transpose()?,
            then: spec.then,
        })
    }

    /// Shared by all rules that ask for the same: they are asked for once.
    /// `Err`: a name that there is not.
    fn prefix_set(&mut self, names: &'a [String]) -> Result<Option<Arc<PrefixSet>>, String> {
        if names.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.sets.get(names) {
            return Ok(Some(Arc::clone(known)));
        }
        let mut ranges = Vec::new();
        for name in names {
            let set = self.spec.prefix_sets.get(name);
            ranges.extend_from_slice(set.ok_or_else(|| name.clone())?);
        }
        let set = Arc::new(PrefixSet::new(&ranges));
        self.sets.insert(names, Arc::clone(&set));
        Ok(Some(set))
    }
}
