//! What peers are sent, and would be: compared once for all that are alike.

use std::collections::BTreeMap;

use godwit_bgp::{Family, SendPaths};
use ipnet::IpNet;
use smallvec::SmallVec;

use super::Subject;
use super::paths::{Offer, Others};
use super::standing::Standing;
use crate::api::{DefaultOriginate, PeerId, PeerSpec, RibConfig};
use crate::core::Core;
use crate::export::Export;
use crate::group::{Group, GroupKey};
use crate::import::pick;
use crate::interner::{AttrId, Interner};
use crate::presence::Condition;
use crate::slab::NONE;

/// Where a default route stands that is made up; no path has it.
const DEFAULT_SLOT: u32 = NONE - 1;

/// Peers that are sent the same, and would be.
#[derive(Debug)]
pub struct Cell {
    pub group: u32,
    pub key: GroupKey,
    /// `None`: what the group does now.
    pub export: Option<Box<Export>>,
    pub members: Vec<PeerId>,
    /// Of a member that is not the source.
    common: Tally,
    /// What sources differ from that by.
    apart: BTreeMap<PeerId, Tally>,
}

/// Newly advertised, withdrawn, advertised otherwise.
#[derive(Clone, Copy, Debug, Default)]
struct Tally([i64; 3]);

impl Tally {
    fn add(&mut self, old: Option<AttrId>, new: Option<AttrId>, count: i64) {
        let at = match (old, new) {
            (None, Some(_)) => 0,
            (Some(_), None) => 1,
            (Some(old), Some(new)) if old != new => 2,
            _ => return,
        };
        self.0[at] += count;
    }
}

/// A destination, as it is and as it would be.
#[derive(Debug)]
pub struct Site<'a> {
    pub net: IpNet,
    pub head: u32,
    pub others: &'a Others,
    pub best: [Option<Offer>; 2],
    /// An aggregate is announced in its place.
    pub hidden: [bool; 2],
    /// For groups that are sent the best path, or several, something may be
    /// another.
    pub differs: [bool; 2],
}

/// What decides besides the destination.
#[derive(Debug)]
pub struct World<'a> {
    pub subjects: &'a BTreeMap<PeerId, Subject>,
    pub standing: &'a Standing,
    pub config: &'a RibConfig,
}

/// What goes out of one path: under which slot, with which attributes (and a
/// reference to them), and whose it is.
type Leaving = SmallVec<[(u32, AttrId, PeerId); 4]>;

impl Site<'_> {
    fn family(&self) -> Family {
        Family::of(&self.net.addr())
    }

    /// What may be told of it, in one of both worlds.
    fn offers(
        &self,
        then: bool,
        send: Option<SendPaths>,
        core: &Core,
        config: &RibConfig,
    ) -> SmallVec<[Offer; 4]> {
        if self.hidden[usize::from(then)] {
            return SmallVec::new();
        }
        let Some(send) = send else {
            return self.best[usize::from(then)].into_iter().collect();
        };
        let as_it_is = Others::default();
        let others = if then { self.others } else { &as_it_is };
        let all = others.candidates(self.head, core);
        let chosen = core.view().chosen_of(all, send, config);
        chosen.iter().map(Offer::of).collect()
    }
}

impl Cell {
    pub fn new(group: u32, key: GroupKey, export: Option<Box<Export>>) -> Cell {
        Cell {
            group,
            key,
            export,
            members: Vec::new(),
            common: Tally::default(),
            apart: BTreeMap::new(),
        }
    }

    /// Of a member: newly advertised, withdrawn, advertised otherwise.
    pub fn counts(&self, id: PeerId) -> [u64; 3] {
        let apart = self.apart.get(&id).copied().unwrap_or_default();
        [0, 1, 2].map(|at| u64::try_from(self.common.0[at] + apart.0[at]).unwrap_or(0))
    }

