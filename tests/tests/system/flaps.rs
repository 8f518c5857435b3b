//! Links that come and go, and links that lose packets.

use std::thread::sleep;
use std::time::Duration;

use godwit_tests::router::{Announce, Router};
use godwit_tests::{Host, wait_for};

use crate::duo::{Duo, OUR_IPV4, OUR_IPV6, Options, THEM};

const TIMES: u32 = 20;

fn options() -> Options {
    Options {
        hold_time: 9,
        ..Options::default()
    }
}

fn link(host: &Host, state: &str) {
    host.ip(&["link", "set", &format!("to-{}", other(host)), state]);
}

fn other(host: &Host) -> &'static str {
    if host.name == "us" { "them" } else { "us" }
}

/// IPv6 addresses go with their link unless they are told to stay.
fn keep_addresses<R: Router>(duo: &Duo<R>) {
    for host in [&duo.us_host, &duo.them_host] {
        let key = format!("net/ipv6/conf/to-{}/keep_addr_on_down", other(host));
        host.sysctl(&key, "1");
    }
}

#[track_caller]
fn all_is_well<R: Router>(duo: &Duo<R>) {
    duo.wait_established();
    for prefix in ["10.2.0.0/24", "fd02::/64"] {
        duo.wait_their_route(prefix);
    }
    for prefix in [OUR_IPV4, OUR_IPV6] {
        duo.wait_our_route(prefix);
    }
    for (family, prefix) in [("-4", "10.2.0.0/24"), ("-6", "fd02::/64")] {
        wait_for(&format!("{prefix} in the kernel"), || {
            (!duo.us_host.routes(family, &[prefix]).is_empty()).then_some(())
        });
    }
}

/// The cable wiggles, at either end; what they announce changes meanwhile.
fn a_link_that_flaps_leaves_nothing_behind<R: Router>() {
    let mut duo: Duo<R> = Duo::start(options());
    keep_addresses(&duo);
    all_is_well(&duo);
    for n in 0..TIMES {
        let host = if n % 3 == 0 {
            &duo.them_host
        } else {
            &duo.us_host
        };
        link(host, "down");
        match n {
            // Heard of, and withdrawn while nobody can hear it.
            4 | 9 => duo.them.announce(Announce::plain("10.9.200.0/24")),
            6 | 14 => duo.them.withdraw("10.9.200.0/24"),
            // Now and then it stays down until that is noticed.
            8 | 16 => wait_for("the session and its routes to go", || {
                let gone = !duo.us.is_established(THEM.parse().ok()?)
                    && duo.us.best() == [OUR_IPV4, OUR_IPV6]
                    && duo.us_host.routes("-4", &["10.2.0.0/24"]).is_empty();
                gone.then_some(())
            }),
            _ => sleep(Duration::from_millis(u64::from(n * 37 % 200))),
        }
        link(host, "up");
        match n {
            3 | 11 | 17 => all_is_well(&duo),
            _ => sleep(Duration::from_millis(u64::from(n * 91 % 500))),
        }
    }
    all_is_well(&duo);
    wait_for("nothing but what there is", || {
        let mut expected = ["10.2.0.0/24", OUR_IPV4, OUR_IPV6, "fd02::/64"];
        expected.sort_unstable();
        (duo.us.best() == expected).then_some(())
    });
    wait_for("the kernel to agree", || duo.us.cli(&["fib", "check"]).ok());
}

/// Every fourth packet is lost, at both ends; the hold time is 9 s.
fn routes_arrive_over_a_link_that_loses_packets<R: Router>() {
    let duo: Duo<R> = Duo::start(options());
    duo.wait_established();
    for host in [&duo.us_host, &duo.them_host] {
        let rules = "table inet loss { chain in { type filter hook input priority 0; \
                     meta l4proto tcp numgen random mod 100 < 25 drop; }; }";
        host.run(&["nft", rules]).expect("nftables with numgen");
    }
    let prefix = |n: u32| format!("198.51.{}.{}/32", n / 250, n % 250);
    for n in 0..60 {
        duo.us
            .cli(&["route", "add", &prefix(n)])
            .expect("a new route");
    }
    wait_for("all to arrive", || {
        (0..60)
            .all(|n| duo.them.route(&prefix(n)).is_some())
            .then_some(())
    });
    duo.us
        .cli(&["peer", "reset", "--hard", THEM])
        .expect("a session");
    wait_for("all to arrive again", || {
        let us = Duo::<R>::us_address();
        let again = duo.them.times_established(us) >= 2 && duo.them.is_established(us);
        (again && (0..60).all(|n| duo.them.route(&prefix(n)).is_some())).then_some(())
    });
    for n in 0..30 {
        duo.us
            .cli(&["route", "remove", &prefix(n)])
            .expect("it is ours");
    }
    wait_for("half of them to go", || {
        (0..60)
            .all(|n| duo.them.route(&prefix(n)).is_some() == (n >= 30))
            .then_some(())
    });
}

with_every_router!(
    a_link_that_flaps_leaves_nothing_behind,
    routes_arrive_over_a_link_that_loses_packets,
);
