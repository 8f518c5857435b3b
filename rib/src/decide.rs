//! The decision process (RFC 4271 §9.1.2 with RFC 4456 §9), which can tell at
//! which step each path fell out.

use std::fmt;

use godwit_bgp::{PathId, SendPaths, SessionKind};
use smallvec::SmallVec;

use crate::api::{PeerId, RibConfig};
use crate::interner::{AttrId, Interner, Key};
use crate::path::Paths;
use crate::peers::Briefs;
use crate::rank::ranked;
use crate::slab::NONE;

/// The steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// There was no rival.
    Only,
    /// The higher wins; what is ours and has none has [`LOCAL_WEIGHT`].
    Weight,
    /// Ours go before learned ones.
    Local,
    LocalPref,
    AsPathLength,
    Origin,
    /// Only among paths of the same neighbour AS.
    Med,
    /// External before internal.
    External,
    IgpCost,
    /// ORIGINATOR_ID, else the peer's BGP identifier; the lower wins. What
    /// gets here is of equal merit for multipath.
    RouterId,
    ClusterListLength,
    PeerAddress,
    /// Two paths of one peer (RFC 7911).
    PathId,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Only => "only path",
            Step::Weight => "weight",
            Step::Local => "local route",
            Step::LocalPref => "local preference",
            Step::AsPathLength => "AS path length",
            Step::Origin => "origin",
            Step::Med => "MED",
            Step::External => "external over internal",
            Step::IgpCost => "IGP cost to the next hop",
            Step::RouterId => "router id",
            Step::ClusterListLength => "cluster list length",
            Step::PeerAddress => "peer address",
            Step::PathId => "path id",
        })
    }
}

/// The weight of a route of our own that is given none, as other routers have
/// it: a peer's route with more than this goes ahead of it.
pub const LOCAL_WEIGHT: u32 = 32768;

/// A path that takes part.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub path: u32,
    pub peer: PeerId,
    pub kind: SessionKind,
    pub attr: AttrId,
    pub key: &'a Key,
    pub igp_cost: u32,
    pub rx_path_id: PathId,
}

impl Candidate<'_> {
    fn weight(&self) -> u32 {
        match self.key.weight {
            0 if self.peer == PeerId::LOCAL => LOCAL_WEIGHT,
            weight => weight,
        }
    }
}

/// What the steps before MED compare, and those behind it: the least wins.
pub type BeforeMed = (u32, bool, u32, u16, u8);
pub type AfterMed = (bool, u32, Tie);
/// What the steps of the tie-break compare.
pub type Tie = (u32, u16, u128, PathId, PeerId);

/// Buffer for the candidates of one destination.
pub type Candidates<'a> = SmallVec<[Candidate<'a>; 8]>;

/// All that a decision looks at besides the paths.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub paths: &'a Paths,
    pub attrs: &'a Interner,
    pub peers: &'a Briefs,
}

