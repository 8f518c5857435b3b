//! A range, its limit, and floods of connections, on one switch:
//!
//! ```text
//!   us 10.0.0.1 AS 64512   bird, frr, gobgp, openbgpd 10.0.0.2 to .5 AS 65002 to 65005
//!   flood 10.0.0.9
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::gobgp::Gobgp;
use godwit_tests::godwit::Godwit;
use godwit_tests::openbgpd::Openbgpd;
use godwit_tests::router::{Announce, Neighbour, Router, RouterSpec};
use godwit_tests::wait::holds_for;
use godwit_tests::{Host, Lab, wait_for};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

const US: &str = "10.0.0.1";
const ATTEMPTS: usize = 300;

/// Fields drop in order: processes before the namespaces that they live in.
struct Crowd {
    us: Godwit,
    bird: Bird,
    frr: Frr,
    hosts: Vec<Host>,
    flood: Host,
    _lab: Lab,
}

impl Crowd {
    /// With BIRD and FRR up; `[[peer]]` of ours is a range of the whole link.
    fn start(limit: u32) -> Crowd {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let host = |name: &str, last: u8| {
            let host = lab.host(name);
            let addresses = [format!("10.0.0.{last}/24"), format!("fd00::{last}/64")];
            lab.plug(&host, &[&addresses[0], &addresses[1]], &switch);
            host
        };
        let us_host = host("us", 1);
        let names = ["bird", "frr", "gobgp", "openbgpd"];
        let hosts: Vec<Host> = names.iter().zip(2..).map(|(n, i)| host(n, i)).collect();
        let flood = host("flood", 9);
        let us = Godwit::start(
            &us_host,
            &format!(
                "[router]\nasn = 64512\nrouter-id = \"{US}\"\n[fib]\nenabled = false\n\
                 [[peer]]\nrange = \"10.0.0.0/24\"\nlimit = {limit}\nremote-as = \"external\"\n\
                 import = [\"accept-all\"]\nexport = [\"accept-all\"]\n"
            ),
        );
        let crowd = Crowd {
            us,
            bird: Bird::start(&hosts[0], spec(2)),
            frr: Frr::start(&hosts[1], spec(3)),
            hosts,
            flood,
            _lab: lab,
        };
        crowd.us.wait_established("10.0.0.2");
        crowd.us.wait_established("10.0.0.3");
        wait_for("BIRD's route at FRR", || crowd.frr.route("10.2.0.0/24"));
        crowd
    }

    fn status(&self) -> Value {
        match self.us.cli(&["-o", "json", "status"]) {
            Ok(text) => serde_json::from_str(&text).expect("JSON"),
            Err(text) => {
                // What is not healthy is told with an exit status, and in full.
                let text = text.split_once('{').expect("JSON").1;
                let mut all = serde_json::Deserializer::from_str(&format!("{{{text}"))
                    .into_iter::<Value>()
                    .collect::<Vec<_>>();
                all.swap_remove(0).expect("JSON")
            }
        }
    }

    fn range(&self) -> Value {
        self.status()["ranges"][0].clone()
    }

    fn sessions_stood(&self) {
        let us: IpAddr = US.parse().expect("an address");
        assert_eq!(self.bird.times_established(us), 1);
        assert_eq!(self.frr.times_established(us), 1);
        assert!(self.bird.is_established(us) && self.frr.is_established(us));
        assert!(self.frr.route("10.2.0.0/24").is_some());
    }
}

fn spec(n: u32) -> RouterSpec {
    RouterSpec {
        asn: 65000 + n,
        router_id: format!("10.0.0.{n}"),
        neighbours: vec![Neighbour::new(US, 64512)],
        announce: vec![Announce::plain(&format!("10.{n}.0.0/24"))],
    }
}

/// Opens connections as fast as it can, and none is waited for.
fn flood(host: &Host, from: &str) -> Vec<Socket> {
    let from: SocketAddr = format!("{from}:0").parse().expect("an address");
    let to: SocketAddr = format!("{US}:179").parse().expect("an address");
    host.enter(|| {
        let attempt = |_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
            let socket = socket.expect("a socket");
            socket.bind(&from.into()).expect("an address of this host");
            socket.set_nonblocking(true).expect("a socket");
            // In progress.
            let _ = socket.connect(&to.into());
            socket
        };
        (0..ATTEMPTS).map(attempt).collect()
    })
}

#[test]
fn a_full_range_turns_others_away_until_one_leaves() {
    let mut crowd = Crowd::start(3);
    let gobgp = Gobgp::start(&crowd.hosts[2], spec(4));
    crowd.us.wait_established("10.0.0.4");
    let mut openbgpd = Openbgpd::start(&crowd.hosts[3], spec(5));
    wait_for("OpenBGPD to be refused", || {
        (crowd.range()["refused"].as_u64()? > 0).then_some(())
    });
    let range = crowd.range();
    assert_eq!((&range["peers"], &range["limit"]), (&3.into(), &3.into()));
    wait_for("it to be told why", || {
        let log = openbgpd.process().log().to_lowercase();
        log.contains("connection rejected").then_some(())
    });
    crowd.sessions_stood();
    crowd.bird.process().kill();
    let left = "10.0.0.5".parse().expect("an address");
    wait_for("OpenBGPD to take its place", || {
        // By itself it would try again in half a minute.
        openbgpd.ask(&["neighbor", US, "up"]);
        crowd.us.is_established(left).then_some(())
    });
    let us = US.parse().expect("an address");
    assert!(gobgp.is_established(us));
    wait_for("its route at FRR", || crowd.frr.route("10.5.0.0/24"));
    wait_for("BIRD's to be gone", || {
        crowd.frr.route("10.2.0.0/24").is_none().then_some(())
    });
}

#[test]
fn a_flood_of_connections_costs_nobody_else_a_session() {
    let mut crowd = Crowd::start(10);
    let before = crowd.us.process().peak_rss_kib();
    // Of the range, and of an address that has a session.
    let held = [
        flood(&crowd.flood, "10.0.0.9"),
        flood(&crowd.hosts[0], "10.0.0.2"),
    ];
    wait_for("most to be turned away", || {
        let status = crowd.us.cli(&["status"]).unwrap_or_else(|text| text);
        let line = status
            .lines()
            .find(|l| l.starts_with("connections refused: "))?;
        let numbers = line.split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<u64> = numbers.filter_map(|n| n.parse().ok()).collect();
        // A hundred at once of each, and ten a second.
        (numbers.iter().sum::<u64>() >= 300).then_some(())
    });
    holds_for(Duration::from_secs(2), "two sessions at least", || {
        let peers = crowd.us.json(&["peer", "list"]);
        peers.to_string().matches("ESTABLISHED").count() >= 2
    });
    crowd.sessions_stood();
    // One that was not part of it comes at once.
    let gobgp = Gobgp::start(&crowd.hosts[2], spec(4));
    crowd.us.wait_established("10.0.0.4");
    drop(held);
    // And the flooded one when its budget allows.
    let us = US.parse().expect("an address");
    crowd.bird.reset(us);
    crowd.us.wait_established("10.0.0.2");
    wait_for("its route again", || crowd.frr.route("10.2.0.0/24"));
    assert!(gobgp.is_established(us));
    let grown = crowd.us.process().peak_rss_kib() - before;
    assert!(
        grown < 64 << 10,
        "{grown} KiB for {ATTEMPTS} attempts twice"
    );
}
