//! Update groups: peers that are to be sent the same share one Adj-RIB-Out and
//! one stream of frames.
//!
//! A group stores once what it advertises. A change is encoded once and read
//! by every attached member, except by the source of the route, which is sent
//! a withdrawal if what it held came from another. A member that is new, asked
//! for a refresh or fell behind is detached: it owes a set of destinations and
//! is made frames of its own, from the same store, as it asks for them, until
//! it owes none. No member is ever waited for.

mod key;
mod member;
mod output;
mod queue;
mod runs;
mod serve;
mod set;

use bytes::BytesMut;
use godwit_bgp::Family;

use crate::api::{PeerId, RibEvent};
use crate::core::Core;
use crate::export::Export;
use crate::import::pick;
use crate::interner::AttrId;
use crate::ring::Mark;

pub use key::{GroupKey, InKey, KNOBS};
pub use member::{Debts, Member, Place};
pub use output::{Out, Output};
use queue::{Audience, Bucket, Queue, encode};
use runs::{Run, Runs};
pub use set::Groups;

/// Bytes of frames kept for slow members before they are detached.
const MAX_HELD: usize = 16 << 20;
/// Bytes of frames in one run, about.
const RUN: usize = 64 << 10;
/// Changes that wait before they are encoded, at most.
const MAX_QUEUED: usize = 32 << 10;

/// Peers that are sent the same.
#[derive(Debug)]
pub struct Group {
    id: u32,
    pub export: Export,
    pub output: [Output; 2],
    pub members: Vec<PeerId>,
    attached: u32,
    /// Position in the change ring.
    pub cursor: u64,
    /// How far a walk over all destinations came, if one is under way: what
    /// lies behind it is not settled.
    pub walk: Option<Mark>,
    queue: Queue,
    runs: Runs,
    buffer: BytesMut,
    max_held: usize,
}

impl Group {
    fn new(id: u32, export: Export, cursor: u64) -> Group {
        Group {
            id,
            export,
            output: Default::default(),
            members: Vec::new(),
            attached: 0,
            cursor,
            walk: Some(Mark::FIRST),
            queue: Queue::default(),
            runs: Runs::default(),
            buffer: BytesMut::new(),
            max_held: MAX_HELD,
        }
    }

    fn is_member(&self, peer: PeerId, core: &Core) -> bool {
        core.peers
            .at(peer)
            .is_some_and(|peer| peer.member.group == Some(self.id))
    }

    /// Brings what is advertised of a destination up to its best path.
    pub fn process(&mut self, mark: Mark, core: &mut Core, seq: &mut u64) {
        let family = mark.family();
        if !self.export.families[family.index()] {
            return;
        }
        let new = match core.best(mark) {
            None => Out::default(),
            Some(best) => {
                let source = self.export.source(best.peer, family, &core.peers);
                let Core { tables, attrs, .. } = core;
                let net = |residual: &mut _| pick(residual, tables.net(mark));
                match self.export.output(best.attr, &source, family, net, attrs) {
                    Ok(attr) => Out {
                        attr,
                        source: best.peer,
                        queued: false,
                    },
                    Err(_) => Out::default(),
                }
            }
        };
        let old = self.output[family.index()].load(mark.dest());
        if old.attr == new.attr && old.source == new.source {
            core.attrs.release(new.attr);
            return;
        }
        if old.queued {
            self.flush(core, seq);
        }
        let queued = self.attached > 0;
        if queued {
            self.enqueue(mark, old, new, core);
        }
        if (self.attached as usize) < self.members.len() {
            self.owe(mark, core);
        }
        self.output[family.index()].store(mark.dest(), Out { queued, ..new });
        core.attrs.release(old.attr);
        if self.queue.len() >= MAX_QUEUED {
            self.flush(core, seq);
        }
    }

