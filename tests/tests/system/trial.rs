//! `godwit route-policy test` says of a route what then happens to it when it
//! really comes in: the same verdict, by the same rule or check, and the same
//! attributes; for a route of the table and for one that is described.

use godwit_tests::exabgp::Exabgp;
use godwit_tests::godwit::Godwit;
use godwit_tests::{Lab, wait_for};
use serde_json::Value;

use crate::duo::{Duo, Options, THEM};

/// All that import does besides policy is on.
const PEER: &str = r#"local-as = { asn = 64999 }
max-as-path-length = 5
role = "peer"
weight = 3
blackhole-community = true
graceful-shutdown = true
import = ["in"]
export = ["accept-all"]
"#;

const POLICIES: &str = r#"
[[policy.route.in]]
match = { community = "65002:9" }
then = "reject"
[[policy.route.in]]
match = { as-path = "^64999 65002 65007$" }
set = { local-pref = 700 }
then = "accept"
[[policy.route.in]]
match = { weight = 3 }
set = { weight = "+1", local-pref = 500, community-add = "64512:1" }
[[policy.route.in]]
match = { community = "65002:8" }
set = { community-add = "graceful-shutdown" }
[[policy.route.in]]
match = { community = "64512:1" }
then = "accept"
"#;

/// An AS path, communities, who may have the route, and the next hop; then what
/// becomes of it.
type Case = (
    &'static str,
    &'static [&'static str],
    Option<u32>,
    &'static str,
    &'static str,
);

const CASES: [Case; 13] = [
    ("65002", &[], None, "", "in rule 5"),
    ("65002 65007", &[], None, "", "in rule 2"),
    ("65002", &["65002:9"], None, "", "in rule 1"),
    ("65002 64512", &[], None, "", "own AS in the AS path"),
    ("65002 64999", &[], None, "", "own AS in the AS path"),
    (
        "65003 65002",
        &[],
        None,
        "",
        "AS path does not begin with the peer's AS",
    ),
    ("65002 1 2 3 4 5", &[], None, "", "AS path too long"),
    ("65002", &["65535:0"], None, "", "in rule 5"),
    ("65002", &["65002:8"], None, "", "in rule 5"),
    ("65002", &["65535:666"], None, "", "in rule 5"),
    (
        "65002",
        &[],
        Some(7),
        "",
        "route leak: marked ONLY_TO_CUSTOMER",
    ),
    ("65002", &[], Some(65002), "", "in rule 5"),
    (
        "65002",
        &[],
        None,
        "10.0.0.1",
        "next hop is an address of ours",
    ),
];

fn prefix(n: usize) -> String {
    format!("10.20.{n}.0/24")
}

/// What ExaBGP is told to announce.
fn line(n: usize, case: &Case) -> String {
    let (path, communities, mark, hop, _) = case;
    let hop = if hop.is_empty() { "self" } else { hop };
    let mut line = format!(
        "announce route {} next-hop {hop} as-path [ {path} ]",
        prefix(n)
    );
    if !communities.is_empty() {
        line += &format!(" community [ {} ]", communities.join(" "));
    }
    if let Some(asn) = mark {
        line += &format!(" attribute [ 0x23 0xc0 0x{asn:08x} ]");
    }
    line
}

/// The answer, whether the route is accepted or not.
fn test(us: &Godwit, args: &[&str]) -> Value {
    let args = [&["-o", "json", "route-policy", "test"], args].concat();
    let text = us.cli(&args).unwrap_or_else(|text| text);
    let start = text
        .find("{\n")
        .or_else(|| text.find("{\""))
        .unwrap_or_else(|| panic!("no answer: {text}"));
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    values.next().expect("an answer").expect("JSON")
}

/// What happened to it, as it was received.
fn explained(us: &Godwit, prefix: &str) -> Value {
    wait_for(&format!("{prefix} to be received"), || {
        let story = us.cli(&["-o", "json", "route", "explain", prefix]).ok()?;
        let story: Value = serde_json::from_str(&story).ok()?;
        let candidate = story["candidates"][0].clone();
        (!candidate.is_null()).then_some(candidate)
    })
}

#[track_caller]
fn agree(said: &Value, candidate: &Value, decided: &str) {
    assert_eq!(said["decided_by"], decided, "{said:#}");
    let rejected = candidate["path"]["rejected_by"].as_str().unwrap_or("");
    if said["accepted"] == true {
        assert_eq!(rejected, "", "{candidate:#}");
        assert_eq!(candidate["import_rule"], decided, "{candidate:#}");
        assert_eq!(said["after"], candidate["attributes"], "{said:#}");
    } else {
        assert_eq!(rejected, decided, "{candidate:#}");
    }
}

