//! `godwit config`.

use std::fs;
use std::time::{Duration, SystemTime};

use godwit_proto::v1::diff_config_response::Event;
use godwit_proto::v1::*;
use serde_json::json;
use tonic::Status;

use crate::mock::Mock;
use crate::{Place, Run};

const FILE: &str = "[router]\nasn = 64512\n";

/// Runs a line in which `FILE` is a file with this text.
fn run_on(place: &Place, text: &str, line: &str) -> Run {
    let file = place.directory.path().join("next.toml");
    fs::write(&file, text).unwrap();
    place.run(&line.replace("FILE", &file.display().to_string()))
}

fn key(key: &str, effect: &str) -> KeyPlan {
    KeyPlan {
        key: key.into(),
        effect: effect.into(),
        needs_daemon_restart: false,
    }
}

fn plan() -> ConfigPlan {
    ConfigPlan {
        revision: 4,
        peers_added: vec!["10.0.0.9".into()],
        peers_removed: vec!["10.0.0.8".into()],
        peers_changed: vec![
            PeerPlan {
                peer: "10.0.0.1".into(),
                restarts_for: vec!["hold-time".into()],
                keys: vec![
                    key("hold-time", "the session restarts"),
                    key("description", "shown at once"),
                ],
            },
            PeerPlan {
                peer: "10.0.0.2".into(),
                restarts_for: Vec::new(),
                keys: vec![key("import", "what was received is judged anew")],
            },
        ],
        policies: vec!["from-tor".into()],
        routes_originated: vec!["192.0.2.0/24".into()],
        routes_withdrawn: vec!["198.51.100.0/24".into()],
        keys: vec![key(
            "[fib] metric",
            "takes effect when the daemon is restarted",
        )],
        by_command: vec!["peer 10.0.0.7 added".into()],
        warnings: vec!["warning: mind this".into()],
    }
}

fn counts() -> DryRunResult {
    DryRunResult {
        peers: vec![PeerDryRun {
            peer: "10.0.0.1".into(),
            newly_accepted: 1,
            newly_rejected: 2,
            accepted_changed: 3,
            newly_advertised: 4,
            withdrawn: 5,
            advertised_changed: 6,
        }],
        prefixes: 1000,
        best_changed: 12,
        changed_meanwhile: 9,
    }
}

fn differing() -> Place {
    Place::with(Mock {
        diff: vec![
            Event::Plan(plan()),
            Event::Progress(DryRunProgress {
                done: 500,
                total: 1000,
            }),
            Event::Result(counts()),
        ],
        ..Mock::default()
    })
}

#[test]
fn a_diff_tells_the_plan_then_the_counts() {
    let run = run_on(&differing(), FILE, "config diff FILE");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let (plan, counts) = run.stdout.split_once("\n\n").unwrap();
    let expected = "\
- peer 10.0.0.8
+ peer 10.0.0.9
- route 198.51.100.0/24
+ route 192.0.2.0/24
~ policy from-tor
~ peer 10.0.0.1 restarts for hold-time
    hold-time: the session restarts
    description: shown at once
~ peer 10.0.0.2
    import: what was received is judged anew
~ [fib] metric: takes effect when the daemon is restarted
  by command, and stays so: peer 10.0.0.7 added";
    assert_eq!(plan, expected);
    let row = counts.lines().find(|line| line.starts_with("10.0.0.1"));
    let cells: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(cells, ["10.0.0.1", "+1", "-2", "~3", "+4", "-5", "~6"]);
    assert!(counts.contains("of 1000 prefixes 12 would have another best path"));
    assert!(counts.contains("9 routes changed while they were counted"));
    // Not a terminal: no progress is written over.
    assert_eq!(run.stderr, "warning: mind this\n");
}

#[test]
fn a_diff_is_one_object_in_json_and_without_routes_has_none() {
    let place = differing();
    let told = run_on(&place, FILE, "-o json config diff FILE").json();
    assert_eq!(
        told["plan"]["peers_changed"][0]["restarts_for"],
        json!(["hold-time"])
    );
    assert_eq!(told["routes"]["peers"][0]["withdrawn"], 5);
    let told = run_on(&place, FILE, "-o json config diff --no-routes FILE").json();
    assert_eq!(told["plan"]["revision"], 4);
    assert_eq!(told["routes"], json!(null));
    let text = run_on(&place, FILE, "config diff --no-routes FILE").stdout;
    assert!(!text.contains("prefixes"), "{text}");
}

