#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod collision;
mod errors;
mod graceful;
mod negotiation;
mod pair;
mod random;
mod refresh;
mod timers;
mod transitions;

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::types::{Asn, Family, Role, RouterId};
use crate::wire::{self, Frame, MessageType, Notification, Open};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// AS 65001, identifier 10.0.0.1, peer AS 65002.
fn config() -> SessionConfig {
    SessionConfig::new(Asn(65001), RouterId(0x0a00_0001), RemoteAs::Asn(Asn(65002)))
}

/// The peer's view of [`config`]: AS 65002, identifier 10.0.0.2.
fn peer_config() -> SessionConfig {
    SessionConfig::new(Asn(65002), RouterId(0x0a00_0002), RemoteAs::Asn(Asn(65001)))
}

fn frame(bytes: &Bytes) -> Frame {
    let mut buf = BytesMut::from(&bytes[..]);
    wire::split_frame(&mut buf, wire::MAX_EXTENDED)
        .unwrap()
        .unwrap()
}

fn raw(kind: MessageType, body: &'static [u8]) -> Frame {
    Frame {
        kind,
        body: Bytes::from_static(body),
    }
}

fn keepalive() -> Frame {
    frame(&wire::keepalive())
}

fn end_of_rib() -> Frame {
    raw(MessageType::Update, &[0, 0, 0, 0])
}

/// One session under test, driven by hand.
struct Lone {
    session: Session,
    now: Duration,
}

impl Lone {
    fn new(config: SessionConfig) -> Self {
        Lone {
            session: Session::new(config, 42, Duration::ZERO),
            now: Duration::ZERO,
        }
    }

    fn started(config: SessionConfig) -> Self {
        let mut lone = Self::new(config);
        lone.input(Input::ManualStart);
        lone
    }

    fn input(&mut self, input: Input) {
        self.session.handle_input(input, self.now);
    }

    fn frame(&mut self, conn: ConnId, frame: Frame) -> Option<Event> {
        self.session.handle_frame(conn, frame, self.now)
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.poll_action()).collect()
    }

    fn state(&self) -> State {
        self.session.state()
    }

    /// Advances to `at`, firing each timer at its own time.
    fn run_until(&mut self, at: Duration) {
        while let Some(deadline) = self.session.next_deadline().filter(|d| *d <= at) {
            assert!(deadline >= self.now, "a timer was due in the past");
            self.now = deadline;
            self.session.handle_timeout(deadline);
            assert!(
                self.session.next_deadline().is_none_or(|d| d > self.now),
                "a timer that fired is still due"
            );
        }
        self.now = at;
    }

    fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// The id of the attempt among the actions, which are consumed.
    fn attempt(&mut self) -> ConnId {
        connects(&self.actions())[0]
    }

    /// An accepted connection in OpenSent; actions consumed.
    fn accept(&mut self) -> ConnId {
        let id = self.session.new_conn_id();
        self.input(Input::Accepted(id));
        id
    }

    /// Outgoing, in OpenSent; actions consumed.
    fn open_sent(config: SessionConfig) -> (Self, ConnId) {
        let mut lone = Self::started(config);
        let conn = lone.attempt();
        lone.input(Input::Connected(conn));
        lone.actions();
        assert_eq!(lone.state(), State::OpenSent);
        (lone, conn)
    }

    fn open_confirm(config: SessionConfig, open: &Open) -> (Self, ConnId) {
        let (mut lone, conn) = Self::open_sent(config);
        lone.frame(conn, frame(&open.encode()));
        lone.actions();
        assert_eq!(lone.state(), State::OpenConfirm);
        (lone, conn)
    }

    fn established(config: SessionConfig) -> (Self, ConnId) {
        let (mut lone, conn) = Self::open_confirm(config, &peer_open());
        lone.frame(conn, keepalive());
        lone.actions();
        assert_eq!(lone.state(), State::Established);
        (lone, conn)
    }

    /// In the given one of the three states that have a connection.
    fn in_state(state: State) -> (Self, ConnId) {
        match state {
            State::OpenSent => Self::open_sent(config()),
            State::OpenConfirm => Self::open_confirm(config(), &peer_open()),
            _ => Self::established(config()),
        }
    }
}

const WITH_CONNECTION: [State; 3] = [State::OpenSent, State::OpenConfirm, State::Established];

fn peer_open() -> Open {
    peer_config().open(false)
}

fn connects(actions: &[Action]) -> Vec<ConnId> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Connect(id) => Some(*id),
            _ => None,
        })
        .collect()
}

fn closes(actions: &[Action]) -> Vec<ConnId> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Close(id) => Some(*id),
            _ => None,
        })
        .collect()
}

fn sent(actions: &[Action]) -> Vec<(ConnId, Frame)> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Send { conn, bytes, .. } => Some((*conn, frame(bytes))),
            _ => None,
        })
        .collect()
}

fn kinds(actions: &[Action]) -> Vec<MessageType> {
    sent(actions).into_iter().map(|(_, f)| f.kind).collect()
}

fn notifications(actions: &[Action]) -> Vec<Notification> {
    sent(actions)
        .into_iter()
        .filter(|(_, f)| f.kind == MessageType::Notification)
        .map(|(_, f)| Notification::decode(&f.body).unwrap())
        .collect()
}

/// The one NOTIFICATION sent, as code and subcode.
fn fault(actions: &[Action]) -> (u8, u8) {
    let all = notifications(actions);
    assert_eq!(all.len(), 1, "expected one NOTIFICATION: {actions:?}");
    (all[0].code, all[0].subcode)
}

fn downs(actions: &[Action]) -> Vec<DownReason> {
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Down(reason, _) => Some(reason.clone()),
            _ => None,
        })
        .collect()
}

fn ups(actions: &[Action]) -> usize {
    actions
        .iter()
        .filter(|a| matches!(a, Action::Up(..)))
        .count()
}
