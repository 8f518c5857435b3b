//! The loop of the RIB thread: slices of at most [`SLICE`] for input, decisions
//! and output in turn, so that whoever asks waits no longer than a few of them.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread, vec};

use bytes::Bytes;
use godwit_bgp::Family;
use godwit_fib::FibHandle;
use godwit_rib::{FibChange, PeerId, PeerSpec, Rib, RibEvent, TapId};
use tokio::sync::{Notify, mpsc};
use tracing::error;

use super::inbox::{Inbox, Waiting};
use super::port::{Item, Port};
use super::{Notice, Notices, RibHandle};
use crate::clock;

/// No stretch of input, decisions or output takes longer, save for one UPDATE
/// message or one unit of the RIB's work.
const SLICE: Duration = Duration::from_millis(1);
/// Units of [`Rib::work`] between two looks at the clock.
const UNITS: usize = 256;
/// Changes handed to the fib thread at once.
const FIB_BATCH: usize = 1024;

/// Starts the thread.
pub fn spawn(
    rib: Rib,
    fib: Option<FibHandle>,
    inbox: Arc<Inbox>,
) -> io::Result<(RibHandle, Notices, JoinHandle<()>)> {
    let (notices, receiver) = mpsc::unbounded_channel();
    let handle = RibHandle::new(Arc::clone(&inbox));
    let core = Core {
        rib,
        sessions: Vec::new(),
        round: VecDeque::new(),
        current: None,
        sending: VecDeque::new(),
        frames: Vec::new(),
        fib,
        fib_batch: Vec::new(),
        fib_waits: false,
        sweep: false,
        taps: Vec::new(),
        notices,
    };
    let thread = thread::Builder::new()
        .name("rib".to_owned())
        .spawn(move || {
            let notices = core.notices.clone();
            if catch_unwind(AssertUnwindSafe(|| core.run(&inbox))).is_err() {
                error!("the RIB thread panicked; stopping");
                let _ = notices.send(Notice::Failed);
            }
        })?;
    Ok((handle, receiver, thread))
}

pub(super) struct Core {
    pub(super) rib: Rib,
    /// By peer id.
    sessions: Vec<Option<Session>>,
    /// Ports with input, served one batch each in turn.
    round: VecDeque<Arc<Port>>,
    current: Option<Current>,
    /// Peers with frames to fetch and room for them.
    sending: VecDeque<PeerId>,
    frames: Vec<Bytes>,
    fib: Option<FibHandle>,
    /// Pulled from the RIB and refused by a full fib queue.
    fib_batch: Vec<FibChange>,
    fib_waits: bool,
    /// Tell the fib thread to sweep once all work is done.
    sweep: bool,
    pub(super) taps: Vec<(TapId, Arc<Notify>)>,
    notices: mpsc::UnboundedSender<Notice>,
}

struct Session {
    port: Arc<Port>,
    /// The RIB has frames for the peer.
    ready: bool,
}

/// The batch that is being worked off.
struct Current {
    port: Arc<Port>,
    id: PeerId,
    items: vec::IntoIter<Item>,
    bytes: usize,
}

impl Core {
    fn run(mut self, inbox: &Inbox) {
        inbox.attach();
        let mut waiting = Waiting::default();
        loop {
            inbox.take(&mut waiting);
            if waiting.stop {
                return;
            }
            self.read_inbox(&mut waiting);
            let mut busy = self.serve_input();
            busy |= self.decide();
            self.read_events();
            busy |= self.serve_output();
            busy |= self.feed_fib();
            if !busy {
                self.settled();
                inbox.park();
            }
        }
    }

    fn read_inbox(&mut self, waiting: &mut Waiting) {
        for job in waiting.jobs.drain(..) {
            job(self);
        }
        if !waiting.acks.is_empty() {
            self.rib.fib_done(&waiting.acks);
            waiting.acks.clear();
        }
        for (next_hop, state) in waiting.next_hops.drain(..) {
            self.rib.next_hop(next_hop, state);
        }
        self.round.extend(waiting.input.drain(..));
        for port in waiting.output.drain(..) {
            let id = self.id_of(&port);
            self.sending.extend(id);
        }
        if mem::take(&mut waiting.fib_ready) {
            self.fib_waits = false;
        }
    }

    pub(super) fn peer_up(
        &mut self,
        port: &Arc<Port>,
        spec: PeerSpec,
        back: Option<(Arc<Port>, [bool; Family::COUNT])>,
    ) {
        let now = clock::now();
        let back = back.and_then(|(old, keep)| Some((self.id_of(&old)?, keep)));
        let id = match back {
            Some((id, keep)) => self.rib.peer_back(id, spec, keep, now),
            None => self.rib.peer_up(spec, now),
        };
        if let Some((old, _)) = back
            && let Some(slot) = self.sessions.get_mut(usize::from(old.0))
        {
            *slot = None;
        }
        port.set_id(id);
        let index = usize::from(id.0);
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.sessions.get_mut(index) {
            *slot = Some(Session {
                port: Arc::clone(port),
                ready: false,
            });
        }
    }

    pub(super) fn peer_down(&mut self, port: &Arc<Port>) {
        self.close(port);
        if let Some(id) = self.id_of(port) {
            if let Some(slot) = self.sessions.get_mut(usize::from(id.0)) {
                *slot = None;
            }
            self.rib.peer_down(id);
        }
    }

    /// The session stays known by its port: what is kept is named by it.
    pub(super) fn peer_away(&mut self, port: &Arc<Port>, keep: [bool; Family::COUNT]) {
        self.close(port);
        if let Some(id) = self.id_of(port) {
            self.rib.peer_away(id, keep);
        }
    }

