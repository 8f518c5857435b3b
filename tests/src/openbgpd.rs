//! OpenBGPD, without routes in the kernel.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::child::{Daemon, require, run};
use crate::lab::Host;
use crate::router::{Announce, Router, RouterSpec, Seen, Several};
use crate::wait::wait_for;

#[derive(Debug)]
pub struct Openbgpd {
    host: Host,
    spec: RouterSpec,
    control: PathBuf,
    process: Daemon,
}

impl Openbgpd {
    /// A command of `bgpctl`.
    pub fn ask(&self, command: &[&str]) -> Option<String> {
        ask(&self.control, command)
    }

    fn json(&self, command: &[&str]) -> Option<Value> {
        let mut argv = vec!["-j"];
        argv.extend(command);
        serde_json::from_str(&self.ask(&argv)?).ok()
    }

    fn neighbour(&self, address: IpAddr) -> Option<Value> {
        let mut all = self.json(&["show", "neighbor", &address.to_string()])?;
        all["neighbors"].get_mut(0).map(Value::take)
    }

    fn stat(&self, neighbour: IpAddr, path: &str) -> u64 {
        self.neighbour(neighbour)
            .and_then(|n| n["stats"].pointer(path)?.as_u64())
            .unwrap_or(0)
    }

    fn reload(&self) {
        write(&self.host, &self.spec, &self.control);
        self.ask(&["reload"])
            .expect("OpenBGPD reads its file again");
    }
}

impl Router for Openbgpd {
    const NAME: &'static str = "openbgpd";

    fn start(host: &Host, spec: RouterSpec) -> Openbgpd {
        require("bgpctl", "openbgpd");
        // On an IPv4 session it announces IPv6 routes with an address that it
        // finds on `lo` on Linux: ::1, and without any it ends.
        let address = format!("{}/128", host.ipv6_address());
        host.ip(&["addr", "del", "::1/128", "dev", "lo"]);
        host.ip(&["addr", "add", &address, "dev", "lo"]);
        let control = host.dir().join("openbgpd.sock");
        write(host, &spec, &control);
        let process = launch(host, &control);
        Openbgpd {
            host: host.clone(),
            spec,
            control,
            process,
        }
    }

    fn process(&mut self) -> &mut Daemon {
        &mut self.process
    }

    fn restart(&mut self) {
        self.process.kill();
        let _ = fs::remove_file(&self.control);
        self.process = launch(&self.host, &self.control);
    }

    fn is_established(&self, neighbour: IpAddr) -> bool {
        self.neighbour(neighbour)
            .is_some_and(|n| n["state"] == "Established")
    }

    fn reset(&self, neighbour: IpAddr) {
        self.ask(&["neighbor", &neighbour.to_string(), "clear"])
            .expect("OpenBGPD answers");
    }

    fn route(&self, prefix: &str) -> Option<Seen> {
        let shown = self.json(&["show", "rib", "detail", prefix])?;
        let routes = shown["rib"].as_array()?;
        routes.iter().find(|r| r["best"] == true).map(parse_route)
    }

    fn learned(&self, ipv6: bool) -> Vec<String> {
        let family = if ipv6 { "inet6" } else { "inet" };
        let shown = self
            .json(&["show", "rib", family, "best"])
            .unwrap_or_default();
        let mut prefixes: Vec<String> = shown["rib"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|route| route["announced"] != true)
            .filter_map(|route| route["prefix"].as_str().map(str::to_owned))
            .collect();
        prefixes.sort();
        prefixes
    }

    fn announce(&mut self, route: Announce) {
        self.spec.announce.push(route);
        self.reload();
    }

    fn withdraw(&mut self, prefix: &str) {
        self.spec.announce.retain(|route| route.prefix != prefix);
        self.reload();
    }

    fn ask_refresh(&self, neighbour: IpAddr) {
        self.ask(&["neighbor", &neighbour.to_string(), "refresh"])
            .expect("OpenBGPD answers");
    }

    fn refreshes_received(&self, neighbour: IpAddr) -> u64 {
        self.stat(neighbour, "/route-refresh/received/request")
    }

    fn updates_received(&self, neighbour: IpAddr) -> u64 {
        self.stat(neighbour, "/message/received/updates")
    }

    fn times_established(&self, neighbour: IpAddr) -> u64 {
        let mark = format!("neighbor {neighbour}: state change OpenConfirm -> Established");
        self.process.log().matches(&mark).count() as u64
    }
}

