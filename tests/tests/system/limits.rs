//! Prefix limits, ours on them and theirs on us.

use std::time::Duration;

use godwit_tests::attrs;
use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::raw::{NOTIFICATION, ROUTE_REFRESH, Raw, RawOpen};
use godwit_tests::router::{Announce, Router};
use godwit_tests::wait::holds_for;
use godwit_tests::wait_for;
use ipnet::IpNet;
use serde_json::Value;

use crate::duo::{
    Duo, OUR_IPV4, Options, RAW, RAW_ASN, THEM, US, US_TO_RAW, configuration, raw_open,
};

const ALL: &str = "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n";

fn options(family_lines: &str) -> Options {
    Options {
        peer_lines: format!(
            "{ALL}[peer.family.ipv4-unicast]\n{family_lines}\n[peer.family.ipv6-unicast]\n"
        ),
        ..Options::default()
    }
}

fn shown<R: Router>(duo: &Duo<R>, peer: &str) -> Value {
    duo.us.json(&["peer", "show", peer])["peer"].take()
}

fn ipv4<R: Router>(duo: &Duo<R>, peer: &str) -> Value {
    let families = shown(duo, peer)["families"].take();
    let mut families = families.as_array().cloned().unwrap_or_default();
    let found = families
        .iter()
        .position(|f| f["family"] == "FAMILY_IPV4_UNICAST");
    found.map_or(Value::Null, |i| families.swap_remove(i))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn accepted<R: Router>(duo: &Duo<R>) -> u64 {
    number(&ipv4(duo, THEM)["accepted"])
}

fn discard_keeps_what_was_there_and_takes_more_when_there_is_room<R: Router>() {
    let mut duo: Duo<R> = Duo::start(options("prefix-limit = { max = 3, then = \"discard\" }"));
    duo.wait_established();
    for i in 1..6 {
        duo.them
            .announce(Announce::plain(&format!("10.9.{i}.0/24")));
    }
    wait_for("all received, and three of them let in", || {
        let family = ipv4(&duo, THEM);
        let names = ["received", "over_limit"];
        let [received, over] = names.map(|name| number(&family[name]));
        // FRR may send our own route back, which counts and is a loop.
        (received >= 6 && received - over == 3).then_some(())
    });
    assert!(duo.us.is_established(Duo::<R>::them_address()));
    let text = duo.us.cli(&["peer", "show", THEM]).expect("a peer");
    assert!(text.contains("prefix limit 3, then discard"), "{text}");
    let rejected = duo
        .us
        .json(&["route", "list", "--peer", THEM, "--rejected"])
        .to_string();
    assert!(rejected.contains("over the prefix limit"), "{rejected}");
    // A higher one, while the session runs.
    let times = duo.them.times_established(Duo::<R>::us_address());
    duo.us.reload(&configuration(&options(
        "prefix-limit = { max = 100, then = \"discard\" }",
    )));
    wait_for("all of them", || (accepted(&duo) == 6).then_some(()));
    assert_eq!(duo.them.times_established(Duo::<R>::us_address()), times);
}

fn restart_ends_the_session_and_comes_back_later<R: Router>() {
    let mut duo: Duo<R> = Duo::start(options(
        "prefix-limit = { max = 2, then = \"restart\", restart-after = \"4s\" }",
    ));
    duo.wait_established();
    for i in 1..4 {
        duo.them
            .announce(Announce::plain(&format!("10.9.{i}.0/24")));
    }
    wait_for("the session to be held down", || {
        let peer = shown(&duo, THEM);
        let text = peer["waiting_for"].as_str().unwrap_or_default();
        (text.contains("past its prefix-limit of 2") && !peer["waiting_until"].is_null())
            .then_some(())
    });
    let error = shown(&duo, THEM)["last_error"]["text"].to_string();
    assert!(
        error.contains("Maximum Number of Prefixes Reached"),
        "{error}"
    );
    holds_for(Duration::from_secs(2), "it stays down", || {
        !duo.us.is_established(Duo::<R>::them_address())
    });
    for i in 1..4 {
        duo.them.withdraw(&format!("10.9.{i}.0/24"));
    }
    duo.wait_established();
    duo.wait_their_route("10.2.0.0/24");
}

fn disable_stays_down_until_somebody_enables_it<R: Router>() {
    let mut duo: Duo<R> = Duo::start(options("prefix-limit = { max = 1, then = \"disable\" }"));
    duo.wait_established();
    duo.them.announce(Announce::plain("10.9.1.0/24"));
    wait_for("the session to be over", || {
        let peer = shown(&duo, THEM);
        let text = peer["waiting_for"].as_str().unwrap_or_default();
        text.contains("`godwit peer enable`: past its prefix-limit of 1")
            .then_some(())
    });
    holds_for(Duration::from_secs(3), "it stays down", || {
        !duo.us.is_established(Duo::<R>::them_address())
    });
    duo.them.withdraw("10.9.1.0/24");
    duo.us.cli(&["peer", "enable", THEM]).expect("a peer");
    duo.wait_established();
}

fn our_own_excess_ends_the_session_before_it_is_sent<R: Router>() {
    let duo: Duo<R> = Duo::start(options(
        "prefix-limit-out = { max = 3, then = \"disable\" }",
    ));
    duo.wait_our_route(OUR_IPV4);
    let mut raw = duo.raw();
    raw.send_update(&announcement(0, 5));
    wait_for("the session to be over", || {
        let peer = shown(&duo, THEM);
        let text = peer["waiting_for"].as_str().unwrap_or_default();
        text.contains("past its prefix-limit-out of 3")
            .then_some(())
    });
    assert!(duo.them.route("10.30.0.0/24").is_none());
}

fn our_excess_is_held_back_for_a_while_and_no_longer<R: Router>() {
    let duo: Duo<R> = Duo::start(options(
        "prefix-limit-out = { max = 3, then = \"restart\", restart-after = \"4s\" }",
    ));
    duo.wait_our_route(OUR_IPV4);
    let times = duo.them.times_established(Duo::<R>::us_address());
    let mut raw = duo.raw();
    raw.send_update(&announcement(0, 5));
    wait_for("the session to be held down", || {
        let peer = shown(&duo, THEM);
        let text = peer["waiting_for"].as_str().unwrap_or_default();
        (text.contains("past its prefix-limit-out of 3") && !peer["waiting_until"].is_null())
            .then_some(())
    });
    raw.send_update(&withdrawal(0, 5));
    holds_for(Duration::from_secs(2), "it stays down", || {
        !duo.us.is_established(Duo::<R>::them_address())
    });
    duo.wait_established();
    duo.wait_our_route(OUR_IPV4);
    let now = duo.them.times_established(Duo::<R>::us_address());
    assert_eq!(now, times + 1);
}

/// Past it is told, and nothing else happens.
fn warn_lets_everything_in<R: Router>() {
    let mut duo: Duo<R> = Duo::start(options("prefix-limit = { max = 2, then = \"warn\" }"));
    duo.wait_established();
    for i in 1..6 {
        duo.them
            .announce(Announce::plain(&format!("10.9.{i}.0/24")));
    }
    wait_for("all of them", || (accepted(&duo) == 6).then_some(()));
    wait_for("a warning", || {
        let log = duo.us.process().log();
        log.contains("the peer announces more than its prefix limit")
            .then_some(())
    });
    assert_eq!(duo.them.times_established(Duo::<R>::us_address()), 1);
}

/// They know us by another number: each attempt fails, and they come further apart.
fn failures_in_a_row_are_repeated_ever_more_slowly<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        they_call_us: 64999,
        they_wait: true,
        ..options("")
    });
    let failures = |n: u32| {
        wait_for(&format!("{n} failures"), || {
            let text = shown(&duo, THEM)["waiting_for"].to_string();
            text.contains(&format!("held down after {n} failures in a row"))
                .then_some(std::time::Instant::now())
        })
    };
    let (third, fourth) = (failures(3), failures(4));
    let error = shown(&duo, THEM)["last_error"]["text"].to_string();
    assert!(error.contains("Bad Peer AS"), "{error}");
    // The third pause is 4 s, of which jitter leaves 3 at least.
    let pause = fourth - third;
    assert!(pause > Duration::from_millis(2500), "{pause:?}");
}

