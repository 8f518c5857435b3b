//! The RIB as one would write it with plain maps and all the time in the
//! world, from the RFCs: nothing is kept but what was received, everything
//! else is worked out when asked for, for each peer apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use godwit_bgp::attrs::{
    AttrsBuf, Local, Origin, RemovePrivate, SegmentKind, code, community, flag,
};
use godwit_bgp::community::ExtCommunity;
use godwit_bgp::{Asn, Family, NextHop, PathId, Role, SendPaths, SessionKind};
use godwit_policy::route::{Direction, Neighbour, PeerContext, Route, Source, SourceKind};
use godwit_rib::{
    Aggregate, Condition, Drain, KernelOptions, LOCAL_WEIGHT, NextHopState, PeerSpec, RibConfig,
};
use ipnet::IpNet;

#[derive(Clone, Debug)]
pub struct NaivePeer {
    pub spec: PeerSpec,
    pub received: BTreeMap<(IpNet, PathId), AttrsBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Hops(Vec<(NextHop, u16)>, KernelOptions),
    Blackhole(KernelOptions),
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

    /// Whether peers are told of an aggregate instead.
    fn hidden(&self, net: IpNet) -> bool {
        let mut around = self.aggregates.iter();
        around.any(|a| {
            let inside = a.prefix.contains(&net) && a.prefix != net;
            inside && a.summary_only && self.aggregate(a.prefix).is_some()
        })
    }

