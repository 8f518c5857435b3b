//! The binary as a user or a script meets it: what it prints, how it exits.

mod config;
mod mock;

use std::path::PathBuf;
use std::process::Command;

use godwit_proto::v1::*;
use mock::Mock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Status;

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// A directory of its own, with a socket in it that a mock may serve.
struct Place {
    directory: TempDir,
}

impl Place {
    fn empty() -> Place {
        Place {
            directory: TempDir::new().unwrap(),
        }
    }

    fn with(mock: Mock) -> Place {
        let place = Place::empty();
        mock.serve(&place.socket());
        place
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("godwit.sock")
    }

    fn run(&self, line: &str) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_godwit"))
            .args(line.split_whitespace())
            .env("GODWIT_SOCKET", self.socket())
            .output()
            .unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn peer() -> Peer {
    Peer {
        address: "10.0.0.254".into(),
        remote_asn: 65001,
        state: SessionState::Established as i32,
        families: vec![PeerFamily {
            received: 3,
            accepted: 2,
            rejected: 1,
            advertised: 4,
            ..PeerFamily::default()
        }],
        description: "tor a".into(),
        ..Peer::default()
    }
}

fn batch(prefixes: &[&str]) -> RouteBatch {
    RouteBatch {
        peer: "10.0.0.254".into(),
        attributes: Some(Attributes {
            next_hop: Some(NextHop {
                address: "10.0.0.254".into(),
                link_local: String::new(),
            }),
            origin: Origin::Igp as i32,
            as_path: vec![AsPathSegment {
                kind: as_path_segment::Kind::Sequence as i32,
                asns: vec![65001, 65002],
            }],
            med: Some(5),
            ..Attributes::default()
        }),
        paths: prefixes
            .iter()
            .map(|prefix| Path {
                prefix: (*prefix).into(),
                best: true,
                installed: true,
                ..Path::default()
            })
            .collect(),
    }
}

#[test]
fn without_a_daemon_it_exits_3_and_says_what_to_do() {
    let place = Place::empty();
    let run = place.run("status");
    assert_eq!(run.code, Some(3));
    let socket = place.socket().display().to_string();
    assert!(run.stderr.contains(&socket), "{}", run.stderr);
    assert!(run.stderr.contains("is godwitd running?"), "{}", run.stderr);
}

#[test]
fn a_socket_that_nobody_serves_exits_3_too() {
    let place = Place::empty();
    drop(std::os::unix::net::UnixListener::bind(place.socket()).unwrap());
    let run = place.run("peer list");
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("connection refused"), "{}", run.stderr);
}

#[test]
fn wrong_usage_exits_2() {
    assert_eq!(Place::empty().run("peer fly").code, Some(2));
}

#[test]
fn a_healthy_daemon_exits_0() {
    let run = Place::with(Mock::default()).run("status");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("host-a   AS 64512"), "{}", run.stdout);
    assert!(run.stdout.ends_with("healthy\n"), "{}", run.stdout);
}

#[test]
fn an_unhealthy_daemon_exits_1_and_says_why() {
    let mock = Mock {
        problems: vec![Problem {
            subject: "fib".into(),
            what: "3 routes refused".into(),
            hint: "see `godwit fib list`".into(),
        }],
        ..Mock::default()
    };
    let run = Place::with(mock).run("status");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stdout
            .ends_with("fib: 3 routes refused; see `godwit fib list`\n"),
        "{}",
        run.stdout
    );
}

#[test]
fn peers_are_a_table_for_people() {
    let mock = Mock {
        peers: vec![peer()],
        ..Mock::default()
    };
    let run = Place::with(mock).run("peer list");
    assert_eq!(
        run.stdout,
        "PEER         AS      STATE         FOR   RECEIVED   ACCEPTED   ADVERTISED   DESCRIPTION\n\
         10.0.0.254   65001   Established   -     3          2          4            tor a\n"
    );
}

#[test]
fn peers_are_json_for_programs() {
    let mock = Mock {
        peers: vec![peer()],
        ..Mock::default()
    };
    let value = Place::with(mock).run("peer list -o json").json();
    let peer = &value["peers"][0];
    assert_eq!(peer["address"], json!("10.0.0.254"));
    assert_eq!(peer["state"], json!("SESSION_STATE_ESTABLISHED"));
    assert_eq!(peer["families"][0]["received"], json!(3));
    assert_eq!(peer["session"], json!(null));
}

#[test]
fn what_is_not_there_exits_1() {
    let run = Place::with(Mock::default()).run("peer show 10.0.0.1");
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stderr, "godwit: no peer 10.0.0.1\n");
}

