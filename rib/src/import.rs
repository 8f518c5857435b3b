//! What happens to a route on its way in: sanity checks, then policy. Both
//! depend on the attribute block and the class of peer, so they are worked out
//! once for each pair and remembered; a prefix only picks an outcome.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Local, community};
use godwit_bgp::{Asn, Family, NextHop, Role, SessionKind};
use godwit_policy::route::{
    Direction, Neighbour, PeerContext, PolicyRef, Residual, Route, RuleName, Source, SourceKind,
    Uses,
};
use ipnet::IpNet;

use crate::api::{ImportRules, PeerSpec, RibConfig};
use crate::interner::{AttrId, Interner};
use crate::memo::{Entry, Memo};
use crate::path::Verdict;

/// Names a class of peers that import alike, for one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassId(u32);

/// What of a peer decides what import does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ClassKey {
    family: Family,
    policy: PolicyRef,
    kind: SessionKind,
    local_asn: Asn,
    own_next_hop: Option<NextHop>,
    weight: u32,
    /// Where its routes may have link-local next hops.
    own_link_local: Option<Ipv6Addr>,
    /// Only where a rule asks for it.
    neighbour: Option<Arc<Neighbour>>,
    rules: ImportRules,
}

impl ClassKey {
    /// Whether the peer's AS number decides, besides the block. It is not part of
    /// the class: a thousand peers of as many ASes shall not be a thousand.
    fn asks_who(&self) -> bool {
        self.kind.is_external() && (self.rules.enforce_first_as || self.rules.role.is_some())
    }

    /// What goes before policy sees the route.
    fn additions(&self, attrs: AttrsRef<'_>, peer: Asn, config: &RibConfig) -> Additions {
        let external = self.kind.is_external();
        let own_number = external && self.local_asn != config.asn && !self.rules.no_prepend;
        // RFC 9234 §5, ingress 3.
        let mark = external
            && self.rules.role.is_some_and(Role::looks_up_or_across)
            && attrs.only_to_customer().is_none();
        Additions {
            weight: self.weight,
            blackhole: self.rules.blackhole_community && attrs.has_community(community::BLACKHOLE),
            last_choice: self.rules.graceful_shutdown
                && attrs.has_community(community::GRACEFUL_SHUTDOWN),
            local_as: own_number.then_some(self.local_asn),
            only_to_customer: mark.then_some(peer),
        }
    }
}

/// What a route is given on its way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Additions {
    weight: u32,
    blackhole: bool,
    last_choice: bool,
    /// Before its path: the number that the neighbour knows us by (`local-as`).
    local_as: Option<Asn>,
    only_to_customer: Option<Asn>,
}

impl Additions {
    fn is_empty(&self) -> bool {
        *self == Additions::default()
    }

    fn apply(&self, buf: &mut AttrsBuf) {
        buf.set_local(Local {
            weight: self.weight,
            blackhole: self.blackhole,
            ..Local::default()
        });
        if self.blackhole {
            keep_within(buf);
        }
        if let Some(asn) = self.local_as {
            buf.prepend_as(asn, 1);
        }
        if let Some(asn) = self.only_to_customer {
            buf.set_only_to_customer(asn);
        }
    }
}

#[derive(Debug)]
struct Class {
    key: ClassKey,
    context: PeerContext,
    source: Source,
    users: u32,
    /// With the peer's AS number, where that decides.
    memo: Memo<Option<Asn>, Verdict>,
}

/// All classes, and the addresses that are our own.
#[derive(Debug, Default)]
pub struct Imports {
    classes: Vec<Option<Class>>,
    own: HashSet<IpAddr>,
    scratch: Option<AttrsBuf>,
}

/// The evaluation of one block for one class; prefixes ask it for their
/// outcome.
#[derive(Debug)]
pub struct Evaluated<'a> {
    entry: &'a mut Entry<Option<Asn>, Verdict>,
    scratch: &'a mut Option<AttrsBuf>,
    key: &'a ClassKey,
    additions: Additions,
    attr_in: AttrId,
}

