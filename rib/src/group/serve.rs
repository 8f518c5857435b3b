//! Frames for one member: the runs that it shares with others, or its own.

use bytes::{Bytes, BytesMut};
use godwit_bgp::Family;
use godwit_bgp::wire::RouteRefresh;
use smallvec::SmallVec;

use super::member::Refresh;
use super::queue::{Audience, Bucket, PathMark, Queue, encode};
use super::retired::Others;
use super::runs::Run;
use super::{Group, Output, Place, tell};
use crate::api::PeerId;
use crate::core::Core;
use crate::interner::AttrId;
use crate::peers::Peer;
use crate::ring::Mark;

/// Routes of a family encoded at once for a detached member: destinations, or
/// paths where several go out.
const SLICE: usize = 2048;

impl Group {
    /// All that there is has been queued: tell those who have not heard.
    pub(super) fn end_of_rib(&mut self, core: &mut Core, seq: &mut u64) {
        for id in self.members.clone() {
            let Some(peer) = core.peers.at_mut(id) else {
                continue;
            };
            // Detached ones are told when they owe nothing.
            let attached = matches!(peer.member.place, Place::Attached(_));
            for family in Family::ALL {
                let owes = &mut peer.member.owes_end_of_rib[family.index()];
                if attached && std::mem::take(owes) {
                    let mut bytes = BytesMut::new();
                    self.export.encoder.end_of_rib(family, &mut bytes);
                    *seq += 1;
                    let mut run = Run::new(bytes.freeze(), Audience::Only(id), *seq);
                    run.end_of_rib = Some(family);
                    self.runs.push(run, self.attached);
                }
            }
            tell(&mut peer.member, id, &mut core.events);
        }
    }

    /// Frames for a member, about `max` bytes. True: there is more now.
    pub(super) fn poll(
        &mut self,
        id: PeerId,
        max: usize,
        out: &mut Vec<Bytes>,
        core: &mut Core,
        others: &Others<'_>,
        seq: &mut u64,
    ) -> bool {
        let mut room = max;
        loop {
            let Some(peer) = core.peers.at_mut(id) else {
                return false;
            };
            match &mut peer.member.place {
                Place::Attached(cursor) => {
                    let Some(run) = self.runs.at(*cursor) else {
                        peer.member.told = false;
                        return false;
                    };
                    if run.audience.includes(id) {
                        if room == 0 {
                            return true;
                        }
                        room = room.saturating_sub(run.bytes.len());
                        out.push(run.bytes.clone());
                    }
                    *cursor += 1;
                    let passed = *cursor - 1;
                    self.runs.passed(passed, 1);
                }
                Place::Detached(debts) if debts.is_incomplete() => {
                    // Told again when it is let go.
                    peer.member.told = false;
                    return false;
                }
                Place::Detached(_) => {
                    if room == 0 {
                        return true;
                    }
                    self.begin_refreshes(id, out, core);
                    let settled = self.settle(id, core, others);
                    let idle = settled.is_none();
                    if let Some(bytes) = settled.filter(|bytes| !bytes.is_empty()) {
                        room = room.saturating_sub(bytes.len());
                        out.push(bytes);
                    }
                    if !self.pay_ends(id, out, core) && idle && !self.rejoin(id, core, seq) {
                        return false;
                    }
                }
            }
        }
    }

    /// Begins the refreshes that a detached member waits for, each after the
    /// family's End-of-RIB and after the one before it (RFC 7313 §4).
    fn begin_refreshes(&mut self, id: PeerId, out: &mut Vec<Bytes>, core: &mut Core) {
        let Some(Peer { member, .. }) = core.peers.at_mut(id) else {
            return;
        };
        let Place::Detached(debts) = &mut member.place else {
            return;
        };
        for family in Family::ALL {
            let f = family.index();
            let refresh = &mut member.refresh[f];
            if refresh.asked && !refresh.begun && !member.owes_end_of_rib[f] {
                *refresh = Refresh {
                    asked: false,
                    begun: true,
                };
                debts.resend[f].union(&self.output[f].present);
                out.push(mark(family, RouteRefresh::BEGIN));
            }
        }
    }

