//! Packets, the table of states, and pairs of sessions over a virtual path.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod pair;
mod wire;

use std::num::NonZeroU32;
use std::time::Duration;

use super::packet::{Diagnostic, Packet, State};
use super::session::{Change, Session, SessionConfig};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn config(interval: Duration, detect_mult: u8) -> SessionConfig {
    SessionConfig {
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_mult,
        control_plane_independent: true,
    }
}

fn session(discriminator: u32) -> Session {
    let discriminator = NonZeroU32::new(discriminator).unwrap();
    Session::new(discriminator, config(50 * MS, 3), 7)
}

/// A packet of the other end, whose session is called 9.
fn says(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: 3,
        my_discriminator: NonZeroU32::new(9).unwrap(),
        your_discriminator: 1,
        desired_min_tx: 50 * MS,
        required_min_rx: 50 * MS,
        required_min_echo_rx: Duration::ZERO,
    }
}

/// Everything that is due at `now`.
fn sent(session: &mut Session, now: Duration) -> Vec<Packet> {
    std::iter::from_fn(|| session.poll_transmit(now)).collect()
}

/// A session in `state`, its packets taken.
fn in_state(state: State) -> Session {
    let mut session = session(1);
    match state {
        State::AdminDown => {
            session.set_admin_down(true, Duration::ZERO);
        }
        State::Down => {}
        State::Init => {
            session.receive(&says(State::Down), Duration::ZERO);
        }
        State::Up => {
            session.receive(&says(State::Init), Duration::ZERO);
        }
    }
    assert_eq!(session.state(), state);
    sent(&mut session, Duration::ZERO);
    session
}

#[test]
fn each_state_follows_what_is_received() {
    use State::{AdminDown, Down, Init, Up};
    let neighbor_down = Some(Change::NeighborDown(Diagnostic::NONE));
    let table = [
        (AdminDown, AdminDown, AdminDown, None),
        (AdminDown, Down, AdminDown, None),
        (AdminDown, Init, AdminDown, None),
        (AdminDown, Up, AdminDown, None),
        (Down, AdminDown, Down, None),
        (Down, Down, Init, None),
        (Down, Init, Up, Some(Change::Up)),
        (Down, Up, Down, None),
        (Init, AdminDown, Down, None),
        (Init, Down, Init, None),
        (Init, Init, Up, Some(Change::Up)),
        (Init, Up, Up, Some(Change::Up)),
        (Up, AdminDown, Down, Some(Change::NeighborAdminDown)),
        (Up, Down, Down, neighbor_down),
        (Up, Init, Up, None),
        (Up, Up, Up, None),
    ];
    for (state, received, then, change) in table {
        let mut session = in_state(state);
        let told = session.receive(&says(received), MS);
        assert_eq!(
            (session.state(), told),
            (then, change),
            "{state} hears {received}"
        );
        // Whoever changes says so at once.
        let news: Vec<_> = sent(&mut session, MS).iter().map(|p| p.state).collect();
        let expected = if state == then { vec![] } else { vec![then] };
        assert_eq!(news, expected, "{state} hears {received}");
    }
}

#[test]
fn silence_for_the_detection_time_takes_the_session_down() {
    let mut session = in_state(State::Up);
    session.receive(&says(State::Up), 10 * MS);
    assert_eq!(session.detection_time(), 150 * MS);
    assert_eq!(session.handle_timeout(160 * MS - MS), None);
    assert_eq!(
        session.handle_timeout(160 * MS),
        Some(Change::DetectionTimeExpired)
    );
    assert_eq!(session.state(), State::Down);
    let told = sent(&mut session, 160 * MS);
    assert_eq!(told[0].diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
    assert_eq!(told[0].your_discriminator, 0, "its name is forgotten");
    assert_eq!(told[0].desired_min_tx, SECOND, "slow while down");
}

#[test]
fn a_session_that_never_came_up_is_not_lost() {
    let mut session = in_state(State::Init);
    assert_eq!(session.handle_timeout(10 * SECOND), None);
    assert_eq!(session.state(), State::Down);
}

#[test]
fn the_slower_of_both_ends_sets_the_pace() {
    let mut session = in_state(State::Up);
    let slow = Packet {
        required_min_rx: 300 * MS,
        desired_min_tx: 700 * MS,
        detect_mult: 5,
        ..says(State::Up)
    };
    session.receive(&slow, MS);
    assert_eq!(session.transmit_interval(), Some(300 * MS));
    assert_eq!(session.detection_time(), 3500 * MS);
}

#[test]
fn a_poll_is_answered_at_once_and_the_answer_asks_nothing() {
    // Freshly up, so that a poll of our own is on its way too.
    let mut session = in_state(State::Up);
    let poll = Packet {
        poll: true,
        ..says(State::Up)
    };
    session.receive(&poll, MS);
    assert_eq!(session.next_deadline(), Some(Duration::ZERO));
    let answers = sent(&mut session, MS);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].is_final && !answers[0].poll);
}

