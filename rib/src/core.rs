//! Paths, destinations and decisions: the part of the RIB that all others
//! read.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

use godwit_bgp::PathId;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smallvec::SmallVec;

use crate::api::{PeerId, RibConfig, RibEvent};
use crate::decide::View;
use crate::dest::{DIRTY, GRAVE, LIVE, PENDING, QUIET, State, TOUCHED, Tables};
use crate::interner::Interner;
use crate::nexthop::NextHops;
use crate::path::{Path, Paths, Verdict};
use crate::peers::Peers;
use crate::presence::{PRESENT, Presence, WITH_PATH};
use crate::ring::{Mark, Ring};
use crate::slab::{NONE, Queue};

/// A destination without paths, in line to be freed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grave {
    pub mark: Mark,
    /// Since when nothing but what was sent out by then can name it; as long as
    /// it is marked [`QUIET`].
    pub quiet: Option<Quiet>,
}

/// Positions in the streams that name destinations by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    pub ring: u64,
    pub run: u64,
}

/// Paths of one prefix that a peer may have at most. Every one makes the next
/// change of the prefix dearer, so a peer that gives them without end would take
/// the whole thread.
pub const MAX_SIBLINGS: usize = 1024;

const DEFAULTS: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

/// Of whom the paths of a destination are.
type Sources = SmallVec<[PeerId; 8]>;

/// Where a path stands in the list of its destination.
struct Place {
    found: Option<u32>,
    /// The one before it, else the last.
    before: u32,
    /// Others of the peer before it.
    siblings: usize,
}

/// What the parts share. Whoever changes a path or a destination does it
/// here, so that references, counters and marks stay true.
#[derive(Debug)]
pub struct Core {
    pub config: RibConfig,
    pub tables: Tables,
    pub paths: Paths,
    pub attrs: Interner,
    pub peers: Peers,
    pub ring: Ring,
    /// Destinations that wait for a decision.
    pub dirty: Queue<Mark>,
    pub graves: Queue<Grave>,
    /// Somebody wants to know of every change of paths, not only of the best.
    pub watch_paths: bool,
    pub presence: Presence,
    pub path_count: [u64; 2],
    pub events: VecDeque<RibEvent>,
}

impl Core {
    pub fn new(config: RibConfig) -> Self {
        let mut attrs = Interner::default();
        attrs.next_hops = NextHops::new(config.require_next_hop);
        Core {
            config,
            tables: Tables::default(),
            paths: Paths::default(),
            attrs,
            peers: Peers::default(),
            ring: Ring::default(),
            dirty: Queue::default(),
            graves: Queue::default(),
            watch_paths: false,
            presence: Presence::default(),
            path_count: [0; 2],
            events: VecDeque::new(),
        }
    }

