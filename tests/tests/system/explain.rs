//! `godwit peer explain`: each cause as an operator meets it; `godwit route
//! explain`: why a path lost, and who is told.

mod down;

use godwit_tests::bird::Bird;
use godwit_tests::godwit::Godwit;
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::{Host, Lab, wait_for};
use serde_json::Value;

use crate::transport::{Pair, Place, configuration, signs};

const NONE: &str = "[[peer]]\nTHEM";
const RIGHT: &str = "[[peer]]\nTHEM\npassword-file = \"@right\"";
const WRONG: &str = "[[peer]]\nTHEM\npassword-file = \"@wrong\"";

/// Exit status and answer of `peer explain`.
fn explain(godwit: &Godwit, address: &str) -> (bool, Value) {
    let (ok, text) = match godwit.cli(&["-o", "json", "peer", "explain", address]) {
        Ok(text) => (true, text),
        Err(text) => {
            assert!(text.contains("exit status: 1"), "{text}");
            (false, text)
        }
    };
    // A failure begins with the command line.
    let start = text.find("{\n").or_else(|| text.find("{\"")).expect("JSON");
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    (ok, values.next().expect("an answer").expect("JSON"))
}

/// Waits until this is among the reasons; gives the finding.
#[track_caller]
fn finds(godwit: &Godwit, address: &str, reason: &str) -> Value {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for(reason, || {
            let (ok, answer) = explain(godwit, address);
            let findings = answer["findings"].as_array().expect("findings").clone();
            let found = findings.into_iter().find(|f| f["reason"] == reason);
            // The session may outlive the reload that is to end it for a moment.
            assert!(!ok || found.is_none(), "{answer}");
            last = answer;
            found
        })
    }));
    found.unwrap_or_else(|_| panic!("no {reason}: {last:#}"))
}

#[test]
fn a_peer_that_is_up_needs_none() {
    let pair: Pair<Bird> = Pair::start(Place::Link4, NONE, |_| {});
    pair.comes_up();
    let (ok, answer) = explain(&pair.us, "10.0.0.2");
    assert!(ok);
    assert_eq!(answer["findings"], serde_json::json!([]));
}

#[test]
fn a_family_that_the_peer_does_not_have_is_told_of_one_that_is_up() {
    let pair: Pair<Bird> = Pair::start(Place::Link4, NONE, |n| n.ipv6 = false);
    pair.comes_up();
    let (ok, answer) = explain(&pair.us, "10.0.0.2");
    assert!(ok);
    assert_eq!(answer["findings"][0]["reason"], "family-not-negotiated");
}

#[test]
fn refused_where_nobody_listens() {
    let lab = Lab::new();
    let (us, _them) = Place::Link4.build(&lab);
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, NONE));
    let found = finds(&godwit, "10.0.0.2", "refused");
    let evidence = found["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains("10.0.0.2:179"), "{found}");
    let Err(text) = godwit.cli(&["peer", "explain", "10.0.0.2"]) else {
        panic!("it is not up");
    };
    assert!(text.contains("connection refused"), "{text}");
    assert!(text.contains("to do:"), "{text}");
}

#[test]
fn no_route_where_the_kernel_has_none() {
    let lab = Lab::new();
    let us = lab.host("us");
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, NONE));
    finds(&godwit, "10.0.0.2", "no-route");
}

#[test]
fn wrong_as_with_both_numbers() {
    let pair: Pair<Bird> = Pair::start(Place::Link4, NONE, |_| {});
    pair.comes_up();
    let text = configuration(Place::Link4, &pair.us_host, NONE).replace("65002", "65009");
    pair.us.reload(&text);
    let found = finds(&pair.us, "10.0.0.2", "wrong-as");
    assert_eq!(found["what"], "it is AS 65002, and `remote-as` is 65009");
}

#[test]
fn an_md5_mismatch_shows_on_our_own_attempt() {
    // It waits, so that what it sends are answers to us.
    let pair: Pair<Bird> = Pair::start(Place::Link4, WRONG, |n: &mut Neighbour| {
        signs(n);
        n.passive = true;
    });
    // It does not answer a wrong signature: we see silence, and our own key.
    let found = finds(&pair.us, "10.0.0.2", "no-answer");
    let what = found["what"].as_str().unwrap_or_default();
    assert!(what.contains("as with another TCP-MD5 key"), "{found}");
}

#[test]
fn an_md5_mismatch_shows_where_they_connect() {
    let waiting = format!("{WRONG}\npassive = true");
    let pair: Pair<Bird> = Pair::start(Place::Link4, &waiting, signs);
    finds(&pair.us, "10.0.0.2", "md5-mismatch");
    pair.reload(RIGHT);
    pair.comes_up();
}

