//! A whole table from one peer reaches a BIRD behind us and our kernel, and the
//! sets are equal. A hundredth of it in a plain run; at full size, with times,
//! by `./test soak`.

use std::collections::HashSet;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use godwit_tests::bird::Bird;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen, UPDATE, frame};
use godwit_tests::router::{Neighbour, Router, RouterSpec};
use godwit_tests::table::Table;
use godwit_tests::{Host, Lab, wait_for_within};
use ipnet::IpNet;

// Real tables have the two-octet private numbers in their paths: those would be
// loops, rightly refused.
const OUR_ASN: u32 = 4_210_000_000;
const SENDER_ASN: u32 = 4_210_000_001;
const BIRD_ASN: u32 = 4_210_000_002;
const PATIENCE: Duration = Duration::from_secs(120);

fn table(ipv6: bool) -> Table {
    let (variable, full) = if ipv6 {
        ("GODWIT_TABLE6", 180_000)
    } else {
        ("GODWIT_TABLE4", 970_000)
    };
    if let Some(path) = std::env::var_os(variable) {
        return Table::read(Path::new(&path)).unwrap_or_else(|e| panic!("{e}"));
    }
    let soak = std::env::var_os("GODWIT_SOAK").is_some();
    Table::generate(ipv6, if soak { full } else { full / 100 }, 1)
}

fn run(ipv6: bool) {
    let table = table(ipv6);
    let want = table.prefixes();
    let lab = Lab::new();
    let [us_host, sender_host, bird_host] = ["us", "sender", "bird"].map(|name| lab.host(name));
    lab.link(
        &us_host,
        &["10.0.0.1/24", "fd00::1/64"],
        &sender_host,
        &["10.0.0.2/24", "fd00::2/64"],
    );
    lab.link(
        &us_host,
        &["10.0.1.1/24", "fd00:1::1/64"],
        &bird_host,
        &["10.0.1.2/24", "fd00:1::2/64"],
    );
    let mut us = Godwit::start(&us_host, CONFIGURATION);
    let bird = Bird::start(
        &bird_host,
        RouterSpec {
            asn: BIRD_ASN,
            router_id: "10.0.1.2".to_owned(),
            neighbours: vec![Neighbour::new("10.0.1.1", OUR_ASN)],
            announce: Vec::new(),
        },
    );
    us.wait_established("10.0.1.2");
    let mut sender = Raw::establish(
        &sender_host,
        "10.0.0.2",
        "10.0.0.1",
        &RawOpen::new(SENDER_ASN, "10.0.0.2"),
    );
    let before = us_host.kernel_route_count(ipv6);
    let bytes: Vec<u8> = table
        .updates(
            SENDER_ASN,
            [10, 0, 0, 2].into(),
            "fd00::2".parse().expect("an address"),
        )
        .iter()
        .flat_map(|body| frame(UPDATE, body))
        .collect();
    drain(&sender);

    let start = Instant::now();
    sender.send_bytes(&bytes).expect("the session stays up");
    let sent = start.elapsed();
    wait_for_within(PATIENCE, "the whole table in the kernel", || {
        (us_host.kernel_route_count(ipv6) >= before + want.len()).then_some(())
    });
    let installed = start.elapsed();
    wait_for_within(PATIENCE, "the whole table at BIRD", || {
        (bird.count(ipv6) == want.len()).then_some(())
    });
    let relayed = start.elapsed();
    compare("BIRD behind us", &want, &parse(&bird.learned(ipv6)));
    compare("our kernel", &want, &kernel_prefixes(&us_host, ipv6));

    let withdrawal = Instant::now();
    drop(sender);
    wait_for_within(PATIENCE, "the table to leave BIRD and the kernel", || {
        (bird.count(ipv6) == 0 && us_host.kernel_route_count(ipv6) <= before).then_some(())
    });
    println!(
        "{} IPv{} routes: written in {sent:.1?}, in the kernel after {installed:.1?}, \
         at BIRD after {relayed:.1?}, gone again in {:.1?}; {:.1} s of processor, peak {} MiB",
        want.len(),
        if ipv6 { 6 } else { 4 },
        withdrawal.elapsed(),
        us.process().cpu_seconds(),
        us.process().peak_rss_kib() / 1024,
    );
    assert!(us.process().is_running());
}

const CONFIGURATION: &str = r#"
[router]
asn = 4210000000
router-id = "10.0.0.1"

[peer-group.all]
remote-as = "external"
import = ["accept-all"]
export = ["accept-all"]

[[peer]]
address = "10.0.0.2"
group = "all"
passive = true

[[peer]]
address = "10.0.1.2"
group = "all"
"#;

/// Reads and forgets whatever the daemon sends, so that it never waits for us.
fn drain(raw: &Raw) {
    let mut stream = raw.stream();
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        // Ends with the connection; a timeout is none of its business.
        let _ = stream.set_read_timeout(None);
        while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
    });
}

fn kernel_prefixes(host: &Host, ipv6: bool) -> HashSet<IpNet> {
    let family = if ipv6 { "-6" } else { "-4" };
    let shown = host.ip(&[family, "route", "show", "proto", "103"]);
    let words: Vec<String> = shown
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        // iproute2 leaves the length of host routes out.
        .map(|word| match word.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address).to_string(),
            Err(_) => word.to_owned(),
        })
        .collect();
    parse(&words)
}

fn parse(words: &[String]) -> HashSet<IpNet> {
    words
        .iter()
        .map(|word| word.parse().unwrap_or_else(|_| panic!("no prefix: {word}")))
        .collect()
}

#[track_caller]
fn compare(place: &str, want: &HashSet<IpNet>, found: &HashSet<IpNet>) {
    let missing: Vec<&IpNet> = want.difference(found).take(5).collect();
    let strange: Vec<&IpNet> = found.difference(want).take(5).collect();
    assert!(
        missing.is_empty() && strange.is_empty(),
        "{place} has {} routes of {}; missing for instance {missing:?}, not announced {strange:?}",
        found.len(),
        want.len(),
    );
}

#[test]
fn of_ipv4_is_equal_at_bird_and_in_the_kernel() {
    run(false);
}

#[test]
fn of_ipv6_is_equal_at_bird_and_in_the_kernel() {
    run(true);
}
