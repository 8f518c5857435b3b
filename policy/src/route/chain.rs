//! Compiled chains of policies and their evaluation.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use ipnet::IpNet;

use super::actions::Actions;
use super::conditions::Conditions;
use super::residual::{Branch, Fork, MAX_NODES, Tree};
use super::trace::{Observer, Tracer};
use super::view::View;
use super::{
    Direction, Edits, Neighbour, Outcome, PeerContext, PolicyRef, PrefixSet, Residual, Route,
    RoutePolicy, RuleName, Source, SourceKind, Then, Trace, Uses,
};

impl PolicyRef {
    pub fn accept_all() -> Self {
        constant(Then::Accept, ACCEPT_ALL)
    }

    pub fn reject_all() -> Self {
        constant(Then::Reject, REJECT_ALL)
    }

    /// What an external peer without a policy gets: nothing passes (RFC 8212).
    pub fn no_policy() -> Self {
        constant(Then::Reject, "no policy on an external peer (RFC 8212)")
    }
}

pub(super) const ACCEPT_ALL: &str = "accept-all";
pub(super) const REJECT_ALL: &str = "reject-all";

fn constant(then: Then, name: &str) -> PolicyRef {
    PolicyRef(Arc::new(Chain::new(vec![builtin(then, name)])))
}

/// A policy of one rule without conditions, named as a whole.
pub(super) fn builtin(then: Then, name: &str) -> Element {
    let rule = Rule {
        name: name.into(),
        matches: Conditions::default(),
        unless: Conditions::default(),
        actions: Actions::default(),
        call: None,
        then: Some(then),
    };
    Element::Rules(Arc::new(Policy::new(name, vec![rule])))
}

/// What a list of policies is made of, and what a rule calls.
#[derive(Clone, Debug)]
pub(super) enum Element {
    Rules(Arc<Policy>),
    /// Written in Rust.
    Custom(Arc<Custom>),
}

/// One compiled policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub name: Arc<str>,
    pub rules: Vec<Rule>,
    /// Of the content, that of called policies included.
    pub id: u64,
    pub traits: Traits,
    /// Rules that one route meets at most, those of called policies included.
    pub size: usize,
    /// Policies that a route is in at once, this one included.
    pub depth: usize,
}

#[derive(Debug)]
pub(super) struct Custom {
    pub name: RuleName,
    pub policy: Arc<dyn RoutePolicy>,
}

#[derive(Debug, Hash)]
pub(super) struct Rule {
    pub name: RuleName,
    pub matches: Conditions,
    pub unless: Conditions,
    pub actions: Actions,
    pub call: Option<Element>,
    pub then: Option<Then>,
}

/// What outcomes may depend on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    uses: Uses,
    /// Or on the source's kind.
    attributes: bool,
}

impl Traits {
    fn or(self, other: Traits) -> Traits {
        Traits {
            uses: self.uses.or(other.uses),
            attributes: self.attributes || other.attributes,
        }
    }
}

impl Hash for Element {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Element::Rules(policy) => policy.id.hash(state),
            Element::Custom(custom) => (&custom.name, custom.policy.id()).hash(state),
        }
    }
}

impl Element {
    fn traits(&self) -> Traits {
        match self {
            Element::Rules(policy) => policy.traits,
            Element::Custom(custom) => Traits {
                uses: custom.policy.uses(),
                attributes: true,
            },
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Element::Rules(policy) => policy.size,
            Element::Custom(_) => 1,
        }
    }
}

impl Policy {
    pub fn new(name: &str, rules: Vec<Rule>) -> Policy {
        let mut hasher = DefaultHasher::new();
        rules.hash(&mut hasher);
        Policy {
            name: name.into(),
            id: hasher.finish(),
            traits: rules
                .iter()
                .map(Rule::traits)
                .fold(Traits::default(), Traits::or),
            size: rules.iter().map(Rule::size).fold(0, usize::saturating_add),
            depth: 1 + rules.iter().map(Rule::depth).max().unwrap_or_default(),
            rules,
        }
    }
}