#[test]
fn a_missing_signature_and_a_missing_key_are_told_apart() {
    let waiting = format!("{RIGHT}\npassive = true");
    let pair: Pair<Bird> = Pair::start(Place::Link4, &waiting, |_| {});
    finds(&pair.us, "10.0.0.2", "md5-missing");
    let waiting = format!("{NONE}\npassive = true");
    let pair: Pair<Bird> = Pair::start(Place::Link4, &waiting, signs);
    finds(&pair.us, "10.0.0.2", "md5-unexpected");
}

#[test]
fn a_ttl_that_is_too_low_shows_in_both_directions() {
    let guarded = format!("{NONE}\nttl-security = true");
    for ours in [guarded.clone(), format!("{guarded}\npassive = true")] {
        let passive = !ours.contains("passive");
        let pair: Pair<Bird> = Pair::start(Place::Link4, &ours, |n| n.passive = passive);
        finds(&pair.us, "10.0.0.2", "ttl");
    }
}

#[test]
fn a_neighbour_behind_a_router_wants_multihop() {
    let pair: Pair<Bird> = Pair::start(Place::Apart, NONE, |n| n.multihop = Some(2));
    let found = finds(&pair.us, "10.9.2.2", "not-on-link");
    let advice = found["advice"].as_str().unwrap_or_default();
    assert!(advice.contains("multihop"), "{found}");
}

#[test]
fn a_disabled_peer_says_by_whom() {
    let pair: Pair<Bird> = Pair::start(Place::Link4, NONE, |_| {});
    pair.comes_up();
    pair.us
        .cli(&["peer", "disable", "10.0.0.2"])
        .expect("it is there");
    let found = finds(&pair.us, "10.0.0.2", "disabled");
    let what = found["what"].as_str().unwrap_or_default();
    assert!(what.contains("by command"), "{found}");
}

#[test]
fn an_address_of_a_range_that_has_not_called_is_known_as_such() {
    let lab = Lab::new();
    let (us, _them) = Place::Link4.build(&lab);
    let config = configuration(Place::Link4, &us, "[[peer]]\nRANGE");
    let godwit = Godwit::start(&us, &config);
    finds(&godwit, "10.0.0.77", "nobody-connects");
    let unknown = godwit
        .cli(&["peer", "explain", "192.0.2.1"])
        .expect_err("nobody has it");
    assert!(unknown.contains("no peer 192.0.2.1"), "{unknown}");
}

/// Us 10.0.0.1, and three BIRDs on the same switch: the first two announce the
/// same prefix, the second with a longer path; the third listens.
struct Story {
    us: Godwit,
    birds: Vec<Bird>,
    us_host: Host,
    _lab: Lab,
}

const PREFIX: &str = "10.9.0.0/24";

const STORY: &str = r#"
[router]
asn = 65001
router-id = "10.0.0.1"

[policy.prefix-set]
nines = ["10.9.0.0/16+"]

[[policy.route.in]]
match = { prefix-set = "nines" }
then = "accept"

[[policy.route.out]]
match = { prefix-set = "nines" }
then = "reject"

[peer-group.all]
remote-as = "external"
import = ["in"]
export = ["accept-all"]

[[peer]]
address = "10.0.0.2"
group = "all"

[[peer]]
address = "10.0.0.3"
group = "all"
export = ["out"]

[[peer]]
address = "10.0.0.4"
group = "all"
"#;

impl Story {
    fn start() -> Story {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let plugged = |n: u32, name: &str| {
            let host = lab.host(name);
            let addresses = [format!("10.0.0.{n}/24"), format!("fd00::{n}/64")];
            lab.plug(&host, &addresses.each_ref().map(String::as_str), &switch);
            host
        };
        let us_host = plugged(1, "us");
        let us = Godwit::start(&us_host, STORY);
        let announced = |as_path: &[u32]| Announce {
            as_path: as_path.to_vec(),
            ..Announce::plain(PREFIX)
        };
        let all = [
            vec![announced(&[])],
            vec![announced(&[65020, 65021])],
            Vec::new(),
        ];
        let birds = (2..).zip(all).map(|(n, announce)| {
            let spec = RouterSpec {
                asn: 65000 + n,
                router_id: format!("10.0.0.{n}"),
                neighbours: vec![Neighbour::new("10.0.0.1", 65001)],
                announce,
            };
            Bird::start(&plugged(n, &format!("bird{n}")), spec)
        });
        let birds = birds.collect();
        for n in 2..=4 {
            us.wait_established(&format!("10.0.0.{n}"));
        }
        Story {
            us,
            birds,
            us_host,
            _lab: lab,
        }
    }

