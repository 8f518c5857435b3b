//! What is made of routes besides choosing them, on one switch:
//!
//! ```text
//!   us 10.0.0.1 AS 65000   frr 10.0.0.2 AS 65002   bird 10.0.0.3 AS 65003
//!   raw 10.0.0.4 AS 65004
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen, UPDATE};
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::wait::holds_for;
use godwit_tests::{Host, Lab, attrs, wait_for};
use serde_json::Value;

struct Switched {
    us: Godwit,
    us_host: Host,
    frr: Frr,
    bird: Bird,
    raw_host: Host,
    _lab: Lab,
}

const HEAD: &str = r#"
[router]
asn = 65000
router-id = "10.0.0.1"
multipath-relax = true
"#;

const PEERS: &str = r#"
[peer-group.all]
remote-as = "external"
import = ["accept-all"]
export = ["accept-all"]

[[peer]]
address = "10.0.0.2"
group = "all"

[[peer]]
address = "10.0.0.3"
group = "all"

[[peer]]
address = "10.0.0.4"
group = "all"
passive = true
"#;

impl Switched {
    /// With lines of the `[router]`, then of the `[[peer]]` of the raw speaker
    /// and after.
    fn start(router: &str, more: &str) -> Switched {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [us_host, frr_host, bird_host, raw_host] =
            ["us", "frr", "bird", "raw"].map(|name| lab.host(name));
        for (n, host) in [&us_host, &frr_host, &bird_host, &raw_host]
            .iter()
            .enumerate()
        {
            let (v4, v6) = (
                format!("10.0.0.{}/24", n + 1),
                format!("fd00::{}/64", n + 1),
            );
            lab.plug(host, &[&v4, &v6], &switch);
        }
        let us = Godwit::start(&us_host, &configuration(router, more));
        let spec = |n: u32, prefix: &str| RouterSpec {
            asn: 65000 + n,
            router_id: format!("10.0.0.{n}"),
            neighbours: vec![Neighbour::new("10.0.0.1", 65000)],
            announce: vec![Announce::plain(prefix)],
        };
        let frr = Frr::start(&frr_host, spec(2, "10.2.0.0/24"));
        let bird = Bird::start(&bird_host, spec(3, "10.3.0.0/24"));
        Switched {
            us,
            us_host,
            frr,
            bird,
            raw_host,
            _lab: lab,
        }
    }

    fn established(self) -> Switched {
        self.us.wait_established("10.0.0.2");
        self.us.wait_established("10.0.0.3");
        self
    }

    #[track_caller]
    fn raw(&self) -> Raw {
        let open = RawOpen::new(65004, "10.0.0.4");
        Raw::establish(&self.raw_host, "10.0.0.4", "10.0.0.1", &open)
    }

    /// The attributes of our best path.
    fn best(&self, prefix: &str) -> Option<Value> {
        let shown = self.us.cli(&["-o", "json", "route", "show", prefix]).ok()?;
        let shown: Value = serde_json::from_str(&shown).ok()?;
        let batches = shown["batches"].as_array()?;
        let best = |batch: &&Value| batch["paths"][0]["best"] == true;
        Some(batches.iter().find(best)?["attributes"].clone())
    }
}

fn configuration(router: &str, more: &str) -> String {
    format!("{HEAD}{router}\n{PEERS}{more}")
}

/// Announces prefixes with some more attributes.
fn announce(raw: &mut Raw, prefixes: &[&str], more: &[Vec<u8>]) {
    let mut all = vec![
        attrs::origin(0),
        attrs::as_path(&[65004]),
        attrs::next_hop(Ipv4Addr::new(10, 0, 0, 4)),
    ];
    all.extend(more.iter().cloned());
    let prefixes: Vec<_> = prefixes
        .iter()
        .map(|p| p.parse().expect("a prefix"))
        .collect();
    raw.send_update(&attrs::update(&[], &all, &prefixes));
}

fn withdraw(raw: &mut Raw, prefix: &str) {
    raw.send_update(&attrs::update(
        &[prefix.parse().expect("a prefix")],
        &[],
        &[],
    ));
}

fn communities(value: u32) -> Vec<u8> {
    attrs::attribute(0xc0, 8, &value.to_be_bytes())
}

#[track_caller]
fn gets<R: Router>(router: &R, prefix: &str) -> godwit_tests::router::Seen {
    wait_for(&format!("{prefix} at {}", R::NAME), || router.route(prefix))
}

#[track_caller]
fn loses<R: Router>(router: &R, prefix: &str) {
    wait_for(&format!("{prefix} gone from {}", R::NAME), || {
        router.route(prefix).is_none().then_some(())
    });
}

