//! FRR: bgpd, and zebra for what it knows of links (without one, bgpd refuses
//! IPv6 next hops with a link-local address). Its routes stay out of the kernel.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::child::{Daemon, require, run};
use crate::lab::Host;
use crate::router::{Announce, Router, RouterSpec, Seen, Several};
use crate::wait::wait_for;

#[derive(Debug)]
pub struct Frr {
    host: Host,
    spec: RouterSpec,
    /// Not made from `spec`.
    own_config: bool,
    vty: PathBuf,
    process: Daemon,
    _zebra: Daemon,
    _bfdd: Option<Daemon>,
    /// Route maps made so far; their names are never used twice.
    maps: usize,
}

impl Frr {
    /// Starts it with a configuration of the test's own, for what [`RouterSpec`]
    /// has no words for. Its routes go into the kernel.
    #[track_caller]
    pub fn start_with(host: &Host, config: &str) -> Frr {
        Self::start_all(host, config, false)
    }

    /// The same with bfdd, which watches the paths that bgpd asks for.
    #[track_caller]
    pub fn start_with_bfd(host: &Host, config: &str) -> Frr {
        Self::start_all(host, config, true)
    }

    #[track_caller]
    fn start_all(host: &Host, config: &str, bfd: bool) -> Frr {
        require("zebra", "frr");
        host.write("bgpd.conf", config);
        let zebra = launch_zebra(host);
        let bfdd = bfd.then(|| launch_bfdd(host));
        let process = launch(host, &[]);
        Frr {
            vty: host.dir().to_owned(),
            maps: 0,
            host: host.clone(),
            spec: RouterSpec::default(),
            own_config: true,
            process,
            _zebra: zebra,
            _bfdd: bfdd,
        }
    }

    /// Configures it while it runs, a line each.
    #[track_caller]
    pub fn set(&self, lines: &[&str]) {
        self.configure(lines);
    }

    /// A command of `vtysh`.
    pub fn ask(&self, command: &str) -> Option<String> {
        ask(&self.vty, &[command])
    }

    /// The same of bfdd, where it runs.
    pub fn ask_bfdd(&self, command: &str) -> Option<String> {
        ask_daemon(&self.vty, "bfdd", &[command])
    }

    fn json(&self, command: &str) -> Option<Value> {
        serde_json::from_str(&self.ask(&format!("{command} json"))?).ok()
    }

    fn neighbour(&self, address: IpAddr) -> Option<Value> {
        let mut all = self.json(&format!("show bgp neighbors {address}"))?;
        all.get_mut(address.to_string()).map(Value::take)
    }

    /// Lines of configuration, from the top.
    pub fn configure(&self, lines: &[&str]) {
        let commands: Vec<&str> = ["configure terminal"]
            .into_iter()
            .chain(lines.iter().copied())
            .collect();
        let answer = ask(&self.vty, &commands).expect("FRR answers");
        assert!(!answer.contains('%'), "FRR says: {answer}");
    }
}

impl Router for Frr {
    const NAME: &'static str = "frr";

    fn start(host: &Host, spec: RouterSpec) -> Frr {
        require("zebra", "frr");
        host.write("bgpd.conf", &configuration(&spec));
        let zebra = launch_zebra(host);
        let process = launch(host, &["-n"]);
        Frr {
            vty: host.dir().to_owned(),
            maps: spec.announce.len(),
            host: host.clone(),
            spec,
            own_config: false,
            process,
            _zebra: zebra,
            _bfdd: None,
        }
    }

    fn process(&mut self) -> &mut Daemon {
        &mut self.process
    }

    fn restart(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_file(self.vty.join("bgpd.vty"));
        if !self.own_config {
            self.host.write("bgpd.conf", &configuration(&self.spec));
        }
        self.process = launch(&self.host, if self.own_config { &[] } else { &["-n"] });
    }

    fn is_established(&self, neighbour: IpAddr) -> bool {
        self.neighbour(neighbour)
            .is_some_and(|n| n["bgpState"] == "Established")
    }

    fn reset(&self, neighbour: IpAddr) {
        self.ask(&format!("clear bgp {neighbour}"))
            .expect("FRR answers");
    }