    /// The default route made up for this peer.
    fn default_for(&self, to: &PeerSpec, net: IpNet) -> Option<AttrsBuf> {
        let family = Family::of(&net.addr());
        let default = to.default_originate[family.index()].as_ref()?;
        let matches = |when: &Condition| {
            let mut all = self.prefixes().into_iter();
            all.any(|net| when.matches(net) && self.best(net).is_some())
        };
        if net.prefix_len() != 0 || !default.when.as_ref().is_none_or(matches) {
            return None;
        }
        let mut out = AttrsBuf::new(to.own_next_hop[family.index()]?, Origin::Igp);
        let judged = AttrsBuf::new(
            match net {
                IpNet::V4(_) => IpAddr::from([0; 4]),
                IpNet::V6(_) => IpAddr::from([0; 16]),
            }
            .into(),
            Origin::Igp,
        );
        if !to.kind.is_external() {
            out.set_local_pref(Some(100));
        }
        let mut asked = to.clone();
        asked.export[family.index()] = default.policy.clone();
        let accepted = apply(&asked, Some(None), net, &judged, &mut out);
        out.set_local(Local::default());
        let v6 = out.next_hop.address().is_ipv6();
        let told = v6 == net.addr().is_ipv6() || (v6 && to.extended_next_hop);
        (accepted && told).then_some(out)
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

    /// What a peer is to hold: the paths of each prefix, in order.
    pub fn view(&self, id: u16) -> BTreeMap<IpNet, Vec<AttrsBuf>> {
        let mut view = BTreeMap::new();
        let mut prefixes = self.prefixes();
        prefixes.extend(["0.0.0.0/0", "::/0"].map(|net| net.parse::<IpNet>().unwrap()));
        for net in prefixes {
            if let Some(out) = self.made_up(id, net) {
                view.insert(net, vec![out]);
                continue;
            }
            let send = self.peers[&id].spec.add_path_send[Family::of(&net.addr()).index()];
            let chosen = self.chosen(net, send);
            let paths = chosen
                .iter()
                .filter_map(|path| self.advertised(id, net, path));
            let mut paths: Vec<AttrsBuf> = paths.collect();
            if !paths.is_empty() {
                paths.sort_by(compare);
                view.insert(net, paths);
            }
        }
        view
    }

    /// The default route of this peer, as it leaves.
    fn made_up(&self, id: u16, net: IpNet) -> Option<AttrsBuf> {
        let to = &self.peers[&id].spec;
        let told = to.families[Family::of(&net.addr()).index()];
        if !told || self.config.drain == Drain::Withdrawn {
            return None;
        }
        let out = self.default_for(to, net)?;
        Some(self.leaving(out, to, false))
    }

    fn advertised(&self, id: u16, net: IpNet, best: &Usable) -> Option<AttrsBuf> {
        let to = &self.peers[&id].spec;
        let family = Family::of(&net.addr());
        if !to.families[family.index()] || self.config.drain == Drain::Withdrawn {
            return None;
        }
        if best.peer == Some(id) || self.hidden(net) {
            return None;
        }
        let from = best.peer.map(|peer| &self.peers[&peer].spec);
        let attrs = best.attrs.as_ref();
        if attrs.has_community(community::NO_ADVERTISE) {
            return None;
        }
        let external = to.kind.is_external();
        let confined = [community::NO_EXPORT, community::NO_EXPORT_SUBCONFED];
        if external && confined.into_iter().any(|c| attrs.has_community(c)) {
            return None;
        }
        let from_internal = from.is_some_and(|from| !from.kind.is_external());
        let non_client = from.is_some_and(|from| from.kind == SessionKind::Internal);
        if non_client && to.kind == SessionKind::Internal {
            return None;
        }
        let rules = &to.export_rules;
        let marked = attrs.only_to_customer().is_some();
        let up_or_beside = matches!(
            rules.role,
            Some(Role::Customer | Role::Peer | Role::RouteServerClient)
        );
        if external && marked && up_or_beside {
            return None;
        }
        let mut out = best.attrs.clone();
        out.set_local(Local::default());
        if from.is_some() && external {
            let all: Vec<[u8; 8]> = attrs.ext_communities().collect();
            let leaving: Vec<u8> = all
                .iter()
                .filter(|c| c[0] & 0x40 == 0)
                .flatten()
                .copied()
                .collect();
            match leaving.is_empty() {
                true => out.remove(code::EXT_COMMUNITIES),
                false => out.set(
                    code::EXT_COMMUNITIES,
                    flag::OPTIONAL | flag::TRANSITIVE,
                    &leaving,
                ),
            }
        }
        if from.is_some() {
            // RFC 4271 §5.
            out.retain(|a| a.code != 100);
            if attrs.find(99).is_some() {
                let flags = flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL;
                out.set(99, flags, &[1, 2, 3]);
            }
        }
        let own = to.own_next_hop[family.index()];
        let third_party = external
            && to.shared_subnet
            && from.is_some_and(|from| {
                from.kind.is_external()
                    && from.shared_subnet
                    && own.is_some()
                    && from.own_next_hop[family.index()] == own
            });
        let stays =
            third_party || (!external && (from_internal || (from.is_some() && !to.next_hop_self)));
        out.next_hop = match (stays, out.next_hop) {
            (false, _) => own?,
            (true, NextHop::V6WithLinkLocal(global, ..)) if global.is_unspecified() => own?,
            (true, NextHop::V6WithLinkLocal(global, ..)) => NextHop::V6(global),
            (true, next_hop) => next_hop,
        };
        let told = |next_hop: NextHop| {
            next_hop.address().is_ipv6() == (family == Family::Ipv6Unicast)
                || (next_hop.address().is_ipv6() && to.extended_next_hop)
        };
        if !told(out.next_hop) {
            // A reflector leaves it alone; a rule may yet put in another.
            if !from_internal {
                out.next_hop = own?;
            }
        }
        if external && from.is_some() {
            out.set_med(None);
        }
        if from_internal && !external {
            if attrs.originator_id().is_none() {
                out.set_originator_id(from?.router_id);
            }
            out.prepend_cluster(self.config.cluster_id);
        }
        if !external && attrs.local_pref().is_none() {
            out.set_local_pref(Some(100));
        }
        if !apply(to, Some(from), net, &best.attrs, &mut out) {
            return None;
        }
        if !told(out.next_hop) {
            return None;
        }
        out.set_local(Local::default());
        Some(self.leaving(out, to, marked))
    }

    /// What is done last to what leaves.
    fn leaving(&self, mut out: AttrsBuf, to: &PeerSpec, marked: bool) -> AttrsBuf {
        let (rules, external) = (&to.export_rules, to.kind.is_external());
        if external {
            out.set_local_pref(None);
            out.remove(code::ORIGINATOR_ID);
            out.remove(code::CLUSTER_LIST);
            let path = leaving_path(&out, to);
            out.set(code::AS_PATH, flag::TRANSITIVE, &path);
            if to.local_asn != self.config.asn && !rules.replace_as {
                out.prepend_as(self.config.asn, 1);
            }
            out.prepend_as(to.local_asn, 1);
            let down_or_beside = matches!(
                rules.role,
                Some(Role::Provider | Role::Peer | Role::RouteServer)
            );
            if down_or_beside && !marked {
                out.set_only_to_customer(to.local_asn);
            }
        }
        let kinds = rules.communities;
        for (code, keep) in [(8, kinds.standard), (16, kinds.extended), (32, kinds.large)] {
            if !keep {
                out.remove(code);
            }
        }
        if self.config.drain == Drain::LastChoice {
            out.community_add(&[community::GRACEFUL_SHUTDOWN]);
            if !external {
                out.set_local_pref(Some(0));
            }
        }
        out
    }

    /// What the kernel is to have.
    pub fn fib(&self) -> BTreeMap<IpNet, Target> {
        let prefixes = self.prefixes().into_iter();
        prefixes
            .filter_map(|net| Some((net, self.target(net)?)))
            .collect()
    }

    fn target(&self, net: IpNet) -> Option<Target> {
        let best = self.best(net)?;
        let local = best.attrs.as_ref().local();
        let mut options = KernelOptions {
            table: local.table,
            metric: local.metric,
            source: None,
        };
        if best.blackhole {
            return Some(Target::Blackhole(options));
        }
        best.peer?;
        options.source = local.source.filter(|s| s.is_ipv4() == net.addr().is_ipv4());
        let bandwidth = |path: &Usable| {
            let mut communities = path.attrs.as_ref().ext_communities();
            communities
                .find_map(|c| Some(ExtCommunity(c).link_bandwidth()?.1))
                .filter(|octets| *octets > 0.0)
        };
        let used = self.multipath(net);
        let hops = used.iter().map(|p| (p.attrs.next_hop, bandwidth(p)));
        let hops: BTreeMap<NextHop, Option<f32>> = hops.collect();
        let most = hops.values().flatten().copied().fold(0.0, f32::max);
        let unequal =
            self.config.link_bandwidth && hops.len() > 1 && hops.values().all(Option::is_some);
        let weight = |bandwidth: Option<f32>| match bandwidth {
            Some(octets) if unequal => {
                let share = f64::from(octets) / f64::from(most) * 256.0;
                (share.round() as u16).max(1)
            }
            _ => 1,
        };
        let hops = hops.into_iter().map(|(hop, octets)| (hop, weight(octets)));
        Some(Target::Hops(hops.collect(), options))
    }

    /// What we forward by: paths with different next hops.
    fn multipath(&self, net: IpNet) -> Vec<Usable> {
        let mut equal = self.equals(self.usable(net));
        let Some(best) = self.tie_break(equal.clone()) else {
            return Vec::new();
        };
        if best.peer.is_none() {
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
            p.attrs.as_ref().cluster_list().count() == clusters
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

/// The octets of the path without its private numbers and with the peer's
/// overridden, as the peer asks for.
fn leaving_path(route: &AttrsBuf, to: &PeerSpec) -> Vec<u8> {
    let path = route.as_ref().as_path();
    let private = |asn: Asn| (64512..65535).contains(&asn.0) || asn.0 >= 4_200_000_000;
    let alone = path.asns().all(private);
    let (own, peer) = (to.local_asn, to.asn);
    let one = |asn: Asn| -> Vec<Asn> {
        use RemovePrivate::{All, IfAlone, No, ReplaceAll, ReplaceIfAlone};
        let affected = private(asn) && asn != peer;
        let asn = match to.export_rules.remove_private {
            IfAlone if alone && affected => return vec![],
            All if affected => return vec![],
            ReplaceIfAlone if alone && affected => own,
            ReplaceAll if affected => own,
            No | IfAlone | All | ReplaceIfAlone | ReplaceAll => asn,
        };
        vec![if to.export_rules.as_override && asn == peer {
            own
        } else {
            asn
        }]
    };
    let mut segments: Vec<(SegmentKind, Vec<Asn>)> = Vec::new();
    for segment in path.segments() {
        let asns: Vec<Asn> = segment.asns().flat_map(one).collect();
        match segments.last_mut() {
            Some((SegmentKind::Sequence, last)) if segment.kind == SegmentKind::Sequence => {
                last.extend(asns);
            }
            _ if asns.is_empty() => {}
            _ => segments.push((segment.kind, asns)),
        }
    }
    let mut out = Vec::new();
    for (kind, asns) in segments {
        out.extend([kind as u8, asns.len() as u8]);
        out.extend(asns.iter().flat_map(|asn| asn.0.to_be_bytes()));
    }
    out
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