#[test]
fn an_aggregate_reaches_peers_in_place_of_its_parts_and_theirs_reaches_us() {
    let more = "[[aggregate]]\nprefix = \"10.9.0.0/16\"\nsummary-only = true\n";
    let lab = Switched::start("", more).established();
    let mut raw = lab.raw();
    announce(&mut raw, &["10.9.1.0/24", "10.9.2.0/24"], &[]);
    let seen = gets(&lab.frr, "10.9.0.0/16");
    assert_eq!(seen.as_path, "65000");
    assert_eq!(seen.aggregator.as_deref(), Some("65000 10.0.0.1"));
    assert!(seen.atomic_aggregate);
    gets(&lab.bird, "10.9.0.0/16");
    loses(&lab.frr, "10.9.1.0/24");
    loses(&lab.bird, "10.9.2.0/24");
    wait_for("its blackhole in our kernel", || {
        let routes = lab.us_host.routes("-4", &["type", "blackhole"]);
        routes
            .iter()
            .any(|r| r["dst"] == "10.9.0.0/16")
            .then_some(())
    });
    // Without the aggregate, the parts are told again.
    lab.us.reload(&configuration("", ""));
    gets(&lab.frr, "10.9.1.0/24");
    loses(&lab.frr, "10.9.0.0/16");
    lab.us.reload(&configuration("", more));
    gets(&lab.bird, "10.9.0.0/16");
    loses(&lab.bird, "10.9.1.0/24");
    withdraw(&mut raw, "10.9.1.0/24");
    withdraw(&mut raw, "10.9.2.0/24");
    loses(&lab.frr, "10.9.0.0/16");
    loses(&lab.bird, "10.9.0.0/16");
    lab.frr.configure(&[
        "router bgp 65002",
        "address-family ipv4 unicast",
        "aggregate-address 10.2.0.0/16 summary-only",
    ]);
    let theirs = wait_for("FRR's aggregate", || lab.best("10.2.0.0/16"));
    assert_eq!(theirs["aggregator"]["asn"], 65002);
}

#[test]
fn a_route_added_by_command_gives_way_to_an_aggregate_of_the_file() {
    let lab = Switched::start("", "").established();
    let mut raw = lab.raw();
    announce(&mut raw, &["10.9.1.0/24"], &[]);
    let route = |what: &str| lab.us.cli(&["route", what, "10.9.0.0/16"]);
    route("add").expect("a new route");
    gets(&lab.frr, "10.9.0.0/16");
    let more = "[[aggregate]]\nprefix = \"10.9.0.0/16\"\nsummary-only = true\n";
    lab.us.reload(&configuration("", more));
    wait_for("the aggregate", || {
        lab.frr.route("10.9.0.0/16")?.aggregator.map(drop)
    });
    loses(&lab.frr, "10.9.1.0/24");
    // It is not the command's any more to take back.
    route("remove").expect_err("there is no such route");
    withdraw(&mut raw, "10.9.1.0/24");
    loses(&lab.frr, "10.9.0.0/16");
}

#[test]
fn a_default_route_is_for_one_peer_while_its_condition_holds() {
    let mut text = configuration("", "");
    let frr = "address = \"10.0.0.2\"\n";
    text = text.replace(
        frr,
        &format!("{frr}default-originate = {{ if = \"10.9.0.0/16+\" }}\n"),
    );
    let lab = Switched::start("", "").established();
    lab.us.reload(&text);
    let mut raw = lab.raw();
    holds_for(Duration::from_secs(1), "no default route yet", || {
        lab.frr.route("0.0.0.0/0").is_none()
    });
    announce(&mut raw, &["10.9.1.0/24"], &[]);
    let seen = gets(&lab.frr, "0.0.0.0/0");
    assert_eq!(
        (seen.as_path.as_str(), &*seen.next_hops),
        ("65000", &["10.0.0.1".to_owned()][..])
    );
    assert!(lab.bird.route("0.0.0.0/0").is_none());
    assert!(lab.best("0.0.0.0/0").is_none(), "not in our own table");
    withdraw(&mut raw, "10.9.1.0/24");
    loses(&lab.frr, "0.0.0.0/0");
    // Theirs.
    lab.frr.configure(&[
        "router bgp 65002",
        "address-family ipv4 unicast",
        "neighbor 10.0.0.1 default-originate",
    ]);
    wait_for("FRR's default route", || lab.best("0.0.0.0/0"));
    gets(&lab.bird, "0.0.0.0/0");
}

