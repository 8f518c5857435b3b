//! BIRD 2.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::child::{Daemon, must, require, run};
use crate::lab::Host;
use crate::router::{Announce, Neighbour, Router, RouterSpec, Seen, Several};
use crate::wait::wait_for;

#[derive(Debug)]
pub struct Bird {
    host: Host,
    spec: RouterSpec,
    control: PathBuf,
    process: Daemon,
}

impl Bird {
    /// Starts it with a configuration of the test's own, for what [`RouterSpec`]
    /// has no words for.
    #[track_caller]
    pub fn start_with(host: &Host, config: &str) -> Bird {
        require("bird", "bird2");
        host.write("bird.conf", config);
        let control = host.dir().join("bird.ctl");
        let process = launch(host, &control, &[]);
        Bird {
            host: host.clone(),
            spec: RouterSpec::default(),
            control,
            process,
        }
    }

    /// Starts it again after it was killed, told to recover (RFC 4724): it says
    /// that it went on forwarding.
    pub fn recover(&mut self) {
        let _ = std::fs::remove_file(&self.control);
        self.process = launch(&self.host, &self.control, &["-R"]);
    }

    /// A line of `birdc`.
    pub fn ask(&self, command: &str) -> Option<String> {
        ask(&self.control, command)
    }

    /// Number of routes per family, of every source.
    pub fn count(&self, ipv6: bool) -> usize {
        let table = if ipv6 { "master6" } else { "master4" };
        let text = self
            .ask(&format!("show route table {table} count"))
            .unwrap_or_default();
        // "0 of 0 routes for 0 networks in table master4"
        text.lines()
            .find(|line| line.contains(" routes for "))
            .and_then(|line| line.split_whitespace().nth(5)?.parse().ok())
            .unwrap_or(0)
    }

    fn protocol(&self, neighbour: IpAddr) -> String {
        let index = self
            .spec
            .neighbours
            .iter()
            .position(|n| n.address == neighbour)
            .unwrap_or_else(|| panic!("{neighbour} is no neighbour of this BIRD"));
        format!("peer{index}")
    }

    /// Loads its configuration as changed by `edit`, until the next change.
    pub fn edit(&self, edit: &dyn Fn(&str) -> String) {
        let text = configuration(&self.spec);
        let new = edit(&text);
        assert_ne!(text, new, "nothing was edited");
        self.host.write("bird.conf", &new);
        let answer = self.ask("configure").unwrap_or_default();
        assert!(answer.contains("Reconfigur"), "BIRD says: {answer}");
    }

    fn reconfigure(&self) {
        self.host.write("bird.conf", &configuration(&self.spec));
        let answer = self.ask("configure").unwrap_or_default();
        assert!(answer.contains("Reconfigur"), "BIRD says: {answer}");
    }
}

impl Router for Bird {
    const NAME: &'static str = "bird";

    fn start(host: &Host, spec: RouterSpec) -> Bird {
        require("bird", "bird2");
        host.write("bird.conf", &configuration(&spec));
        let control = host.dir().join("bird.ctl");
        let process = launch(host, &control, &[]);
        Bird {
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
        let _ = std::fs::remove_file(&self.control);
        self.process = launch(&self.host, &self.control, &[]);
    }

    fn is_established(&self, neighbour: IpAddr) -> bool {
        let text = self
            .ask(&format!("show protocols all {}", self.protocol(neighbour)))
            .unwrap_or_default();
        field(&text, "BGP state:") == Some("Established")
    }

    fn reset(&self, neighbour: IpAddr) {
        self.ask(&format!("restart {}", self.protocol(neighbour)))
            .expect("BIRD answers");
    }

    fn route(&self, prefix: &str) -> Option<Seen> {
        let text = self.ask(&format!("show route for {prefix} primary all"))?;
        // `for` is a longest match: the first column must be the prefix itself.
        let start = text.find(&format!("{prefix} "))?;
        Some(parse_route(&text[start..]))
    }

    fn learned(&self, ipv6: bool) -> Vec<String> {
        let table = if ipv6 { "master6" } else { "master4" };
        let text = self
            .ask(&format!(
                "show route table {table} primary where source = RTS_BGP"
            ))
            .unwrap_or_default();
        let mut prefixes: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.contains('/'))
            .map(str::to_owned)
            .collect();
        prefixes.sort();
        prefixes
    }

