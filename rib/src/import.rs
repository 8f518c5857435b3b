//! What happens to a route on its way in: sanity checks, then policy. Both
//! depend on the attribute block and the class of peer, so they are worked out
//! once for each pair and remembered; a prefix only picks an outcome.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Local};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use godwit_policy::route::{Outcome, PeerContext, PolicyRef, Residual, RuleName};
use ipnet::IpNet;

use crate::api::{PeerSpec, RibConfig};
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
    /// Only where a rule asks for it.
    neighbour: Option<(IpAddr, Asn)>,
}

#[derive(Debug)]
struct Class {
    key: ClassKey,
    context: PeerContext,
    users: u32,
    memo: Memo<(), Verdict>,
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
    entry: &'a mut Entry<(), Verdict>,
    scratch: &'a mut Option<AttrsBuf>,
    key: &'a ClassKey,
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
            neighbour: policy
                .0
                .uses_neighbour()
                .then_some((spec.address, spec.asn)),
            policy,
        };
        let known = self
            .classes
            .iter()
            .position(|class| class.as_ref().is_some_and(|class| class.key == key));
        let at = known.unwrap_or_else(|| {
            let class = Some(Class {
                key,
                context: PeerContext {
                    address: spec.address,
                    asn: spec.asn,
                    local_asn: spec.local_asn,
                    kind: spec.kind,
                    family,
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

    /// Evaluates a block as received from a peer of this class.
    pub fn evaluate(
        &mut self,
        id: ClassId,
        attr_in: AttrId,
        config: &RibConfig,
        attrs: &Interner,
    ) -> Evaluated<'_> {
        let Some(class) = &mut self.classes[id.0 as usize] else {
            unreachable!("a class lives as long as a peer uses it")
        };
        let (key, context, own) = (&class.key, &class.context, &self.own);
        let entry = class.memo.entry(attr_in, (), attrs, |weak, ()| {
            let view = attrs.attrs(attr_in);
            let residual = match sanity(view, key, own, config) {
                Verdict::Accepted => Ok(key.policy.0.specialise(context, view)),
                verdict => Err(verdict),
            };
            Entry::new(weak, (), residual)
        });
        Evaluated {
            entry,
            scratch: &mut self.scratch,
            key,
            attr_in,
        }
    }
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
        let (key, attr_in) = (self.key, self.attr_in);
        let scratch = &mut *self.scratch;
        self.entry.outcome(index, attrs, |outcome, attrs| {
            accept(outcome, key, attr_in, scratch, attrs)
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

fn accept(
    outcome: &Outcome,
    key: &ClassKey,
    attr_in: AttrId,
    scratch: &mut Option<AttrsBuf>,
    attrs: &mut Interner,
) -> Result<AttrId, Verdict> {
    if !outcome.accept {
        return Err(Verdict::Policy);
    }
    if outcome.edits.is_empty() && key.weight == 0 {
        attrs.retain(attr_in);
        return Ok(attr_in);
    }
    let view = attrs.attrs(attr_in);
    let buf = scratch.get_or_insert_with(|| AttrsBuf::from_ref(view));
    buf.assign(view);
    if key.weight != 0 {
        buf.set_local(Local {
            weight: key.weight,
            ..Local::default()
        });
    }
    outcome.edits.apply(key.own_next_hop, key.local_asn, buf);
    Ok(attrs.intern(buf.as_ref()))
}

fn sanity(
    attrs: AttrsRef<'_>,
    key: &ClassKey,
    own: &HashSet<IpAddr>,
    config: &RibConfig,
) -> Verdict {
    let path = attrs.as_path();
    if path.contains(key.local_asn) || path.contains(config.asn) {
        return Verdict::AsLoop;
    }
    if !key.kind.is_external() {
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
    if own.contains(&attrs.next_hop.address()) {
        return Verdict::OwnNextHop;
    }
    Verdict::Accepted
}

/// Whether a host could have this address (RFC 4271 §6.3).
fn usable(next_hop: NextHop) -> bool {
    match next_hop {
        NextHop::V4(a) => {
            !(a.octets()[0] == 0
                || a.is_loopback()
                || a.is_multicast()
                || a >= Ipv4Addr::new(240, 0, 0, 0))
        }
        NextHop::V6(a) => !(a.is_unspecified() || a.is_loopback() || a.is_multicast()),
        NextHop::V6WithLinkLocal(a, link_local) => {
            !(a.is_loopback() || a.is_multicast()) && link_local.is_unicast_link_local()
        }
    }
}
