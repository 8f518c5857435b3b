//! The RIB as one would write it with plain maps and all the time in the
//! world, from the RFCs: nothing is kept but what was received, everything
//! else is worked out when asked for, for each peer apart.

mod export;
mod kernel;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use godwit_bgp::attrs::{AttrsBuf, Local, Origin, code, community, flag};
use godwit_bgp::{Asn, Family, NextHop, PathId, Role, SendPaths};
use godwit_policy::route::{Direction, Neighbour, PeerContext, Route, Source, SourceKind};
use godwit_rib::{Aggregate, LOCAL_WEIGHT, NextHopState, PeerSpec, RibConfig};
use ipnet::IpNet;

pub use kernel::Target;

#[derive(Clone, Debug)]
pub struct NaivePeer {
    pub spec: PeerSpec,
    pub received: BTreeMap<(IpNet, PathId), AttrsBuf>,
}

#[derive(Clone, Debug)]
pub struct Naive {
    pub config: RibConfig,
    pub peers: BTreeMap<u16, NaivePeer>,
    pub local: BTreeMap<IpNet, (AttrsBuf, bool)>,
    pub aggregates: Vec<Aggregate>,
    pub next_hops: BTreeMap<NextHop, NextHopState>,
}

/// A path that may be chosen; `peer` is `None` for our own.
#[derive(Clone, Debug)]
struct Usable {
    peer: Option<u16>,
    path_id: PathId,
    attrs: AttrsBuf,
    cost: u32,
    /// The kernel is to drop.
    blackhole: bool,
}

impl Naive {
    pub fn prefixes(&self) -> BTreeSet<IpNet> {
        let received = self.peers.values().flat_map(|peer| peer.received.keys());
        let received = received.map(|(net, _)| net);
        let ours = self
            .local
            .keys()
            .chain(self.aggregates.iter().map(|a| &a.prefix));
        received.chain(ours).copied().collect()
    }

    /// An aggregate of something, and whether it is a blackhole.
    fn aggregate(&self, net: IpNet) -> Option<(AttrsBuf, bool)> {
        let aggregate = self.aggregates.iter().find(|a| a.prefix == net)?;
        let inside = self.prefixes().into_iter();
        let inside = inside.filter(|other| net.contains(other) && *other != net);
        let parts: Vec<Usable> = inside.filter_map(|net| self.best(net)).collect();
        if parts.is_empty() {
            return None;
        }
        let nobody = match net {
            IpNet::V4(_) => IpAddr::from([0; 4]),
            IpNet::V6(_) => IpAddr::from([0; 16]),
        };
        let mut attrs = AttrsBuf::new(nobody.into(), Origin::Igp);
        if parts
            .iter()
            .any(|p| p.attrs.as_ref().as_path().length() > 0)
        {
            attrs.set(code::ATOMIC_AGGREGATE, flag::TRANSITIVE, &[]);
        }
        let aggregator = [
            self.config.asn.0.to_be_bytes(),
            self.config.router_id.0.to_be_bytes(),
        ];
        attrs.set(code::AGGREGATOR, 0xc0, &aggregator.concat());
        Some((attrs, aggregate.blackhole))
    }

