//! What the rules for AS numbers come to with another make at the other end.

use godwit_tests::attrs;
use godwit_tests::frr::Frr;
use godwit_tests::raw::Raw;
use godwit_tests::router::{Announce, Router};
use godwit_tests::wait_for;

use crate::duo::{self, Duo, OUR_ASN, Options, RAW, RAW_ASN, THEIR_ASN, THEM};

const ACCEPT: &str = "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n";
const THEIRS: &str = "10.4.0.0/24";

/// They announce one route with a path; lines of ours and of theirs.
fn options(path: &[u32], ours: &str, theirs: &[&str]) -> Options {
    Options {
        they_announce: vec![Announce {
            as_path: path.to_vec(),
            ..Announce::plain(THEIRS)
        }],
        peer_lines: format!("{ACCEPT}{ours}\n"),
        their_lines: theirs.iter().map(|&line| line.to_owned()).collect(),
        ..Options::default()
    }
}

fn reload<R: Router>(duo: &Duo<R>, ours: &str) {
    duo.us.reload(&duo::configuration(&options(&[], ours, &[])));
}

#[track_caller]
fn wait_rejected<R: Router>(duo: &Duo<R>, why: &str) {
    wait_for(&format!("it to be rejected: {why}"), || {
        let rejected = duo
            .us
            .json(&["route", "list", "--peer", THEM, "--rejected"]);
        rejected.to_string().contains(why).then_some(())
    });
    assert!(!duo.us.best().contains(&THEIRS.to_owned()));
}

/// The path of our best route.
#[track_caller]
fn wait_path<R: Router>(duo: &Duo<R>, path: &[u32]) {
    wait_for(&format!("{THEIRS} by {path:?}"), || {
        let shown = duo.us.cli(&["-o", "json", "route", "show", THEIRS]).ok()?;
        let shown: serde_json::Value = serde_json::from_str(&shown).ok()?;
        let batch = &shown["batches"][0];
        let asns = &batch["attributes"]["as_path"][0]["asns"];
        (batch["paths"][0]["best"] == true && *asns == serde_json::json!(path)).then_some(())
    });
}

/// A route server leaves its own number out (RFC 7947 §2.2.2.1).
fn a_path_that_begins_with_another_is_used_only_where_asked_for<R: Router>() {
    let server = match R::NAME {
        "bird" => "rs client;",
        _ => "route-server-client",
    };
    let duo: Duo<R> = Duo::start(options(&[65020], "", &[server]));
    duo.wait_established();
    wait_rejected(&duo, "does not begin with the peer's AS");
    reload(&duo, "enforce-first-as = false");
    wait_path(&duo, &[65020]);
    reload(&duo, "");
    wait_rejected(&duo, "does not begin with the peer's AS");
}

fn our_own_number_is_a_loop_until_it_may_stand_there<R: Router>() {
    let duo: Duo<R> = Duo::start(options(&[OUR_ASN, 65020], "", &[]));
    duo.wait_established();
    wait_rejected(&duo, "own AS in the AS path");
    reload(&duo, "allow-as-in = 1");
    wait_path(&duo, &[THEIR_ASN, OUR_ASN, 65020]);
    reload(&duo, "");
    wait_rejected(&duo, "own AS in the AS path");
}

fn a_path_that_is_too_long_is_not_used<R: Router>() {
    let path = [65020; 8];
    let duo: Duo<R> = Duo::start(options(&path, "max-as-path-length = 8", &[]));
    duo.wait_established();
    wait_rejected(&duo, "AS path too long");
    reload(&duo, "max-as-path-length = 9");
    wait_path(&duo, &[&[THEIR_ASN], &path[..]].concat());
}

/// The raw speaker's route through these.
fn announce(raw: &mut Raw, through: &[u32]) {
    let path = [&[RAW_ASN], through].concat();
    let all = [
        attrs::origin(0),
        attrs::as_path(&path),
        attrs::next_hop(RAW.parse().expect("an address")),
    ];
    let prefix = "10.9.0.0/24".parse().expect("a prefix");
    raw.send_update(&attrs::update(&[], &all, &[prefix]));
}

#[track_caller]
fn wait_there<R: Router>(duo: &Duo<R>, path: &str) {
    wait_for(&format!("our route there as {path}"), || {
        (duo.them.route("10.9.0.0/24")?.as_path == path).then_some(())
    });
}

