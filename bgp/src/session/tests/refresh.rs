//! The enhanced refresh, RFC 7313, as far as the session has to do with it.

use super::*;

const V4: Family = Family::Ipv4Unicast;
const BEGIN: &[u8] = &[0, 1, 1, 1];
const END: &[u8] = &[0, 1, 2, 1];

fn refresh(lone: &mut Lone, conn: ConnId, body: &'static [u8]) -> Option<Event> {
    lone.frame(conn, raw(MessageType::RouteRefresh, body))
}

fn expired(actions: &[Action]) -> usize {
    let expired = |a: &&Action| matches!(a, Action::RefreshExpired(V4));
    actions.iter().filter(expired).count()
}

fn requests(actions: &[Action]) -> usize {
    let request = |a: &&Action| matches!(a, Action::Refresh(V4));
    actions.iter().filter(request).count()
}

/// RFC 2918 §3: who advertised it is asked; whether the other can be asked in
/// turn is another matter.
#[test]
fn a_peer_may_ask_that_takes_no_requests_itself_and_is_not_asked() {
    for (ours, theirs) in [(true, false), (false, true)] {
        let of = |mut config: SessionConfig, knows| {
            config.capabilities.route_refresh = knows;
            config.capabilities.enhanced_refresh = false;
            config
        };
        let open = of(peer_config(), theirs).open(false);
        let (mut lone, conn) = Lone::open_confirm(of(config(), ours), &open);
        lone.frame(conn, keepalive());
        lone.actions();
        refresh(&mut lone, conn, &[0, 1, 0, 1]);
        assert_eq!(requests(&lone.actions()), usize::from(ours));
        assert_eq!(lone.session.request_refresh(V4), theirs);
    }
}

#[test]
fn begin_and_end_come_back_in_order_with_the_updates() {
    let (mut lone, conn) = Lone::established(config());
    assert!(matches!(
        refresh(&mut lone, conn, BEGIN),
        Some(Event::RefreshBegin(V4))
    ));
    assert!(matches!(
        lone.frame(conn, end_of_rib()),
        Some(Event::Update(_))
    ));
    assert!(matches!(
        refresh(&mut lone, conn, END),
        Some(Event::RefreshEnd(V4))
    ));
    assert!(lone.actions().is_empty());
}

#[test]
fn a_refresh_that_never_ends_expires_once() {
    let mut quick = config();
    quick.refresh_hold = secs(20);
    quick.hold_time = secs(0);
    let (mut lone, conn) = Lone::established(quick);
    refresh(&mut lone, conn, BEGIN);
    lone.run_for(secs(15));
    // The second one starts the time anew.
    refresh(&mut lone, conn, BEGIN);
    lone.run_for(secs(19));
    assert_eq!(expired(&lone.actions()), 0);
    lone.run_for(secs(1));
    assert_eq!(expired(&lone.actions()), 1);
    lone.run_for(secs(100));
    assert_eq!(expired(&lone.actions()), 0);
}

#[test]
fn an_end_in_time_and_an_end_of_the_session_stop_the_timer() {
    let mut quick = config();
    quick.refresh_hold = secs(20);
    quick.hold_time = secs(0);
    let (mut lone, conn) = Lone::established(quick);
    refresh(&mut lone, conn, BEGIN);
    refresh(&mut lone, conn, END);
    lone.run_for(secs(60));
    assert_eq!(expired(&lone.actions()), 0);
    refresh(&mut lone, conn, BEGIN);
    lone.input(Input::ManualStop {
        subcode: 2,
        message: String::new(),
    });
    assert_eq!(lone.session.next_deadline(), None);
    lone.run_for(secs(60));
    assert_eq!(expired(&lone.actions()), 0);
}

#[test]
fn a_mark_of_another_length_ends_the_session_and_shows_the_message() {
    for body in [&[0u8, 1, 1, 1, 0][..], &[0, 1, 2, 1, 9, 9], &[0, 1, 1]] {
        let (mut lone, conn) = Lone::established(config());
        lone.frame(
            conn,
            Frame {
                kind: MessageType::RouteRefresh,
                body: Bytes::copy_from_slice(body),
            },
        );
        let all = notifications(&lone.actions());
        assert_eq!((all[0].code, all[0].subcode), (7, 1), "{body:?}");
        assert_eq!(all[0].data.get(19..), Some(body), "the whole message");
    }
}

#[test]
fn marks_mean_nothing_without_the_capability_or_the_family() {
    let mut plain = peer_config();
    plain.capabilities.enhanced_refresh = false;
    let (mut lone, conn) = Lone::open_confirm(config(), &plain.open(false));
    lone.frame(conn, keepalive());
    lone.actions();
    let other: [&[u8]; 4] = [BEGIN, END, &[0, 1, 1, 1, 0], &[0, 1, 7, 1]];
    for body in other {
        assert!(refresh(&mut lone, conn, body).is_none());
        // The octet is reserved then (RFC 2918 §3).
        assert_eq!(requests(&lone.actions()), 1, "{body:?}");
    }
    let mut narrow = config();
    narrow.families = vec![Family::Ipv6Unicast];
    let (mut lone, conn) = Lone::established(narrow);
    assert!(refresh(&mut lone, conn, BEGIN).is_none());
    // A subtype of the future, RFC 7313 §5.
    assert!(refresh(&mut lone, conn, &[0, 2, 3, 1]).is_none());
    assert!(lone.actions().is_empty());
    assert_eq!(lone.state(), State::Established);
}
