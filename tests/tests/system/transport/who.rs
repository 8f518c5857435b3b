//! Who may connect: the distance, the limit of a range, and how often.

use std::time::Duration;

use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen};
use godwit_tests::{Host, Lab, wait_for};

use super::{NONE, Place, THEIR_ASN, configuration};

fn raw_pair(ours: &str) -> (Lab, Host, Godwit) {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    for i in 3..6 {
        let address = format!("10.0.0.{i}/24");
        them.ip(&["addr", "add", &address, "dev", "to-us"]);
    }
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, ours));
    (lab, them, godwit)
}

#[test]
fn a_connection_from_too_far_away_is_closed_without_an_open() {
    let (_lab, them, godwit) = raw_pair(&format!("{NONE}\nttl-security = true\npassive = true"));
    // The raw speaker sends with the system's TTL, as from 191 hops away.
    let mut raw = Raw::connect(&them, "10.0.0.2", "10.0.0.1");
    assert!(raw.is_closed_within(Duration::from_secs(5)));
    let peer = godwit.json(&["peer", "show", "10.0.0.2"]);
    let counters = &peer["peer"]["counters"];
    assert!(
        counters["connections_refused"].as_u64() >= Some(1),
        "{peer}"
    );
    assert_eq!(counters["sent"]["open"], 0, "{peer}");
}

#[test]
fn a_range_takes_as_many_neighbours_as_its_limit() {
    let (_lab, them, godwit) = raw_pair("[[peer]]\nRANGE\nlimit = 2");
    let open = |i| RawOpen::new(THEIR_ASN, &format!("10.0.0.{i}"));
    let call = |i| Raw::establish(&them, &format!("10.0.0.{i}"), "10.0.0.1", &open(i));
    let (first, _second) = (call(2), call(3));
    let mut third = Raw::connect(&them, "10.0.0.4", "10.0.0.1");
    // Cease/Connection Rejected
    assert_eq!(third.expect_notification(), (6, 5));
    let range = godwit_range(&godwit);
    assert_eq!(range["peers"], 2, "{range}");
    assert_eq!(range["limit"], 2, "{range}");
    assert_eq!(range["refused"], 1, "{range}");
    let text = match godwit.cli(&["status"]) {
        Ok(text) | Err(text) => text,
    };
    assert!(
        text.contains("range 10.0.0.0/24: 2 of 2 neighbours"),
        "{text}"
    );
    // Who leaves makes room.
    drop(first);
    wait_for("the first to be gone", || {
        (godwit_range(&godwit)["peers"] == 1).then_some(())
    });
    let _third = call(4);
}

fn godwit_range(godwit: &Godwit) -> serde_json::Value {
    let status = match godwit.cli(&["-o", "json", "status"]) {
        Ok(text) | Err(text) => text,
    };
    let start = status.find('{').expect("JSON");
    let status: serde_json::Value = serde_json::Deserializer::from_str(&status[start..])
        .into_iter()
        .next()
        .expect("an answer")
        .expect("JSON");
    status["ranges"][0].clone()
}

#[test]
fn one_address_may_not_connect_too_often() {
    let (_lab, them, godwit) = raw_pair(&format!("connection-rate = 1\n{NONE}\npassive = true"));
    // Ten at once, and one a second.
    for _ in 0..30 {
        drop(Raw::connect(&them, "10.0.0.2", "10.0.0.1"));
        drop(Raw::connect(&them, "10.0.0.3", "10.0.0.1"));
    }
    let status = match godwit.cli(&["status"]) {
        Ok(text) | Err(text) => text,
    };
    let line = status
        .lines()
        .find(|l| l.starts_with("connections refused: "))
        .expect("they were refused");
    let counts: Vec<u64> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect();
    assert!((10..20).contains(&counts[0]), "of strangers: {line}");
    assert!(counts[1] >= 20, "too many: {line}");
}
