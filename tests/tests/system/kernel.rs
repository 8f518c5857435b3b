//! What stands in the kernel: ours, and nobody else's.
//!
//! ```text
//!   tor1 10.0.0.2 AS 65001 ── 10.0.0.1 us 10.0.1.1 ── 10.0.1.2 tor2 AS 65002
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use godwit_tests::attrs;
use godwit_tests::child::Daemon;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen, UPDATE};
use godwit_tests::wait::holds_for;
use godwit_tests::{Host, Lab, wait_for};
use ipnet::IpNet;
use serde_json::Value;

const PROTOCOL: &str = "103";
const METRIC: u64 = 10103;

#[derive(Debug)]
struct Racked {
    us: Godwit,
    us_host: Host,
    tors: [Host; 2],
    lab: Lab,
}

impl Racked {
    fn start() -> Racked {
        Racked::start_with("")
    }

    /// With lines for our `[fib]` section.
    fn start_with(fib_lines: &str) -> Racked {
        let lab = Lab::new();
        let [us_host, tor1, tor2] = ["us", "tor1", "tor2"].map(|name| lab.host(name));
        for (n, tor) in [&tor1, &tor2].into_iter().enumerate() {
            lab.link(
                &us_host,
                &[&format!("10.0.{n}.1/24"), &format!("fd00:{n}::1/64")],
                tor,
                &[&format!("10.0.{n}.2/24"), &format!("fd00:{n}::2/64")],
            );
        }
        let us = Godwit::start(&us_host, &configuration(fib_lines));
        Racked {
            us,
            us_host,
            tors: [tor1, tor2],
            lab,
        }
    }

    /// The session of ToR 0 or 1.
    #[track_caller]
    fn tor(&self, n: usize) -> Raw {
        let (local, remote) = (format!("10.0.{n}.2"), format!("10.0.{n}.1"));
        let open = RawOpen::new(tor_asn(n), &local);
        Raw::establish(&self.tors[n], &local, &remote, &open)
    }

    #[track_caller]
    fn wait_hops(&self, prefix: &str, gateways: &[&str]) {
        wait_for(&format!("{prefix} in the kernel by {gateways:?}"), || {
            (hops(&self.us_host, prefix) == gateways).then_some(())
        });
    }
}

fn configuration(fib_lines: &str) -> String {
    format!(
        r#"
[router]
asn = 64512
router-id = "10.0.0.1"
multipath-relax = true

[fib]
{fib_lines}

[[originate]]
prefix = "192.0.2.0/26"
blackhole = true

[peer-group.tor]
remote-as = "external"
passive = true
import = ["accept-all"]
export = ["accept-all"]

[[peer]]
address = "10.0.0.2"
group = "tor"

[[peer]]
address = "10.0.1.2"
group = "tor"
"#
    )
}

fn tor_asn(n: usize) -> u32 {
    65001 + u32::try_from(n).expect("two of them")
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn announce(raw: &mut Raw, n: usize, prefix: &str) {
    let prefix = net(prefix);
    let mut all = vec![attrs::origin(0), attrs::as_path(&[tor_asn(n), 65100])];
    let body = match prefix {
        IpNet::V4(_) => {
            let third = u8::try_from(n).expect("two of them");
            all.push(attrs::next_hop(Ipv4Addr::new(10, 0, third, 2)));
            attrs::update(&[], &all, &[prefix])
        }
        IpNet::V6(_) => {
            let hop = format!("fd00:{n}::2").parse().expect("an address");
            all.push(attrs::mp_reach_ipv6(hop, &[prefix]));
            attrs::update(&[], &all, &[])
        }
    };
    raw.send_update(&body);
}

fn withdraw(raw: &mut Raw, prefix: &str) {
    let prefix = net(prefix);
    raw.send_update(&match prefix {
        IpNet::V4(_) => attrs::update(&[prefix], &[], &[]),
        IpNet::V6(_) => attrs::update(&[], &[attrs::mp_unreach_ipv6(&[prefix])], &[]),
    });
}

/// End-of-RIB of both families (RFC 4724 §2).
fn end_of_rib(raw: &mut Raw) {
    raw.send(UPDATE, &[0, 0, 0, 0]).expect("the session is up");
    raw.send_update(&attrs::update(&[], &[attrs::mp_unreach_ipv6(&[])], &[]));
}

/// Our kernel route of a prefix.
fn kernel_route(host: &Host, prefix: &str) -> Option<Value> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    host.routes(family, &["proto", PROTOCOL])
        .into_iter()
        .find(|route| route["dst"] == prefix)
}

