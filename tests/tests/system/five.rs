//! All five speakers that Debian has: sessions from either side, routes of both
//! families there and back, withdrawn again, and after a restart.

use godwit_tests::attrs;
use godwit_tests::router::{Announce, Router};
use godwit_tests::wait_for;

use crate::duo::{Duo, OUR_IPV4, OUR_IPV6, Options, THEM};
use crate::session::comes_up_once_and_stays_when_both_connect;

/// Everything once in each direction, then taken back.
#[track_caller]
fn exchange_and_withdraw<R: Router>(duo: &mut Duo<R>) {
    duo.wait_established();
    for (ours, theirs) in [(OUR_IPV4, "10.2.0.0/24"), (OUR_IPV6, "fd02::/64")] {
        duo.wait_their_route(theirs);
        let seen = wait_for("our route there", || duo.them.route(ours));
        assert_eq!(seen.as_path, "64512", "{seen:?}");
        assert_eq!(seen.origin, "igp", "{seen:?}");
    }
    for (ours, theirs) in [
        ("192.0.2.64/26", "10.2.0.0/24"),
        ("2001:db8:2::/64", "fd02::/64"),
    ] {
        duo.us.cli(&["route", "add", ours]).expect("a new route");
        duo.wait_our_route(ours);
        duo.us.cli(&["route", "remove", ours]).expect("it is ours");
        wait_for("our route to go there", || {
            duo.them.route(ours).is_none().then_some(())
        });
        duo.them.withdraw(theirs);
        wait_for("their route to go here", || {
            (!duo.us.best().contains(&theirs.to_owned())).then_some(())
        });
        duo.them.announce(Announce::plain(theirs));
        duo.wait_their_route(theirs);
    }
}

fn when_only_we_connect<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options {
        they_wait: true,
        ..Options::default()
    });
    exchange_and_withdraw(&mut duo);
}

fn when_only_they_connect<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options {
        we_wait: true,
        ..Options::default()
    });
    exchange_and_withdraw(&mut duo);
}

fn a_killed_one_comes_back<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options::default());
    duo.wait_their_route("10.2.0.0/24");
    duo.them.process().kill();
    wait_for("its session to end", || {
        (!duo.us.is_established(THEM.parse().ok()?)).then_some(())
    });
    duo.them.restart();
    duo.wait_their_route("10.2.0.0/24");
    duo.wait_their_route("fd02::/64");
    duo.wait_our_route(OUR_IPV4);
}

fn a_refresh_of_theirs_is_answered<R: Router>() {
    let duo: Duo<R> = Duo::start(Options::default());
    duo.wait_our_route(OUR_IPV4);
    let us = Duo::<R>::us_address();
    let before = duo.them.updates_received(us);
    duo.them.ask_refresh(us);
    wait_for("our routes again", || {
        (duo.them.updates_received(us) > before).then_some(())
    });
}

/// All but the path, which not every one of them can make up.
fn communities_arrive<R: Router>() {
    let rich = Announce {
        as_path: Vec::new(),
        ..Announce::rich("10.4.0.0/24")
    };
    let duo: Duo<R> = Duo::start(Options {
        they_announce: vec![rich],
        ..Options::default()
    });
    duo.wait_their_route("10.4.0.0/24");
    let update = duo.raw().expect_announcement("10.4.0.0/24");
    for expected in [
        attrs::communities(&[(65000, 1), (65000, 2)]),
        attrs::route_targets(&[(65000, 7)]),
        attrs::large_communities(&[(4_200_000_001, 2, 3)]),
    ] {
        let (code, value) = (expected[1], &expected[3..]);
        assert_eq!(update.attribute(code), Some((0xc0, value)), "{update:?}");
    }
}

macro_rules! with_each {
    ($($name:ident($router:ty): $scenarios:tt),* $(,)?) => {
        $(mod $name { with_each!(@ $router: $scenarios); })*
    };
    (@ $router:ty: [$($scenario:ident),* $(,)?]) => {
        with_each!(@tests $router:
            when_only_we_connect,
            when_only_they_connect,
            a_killed_one_comes_back,
            communities_arrive,
            $($scenario,)*
        );
    };
    (@tests $router:ty: $($scenario:ident,)*) => {
        $(#[test] fn $scenario() { super::$scenario::<$router>(); })*
    };
}

// GoBGP has no command that sends ROUTE-REFRESH. Of BIRD and FRR, session.rs
// shows that both may connect at once.
with_each!(
    bird(godwit_tests::bird::Bird): [a_refresh_of_theirs_is_answered],
    frr(godwit_tests::frr::Frr): [a_refresh_of_theirs_is_answered],
    gobgp(godwit_tests::gobgp::Gobgp): [comes_up_once_and_stays_when_both_connect],
    openbgpd(godwit_tests::openbgpd::Openbgpd): [
        comes_up_once_and_stays_when_both_connect,
        a_refresh_of_theirs_is_answered,
    ],
    exabgp(godwit_tests::exabgp::Exabgp): [
        comes_up_once_and_stays_when_both_connect,
        a_refresh_of_theirs_is_answered,
    ],
);