#[test]
fn it_says_what_becomes_of_a_route_that_exabgp_then_announces() {
    let duo: Duo<Exabgp> = Duo::start(Options {
        they_announce: Vec::new(),
        they_call_us: 64999,
        peer_lines: PEER.to_owned(),
        sections: POLICIES.to_owned(),
        ..Options::default()
    });
    duo.us.wait_established(THEM);
    let described: Vec<Value> = CASES
        .iter()
        .enumerate()
        .map(|(n, (path, communities, mark, hop, _))| {
            let (prefix, communities) = (prefix(n), communities.join(","));
            let mark = mark.map(|asn| asn.to_string());
            let mut args = vec!["--peer", THEM, "--prefix", &prefix, "--as-path", path];
            let hop = if hop.is_empty() { THEM } else { hop };
            args.extend(["--next-hop", hop]);
            if !communities.is_empty() {
                args.extend(["--community", &communities]);
            }
            if let Some(mark) = &mark {
                args.extend(["--only-to-customer", mark]);
            }
            test(&duo.us, &args)
        })
        .collect();
    for (n, case) in CASES.iter().enumerate() {
        duo.them.tell(&line(n, case));
    }
    for (n, (case, described)) in CASES.iter().zip(&described).enumerate() {
        let candidate = explained(&duo.us, &prefix(n));
        let of_table = test(&duo.us, &["--peer", THEM, "--prefix", &prefix(n)]);
        agree(described, &candidate, case.4);
        agree(&of_table, &candidate, case.4);
    }
    // Such a route is treated as withdrawn before it has a verdict (RFC 7606 §7.3).
    let nobody = ["--as-path", "65002", "--next-hop", "127.0.0.1"];
    let said = ["--peer", THEM, "--prefix", "10.20.99.0/24"];
    let said = test(&duo.us, &[said, nobody].concat());
    assert_eq!(said["decided_by"], "next hop is not a host address");
    // And for people.
    let text = duo.us.cli(&[
        "route-policy",
        "test",
        "--peer",
        THEM,
        "--prefix",
        &prefix(3),
    ]);
    let text = text.expect_err("it is rejected");
    assert!(
        text.contains("rejected before policy: own AS in the AS path"),
        "{text}"
    );
    assert!(
        text.contains("allow-as-in              refused: 64999 0 times, 64512 1 times"),
        "{text}"
    );
}

#[test]
fn a_peer_on_an_interface_is_named_by_it() {
    let lab = Lab::new();
    let (us_host, them_host) = (lab.host("us"), lab.host("them"));
    lab.link(&us_host, &[], &them_host, &[]);
    let config = |asn: u32, interface: &str, more: &str| {
        format!(
            "[router]\nasn = {asn}\nrouter-id = \"10.0.0.{}\"\n[fib]\nenabled = false\n{more}\n\
             [[peer]]\ninterface = \"{interface}\"\nremote-as = \"external\"\n\
             export = [\"accept-all\"]\n",
            asn % 10
        )
    };
    let policy = "[[policy.route.in]]\nmatch = { interface = \"to-them\", neighbour = 64502 }\n\
                  set = { local-pref = 200 }\nthen = \"accept\"";
    let ours = config(64501, "to-them", policy) + "import = [\"in\"]\n";
    let us = Godwit::start(&us_host, &ours);
    let routes = "[[originate]]\nprefix = \"fd77::/64\"";
    let _them = Godwit::start(&them_host, &config(64502, "to-us", routes));
    let candidate = explained(&us, "fd77::/64");
    let of_table = test(&us, &["--peer", "to-them", "--prefix", "fd77::/64"]);
    agree(&of_table, &candidate, "in rule 1");
    let described = ["--peer", "to-them", "--prefix", "fd77::/64", "--as-path"];
    let said = test(&us, &[&described[..], &["64502"]].concat());
    assert_eq!(said["decided_by"], "in rule 1");
    let said = test(&us, &[&described[..], &["64503"]].concat());
    assert_eq!(
        said["decided_by"],
        "AS path does not begin with the peer's AS"
    );
    // Also without a daemon, where nobody knows who is there.
    let file = us_host.write("offline.toml", &ours);
    let file = file.display().to_string();
    let offline = [&described[..], &["64502", "--config", &file]].concat();
    assert_eq!(test(&us, &offline)["decided_by"], "in rule 1");
    let unknown = us.cli(&[
        "route-policy",
        "test",
        "--peer",
        "to-us",
        "--prefix",
        "::/0",
    ]);
    assert!(unknown.expect_err("no such peer").contains("no peer to-us"));
}