#[test]
fn a_slower_pace_waits_for_the_answer_to_a_poll() {
    let mut session = in_state(State::Up);
    let done = Packet {
        is_final: true,
        ..says(State::Up)
    };
    session.receive(&done, MS);
    session.set_config(config(400 * MS, 3));
    let asked = sent(&mut session, MS);
    assert!(asked[0].poll);
    assert_eq!(asked[0].desired_min_tx, 400 * MS);
    assert_eq!(session.transmit_interval(), Some(50 * MS), "not yet");
    // Expecting less of the other end needs nobody's word.
    assert_eq!(session.detection_time(), 1200 * MS);

    // A second change while the first is being asked about: the first answer
    // may know nothing of it.
    session.set_config(config(600 * MS, 3));
    session.receive(&done, 2 * MS);
    assert_eq!(session.transmit_interval(), Some(50 * MS));
    assert!(sent(&mut session, 2 * MS)[0].poll);
    session.receive(&done, 3 * MS);
    assert_eq!(session.transmit_interval(), Some(600 * MS));
    assert!(sent(&mut session, SECOND).iter().all(|packet| !packet.poll));

    // And faster: sending at once, expecting it only when it is known.
    session.set_config(config(100 * MS, 3));
    assert_eq!(session.transmit_interval(), Some(100 * MS));
    assert_eq!(session.detection_time(), 1800 * MS);
    session.receive(&done, SECOND);
    assert_eq!(session.detection_time(), 300 * MS);
}

#[test]
fn who_wants_silence_gets_it() {
    let mut session = in_state(State::Up);
    let mute = Packet {
        required_min_rx: Duration::ZERO,
        is_final: true,
        ..says(State::Up)
    };
    session.receive(&mute, MS);
    assert_eq!(session.transmit_interval(), None);
    assert_eq!(sent(&mut session, 40 * SECOND), []);

    let mut session = in_state(State::Up);
    let demand = Packet {
        demand: true,
        is_final: true,
        ..says(State::Up)
    };
    session.receive(&demand, MS);
    assert_eq!(sent(&mut session, 40 * SECOND), []);
    // §6.6: but not when there is something to ask.
    session.set_config(config(70 * MS, 3));
    assert!(sent(&mut session, 41 * SECOND)[0].poll);
}

#[test]
fn an_administrator_s_end_is_told_for_the_detection_time() {
    let mut session = in_state(State::Up);
    assert_eq!(
        session.set_admin_down(true, MS),
        Some(Change::Administrative)
    );
    let told = sent(&mut session, MS);
    assert_eq!(told[0].state, State::AdminDown);
    assert_eq!(told[0].diagnostic, Diagnostic::ADMINISTRATIVELY_DOWN);
    let mut now = MS;
    let mut packets = 0;
    while !session.finished() {
        now = session.next_deadline().unwrap();
        session.handle_timeout(now);
        packets += sent(&mut session, now).len();
    }
    assert!(now >= MS + 3 * SECOND, "{now:?}");
    assert!((2..=4).contains(&packets), "{packets} packets");
    session.handle_timeout(now + SECOND);
    assert_eq!(sent(&mut session, now + SECOND), []);

    session.set_admin_down(false, now + SECOND);
    assert_eq!(session.state(), State::Down);
    assert_eq!(sent(&mut session, now + SECOND)[0].state, State::Down);
}

#[test]
fn jitter_keeps_the_detection_time_of_a_single_packet() {
    for detect_mult in [1, 3] {
        let mut session = Session::new(
            NonZeroU32::MIN,
            config(100 * MS, detect_mult),
            u64::from(detect_mult),
        );
        session.receive(&says(State::Init), Duration::ZERO);
        let mut now = Duration::ZERO;
        sent(&mut session, now);
        let most = if detect_mult == 1 { 90 * MS } else { 100 * MS };
        for _ in 0..500 {
            session.receive(&says(State::Up), now);
            let next = session.next_deadline().unwrap();
            assert!((75 * MS..=most).contains(&(next - now)), "{:?}", next - now);
            now = next;
            assert_eq!(sent(&mut session, now).len(), 1);
        }
    }
}