#[test]
fn a_peer_that_shuts_down_gracefully_is_the_last_choice() {
    let mut lab = Switched::start("", "").established();
    lab.bird.announce(Announce {
        communities: vec![(65535, 0)],
        ..Announce::plain("10.3.1.0/24")
    });
    lab.frr
        .configure(&["router bgp 65002", "bgp graceful-shutdown"]);
    for prefix in ["10.3.1.0/24", "10.2.0.0/24"] {
        wait_for(&format!("LOCAL_PREF 0 on {prefix}"), || {
            (lab.best(prefix)?["local_pref"] == 0).then_some(())
        });
    }
    // Switched off, it is a community as any other.
    let text = configuration("", "").replace(
        "[peer-group.all]\n",
        "[peer-group.all]\ngraceful-shutdown = false\n",
    );
    lab.us.reload(&text);
    wait_for("the usual LOCAL_PREF", || {
        lab.best("10.3.1.0/24")?["local_pref"]
            .is_null()
            .then_some(())
    });
}

#[test]
fn draining_makes_us_the_last_choice_then_silent_with_sessions_up() {
    let lab = Switched::start("", "[[originate]]\nprefix = \"10.1.0.0/24\"\n").established();
    let us: IpAddr = "10.0.0.1".parse().expect("an address");
    gets(&lab.frr, "10.1.0.0/24");
    gets(&lab.bird, "10.1.0.0/24");
    lab.us
        .cli(&["drain", "--no-withdraw"])
        .expect("it can be drained");
    wait_for("graceful-shutdown at both", || {
        let word = lab.frr.route("10.1.0.0/24")?.communities;
        let number = lab.bird.route("10.1.0.0/24")?.communities;
        (word == ["graceful-shutdown"] && number == ["65535:0"]).then_some(())
    });
    // A reload leaves it as it is.
    lab.us.reload(&configuration(
        "",
        "[[originate]]\nprefix = \"10.1.1.0/24\"\n",
    ));
    assert_eq!(
        gets(&lab.frr, "10.1.1.0/24").communities,
        ["graceful-shutdown"]
    );
    let told = lab.us.cli(&["drain", "--wait", "1s"]).expect("again");
    assert!(told.contains("everything is withdrawn"), "{told}");
    loses(&lab.frr, "10.1.1.0/24");
    loses(&lab.bird, "10.2.0.0/24");
    let status = lab.us.cli(&["status"]).unwrap_or_else(|text| text);
    assert!(status.contains("nothing is announced"), "{status}");
    assert!(lab.frr.is_established(us) && lab.bird.is_established(us));
    lab.us.cli(&["undrain"]).expect("and back");
    assert!(gets(&lab.frr, "10.1.1.0/24").communities.is_empty());
    gets(&lab.bird, "10.2.0.0/24");
    assert_eq!(lab.frr.times_established(us), 1);
    assert_eq!(lab.bird.times_established(us), 1);
}

#[test]
fn traffic_is_shared_by_the_link_bandwidths_that_frr_and_another_tell() {
    let lab = Switched::start("", "").established();
    lab.frr.configure(&[
        "route-map wide permit 10",
        "set extcommunity bandwidth 800",
        "exit",
        "router bgp 65002",
        "address-family ipv4 unicast",
        "network 10.9.1.0/24",
        "neighbor 10.0.0.1 route-map wide out",
    ]);
    wait_for("FRR's path", || lab.best("10.9.1.0/24"));
    let mut raw = lab.raw();
    // A quarter of 800 Mbit/s, in octets a second; non-transitive.
    let mut value = vec![0x40, 0x04, 0xfd, 0xec];
    value.extend_from_slice(&25e6_f32.to_be_bytes());
    announce(
        &mut raw,
        &["10.9.1.0/24"],
        &[attrs::attribute(0xc0, 16, &value)],
    );
    let group = || {
        let route = lab.us_host.ip(&["route", "show", "10.9.1.0/24"]);
        let id = route
            .split("nhid ")
            .nth(1)?
            .split_whitespace()
            .next()?
            .to_owned();
        // The route may name another one by now.
        let show = ["ip", "nexthop", "show", "id", &id];
        lab.us_host.run(&show).ok()
    };
    wait_for("shares of 4 to 1", || {
        let shown = group()?;
        // "group 1191182336,4/1191182337": a share of one is not written.
        shown.contains(",4").then_some(())
    });
    lab.us
        .reload(&configuration("link-bandwidth = \"ignore\"\n", ""));
    wait_for("equal shares", || {
        let shown = group()?;
        (shown.contains('/') && !shown.contains(',')).then_some(())
    });
}

