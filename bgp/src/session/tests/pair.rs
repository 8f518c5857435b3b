//! Two sessions and a network between them, in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::*;

/// splitmix64: the schedule of a run follows from its seed.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How long TCP sends again what nobody acknowledges; in truth 15 minutes.
const TCP_PATIENCE: Duration = Duration::from_secs(100);

/// One TCP connection. Index 0 or 1 is a side.
struct Link {
    ends: [Option<ConnId>; 2],
    /// Nothing overtakes within one direction: the latest arrival at each side.
    latest: [Duration; 2],
    /// The side has closed; what still arrives there is dropped.
    closed: [bool; 2],
    /// Nothing that is on its way to the side arrives any more, and nobody is told.
    lost: [bool; 2],
    /// The network holds back what goes to the side until then.
    held: [Duration; 2],
    delay: Duration,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Syn,
    SynAck,
    Refused,
    Data(Vec<u8>),
    Fin,
    /// What it sent was never acknowledged.
    TimedOut,
}

/// Time, order of creation, link, receiving side, what.
type Event = (Duration, u64, usize, usize, Happening);

pub(super) struct Side {
    pub(super) session: Session,
    links: BTreeMap<ConnId, usize>,
    buffers: BTreeMap<ConnId, BytesMut>,
    /// The link that the session is up on.
    pub(super) up: Option<usize>,
    pub(super) ups: usize,
    pub(super) reasons: Vec<DownReason>,
    pub(super) reports: Vec<SessionError>,
    /// Actions in the current virtual second, to catch busy loops.
    second: u64,
    busy: usize,
}

pub(super) struct Pair {
    pub(super) now: Duration,
    pub(super) sides: [Side; 2],
    pub(super) rng: Rng,
    links: Vec<Link>,
    events: BinaryHeap<Reverse<Event>>,
    order: u64,
    /// Longest one-way delay of a new link, in milliseconds.
    pub(super) max_delay: u64,
    /// Percentage of connections that are refused, or die at a random time.
    pub(super) refuse: u64,
    pub(super) doom: u64,
}

impl Pair {
    pub(super) fn new(a: SessionConfig, b: SessionConfig, seed: u64) -> Self {
        let side = |config, seed| Side {
            session: Session::new(config, seed, Duration::ZERO),
            links: BTreeMap::new(),
            buffers: BTreeMap::new(),
            up: None,
            ups: 0,
            reasons: Vec::new(),
            reports: Vec::new(),
            second: 0,
            busy: 0,
        };
        Pair {
            now: Duration::ZERO,
            sides: [side(a, seed), side(b, seed ^ 0x5555_5555_5555_5555)],
            rng: Rng(seed),
            links: Vec::new(),
            events: BinaryHeap::new(),
            order: 0,
            max_delay: 1,
            refuse: 0,
            doom: 0,
        }
    }

    pub(super) fn input(&mut self, side: usize, input: Input) {
        self.sides[side].session.handle_input(input, self.now);
        self.drain(side);
    }

    pub(super) fn start(&mut self) {
        self.input(0, Input::ManualStart);
        self.input(1, Input::ManualStart);
    }

    pub(super) fn state(&self, side: usize) -> State {
        self.sides[side].session.state()
    }

    /// Both Established, over the same TCP connection.
    pub(super) fn joined(&self) -> bool {
        self.sides[0].up.is_some() && self.sides[0].up == self.sides[1].up
    }

    /// Kills every connection; each side notices in its own time.
    pub(super) fn cut(&mut self) {
        for link in 0..self.links.len() {
            self.doom_at(link, self.now);
        }
    }

    /// A connection on which nothing arrives any more, at one side or at both.
    pub(super) fn lose(&mut self) {
        if let Some(link) = self.any_link() {
            let sides = [[true, true], [true, false], [false, true]];
            let lost = sides[self.rng.below(3) as usize];
            self.links[link].lost = lost;
        }
    }

    /// A connection whose one direction stands still for a while: a NOTIFICATION
    /// and the end of the stream come later than all that the next one brings.
    pub(super) fn stall(&mut self) {
        if let Some(link) = self.any_link() {
            let to = self.rng.below(2) as usize;
            let until = self.now + Duration::from_millis(self.rng.below(20_000));
            self.links[link].held[to] = until;
        }
    }

