//! What happens to a route on its way out: who may have it, and with which
//! attributes (RFC 4271 §5.1, RFC 4456, RFC 1997), then policy.

use std::iter::empty as none;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::BytesMut;
use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Origin, RawAttr, code, community, flag};
use godwit_bgp::wire::UpdateEncoder;
use godwit_bgp::{Asn, Family, NextHop, PathId, Role, RouterId, SendPaths, SessionKind};
use godwit_policy::route::{
    Direction, Neighbour, Outcome, PeerContext, PolicyRef, Residual, Route, RuleName, SourceKind,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::api::{DefaultOriginate, Drain, ExportRules, PeerId, PeerSpec, RibConfig, WhyNot};
use crate::interner::{AttrId, DEFAULT_LOCAL_PREF, Interner};
use crate::memo::{Entry, Memo};
use crate::peers::Peers;

/// What of a group decides its output. Its members agree in all of it.
#[derive(Debug)]
pub struct Export {
    pub families: [bool; 2],
    /// Of those in which several paths go out, which.
    pub add_path: [Option<SendPaths>; 2],
    kind: SessionKind,
    local_asn: Asn,
    /// The router's; that of the session may be another.
    own_asn: Asn,
    /// The peer's; of one of them, where no rule asks whose.
    peer_asn: Asn,
    own_next_hop: [Option<NextHop>; 2],
    extended_next_hop: bool,
    next_hop_self: bool,
    shared_subnet: bool,
    rules: ExportRules,
    pub encoder: UpdateEncoder,
    max_message: usize,
    policy: [PolicyRef; 2],
    context: [PeerContext; 2],
    cluster_id: RouterId,
    drain: Drain,
    pub default_originate: [Option<DefaultOriginate>; 2],
    memo: [Memo<Source, WhyNot>; 2],
    scratch: Option<AttrsBuf>,
}

/// What of a route's origin decides what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    from: From,
    /// On the subnet that our own next hop towards the group is on.
    shares_subnet: bool,
    /// Of an internal peer: whom to name as ORIGINATOR_ID.
    router_id: RouterId,
    /// Only where a rule asks for it.
    neighbour: Option<Arc<Neighbour>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Ourselves,
    Peer(SessionKind),
}

impl Source {
    /// Of our own routes, those with an AGGREGATOR are aggregates.
    fn for_policy(&self, attrs: AttrsRef<'_>) -> godwit_policy::route::Source {
        godwit_policy::route::Source {
            kind: match self.from {
                From::Ourselves if attrs.aggregator().is_some() => SourceKind::Aggregate,
                From::Ourselves => SourceKind::Local,
                From::Peer(kind) => SourceKind::Peer(kind),
            },
            neighbour: self.neighbour.clone(),
        }
    }
}

impl Export {
    pub fn new(spec: &PeerSpec, config: &RibConfig) -> Self {
        let context = Family::ALL.map(|family| PeerContext {
            direction: Direction::Export,
            neighbour: spec.neighbour(),
            kind: spec.kind,
            local_asn: spec.local_asn,
            own_next_hop: spec.own_next_hop[family.index()],
            family,
        });
        Export {
            families: spec.families,
            add_path: spec.add_path_send,
            kind: spec.kind,
            local_asn: spec.local_asn,
            own_asn: config.asn,
            peer_asn: spec.asn,
            own_next_hop: spec.own_next_hop,
            extended_next_hop: spec.extended_next_hop,
            next_hop_self: spec.next_hop_self,
            shared_subnet: spec.shared_subnet,
            rules: spec.export_rules,
            encoder: UpdateEncoder::new(spec.max_message, spec.as4),
            max_message: spec.max_message,
            policy: spec.export.clone(),
            context,
            cluster_id: config.cluster_id,
            drain: config.drain,
            default_originate: spec.default_originate.clone(),
            memo: Default::default(),
            scratch: None,
        }
    }

    /// The source as far as it matters to this group.
    pub fn source(&self, peer: PeerId, family: Family, peers: &Peers) -> Source {
        self.source_of(peers.at(peer).map(|peer| &peer.spec), family)
    }

