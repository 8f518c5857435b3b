//! What policy sets where others than a peer's table show it: the kernel's
//! routes, next hops on a shared subnet, communities of RFC 5701.

use godwit_tests::bird::Bird;
use godwit_tests::exabgp::Exabgp;
use godwit_tests::godwit::Godwit;
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::{Host, Lab, wait_for};
use serde_json::Value;

use crate::duo::{Duo, OUR_IPV4, Options, THEM, configuration};
use crate::transport::{self, Pair, Place};

const KERNEL: &str = r#"
[policy.prefix-set]
apart = ["10.9.1.0/24", "fd09:1::/64"]
dear = ["10.9.2.0/24"]
from = ["10.9.3.0/24", "fd09:3::/64"]
dropped = ["10.9.4.0/24"]
[[policy.route.in]]
match = { prefix-set = "apart" }
set = { kernel-table = 77 }
[[policy.route.in]]
match = { prefix-set = "dear" }
set = { kernel-metric = 4321 }
[[policy.route.in]]
match = { prefix-set = "from" }
set = { preferred-source = ["10.0.0.88", "fd00::88"] }
[[policy.route.in]]
match = { prefix-set = "dropped" }
set = { blackhole = true }
[[policy.route.in]]
then = "accept"
"#;

/// The kernel's route to a prefix in a table.
fn held(host: &Host, table: &str, prefix: &str) -> Option<Value> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    // A table without a route is none to ask for.
    let routes = host.routes(family, &["table", "all", "exact", prefix]);
    let of = |route: &Value| route["table"].as_str().unwrap_or("main") == table;
    routes.into_iter().find(of)
}

/// The same, once there is one.
fn route(host: &Host, table: &str, prefix: &str) -> Value {
    wait_for(&format!("{prefix} in table {table}"), || {
        held(host, table, prefix)
    })
}

#[test]
fn table_metric_source_and_blackhole_are_the_kernels() {
    let mut pair: Pair<Bird> = Pair::start(Place::Link4, "[[peer]]\nTHEM", |_| {});
    let host = &pair.us_host;
    host.ip(&["addr", "add", "10.0.0.88/32", "dev", "lo"]);
    host.ip(&["addr", "add", "fd00::88/128", "dev", "lo", "nodad"]);
    for prefix in ["10.9.1.0/24", "10.9.2.0/24", "10.9.3.0/24", "10.9.4.0/24"] {
        pair.them.announce(Announce::plain(prefix));
    }
    pair.them.announce(Announce::plain("fd09:1::/64"));
    pair.them.announce(Announce::plain("fd09:3::/64"));
    pair.comes_up();
    let plain = route(host, "main", "10.9.1.0/24");
    route(host, "main", "fd09:3::/64");
    let text = transport::configuration(Place::Link4, host, "[[peer]]\nTHEM");
    let text = text.replace("import = [\"accept-all\"]", "import = [\"in\"]");
    pair.us.reload(&(text + KERNEL));
    let apart = route(host, "77", "10.9.1.0/24");
    assert_eq!(apart["metric"], plain["metric"], "{apart}");
    route(host, "77", "fd09:1::/64");
    for prefix in ["10.9.1.0/24", "fd09:1::/64"] {
        wait_for("no such route in the main table", || {
            held(host, "main", prefix).is_none().then_some(())
        });
    }
    let is = |prefix: &str, key: &str, value: Value| {
        wait_for(&format!("{prefix} with {key} {value}"), || {
            (route(host, "main", prefix)[key] == value).then_some(())
        });
    };
    is("10.9.2.0/24", "metric", 4321.into());
    is("10.9.3.0/24", "prefsrc", "10.0.0.88".into());
    is("fd09:3::/64", "prefsrc", "fd00::88".into());
    is("10.9.4.0/24", "type", "blackhole".into());
    // And back, in place.
    pair.reload("[[peer]]\nTHEM");
    is("10.9.1.0/24", "metric", plain["metric"].clone());
    is("10.9.2.0/24", "metric", plain["metric"].clone());
    is("10.9.3.0/24", "prefsrc", Value::Null);
    is("10.9.4.0/24", "type", Value::Null);
    for prefix in ["10.9.1.0/24", "fd09:1::/64"] {
        wait_for("no such route in table 77", || {
            held(host, "77", prefix).is_none().then_some(())
        });
    }
}

/// On one subnet with us two BIRDs: the first announces, the second is told.
struct Hops {
    us: Godwit,
    told: Bird,
    _first: Bird,
    _lab: Lab,
}

const PREFIX: &str = "10.9.0.0/24";

fn hops_config(set: &str) -> String {
    format!(
        "[router]\nasn = 65001\nrouter-id = \"10.0.0.1\"\n[fib]\nenabled = false\n\
         [[policy.route.out]]\n{set}then = \"accept\"\n\
         [peer-group.all]\nremote-as = \"external\"\nimport = [\"accept-all\"]\nexport = [\"out\"]\n\
         [[peer]]\naddress = \"10.0.0.2\"\ngroup = \"all\"\n\
         [[peer]]\naddress = \"10.0.0.3\"\ngroup = \"all\"\n"
    )
}