impl Imports {
    /// The class of this peer, which it uses from now on.
    pub fn join(&mut self, spec: &PeerSpec, family: Family) -> ClassId {
        let policy = spec.import[family.index()].clone();
        let key = ClassKey {
            family,
            kind: spec.kind,
            local_asn: spec.local_asn,
            own_next_hop: spec.own_next_hop[family.index()],
            weight: spec.weight,
            own_link_local: spec
                .local_link_local
                .filter(|_| family == Family::Ipv6Unicast || spec.extended_next_hop),
            // The source of what comes in is the peer too.
            neighbour: (policy.0.uses() != Uses::default()).then(|| spec.neighbour()),
            policy,
            rules: spec.import_rules,
        };
        let known = self
            .classes
            .iter()
            .position(|class| class.as_ref().is_some_and(|class| class.key == key));
        let at = known.unwrap_or_else(|| {
            let class = Some(Class {
                key,
                context: PeerContext {
                    direction: Direction::Import,
                    neighbour: spec.neighbour(),
                    kind: spec.kind,
                    local_asn: spec.local_asn,
                    own_next_hop: spec.own_next_hop[family.index()],
                    family,
                },
                source: Source {
                    kind: SourceKind::Peer(spec.kind),
                    neighbour: Some(spec.neighbour()),
                },
                users: 0,
                memo: Memo::default(),
            });
            match self.classes.iter().position(Option::is_none) {
                Some(at) => {
                    self.classes[at] = class;
                    at
                }
                None => {
                    self.classes.push(class);
                    self.classes.len() - 1
                }
            }
        });
        if let Some(class) = &mut self.classes[at] {
            class.users += 1;
        }
        ClassId(at as u32)
    }

    pub fn leave(&mut self, id: ClassId) {
        let slot = &mut self.classes[id.0 as usize];
        if let Some(class) = slot {
            class.users -= 1;
            if class.users == 0 {
                *slot = None;
            }
        }
    }

    /// The same router, and no classes yet.
    pub fn empty(&self) -> Imports {
        Imports {
            own: self.own.clone(),
            ..Imports::default()
        }
    }

    /// Our own addresses are now these; which of them are new or gone.
    pub fn set_own(&mut self, own: HashSet<IpAddr>) -> HashSet<IpAddr> {
        let changed: HashSet<IpAddr> = own.symmetric_difference(&self.own).copied().collect();
        if !changed.is_empty() {
            self.own = own;
            self.forget();
        }
        changed
    }

    /// What was worked out no longer holds.
    pub fn forget(&mut self) {
        for class in self.classes.iter_mut().flatten() {
            class.memo.clear();
        }
    }

    /// Evaluates a block as received from a peer of this class, whose AS is
    /// `peer`.
    pub fn evaluate(
        &mut self,
        id: ClassId,
        peer: Asn,
        attr_in: AttrId,
        config: &RibConfig,
        attrs: &Interner,
    ) -> Evaluated<'_> {
        let Some(class) = &mut self.classes[id.0 as usize] else {
            unreachable!("a class lives as long as a peer uses it")
        };
        let (key, context, source) = (&class.key, &class.context, &class.source);
        let own = &self.own;
        let view = attrs.attrs(attr_in);
        let additions = key.additions(view, peer, config);
        let scratch = &mut self.scratch;
        let asked = key.asks_who().then_some(peer);
        let specialise = |attrs: AttrsRef<'_>| {
            key.policy.0.specialise(&Route {
                peer: context,
                source,
                attrs,
            })
        };
        let entry = class.memo.entry(attr_in, asked, attrs, |weak, asked| {
            let residual = match sanity(view, key, peer, own, config) {
                Verdict::Accepted => Ok(match additions.is_empty() {
                    true => specialise(view),
                    false => specialise(filled(scratch, view, additions).as_ref()),
                }),
                verdict => Err(verdict),
            };
            Entry::new(weak, asked, residual)
        });
        Evaluated {
            entry,
            scratch,
            key,
            additions,
            attr_in,
        }
    }
}

/// The block with its additions, in the memory of `scratch`.
fn filled<'a>(
    scratch: &'a mut Option<AttrsBuf>,
    view: AttrsRef<'_>,
    additions: Additions,
) -> &'a mut AttrsBuf {
    let buf = scratch.get_or_insert_with(|| AttrsBuf::from_ref(view));
    buf.assign(view);
    additions.apply(buf);
    buf
}