    /// The same of a peer with this spec; `None`: we ourselves.
    pub fn source_of(&self, spec: Option<&PeerSpec>, family: Family) -> Source {
        let unknown = RouterId(0);
        let Some(spec) = spec else {
            return Source {
                from: From::Ourselves,
                shares_subnet: false,
                router_id: unknown,
                neighbour: None,
            };
        };
        let external = spec.kind.is_external();
        let own = spec.own_next_hop[family.index()];
        Source {
            from: From::Peer(spec.kind),
            shares_subnet: self.shared_subnet
                && external
                && spec.shared_subnet
                && own.is_some()
                && own == self.own_next_hop[family.index()],
            router_id: if external || self.kind.is_external() {
                unknown
            } else {
                spec.router_id
            },
            neighbour: (self.policy[family.index()].0.uses().source).then(|| spec.neighbour()),
        }
    }

    /// The attributes that this route leaves with, and a reference to them.
    pub fn output(
        &mut self,
        attr: AttrId,
        source: &Source,
        family: Family,
        pick: impl FnOnce(&mut Residual) -> u16,
        attrs: &mut Interner,
    ) -> Result<AttrId, WhyNot> {
        // Taken out so that the closures may look at the rest.
        let mut memo = std::mem::take(&mut self.memo[family.index()]);
        let entry = memo.entry(attr, source.clone(), attrs, |weak, source| {
            let residual = self.admit(attr, &source, family, attrs).map(|()| {
                let attrs = attrs.attrs(attr);
                self.policy[family.index()].0.specialise(&Route {
                    peer: &self.context[family.index()],
                    source: &source.for_policy(attrs),
                    attrs,
                })
            });
            Entry::new(weak, source, residual)
        });
        let index = entry.residual.as_mut().map_or(0, pick);
        let output = entry.outcome(index, attrs, |outcome, attrs| {
            self.make(attr, source, family, outcome, attrs)
        });
        self.memo[family.index()] = memo;
        output
    }

    /// The rule of the policy that decides on this route.
    pub fn rule(&self, attr: AttrId, source: &Source, net: IpNet, attrs: &Interner) -> RuleName {
        let index = Family::of(&net.addr()).index();
        let attrs = attrs.attrs(attr);
        let mut residual = self.policy[index].0.specialise(&Route {
            peer: &self.context[index],
            source: &source.for_policy(attrs),
            attrs,
        });
        residual.decide(net).rule
    }

    /// Whether the route may go to this group at all.
    fn admit(
        &self,
        attr: AttrId,
        source: &Source,
        family: Family,
        attrs: &Interner,
    ) -> Result<(), WhyNot> {
        if !self.families[family.index()] {
            return Err(WhyNot::Family);
        }
        if self.drain == Drain::Withdrawn {
            return Err(WhyNot::Drained);
        }
        let key = attrs.key(attr);
        if key.no_advertise() {
            return Err(WhyNot::NoAdvertise);
        }
        if key.no_export() && self.kind.is_external() {
            return Err(WhyNot::NoExport);
        }
        // RFC 4456 §6: from a client to all, from a non-client to clients.
        if source.from == From::Peer(SessionKind::Internal) && self.kind == SessionKind::Internal {
            return Err(WhyNot::NotReflected);
        }
        // RFC 9234 §5, egress 2.
        if self.kind.is_external()
            && self.rules.role.is_some_and(Role::looks_up_or_across)
            && attrs.attrs(attr).only_to_customer().is_some()
        {
            return Err(WhyNot::RouteLeak);
        }
        Ok(())
    }

