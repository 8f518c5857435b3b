//! What keeps a session from coming up, or ends it again, with real speakers at
//! the other end.

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{NOTIFICATION, OPEN, Raw, RawOpen, listen};
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::{Lab, wait_for};

use super::{NONE, explain, finds};
use crate::transport::{Pair, Place, configuration};

const THEM: &str = "10.0.0.2";

#[track_caller]
fn says(finding: &serde_json::Value, part: &str, text: &str) {
    let found = finding[part].as_str().unwrap_or_default();
    assert!(found.contains(text), "no `{text}` in {part}: {finding:#}");
}

/// Their three prefixes are one more than allowed.
fn too_many(then: &str) -> Pair<Bird> {
    let limit = format!(
        "{NONE}\n[peer.family.ipv4-unicast]\nprefix-limit = {{ max = 2, {then} }}\n\
         [peer.family.ipv6-unicast]"
    );
    let mut pair: Pair<Bird> = Pair::start(Place::Link4, &limit, |_| {});
    for i in 1..4 {
        pair.them
            .announce(Announce::plain(&format!("10.9.{i}.0/24")));
    }
    pair
}

#[test]
fn a_prefix_limit_says_when_the_session_returns() {
    let pair = too_many("then = \"restart\", restart-after = \"60s\"");
    let found = finds(&pair.us, THEM, "prefix-limit");
    says(&found, "what", "down because the prefix limit was hit");
    says(
        &found,
        "what",
        "more than 2 ipv4-unicast prefixes; it returns in ",
    );
    says(&found, "evidence", "then \"restart\" after 60 s");
    let (_, answer) = explain(&pair.us, THEM);
    assert_eq!(answer["findings"].as_array().map(Vec::len), Some(1));
    let Err(status) = pair.us.cli(&["status"]) else {
        panic!("a peer is down");
    };
    assert!(status.contains("past its prefix-limit of 2"), "{status}");
    // What the advice says helps.
    says(&found, "advice", "a raised limit");
    pair.reload(NONE);
    pair.comes_up();
}

#[test]
fn a_prefix_limit_that_disables_says_how_to_enable() {
    let pair = too_many("then = \"disable\"");
    let found = finds(&pair.us, THEM, "prefix-limit");
    says(&found, "what", "until somebody enables it");
    says(&found, "advice", "godwit peer enable 10.0.0.2");
}

#[test]
fn a_limit_of_theirs_is_told_as_theirs() {
    let limited = format!(
        "[[originate]]\nprefix = \"10.8.1.0/24\"\n[[originate]]\nprefix = \"10.8.2.0/24\"\n{NONE}"
    );
    let pair: Pair<Bird> = Pair::start(Place::Link4, NONE, |_| {});
    pair.comes_up();
    pair.them
        .edit(&|text| text.replacen("ipv4 {", "ipv4 { receive limit 1 action disable;", 1));
    pair.reload(&limited);
    finds(&pair.us, THEM, "prefix-limit-there");
}

#[test]
fn a_frozen_neighbour_is_a_hold_timer_and_then_silence() {
    let ours = format!("{NONE}\nhold-time = \"3s\"");
    let mut pair: Pair<Bird> = Pair::start(Place::Link4, &ours, |_| {});
    pair.comes_up();
    pair.them.process().freeze();
    let found = finds(&pair.us, THEM, "hold-timer");
    says(&found, "what", "silent for the whole hold time");
    // Its kernel still takes connections.
    let found = finds(&pair.us, THEM, "waiting");
    says(&found, "advice", "frozen");
    pair.them.process().thaw();
    pair.comes_up();
}

#[test]
fn our_own_silence_is_told_as_such() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, NONE));
    let mut raw = Raw::establish(&them, THEM, "10.0.0.1", &RawOpen::new(65002, THEM));
    raw.send(NOTIFICATION, &[4, 0]).expect("the session is up");
    let found = finds(&godwit, THEM, "hold-timer");
    says(&found, "what", "it did not hear from us in time");
}

#[test]
fn a_neighbour_that_takes_the_connection_and_says_nothing_is_waited_for() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let _mute = listen(&them, THEM);
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, NONE));
    let found = finds(&godwit, THEM, "waiting");
    says(&found, "what", "waiting for the peer's next message");
    says(&found, "evidence", "OpenSent, for 2");
    says(&found, "advice", "says nothing");
}

#[test]
fn a_collision_with_a_connection_that_only_they_know() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let listener = listen(&them, THEM);
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, NONE));
    listener.set_nonblocking(true).expect("a socket");
    let mut taken = Vec::new();
    let found = wait_for("the collision to be told", || {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("a socket");
            let mut raw = Raw::over(stream);
            raw.expect_message(OPEN);
            raw.send(NOTIFICATION, &[6, 7]).expect("it is open");
            taken.push(raw);
        }
        let (_, answer) = explain(&godwit, THEM);
        let findings = answer["findings"].as_array()?.clone();
        findings.into_iter().find(|f| f["reason"] == "collision")
    });
    says(&found, "what", "it still holds an older one");
}

