//! Either end goes and comes back.

use godwit_tests::router::Router;
use godwit_tests::wait_for;

use crate::duo::{Duo, OUR_IPV4, OUR_IPV6, Options};

fn all_returns_after_they_restart<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options::default());
    duo.wait_their_route("10.2.0.0/24");
    duo.them.restart();
    duo.wait_established();
    for prefix in ["10.2.0.0/24", "fd02::/64"] {
        duo.wait_their_route(prefix);
    }
    for prefix in [OUR_IPV4, OUR_IPV6] {
        duo.wait_our_route(prefix);
    }
}

fn all_returns_after_we_crash<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options::default());
    duo.wait_our_route(OUR_IPV4);
    duo.us.crash_and_restart();
    duo.wait_established();
    for prefix in ["10.2.0.0/24", "fd02::/64"] {
        duo.wait_their_route(prefix);
    }
    for prefix in [OUR_IPV4, OUR_IPV6] {
        duo.wait_our_route(prefix);
    }
}

fn our_stop_withdraws_at_once<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options::default());
    duo.wait_our_route(OUR_IPV4);
    assert_eq!(duo.us.process().terminate(), Some(0));
    wait_for("our route to go there", || {
        duo.them.route(OUR_IPV4).is_none().then_some(())
    });
}

with_every_router!(
    all_returns_after_they_restart,
    all_returns_after_we_crash,
    our_stop_withdraws_at_once,
);