with_every_router!(
    our_excess_is_held_back_for_a_while_and_no_longer,
    warn_lets_everything_in,
    failures_in_a_row_are_repeated_ever_more_slowly,
    discard_keeps_what_was_there_and_takes_more_when_there_is_room,
    restart_ends_the_session_and_comes_back_later,
    disable_stays_down_until_somebody_enables_it,
    our_own_excess_ends_the_session_before_it_is_sent,
);

fn announcement(from: u32, n: u32) -> Vec<u8> {
    let attributes = [
        attrs::origin(0),
        attrs::as_path(&[RAW_ASN]),
        attrs::next_hop(RAW.parse().expect("an address")),
    ];
    attrs::update(&[], &attributes, &nets(from, n))
}

fn withdrawal(from: u32, n: u32) -> Vec<u8> {
    attrs::update(&nets(from, n), &[], &[])
}

fn nets(from: u32, n: u32) -> Vec<IpNet> {
    let net = |i: u32| {
        let text = format!("10.{}.{}.0/24", 30 + i / 256, i % 256);
        text.parse().expect("a prefix")
    };
    (from..from + n).map(net).collect()
}

fn raw_limit(limit: &str) -> (Duo<Bird>, Raw) {
    let duo: Duo<Bird> = Duo::start(Options {
        raw_lines: format!("[peer.family.ipv4-unicast]\nprefix-limit = {limit}\n"),
        ..Options::default()
    });
    let open = RawOpen {
        enhanced_refresh: true,
        ..raw_open()
    };
    let raw = Raw::establish(&duo.raw_host, RAW, US_TO_RAW, &open);
    (duo, raw)
}