    fn announce(&mut self, route: Announce) {
        self.spec.announce.push(route);
        self.reconfigure();
    }

    fn withdraw(&mut self, prefix: &str) {
        self.spec.announce.retain(|route| route.prefix != prefix);
        self.reconfigure();
    }

    fn ask_refresh(&self, neighbour: IpAddr) {
        self.ask(&format!("reload in {}", self.protocol(neighbour)))
            .expect("BIRD answers");
    }

    fn refreshes_received(&self, neighbour: IpAddr) -> u64 {
        let mark = format!("{}: Got ROUTE-REFRESH", self.protocol(neighbour));
        self.process.log().matches(&mark).count() as u64
    }

    fn refresh_marks_received(&self, neighbour: IpAddr) -> u64 {
        let log = self.process.log();
        let mark = |name| format!("{}: Got {name}-OF-RR", self.protocol(neighbour));
        let times = |name| log.matches(&mark(name)).count() as u64;
        times("BEGIN") + times("END")
    }

    fn updates_received(&self, neighbour: IpAddr) -> u64 {
        let text = self
            .ask(&format!("show protocols all {}", self.protocol(neighbour)))
            .unwrap_or_default();
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("Import updates:"))
            .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    }

    fn times_established(&self, neighbour: IpAddr) -> u64 {
        let mark = format!("{}: BGP session established", self.protocol(neighbour));
        self.process.log().matches(&mark).count() as u64
    }
}

impl Several for Bird {
    fn paths(&self, prefix: &str) -> Vec<Seen> {
        let text = self.ask(&format!("show route for {prefix} all"));
        let text = text.unwrap_or_default();
        let Some(start) = text.find(&format!("{prefix} ")) else {
            return Vec::new();
        };
        // The first path begins beside the prefix, the others below it.
        let mut paths: Vec<String> = Vec::new();
        for line in text[start..].lines() {
            if line.contains("unicast [") {
                paths.push(String::new());
            }
            if let Some(path) = paths.last_mut() {
                path.push_str(line);
                path.push('\n');
            }
        }
        paths.iter().map(|path| parse_route(path)).collect()
    }
}

fn launch(host: &Host, control: &std::path::Path, more: &[&str]) -> Daemon {
    let config = host.dir().join("bird.conf");
    let process = Daemon::start(
        &format!("BIRD on {}", host.name),
        &host.namespace,
        &[
            &[
                "bird",
                "-f",
                "-c",
                &config.to_string_lossy(),
                "-s",
                &control.to_string_lossy(),
            ],
            more,
        ]
        .concat(),
        &host.dir().join("bird.log"),
    );
    wait_for("BIRD to answer", || ask(control, "show status"));
    process
}

fn ask(control: &std::path::Path, command: &str) -> Option<String> {
    run(&["birdc", "-v", "-s", &control.to_string_lossy(), command])
        .ok()
        .map(|text| {
            // -v puts a reply code before each line that starts a record.
            text.lines()
                .map(strip_code)
                .fold(String::new(), |mut all, line| {
                    all.push_str(line);
                    all.push('\n');
                    all
                })
        })
}

fn strip_code(line: &str) -> &str {
    let bytes = line.as_bytes();
    let coded = bytes.len() >= 5
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && matches!(bytes[4], b'-' | b' ');
    if coded { &line[5..] } else { line }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.trim().strip_prefix(name))
        .map(str::trim)
}

fn parse_route(text: &str) -> Seen {
    let words = |name: &str, open: char, close: char| -> Vec<String> {
        let mut all: Vec<String> = field(text, name)
            .unwrap_or_default()
            .split(close)
            .map(|part| {
                part.trim()
                    .trim_start_matches(open)
                    .replace(", ", ":")
                    .replace(',', ":")
            })
            .filter(|part| !part.is_empty())
            .collect();
        all.sort();
        all
    };
    Seen {
        next_hops: text
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with(['\t', ' ']))
            .filter_map(|line| line.trim().strip_prefix("via "))
            .filter_map(|rest| rest.split_whitespace().next())
            .map(str::to_owned)
            .collect(),
        as_path: field(text, "BGP.as_path:").unwrap_or_default().to_owned(),
        origin: field(text, "BGP.origin:")
            .unwrap_or_default()
            .to_lowercase(),
        med: field(text, "BGP.med:").and_then(|v| v.parse().ok()),
        local_pref: field(text, "BGP.local_pref:").and_then(|v| v.parse().ok()),
        communities: words("BGP.community:", '(', ')'),
        large: words("BGP.large_community:", '(', ')'),
        ext: words("BGP.ext_community:", '(', ')'),
        aggregator: field(text, "BGP.aggregator:")
            .map(|v| v.replace(" AS", " "))
            .map(|v| {
                // "192.0.2.1 AS65010"
                let mut parts = v.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                parts.reverse();
                parts.join(" ")
            }),
        atomic_aggregate: text.contains("BGP.atomic_aggr:"),
        originator_id: field(text, "BGP.originator_id:").map(str::to_owned),
        cluster_list: field(text, "BGP.cluster_list:")
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    }
}

