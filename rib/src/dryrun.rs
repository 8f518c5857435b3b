//! What another configuration would make of the routes that are there: counted
//! over the table in slices, and nothing of it done.
//!
//! Each destination is judged and decided as it would be, from the paths as they
//! are when the count comes by. Of each update group (as the peers would be
//! grouped) what it is sent is compared with what it would be. Where aggregates
//! or conditions ask what there is, a pass before that counts it.

mod cells;
mod paths;
mod standing;

use std::collections::BTreeMap;
use std::net::IpAddr;

use foldhash::quality::RandomState;
use godwit_bgp::{Asn, Family, PathId};
use hashbrown::{HashMap, HashSet};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::aggregate;
use crate::api::{
    DefaultOriginate, DryRunCounts, DryRunResult, LocalRoute, PeerId, PeerSpec, Proposal, RibConfig,
};
use crate::core::Core;
use crate::export::Export;
use crate::group::{GroupKey, Groups};
use crate::import::{ClassId, Imports};
use crate::interner::AttrId;
use crate::local::{AGGREGATED, ORIGINATED};
use crate::path::{Path, Verdict};
use crate::presence::{PRESENT, WITH_PATH};
use crate::rib::Rib;
use crate::ring::Mark;
use crate::slab::NONE;
use cells::{Cell, Site, World};
use paths::{NEW, Offer, Other, Others};
use standing::Standing;

type Set<T> = HashSet<T, RandomState>;

/// A count under way; see [`Rib::dry_run`].
#[derive(Debug)]
pub struct DryRun {
    /// By peer; those of which the spec would be another.
    subjects: BTreeMap<PeerId, Subject>,
    imports: Imports,
    config: RibConfig,
    originated: HashMap<IpNet, LocalRoute, RandomState>,
    withdrawn: Set<IpNet>,
    standing: Standing,
    /// Prefixes to be looked at whether the table has them or not.
    asked: Vec<IpNet>,
    /// Of those, what this pass has not come by.
    pending: Set<IpNet>,
    /// Peers that are sent the same, and would be.
    cells: Vec<Cell>,
    /// Whom the cells were made of: each with the group it was in.
    made_of: Vec<(PeerId, Option<u32>)>,
    counts: BTreeMap<PeerId, (IpAddr, DryRunCounts)>,
    pass: Pass,
    at: Option<Mark>,
    looked_at: u64,
    prefixes: u64,
    best_changed: u64,
    /// End of the change ring when the count began.
    began: u64,
    changed_meanwhile: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Counts what aggregates and conditions ask about.
    Standing,
    Routes,
    Done,
}

#[derive(Debug)]
enum Subject {
    /// It would go, with its routes.
    Gone,
    Other(Box<Changed>),
}

#[derive(Debug)]
struct Changed {
    /// As it is now; where it has changed since, the count is off.
    now: PeerSpec,
    spec: PeerSpec,
    /// `None`: its routes would be judged as they are.
    import: Option<[ClassId; Family::COUNT]>,
    /// As the source of routes it would be another.
    other_source: bool,
}

/// What of the configuration an export looks at.
fn seen_by_export(config: &RibConfig) -> impl PartialEq + use<> {
    let RibConfig {
        asn,
        router_id,
        cluster_id,
        drain,
        ..
    } = *config;
    (asn, router_id, cluster_id, drain)
}

/// What of it decides which paths are used at once.
fn multipath(config: &RibConfig) -> impl PartialEq + use<> {
    let RibConfig {
        max_paths_external,
        max_paths_internal,
        multipath_relax,
        ..
    } = *config;
    (max_paths_external, max_paths_internal, multipath_relax)
}

