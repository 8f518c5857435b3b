//! Update groups: peers that are to be sent the same share one Adj-RIB-Out and
//! one stream of frames.
//!
//! A group stores once what it advertises: of a destination its best path, or
//! with ADD-PATH (RFC 7911) several. A change is encoded once and read
//! by every attached member, except by the source of the route, which is sent
//! a withdrawal if what it held came from another. A member that is new, asked
//! for a refresh or fell behind is detached: it owes a set of destinations and
//! is made frames of its own, from the same store, as it asks for them, until
//! it owes none. No member is ever waited for.

mod key;
mod lists;
mod member;
mod output;
mod parting;
mod press;
mod queue;
mod retired;
mod runs;
mod serve;
mod set;

use bytes::BytesMut;
use godwit_bgp::{Family, SendPaths};
use smallvec::SmallVec;

use crate::api::{PeerId, RibEvent};
use crate::core::Core;
use crate::export::Export;
use crate::import::pick;
use crate::interner::AttrId;
use crate::path::Path;
use crate::ring::Mark;
use crate::slab::NONE;

pub use key::{GroupKey, InKey, KNOBS};
pub use member::{Debts, Member, Place};
pub use output::{Out, Output};
use parting::Parting;
use press::Press;
use queue::{Audience, Bucket, PathMark, Queue};
use retired::may_hold;
use runs::Runs;
pub use set::Groups;

/// Bytes of frames kept for slow members before they are let go.
const MAX_HELD: usize = 16 << 20;
/// Changes that wait before they are encoded, at most: half a millisecond.
const MAX_QUEUED: usize = 32 << 10;
/// So many of them one counts for of which several paths go out.
const PATH_COST: usize = 4;
/// Rounds that a change waits for others to be encoded with, at most.
const MAX_ROUNDS: u32 = 64;

/// Where a default route stands that is made up for a group: no path has it.
const DEFAULT_SLOT: u32 = NONE - 1;

/// Peers that are sent the same.
#[derive(Debug)]
pub struct Group {
    id: u32,
    /// No other group has or had it.
    serial: u64,
    pub export: Export,
    pub output: [Output; 2],
    pub members: Vec<PeerId>,
    /// Peers that were members and may hold under identifiers what is advertised
    /// here, as long as their debts name this group. They find it in the store;
    /// what goes from there is told to them.
    left: Vec<PeerId>,
    attached: u32,
    /// Position in the change ring.
    pub cursor: u64,
    /// How far a walk over all destinations came, if one is under way: what
    /// lies behind it is not settled.
    pub walk: Option<Mark>,
    queue: Queue<Mark>,
    /// Of families in which several paths go out.
    paths: Queue<PathMark>,
    /// Rounds since something was encoded.
    rounds: u32,
    runs: Runs,
    /// Members that read no more of them and do not owe them all yet.
    parting: Option<Parting>,
    buffer: BytesMut,
    max_held: usize,
}

impl Group {
    fn new(id: u32, serial: u64, export: Export, cursor: u64) -> Group {
        Group {
            id,
            serial,
            output: export.add_path.map(|send| Output::new(send.is_some())),
            export,
            members: Vec::new(),
            left: Vec::new(),
            attached: 0,
            cursor,
            walk: Some(Mark::FIRST),
            queue: Queue::default(),
            paths: Queue::default(),
            rounds: 0,
            runs: Runs::default(),
            parting: None,
            buffer: BytesMut::new(),
            max_held: MAX_HELD,
        }
    }

    fn is_member(&self, peer: PeerId, core: &Core) -> bool {
        core.peers
            .at(peer)
            .is_some_and(|peer| peer.member.group == Some(self.id))
    }

