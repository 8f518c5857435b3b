//! A neighbour restarts and its routes stay (RFC 4724, RFC 8538).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use godwit_tests::attrs;
use godwit_tests::bird::Bird;
use godwit_tests::child::Daemon;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::{Godwit, find_peer};
use godwit_tests::raw::{NOTIFICATION, Raw, RawOpen, UPDATE};
use godwit_tests::router::{Announce, Router};
use godwit_tests::wait::holds_for;
use godwit_tests::{Host, wait_for};
use serde_json::Value;

use crate::duo::{Duo, OUR_IPV4, Options, RAW, THEM, raw_open};

const THEIRS: &str = "10.2.0.0/24";

fn bird_restarts(time: u32) -> Options {
    Options {
        their_lines: vec![
            "graceful restart on;".to_owned(),
            format!("graceful restart time {time};"),
        ],
        ..Options::default()
    }
}

fn stale(us: &Godwit, peer: &str) -> Option<Value> {
    let list = us.json(&["peer", "list"]);
    let peer = find_peer(&list, peer.parse().expect("an address"))?;
    Some(peer["stale"].clone()).filter(|stale| !stale.is_null())
}

fn in_kernel(host: &Host, prefix: &str) -> bool {
    !host.routes("-4", &[prefix]).is_empty()
}

#[track_caller]
fn wait_kernel(host: &Host, prefix: &str) {
    wait_for(&format!("{prefix} in the kernel"), || {
        in_kernel(host, prefix).then_some(())
    });
}

/// What happens to routes of the host's kernel from now on.
fn monitor(host: &Host) -> Daemon {
    let log = host.dir().join("monitor.log");
    let monitor = Daemon::start(
        "ip monitor",
        &host.namespace,
        &["ip", "monitor", "route"],
        &log,
    );
    // It is listening once it sees a route of our own making.
    let mut metrics = 1..;
    wait_for("ip monitor to listen", || {
        let metric = metrics.next()?.to_string();
        host.ip(&[
            "route",
            "add",
            "blackhole",
            "10.255.0.0/24",
            "metric",
            &metric,
        ]);
        monitor.log().contains("10.255.0.0").then_some(())
    });
    monitor
}

#[test]
fn bird_killed_and_back_moves_no_kernel_route_and_tells_nobody() {
    let mut duo: Duo<Bird> = Duo::start(bird_restarts(120));
    duo.wait_established();
    duo.wait_their_route(THEIRS);
    wait_kernel(&duo.us_host, THEIRS);
    let mut third = duo.raw();
    third.expect_announcement(THEIRS);
    let monitor = monitor(&duo.us_host);
    duo.them.process().kill();
    wait_for("its routes to be stale", || stale(&duo.us, THEM));
    assert!(duo.us.best().contains(&THEIRS.to_owned()));
    duo.them.recover();
    duo.wait_established();
    wait_for("its End-of-RIB", || {
        stale(&duo.us, THEM).is_none().then_some(())
    });
    let marker = "10.77.0.0/24";
    duo.them.announce(Announce::plain(marker));
    third.expect_update(|update| {
        let of_theirs = |nets: &[ipnet::IpNet]| nets.iter().any(|net| net.to_string() == THEIRS);
        assert!(!of_theirs(&update.withdrawn), "withdrawn from the third");
        assert!(
            !of_theirs(&update.announced),
            "announced to the third again"
        );
        update.announced.iter().any(|net| net.to_string() == marker)
    });
    wait_kernel(&duo.us_host, marker);
    let log = monitor.log();
    assert!(log.contains(marker), "{log}");
    assert!(!log.contains(THEIRS), "{log}");
}

#[test]
fn what_bird_does_not_announce_again_goes_with_its_end_of_rib() {
    let mut duo: Duo<Bird> = Duo::start(bird_restarts(120));
    duo.wait_established();
    duo.wait_their_route(THEIRS);
    duo.them.process().kill();
    wait_for("its routes to be stale", || stale(&duo.us, THEM));
    // Its file with another route in its place, for the next to read.
    let file = duo.them_host.dir().join("bird.conf");
    let text = std::fs::read_to_string(&file).expect("its configuration");
    std::fs::write(&file, text.replace(THEIRS, "10.8.0.0/24")).expect("to write it");
    duo.them.recover();
    duo.wait_established();
    wait_for("the route that is no more to go", || {
        (!duo.us.best().contains(&THEIRS.to_owned())).then_some(())
    });
}

#[test]
fn bird_not_back_loses_its_routes_after_its_restart_time_and_not_before() {
    let mut duo: Duo<Bird> = Duo::start(bird_restarts(5));
    duo.wait_established();
    duo.wait_their_route(THEIRS);
    wait_kernel(&duo.us_host, THEIRS);
    let killed = Instant::now();
    duo.them.process().kill();
    wait_for("the route to go", || {
        (!in_kernel(&duo.us_host, THEIRS)).then_some(())
    });
    let took = killed.elapsed();
    assert!(took >= Duration::from_secs(5), "gone after {took:?}");
    assert_eq!(stale(&duo.us, THEM), None);
}

#[test]
fn without_graceful_restart_routes_go_with_the_session() {
    let mut options = bird_restarts(120);
    options.peer_lines += "graceful-restart = false\n";
    let mut duo: Duo<Bird> = Duo::start(options);
    duo.wait_established();
    duo.wait_their_route(THEIRS);
    duo.them.process().kill();
    wait_for("the route to go", || {
        (!duo.us.best().contains(&THEIRS.to_owned())).then_some(())
    });
}