impl Rib {
    /// Begins to count what would become of the routes if this were so.
    pub fn dry_run(&self, proposal: Proposal) -> DryRun {
        let Proposal {
            specs,
            gone,
            originated,
            withdrawn,
            aggregates,
            config,
        } = proposal;
        let mut imports = self.imports.empty();
        let mut specs: BTreeMap<PeerId, PeerSpec> = specs.into_iter().collect();
        let up = || self.core.peers.iter().filter(|(_, peer)| peer.up);
        let judge_all = seen_by_export(&config) != seen_by_export(&self.core.config);
        if judge_all {
            for (id, peer) in up() {
                specs.entry(id).or_insert_with(|| peer.spec.clone());
            }
        }
        let mut subjects = BTreeMap::new();
        for (id, spec) in specs {
            let Some(peer) = self.core.peers.up(id) else {
                continue;
            };
            let now = &peer.spec;
            let but_policies = PeerSpec {
                import: now.import.clone(),
                export: now.export.clone(),
                ..spec.clone()
            };
            let other_source = but_policies != *now;
            let judged = judge_all || other_source || spec.import != now.import;
            let import = judged.then(|| Family::ALL.map(|f| imports.join(&spec, f)));
            let changed = Changed {
                now: now.clone(),
                spec,
                import,
                other_source,
            };
            subjects.insert(id, Subject::Other(Box::new(changed)));
        }
        subjects.extend(gone.iter().map(|id| (*id, Subject::Gone)));
        let now: Vec<&DefaultOriginate> = up()
            .flat_map(|(_, peer)| peer.spec.default_originate.iter().flatten())
            .collect();
        let then = subjects.values().filter_map(|subject| match subject {
            Subject::Gone => None,
            Subject::Other(changed) => Some(&changed.spec),
        });
        let then: Vec<&DefaultOriginate> = then
            .flat_map(|spec| spec.default_originate.iter().flatten())
            .collect();
        let any_default = !now.is_empty() || !then.is_empty();
        let conditions = now.into_iter().chain(then).flat_map(|d| &d.when);
        let standing = Standing::new(&aggregates, conditions);
        let defaults = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        let asked = originated.iter().map(|route| route.prefix.trunc());
        let asked = asked.chain(aggregates.iter().map(|aggregate| aggregate.prefix));
        let asked: Vec<IpNet> = asked
            .chain(defaults.into_iter().filter(|_| any_default))
            .collect();
        let by_prefix = |route: LocalRoute| (route.prefix.trunc(), route);
        DryRun {
            subjects,
            imports,
            config,
            originated: originated.into_iter().map(by_prefix).collect(),
            withdrawn: withdrawn.into_iter().map(|net| net.trunc()).collect(),
            pass: match standing.is_idle() {
                true => Pass::Routes,
                false => Pass::Standing,
            },
            standing,
            pending: asked.iter().copied().collect(),
            asked,
            cells: Vec::new(),
            made_of: Vec::new(),
            counts: BTreeMap::new(),
            at: Some(Mark::FIRST),
            looked_at: 0,
            prefixes: 0,
            best_changed: 0,
            began: self.core.ring.end(),
            changed_meanwhile: 0,
        }
    }

    /// Goes on with a count by about so many units: a destination looked at, or
    /// a path judged. True: there is more.
    pub fn count(&mut self, run: &mut DryRun, units: usize) -> bool {
        run.settle_cells(&self.core);
        let mut left = units;
        while run.pass != Pass::Done {
            let looked = left;
            match run.at {
                Some(at) => match self.core.tables.next_live(at, &mut left) {
                    Ok(mark) => {
                        run.at = Some(mark.successor());
                        run.looked_at += 1;
                        let net = self.core.tables.net(mark);
                        let head = self.core.state(mark).paths;
                        let asked = !run.pending.is_empty() && run.pending.remove(&net);
                        if asked || head != NONE {
                            let cost = run.look_at(net, head, &mut self.core, &mut self.groups);
                            left = left.saturating_sub(cost);
                        }
                    }
                    Err(next) => run.at = next,
                },
                None => {
                    run.finish_pass(&mut self.core, &mut self.groups);
                    left = left.saturating_sub(run.asked.len().max(1));
                }
            }
            if left == 0 || looked == 0 {
                break;
            }
        }
        run.changed_meanwhile = self.core.ring.end() - run.began;
        run.pass != Pass::Done
    }
}

impl DryRun {
    /// Prefixes looked at so far, each as often as there are
    /// [passes](Self::passes).
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// How often each prefix is looked at.
    pub fn passes(&self) -> u64 {
        if self.standing.is_idle() { 1 } else { 2 }
    }

    /// What came out; of a count that was not finished, so far.
    pub fn result(mut self) -> DryRunResult {
        self.take_tallies();
        DryRunResult {
            peers: (self.counts.into_iter())
                .map(|(id, (address, counts))| (id, address, counts))
                .collect(),
            prefixes: self.prefixes,
            best_changed: self.best_changed,
            changed_meanwhile: self.changed_meanwhile,
        }
    }

    /// Looks at what the table does not have, and goes on to the next pass.
    fn finish_pass(&mut self, core: &mut Core, groups: &mut Groups) {
        for net in std::mem::take(&mut self.pending) {
            self.look_at(net, NONE, core, groups);
        }
        match self.pass {
            Pass::Standing => {
                self.standing.settle();
                self.pass = Pass::Routes;
                self.at = Some(Mark::FIRST);
                self.pending = self.asked.iter().copied().collect();
            }
            Pass::Routes | Pass::Done => self.pass = Pass::Done,
        }
    }