/// Gateways of our kernel route of a prefix, sorted, whether the kernel shows
/// them with the route or by a nexthop object.
fn hops(host: &Host, prefix: &str) -> Vec<String> {
    let Some(route) = kernel_route(host, prefix) else {
        return Vec::new();
    };
    let mut found = gateways(&route);
    if found.is_empty()
        && let Some(id) = route["nhid"].as_u64()
    {
        let group = nexthop(host, id);
        found = match group["group"].as_array() {
            Some(members) => members
                .iter()
                .filter_map(|member| member["id"].as_u64())
                .flat_map(|id| gateways(&nexthop(host, id)))
                .collect(),
            None => gateways(&group),
        };
    }
    found.sort();
    found.dedup();
    found
}

fn gateways(value: &Value) -> Vec<String> {
    let many = value["nexthops"].as_array().into_iter().flatten();
    many.chain([value])
        .filter_map(|hop| hop["gateway"].as_str())
        .map(str::to_owned)
        .collect()
}

fn nexthop(host: &Host, id: u64) -> Value {
    // It may be replaced while we look.
    let shown = host
        .run(&["ip", "-j", "nexthop", "show", "id", &id.to_string()])
        .unwrap_or_default();
    let mut all: Value = serde_json::from_str(&shown).unwrap_or_default();
    all.get_mut(0).map(Value::take).unwrap_or_default()
}

#[test]
fn routes_of_both_families_arrive_with_our_protocol_and_metric() {
    let lab = Racked::start();
    let mut tor = lab.tor(0);
    announce(&mut tor, 0, "10.50.0.0/24");
    announce(&mut tor, 0, "fd50::/64");
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2"]);
    lab.wait_hops("fd50::/64", &["fd00::2"]);
    for prefix in ["10.50.0.0/24", "fd50::/64"] {
        let route = kernel_route(&lab.us_host, prefix).expect("just seen");
        assert_eq!(route["metric"], METRIC);
    }
}

#[test]
fn a_withdrawn_route_leaves_the_kernel() {
    let lab = Racked::start();
    let mut tor = lab.tor(0);
    for prefix in ["10.50.0.0/24", "fd50::/64"] {
        announce(&mut tor, 0, prefix);
        lab.wait_hops(
            prefix,
            &[if prefix.contains(':') {
                "fd00::2"
            } else {
                "10.0.0.2"
            }],
        );
        withdraw(&mut tor, prefix);
        wait_for("the route to go", || {
            kernel_route(&lab.us_host, prefix).is_none().then_some(())
        });
    }
}

#[test]
fn routes_of_a_session_that_ends_leave_the_kernel() {
    let lab = Racked::start();
    let mut tor = lab.tor(0);
    announce(&mut tor, 0, "10.50.0.0/24");
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2"]);
    drop(tor);
    wait_for("the route to go", || {
        kernel_route(&lab.us_host, "10.50.0.0/24")
            .is_none()
            .then_some(())
    });
}

#[test]
fn two_tors_of_different_as_share_the_traffic() {
    let lab = Racked::start();
    let (mut one, mut two) = (lab.tor(0), lab.tor(1));
    announce(&mut one, 0, "10.50.0.0/24");
    announce(&mut two, 1, "10.50.0.0/24");
    announce(&mut one, 0, "fd50::/64");
    announce(&mut two, 1, "fd50::/64");
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2", "10.0.1.2"]);
    lab.wait_hops("fd50::/64", &["fd00:1::2", "fd00::2"]);
    withdraw(&mut one, "10.50.0.0/24");
    lab.wait_hops("10.50.0.0/24", &["10.0.1.2"]);
}

#[test]
fn a_lost_link_leaves_the_other_tor() {
    let lab = Racked::start();
    let (mut one, mut two) = (lab.tor(0), lab.tor(1));
    announce(&mut one, 0, "10.50.0.0/24");
    announce(&mut two, 1, "10.50.0.0/24");
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2", "10.0.1.2"]);
    // Carrier goes at our end as at a pulled cable.
    lab.tors[0].ip(&["link", "set", "to-us", "down"]);
    lab.wait_hops("10.50.0.0/24", &["10.0.1.2"]);
}

