//! Every error with its code and subcode (RFC 4271 §6, RFC 6608).

use super::*;

/// The NOTIFICATION that answers this frame; the connection is closed.
fn answer(state: State, received: Frame) -> Notification {
    let (mut lone, conn) = Lone::in_state(state);
    lone.frame(conn, received);
    let actions = lone.actions();
    assert_eq!(closes(&actions), [conn]);
    assert_eq!(lone.state(), State::Idle);
    let error = lone.session.last_error().unwrap();
    assert_eq!((error.origin, error.state), (ErrorOrigin::Sent, state));
    let down = usize::from(state == State::Established);
    assert_eq!(downs(&actions).len(), down);
    notifications(&actions).remove(0)
}

fn answer_to_open(open: &Open) -> (u8, u8) {
    let n = answer(State::OpenSent, frame(&open.encode()));
    (n.code, n.subcode)
}

#[test]
fn a_message_out_of_place_is_an_fsm_error_with_its_type() {
    let open = || frame(&peer_open().encode());
    let update = end_of_rib;
    let refresh = || raw(MessageType::RouteRefresh, &[0, 1, 0, 1]);
    let table = [
        (State::OpenSent, keepalive(), 1, 4),
        (State::OpenSent, update(), 1, 2),
        (State::OpenSent, refresh(), 1, 5),
        (State::OpenConfirm, open(), 2, 1),
        (State::OpenConfirm, update(), 2, 2),
        (State::OpenConfirm, refresh(), 2, 5),
        (State::Established, open(), 3, 1),
    ];
    for (state, received, subcode, kind) in table {
        let n = answer(state, received);
        assert_eq!(
            (n.code, n.subcode, &n.data[..]),
            (5, subcode, &[kind][..]),
            "{state}"
        );
    }
}

#[test]
fn a_wrong_as_is_bad_peer_as() {
    let mut open = peer_config();
    open.local_asn = Asn(65099);
    assert_eq!(answer_to_open(&open.open(false)), (2, 2));
}

/// Which number the OPEN of the next connection shows, when this one has been
/// answered with a NOTIFICATION; pauses are sat out.
fn next_number(lone: &mut Lone, conn: ConnId, answer: &Notification) -> (ConnId, Asn) {
    lone.frame(conn, frame(&answer.encode()));
    lone.actions();
    let pause = lone.session.next_deadline().unwrap();
    lone.run_until(pause);
    let next = lone.attempt();
    lone.input(Input::Connected(next));
    let (_, open) = sent(&lone.actions()).remove(0);
    (next, Open::decode(&open.body).unwrap().asn)
}

#[test]
fn a_peer_that_knows_another_number_of_ours_gets_it() {
    let other = Asn(4_200_000_000);
    let (mut lone, conn) = Lone::open_sent(SessionConfig {
        alternate_asn: Some(other),
        ..config()
    });
    let own = lone.session.config().local_asn;
    let (conn, asn) = next_number(&mut lone, conn, &faults::bad_peer_as());
    assert_eq!(asn, other);
    // Anything else is not about the number.
    let (conn, asn) = next_number(&mut lone, conn, &faults::unacceptable_hold_time());
    assert_eq!(asn, other);
    lone.frame(conn, frame(&peer_open().encode()));
    lone.frame(conn, keepalive());
    assert_eq!(lone.session.negotiated().unwrap().local_asn, other);
    // What a session was up with is what the next begins with, until it is refused.
    let (conn, asn) = next_number(&mut lone, conn, &faults::bad_peer_as());
    assert_eq!(asn, other);
    let (conn, asn) = next_number(&mut lone, conn, &faults::bad_peer_as());
    assert_eq!(asn, own);
    let (_, asn) = next_number(&mut lone, conn, &faults::bad_peer_as());
    assert_eq!(asn, other);
    lone.session.set_config(config());
    assert_eq!(lone.session.shown_asn(), own);
}

#[test]
fn two_connections_refused_alike_change_the_number_once() {
    let (mut lone, conn) = Lone::open_sent(SessionConfig {
        alternate_asn: Some(Asn(65077)),
        ..config()
    });
    let second = lone.accept();
    lone.actions();
    for conn in [conn, second] {
        lone.frame(conn, frame(&faults::bad_peer_as().encode()));
    }
    assert_eq!(lone.session.shown_asn(), Asn(65077));
}

#[test]
fn without_another_number_a_refusal_changes_nothing() {
    let (mut lone, conn) = Lone::open_sent(config());
    let own = lone.session.config().local_asn;
    let (_, asn) = next_number(&mut lone, conn, &faults::bad_peer_as());
    assert_eq!(asn, own);
}

#[test]
fn as_zero_is_bad_peer_as_whoever_may_come() {
    let mut open = peer_config();
    open.local_asn = Asn(0);
    let (mut lone, conn) = Lone::open_sent(SessionConfig {
        remote_as: RemoteAs::Any,
        ..config()
    });
    lone.frame(conn, frame(&open.open(false).encode()));
    assert_eq!(fault(&lone.actions()), (2, 2));
}

