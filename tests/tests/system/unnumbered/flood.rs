//! A link on which somebody claims to be many routers, thousands of times.

use std::net::{Ipv6Addr, SocketAddrV6};

use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::{Host, Lab, wait_for};
use socket2::{Domain, Protocol, Socket, Type};

use super::{is_established, link_local, peer, wait_established};

const ADVERTISEMENTS: u32 = 20_000;
/// The kernel makes a neighbour of each, in a table that all hosts of this
/// machine share: more would be at the cost of other tests.
const ROUTERS: u32 = 64;
const GROWTH_KIB: u64 = 4 << 10;

const US: &str = "
[router]
asn = 65001
router-id = \"1.1.1.1\"
[fib]
enabled = false
[[peer]]
interface = \"to-lan\"
remote-as = \"external\"
connect-retry = \"1s\"
import = [\"accept-all\"]
export = [\"accept-all\"]
";

/// A router advertisement of this source (RFC 4861 §4.2) with its IPv6 header.
fn advertisement(from: Ipv6Addr) -> Vec<u8> {
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = [0; 16];
    message[0] = 134;
    let mut sum: u32 = 58 + message.len() as u32;
    for part in [&from.octets()[..], &to.octets(), &message] {
        let (words, _) = part.as_chunks::<2>();
        sum += words
            .iter()
            .map(|w| u32::from(u16::from_be_bytes(*w)))
            .sum::<u32>();
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    message[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0, 0, message.len() as u8, 58, 255];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(message);
    packet
}

/// Of as many sources as there are routers, in turn.
fn flood(host: &Host, interface: &str) {
    let shown = host.ip(&["-o", "link", "show", "dev", interface]);
    let index: u32 = shown
        .split(':')
        .next()
        .and_then(|n| n.trim().parse().ok())
        .expect("an index");
    host.enter(|| {
        // Its packets come with their headers.
        const WITH_HEADERS: i32 = 255;
        let protocol = Some(Protocol::from(WITH_HEADERS));
        let socket = Socket::new(Domain::IPV6, Type::RAW, protocol).expect("root may");
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let to = SocketAddrV6::new(all, 0, 0, index).into();
        for n in 0..ADVERTISEMENTS {
            let router = (n % ROUTERS) as u16 + 1;
            let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xbad, 0, 0, router);
            socket.send_to(&advertisement(from), &to).expect("sent");
        }
    });
}

fn lan() -> (Lab, [Host; 3]) {
    let lab = Lab::new();
    let switch = lab.switch("lan");
    let hosts = ["us", "them", "odd"].map(|name| {
        let host = lab.host(name);
        lab.plug(&host, &[], &switch);
        host
    });
    (lab, hosts)
}

fn frr(host: &Host) -> Frr {
    Frr::start_with(
        host,
        "router bgp 65002
          bgp router-id 2.2.2.2
          no bgp ebgp-requires-policy
          neighbor to-lan interface remote-as external
          neighbor to-lan timers connect 1",
    )
}

#[test]
fn a_flood_of_routers_changes_no_session_and_costs_no_memory() {
    let (_lab, [us_host, them_host, odd_host]) = lan();
    let mut us = Godwit::start(&us_host, US);
    let _them = frr(&them_host);
    wait_established(&us, "to-lan");
    let theirs = link_local(&them_host, "to-lan");
    let before = us.process().peak_rss_kib();
    flood(&odd_host, "to-lan");
    wait_for("another router to be told of", || {
        let note = peer(&us, "to-lan")["note"].to_string();
        note.contains("another router is on to-lan, fe80::bad:")
            .then_some(())
    });
    assert!(is_established(&us, "to-lan"));
    assert_eq!(peer(&us, "to-lan")["neighbour"], format!("{theirs}%to-lan"));
    let grown = us.process().peak_rss_kib() - before;
    assert!(grown < GROWTH_KIB, "{grown} KiB");
    // Who floods writes no log of his own in ours.
    let lines = us.process().log().lines().count();
    assert!(lines < 5_000, "{lines} lines");
}

#[test]
fn a_flood_before_there_is_a_session_is_survived_by_who_connects() {
    let (_lab, [us_host, them_host, odd_host]) = lan();
    let us = Godwit::start(&us_host, US);
    wait_for("it to listen", || {
        let note = peer(&us, "to-lan")["note"].to_string();
        note.contains("waiting for a router").then_some(())
    });
    flood(&odd_host, "to-lan");
    wait_for("somebody to be taken for the neighbour", || {
        let found = peer(&us, "to-lan")["neighbour"].to_string();
        found.contains("fe80::bad:").then_some(())
    });
    let them = frr(&them_host);
    wait_established(&us, "to-lan");
    let theirs = link_local(&them_host, "to-lan");
    assert_eq!(peer(&us, "to-lan")["neighbour"], format!("{theirs}%to-lan"));
    drop(them);
}