#[test]
fn frr_killed_and_back_has_its_routes_kept() {
    let mut duo: Duo<Frr> = Duo::start(Options {
        they_announce: vec![Announce::plain(THEIRS)],
        ..Options::default()
    });
    duo.wait_established();
    // It says so in its next OPEN.
    duo.them
        .configure(&["router bgp 65002", "bgp graceful-restart"]);
    duo.them.reset(Duo::<Frr>::us_address());
    duo.wait_established();
    duo.wait_their_route(THEIRS);
    wait_for("FRR to offer it", || {
        let shown = duo.us.cli(&["peer", "show", THEM]).ok()?;
        shown.contains("graceful-restart 120s").then_some(())
    });
    duo.them.process().kill();
    wait_for("its routes to be stale", || stale(&duo.us, THEM));
    assert!(duo.us.best().contains(&THEIRS.to_owned()));
    duo.us.cli(&["peer", "disable", THEM]).expect("disabled");
    wait_for("the route of a peer that is not waited for to go", || {
        (!duo.us.best().contains(&THEIRS.to_owned())).then_some(())
    });
}

/// Restarts within `time` seconds, IPv4 alone; the flags are R (8) and N (4).
fn restarts(flags: u8, time: u8, forwarded: bool) -> RawOpen {
    RawOpen {
        extra: vec![vec![
            64,
            6,
            flags << 4,
            time,
            0,
            1,
            1,
            u8::from(forwarded) << 7,
        ]],
        ..raw_open()
    }
}

fn announce(raw: &mut Raw, prefix: &str) {
    let all = [
        attrs::origin(0),
        attrs::as_path(&[65003]),
        attrs::next_hop(Ipv4Addr::new(10, 0, 1, 2)),
    ];
    let prefix = prefix.parse().expect("a prefix");
    raw.send_update(&attrs::update(&[], &all, &[prefix]));
}

/// A raw speaker that announced one route.
fn standing(duo: &Duo<Bird>, open: &RawOpen) -> Raw {
    let mut raw = Raw::establish(&duo.raw_host, RAW, crate::duo::US_TO_RAW, open);
    announce(&mut raw, "10.3.0.0/24");
    wait_kernel(&duo.us_host, "10.3.0.0/24");
    raw
}

#[track_caller]
fn gone(duo: &Duo<Bird>, prefix: &str) {
    wait_for(&format!("{prefix} to go"), || {
        (!in_kernel(&duo.us_host, prefix)).then_some(())
    });
}

#[test]
fn a_notification_is_survived_and_a_hard_reset_is_not() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    let open = restarts(4, 120, true);
    let mut raw = standing(&duo, &open);
    // Cease, Administrative Reset.
    raw.send(NOTIFICATION, &[6, 4]).expect("to send");
    drop(raw);
    wait_for("its routes to be stale", || stale(&duo.us, RAW));
    assert!(in_kernel(&duo.us_host, "10.3.0.0/24"));
    let mut raw = standing(&duo, &open);
    raw.send(UPDATE, &[0, 0, 0, 0]).expect("End-of-RIB");
    wait_for("its End-of-RIB", || {
        stale(&duo.us, RAW).is_none().then_some(())
    });
    raw.send(NOTIFICATION, &[6, 9, 6, 2]).expect("to send");
    gone(&duo, "10.3.0.0/24");
    assert_eq!(stale(&duo.us, RAW), None);
}

#[test]
fn one_that_did_not_go_on_forwarding_loses_its_routes_as_it_comes_back() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    let raw = standing(&duo, &restarts(0, 120, true));
    drop(raw);
    wait_for("its routes to be stale", || stale(&duo.us, RAW));
    let _raw = Raw::establish(
        &duo.raw_host,
        RAW,
        crate::duo::US_TO_RAW,
        &restarts(8, 120, false),
    );
    gone(&duo, "10.3.0.0/24");
}

#[test]
fn stale_time_ends_the_wait_for_an_end_of_rib() {
    let options = Options {
        raw_lines: "stale-time = \"3s\"\n".to_owned(),
        ..Options::default()
    };
    let duo: Duo<Bird> = Duo::start(options);
    let open = restarts(0, 120, true);
    let raw = standing(&duo, &open);
    drop(raw);
    wait_for("its routes to be stale", || stale(&duo.us, RAW));
    let mut raw = Raw::establish(&duo.raw_host, RAW, crate::duo::US_TO_RAW, &open);
    announce(&mut raw, "10.4.0.0/24");
    gone(&duo, "10.3.0.0/24");
    wait_kernel(&duo.us_host, "10.4.0.0/24");
    holds_for(Duration::from_secs(1), "the session stays", || {
        duo.us.is_established(RAW.parse().expect("an address"))
    });
}

#[test]
fn our_stop_of_a_session_is_a_hard_reset_to_one_that_would_keep_our_routes() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    let mut raw = standing(&duo, &restarts(4, 120, true));
    raw.expect_announcement(OUR_IPV4);
    duo.us.cli(&["peer", "disable", RAW]).expect("disabled");
    let message = raw.expect_message(NOTIFICATION);
    assert_eq!(message.body.get(..4), Some(&[6, 9, 6, 2][..]));
    gone(&duo, "10.3.0.0/24");
}

#[test]
fn a_link_that_is_lost_keeps_nothing() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    let _raw = standing(&duo, &restarts(4, 120, true));
    let out = duo.raw_host.interface_to(&duo.us_host);
    duo.raw_host.ip(&["link", "set", &out, "down"]);
    wait_for("the session to end", || {
        (!duo.us.is_established(RAW.parse().expect("an address"))).then_some(())
    });
    wait_for("its route to go", || {
        (!duo.us.best().contains(&"10.3.0.0/24".to_owned())).then_some(())
    });
    assert_eq!(stale(&duo.us, RAW), None);
}
