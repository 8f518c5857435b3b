//! What a peer's sessions said and suffered, as the operator sees it.

use std::time::Duration;

use godwit_tests::attrs;
use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::gobgp::Gobgp;
use godwit_tests::openbgpd::Openbgpd;
use godwit_tests::raw::{NOTIFICATION, Raw};
use godwit_tests::router::Router;
use godwit_tests::wait::holds_for;
use godwit_tests::wait_for;
use serde_json::Value;

use crate::duo::{Duo, Options, RAW, RAW_ASN, THEM, US};

const WORDS: &str = "spine-2 is replaced, back at 14:00 – Ärger melden";

fn show<R: Router>(duo: &Duo<R>, peer: &str) -> Value {
    duo.us.json(&["peer", "show", peer])
}

fn text<R: Router>(duo: &Duo<R>, args: &[&str]) -> String {
    duo.us.cli(args).expect("an answer")
}

fn their_words_show<R: Router>(duo: &Duo<R>, verb: &str) {
    wait_for("their words in the list", || {
        text(duo, &["peer", "list"])
            .contains(&format!("received Cease/Administrative {verb}: {WORDS}"))
            .then_some(())
    });
    let shown = show(duo, THEM);
    let reset = &shown["resets"][0];
    assert_eq!(reset["error"]["message"], WORDS, "{shown}");
    assert_eq!(reset["error"]["sent"], false);
    assert_eq!(reset["state"], "SESSION_STATE_ESTABLISHED");
    assert!(!reset["uptime"].is_null(), "{shown}");
    assert!(text(duo, &["peer", "show", THEM]).contains(WORDS));
}

#[test]
fn words_of_birds_operator_are_shown() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    duo.wait_established();
    duo.them
        .ask(&format!("disable peer0 \"{WORDS}\""))
        .expect("BIRD answers");
    their_words_show(&duo, "Shutdown");
}

#[test]
fn words_of_frrs_operator_are_shown() {
    let duo: Duo<Frr> = Duo::start(Options::default());
    duo.wait_established();
    duo.them.configure(&[
        "router bgp 65002",
        &format!("neighbor {US} shutdown message {WORDS}"),
    ]);
    their_words_show(&duo, "Shutdown");
}

#[test]
fn our_words_reach_birds_operator() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    duo.wait_established();
    text(&duo, &["peer", "disable", THEM, "--message", WORDS]);
    wait_for("our words there", || {
        let shown = duo.them.ask("show protocols all peer0")?;
        shown.contains(WORDS).then_some(())
    });
    let shown = show(&duo, THEM);
    assert_eq!(shown["resets"][0]["error"]["sent"], true);
    assert_eq!(shown["peer"]["waiting_for"], "`godwit peer enable`");
}

#[test]
fn our_words_reach_frrs_operator() {
    let mut duo: Duo<Frr> = Duo::start(Options::default());
    duo.wait_established();
    text(&duo, &["peer", "reset", "--hard", THEM, "--message", WORDS]);
    wait_for("our words there", || {
        // Only in its log, where it escapes what is not ASCII.
        let log = duo.them.process().log();
        log.contains("\"spine-2 is replaced, back at 14:00 ")
            .then_some(())
    });
    duo.wait_established();
}

/// With a reset they are told as well, and the session comes back: with OpenBGPD
/// half a minute later.
#[test]
fn words_with_a_reset_are_shown() {
    let duo: Duo<Openbgpd> = Duo::start(Options::default());
    duo.wait_established();
    duo.them
        .ask(&["neighbor", US, "clear", WORDS])
        .expect("OpenBGPD answers");
    wait_for("their words", || {
        let shown = show(&duo, THEM);
        let error = shown["resets"][0]["error"]["text"].as_str()?;
        error
            .contains(&format!("received Cease/Administrative Reset: {WORDS}"))
            .then_some(())
    });
    let duo: Duo<Bird> = Duo::start(Options::default());
    duo.wait_established();
    duo.them
        .ask(&format!("restart peer0 \"{WORDS}\""))
        .expect("BIRD answers");
    wait_for("their words", || {
        let shown = show(&duo, THEM);
        let error = shown["resets"][0]["error"]["text"].as_str()?;
        error.contains(WORDS).then_some(())
    });
    duo.wait_established();
}

#[test]
fn words_of_openbgpds_operator_are_shown() {
    let duo: Duo<Openbgpd> = Duo::start(Options::default());
    duo.wait_established();
    duo.them
        .ask(&["neighbor", US, "down", WORDS])
        .expect("OpenBGPD answers");
    their_words_show(&duo, "Shutdown");
}

#[test]
fn words_of_gobgps_operator_are_shown() {
    let duo: Duo<Gobgp> = Duo::start(Options::default());
    duo.wait_established();
    duo.them
        .ask(&["neighbor", US, "shutdown", "--reason", WORDS])
        .expect("GoBGP answers");
    their_words_show(&duo, "Shutdown");
}

#[test]
fn our_words_reach_openbgpds_operator() {
    let duo: Duo<Openbgpd> = Duo::start(Options::default());
    duo.wait_established();
    text(&duo, &["peer", "disable", THEM, "--message", WORDS]);
    wait_for("our words there", || {
        let shown = duo.them.ask(&["show", "neighbor", US])?;
        // It escapes what is not ASCII.
        shown
            .contains("\"spine-2 is replaced, back at 14:00 ")
            .then_some(())
    });
}

