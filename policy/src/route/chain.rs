//! Compiled chains of policies and their evaluation.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};

use super::residual::{Branch, Fork, MAX_NODES, Tree};
use super::{Community, Edits, NeighbourMatch, Outcome, PrefixSet, Residual, RuleName, Then};

/// The peer a route comes from (import) or goes to (export).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerContext {
    pub address: IpAddr,
    pub asn: Asn,
    pub local_asn: Asn,
    pub kind: SessionKind,
    pub family: Family,
}

/// An import or export policy, immutable and shared.
pub trait RoutePolicy: Send + Sync + fmt::Debug {
    /// Decides all that depends on the peer and the attribute block.
    fn specialise(&self, peer: &PeerContext, attrs: AttrsRef<'_>) -> Residual;
    /// Whether `address` and `asn` of the peer can change an outcome; if not,
    /// peers that are otherwise alike can share results.
    fn uses_neighbour(&self) -> bool;
    /// Equal content has an equal id.
    fn id(&self) -> u64;
}

/// A policy by reference; equal when the content is.
#[derive(Clone, Debug)]
pub struct PolicyRef(pub Arc<dyn RoutePolicy>);

impl PolicyRef {
    pub fn accept_all() -> Self {
        constant(true, ACCEPT_ALL)
    }

    pub fn reject_all() -> Self {
        constant(false, REJECT_ALL)
    }

    /// What an external peer without a policy gets: nothing passes (RFC 8212).
    pub fn no_policy() -> Self {
        constant(false, "no policy on an external peer (RFC 8212)")
    }
}

impl PartialEq for PolicyRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.id() == other.0.id()
    }
}

impl Eq for PolicyRef {}

impl Hash for PolicyRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

pub(super) const ACCEPT_ALL: &str = "accept-all";
pub(super) const REJECT_ALL: &str = "reject-all";

fn constant(accept: bool, name: &str) -> PolicyRef {
    PolicyRef(Arc::new(Chain::new(vec![builtin(accept, name)])))
}

/// A policy of one rule without conditions, named as a whole.
pub(super) fn builtin(accept: bool, name: &str) -> Arc<Policy> {
    Arc::new(Policy {
        rules: vec![Rule {
            name: name.into(),
            prefix_set: None,
            communities: Box::default(),
            neighbours: Box::default(),
            family: None,
            edits: Edits::default(),
            then: Some(if accept { Then::Accept } else { Then::Reject }),
        }],
    })
}

/// One compiled policy.
#[derive(Debug, Hash)]
pub(super) struct Policy {
    pub rules: Vec<Rule>,
}

#[derive(Debug, Hash)]
pub(super) struct Rule {
    pub name: RuleName,
    pub prefix_set: Option<Arc<PrefixSet>>,
    pub communities: Box<[Community]>,
    pub neighbours: Box<[NeighbourMatch]>,
    pub family: Option<Family>,
    pub edits: Edits,
    pub then: Option<Then>,
}

impl Rule {
    /// All conditions but the prefix's, on the attributes as edited so far.
    fn applies(&self, peer: &PeerContext, attrs: &AttrsRef<'_>, edits: &Edits) -> bool {
        self.family.is_none_or(|family| family == peer.family)
            && (self.neighbours.is_empty()
                || self.neighbours.iter().any(|n| match n {
                    NeighbourMatch::Address(address) => *address == peer.address,
                    NeighbourMatch::Asn(asn) => *asn == peer.asn,
                }))
            && (self.communities.is_empty()
                || self
                    .communities
                    .iter()
                    .any(|c| edits.has_community(attrs, *c)))
    }
}

/// The policies of a peer's list, in order.
#[derive(Debug)]
pub(super) struct Chain {
    core: Arc<Core>,
    id: u64,
    uses_neighbour: bool,
    /// Per family, where neither peer nor attributes matter.
    fixed: Option<[Residual; Family::COUNT]>,
}

#[derive(Debug)]
struct Core {
    policies: Vec<Arc<Policy>>,
    /// What falls off the list ends here.
    end: RuleName,
}

/// How far a route came, and what was set on the way.
#[derive(Clone, Default)]
struct Walk {
    policy: usize,
    rule: usize,
    edits: Edits,
}

/// Where a walk stops.
enum Stop<'a> {
    Decided(Outcome),
    /// The rule at hand applies if the prefix is in this set, and nobody knows.
    Fork(&'a Arc<PrefixSet>),
}

impl Core {
    /// Goes on until the route is decided or depends on a set that `member`
    /// does not know about.
    fn advance(
        &self,
        peer: &PeerContext,
        attrs: &AttrsRef<'_>,
        walk: &mut Walk,
        mut member: impl FnMut(&Arc<PrefixSet>) -> Option<bool>,
    ) -> Stop<'_> {
        while let Some(policy) = self.policies.get(walk.policy) {
            let Some(rule) = policy.rules.get(walk.rule) else {
                walk.policy += 1;
                walk.rule = 0;
                continue;
            };
            let inside = match &rule.prefix_set {
                _ if !rule.applies(peer, attrs, &walk.edits) => Some(false),
                None => Some(true),
                Some(set) => match member(set) {
                    None => return Stop::Fork(set),
                    known => known,
                },
            };
            walk.rule += 1;
            if inside != Some(true) {
                continue;
            }
            match rule.then {
                Some(Then::Reject) => return Stop::Decided(Outcome::reject(&rule.name)),
                Some(Then::Accept) => {
                    walk.edits.then(&rule.edits);
                    return Stop::Decided(Outcome {
                        accept: true,
                        edits: std::mem::take(&mut walk.edits),
                        rule: Arc::clone(&rule.name),
                    });
                }
                Some(Then::Next) => {
                    walk.edits.then(&rule.edits);
                    walk.policy += 1;
                    walk.rule = 0;
                }
                None => walk.edits.then(&rule.edits),
            }
        }
        Stop::Decided(Outcome::reject(&self.end))
    }
}

