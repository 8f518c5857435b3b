//! Routes of a peer whose session ended and who may be back (RFC 4724 §4.2).
//!
//! They stay as they are and take part in every decision as before: "stale" is
//! no reason to prefer another, so nobody is sent anything, and nothing is
//! written to the kernel, where the peer comes back with the same routes. It is
//! the mechanism of a refresh (RFC 7313): the end of the session begins it, the
//! peer's End-of-RIB ends it, and what it did not bring again is swept. The peer
//! keeps its id meanwhile, so what groups remember of its routes stays true.

use ::core::time::Duration;

use godwit_bgp::Family;

use crate::api::{PeerId, PeerSpec};
use crate::group::Member;
use crate::rib::Rib;
use crate::ring::Mark;
use crate::sweep::Task;

impl Rib {
    /// A session is down, and its peer is expected back: of the families in
    /// `keep` its routes are used as before and count as stale, until
    /// [`peer_back`](Rib::peer_back) or [`peer_down`](Rib::peer_down). Those of
    /// other families go, and so do those that were stale already: it restarted
    /// again before it had announced them.
    pub fn peer_away(&mut self, id: PeerId, keep: [bool; Family::COUNT]) {
        if self.core.peers.up(id).is_none_or(|peer| peer.away) {
            return;
        }
        let mut purge = false;
        let mut kept = false;
        for (f, keep) in keep.into_iter().enumerate() {
            let Some(peer) = self.core.peers.at_mut(id) else {
                return;
            };
            let refreshes = &mut peer.refreshes[f];
            refreshes.end_of_rib = false;
            purge |= refreshes.end();
            // Where it cannot be told what is stale, nothing is kept.
            let begun = self.core.peers.begin_refresh(id, f);
            kept |= keep && begun;
            if !begun {
                return self.peer_down(id);
            }
            if let Some(peer) = self.core.peers.at_mut(id) {
                peer.refreshes[f].restarting = keep;
                if !keep {
                    purge |= peer.refreshes[f].end();
                }
            }
        }
        if !kept {
            return self.peer_down(id);
        }
        self.groups.peer_down(id, &mut self.core);
        self.watch_paths();
        if let Some(peer) = self.core.peers.at_mut(id) {
            peer.away = true;
        }
        if purge {
            self.sweep.request(id, Task::PURGE);
        }
    }

    /// The peer has a session again, and is now this one. Of the families in
    /// `keep` its stale routes stay until its End-of-RIB, or
    /// [`stale_over`](Rib::stale_over); the others go at once. One that is
    /// somebody else by now (another AS, another router id), or whose routes are
    /// gone, begins with none. Returns its id, which is another one then.
    pub fn peer_back(
        &mut self,
        id: PeerId,
        spec: PeerSpec,
        keep: [bool; Family::COUNT],
        now: Duration,
    ) -> PeerId {
        let away = self.core.peers.up(id).filter(|peer| peer.away);
        if !away.is_some_and(|peer| spec.is_same_peer(&peer.spec)) {
            if away.is_some() {
                self.peer_down(id);
            }
            return self.peer_up(spec, now);
        }
        let import = Family::ALL.map(|family| self.imports.join(&spec, family));
        let Some(peer) = self.core.peers.at_mut(id) else {
            return id;
        };
        let old = std::mem::replace(&mut peer.spec, spec);
        let was = std::mem::replace(&mut peer.import, import);
        let same_source = peer.spec.is_same_source(old);
        peer.away = false;
        peer.member = Member::default();
        peer.standing_out = Default::default();
        let families = peer.spec.families;
        if was != import {
            peer.unjudged = true;
            self.sweep.request(id, Task::REIMPORT);
        }
        was.into_iter().for_each(|class| self.imports.leave(class));
        for family in Family::ALL {
            let f = family.index();
            if !(keep[f] && families[f]) {
                self.restart_end(id, family);
            }
            self.core.check_limit(id, family);
            self.relieve(id, family, true);
        }
        if !same_source {
            self.core.peers.spec_changed(id);
            self.redecide = Some(Mark::FIRST);
        }
        self.own_addresses();
        self.groups.peer_up(id, &mut self.core);
        self.watch_paths();
        id
    }

    /// The time is over in which the peer could have announced its stale routes
    /// of a family again: they go.
    pub fn stale_over(&mut self, id: PeerId, family: Family) {
        if self.core.peers.up(id).is_some_and(|peer| !peer.away) {
            self.restart_end(id, family);
        }
    }

    /// What the peer did not announce again since it restarted goes.
    pub(crate) fn restart_end(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.core.peers.at_mut(id) else {
            return;
        };
        let refreshes = &mut peer.refreshes[family.index()];
        if std::mem::take(&mut refreshes.restarting) && refreshes.end() {
            self.sweep.request(id, Task::PURGE);
        }
    }
}