fn launch(host: &Host, control: &Path) -> Daemon {
    // Its unprivileged processes change root to it; the Debian package leaves
    // making it to its init script.
    fs::create_dir_all("/run/openbgpd").expect("root may make it");
    let config = host.dir().join("openbgpd.conf");
    let mut process = Daemon::start(
        &format!("OpenBGPD on {}", host.name),
        &host.namespace,
        &[
            "/usr/sbin/bgpd",
            "-d",
            "-v",
            "-f",
            &config.to_string_lossy(),
        ],
        &host.dir().join("openbgpd.log"),
    );
    wait_for("OpenBGPD to answer", || {
        assert!(process.is_running(), "bgpd ended: {}", process.log());
        ask(control, &["show", "summary"])
    });
    process
}

fn ask(control: &Path, command: &[&str]) -> Option<String> {
    let control = control.to_string_lossy();
    let mut argv = vec!["bgpctl", "-s", &control];
    argv.extend(command);
    run(&argv).ok()
}

impl Several for Openbgpd {
    fn paths(&self, prefix: &str) -> Vec<Seen> {
        let shown = self.json(&["show", "rib", "detail", prefix]);
        let shown = shown.unwrap_or_default();
        let routes = shown["rib"].as_array().into_iter().flatten();
        routes.map(parse_route).collect()
    }
}

fn parse_route(route: &Value) -> Seen {
    let number = |name: &str| route[name].as_u64().and_then(|v| u32::try_from(v).ok());
    let text = |name: &str| route[name].as_str().map(str::to_owned);
    let list = |name: &str| -> Vec<String> {
        let mut all: Vec<String> = route[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| Some(item.as_str()?.replace(' ', ":")))
            .collect();
        all.sort();
        all
    };
    let attribute = |name: &str| {
        let mut all = route["attributes"].as_array().into_iter().flatten();
        all.find(|attribute| attribute["type"] == name)
    };
    Seen {
        next_hops: text("exit_nexthop").into_iter().collect(),
        as_path: text("aspath").unwrap_or_default(),
        origin: text("origin").unwrap_or_default().to_lowercase(),
        med: number("metric"),
        local_pref: number("localpref"),
        communities: list("communities"),
        large: list("large_communities"),
        ext: list("extended_communities"),
        aggregator: attribute("Aggregator")
            .and_then(|a| Some(format!("{} {}", a["AS"], a["router_id"].as_str()?))),
        atomic_aggregate: attribute("Atomic Aggregate").is_some(),
        originator_id: text("originator"),
        cluster_list: list("cluster_list"),
    }
}

/// Writes the configuration; OpenBGPD refuses one that others may read.
fn write(host: &Host, spec: &RouterSpec, control: &Path) {
    let text = configuration(spec, control);
    let path = host.write("openbgpd.conf", &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
}

fn configuration(spec: &RouterSpec, control: &Path) -> String {
    let mut out = format!(
        "AS {}\nrouter-id {}\nfib-update no\nsocket \"{}\"\nnexthop qualify via default\n",
        spec.asn,
        spec.router_id,
        control.display()
    );
    for route in &spec.announce {
        write!(out, "network {} set {{ localpref 100", route.prefix).expect("a string");
        assert!(
            route.as_path.is_empty(),
            "OpenBGPD cannot originate a path through others"
        );
        if let Some(med) = route.med {
            write!(out, " metric {med}").expect("a string");
        }
        for (a, b) in &route.communities {
            write!(out, " community {a}:{b}").expect("a string");
        }
        for (a, b, c) in &route.large {
            write!(out, " large-community {a}:{b}:{c}").expect("a string");
        }
        for (a, b) in &route.route_targets {
            write!(out, " ext-community rt {a}:{b}").expect("a string");
        }
        out.push_str(" }\n");
    }
    for n in &spec.neighbours {
        assert!(n.as4, "OpenBGPD always speaks four-octet AS numbers here");
        write!(
            out,
            "neighbor {} {{\n\tremote-as {}\n\tholdtime {}\n",
            n.address, n.asn, n.hold_time
        )
        .expect("a string");
        if let Some(password) = &n.password {
            writeln!(out, "\ttcp md5sig password \"{password}\"").expect("a string");
        }
        if n.ttl_security.is_some() {
            out.push_str("\tttl-security yes\n");
        }
        if let Some(hops) = n.multihop {
            writeln!(out, "\tmultihop {hops}").expect("a string");
        }
        if n.passive {
            out.push_str("\tpassive\n");
        }
        for line in &n.extra {
            writeln!(out, "\t{line}").expect("a string");
        }
        for (wanted, name) in [(n.ipv4, "IPv4"), (n.ipv6, "IPv6")] {
            let what = if wanted { "unicast" } else { "none" };
            writeln!(out, "\tannounce {name} {what}").expect("a string");
        }
        if n.several {
            out.push_str("\tannounce add-path recv yes\n\tannounce add-path send all\n");
        }
        out.push_str("}\n");
    }
    out.push_str("allow from any\nallow to any\n");
    out
}
