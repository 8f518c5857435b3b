//! With each of the others at the other end of the link.
//!
//! ```text
//!   us 10.8.0.1 fd00:8::1 AS 65001 ── no addresses ── them 10.9.0.1 fd00:9::1 AS 65002
//! ```

use std::time::Duration;

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::gobgp::Gobgp;
use godwit_tests::godwit::Godwit;
use godwit_tests::router::{Announce, Router as _};
use godwit_tests::wait::holds_for;
use godwit_tests::{Host, Lab, PATIENCE, wait_for, wait_for_within};

use super::{is_established, link_local, peer, set_link_local, wait_established, wait_ping};

const US: &str = "
[router]
asn = 65001
router-id = \"1.1.1.1\"

[[originate]]
prefix = \"10.8.0.1/32\"
[[originate]]
prefix = \"fd00:8::1/128\"

[[peer]]
interface = \"to-them\"
remote-as = \"external\"
connect-retry = \"1s\"
import = [\"accept-all\"]
export = [\"accept-all\"]
";

fn hosts() -> (Lab, Host, Host) {
    let lab = Lab::new();
    let (us, them) = (lab.host("us"), lab.host("them"));
    for (host, n) in [(&us, 8), (&them, 9)] {
        host.ip(&["addr", "add", &format!("10.{n}.0.1/32"), "dev", "lo"]);
        let v6 = format!("fd00:{n}::1/128");
        host.ip(&["addr", "add", &v6, "dev", "lo", "nodad"]);
    }
    lab.link(&us, &[], &them, &[]);
    (lab, us, them)
}

/// Both families pass packets, by the one neighbour that was found.
#[track_caller]
fn passes_packets(us: &Godwit, us_host: &Host, them_host: &Host) {
    wait_established(us, "to-them");
    wait_ping(us_host, "10.8.0.1", "10.9.0.1");
    wait_ping(us_host, "fd00:8::1", "fd00:9::1");
    let theirs = link_local(them_host, "to-us");
    let got = us_host.ip(&["route", "get", "10.9.0.1"]);
    assert!(
        got.contains(&format!("via inet6 {theirs} dev to-them")),
        "{got}"
    );
    let shown = peer(us, "to-them");
    assert_eq!(shown["neighbour"], format!("{theirs}%to-them"));
    assert_eq!(shown["interface"], "to-them");
    let text = us.cli(&["peer", "show", &format!("{theirs}%to-them")]);
    assert!(text.unwrap().contains("IPv4 over IPv6 next hops"));
    // After a restart the kernel has had it all the time.
    wait_for("its routes under its name", || {
        let routes = us.cli(&["route", "list", "--peer", "to-them"]).ok()?;
        routes.contains("10.9.0.1/32").then_some(())
    });
}

fn frr(host: &Host) -> Frr {
    Frr::start_with(
        host,
        "router bgp 65002
          bgp router-id 2.2.2.2
          no bgp ebgp-requires-policy
          neighbor to-us interface remote-as external
          neighbor to-us timers connect 1
          address-family ipv4 unicast
           network 10.9.0.1/32
          exit-address-family
          address-family ipv6 unicast
           neighbor to-us activate
           network fd00:9::1/128
          exit-address-family",
    )
}

#[test]
fn frr_finds_us_and_we_find_frr() {
    let (_lab, us_host, them_host) = hosts();
    let mut us = Godwit::start(&us_host, US);
    let mut them = frr(&them_host);
    passes_packets(&us, &us_host, &them_host);
    // What goes, goes on both sides.
    them.set(&[
        "router bgp 65002",
        "address-family ipv4 unicast",
        "no network 10.9.0.1/32",
    ]);
    wait_for("the withdrawn route to go", || {
        us_host
            .routes("-4", &["10.9.0.1/32"])
            .is_empty()
            .then_some(())
    });
    them.set(&[
        "router bgp 65002",
        "address-family ipv4 unicast",
        "network 10.9.0.1/32",
    ]);
    wait_ping(&us_host, "10.8.0.1", "10.9.0.1");
    // Either side may start anew.
    them.restart();
    passes_packets(&us, &us_host, &them_host);
    us.crash_and_restart();
    passes_packets(&us, &us_host, &them_host);
}

const SIGNED: &str = "password-file = \"@key\"";

/// Ours, with the key in a file beside it.
fn signed(host: &Host, more: &str) -> String {
    host.write("key", "fabric-secret\n");
    let file = SIGNED.replace('@', &format!("{}/", host.dir().display()));
    format!("{US}{file}\n{more}\n")
}

/// Whoever connects: FRR does all the time, and we as soon as it is found.
#[test]
fn frr_signs_as_we_do() {
    for passive in ["passive = false", "passive = true"] {
        let (_lab, us_host, them_host) = hosts();
        let lines = format!("{passive}\nhold-time = \"3s\"");
        let us = Godwit::start(&us_host, &signed(&us_host, &lines));
        let mut them = frr(&them_host);
        let password = |words: &str| {
            let line = format!("{words} to-us password fabric-secret");
            them.set(&["router bgp 65002", &line]);
        };
        password("neighbor");
        passes_packets(&us, &us_host, &them_host);
        let shown = us.json(&["peer", "show", "to-them"]);
        assert_eq!(shown["peer"]["transport"]["md5"], true, "{shown}");
        them.restart();
        them.set(&["router bgp 65002", "neighbor to-us password fabric-secret"]);
        passes_packets(&us, &us_host, &them_host);
        if passive.ends_with("true") {
            continue;
        }
        // Another address is another key for the kernel. The old one has to have
        // been silent for a while, and FRR advertises itself every ten seconds.
        set_link_local(&them_host, "to-us", "fe80::77");
        wait_for_within(2 * PATIENCE, "a session with the new address", || {
            let shown = peer(&us, "to-them");
            (shown["neighbour"] == "fe80::77%to-them" && is_established(&us, "to-them"))
                .then_some(())
        });
    }
}

#[test]
fn frr_with_another_key_or_none_stays_out() {
    let (_lab, us_host, them_host) = hosts();
    let us = Godwit::start(&us_host, &signed(&us_host, ""));
    let them = frr(&them_host);
    wait_for("it to be found", || {
        let found = peer(&us, "to-them")["neighbour"].to_string();
        found.contains("fe80").then_some(())
    });
    let stays_out = || {
        holds_for(Duration::from_secs(4), "no session", || {
            !is_established(&us, "to-them")
        });
    };
    stays_out();
    them.set(&["router bgp 65002", "neighbor to-us password wrong-secret"]);
    stays_out();
    them.set(&["router bgp 65002", "neighbor to-us password fabric-secret"]);
    passes_packets(&us, &us_host, &them_host);
    // A key less is another session.
    us.reload(US);
    wait_for("the session to go", || {
        (!is_established(&us, "to-them")).then_some(())
    });
    stays_out();
    us.reload(&signed(&us_host, ""));
    passes_packets(&us, &us_host, &them_host);
}

#[test]
fn two_signed_godwits_find_each_other() {
    let (_lab, us_host, them_host) = hosts();
    let us = Godwit::start(&us_host, &signed(&us_host, ""));
    let theirs = signed(&them_host, "passive = true")
        .replace("65001", "65002")
        .replace("1.1.1.1", "2.2.2.2")
        .replace("10.8.", "10.9.")
        .replace("fd00:8:", "fd00:9:")
        .replace("to-them", "to-us");
    let _them = Godwit::start(&them_host, &theirs);
    passes_packets(&us, &us_host, &them_host);
}

fn bird_config(us: &str, options: &str) -> String {
    format!(
        "log stderr all; router id 2.2.2.2; debug protocols {{ states, events }};
         protocol device {{ scan time 1; }}
         protocol direct {{ ipv4; ipv6; interface \"lo\"; }}
         protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}
         protocol kernel {{ ipv6 {{ export where source = RTS_BGP; }}; }}
         protocol bgp godwit {{ local as 65002; neighbor {us} as 65001; interface \"to-us\"; direct;
           connect delay time 1; connect retry time 1; error wait time 1, 2;
           ipv4 {{ extended next hop on; import all; export all; }};
           ipv6 {{ import all; export all; }};
           {options} }}"
    )
}

/// It looks for its neighbour once, among those that the kernel knows: it has
/// to be started after one of our advertisements.
#[test]
fn gobgp_finds_us_by_our_advertisements() {
    let (_lab, us_host, them_host) = hosts();
    let us = Godwit::start(&us_host, US);
    let ours = link_local(&us_host, "to-them");
    wait_for("our advertisement there", || {
        let known = them_host.ip(&["-6", "neigh", "show", "dev", "to-us"]);
        known.contains(&format!("{ours} lladdr")).then_some(())
    });
    let mut them = Gobgp::start_with(
        &them_host,
        "[global.config]
         as = 65002
         router-id = \"2.2.2.2\"
         [[neighbors]]
         [neighbors.config]
         neighbor-interface = \"to-us\"
         peer-as = 65001
         [neighbors.timers.config]
         connect-retry = 1",
    );
    wait_established(&us, "to-them");
    wait_for("our routes there", || {
        (them.route("10.8.0.1/32").is_some() && them.route("fd00:8::1/128").is_some()).then_some(())
    });
    them.announce(Announce::plain("10.9.0.1/32"));
    let theirs = link_local(&them_host, "to-us");
    wait_for("theirs in our kernel", || {
        let got = us_host.ip(&["route", "get", "10.9.0.1"]);
        got.contains(&format!("via inet6 {theirs} dev to-them"))
            .then_some(())
    });
    them.withdraw("10.9.0.1/32");
    wait_for("the withdrawn route to go", || {
        us_host
            .routes("-4", &["10.9.0.1/32"])
            .is_empty()
            .then_some(())
    });
}

#[test]
fn bird_that_advertises_nothing_is_found_when_it_connects() {
    let (_lab, us_host, them_host) = hosts();
    let mut us = Godwit::start(&us_host, US);
    let ours = link_local(&us_host, "to-them");
    let mut them = Bird::start_with(&them_host, &bird_config(&ours, ""));
    passes_packets(&us, &us_host, &them_host);
    them.restart();
    passes_packets(&us, &us_host, &them_host);
    us.crash_and_restart();
    passes_packets(&us, &us_host, &them_host);
}

#[test]
fn bird_that_only_listens_is_found_by_its_advertisements() {
    let (_lab, us_host, them_host) = hosts();
    let us = Godwit::start(&us_host, US);
    let ours = link_local(&us_host, "to-them");
    let config = bird_config(&ours, "passive;");
    let radv = "protocol radv { interface \"to-us\" { max ra interval 4; }; }";
    let _them = Bird::start_with(&them_host, &format!("{config}\n{radv}"));
    passes_packets(&us, &us_host, &them_host);
}

#[test]
fn two_godwits_find_each_other() {
    let (_lab, us_host, them_host) = hosts();
    let mut us = Godwit::start(&us_host, US);
    let mirrored = US
        .replace("65001", "65002")
        .replace("1.1.1.1", "2.2.2.2")
        .replace("10.8.", "10.9.")
        .replace("fd00:8:", "fd00:9:")
        .replace("to-them", "to-us");
    let them = Godwit::start(&them_host, &mirrored);
    passes_packets(&us, &us_host, &them_host);
    assert!(is_established(&them, "to-us"));
    us.crash_and_restart();
    passes_packets(&us, &us_host, &them_host);
    // The session is internal or of one AS alone as well.
    let internal = |text: &str| {
        let text = text.replace("\"external\"", "\"internal\"");
        text.replace("65002", "65001")
    };
    drop(them);
    let _them = Godwit::start(&them_host, &internal(&mirrored));
    us.reload(&internal(US));
    wait_for("an internal session", || {
        let shown = peer(&us, "to-them");
        let kind = shown["kind"].to_string().to_lowercase();
        (kind.contains("internal") && is_established(&us, "to-them")).then_some(())
    });
    wait_ping(&us_host, "10.8.0.1", "10.9.0.1");
}
/// Nobody has told us of it, so no key is set for it yet.
#[test]
fn bird_that_calls_without_a_signature_is_turned_away() {
    let (_lab, us_host, them_host) = hosts();
    let us = Godwit::start(&us_host, &signed(&us_host, "passive = true"));
    let ours = link_local(&us_host, "to-them");
    let _them = Bird::start_with(&them_host, &bird_config(&ours, ""));
    wait_for("it to be refused", || {
        let refused = &peer(&us, "to-them")["counters"]["connections_refused"];
        (refused.as_u64()? > 0).then_some(())
    });
    holds_for(Duration::from_secs(3), "no session", || {
        !is_established(&us, "to-them")
    });
}
