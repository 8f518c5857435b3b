//! The two byte-bounded queues between a peer's task and the RIB thread.
//!
//! A port lives as long as one established session. What a dead session left in
//! its queues can therefore never be taken for the next one's.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use godwit_bgp::Family;
use godwit_bgp::wire::Update;
use godwit_rib::{LimitNews, PeerId};
use tokio::sync::Notify;

use crate::peer::PeerName;
use crate::sync::lock;

/// Received and not yet decided. A burst that arrives at 1 byte below is still
/// taken, so the true bound is this and one read buffer.
pub const INPUT_LIMIT: usize = 1 << 20;
/// Reading goes on below this.
const INPUT_RESUME: usize = INPUT_LIMIT / 2;
/// Encoded and not yet written. The bytes are shared by all members of an update
/// group, so a hundred peers that keep pace hold them once.
pub const OUTPUT_LIMIT: usize = 512 << 10;
/// The peer's task asks for more below this.
const OUTPUT_REFILL: usize = OUTPUT_LIMIT / 2;

/// What a peer tells the RIB.
#[derive(Debug)]
pub enum Item {
    Update(Update),
    /// It begins to announce the family anew (RFC 7313).
    RefreshBegin(Family),
    /// It is through with that, or has had the time to be.
    RefreshEnd(Family),
    /// It had the time to announce again what was kept while it restarted
    /// (RFC 4724).
    StaleOver(Family),
}

/// What one burst of reading gave, in order of arrival.
#[derive(Debug, Default)]
pub struct Batch {
    pub items: Vec<Item>,
    /// Octets of the messages, headers included.
    pub bytes: usize,
}

pub struct Port {
    pub name: PeerName,
    input: Mutex<Input>,
    output: Mutex<Output>,
    /// Told when there is room again in the input, or frames in the output.
    wake: Notify,
    /// Octets in the input, for status.
    input_bytes: AtomicU64,
    /// The session's number in the RIB, once that thread has taken it up.
    id: OnceLock<PeerId>,
    /// What the peer's task has not heard of prefix limits: of each kind one.
    limit_news: Mutex<Vec<LimitNews>>,
    has_limit_news: AtomicBool,
    /// Families whose End-of-RIB came (RFC 4724 §2).
    end_of_rib: [AtomicBool; Family::COUNT],
    /// Families of which the peer is to be sent all routes again, and the RIB
    /// thread has not begun to (RFC 2918).
    refresh: [AtomicBool; Family::COUNT],
}

#[derive(Default)]
struct Input {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// The port stands in the RIB thread's round, or is being served.
    scheduled: bool,
    /// The peer's task found no room and waits.
    waiting: bool,
    closed: bool,
}