    /// The default route that the group is given while its condition holds, and
    /// a reference to it.
    pub fn default_route(&mut self, family: Family, attrs: &mut Interner) -> Option<AttrId> {
        let default = self.default_originate[family.index()].clone()?;
        if self.drain == Drain::Withdrawn || !self.families[family.index()] {
            return None;
        }
        let (nobody, net) = match family {
            Family::Ipv4Unicast => (
                NextHop::V4(Ipv4Addr::UNSPECIFIED),
                IpNet::V4(Ipv4Net::default()),
            ),
            Family::Ipv6Unicast => (
                NextHop::V6(Ipv6Addr::UNSPECIFIED),
                IpNet::V6(Ipv6Net::default()),
            ),
        };
        let mut buf = AttrsBuf::new(nobody, Origin::Igp);
        let ourselves = Source {
            from: From::Ourselves,
            shares_subnet: false,
            router_id: RouterId(0),
            neighbour: None,
        };
        let mut residual = default.policy.0.specialise(&Route {
            peer: &self.context[family.index()],
            source: &ourselves.for_policy(buf.as_ref()),
            attrs: buf.as_ref(),
        });
        let outcome = residual.decide(net);
        if !outcome.is_accepted() {
            return None;
        }
        self.edit(&mut buf, &ourselves, family, &outcome).ok()?;
        Some(attrs.intern(buf.as_ref().without_local()))
    }

    fn make(
        &mut self,
        attr: AttrId,
        source: &Source,
        family: Family,
        outcome: &Outcome,
        attrs: &mut Interner,
    ) -> Result<AttrId, WhyNot> {
        if !outcome.is_accepted() {
            return Err(WhyNot::Policy(outcome.rule.clone()));
        }
        let mut buf = self.scratch.take().unwrap_or_else(|| attrs.owned(attr));
        buf.assign(attrs.attrs(attr).without_local());
        let made = self.edit(&mut buf, source, family, outcome);
        // A rule may have set what goes to nobody.
        let made = made.map(|()| attrs.intern(buf.as_ref().without_local()));
        self.scratch = Some(buf);
        made
    }

    /// Makes of the attributes in the RIB those that leave.
    fn edit(
        &mut self,
        buf: &mut AttrsBuf,
        source: &Source,
        family: Family,
        outcome: &Outcome,
    ) -> Result<(), WhyNot> {
        let own = self.own_next_hop[family.index()];
        let ours = source.from == From::Ourselves;
        if !ours {
            pass_on(buf);
        }
        if let Some(next_hop) = self.next_hop(buf.next_hop, source, family) {
            buf.next_hop = next_hop?;
        }
        if self.kind.is_external() {
            if !ours {
                // RFC 4271 §5.1.4 and RFC 4360 §6; what a rule sets below goes
                // out.
                buf.remove(code::MED);
                buf.remove_non_transitive();
            }
            outcome.edits.apply(own, self.local_asn, buf);
            buf.retain(|attr| {
                !matches!(
                    attr.code,
                    code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST
                )
            });
            self.leave_as(buf);
        } else {
            if let From::Peer(kind) = source.from
                && !kind.is_external()
            {
                // RFC 4456 §8.
                if buf.as_ref().originator_id().is_none() {
                    buf.set_originator_id(source.router_id);
                }
                buf.prepend_cluster(self.cluster_id);
            }
            if buf.as_ref().local_pref().is_none() {
                buf.set_local_pref(Some(DEFAULT_LOCAL_PREF));
            }
            outcome.edits.apply(own, self.local_asn, buf);
        }
        buf.keep_communities(self.rules.communities);
        if self.drain == Drain::LastChoice {
            // RFC 8326 §4.1: whatever kinds of communities the peer is sent.
            buf.community_add(&[community::GRACEFUL_SHUTDOWN]);
            if !self.kind.is_external() {
                buf.set_local_pref(Some(0));
            }
        }
        if !self.can_tell(buf.next_hop, family) {
            return Err(WhyNot::NoNextHop);
        }
        if buf.bytes().len() > self.max_message / 2 && !self.fits(buf, family) {
            return Err(WhyNot::TooLong);
        }
        Ok(())
    }

    /// What an external peer sees of the path (RFC 4271 §5.1.2).
    fn leave_as(&self, buf: &mut AttrsBuf) {
        let rules = &self.rules;
        buf.remove_private(rules.remove_private, self.local_asn, self.peer_asn);
        if rules.as_override {
            buf.override_as(self.peer_asn, self.local_asn);
        }
        if self.local_asn != self.own_asn && !rules.replace_as {
            buf.prepend_as(self.own_asn, 1);
        }
        buf.prepend_as(self.local_asn, 1);
        // RFC 9234 §5, egress 1.
        if rules.role.is_some_and(Role::looks_down_or_across)
            && buf.as_ref().only_to_customer().is_none()
        {
            buf.set_only_to_customer(self.local_asn);
        }
    }

