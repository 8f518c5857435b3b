//! Random schedules: whatever the network does, once it stops the two find each
//! other, or say why not.

use super::pair::{Pair, Rng};
use super::*;

/// With `GODWIT_SOAK` set, ten times as many; `GODWIT_SEED` is the first.
const SCHEDULES: u64 = 10_000;

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let from = number("GODWIT_SEED").unwrap_or(0);
    let soak = std::env::var_os("GODWIT_SOAK").is_some();
    from..from + SCHEDULES * if soak { 10 } else { 1 }
}

fn random_config(mut config: SessionConfig, rng: &mut Rng) -> SessionConfig {
    config.hold_time = secs([0, 3, 9, 90][rng.below(4) as usize]);
    config.connect_retry = secs(1 + rng.below(5));
    config.collide_established = rng.chance(10);
    if rng.chance(20) {
        config.capabilities.graceful_restart = Some(GracefulRestart {
            families: vec![(Family::Ipv4Unicast, true)],
            ..GracefulRestart::default()
        });
    }
    config
}

fn troubled(seed: u64) -> Pair {
    let mut rng = Rng(seed);
    let mut a = random_config(config(), &mut rng);
    let mut b = random_config(peer_config(), &mut rng);
    match rng.below(10) {
        0 => a.passive = true,
        1 => b.passive = true,
        _ => {}
    }
    b.collide_established = a.collide_established;
    if a.passive || b.passive {
        // without a hold time nobody ever notices that a silent peer is gone
        a.hold_time = a.hold_time.max(secs(3));
        b.hold_time = b.hold_time.max(secs(3));
    }
    let mut pair = Pair::new(a, b, seed);
    pair.max_delay = [1, 20, 300, 1500][rng.below(4) as usize];
    pair.refuse = rng.below(40);
    pair.doom = rng.below(50);
    pair.input(0, Input::ManualStart);
    pair.run_for(millis(rng.below(pair.max_delay * 2 + 1)));
    pair.input(1, Input::ManualStart);
    for _ in 0..rng.below(6) {
        pair.run_for(millis(rng.below(4000)));
        trouble(&mut pair, &mut rng);
    }
    pair.refuse = 0;
    pair.doom = 0;
    pair
}

fn trouble(pair: &mut Pair, rng: &mut Rng) {
    let side = rng.below(2) as usize;
    match rng.below(15) {
        6 => flap(pair, rng),
        7 => {
            // Both at once: their connections cross.
            let message = String::from("both");
            let subcode = 4;
            for side in [0, 1] {
                let message = message.clone();
                pair.input(side, Input::Reset { subcode, message });
            }
        }
        8 => {
            let (code, subcode) = (1 + rng.below(8) as u8, rng.below(12) as u8);
            pair.inject(side, &Notification::new(code, subcode).encode());
        }
        9 => {
            let fault = Notification::max_prefixes(Family::Ipv4Unicast.afi_safi(), 10);
            let pause = rng.chance(50).then(|| secs(1 + rng.below(30)));
            pair.input(side, Input::Hold { fault, pause });
            if pause.is_none() || rng.chance(30) {
                pair.run_for(millis(rng.below(5000)));
                pair.input(side, Input::ManualStart);
            }
        }
        10 => {
            for _ in 0..1 + rng.below(3) {
                pair.sides[side]
                    .session
                    .request_refresh(Family::Ipv4Unicast);
                pair.run_for(millis(rng.below(100)));
            }
        }
        11 => {
            let subtype = rng.below(4) as u8;
            let afi_safi = Family::Ipv6Unicast.afi_safi();
            let refresh = wire::RouteRefresh { afi_safi, subtype };
            pair.inject(side, &refresh.encode());
        }
        12 => pair.lose(),
        13 => pair.stall(),
        14 => pair.inject(side, &wire::keepalive()),
        0 => pair.cut(),
        1 => pair.crash(side, rng.next()),
        2 => pair.input(
            side,
            Input::Reset {
                subcode: 4,
                message: "test".into(),
            },
        ),
        3 => {
            let message = String::new();
            pair.input(
                side,
                Input::ManualStop {
                    subcode: 2,
                    message,
                },
            );
            pair.run_for(millis(rng.below(3000)));
            pair.input(side, Input::ManualStart);
        }
        4 => pair.input(side, Input::Fail(Notification::new(6, 1))),
        _ => {}
    }
}

/// The link goes up and down.
fn flap(pair: &mut Pair, rng: &mut Rng) {
    for _ in 0..2 + rng.below(8) {
        pair.cut();
        pair.run_for(millis(rng.below(800)));
    }
}

/// Runs until joined and still so five seconds later.
fn settles_within(pair: &mut Pair, limit: Duration) -> bool {
    let end = pair.now + limit;
    while pair.now < end {
        pair.run_for(secs(1));
        if pair.joined() {
            pair.run_for(secs(5));
            if pair.joined() {
                return true;
            }
        }
    }
    false
}

#[test]
fn every_random_schedule_ends_established_on_one_connection() {
    for seed in seeds() {
        let mut pair = troubled(seed);
        assert!(
            settles_within(&mut pair, secs(600)),
            "seed {seed}: {} and {}; {:?}; {:?}",
            pair.state(0),
            pair.state(1),
            pair.sides[0].reports,
            pair.sides[1].reports,
        );
        // Whatever ended before has said why, and nothing is waited for now.
        for side in &pair.sides {
            assert!(side.reasons.len() < side.ups, "seed {seed}");
            assert_eq!(side.session.waiting(), None, "seed {seed}");
        }
    }
}