    fn route(&self, prefix: &str) -> Option<Seen> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let shown = self.json(&format!("show bgp {family} unicast {prefix}"))?;
        if shown["prefix"].as_str()? != prefix {
            return None;
        }
        shown["paths"]
            .as_array()?
            .iter()
            .find(|path| path["bestpath"]["overall"] == true)
            .map(parse_path)
    }

    fn learned(&self, ipv6: bool) -> Vec<String> {
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        let shown = self
            .json(&format!("show bgp {family} unicast"))
            .unwrap_or_default();
        let mut prefixes: Vec<String> = shown["routes"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, paths)| {
                paths.as_array().is_some_and(|all| {
                    all.iter()
                        .any(|p| p["path"] != "" || p["pathFrom"] == "internal")
                })
            })
            .map(|(prefix, _)| prefix.clone())
            .filter(|prefix| self.spec.announce.iter().all(|mine| mine.prefix != *prefix))
            .collect();
        prefixes.sort();
        prefixes
    }

    fn announce(&mut self, route: Announce) {
        let map = route_map(self.maps, &route);
        self.maps += 1;
        let lines: Vec<&str> = map.lines().collect();
        self.configure(&lines);
        let network = format!("network {} route-map map{}", route.prefix, self.maps - 1);
        self.configure(&[
            &format!("router bgp {}", self.spec.asn),
            family_line(&route),
            &network,
        ]);
        self.spec.announce.push(route);
    }

    fn withdraw(&mut self, prefix: &str) {
        let at = self
            .spec
            .announce
            .iter()
            .position(|route| route.prefix == prefix)
            .expect("only what was announced is withdrawn");
        let route = self.spec.announce.remove(at);
        self.configure(&[
            &format!("router bgp {}", self.spec.asn),
            family_line(&route),
            &format!("no network {prefix}"),
        ]);
    }

    fn ask_refresh(&self, neighbour: IpAddr) {
        self.ask(&format!("clear bgp {neighbour} in"))
            .expect("FRR answers");
    }

    fn refreshes_received(&self, neighbour: IpAddr) -> u64 {
        stat(self.neighbour(neighbour).as_ref(), "routeRefreshRecv")
    }

    fn updates_received(&self, neighbour: IpAddr) -> u64 {
        stat(self.neighbour(neighbour).as_ref(), "updatesRecv")
    }

    fn times_established(&self, neighbour: IpAddr) -> u64 {
        self.neighbour(neighbour)
            .and_then(|n| n["connectionsEstablished"].as_u64())
            .unwrap_or(0)
    }
}

impl Several for Frr {
    fn paths(&self, prefix: &str) -> Vec<Seen> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let shown = self.json(&format!("show bgp {family} unicast {prefix}"));
        let shown = shown.unwrap_or_default();
        if shown["prefix"] != prefix {
            return Vec::new();
        }
        let paths = shown["paths"].as_array().into_iter().flatten();
        paths.map(parse_path).collect()
    }
}

fn stat(neighbour: Option<&Value>, name: &str) -> u64 {
    neighbour
        .and_then(|n| n["messageStats"][name].as_u64())
        .unwrap_or(0)
}

fn family_line(route: &Announce) -> &'static str {
    if route.is_ipv6() {
        "address-family ipv6 unicast"
    } else {
        "address-family ipv4 unicast"
    }
}

/// `-n` among the options keeps its routes out of the kernel.
fn launch(host: &Host, options: &[&str]) -> Daemon {
    let all = [&["-S", "-u", "root", "-g", "root"], options].concat();
    let mut process = daemon(host, "bgpd", &all);
    wait_for("FRR to answer", || {
        assert!(process.is_running(), "bgpd ended: {}", process.log());
        ask(host.dir(), &["show version"]).filter(|answer| answer.contains("FRR"))
    });
    process
}

fn launch_zebra(host: &Host) -> Daemon {
    host.write("zebra.conf", "");
    // Unlike bgpd it cannot be told to stay root.
    host.give_directory_to("frr:frr");
    let mut process = daemon(host, "zebra", &[]);
    wait_for("zebra to serve", || {
        assert!(process.is_running(), "zebra ended: {}", process.log());
        host.dir().join("zebra.sock").exists().then_some(())
    });
    process
}

fn launch_bfdd(host: &Host) -> Daemon {
    host.write("bfdd.conf", "");
    let control = host.dir().join("bfdd.sock");
    let control = control.to_string_lossy();
    let mut process = daemon(host, "bfdd", &["--bfdctl", &control]);
    wait_for("bfdd to serve", || {
        assert!(process.is_running(), "bfdd ended: {}", process.log());
        host.dir().join("bfdd.vty").exists().then_some(())
    });
    process
}

fn daemon(host: &Host, name: &str, options: &[&str]) -> Daemon {
    let dir = host.dir();
    let file = |suffix: &str| {
        let path = dir.join(format!("{name}.{suffix}"));
        path.to_string_lossy().into_owned()
    };
    let (program, dir_text) = (format!("/usr/lib/frr/{name}"), dir.to_string_lossy());
    let (config, pid, socket) = (file("conf"), file("pid"), dir.join("zebra.sock"));
    let socket = socket.to_string_lossy();
    let mut argv = vec![&*program];
    argv.extend(["-f", &*config, "-i", &*pid]);
    argv.extend(["--vty_socket", &*dir_text, "-A", "127.0.0.1", "-P", "0"]);
    argv.extend(["-z", &*socket, "--log", "stdout"]);
    argv.extend(options);
    Daemon::start(
        &format!("FRR's {name} on {}", host.name),
        &host.namespace,
        &argv,
        &dir.join(format!("{name}.log")),
    )
}

fn ask(vty: &std::path::Path, commands: &[&str]) -> Option<String> {
    ask_daemon(vty, "bgpd", commands)
}