impl Rule {
    fn traits(&self) -> Traits {
        let (matches, unless) = (&self.matches, &self.unless);
        let uses = matches.uses().or(unless.uses()).or(self.actions.uses());
        let own = Traits {
            uses,
            attributes: matches.uses_attributes()
                || unless.uses_attributes()
                || self.actions.uses_attributes(),
        };
        self.call.as_ref().map_or(own, |call| own.or(call.traits()))
    }

    fn size(&self) -> usize {
        self.call
            .as_ref()
            .map_or(1, |call| call.size().saturating_add(1))
    }

    /// Of what it calls.
    fn depth(&self) -> usize {
        match &self.call {
            Some(Element::Rules(policy)) => policy.depth,
            Some(Element::Custom(_)) => 1,
            None => 0,
        }
    }

    /// Why the rule does not apply, all but prefixes considered.
    fn misses(&self, view: &View<'_>) -> Option<Miss> {
        let missed = |key| Miss { unless: false, key };
        let hit = |key| Miss { unless: true, key };
        let misses = self.matches.first(view, false).map(missed);
        misses.or_else(|| self.unless.first(view, true).map(hit))
    }
}

/// The condition by which a rule does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    /// Of `unless`, and it holds; else of `match`, and it doesn't.
    pub unless: bool,
    pub key: &'static str,
}

/// The policies of a peer's list, in order.
#[derive(Debug)]
pub(super) struct Chain {
    core: Arc<Core>,
    id: u64,
    uses: Uses,
    /// Per family, where neither peer nor attributes matter.
    fixed: Option<[Residual; Family::COUNT]>,
}

#[derive(Debug)]
struct Core {
    elements: Vec<Element>,
    /// What falls off the list ends here.
    end: RuleName,
}

/// How far a route came, and what was set on the way.
#[derive(Clone, Default)]
struct Walk<'a> {
    /// Of the list, how many were begun.
    element: usize,
    /// The policy at hand, behind those that called it.
    frames: Vec<Frame<'a>>,
    edits: Edits,
}

#[derive(Clone)]
struct Frame<'a> {
    policy: &'a Policy,
    rule: usize,
    progress: Progress,
}

/// What of the rule at hand is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    /// It applies, and what it sets is set.
    Applied,
    /// And the policy that it calls was entered.
    Called,
}

/// Where a walk stops.
enum Stop<'a> {
    Decided(Outcome),
    /// The rule at hand applies if the prefix is in this set, and nobody knows.
    Fork(&'a Arc<PrefixSet>),
    /// A policy written in Rust wants to see the prefix.
    NeedsPrefix,
}

/// What is known of the prefix.
enum Prefix<'k, 'a> {
    /// Of sets, answers given so far.
    Answers(Family, &'k [(&'a Arc<PrefixSet>, bool)]),
    Net(IpNet),
}

impl Prefix<'_, '_> {
    fn is_in(&self, set: &Arc<PrefixSet>) -> Option<bool> {
        match self {
            Prefix::Net(net) => Some(set.contains(net)),
            Prefix::Answers(family, _) if !set.has_family(*family) => Some(false),
            Prefix::Answers(_, known) => {
                let earlier = known.iter().find(|(seen, _)| Arc::ptr_eq(seen, set));
                earlier.map(|(_, inside)| *inside)
            }
        }
    }
}

/// How a rule's prefix conditions came out.
enum InSets<'a> {
    Yes,
    No(Miss),
    Unknown(&'a Arc<PrefixSet>),
}

fn in_sets<'a>(rule: &'a Rule, prefix: &Prefix<'_, '_>) -> InSets<'a> {
    const KEY: &str = "prefix-set";
    for (unless, conditions) in [(false, &rule.matches), (true, &rule.unless)] {
        let Some(set) = &conditions.prefix_set else {
            continue;
        };
        match prefix.is_in(set) {
            None => return InSets::Unknown(set),
            Some(inside) if inside == unless => return InSets::No(Miss { unless, key: KEY }),
            Some(_) => {}
        }
    }
    InSets::Yes
}