#[derive(Default)]
struct Output {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// The RIB had more for this peer than there was room.
    more: bool,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Port {
    pub fn new(name: PeerName) -> Port {
        Port {
            name,
            input: Mutex::default(),
            output: Mutex::default(),
            wake: Notify::new(),
            input_bytes: AtomicU64::new(0),
            id: OnceLock::new(),
            limit_news: Mutex::default(),
            has_limit_news: AtomicBool::new(false),
            end_of_rib: Default::default(),
            refresh: Default::default(),
        }
    }

    /// The session's number in the RIB; none until the RIB thread has heard of it.
    pub fn id(&self) -> Option<PeerId> {
        self.id.get().copied()
    }

    pub fn end_of_rib(&self, family: Family) -> bool {
        let flag = self.end_of_rib.get(family.index());
        flag.is_some_and(|f| f.load(Ordering::Relaxed))
    }

    /// True the first time.
    pub(super) fn mark_end_of_rib(&self, family: Family) -> bool {
        let flag = self.end_of_rib.get(family.index());
        flag.is_some_and(|f| !f.swap(true, Ordering::Relaxed))
    }

    /// Notes that all routes of the family are wanted again. False: that is
    /// noted already, and the answer to it will serve this request too.
    pub(super) fn ask_refresh(&self, family: Family) -> bool {
        let flag = self.refresh.get(family.index());
        flag.is_some_and(|f| !f.swap(true, Ordering::AcqRel))
    }

    /// The request is about to be served: another one counts anew.
    pub(super) fn take_refresh(&self, family: Family) {
        if let Some(flag) = self.refresh.get(family.index()) {
            flag.store(false, Ordering::Release);
        }
    }

    pub(super) fn set_id(&self, id: PeerId) {
        // Set once, by `peer_up`, which runs once a port.
        let _ = self.id.set(id);
    }

    /// What was said of prefix limits since it was asked last.
    pub fn take_limit_news(&self) -> Vec<LimitNews> {
        if !self.has_limit_news.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        mem::take(&mut *lock(&self.limit_news))
    }

    pub(super) fn limit_news(&self, news: LimitNews) {
        let mut waiting = lock(&self.limit_news);
        // The newest of a kind says all that there is to say.
        waiting.retain(|old| !same_kind(old, &news));
        waiting.push(news);
        drop(waiting);
        self.has_limit_news.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Waits for room in the input, news of limits or frames in the output; may wake for nothing.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Octets received and not yet decided.
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes.load(Ordering::Relaxed)
    }

    // The peer's side.

    /// Queues what was read. True: the port was idle and must be put into the RIB thread's round.
    pub(super) fn push(&self, batch: Batch) -> bool {
        let mut input = lock(&self.input);
        if input.closed || batch.items.is_empty() {
            return false;
        }
        input.bytes += batch.bytes;
        input.batches.push_back(batch);
        self.input_bytes
            .store(input.bytes as u64, Ordering::Relaxed);
        !mem::replace(&mut input.scheduled, true)
    }

    /// Whether the peer may read on. When not, [`Port::changed`] tells when to ask again.
    pub fn has_room(&self) -> bool {
        let mut input = lock(&self.input);
        let limit = if input.waiting {
            INPUT_RESUME
        } else {
            INPUT_LIMIT
        };
        input.waiting = input.bytes >= limit;
        !input.waiting
    }

    /// Moves up to `max` octets of frames (at least one frame, if there is one) into
    /// `into`. True: the queue ran low and the RIB has more; ask it.
    pub(super) fn take_frames(&self, max: usize, into: &mut VecDeque<Bytes>) -> (usize, bool) {
        let mut output = lock(&self.output);
        let mut taken = 0;
        while taken < max {
            let Some(frame) = output.frames.pop_front() else {
                break;
            };
            taken += frame.len();
            into.push_back(frame);
        }
        output.bytes -= taken;
        let refill = output.more && output.bytes < OUTPUT_REFILL;
        if refill {
            output.more = false;
        }
        (taken, refill)
    }

    // The RIB thread's side.

    /// Takes the oldest batch. None: the port leaves the round.
    pub(super) fn pop(&self) -> Option<Batch> {
        let mut input = lock(&self.input);
        let batch = input.batches.pop_front();
        if batch.is_none() {
            input.scheduled = false;
        }
        batch
    }

    /// Gives room back once a batch was worked off.
    pub(super) fn release(&self, bytes: usize) {
        let mut input = lock(&self.input);
        input.bytes = input.bytes.saturating_sub(bytes);
        self.input_bytes
            .store(input.bytes as u64, Ordering::Relaxed);
        let wake = input.waiting && input.bytes < INPUT_RESUME;
        drop(input);
        if wake {
            self.wake.notify_one();
        }
    }

    /// No more input: what is queued is dropped.
    pub(super) fn close(&self) {
        let mut input = lock(&self.input);
        input.closed = true;
        input.batches.clear();
        input.bytes = 0;
        self.input_bytes.store(0, Ordering::Relaxed);
    }

    pub(super) fn output_room(&self) -> usize {
        OUTPUT_LIMIT.saturating_sub(lock(&self.output).bytes)
    }

    /// Queues frames for the peer. `more`: the RIB keeps back what found no room.
    /// True: there is room for that again already, and nobody will ask for it.
    pub(super) fn put_frames(&self, frames: &mut Vec<Bytes>, more: bool) -> bool {
        let mut output = lock(&self.output);
        output.bytes += frames.iter().map(Bytes::len).sum::<usize>();
        let wake = !frames.is_empty();
        output.frames.extend(frames.drain(..));
        let again = more && output.bytes < OUTPUT_REFILL;
        output.more = more && !again;
        drop(output);
        if wake {
            self.wake.notify_one();
        }
        again
    }
}

fn same_kind(a: &LimitNews, b: &LimitNews) -> bool {
    let kind = |news: &LimitNews| {
        let (LimitNews::InNear(family, _)
        | LimitNews::InExceeded(family, _)
        | LimitNews::InRelieved { family, .. }
        | LimitNews::OutNear(family, _)
        | LimitNews::OutExceeded(family, _)) = news;
        (mem::discriminant(news), *family)
    };
    kind(a) == kind(b)
}

#[cfg(test)]
mod tests;