#[test]
fn at_every_moment_a_session_that_is_not_up_says_what_it_waits_for() {
    for seed in 0..300 {
        let mut pair = troubled(seed);
        for _ in 0..100 {
            pair.run_for(millis(200));
            for side in &pair.sides {
                let up = side.session.state() == State::Established;
                assert_eq!(side.session.waiting().is_none(), up, "seed {seed}");
            }
        }
    }
}

#[test]
fn sessions_that_cannot_agree_say_why_and_wait_longer_each_time() {
    for seed in 0..100 {
        let mut wrong = peer_config();
        wrong.local_asn = Asn(65003);
        let mut pair = Pair::new(config(), wrong, seed);
        pair.max_delay = 50;
        pair.start();
        pair.run_for(secs(600));
        let refusals = pair.sides[0]
            .reports
            .iter()
            .filter(|r| {
                r.notification
                    .as_ref()
                    .is_some_and(|n| (n.code, n.subcode) == (2, 2))
            })
            .count();
        assert!(
            (5..60).contains(&refusals),
            "seed {seed}: {refusals} refusals"
        );
        assert_eq!(pair.sides[0].ups + pair.sides[1].ups, 0);
    }
}

#[test]
fn a_quiet_network_needs_one_attempt_and_stays_up() {
    for seed in 0..200 {
        let mut pair = Pair::new(config(), peer_config(), seed);
        pair.max_delay = 5;
        pair.start();
        pair.run_for(secs(600));
        assert!(pair.joined(), "seed {seed}");
        let drops = pair.sides[0].reasons.len() + pair.sides[1].reasons.len();
        assert!(drops <= 2, "seed {seed}: {drops} drops");
    }
}

#[test]
fn garbage_in_any_state_ends_one_connection_and_nothing_else() {
    let mut rng = Rng(7);
    for round in 0..3000 {
        let state = WITH_CONNECTION[round % 3];
        let (mut lone, conn) = Lone::in_state(state);
        let kind = [
            MessageType::Open,
            MessageType::Update,
            MessageType::Notification,
            MessageType::Keepalive,
            MessageType::RouteRefresh,
        ][rng.below(5) as usize];
        let body: Vec<u8> = (0..rng.below(60)).map(|_| rng.next() as u8).collect();
        let body = Bytes::from(body);
        lone.frame(conn, Frame { kind, body });
        let actions = lone.actions();
        assert!(notifications(&actions).len() <= 1);
        assert!(closes(&actions).iter().all(|c| *c == conn));
        let down = usize::from(state == State::Established && lone.state() != State::Established);
        assert_eq!(downs(&actions).len(), down);
    }
}

/// Frames that fit and that don't, for a session that expects a peer.
fn any_frame(rng: &mut Rng) -> Frame {
    match rng.below(10) {
        0..=2 => frame(&peer_open().encode()),
        3..=5 => keepalive(),
        6 => end_of_rib(),
        7 => frame(&Notification::new(1 + rng.below(8) as u8, rng.below(10) as u8).encode()),
        8 => raw(MessageType::RouteRefresh, &[0, 1, 0, 1]),
        _ => raw(MessageType::Open, &[4, 0, 1]),
    }
}

fn any_input(rng: &mut Rng, lone: &mut Lone, conn: ConnId) -> Input {
    let message = String::from("text");
    match rng.below(24) {
        0 => Input::ManualStart,
        1 => Input::ManualStop {
            subcode: 2,
            message,
        },
        2 => Input::Reset {
            subcode: 4,
            message,
        },
        3 => Input::Fail(Notification::new(6, 1)),
        4 => Input::ConnectFailed(conn, message),
        5..=6 => Input::Closed(conn, message),
        7 => Input::BadFrame(conn, Notification::new(1, 2)),
        8..=12 => Input::Accepted(lone.session.new_conn_id()),
        _ => Input::Connected(conn),
    }
}

#[test]
fn any_order_of_calls_keeps_the_invariants() {
    for seed in 0..500 {
        let mut rng = Rng(seed);
        let config = random_config(config(), &mut rng);
        let mut lone = Lone::started(config);
        let (mut up, mut stopped) = (false, false);
        let mut known = vec![ConnId(0)];
        for _ in 0..200 {
            let conn = known[known.len() - 1 - rng.below(known.len().min(4) as u64) as usize];
            match rng.below(10) {
                0..=3 => {
                    let input = any_input(&mut rng, &mut lone, conn);
                    match &input {
                        Input::ManualStart => stopped = false,
                        Input::ManualStop { .. } => stopped = true,
                        Input::Accepted(id) => known.push(*id),
                        _ => {}
                    }
                    lone.input(input);
                }
                4..=7 => {
                    let received = any_frame(&mut rng);
                    lone.frame(conn, received);
                }
                8 => lone.session.blocked(conn, lone.now),
                _ => lone.run_for(millis(rng.below(20_000))),
            }
            for action in lone.actions() {
                match action {
                    Action::Connect(id) => known.push(id),
                    Action::Up(..) => assert!(!std::mem::replace(&mut up, true)),
                    Action::Down(..) => assert!(std::mem::replace(&mut up, false)),
                    _ => {}
                }
            }
            let state = lone.state();
            assert_eq!(up, state == State::Established, "seed {seed}");
            assert_eq!(up, lone.session.established_conn().is_some());
            assert!(lone.session.conns.len() <= 2);
            match lone.session.next_deadline() {
                Some(deadline) => assert!(!stopped && deadline >= lone.now, "seed {seed}"),
                None => assert!(stopped || up, "seed {seed}: nothing will ever happen"),
            }
        }
    }
}
