//! What other specs of peers would make of the routes that are there: counted
//! over the table in slices, and nothing of it done.
//!
//! Each destination is judged and decided as it would be, from the paths as they
//! are when the count comes by. Of each update group (as the peers would be
//! grouped) what it is sent of the best path is compared with what it would be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use godwit_bgp::{Asn, Family};
use smallvec::SmallVec;

use crate::api::{DryRunCounts, DryRunResult, PeerId, PeerSpec};
use crate::core::Core;
use crate::decide::{Candidate, Candidates};
use crate::export::Export;
use crate::group::{GroupKey, Groups};
use crate::import::{ClassId, Imports, pick};
use crate::interner::AttrId;
use crate::path::Path;
use crate::rib::Rib;
use crate::ring::Mark;
use crate::slab::NONE;

/// A count under way; see [`Rib::dry_run`].
#[derive(Debug)]
pub struct DryRun {
    /// By peer; those of which the spec would be another.
    subjects: BTreeMap<PeerId, Subject>,
    imports: Imports,
    /// Peers that are sent the same, and would be.
    cells: Vec<Cell>,
    /// Whom the cells were made of: each with the group it was in.
    made_of: Vec<(PeerId, Option<u32>)>,
    counts: BTreeMap<PeerId, (IpAddr, DryRunCounts)>,
    at: Option<Mark>,
    prefixes: u64,
    best_changed: u64,
    /// End of the change ring when the count began.
    began: u64,
    changed_meanwhile: u64,
}

#[derive(Debug)]
enum Subject {
    /// It would go, with its routes.
    Gone,
    Other(Box<Other>),
}

#[derive(Debug)]
struct Other {
    /// As it is now; where it has changed since, the count is off.
    now: PeerSpec,
    spec: PeerSpec,
    /// `None`: its routes would be judged as they are.
    import: Option<[ClassId; Family::COUNT]>,
    /// As the source of routes it would be another.
    other_source: bool,
}

#[derive(Debug)]
struct Cell {
    group: u32,
    key: GroupKey,
    /// `None`: what the group does now.
    export: Option<Box<Export>>,
    members: Vec<PeerId>,
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

/// A best path: whose, and with which attributes.
type Best = Option<(PeerId, AttrId)>;

/// Paths that would be judged otherwise; `None`: not accepted.
type Replaced = SmallVec<[(u32, Option<AttrId>); 4]>;

impl Rib {
    /// Begins to count what would become of the routes if these peers had these
    /// specs (as [`set_spec`](Rib::set_spec) takes them), and others went.
    pub fn dry_run(&self, specs: Vec<(PeerId, PeerSpec)>, gone: &[PeerId]) -> DryRun {
        let mut imports = self.imports.empty();
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
            let judged = other_source || spec.import != now.import;
            let import = judged.then(|| Family::ALL.map(|f| imports.join(&spec, f)));
            let other = Other {
                now: now.clone(),
                spec,
                import,
                other_source,
            };
            subjects.insert(id, Subject::Other(Box::new(other)));
        }
        subjects.extend(gone.iter().map(|id| (*id, Subject::Gone)));
        DryRun {
            subjects,
            imports,
            cells: Vec::new(),
            made_of: Vec::new(),
            counts: BTreeMap::new(),
            at: Some(Mark::FIRST),
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
        while let Some(at) = run.at {
            let looked = left;
            match self.core.tables.next_live(at, &mut left) {
                Ok(mark) => {
                    run.at = Some(mark.successor());
                    let cost = run.look_at(mark, &mut self.core, &mut self.groups);
                    left = left.saturating_sub(cost);
                }
                Err(next) => run.at = next,
            }
            if left == 0 || looked == 0 {
                break;
            }
        }
        run.changed_meanwhile = self.core.ring.end() - run.began;
        run.at.is_some()
    }
}

impl DryRun {
    /// Prefixes looked at so far.
    pub fn prefixes(&self) -> u64 {
        self.prefixes
    }