fn configuration(spec: &RouterSpec) -> String {
    let mut out = String::new();
    let id = &spec.router_id;
    writeln!(out, "log stderr all;\nrouter id {id};").expect("a string");
    out.push_str("debug protocols { states, events, packets };\n");
    out.push_str("protocol device { scan time 1; }\n");
    for ipv6 in [false, true] {
        let name = if ipv6 { "6" } else { "4" };
        writeln!(out, "protocol static static{name} {{ ipv{name};").expect("a string");
        for route in spec.announce.iter().filter(|r| r.is_ipv6() == ipv6) {
            writeln!(out, "  route {} blackhole;", route.prefix).expect("a string");
        }
        out.push_str("}\n");
    }
    out.push_str("filter announced {\n");
    for route in &spec.announce {
        // A comparison of a prefix with one of the other family is an error.
        let family = if route.is_ipv6() {
            "NET_IP6"
        } else {
            "NET_IP4"
        };
        writeln!(
            out,
            "  if net.type = {family} then if net = {} then {{",
            route.prefix
        )
        .expect("a string");
        for asn in route.as_path.iter().rev() {
            writeln!(out, "    bgp_path.prepend({asn});").expect("a string");
        }
        if let Some(med) = route.med {
            writeln!(out, "    bgp_med = {med};").expect("a string");
        }
        for (a, b) in &route.communities {
            writeln!(out, "    bgp_community.add(({a},{b}));").expect("a string");
        }
        for (a, b, c) in &route.large {
            writeln!(out, "    bgp_large_community.add(({a},{b},{c}));").expect("a string");
        }
        for (a, b) in &route.route_targets {
            writeln!(out, "    bgp_ext_community.add((rt,{a},{b}));").expect("a string");
        }
        out.push_str("  }\n");
    }
    out.push_str("  if source = RTS_STATIC then accept;\n  reject;\n}\n");
    for (index, neighbour) in spec.neighbours.iter().enumerate() {
        write_neighbour(&mut out, spec, index, neighbour);
    }
    out
}

fn write_neighbour(out: &mut String, spec: &RouterSpec, index: usize, n: &Neighbour) {
    writeln!(
        out,
        "protocol bgp peer{index} {{\n  local as {};\n  neighbor {} as {};\n  hold time {};",
        spec.asn, n.address, n.asn, n.hold_time
    )
    .expect("a string");
    match n.multihop.or(n.ttl_security.filter(|hops| *hops > 1)) {
        Some(hops) => writeln!(out, "  multihop {hops};").expect("a string"),
        None => out.push_str("  direct;\n"),
    }
    if n.ttl_security.is_some() {
        out.push_str("  ttl security on;\n");
    }
    if let Some(password) = &n.password {
        writeln!(out, "  password \"{password}\";").expect("a string");
    }
    out.push_str("  connect delay time 1;\n  connect retry time 1;\n");
    out.push_str("  error wait time 1, 2;\n  error forget time 3;\n");
    if n.passive {
        out.push_str("  passive;\n");
    }
    if !n.as4 {
        out.push_str("  enable as4 off;\n");
    }
    for line in &n.extra {
        writeln!(out, "  {line}").expect("a string");
    }
    for (wanted, name) in [(n.ipv4, "ipv4"), (n.ipv6, "ipv6")] {
        if wanted {
            let what = match n.several {
                true => "export all; add paths on",
                false => "export filter announced",
            };
            writeln!(out, "  {name} {{ import all; {what}; }};").expect("a string");
        }
    }
    out.push_str("}\n");
}

/// Whether `bird` accepts a configuration: for testing this file itself.
pub fn check(path: &std::path::Path) -> String {
    must(&["bird", "-p", "-c", &path.to_string_lossy()])
}
