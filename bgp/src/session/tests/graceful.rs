//! What outlives a session, and how long (RFC 4724 §4.2, RFC 8538).

use super::*;
use crate::wire::notification::cease;

const NONE: [bool; 2] = [false; 2];
const V4: [bool; 2] = [true, false];

/// We keep what restarts for five minutes.
fn helper(notification: bool) -> SessionConfig {
    let mut config = config();
    config.stale_time = Some(secs(300));
    config.hold_time = secs(0);
    config.capabilities.graceful_restart = Some(GracefulRestart {
        notification,
        ..GracefulRestart::default()
    });
    config
}

/// IPv4 is kept for two minutes; IPv6 is spoken, and not kept.
fn restarter(notification: bool, forwarding: bool) -> Open {
    let mut peer = peer_config();
    peer.capabilities.graceful_restart = Some(GracefulRestart {
        restarted: true,
        notification,
        restart_time: 120,
        families: vec![(Family::Ipv4Unicast, forwarding)],
    });
    peer.open(false)
}

fn up(config: SessionConfig, open: &Open) -> (Lone, ConnId) {
    let (mut lone, conn) = Lone::open_confirm(config, open);
    lone.frame(conn, keepalive());
    lone.actions();
    (lone, conn)
}

fn kept(actions: &[Action]) -> [bool; 2] {
    let kept = actions.iter().filter_map(|a| match a {
        Action::Down(_, kept) => Some(*kept),
        _ => None,
    });
    let all: Vec<_> = kept.collect();
    assert_eq!(all.len(), 1, "{actions:?}");
    all[0]
}

fn expired(actions: &[Action]) -> Vec<[bool; 2]> {
    let expired = |a: &Action| match a {
        Action::StaleExpired(families) => Some(*families),
        _ => None,
    };
    actions.iter().filter_map(expired).collect()
}

fn notification(code: u8, subcode: u8) -> Frame {
    frame(&Notification::new(code, subcode).encode())
}

/// The peer connects anew; what of the stale is to stay.
fn again(lone: &mut Lone, open: &Open) -> (ConnId, [bool; 2]) {
    let conn = lone.accept();
    lone.frame(conn, frame(&open.encode()));
    lone.frame(conn, keepalive());
    let up = lone.actions().into_iter().find_map(|a| match a {
        Action::Up(conn, _, kept) => Some((conn, kept)),
        _ => None,
    });
    up.unwrap()
}

#[test]
fn a_lost_connection_keeps_the_families_that_the_peer_listed_for_its_restart_time() {
    let (mut lone, conn) = up(helper(false), &restarter(false, false));
    lone.input(Input::Closed(conn, "reset".to_owned()));
    assert_eq!(kept(&lone.actions()), V4);
    lone.run_for(secs(119));
    assert!(expired(&lone.actions()).is_empty());
    assert!(lone.session.stale().is_some_and(|s| !s.back));
    lone.run_for(secs(1));
    assert_eq!(expired(&lone.actions()), [V4]);
    lone.run_for(secs(1000));
    assert!(expired(&lone.actions()).is_empty());
    assert_eq!(lone.session.stale(), None);
}

#[test]
fn stale_time_bounds_what_a_peer_asks_for() {
    let mut config = helper(false);
    config.stale_time = Some(secs(10));
    let (mut lone, conn) = up(config, &restarter(false, true));
    lone.input(Input::Closed(conn, "reset".to_owned()));
    lone.run_for(secs(10));
    assert_eq!(expired(&lone.actions()), [V4]);
}

