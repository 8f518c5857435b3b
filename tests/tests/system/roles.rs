//! Roles and ONLY_TO_CUSTOMER (RFC 9234).

use std::net::{IpAddr, Ipv4Addr};

use godwit_tests::attrs::{self, attribute};
use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::{Godwit, find_peer};
use godwit_tests::openbgpd::Openbgpd;
use godwit_tests::raw::Raw;
use godwit_tests::router::Router;
use godwit_tests::wait_for;
use ipnet::IpNet;
use serde_json::Value;

use crate::duo::{Duo, OUR_ASN, OUR_IPV4, Options, RAW_ASN, THEIR_ASN, THEM};

const ACCEPT: &str = "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n";

/// We in one role, they in another (empty: none).
fn options<R: Router>(ours: &str, theirs: &str) -> Options {
    let line = match (R::NAME, theirs) {
        (_, "") => Vec::new(),
        ("bird", role) => vec![format!("local role {};", role.replace('-', "_"))],
        ("frr", role) => vec![format!("local-role {role}")],
        (_, role) => vec![format!("announce policy {role}")],
    };
    Options {
        peer_lines: format!("{ACCEPT}{ours}\n"),
        their_lines: line,
        ..Options::default()
    }
}

fn otc(asn: u32) -> Vec<u8> {
    attribute(0xc0, 35, &asn.to_be_bytes())
}

fn them(us: &Godwit) -> Value {
    let list = us.json(&["peer", "list"]);
    let address: IpAddr = THEM.parse().expect("an address");
    find_peer(&list, address).expect("a peer").clone()
}

/// We are the customer: what they send us carries their mark, and goes to no
/// other provider.
fn a_providers_routes_go_down_only<R: Router>() {
    let mut options = options::<R>("role = \"customer\"", "provider");
    options.raw_lines = "role = \"customer\"\n".to_owned();
    let duo: Duo<R> = Duo::start(options);
    duo.wait_established();
    assert_eq!(them(&duo.us)["session"]["remote_role"], "provider");
    duo.wait_their_route("10.2.0.0/24");
    let shown = duo.us.json(&["route", "show", "10.2.0.0/24"]);
    let attributes = &shown["batches"][0]["attributes"];
    assert_eq!(attributes["only_to_customer"], THEIR_ASN);
    // Our own route goes up, theirs does not.
    let mut raw = duo.raw();
    raw.expect_update(|update| {
        let told: Vec<String> = update.announced.iter().map(IpNet::to_string).collect();
        assert!(!told.contains(&"10.2.0.0/24".to_owned()), "a leak");
        told.contains(&OUR_IPV4.to_owned())
    });
    let explained = duo.us.json(&["route", "explain", "10.2.0.0/24"]);
    let why = explained["announcements"].to_string();
    assert!(why.contains("ONLY_TO_CUSTOMER"), "{why}");
}

/// We are the provider: what we send carries our mark; a marked route from them
/// is a leak.
fn a_customers_leak_is_not_used<R: Router>() {
    let mut options = options::<R>("role = \"provider\"", "customer");
    options.raw_lines = "role = \"provider\"\n".to_owned();
    let duo: Duo<R> = Duo::start(options);
    duo.wait_established();
    duo.wait_our_route(OUR_IPV4);
    let mut raw = duo.raw();
    let update = raw.expect_announcement("10.2.0.0/24");
    let mark = otc(OUR_ASN);
    assert_eq!(update.attribute(35), Some((0xc0, &mark[3..])));
    announce(&mut raw, "10.9.0.0/24", Some(64999));
    announce(&mut raw, "10.9.1.0/24", None);
    duo.wait_our_route("10.9.1.0/24");
    let rejected = duo.us.json(&["route", "list", "--rejected"]).to_string();
    assert!(rejected.contains("10.9.0.0/24"), "{rejected}");
    assert!(rejected.contains("route leak"), "{rejected}");
    assert_eq!(duo.them.route("10.9.0.0/24"), None);
}

fn announce(raw: &mut Raw, prefix: &str, mark: Option<u32>) {
    let mut all = vec![
        attrs::origin(0),
        attrs::as_path(&[RAW_ASN]),
        attrs::next_hop(Ipv4Addr::new(10, 0, 1, 2)),
    ];
    all.extend(mark.map(otc));
    raw.send_update(&attrs::update(
        &[],
        &all,
        &[prefix.parse().expect("a prefix")],
    ));
}

/// Refused by whoever reads the other's OPEN first, with Role Mismatch.
fn roles_that_do_not_fit_are_refused<R: Router>() {
    let duo: Duo<R> = Duo::start(options::<R>("role = \"provider\"", "provider"));
    wait_for("a role mismatch", || {
        let error = them(&duo.us)["last_error"].clone();
        let codes = (error["code"].as_u64(), error["subcode"].as_u64());
        (codes == (Some(2), Some(11))).then_some(())
    });
    assert!(!duo.us.is_established(Duo::<R>::them_address()));
}

/// One that says no role is taken, until we are strict.
fn strictness_wants_a_role<R: Router>() {
    let duo: Duo<R> = Duo::start(options::<R>("role = \"provider\"", ""));
    duo.wait_established();
    assert_eq!(them(&duo.us)["session"]["remote_role"], "");
    let strict = options::<R>("role = \"provider\"\nrole-strict = true", "");
    duo.us.reload(&crate::duo::configuration(&strict));
    wait_for("a role mismatch", || {
        let error = them(&duo.us)["last_error"].clone();
        (error["subcode"].as_u64() == Some(11)).then_some(())
    });
}

/// The same the other way round.
#[test]
fn strictness_of_frrs_wants_a_role_of_ours() {
    let strict = options::<Frr>("", "provider strict-mode");
    let duo: Duo<Frr> = Duo::start(strict);
    wait_for("a role mismatch", || {
        let error = them(&duo.us)["last_error"]["text"].to_string();
        error
            .contains("received OPEN Message Error/Role Mismatch")
            .then_some(())
    });
    let fitting = options::<Frr>("role = \"customer\"", "");
    duo.us.reload(&crate::duo::configuration(&fitting));
    duo.wait_established();
}

macro_rules! with_each {
    ($($name:ident($router:ty): [$($scenario:ident),*]),* $(,)?) => {
        $(mod $name {
            $(#[test] fn $scenario() { super::$scenario::<$router>(); })*
        })*
    };
}

with_each!(
    bird(super::Bird): [
        a_providers_routes_go_down_only,
        a_customers_leak_is_not_used,
        roles_that_do_not_fit_are_refused,
        strictness_wants_a_role
    ],
    frr(super::Frr): [
        a_providers_routes_go_down_only,
        a_customers_leak_is_not_used,
        roles_that_do_not_fit_are_refused,
        strictness_wants_a_role
    ],
    openbgpd(super::Openbgpd): [
        a_providers_routes_go_down_only,
        a_customers_leak_is_not_used,
        roles_that_do_not_fit_are_refused
    ],
);
