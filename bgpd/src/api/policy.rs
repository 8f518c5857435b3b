//! Service `RoutePolicy`: reads the configuration that is in force, and for a
//! route of the table the RIB.

use godwit_bgp::Family;
use godwit_bgp::attrs::AttrsBuf;
use godwit_config::{Config, PeerConfig, PolicyChain, RuleText, Trial, TrialPeer, TrialSession};
use godwit_policy::route::{Direction, PolicySet, RuleSpec, Then};
use godwit_proto::{policy, v1};
use godwit_rib::{PathFate, PeerId};
use ipnet::IpNet;
use tonic::{Code, Request, Response, Status};

use super::error;
use crate::control::Control;
use crate::peer::PeerName;
use crate::status::SessionStatus;

#[derive(Debug)]
pub struct Service {
    control: Control,
}

impl Service {
    pub fn new(control: Control) -> Service {
        Service { control }
    }

    /// The attributes of a route of the table: as received from a peer, or as
    /// let in; from nobody: the best.
    async fn known(&self, prefix: IpNet, from: &str, received: bool) -> Result<AttrsBuf, Status> {
        let peer = match from {
            "" => None,
            name => Some(self.session(error::peer_name("peer", name)?)),
        };
        let found = match peer {
            // A peer without a session has no route.
            Some(None) => None,
            peer => {
                let peer = peer.flatten();
                let found = self.control.rib().query(move |rib| {
                    let story = rib.explain(prefix)?;
                    let path = story.paths.iter().find(|path| match peer {
                        Some(id) => path.peer == id,
                        None => matches!(path.fate, PathFate::Best(_)),
                    })?;
                    match received {
                        true => Some(path.received.clone()),
                        false => path.accepted.clone().or_else(|| {
                            (path.peer == PeerId::LOCAL).then(|| path.received.clone())
                        }),
                    }
                });
                found.await?
            }
        };
        found.ok_or_else(|| {
            let of = match (from, received) {
                ("", _) => String::new(),
                (peer, true) => format!(" from {peer}"),
                (peer, false) => format!(" let in from {peer}"),
            };
            let text = format!(
                "no route to {prefix}{of}; give its attributes to test one that is not there"
            );
            error::because(Code::NotFound, "NO_SUCH_ROUTE", text)
        })
    }

    fn session(&self, name: PeerName) -> Option<PeerId> {
        self.control.peer(name)?.status().rib_id()
    }

    /// A peer as it runs, else as the file has it.
    async fn peer(
        &self,
        field: &'static str,
        name: &str,
        family: Family,
    ) -> Result<TrialPeer, Status> {
        let Some(view) = self.control.peer(error::peer_name(field, name)?) else {
            let config = &self.control.loaded().config;
            let found = config.trial_peer(name);
            return found.map_err(|why| error::bad_field(field, why));
        };
        let status = view.status();
        let id = status.session.as_ref().and_then(SessionStatus::rib_id);
        let session = match id {
            None => None,
            Some(id) => {
                let asked = self.control.rib().query(move |rib| {
                    let spec = rib.peer_spec(id)?;
                    Some(TrialSession {
                        neighbour: spec.neighbour(),
                        entrance: spec.entrance(family),
                        own_next_hop: spec.own_next_hop[family.index()],
                        router_id: rib.config().router_id,
                        cluster_id: rib.config().cluster_id,
                        own: rib.our_addresses().clone(),
                    })
                });
                asked.await?
            }
        };
        Ok(TrialPeer {
            address: status.address,
            config: status.config.clone(),
            session,
        })
    }
}

#[tonic::async_trait]
impl v1::route_policy_server::RoutePolicy for Service {
    async fn list_policies(
        &self,
        _: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let config = &self.control.loaded().config;
        let policies = config.policies().names();
        Ok(Response::new(v1::ListPoliciesResponse {
            policies: policies.map(|name| summary(config, name)).collect(),
        }))
    }