impl Evaluated<'_> {
    /// The attributes that this prefix is accepted with, and a reference to
    /// them.
    #[inline]
    pub fn accept(
        &mut self,
        net: impl Into<IpNet>,
        attrs: &mut Interner,
    ) -> Result<AttrId, Verdict> {
        let index = match &mut self.entry.residual {
            Err(verdict) => return Err(*verdict),
            Ok(residual) => pick(residual, net.into()),
        };
        let (key, additions, attr_in) = (self.key, self.additions, self.attr_in);
        let scratch = &mut *self.scratch;
        self.entry.outcome(index, attrs, |outcome, attrs| {
            if !outcome.is_accepted() {
                return Err(Verdict::Policy);
            }
            if outcome.edits.is_empty() && additions.is_empty() {
                attrs.retain(attr_in);
                return Ok(attr_in);
            }
            let buf = filled(scratch, attrs.attrs(attr_in), additions);
            outcome.edits.apply(key.own_next_hop, key.local_asn, buf);
            // Last, so that no rule makes it a good one again.
            let told = || buf.as_ref().has_community(community::GRACEFUL_SHUTDOWN);
            if additions.last_choice || (key.rules.graceful_shutdown && told()) {
                buf.set_local_pref(Some(0));
            }
            Ok(attrs.intern(buf.as_ref()))
        })
    }

    /// Whether all prefixes have the same outcome.
    pub fn is_constant(&self) -> bool {
        match &self.entry.residual {
            Ok(residual) => residual.is_constant(),
            Err(_) => true,
        }
    }

    /// The rule that decides for this prefix.
    pub fn rule(&mut self, net: IpNet) -> Option<RuleName> {
        let residual = self.entry.residual.as_mut().ok()?;
        let index = pick(residual, net);
        let outcome = residual.outcomes().get(usize::from(index))?;
        Some(outcome.rule.clone())
    }
}

#[inline]
pub fn pick(residual: &mut Residual, net: IpNet) -> u16 {
    if residual.is_constant() {
        return 0;
    }
    match net {
        IpNet::V4(net) => residual.pick_v4(net),
        IpNet::V6(net) => residual.pick_v6(net),
    }
}

/// RFC 7999 §3.2: a blackhole is not to spread beyond the AS.
fn keep_within(buf: &mut AttrsBuf) {
    let stays = |c| matches!(c, community::NO_EXPORT | community::NO_ADVERTISE);
    if !buf.as_ref().communities().any(stays) {
        buf.community_add(&[community::NO_EXPORT]);
    }
}

fn sanity(
    attrs: AttrsRef<'_>,
    key: &ClassKey,
    peer: Asn,
    own: &HashSet<IpAddr>,
    config: &RibConfig,
) -> Verdict {
    let (path, rules) = (attrs.as_path(), &key.rules);
    if path.numbers() > usize::from(rules.max_as_path) {
        return Verdict::PathTooLong;
    }
    if !rules.accept_as_set && path.has_set() {
        return Verdict::AsSet;
    }
    let loops = |asn| path.count(asn) > usize::from(rules.allow_as_in);
    if loops(key.local_asn) || loops(config.asn) {
        return Verdict::AsLoop;
    }
    if key.kind.is_external() {
        if rules.enforce_first_as && path.first_as() != Some(peer) {
            return Verdict::FirstAs;
        }
        if leaks(attrs, rules.role, peer) {
            return Verdict::RouteLeak;
        }
    } else {
        if attrs.originator_id() == Some(config.router_id) {
            return Verdict::OriginatorLoop;
        }
        if attrs.cluster_list().any(|id| id == config.cluster_id) {
            return Verdict::ClusterLoop;
        }
    }
    if !usable(attrs.next_hop) {
        return Verdict::InvalidNextHop;
    }
    let link_local = attrs.next_hop.link_local();
    if own.contains(&attrs.next_hop.address())
        || (link_local.is_some() && link_local == key.own_link_local)
    {
        return Verdict::OwnNextHop;
    }
    Verdict::Accepted
}

/// RFC 9234 §5, ingress 1 and 2.
fn leaks(attrs: AttrsRef<'_>, role: Option<Role>, peer: Asn) -> bool {
    let Some(marked) = attrs.only_to_customer() else {
        return false;
    };
    match role {
        Some(Role::Provider | Role::RouteServer) => true,
        Some(Role::Peer) => marked != peer,
        Some(Role::Customer | Role::RouteServerClient) | None => false,
    }
}

/// Whether a host could have this address (RFC 4271 §6.3), and, if it is a
/// link-local one alone, whether we know on which link.
fn usable(next_hop: NextHop) -> bool {
    match next_hop {
        NextHop::V4(a) => {
            !(a.octets()[0] == 0
                || a.is_loopback()
                || a.is_multicast()
                || a >= Ipv4Addr::new(240, 0, 0, 0))
        }
        NextHop::V6(a) => !(a.is_unspecified() || a.is_loopback() || a.is_multicast()),
        NextHop::V6WithLinkLocal(a, link_local, interface) => {
            !(a.is_loopback() || a.is_multicast())
                && link_local.is_unicast_link_local()
                && (interface != 0 || !a.is_unspecified())
        }
    }
}