    fn own_addresses(&self) -> BTreeSet<IpAddr> {
        let own = self.peers.values().flat_map(|peer| {
            let next_hops = peer.spec.own_next_hop.iter().flatten();
            next_hops
                .map(NextHop::address)
                .chain([peer.spec.local_address])
        });
        let link_local = |a: &IpAddr| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local());
        own.filter(|a| !link_local(a)).collect()
    }

    /// What the import of this peer makes of a route.
    pub fn accepted(&self, peer: &NaivePeer, net: IpNet, path_id: PathId) -> Option<AttrsBuf> {
        let received = peer.received.get(&(net, path_id))?;
        let attrs = received.as_ref();
        let spec = &peer.spec;
        let (rules, external) = (&spec.import_rules, spec.kind.is_external());
        let path: Vec<Asn> = attrs.as_path().asns().collect();
        if path.len() > usize::from(rules.max_as_path) {
            return None;
        }
        if attrs.as_path().has_set() && !rules.accept_as_set {
            return None;
        }
        for own in [self.config.asn, spec.local_asn] {
            let times = path.iter().filter(|asn| **asn == own).count();
            if times > usize::from(rules.allow_as_in) {
                return None;
            }
        }
        if external && rules.enforce_first_as && attrs.as_path().first_as() != Some(spec.asn) {
            return None;
        }
        let marked = attrs.only_to_customer();
        if external && let Some(by) = marked {
            let leaked = match rules.role {
                Some(Role::Provider | Role::RouteServer) => true,
                Some(Role::Peer) => by != spec.asn,
                _ => false,
            };
            if leaked {
                return None;
            }
        }
        if !external {
            if attrs.originator_id() == Some(self.config.router_id) {
                return None;
            }
            if attrs.cluster_list().any(|id| id == self.config.cluster_id) {
                return None;
            }
        }
        if attrs.next_hop.address().is_loopback() {
            return None;
        }
        if self.own_addresses().contains(&attrs.next_hop.address()) {
            return None;
        }
        if let Some(link_local) = attrs.next_hop.link_local() {
            let alone = attrs.next_hop.address() == IpAddr::V6(link_local);
            if alone && spec.link == 0 {
                return None;
            }
            let family = Family::of(&net.addr());
            let any = family == Family::Ipv6Unicast || spec.extended_next_hop;
            if any && spec.local_link_local == Some(link_local) {
                return None;
            }
        }
        let blackhole = rules.blackhole_community && attrs.has_community(community::BLACKHOLE);
        let mut judged = received.clone();
        judged.set_local(Local {
            weight: spec.weight,
            blackhole,
            ..Local::default()
        });
        let stays = attrs.has_community(community::NO_EXPORT)
            || attrs.has_community(community::NO_ADVERTISE);
        if blackhole && !stays {
            judged.community_add(&[community::NO_EXPORT]);
        }
        if external {
            if spec.local_asn != self.config.asn && !rules.no_prepend {
                judged.prepend_as(spec.local_asn, 1);
            }
            let from_above_or_beside = matches!(
                rules.role,
                Some(Role::Customer | Role::Peer | Role::RouteServerClient)
            );
            if from_above_or_beside && marked.is_none() {
                judged.set_only_to_customer(spec.asn);
            }
        }
        let mut buf = judged.clone();
        let accepted = apply(spec, None, net, &judged, &mut buf);
        let shutdown = attrs.has_community(community::GRACEFUL_SHUTDOWN)
            || buf.as_ref().has_community(community::GRACEFUL_SHUTDOWN);
        if rules.graceful_shutdown && shutdown {
            buf.set_local_pref(Some(0));
        }
        accepted.then_some(buf)
    }

    fn usable(&self, net: IpNet) -> Vec<Usable> {
        let mut all = Vec::new();
        let own = [self.local.get(&net).cloned(), self.aggregate(net)];
        for (path_id, own) in (0..).map(PathId).zip(own) {
            all.extend(own.map(|(attrs, blackhole)| Usable {
                peer: None,
                path_id,
                attrs,
                cost: 0,
                blackhole,
            }));
        }
        let paths = self.peers.iter().flat_map(|(id, peer)| {
            let ids = peer
                .received
                .range((net, PathId(0))..=(net, PathId(u32::MAX)));
            ids.map(move |((_, path_id), _)| (id, peer, *path_id))
        });
        for (id, peer, path_id) in paths {
            let Some(attrs) = self.accepted(peer, net, path_id) else {
                continue;
            };
            let state = match self.config.require_next_hop {
                _ if attrs.as_ref().local().blackhole => NextHopState {
                    reachable: true,
                    cost: 0,
                },
                false => NextHopState {
                    reachable: true,
                    cost: 0,
                },
                // One that only a policy sets is answered by nobody.
                true => self
                    .next_hops
                    .get(&attrs.next_hop)
                    .copied()
                    .unwrap_or(NextHopState {
                        reachable: false,
                        cost: 0,
                    }),
            };
            if state.reachable {
                all.push(Usable {
                    peer: Some(*id),
                    path_id,
                    blackhole: attrs.as_ref().local().blackhole,
                    attrs,
                    cost: state.cost,
                });
            }
        }
        all
    }

    fn external(&self, path: &Usable) -> bool {
        path.peer
            .is_some_and(|id| self.peers[&id].spec.kind.is_external())
    }

    /// RFC 4271 §9.1.1, §9.1.2.2 a to e.
    fn equals(&self, mut all: Vec<Usable>) -> Vec<Usable> {
        least(&mut all, |p| {
            let weight = p.attrs.as_ref().local().weight;
            std::cmp::Reverse(match (weight, p.peer) {
                (0, None) => LOCAL_WEIGHT,
                _ => weight,
            })
        });
        least(&mut all, |p| p.peer.is_some());
        least(&mut all, |p| {
            std::cmp::Reverse(p.attrs.as_ref().local_pref().unwrap_or(100))
        });
        least(&mut all, |p| p.attrs.as_ref().as_path().length());
        least(&mut all, |p| p.attrs.as_ref().origin() as u8);
        let med = |p: &Usable| p.attrs.as_ref().med().unwrap_or(0);
        let neighbour = |p: &Usable| p.attrs.as_ref().as_path().first_as();
        let before = all.clone();
        all.retain(|n| {
            !before
                .iter()
                .any(|m| neighbour(m) == neighbour(n) && med(m) < med(n))
        });
        least(&mut all, |p| !self.external(p));
        least(&mut all, |p| p.cost);
        all
    }

    /// RFC 4271 §9.1.2.2 f and g, RFC 4456 §9.
    fn tie_break(&self, mut all: Vec<Usable>) -> Option<Usable> {
        least(&mut all, |p| {
            let id = p.attrs.as_ref().originator_id();
            let peer = p.peer.map(|id| self.peers[&id].spec.router_id);
            id.or(peer)
        });
        least(&mut all, |p| p.attrs.as_ref().cluster_list().count());
        least(&mut all, |p| p.peer.map(|id| self.peers[&id].spec.address));
        least(&mut all, |p| p.path_id);
        assert!(all.len() < 2, "two peers of one address");
        all.pop()
    }

    fn best(&self, net: IpNet) -> Option<Usable> {
        self.tie_break(self.equals(self.usable(net)))
    }

    /// RFC 7911: what a peer is to be told of, before export.
    fn chosen(&self, net: IpNet, send: Option<SendPaths>) -> Vec<Usable> {
        match send {
            None => self.best(net).into_iter().collect(),
            Some(SendPaths::All) => self.usable(net),
            Some(SendPaths::Ecmp) => self.multipath(net),
            Some(SendPaths::Best(n)) => {
                let mut rest = self.usable(net);
                let mut chosen = Vec::new();
                while chosen.len() < usize::from(n.get())
                    && let Some(best) = self.tie_break(self.equals(rest.clone()))
                {
                    rest.retain(|p| !p.is(&best));
                    chosen.push(best);
                }
                chosen
            }
        }
    }

    pub fn best_of(&self, net: IpNet) -> Option<Option<u16>> {
        self.best(net).map(|best| best.peer)
    }

    /// What we forward by: paths with different next hops.
    fn multipath(&self, net: IpNet) -> Vec<Usable> {
        let mut equal = self.equals(self.usable(net));
        let Some(best) = self.tie_break(equal.clone()) else {
            return Vec::new();
        };
        if best.peer.is_none() || best.blackhole {
            return vec![best];
        }
        let external = self.external(&best);
        let max = match external {
            true => self.config.max_paths_external,
            false => self.config.max_paths_internal,
        };
        let path = best.attrs.as_ref().as_path();
        let clusters = best.attrs.as_ref().cluster_list().count();
        equal.retain(|p| {
            let other = p.attrs.as_ref().as_path();
            !p.blackhole
                && p.attrs.as_ref().cluster_list().count() == clusters
                && (self.config.multipath_relax
                    || match external {
                        true => other.first_as() == path.first_as(),
                        false => other.bytes() == path.bytes(),
                    })
        });
        let mut used: Vec<Usable> = Vec::new();
        while used.len() < usize::from(max)
            && let Some(next) = self.tie_break(equal.clone())
        {
            equal.retain(|p| !p.is(&next));
            if used.iter().all(|p| p.attrs.next_hop != next.attrs.next_hop) {
                used.push(next);
            }
        }
        used
    }
}

