//! The RIB as the daemon sees it: ways in, work, ways out.

use ::core::time::Duration;
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use godwit_bgp::attrs::AttrsRef;
use godwit_bgp::wire::Update;
use godwit_bgp::{Family, NextHop, PathId};
use godwit_policy::route::PolicyRef;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::api::{PeerCounters, PeerId, PeerSpec, RibConfig, RibEvent, Summary, TapId, TapPoll};
use crate::core::Core;
use crate::dest::{Address, V4, V6};
use crate::fib::{FibAck, FibChange, NextHopSet, NextHopSetId, NextHopState};
use crate::fibview::FibView;
use crate::group::{Groups, Member};
use crate::import::Imports;
use crate::interner::AttrId;
use crate::limits::Room;
use crate::nexthop::{NextHopId, Tracking};
use crate::path::{Path, Verdict};
use crate::peers::Peer;
use crate::ring::Mark;
use crate::slab::NONE;
use crate::sweep::{Sweep, Task};
use crate::taps::Taps;
use crate::work::Turn;

/// Prefixes of an UPDATE that are looked up together.
const BATCH: usize = 32;

/// A path of an UPDATE, and its destination if there is one yet.
type Looked<A> = (PathId, <A as Address>::Net, Option<u32>);

/// All routes, and all that follows from them.
#[derive(Debug)]
pub struct Rib {
    pub(crate) core: Core,
    pub(crate) imports: Imports,
    pub(crate) groups: Groups,
    pub(crate) fib: FibView,
    pub(crate) taps: Taps,
    pub(crate) sweep: Sweep,
    /// Next hops whose state changed, and how far their dependents are marked.
    pub(crate) next_hops: VecDeque<(NextHopId, Mark)>,
    /// Every destination is to be decided anew, from here on.
    pub(crate) redecide: Option<Mark>,
    /// Of aggregates that began or ceased to hide what is in them, how far
    /// that is told.
    pub(crate) rehide: VecDeque<(IpNet, Mark)>,
    pub(crate) turn: Turn,
    /// The latest that was heard of the time.
    pub(crate) now: Duration,
    bytes: Vec<u8>,
    pub(crate) marks: Vec<Mark>,
}

impl Rib {
    pub fn new(config: RibConfig) -> Rib {
        let mut rib = Rib {
            core: Core::new(config),
            imports: Imports::default(),
            groups: Groups::default(),
            fib: FibView::default(),
            taps: Taps::default(),
            sweep: Sweep::default(),
            next_hops: VecDeque::new(),
            redecide: None,
            rehide: VecDeque::new(),
            turn: Turn::default(),
            now: Duration::ZERO,
            bytes: Vec::new(),
            marks: Vec::new(),
        };
        rib.fib.enable(config.fib, &rib.core);
        rib.watch_paths();
        rib
    }

    pub fn config(&self) -> &RibConfig {
        &self.core.config
    }

    /// Takes over another configuration; all that depends on what changed is
    /// worked out anew, in slices. Where next hops were not required and are,
    /// they are asked for first, and none is missed before all were.
    pub fn reconfigure(&mut self, config: RibConfig) {
        let old = std::mem::replace(&mut self.core.config, config);
        let new = self.core.config;
        if old == new {
            return;
        }
        let export = |c: &RibConfig| (c.asn, c.router_id, c.cluster_id);
        if export(&old) != export(&new) {
            self.imports.forget();
            self.reimport_all();
        }
        if (export(&old), old.drain) != (export(&new), new.drain) {
            self.groups.reconfigure(&mut self.core);
        }
        self.core.attrs.next_hops.require(new.require_next_hop);
        self.fib.enable(new.fib, &self.core);
        self.watch_paths();
        self.redecide = Some(Mark::FIRST);
    }

    pub(crate) fn watch_paths(&mut self) {
        let config = &self.core.config;
        let multipath = config.max_paths_external.max(config.max_paths_internal) > 1;
        self.core.watch_paths =
            !self.taps.is_empty() || (config.fib && multipath) || self.groups.send_several();
    }

