//! The life of a configuration as the neighbours notice it: what a reload, a
//! trial, a rollback and a change by command do to their routes and sessions,
//! and what is left alone.
//!
//! ```text
//!   bird 10.0.0.2 ── 10.0.0.1 us 10.0.1.1 ── 10.0.1.2 frr
//!   AS 65002         AS 64512                AS 65003
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec, Seen};
use godwit_tests::wait::holds_for;
use godwit_tests::{Host, Lab, wait_for};
use serde_json::Value;

const BIRD: &str = "10.0.0.2";
const FRR: &str = "10.0.1.2";
const US_TO_BIRD: &str = "10.0.0.1";
const US_TO_FRR: &str = "10.0.1.1";

/// What bird announces, and frr.
const OF_BIRD: [&str; 4] = ["10.2.0.0/24", "10.2.1.0/24", "10.2.2.0/24", "10.2.3.0/24"];
const OF_FRR: [&str; 3] = ["10.3.0.0/24", "10.3.1.0/24", "10.3.2.0/24"];
const OURS: &str = "192.0.2.0/24";

/// Fields drop in order: processes before the namespaces that they live in.
struct Trio {
    us: Godwit,
    bird: Bird,
    frr: Frr,
    host: Host,
    frr_host: Host,
    _lab: Lab,
}

/// What differs from the plain file.
#[derive(Clone, Debug)]
struct File {
    /// Of `[api]`, with which every file here begins.
    api: &'static str,
    bird: &'static str,
    frr: &'static str,
    sections: String,
}

impl File {
    fn plain() -> File {
        File {
            api: "",
            bird: "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n",
            frr: "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n",
            sections: String::new(),
        }
    }

    fn with(sections: &str) -> File {
        File {
            sections: sections.to_owned(),
            ..File::plain()
        }
    }

    /// Below what the harness writes of `[api]`.
    fn text(&self) -> String {
        let File {
            api,
            bird,
            frr,
            sections,
        } = self;
        format!(
            "{api}
# The router of these tests.
[router]
asn = 64512
router-id = \"10.0.0.1\"

[[originate]]
prefix = \"{OURS}\" # ours

[peer-group.all]
connect-retry = \"1s\"

# To the left.
[[peer]]
address = \"{BIRD}\"
remote-as = 65002
group = \"all\"
{bird}
# To the right.
[[peer]]
address = \"{FRR}\"
remote-as = 65003
group = \"all\"
{frr}
{sections}"
        )
    }
}

