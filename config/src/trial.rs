//! What the policies of a configuration make of one route, without a session.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use godwit_bgp::attrs::AttrsBuf;
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use godwit_policy::route::{
    Direction, Neighbour, PeerContext, PolicyRef, Route, Source, SourceKind, Trace,
};
use ipnet::IpNet;

use crate::model::{Config, PeerConfig, PeerKey, RemoteAs};

/// A route, and what is to judge it.
#[derive(Clone, Debug)]
pub struct Trial {
    pub prefix: IpNet,
    pub direction: Direction,
    /// Whose session it is. `None`: an external peer that no rule knows.
    pub peer: Option<IpAddr>,
    /// Instead of the policies of `peer`.
    pub policies: Option<Vec<String>>,
    /// As [`Config::trial_source`] reads it; counts on export.
    pub source: Source,
    pub attrs: AttrsBuf,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Tried {
    pub trace: Trace,
    /// With all edits, where the route was accepted.
    pub after: AttrsBuf,
}

impl Config {
    /// "local", "aggregate", "external", "internal", "client", or a peer's
    /// address; nothing is "external".
    pub fn trial_source(&self, text: &str) -> Result<Source, String> {
        let kind = match text {
            "local" => SourceKind::Local,
            "aggregate" => SourceKind::Aggregate,
            "" | "external" => SourceKind::Peer(SessionKind::External),
            "internal" => SourceKind::Peer(SessionKind::Internal),
            "client" => SourceKind::Peer(SessionKind::InternalClient),
            text => {
                let address: IpAddr = text.parse().map_err(|_| {
                    format!(
                        "`{text}` is no source; write local, aggregate, external, internal, client, or a peer's address"
                    )
                })?;
                let peer = self.trial_peer(address)?;
                return Ok(Source {
                    kind: SourceKind::Peer(kind_of(peer)),
                    neighbour: Some(self.neighbour(address, peer)),
                });
            }
        };
        Ok(Source {
            kind,
            neighbour: None,
        })
    }

    fn trial_peer(&self, address: IpAddr) -> Result<&PeerConfig, String> {
        let found = self.peer_for(address);
        found.ok_or_else(|| format!("no peer {address} is configured"))
    }

    fn neighbour(&self, address: IpAddr, peer: &PeerConfig) -> Arc<Neighbour> {
        let asn = match peer.remote_as {
            RemoteAs::Asn(asn) => asn,
            RemoteAs::Internal => self.router.asn,
            RemoteAs::External => Asn(0),
        };
        let interface = match peer.key {
            PeerKey::Interface(interface) => Some(interface.as_str().into()),
            PeerKey::Address(_) | PeerKey::Range(_) => None,
        };
        Arc::new(Neighbour {
            address,
            asn,
            group: peer.group.as_deref().map(Into::into),
            interface,
        })
    }

    /// Runs it; an error is about its `peer` or `policies`.
    pub fn try_policy(&self, trial: &Trial) -> Result<Tried, String> {
        let family = Family::of(&trial.prefix.addr());
        let peer = trial.peer.map(|address| self.trial_peer(address));
        let peer = peer.transpose()?;
        let policy = match (&trial.policies, peer) {
            (Some(names), _) => self.policies.chain(names).map_err(|e| e.to_string())?,
            (None, Some(peer)) => {
                let chains = match trial.direction {
                    Direction::Import => &peer.import,
                    Direction::Export => &peer.export,
                };
                let chain = chains.get(family.index());
                chain.map_or_else(PolicyRef::no_policy, |chain| chain.policy.clone())
            }
            (None, None) => return Err("name a peer or a policy".to_owned()),
        };
        let neighbour = match (trial.peer, peer) {
            (Some(address), Some(peer)) => self.neighbour(address, peer),
            _ => Arc::new(Neighbour {
                address: Ipv4Addr::UNSPECIFIED.into(),
                asn: Asn(0),
                group: None,
                interface: None,
            }),
        };
        // Where the peer may be of any AS, the path tells.
        let neighbour = match (neighbour.asn, trial.direction) {
            (Asn(0), Direction::Import) => {
                let path = trial.attrs.as_ref().as_path();
                Arc::new(Neighbour {
                    asn: path.first_as().unwrap_or(Asn(0)),
                    ..(*neighbour).clone()
                })
            }
            _ => neighbour,
        };
        let kind = peer.map_or(SessionKind::External, kind_of);
        let own = peer.and_then(|peer| peer.local_address);
        let own = own.filter(|address| Family::of(address) == family);
        let context = PeerContext {
            direction: trial.direction,
            neighbour: Arc::clone(&neighbour),
            kind,
            local_asn: self.router.asn,
            own_next_hop: own.map(NextHop::from),
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
            attrs: trial.attrs.as_ref(),
        };
        let trace = policy.0.trace(&route, trial.prefix);
        let mut after = trial.attrs.clone();
        if trace.outcome.is_accepted() {
            let edits = &trace.outcome.edits;
            edits.apply(context.own_next_hop, context.local_asn, &mut after);
        }
        Ok(Tried { trace, after })
    }
}

fn kind_of(peer: &PeerConfig) -> SessionKind {
    match (peer.external, peer.route_reflector_client) {
        (true, _) => SessionKind::External,
        (false, true) => SessionKind::InternalClient,
        (false, false) => SessionKind::Internal,
    }
}