    /// A session is up: its routes may come, and what it is to be sent is made
    /// ready.
    pub fn peer_up(&mut self, spec: PeerSpec, _now: Duration) -> PeerId {
        let import = Family::ALL.map(|family| self.imports.join(&spec, family));
        let id = self.core.peers.insert(Peer {
            spec,
            up: true,
            away: false,
            import,
            member: Member::default(),
            refreshes: Default::default(),
            unjudged: false,
            standing_in: Default::default(),
            standing_out: Default::default(),
        });
        self.own_addresses();
        self.groups.peer_up(id, &mut self.core);
        self.watch_paths();
        id
    }

    /// A session is down: its paths go, in slices, and then
    /// [`RibEvent::PeerGone`] says so.
    pub fn peer_down(&mut self, id: PeerId) {
        if self.core.peers.up(id).is_none() {
            return;
        }
        self.groups.peer_down(id, &mut self.core);
        self.watch_paths();
        self.core.peers.down(id);
        self.own_addresses();
        self.sweep.request(id, Task::REMOVE);
    }

    pub(crate) fn own_addresses(&mut self) {
        let mut own: HashSet<IpAddr> = HashSet::new();
        for (_, peer) in self.core.peers.iter().filter(|(_, peer)| peer.up) {
            let next_hops = peer.spec.own_next_hop.iter().flatten();
            own.extend(next_hops.map(NextHop::address));
            own.insert(peer.spec.local_address);
        }
        // Ours on one link, anybody's on another: import looks at the peer's.
        own.retain(|a| !matches!(a, IpAddr::V6(a) if a.is_unicast_link_local()));
        let changed = self.imports.set_own(own);
        if self.core.attrs.next_hops.any(|a| changed.contains(&a)) {
            self.reimport_all();
        }
    }

    fn reimport_all(&mut self) {
        for (id, peer) in self.core.peers.iter_mut().filter(|(_, peer)| peer.up) {
            peer.unjudged = true;
            self.sweep.request(id, Task::REIMPORT);
        }
    }

    /// The peer is now this one: policies, role, what we put as next hop. Its
    /// session goes on, so what its OPEN said must be as before. Its routes are
    /// judged anew, from what was received, where that may come out otherwise,
    /// and whoever is to be sent something else is sent the difference.
    pub fn set_spec(&mut self, id: PeerId, spec: PeerSpec) {
        let Some(peer) = self.core.peers.at_mut(id).filter(|peer| peer.up) else {
            return;
        };
        if peer.spec == spec {
            return;
        }
        let old = std::mem::replace(&mut peer.spec, spec);
        let import = Family::ALL.map(|family| self.imports.join(&peer.spec, family));
        let was = std::mem::replace(&mut peer.import, import);
        let same_source = peer.spec.is_same_source(old);
        if was != import {
            peer.unjudged = true;
            self.sweep.request(id, Task::REIMPORT);
        }
        was.into_iter().for_each(|class| self.imports.leave(class));
        self.groups.spec_changed(id);
        for family in Family::ALL {
            self.core.check_limit(id, family);
            self.relieve(id, family, true);
        }
        if !same_source {
            self.core.peers.spec_changed(id);
            self.own_addresses();
            // It is also the source of routes: others may get them otherwise now.
            self.redecide = Some(Mark::FIRST);
        }
    }

    /// Looks again at what the prefix limit kept out, where there is room.
    pub(crate) fn relieve(&mut self, id: PeerId, family: Family, any: bool) {
        if self.core.relieve(id, family, any) {
            self.take_in(id, family);
        }
    }

    fn take_in(&mut self, id: PeerId, family: Family) {
        if self.core.peers.counts(id).over_limit[family.index()] > 0 {
            self.sweep.request(id, Task::REIMPORT);
        }
    }

