//! Peers that send garbage, too much, half of it, or nothing, cost only
//! themselves.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use godwit_tests::attrs;
use godwit_tests::raw::{
    KEEPALIVE, NOTIFICATION, OPEN, REFRESH_IPV4, ROUTE_REFRESH, Raw, UPDATE, frame,
};
use godwit_tests::table::Table;
use godwit_tests::wait::wait_for_within;
use godwit_tests::{PATIENCE, wait_for};

use crate::malformed::{Chain, bad_open, base, net};

/// The watcher's session stands and the daemon answers; `bad` may come back.
#[track_caller]
fn check_nobody_else_noticed(mut chain: Chain) {
    chain.us.wait_established("10.0.1.2");
    chain.bad = Raw::establish(&chain.bad_host, "10.0.0.2", "10.0.0.1", &bad_open());
    chain.check_alive();
}

#[test]
fn a_bad_marker_ends_the_session_with_1_1() {
    let mut chain = Chain::start();
    let mut message = frame(UPDATE, &[0, 0, 0, 0]);
    message[3] = 0;
    chain.bad.send_bytes(&message).expect("the session is up");
    assert_eq!(chain.bad.expect_notification(), (1, 1));
    check_nobody_else_noticed(chain);
}

#[test]
fn a_length_below_the_headers_ends_the_session_with_1_2() {
    let mut chain = Chain::start();
    let mut message = frame(UPDATE, &[]);
    message[17] = 18;
    chain.bad.send_bytes(&message).expect("the session is up");
    assert_eq!(chain.bad.expect_notification(), (1, 2));
    check_nobody_else_noticed(chain);
}

#[test]
fn an_unknown_message_type_ends_the_session_with_1_3() {
    let mut chain = Chain::start();
    chain
        .bad
        .send_bytes(&frame(77, &[]))
        .expect("the session is up");
    assert_eq!(chain.bad.expect_notification(), (1, 3));
    check_nobody_else_noticed(chain);
}