impl Chain {
    pub(super) fn new(policies: Vec<Arc<Policy>>) -> Self {
        let mut hasher = DefaultHasher::new();
        policies.hash(&mut hasher);
        let rules = || policies.iter().flat_map(|policy| &policy.rules);
        let uses_neighbour = rules().any(|rule| !rule.neighbours.is_empty());
        let uses_attributes = rules().any(|rule| !rule.communities.is_empty());
        let core = Arc::new(Core {
            policies,
            end: "end of the policy list".into(),
        });
        let fixed = (!uses_neighbour && !uses_attributes).then(|| {
            Family::ALL.map(|family| {
                // Nobody looks at these.
                let peer = PeerContext {
                    address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    asn: Asn(0),
                    local_asn: Asn(0),
                    kind: SessionKind::External,
                    family,
                };
                let attrs = AttrsRef {
                    next_hop: NextHop::V4(Ipv4Addr::UNSPECIFIED),
                    bytes: &[],
                };
                residual(&core, &peer, attrs)
            })
        });
        Chain {
            core,
            id: hasher.finish(),
            uses_neighbour,
            fixed,
        }
    }
}

impl RoutePolicy for Chain {
    fn specialise(&self, peer: &PeerContext, attrs: AttrsRef<'_>) -> Residual {
        match &self.fixed {
            Some(fixed) => match peer.family {
                Family::Ipv4Unicast => fixed[0].clone(),
                Family::Ipv6Unicast => fixed[1].clone(),
            },
            None => residual(&self.core, peer, attrs),
        }
    }

    fn uses_neighbour(&self) -> bool {
        self.uses_neighbour
    }

    fn id(&self) -> u64 {
        self.id
    }
}

fn residual(core: &Arc<Core>, peer: &PeerContext, attrs: AttrsRef<'_>) -> Residual {
    let mut builder = TreeBuilder {
        core,
        peer,
        attrs,
        known: Vec::new(),
        explored: 0,
        forks: Vec::new(),
        outcomes: Vec::new(),
    };
    match builder.explore(Walk::default()) {
        Some(root) => Residual::tree(Tree {
            root,
            forks: builder.forks.into(),
            outcomes: builder.outcomes.into(),
        }),
        None => Residual::lazy(Lazy {
            core: Arc::clone(core),
            peer: peer.clone(),
            attrs: AttrsBuf::from_ref(attrs),
        }),
    }
}

/// Follows both ways of each fork.
struct TreeBuilder<'a> {
    core: &'a Core,
    peer: &'a PeerContext,
    attrs: AttrsRef<'a>,
    /// Answers given on the way from the root.
    known: Vec<(&'a Arc<PrefixSet>, bool)>,
    /// Forks followed, merged or not: bounds the time as well.
    explored: usize,
    forks: Vec<Fork>,
    outcomes: Vec<Outcome>,
}

impl TreeBuilder<'_> {
    /// `None`: too many forks.
    fn explore(&mut self, mut walk: Walk) -> Option<Branch> {
        let known = &self.known;
        let family = self.peer.family;
        let stop = self.core.advance(self.peer, &self.attrs, &mut walk, |set| {
            if !set.has_family(family) {
                return Some(false);
            }
            let earlier = known.iter().find(|(seen, _)| Arc::ptr_eq(seen, set));
            earlier.map(|(_, inside)| *inside)
        });
        let set = match stop {
            Stop::Decided(outcome) => return self.leaf(outcome),
            Stop::Fork(set) => set,
        };
        self.explored += 1;
        if self.explored > MAX_NODES {
            return None;
        }
        self.known.push((set, true));
        let inside = self.explore(walk.clone())?;
        self.known.pop();
        self.known.push((set, false));
        let outside = self.explore(walk)?;
        self.known.pop();
        if inside == outside {
            return Some(inside);
        }
        self.forks.push(Fork {
            set: Arc::clone(set),
            inside,
            outside,
        });
        Some(Branch::Fork(u16::try_from(self.forks.len() - 1).ok()?))
    }

    fn leaf(&mut self, outcome: Outcome) -> Option<Branch> {
        let index = match self.outcomes.iter().position(|known| *known == outcome) {
            Some(index) => index,
            None => {
                self.outcomes.push(outcome);
                self.outcomes.len() - 1
            }
        };
        Some(Branch::Leaf(u16::try_from(index).ok()?))
    }
}

/// A chain to be walked once per prefix, with all that it may look at.
#[derive(Clone, Debug)]
pub(super) struct Lazy {
    core: Arc<Core>,
    peer: PeerContext,
    attrs: AttrsBuf,
}

impl Lazy {
    pub(super) fn evaluate(&self, inside: impl Fn(&PrefixSet) -> bool) -> Outcome {
        let mut walk = Walk::default();
        let attrs = self.attrs.as_ref();
        let stop = self
            .core
            .advance(&self.peer, &attrs, &mut walk, |set| Some(inside(set)));
        match stop {
            Stop::Decided(outcome) => outcome,
            // Every membership was answered.
            Stop::Fork(_) => Outcome::reject(&self.core.end),
        }
    }
}