    /// All of a peer's paths are as its import leaves them now.
    pub(crate) fn judged(&mut self, id: PeerId) {
        let Some(peer) = self.core.peers.at_mut(id) else {
            return;
        };
        if std::mem::take(&mut peer.unjudged) {
            for family in Family::ALL {
                if self.core.judged(id, family) {
                    self.take_in(id, family);
                }
            }
        }
    }

    /// The import policies of a peer are now these.
    pub fn set_import(&mut self, id: PeerId, import: [PolicyRef; 2]) {
        if let Some(spec) = self.core.peers.up(id).map(|peer| peer.spec.clone()) {
            self.set_spec(id, PeerSpec { import, ..spec });
        }
    }

    /// The export policies of a peer are now these.
    pub fn set_export(&mut self, id: PeerId, export: [PolicyRef; 2]) {
        if let Some(spec) = self.core.peers.up(id).map(|peer| peer.spec.clone()) {
            self.set_spec(id, PeerSpec { export, ..spec });
        }
    }

    /// What a peer sent. Nothing is decided before the next [`Rib::work`].
    pub fn update(&mut self, id: PeerId, update: &Update, now: Duration) {
        self.now = now;
        let Some(peer) = self.core.peers.at_mut(id).filter(|peer| peer.up) else {
            return;
        };
        let source = peer.import.map(|class| (id, class));
        let epochs = peer.refreshes.map(|refreshes| refreshes.epoch);
        let link = peer.spec.link;
        if let Some(family) = update.end_of_rib() {
            peer.refreshes[family.index()].end_of_rib = true;
            self.restart_end(id, family);
            self.core.events.push_back(RibEvent::EndOfRib(id, family));
            return;
        }
        self.withdraw::<V4>(id, update.withdrawn_paths_v4());
        self.withdraw::<V6>(id, update.withdrawn_paths_v6());
        for family in Family::ALL {
            self.relieve(id, family, false);
        }
        let families = Family::ALL.map(|family| update.next_hop(family));
        if families == [None, None] {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        update.canonical_attrs(&mut bytes);
        for (family, next_hop) in Family::ALL.into_iter().zip(families) {
            let Some(next_hop) = next_hop else { continue };
            let attrs = AttrsRef {
                next_hop: next_hop.on(link),
                bytes: &bytes,
            };
            let (source, epoch) = (source[family.index()], epochs[family.index()]);
            match family {
                Family::Ipv4Unicast => {
                    self.announce::<V4>(source, epoch, attrs, update.announced_paths_v4(), now);
                }
                Family::Ipv6Unicast => {
                    self.announce::<V6>(source, epoch, attrs, update.announced_paths_v6(), now);
                }
            }
        }
        self.bytes = bytes;
        // An announcement in place of an accepted one may be rejected.
        for family in Family::ALL {
            self.relieve(id, family, false);
        }
    }

    fn withdraw<A: Address>(&mut self, id: PeerId, nets: impl Iterator<Item = (PathId, A::Net)>) {
        for (path_id, net) in nets {
            if let Some(dest) = A::table(&self.core.tables).find(net) {
                let mark = Mark::new(A::FAMILY, dest);
                self.core.remove_path(mark, id, path_id);
            }
        }
    }

    fn announce<A: Address>(
        &mut self,
        (id, class): (PeerId, crate::import::ClassId),
        epoch: u8,
        attrs: AttrsRef<'_>,
        nets: impl Iterator<Item = (PathId, A::Net)>,
        now: Duration,
    ) {
        let core = &mut self.core;
        let Some(asn) = core.peers.up(id).map(|peer| peer.spec.asn) else {
            return;
        };
        let attr_in = core.attrs.intern(attrs);
        let since = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let mut evaluated = self
            .imports
            .evaluate(class, asn, attr_in, &core.config, &core.attrs);
        let mut path = Path {
            next: NONE,
            peer: id,
            epoch,
            flags: 0,
            attr_in,
            attr: AttrId::NONE,
            rx_path_id: PathId(0),
            since,
        };
        let limit = core.enforced_limit(id, A::FAMILY);
        let mut same = None;
        let mut nets = nets;
        let mut batch: SmallVec<[Looked<A>; BATCH]> = SmallVec::new();
        loop {
            // Lookups first, and nothing else between them: each waits for
            // memory, and so they wait together.
            let table = A::table(&core.tables);
            batch.clear();
            let next = nets.by_ref().take(BATCH);
            batch.extend(next.map(|(path_id, net)| (path_id, net, table.find(net))));
            if batch.is_empty() {
                break;
            }
            for (path_id, net, found) in &batch {
                let (mut verdict, mut attr) = match same {
                    Some(same) => same,
                    None => Verdict::split(evaluated.accept(*net, &mut core.attrs)),
                };
                if same.is_some() || evaluated.is_constant() {
                    // A reference of its own: what is turned away keeps none.
                    core.attrs.retain(attr);
                    same = Some((verdict, attr));
                }
                if let Some(limit) = &limit {
                    // Also one that came earlier in this batch.
                    let before = |core: &Core| {
                        let mark = Mark::new(A::FAMILY, A::table(&core.tables).find(*net)?);
                        let path = core.path_of(mark, id, *path_id)?;
                        Some(core.paths.at(path).verdict())
                    };
                    let room = core.room(id, A::FAMILY, limit, verdict, before);
                    if room != Room::Yes {
                        core.attrs.release(attr);
                        (verdict, attr) = (Verdict::OverLimit, AttrId::NONE);
                    }
                    if room == Room::Full {
                        continue;
                    }
                }
                let dest = match found {
                    Some(dest) => *dest,
                    None => A::table_mut(&mut core.tables).find_or_insert(*net),
                };
                core.attrs.retain(attr_in);
                path.flags = Path::flags_of(verdict, false);
                path.attr = attr;
                path.rx_path_id = *path_id;
                core.put_path(Mark::new(A::FAMILY, dest), path);
            }
        }
        if let Some((_, attr)) = same {
            core.attrs.release(attr);
        }
        core.attrs.release(attr_in);
        core.check_limit(id, A::FAMILY);
    }

    /// A peer begins to announce all its routes of a family again (RFC 7313):
    /// those that it has not by the [end](Rib::refresh_end) go then. Until
    /// then they are used as before.
    pub fn refresh_begin(&mut self, id: PeerId, family: Family) {
        if let Some(peer) = self.core.peers.up(id) {
            let refreshes = &peer.refreshes[family.index()];
            // RFC 7313 §4: between the beginning and the End-of-RIB of a peer
            // that sends one, a refresh is not to be believed.
            if refreshes.end_of_rib || !peer.spec.sends_end_of_rib {
                self.core.peers.begin_refresh(id, family.index());
            }
        }
    }

    /// A peer has announced all its routes of a family again, or has had the
    /// time to. Without a beginning it means nothing.
    pub fn refresh_end(&mut self, id: PeerId, family: Family) {
        if let Some(peer) = self.core.peers.at_mut(id).filter(|peer| peer.up)
            && peer.refreshes[family.index()].end()
        {
            self.sweep.request(id, Task::PURGE);
        }
    }

    /// A peer asked for all routes of a family again (RFC 2918); with RFC 7313
    /// between two marks.
    pub fn refresh(&mut self, id: PeerId, family: Family) {
        self.groups.refresh(id, family, &mut self.core);
    }

    /// Holds back all that would be announced, or lets it go; what is received
    /// is decided and installed all the same.
    pub fn hold_updates(&mut self, hold: bool) {
        self.groups.hold(hold);
    }

    /// What became of a next hop that is tracked.
    pub fn next_hop(&mut self, next_hop: NextHop, state: NextHopState) {
        if let Some(id) = self.core.attrs.next_hops.set_state(next_hop, state) {
            // A walk under way has to begin again: what it passed is out of date.
            self.next_hops.retain(|(other, _)| *other != id);
            self.next_hops.push_back((id, Mark::FIRST));
        }
    }

    /// Frames for a peer, whole ones, about `max` bytes (the last item may be
    /// over it). True: there is more now.
    pub fn poll_frames(&mut self, id: PeerId, max: usize, out: &mut Vec<Bytes>) -> bool {
        self.groups.poll(id, max, out, &mut self.core)
    }

    /// Changes for the kernel, about `max`; none goes ahead of the frames that
    /// tell of it. True: there is more now.
    pub fn poll_fib(&mut self, out: &mut Vec<FibChange>, max: usize) -> bool {
        let limit = match self.groups.is_held() {
            true => u64::MAX,
            false => self.groups.cursor().unwrap_or(u64::MAX),
        };
        self.fib.poll(out, max, limit, &mut self.core)
    }

    /// What became of kernel changes.
    pub fn fib_done(&mut self, acks: &[FibAck]) {
        self.fib.done(acks, &mut self.core);
    }

    /// The content of a set that some route names.
    pub fn next_hop_set(&self, id: NextHopSetId) -> Option<Arc<NextHopSet>> {
        self.fib.set(id)
    }

    pub fn poll_event(&mut self) -> Option<RibEvent> {
        if let Some(news) = self.core.attrs.next_hops.news.pop_front() {
            return Some(match news {
                Tracking::Begin(next_hop) => RibEvent::TrackNextHop(next_hop),
                Tracking::End(next_hop) => RibEvent::UntrackNextHop(next_hop),
            });
        }
        let event = self.core.events.pop_front();
        if let Some(RibEvent::PeerGone(id)) = event {
            self.core.peers.reuse(id);
        }
        event
    }

    /// Begins to observe which prefixes change.
    pub fn open_tap(&mut self) -> TapId {
        let id = self.taps.open(&self.core);
        self.watch_paths();
        id
    }

    pub fn close_tap(&mut self, id: TapId) {
        self.taps.close(id);
        self.watch_paths();
    }

    /// Prefixes of which the best path or another changed, up to `max`, oldest
    /// change first.
    pub fn poll_tap(&mut self, id: TapId, out: &mut Vec<IpNet>, max: usize) -> TapPoll {
        self.taps.poll(id, out, max, &mut self.core)
    }

    pub fn peer_counters(&self, id: PeerId) -> PeerCounters {
        let Some(counts) = self.core.peers.counts.get(usize::from(id.0)) else {
            return PeerCounters::default();
        };
        let peer = self.core.peers.up(id);
        let group = self.groups.of(id, &self.core);
        let advertised = |f: usize| group.map_or(0, |group| group.output[f].count_for(id));
        PeerCounters {
            received: counts.received,
            prefixes: counts.prefixes,
            accepted: counts.accepted,
            rejected: [0, 1].map(|f| counts.received[f] - counts.accepted[f]),
            best: counts.best,
            refused: counts.refused,
            advertised: [advertised(0), advertised(1)],
            over_limit: counts.over_limit,
            dropped: [0, 1].map(|f| peer.map_or(0, |peer| peer.standing_in[f].dropped)),
            refreshing: [0, 1].map(|f| {
                let refreshes = peer.map(|peer| &peer.refreshes[f]);
                refreshes.is_some_and(|r| r.under_way && !r.restarting)
            }),
            stale: [0, 1].map(|f| counts.stale(f)),
        }
    }

    pub fn summary(&self) -> Summary {
        Summary {
            prefixes: [
                self.core.tables.v4.len() as u64,
                self.core.tables.v6.len() as u64,
            ],
            paths: self.core.path_count,
            attribute_sets: self.core.attrs.len() as u64,
            next_hops: self.core.attrs.next_hops.len() as u64,
            peers: (self.core.peers.iter())
                .filter(|(_, peer)| peer.up && !peer.away)
                .count() as u64,
            update_groups: self.groups.len() as u64,
        }
    }

    /// Bytes of frames that a group keeps for slow members before it detaches
    /// them; groups made from now on. 16 MiB unless set.
    pub fn set_group_backlog(&mut self, bytes: usize) {
        self.groups.max_held = Some(bytes);
    }
}