#[test]
fn random_bytes_cost_only_their_sender() {
    let mut chain = Chain::start();
    let noise: Vec<u8> = (0..20_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    // The daemon may hang up before all is written.
    let _ = chain.bad.send_bytes(&noise);
    assert!(chain.bad.is_closed_within(Duration::from_secs(10)));
    check_nobody_else_noticed(chain);
}

#[test]
fn half_a_message_is_waited_for_no_longer_than_the_hold_time() {
    // Its keepalives cannot pass the half message either.
    let mut chain = Chain::start_with("hold-time = \"3s\"", false);
    let message = frame(UPDATE, &attrs::update(&[], &base(), &[net("10.10.0.0/24")]));
    chain
        .bad
        .send_bytes(&message[..message.len() / 2])
        .expect("the session is up");
    assert_eq!(chain.bad.expect_notification(), (4, 0));
    check_nobody_else_noticed(chain);
}

#[test]
fn a_message_in_single_bytes_is_put_together() {
    let mut chain = Chain::start();
    let message = frame(UPDATE, &attrs::update(&[], &base(), &[net("10.10.0.0/24")]));
    let mut stream = chain.bad.stream();
    for byte in &message {
        stream.write_all(&[*byte]).expect("the session is up");
    }
    chain.watcher.expect_announcement("10.10.0.0/24");
}

#[test]
fn a_keepalive_with_a_body_ends_the_session_with_1_2() {
    let mut chain = Chain::start();
    chain.bad.send(KEEPALIVE, &[0]).expect("the session is up");
    assert_eq!(chain.bad.expect_notification(), (1, 2));
    check_nobody_else_noticed(chain);
}

#[test]
fn an_attribute_that_fills_65535_octets_is_not_passed_to_who_takes_4096() {
    let mut chain = Chain::start_with("", true);
    let prefix = net("10.10.0.0/24");
    chain
        .bad
        .send_update(&attrs::update(&[], &base(), &[prefix]));
    chain.watcher.expect_announcement("10.10.0.0/24");
    let mut all = base();
    let rest = 65_535 - 19 - attrs::update(&[], &all, &[prefix]).len() - 4;
    all.push(attrs::attribute(0xc0, 200, &vec![7; rest]));
    let body = attrs::update(&[], &all, &[prefix]);
    assert_eq!(body.len() + 19, 65_535);
    chain.bad.send_update(&body);
    // It cannot be told with these attributes, so it is told to be gone.
    chain.watcher.expect_withdrawal("10.10.0.0/24");
    chain.check_alive();
    assert!(chain.us.best().contains(&"10.10.0.0/24".to_owned()));
}

#[test]
fn connections_that_say_nothing_leave_the_session_alone() {
    let mut chain = Chain::start();
    let silent: Vec<Raw> = (0..20)
        .map(|_| Raw::connect(&chain.bad_host, "10.0.0.2", "10.0.0.1"))
        .collect();
    chain.check_alive();
    drop(silent);
    chain.check_alive();
}

#[test]
fn a_silent_connection_does_not_keep_its_peer_out() {
    let mut chain = Chain::start();
    chain
        .bad
        .send_bytes(&frame(77, &[]))
        .expect("the session is up");
    assert!(chain.bad.is_closed_within(Duration::from_secs(10)));
    let _silent = Raw::connect(&chain.bad_host, "10.0.0.2", "10.0.0.1");
    chain.bad = Raw::establish(&chain.bad_host, "10.0.0.2", "10.0.0.1", &bad_open());
    chain.check_alive();
}

#[test]
fn a_stranger_is_turned_away() {
    let mut chain = Chain::start();
    chain
        .bad_host
        .ip(&["addr", "add", "10.0.0.77/24", "dev", "to-us"]);
    let mut stranger = Raw::connect(&chain.bad_host, "10.0.0.77", "10.0.0.1");
    assert!(stranger.is_closed_within(Duration::from_secs(10)));
    chain.check_alive();
}

#[test]
fn an_open_of_the_wrong_as_is_refused_with_2_2() {
    let mut chain = Chain::start();
    chain
        .bad
        .send_bytes(&frame(77, &[]))
        .expect("the session is up");
    assert!(chain.bad.is_closed_within(Duration::from_secs(10)));
    // A connection may come too early, while the old one is being forgotten.
    wait_for("NOTIFICATION 2/2", || {
        let mut raw = Raw::connect(&chain.bad_host, "10.0.0.2", "10.0.0.1");
        let body = [4, 0xfe, 0x0c, 0, 240, 10, 0, 0, 2, 0];
        raw.send(OPEN, &body).ok()?;
        let patience = Duration::from_secs(5);
        loop {
            let message = raw.read_message(patience).ok()?;
            if message.kind == 3 {
                break (message.body[..2] == [2, 2]).then_some(());
            }
        }
    });
    check_nobody_else_noticed(chain);
}

/// Each is cheap to send, and its answer a whole table.
#[test]
fn a_flood_of_refresh_requests_takes_no_memory_and_delays_nobody() {
    let mut chain = Chain::start();
    let table = Table::generate(false, 50_000, 7);
    let watcher = "10.0.1.2".parse().expect("an address");
    for body in table.updates(65002, watcher, "fd00:1::2".parse().expect("an address")) {
        chain.watcher.send_update(&body);
    }
    let last = ["198.51.100.0/24", "203.0.113.0/24"];
    let announce = |chain: &mut Chain, prefix: &str| {
        let base = [
            attrs::origin(0),
            attrs::as_path(&[65002]),
            attrs::next_hop(Ipv4Addr::new(10, 0, 1, 2)),
        ];
        let update = attrs::update(&[], &base, &[net(prefix)]);
        chain.watcher.send_update(&update);
    };
    announce(&mut chain, last[0]);
    wait_for("all of the table", || has_route(&chain, last[0]));
    let before = chain.us.process().peak_rss_kib();
    let some = frame(ROUTE_REFRESH, REFRESH_IPV4).repeat(10_000);
    for _ in 0..100 {
        chain.bad.send_bytes(&some).expect("the session is up");
    }
    announce(&mut chain, last[1]);
    // Well before a hold time of three seconds would be over.
    wait_for_within(Duration::from_secs(3), "a route of another", || {
        has_route(&chain, last[1])
    });
    let grown = chain.us.process().peak_rss_kib() - before;
    assert!(grown < 32 << 10, "{grown} KiB for requests");
}

fn has_route(chain: &Chain, prefix: &str) -> Option<()> {
    let shown = chain.us.cli(&["route", "show", prefix]).ok()?;
    shown.contains(prefix).then_some(())
}

/// A table is on its way to a neighbour that does not read; then we end it.
#[test]
fn the_notification_that_ends_a_session_is_the_last_that_is_sent() {
    let mut chain = Chain::start();
    // More than the kernel takes from us, and than one read of the RIB.
    for n in 0..2000u16 {
        let [high, low] = n.to_be_bytes();
        let mut all = base();
        let value = [&[high, low][..], &[7; 3000]].concat();
        all.push(attrs::attribute(0xc0, 200, &value));
        let prefix = net(&format!("10.{}.{low}.0/24", 100 + high));
        chain.bad.send_update(&attrs::update(&[], &all, &[prefix]));
    }
    wait_for("the last route", || has_route(&chain, "10.107.207.0/24"));
    let mut sent = Vec::new();
    wait_for("the watcher's socket to be full", || {
        let shown = chain.us.json(&["peer", "show", "10.0.1.2"]);
        sent.push(shown["peer"]["counters"]["sent"]["update"].to_string());
        let newest = sent.iter().rev().take(4);
        let still = sent.len() > 4 && newest.clone().all(|n| Some(n) == sent.last());
        still.then_some(())
    });
    chain
        .us
        .cli(&["peer", "disable", "10.0.1.2"])
        .expect("a peer");
    let mut updates = 0;
    let last = loop {
        match chain.watcher.read_message(PATIENCE) {
            Ok(message) if message.kind == UPDATE => updates += 1,
            Ok(message) => break message.kind,
            Err(e) => panic!("no NOTIFICATION after {updates} UPDATEs: {e}"),
        }
    };
    assert_eq!(last, NOTIFICATION);
    assert!(updates < 2000, "all went out before");
    let behind = chain.watcher.read_message(PATIENCE).map(|m| m.kind);
    assert!(behind.is_err(), "after the NOTIFICATION: {behind:?}");
}