    pub fn view(&self) -> View<'_> {
        View {
            paths: &self.paths,
            attrs: &self.attrs,
            peers: &self.peers.briefs,
        }
    }

    pub fn state(&self, mark: Mark) -> &State {
        self.tables.state(mark)
    }

    /// The path that the peer gave under this identifier.
    pub fn path_of(&self, mark: Mark, peer: PeerId, rx_path_id: PathId) -> Option<u32> {
        self.seek(mark, peer, rx_path_id).found
    }

    /// The paths of a destination.
    pub fn paths_of(&self, mark: Mark) -> impl Iterator<Item = (u32, &Path)> {
        let mut next = self.tables.state(mark).paths;
        std::iter::from_fn(move || {
            let id = next;
            (id != NONE).then(|| {
                let path = self.paths.at(id);
                next = path.next;
                (id, path)
            })
        })
    }

    #[inline]
    fn seek(&self, mark: Mark, peer: PeerId, rx_path_id: PathId) -> Place {
        let mut place = Place {
            found: None,
            before: NONE,
            siblings: 0,
        };
        for (id, path) in self.paths_of(mark) {
            if path.peer == peer {
                if path.rx_path_id == rx_path_id {
                    place.found = Some(id);
                    return place;
                }
                place.siblings += 1;
            }
            place.before = id;
        }
        place
    }

    /// Puts a path in, in place of what the peer had there before under the same
    /// identifier. Takes over the references to both blocks.
    pub fn put_path(&mut self, mark: Mark, new: Path) {
        let family = mark.family().index();
        let place = self.seek(mark, new.peer, new.rx_path_id);
        match place.found {
            Some(id) => self.replace_path(mark, id, new),
            None if place.siblings >= MAX_SIBLINGS => {
                self.attrs.release(new.attr_in);
                self.attrs.release(new.attr);
                self.peers.counts(new.peer).refused[family] += 1;
            }
            None => {
                self.begin_path(mark, &new);
                let next = self.tables.state(mark).paths;
                let id = self.paths.insert(Path { next, ..new });
                self.tables.state_mut(mark).paths = id;
                self.path_count[family] += 1;
                let counts = self.peers.counts(new.peer);
                counts.received[family] += 1;
                counts.prefixes[family] += u64::from(place.siblings == 0);
                counts.came(family, new.epoch);
                if new.accepted() {
                    self.touch(mark, id);
                }
            }
        }
    }

    /// Puts a path in place of another of the same peer and identifier. Takes over
    /// the references to both blocks.
    pub fn replace_path(&mut self, mark: Mark, id: u32, new: Path) {
        let old = *self.paths.at(id);
        if old.epoch != new.epoch {
            let counts = self.peers.counts(new.peer);
            counts.went(mark.family().index(), old.epoch);
            counts.came(mark.family().index(), new.epoch);
        }
        if old.attr_in == new.attr_in && old.attr == new.attr && old.flags == new.flags {
            self.paths.at_mut(id).epoch = new.epoch;
            self.attrs.release(new.attr_in);
            self.attrs.release(new.attr);
            return;
        }
        // The new one first: a next hop that both use stays known.
        self.begin_path(mark, &new);
        *self.paths.at_mut(id) = Path {
            next: old.next,
            ..new
        };
        self.end_path(mark, &old);
        if old.accepted() || new.accepted() {
            self.touch(mark, id);
        }
    }

    /// Takes a peer's path out. False: it has none there of this identifier.
    pub fn remove_path(&mut self, mark: Mark, peer: PeerId, rx_path_id: PathId) -> bool {
        let place = self.seek(mark, peer, rx_path_id);
        let Some(id) = place.found else {
            return false;
        };
        self.unlink(mark, place.before, id);
        let alone = self.paths_of(mark).all(|(_, path)| path.peer != peer);
        self.peers.counts(peer).prefixes[mark.family().index()] -= u64::from(alone);
        true
    }

    /// Takes all paths out of which `gone` says so.
    pub fn remove_paths(&mut self, mark: Mark, gone: impl Fn(&Path) -> bool) {
        let (mut left, mut losing) = (Sources::new(), Sources::new());
        let (mut before, mut id) = (NONE, self.state(mark).paths);
        while id != NONE {
            let Path { peer, next, .. } = *self.paths.at(id);
            if gone(self.paths.at(id)) {
                self.unlink(mark, before, id);
                losing.push(peer);
            } else {
                left.push(peer);
                before = id;
            }
            id = next;
        }
        left.sort_unstable();
        losing.sort_unstable();
        losing.dedup();
        for peer in losing {
            let alone = left.binary_search(&peer).is_err();
            self.peers.counts(peer).prefixes[mark.family().index()] -= u64::from(alone);
        }
    }

    /// Takes the path behind `before` out.
    fn unlink(&mut self, mark: Mark, before: u32, id: u32) {
        let family = mark.family().index();
        let path = *self.paths.at(id);
        let peer = path.peer;
        self.touch(mark, id);
        let state = self.tables.state_mut(mark);
        if before == NONE {
            state.paths = path.next;
        } else {
            self.paths.at_mut(before).next = path.next;
        }
        if state.best == id {
            state.best = NONE;
            self.peers.counts(peer).best[family] -= 1;
        }
        self.end_path(mark, &path);
        self.paths.release(id);
        self.path_count[family] -= 1;
        let counts = self.peers.counts(peer);
        counts.received[family] -= 1;
        counts.went(family, path.epoch);
    }

    fn begin_path(&mut self, mark: Mark, path: &Path) {
        if path.verdict() == Verdict::OverLimit {
            self.peers.counts(path.peer).over_limit[mark.family().index()] += 1;
        }
        if path.accepted() {
            self.peers.counts(path.peer).accepted[mark.family().index()] += 1;
            if path.peer != PeerId::LOCAL && self.attrs.next_hops.counts(mark) {
                let next_hop = self.attrs.next_hop_id(path.attr);
                self.attrs.next_hops.add_path(next_hop, mark);
            }
        }
    }

    fn end_path(&mut self, mark: Mark, path: &Path) {
        if path.verdict() == Verdict::OverLimit {
            self.peers.counts(path.peer).over_limit[mark.family().index()] -= 1;
        }
        if path.accepted() {
            self.peers.counts(path.peer).accepted[mark.family().index()] -= 1;
            if path.peer != PeerId::LOCAL && self.attrs.next_hops.counts(mark) {
                let next_hop = self.attrs.next_hop_id(path.attr);
                self.attrs.next_hops.remove_path(next_hop);
            }
        }
        self.attrs.release(path.attr_in);
        self.attrs.release(path.attr);
    }

    /// A path of the destination is new, changed or about to go.
    fn touch(&mut self, mark: Mark, path: u32) {
        let state = self.tables.state_mut(mark);
        if state.best == path {
            state.set(TOUCHED);
        }
        self.mark_dirty(mark);
    }

    #[inline]
    pub fn mark_dirty(&mut self, mark: Mark) {
        let state = self.tables.state_mut(mark);
        if !state.has(DIRTY) {
            state.set(DIRTY);
            self.dirty.push_back(mark);
        }
    }

    /// Decides, if a decision is due, and tells the readers of the ring. How many
    /// paths were looked at.
    pub fn decide(&mut self, mark: Mark) -> usize {
        let state = *self.tables.state(mark);
        if !state.has(DIRTY) {
            return 0;
        }
        let (best, looked_at) = self.view().best(state.paths);
        let family = mark.family().index();
        if best != state.best {
            if state.best != NONE {
                let peer = self.paths.at(state.best).peer;
                self.peers.counts(peer).best[family] -= 1;
            }
            if best != NONE {
                let peer = self.paths.at(best).peer;
                self.peers.counts(peer).best[family] += 1;
            }
        }
        let changed = best != state.best || state.has(TOUCHED) || self.watch_paths;
        let state = self.tables.state_mut(mark);
        state.best = best;
        state.clear(DIRTY | TOUCHED);
        if changed {
            self.renotify(mark);
        }
        self.note_presence(mark);
        let state = self.tables.state_mut(mark);
        if state.paths == NONE && !state.has(GRAVE) {
            state.set(GRAVE);
            self.graves.push_back(Grave { mark, quiet: None });
        }
        looked_at
    }

    /// Counts the destination for whoever asks which prefixes have a route.
    #[inline]
    fn note_presence(&mut self, mark: Mark) {
        let state = self.tables.state(mark);
        let (before, best) = (state.presence, state.best);
        let now = match best {
            NONE => 0,
            best => match self.attrs.key(self.paths.at(best).attr).path_len {
                0 => PRESENT,
                _ => PRESENT | WITH_PATH,
            },
        };
        if before != now {
            self.tables.state_mut(mark).presence = now;
            if !self.presence.is_idle() {
                let net = self.tables.net(mark);
                self.presence.changed(mark, net, before, now);
            }
        }
    }

    /// The aggregate that peers are told of in the destination's place.
    pub fn hidden_by(&self, mark: Mark) -> Option<IpNet> {
        // Cheaper than the prefix, and nearly always so.
        if self.presence.is_idle() {
            return None;
        }
        self.presence.hides(self.tables.net(mark))
    }

    /// Whether this is a default route's destination; a freed one looks like it.
    pub fn is_default(&self, mark: Mark) -> bool {
        let state = self.tables.state(mark);
        state.len == 0 && state.has(LIVE)
    }

    /// The destinations of both default routes, where there are such.
    pub fn default_marks(&self) -> [Option<Mark>; 2] {
        DEFAULTS.map(|net| self.tables.find(net))
    }

    /// Has the update groups look at both default routes.
    pub fn renotify_defaults(&mut self) {
        for net in DEFAULTS {
            let mark = self.tables.find_or_insert(net);
            // Without a path it is freed when nobody is told of it.
            self.tables.state_mut(mark).set(TOUCHED);
            self.mark_dirty(mark);
        }
    }

    /// Has every reader of the ring look at the destination once more.
    pub fn renotify(&mut self, mark: Mark) {
        let state = self.tables.state_mut(mark);
        state.clear(QUIET);
        if !state.has(PENDING) {
            state.set(PENDING);
            if let Some(lost) = self.ring.push(mark) {
                self.passed(lost);
            }
        }
    }

    /// A reader has taken note of the destination: the next change has to go
    /// into the ring again.
    #[inline]
    pub fn passed(&mut self, mark: Mark) {
        self.tables.state_mut(mark).clear(PENDING);
    }

    /// Forgets what all readers, of which this is the last one's position, have
    /// passed; without readers, all.
    pub fn trim(&mut self, cursor: Option<u64>) {
        match cursor {
            Some(cursor) => self.ring.trim(cursor),
            None => {
                for cursor in self.ring.begin()..self.ring.end() {
                    if let Some(mark) = self.ring.at(cursor) {
                        self.passed(mark);
                    }
                }
                self.ring.trim(self.ring.end());
            }
        }
    }

    /// The slots of the paths that are used at once, in order.
    pub fn used_at_once(&self, mark: Mark) -> SmallVec<[u32; 8]> {
        let config = &self.config;
        let mut used = match config.max_paths_external.max(config.max_paths_internal) {
            0 | 1 => SmallVec::new(),
            _ => self.view().multipath(self.state(mark).paths, config).0,
        };
        used.sort_unstable();
        used
    }

    /// The best path, decided if that was due.
    #[inline]
    pub fn best(&mut self, mark: Mark) -> Option<Path> {
        self.decide(mark);
        let best = self.tables.state(mark).best;
        (best != NONE).then(|| *self.paths.at(best))
    }
}