fn their_own_number_is_overridden_where_asked_for<R: Router>() {
    let duo: Duo<R> = Duo::start(options(&[], "", &[]));
    duo.wait_established();
    let mut raw = duo.raw();
    announce(&mut raw, &[THEIR_ASN]);
    wait_for("it to be sent", || {
        let sent = duo
            .us
            .json(&["route", "list", "--peer", THEM, "--advertised"]);
        sent.to_string().contains("10.9.0.0/24").then_some(())
    });
    assert_eq!(duo.them.route("10.9.0.0/24"), None, "a loop to them");
    reload(&duo, "as-override = true");
    wait_there(&duo, "64512 65003 64512");
    reload(&duo, "");
    wait_for("a loop again", || {
        duo.them.route("10.9.0.0/24").is_none().then_some(())
    });
    announce(&mut raw, &[65020]);
    wait_there(&duo, "64512 65003 65020");
    reload(&duo, "remove-private-as = \"all\"");
    wait_there(&duo, "64512");
}

fn their_own_number_arrives_where_they_allow_it<R: Router>() {
    let allow = match R::NAME {
        "bird" => "allow local as 1;",
        _ => "allowas-in 1",
    };
    // BIRD also checks what we put in front.
    let first = match R::NAME {
        "bird" => "enforce first as on;",
        _ => "enforce-first-as",
    };
    let duo: Duo<R> = Duo::start(options(&[], "", &[allow, first]));
    duo.wait_established();
    let mut raw = duo.raw();
    announce(&mut raw, &[THEIR_ASN]);
    wait_there(&duo, "64512 65003 65002");
}

/// With a `dual-as` it doesn't matter which of ours they know.
fn either_number_of_ours_will_do<R: Router>() {
    for (known, path) in [(64501, "64501"), (OUR_ASN, "64512")] {
        let both =
            "local-as = { asn = 64501, no-prepend = true, replace-as = true, dual-as = true }";
        let duo: Duo<R> = Duo::start(Options {
            they_call_us: known,
            ..options(&[65020], both, &[])
        });
        duo.wait_established();
        wait_path(&duo, &[THEIR_ASN, 65020]);
        let mut raw = duo.raw();
        announce(&mut raw, &[65020]);
        let through = match known {
            OUR_ASN => "64512 65003 65020",
            _ => "64501 65003 65020",
        };
        wait_there(&duo, through);
        let seen = duo.them.route(duo::OUR_IPV4).expect("sent with it");
        assert_eq!(seen.as_path, path);
        let shown = duo.us.json(&["peer", "show", THEM]);
        assert_eq!(shown["peer"]["local_asn"], known, "{shown}");
        // The next session needs no second attempt.
        let us = Duo::<R>::us_address();
        duo.them.reset(us);
        wait_for("another session", || {
            (duo.them.times_established(us) == 2).then_some(())
        });
        duo.wait_established();
    }
}

with_every_router!(
    either_number_of_ours_will_do,
    a_path_that_begins_with_another_is_used_only_where_asked_for,
    our_own_number_is_a_loop_until_it_may_stand_there,
    a_path_that_is_too_long_is_not_used,
    their_own_number_is_overridden_where_asked_for,
    their_own_number_arrives_where_they_allow_it,
);

#[test]
fn frrs_override_spares_us_our_own_number() {
    let duo: Duo<Frr> = Duo::start(options(&[OUR_ASN, 65020], "", &["as-override"]));
    wait_path(&duo, &[THEIR_ASN, THEIR_ASN, 65020]);
}

#[test]
fn frrs_private_numbers_do_not_arrive_where_it_removes_them() {
    let duo: Duo<Frr> = Duo::start(options(&[65020, 65021], "", &["remove-private-AS all"]));
    wait_path(&duo, &[THEIR_ASN]);
}

#[test]
fn frr_may_be_known_by_another_number() {
    let mut options = options(&[65020], "", &["local-as 65009 no-prepend replace-as"]);
    options.we_call_them = 65009;
    let duo: Duo<Frr> = Duo::start(options);
    duo.wait_established();
    wait_path(&duo, &[65009, 65020]);
}

#[test]
fn an_aggregate_of_frrs_with_a_set_is_taken_only_where_asked_for() {
    let part = |n: u32| Announce {
        as_path: vec![65020 + n],
        ..Announce::plain(&format!("10.4.{n}.0/24"))
    };
    let mut options = options(&[], "", &[]);
    options.they_announce = vec![part(1), part(2)];
    let duo: Duo<Frr> = Duo::start(options);
    duo.wait_established();
    duo.them.configure(&[
        "router bgp 65002",
        "address-family ipv4 unicast",
        "aggregate-address 10.4.0.0/16 as-set summary-only",
    ]);
    wait_rejected(&duo, "AS_SET in the AS path");
    reload(&duo, "as-set = \"accept\"");
    duo.wait_their_route("10.4.0.0/16");
    let shown = duo.us.cli(&["route", "show", "10.4.0.0/16"]);
    let shown = shown.expect("it is there");
    assert!(shown.contains("65002 {65021"), "{shown}");
    reload(&duo, "");
    wait_rejected(&duo, "AS_SET in the AS path");
}
