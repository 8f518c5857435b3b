//! Every way from state to state that RFC 4271 §8.2.2 has, one test each.

use super::*;

fn stop(subcode: u8, message: &str) -> Input {
    Input::ManualStop {
        subcode,
        message: message.into(),
    }
}

#[test]
fn idle_does_nothing_until_started() {
    let mut lone = Lone::new(config());
    assert_eq!(lone.state(), State::Idle);
    assert_eq!(lone.session.next_deadline(), None);
    lone.run_for(secs(1000));
    assert!(lone.actions().is_empty());
}

#[test]
fn idle_refuses_connections_with_a_reason() {
    let mut lone = Lone::new(config());
    let conn = lone.accept();
    let actions = lone.actions();
    assert_eq!(fault(&actions), (6, 5));
    assert_eq!(closes(&actions), [conn]);
    assert_eq!(lone.session.counters().refused, 1);
}

#[test]
fn manual_start_connects() {
    let mut lone = Lone::started(config());
    assert_eq!(lone.state(), State::Connect);
    assert_eq!(connects(&lone.actions()).len(), 1);
}

#[test]
fn manual_start_twice_is_one_start() {
    let mut lone = Lone::started(config());
    lone.input(Input::ManualStart);
    assert_eq!(connects(&lone.actions()).len(), 1);
}

#[test]
fn a_passive_session_waits_in_active_without_a_timer() {
    let mut passive = config();
    passive.passive = true;
    let mut lone = Lone::started(passive);
    assert_eq!(lone.state(), State::Active);
    assert_eq!(lone.session.next_deadline(), None);
    let conn = lone.accept();
    assert_eq!(sent(&lone.actions())[0].0, conn);
    assert_eq!(lone.state(), State::OpenSent);
}

#[test]
fn a_passive_session_never_connects_whatever_fails() {
    let mut passive = config();
    passive.passive = true;
    let mut lone = Lone::started(passive);
    for round in 0..20 {
        let conn = lone.accept();
        lone.frame(conn, frame(&peer_open().encode()));
        if round % 2 == 0 {
            lone.frame(conn, keepalive());
        }
        lone.input(Input::Closed(conn, "reset".into()));
        lone.run_for(secs(100));
    }
    assert!(connects(&lone.actions()).is_empty());
    assert_eq!(lone.state(), State::Active);
}

#[test]
fn connect_opens_when_tcp_stands() {
    let mut lone = Lone::started(config());
    let conn = lone.attempt();
    lone.input(Input::Connected(conn));
    let actions = lone.actions();
    assert_eq!(kinds(&actions), [MessageType::Open]);
    assert_eq!(lone.state(), State::OpenSent);
}

#[test]
fn connect_failed_goes_to_active_and_back_to_connect() {
    let mut lone = Lone::started(config());
    let conn = lone.attempt();
    lone.input(Input::ConnectFailed(conn, "refused".into()));
    assert_eq!(lone.state(), State::Active);
    assert_eq!(lone.session.connect_error().unwrap().text, "refused");
    lone.run_for(secs(1));
    assert_eq!(lone.state(), State::Connect);
    let second = lone.attempt();
    assert_ne!(second, conn);
    lone.input(Input::Connected(second));
    assert_eq!(lone.session.connect_error(), None);
}

#[test]
fn connect_retry_timer_in_connect_abandons_and_tries_again() {
    let mut lone = Lone::started(config());
    let first = lone.attempt();
    lone.run_for(secs(5));
    let actions = lone.actions();
    assert_eq!(closes(&actions), [first]);
    assert_eq!(connects(&actions).len(), 1);
    assert_eq!(lone.state(), State::Connect);
}

#[test]
fn an_abandoned_attempt_that_succeeds_late_is_ignored() {
    let mut lone = Lone::started(config());
    let first = lone.attempt();
    lone.run_for(secs(5));
    lone.actions();
    lone.input(Input::Connected(first));
    assert!(lone.actions().is_empty());
    assert_eq!(lone.state(), State::Connect);
}