    /// Brings what is advertised of a destination up to its paths. How many were
    /// looked at, at least one.
    pub fn process(&mut self, mark: Mark, core: &mut Core, seq: &mut u64) -> usize {
        let family = mark.family().index();
        if !self.export.families[family] {
            return 1;
        }
        let decided = core.decide(mark);
        let chosen_of = match self.export.add_path[family] {
            None => {
                self.process_best(mark, core, seq);
                1
            }
            Some(send) => self.process_paths(mark, send, core, seq).max(1),
        };
        let looked_at = decided + chosen_of;
        if self.queue.len() + PATH_COST * self.paths.len() >= MAX_QUEUED {
            self.flush(core, seq);
        }
        looked_at
    }

    fn process_best(&mut self, mark: Mark, core: &mut Core, seq: &mut u64) {
        let best = core.best(mark).filter(|_| core.hidden_by(mark).is_none());
        let default = self.default_route(mark, core);
        let new = match best {
            _ if default.is_some() => default.unwrap_or_default(),
            None => Out::default(),
            Some(best) => self.leaving(mark, &best, core),
        };
        let old = self.output[mark.family().index()].load(mark.dest());
        if old.attr == new.attr && old.source == new.source {
            core.attrs.release(new.attr);
            return;
        }
        if old.queued {
            self.flush(core, seq);
        }
        self.change(mark, NONE, old, new, core);
    }

    /// The same where several paths go out: each by itself, under the identifier
    /// that follows from its slot (RFC 7911 §3).
    fn process_paths(
        &mut self,
        mark: Mark,
        send: SendPaths,
        core: &mut Core,
        seq: &mut u64,
    ) -> usize {
        type Entries = SmallVec<[(u32, Out); 8]>;
        // The ring may name a destination that was freed since: its list is none.
        let head = match core.best(mark) {
            Some(_) => core.state(mark).paths,
            None => NONE,
        };
        let mut new = Entries::new();
        let default = self.default_route(mark, core);
        let alone = default.is_some() || core.hidden_by(mark).is_some();
        new.extend(default.map(|out| (DEFAULT_SLOT, out)));
        let (chosen, looked_at) = match alone {
            true => Default::default(),
            false => core.view().chosen(head, send, &core.config),
        };
        for slot in chosen {
            let path = *core.paths.at(slot);
            let out = self.leaving(mark, &path, core);
            if out.attr.is_some() {
                new.push((slot, out));
            }
        }
        let output = &self.output[mark.family().index()];
        let mut old: Entries = output.entries(mark.dest()).collect();
        new.sort_unstable_by_key(|(path, _)| *path);
        old.sort_unstable_by_key(|(path, _)| *path);
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        let mut flushed = false;
        while let Some(path) = [old.peek(), new.peek()]
            .into_iter()
            .flatten()
            .map(|(path, _)| *path)
            .min()
        {
            let entry = |(of, _): &(u32, Out)| *of == path;
            let old = old.next_if(entry).map_or(Out::default(), |(_, out)| out);
            let new = new.next_if(entry).map_or(Out::default(), |(_, out)| out);
            if old.attr == new.attr && old.source == new.source {
                core.attrs.release(new.attr);
                continue;
            }
            if old.queued && !flushed {
                self.flush(core, seq);
                flushed = true;
            }
            self.change(mark, path, old, new, core);
        }
        looked_at
    }

    /// What this group is to hold of a path, with a reference to its attributes.
    fn leaving(&mut self, mark: Mark, path: &Path, core: &mut Core) -> Out {
        let family = mark.family();
        let source = self.export.source(path.peer, family, &core.peers);
        let Core { tables, attrs, .. } = core;
        let net = |residual: &mut _| pick(residual, tables.net(mark));
        match self.export.output(path.attr, &source, family, net, attrs) {
            Ok(attr) => Out {
                attr,
                source: path.peer,
                queued: false,
            },
            Err(_) => Out::default(),
        }
    }

    /// An entry of the output changes, which does not wait to be encoded.
    fn change(&mut self, mark: Mark, path: u32, old: Out, new: Out, core: &mut Core) {
        let queued = self.attached > 0;
        if queued {
            self.enqueue(mark, path, old, new, core);
        }
        if (self.attached as usize) < self.members.len() {
            self.owe(mark, path, old, new, core);
        }
        if path != NONE {
            self.tell_left(mark, path, old, new, core);
        }
        let output = &mut self.output[mark.family().index()];
        output.store(mark.dest(), path, Out { queued, ..new });
        core.attrs.release(old.attr);
    }