    /// The next hop to put in, unless the one that is there stands.
    fn next_hop(
        &self,
        received: NextHop,
        source: &Source,
        family: Family,
    ) -> Option<Result<NextHop, WhyNot>> {
        let own = self.own_next_hop[family.index()];
        let internal_source = matches!(source.from, From::Peer(kind) if !kind.is_external());
        let keep = match self.kind {
            SessionKind::External => source.shares_subnet,
            // RFC 4456 §10: reflecting does not touch it.
            _ => internal_source || (!self.next_hop_self && source.from != From::Ourselves),
        };
        if !keep {
            return Some(own.ok_or(WhyNot::NoNextHop));
        }
        // RFC 2545 §3: the link-local address is for those on the same link.
        match received {
            NextHop::V6WithLinkLocal(global, ..) if global.is_unspecified() => {
                Some(own.ok_or(WhyNot::NoNextHop))
            }
            NextHop::V6(a) if a.is_unicast_link_local() => Some(own.ok_or(WhyNot::NoNextHop)),
            // Who forwards may stand in for a next hop that cannot be told; a
            // reflector may not be on the way.
            _ if !self.can_tell(received, family) && !internal_source => {
                Some(own.ok_or(WhyNot::NoNextHop))
            }
            NextHop::V6WithLinkLocal(global, ..) => Some(Ok(NextHop::V6(global))),
            _ => None,
        }
    }

    /// IPv6 next hops of IPv4 routes are only for those who know them (RFC 8950 §4).
    fn can_tell(&self, next_hop: NextHop, family: Family) -> bool {
        match next_hop {
            NextHop::V4(_) => family == Family::Ipv4Unicast,
            _ => family == Family::Ipv6Unicast || self.extended_next_hop,
        }
    }

    fn fits(&mut self, buf: &AttrsBuf, family: Family) -> bool {
        let mut out = BytesMut::new();
        let attrs = buf.as_ref();
        let encoder = &mut self.encoder;
        match (family, self.add_path[family.index()]) {
            (Family::Ipv4Unicast, None) => encoder.announce_v4(attrs, none::<Ipv4Net>(), &mut out),
            (Family::Ipv4Unicast, Some(_)) => {
                encoder.announce_v4(attrs, none::<(PathId, Ipv4Net)>(), &mut out)
            }
            (Family::Ipv6Unicast, None) => encoder.announce_v6(attrs, none::<Ipv6Net>(), &mut out),
            (Family::Ipv6Unicast, Some(_)) => {
                encoder.announce_v6(attrs, none::<(PathId, Ipv6Net)>(), &mut out)
            }
        }
        .is_ok()
    }
}

/// RFC 4271 §5: what we do not know goes on if it is transitive, marked as
/// Partial, and ends here otherwise.
fn pass_on(buf: &mut AttrsBuf) {
    let unknown = |attr: &RawAttr<'_>| !is_known(attr.code);
    if !buf.as_ref().iter().any(|attr| unknown(&attr)) {
        return;
    }
    buf.retain(|attr| !unknown(attr) || attr.flags & flag::TRANSITIVE != 0);
    let partial: Vec<(u8, u8, Vec<u8>)> = buf
        .as_ref()
        .iter()
        .filter(|attr| unknown(attr) && attr.flags & flag::PARTIAL == 0)
        .map(|attr| (attr.code, attr.flags | flag::PARTIAL, attr.value.to_vec()))
        .collect();
    for (code, flags, value) in partial {
        buf.set(code, flags, &value);
    }
}

fn is_known(attr: u8) -> bool {
    matches!(
        attr,
        code::ORIGIN
            | code::AS_PATH
            | code::MED
            | code::LOCAL_PREF
            | code::ATOMIC_AGGREGATE
            | code::AGGREGATOR
            | code::COMMUNITIES
            | code::ORIGINATOR_ID
            | code::CLUSTER_LIST
            | code::EXT_COMMUNITIES
            | code::IPV6_EXT_COMMUNITIES
            | code::LARGE_COMMUNITIES
            | code::OTC
    )
}