#[test]
fn nothing_is_kept_where_either_side_does_not_want_it() {
    let mut off = helper(false);
    off.stale_time = None;
    let mut unspoken = helper(false);
    unspoken.capabilities.graceful_restart = None;
    let no_time = {
        let mut peer = peer_config();
        peer.capabilities.graceful_restart = Some(GracefulRestart {
            families: vec![(Family::Ipv4Unicast, true)],
            ..GracefulRestart::default()
        });
        peer.open(false)
    };
    for (config, open) in [
        (off, restarter(false, true)),
        (unspoken, restarter(false, true)),
        (helper(false), peer_open()),
        (helper(false), no_time),
    ] {
        let (mut lone, conn) = up(config, &open);
        lone.input(Input::Closed(conn, "reset".to_owned()));
        assert_eq!(kept(&lone.actions()), NONE);
        assert_eq!(lone.session.stale(), None);
    }
}

#[test]
fn a_peer_that_cannot_be_reached_any_more_keeps_nothing() {
    let (mut lone, conn) = up(helper(true), &restarter(true, true));
    lone.input(Input::Unreachable(conn, "no carrier".to_owned()));
    assert_eq!(kept(&lone.actions()), NONE);
}

#[test]
fn a_notification_is_graceful_where_both_sides_say_so_and_a_hard_reset_never() {
    for (ours, theirs) in [(false, false), (false, true), (true, false), (true, true)] {
        let both = if ours && theirs { V4 } else { NONE };
        for (code, subcode, want) in [
            (4, 0, both),
            (3, 1, both),
            (6, cease::ADMIN_RESET, both),
            // Said by a peer that knows hard resets, it is meant to be graceful.
            (6, cease::ADMIN_SHUTDOWN, both),
            (6, cease::HARD_RESET, NONE),
        ] {
            let (mut lone, conn) = up(helper(ours), &restarter(theirs, true));
            lone.frame(conn, notification(code, subcode));
            let what = format!("{code}/{subcode}, {ours} and {theirs}");
            assert_eq!(kept(&lone.actions()), want, "{what}");
        }
    }
}

#[test]
fn a_hold_timer_that_runs_out_is_graceful_with_the_n_bit_only() {
    for (n, want) in [(true, V4), (false, NONE)] {
        let mut config = helper(n);
        config.hold_time = secs(9);
        let (mut lone, _) = up(config, &restarter(n, true));
        lone.run_for(secs(9));
        assert_eq!(kept(&lone.actions()), want);
    }
}

#[test]
fn an_unreadable_notification_keeps_nothing() {
    let (mut lone, conn) = up(helper(true), &restarter(true, true));
    lone.frame(conn, raw(MessageType::Notification, &[6]));
    assert_eq!(kept(&lone.actions()), NONE);
}

#[test]
fn what_we_end_for_good_is_a_hard_reset_and_nothing_of_it_is_kept() {
    for (n, code) in [(true, cease::HARD_RESET), (false, cease::ADMIN_SHUTDOWN)] {
        let (mut lone, _) = up(helper(n), &restarter(n, true));
        lone.input(Input::ManualStop {
            subcode: cease::ADMIN_SHUTDOWN,
            message: "bye".to_owned(),
        });
        let actions = lone.actions();
        assert_eq!(kept(&actions), NONE);
        let all = notifications(&actions);
        assert_eq!((all[0].code, all[0].subcode), (6, code));
        assert_eq!(all[0].communication(), Some("bye"));
        // We know ourselves what was meant.
        let [DownReason::Sent(sent)] = &downs(&actions)[..] else {
            panic!("{actions:?}")
        };
        assert_eq!(sent.subcode, cease::ADMIN_SHUTDOWN);
    }
}

#[test]
fn a_reset_for_another_configuration_is_graceful_and_an_operators_is_not() {
    for (subcode, said, want) in [
        (cease::OTHER_CONFIG_CHANGE, cease::OTHER_CONFIG_CHANGE, V4),
        (cease::ADMIN_RESET, cease::HARD_RESET, NONE),
        (cease::HARD_RESET, cease::HARD_RESET, NONE),
        (cease::BFD_DOWN, cease::HARD_RESET, NONE),
    ] {
        let (mut lone, _) = up(helper(true), &restarter(true, true));
        lone.input(Input::Reset {
            subcode,
            message: String::new(),
        });
        let actions = lone.actions();
        assert_eq!(kept(&actions), want);
        assert_eq!(fault(&actions), (6, said));
    }
}