impl Core {
    /// Goes on until the route is decided or depends on what is not known of
    /// its prefix.
    fn advance<'a>(
        &'a self,
        route: &Route<'_>,
        walk: &mut Walk<'a>,
        prefix: &Prefix<'_, '_>,
        observer: &mut impl Observer,
    ) -> Stop<'a> {
        loop {
            let Some(frame) = walk.frames.last_mut() else {
                let Some(element) = self.elements.get(walk.element) else {
                    return Stop::Decided(Outcome::reject(Arc::clone(&self.end)));
                };
                walk.element += 1;
                if let Some(stop) = enter(element, route, walk, prefix, observer) {
                    return stop;
                }
                continue;
            };
            let Some(rule) = frame.policy.rules.get(frame.rule) else {
                walk.frames.pop();
                continue;
            };
            if frame.progress == Progress::Nothing {
                let view = View {
                    route,
                    edits: &walk.edits,
                };
                let miss = match rule.misses(&view) {
                    Some(miss) => Some(miss),
                    None => match in_sets(rule, prefix) {
                        InSets::Yes => None,
                        InSets::No(miss) => Some(miss),
                        InSets::Unknown(set) => return Stop::Fork(set),
                    },
                };
                observer.rule(&frame.policy.name, frame.rule + 1, miss);
                if miss.is_some() {
                    frame.rule += 1;
                    continue;
                }
                rule.actions.apply(route, &mut walk.edits);
                frame.progress = Progress::Applied;
            }
            if let (Some(call), Progress::Applied) = (&rule.call, frame.progress) {
                frame.progress = Progress::Called;
                if let Some(stop) = enter(call, route, walk, prefix, observer) {
                    return stop;
                }
                continue;
            }
            frame.rule += 1;
            frame.progress = Progress::Nothing;
            match rule.then {
                Some(Then::Reject) => {
                    return Stop::Decided(Outcome::reject(Arc::clone(&rule.name)));
                }
                Some(Then::Accept) => {
                    let edits = std::mem::take(&mut walk.edits);
                    return Stop::Decided(Outcome::accept(Arc::clone(&rule.name), edits));
                }
                Some(Then::Next) => _ = walk.frames.pop(),
                None => {}
            }
        }
    }
}

/// Begins a policy. One in Rust is also done with then; where it decides, that
/// stops the walk.
fn enter<'a>(
    element: &'a Element,
    route: &Route<'_>,
    walk: &mut Walk<'a>,
    prefix: &Prefix<'_, '_>,
    observer: &mut impl Observer,
) -> Option<Stop<'a>> {
    let custom = match element {
        Element::Rules(policy) => {
            walk.frames.push(Frame {
                policy,
                rule: 0,
                progress: Progress::Nothing,
            });
            return None;
        }
        Element::Custom(custom) => custom,
    };
    let peer = route.peer;
    let mut attrs = AttrsBuf::from_ref(route.attrs);
    walk.edits
        .apply(peer.own_next_hop, peer.local_asn, &mut attrs);
    let mut residual = custom.policy.specialise(&Route {
        attrs: attrs.as_ref(),
        ..*route
    });
    let outcome = match prefix {
        Prefix::Net(net) => residual.decide(*net),
        Prefix::Answers(..) if residual.is_constant() => residual.outcomes().first()?.clone(),
        Prefix::Answers(..) => return Some(Stop::NeedsPrefix),
    };
    observer.custom(&custom.name, outcome.then);
    match outcome.then {
        Then::Reject => Some(Stop::Decided(Outcome::reject(outcome.rule))),
        Then::Accept => {
            let mut edits = std::mem::take(&mut walk.edits);
            edits.then(&outcome.edits);
            Some(Stop::Decided(Outcome::accept(outcome.rule, edits)))
        }
        Then::Next => {
            walk.edits.then(&outcome.edits);
            None
        }
    }
}

