//! What each peer is to be told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use godwit_bgp::attrs::{
    AttrsBuf, Local, Origin, RemovePrivate, SegmentKind, code, community, flag,
};
use godwit_bgp::{Asn, Family, NextHop, Role, SessionKind};
use godwit_rib::{Condition, Drain, PeerSpec};
use ipnet::IpNet;

use super::{Naive, Usable, apply, compare};

impl Naive {
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