    fn close(&mut self, port: &Arc<Port>) {
        port.close();
        if self
            .current
            .as_ref()
            .is_some_and(|c| Arc::ptr_eq(&c.port, port))
        {
            self.current = None;
        }
    }

    /// The peer's id, while this is its session: another may have it later.
    pub(super) fn id_of(&mut self, port: &Arc<Port>) -> Option<PeerId> {
        let id = port.id()?;
        let session = self.session(id)?;
        Arc::ptr_eq(&session.port, port).then_some(id)
    }

    fn session(&mut self, id: PeerId) -> Option<&mut Session> {
        self.sessions.get_mut(usize::from(id.0))?.as_mut()
    }

    /// Takes up to a slice of what peers sent. True: there is more.
    fn serve_input(&mut self) -> bool {
        let end = Instant::now() + SLICE;
        let now = clock::now();
        loop {
            let Some(current) = &mut self.current else {
                if !self.next_batch() {
                    return false;
                }
                continue;
            };
            if let Some(item) = current.items.next() {
                match item {
                    Item::Update(update) => self.rib.update(current.id, &update, now),
                    Item::RefreshBegin(family) => self.rib.refresh_begin(current.id, family),
                    Item::RefreshEnd(family) => self.rib.refresh_end(current.id, family),
                    Item::StaleOver(family) => self.rib.stale_over(current.id, family),
                }
                if Instant::now() >= end {
                    return true;
                }
            } else {
                current.port.release(current.bytes);
                let port = Arc::clone(&current.port);
                self.current = None;
                self.round.push_back(port);
            }
        }
    }

    fn next_batch(&mut self) -> bool {
        while let Some(port) = self.round.pop_front() {
            if let Some(batch) = port.pop()
                && let Some(id) = port.id()
            {
                self.current = Some(Current {
                    port,
                    id,
                    items: batch.items.into_iter(),
                    bytes: batch.bytes,
                });
                return true;
            }
        }
        false
    }

    fn decide(&mut self) -> bool {
        let end = Instant::now() + SLICE;
        while self.rib.work(UNITS) {
            if Instant::now() >= end {
                return true;
            }
        }
        false
    }

    fn read_events(&mut self) {
        while let Some(event) = self.rib.poll_event() {
            match event {
                RibEvent::FramesReady(id) => {
                    if let Some(session) = self.session(id)
                        && !mem::replace(&mut session.ready, true)
                    {
                        self.sending.push_back(id);
                    }
                }
                RibEvent::EndOfRib(id, family) => {
                    if let Some(session) = self.session(id)
                        && session.port.mark_end_of_rib(family)
                    {
                        let name = session.port.name;
                        let _ = self.notices.send(Notice::EndOfRib(name, family));
                    }
                }
                RibEvent::TrackNextHop(next_hop) => {
                    if let Some(fib) = &self.fib {
                        fib.track(next_hop);
                    }
                }
                RibEvent::UntrackNextHop(next_hop) => {
                    if let Some(fib) = &self.fib {
                        fib.untrack(next_hop);
                    }
                }
                RibEvent::TapReady(id) => {
                    if let Some((_, ready)) = self.taps.iter().find(|(tap, _)| *tap == id) {
                        ready.notify_one();
                    }
                }
                RibEvent::Limit(id, news) => {
                    if let Some(session) = self.session(id) {
                        session.port.limit_news(news);
                    }
                }
                // Looked at on every turn.
                RibEvent::FibReady | RibEvent::PeerGone(_) => {}
            }
        }
    }

    /// Moves up to a slice of frames to the peers that have room.
    fn serve_output(&mut self) -> bool {
        let end = Instant::now() + SLICE;
        while let Some(id) = self.sending.pop_front() {
            let Some(session) = self
                .sessions
                .get_mut(usize::from(id.0))
                .and_then(Option::as_mut)
            else {
                continue;
            };
            let room = session.port.output_room();
            let more = room == 0 || self.rib.poll_frames(id, room, &mut self.frames);
            session.ready = more;
            if session.port.put_frames(&mut self.frames, more) {
                self.sending.push_back(id);
            }
            if Instant::now() >= end {
                return true;
            }
        }
        false
    }

    /// Hands up to a slice of changes to the fib thread, or fills its queue.
    fn feed_fib(&mut self) -> bool {
        let end = Instant::now() + SLICE;
        while self.feed_fib_once() {
            if Instant::now() >= end {
                return true;
            }
        }
        false
    }

    fn feed_fib_once(&mut self) -> bool {
        let Some(fib) = &self.fib else { return false };
        if self.fib_waits {
            return false;
        }
        if self.fib_batch.is_empty() {
            // It may have looked at many changes and found none for the kernel.
            let more = self.rib.poll_fib(&mut self.fib_batch, FIB_BATCH);
            if self.fib_batch.is_empty() {
                return more;
            }
        }
        match fib.try_send(mem::take(&mut self.fib_batch)) {
            Ok(()) => true,
            Err(full) => {
                self.fib_batch = full.0;
                self.fib_waits = true;
                false
            }
        }
    }

    pub(super) fn close_tap(&mut self, id: TapId) {
        self.rib.close_tap(id);
        self.taps.retain(|(tap, _)| *tap != id);
    }

    pub(super) fn sweep_when_settled(&mut self) {
        self.sweep = true;
    }

    fn settled(&mut self) {
        if self.sweep
            && self.fib_batch.is_empty()
            && let Some(fib) = &self.fib
        {
            self.sweep = false;
            fib.end_of_rib_complete();
        }
    }
}