/// Rejects one prefix of each neighbour.
const PICKY: &str = "[policy.prefix-set]
some = [\"10.2.1.0/24\", \"10.3.1.0/24\"]
[[policy.route.picky]]
match = { prefix-set = \"some\" }
then = \"reject\"
[[policy.route.picky]]
then = \"accept\"
";

fn picky() -> File {
    File {
        bird: "import = [\"picky\"]\nexport = [\"accept-all\"]\n",
        frr: "import = [\"picky\"]\nexport = [\"accept-all\"]\n",
        ..File::with(PICKY)
    }
}

impl Trio {
    #[track_caller]
    fn start(file: &File) -> Trio {
        let lab = Lab::new();
        let [host, bird_host, frr_host] = ["us", "bird", "frr"].map(|name| lab.host(name));
        lab.link(
            &host,
            &["10.0.0.1/24", "fd00::1/64"],
            &bird_host,
            &["10.0.0.2/24", "fd00::2/64"],
        );
        lab.link(
            &host,
            &["10.0.1.1/24", "fd01::1/64"],
            &frr_host,
            &["10.0.1.2/24", "fd01::2/64"],
        );
        let spec = |asn, id: &str, us: &str, announce: &[&str]| RouterSpec {
            asn,
            router_id: id.to_owned(),
            neighbours: vec![Neighbour::new(us, 64512)],
            announce: announce.iter().map(|net| Announce::plain(net)).collect(),
        };
        let us = Godwit::start(&host, &file.text());
        let trio = Trio {
            us,
            bird: Bird::start(&bird_host, spec(65002, BIRD, US_TO_BIRD, &OF_BIRD)),
            frr: Frr::start(&frr_host, spec(65003, FRR, US_TO_FRR, &OF_FRR)),
            host,
            frr_host,
            _lab: lab,
        };
        trio.wait_all_there();
        trio
    }

    #[track_caller]
    fn wait_all_there(&self) {
        wait_for("every route at both ends", || {
            let has = |seen: Vec<String>, wanted: &[&str]| {
                wanted.iter().all(|net| seen.contains(&(*net).to_owned()))
            };
            (has(self.at_bird(), &OF_FRR)
                && has(self.at_frr(), &OF_BIRD)
                && has(self.at_bird(), &[OURS])
                && has(self.at_frr(), &[OURS]))
            .then_some(())
        });
    }

    fn at_bird(&self) -> Vec<String> {
        self.bird.learned(false)
    }

    fn at_frr(&self) -> Vec<String> {
        self.frr.learned(false)
    }

    /// Times that each session came up, as the neighbours count.
    fn times(&self) -> (u64, u64) {
        (
            self.bird.times_established(address(US_TO_BIRD)),
            self.frr.times_established(address(US_TO_FRR)),
        )
    }

    /// The whole of a file, at a place of its own: for `config diff` and `apply`.
    fn write(&self, file: &File) -> String {
        let socket = self.us.socket().display();
        let text = format!("[api]\nunix = \"{socket}\"\n\n{}", file.text());
        let path = self.host.write("next.toml", &text);
        path.to_string_lossy().into_owned()
    }

    /// `config apply` of a file, with more of the command line.
    #[track_caller]
    fn apply(&self, file: &File, more: &[&str]) -> String {
        let path = self.write(file);
        let args = [&["config", "apply", path.as_str()], more].concat();
        self.us.cli(&args).unwrap_or_else(|e| panic!("{e}"))
    }

    fn diff(&self, file: &File) -> Value {
        let path = self.write(file);
        self.us.json(&["config", "diff", &path])
    }

    /// The daemon's own file.
    fn own_file(&self) -> String {
        std::fs::read_to_string(self.host.dir().join("godwit.toml")).expect("it has a file")
    }

    #[track_caller]
    fn wait_without(&self, at_bird: &str, at_frr: &str) {
        wait_for("both to be told that a route went", || {
            (!self.at_bird().contains(&at_bird.to_owned())
                && !self.at_frr().contains(&at_frr.to_owned()))
            .then_some(())
        });
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_policy_is_applied_to_what_was_received_and_nobody_is_asked_to_send_it_again() {
    let trio = Trio::start(&File::plain());
    let before = trio.times();
    trio.us.reload(&picky().text());
    trio.wait_without("10.3.1.0/24", "10.2.1.0/24");
    let rest = |all: &[&str]| -> Vec<String> {
        let rest = all.iter().filter(|net| !net.contains(".1.0/24"));
        rest.map(|net| (*net).to_owned()).collect()
    };
    for (seen, others) in [(trio.at_bird(), &OF_FRR[..]), (trio.at_frr(), &OF_BIRD[..])] {
        for net in rest(others) {
            assert!(seen.contains(&net), "{net} stays: {seen:?}");
        }
    }
    trio.us.reload(&File::plain().text());
    trio.wait_all_there();
    let (bird, frr) = (address(US_TO_BIRD), address(US_TO_FRR));
    let asked = (
        trio.bird.refreshes_received(bird),
        trio.frr.refreshes_received(frr),
    );
    assert_eq!(asked, (0, 0), "ROUTE-REFRESH messages of ours");
    assert_eq!(trio.times(), before);
}

#[test]
fn only_the_session_whose_transport_changes_comes_up_anew_and_the_diff_says_so() {
    let trio = Trio::start(&File::plain());
    let (bird, frr) = trio.times();
    let other = "[[peer]]\naddress = \"10.0.0.99\"\nremote-as = 65099\npassive = true\n";
    let next = File {
        frr: "import = [\"picky\"]\nexport = [\"accept-all\"]\nhold-time = \"30s\"\n",
        bird: "import = [\"picky\"]\nexport = [\"accept-all\"]\ndescription = \"left\"\n\
               connect-retry = \"2s\"\nsend-hold-time = \"9m\"\n",
        ..File::with(&format!("{PICKY}{other}"))
    };
    let plan = trio.diff(&next)["plan"].clone();
    let restarts: BTreeMap<&str, &Value> = (plan["peers_changed"].as_array())
        .expect("a list")
        .iter()
        .map(|peer| {
            (
                peer["peer"].as_str().expect("a name"),
                &peer["restarts_for"],
            )
        })
        .collect();
    assert_eq!(*restarts[FRR], serde_json::json!(["hold-time"]), "{plan:#}");
    assert_eq!(*restarts[BIRD], serde_json::json!([]), "{plan:#}");
    assert_eq!(plan["peers_added"], serde_json::json!(["10.0.0.99"]));
    trio.apply(&next, &[]);
    wait_for("a new session with frr", || {
        (trio.frr.times_established(address(US_TO_FRR)) == frr + 1).then_some(())
    });
    trio.wait_without("10.3.1.0/24", "10.2.1.0/24");
    // Without the other peer again, and nothing else.
    let next = File {
        sections: PICKY.to_owned(),
        ..next
    };
    let plan = trio.diff(&next)["plan"].clone();
    assert_eq!(plan["peers_changed"], serde_json::json!([]), "{plan:#}");
    trio.apply(&next, &[]);
    assert!(trio.us.peer_state(address("10.0.0.99")).is_none());
    wait_for("frr's routes", || {
        trio.at_bird()
            .contains(&"10.3.2.0/24".to_owned())
            .then_some(())
    });
    assert_eq!(trio.times(), (bird, frr + 1));
}

#[test]
fn a_key_restarts_its_peer_alone() {
    let trio = Trio::start(&File::plain());
    let (bird, frr) = trio.times();
    let key = trio.host.write("key", "secret");
    std::process::Command::new("chmod")
        .args(["600", &key.to_string_lossy()])
        .status()
        .expect("there is chmod");
    let lines = format!(
        "import = [\"accept-all\"]\nexport = [\"accept-all\"]\npassword-file = \"{}\"\n",
        key.display()
    );
    let next = File {
        frr: Box::leak(lines.into_boxed_str()),
        ..File::plain()
    };
    let plan = trio.diff(&next)["plan"].clone();
    let changed = plan["peers_changed"].as_array().expect("a list");
    assert_eq!(changed.len(), 1, "{plan:#}");
    assert_eq!(
        changed[0]["restarts_for"],
        serde_json::json!(["password-file"])
    );
    trio.apply(&next, &[]);
    let us = address(US_TO_FRR);
    trio.frr.configure(&[
        "router bgp 65003",
        &format!("neighbor {US_TO_FRR} password secret"),
    ]);
    wait_for("a session with the key", || {
        (trio.frr.times_established(us) > frr && trio.frr.is_established(us)).then_some(())
    });
    assert_eq!(trio.times().0, bird);
    let addresses = trio.frr_host.ip(&["-br", "addr"]);
    assert!(addresses.contains(FRR), "{addresses}");
}

/// What a neighbour has of us, with all that it shows of each.
fn table(router: &impl Router) -> BTreeMap<String, Seen> {
    let learned = [false, true]
        .into_iter()
        .flat_map(|ipv6| router.learned(ipv6));
    learned
        .filter_map(|net| {
            let seen = router.route(&net)?;
            Some((net, seen))
        })
        .collect()
}

/// Come, gone, other than before.
fn difference(old: &BTreeMap<String, Seen>, new: &BTreeMap<String, Seen>) -> [u64; 3] {
    let come = new.keys().filter(|net| !old.contains_key(*net)).count();
    let gone = old.keys().filter(|net| !new.contains_key(*net)).count();
    let other = new.iter();
    let other = other.filter(|(net, seen)| old.get(*net).is_some_and(|old| old != *seen));
    [come as u64, gone as u64, other.count() as u64]
}

#[test]
fn what_the_diff_counts_is_what_the_neighbours_then_see() {
    let trio = Trio::start(&File::plain());
    let before = (table(&trio.bird), table(&trio.frr));
    let next = File {
        // Rejects one, and marks another.
        bird: "import = [\"from-bird\"]\nexport = [\"accept-all\"]\n",
        // Rejects what is ours, prepends to one, and gets a default route.
        frr: "import = [\"accept-all\"]\nexport = [\"to-frr\"]\n\
              default-originate = { if = \"10.3.0.0/24\" }\n",
        ..File::with(
            "[[originate]]
prefix = \"198.51.100.0/24\"
[[aggregate]]
prefix = \"10.3.0.0/22\"
summary-only = true
[policy.prefix-set]
one = [\"10.2.1.0/24\"]
two = [\"10.2.2.0/24\"]
three = [\"10.2.3.0/24\"]
ours = [\"192.0.2.0/24\"]
[[policy.route.from-bird]]
match = { prefix-set = \"one\" }
then = \"reject\"
[[policy.route.from-bird]]
match = { prefix-set = \"two\" }
set = { community-add = [\"64512:1\"] }
[[policy.route.from-bird]]
then = \"accept\"
[[policy.route.to-frr]]
match = { prefix-set = \"ours\" }
then = \"reject\"
[[policy.route.to-frr]]
match = { prefix-set = \"three\" }
set = { prepend = 2 }
[[policy.route.to-frr]]
then = \"accept\"
",
        )
    };
    let told = trio.diff(&next);
    let counts = |peer: &str| {
        let peers = told["routes"]["peers"].as_array().expect("a list");
        let found = peers.iter().find(|entry| entry["peer"] == peer);
        let found = found.unwrap_or_else(|| panic!("{peer} is counted: {told:#}"));
        ["newly_advertised", "withdrawn", "advertised_changed"]
            .map(|key| found[key].as_u64().expect("a number"))
    };
    let expected = [counts(BIRD), counts(FRR)];
    // To bird: the new prefix and the aggregate come, and the three in it go. To
    // frr: the new prefix, the aggregate and a default of each family come; the
    // rejected one and ours go; the marked and the longer one are others.
    assert_eq!(expected, [[2, 3, 0], [4, 2, 2]], "{told:#}");
    let accepted = &told["routes"]["peers"][0];
    assert_eq!(accepted["peer"], BIRD);
    assert_eq!(accepted["newly_rejected"], 1);
    assert_eq!(accepted["accepted_changed"], 1);
    // Nothing happened yet.
    assert_eq!(before, (table(&trio.bird), table(&trio.frr)));
    trio.apply(&next, &[]);
    let seen = || {
        [
            difference(&before.0, &table(&trio.bird)),
            difference(&before.1, &table(&trio.frr)),
        ]
    };
    wait_for("what was counted", || (seen() == expected).then_some(()));
    holds_for(Duration::from_secs(1), "and no more", || seen() == expected);
}

#[test]
fn who_does_not_confirm_has_the_old_routes_back() {
    let trio = Trio::start(&File::plain());
    let before = trio.times();
    let old = trio.own_file();
    let said = trio.apply(&picky(), &["--confirm-within", "3s", "-m", "a try"]);
    assert!(said.contains("config confirm"), "{said}");
    trio.wait_without("10.3.1.0/24", "10.2.1.0/24");
    trio.wait_all_there();
    assert_eq!(trio.own_file(), old);
    let history = trio.us.json(&["config", "history"]);
    let words = |key: &str| -> Vec<String> {
        let all = history["revisions"].as_array().expect("a list");
        all.iter()
            .map(|revision| revision[key].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        words("how"),
        ["unconfirmed", "apply", "start"],
        "{history:#}"
    );
    assert_eq!(words("why")[1], "a try");
    // Confirmed, it stays, however long ago the time is over.
    trio.apply(&picky(), &["--confirm-within", "3s"]);
    trio.us
        .cli(&["config", "confirm"])
        .expect("it waits for it");
    trio.wait_without("10.3.1.0/24", "10.2.1.0/24");
    holds_for(Duration::from_secs(4), "what is confirmed stays", || {
        !trio.at_bird().contains(&"10.3.1.0/24".to_owned())
    });
    let again = trio.us.cli(&["config", "confirm"]);
    let error = again.expect_err("nothing waits any more");
    assert!(error.contains("nothing waits"), "{error}");
    // And goes by its number.
    let said = trio.us.cli(&["config", "rollback", "1"]);
    let said = said.unwrap_or_else(|e| panic!("{e}"));
    assert!(said.contains("revision 1 again"), "{said}");
    trio.wait_all_there();
    assert_eq!(trio.own_file(), old);
    let error = trio.us.cli(&["config", "rollback", "99"]);
    assert!(error.expect_err("there is none").contains("99"));
    assert_eq!(trio.times(), before);
}

#[test]
fn a_daemon_killed_amid_a_trial_goes_back_when_the_time_is_over() {
    let mut trio = Trio::start(&File::plain());
    let old = trio.own_file();
    trio.apply(&picky(), &["--confirm-within", "12s"]);
    trio.wait_without("10.3.1.0/24", "10.2.1.0/24");
    trio.us.crash_and_restart();
    wait_for("the routes of the trial", || {
        let seen = trio.at_bird();
        (seen.contains(&"10.3.2.0/24".to_owned()) && !seen.contains(&"10.3.1.0/24".to_owned()))
            .then_some(())
    });
    let history = trio.us.json(&["config", "history"]);
    assert!(
        history["confirm_by"].is_string(),
        "still a trial: {history:#}"
    );
    trio.wait_all_there();
    assert_eq!(trio.own_file(), old);
    // Dead when the time is over: it starts with the old one.
    trio.apply(&picky(), &["--confirm-within", "2s"]);
    trio.wait_without("10.3.1.0/24", "10.2.1.0/24");
    trio.us.process().kill();
    std::thread::sleep(Duration::from_millis(2500));
    trio.us.start_again();
    trio.wait_all_there();
    assert_eq!(trio.own_file(), old);
}

#[test]
fn a_broken_file_at_a_signal_changes_nothing_and_the_log_says_why() {
    let mut trio = Trio::start(&File::plain());
    let before = trio.times();
    let broken = File::with("[[peer]]\naddress = \"10.0.0.99\"\nremot-as = 65099\n");
    trio.us.reload(&broken.text());
    wait_for("the reason in the log", || {
        let log = trio.us.process().log();
        (log.contains("remot-as") && log.contains("did you mean `remote-as`")).then_some(())
    });
    let history = trio.us.json(&["config", "history"]);
    assert_eq!(history["revisions"].as_array().map(Vec::len), Some(1));
    assert_eq!(trio.times(), before);
    trio.wait_all_there();
    // A signal, with the file right again, is a revision like any other.
    trio.us.reload(&picky().text());
    trio.wait_without("10.3.1.0/24", "10.2.1.0/24");
    let history = trio.us.json(&["config", "history"]);
    assert_eq!(history["revisions"][0]["how"], "reload");
    assert_eq!(trio.times(), before);
}

#[test]
fn what_is_changed_by_command_is_written_into_the_file_and_outlives_a_crash() {
    let mut trio = Trio::start(&File {
        api: "changes = \"write\"",
        ..File::plain()
    });
    let before = trio.own_file();
    let us = |args: &[&str]| trio.us.cli(args).unwrap_or_else(|e| panic!("{e}"));
    us(&["route", "add", "198.51.100.0/24"]);
    us(&["peer", "disable", FRR]);
    us(&[
        "peer",
        "add",
        "10.0.0.98",
        "--remote-as",
        "65098",
        "--passive",
    ]);
    let new_there = || trio.at_bird().contains(&"198.51.100.0/24".to_owned());
    wait_for("the new route at bird, frr's gone", || {
        (new_there() && !trio.at_bird().contains(&"10.3.0.0/24".to_owned())).then_some(())
    });
    let file = trio.own_file();
    for line in before.lines() {
        assert!(file.lines().any(|other| other == line), "{line}\n{file}");
    }
    for line in [
        "disabled = true",
        "address = \"10.0.0.98\"",
        "passive = true",
    ] {
        assert!(file.lines().any(|other| other == line), "{line}\n{file}");
    }
    trio.us.crash_and_restart();
    wait_for("the new route at bird again", || {
        trio.at_bird()
            .contains(&"198.51.100.0/24".to_owned())
            .then_some(())
    });
    assert!(trio.us.peer_state(address("10.0.0.98")).is_some());
    assert!(!trio.frr.is_established(address(US_TO_FRR)));
    let us = |args: &[&str]| trio.us.cli(args).unwrap_or_else(|e| panic!("{e}"));
    us(&["peer", "enable", FRR]);
    us(&["peer", "remove", "10.0.0.98"]);
    us(&["route", "remove", "198.51.100.0/24"]);
    assert_eq!(trio.own_file(), before);
    trio.wait_all_there();
}
