//! Routing policy as the neighbours notice it: what it sets is what they see,
//! what they send is what it matches.

mod effects;

use godwit_tests::router::{Announce, Router};
use godwit_tests::wait_for;

use crate::duo::{Duo, OUR_IPV4, Options, THEIR_ASN, THEM, configuration};

/// A policy for them, that calls one which sets this MED.
fn exporting(med: u32) -> Options {
    Options {
        peer_lines: "import = [\"accept-all\"]\nexport = [\"to-them\"]\n".into(),
        sections: format!(
            r#"
[policy.prefix-set]
ours = ["192.0.2.0/24+", "2001:db8::/32+"]
[[policy.route.to-them]]
match = {{ prefix-set = "ours", source = "local", neighbour = {THEIR_ASN} }}
set = {{ community-add = ["64512:100", "4200000000:1:2", "rt:64512:7", "64512:9"], prepend = 2, origin = "incomplete", next-hop = "10.0.0.77" }}
call = "price"
[[policy.route.price]]
match = {{ community = "64513:*" }}
then = "reject"
[[policy.route.price]]
match = {{ community-all = ["64512:100", "rt:*", "/:1:2$/"] }}
set = {{ med = "+{med}", community-remove = "64512:1-9" }}
then = "accept"
"#,
        ),
        ..Options::default()
    }
}

fn what_policy_sets_is_what_they_see<R: Router>() {
    let duo: Duo<R> = Duo::start(exporting(77));
    let seen = wait_for("our route there", || duo.them.route(OUR_IPV4));
    assert_eq!(seen.as_path, "64512 64512 64512", "{seen:?}");
    assert_eq!(seen.med, Some(77), "{seen:?}");
    assert_eq!(seen.origin, "incomplete", "{seen:?}");
    assert_eq!(seen.communities, ["64512:100"], "{seen:?}");
    assert_eq!(seen.large, ["4200000000:1:2"], "{seen:?}");
    assert_eq!(seen.ext, ["rt:64512:7"], "{seen:?}");
    assert_eq!(seen.next_hops, ["10.0.0.77"], "{seen:?}");
}

fn a_called_policy_that_changes_reaches_them_without_a_new_session<R: Router>() {
    let duo: Duo<R> = Duo::start(exporting(77));
    wait_for("our route there", || duo.them.route(OUR_IPV4));
    let us = Duo::<R>::us_address();
    let times = duo.them.times_established(us);
    duo.us.reload(&configuration(&exporting(78)));
    wait_for("the new MED there", || {
        (duo.them.route(OUR_IPV4)?.med == Some(78)).then_some(())
    });
    assert_eq!(duo.them.times_established(us), times);
}

fn what_they_send_is_matched<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        they_announce: vec![Announce::rich("10.2.0.0/24"), Announce::plain("10.3.0.0/24")],
        peer_lines: "import = [\"from-them\"]\nexport = [\"accept-all\"]\n".into(),
        sections: r#"
[policy.community-set]
theirs = ["65000:1-2", "/^4200000001:/", "rt:65000:*"]
[policy.as-path-set]
customers = ["^65002 65020 .*$"]
[[policy.route.from-them]]
match = { as-path = ["_65099_", "customers"], as-path-length = 3, origin-as = 4200000000, first-as = 65002, community-all = "theirs", med = { min = 50, max = 50 }, origin = "igp", next-hop = "10.0.0.0/24", neighbour = 65002 }
unless = { community = "65000:3" }
set = { local-pref = "+50", community-remove = "65000:2", community-add = ["64512:1", "soo:64512:1"] }
then = "accept"
"#
        .into(),
        ..Options::default()
    });
    duo.wait_their_route("10.2.0.0/24");
    let shown = duo.us.json(&["route", "show", "10.2.0.0/24"]);
    let attributes = &shown["batches"][0]["attributes"];
    assert_eq!(attributes["local_pref"], 150, "{shown:#}");
    let communities = &attributes["communities"];
    assert_eq!(*communities, serde_json::json!(["65000:1", "64512:1"]));
    // One of them sends our own routes back, too.
    wait_for("the plain one to be rejected", || {
        let list = (duo.us).json(&["route", "list", "--peer", THEM, "--rejected"]);
        let all = godwit_tests::godwit::prefixes(&list);
        all.contains(&"10.3.0.0/24".to_owned()).then_some(())
    });

    // The same, asked of a route of the table.
    let ask = |prefix| {
        duo.us.cli(&[
            "-o",
            "json",
            "route-policy",
            "test",
            "--peer",
            THEM,
            "--prefix",
            prefix,
        ])
    };
    let said = ask("10.2.0.0/24").expect("it is accepted");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["decided_by"], "from-them rule 1", "{said:#}");
    let changes = said["changes"].as_array().expect("changes");
    let local_pref = changes.iter().find(|c| c["name"] == "local-pref");
    let local_pref = local_pref.expect("a change of local-pref");
    assert_eq!(
        (&local_pref["before"], &local_pref["after"]),
        (&"".into(), &"150".into())
    );
    assert!(ask("10.3.0.0/24").is_err(), "exit status 1: it is rejected");
    assert!(ask("10.4.0.0/24").is_err(), "there is no such route");
}

with_every_router!(
    what_policy_sets_is_what_they_see,
    a_called_policy_that_changes_reaches_them_without_a_new_session,
    what_they_send_is_matched,
);
