//! What import and the policies of a configuration make of one route, without a
//! session, or as one that runs would.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use godwit_bgp::attrs::AttrsBuf;
use godwit_bgp::{Asn, Family, InterfaceName, NextHop, RouterId, SessionKind};
use godwit_policy::import::{Check, Entrance, Router, Said, Step};
use godwit_policy::route::{
    Direction, Neighbour, PeerContext, PolicyRef, Route, Source, SourceKind, Trace,
};
use ipnet::IpNet;

use crate::model::{Config, PeerConfig, PeerKey, RemoteAs};

/// Words for where a route comes from.
const SOURCES: [(&str, SourceKind); 5] = [
    ("local", SourceKind::Local),
    ("aggregate", SourceKind::Aggregate),
    ("external", SourceKind::Peer(SessionKind::External)),
    ("internal", SourceKind::Peer(SessionKind::Internal)),
    ("client", SourceKind::Peer(SessionKind::InternalClient)),
];

/// A route, and what is to judge it.
#[derive(Clone, Debug)]
pub struct Trial {
    pub prefix: IpNet,
    pub direction: Direction,
    /// Whose session it is. `None`: an external peer that no rule knows, and
    /// policy alone is asked.
    pub peer: Option<TrialPeer>,
    /// Instead of the policies of `peer`.
    pub policies: Option<Vec<String>>,
    /// Counts on export.
    pub source: Source,
    pub attrs: AttrsBuf,
    /// The next hop of `attrs` is the route's, not made up for the trial.
    pub has_next_hop: bool,
}

/// The peer of a trial.
#[derive(Clone, Debug)]
pub struct TrialPeer {
    /// `::`: the one on an interface, not found yet.
    pub address: IpAddr,
    pub config: PeerConfig,
    /// Where it is up.
    pub session: Option<TrialSession>,
}

/// What a running session knows and the file does not.
#[derive(Clone, Debug)]
pub struct TrialSession {
    pub neighbour: Arc<Neighbour>,
    pub entrance: Entrance,
    pub own_next_hop: Option<NextHop>,
    pub router_id: RouterId,
    pub cluster_id: RouterId,
    /// Addresses of ours.
    pub own: HashSet<IpAddr>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What import did besides policy, in order; of a peer's route only.
    pub steps: Vec<Step>,
    /// What policy said, or the check that kept the route from it.
    pub decision: Result<Trace, Check>,
    /// With all that was changed, where the route was accepted.
    pub after: AttrsBuf,
}

impl TrialPeer {
    /// The peer as policies see it; where it may be of any AS, without a number.
    fn neighbour(&self, router: Asn) -> Arc<Neighbour> {
        if let Some(session) = &self.session {
            return Arc::clone(&session.neighbour);
        }
        let interface = match self.config.key {
            PeerKey::Interface(interface) => Some(interface.as_str().into()),
            PeerKey::Address(_) | PeerKey::Range(_) => None,
        };
        Arc::new(Neighbour {
            address: self.address,
            asn: match self.config.remote_as {
                RemoteAs::Asn(asn) => asn,
                RemoteAs::Internal => router,
                RemoteAs::External => Asn(0),
            },
            group: self.config.group.as_deref().map(Into::into),
            interface,
        })
    }

    fn entrance(&self, router: Asn) -> Entrance {
        match &self.session {
            Some(session) => session.entrance,
            None => Entrance {
                kind: self.config.kind(),
                local_asn: self.config.path.local_as.map_or(router, |local| local.asn),
                own_link_local: None,
                weight: self.config.weight,
                rules: self.config.import_rules(),
            },
        }
    }

    fn own_next_hop(&self, family: Family) -> Option<NextHop> {
        match &self.session {
            Some(session) => session.own_next_hop,
            None => {
                let own = self.config.local_address;
                own.filter(|address| Family::of(address) == family)
                    .map(NextHop::from)
            }
        }
    }

    /// The next hop of a route that names none: the peer, where it may be one.
    pub fn next_hop(&self, family: Family) -> Option<NextHop> {
        let link_local = matches!(self.address, IpAddr::V6(a) if a.is_unicast_link_local());
        let fits = Family::of(&self.address) == family;
        (fits && !link_local && !self.address.is_unspecified()).then(|| self.address.into())
    }
}

impl Config {
    /// The peer of this name in the file: an address (of a range, too), the name
    /// of an interface, or both as `fe80::1%eth1`.
    ///
    /// # Errors
    /// For people.
    pub fn trial_peer(&self, name: &str) -> Result<TrialPeer, String> {
        let (address, found) = match name.parse::<IpAddr>() {
            Ok(address) => (address, self.peer_for(address)),
            Err(_) => {
                let interface = name.rsplit('%').next().unwrap_or_default();
                let interface: InterfaceName = interface
                    .parse()
                    .map_err(|_| format!("`{name}` is neither an address nor an interface"))?;
                let found = self.peer(&PeerKey::Interface(interface));
                (Ipv6Addr::UNSPECIFIED.into(), found)
            }
        };
        Ok(TrialPeer {
            address,
            config: found
                .ok_or_else(|| format!("no peer {name} is configured"))?
                .clone(),
            session: None,
        })
    }

    /// Whether a source is told by a word, not by the name of a peer; nothing is
    /// "external".
    pub fn is_source_word(text: &str) -> bool {
        text.is_empty() || SOURCES.iter().any(|(word, _)| *word == text)
    }