#[test]
fn an_originated_prefix_is_a_blackhole() {
    let lab = Racked::start();
    let route = wait_for("our blackhole", || {
        kernel_route(&lab.us_host, "192.0.2.0/26")
    });
    assert_eq!(route["type"], "blackhole");
}

#[test]
fn a_connected_prefix_is_never_installed() {
    let lab = Racked::start();
    let mut tor = lab.tor(0);
    announce(&mut tor, 0, "10.0.1.0/24");
    announce(&mut tor, 0, "10.50.0.0/24");
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2"]);
    assert_eq!(kernel_route(&lab.us_host, "10.0.1.0/24"), None);
}

/// Foreign routes of the prefix that we install too: at another metric, and at
/// the very one that we use.
#[test]
fn foreign_routes_are_left_alone() {
    for metric in ["50", "10103"] {
        let lab = Racked::start();
        let foreign = [
            "10.50.0.0/24",
            "via",
            "10.0.1.2",
            "metric",
            metric,
            "proto",
            "static",
        ];
        lab.us_host.ip(&[&["route", "add"], &foreign[..]].concat());
        let before = lab.us_host.routes("-4", &["proto", "static"]);
        let mut tor = lab.tor(0);
        announce(&mut tor, 0, "10.50.0.0/24");
        announce(&mut tor, 0, "10.51.0.0/24");
        lab.wait_hops("10.51.0.0/24", &["10.0.0.2"]);
        assert_eq!(lab.us_host.routes("-4", &["proto", "static"]), before);
        withdraw(&mut tor, "10.50.0.0/24");
        withdraw(&mut tor, "10.51.0.0/24");
        wait_for("ours to go", || {
            kernel_route(&lab.us_host, "10.51.0.0/24")
                .is_none()
                .then_some(())
        });
        assert_eq!(lab.us_host.routes("-4", &["proto", "static"]), before);
    }
}

#[test]
fn a_crash_leaves_routes_in_place_and_a_restart_adopts_and_sweeps_them() {
    let mut lab = Racked::start();
    let mut tor = lab.tor(0);
    for prefix in ["10.50.0.0/24", "10.51.0.0/24", "fd50::/64", "fd51::/64"] {
        announce(&mut tor, 0, prefix);
    }
    lab.wait_hops("10.51.0.0/24", &["10.0.0.2"]);
    lab.wait_hops("fd51::/64", &["fd00::2"]);
    let monitor = Daemon::start(
        "ip monitor",
        &lab.us_host.namespace,
        &["ip", "monitor", "route"],
        &lab.lab.dir().join("monitor.log"),
    );
    lab.us.process().kill();
    assert_eq!(hops(&lab.us_host, "10.50.0.0/24"), ["10.0.0.2"]);
    drop(tor);
    lab.us.start_again();
    let mut tor = lab.tor(0);
    announce(&mut tor, 0, "10.50.0.0/24");
    announce(&mut tor, 0, "fd50::/64");
    assert_eq!(
        hops(&lab.us_host, "10.51.0.0/24"),
        ["10.0.0.2"],
        "nothing is swept before End-of-RIB"
    );
    end_of_rib(&mut tor);
    // The other ToR has nothing to say, but its End-of-RIB is waited for.
    let mut other = lab.tor(1);
    end_of_rib(&mut other);
    for prefix in ["10.51.0.0/24", "fd51::/64"] {
        wait_for("what nobody reclaimed to go", || {
            kernel_route(&lab.us_host, prefix).is_none().then_some(())
        });
    }
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2"]);
    lab.wait_hops("fd50::/64", &["fd00::2"]);
    let log = monitor.log();
    for prefix in ["10.50.0.0/24", "fd50::/64"] {
        assert!(!log.contains(&format!("Deleted {prefix}")), "{log}");
    }
}

