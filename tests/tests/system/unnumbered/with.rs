//! With each of the others at the other end of the link.
//!
//! ```text
//!   us 10.8.0.1 fd00:8::1 AS 65001 ── no addresses ── them 10.9.0.1 fd00:9::1 AS 65002
//! ```

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::router::Router as _;
use godwit_tests::{Host, Lab, wait_for};

use super::{is_established, link_local, peer, wait_established, wait_ping};

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