#[test]
fn active_accepts() {
    let mut lone = Lone::started(config());
    let attempt = lone.attempt();
    lone.input(Input::ConnectFailed(attempt, "refused".into()));
    lone.accept();
    assert_eq!(lone.state(), State::OpenSent);
}

#[test]
fn open_sent_closed_by_the_peer_goes_to_active() {
    let (mut lone, conn) = Lone::open_sent(config());
    lone.input(Input::Closed(conn, "end of stream".into()));
    assert_eq!(lone.state(), State::Active);
    lone.run_for(secs(1));
    assert_eq!(lone.state(), State::Connect);
}

#[test]
fn open_sent_takes_open_and_answers_keepalive() {
    let (mut lone, conn) = Lone::open_sent(config());
    lone.frame(conn, frame(&peer_open().encode()));
    let actions = lone.actions();
    assert_eq!(kinds(&actions), [MessageType::Keepalive]);
    assert_eq!(lone.state(), State::OpenConfirm);
    assert_eq!(ups(&actions), 0);
}

#[test]
fn open_confirm_takes_keepalive_and_is_up() {
    let (mut lone, conn) = Lone::open_confirm(config(), &peer_open());
    lone.now = secs(3);
    lone.frame(conn, keepalive());
    let actions = lone.actions();
    assert!(
        matches!(&actions[..], [Action::Up(c, n, _)] if *c == conn && n.remote_asn == Asn(65002))
    );
    assert_eq!(lone.state(), State::Established);
    assert_eq!(lone.session.established_since(), Some(secs(3)));
    assert_eq!(lone.session.state_since(), secs(3));
    assert_eq!(lone.session.counters().established, 1);
}

#[test]
fn open_confirm_closed_by_the_peer_goes_to_idle_then_connects() {
    let (mut lone, conn) = Lone::open_confirm(config(), &peer_open());
    lone.input(Input::Closed(conn, "reset".into()));
    assert_eq!(lone.state(), State::Idle);
    lone.run_for(secs(1));
    assert_eq!(lone.state(), State::Connect);
}

#[test]
fn established_hands_an_update_straight_back() {
    let (mut lone, conn) = Lone::established(config());
    let event = lone.frame(conn, end_of_rib());
    assert!(matches!(event, Some(Event::Update(_))));
    assert!(lone.actions().is_empty());
    assert_eq!(lone.session.counters().received.update, 1);
}

#[test]
fn established_closed_by_the_peer_is_down_and_connects_within_a_second() {
    let (mut lone, conn) = Lone::established(config());
    lone.input(Input::Closed(conn, "end of stream".into()));
    let actions = lone.actions();
    assert_eq!(
        downs(&actions),
        [DownReason::Closed("end of stream".into())]
    );
    assert!(closes(&actions).is_empty(), "it is closed already");
    assert_eq!(lone.state(), State::Idle);
    assert_eq!(lone.session.established_since(), None);
    lone.run_for(secs(1));
    assert_eq!(lone.state(), State::Connect);
}

#[test]
fn a_notification_ends_the_connection_in_every_state() {
    for state in WITH_CONNECTION {
        let (mut lone, conn) = Lone::in_state(state);
        let received = Notification::shutdown(2, "maintenance until noon");
        lone.frame(conn, frame(&received.encode()));
        let actions = lone.actions();
        assert_eq!(closes(&actions), [conn], "{state}");
        assert!(sent(&actions).is_empty(), "never answered ({state})");
        assert_eq!(lone.state(), State::Idle, "{state}");
        let error = lone.session.last_error().unwrap();
        assert_eq!((error.origin, error.state), (ErrorOrigin::Received, state));
        assert_eq!(
            error.notification.as_ref().unwrap().communication(),
            Some("maintenance until noon")
        );
        let down = usize::from(state == State::Established);
        assert_eq!(downs(&actions).len(), down, "{state}");
    }
}