    /// The End-of-RIB, or the end of a refresh, of each family of which a
    /// detached member has been sent what there was when the one or the other
    /// began (RFC 4724 §3, RFC 7313 §4). True: there was one.
    fn pay_ends(&mut self, id: PeerId, out: &mut Vec<Bytes>, core: &mut Core) -> bool {
        let before = out.len();
        if self.walk.is_none()
            && let Some(Peer { member, .. }) = core.peers.at_mut(id)
            && let Place::Detached(debts) = &mut member.place
        {
            for family in Family::ALL {
                let f = family.index();
                if member.owes_end_of_rib[f] && debts.first_is_sent(f) {
                    member.owes_end_of_rib[f] = false;
                    let mut bytes = BytesMut::new();
                    self.export.encoder.end_of_rib(family, &mut bytes);
                    out.push(bytes.freeze());
                }
                if member.refresh[f].begun && debts.resend[f].is_empty() {
                    member.refresh[f].begun = false;
                    out.push(mark(family, RouteRefresh::END));
                }
            }
        }
        out.len() > before
    }

    /// Attaches a member of which nothing is owed. False: what is left lies
    /// where a walk has not been yet, whose end will tell it.
    fn rejoin(&mut self, id: PeerId, core: &mut Core, seq: &mut u64) -> bool {
        let Some(Peer { member, .. }) = core.peers.at_mut(id) else {
            return false;
        };
        let settled = matches!(&member.place, Place::Detached(debts) if debts.is_empty());
        if !settled || member.is_refreshing() {
            member.told = false;
            return false;
        }
        self.attach(id, core, seq);
        true
    }

    /// Makes frames of some of what a detached member owes. `None`: all that is
    /// left lies where a walk has not been yet.
    fn settle(&mut self, id: PeerId, core: &mut Core, others: &Others<'_>) -> Option<Bytes> {
        let end = self.walk;
        let Core {
            peers,
            tables,
            attrs,
            ..
        } = core;
        let Place::Detached(debts) = &mut peers.at_mut(id)?.member.place else {
            return None;
        };
        let named = debts.named();
        let former = named.iter().filter_map(|group| others.output(*group));
        let former: SmallVec<[&[Output; 2]; 1]> = former.collect();
        let mut queue = Queue::<Mark>::default();
        let mut paths = Queue::<PathMark>::default();
        let bucket = |family, attr| Bucket {
            audience: Audience::All,
            family,
            attr,
        };
        let mut any = false;
        for family in Family::ALL {
            let f = family.index();
            let output = &self.output[f];
            let mut routes = 0;
            while routes < SLICE {
                let settled = |dest| end.is_none_or(|end| Mark::new(family, dest) < end);
                let Some((dest, changed)) = debts.next(f, settled) else {
                    break;
                };
                let mark = Mark::new(family, dest);
                any = true;
                debts.settle(f, dest);
                if output.has_several() {
                    let mut gone = debts.take_gone(f, dest);
                    if debts.take_former(f, dest) {
                        let held = former.iter().flat_map(|former| former[f].entries(dest));
                        let held = held.filter(|(_, out)| out.for_member(id).is_some());
                        gone.extend(held.map(|(path, _)| path));
                    }
                    let before = paths.len();
                    let mut sent: SmallVec<[u32; 8]> = SmallVec::new();
                    for (path, out) in output.entries(dest) {
                        if let Some(attr) = out.for_member(id) {
                            sent.push(path);
                            paths.push(bucket(family, attr), PathMark { mark, path });
                        }
                    }
                    gone.sort_unstable();
                    gone.dedup();
                    sent.sort_unstable();
                    gone.retain(|path| sent.binary_search(path).is_err());
                    for path in gone {
                        paths.push(bucket(family, AttrId::NONE), PathMark { mark, path });
                    }
                    routes += (paths.len() - before).max(1);
                    continue;
                }
                routes += 1;
                let attr = output.load(dest).for_member(id);
                if attr.is_some() || changed {
                    queue.push(bucket(family, attr.unwrap_or(AttrId::NONE)), mark);
                }
            }
        }
        if !any {
            return None;
        }
        let mut bytes = BytesMut::new();
        let encoder = &mut self.export.encoder;
        queue.drain(|bucket, marks| encode(encoder, bucket, marks, tables, attrs, &mut bytes));
        paths.drain(|bucket, paths| encode(encoder, bucket, paths, tables, attrs, &mut bytes));
        Some(bytes.freeze())
    }
}

fn mark(family: Family, subtype: u8) -> Bytes {
    let afi_safi = family.afi_safi();
    RouteRefresh { afi_safi, subtype }.encode()
}