    /// One of the latest connections.
    fn any_link(&mut self) -> Option<usize> {
        let n = self.links.len().min(3) as u64;
        (n > 0).then(|| self.links.len() - 1 - self.rng.below(n) as usize)
    }

    /// The peer's next message on one of the side's connections, whatever state
    /// that is in.
    pub(super) fn inject(&mut self, side: usize, bytes: &Bytes) {
        let conns: Vec<ConnId> = self.sides[side].links.keys().copied().collect();
        if conns.is_empty() {
            return;
        }
        let conn = conns[self.rng.below(conns.len() as u64) as usize];
        self.sides[side]
            .session
            .handle_frame(conn, frame(bytes), self.now);
        self.drain(side);
    }

    /// The side vanishes without a word and comes back with an empty memory.
    pub(super) fn crash(&mut self, side: usize, seed: u64) {
        let config = self.sides[side].session.config().clone();
        for link in std::mem::take(&mut self.sides[side].links).into_values() {
            self.links[link].closed[side] = true;
        }
        let here = &mut self.sides[side];
        here.buffers.clear();
        here.up = None;
        here.session = Session::new(config, seed, self.now);
        self.input(side, Input::ManualStart);
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// The next event or timer up to `end`. False: there is none.
    pub(super) fn step(&mut self, end: Duration) -> bool {
        let event = self.events.peek().map(|Reverse(e)| e.0);
        let timers = [0, 1].map(|s| self.sides[s].session.next_deadline());
        let Some(next) = timers.into_iter().chain([event]).flatten().min() else {
            return false;
        };
        if next > end {
            return false;
        }
        self.now = self.now.max(next);
        if event == Some(next) {
            let Reverse((_, _, link, side, what)) = self.events.pop().unwrap();
            self.happen(link, side, what);
            return true;
        }
        for (side, timer) in timers.into_iter().enumerate() {
            if timer.is_some_and(|d| d <= self.now) {
                self.sides[side].session.handle_timeout(self.now);
                let next = self.sides[side].session.next_deadline();
                assert!(next.is_none_or(|d| d > self.now), "a timer fires forever");
                self.drain(side);
            }
        }
        true
    }

    fn schedule(&mut self, at: Duration, link: usize, side: usize, what: Happening) {
        self.order += 1;
        self.events
            .push(Reverse((at, self.order, link, side, what)));
    }

    /// In order behind everything else that goes this way.
    fn transmit(&mut self, link: usize, to: usize, what: Happening) {
        let jitter = Duration::from_micros(self.rng.below(self.max_delay * 300 + 1));
        let here = &mut self.links[link];
        let at = self.now + here.delay + jitter;
        let at = at.max(here.latest[to]).max(here.held[to]);
        here.latest[to] = at;
        if here.lost != [false; 2] {
            self.schedule(self.now + TCP_PATIENCE, link, 1 - to, Happening::TimedOut);
        }
        self.schedule(at, link, to, what);
    }

    fn doom_at(&mut self, link: usize, at: Duration) {
        for side in 0..2 {
            let at = at + Duration::from_millis(self.rng.below(self.max_delay + 1));
            self.schedule(at, link, side, Happening::Fin);
        }
    }

    fn happen(&mut self, link: usize, side: usize, what: Happening) {
        if self.links[link].lost[side] && what != Happening::TimedOut {
            return;
        }
        let end = self.links[link].ends[side];
        match what {
            Happening::Syn => return self.syn(link, side),
            _ if self.links[link].closed[side] => {
                // a closed socket answers data with a reset
                if matches!(what, Happening::Data(_)) && !self.links[link].closed[1 - side] {
                    self.transmit(link, 1 - side, Happening::Fin);
                }
                return;
            }
            _ => {}
        }
        let Some(conn) = end else {
            return;
        };
        match what {
            Happening::SynAck => self.input(side, Input::Connected(conn)),
            Happening::Refused => {
                self.links[link].closed[side] = true;
                self.input(side, Input::ConnectFailed(conn, "refused".into()));
            }
            Happening::Data(bytes) => self.data(side, conn, &bytes),
            Happening::Fin | Happening::TimedOut | Happening::Syn => {
                self.links[link].closed[side] = true;
                self.input(side, Input::Closed(conn, "closed by peer".into()));
            }
        }
    }

    fn syn(&mut self, link: usize, side: usize) {
        if self.links[link].closed[1 - side] && self.rng.chance(50) {
            return;
        }
        let conn = self.sides[side].session.new_conn_id();
        self.links[link].ends[side] = Some(conn);
        self.sides[side].links.insert(conn, link);
        self.transmit(link, 1 - side, Happening::SynAck);
        if self.links[link].closed[1 - side] {
            self.transmit(link, side, Happening::Fin);
        }
        self.input(side, Input::Accepted(conn));
    }

    fn data(&mut self, side: usize, conn: ConnId, bytes: &[u8]) {
        let here = &mut self.sides[side];
        let mut buffer = here.buffers.remove(&conn).unwrap_or_default();
        buffer.extend_from_slice(bytes);
        loop {
            let max = self.sides[side].session.max_receive();
            match wire::split_frame(&mut buffer, max) {
                Ok(Some(frame)) => {
                    let now = self.now;
                    self.sides[side].session.handle_frame(conn, frame, now);
                    self.drain(side);
                }
                Ok(None) => break,
                Err(fault) => {
                    self.input(side, Input::BadFrame(conn, fault));
                    break;
                }
            }
        }
        self.sides[side].buffers.insert(conn, buffer);
    }

    fn drain(&mut self, side: usize) {
        while let Some(action) = self.sides[side].session.poll_action() {
            self.count(side);
            self.act(side, action);
        }
        let here = &self.sides[side];
        let established = here.session.state() == State::Established;
        assert_eq!(
            here.up.is_some(),
            established,
            "Up and Down follow the state"
        );
    }

    fn count(&mut self, side: usize) {
        let second = self.now.as_secs();
        let here = &mut self.sides[side];
        if here.second != second {
            (here.second, here.busy) = (second, 0);
        }
        here.busy += 1;
        assert!(here.busy < 200, "busy loop in second {second}");
    }

    fn act(&mut self, side: usize, action: Action) {
        match action {
            Action::Connect(conn) => {
                let link = self.links.len();
                let mut ends = [None; 2];
                ends[side] = Some(conn);
                let delay = Duration::from_micros(self.rng.below(self.max_delay * 1000 + 1));
                self.links.push(Link {
                    ends,
                    latest: [Duration::ZERO; 2],
                    closed: [false; 2],
                    lost: [false; 2],
                    held: [Duration::ZERO; 2],
                    delay,
                });
                self.sides[side].links.insert(conn, link);
                if self.rng.chance(self.refuse) {
                    self.transmit(link, side, Happening::Refused);
                } else {
                    self.transmit(link, 1 - side, Happening::Syn);
                }
                if self.rng.chance(self.doom) {
                    let after = Duration::from_millis(self.rng.below(self.max_delay * 8 + 1));
                    self.doom_at(link, self.now + after);
                }
            }
            Action::Send { conn, bytes, .. } => {
                let link = self.sides[side].links[&conn];
                if !self.links[link].closed[side] {
                    self.transmit(link, 1 - side, Happening::Data(bytes.to_vec()));
                }
            }
            Action::Close(conn) => {
                if let Some(link) = self.sides[side].links.remove(&conn)
                    && !self.links[link].closed[side]
                {
                    self.links[link].closed[side] = true;
                    self.transmit(link, 1 - side, Happening::Fin);
                }
            }
            Action::Up(conn, ..) => {
                let here = &mut self.sides[side];
                assert!(here.up.is_none(), "up twice");
                here.up = Some(here.links[&conn]);
                here.ups += 1;
            }
            Action::Down(reason, _) => {
                let here = &mut self.sides[side];
                assert!(here.up.take().is_some(), "down without up");
                here.reasons.push(reason);
            }
            Action::Refresh(_) | Action::RefreshExpired(_) | Action::BadMessage { .. } => {}
            // Its peer is never expected back.
            Action::StaleExpired(_) => panic!("nothing was kept"),
            Action::Report(error) => self.sides[side].reports.push(error),
        }
    }
}