    /// The answer once it has two paths, and the listener is told.
    fn told(&self) -> Value {
        wait_for("two paths, of which one is passed on", || {
            let text = self.us.cli(&["-o", "json", "route", "explain", PREFIX]);
            let story: Value = serde_json::from_str(&text.ok()?).ok()?;
            let told = announcement(&story, "10.0.0.4")["advertised"] == true;
            (told && story["candidates"].as_array()?.len() == 2).then_some(story)
        })
    }
}

fn announcement<'a>(story: &'a Value, peer: &str) -> &'a Value {
    let mut all = story["announcements"].as_array().into_iter().flatten();
    all.find(|one| one["peer"] == peer).unwrap_or(&Value::Null)
}

#[test]
fn a_loser_is_told_with_both_values_and_every_peer_with_its_rule() {
    let story = Story::start();
    let told = story.told();
    let lost = &told["candidates"][1];
    assert_eq!(lost["peer"], "10.0.0.3");
    assert_eq!(lost["lost_at"], "AS path length");
    assert_eq!(lost["detail"], "3 > 1 of 10.0.0.2");
    assert_eq!(lost["lost_to"], "10.0.0.2");
    assert_eq!(
        (&lost["value"], &lost["lost_to_value"]),
        (&"3".into(), &"1".into())
    );
    assert_eq!(told["candidates"][0]["import_rule"], "in rule 1");
    assert_eq!(announcement(&told, "10.0.0.4")["export_rule"], "accept-all");
    assert_eq!(
        announcement(&told, "10.0.0.2")["reason"],
        "it came from there"
    );
    let kept = announcement(&told, "10.0.0.3");
    assert_eq!(kept["export_rule"], "out rule 1", "{kept}");
    wait_for("the route there", || story.birds[2].route(PREFIX));
    let text = story
        .us
        .cli(&["route", "explain", PREFIX])
        .expect("a story");
    assert!(
        text.contains("lost by AS path length (3 > 1 of 10.0.0.2)"),
        "{text}"
    );
}

#[test]
fn the_way_to_each_next_hop_and_who_wins_in_the_kernel_are_told() {
    let story = Story::start();
    let explained = |what: &str, done: &dyn Fn(&Value) -> bool| {
        wait_for(what, || Some(story.told()).filter(|told| done(told)))
    };
    let told = explained("our route in the kernel", &|told| {
        told["kernel"][0]["state"] == "FIB_STATE_INSTALLED"
    });
    let way = &told["candidates"][0]["resolution"];
    assert_eq!(way["route"], "10.0.0.0/24", "{told}");
    assert_eq!(way["resolved"][0]["via"], "10.0.0.2", "{told}");
    let foreign = told["foreign"].as_array();
    assert!(foreign.is_none_or(Vec::is_empty), "{told}");
    let by_hand = [
        "route", "add", PREFIX, "via", "10.0.0.4", "metric", "5", "proto", "static",
    ];
    story.us_host.ip(&by_hand);
    let told = explained("the other's route", &|told| !told["foreign"][0].is_null());
    let other = &told["foreign"][0];
    assert_eq!(other["protocol"], "static", "{told}");
    assert_eq!(other["wins"], true, "{told}");
    let text = story
        .us
        .cli(&["route", "explain", PREFIX])
        .expect("a story");
    assert!(text.contains("wins over ours"), "{text}");
}

#[test]
fn preferences_and_router_ids_are_told_with_both_values() {
    let story = Story::start();
    story.told();
    // With a rule before the one that lets all in.
    let decides = |step: &str, rule: &str| {
        let rule = format!("[[policy.route.in]]\n{rule}\nthen = \"accept\"\n");
        let at = STORY.find("[[policy.route.in]]").expect("the policy");
        let (head, rest) = STORY.split_at(at);
        story.us.reload(&format!("{head}{rule}{rest}"));
        let told = wait_for(step, || {
            let told = story.us.json(&["route", "explain", PREFIX]);
            (told["candidates"][1]["lost_at"] == step).then_some(told)
        });
        told["candidates"][1]["detail"].clone()
    };
    let rule = "match = { neighbour = 65003 }\nset = { local-pref = 200 }";
    assert_eq!(decides("local preference", rule), "100 < 200 of 10.0.0.3");
    let rule = "match = { neighbour = 65002 }\nset = { prepend = 2 }";
    let detail = "10.0.0.3 > 10.0.0.2 of 10.0.0.2";
    assert_eq!(decides("router id", rule), detail);
}
