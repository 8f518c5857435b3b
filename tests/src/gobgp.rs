//! GoBGP 3, steered by its own command line.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use crate::child::{Daemon, require, run};
use crate::lab::Host;
use crate::router::{Announce, Router, RouterSpec, Seen, Several};
use crate::wait::wait_for;

#[derive(Debug)]
pub struct Gobgp {
    host: Host,
    spec: RouterSpec,
    process: Daemon,
}

impl Gobgp {
    /// Starts it with a configuration of the test's own, for what [`RouterSpec`]
    /// has no words for.
    #[track_caller]
    pub fn start_with(host: &Host, config: &str) -> Gobgp {
        require("gobgpd", "gobgpd");
        host.write("gobgp.toml", config);
        Gobgp {
            host: host.clone(),
            spec: RouterSpec::default(),
            process: launch(host),
        }
    }

    /// A command of `gobgp`.
    pub fn ask(&self, command: &[&str]) -> Option<String> {
        ask(&self.host, command)
    }

    fn json(&self, command: &[&str]) -> Option<Value> {
        let mut argv = command.to_vec();
        argv.push("-j");
        serde_json::from_str(&self.ask(&argv)?).ok()
    }

    fn neighbour(&self, address: IpAddr) -> Option<Value> {
        self.json(&["neighbor", &address.to_string()])
    }

    fn received(&self, address: IpAddr, kind: &str) -> u64 {
        self.neighbour(address)
            .and_then(|n| n["state"]["messages"]["received"][kind].as_u64())
            .unwrap_or(0)
    }

    fn add(&self, route: &Announce) {
        let path: Vec<String> = route.as_path.iter().map(u32::to_string).collect();
        let communities: Vec<String> = pairs(&route.communities);
        let large = route.large.iter().map(|(a, b, c)| format!("{a}:{b}:{c}"));
        let mut argv = vec![
            "global".to_owned(),
            "rib".to_owned(),
            "add".to_owned(),
            "-a".to_owned(),
            family(&route.prefix).to_owned(),
            route.prefix.clone(),
            "origin".to_owned(),
            "igp".to_owned(),
        ];
        let mut option = |name: &str, value: String| {
            if !value.is_empty() {
                argv.extend([name.to_owned(), value]);
            }
        };
        option("aspath", path.join(" "));
        option("med", route.med.map(|m| m.to_string()).unwrap_or_default());
        option("community", communities.join(","));
        option("large-community", large.collect::<Vec<_>>().join(","));
        if route.is_ipv6() {
            // Left to itself it names an IPv4-mapped address on an IPv4 session.
            option("nexthop", self.host.ipv6_address());
        }
        for target in pairs(&route.route_targets) {
            argv.extend(["rt".to_owned(), target]);
        }
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        self.ask(&argv).expect("GoBGP takes the route");
    }

    fn values(&self, prefix: &str) -> Option<Vec<Value>> {
        let table = self.json(&["global", "rib", "-a", family(prefix), prefix])?;
        table[prefix].as_array().cloned()
    }
}

impl Router for Gobgp {
    const NAME: &'static str = "gobgp";

    fn start(host: &Host, spec: RouterSpec) -> Gobgp {
        require("gobgpd", "gobgpd");
        host.write("gobgp.toml", &configuration(&spec));
        let process = launch(host);
        let gobgp = Gobgp {
            host: host.clone(),
            spec,
            process,
        };
        gobgp.spec.announce.iter().for_each(|r| gobgp.add(r));
        gobgp
    }

    fn process(&mut self) -> &mut Daemon {
        &mut self.process
    }

    fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.host);
        self.spec.announce.iter().for_each(|r| self.add(r));
    }

    fn is_established(&self, neighbour: IpAddr) -> bool {
        // apipb.PeerState.SessionState
        self.neighbour(neighbour)
            .is_some_and(|n| n["state"]["session_state"] == 6)
    }

    fn reset(&self, neighbour: IpAddr) {
        self.ask(&["neighbor", &neighbour.to_string(), "reset"])
            .expect("GoBGP answers");
    }

    fn route(&self, prefix: &str) -> Option<Seen> {
        let paths = self.values(prefix)?;
        paths.iter().find(|p| p["best"] == true).map(parse_path)
    }

    fn learned(&self, ipv6: bool) -> Vec<String> {
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        let table = self
            .json(&["global", "rib", "-a", family])
            .unwrap_or_default();
        let learned = |paths: &Value| {
            let paths = paths.as_array();
            paths.is_some_and(|all| all.iter().any(|p| p["neighbor-ip"].is_string()))
        };
        let mut prefixes: Vec<String> = table
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, paths)| learned(paths))
            .map(|(prefix, _)| prefix.clone())
            .collect();
        prefixes.sort();
        prefixes
    }

    fn announce(&mut self, route: Announce) {
        self.add(&route);
        self.spec.announce.push(route);
    }

    fn withdraw(&mut self, prefix: &str) {
        self.spec.announce.retain(|route| route.prefix != prefix);
        self.ask(&["global", "rib", "del", "-a", family(prefix), prefix])
            .expect("GoBGP knows the route");
    }

    fn ask_refresh(&self, neighbour: IpAddr) {
        self.ask(&["neighbor", &neighbour.to_string(), "softresetin"])
            .expect("GoBGP answers");
    }

    fn refreshes_received(&self, neighbour: IpAddr) -> u64 {
        self.received(neighbour, "refresh")
    }

    fn updates_received(&self, neighbour: IpAddr) -> u64 {
        self.received(neighbour, "update")
    }

    fn times_established(&self, neighbour: IpAddr) -> u64 {
        let key = format!("\"Key\":\"{neighbour}\"");
        let log = self.process.log();
        let up = |line: &&str| line.contains("\"Peer Up\"") && line.contains(&key);
        log.lines().filter(up).count() as u64
    }
}

