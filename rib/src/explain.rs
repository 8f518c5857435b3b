//! The story of one prefix: every path, where it fell out, and who gets the
//! best one.

use ::core::time::Duration;
use std::collections::BTreeMap;

use godwit_bgp::Family;
use godwit_policy::route::RuleName;
use ipnet::IpNet;

use crate::api::{Advertisement, ExplainedPath, Explanation, PathFate, PeerId, WhyNot};
use crate::decide::{Candidates, Step};
use crate::import::pick;
use crate::path::Path;
use crate::rib::Rib;
use crate::ring::Mark;
use crate::slab::NONE;

/// Whom a path lost to: the best one, as that was among those that stayed at
/// each step. But MED is compared within one neighbour AS: there it is the least
/// of those that had got that far.
#[derive(Debug, Default)]
struct Rivals {
    best: Option<u32>,
    after_med: BTreeMap<u32, u32>,
}

fn lost_at(fate: &PathFate) -> Option<Step> {
    match fate {
        PathFate::Multipath(step) | PathFate::Lost(step) => Some(*step),
        _ => None,
    }
}

impl Rib {
    /// Why the best path of a prefix is what it is. `None`: there is no path.
    pub fn explain(&mut self, prefix: IpNet) -> Option<Explanation> {
        let mark = self.core.tables.find(prefix.trunc())?;
        self.core.decide(mark);
        let state = *self.core.state(mark);
        if state.paths == NONE {
            return None;
        }
        let fates = self.fates(state.paths);
        let fate_of: BTreeMap<u32, &PathFate> =
            fates.iter().map(|(id, fate)| (*id, fate)).collect();
        let rivals = self.rivals(&fates);
        let mut paths = Vec::new();
        let mut id = state.paths;
        while id != NONE {
            let path = *self.core.paths.at(id);
            let fate = fate_of.get(&id).copied();
            let fate = fate.cloned().unwrap_or(PathFate::Unreachable);
            let rival = self.rival(id, &fate, &rivals);
            let mut explained = self.explain_path(mark, &path, fate);
            explained.beaten_by = rival.map(|rival| {
                let rival = self.core.paths.at(rival);
                (rival.peer, self.rx_path_id(mark, rival))
            });
            paths.push(explained);
            id = path.next;
        }
        paths.sort_by_key(|path| match &path.fate {
            PathFate::Best(_) => 0,
            PathFate::Multipath(_) => 1,
            PathFate::Lost(_) => 2,
            _ => 3,
        });
        let (fib, installed, install_error) = self.fib.status(mark, &self.core);
        let (advertised_to, not_advertised_to) = self.audience(mark);
        Some(Explanation {
            prefix: self.core.tables.net(mark),
            paths,
            fib,
            installed,
            install_error,
            advertised_to,
            not_advertised_to,
        })
    }

    /// What became of each path that a decision has something to say of.
    fn fates(&self, head: u32) -> Vec<(u32, PathFate)> {
        let view = self.core.view();
        let mut fates = Vec::new();
        let mut last = Step::Only;
        let mut candidates = Candidates::new();
        view.candidates(head, &mut candidates);
        let mut lost = |path, step| {
            fates.push((path, PathFate::Lost(step)));
            last = step;
        };
        view.merit(&mut candidates, &mut lost);
        view.break_tie(&mut candidates, &mut lost);
        if let Some(best) = candidates.first() {
            fates.push((best.path, PathFate::Best(last)));
        }
        let (used, _) = view.multipath(head, &self.core.config);
        for (path, fate) in &mut fates {
            if let PathFate::Lost(step) = *fate
                && used.contains(path)
            {
                *fate = PathFate::Multipath(step);
            }
        }
        let mut id = head;
        while id != NONE {
            let path = self.core.paths.at(id);
            if !path.accepted() {
                fates.push((id, PathFate::Rejected));
            } else if !self.core.peers.briefs.at(path.peer).up {
                fates.push((id, PathFate::Stale));
            }
            id = path.next;
        }
        fates
    }