#[test]
fn a_hold_time_that_bgp_forbids() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let waiting = format!("{NONE}\npassive = true");
    let godwit = Godwit::start(&us, &configuration(Place::Link4, &us, &waiting));
    let mut open = RawOpen::new(65002, THEM);
    open.hold_time = 2;
    let mut raw = Raw::connect(&them, THEM, "10.0.0.1");
    raw.send_open(&open).expect("it is open");
    assert_eq!(raw.expect_notification(), (2, 6));
    let found = finds(&godwit, THEM, "hold-time");
    says(&found, "evidence", "hold time 2 s");
}

#[test]
fn a_hold_time_that_frr_does_not_want() {
    let ours = format!("{NONE}\nhold-time = \"9s\"");
    let pair: Pair<Frr> = Pair::start(Place::Link4, &ours, |n| n.passive = true);
    pair.comes_up();
    pair.them
        .configure(&["router bgp 65002", "bgp minimum-holdtime 30"]);
    pair.them.reset("10.0.0.1".parse().expect("an address"));
    let found = finds(&pair.us, THEM, "hold-time");
    says(&found, "what", "it does not accept our hold time, 9 s");
    pair.reload(&format!("{NONE}\nhold-time = \"30s\""));
    pair.comes_up();
}

#[test]
fn a_router_id_that_both_have() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let config = configuration(Place::Link4, &us, NONE).replace("65002", "64512");
    let godwit = Godwit::start(&us, &config);
    let spec = RouterSpec {
        asn: 64512,
        router_id: "10.0.0.1".to_owned(),
        neighbours: vec![Neighbour::new("10.0.0.1", 64512)],
        announce: Vec::new(),
    };
    let _them = Bird::start(&them, spec);
    let found = finds(&godwit, THEM, "router-id");
    says(&found, "advice", "a `router-id` of its own");
}

#[test]
fn roles_that_do_not_go_together() {
    let ours = format!("{NONE}\nrole = \"provider\"");
    let pair: Pair<Bird> = Pair::start(Place::Link4, &ours, |n| {
        n.extra = vec!["local role provider;".to_owned()];
    });
    let found = finds(&pair.us, THEM, "role");
    says(&found, "advice", "change `role`");
    pair.reload(&format!("{NONE}\nrole = \"customer\""));
    pair.comes_up();
}

#[test]
fn an_interface_that_is_down() {
    let pair: Pair<Bird> = Pair::start(Place::Link4, NONE, |_| {});
    pair.comes_up();
    let link = ["link", "set", "to-them"];
    pair.us_host.ip(&[link.as_slice(), &["down"]].concat());
    let found = finds(&pair.us, THEM, "no-route");
    says(&found, "advice", "is the interface to it up");
    pair.reload(&format!("{NONE}\nlocal-interface = \"to-them\""));
    let found = finds(&pair.us, THEM, "local-interface");
    says(&found, "what", "the interface to-them is down");
    pair.us_host.ip(&[link.as_slice(), &["up"]].concat());
    pair.comes_up();
}

#[test]
fn an_interface_on_which_nobody_is_heard() {
    let lab = Lab::new();
    let (us, them) = (lab.host("us"), lab.host("them"));
    lab.link(&us, &[], &them, &[]);
    let config = "[router]\nasn = 64512\nrouter-id = \"10.0.0.1\"\n[[peer]]\n\
                  interface = \"to-them\"\nremote-as = \"external\"\n";
    let godwit = Godwit::start(&us, config);
    let found = finds(&godwit, "to-them", "nobody-found");
    says(&found, "advice", "tcpdump -ni to-them icmp6");
    them.ip(&["link", "set", "to-us", "down"]);
    let found = finds(&godwit, "to-them", "interface");
    says(&found, "what", "the interface to-them has no carrier");
    us.ip(&["link", "set", "to-them", "down"]);
    wait_for("the interface to be told as down", || {
        let (_, answer) = explain(&godwit, "to-them");
        let what = answer["findings"][0]["what"].as_str()?.to_owned();
        what.ends_with("is down").then_some(())
    });
}

#[test]
fn connections_that_come_too_often() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let config = configuration(Place::Link4, &us, &format!("{NONE}\npassive = true"));
    let config = config.replace("[router]", "[router]\nconnection-rate = 1");
    let godwit = Godwit::start(&us, &config);
    for _ in 0..30 {
        drop(Raw::connect(&them, THEM, "10.0.0.1"));
    }
    let found = finds(&godwit, THEM, "connection-refused-here");
    says(&found, "evidence", "`connection-rate`");
}