#[test]
fn a_malformed_notification_is_not_answered() {
    for state in WITH_CONNECTION {
        let (mut lone, conn) = Lone::in_state(state);
        lone.frame(conn, raw(MessageType::Notification, &[6]));
        let actions = lone.actions();
        assert!(sent(&actions).is_empty());
        assert_eq!(closes(&actions), [conn]);
        assert_eq!(lone.state(), State::Idle);
    }
}

#[test]
fn manual_stop_sends_cease_with_the_text_and_stays_idle() {
    for state in WITH_CONNECTION {
        let (mut lone, conn) = Lone::in_state(state);
        lone.input(stop(2, "upgrade, back at 14:00"));
        let actions = lone.actions();
        let all = notifications(&actions);
        assert_eq!((all[0].code, all[0].subcode), (6, 2), "{state}");
        assert_eq!(all[0].communication(), Some("upgrade, back at 14:00"));
        assert_eq!(closes(&actions), [conn]);
        lone.run_for(secs(1000));
        assert_eq!(lone.state(), State::Idle);
        assert!(lone.actions().is_empty());
        assert_eq!(lone.session.next_deadline(), None);
    }
}

#[test]
fn manual_stop_abandons_the_attempt() {
    let mut lone = Lone::started(config());
    let conn = lone.attempt();
    lone.input(stop(2, ""));
    assert_eq!(closes(&lone.actions()), [conn]);
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn manual_stop_ends_idle_hold_for_good() {
    let (mut lone, conn) = Lone::established(config());
    lone.input(Input::Closed(conn, "reset".into()));
    lone.input(stop(2, ""));
    assert_eq!(lone.session.next_deadline(), None);
}

#[test]
fn manual_start_ends_idle_hold_early() {
    let (mut lone, conn) = Lone::established(config());
    lone.input(Input::Closed(conn, "reset".into()));
    lone.input(Input::ManualStart);
    assert_eq!(lone.state(), State::Connect);
}

#[test]
fn failed_attempts_do_not_hide_why_the_session_ended() {
    let (mut lone, conn) = Lone::established(config());
    lone.frame(conn, frame(&Notification::shutdown(2, "upgrade").encode()));
    lone.run_for(secs(1));
    let attempt = lone.attempt();
    lone.input(Input::ConnectFailed(attempt, "refused".into()));
    let error = lone.session.last_error().unwrap().to_string();
    assert!(error.starts_with("received Cease"), "{error}");
    assert!(error.contains("upgrade"), "{error}");
}

#[test]
fn every_cease_subcode_can_be_sent() {
    for subcode in 1..=10 {
        let (mut lone, _) = Lone::established(config());
        lone.input(stop(subcode, "words"));
        let all = notifications(&lone.actions());
        assert_eq!((all[0].code, all[0].subcode), (6, subcode));
        let words = matches!(subcode, 2 | 4 | 9).then_some("words");
        assert_eq!(all[0].communication(), words);
    }
}

#[test]
fn reset_says_cease_and_connects_again_at_once() {
    let (mut lone, conn) = Lone::established(config());
    lone.input(Input::Reset {
        subcode: 4,
        message: "by hand".into(),
    });
    let actions = lone.actions();
    assert_eq!(fault(&actions), (6, 4));
    assert_eq!(closes(&actions), [conn]);
    assert_eq!(downs(&actions).len(), 1);
    assert_eq!(connects(&actions).len(), 1);
    assert_eq!(lone.state(), State::Connect);
}

#[test]
fn a_hard_reset_wraps_an_administrative_one() {
    let (mut lone, _) = Lone::established(config());
    lone.input(Input::Reset {
        subcode: 9,
        message: "now".into(),
    });
    let all = notifications(&lone.actions());
    assert_eq!((all[0].code, all[0].subcode), (6, 9));
    assert_eq!(&all[0].data[..], b"\x06\x04\x03now");
}

#[test]
fn reset_of_a_stopped_session_does_nothing() {
    let mut lone = Lone::new(config());
    lone.input(Input::Reset {
        subcode: 4,
        message: String::new(),
    });
    assert!(lone.actions().is_empty());
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn a_fault_of_the_callers_goes_to_the_peer_and_is_damped() {
    let (mut lone, _) = Lone::established(config());
    lone.input(Input::Fail(Notification::new(6, 1)));
    let actions = lone.actions();
    assert_eq!(fault(&actions), (6, 1));
    assert_eq!(downs(&actions), [DownReason::Sent(Notification::new(6, 1))]);
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn route_refresh_is_passed_on_only_for_a_negotiated_family() {
    let mut narrow = config();
    narrow.families = vec![Family::Ipv4Unicast];
    let (mut lone, conn) = Lone::established(narrow);
    lone.frame(conn, raw(MessageType::RouteRefresh, &[0, 1, 0, 1]));
    assert!(matches!(&lone.actions()[..], [Action::Refresh(_)]));
    for other in [&[0u8, 2, 0, 1], &[0, 25, 0, 70], &[0, 1, 1, 1]] {
        lone.frame(conn, raw(MessageType::RouteRefresh, other));
        assert!(lone.actions().is_empty());
    }
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn a_refresh_is_asked_for_only_where_the_peer_can_answer() {
    let mut peer = peer_config();
    peer.families = vec![Family::Ipv6Unicast];
    for (knows, able) in [(true, true), (false, false)] {
        peer.capabilities.route_refresh = knows;
        let (mut lone, conn) = Lone::open_confirm(config(), &peer.open(false));
        assert!(!lone.session.request_refresh(Family::Ipv6Unicast));
        lone.frame(conn, keepalive());
        lone.actions();
        assert!(!lone.session.request_refresh(Family::Ipv4Unicast));
        assert_eq!(lone.session.request_refresh(Family::Ipv6Unicast), able);
        assert_eq!(kinds(&lone.actions()).len(), usize::from(able));
        assert_eq!(lone.session.counters().sent.route_refresh, u64::from(able));
    }
}

#[test]
fn events_of_unknown_connections_are_ignored() {
    let (mut lone, conn) = Lone::established(config());
    let stranger = ConnId(4711);
    lone.input(Input::Connected(stranger));
    lone.input(Input::ConnectFailed(stranger, "x".into()));
    lone.input(Input::Closed(stranger, "x".into()));
    lone.input(Input::BadFrame(stranger, Notification::new(1, 1)));
    assert!(lone.frame(stranger, end_of_rib()).is_none());
    lone.session.written(stranger, lone.now);
    lone.session.blocked(stranger, lone.now);
    assert!(lone.actions().is_empty());
    assert_eq!(lone.state(), State::Established);
    assert!(lone.frame(conn, end_of_rib()).is_some());
}

#[test]
fn messages_are_counted_by_type_and_direction() {
    let (mut lone, conn) = Lone::established(config());
    lone.frame(conn, end_of_rib());
    lone.frame(conn, keepalive());
    lone.frame(conn, raw(MessageType::RouteRefresh, &[0, 1, 0, 1]));
    lone.session.updates_sent(conn, 5, lone.now);
    lone.frame(conn, frame(&Notification::new(6, 2).encode()));
    let counters = lone.session.counters();
    let received = MessageCounts {
        open: 1,
        update: 1,
        notification: 1,
        keepalive: 2,
        route_refresh: 1,
    };
    assert_eq!(counters.received, received);
    let sent = MessageCounts {
        open: 1,
        update: 5,
        keepalive: 1,
        ..MessageCounts::default()
    };
    assert_eq!(counters.sent, sent);
    assert_eq!((counters.attempts, counters.dropped), (1, 1));
}
