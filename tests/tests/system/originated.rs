//! What we originate ourselves, as each of the others sees it.

use godwit_tests::attrs;
use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::gobgp::Gobgp;
use godwit_tests::openbgpd::Openbgpd;
use godwit_tests::raw::Raw;
use godwit_tests::router::{Announce, Router};
use godwit_tests::wait_for;

use crate::duo::{Duo, Options, RAW, RAW_ASN};

const ACCEPT: &str = "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n";
const PARTS: [&str; 2] = ["10.9.1.0/24", "10.9.2.0/24"];

fn nets(prefixes: &[&str]) -> Vec<ipnet::IpNet> {
    let parse = |p: &&str| p.parse().expect("a prefix");
    prefixes.iter().map(parse).collect()
}

/// Each part by a path of its own, which an AS_SET would have to hold.
fn announce_parts(raw: &mut Raw) {
    for (part, beyond) in PARTS.iter().zip([65031, 65032]) {
        let all = [
            attrs::origin(0),
            attrs::as_path(&[RAW_ASN, beyond]),
            attrs::next_hop(RAW.parse().expect("an address")),
        ];
        raw.send_update(&attrs::update(&[], &all, &nets(&[part])));
    }
}

#[track_caller]
fn loses<R: Router>(duo: &Duo<R>, prefix: &str) {
    wait_for(&format!("{prefix} to go from there"), || {
        duo.them.route(prefix).is_none().then_some(())
    });
}

fn an_aggregate_has_our_path_alone_and_says_who_made_it<R: Router>() {
    let aggregate = "[[aggregate]]\nprefix = \"10.9.0.0/16\"\nsummary-only = ";
    let mut options = Options {
        sections: format!("{aggregate}true\n"),
        ..Options::default()
    };
    let duo: Duo<R> = Duo::start(options.clone());
    duo.wait_established();
    let mut raw = duo.raw();
    announce_parts(&mut raw);
    let seen = wait_for("the aggregate there", || duo.them.route("10.9.0.0/16"));
    assert_eq!(seen.as_path, "64512", "{seen:?}");
    assert_eq!(seen.origin, "igp", "{seen:?}");
    assert_eq!(seen.aggregator.as_deref(), Some("64512 10.0.0.1"));
    assert!(seen.atomic_aggregate, "{seen:?}");
    for part in PARTS {
        loses(&duo, part);
    }
    // Beside its parts, then alone again, then gone with them.
    options.sections = format!("{aggregate}false\n");
    duo.us.reload(&crate::duo::configuration(&options));
    for part in PARTS {
        duo.wait_our_route(part);
    }
    duo.wait_our_route("10.9.0.0/16");
    options.sections = format!("{aggregate}true\n");
    duo.us.reload(&crate::duo::configuration(&options));
    for part in PARTS {
        loses(&duo, part);
    }
    raw.send_update(&attrs::update(&nets(&PARTS), &[], &[]));
    loses(&duo, "10.9.0.0/16");
}

fn a_default_route_comes_and_goes_with_its_condition<R: Router>() {
    let duo: Duo<R> = Duo::start(Options {
        peer_lines: format!("{ACCEPT}default-originate = {{ if = \"10.9.0.0/16+\" }}\n"),
        ..Options::default()
    });
    duo.wait_established();
    duo.wait_our_route(crate::duo::OUR_IPV4);
    assert_eq!(duo.them.route("0.0.0.0/0"), None);
    let mut raw = duo.raw();
    announce_parts(&mut raw);
    let seen = wait_for("a default route there", || duo.them.route("0.0.0.0/0"));
    assert_eq!(seen.as_path, "64512", "{seen:?}");
    raw.send_update(&attrs::update(&nets(&PARTS[..1]), &[], &[]));
    loses(&duo, PARTS[0]);
    assert!(duo.them.route("0.0.0.0/0").is_some(), "one part is enough");
    raw.send_update(&attrs::update(&nets(&PARTS[1..]), &[], &[]));
    loses(&duo, "0.0.0.0/0");
}

macro_rules! with_each {
    ($($name:ident($router:ty)),* $(,)?) => {
        $(mod $name {
            #[test]
            fn an_aggregate_has_our_path_alone_and_says_who_made_it() {
                super::an_aggregate_has_our_path_alone_and_says_who_made_it::<$router>();
            }

            #[test]
            fn a_default_route_comes_and_goes_with_its_condition() {
                super::a_default_route_comes_and_goes_with_its_condition::<$router>();
            }
        })*
    };
}

with_each!(
    bird(super::Bird),
    frr(super::Frr),
    gobgp(super::Gobgp),
    openbgpd(super::Openbgpd),
);

/// RFC 7999 §3.2 and §3.3: dropped here, and not told on.
fn a_blackhole_of_theirs_is_dropped_in_our_kernel<R: Router>() {
    let prefix = "10.2.9.9/32";
    let black = Announce {
        communities: vec![(65535, 666)],
        ..Announce::plain(prefix)
    };
    let mut duo: Duo<R> = Duo::start(Options {
        peer_lines: format!("{ACCEPT}blackhole-community = true\n"),
        they_announce: vec![black, Announce::plain("10.2.0.0/16")],
        ..Options::default()
    });
    duo.wait_their_route(prefix);
    let dropped = || {
        let found = duo.us_host.routes("-4", &["type", "blackhole"]);
        found.iter().any(|r| r["dst"] == "10.2.9.9").then_some(())
    };
    wait_for("a blackhole", dropped);
    let around = duo.us_host.routes("-4", &["10.2.0.0/16"]);
    assert_ne!(around[0]["type"], "blackhole", "{around:?}");
    // What comes after it proves that it was not sent.
    let mut raw = duo.raw();
    raw.expect_update(|update| {
        assert!(!update.announced.contains(&nets(&[prefix])[0]), "told on");
        update.announced.contains(&nets(&["10.2.0.0/16"])[0])
    });
    duo.them.withdraw(prefix);
    wait_for("no blackhole", || {
        let found = duo.us_host.routes("-4", &["type", "blackhole"]);
        found.iter().all(|r| r["dst"] != "10.2.9.9").then_some(())
    });
}

mod blackholes {
    #[test]
    fn of_bird() {
        super::a_blackhole_of_theirs_is_dropped_in_our_kernel::<super::Bird>();
    }

    #[test]
    fn of_frr() {
        super::a_blackhole_of_theirs_is_dropped_in_our_kernel::<super::Frr>();
    }
}