#[test]
fn our_words_reach_gobgps_operator() {
    let mut duo: Duo<Gobgp> = Duo::start(Options::default());
    duo.wait_established();
    text(&duo, &["peer", "reset", "--hard", THEM, "--message", WORDS]);
    wait_for("our words there", || {
        // Only in its log.
        duo.them.process().log().contains(WORDS).then_some(())
    });
    duo.wait_established();
}

fn disabled_outlives_us<R: Router>() {
    let mut duo: Duo<R> = Duo::start(Options::default());
    duo.wait_established();
    text(&duo, &["peer", "disable", THEM, "--message", WORDS]);
    duo.us.crash_and_restart();
    holds_for(Duration::from_secs(4), "the session stays down", || {
        !duo.them.is_established(Duo::<R>::us_address())
    });
    assert_eq!(
        show(&duo, THEM)["peer"]["waiting_for"],
        "`godwit peer enable`"
    );
    text(&duo, &["peer", "enable", THEM]);
    duo.wait_established();
    duo.us.crash_and_restart();
    duo.wait_established();
}

with_every_router!(disabled_outlives_us);

/// A session that a NOTIFICATION of the raw speaker ends.
fn ended_by(duo: &Duo<Bird>, raw: &mut Raw, subcode: u8, words: &[u8]) -> String {
    let mut body = vec![6, subcode, u8::try_from(words.len()).expect("few")];
    body.extend(words);
    raw.send(NOTIFICATION, &body).expect("the session is up");
    wait_for("the end of the session", || {
        let reset = show(duo, RAW)["resets"][0]["error"]["text"].take();
        reset.as_str().map(str::to_owned)
    })
}

#[test]
fn words_meant_to_deceive_a_terminal_are_escaped() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    let mut raw = duo.raw();
    let said = ended_by(&duo, &mut raw, 2, "\u{1b}[2Jall\r\n\u{202e}well".as_bytes());
    assert_eq!(
        said,
        "received Cease/Administrative Shutdown: \\u{1b}[2Jall\\r\\n\\u{202e}well in Established"
    );
    let mut raw = duo.raw();
    raw.send(NOTIFICATION, &[6, 4, 2, 0xc3, 0x28])
        .expect("the session is up");
    wait_for("what is not UTF-8, in hexadecimal", || {
        let shown = text(&duo, &["peer", "show", RAW]);
        shown.contains("not UTF-8: c328").then_some(())
    });
}

#[test]
fn the_last_bad_message_shows_where_its_fault_lies() {
    let duo: Duo<Bird> = Duo::start(Options::default());
    let mut raw = duo.raw();
    let attributes = [
        attrs::origin(7),
        attrs::as_path(&[RAW_ASN]),
        attrs::next_hop(RAW.parse().expect("an address")),
    ];
    let prefixes = ["10.3.0.0/24".parse().expect("a prefix")];
    raw.send_update(&attrs::update(&[], &attributes, &prefixes));
    let bad = wait_for("a bad message", || {
        let bad = show(&duo, RAW)["last_bad_message"].take();
        (!bad.is_null()).then_some(bad)
    });
    assert_eq!(bad["what"], "undefined ORIGIN");
    assert_eq!(bad["outcome"], "BAD_MESSAGE_OUTCOME_TREATED_AS_WITHDRAW");
    let at = |name: &str| bad[name].as_u64().expect("a number") as usize;
    let hex = bad["hex"].as_str().expect("octets");
    assert_eq!(hex.len(), 2 * at("length"));
    assert_eq!(&hex[2 * at("start")..2 * at("end")], "40010107");
    let shown = text(&duo, &["peer", "show", RAW]);
    assert!(shown.contains(">40>01>01>07"), "{shown}");
    assert!(shown.contains("treated as withdraw"), "{shown}");
    raw.send_bytes(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
        .expect("the session is up");
    raw.expect_notification();
    wait_for("octets that are no message", || {
        let shown = text(&duo, &["peer", "show", RAW]);
        (shown.contains("octets that are no message") && shown.contains("it ended the session"))
            .then_some(())
    });
}

#[test]
fn a_peer_that_does_not_answer_says_what_it_waits_for() {
    let mut duo: Duo<Bird> = Duo::start(Options::default());
    duo.wait_established();
    duo.them.process().kill();
    wait_for("the next attempt", || {
        let peer = show(&duo, THEM)["peer"].take();
        let waiting = peer["waiting_for"].as_str().unwrap_or_default();
        (waiting.contains("the next attempt to connect") && !peer["waiting_until"].is_null())
            .then_some(())
    });
    assert!(text(&duo, &["peer", "show", THEM]).contains("waits for "));
    duo.them.restart();
    duo.wait_established();
    let peer = show(&duo, THEM)["peer"].take();
    assert_eq!(peer["waiting_for"], "");
    // An attempt that comes to nothing is no reset.
    let shown = show(&duo, THEM);
    assert_eq!(shown["resets"].as_array().map(Vec::len), Some(1), "{shown}");
}
