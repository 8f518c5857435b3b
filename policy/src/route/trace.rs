//! The way of one route through the rules, for people.

use std::sync::Arc;

use super::chain::Miss;
use super::{Outcome, RuleName, Then};

/// A decision and all rules that were asked on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub steps: Vec<TraceStep>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    pub policy: Arc<str>,
    /// From 1; 0 for a policy that has no rules but code.
    pub rule: usize,
    pub result: TraceResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceResult {
    Matched,
    /// The condition of `match` that does not hold.
    Missed(&'static str),
    /// The condition of `unless` that holds.
    Excluded(&'static str),
    /// What a policy in Rust said.
    Said(Then),
}

/// Is told of each rule that is asked; `()` does not listen.
pub(super) trait Observer {
    fn rule(&mut self, policy: &Arc<str>, rule: usize, miss: Option<Miss>);
    fn custom(&mut self, name: &RuleName, then: Then);
}

impl Observer for () {
    fn rule(&mut self, _: &Arc<str>, _: usize, _: Option<Miss>) {}
    fn custom(&mut self, _: &RuleName, _: Then) {}
}

#[derive(Debug, Default)]
pub(super) struct Tracer {
    pub steps: Vec<TraceStep>,
}

impl Observer for Tracer {
    fn rule(&mut self, policy: &Arc<str>, rule: usize, miss: Option<Miss>) {
        self.steps.push(TraceStep {
            policy: Arc::clone(policy),
            rule,
            result: match miss {
                None => TraceResult::Matched,
                Some(miss) if miss.unless => TraceResult::Excluded(miss.key),
                Some(miss) => TraceResult::Missed(miss.key),
            },
        });
    }

    fn custom(&mut self, name: &RuleName, then: Then) {
        self.steps.push(TraceStep {
            policy: Arc::clone(name),
            rule: 0,
            result: TraceResult::Said(then),
        });
    }
}
