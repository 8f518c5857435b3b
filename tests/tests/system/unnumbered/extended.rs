//! A numbered IPv6 session on a link without IPv4: packets of IPv4 pass all the
//! same. A third router does not know RFC 8950.
//!
//! ```text
//!   them 10.9.0.1 AS 65002 ── fd00:1::2 ~ fd00:1::1 ── us 10.8.0.1 AS 65001 ── 10.0.1.1 ~ 10.0.1.2 ── old AS 65003
//! ```

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::router::{Announce, Neighbour, Router as _, RouterSpec};
use godwit_tests::{Host, Lab, wait_for};

const US: &str = "
[router]
asn = 65001
router-id = \"1.1.1.1\"

[[originate]]
prefix = \"10.8.0.1/32\"

[peer-group.all]
remote-as = \"external\"
import = [\"accept-all\"]
export = [\"accept-all\"]

[[peer]]
address = \"fd00:1::2\"
group = \"all\"
extended-next-hop = true

[[peer]]
address = \"10.0.1.2\"
group = \"all\"
";

struct Hosts {
    us: Host,
    them: Host,
    old: Host,
    _lab: Lab,
}

fn hosts() -> Hosts {
    let lab = Lab::new();
    let [us, them, old] = ["us", "them", "old"].map(|name| lab.host(name));
    us.ip(&["addr", "add", "10.8.0.1/32", "dev", "lo"]);
    them.ip(&["addr", "add", "10.9.0.1/32", "dev", "lo"]);
    lab.link(&us, &["fd00:1::1/64"], &them, &["fd00:1::2/64"]);
    lab.link(&us, &["10.0.1.1/24"], &old, &["10.0.1.2/24"]);
    Hosts {
        us,
        them,
        old,
        _lab: lab,
    }
}

/// The routes pass both ways, a ping with them, and the third router gets our
/// own IPv4 address instead of the next hop that it could not read.
fn passes_packets(hosts: &Hosts, us: &Godwit) {
    let old = Bird::start(
        &hosts.old,
        RouterSpec {
            asn: 65003,
            router_id: "3.3.3.3".into(),
            neighbours: vec![Neighbour {
                ipv6: false,
                ..Neighbour::new("10.0.1.1", 65001)
            }],
            announce: vec![Announce::plain("10.7.0.0/24")],
        },
    );
    us.wait_established("fd00:1::2");
    wait_for("a ping over the link without IPv4", || {
        let ping = ["ping", "-nqc1", "-W1", "-I", "10.8.0.1", "10.9.0.1"];
        hosts.us.run(&ping).ok()
    });
    let route = hosts.us.ip(&["route", "get", "10.9.0.1"]);
    assert!(route.contains("via inet6 f"), "{route}");
    let shown = us.cli(&["peer", "show", "fd00:1::2"]).unwrap();
    assert!(shown.contains("IPv4 over IPv6 next hops"), "{shown}");
    wait_for("the old router to have the route by us", || {
        let seen = old.route("10.9.0.1/32")?;
        (seen.next_hops == ["10.0.1.1"]).then_some(())
    });
    let gone = || {
        hosts
            .us
            .routes("-4", &["10.9.0.1/32"])
            .is_empty()
            .then_some(())
    };
    assert!(gone().is_none());
    hosts.them.ip(&["link", "set", "to-us", "down"]);
    wait_for("the route to go with its link", gone);
    wait_for("the old router to lose it", || {
        old.route("10.9.0.1/32").is_none().then_some(())
    });
}

#[test]
fn bird_passes_ipv4_over_ipv6_next_hops() {
    let hosts = hosts();
    let _them = Bird::start_with(
        &hosts.them,
        "log stderr all; router id 2.2.2.2; debug protocols { states, events };
         protocol device { scan time 1; }
         protocol direct { ipv4; interface \"lo\"; }
         protocol kernel { ipv4 { export where source = RTS_BGP; }; }
         protocol bgp godwit { local as 65002; neighbor fd00:1::1 as 65001; direct;
           connect delay time 1; connect retry time 1; error wait time 1, 2;
           ipv4 { extended next hop on; import all; export all; };
           ipv6 { import all; export all; }; }",
    );
    let us = Godwit::start(&hosts.us, US);
    passes_packets(&hosts, &us);
}

#[test]
fn frr_passes_ipv4_over_ipv6_next_hops() {
    let hosts = hosts();
    let _them = Frr::start_with(
        &hosts.them,
        "router bgp 65002
          bgp router-id 2.2.2.2
          no bgp ebgp-requires-policy
          neighbor fd00:1::1 remote-as 65001
          neighbor fd00:1::1 timers connect 1
          neighbor fd00:1::1 capability extended-nexthop
          address-family ipv4 unicast
           neighbor fd00:1::1 activate
           network 10.9.0.1/32
          exit-address-family
          address-family ipv6 unicast
           neighbor fd00:1::1 activate
          exit-address-family",
    );
    let us = Godwit::start(&hosts.us, US);
    passes_packets(&hosts, &us);
}