#[test]
fn a_blackhole_of_a_peer_that_may_is_dropped_here_and_told_to_nobody() {
    let mut lab = Switched::start("", "blackhole-community = true\n").established();
    let mut raw = lab.raw();
    announce(&mut raw, &["10.9.9.9/32"], &[communities(0xffff_029a)]);
    let dropped = |prefix: &str| {
        let routes = lab.us_host.routes("-4", &["type", "blackhole"]);
        let found = routes.iter().any(|r| r["dst"] == prefix);
        found.then_some(())
    };
    wait_for("a blackhole", || dropped("10.9.9.9"));
    let shown = lab.best("10.9.9.9/32").expect("the path");
    assert_eq!(shown["blackhole"], true);
    let told = shown["communities"]
        .as_array()
        .expect("communities")
        .clone();
    assert!(told.contains(&"no-export".into()), "{told:?}");
    // One who may not.
    lab.bird.announce(Announce {
        communities: vec![(65535, 666)],
        ..Announce::plain("10.9.8.0/24")
    });
    wait_for("a route as any other", || {
        let routes = lab.us_host.routes("-4", &["10.9.8.0/24"]);
        (!routes.is_empty() && routes[0]["type"] != "blackhole").then_some(())
    });
    assert!(lab.frr.route("10.9.9.9/32").is_none());
    withdraw(&mut raw, "10.9.9.9/32");
    wait_for("no blackhole", || {
        dropped("10.9.9.9").is_none().then_some(())
    });
}

#[test]
fn weight_goes_before_a_shorter_path() {
    let lab = Switched::start("", "").established();
    lab.frr.configure(&[
        "route-map long permit 10",
        "set as-path prepend 65002 65002",
        "exit",
        "router bgp 65002",
        "address-family ipv4 unicast",
        "network 10.9.1.0/24 route-map long",
    ]);
    let mut raw = lab.raw();
    announce(&mut raw, &["10.9.1.0/24"], &[]);
    let via = |hop: &str| {
        wait_for(&format!("10.9.1.0/24 by {hop}"), || {
            (lab.best("10.9.1.0/24")?["next_hop"]["address"] == hop).then_some(())
        });
    };
    via("10.0.0.4");
    let frr = "address = \"10.0.0.2\"\n";
    let heavy = configuration("", "").replace(frr, &format!("{frr}weight = 7\n"));
    lab.us.reload(&heavy);
    via("10.0.0.2");
    let us: IpAddr = "10.0.0.1".parse().expect("an address");
    assert_eq!(lab.frr.times_established(us), 1, "in place");
    lab.us.reload(&configuration("", ""));
    via("10.0.0.4");
}

#[test]
fn after_a_start_updates_wait_for_all_peers() {
    let lab = Switched::start("update-delay = \"10m\"\n", "").established();
    wait_for("BIRD's route here", || lab.best("10.3.0.0/24"));
    wait_for("it is in the kernel", || {
        let routes = lab.us_host.routes("-4", &["10.3.0.0/24"]);
        (!routes.is_empty()).then_some(())
    });
    let mut raw = lab.raw();
    announce(&mut raw, &["10.9.1.0/24"], &[]);
    wait_for("the last peer's route", || lab.best("10.9.1.0/24"));
    holds_for(Duration::from_secs(1), "nothing is announced yet", || {
        lab.frr.route("10.3.0.0/24").is_none()
    });
    let status = lab.us.cli(&["status"]).unwrap_or_else(|text| text);
    assert!(status.contains("updates are held back"), "{status}");
    ends_of_rib(&mut raw);
    gets(&lab.frr, "10.3.0.0/24");
    gets(&lab.bird, "10.9.1.0/24");
}

fn ends_of_rib(raw: &mut Raw) {
    raw.send(UPDATE, &[0, 0, 0, 0]).expect("the session is up");
    raw.send_update(&attrs::update(&[], &[attrs::mp_unreach_ipv6(&[])], &[]));
}

#[test]
fn a_peer_that_does_not_come_up_is_not_waited_for() {
    let delays = "update-delay = \"10m\"\nestablish-wait = \"15s\"\n";
    let absent = "[[peer]]\naddress = \"10.0.0.9\"\nremote-as = 65009\n\
        import = [\"accept-all\"]\nexport = [\"accept-all\"]\n";
    let lab = Switched::start(delays, absent);
    ends_of_rib(&mut lab.raw());
    let status = lab.us.cli(&["status"]).unwrap_or_else(|text| text);
    assert!(status.contains("updates are held back"), "{status}");
    let lab = lab.established();
    wait_for("BIRD's route here", || lab.best("10.3.0.0/24"));
    gets(&lab.frr, "10.3.0.0/24");
}