    /// What came out; of a count that was not finished, so far.
    pub fn result(mut self) -> DryRunResult {
        self.take_tallies();
        DryRunResult {
            peers: self.counts.into_values().collect(),
            prefixes: self.prefixes,
            best_changed: self.best_changed,
            changed_meanwhile: self.changed_meanwhile,
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
            Subject::Other(other) => {
                let peer = core.peers.up(*id);
                peer.is_some_and(|peer| peer.spec == other.now)
            }
        });
        for at in 0..self.made_of.len() {
            let (id, group) = self.made_of[at];
            let (Some(peer), Some(group)) = (core.peers.up(id), group) else {
                continue;
            };
            let spec = match self.subjects.get(&id) {
                Some(Subject::Gone) => continue,
                Some(Subject::Other(other)) => &other.spec,
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
                    let moves = key != GroupKey::of(&peer.spec);
                    self.cells.push(Cell {
                        group,
                        key,
                        export: moves.then(|| Box::new(Export::new(spec, &core.config))),
                        members: vec![id],
                        common: Tally::default(),
                        apart: BTreeMap::new(),
                    });
                }
            }
        }
    }

    /// Adds what the cells counted to their members' figures.
    fn take_tallies(&mut self) {
        for cell in self.cells.drain(..) {
            for id in cell.members {
                let apart = cell.apart.get(&id).copied().unwrap_or_default();
                let Some((_, counts)) = self.counts.get_mut(&id) else {
                    continue;
                };
                let sum = |at: usize| u64::try_from(cell.common.0[at] + apart.0[at]).unwrap_or(0);
                counts.newly_advertised += sum(0);
                counts.withdrawn += sum(1);
                counts.advertised_changed += sum(2);
            }
        }
    }

    /// Counts one destination; what that cost.
    fn look_at(&mut self, mark: Mark, core: &mut Core, groups: &mut Groups) -> usize {
        let state = *core.state(mark);
        if state.paths == NONE {
            return 0;
        }
        self.prefixes += 1;
        let replaced = self.judge(mark, core);
        let mut cost = replaced.len();
        let now = core.view().best(state.paths);
        let now: Best = (now != NONE).then(|| {
            let path = core.paths.at(now);
            (path.peer, path.attr)
        });
        let then = match replaced.is_empty() {
            true => now,
            false => best(state.paths, &replaced, core),
        };
        if now != then {
            self.best_changed += 1;
        }
        let other_source = [now, then].into_iter().flatten().any(|(peer, _)| {
            matches!(self.subjects.get(&peer), Some(Subject::Other(o)) if o.other_source)
        });
        let same = now == then && !other_source;
        for at in 0..self.cells.len() {
            if same && self.cells[at].export.is_none() {
                continue;
            }
            cost += 1;
            self.compare(at, mark, now, then, core, groups);
        }
        for (_, attr) in replaced {
            core.attrs.release(attr.unwrap_or(AttrId::NONE));
        }
        cost
    }

    /// Judges the paths of all subjects anew, and counts what comes of it. The
    /// caller gets references to the attributes.
    fn judge(&mut self, mark: Mark, core: &mut Core) -> Replaced {
        let mut replaced = Replaced::new();
        let mut id = core.state(mark).paths;
        while id != NONE {
            let path = *core.paths.at(id);
            match self.subjects.get(&path.peer) {
                Some(Subject::Gone) => replaced.push((id, None)),
                Some(Subject::Other(other)) => {
                    if let Some(classes) = other.import {
                        let class = (classes[mark.family().index()], other.spec.asn);
                        self.judge_path(mark, id, &path, class, core, &mut replaced);
                    }
                }
                None => {}
            }
            id = path.next;
        }
        replaced
    }

    fn judge_path(
        &mut self,
        mark: Mark,
        id: u32,
        path: &Path,
        (class, asn): (ClassId, Asn),
        core: &mut Core,
        replaced: &mut Replaced,
    ) {
        let net = core.tables.net(mark);
        let mut evaluated =
            (self.imports).evaluate(class, asn, path.attr_in, &core.config, &core.attrs);
        let new = evaluated.accept(net, &mut core.attrs).ok();
        let old = path.accepted().then_some(path.attr);
        let counts = self.counts(path.peer, core);
        match (old, new) {
            (None, Some(_)) => counts.newly_accepted += 1,
            (Some(_), None) => counts.newly_rejected += 1,
            (Some(old), Some(new)) if old != new => counts.accepted_changed += 1,
            _ => {
                core.attrs.release(new.unwrap_or(AttrId::NONE));
                return;
            }
        }
        replaced.push((id, new));
    }

    /// Counts what a cell's members are sent and would be.
    fn compare(
        &mut self,
        at: usize,
        mark: Mark,
        now: Best,
        then: Best,
        core: &mut Core,
        groups: &mut Groups,
    ) {
        let cell = &mut self.cells[at];
        let Some(group) = groups.at_mut(cell.group) else {
            return;
        };
        let subjects = &self.subjects;
        let old = output(&mut group.export, mark, now, core, |_| None);
        let export = cell.export.as_deref_mut().unwrap_or(&mut group.export);
        let new = output(export, mark, then, core, |id| match subjects.get(&id) {
            Some(Subject::Other(other)) => Some(&other.spec),
            _ => None,
        });
        cell.common.add(old, new, 1);
        let sources = [now, then].map(|best| best.map(|(peer, _)| peer));
        let second = sources[1].filter(|peer| sources[0] != Some(*peer));
        for source in [sources[0], second].into_iter().flatten() {
            if cell.members.contains(&source) {
                let for_source = |of: Best, out: Option<AttrId>| {
                    out.filter(|_| of.is_some_and(|(peer, _)| peer != source))
                };
                let apart = cell.apart.entry(source).or_default();
                apart.add(for_source(now, old), for_source(then, new), 1);
                apart.add(old, new, -1);
            }
        }
        for attr in [old, new].into_iter().flatten() {
            core.attrs.release(attr);
        }
    }
}