    /// The default route that members get whatever the table has, if this
    /// destination is the one, with a reference to its attributes.
    fn default_route(&mut self, mark: Mark, core: &mut Core) -> Option<Out> {
        let family = mark.family();
        let default = self.export.default_originate[family.index()].as_ref()?;
        let holds = || core.presence.holds(default.when.as_ref());
        if !core.is_default(mark) || !holds() {
            return None;
        }
        let attr = self.export.default_route(family, &mut core.attrs)?;
        Some(Out {
            attr,
            ..Out::default()
        })
    }

    /// Who needs which frame of this change.
    fn enqueue(&mut self, mark: Mark, path: u32, old: Out, new: Out, core: &Core) {
        let member = |peer| self.is_member(peer, core).then_some(peer);
        let source = if new.attr.is_some() { new } else { old }.source;
        let others = member(source).map_or(Audience::All, Audience::Except);
        let other_source = old.attr.is_some() && new.attr.is_some() && old.source != new.source;
        let before = other_source.then(|| member(old.source)).flatten();
        let after = other_source.then(|| member(new.source)).flatten();
        let mut push = |audience, attr| {
            let bucket = Bucket {
                audience,
                family: mark.family(),
                attr,
            };
            match path {
                NONE => self.queue.push(bucket, mark),
                path => self.paths.push(bucket, PathMark { mark, path }),
            }
        };
        if old.attr != new.attr {
            push(others, new.attr);
        } else if let Some(before) = before {
            // The others have it; the former source never did.
            push(Audience::Only(before), new.attr);
        }
        if let Some(after) = after {
            // It held the former source's route, and now would hold its own.
            push(Audience::Only(after), AttrId::NONE);
        }
    }

    /// Detached members find the change in the store when they come to it, but
    /// not which path they are to hold no more.
    fn owe(&mut self, mark: Mark, path: u32, old: Out, new: Out, core: &mut Core) {
        for &id in &self.members {
            if let Some(peer) = core.peers.at_mut(id)
                && let Place::Detached(debts) = &mut peer.member.place
            {
                let held = [old, new].map(|out| path != NONE && out.for_member(id).is_some());
                match held {
                    [true, false] => debts.gone(mark, path),
                    [false, true] => debts.come(mark, path),
                    _ => debts.changed(mark),
                }
                tell(&mut peer.member, id, &mut core.events);
            }
        }
    }

    /// A path is advertised no more that a former member may hold.
    fn tell_left(&self, mark: Mark, path: u32, old: Out, new: Out, core: &mut Core) {
        for &id in &self.left {
            if old.for_member(id).is_some()
                && new.for_member(id).is_none()
                && let Some(peer) = core.peers.at_mut(id)
                && let Place::Detached(debts) = &mut peer.member.place
                && debts.names(self.serial)
                && debts.may_hold_former(mark)
            {
                debts.gone(mark, path);
            }
        }
    }

    /// Encodes what waits, unless there is more to come that may share frames
    /// with it.
    pub fn end_round(&mut self, core: &mut Core, seq: &mut u64) {
        let serial = self.serial;
        self.left.retain(|id| may_hold(*id, serial, core));
        let more = self.walk.is_some() || !core.dirty.is_empty() || self.cursor < core.ring.end();
        self.rounds += 1;
        if !more || self.rounds >= MAX_ROUNDS {
            self.flush(core, seq);
        }
    }

