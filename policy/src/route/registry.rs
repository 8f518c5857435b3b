//! Policies written in Rust, by the names that a configuration gives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::{Custom, Element};
use super::{Outcome, Residual, Route, RoutePolicy, Uses};

/// What `custom:NAME` may name. A daemon of one's own fills it and hands it to
/// `godwit_bgpd::command::main`.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    policies: BTreeMap<String, Arc<dyn RoutePolicy>>,
    unchecked: bool,
}

impl Registry {
    /// What stands before the name in a list of policies.
    pub const PREFIX: &'static str = "custom:";

    /// Adds a policy; one of the same name goes.
    #[must_use]
    pub fn with(mut self, name: &str, policy: impl RoutePolicy + 'static) -> Registry {
        self.policies.insert(name.to_owned(), Arc::new(policy));
        self
    }

    /// Takes any name. For who checks a configuration without being the daemon
    /// that runs it: such a policy rejects all.
    pub fn unchecked() -> Registry {
        Registry {
            unchecked: true,
            ..Registry::default()
        }
    }

    /// The names, as a configuration gives them.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.policies
            .keys()
            .map(|name| format!("{}{name}", Registry::PREFIX))
    }

    /// Whether it has a policy of this name, as a configuration gives it.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn find(&self, name: &str) -> Option<Element> {
        let bare = name.strip_prefix(Registry::PREFIX)?;
        let policy = match self.policies.get(bare) {
            Some(policy) => Arc::clone(policy),
            None if self.unchecked => Arc::new(Elsewhere) as Arc<dyn RoutePolicy>,
            None => return None,
        };
        Some(Element::Custom(Arc::new(Custom {
            name: name.into(),
            policy,
        })))
    }
}

/// A policy that another program has.
#[derive(Debug)]
struct Elsewhere;

impl RoutePolicy for Elsewhere {
    fn specialise(&self, _: &Route<'_>) -> Residual {
        Residual::constant(Outcome::reject(
            "a policy that is not in this program".into(),
        ))
    }

    fn uses(&self) -> Uses {
        Uses::default()
    }
}
