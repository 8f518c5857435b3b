//! What is left of a chain once peer and attribute block are known: which
//! outcome a prefix gets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::chain::Lazy;
use super::{Edits, PrefixSet, Then};

/// Name of what decided, for people: `from-tor rule 2`.
pub type RuleName = Arc<str>;

/// What a policy does with a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// A whole list of policies never ends with [`Then::Next`].
    pub then: Then,
    /// Empty where the route is rejected.
    pub edits: Edits,
    pub rule: RuleName,
}

impl Outcome {
    pub const fn accept(rule: RuleName, edits: Edits) -> Self {
        Outcome {
            then: Then::Accept,
            edits,
            rule,
        }
    }

    pub fn reject(rule: RuleName) -> Self {
        Outcome {
            then: Then::Reject,
            edits: Edits::default(),
            rule,
        }
    }

    /// Undecided: the next policy of the list sees the route as edited.
    pub const fn next(rule: RuleName, edits: Edits) -> Self {
        Outcome {
            then: Then::Next,
            edits,
            rule,
        }
    }

    pub fn is_accepted(&self) -> bool {
        self.then == Then::Accept
    }
}

/// Picks one of few outcomes by the prefix alone.
///
/// Usually a small shared tree over prefix-set membership. A chain whose forks
/// would multiply past [`MAX_NODES`] is evaluated prefix by prefix instead, so
/// that the size stays bounded by what the prefixes asked for: then
/// [`outcomes`](Self::outcomes) grows as `pick_*` goes on.
#[derive(Clone, Debug)]
pub struct Residual(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Tree(Arc<Tree>),
    Lazy(Box<LazyState>),
}

/// Forks of one tree at most.
pub(super) const MAX_NODES: usize = 256;

/// Outcomes of one residual at most; indices fit `u16`.
const MAX_OUTCOMES: usize = 4096;

/// Where to go on: another fork or an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    Fork(u16),
    Leaf(u16),
}

#[derive(Clone, Debug)]
pub(super) struct Fork {
    pub set: Arc<PrefixSet>,
    pub inside: Branch,
    pub outside: Branch,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub root: Branch,
    pub forks: Box<[Fork]>,
    pub outcomes: Box<[Outcome]>,
}

#[derive(Clone, Debug)]
struct LazyState {
    chain: Lazy,
    outcomes: Vec<Outcome>,
    index: HashMap<Outcome, u16>,
}

impl Tree {
    fn pick(&self, inside: impl Fn(&PrefixSet) -> bool) -> u16 {
        let mut at = self.root;
        loop {
            match at {
                Branch::Leaf(outcome) => return outcome,
                Branch::Fork(i) => {
                    // Forks point only to forks of the same tree.
                    let Some(fork) = self.forks.get(usize::from(i)) else {
                        return 0;
                    };
                    at = if inside(&fork.set) {
                        fork.inside
                    } else {
                        fork.outside
                    };
                }
            }
        }
    }
}

impl LazyState {
    fn pick(&mut self, net: IpNet) -> u16 {
        let full = self.outcomes.len() >= MAX_OUTCOMES;
        match self.index.entry(self.chain.evaluate(net)) {
            Entry::Occupied(known) => *known.get(),
            // Closed when in doubt: index 0 rejects.
            Entry::Vacant(_) if full => 0,
            Entry::Vacant(new) => {
                let index = self.outcomes.len() as u16;
                self.outcomes.push(new.key().clone());
                *new.insert(index)
            }
        }
    }
}

impl Residual {
    pub(super) fn tree(tree: Tree) -> Self {
        Residual(Kind::Tree(Arc::new(tree)))
    }

    pub(super) fn lazy(chain: Lazy) -> Self {
        let overflow = Outcome::reject("policy with too many different outcomes".into());
        Residual(Kind::Lazy(Box::new(LazyState {
            chain,
            index: HashMap::from([(overflow.clone(), 0)]),
            outcomes: vec![overflow],
        })))
    }

    /// The same outcome for every prefix.
    pub fn constant(outcome: Outcome) -> Self {
        Residual::tree(Tree {
            root: Branch::Leaf(0),
            forks: Box::default(),
            outcomes: Box::new([outcome]),
        })
    }

    /// One outcome for the prefixes in the set, another for the rest.
    pub fn split(set: Arc<PrefixSet>, inside: Outcome, outside: Outcome) -> Self {
        Residual::tree(Tree {
            root: Branch::Fork(0),
            forks: Box::new([Fork {
                set,
                inside: Branch::Leaf(0),
                outside: Branch::Leaf(1),
            }]),
            outcomes: Box::new([inside, outside]),
        })
    }

    /// The outcomes that `pick_*` has answered or, in the usual case, can.
    pub fn outcomes(&self) -> &[Outcome] {
        match &self.0 {
            Kind::Tree(tree) => &tree.outcomes,
            Kind::Lazy(lazy) => &lazy.outcomes,
        }
    }

    /// The prefix does not matter: `pick_*` always answers 0.
    pub fn is_constant(&self) -> bool {
        matches!(&self.0, Kind::Tree(tree) if matches!(tree.root, Branch::Leaf(0)))
    }

    /// Index into [`outcomes`](Self::outcomes), to be looked up after this call.
    pub fn pick_v4(&mut self, net: Ipv4Net) -> u16 {
        match &mut self.0 {
            Kind::Tree(tree) => tree.pick(|set| set.contains_v4(net)),
            Kind::Lazy(lazy) => lazy.pick(IpNet::V4(net)),
        }
    }

    /// Index into [`outcomes`](Self::outcomes), to be looked up after this call.
    pub fn pick_v6(&mut self, net: Ipv6Net) -> u16 {
        match &mut self.0 {
            Kind::Tree(tree) => tree.pick(|set| set.contains_v6(net)),
            Kind::Lazy(lazy) => lazy.pick(IpNet::V6(net)),
        }
    }

    /// The outcome of one prefix.
    pub fn decide(&mut self, net: IpNet) -> Outcome {
        let index = match net {
            IpNet::V4(net) => self.pick_v4(net),
            IpNet::V6(net) => self.pick_v6(net),
        };
        let outcome = self.outcomes().get(usize::from(index)).cloned();
        outcome.unwrap_or_else(|| Outcome::reject("no outcome".into()))
    }
}