/// What an export makes of a best path, with a reference to it; the source is
/// looked at as `other` says, where it says something.
fn output<'a>(
    export: &mut Export,
    mark: Mark,
    best: Best,
    core: &mut Core,
    other: impl FnOnce(PeerId) -> Option<&'a PeerSpec>,
) -> Option<AttrId> {
    let (peer, attr) = best?;
    let family = mark.family();
    if !export.families[family.index()] {
        return None;
    }
    let source = match other(peer) {
        Some(spec) => export.source_of(Some(spec), family),
        None => export.source(peer, family, &core.peers),
    };
    let Core { tables, attrs, .. } = core;
    let net = |residual: &mut _| pick(residual, tables.net(mark));
    export.output(attr, &source, family, net, attrs).ok()
}

/// The best path, were these judged so.
fn best(head: u32, replaced: &Replaced, core: &Core) -> Best {
    let view = core.view();
    let mut all = Candidates::new();
    let mut id = head;
    while id != NONE {
        let path = core.paths.at(id);
        match replaced.iter().find(|(other, _)| *other == id) {
            None => all.extend(view.candidate(id)),
            Some((_, None)) => {}
            Some((_, Some(attr))) => all.extend(candidate(id, path, *attr, core)),
        }
        id = path.next;
    }
    view.merit(&mut all, |_, _| ());
    view.break_tie(&mut all, |_, _| ());
    let best = all.first()?;
    let attr = replaced
        .iter()
        .find(|(id, _)| *id == best.path)
        .map_or(core.paths.at(best.path).attr, |(_, attr)| {
            attr.unwrap_or(AttrId::NONE)
        });
    Some((best.peer, attr))
}

/// A next hop that nobody has asked for yet counts like the one before.
fn candidate<'a>(id: u32, path: &Path, attr: AttrId, core: &'a Core) -> Option<Candidate<'a>> {
    let attrs = &core.attrs;
    let cost = |attr| attrs.next_hops.cost(attrs.next_hop_id(attr));
    Some(Candidate {
        path: id,
        peer: path.peer,
        kind: core.peers.briefs.at(path.peer).kind,
        key: attrs.key(attr),
        igp_cost: cost(attr).or_else(|| cost(path.used_attr()))?,
    })
}