    async fn show_policy(
        &self,
        request: Request<v1::ShowPolicyRequest>,
    ) -> Result<Response<v1::ShowPolicyResponse>, Status> {
        let config = &self.control.loaded().config;
        let name = request.into_inner().name;
        if PolicySet::is_builtin(&name) {
            let then = name.trim_end_matches("-all").to_owned();
            let rule = v1::PolicyRule {
                number: 1,
                then,
                ..v1::PolicyRule::default()
            };
            let rules = vec![rule];
            return Ok(Response::new(v1::ShowPolicyResponse { name, rules }));
        }
        let spec = config.policy_spec().policies.get(&name);
        let text = config.policy_text().get(&name);
        let (Some(spec), Some(text)) = (spec, text) else {
            let text = format!("no policy {name}; see `godwit route-policy list`");
            return Err(error::because(Code::NotFound, "NO_SUCH_POLICY", text));
        };
        let rules = (1..).zip(spec.iter().zip(text));
        let rules = rules.map(|(n, (spec, text))| rule(n, spec, text)).collect();
        Ok(Response::new(v1::ShowPolicyResponse { name, rules }))
    }

    async fn test_policy(
        &self,
        request: Request<v1::TestPolicyRequest>,
    ) -> Result<Response<v1::TestPolicyResponse>, Status> {
        let request = request.into_inner();
        let config = &self.control.loaded().config;
        let prefix = error::prefix("prefix", &request.prefix)?;
        let family = Family::of(&prefix.addr());
        let peer = match request.peer.as_str() {
            "" => None,
            name => Some(self.peer("peer", name, family).await?),
        };
        let direction = match request.direction() {
            v1::PolicyDirection::Export => Direction::Export,
            v1::PolicyDirection::Unspecified | v1::PolicyDirection::Import => Direction::Import,
        };
        // Names of peers are known here, words there.
        let from = match Config::is_source_word(&request.source) {
            true => None,
            false => Some(self.peer("source", &request.source, family).await?),
        };
        let attrs = match &request.route {
            Some(route) => {
                let next_hop = peer.as_ref().and_then(|peer| peer.next_hop(family));
                policy::attributes(
                    route,
                    next_hop.unwrap_or_else(|| policy::no_next_hop(family)),
                )
                .map_err(|(field, why)| error::bad_field(field, why))?
            }
            None if direction == Direction::Import => {
                self.known(prefix, &request.peer, true).await?
            }
            None => {
                let from = from.as_ref().map_or("", |_| &request.source);
                self.known(prefix, from, false).await?
            }
        };
        let trial = Trial {
            prefix,
            direction,
            peer,
            policies: (!request.policies.is_empty()).then_some(request.policies),
            source: config.trial_source(&request.source, from.as_ref()),
            attrs,
            has_next_hop: request.route.is_none_or(|route| !route.next_hop.is_empty()),
        };
        let tried = config.try_route(&trial);
        let tried = tried.map_err(|why| error::bad_field("policies", why))?;
        Ok(Response::new(policy::response(
            &tried.steps,
            &tried.decision,
            trial.attrs.as_ref(),
            tried.after.as_ref(),
        )))
    }
}

fn summary(config: &Config, name: &str) -> v1::PolicySummary {
    let policies = &config.policy_spec().policies;
    let calls = |rules: &[RuleSpec]| rules.iter().any(|r| r.call.as_deref() == Some(name));
    let names = |chain: &PolicyChain| chain.names.iter().flatten().any(|n| n == name);
    let peers = |chains: fn(&PeerConfig) -> &[PolicyChain]| {
        let using = config.peers.iter();
        let using = using.filter(|peer| chains(peer).iter().any(names));
        using.map(|peer| peer.key.to_string()).collect()
    };
    v1::PolicySummary {
        name: name.to_owned(),
        rules: policies.get(name).map_or(1, |rules| rules.len() as u32),
        builtin: PolicySet::is_builtin(name),
        called_by: (policies.iter().filter(|(_, rules)| calls(rules)))
            .map(|(name, _)| name.clone())
            .collect(),
        import_of: peers(|peer| &peer.import),
        export_of: peers(|peer| &peer.export),
    }
}

fn rule(number: u32, spec: &RuleSpec, text: &RuleText) -> v1::PolicyRule {
    let then = match spec.then {
        Some(Then::Accept) => "accept",
        Some(Then::Reject) => "reject",
        Some(Then::Next) => "next",
        None => "",
    };
    v1::PolicyRule {
        number,
        r#match: text.matches.clone().unwrap_or_default(),
        unless: text.unless.clone().unwrap_or_default(),
        set: text.sets.clone().unwrap_or_default(),
        call: spec.call.clone().unwrap_or_default(),
        then: then.to_owned(),
    }
}