#[test]
fn on_stop_keep_leaves_our_routes() {
    let mut lab = Racked::start_with("on-stop = \"keep\"");
    let mut tor = lab.tor(0);
    announce(&mut tor, 0, "10.50.0.0/24");
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2"]);
    lab.us.process().terminate();
    holds_for(Duration::from_millis(500), "the route is kept", || {
        hops(&lab.us_host, "10.50.0.0/24") == ["10.0.0.2"]
    });
}

#[test]
fn on_stop_remove_takes_all_of_ours_and_nothing_else() {
    let mut lab = Racked::start_with("on-stop = \"remove\"");
    lab.us_host.ip(&[
        "route",
        "add",
        "10.60.0.0/24",
        "via",
        "10.0.1.2",
        "proto",
        "static",
    ]);
    let mut tor = lab.tor(0);
    announce(&mut tor, 0, "10.50.0.0/24");
    announce(&mut tor, 0, "fd50::/64");
    lab.wait_hops("10.50.0.0/24", &["10.0.0.2"]);
    lab.wait_hops("fd50::/64", &["fd00::2"]);
    lab.us.process().terminate();
    for family in ["-4", "-6"] {
        assert_eq!(
            lab.us_host.routes(family, &["proto", PROTOCOL]),
            [Value::Null; 0]
        );
    }
    assert_eq!(lab.us_host.routes("-4", &["proto", "static"]).len(), 1);
    let nexthops = lab.us_host.ip(&["nexthop", "show"]);
    assert!(!nexthops.contains("proto 103"), "{nexthops}");
}

const HEAD: &str = r#"
[router]
asn = 64512
router-id = "10.0.0.1"
multipath-relax = true
"#;

/// Three external and three internal neighbours on one link, of which any three
/// are of equal merit.
fn six_neighbours(max_paths: &str) -> String {
    let mut text = format!("{HEAD}{max_paths}\n");
    for n in 2..8 {
        let kind = if n < 5 { "external" } else { "internal" };
        text += &format!(
            "[[peer]]\naddress = \"10.0.0.{n}\"\nremote-as = \"{kind}\"\npassive = true\n\
             import = [\"accept-all\"]\nexport = [\"reject-all\"]\n"
        );
    }
    text
}

#[test]
fn a_route_has_at_most_as_many_hops_as_max_paths_of_its_kind() {
    let lab = Lab::new();
    let (us_host, them) = (lab.host("us"), lab.host("them"));
    let theirs: Vec<String> = (2..8).map(|n| format!("10.0.0.{n}/24")).collect();
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
    lab.link(&us_host, &["10.0.0.1/24"], &them, &theirs);
    let us = Godwit::start(&us_host, &six_neighbours(""));
    let mut sessions = Vec::new();
    for n in 2..8 {
        let local = format!("10.0.0.{n}");
        let asn = if n < 5 { 65000 + n } else { 64512 };
        let mut raw = Raw::establish(&them, &local, "10.0.0.1", &RawOpen::new(asn, &local));
        let mut all = vec![attrs::origin(0)];
        let prefix = if n < 5 {
            all.push(attrs::as_path(&[asn, 65100]));
            "10.50.0.0/24"
        } else {
            all.push(attrs::as_path(&[65100]));
            "10.60.0.0/24"
        };
        all.push(attrs::next_hop(local.parse().expect("an address")));
        if n >= 5 {
            all.push(attrs::local_pref(100));
        }
        raw.send_update(&attrs::update(&[], &all, &[net(prefix)]));
        sessions.push(raw);
    }
    let wait = |external: &[&str], internal: &[&str]| {
        for (prefix, wanted) in [("10.50.0.0/24", external), ("10.60.0.0/24", internal)] {
            wait_for(&format!("{prefix} in the kernel by {wanted:?}"), || {
                (hops(&us_host, prefix) == wanted).then_some(())
            });
        }
    };
    let external = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
    let internal = ["10.0.0.5", "10.0.0.6", "10.0.0.7"];
    wait(&external, &internal);
    let reload = |max_paths| us.reload(&six_neighbours(max_paths));
    reload("max-paths = 2");
    wait(&external[..2], &internal[..2]);
    reload("max-paths-external = 1");
    wait(&external[..1], &internal);
    reload("max-paths = 1\nmax-paths-internal = 3");
    wait(&external[..1], &internal);
    reload("max-paths = 3\nmax-paths-internal = 1");
    wait(&external, &internal[..1]);
}