impl<'a> View<'a> {
    /// The candidate that a path is, if it may take part: accepted, not stale,
    /// its next hop reachable.
    #[inline]
    pub fn candidate(&self, id: u32) -> Option<Candidate<'a>> {
        let path = self.paths.at(id);
        let brief = self.peers.at(path.peer);
        if !path.accepted() || !brief.up {
            return None;
        }
        let key = self.attrs.key(path.attr);
        let igp_cost = if path.peer == PeerId::LOCAL || key.blackhole() {
            0
        } else {
            self.attrs
                .next_hops
                .cost(self.attrs.next_hop_id(path.attr))?
        };
        Some(Candidate {
            path: id,
            peer: path.peer,
            kind: brief.kind,
            attr: path.attr,
            key,
            igp_cost,
            rx_path_id: path.rx_path_id,
        })
    }

    /// Collects who takes part, from the head of a destination's list. How many
    /// paths were looked at.
    #[inline]
    pub fn candidates(&self, head: u32, out: &mut Candidates<'a>) -> usize {
        out.clear();
        let mut looked_at = 0;
        let mut id = head;
        while id != NONE {
            out.extend(self.candidate(id));
            id = self.paths.at(id).next;
            looked_at += 1;
        }
        looked_at
    }

    /// Leaves those of equal merit: all steps before the tie-break.
    #[inline]
    pub fn merit(&self, all: &mut Candidates<'_>, mut lost: impl FnMut(u32, Step)) {
        if all.len() < 2 {
            return;
        }
        let lost = &mut lost;
        keep_least(all, Step::Weight, |c| u64::from(!c.weight()), lost);
        keep_least(
            all,
            Step::Local,
            |c| u64::from(c.peer != PeerId::LOCAL),
            lost,
        );
        keep_least(all, Step::LocalPref, |c| u64::from(!c.key.local_pref), lost);
        keep_least(all, Step::AsPathLength, |c| u64::from(c.key.path_len), lost);
        keep_least(all, Step::Origin, |c| u64::from(c.key.origin), lost);
        keep_least_med(all, lost);
        keep_least(
            all,
            Step::External,
            |c| u64::from(!c.kind.is_external()),
            lost,
        );
        keep_least(all, Step::IgpCost, |c| u64::from(c.igp_cost), lost);
    }

    /// Leaves one, of those of equal merit.
    #[inline]
    pub fn break_tie(&self, all: &mut Candidates<'_>, mut lost: impl FnMut(u32, Step)) {
        if all.len() < 2 {
            return;
        }
        let lost = &mut lost;
        keep_least(
            all,
            Step::RouterId,
            |c| match c.key.originator_id {
                0 => u64::from(self.peers.at(c.peer).router_id.0),
                id => u64::from(id),
            },
            lost,
        );
        keep_least(
            all,
            Step::ClusterListLength,
            |c| u64::from(c.key.cluster_len),
            lost,
        );
        keep_least(
            all,
            Step::PeerAddress,
            |c| self.peers.at(c.peer).address_rank,
            lost,
        );
        keep_least(all, Step::PathId, |c| (c.rx_path_id, c.peer), lost);
    }

    pub fn before_med(&self, c: &Candidate<'_>) -> BeforeMed {
        let (weight, local) = (!c.weight(), c.peer == PeerId::LOCAL);
        let local_pref = !c.key.local_pref;
        (weight, !local, local_pref, c.key.path_len, c.key.origin)
    }

    pub fn after_med(&self, c: &Candidate<'_>) -> AfterMed {
        (!c.kind.is_external(), c.igp_cost, self.tie(c))
    }

    fn tie(&self, c: &Candidate<'_>) -> Tie {
        let brief = self.peers.at(c.peer);
        let router_id = match c.key.originator_id {
            0 => brief.router_id.0,
            id => id,
        };
        let cluster_len = c.key.cluster_len;
        (
            router_id,
            cluster_len,
            brief.address_rank,
            c.rx_path_id,
            c.peer,
        )
    }

    /// The best path, or [`NONE`]; and how many there are to choose from, taking
    /// part or not.
    #[inline]
    pub fn best(&self, head: u32) -> (u32, usize) {
        if head == NONE || self.paths.at(head).next == NONE {
            let only = (head != NONE).then(|| self.candidate(head)).flatten();
            return (only.map_or(NONE, |c| c.path), 1);
        }
        let mut all = Candidates::new();
        let looked_at = self.candidates(head, &mut all);
        self.merit(&mut all, |_, _| ());
        self.break_tie(&mut all, |_, _| ());
        (all.first().map_or(NONE, |c| c.path), looked_at)
    }
}

impl<'a> View<'a> {
    /// The paths to use at once (best first, then as ties would be broken),
    /// with different next hops, as many as the configuration allows. Empty
    /// when there is no best path. And how many there are to choose from.
    pub fn multipath(&self, head: u32, config: &RibConfig) -> (SmallVec<[u32; 8]>, usize) {
        let mut all = Candidates::new();
        let looked_at = self.candidates(head, &mut all);
        let used = self.used_at_once(all, config);
        (used.iter().map(|c| c.path).collect(), looked_at)
    }