    /// Encodes what waits, into runs that attached members read.
    pub fn flush(&mut self, core: &mut Core, seq: &mut u64) {
        self.rounds = 0;
        if self.queue.len() + self.paths.len() == 0 {
            return;
        }
        let mut press = Press {
            encoder: &mut self.export.encoder,
            output: &mut self.output,
            runs: &mut self.runs,
            buffer: &mut self.buffer,
            readers: self.attached,
            seq,
            audience: Audience::All,
            marks: Vec::new(),
            gone: Vec::new(),
        };
        self.queue.drain(|bucket, marks| {
            press.print(bucket, marks, core);
        });
        self.paths.drain(|bucket, paths| {
            press.print(bucket, paths, core);
            if !bucket.attr.is_some() {
                press.gone.extend_from_slice(paths);
            }
        });
        press.cut();
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

    /// Takes a peer in, which holds nothing of what this group advertises but
    /// may hold what `debts` say.
    fn join(&mut self, id: PeerId, mut debts: Box<Debts>, core: &mut Core, seq: &mut u64) {
        self.members.push(id);
        for family in Family::ALL {
            let f = family.index();
            debts.resend[f].union(&self.output[f].present);
        }
        debts.forget_first();
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

    /// Lets a peer go, with what it owes.
    fn leave(&mut self, id: PeerId, core: &mut Core, seq: &mut u64) -> Box<Debts> {
        self.flush(core, seq);
        self.detach(id, core);
        self.finish_parting(id, core);
        self.members.retain(|member| *member != id);
        let Some(peer) = core.peers.at_mut(id) else {
            return Box::default();
        };
        peer.member.group = None;
        match std::mem::take(&mut peer.member.place) {
            Place::Detached(debts) => debts,
            Place::Attached(_) => Box::default(),
        }
    }

    /// What a peer may hold that was a member and is to be one of another group:
    /// it may hold all that is advertised here.
    fn remember(&mut self, id: PeerId, debts: &mut Debts) {
        let mut several = false;
        for (f, output) in self.output.iter().enumerate() {
            debts.changed[f].union(&output.present);
            debts.resend[f] = Default::default();
            if output.has_several() {
                debts.may_hold(f, &output.present);
                several = true;
            }
        }
        if several {
            debts.name(self.serial);
            if !self.left.contains(&id) {
                self.left.push(id);
            }
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
                    let looked_at = self.process(mark, core, seq);
                    // The first is in the destination's unit.
                    *units = units.saturating_sub(looked_at - 1);
                    at = mark.successor();
                    self.walk = Some(at);
                }
                Err(Some(next)) => {
                    self.walk = Some(next);
                    return;
                }
                Err(None) if !self.knows_defaults(core) => {
                    self.walk = Some(at);
                    return;
                }
                Err(None) => break,
            }
        }
        self.process_defaults(core, seq);
        self.walk = None;
        self.flush(core, seq);
        self.end_of_rib(core, seq);
    }

    /// Whether it is known which default routes are to be made up.
    fn knows_defaults(&self, core: &Core) -> bool {
        let defaults = self.export.default_originate.iter().flatten();
        let mut conditions = defaults.filter_map(|default| default.when.as_ref());
        conditions.all(|condition| core.presence.is_known(condition))
    }

    /// So that End-of-RIB does not go ahead of a default route that is made up.
    fn process_defaults(&mut self, core: &mut Core, seq: &mut u64) {
        if self.export.default_originate.iter().any(Option::is_some) {
            for mark in core.default_marks().into_iter().flatten() {
                self.process(mark, core, seq);
            }
        }
    }

    /// Whether the destination's id stands for something here.
    pub fn needs(&self, mark: Mark, core: &Core) -> bool {
        let f = mark.family().index();
        let parting = self.parting.iter();
        self.output[f].holds(mark.dest())
            || parting
                .into_iter()
                .any(|p| p.debts.changed[f].get(mark.dest()))
            || ((self.attached as usize) < self.members.len() && self.members.iter().any(|id| {
                let place = core.peers.at(*id).map(|peer| &peer.member.place);
                matches!(place, Some(Place::Detached(debts)) if debts.changed[f].get(mark.dest()))
            }))
    }
}

fn tell(member: &mut Member, id: PeerId, events: &mut std::collections::VecDeque<RibEvent>) {
    if !member.told {
        member.told = true;
        events.push_back(RibEvent::FramesReady(id));
    }
}
