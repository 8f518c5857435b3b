//! The enhanced route refresh, RFC 7313, in both roles.

use std::time::Duration;

use godwit_tests::attrs::{self, ParsedUpdate};
use godwit_tests::bird::Bird;
use godwit_tests::raw::{BEGIN_IPV4, END_IPV4, REFRESH_IPV4, ROUTE_REFRESH, Raw, RawOpen, UPDATE};
use godwit_tests::router::Router;
use godwit_tests::wait::holds_for;
use godwit_tests::wait_for;
use ipnet::IpNet;

use crate::duo::{Duo, OUR_IPV4, Options, RAW, RAW_ASN, THEM, US_TO_RAW, raw_open};

/// Refresh messages, marks included, that we count as received from a peer.
fn refreshes<R: Router>(duo: &Duo<R>, peer: &str) -> u64 {
    let shown = duo.us.json(&["peer", "show", peer]);
    shown["peer"]["counters"]["received"]["route_refresh"]
        .as_u64()
        .unwrap_or(0)
}

fn is_refreshing<R: Router>(duo: &Duo<R>, peer: &str) -> bool {
    let shown = duo.us.json(&["peer", "show", peer]);
    shown["peer"]["families"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|family| family["refreshing"] == true)
}

fn our_request_is_answered_between_marks_and_keeps_the_routes<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    for prefix in ["10.2.0.0/24", "fd02::/64"] {
        duo.wait_their_route(prefix);
    }
    let text = duo.us.cli(&["peer", "show", THEM]).expect("a peer");
    assert!(text.contains("enhanced route refresh"), "{text}");
    let before = refreshes(&duo, THEM);
    duo.us
        .cli(&["peer", "refresh", "--in", THEM])
        .expect("they support it");
    // Begin and end, of both families.
    wait_for("four marks", || {
        (refreshes(&duo, THEM) >= before + 4 && !is_refreshing(&duo, THEM)).then_some(())
    });
    holds_for(Duration::from_secs(1), "their routes stay", || {
        let best = duo.us.best();
        ["10.2.0.0/24", "fd02::/64"]
            .iter()
            .all(|prefix| best.contains(&(*prefix).to_owned()))
    });
}

fn their_request_is_answered_between_marks<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_our_route(OUR_IPV4);
    let us = Duo::<R>::us_address();
    let before = duo.them.refresh_marks_received(us);
    duo.them.ask_refresh(us);
    wait_for("begin and end there", || {
        (duo.them.refresh_marks_received(us) >= before + 2).then_some(())
    });
    holds_for(Duration::from_secs(1), "our route stays there", || {
        duo.them.route(OUR_IPV4).is_some()
    });
    assert!(duo.them.is_established(us));
}

with_every_router!(
    our_request_is_answered_between_marks_and_keeps_the_routes,
    their_request_is_answered_between_marks,
);

fn nets(texts: &[&str]) -> Vec<IpNet> {
    let net = |text: &&str| text.parse().expect("a prefix");
    texts.iter().map(net).collect()
}

fn announcement(prefixes: &[&str]) -> Vec<u8> {
    let next_hop = RAW.parse().expect("an address");
    let attributes = [
        attrs::origin(0),
        attrs::as_path(&[RAW_ASN]),
        attrs::next_hop(next_hop),
    ];
    attrs::update(&[], &attributes, &nets(prefixes))
}

fn enhanced(duo: &Duo<Bird>) -> Raw {
    let open = RawOpen {
        enhanced_refresh: true,
        ..raw_open()
    };
    Raw::establish(&duo.raw_host, RAW, US_TO_RAW, &open)
}

/// The raw speaker has announced two routes, and both are with BIRD.
fn with_two_routes(raw_lines: &str) -> (Duo<Bird>, Raw) {
    let duo: Duo<Bird> = Duo::start(Options {
        raw_lines: raw_lines.to_owned(),
        ..Options::default()
    });
    duo.wait_established();
    let mut raw = enhanced(&duo);
    raw.send_update(&announcement(&["10.3.0.0/24", "10.3.1.0/24"]));
    for prefix in ["10.3.0.0/24", "10.3.1.0/24"] {
        wait_for("both routes with BIRD", || duo.them.route(prefix));
    }
    (duo, raw)
}