    fn used_at_once(&self, mut equal: Candidates<'a>, config: &RibConfig) -> Candidates<'a> {
        self.merit(&mut equal, |_, _| ());
        let Some(best) = equal.iter().min_by_key(|c| self.tie(c)).copied() else {
            return Candidates::new();
        };
        let max = match best.kind {
            _ if best.peer == PeerId::LOCAL || best.key.blackhole() => 1,
            SessionKind::External => config.max_paths_external,
            SessionKind::Internal | SessionKind::InternalClient => config.max_paths_internal,
        };
        if max < 2 {
            return Candidates::from_slice(&[best]);
        }
        let next_hop = |c: &Candidate<'_>| self.attrs.next_hop_id(c.attr);
        equal.retain(|c| c.path == best.path || self.may_join(c, &best, config));
        // Of each next hop the first in order of the tie-break.
        equal.sort_unstable_by_key(|c| (next_hop(c), self.tie(c)));
        equal.dedup_by_key(|c| next_hop(c));
        equal.sort_unstable_by_key(|c| self.tie(c));
        equal.truncate(max.into());
        equal
    }

    /// The paths that a peer is to be sent that takes several (RFC 7911), before
    /// export has its say: in no order. And how many there are to choose from.
    pub fn chosen(
        &self,
        head: u32,
        send: SendPaths,
        config: &RibConfig,
    ) -> (SmallVec<[u32; 8]>, usize) {
        let mut all = Candidates::new();
        let looked_at = self.candidates(head, &mut all);
        let chosen = self.chosen_of(all, send, config);
        (chosen.iter().map(|c| c.path).collect(), looked_at)
    }

    /// The same of these.
    pub fn chosen_of(
        &self,
        all: Candidates<'a>,
        send: SendPaths,
        config: &RibConfig,
    ) -> Candidates<'a> {
        match send {
            SendPaths::Ecmp => self.used_at_once(all, config),
            SendPaths::Best(n) if all.len() > usize::from(n.get()) => {
                ranked(self, all, n.get().into())
            }
            SendPaths::All | SendPaths::Best(_) => all,
        }
    }

    /// Whether a path of equal merit may be used besides the best.
    ///
    /// One with a longer CLUSTER_LIST came through another reflector, perhaps as
    /// a copy of the best one itself. With next-hop-self on both reflectors each
    /// would send half of the traffic to the other: a loop.
    fn may_join(&self, c: &Candidate<'_>, best: &Candidate<'_>, config: &RibConfig) -> bool {
        let as_path = |c: &Candidate<'_>| self.attrs.attrs(c.attr).as_path();
        // Who wants traffic dropped is not to be sent a share of it.
        !c.key.blackhole()
            && c.key.cluster_len == best.key.cluster_len
            && (config.multipath_relax
                || match best.kind {
                    SessionKind::External => c.key.neighbour_as == best.key.neighbour_as,
                    _ => as_path(c).bytes() == as_path(best).bytes(),
                })
    }
}

#[inline]
fn keep_least<T: Ord + Copy>(
    all: &mut Candidates<'_>,
    step: Step,
    rank: impl Fn(&Candidate<'_>) -> T,
    lost: &mut impl FnMut(u32, Step),
) {
    let Some(least) = all.iter().map(&rank).min() else {
        return;
    };
    all.retain(|c| {
        let keep = rank(c) == least;
        if !keep {
            lost(c.path, step);
        }
        keep
    });
}

/// RFC 4271 §9.1.2.2 c: whoever has a rival of the same neighbour AS with a
/// lower MED goes. Done to the set as a whole, so the order of arrival does not
/// matter.
#[inline]
fn keep_least_med(all: &mut Candidates<'_>, lost: &mut impl FnMut(u32, Step)) {
    if all.iter().all(|c| c.key.med == all[0].key.med) {
        return;
    }
    let med = |c: &Candidate<'_>| (c.key.neighbour_as, c.key.med);
    let mut least: SmallVec<[(u32, u32); 8]> = all.iter().map(med).collect();
    least.sort_unstable();
    least.dedup_by_key(|(asn, _)| *asn);
    all.retain(|c| {
        let keep = least.binary_search(&med(c)).is_ok();
        if !keep {
            lost(c.path, Step::Med);
        }
        keep
    });
}