#[test]
fn a_diff_of_nothing_says_so() {
    let place = Place::with(Mock {
        diff: vec![
            Event::Plan(ConfigPlan {
                revision: 4,
                ..ConfigPlan::default()
            }),
            Event::Result(DryRunResult::default()),
        ],
        ..Mock::default()
    });
    let run = place.run("config diff");
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stdout, "nothing differs from revision 4\n");
}

#[test]
fn the_text_of_a_file_goes_to_the_daemon_and_without_one_nothing() {
    let mock = Mock::default();
    let asked = mock.asked.clone();
    let place = Place::with(mock);
    run_on(
        &place,
        FILE,
        "config apply FILE --confirm-within 90s --expect 3 -m why",
    );
    place.run("config apply");
    let asked = asked.lock().unwrap();
    let (call, first) = &asked[0];
    assert_eq!(*call, "apply_config");
    assert_eq!(first["text"], FILE);
    assert!(first["file"].as_str().unwrap().ends_with("next.toml"));
    assert_eq!(first["confirm_within"], "90s");
    assert_eq!(first["expected_revision"], 3);
    assert_eq!(first["why"], "why");
    assert_eq!(asked[1].1["text"], json!(null));
}

#[test]
fn what_was_applied_is_told_with_the_time_to_confirm_it() {
    let by = SystemTime::now() + Duration::from_secs(59);
    let mock = |changes: &[&str], by: Option<SystemTime>| Mock {
        applied: ApplyConfigResponse {
            revision: 5,
            changes: changes.iter().map(|line| (*line).to_owned()).collect(),
            warnings: vec!["warning: mind this".into()],
            confirm_by: by.map(Into::into),
        },
        ..Mock::default()
    };
    let run = Place::with(mock(&["peer 10.0.0.9 added"], None)).run("config apply");
    assert_eq!(run.stdout, "peer 10.0.0.9 added\nrevision 5 is in force\n");
    assert_eq!(run.stderr, "warning: mind this\n");
    // A trial is one, whatever of it runs already.
    for changes in [&["peer 10.0.0.9 added"][..], &[]] {
        let place = Place::with(mock(changes, Some(by)));
        let run = place.run("config apply --confirm-within 60s");
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains("it goes back in 5"), "{}", run.stdout);
        assert!(
            run.stdout.contains("godwit config confirm"),
            "{}",
            run.stdout
        );
        let told = place.run("-o json config apply").json();
        assert_eq!(told["revision"], 5);
        assert!(told["confirm_by"].is_string(), "{told}");
    }
}

#[test]
fn a_file_that_the_daemon_refuses_is_shown_as_it_said_and_exits_1() {
    let refuse = "error: unknown key `asm`\n --> next.toml:2:1";
    let place = Place::with(Mock {
        refuse: Some(Status::invalid_argument(refuse)),
        ..Mock::default()
    });
    for verb in [
        "config diff FILE",
        "config apply FILE",
        "config rollback 3",
        "config reload",
    ] {
        let run = run_on(&place, FILE, verb);
        assert_eq!(run.code, Some(1), "{verb}");
        assert!(run.stderr.contains(refuse), "{verb}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{verb}");
    }
}

#[test]
fn what_stands_in_the_way_is_said_and_exits_1() {
    let refused = [
        (
            "config confirm",
            Status::failed_precondition("nothing waits to be confirmed"),
        ),
        (
            "config rollback 99",
            Status::not_found("there is no revision 99 (any more)"),
        ),
        (
            "config show 99",
            Status::not_found("there is no revision 99 (any more)"),
        ),
        (
            "config apply",
            Status::aborted("revision 8 is in force, not 7"),
        ),
        ("config history", Status::internal("the disk is gone")),
    ];
    for (verb, status) in refused {
        let message = status.message().to_owned();
        let place = Place::with(Mock {
            refuse: Some(status),
            ..Mock::default()
        });
        let run = place.run(verb);
        assert_eq!(run.code, Some(1), "{verb}");
        assert!(run.stderr.contains(&message), "{verb}: {}", run.stderr);
    }
}

