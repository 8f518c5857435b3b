//! What an operator does: checks and reloads the configuration, and asks and
//! changes everything by `godwit`.

use std::time::Duration;

use godwit_tests::bird::Bird;
use godwit_tests::child::{Daemon, run};
use godwit_tests::godwit::{find_peer, godwit_path, godwitd_path, prefixes};
use godwit_tests::router::Router;
use godwit_tests::wait::holds_for;
use godwit_tests::{Lab, wait_for};

use crate::duo::{Duo, OUR_IPV4, Options, THEM, configuration};

const THEIRS: &str = "10.2.0.0/24";

fn up() -> Duo<Bird> {
    let duo: Duo<Bird> = Duo::start(Options::default());
    duo.wait_established();
    duo.wait_their_route(THEIRS);
    duo.wait_our_route(OUR_IPV4);
    duo
}

fn with_sections(sections: &str) -> String {
    configuration(&Options {
        sections: sections.to_owned(),
        ..Options::default()
    })
}

/// Times that BIRD's session with us came up: unchanged when none was dropped.
fn times(duo: &Duo<Bird>) -> u64 {
    duo.them.times_established(Duo::<Bird>::us_address())
}

const ANOTHER_PEER: &str = "[[peer]]\naddress = \"10.0.0.99\"\nremote-as = 65099\npassive = true\n";

#[test]
fn a_reload_adds_and_removes_peers_and_keeps_other_sessions() {
    let duo = up();
    let before = times(&duo);
    let other = "10.0.0.99".parse().expect("an address");
    duo.us.reload(&with_sections(ANOTHER_PEER));
    wait_for("the new peer", || duo.us.peer_state(other));
    duo.us.reload(&with_sections(""));
    wait_for("the new peer to go", || {
        duo.us.peer_state(other).is_none().then_some(())
    });
    assert!(duo.us.is_established(Duo::<Bird>::them_address()));
    assert_eq!(times(&duo), before);
}

#[test]
fn a_reload_with_another_import_policy_judges_anew_what_was_received() {
    let duo = up();
    let before = times(&duo);
    let refusing = Options {
        peer_lines: "import = [\"reject-all\"]\nexport = [\"accept-all\"]\n".to_owned(),
        ..Options::default()
    };
    duo.us.reload(&configuration(&refusing));
    wait_for("their route to be rejected", || {
        (!duo.us.best().contains(&THEIRS.to_owned())).then_some(())
    });
    let rejected = duo
        .us
        .json(&["route", "list", "--peer", THEM, "--rejected"]);
    assert!(
        prefixes(&rejected).contains(&THEIRS.to_owned()),
        "{rejected}"
    );
    duo.us.reload(&with_sections(""));
    duo.wait_their_route(THEIRS);
    assert_eq!(times(&duo), before);
}

#[test]
fn a_reload_with_another_export_policy_withdraws_what_it_rejects() {
    let duo = up();
    let before = times(&duo);
    let refusing = Options {
        peer_lines: "import = [\"accept-all\"]\nexport = [\"reject-all\"]\n".to_owned(),
        ..Options::default()
    };
    duo.us.reload(&configuration(&refusing));
    wait_for("our route to go there", || {
        duo.them.route(OUR_IPV4).is_none().then_some(())
    });
    duo.us.reload(&with_sections(""));
    duo.wait_our_route(OUR_IPV4);
    assert_eq!(times(&duo), before);
}

#[test]
fn a_reload_with_an_error_changes_nothing_and_shows_in_the_status() {
    let duo = up();
    let before = times(&duo);
    duo.us.reload(&with_sections(
        "[[peer]]\naddress = \"10.0.0.99\"\nremote-as = 65099\nremote-sa = 1\n",
    ));
    wait_for("the error in the status", || {
        // An unhealthy status has exit code 1 and its text all the same.
        let text = match duo.us.cli(&["status"]) {
            Ok(text) | Err(text) => text,
        };
        text.contains("its last change was refused").then_some(())
    });
    assert!(duo.us.is_established(Duo::<Bird>::them_address()));
    assert_eq!(times(&duo), before);
    let refused = duo
        .us
        .cli(&["config", "reload"])
        .expect_err("it has an error");
    assert!(refused.contains("remote-sa"), "{refused}");
}

#[test]
fn peers_and_routes_made_at_run_time_survive_a_reload_and_a_restart() {
    let mut duo = up();
    let other = "10.0.0.98".parse().expect("an address");
    duo.us
        .cli(&["peer", "add", "10.0.0.98", "--remote-as", "65098"])
        .expect("a new peer");
    duo.us
        .cli(&["route", "add", "192.0.2.128/26"])
        .expect("a new route");
    duo.us.reload(&with_sections(ANOTHER_PEER));
    let in_file = "10.0.0.99".parse().expect("an address");
    wait_for("the reload", || duo.us.peer_state(in_file));
    assert!(duo.us.peer_state(other).is_some());
    assert!(duo.us.best().contains(&"192.0.2.128/26".to_owned()));
    duo.us.crash_and_restart();
    duo.wait_our_route(OUR_IPV4);
    assert!(duo.us.peer_state(other).is_some());
    assert!(duo.us.best().contains(&"192.0.2.128/26".to_owned()));
}