impl Chain {
    pub fn new(elements: Vec<Element>) -> Self {
        let mut hasher = DefaultHasher::new();
        elements.hash(&mut hasher);
        let traits = elements.iter().map(Element::traits);
        let traits = traits.fold(Traits::default(), Traits::or);
        let core = Arc::new(Core {
            elements,
            end: "end of the policy list".into(),
        });
        let indifferent = traits.uses == Uses::default() && !traits.attributes;
        Chain {
            fixed: indifferent.then(|| Family::ALL.map(|family| fixed(&core, family))),
            core,
            id: hasher.finish(),
            uses: traits.uses,
        }
    }
}

impl RoutePolicy for Chain {
    fn specialise(&self, route: &Route<'_>) -> Residual {
        match &self.fixed {
            Some(fixed) => match route.peer.family {
                Family::Ipv4Unicast => fixed[0].clone(),
                Family::Ipv6Unicast => fixed[1].clone(),
            },
            None => residual(&self.core, route),
        }
    }

    fn uses(&self) -> Uses {
        self.uses
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn trace(&self, route: &Route<'_>, net: IpNet) -> Trace {
        let mut tracer = Tracer::default();
        let mut walk = Walk::default();
        let prefix = Prefix::Net(net);
        let stop = self.core.advance(route, &mut walk, &prefix, &mut tracer);
        Trace {
            steps: tracer.steps,
            outcome: self.core.decided(stop),
        }
    }
}

impl Core {
    /// Of a walk that knew the prefix.
    fn decided(&self, stop: Stop<'_>) -> Outcome {
        match stop {
            Stop::Decided(outcome) => outcome,
            Stop::Fork(_) | Stop::NeedsPrefix => Outcome::reject(Arc::clone(&self.end)),
        }
    }
}

/// What a chain makes of any route of a family, where it looks at prefixes only.
fn fixed(core: &Arc<Core>, family: Family) -> Residual {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let peer = PeerContext {
        direction: Direction::Import,
        neighbour: Arc::new(Neighbour {
            address: nobody,
            asn: Asn(0),
            group: None,
            interface: None,
        }),
        kind: SessionKind::External,
        local_asn: Asn(0),
        own_next_hop: None,
        family,
    };
    let source = Source {
        kind: SourceKind::Local,
        neighbour: None,
    };
    let attrs = AttrsRef {
        next_hop: NextHop::V4(Ipv4Addr::UNSPECIFIED),
        bytes: &[],
    };
    residual(
        core,
        &Route {
            peer: &peer,
            source: &source,
            attrs,
        },
    )
}

fn residual(core: &Arc<Core>, route: &Route<'_>) -> Residual {
    let mut builder = TreeBuilder {
        core,
        route,
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
            peer: route.peer.clone(),
            source: route.source.clone(),
            attrs: AttrsBuf::from_ref(route.attrs),
        }),
    }
}

/// Follows both ways of each fork.
struct TreeBuilder<'a> {
    core: &'a Core,
    route: &'a Route<'a>,
    /// Answers given on the way from the root.
    known: Vec<(&'a Arc<PrefixSet>, bool)>,
    /// Forks followed, merged or not: bounds the time as well.
    explored: usize,
    forks: Vec<Fork>,
    outcomes: Vec<Outcome>,
}

impl<'a> TreeBuilder<'a> {
    /// `None`: too many forks, or no end without the prefix.
    fn explore(&mut self, mut walk: Walk<'a>) -> Option<Branch> {
        let prefix = Prefix::Answers(self.route.peer.family, &self.known);
        let set = match self.core.advance(self.route, &mut walk, &prefix, &mut ()) {
            Stop::Decided(outcome) => return self.leaf(outcome),
            Stop::NeedsPrefix => return None,
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
    source: Source,
    attrs: AttrsBuf,
}

impl Lazy {
    pub fn evaluate(&self, net: IpNet) -> Outcome {
        let route = Route {
            peer: &self.peer,
            source: &self.source,
            attrs: self.attrs.as_ref(),
        };
        let mut walk = Walk::default();
        let prefix = Prefix::Net(net);
        let stop = self.core.advance(&route, &mut walk, &prefix, &mut ());
        self.core.decided(stop)
    }
}