#[test]
fn a_file_that_is_not_there_never_reaches_the_daemon() {
    let mock = Mock::default();
    let asked = mock.asked.clone();
    let place = Place::with(mock);
    for verb in ["config diff /none.toml", "config apply /none.toml"] {
        let run = place.run(verb);
        assert_eq!(run.code, Some(1), "{verb}");
        assert!(run.stderr.contains("/none.toml"), "{}", run.stderr);
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn wrong_times_and_numbers_are_wrong_usage() {
    let place = Place::empty();
    for verb in [
        "config apply --confirm-within soon",
        "config apply --expect last",
        "config rollback first",
    ] {
        assert_eq!(place.run(verb).code, Some(2), "{verb}");
    }
}

#[test]
fn without_a_daemon_all_but_the_check_exit_3() {
    let place = Place::empty();
    for verb in [
        "diff", "apply", "confirm", "rollback", "history", "show", "reload",
    ] {
        assert_eq!(place.run(&format!("config {verb}")).code, Some(3), "{verb}");
    }
    assert_eq!(run_on(&place, FILE, "config check FILE").code, Some(0));
}

#[test]
fn confirming_and_going_back_name_the_revisions() {
    let place = Place::with(Mock {
        rolled_back: RollbackConfigResponse {
            revision: 9,
            restored: 3,
            changes: vec!["peer 10.0.0.9 removed".into()],
            warnings: Vec::new(),
        },
        ..Mock::default()
    });
    assert_eq!(place.run("config confirm").stdout, "revision 7 stays\n");
    assert_eq!(place.run("-o json config confirm").json()["revision"], 7);
    let run = place.run("config rollback 3 -m sorry");
    let expected = "peer 10.0.0.9 removed\nrevision 9 is in force: revision 3 again\n";
    assert_eq!(run.stdout, expected);
    let told = place.run("-o json config rollback").json();
    assert_eq!(
        (&told["revision"], &told["restored"]),
        (&json!(9), &json!(3))
    );
}

fn revision(number: u64, how: &str, changes: &[&str]) -> Revision {
    Revision {
        number,
        at: Some((SystemTime::now() - Duration::from_secs(65)).into()),
        uid: (how == "apply").then_some(1000),
        how: how.into(),
        why: String::new(),
        changes: changes.iter().map(|line| (*line).to_owned()).collect(),
        current: number == 2,
    }
}

#[test]
fn the_history_marks_what_is_in_force_and_what_may_go() {
    let revisions = ListRevisionsResponse {
        revisions: vec![
            revision(
                2,
                "apply",
                &["peer a added", "peer b added", "peer c added"],
            ),
            revision(1, "start", &[]),
        ],
        ..ListRevisionsResponse::default()
    };
    let place = Place::with(Mock {
        revisions: revisions.clone(),
        ..Mock::default()
    });
    let run = place.run("config history");
    let row = run.stdout.lines().nth(1).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[..5], ["*", "2", "1m5s", "1000", "apply"], "{row}");
    assert!(row.ends_with("peer a added, and 2 more"), "{row}");
    assert!(
        run.stdout
            .lines()
            .nth(2)
            .unwrap()
            .trim_start()
            .starts_with("1 ")
    );
    let told = place.run("-o json config history").json();
    assert_eq!(told["revisions"][0]["changes"][2], "peer c added");
    // To be confirmed.
    let place = Place::with(Mock {
        revisions: ListRevisionsResponse {
            confirm_by: Some((SystemTime::now() + Duration::from_secs(59)).into()),
            goes_back_to: 1,
            ..revisions
        },
        ..Mock::default()
    });
    let run = place.run("config history");
    assert!(
        run.stdout.lines().nth(1).unwrap().starts_with('?'),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("revision 1 comes back in 5"),
        "{}",
        run.stdout
    );
    // Not to be done.
    let error = "revision 1 is in force again, but: cannot write";
    let place = Place::with(Mock {
        revisions: ListRevisionsResponse {
            rollback_error: error.to_owned(),
            goes_back_to: 1,
            ..ListRevisionsResponse::default()
        },
        ..Mock::default()
    });
    let run = place.run("config history");
    assert!(run.stdout.contains(error), "{}", run.stdout);
    assert!(!run.stdout.contains("comes back in"), "{}", run.stdout);
}

#[test]
fn a_configuration_is_shown_as_it_is() {
    let text = "# no line end behind it\n[router]\nasn = 64512";
    let mock = Mock {
        config: GetConfigResponse {
            revision: 3,
            text: text.into(),
        },
        ..Mock::default()
    };
    let asked = mock.asked.clone();
    let place = Place::with(mock);
    assert_eq!(place.run("config show").stdout, text);
    assert_eq!(place.run("config show 3").stdout, text);
    assert_eq!(place.run("-o json config show").json()["revision"], 3);
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0].1["revision"], json!(null));
    assert_eq!(asked[1].1["revision"], 3);
}