/// `godwit config check` on a text, and `godwitd -c` on the same file.
fn check(text: &str) -> [Result<String, String>; 2] {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("godwit.toml");
    std::fs::write(&file, text).expect("a file");
    let file = file.to_string_lossy();
    let (godwit, godwitd) = (godwit_path(), godwitd_path());
    [
        run(&[&godwit.to_string_lossy(), "config", "check", &file]),
        // A sound file would make it run: only for those with errors.
        if text.contains("bad") {
            let state = dir.path().join("state");
            let state = state.to_string_lossy();
            let godwitd = godwitd.to_string_lossy();
            run(&[
                "timeout",
                "10",
                &godwitd,
                "-c",
                &file,
                "--state-dir",
                &state,
            ])
        } else {
            Ok(String::new())
        },
    ]
}

#[test]
fn a_sound_configuration_passes_the_check() {
    let [checked, _] = check(&with_sections(ANOTHER_PEER));
    checked.expect("nothing is wrong with it");
}

#[test]
fn an_unknown_key_is_shown_with_its_file_line_and_text() {
    for answer in check("# bad\n[router]\nasn = 64512\nrooter-id = \"10.0.0.1\"\n") {
        let error = answer.expect_err("there is no such key");
        assert!(error.contains("godwit.toml:4"), "{error}");
        assert!(error.contains("rooter-id"), "{error}");
        assert!(error.contains('^'), "underlined: {error}");
    }
}