    /// Who needs which frame of this change.
    fn enqueue(&mut self, mark: Mark, old: Out, new: Out, core: &Core) {
        let member = |peer| self.is_member(peer, core).then_some(peer);
        let source = if new.attr.is_some() { new } else { old }.source;
        let others = member(source).map_or(Audience::All, Audience::Except);
        let other_source = old.attr.is_some() && new.attr.is_some() && old.source != new.source;
        let before = other_source.then(|| member(old.source)).flatten();
        let after = other_source.then(|| member(new.source)).flatten();
        let bucket = |audience, attr| Bucket {
            audience,
            family: mark.family(),
            attr,
        };
        if old.attr != new.attr {
            self.queue.push(bucket(others, new.attr), mark);
        } else if let Some(before) = before {
            // The others have it; the former source never did.
            let only = Audience::Only(before);
            self.queue.push(bucket(only, new.attr), mark);
        }
        if let Some(after) = after {
            // It held the former source's route, and now would hold its own.
            let only = Audience::Only(after);
            self.queue.push(bucket(only, AttrId::NONE), mark);
        }
    }

    /// Detached members find the change in the store when they come to it.
    fn owe(&mut self, mark: Mark, core: &mut Core) {
        for &id in &self.members {
            if let Some(peer) = core.peers.at_mut(id)
                && let Place::Detached(debts) = &mut peer.member.place
            {
                debts.changed(mark);
                tell(&mut peer.member, id, &mut core.events);
            }
        }
    }

    /// Encodes what waits, into runs that attached members read.
    pub fn flush(&mut self, core: &mut Core, seq: &mut u64) {
        if self.queue.len() == 0 {
            return;
        }
        let mut queue = std::mem::take(&mut self.queue);
        let mut marks: Vec<Mark> = Vec::new();
        let mut audience = Audience::All;
        let (output, runs, buffer) = (&mut self.output, &mut self.runs, &mut self.buffer);
        let (encoder, readers) = (&mut self.export.encoder, self.attached);
        let mut cut = |buffer: &mut BytesMut, marks: &mut Vec<Mark>, audience| {
            if !buffer.is_empty() {
                *seq += 1;
                let bytes = buffer.split().freeze();
                let marks = std::mem::take(marks).into_boxed_slice();
                runs.push(Run::new(bytes, audience, marks, *seq), readers);
            }
        };
        queue.drain(|bucket, changed| {
            if bucket.audience != audience || buffer.len() >= RUN {
                cut(buffer, &mut marks, audience);
                audience = bucket.audience;
            }
            for mark in changed {
                output[mark.family().index()].settle(mark.dest());
            }
            encode(encoder, bucket, changed, &core.tables, &core.attrs, buffer);
            marks.extend_from_slice(changed);
        });
        cut(buffer, &mut marks, audience);
        self.queue = queue;
        self.tell_attached(core);
        self.bound(core);
    }

    fn tell_attached(&mut self, core: &mut Core) {
        for &id in &self.members {
            if let Some(peer) = core.peers.at_mut(id)
                && matches!(peer.member.place, Place::Attached(at) if at < self.runs.end())
            {
                tell(&mut peer.member, id, &mut core.events);
            }
        }
    }

    /// Lets go of the slowest members until what is kept is bounded.
    fn bound(&mut self, core: &mut Core) {
        while self.runs.held() > self.max_held {
            let oldest = self.runs.begin();
            let slow: Vec<PeerId> = self
                .members
                .iter()
                .copied()
                .filter(|id| {
                    let place = core.peers.at(*id).map(|peer| &peer.member.place);
                    matches!(place, Some(Place::Attached(at)) if *at == oldest)
                })
                .collect();
            if slow.is_empty() {
                return;
            }
            for id in slow {
                self.detach(id, core);
            }
        }
    }

    /// From here on the member reads the runs.
    fn attach(&mut self, id: PeerId, core: &mut Core, seq: &mut u64) {
        self.flush(core, seq);
        if let Some(peer) = core.peers.at_mut(id)
            && matches!(peer.member.place, Place::Detached(_))
            && !peer.member.is_refreshing()
        {
            peer.member.place = Place::Attached(self.runs.end());
            self.attached += 1;
        }
    }

    /// From here on the member's frames are its own. What it has not read of
    /// the runs, it owes.
    fn detach(&mut self, id: PeerId, core: &mut Core) {
        let Some(peer) = core.peers.at_mut(id) else {
            return;
        };
        let Place::Attached(cursor) = peer.member.place else {
            return;
        };
        let mut debts = Box::<Debts>::default();
        let owes_end_of_rib = &mut peer.member.owes_end_of_rib;
        self.runs.leave(cursor, |run| {
            if run.audience.includes(id) {
                run.marks.iter().for_each(|mark| debts.changed(*mark));
                if let Some(family) = run.end_of_rib {
                    owes_end_of_rib[family.index()] = true;
                }
            }
        });
        peer.member.place = Place::Detached(debts);
        self.attached -= 1;
        tell(&mut peer.member, id, &mut core.events);
    }

