//! Two connections at once (RFC 4271 §6.8).

use super::pair::Pair;
use super::*;

/// An outgoing connection in OpenSent and an incoming one beside it.
fn two(config: SessionConfig) -> (Lone, ConnId, ConnId) {
    let mut lone = Lone::started(config);
    let outgoing = lone.attempt();
    let incoming = lone.accept();
    lone.input(Input::Connected(outgoing));
    lone.actions();
    (lone, outgoing, incoming)
}

fn with_id(id: u32) -> Open {
    let mut open = peer_open();
    open.router_id = RouterId(id);
    open
}

const LOWER: u32 = 0x0900_0001;
const HIGHER: u32 = 0x0a00_0002;

#[test]
fn the_connection_of_the_higher_identifier_stays_whichever_open_comes_first() {
    for (peer, outgoing_stays) in [(LOWER, true), (HIGHER, false)] {
        for outgoing_first in [true, false] {
            let (mut lone, outgoing, incoming) = two(config());
            let mut order = [outgoing, incoming];
            if !outgoing_first {
                order.reverse();
            }
            for conn in order {
                lone.frame(conn, frame(&with_id(peer).encode()));
            }
            let actions = lone.actions();
            let (stays, goes) = if outgoing_stays {
                (outgoing, incoming)
            } else {
                (incoming, outgoing)
            };
            assert_eq!(closes(&actions), [goes]);
            assert_eq!(fault(&actions), (6, 7));
            lone.frame(stays, keepalive());
            assert_eq!(lone.state(), State::Established);
            assert_eq!(lone.session.counters().collisions, 1);
            assert_eq!(lone.session.last_error(), None, "a collision is no error");
            assert_eq!(lone.session.lone_collision(), None);
        }
    }
}

#[test]
fn equal_identifiers_leave_it_to_the_higher_as() {
    for (asn, outgoing_stays) in [(65000, true), (65002, false)] {
        let mut any = config();
        any.remote_as = RemoteAs::External;
        let (mut lone, outgoing, incoming) = two(any);
        let mut peer = peer_config();
        peer.local_asn = Asn(asn);
        peer.local_router_id = config().local_router_id;
        for conn in [outgoing, incoming] {
            lone.frame(conn, frame(&peer.open(false).encode()));
        }
        let goes = if outgoing_stays { incoming } else { outgoing };
        assert_eq!(closes(&lone.actions()), [goes]);
    }
}

#[test]
fn an_established_connection_beats_a_new_one() {
    for peer in [LOWER, HIGHER] {
        let (mut lone, old) = Lone::open_confirm(config(), &with_id(peer));
        lone.frame(old, keepalive());
        let new = lone.accept();
        lone.actions();
        lone.frame(new, frame(&with_id(peer).encode()));
        let actions = lone.actions();
        assert_eq!(closes(&actions), [new]);
        assert_eq!(fault(&actions), (6, 7));
        assert!(downs(&actions).is_empty());
        assert_eq!(lone.state(), State::Established);
    }
}

#[test]
fn collide_established_lets_the_identifier_decide() {
    let mut strict = config();
    strict.collide_established = true;
    let (mut lone, old) = Lone::open_confirm(strict, &with_id(HIGHER));
    lone.frame(old, keepalive());
    let new = lone.accept();
    lone.actions();
    lone.frame(new, frame(&with_id(HIGHER).encode()));
    let actions = lone.actions();
    assert_eq!(closes(&actions), [old]);
    assert_eq!(downs(&actions).len(), 1);
    assert_eq!(lone.state(), State::OpenConfirm);
    lone.frame(new, keepalive());
    assert_eq!(ups(&lone.actions()), 1);
}

