//! UPDATEs with errors beside what the table of `defects` has: several routes in
//! one message, and what goes on to others.
//!
//! `bad` is the one that errs, `watcher` sees what becomes of it behind us.

use std::net::Ipv4Addr;

use godwit_tests::attrs::{self, attribute};
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen};
use godwit_tests::{Host, Lab};
use ipnet::IpNet;

const BAD_ASN: u32 = 65001;
const WATCHER_ASN: u32 = 65002;

#[derive(Debug)]
pub struct Chain {
    pub bad: Raw,
    pub watcher: Raw,
    pub us: Godwit,
    pub bad_host: Host,
    /// Each check announces a prefix of its own.
    checks: u8,
    _lab: Lab,
}

impl Chain {
    pub fn start() -> Chain {
        Chain::start_with("", false)
    }

    /// With lines for our configuration of `bad`, and perhaps messages of up to
    /// 65,535 octets from it.
    pub fn start_with(bad_lines: &str, extended_message: bool) -> Chain {
        let lab = Lab::new();
        let [us_host, bad_host, watcher_host] = ["us", "bad", "watcher"].map(|n| lab.host(n));
        lab.link(
            &us_host,
            &["10.0.0.1/24", "fd00::1/64"],
            &bad_host,
            &["10.0.0.2/24", "fd00::2/64"],
        );
        lab.link(
            &us_host,
            &["10.0.1.1/24", "fd00:1::1/64"],
            &watcher_host,
            &["10.0.1.2/24", "fd00:1::2/64"],
        );
        let us = Godwit::start(
            &us_host,
            &format!(
                r#"
[router]
asn = 64512
router-id = "10.0.0.1"

[peer-group.all]
passive = true
import = ["accept-all"]
export = ["accept-all"]

[[peer]]
address = "10.0.0.2"
group = "all"
remote-as = {BAD_ASN}
{bad_lines}

[[peer]]
address = "10.0.1.2"
group = "all"
remote-as = {WATCHER_ASN}
"#
            ),
        );
        let watcher = Raw::establish(
            &watcher_host,
            "10.0.1.2",
            "10.0.1.1",
            &RawOpen::new(WATCHER_ASN, "10.0.1.2"),
        );
        let bad = Raw::establish(
            &bad_host,
            "10.0.0.2",
            "10.0.0.1",
            &RawOpen {
                extended_message,
                ..bad_open()
            },
        );
        Chain {
            bad,
            watcher,
            us,
            bad_host,
            checks: 0,
            _lab: lab,
        }
    }

    /// Announces `prefixes` with nothing wrong, and waits until the watcher
    /// has them.
    #[track_caller]
    fn announce_well(&mut self, prefixes: &[&str]) {
        for prefix in prefixes {
            self.bad
                .send_update(&attrs::update(&[], &base(), &[net(prefix)]));
            self.watcher.expect_announcement(prefix);
        }
    }

    /// The session with `bad` lives: what it announces now still arrives.
    #[track_caller]
    pub fn check_alive(&mut self) {
        self.checks += 1;
        self.announce_well(&[&format!("203.0.113.{}/32", self.checks)]);
    }
}

pub fn bad_open() -> RawOpen {
    RawOpen::new(BAD_ASN, "10.0.0.2")
}

pub fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// The well-known mandatory attributes, sound.
pub fn base() -> Vec<Vec<u8>> {
    vec![
        attrs::origin(0),
        attrs::as_path(&[BAD_ASN]),
        attrs::next_hop(Ipv4Addr::new(10, 0, 0, 2)),
    ]
}

/// [`base`] with one attribute replaced, or added.
fn base_with(other: Vec<u8>) -> Vec<Vec<u8>> {
    let code = other[1];
    let mut all: Vec<Vec<u8>> = base().into_iter().filter(|a| a[1] != code).collect();
    all.push(other);
    all
}

/// Those announced before go, those withdrawn go, an uninvolved one stays, and so
/// does the session.
#[test]
fn treated_as_withdraw_means_every_route_of_the_message() {
    let mut chain = Chain::start();
    chain.announce_well(&[
        "10.10.0.0/24",
        "10.11.0.0/24",
        "10.12.0.0/24",
        "10.13.0.0/24",
    ]);
    chain.bad.send_update(&attrs::update(
        &[net("10.12.0.0/24")],
        &base_with(attribute(0x80, 4, &[0, 0, 1])),
        &[net("10.10.0.0/24"), net("10.11.0.0/24")],
    ));
    let mut gone: Vec<String> = Vec::new();
    while gone.len() < 3 {
        let update = chain.watcher.expect_update(|update| {
            assert!(
                update.announced.is_empty(),
                "nothing new comes of it: {update:?}"
            );
            !update.withdrawn.is_empty()
        });
        gone.extend(update.withdrawn.iter().map(IpNet::to_string));
    }
    gone.sort();
    assert_eq!(gone, ["10.10.0.0/24", "10.11.0.0/24", "10.12.0.0/24"]);
    chain.check_alive();
    assert!(chain.us.best().contains(&"10.13.0.0/24".to_owned()));
}

#[test]
fn a_second_attribute_of_one_kind_is_discarded_and_the_first_kept() {
    let mut chain = Chain::start();
    let mut all = base();
    all.push(attrs::communities(&[(65001, 1)]));
    all.push(attrs::communities(&[(65001, 2)]));
    chain
        .bad
        .send_update(&attrs::update(&[], &all, &[net("10.10.0.0/24")]));
    let update = chain.watcher.expect_announcement("10.10.0.0/24");
    let first = attrs::communities(&[(65001, 1)]);
    assert_eq!(update.attribute(8), Some((0xc0, &first[3..])));
    chain.check_alive();
}

#[test]
fn an_unknown_transitive_attribute_is_passed_on_as_partial() {
    let mut chain = Chain::start();
    let all = base_with(attribute(0xc0, 200, b"whatever it is"));
    chain
        .bad
        .send_update(&attrs::update(&[], &all, &[net("10.10.0.0/24")]));
    let update = chain.watcher.expect_announcement("10.10.0.0/24");
    assert_eq!(update.attribute(200), Some((0xe0, &b"whatever it is"[..])));
}