    /// Takes a peer in, which holds nothing of what this group advertises but
    /// may hold what `debts` say.
    fn join(&mut self, id: PeerId, mut debts: Box<Debts>, core: &mut Core, seq: &mut u64) {
        self.members.push(id);
        for family in Family::ALL {
            let f = family.index();
            debts.resend[f].union(&self.output[f].present);
        }
        let at_once = debts.is_empty();
        if let Some(peer) = core.peers.at_mut(id) {
            peer.member.group = Some(self.id);
            peer.member.place = Place::Detached(debts);
            tell(&mut peer.member, id, &mut core.events);
        }
        if at_once {
            self.attach(id, core, seq);
        }
        if self.walk.is_none() {
            self.end_of_rib(core, seq);
        }
    }

    /// Lets a peer go; what it may hold, as destinations that changed for it.
    fn leave(&mut self, id: PeerId, core: &mut Core, seq: &mut u64) -> Box<Debts> {
        self.flush(core, seq);
        self.detach(id, core);
        self.members.retain(|member| *member != id);
        let Some(peer) = core.peers.at_mut(id) else {
            return Box::default();
        };
        peer.member.group = None;
        match std::mem::take(&mut peer.member.place) {
            Place::Detached(mut debts) => {
                for family in Family::ALL {
                    let f = family.index();
                    debts.changed[f].union(&self.output[f].present);
                    debts.resend[f] = Default::default();
                }
                debts
            }
            Place::Attached(_) => Box::default(),
        }
    }

    /// A member asked for all routes of a family again (RFC 2918). With marks
    /// (RFC 7313) another request while one is answered waits for the end of
    /// that.
    fn refresh(&mut self, id: PeerId, family: Family, core: &mut Core, seq: &mut u64) {
        self.flush(core, seq);
        self.detach(id, core);
        let f = family.index();
        if let Some(peer) = core.peers.at_mut(id)
            && let Place::Detached(debts) = &mut peer.member.place
        {
            if peer.spec.enhanced_refresh {
                peer.member.refresh[f].asked = true;
            } else {
                debts.resend[f].union(&self.output[f].present);
            }
            tell(&mut peer.member, id, &mut core.events);
        }
    }

    /// Goes on with a walk over all destinations; true when it is done.
    fn walk(&mut self, units: &mut usize, core: &mut Core, seq: &mut u64) {
        let Some(mut at) = self.walk else {
            return;
        };
        loop {
            match core.tables.next_live(at, units) {
                Ok(mark) => {
                    self.process(mark, core, seq);
                    at = mark.successor();
                    self.walk = Some(at);
                }
                Err(Some(next)) => {
                    self.walk = Some(next);
                    return;
                }
                Err(None) => break,
            }
        }
        self.walk = None;
        self.flush(core, seq);
        self.end_of_rib(core, seq);
    }

    /// Whether the destination's id stands for something here.
    pub fn needs(&self, mark: Mark, core: &Core) -> bool {
        let f = mark.family().index();
        let out = self.output[f].load(mark.dest());
        out.attr.is_some()
            || out.queued
            || ((self.attached as usize) < self.members.len() && self.members.iter().any(|id| {
                let place = core.peers.at(*id).map(|peer| &peer.member.place);
                matches!(place, Some(Place::Detached(debts)) if debts.changed[f].get(mark.dest()))
            }))
    }

    /// Gives the references of its output back.
    fn dissolve(&mut self, core: &mut Core) {
        for output in &mut self.output {
            let mut from = 0;
            while let Some(dest) = output.present.next(from) {
                core.attrs.release(output.load(dest).attr);
                from = dest + 1;
            }
        }
    }
}

fn tell(member: &mut Member, id: PeerId, events: &mut std::collections::VecDeque<RibEvent>) {
    if !member.told {
        member.told = true;
        events.push_back(RibEvent::FramesReady(id));
    }
}