#[test]
fn adding_a_peer_says_that_it_is_not_for_ever() {
    let mock = Mock::default();
    let asked = mock.asked.clone();
    let run = Place::with(mock)
        .run("peer add 10.0.0.1 --remote-as 65001 --hold-time 9s --passive --import a,b");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("added"), "{}", run.stdout);
    let (call, request) = asked.lock().unwrap()[0].clone();
    assert_eq!(call, "add_peer");
    let spec = &request["peer"];
    assert_eq!(spec["remote_as"], json!("65001"));
    assert_eq!(spec["hold_time"], json!("9s"));
    assert_eq!(spec["passive"], json!(true));
    assert_eq!(spec["disabled"], json!(null));
    assert_eq!(spec["import"], json!(["a", "b"]));
}

#[test]
fn pages_become_one_table() {
    let mock = Mock {
        pages: vec![
            vec![batch(&["10.1.0.0/16", "10.2.0.0/16"])],
            vec![batch(&["10.3.0.0/16"])],
        ],
        ..Mock::default()
    };
    let run = Place::with(mock).run("route list");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", run.stdout);
    assert_eq!(
        lines[1],
        "10.1.0.0/16   10.0.0.254   10.0.0.254   -            5     65001 65002 i   -     best, installed"
    );
}

#[test]
fn pages_become_one_json_document() {
    let mock = Mock {
        pages: vec![vec![batch(&["10.1.0.0/16"])], vec![batch(&["10.3.0.0/16"])]],
        ..Mock::default()
    };
    let place = Place::with(mock);
    let value = place.run("route list -o json").json();
    assert_eq!(value["batches"].as_array().unwrap().len(), 2);
    let none = Place::with(Mock::default())
        .run("route list -o json")
        .json();
    assert_eq!(none, json!({"batches": []}));
}

#[test]
fn a_limit_stops_the_paging() {
    let mock = Mock {
        pages: vec![vec![batch(&["10.1.0.0/16"])], vec![batch(&["10.3.0.0/16"])]],
        ..Mock::default()
    };
    let asked = mock.asked.clone();
    let run = Place::with(mock).run("route list --limit 1");
    assert_eq!(run.stdout.lines().count(), 2);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1["limit"], json!(1));
}

#[test]
fn a_peer_alone_means_what_it_sends() {
    let mock = Mock::default();
    let asked = mock.asked.clone();
    Place::with(mock).run("route list --peer 10.0.0.1 --longer 10.0.0.0/8");
    let filter = asked.lock().unwrap()[0].1["filter"].clone();
    assert_eq!(filter["view"], json!("VIEW_RECEIVED"));
    assert_eq!(filter["prefix"], json!("10.0.0.0/8"));
    assert_eq!(filter["prefix_match"], json!("PREFIX_MATCH_LONGER"));
}

#[test]
fn a_kernel_that_differs_exits_1() {
    let mock = Mock {
        differences: vec![FibDifference {
            table: 254,
            metric: 10_103,
            prefix: "10.1.0.0/16".into(),
            kind: fib_difference::Kind::Missing as i32,
        }],
        ..Mock::default()
    };
    let run = Place::with(mock).run("fib check");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stdout
            .contains("10.1.0.0/16   main    10103    missing"),
        "{}",
        run.stdout
    );
    let run = Place::with(Mock::default()).run("fib check");
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_refused_reload_exits_1_with_the_daemons_words() {
    let mock = Mock {
        refuse: Some(Status::invalid_argument("godwit.toml:3: unknown key `asm`")),
        ..Mock::default()
    };
    let run = Place::with(mock).run("config reload");
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stderr, "godwit: godwit.toml:3: unknown key `asm`\n");
}

#[test]
fn a_watch_in_json_is_a_line_an_event() {
    let mock = Mock {
        peers: vec![peer()],
        ..Mock::default()
    };
    let run = Place::with(mock).run("watch peers -o json");
    let events: Vec<Value> = run
        .stdout
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(events[0]["peer"]["address"], json!("10.0.0.254"));
    assert_eq!(events[1], json!({"snapshot_end": {}}));
    assert_eq!(events[2], json!({"removed": "10.0.0.9"}));
    // The daemon hung up: whoever relies on the watch must know.
    assert_eq!(run.code, Some(3));
}

#[test]
fn completions_and_manual_need_no_daemon() {
    let place = Place::empty();
    let run = place.run("completions bash");
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains("_godwit"));
    let run = place.run("man");
    assert!(run.stdout.contains(".TH godwit 1"), "{}", run.stdout);
    let pages = place.directory.path().join("man");
    let run = place.run(&format!("man --directory {}", pages.display()));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(pages.join("godwit-peer-add.1").exists());
}

#[test]
fn a_good_file_needs_no_daemon() {
    let place = Place::empty();
    let file = place.directory.path().join("godwit.toml");
    std::fs::write(&file, "[router]\nasn = 64512\n").unwrap();
    let run = place.run(&format!("config check {}", file.display()));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.ends_with("is good\n"), "{}", run.stdout);
}