    /// Where a route comes from: the peer, else what the word says.
    pub fn trial_source(&self, word: &str, peer: Option<&TrialPeer>) -> Source {
        let external = SourceKind::Peer(SessionKind::External);
        let known = SOURCES.iter().find(|(known, _)| *known == word);
        match peer {
            Some(peer) => Source {
                kind: SourceKind::Peer(peer.config.kind()),
                neighbour: Some(peer.neighbour(self.router.asn)),
            },
            None => Source {
                kind: known.map_or(external, |(_, kind)| *kind),
                neighbour: None,
            },
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// About its `policies`, for people.
    pub fn try_route(&self, trial: &Trial) -> Result<Tried, String> {
        let family = Family::of(&trial.prefix.addr());
        let peer = trial.peer.as_ref();
        let policy = self.trial_policy(trial, family)?;
        let mut neighbour = match peer {
            Some(peer) => peer.neighbour(self.router.asn),
            None => Arc::new(Neighbour {
                address: Ipv4Addr::UNSPECIFIED.into(),
                asn: Asn(0),
                group: None,
                interface: None,
            }),
        };
        // Where the peer may be of any AS, the path tells.
        if neighbour.asn == Asn(0) && trial.direction == Direction::Import {
            let first = trial.attrs.as_ref().as_path().first_as();
            neighbour = Arc::new(Neighbour {
                asn: first.unwrap_or(Asn(0)),
                ..(*neighbour).clone()
            });
        }
        let mut after = trial.attrs.clone();
        let mut entry = None;
        let mut steps = Vec::new();
        if let (Some(peer), Direction::Import) = (peer, trial.direction) {
            let entrance = peer.entrance(self.router.asn);
            let own = self.own_addresses(peer);
            let router = self.trial_router(peer, &own);
            let (asn, attrs) = (neighbour.asn, trial.attrs.as_ref());
            let (checks, passed) = entrance.check_steps(attrs, asn, &router, trial.has_next_hop);
            steps = checks;
            if let Err(check) = passed {
                return Ok(Tried {
                    steps,
                    decision: Err(check),
                    after,
                });
            }
            let additions = entrance.additions(attrs, asn, &router);
            steps.extend(additions.steps());
            additions.apply(&mut after);
            entry = Some((entrance, additions));
        }
        let kind = peer.map_or(SessionKind::External, |peer| peer.config.kind());
        let context = PeerContext {
            direction: trial.direction,
            neighbour: Arc::clone(&neighbour),
            kind,
            local_asn: peer.map_or(self.router.asn, |peer| {
                peer.entrance(self.router.asn).local_asn
            }),
            own_next_hop: peer.and_then(|peer| peer.own_next_hop(family)),
            family,
        };
        let source = match trial.direction {
            Direction::Export => trial.source.clone(),
            Direction::Import => Source {
                kind: SourceKind::Peer(kind),
                neighbour: Some(neighbour),
            },
        };
        let route = Route {
            peer: &context,
            source: &source,
            attrs: after.as_ref(),
        };
        let trace = policy.0.trace(&route, trial.prefix);
        if trace.outcome.is_accepted() {
            let edits = &trace.outcome.edits;
            edits.apply(context.own_next_hop, context.local_asn, &mut after);
            if let Some((entrance, additions)) = entry {
                let before = after.as_ref().local_pref();
                entrance.finish(&additions, &mut after);
                let told = steps.iter().any(|step| step.name == "graceful-shutdown");
                if before != after.as_ref().local_pref() && !told {
                    steps.push(Step {
                        name: "graceful-shutdown",
                        said: Said::Changed,
                        detail: "policy gave it GRACEFUL_SHUTDOWN: LOCAL_PREF 0".to_owned(),
                    });
                }
            }
        }
        Ok(Tried {
            steps,
            decision: Ok(trace),
            after,
        })
    }

    fn trial_policy(&self, trial: &Trial, family: Family) -> Result<PolicyRef, String> {
        match (&trial.policies, &trial.peer) {
            (Some(names), _) => self.policies.chain(names).map_err(|e| e.to_string()),
            (None, Some(peer)) => {
                let chains = match trial.direction {
                    Direction::Import => &peer.config.import,
                    Direction::Export => &peer.config.export,
                };
                let chain = chains.get(family.index());
                Ok(chain.map_or_else(PolicyRef::no_policy, |chain| chain.policy.clone()))
            }
            (None, None) => Err("name a peer or a policy".to_owned()),
        }
    }

    /// Without a session those that the file names.
    fn own_addresses(&self, peer: &TrialPeer) -> HashSet<IpAddr> {
        match &peer.session {
            Some(session) => session.own.clone(),
            None => self.peers.iter().filter_map(|p| p.local_address).collect(),
        }
    }

    fn trial_router<'a>(&self, peer: &TrialPeer, own: &'a HashSet<IpAddr>) -> Router<'a> {
        let session = peer.session.as_ref();
        // Nobody's, where the daemon is to choose one.
        let router_id = self.router.router_id.unwrap_or(RouterId(0));
        Router {
            asn: self.router.asn,
            router_id: session.map_or(router_id, |session| session.router_id),
            cluster_id: session.map_or(self.router.cluster_id.unwrap_or(router_id), |session| {
                session.cluster_id
            }),
            own,
        }
    }
}