    fn counts(&mut self, id: PeerId, core: &Core) -> &mut DryRunCounts {
        let address = core.peers.at(id).map(|peer| peer.spec.address);
        let unknown = IpAddr::from([0; 4]);
        let entry = self.counts.entry(id);
        &mut entry
            .or_insert_with(|| (address.unwrap_or(unknown), DryRunCounts::default()))
            .1
    }

    /// Makes the cells anew where peers came, went or moved since.
    fn settle_cells(&mut self, core: &Core) {
        let now = || {
            let up = core.peers.iter().filter(|(_, peer)| peer.up);
            up.map(|(id, peer)| (id, peer.member.group))
        };
        if now().eq(self.made_of.iter().copied()) {
            return;
        }
        self.take_tallies();
        self.made_of = now().collect();
        self.subjects.retain(|id, subject| match subject {
            Subject::Gone => core.peers.up(*id).is_some(),
            Subject::Other(changed) => {
                let peer = core.peers.up(*id);
                peer.is_some_and(|peer| peer.spec == changed.now)
            }
        });
        let all_move = seen_by_export(&self.config) != seen_by_export(&core.config);
        for at in 0..self.made_of.len() {
            let (id, group) = self.made_of[at];
            let (Some(peer), Some(group)) = (core.peers.up(id), group) else {
                continue;
            };
            let spec = match self.subjects.get(&id) {
                Some(Subject::Gone) => continue,
                Some(Subject::Other(changed)) => &changed.spec,
                None => &peer.spec,
            };
            let key = GroupKey::of(spec);
            self.counts
                .entry(id)
                .or_insert_with(|| (peer.spec.address, DryRunCounts::default()));
            let known = (self.cells.iter_mut()).find(|c| c.group == group && c.key == key);
            match known {
                Some(cell) => cell.members.push(id),
                None => {
                    let moves = all_move || key != GroupKey::of(&peer.spec);
                    let export = moves.then(|| Box::new(Export::new(spec, &self.config)));
                    let mut cell = Cell::new(group, key, export);
                    cell.members.push(id);
                    self.cells.push(cell);
                }
            }
        }
    }

    /// Adds what the cells counted to their members' figures.
    fn take_tallies(&mut self) {
        for cell in self.cells.drain(..) {
            for id in &cell.members {
                if let Some((_, counts)) = self.counts.get_mut(id) {
                    let [advertised, withdrawn, changed] = cell.counts(*id);
                    counts.newly_advertised += advertised;
                    counts.withdrawn += withdrawn;
                    counts.advertised_changed += changed;
                }
            }
        }
    }

    /// Counts one destination; what that cost.
    fn look_at(&mut self, net: IpNet, head: u32, core: &mut Core, groups: &mut Groups) -> usize {
        let others = self.judge(net, head, core);
        let then = others.best(head, core);
        if self.pass == Pass::Standing {
            let presence = then.map_or(0, |best| match core.attrs.key(best.attr).path_len {
                0 => PRESENT,
                _ => PRESENT | WITH_PATH,
            });
            self.standing.count(net, presence);
            let cost = others.len();
            others.release(&mut core.attrs);
            return cost;
        }
        let now = match others.is_empty() {
            true => then,
            false => Others::default().best(head, core),
        };
        self.prefixes += u64::from(head != NONE || then.is_some());
        let what = |best: Option<Offer>| best.map(|best| (best.peer, best.attr));
        let moved = what(now) != what(then);
        self.best_changed += u64::from(moved);
        let mut cost = others.len();
        let hidden = [core.presence.hides(net).is_some(), self.standing.hides(net)];
        let differs = match hidden[0] != hidden[1] || net.prefix_len() == 0 {
            true => [true; 2],
            false => self.differs(head, [now, then], &others, core),
        };
        let site = Site {
            net,
            head,
            others: &others,
            best: [now, then],
            hidden,
            differs,
        };
        let world = World {
            subjects: &self.subjects,
            standing: &self.standing,
            config: &self.config,
        };
        for cell in &mut self.cells {
            if let Some(group) = groups.at_mut(cell.group) {
                cost += usize::from(cell.compare(&site, &world, group, core));
            }
        }
        others.release(&mut core.attrs);
        cost
    }

