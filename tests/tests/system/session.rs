//! Sessions with other makes: who connects, refresh, withdrawal, hold time.

use std::time::Duration;

use godwit_tests::router::{Announce, Router};
use godwit_tests::wait::holds_for;
use godwit_tests::wait_for;

use crate::duo::{Duo, OUR_IPV4, OUR_IPV6, Options, THEM, US};

fn comes_up_when_only_we_connect<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        they_wait: true,
        ..Options::default()
    });
    duo.wait_established();
}

fn comes_up_when_only_they_connect<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        we_wait: true,
        ..Options::default()
    });
    duo.wait_established();
}

pub fn comes_up_once_and_stays_when_both_connect<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_established();
    let us = Duo::<R>::us_address();
    let times = duo.them.times_established(us);
    holds_for(Duration::from_secs(3), "one session, established", || {
        duo.them.is_established(us) && duo.them.times_established(us) == times
    });
}

fn carries_ipv4_routes_both_ways<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_their_route("10.2.0.0/24");
    let seen = wait_for("our route there", || duo.them.route(OUR_IPV4));
    assert_eq!(seen.as_path, "64512");
    assert_eq!(seen.origin, "igp");
    assert_eq!(seen.next_hops, [US]);
}

fn carries_ipv6_routes_both_ways<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_their_route("fd02::/64");
    let seen = wait_for("our route there", || duo.them.route(OUR_IPV6));
    assert_eq!(seen.as_path, "64512");
    assert!(
        seen.next_hops
            .iter()
            .any(|hop| hop == "fd00::1" || hop.starts_with("fe80:")),
        "{seen:?}"
    );
}

fn their_withdrawal_reaches_us<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options::default());
    for prefix in ["10.2.0.0/24", "fd02::/64"] {
        duo.wait_their_route(prefix);
        duo.them.withdraw(prefix);
        wait_for(&format!("{prefix} to go"), || {
            (!duo.us.best().contains(&prefix.to_owned())).then_some(())
        });
    }
}

fn our_withdrawal_reaches_them<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    for prefix in ["192.0.2.64/26", "2001:db8:2::/64"] {
        duo.us
            .cli(&["route", "add", prefix])
            .expect("a route of ours");
        duo.wait_our_route(prefix);
        duo.us
            .cli(&["route", "remove", prefix])
            .expect("it is ours");
        wait_for(&format!("{prefix} to go"), || {
            duo.them.route(prefix).is_none().then_some(())
        });
    }
}

fn a_route_announced_later_arrives<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options::default());
    duo.wait_established();
    for prefix in ["10.3.0.0/24", "fd03::/64"] {
        duo.them.announce(Announce::plain(prefix));
        duo.wait_their_route(prefix);
    }
}

fn our_refresh_has_them_send_again<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_their_route("10.2.0.0/24");
    let us = Duo::<R>::us_address();
    let before = duo.them.refreshes_received(us);
    duo.us
        .cli(&["peer", "refresh", "--in", THEM])
        .expect("they support it");
    wait_for("our ROUTE-REFRESH there", || {
        (duo.them.refreshes_received(us) > before).then_some(())
    });
    assert!(duo.us.best().contains(&"10.2.0.0/24".to_owned()));
}

fn their_refresh_has_us_send_again<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_our_route(OUR_IPV4);
    let us = Duo::<R>::us_address();
    let before = duo.them.updates_received(us);
    duo.them.ask_refresh(us);
    wait_for("our routes again", || {
        (duo.them.updates_received(us) > before).then_some(())
    });
    duo.wait_our_route(OUR_IPV4);
}

fn a_frozen_peer_is_dropped_by_the_hold_timer<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options {
        hold_time: 3,
        ..Options::default()
    });
    duo.wait_their_route("10.2.0.0/24");
    duo.them.process().freeze();
    wait_for("the frozen peer's session and route to go", || {
        let gone = !duo.us.is_established(Duo::<R>::them_address())
            && !duo.us.best().contains(&"10.2.0.0/24".to_owned());
        gone.then_some(())
    });
    let shown = duo
        .us
        .json(&["peer", "show", THEM])
        .to_string()
        .to_lowercase();
    assert!(shown.contains("hold timer expired"), "{shown}");
    duo.them.process().thaw();
    duo.wait_established();
    duo.wait_their_route("10.2.0.0/24");
}

fn a_hard_reset_of_theirs_is_survived<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_established();
    let us = Duo::<R>::us_address();
    let before = duo.them.times_established(us);
    duo.them.reset(us);
    wait_for("another session", || {
        (duo.them.times_established(us) > before).then_some(())
    });
    duo.wait_established();
    duo.wait_their_route("10.2.0.0/24");
    duo.wait_our_route(OUR_IPV4);
}

with_every_router!(
    comes_up_when_only_we_connect,
    comes_up_when_only_they_connect,
    comes_up_once_and_stays_when_both_connect,
    carries_ipv4_routes_both_ways,
    carries_ipv6_routes_both_ways,
    their_withdrawal_reaches_us,
    our_withdrawal_reaches_them,
    a_route_announced_later_arrives,
    our_refresh_has_them_send_again,
    their_refresh_has_us_send_again,
    a_frozen_peer_is_dropped_by_the_hold_timer,
    a_hard_reset_of_theirs_is_survived,
);
