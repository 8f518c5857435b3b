//! Import and export policy: chains of rules, compiled in two parts.
//!
//! A peer has an ordered list of policies, each a list of rules. A rule whose
//! conditions all hold sets attributes and may end the matter (`accept`,
//! `reject`) or leave the policy (`next`); without a `then` the next rule goes
//! on with what was set, and later conditions see the attributes as set. Falling
//! off a policy goes on with the next of the list, or with the rule that called
//! it; the end of the list rejects.
//!
//! Thousands of prefixes share one attribute block, so a chain is evaluated in
//! two steps: [`RoutePolicy::specialise`] decides all that depends on the peer
//! and the block, once, and leaves a [`Residual`] that picks one of few
//! [`Outcome`]s by the prefix alone.

mod actions;
mod as_path;
mod chain;
mod community;
mod conditions;
mod context;
mod edits;
mod number;
mod prefix_set;
mod registry;
mod residual;
mod set;
mod spec;
#[cfg(test)]
mod tests;
mod trace;
mod view;

pub use as_path::{AsPathPattern, AsPathPatternError};
pub use community::{CommunityPattern, CommunityPatternError};
pub use context::{
    Direction, Neighbour, PeerContext, PolicyRef, Route, RoutePolicy, Source, SourceKind, Uses,
};
pub use edits::Edits;
pub use number::{Amount, NumberRange, NumberRangeError};
pub use prefix_set::{PrefixRange, PrefixRangeError, PrefixSet};
pub use registry::Registry;
pub use residual::{Outcome, Residual, RuleName};
pub use set::{CallRing, PolicyError, PolicySet};
pub use spec::{
    MatchSpec, NeighbourMatch, NextHopSpec, PolicySetSpec, Prepend, RuleSpec, SetSpec, SourceMatch,
    Then,
};
pub use trace::{Trace, TraceResult, TraceStep};