#[test]
fn a_wrong_file_exits_1_and_shows_the_place() {
    let place = Place::empty();
    let file = place.directory.path().join("godwit.toml");
    std::fs::write(&file, "[router]\nasn = 64512\nasm = 1\n").unwrap();
    let run = place.run(&format!("config check {}", file.display()));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("asm"), "{}", run.stderr);
    assert!(run.stderr.contains("^^^"), "{}", run.stderr);
    let run = place.run(&format!("config check -o json {}", file.display()));
    assert_eq!(run.code, Some(1));
    assert_eq!(run.json()["ok"], json!(false));
}

/// Two paths, of which the second lost, and two peers.
fn story() -> ExplainRouteResponse {
    let hop = |interface: &str| FibHop {
        via: "10.0.0.254".into(),
        interface: interface.into(),
        weight: 1,
    };
    let candidate = |peer: &str, rule: &str| Candidate {
        peer: peer.into(),
        attributes: batch(&[]).attributes,
        path: Some(Path::default()),
        next_hop_reachable: true,
        import_rule: rule.into(),
        resolution: Some(Resolution {
            route: "10.0.0.0/24".into(),
            resolved: vec![hop("eth1")],
            cost: 20,
            unreachable: String::new(),
        }),
        ..Candidate::default()
    };
    let mut best = candidate("10.0.0.1", "from-tor rule 2");
    best.path = Some(Path {
        best: true,
        ..Path::default()
    });
    best.detail = "AS path length".into();
    let lost = Candidate {
        lost_at: "AS path length".into(),
        detail: "3 > 2 of 10.0.0.1".into(),
        lost_to: "10.0.0.1".into(),
        value: "3".into(),
        lost_to_value: "2".into(),
        ..candidate("10.0.0.2", "accept-all")
    };
    ExplainRouteResponse {
        prefix: "10.1.0.0/16".into(),
        candidates: vec![best, lost],
        announcements: vec![
            Announcement {
                peer: "10.0.0.3".into(),
                advertised: true,
                export_rule: "to-tor rule 1".into(),
                ..Announcement::default()
            },
            Announcement {
                peer: "10.0.0.1".into(),
                reason: "it came from there".into(),
                ..Announcement::default()
            },
        ],
        kernel: vec![FibRoute {
            prefix: "10.1.0.0/16".into(),
            resolved: vec![hop("eth1")],
            state: FibState::Refused as i32,
            error: "File exists".into(),
            table: 254,
            metric: 10103,
            ..FibRoute::default()
        }],
        foreign: vec![ForeignRoute {
            protocol: "static".into(),
            table: 254,
            metric: 5,
            hops: vec![hop("eth2")],
            wins: true,
        }],
        no_kernel_route: String::new(),
    }
}

#[test]
fn an_explanation_tells_both_values_and_the_rules_in_and_out() {
    let place = Place::with(Mock {
        story: story(),
        ..Mock::default()
    });
    let run = place.run("route explain 10.1.0.0/16");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let line = |start: &str| {
        let mut lines = run.stdout.lines();
        let line = lines.find(|line| line.starts_with(start) && line.contains("  "));
        line.unwrap_or_else(|| panic!("no {start}: {}", run.stdout))
            .to_owned()
    };
    assert!(line("10.0.0.1 ").contains("from-tor rule 2"));
    assert!(line("10.0.0.2 ").contains("lost by AS path length (3 > 2 of 10.0.0.1)"));
    let told: Vec<String> = (line("10.0.0.3 ").split("  "))
        .map(|cell| cell.trim().to_owned())
        .filter(|cell| !cell.is_empty())
        .collect();
    assert_eq!(told, ["10.0.0.3", "advertised", "to-tor rule 1", "-"]);
    assert!(run.stdout.contains("it came from there"));
    let cells = |start: &str| {
        let line = line(start);
        let cells = line.split("  ").map(str::trim);
        let cells = cells.filter(|cell| !cell.is_empty()).map(str::to_owned);
        cells.collect::<Vec<_>>()
    };
    let via = "10.0.0.254 eth1";
    assert_eq!(
        cells("10.0.0.254 "),
        ["10.0.0.254", "10.0.0.0/24", "20", via]
    );
    let ours = ["godwit", "main", "10103", via, "refused: File exists"];
    assert_eq!(cells("godwit "), ours);
    let other = ["static", "main", "5", "10.0.0.254 eth2", "wins over ours"];
    assert_eq!(cells("static "), other);
    let json = place.run("-o json route explain 10.1.0.0/16").json();
    let lost = &json["candidates"][1];
    assert_eq!(lost["value"], "3");
    assert_eq!(lost["lost_to_value"], "2");
    assert_eq!(json["announcements"][0]["export_rule"], "to-tor rule 1");
}