impl Several for Gobgp {
    fn paths(&self, prefix: &str) -> Vec<Seen> {
        let paths = self.values(prefix).unwrap_or_default();
        paths.iter().map(parse_path).collect()
    }
}

fn family(prefix: &str) -> &'static str {
    if prefix.contains(':') { "ipv6" } else { "ipv4" }
}

fn pairs<A: std::fmt::Display, B: std::fmt::Display>(all: &[(A, B)]) -> Vec<String> {
    all.iter().map(|(a, b)| format!("{a}:{b}")).collect()
}

fn launch(host: &Host) -> Daemon {
    let config = host.dir().join("gobgp.toml");
    let mut process = Daemon::start(
        &format!("GoBGP on {}", host.name),
        &host.namespace,
        &[
            "gobgpd",
            "-f",
            &config.to_string_lossy(),
            "--api-hosts",
            "127.0.0.1:50051",
        ],
        &host.dir().join("gobgp.log"),
    );
    wait_for("GoBGP to answer", || {
        assert!(process.is_running(), "gobgpd ended: {}", process.log());
        ask(host, &["neighbor"])
    });
    process
}

fn ask(host: &Host, command: &[&str]) -> Option<String> {
    let mut argv = vec!["ip", "netns", "exec", &host.namespace, "gobgp"];
    argv.extend(command);
    run(&argv).ok()
}

fn parse_path(path: &Value) -> Seen {
    let mut seen = Seen::default();
    let number = |value: &Value| value.as_u64().and_then(|v| u32::try_from(v).ok());
    for attr in path["attrs"].as_array().into_iter().flatten() {
        let list = |name: &str| attr[name].as_array().cloned().unwrap_or_default();
        match attr["type"].as_u64().unwrap_or_default() {
            1 => {
                let names = ["igp", "egp", "incomplete"];
                let at = attr["value"].as_u64().unwrap_or(2) as usize;
                seen.origin = names.get(at).copied().unwrap_or_default().to_owned();
            }
            2 => {
                let numbers: Vec<String> = list("as_paths")
                    .iter()
                    .flat_map(|segment| segment["asns"].as_array().cloned().unwrap_or_default())
                    .map(|asn| asn.to_string())
                    .collect();
                seen.as_path = numbers.join(" ");
            }
            3 | 14 => seen
                .next_hops
                .extend(attr["nexthop"].as_str().map(str::to_owned)),
            4 => seen.med = number(&attr["metric"]),
            5 => seen.local_pref = number(&attr["value"]),
            6 => seen.atomic_aggregate = true,
            7 => {
                let id = attr["address"].as_str().unwrap_or_default();
                seen.aggregator = Some(format!("{} {id}", attr["as"]));
            }
            8 => seen.communities.extend(
                list("communities")
                    .iter()
                    .filter_map(number)
                    .map(|c| format!("{}:{}", c >> 16, c & 0xffff)),
            ),
            9 => seen.originator_id = attr["value"].as_str().map(str::to_owned),
            10 => seen.cluster_list.extend(
                list("value")
                    .iter()
                    .filter_map(|id| id.as_str().map(str::to_owned)),
            ),
            16 => seen.ext.extend(
                list("value")
                    .iter()
                    .filter(|c| c["subtype"] == 2)
                    .filter_map(|c| Some(format!("rt:{}", c["value"].as_str()?))),
            ),
            32 => seen.large.extend(list("value").iter().map(|c| {
                let (a, b, c) = (&c["ASN"], &c["LocalData1"], &c["LocalData2"]);
                format!("{a}:{b}:{c}")
            })),
            _ => {}
        }
    }
    for all in [&mut seen.communities, &mut seen.large, &mut seen.ext] {
        all.sort();
    }
    seen
}

fn configuration(spec: &RouterSpec) -> String {
    let mut out = format!(
        "[global.config]\nas = {}\nrouter-id = \"{}\"\n",
        spec.asn, spec.router_id
    );
    for n in &spec.neighbours {
        assert!(n.as4, "GoBGP always speaks four-octet AS numbers");
        write!(
            out,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}\n\
             [neighbors.timers.config]\nhold-time = {}\nkeepalive-interval = {}\n\
             connect-retry = 1\nidle-hold-time-after-reset = 1\n\
             [neighbors.transport.config]\npassive-mode = {}\n",
            n.address,
            n.asn,
            n.hold_time,
            n.hold_time / 3,
            n.passive
        )
        .expect("a string");
        for (wanted, name) in [(n.ipv4, "ipv4"), (n.ipv6, "ipv6")] {
            if wanted {
                write!(
                    out,
                    "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n\
                     afi-safi-name = \"{name}-unicast\"\n"
                )
                .expect("a string");
                if n.several {
                    out.push_str(
                        "[neighbors.afi-safis.add-paths.config]\nreceive = true\nsend-max = 8\n",
                    );
                }
            }
        }
    }
    out
}