fn begin(duo: &Duo<Bird>, raw: &mut Raw) {
    raw.send(ROUTE_REFRESH, BEGIN_IPV4)
        .expect("the session is up");
    wait_for("the refresh to begin", || {
        is_refreshing(duo, RAW).then_some(())
    });
}

#[test]
fn a_route_that_a_refresh_does_not_bring_stays_until_its_end_and_then_goes_everywhere() {
    let (duo, mut raw) = with_two_routes("");
    begin(&duo, &mut raw);
    raw.send_update(&announcement(&["10.3.0.0/24"]));
    holds_for(Duration::from_secs(1), "both are in use", || {
        ["10.3.0.0/24", "10.3.1.0/24"]
            .iter()
            .all(|prefix| duo.them.route(prefix).is_some())
    });
    raw.send(ROUTE_REFRESH, END_IPV4)
        .expect("the session is up");
    wait_for("the stale one to go", || {
        duo.them.route("10.3.1.0/24").is_none().then_some(())
    });
    assert!(duo.them.route("10.3.0.0/24").is_some());
    assert!(!is_refreshing(&duo, RAW));
}

#[test]
fn a_refresh_without_an_end_is_ended_by_the_timer_and_the_session_stays() {
    let (duo, mut raw) = with_two_routes("refresh-timeout = \"2s\"");
    begin(&duo, &mut raw);
    raw.send_update(&announcement(&["10.3.0.0/24"]));
    wait_for("the stale one to go", || {
        duo.them.route("10.3.1.0/24").is_none().then_some(())
    });
    assert!(duo.them.route("10.3.0.0/24").is_some());
    assert!(duo.us.is_established(RAW.parse().expect("an address")));
}

#[test]
fn a_session_that_ends_in_a_refresh_takes_its_routes_and_the_next_is_whole() {
    let (duo, mut raw) = with_two_routes("");
    begin(&duo, &mut raw);
    drop(raw);
    for prefix in ["10.3.0.0/24", "10.3.1.0/24"] {
        wait_for("its routes to go", || {
            duo.them.route(prefix).is_none().then_some(())
        });
    }
    let mut raw = enhanced(&duo);
    raw.send_update(&announcement(&["10.3.0.0/24"]));
    wait_for("the route of the new session", || {
        duo.them.route("10.3.0.0/24")
    });
    assert!(!is_refreshing(&duo, RAW));
}

#[test]
fn a_request_gets_begin_all_routes_and_end_in_this_order() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    duo.wait_their_route("10.2.0.0/24");
    let mut raw = enhanced(&duo);
    raw.expect_announcement("10.2.0.0/24");
    raw.expect_update(|update| update.end_of_rib);
    raw.send(ROUTE_REFRESH, REFRESH_IPV4)
        .expect("the session is up");
    assert_eq!(raw.expect_message(ROUTE_REFRESH).body, BEGIN_IPV4);
    let mut announced = Vec::new();
    loop {
        let message = raw
            .read_message(godwit_tests::wait::PATIENCE)
            .expect("the end of the refresh");
        match message.kind {
            UPDATE => announced.extend(ParsedUpdate::parse(&message.body).announced),
            ROUTE_REFRESH => {
                assert_eq!(message.body, END_IPV4);
                break;
            }
            _ => {}
        }
    }
    for net in nets(&["10.2.0.0/24", OUR_IPV4]) {
        assert!(announced.contains(&net), "{net} is not in {announced:?}");
    }
}

#[test]
fn a_mark_of_the_wrong_length_is_answered_with_7_1() {
    let (duo, mut raw) = with_two_routes("");
    raw.send(ROUTE_REFRESH, &[0, 1, 1, 1, 0])
        .expect("the session is up");
    assert_eq!(raw.expect_notification(), (7, 1));
    drop(duo);
}
