//! What happens to a route on its way in: sanity checks, then policy. Both
//! depend on the attribute block and the class of peer, so they are worked out
//! once for each pair and remembered; a prefix only picks an outcome.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef};
use godwit_bgp::{Asn, Family, NextHop};
use godwit_policy::import::{Additions, Entrance, Router};
use godwit_policy::route::{
    Direction, Neighbour, PeerContext, PolicyRef, Residual, Route, RuleName, Source, SourceKind,
    Uses,
};
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
    own_next_hop: Option<NextHop>,
    /// Without the peer's AS number: a thousand peers of as many ASes shall not
    /// be a thousand classes.
    entrance: Entrance,
    /// Only where a rule asks for it.
    neighbour: Option<Arc<Neighbour>>,
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
            own_next_hop: spec.own_next_hop[family.index()],
            entrance: spec.entrance(family),
            // The source of what comes in is the peer too.
            neighbour: (policy.0.uses() != Uses::default()).then(|| spec.neighbour()),
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

    /// Addresses that are our own.
    pub fn own(&self) -> &HashSet<IpAddr> {
        &self.own
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
        let router = router(config, &self.own);
        let view = attrs.attrs(attr_in);
        let additions = key.entrance.additions(view, peer, &router);
        let scratch = &mut self.scratch;
        let asked = key.entrance.asks_who().then_some(peer);
        let specialise = |attrs: AttrsRef<'_>| {
            key.policy.0.specialise(&Route {
                peer: context,
                source,
                attrs,
            })
        };
        let entry = class.memo.entry(attr_in, asked, attrs, |weak, asked| {
            let residual = match key.entrance.check(view, peer, &router) {
                Ok(()) => Ok(match additions.is_empty() {
                    true => specialise(view),
                    false => specialise(filled(scratch, view, additions).as_ref()),
                }),
                Err(check) => Err(check.into()),
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

fn router<'a>(config: &RibConfig, own: &'a HashSet<IpAddr>) -> Router<'a> {
    Router {
        asn: config.asn,
        router_id: config.router_id,
        cluster_id: config.cluster_id,
        own,
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
            let entrance = &key.entrance;
            outcome
                .edits
                .apply(key.own_next_hop, entrance.local_asn, buf);
            entrance.finish(&additions, buf);
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