#[test]
fn identifier_zero_is_bad() {
    let mut open = peer_open();
    open.router_id = RouterId(0);
    assert_eq!(answer_to_open(&open), (2, 3));
}

#[test]
fn our_own_identifier_is_bad_on_an_internal_session_only() {
    let mut internal = config();
    internal.remote_as = RemoteAs::Internal;
    let (mut lone, conn) = Lone::open_sent(internal.clone());
    lone.frame(conn, frame(&internal.open(false).encode()));
    assert_eq!(fault(&lone.actions()), (2, 3));

    let mut open = peer_open();
    open.router_id = config().local_router_id;
    let (lone, _) = Lone::open_confirm(config(), &open);
    assert_eq!(lone.state(), State::OpenConfirm);
}

#[test]
fn hold_times_of_one_and_two_seconds_are_unacceptable() {
    for seconds in [1, 2] {
        let mut open = peer_open();
        open.hold_time = seconds;
        assert_eq!(answer_to_open(&open), (2, 6));
    }
}

#[test]
fn another_version_is_told_ours() {
    let mut open = peer_open();
    open.version = 3;
    let n = answer(State::OpenSent, frame(&open.encode()));
    assert_eq!((n.code, n.subcode, &n.data[..]), (2, 1, &[0, 4][..]));
}

#[test]
fn an_unknown_optional_parameter_is_unsupported() {
    let body = &[4, 0xfd, 0xea, 0, 90, 10, 0, 0, 2, 3, 99, 1, 0];
    let n = answer(State::OpenSent, raw(MessageType::Open, body));
    assert_eq!((n.code, n.subcode), (2, 4));
}

#[test]
fn no_common_family_is_unsupported_capability_naming_what_we_need() {
    let mut ours = config();
    ours.families = vec![Family::Ipv6Unicast];
    let (mut lone, conn) = Lone::open_sent(ours);
    let mut theirs = peer_config();
    theirs.families = vec![Family::Ipv4Unicast];
    lone.frame(conn, frame(&theirs.open(false).encode()));
    let n = notifications(&lone.actions()).remove(0);
    assert_eq!((n.code, n.subcode), (2, 7));
    assert_eq!(&n.data[..], [1, 4, 0, 2, 0, 1]);
}

#[test]
fn a_missing_capability_alone_never_ends_a_session() {
    let mut bare = peer_config();
    bare.capabilities = Capabilities {
        four_octet_as: false,
        route_refresh: false,
        enhanced_refresh: false,
        extended_message: false,
        extended_next_hop: false,
        graceful_restart: None,
        role: None,
        role_strict: false,
        extra: Vec::new(),
    };
    for open in [bare.open(false), bare.open(true)] {
        let (lone, _) = Lone::open_confirm(config(), &open);
        assert_eq!(lone.state(), State::OpenConfirm);
    }
}

#[test]
fn a_broken_byte_stream_is_answered_as_the_splitter_says() {
    for state in WITH_CONNECTION {
        let (mut lone, conn) = Lone::in_state(state);
        lone.input(Input::BadFrame(conn, Notification::new(1, 1)));
        let actions = lone.actions();
        assert_eq!(fault(&actions), (1, 1));
        assert_eq!(closes(&actions), [conn]);
        assert_eq!(lone.state(), State::Idle);
    }
}

#[test]
fn a_fatal_update_ends_the_session_with_an_update_error() {
    // the withdrawn routes claim more than the message has
    let n = answer(State::Established, raw(MessageType::Update, &[0, 9, 0, 0]));
    assert_eq!(n.code, 3);
}

#[test]
fn a_route_refresh_of_wrong_length_is_a_route_refresh_error() {
    let n = answer(
        State::Established,
        raw(MessageType::RouteRefresh, &[0, 1, 1, 1, 9]),
    );
    assert_eq!((n.code, n.subcode), (7, 1));
}

#[test]
fn a_peer_that_refuses_capabilities_gets_an_open_without_once() {
    let (mut lone, conn) = Lone::open_sent(config());
    lone.frame(conn, frame(&Notification::new(2, 4).encode()));
    lone.run_for(secs(1));
    let plain = lone.attempt();
    lone.input(Input::Connected(plain));
    let open = Open::decode(&sent(&lone.actions())[0].1.body).unwrap();
    assert!(open.capabilities.is_empty());
    assert_eq!(open.my_as, 65001);
    lone.frame(plain, frame(&Notification::new(2, 0).encode()));
    lone.run_for(secs(2));
    let again = lone.attempt();
    lone.input(Input::Connected(again));
    let open = Open::decode(&sent(&lone.actions())[0].1.body).unwrap();
    assert!(!open.capabilities.is_empty());
}
