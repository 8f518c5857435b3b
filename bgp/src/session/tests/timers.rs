//! Timers, in virtual time.

use super::pair::Pair;
use super::*;

#[test]
fn open_sent_waits_four_minutes_for_the_open() {
    let (mut lone, conn) = Lone::open_sent(config());
    lone.run_for(secs(239));
    assert_eq!(lone.state(), State::OpenSent);
    lone.run_for(secs(1));
    let actions = lone.actions();
    assert_eq!(fault(&actions), (4, 0));
    assert_eq!(closes(&actions), [conn]);
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn open_confirm_waits_for_the_negotiated_hold_time() {
    let mut open = peer_open();
    open.hold_time = 9;
    let (mut lone, _) = Lone::open_confirm(config(), &open);
    lone.run_for(secs(9));
    assert_eq!(notifications(&lone.actions())[0].code, 4);
}

#[test]
fn open_confirm_without_hold_time_still_ends() {
    let mut open = peer_open();
    open.hold_time = 0;
    let (mut lone, _) = Lone::open_confirm(config(), &open);
    lone.run_for(secs(240));
    assert_eq!(fault(&lone.actions()), (4, 0));
}

#[test]
fn hold_timer_expires_when_nothing_is_heard() {
    let (mut lone, _) = Lone::established(config());
    lone.run_for(secs(89));
    assert_eq!(lone.state(), State::Established);
    lone.run_for(secs(1));
    let actions = lone.actions();
    let expired = Notification::new(4, 0);
    assert_eq!(downs(&actions), [DownReason::Sent(expired)]);
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn keepalives_and_updates_both_restart_the_hold_timer() {
    let (mut lone, conn) = Lone::established(config());
    lone.run_for(secs(80));
    lone.frame(conn, end_of_rib());
    lone.run_for(secs(80));
    lone.frame(conn, keepalive());
    lone.run_for(secs(80));
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn hold_timer_waits_while_we_do_not_read() {
    let (mut lone, conn) = Lone::established(config());
    lone.session.reading_paused(conn, true, lone.now);
    lone.run_for(secs(500));
    assert_eq!(lone.state(), State::Established);
    lone.session.reading_paused(conn, false, lone.now);
    lone.run_for(secs(89));
    assert_eq!(lone.state(), State::Established);
    lone.run_for(secs(1));
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn hold_timer_waits_while_bytes_are_unread() {
    let (mut lone, conn) = Lone::established(config());
    lone.run_for(millis(89_999));
    assert_eq!(lone.session.hold_expiring(lone.now), None);
    lone.now = secs(90);
    for _ in 0..10 {
        assert_eq!(lone.session.hold_expiring(lone.now), Some(conn));
        lone.session.unread_bytes(conn, lone.now);
        lone.session.handle_timeout(lone.now);
        assert_eq!(lone.state(), State::Established);
        lone.now += secs(1);
    }
    lone.session.handle_timeout(lone.now);
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn hold_time_zero_means_no_timer_at_all() {
    let mut open = peer_open();
    open.hold_time = 0;
    let (mut lone, conn) = Lone::open_confirm(config(), &open);
    lone.frame(conn, keepalive());
    lone.actions();
    assert_eq!(lone.session.next_deadline(), None);
    lone.run_for(secs(100_000));
    assert_eq!(lone.state(), State::Established);
    assert!(lone.actions().is_empty());
}

#[test]
fn keepalives_come_at_75_to_100_percent_of_a_third_of_the_hold_time() {
    let (mut lone, conn) = Lone::established(config());
    let mut last = lone.now;
    for _ in 0..50 {
        lone.frame(conn, keepalive());
        let due = lone.session.next_deadline().unwrap();
        lone.run_until(due);
        assert_eq!(kinds(&lone.actions()), [MessageType::Keepalive]);
        let gap = due - last;
        assert!((millis(22_500)..=secs(30)).contains(&gap), "{gap:?}");
        last = due;
    }
}

#[test]
fn keepalives_are_never_less_than_a_second_apart() {
    let mut open = peer_open();
    open.hold_time = 3;
    let (mut lone, conn) = Lone::open_confirm(config(), &open);
    lone.frame(conn, keepalive());
    lone.actions();
    for _ in 0..60 {
        lone.run_for(secs(1));
        lone.frame(conn, keepalive());
    }
    assert!(kinds(&lone.actions()).len() <= 60);
}

#[test]
fn updates_that_went_out_stand_for_keepalives() {
    let (mut lone, conn) = Lone::established(config());
    for _ in 0..20 {
        lone.run_for(secs(20));
        lone.frame(conn, keepalive());
        lone.session.updates_sent(conn, 1, lone.now);
    }
    assert!(kinds(&lone.actions()).is_empty());
    lone.run_for(secs(30));
    assert_eq!(kinds(&lone.actions()), [MessageType::Keepalive]);
}

#[test]
fn messages_are_marked_urgent_but_for_open() {
    let mut lone = Lone::started(config());
    let conn = lone.attempt();
    lone.input(Input::Connected(conn));
    lone.frame(conn, frame(&peer_open().encode()));
    let urgent: Vec<bool> = lone
        .actions()
        .iter()
        .filter_map(|a| match a {
            Action::Send { urgent, .. } => Some(*urgent),
            _ => None,
        })
        .collect();
    assert_eq!(urgent, [false, true]);
}

#[test]
fn a_peer_that_stops_reading_is_dropped_after_eight_minutes() {
    let (mut lone, conn) = Lone::established(config());
    lone.session.blocked(conn, lone.now);
    for _ in 0..479 {
        lone.run_for(secs(1));
        lone.frame(conn, keepalive());
    }
    assert_eq!(lone.state(), State::Established);
    lone.actions();
    lone.run_for(secs(1));
    assert_eq!(fault(&lone.actions()), (8, 0));
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn send_hold_time_is_twice_a_long_hold_time() {
    let mut long = config();
    long.hold_time = secs(600);
    let mut open = peer_open();
    open.hold_time = 600;
    let (mut lone, conn) = Lone::open_confirm(long, &open);
    lone.frame(conn, keepalive());
    lone.session.blocked(conn, lone.now);
    for _ in 0..1199 {
        lone.run_for(secs(1));
        lone.frame(conn, keepalive());
    }
    assert_eq!(lone.state(), State::Established);
    lone.run_for(secs(1));
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn progress_on_the_socket_restarts_the_send_hold_timer() {
    let (mut lone, conn) = Lone::established(config());
    for _ in 0..100 {
        lone.session.blocked(conn, lone.now);
        lone.run_for(secs(60));
        lone.frame(conn, keepalive());
        lone.session.written(conn, lone.now);
    }
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn attempts_are_repeated_after_1_2_4_and_then_5_seconds() {
    let mut lone = Lone::started(config());
    for limit in [1, 2, 4, 5, 5, 5] {
        let conn = lone.attempt();
        lone.input(Input::ConnectFailed(conn, "refused".into()));
        let pause = lone.session.next_deadline().unwrap() - lone.now;
        let longest = secs(limit);
        assert!((longest * 3 / 4..=longest).contains(&pause), "{pause:?}");
        lone.run_for(longest);
    }
}

#[test]
fn attempts_start_over_quickly_once_the_peer_has_answered() {
    let mut lone = Lone::started(config());
    for _ in 0..5 {
        let attempt = lone.attempt();
        lone.input(Input::ConnectFailed(attempt, "refused".into()));
        lone.run_for(secs(5));
    }
    let conn = lone.accept();
    lone.frame(conn, frame(&peer_open().encode()));
    lone.frame(conn, frame(&Notification::new(6, 7).encode()));
    assert_eq!(lone.state(), State::Active);
    assert!(lone.session.next_deadline().unwrap() - lone.now <= secs(1));
}

#[test]
fn idle_hold_doubles_with_each_failure_up_to_a_minute() {
    let mut lone = Lone::started(config());
    for limit in [1, 2, 4, 8, 16, 32, 60, 60] {
        let conn = lone.attempt();
        lone.input(Input::Connected(conn));
        lone.frame(conn, frame(&Notification::new(2, 2).encode()));
        lone.actions();
        assert_eq!(lone.state(), State::Idle);
        let pause = lone.session.next_deadline().unwrap() - lone.now;
        let longest = secs(limit);
        assert!((longest * 3 / 4..=longest).contains(&pause), "{pause:?}");
        lone.run_until(lone.now + pause);
    }
}

#[test]
fn a_session_that_stood_for_a_minute_is_forgiven() {
    let mut lone = Lone::started(config());
    for _ in 0..5 {
        let conn = lone.attempt();
        lone.input(Input::Connected(conn));
        lone.frame(conn, frame(&peer_open().encode()));
        lone.frame(conn, keepalive());
        lone.run_for(secs(60));
        lone.input(Input::Closed(conn, "reset".into()));
        lone.actions();
        assert!(lone.session.next_deadline().unwrap() - lone.now <= secs(1));
        lone.run_for(secs(1));
    }
}

#[test]
fn after_a_first_failure_the_peer_may_come_in_at_once() {
    let (mut lone, conn) = Lone::established(config());
    lone.input(Input::Closed(conn, "reset".into()));
    lone.accept();
    assert_eq!(lone.state(), State::OpenSent);
}

#[test]
fn after_repeated_failures_the_peer_is_refused_without_words() {
    let mut lone = Lone::started(config());
    for _ in 0..2 {
        let conn = lone.attempt();
        lone.input(Input::Connected(conn));
        lone.frame(conn, frame(&Notification::new(2, 2).encode()));
        lone.actions();
        let due = lone.session.next_deadline().unwrap();
        if lone.session.counters().attempts < 2 {
            lone.run_until(due);
        }
    }
    let conn = lone.accept();
    let actions = lone.actions();
    assert_eq!(closes(&actions), [conn]);
    assert!(sent(&actions).is_empty());
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn a_restarted_peer_is_back_within_five_seconds() {
    for seed in 0..200 {
        let mut pair = Pair::new(config(), peer_config(), seed);
        pair.start();
        pair.run_for(secs(90));
        assert!(pair.joined());
        pair.cut();
        pair.crash(1, seed + 1);
        pair.run_for(secs(5));
        assert!(pair.joined(), "seed {seed}");
    }
}
