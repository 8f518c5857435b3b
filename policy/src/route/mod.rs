//! Import and export policy: chains of rules, compiled in two parts.
//!
//! A peer has an ordered list of policies, each a list of rules. A rule whose
//! conditions all hold sets attributes and may end the matter (`accept`,
//! `reject`) or leave the policy (`next`); without a `then` the next rule goes
//! on with what was set, and later conditions see the attributes as set. Falling
//! off a policy goes on with the next of the list; the end of the list rejects.
//!
//! Thousands of prefixes share one attribute block, so a chain is evaluated in
//! two steps: [`RoutePolicy::specialise`] decides all that depends on the peer
//! and the block, once, and leaves a [`Residual`] that picks one of few
//! [`Outcome`]s by the prefix alone.

mod chain;
mod edits;
mod prefix_set;
mod residual;
mod set;
mod spec;
#[cfg(test)]
mod tests;

pub use chain::{PeerContext, PolicyRef, RoutePolicy};
pub use edits::Edits;
pub use prefix_set::{PrefixRange, PrefixRangeError, PrefixSet};
pub use residual::{Outcome, Residual, RuleName};
pub use set::{PolicyError, PolicySet};
pub use spec::{
    Community, CommunityError, MatchSpec, NeighbourMatch, PolicySetSpec, Prepend, RuleSpec,
    SetSpec, Then,
};
