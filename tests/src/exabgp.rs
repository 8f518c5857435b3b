//! ExaBGP 4: it has no table, it tells what it hears and says what it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::child::{Daemon, require};
use crate::lab::Host;
use crate::router::{Announce, Router, RouterSpec, Seen};
use crate::wait::wait_for;

/// What is read from ExaBGP, a JSON object a line, and what it is told.
const HEARD: &str = "exabgp.heard";
const TOLD: &str = "exabgp.told";

/// Between ExaBGP and the two files. A command in the background would read
/// from nowhere: its standard input has to be kept aside.
const FEED: &str = "exec 3<&0\ncat <&3 >>\"$1\" &\nexec tail -n +1 -F \"$2\" 2>/dev/null\n";

#[derive(Debug)]
pub struct Exabgp {
    host: Host,
    spec: RouterSpec,
    process: Daemon,
}

impl Exabgp {
    /// Gives it a line of its API.
    pub fn tell(&self, line: &str) {
        let mut file = fs::File::options()
            .append(true)
            .open(self.file(TOLD))
            .expect("made at the start");
        writeln!(file, "{line}").expect("a file of ours");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.host.dir().join(name)
    }

    /// All that it said of a neighbour so far, oldest first.
    fn heard(&self, neighbour: Option<IpAddr>) -> Vec<Value> {
        let text = fs::read_to_string(self.file(HEARD)).unwrap_or_default();
        let of_it = |event: &Value| {
            neighbour.is_none_or(|n| event["neighbor"]["address"]["peer"] == n.to_string())
        };
        text.lines()
            // The last line may be half written.
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(of_it)
            .collect()
    }

    fn count(&self, neighbour: IpAddr, which: impl Fn(&Value) -> bool) -> u64 {
        let heard = self.heard(Some(neighbour));
        heard.iter().filter(|event| which(event)).count() as u64
    }

    /// The attributes of the last announcement of a prefix, as it tells them.
    pub fn attributes(&self, prefix: &str) -> Option<Value> {
        let heard = self.heard(None);
        let updates = heard.iter().rev();
        updates
            .map(|event| &event["neighbor"]["message"]["update"])
            .find(|update| {
                let announced = values(&update["announce"]).flat_map(values);
                announced.flat_map(prefixes).any(|one| one == prefix)
            })
            .map(|update| update["attribute"].clone())
    }

    /// What its neighbours announce now, by prefix.
    fn table(&self) -> BTreeMap<String, Seen> {
        let mut table = BTreeMap::new();
        for event in self.heard(None) {
            if event["type"] == "state" && event["neighbor"]["state"] != "up" {
                table.clear();
            }
            let update = &event["neighbor"]["message"]["update"];
            for routes in values(&update["withdraw"]) {
                for prefix in prefixes(routes) {
                    table.remove(&prefix);
                }
            }
            for by_next_hop in values(&update["announce"]) {
                // An IPv6 next hop with its link-local address is two entries.
                let hops: Vec<String> = by_next_hop
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(hop, _)| hop.clone())
                    .collect();
                for prefix in values(by_next_hop).flat_map(prefixes) {
                    table.insert(prefix, parse(&update["attribute"], &hops));
                }
            }
        }
        table
    }

    fn announced(&self, route: &Announce, verb: &str) {
        let hop = if route.is_ipv6() {
            self.host.ipv6_address()
        } else {
            "self".to_owned()
        };
        let mut line = format!("{verb} route {} next-hop {hop}", route.prefix);
        let mut option = |name: &str, all: Vec<String>| {
            if !all.is_empty() {
                write!(line, " {name} [ {} ]", all.join(" ")).expect("a string");
            }
        };
        if !route.as_path.is_empty() {
            // What is given replaces the whole path, our own number too.
            let whole = std::iter::once(&self.spec.asn).chain(&route.as_path);
            option("as-path", whole.map(u32::to_string).collect());
        }
        let pairs = route.communities.iter().map(|(a, b)| format!("{a}:{b}"));
        option("community", pairs.collect());
        let large = route.large.iter().map(|(a, b, c)| format!("{a}:{b}:{c}"));
        option("large-community", large.collect());
        let targets = route.route_targets.iter();
        let targets = targets.map(|(a, b)| format!("target:{a}:{b}"));
        option("extended-community", targets.collect());
        if let Some(med) = route.med {
            write!(line, " med {med}").expect("a string");
        }
        self.tell(&line);
    }
}