    /// Whether what groups are sent of the destination may be another, though
    /// they stay as they are: those that are sent the best path, or several.
    fn differs(
        &self,
        head: u32,
        best: [Option<Offer>; 2],
        others: &Others,
        core: &Core,
    ) -> [bool; 2] {
        let other_source = |peer: PeerId| matches!(self.subjects.get(&peer), Some(Subject::Other(c)) if c.other_source);
        let [now, then] = best.map(|best| best.map(|best| (best.peer, best.attr)));
        let moved = now != then;
        let of_best = best.into_iter().flatten().any(|b| other_source(b.peer));
        let of_any = || {
            let mut id = head;
            std::iter::from_fn(|| {
                (id != NONE).then(|| {
                    let path = core.paths.at(id);
                    id = path.next;
                    path.peer
                })
            })
            .any(other_source)
        };
        let more_at_once = multipath(&self.config) != multipath(&core.config);
        let several =
            moved || !others.is_empty() || more_at_once || (!self.subjects.is_empty() && of_any());
        [moved || of_best, several]
    }

    /// Judges the paths of all subjects anew, and our own; the pass over the
    /// routes counts what comes of it.
    fn judge(&mut self, net: IpNet, head: u32, core: &mut Core) -> Others {
        let mut others = Others::default();
        let mut ours = [None; 2];
        let mut id = head;
        while id != NONE {
            let path = *core.paths.at(id);
            if path.peer == PeerId::LOCAL {
                ours[path.rx_path_id.0 as usize] = Some((id, path.attr));
            }
            match self.subjects.get(&path.peer) {
                Some(Subject::Gone) => others.extend([Other {
                    slot: id,
                    peer: path.peer,
                    rx_path_id: path.rx_path_id,
                    attr: None,
                    like: path.used_attr(),
                }]),
                Some(Subject::Other(changed)) => {
                    let full = path.verdict() == Verdict::OverLimit
                        && changed.spec.limit_in == changed.now.limit_in;
                    if let Some(classes) = changed.import.filter(|_| !full) {
                        let class = (classes[Family::of(&net.addr()).index()], changed.spec.asn);
                        others.extend(self.judge_path(net, id, &path, class, core));
                    }
                }
                None => {}
            }
            id = path.next;
        }
        let [route, aggregate] = ours;
        let then = self.route(net, route.map(|(_, attr)| attr), core);
        others.extend(own(ORIGINATED, route, then, core));
        let then = self.aggregate(net, core);
        others.extend(own(AGGREGATED, aggregate, then, core));
        others
    }

    fn judge_path(
        &mut self,
        net: IpNet,
        slot: u32,
        path: &Path,
        (class, asn): (ClassId, Asn),
        core: &mut Core,
    ) -> Option<Other> {
        let mut evaluated =
            (self.imports).evaluate(class, asn, path.attr_in, &self.config, &core.attrs);
        let new = evaluated.accept(net, &mut core.attrs).ok();
        let old = path.accepted().then_some(path.attr);
        let counting = self.pass == Pass::Routes;
        let counts = self.counts(path.peer, core);
        let count = match (old, new) {
            (None, Some(_)) => &mut counts.newly_accepted,
            (Some(_), None) => &mut counts.newly_rejected,
            (Some(old), Some(new)) if old != new => &mut counts.accepted_changed,
            _ => {
                core.attrs.release(new.unwrap_or(AttrId::NONE));
                return None;
            }
        };
        *count += u64::from(counting);
        Some(Other {
            slot,
            peer: path.peer,
            rx_path_id: path.rx_path_id,
            attr: new,
            like: path.used_attr(),
        })
    }

    /// The route of our own that there would be, with a reference.
    fn route(&self, net: IpNet, now: Option<AttrId>, core: &mut Core) -> AttrId {
        match self.originated.get(&net) {
            Some(route) => core.attrs.intern(route.attrs.as_ref()),
            None => {
                let stays = now.filter(|_| !self.withdrawn.contains(&net));
                let stays = stays.unwrap_or(AttrId::NONE);
                core.attrs.retain(stays);
                stays
            }
        }
    }

    /// The aggregate that there would be, with a reference.
    fn aggregate(&self, net: IpNet, core: &mut Core) -> AttrId {
        let Some(atomic) = self.standing.aggregate(net) else {
            return AttrId::NONE;
        };
        let attrs = aggregate::attrs(&self.config, net, atomic);
        core.attrs.intern(attrs.as_ref())
    }
}

/// A path of our own, if it would be another than it is. Takes over the
/// reference.
fn own(
    rx_path_id: PathId,
    now: Option<(u32, AttrId)>,
    then: AttrId,
    core: &mut Core,
) -> Option<Other> {
    let new = NEW[rx_path_id.0 as usize];
    let (slot, attr) = now.unwrap_or((new, AttrId::NONE));
    if then == attr {
        core.attrs.release(then);
        return None;
    }
    Some(Other {
        slot,
        peer: PeerId::LOCAL,
        rx_path_id,
        attr: Some(then).filter(|attr| attr.is_some()),
        like: attr,
    })
}