#[test]
fn collide_established_says_nothing_about_two_connections_of_the_peers() {
    let mut strict = config();
    strict.collide_established = true;
    let mut lone = Lone::started(strict);
    let old = lone.accept();
    lone.frame(old, frame(&with_id(HIGHER).encode()));
    lone.frame(old, keepalive());
    let new = lone.accept();
    lone.actions();
    lone.frame(new, frame(&with_id(HIGHER).encode()));
    assert_eq!(closes(&lone.actions()), [new]);
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn a_connection_from_before_established_is_no_restart() {
    let mut peer = peer_config();
    peer.capabilities.graceful_restart = Some(GracefulRestart {
        families: vec![(Family::Ipv4Unicast, true)],
        ..GracefulRestart::default()
    });
    let open = frame(&peer.open(false).encode());
    let (mut lone, outgoing, incoming) = two(config());
    lone.now = secs(1);
    lone.frame(outgoing, open.clone());
    lone.frame(outgoing, keepalive());
    lone.actions();
    lone.frame(incoming, open);
    assert_eq!(closes(&lone.actions()), [incoming]);
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn a_peer_that_restarts_gracefully_may_replace_its_established_connection() {
    let mut peer = peer_config();
    peer.capabilities.graceful_restart = Some(GracefulRestart {
        restart_time: 120,
        families: vec![(Family::Ipv4Unicast, true)],
        ..GracefulRestart::default()
    });
    let open = frame(&peer.open(false).encode());
    let (mut lone, old) = Lone::open_confirm(config(), &peer.open(false));
    lone.frame(old, keepalive());
    lone.now = secs(10);
    let new = lone.accept();
    lone.actions();
    lone.frame(new, open);
    let actions = lone.actions();
    assert_eq!(closes(&actions), [old]);
    assert_eq!(downs(&actions), [DownReason::PeerRestarted]);
    assert!(
        notifications(&actions).is_empty(),
        "nobody is there to read it"
    );
    lone.frame(new, keepalive());
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn a_new_connection_makes_us_probe_the_established_one() {
    let (mut lone, old) = Lone::established(config());
    lone.run_for(secs(10));
    let new = lone.accept();
    let all = sent(&lone.actions());
    assert_eq!((all[0].0, all[0].1.kind), (old, MessageType::Keepalive));
    assert_eq!((all[1].0, all[1].1.kind), (new, MessageType::Open));
    // the peer's TCP knows nothing of the old one: reset
    lone.input(Input::Closed(old, "reset by peer".into()));
    lone.frame(new, frame(&peer_open().encode()));
    lone.frame(new, keepalive());
    assert_eq!(lone.state(), State::Established);
    assert_eq!(lone.session.counters().established, 2);
}

#[test]
fn a_second_connection_from_the_peer_replaces_one_that_has_said_nothing() {
    let mut passive = config();
    passive.passive = true;
    let mut lone = Lone::started(passive);
    let first = lone.accept();
    lone.actions();
    let second = lone.accept();
    let actions = lone.actions();
    assert_eq!(closes(&actions), [first]);
    lone.frame(second, frame(&peer_open().encode()));
    lone.actions();
    let third = lone.accept();
    assert_eq!(closes(&lone.actions()), [third], "the second has spoken");
    lone.frame(second, keepalive());
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn an_attempt_is_abandoned_once_the_peers_open_is_accepted() {
    let mut lone = Lone::started(config());
    let attempt = lone.attempt();
    let incoming = lone.accept();
    lone.actions();
    lone.frame(incoming, frame(&peer_open().encode()));
    assert_eq!(closes(&lone.actions()), [attempt]);
    lone.run_for(secs(60));
    assert!(connects(&lone.actions()).is_empty());
}

#[test]
fn a_silent_incoming_connection_does_not_keep_us_from_connecting() {
    let mut lone = Lone::started(config());
    let attempt = lone.attempt();
    lone.input(Input::ConnectFailed(attempt, "refused".into()));
    lone.accept();
    lone.actions();
    lone.run_for(secs(5));
    assert_eq!(connects(&lone.actions()).len(), 1);
}

#[test]
fn each_connection_has_its_own_hold_timer() {
    let (mut lone, outgoing, incoming) = two(config());
    lone.run_for(secs(100));
    lone.frame(incoming, frame(&peer_open().encode()));
    lone.frame(incoming, keepalive());
    for _ in 0..200 {
        lone.run_for(secs(1));
        lone.frame(incoming, keepalive());
    }
    let actions = lone.actions();
    assert_eq!(closes(&actions), [outgoing], "the silent one expired alone");
    assert!(downs(&actions).is_empty());
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn an_error_on_one_connection_leaves_the_other_alone() {
    let (mut lone, outgoing, incoming) = two(config());
    lone.frame(outgoing, end_of_rib());
    assert_eq!(closes(&lone.actions()), [outgoing]);
    assert_eq!(lone.state(), State::OpenSent);
    lone.frame(incoming, frame(&peer_open().encode()));
    lone.frame(incoming, keepalive());
    assert_eq!(lone.state(), State::Established);
}

#[test]
fn collision_cease_from_the_peer_is_no_failure() {
    let (mut lone, conn) = Lone::open_sent(config());
    lone.frame(conn, frame(&Notification::new(6, 7).encode()));
    assert_eq!(lone.state(), State::Active);
    assert_eq!(lone.session.last_error(), None);
    assert!(lone.session.lone_collision().is_some());
}

#[test]
fn manual_stop_ends_both_connections() {
    let (mut lone, outgoing, incoming) = two(config());
    lone.input(Input::ManualStop {
        subcode: 3,
        message: String::new(),
    });
    let actions = lone.actions();
    let mut closed = closes(&actions);
    closed.sort();
    let mut both = [outgoing, incoming];
    both.sort();
    assert_eq!(closed, both);
    assert_eq!(notifications(&actions).len(), 2);
    assert_eq!(lone.state(), State::Idle);
}

#[test]
fn simultaneous_opens_join_quickly_and_seldom_lose_both() {
    let (mut late, mut drops) = (0, 0);
    for seed in 0..2000 {
        let mut pair = Pair::new(config(), peer_config(), seed);
        pair.max_delay = [1, 10, 100][seed as usize % 3];
        pair.start();
        pair.run_for(secs(6));
        late += usize::from(!pair.joined());
        drops += usize::from(!pair.sides[0].reasons.is_empty());
    }
    assert!(late == 0 && drops < 20, "{late} late, {drops} dropped once");
}