impl Usable {
    fn is(&self, other: &Usable) -> bool {
        (self.peer, self.path_id) == (other.peer, other.path_id)
    }
}

/// Some order.
pub fn compare(a: &AttrsBuf, b: &AttrsBuf) -> std::cmp::Ordering {
    (a.next_hop, a.bytes()).cmp(&(b.next_hop, b.bytes()))
}

fn least<T: Ord>(all: &mut Vec<Usable>, rank: impl Fn(&Usable) -> T) {
    let Some(min) = all.iter().map(&rank).min() else {
        return;
    };
    all.retain(|p| rank(p) == min);
}

/// Runs a policy (which has tests of its own) on one route: the import of
/// `spec`, or its export of a route with this source.
fn apply(
    spec: &PeerSpec,
    export_from: Option<Option<&PeerSpec>>,
    net: IpNet,
    judged: &AttrsBuf,
    edited: &mut AttrsBuf,
) -> bool {
    let family = Family::of(&net.addr());
    let neighbour = |spec: &PeerSpec| {
        Arc::new(Neighbour {
            address: spec.address,
            asn: spec.asn,
            group: spec.group.clone(),
            interface: spec.interface.map(|name| name.as_str().into()),
        })
    };
    let (direction, policies, from) = match export_from {
        None => (Direction::Import, &spec.import, Some(spec)),
        Some(from) => (Direction::Export, &spec.export, from),
    };
    let own = spec.own_next_hop[family.index()];
    let peer = PeerContext {
        direction,
        neighbour: neighbour(spec),
        kind: spec.kind,
        local_asn: spec.local_asn,
        own_next_hop: own,
        family,
    };
    let source = Source {
        kind: match from {
            Some(from) => SourceKind::Peer(from.kind),
            None if judged.as_ref().aggregator().is_some() => SourceKind::Aggregate,
            None => SourceKind::Local,
        },
        neighbour: from.map(neighbour),
    };
    let route = Route {
        peer: &peer,
        source: &source,
        attrs: judged.as_ref(),
    };
    let outcome = policies[family.index()].0.specialise(&route).decide(net);
    if outcome.is_accepted() {
        outcome.edits.apply(own, spec.local_asn, edited);
    }
    outcome.is_accepted()
}