    /// Whom paths lost to.
    fn rivals(&self, fates: &[(u32, PathFate)]) -> Rivals {
        let mut rivals = Rivals::default();
        for (id, fate) in fates {
            let best = matches!(fate, PathFate::Best(_));
            if best {
                rivals.best = Some(*id);
            }
            if best || lost_at(fate) > Some(Step::Med) {
                rivals.after_med.entry(self.neighbour(*id)).or_insert(*id);
            }
        }
        rivals
    }

    /// Whom this one lost to.
    fn rival(&self, id: u32, fate: &PathFate, rivals: &Rivals) -> Option<u32> {
        match lost_at(fate)? {
            Step::Med => rivals.after_med.get(&self.neighbour(id)).copied(),
            _ => rivals.best,
        }
    }

    fn neighbour(&self, id: u32) -> u32 {
        let path = self.core.paths.at(id);
        self.core.attrs.key(path.attr).neighbour_as
    }

    fn explain_path(&mut self, mark: Mark, path: &Path, fate: PathFate) -> ExplainedPath {
        let attrs = &self.core.attrs;
        let local = path.peer == PeerId::LOCAL;
        let igp_cost = match local {
            true => Some(0),
            false => attrs.next_hops.cost(attrs.next_hop_id(path.used_attr())),
        };
        ExplainedPath {
            peer: path.peer,
            path_id: self.rx_path_id(mark, path),
            received: attrs.owned(path.attr_in),
            accepted: path.accepted().then(|| attrs.owned(path.attr)),
            verdict: path.verdict(),
            rule: self.import_rule(path.peer, path.attr_in, mark),
            fate,
            beaten_by: None,
            igp_cost,
            since: Duration::from_secs(path.since.into()),
        }
    }

    /// Who is sent the best route or, if it takes several, which ones; and why
    /// others are sent none.
    fn audience(&mut self, mark: Mark) -> (Vec<Advertisement>, Vec<(PeerId, WhyNot)>) {
        let (mut to, mut not_to) = (Vec::new(), Vec::new());
        let family = mark.family();
        let best = self.core.best(mark);
        let net = self.core.tables.net(mark);
        let up: Vec<PeerId> = (self.core.peers.iter())
            .filter(|(_, peer)| peer.up)
            .map(|(id, _)| id)
            .collect();
        for id in up {
            let sent = self.advertised(mark, id);
            if !sent.is_empty() {
                to.extend(sent.into_iter().map(|(slot, path_id, attr)| Advertisement {
                    to: id,
                    path_id,
                    attrs: self.core.attrs.owned(attr),
                    rule: self.export_rule(id, slot, net),
                }));
                continue;
            }
            let Some(group) = self.groups.of_mut(id, &self.core) else {
                continue;
            };
            let Some(best) = best else {
                not_to.push((id, WhyNot::NoBest));
                continue;
            };
            if let Some(aggregate) = self.core.hidden_by(mark) {
                not_to.push((id, WhyNot::Aggregated(aggregate)));
                continue;
            }
            if best.peer == id {
                not_to.push((id, WhyNot::Source));
                continue;
            }
            let source = group.export.source(best.peer, family, &self.core.peers);
            let attrs = &mut self.core.attrs;
            let pick = |residual: &mut _| pick(residual, net);
            match group.export.output(best.attr, &source, family, pick, attrs) {
                Ok(attr) => {
                    attrs.release(attr);
                    not_to.push((id, WhyNot::Pending));
                }
                Err(why) => not_to.push((id, why)),
            }
        }
        (to, not_to)
    }

    /// The rule of the export policy of a peer that lets it have a path.
    fn export_rule(&self, to: PeerId, slot: u32, net: IpNet) -> Option<RuleName> {
        if slot == NONE {
            return None;
        }
        let path = self.core.paths.at(slot);
        if !path.accepted() {
            // What was sent is to be withdrawn.
            return None;
        }
        let export = &self.groups.of(to, &self.core)?.export;
        let source = export.source(path.peer, Family::of(&net.addr()), &self.core.peers);
        Some(export.rule(path.attr, &source, net, &self.core.attrs))
    }
}
