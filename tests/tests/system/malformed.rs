//! UPDATEs with errors: what RFC 7606 says becomes of the routes in the same
//! message, of those before it, and of the session.
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

/// `attributes` are treated as withdraw: of the routes in the same message,
/// those announced before go, those withdrawn go, an uninvolved one stays, and
/// so does the session.
#[track_caller]
fn check_treated_as_withdraw(attributes: &[Vec<u8>]) {
    let mut chain = Chain::start();
    chain.announce_well(&[
        "10.10.0.0/24",
        "10.11.0.0/24",
        "10.12.0.0/24",
        "10.13.0.0/24",
    ]);
    chain.bad.send_update(&attrs::update(
        &[net("10.12.0.0/24")],
        attributes,
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

/// `attribute` alone is discarded; its routes are kept.
#[track_caller]
fn check_discarded(bad: Vec<u8>) {
    let code = bad[1];
    let mut chain = Chain::start();
    chain
        .bad
        .send_update(&attrs::update(&[], &base_with(bad), &[net("10.10.0.0/24")]));
    let update = chain.watcher.expect_announcement("10.10.0.0/24");
    assert_eq!(update.attribute(code), None);
    chain.check_alive();
}

/// `body` ends the session with this NOTIFICATION, and only this session.
#[track_caller]
fn check_resets(body: &[u8], code: u8, subcode: u8) {
    let mut chain = Chain::start();
    chain.announce_well(&["10.10.0.0/24"]);
    chain.bad.send_update(body);
    assert_eq!(chain.bad.expect_notification(), (code, subcode));
    chain.watcher.expect_withdrawal("10.10.0.0/24");
    chain.us.wait_established("10.0.1.2");
}

#[test]
fn an_undefined_origin_is_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attrs::origin(7)));
}

#[test]
fn an_origin_of_two_bytes_is_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0x40, 1, &[0, 0])));
}

#[test]
fn an_as_path_that_overruns_its_length_is_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0x40, 2, &[2, 3, 0, 0, 0xfd, 0xe9])));
}

#[test]
fn an_as_path_with_an_unknown_segment_type_is_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0x40, 2, &[9, 1, 0, 0, 0xfd, 0xe9])));
}

#[test]
fn a_next_hop_of_three_bytes_is_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0x40, 3, &[10, 0, 0])));
}

#[test]
fn a_missing_next_hop_is_treated_as_withdraw() {
    check_treated_as_withdraw(&base()[..2]);
}

#[test]
fn wrong_flags_of_a_well_known_attribute_are_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0xc0, 1, &[0])));
}

#[test]
fn a_med_of_three_bytes_is_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0x80, 4, &[0, 0, 1])));
}

#[test]
fn communities_of_five_bytes_are_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0xc0, 8, &[0, 0, 0, 1, 2])));
}

#[test]
fn extended_communities_of_nine_bytes_are_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0xc0, 16, &[0; 9])));
}

#[test]
fn large_communities_of_eleven_bytes_are_treated_as_withdraw() {
    check_treated_as_withdraw(&base_with(attribute(0xc0, 32, &[0; 11])));
}

#[test]
fn an_atomic_aggregate_with_a_value_is_discarded_alone() {
    check_discarded(attribute(0x40, 6, &[1]));
}

#[test]
fn an_aggregator_of_seven_bytes_is_discarded_alone() {
    check_discarded(attribute(0xc0, 7, &[0; 7]));
}

#[test]
fn a_local_pref_from_an_external_peer_is_discarded_alone() {
    check_discarded(attribute(0x40, 5, &[0, 0, 0, 200]));
}

#[test]
fn an_originator_id_from_an_external_peer_is_discarded_alone() {
    check_discarded(attribute(0x80, 9, &[10, 0, 0, 9]));
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

#[test]
fn an_unknown_attribute_that_is_not_transitive_goes_no_further() {
    check_discarded(attribute(0x80, 201, b"for you only"));
}

#[test]
fn an_unrecognised_well_known_attribute_is_treated_as_withdraw() {
    // There is none that we do not know, so its flags are at fault: RFC 7606
    // §3 (c) rather than the reset of RFC 4271 §6.3.
    check_treated_as_withdraw(&base_with(attribute(0x40, 202, b"must be known")));
}

#[test]
fn attributes_that_overrun_their_total_are_treated_as_withdraw() {
    // RFC 7606 §4: the last attribute claims more bytes than are left.
    let mut all = base();
    all.push(vec![0xc0, 8, 40, 1, 2, 3, 4]);
    check_treated_as_withdraw(&all);
}

#[test]
fn a_prefix_longer_than_its_family_resets_the_session() {
    let mut body = attrs::update(&[], &base(), &[]);
    body.extend([33, 10, 10, 0, 0, 0]);
    check_resets(&body, 3, 10);
}

#[test]
fn a_prefix_cut_short_resets_the_session() {
    let mut body = attrs::update(&[], &base(), &[]);
    body.extend([24, 10, 10]);
    check_resets(&body, 3, 10);
}

#[test]
fn withdrawn_routes_longer_than_the_message_reset_the_session() {
    check_resets(&[0xff, 0xff, 0, 0], 3, 1);
}

#[test]
fn a_second_mp_reach_nlri_resets_the_session() {
    let hop = "fd00::2".parse().expect("an address");
    let all = [
        attrs::origin(0),
        attrs::as_path(&[BAD_ASN]),
        attrs::mp_reach_ipv6(hop, &[net("fd05::/64")]),
        attrs::mp_reach_ipv6(hop, &[net("fd06::/64")]),
    ];
    check_resets(&attrs::update(&[], &all, &[]), 3, 1);
}

#[test]
fn our_own_as_in_the_path_is_no_error_but_no_route_either() {
    let mut chain = Chain::start();
    let all = base_with(attrs::as_path(&[BAD_ASN, 64512]));
    chain
        .bad
        .send_update(&attrs::update(&[], &all, &[net("10.10.0.0/24")]));
    chain.check_alive();
    assert!(!chain.us.best().contains(&"10.10.0.0/24".to_owned()));
}