#[test]
fn a_key_of_a_later_version_says_so() {
    let text = "# bad\n[router]\nasn = 64512\n[[peer]]\naddress = \"10.0.0.2\"\n\
                remote-as = 65002\ntcp-ao = \"x\"\n";
    for answer in check(text) {
        let error = answer.expect_err("TCP-AO is not built yet");
        assert!(error.contains("not in this version"), "{error}");
        assert!(error.contains("tcp-ao"), "{error}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_names_its_line() {
    for answer in check("# bad\n[router]\nasn = \"many\"\n") {
        let error = answer.expect_err("no AS number");
        assert!(error.contains("godwit.toml:3"), "{error}");
    }
}

#[test]
fn every_verb_that_reads_answers_in_tables_and_in_json() {
    let duo = up();
    let verbs: &[&[&str]] = &[
        &["status"],
        &["peer", "list"],
        &["peer", "show", THEM],
        &["route", "list"],
        &["route", "list", "--peer", THEM, "--received"],
        &["route", "list", "--peer", THEM, "--accepted"],
        &["route", "list", "--peer", THEM, "--rejected"],
        &["route", "list", "--peer", THEM, "--advertised"],
        &["route", "list", "--family", "ipv6-unicast"],
        &["route", "list", "--longer", "10.0.0.0/8"],
        &["route", "list", "--covering", "10.2.0.0/26"],
        &["route", "show", "10.2.0.77"],
        &["route", "show", THEIRS],
        &["route", "explain", THEIRS],
        &["fib", "list"],
        &["fib", "check"],
    ];
    // Kernel routes settle a moment after the table.
    wait_for("the kernel to agree", || duo.us.cli(&["fib", "check"]).ok());
    for verb in verbs {
        let tolerant = verb[0] == "status";
        match duo.us.cli(verb) {
            Ok(text) => assert!(!text.trim().is_empty() || verb.contains(&"--rejected")),
            // The raw speaker never came, so the status is not healthy.
            Err(error) => assert!(tolerant, "{error}"),
        }
        if !tolerant {
            duo.us.json(verb);
        }
    }
}

#[test]
fn lists_show_what_they_are_asked_for() {
    let duo = up();
    let list = |args: &[&str]| prefixes(&duo.us.json(&[&["route", "list"], args].concat()));
    assert!(list(&["--peer", THEM, "--received"]).contains(&THEIRS.to_owned()));
    assert!(list(&["--peer", THEM, "--advertised"]).contains(&OUR_IPV4.to_owned()));
    assert!(!list(&["--peer", THEM, "--advertised"]).contains(&THEIRS.to_owned()));
    assert_eq!(list(&["--longer", "10.0.0.0/8"]), [THEIRS]);
    assert_eq!(list(&["--covering", "10.2.0.0/26"]), [THEIRS]);
    let ipv6 = list(&["--family", "ipv6-unicast"]);
    assert!(ipv6.iter().all(|prefix| prefix.contains(':')), "{ipv6:?}");
    assert_eq!(list(&["--limit", "1"]).len(), 1);
}

#[test]
fn what_is_not_there_is_said_with_a_failing_exit_status() {
    let duo = up();
    for verb in [
        &["peer", "show", "10.9.9.9"][..],
        &["peer", "remove", "10.9.9.9"],
        &["route", "show", "203.0.113.9"],
        &["route", "remove", "203.0.113.0/24"],
    ] {
        duo.us.cli(verb).expect_err("there is no such thing");
    }
    // It is in the file, so it must go there.
    duo.us
        .cli(&["peer", "remove", THEM])
        .expect_err("of the file");
    duo.us
        .cli(&["route", "remove", OUR_IPV4])
        .expect_err("of the file");
}

#[test]
fn a_disabled_peer_stays_down_until_enabled() {
    let duo = up();
    duo.us
        .cli(&["peer", "disable", THEM, "--message", "repairs"])
        .expect("it is there");
    let us = Duo::<Bird>::us_address();
    wait_for("the session to go", || {
        (!duo.them.is_established(us)).then_some(())
    });
    holds_for(Duration::from_secs(2), "the session is down", || {
        !duo.them.is_established(us)
    });
    duo.us.cli(&["peer", "enable", THEM]).expect("it is there");
    duo.wait_established();
}

#[test]
fn a_soft_reset_keeps_the_session_and_a_hard_one_renews_it() {
    let duo = up();
    let before = times(&duo);
    duo.us.cli(&["peer", "reset", THEM]).expect("it is there");
    holds_for(Duration::from_secs(1), "the session stays", || {
        times(&duo) == before
    });
    duo.us
        .cli(&["peer", "reset", "--hard", THEM])
        .expect("it is there");
    wait_for("another session", || (times(&duo) > before).then_some(()));
    duo.wait_established();
}

#[test]
fn a_refresh_outward_sends_ours_again() {
    let duo = up();
    let us = Duo::<Bird>::us_address();
    let before = duo.them.updates_received(us);
    duo.us
        .cli(&["peer", "refresh", "--out", THEM])
        .expect("it is there");
    wait_for("our routes again", || {
        (duo.them.updates_received(us) > before).then_some(())
    });
}

#[test]
fn a_peer_added_at_run_time_comes_up_and_goes_when_removed() {
    let duo = up();
    let times_before = times(&duo);
    duo.us
        .cli(&[
            "peer",
            "add",
            "10.0.0.98",
            "--remote-as",
            "65098",
            "--passive",
        ])
        .expect("a new peer");
    let list = duo.us.json(&["peer", "list"]);
    let address = "10.0.0.98".parse().expect("an address");
    assert!(find_peer(&list, address).is_some(), "{list}");
    duo.us
        .cli(&["peer", "remove", "10.0.0.98"])
        .expect("it was added");
    assert!(duo.us.peer_state(address).is_none());
    assert_eq!(times(&duo), times_before);
}

#[test]
fn a_watch_of_routes_shows_them_come_and_go() {
    let mut duo = up();
    let watch = watch(&duo, "routes");
    wait_for("the snapshot", || {
        watch.log().contains(THEIRS).then_some(())
    });
    duo.us
        .cli(&["route", "add", "192.0.2.128/26"])
        .expect("a new route");
    wait_for("the new route", || {
        watch.log().contains("192.0.2.128/26").then_some(())
    });
    duo.them.withdraw(THEIRS);
    wait_for("the withdrawal", || {
        watch.log().matches(THEIRS).count().gt(&1).then_some(())
    });
}

#[test]
fn a_watch_of_peers_shows_a_session_end() {
    let mut duo = up();
    let watch = watch(&duo, "peers");
    wait_for("the snapshot", || {
        watch
            .log()
            .to_lowercase()
            .contains("established")
            .then_some(())
    });
    let before = watch.log().matches(THEM).count();
    duo.them.process().kill();
    wait_for("the change", || {
        (watch.log().matches(THEM).count() > before).then_some(())
    });
}

fn watch(duo: &Duo<Bird>, what: &str) -> Daemon {
    let socket = duo.us.socket().to_string_lossy().into_owned();
    Daemon::start(
        "godwit watch",
        &duo.raw_host.namespace,
        &[
            &godwit_path().to_string_lossy(),
            "--socket",
            &socket,
            "-o",
            "json",
            "watch",
            what,
        ],
        &duo.raw_host.dir().join("watch.log"),
    )
}

#[test]
fn a_program_without_a_daemon_says_so_with_exit_status_3() {
    let lab = Lab::new();
    let socket = lab.dir().join("nobody.sock");
    let godwit = godwit_path();
    let error = run(&[
        &godwit.to_string_lossy(),
        "--socket",
        &socket.to_string_lossy(),
        "status",
    ])
    .expect_err("nobody listens there");
    assert!(error.contains("exit status: 3"), "{error}");
    assert!(error.contains("nobody.sock"), "{error}");
}
