//! All policies of a configuration, compiled together.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Its calls go deeper than [`PolicySet::MAX_DEPTH`].
    TooDeep {
        policy: String,
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
            PolicyError::TooDeep { policy } => write!(
                f,
                "{policy} calls policies that call policies, more than {} of them in a row",
                PolicySet::MAX_DEPTH
            ),
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

    /// Policies that a route may be in at once, each called by the one before: one
    /// is a frame on the stack.
    pub const MAX_DEPTH: usize = 64;

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

/// Policies that call each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRing {
    /// In the order of the calls, the first named again; of a long one "…" stands for
    /// those in the middle.
    pub names: Vec<String>,
    /// The call that closes it.
    pub caller: String,
    pub called: String,
}

impl PolicySetSpec {
    /// Rings of calls, found in one pass: with the call that closes each taken out,
    /// there is none left.
    pub fn call_rings(&self) -> Vec<CallRing> {
        let mut rings = Vec::new();
        let mut told = BTreeSet::new();
        // How deep those stand that wait for one that they call; `None`: done.
        let mut seen: BTreeMap<&str, Option<usize>> = BTreeMap::new();
        let calls = |name: &str| {
            let rules = self.policies.get(name)?;
            Some(rules.iter().filter_map(|rule| rule.call.as_deref()))
        };
        for first in self.policies.keys() {
            // Not by recursion: a file may chain as many as it has.
            let mut open: Vec<&str> = Vec::new();
            let mut left = Vec::new();
            let mut next = Some(first.as_str());
            loop {
                if let Some(name) = next.take() {
                    match (seen.get(name), open.last()) {
                        (Some(Some(at)), Some(caller)) => {
                            if told.insert((*caller, name)) {
                                rings.push(CallRing {
                                    names: ring(open.get(*at..).unwrap_or_default(), name),
                                    caller: (*caller).to_owned(),
                                    called: name.to_owned(),
                                });
                            }
                        }
                        (Some(_), _) => {}
                        (None, _) => {
                            if let Some(calls) = calls(name) {
                                seen.insert(name, Some(open.len()));
                                open.push(name);
                                left.push(calls);
                            }
                        }
                    }
                }
                let Some(calls) = left.last_mut() else { break };
                next = calls.next();
                if next.is_none() {
                    left.pop();
                    if let Some(done) = open.pop() {
                        seen.insert(done, None);
                    }
                }
            }
        }
        rings
    }
}

fn ring(open: &[&str], closed_by: &str) -> Vec<String> {
    /// Shown of each end of a long one.
    const ENDS: usize = 5;
    let names = |some: &[&str]| some.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let mut shown = match (open.first_chunk::<ENDS>(), open.last_chunk::<ENDS>()) {
        (Some(first), Some(last)) if open.len() > 2 * ENDS => {
            let mut shown = names(first);
            shown.push("…".to_owned());
            shown.extend(names(last));
            shown
        }
        _ => names(open),
    };
    shown.push(closed_by.to_owned());
    shown
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
        if let [first, ..] = self.open[..]
            && self.open.len() >= PolicySet::MAX_DEPTH
        {
            return Err(PolicyError::TooDeep {
                policy: first.to_owned(),
            });
        }
        self.open.push(name);
        // First what is called: rules are large, and none of them is to lie on the
        // stack while others are compiled, as deep as calls go.
        let called = rules.iter().map(|rule| rule.call.as_deref());
        let called = called
            .map(|name| name.map(|name| self.policy(name)).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        self.open.pop();
        let rules = rules.iter().zip(called).zip(1..);
        let rules = rules
            .map(|((rule, called), number)| self.rule(name, number, rule, called))
            .collect::<Result<_, _>>()?;
        let policy = Policy::new(name, rules);
        // One that was compiled before may be deep by itself.
        if policy.depth > PolicySet::MAX_DEPTH {
            return Err(PolicyError::TooDeep {
                policy: name.to_owned(),
            });
        }
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
        call: Option<Element>,
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
        Ok(Rule {
            name: format!("{policy} rule {number}").into(),
            matches,
            unless,
            actions: Actions::new(&spec.sets),
            call,
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