impl Router for Exabgp {
    const NAME: &'static str = "exabgp";

    fn start(host: &Host, spec: RouterSpec) -> Exabgp {
        require("exabgp", "exabgp");
        for (name, text) in [(HEARD, ""), (TOLD, ""), ("feed.sh", FEED)] {
            host.write(name, text);
        }
        host.write("exabgp.conf", &configuration(host, &spec));
        let process = launch(host, &spec);
        let exabgp = Exabgp {
            host: host.clone(),
            spec,
            process,
        };
        let all = &exabgp.spec.announce;
        all.iter().for_each(|r| exabgp.announced(r, "announce"));
        exabgp
    }

    fn process(&mut self) -> &mut Daemon {
        &mut self.process
    }

    /// What it was told stays in the file and is read again.
    fn restart(&mut self) {
        self.process.kill();
        self.host.write(HEARD, "");
        self.process = launch(&self.host, &self.spec);
    }

    fn is_established(&self, neighbour: IpAddr) -> bool {
        let heard = self.heard(Some(neighbour));
        let last = heard.iter().rev().find(|event| event["type"] == "state");
        last.is_some_and(|event| event["neighbor"]["state"] == "up")
    }

    fn reset(&self, neighbour: IpAddr) {
        self.tell(&format!("neighbor {neighbour} teardown 4"));
    }

    fn route(&self, prefix: &str) -> Option<Seen> {
        self.table().remove(prefix)
    }

    fn learned(&self, ipv6: bool) -> Vec<String> {
        let prefixes = self.table().into_keys();
        prefixes.filter(|p| p.contains(':') == ipv6).collect()
    }

    fn announce(&mut self, route: Announce) {
        self.announced(&route, "announce");
        self.spec.announce.push(route);
    }

    fn withdraw(&mut self, prefix: &str) {
        let at = self.spec.announce.iter().position(|r| r.prefix == prefix);
        let route = self.spec.announce.remove(at.expect("it was announced"));
        self.announced(&route, "withdraw");
    }

    fn ask_refresh(&self, _neighbour: IpAddr) {
        self.tell("announce route-refresh ipv4 unicast");
    }

    fn refreshes_received(&self, neighbour: IpAddr) -> u64 {
        self.count(neighbour, |event| event["type"] == "refresh")
    }

    fn updates_received(&self, neighbour: IpAddr) -> u64 {
        self.count(neighbour, |event| event["type"] == "update")
    }

    fn times_established(&self, neighbour: IpAddr) -> u64 {
        self.count(neighbour, |event| {
            event["type"] == "state" && event["neighbor"]["state"] == "up"
        })
    }
}

fn values(object: &Value) -> impl Iterator<Item = &Value> {
    object.as_object().into_iter().flat_map(|all| all.values())
}

fn prefixes(routes: &Value) -> Vec<String> {
    let all = routes.as_array().into_iter().flatten();
    all.filter_map(|route| Some(route["nlri"].as_str()?.to_owned()))
        .collect()
}