#[test]
fn the_notification_names_the_family_and_the_limit() {
    let (duo, mut raw) = raw_limit("{ max = 300, then = \"restart\" }");
    raw.send_update(&announcement(0, 301));
    let message = raw.expect_message(NOTIFICATION);
    // RFC 4486: Cease/1, AFI, SAFI, the limit.
    assert_eq!(message.body, [6, 1, 0, 1, 1, 0, 0, 1, 44]);
    drop(duo);
}

#[test]
fn a_flood_past_the_limit_is_not_remembered_and_asked_for_when_there_is_room() {
    let (duo, mut raw) = raw_limit("{ max = 100, then = \"discard\" }");
    for block in 0..20 {
        raw.send_update(&announcement(block * 500, 500));
    }
    wait_for("the flood to be over", || {
        let family = ipv4(&duo, RAW);
        let names = ["received", "accepted", "over_limit", "dropped"];
        (names.map(|name| number(&family[name])) == [1124, 100, 1024, 8876]).then_some(())
    });
    // All but a few of those that are remembered, and of those that are in.
    raw.send_update(&withdrawal(0, 500));
    raw.send_update(&withdrawal(500, 500));
    raw.send_update(&withdrawal(1000, 120));
    let request = raw.expect_message(ROUTE_REFRESH);
    assert_eq!(request.body, [0, 1, 0, 1]);
    assert!(duo.us.is_established(RAW.parse().expect("an address")));
}

#[test]
fn a_limit_of_birds_that_we_pass_shows_with_its_number() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    duo.wait_established();
    duo.them.edit(&|text: &str| {
        text.replace(
            "ipv4 { import all;",
            "ipv4 { import all; receive limit 2 action disable;",
        )
    });
    for i in 1..5 {
        let prefix = format!("192.0.2.{}/30", 64 + i * 4);
        duo.us.cli(&["route", "add", &prefix]).expect("a route");
    }
    wait_for("their NOTIFICATION", || {
        let error = shown(&duo, THEM)["last_error"]["text"].to_string();
        error
            .contains("received Cease/Maximum Number of Prefixes Reached")
            .then_some(())
    });
}

#[test]
fn a_limit_of_frrs_that_we_pass_shows_with_its_number() {
    let duo: Duo<Frr> = Duo::start(Options::default());
    duo.wait_established();
    duo.them.configure(&[
        "router bgp 65002",
        "address-family ipv4 unicast",
        &format!("neighbor {US} maximum-prefix 2"),
    ]);
    for i in 1..5 {
        let prefix = format!("192.0.2.{}/30", 64 + i * 4);
        duo.us.cli(&["route", "add", &prefix]).expect("a route");
    }
    wait_for("their NOTIFICATION", || {
        let error = shown(&duo, THEM)["last_error"]["text"].to_string();
        error
            .contains("received Cease/Maximum Number of Prefixes Reached: ipv4-unicast, limit 2")
            .then_some(())
    });
}