#[test]
fn back_in_time_it_has_until_its_end_of_rib_or_the_limit() {
    let (mut lone, conn) = up(helper(false), &restarter(false, true));
    lone.input(Input::Closed(conn, "reset".to_owned()));
    lone.actions();
    lone.run_for(secs(100));
    let (_, kept) = again(&mut lone, &restarter(false, true));
    assert_eq!(kept, V4);
    assert!(lone.session.stale().is_some_and(|s| s.back));
    // The Restart Time is no matter any more.
    lone.run_for(secs(199));
    assert!(expired(&lone.actions()).is_empty());
    lone.run_for(secs(1));
    assert_eq!(expired(&lone.actions()), [V4]);
}

#[test]
fn an_end_of_rib_ends_the_wait() {
    let (mut lone, conn) = up(helper(false), &restarter(false, true));
    lone.input(Input::Closed(conn, "reset".to_owned()));
    lone.actions();
    let (conn, _) = again(&mut lone, &restarter(false, true));
    lone.frame(conn, end_of_rib());
    assert_eq!(lone.session.stale(), None);
    lone.run_for(secs(1000));
    assert!(expired(&lone.actions()).is_empty());
}

#[test]
fn a_family_that_was_not_forwarded_or_is_not_listed_is_not_waited_for() {
    for open in [restarter(false, false), peer_open()] {
        let (mut lone, conn) = up(helper(false), &restarter(false, true));
        lone.input(Input::Closed(conn, "reset".to_owned()));
        lone.actions();
        assert_eq!(again(&mut lone, &open).1, NONE);
        assert_eq!(lone.session.stale(), None);
    }
}

#[test]
fn a_second_restart_starts_the_time_anew() {
    let (mut lone, conn) = up(helper(false), &restarter(false, true));
    lone.input(Input::Closed(conn, "reset".to_owned()));
    lone.actions();
    lone.run_for(secs(100));
    let (conn, _) = again(&mut lone, &restarter(false, true));
    lone.input(Input::Closed(conn, "reset".to_owned()));
    assert_eq!(kept(&lone.actions()), V4);
    lone.run_for(secs(119));
    assert!(expired(&lone.actions()).is_empty());
    lone.run_for(secs(1));
    assert_eq!(expired(&lone.actions()), [V4]);
}

#[test]
fn a_peer_that_is_stopped_while_it_is_away_is_not_waited_for() {
    let (mut lone, conn) = up(helper(false), &restarter(false, true));
    lone.input(Input::Closed(conn, "reset".to_owned()));
    lone.actions();
    lone.input(Input::ManualStop {
        subcode: cease::ADMIN_SHUTDOWN,
        message: String::new(),
    });
    assert_eq!(expired(&lone.actions()), [V4]);
    assert_eq!(lone.session.next_deadline(), None);
}

#[test]
fn a_hard_reset_is_reported_as_what_it_is_about() {
    let (mut lone, conn) = up(helper(true), &restarter(true, true));
    lone.frame(
        conn,
        raw(
            MessageType::Notification,
            &[6, 9, 6, 1, 0, 1, 1, 0, 0, 0, 2],
        ),
    );
    let actions = lone.actions();
    assert_eq!(kept(&actions), NONE);
    let error = lone.session.last_error().unwrap();
    let code = error.notification.as_ref().map(|n| (n.code, n.subcode));
    assert_eq!(code, Some((6, cease::MAX_PREFIXES)));
    assert!(error.text.ends_with("ipv4-unicast, limit 2"), "{error}");
    let [DownReason::Received(whole)] = &downs(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(whole.subcode, cease::HARD_RESET);
}