fn parse(attributes: &Value, hops: &[String]) -> Seen {
    let number = |name: &str| {
        attributes[name]
            .as_u64()
            .and_then(|v| u32::try_from(v).ok())
    };
    let text = |name: &str| attributes[name].as_str().map(str::to_owned);
    let list = |name: &str, item: &dyn Fn(&Value) -> Option<String>| -> Vec<String> {
        let all = attributes[name].as_array().into_iter().flatten();
        all.filter_map(item).collect()
    };
    let numbers = |value: &Value| -> Option<String> {
        let parts = value.as_array()?.iter().map(Value::to_string);
        Some(parts.collect::<Vec<_>>().join(":"))
    };
    let mut seen = Seen {
        next_hops: hops.to_vec(),
        as_path: list("as-path", &|asn| Some(asn.to_string())).join(" "),
        origin: text("origin").unwrap_or_default(),
        med: number("med"),
        local_pref: number("local-preference"),
        communities: list("community", &numbers),
        large: list("large-community", &numbers),
        ext: list("extended-community", &|community| {
            Some(community["string"].as_str()?.replace("target", "rt"))
        }),
        aggregator: text("aggregator").map(|v| v.replace(':', " ")),
        atomic_aggregate: attributes["atomic-aggregate"] == true,
        originator_id: text("originator-id"),
        cluster_list: list("cluster-list", &|id| Some(id.as_str()?.to_owned())),
    };
    for all in [&mut seen.communities, &mut seen.large, &mut seen.ext] {
        all.sort();
    }
    seen
}

fn launch(host: &Host, spec: &RouterSpec) -> Daemon {
    let config = host.dir().join("exabgp.conf");
    // It always connects, unless told to be passive, and listens where told.
    let bind = format!("exabgp.tcp.bind={}", local_address(host, spec));
    let mut process = Daemon::start(
        &format!("ExaBGP on {}", host.name),
        &host.namespace,
        &[
            "env",
            &bind,
            "exabgp.tcp.port=179",
            "exabgp.api.ack=false",
            "exabgp.api.cli=false",
            "exabgp.daemon.user=root",
            "exabgp.daemon.drop=false",
            "exabgp.log.destination=stdout",
            "exabgp",
            &config.to_string_lossy(),
        ],
        &host.dir().join("exabgp.log"),
    );
    wait_for("ExaBGP to start", || {
        assert!(process.is_running(), "exabgp ended: {}", process.log());
        let log = process.log();
        log.contains("loaded new configuration successfully")
            .then_some(())
    });
    process
}

/// It wants to be told its own end of a session: the address of the host on the
/// first neighbour's subnet.
fn local_address(host: &Host, spec: &RouterSpec) -> String {
    let neighbour = spec.neighbours.first().expect("it has a neighbour");
    let route = host.ip(&["route", "get", &neighbour.address.to_string()]);
    let mut words = route.split_whitespace().skip_while(|word| *word != "src");
    words.nth(1).expect("a route to the neighbour").to_owned()
}

fn configuration(host: &Host, spec: &RouterSpec) -> String {
    let dir = host.dir().display();
    let mut out = format!(
        "process feed {{\n  run /bin/sh {dir}/feed.sh {dir}/{HEARD} {dir}/{TOLD};\n  \
         encoder json;\n}}\n"
    );
    for n in &spec.neighbours {
        write!(
            out,
            "neighbor {} {{\n  router-id {};\n  local-address {};\n  local-as {};\n  \
             peer-as {};\n  hold-time {};\n  passive {};\n  family {{\n",
            n.address,
            spec.router_id,
            local_address(host, spec),
            spec.asn,
            n.asn,
            n.hold_time,
            n.passive
        )
        .expect("a string");
        for (wanted, name) in [(n.ipv4, "ipv4"), (n.ipv6, "ipv6")] {
            if wanted {
                writeln!(out, "    {name} unicast;").expect("a string");
            }
        }
        let as4 = if n.as4 { "enable" } else { "disable" };
        write!(
            out,
            "  }}\n  capability {{ route-refresh enable; asn4 {as4}; }}\n  \
             api {{ processes [ feed ]; neighbor-changes;\n    \
             receive {{ parsed; update; refresh; }}\n  }}\n}}\n"
        )
        .expect("a string");
    }
    out
}