impl Hops {
    fn start() -> Hops {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let plugged = |n: u32, name: &str| {
            let host = lab.host(name);
            let addresses = [format!("10.0.0.{n}/24"), format!("fd00::{n}/64")];
            lab.plug(&host, &addresses.each_ref().map(String::as_str), &switch);
            host
        };
        let us = Godwit::start(&plugged(1, "us"), &hops_config(""));
        let bird = |n: u32, announce| {
            let spec = RouterSpec {
                asn: 65000 + n,
                router_id: format!("10.0.0.{n}"),
                neighbours: vec![Neighbour::new("10.0.0.1", 65001)],
                announce,
            };
            Bird::start(&plugged(n, &format!("bird{n}")), spec)
        };
        Hops {
            _first: bird(2, vec![Announce::plain(PREFIX)]),
            told: bird(3, Vec::new()),
            us,
            _lab: lab,
        }
    }

    fn sees(&self, hop: &str) {
        wait_for(&format!("{PREFIX} by {hop}"), || {
            (self.told.route(PREFIX)?.next_hops == [hop]).then_some(())
        });
    }
}

#[test]
fn a_next_hop_is_ours_the_peers_or_another_as_policy_says() {
    let hops = Hops::start();
    // Of a third party on the same subnet, as RFC 4271 has it.
    hops.sees("10.0.0.2");
    for (next_hop, seen) in [
        ("self", "10.0.0.1"),
        ("10.0.0.77", "10.0.0.77"),
        ("peer-address", "10.0.0.1"),
    ] {
        let set = format!("set = {{ next-hop = \"{next_hop}\" }}\n");
        hops.us.reload(&hops_config(&set));
        hops.sees(seen);
    }
    hops.us.reload(&hops_config(""));
    hops.sees("10.0.0.2");
}

#[test]
fn on_import_the_peers_address_takes_the_place_of_a_third_partys() {
    let policy = |next_hop: &str| Options {
        they_announce: Vec::new(),
        peer_lines: "import = [\"in\"]\nexport = [\"accept-all\"]\n".into(),
        sections: format!(
            "[[policy.route.in]]\nset = {{ next-hop = \"{next_hop}\" }}\nthen = \"accept\"\n"
        ),
        ..Options::default()
    };
    let duo: Duo<Exabgp> = Duo::start(policy("peer-address"));
    duo.us.wait_established(THEM);
    duo.them
        .tell("announce route 10.9.0.0/24 next-hop 10.0.0.77");
    let by = |hop: &str| {
        wait_for(&format!("10.9.0.0/24 by {hop}"), || {
            let shown = duo.us.cli(&["-o", "json", "route", "show", "10.9.0.0/24"]);
            let shown: Value = serde_json::from_str(&shown.ok()?).ok()?;
            (shown["batches"][0]["attributes"]["next_hop"]["address"] == hop).then_some(())
        });
    };
    by(THEM);
    duo.us.reload(&configuration(&policy("10.0.0.78")));
    by("10.0.0.78");
}

/// RFC 5701: what ExaBGP has no words for it takes and shows as octets.
#[test]
fn ipv6_extended_communities_are_matched_set_and_replaced() {
    let duo: Duo<Exabgp> = Duo::start(Options {
        they_announce: Vec::new(),
        peer_lines: "import = [\"in\"]\nexport = [\"out\"]\n".into(),
        sections: r#"
[[policy.route.in]]
match = { community = "rt:[2001:db8::1]:7" }
set = { community-add = "soo:[2001:db8::2]:9", local-pref = 300 }
then = "accept"
[[policy.route.in]]
match = { community = "rt:[2001:db8::3]:7" }
set = { community-set = "rt:[2001:db8::4]:1" }
then = "accept"
[[policy.route.out]]
match = { source = "local" }
set = { community-set = ["rt:[2001:db8::5]:6", "64512:1"] }
then = "accept"
"#
        .into(),
        ..Options::default()
    });
    duo.us.wait_established(THEM);
    let target = |last: u32| format!("0x000220010db8{}{last:04x}0007", "0000".repeat(5));
    for (prefix, last) in [("10.9.1.0/24", 1), ("10.9.3.0/24", 3), ("10.9.6.0/24", 6)] {
        duo.them.tell(&format!(
            "announce route {prefix} next-hop self attribute [ 0x19 0xc0 {} ]",
            target(last)
        ));
    }
    let carried = |prefix: &str| {
        wait_for(prefix, || {
            let shown = duo.us.cli(&["-o", "json", "route", "show", prefix]);
            let shown: Value = serde_json::from_str(&shown.ok()?).ok()?;
            let attributes = shown["batches"][0]["attributes"].clone();
            let all = attributes["ipv6_extended_communities"].clone();
            (!all.is_null()).then_some(all)
        })
    };
    assert_eq!(
        carried("10.9.1.0/24"),
        serde_json::json!(["rt:[2001:db8::1]:7", "soo:[2001:db8::2]:9"])
    );
    assert_eq!(
        carried("10.9.3.0/24"),
        serde_json::json!(["rt:[2001:db8::4]:1"])
    );
    let rejected = || {
        let list = duo
            .us
            .json(&["route", "list", "--peer", THEM, "--rejected"]);
        godwit_tests::godwit::prefixes(&list)
    };
    wait_for("the other to be rejected", || {
        rejected().contains(&"10.9.6.0/24".to_owned()).then_some(())
    });
    let ours = wait_for("our route there", || duo.them.attributes(OUR_IPV4));
    // Of a number it shows no zeros in front.
    let octets = "20010db80000000000000000000000050006";
    assert!(ours.to_string().to_lowercase().contains(octets), "{ours:#}");
    assert_eq!(
        duo.them.route(OUR_IPV4).map(|seen| seen.communities),
        Some(vec!["64512:1".to_owned()])
    );
}
