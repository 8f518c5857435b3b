//! The same for people: each check and each addition, with what decided it.

use godwit_bgp::Asn;
use godwit_bgp::attrs::AttrsRef;

use super::{Additions, Check, Entrance, Router};

/// One thing that import does to a route besides policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The key of the configuration that rules it, else what is looked at.
    pub name: &'static str,
    pub said: Said,
    /// With the values that decided.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Passed,
    /// The last step.
    Refused,
    /// The route is changed.
    Changed,
}

impl Entrance {
    /// The checks of a route from this `peer`, up to the one that it fails.
    /// `next_hop` tells whether that of `attrs` is to be looked at.
    pub fn check_steps(
        &self,
        attrs: AttrsRef<'_>,
        peer: Asn,
        router: &Router<'_>,
        next_hop: bool,
    ) -> (Vec<Step>, Result<(), Check>) {
        let mut steps = Vec::new();
        for check in Check::ALL.into_iter().filter(|check| self.makes(*check)) {
            if matches!(check, Check::NextHop | Check::OwnNextHop) && !next_hop {
                continue;
            }
            let passes = self.passes(check, attrs, peer, router);
            steps.push(Step {
                name: check.name(),
                said: if passes { Said::Passed } else { Said::Refused },
                detail: self.detail(check, attrs, peer, router),
            });
            if !passes {
                return (steps, Err(check));
            }
        }
        (steps, Ok(()))
    }

    fn detail(&self, check: Check, attrs: AttrsRef<'_>, peer: Asn, router: &Router<'_>) -> String {
        let (path, rules) = (attrs.as_path(), &self.rules);
        match check {
            Check::MaxAsPath => {
                format!(
                    "{} AS numbers, {} at most",
                    path.numbers(),
                    rules.max_as_path
                )
            }
            Check::AsSet => match path.has_set() {
                true => "a set is in the AS path".to_owned(),
                false => "no set in the AS path".to_owned(),
            },
            Check::AsLoop => {
                let times = |asn: Asn| format!("{asn} {} times", path.count(asn));
                let found = match self.local_asn == router.asn {
                    true => times(router.asn),
                    false => format!("{}, {}", times(self.local_asn), times(router.asn)),
                };
                format!("{found} in the AS path, {} at most", rules.allow_as_in)
            }
            Check::FirstAs => match path.first_as() {
                Some(first) => format!("the AS path begins with {first}, the peer is {peer}"),
                None => format!("the AS path begins with no number, the peer is {peer}"),
            },
            Check::Role => {
                let role = rules.role.map_or("", |role| role.name());
                match attrs.only_to_customer() {
                    Some(marked) => format!("we are {role}; ONLY_TO_CUSTOMER {marked}"),
                    None => format!("we are {role}; no ONLY_TO_CUSTOMER"),
                }
            }
            Check::OriginatorId => match attrs.originator_id() {
                Some(id) => format!("ORIGINATOR_ID {id}, we are {}", router.router_id),
                None => "no ORIGINATOR_ID".to_owned(),
            },
            Check::ClusterList => format!(
                "{} in the CLUSTER_LIST, ours is {}",
                attrs.cluster_list().count(),
                router.cluster_id
            ),
            Check::NextHop | Check::OwnNextHop => attrs.next_hop.to_string(),
        }
    }
}

impl Check {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Check::MaxAsPath => "max-as-path-length",
            Check::AsSet => "as-set",
            Check::AsLoop => "allow-as-in",
            Check::FirstAs => "enforce-first-as",
            Check::Role => "role",
            Check::OriginatorId => "originator id",
            Check::ClusterList => "cluster list",
            Check::NextHop => "next hop",
            Check::OwnNextHop => "own next hop",
        }
    }
}

impl Additions {
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut changed = |name, detail| {
            steps.push(Step {
                name,
                said: Said::Changed,
                detail,
            });
        };
        if self.weight != 0 {
            changed("weight", self.weight.to_string());
        }
        if self.blackhole {
            let detail = "it carries BLACKHOLE: dropped here, and told to nobody beyond the AS";
            changed("blackhole-community", detail.to_owned());
        }
        if let Some(asn) = self.local_as {
            changed("local-as", format!("{asn} goes before the AS path"));
        }
        if let Some(asn) = self.only_to_customer {
            changed("role", format!("ONLY_TO_CUSTOMER {asn}"));
        }
        if self.last_choice {
            let detail = "it carries GRACEFUL_SHUTDOWN: LOCAL_PREF 0, whatever policy sets";
            changed("graceful-shutdown", detail.to_owned());
        }
        steps
    }
}