fn ask_daemon(vty: &std::path::Path, daemon: &str, commands: &[&str]) -> Option<String> {
    let vty = vty.to_string_lossy();
    let mut argv = vec!["vtysh", "--vty_socket", &vty, "-d", daemon];
    for command in commands {
        argv.extend(["-c", command]);
    }
    run(&argv).ok()
}

fn parse_path(path: &Value) -> Seen {
    let number = |name: &str| path[name].as_u64().and_then(|v| u32::try_from(v).ok());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let words = |value: &Value| -> Vec<String> {
        let mut all: Vec<String> = value["string"]
            .as_str()
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        all.sort();
        all
    };
    Seen {
        next_hops: path["nexthops"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|hop| text(&hop["ip"]))
            .collect(),
        as_path: text(&path["aspath"]["string"])
            .filter(|path| path != "Local")
            .unwrap_or_default(),
        origin: text(&path["origin"]).unwrap_or_default().to_lowercase(),
        med: number("metric"),
        local_pref: number("locPrf"),
        communities: words(&path["community"]),
        large: words(&path["largeCommunity"]),
        ext: words(&path["extendedCommunity"]),
        aggregator: path["aggregatorAs"].as_u64().map(|asn| {
            let id = path["aggregatorId"].as_str().unwrap_or_default();
            format!("{asn} {id}")
        }),
        atomic_aggregate: path["atomicAggregate"] == true,
        originator_id: text(&path["originatorId"]),
        cluster_list: path["clusterList"]["list"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(text)
            .collect(),
    }
}

fn route_map(index: usize, route: &Announce) -> String {
    let mut out = format!("route-map map{index} permit 10\n");
    if !route.as_path.is_empty() {
        let path: Vec<String> = route.as_path.iter().map(u32::to_string).collect();
        writeln!(out, " set as-path prepend {}", path.join(" ")).expect("a string");
    }
    if let Some(med) = route.med {
        writeln!(out, " set metric {med}").expect("a string");
    }
    let join = |all: Vec<String>| all.join(" ");
    if !route.communities.is_empty() {
        let all = route.communities.iter().map(|(a, b)| format!("{a}:{b}"));
        writeln!(out, " set community {}", join(all.collect())).expect("a string");
    }
    if !route.large.is_empty() {
        let all = route.large.iter().map(|(a, b, c)| format!("{a}:{b}:{c}"));
        writeln!(out, " set large-community {}", join(all.collect())).expect("a string");
    }
    if !route.route_targets.is_empty() {
        let all = route.route_targets.iter().map(|(a, b)| format!("{a}:{b}"));
        writeln!(out, " set extcommunity rt {}", join(all.collect())).expect("a string");
    }
    out.push_str("exit\n");
    out
}

fn configuration(spec: &RouterSpec) -> String {
    let mut out = String::new();
    // Before their use: a `network` whose route map comes later waits 5 s.
    for (index, route) in spec.announce.iter().enumerate() {
        out.push_str(&route_map(index, route));
    }
    writeln!(
        out,
        "router bgp {}\n bgp router-id {}\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n no bgp default ipv4-unicast\n \
         bgp log-neighbor-changes",
        spec.asn, spec.router_id
    )
    .expect("a string");
    for n in &spec.neighbours {
        let a = n.address;
        writeln!(out, " neighbor {a} remote-as {}", n.asn).expect("a string");
        let keepalive = (n.hold_time / 3).max(1);
        writeln!(out, " neighbor {a} timers {keepalive} {}", n.hold_time).expect("a string");
        writeln!(out, " neighbor {a} timers connect 1").expect("a string");
        writeln!(out, " neighbor {a} advertisement-interval 0").expect("a string");
        if let Some(password) = &n.password {
            writeln!(out, " neighbor {a} password {password}").expect("a string");
        }
        if let Some(hops) = n.ttl_security {
            writeln!(out, " neighbor {a} ttl-security hops {hops}").expect("a string");
        }
        if let Some(hops) = n.multihop {
            writeln!(out, " neighbor {a} ebgp-multihop {hops}").expect("a string");
        }
        if n.passive {
            writeln!(out, " neighbor {a} passive").expect("a string");
        }
        if !n.as4 {
            writeln!(out, " neighbor {a} dont-capability-negotiate").expect("a string");
        }
        for line in &n.extra {
            writeln!(out, " neighbor {a} {line}").expect("a string");
        }
    }
    for ipv6 in [false, true] {
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        writeln!(out, " address-family {family} unicast").expect("a string");
        for n in &spec.neighbours {
            if if ipv6 { n.ipv6 } else { n.ipv4 } {
                writeln!(out, "  neighbor {} activate", n.address).expect("a string");
                if n.several {
                    // It always takes them.
                    writeln!(out, "  neighbor {} addpath-tx-all-paths", n.address)
                        .expect("a string");
                }
            }
        }
        for (index, route) in spec.announce.iter().enumerate() {
            if route.is_ipv6() == ipv6 {
                writeln!(out, "  network {} route-map map{index}", route.prefix).expect("a string");
            }
        }
        out.push_str(" exit-address-family\n");
    }
    out.push_str("exit\n");
    out
}