    /// Counts what the members are sent and would be. False: that was seen to be
    /// the same at a glance.
    pub fn compare(
        &mut self,
        site: &Site<'_>,
        world: &World<'_>,
        group: &mut Group,
        core: &mut Core,
    ) -> bool {
        let family = site.family();
        let several = group.export.add_path[family.index()];
        if self.export.is_none() && !site.differs[usize::from(several.is_some())] {
            return false;
        }
        let export = self.export.as_deref();
        let would = export.map_or(several, |export| export.add_path[family.index()]);
        // Paths are told apart where one of both worlds does.
        let single = several.is_none() && would.is_none();
        let config = core.config;
        let offers = site.offers(false, several, core, &config);
        let presence = &core.presence;
        let default = is_default(&group.export, site.net, |c| presence.holds(c));
        let old = leaving(
            &mut group.export,
            site.net,
            &offers,
            default,
            |_| None,
            core,
        );
        let offers = site.offers(true, would, core, world.config);
        let export = self.export.as_deref_mut().unwrap_or(&mut group.export);
        let default = is_default(export, site.net, |c| world.standing.holds(c));
        let other = |id| match world.subjects.get(&id) {
            Some(Subject::Other(other)) => Some(&other.spec),
            _ => None,
        };
        let new = leaving(export, site.net, &offers, default, other, core);
        self.count(&old, &new, single);
        release(old, &mut core.attrs);
        release(new, &mut core.attrs);
        true
    }

    fn count(&mut self, old: &Leaving, new: &Leaving, single: bool) {
        let sorted = |of: &Leaving| {
            let place = |slot: u32| if single { NONE } else { slot };
            let mut sorted = of.clone();
            (sorted.iter_mut()).for_each(|(slot, ..)| *slot = place(*slot));
            sorted.sort_by_key(|(slot, ..)| *slot);
            sorted.dedup_by_key(|(slot, ..)| *slot);
            sorted.into_iter().peekable()
        };
        let (mut old, mut new) = (sorted(old), sorted(new));
        while let Some(slot) = [old.peek(), new.peek()]
            .into_iter()
            .flatten()
            .map(|(slot, ..)| *slot)
            .min()
        {
            let of_slot = |(of, ..): &(u32, AttrId, PeerId)| *of == slot;
            let [old, new] = [&mut old, &mut new].map(|of| {
                let found = of.next_if(of_slot);
                found.map(|(_, attr, source)| (attr, source))
            });
            let attr = |of: Option<(AttrId, PeerId)>| of.map(|(attr, _)| attr);
            self.common.add(attr(old), attr(new), 1);
            let sources = [old, new].map(|of| of.map(|(_, source)| source));
            let second = sources[1].filter(|source| sources[0] != Some(*source));
            for source in [sources[0], second].into_iter().flatten() {
                if self.members.contains(&source) {
                    let for_source = |of: Option<(AttrId, PeerId)>| {
                        of.filter(|(_, peer)| *peer != source).map(|(attr, _)| attr)
                    };
                    let apart = self.apart.entry(source).or_default();
                    apart.add(for_source(old), for_source(new), 1);
                    apart.add(attr(old), attr(new), -1);
                }
            }
        }
    }
}

/// Whether the group is given a default route there, if its policy has it so.
fn is_default(export: &Export, net: IpNet, holds: impl Fn(Option<&Condition>) -> bool) -> bool {
    let default = &export.default_originate[Family::of(&net.addr()).index()];
    let given = |default: &DefaultOriginate| holds(default.when.as_ref());
    net.prefix_len() == 0 && default.as_ref().is_some_and(given)
}

/// What an export makes of these; their sources are looked at as `other` says,
/// where it says something.
fn leaving<'a>(
    export: &mut Export,
    net: IpNet,
    offers: &[Offer],
    default: bool,
    other: impl Fn(PeerId) -> Option<&'a PeerSpec>,
    core: &mut Core,
) -> Leaving {
    let family = Family::of(&net.addr());
    let mut out = Leaving::new();
    if !export.families[family.index()] {
        return out;
    }
    if default && let Some(attr) = export.default_route(family, &mut core.attrs) {
        out.push((DEFAULT_SLOT, attr, PeerId::LOCAL));
        return out;
    }
    for Offer { slot, peer, attr } in offers {
        let source = match other(*peer) {
            Some(spec) => export.source_of(Some(spec), family),
            None => export.source(*peer, family, &core.peers),
        };
        let picked = |residual: &mut _| pick(residual, net);
        if let Ok(attr) = export.output(*attr, &source, family, picked, &mut core.attrs) {
            out.push((*slot, attr, *peer));
        }
    }
    out
}

fn release(leaving: Leaving, attrs: &mut Interner) {
    for (_, attr, _) in leaving {
        attrs.release(attr);
    }
}
