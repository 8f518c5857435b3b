//! AS numbers: a `local-as` with the others, and what becomes of paths with FRR
//! in our place.

mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use godwit_tests::attrs::{self, ParsedUpdate};
use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen, UPDATE};
use godwit_tests::router::{Neighbour, Router, RouterSpec};
use godwit_tests::{Host, Lab, wait_for};
use ipnet::IpNet;

use crate::duo::{self, Duo, OUR_IPV4, Options, US};

const KNOWN_AS: u32 = 64501;

fn options(local_as: &str) -> Options {
    Options {
        they_call_us: KNOWN_AS,
        peer_lines: format!(
            "import = [\"accept-all\"]\nexport = [\"accept-all\"]\nlocal-as = {local_as}\n"
        ),
        ..Options::default()
    }
}

/// What follows the number is applied to the running session; another number is
/// another OPEN.
fn a_local_as_is_what_they_know_us_by<R: Router>() {
    let duo: Duo<R> = Duo::start(options("64501"));
    duo.wait_established();
    let path_there = |path: &str| {
        wait_for(&format!("our route there as {path}"), || {
            let seen = duo.them.route(OUR_IPV4)?;
            (seen.as_path == path).then_some(())
        });
    };
    path_there("64501 64512");
    let mut raw = duo.raw();
    let path_behind = |raw: &mut Raw, path: &[u32]| {
        let path = attrs::as_path(path);
        raw.expect_update(|update| {
            let theirs = update.announced.contains(&net("10.2.0.0/24"));
            theirs && update.attribute(2) == Some((0x40, &path[3..]))
        });
    };
    path_behind(&mut raw, &[64512, KNOWN_AS, 65002]);
    let both = options("{ asn = 64501, no-prepend = true, replace-as = true }");
    duo.us.reload(&duo::configuration(&both));
    path_there("64501");
    path_behind(&mut raw, &[64512, 65002]);
    let us = US.parse().expect("an address");
    assert_eq!(duo.them.times_established(us), 1, "it is the same session");
    let another = options("64502");
    duo.us.reload(&duo::configuration(&another));
    wait_for("the session to end", || {
        (!duo.them.is_established(us)).then_some(())
    });
}

#[test]
fn a_peer_added_by_command_has_its_rules() {
    let lab = Lab::new();
    let host = lab.host("us");
    let us = Godwit::start(&host, "[router]\nasn = 64512\nrouter-id = \"10.0.0.1\"\n");
    let add = "peer add 10.0.0.2 --remote-as 65002 --local-as 64501 --replace-as --dual-as --allow-as-in 1 \
               --as-override --remove-private-as all --enforce-first-as false --as-set accept \
               --max-as-path-length 50 --role customer --role-strict --send-communities large";
    let add: Vec<&str> = add.split_whitespace().collect();
    us.cli(&add).expect("the peer is added");
    let shown = us.json(&["peer", "show", "10.0.0.2"]);
    let path = &shown["peer"]["path"];
    let expected = serde_json::json!({
        "local_as": { "asn": 64501, "no_prepend": false, "replace_as": true, "dual_as": true },
        "allow_as_in": 1,
        "as_override": true,
        "remove_private_as": "all",
        "enforce_first_as": false,
        "accept_as_set": true,
        "max_as_path_length": 50,
        "role": "customer",
        "role_strict": true,
        "send_communities": { "kinds": ["large"] },
    });
    assert_eq!(*path, expected);
    assert_eq!(shown["peer"]["local_asn"], 64501);
    let text = us.cli(&["peer", "show", "10.0.0.2"]).expect("it is shown");
    for part in [
        "role: customer, strict",
        "local AS 64501 replace-as dual-as",
        "communities sent: large",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let wrong = [
        "peer",
        "add",
        "10.0.0.3",
        "--remote-as",
        "internal",
        "--role",
        "peer",
    ];
    let said = us.cli(&wrong).expect_err("roles are for external peers");
    assert!(said.contains("an internal peer has no role"), "{said}");
}

with_every_router!(a_local_as_is_what_they_know_us_by);

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

const OUR_ASN: u32 = 64500;
const SENDER_ASN: u32 = 65101;
const RECEIVER_ASN: u32 = 65102;

/// Paths behind the sender's number.
const PATHS: [&[u32]; 8] = [
    &[],
    &[65103],
    &[3356, 65103],
    &[RECEIVER_ASN],
    &[3356, RECEIVER_ASN, 7],
    &[OUR_ASN],
    &[KNOWN_AS],
    &[4_200_000_001, 7],
];

/// A session as Godwit and as FRR configure it: a name, lines for us, lines for
/// FRR, the number that the other end knows us by.
type Session = (&'static str, &'static str, &'static [&'static str], u32);

const SENDERS: [Session; 5] = [
    ("plain", "", &[], OUR_ASN),
    (
        "local-as",
        "local-as = 64501",
        &["local-as 64501"],
        KNOWN_AS,
    ),
    (
        "no-prepend",
        "local-as = { asn = 64501, no-prepend = true }",
        &["local-as 64501 no-prepend"],
        KNOWN_AS,
    ),
    (
        "no-prepend and replace-as",
        "local-as = { asn = 64501, no-prepend = true, replace-as = true }",
        &["local-as 64501 no-prepend replace-as"],
        KNOWN_AS,
    ),
    ("allow-as-in", "allow-as-in = 1", &["allowas-in 1"], OUR_ASN),
];

const RECEIVERS: [Session; 9] = [
    ("plain", "", &[], OUR_ASN),
    (
        "remove-private-as",
        "remove-private-as = true",
        &["remove-private-AS"],
        OUR_ASN,
    ),
    (
        "all",
        "remove-private-as = \"all\"",
        &["remove-private-AS all"],
        OUR_ASN,
    ),
    (
        "replace",
        "remove-private-as = \"replace\"",
        &["remove-private-AS replace-AS"],
        OUR_ASN,
    ),
    (
        "all-replace",
        "remove-private-as = \"all-replace\"",
        &["remove-private-AS all replace-AS"],
        OUR_ASN,
    ),
    (
        "as-override",
        "as-override = true",
        &["as-override"],
        OUR_ASN,
    ),
    (
        "local-as",
        "local-as = 64501",
        &["local-as 64501"],
        KNOWN_AS,
    ),
    (
        "no-prepend and replace-as",
        "local-as = { asn = 64501, no-prepend = true, replace-as = true }",
        &["local-as 64501 no-prepend replace-as"],
        KNOWN_AS,
    ),
    ("no communities", "send-communities = []", &[], OUR_ASN),
];

/// Path by receiver, sender and what the sender announced.
type Sent = BTreeMap<(&'static str, &'static str, usize), String>;

#[test]
fn paths_are_what_frr_makes_of_them() {
    let ours = sent_by(Dut::Godwit);
    let theirs = sent_by(Dut::Frr);
    let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    assert!(keys.len() > 200, "only {} cases", keys.len());
    let differing: Vec<String> = keys
        .into_iter()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .map(|key| {
            let (receiver, sender, path) = *key;
            let (ours, theirs) = (ours.get(key), theirs.get(key));
            let path = PATHS[path];
            format!("{receiver} of {sender} {path:?}: {ours:?}, FRR {theirs:?}")
        })
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

#[derive(Clone, Copy)]
enum Dut {
    Godwit,
    Frr,
}

/// Senders are 10.0.0.10 and up, receivers 10.0.1.10 and up.
fn sent_by(dut: Dut) -> Sent {
    let lab = Lab::new();
    let [host, senders, receivers] = ["dut", "senders", "receivers"].map(|name| lab.host(name));
    let addresses = |net: u8, count: usize| -> Vec<String> {
        (0..count)
            .map(|n| format!("10.0.{net}.{}", n + 10))
            .collect()
    };
    let from = addresses(0, SENDERS.len());
    let to = addresses(1, RECEIVERS.len());
    link(&lab, &host, "10.0.0.1/24", &senders, &from);
    link(&lab, &host, "10.0.1.1/24", &receivers, &to);
    let all = || {
        let from = from.iter().zip(SENDERS).map(|(a, s)| (a, SENDER_ASN, s));
        from.chain(to.iter().zip(RECEIVERS).map(|(a, s)| (a, RECEIVER_ASN, s)))
    };
    let _running: Box<dyn std::any::Any> = match dut {
        Dut::Godwit => {
            let mut text = format!("[router]\nasn = {OUR_ASN}\nrouter-id = \"10.0.0.1\"\n");
            text += "[fib]\nenabled = false\n[peer-group.g]\npassive = true\n";
            text += "import = [\"accept-all\"]\nexport = [\"accept-all\"]\n";
            for (address, asn, (_, lines, ..)) in all() {
                text += &format!("[[peer]]\naddress = \"{address}\"\ngroup = \"g\"\n");
                text += &format!("remote-as = {asn}\n{lines}\n");
            }
            Box::new(Godwit::start(&host, &text))
        }
        Dut::Frr => {
            let neighbours = all().map(|(address, asn, (_, _, lines, _))| Neighbour {
                passive: true,
                ipv6: false,
                extra: lines.iter().map(|&line| line.to_owned()).collect(),
                ..Neighbour::new(address, asn)
            });
            let spec = RouterSpec {
                asn: OUR_ASN,
                router_id: "10.0.0.1".to_owned(),
                neighbours: neighbours.collect(),
                announce: Vec::new(),
            };
            Box::new(Frr::start(&host, spec))
        }
    };
    let session = |host: &Host, address: &str, asn, gateway: &str| {
        let open = RawOpen {
            ipv6: false,
            ..RawOpen::new(asn, address)
        };
        Raw::establish(host, address, gateway, &open)
    };
    let receiving = to
        .iter()
        .map(|a| session(&receivers, a, RECEIVER_ASN, "10.0.1.1"));
    let mut receiving: Vec<Raw> = receiving.collect();
    let sending = from
        .iter()
        .map(|a| session(&senders, a, SENDER_ASN, "10.0.0.1"));
    let mut sending: Vec<Raw> = sending.collect();
    let mut tables = vec![BTreeMap::new(); receiving.len()];
    let all = 0..PATHS.len();
    // Routes leave in bunches of one path, so the first mark may come before some of
    // what was announced before it; the second, announced when the first has come to
    // all, does not.
    for announced in [all.clone(), all.end..all.end + 1, all.end + 1..all.end + 2] {
        for (n, (raw, address)) in sending.iter_mut().zip(&from).enumerate() {
            for m in announced.clone() {
                let mark = [m as u32];
                let path = PATHS.get(m).copied().unwrap_or(&mark);
                let path = [&[SENDER_ASN], path].concat();
                raw.send_update(&announcement(n, m, &path, address));
            }
        }
        if announced.start >= all.end {
            for (raw, table) in receiving.iter_mut().zip(&mut tables) {
                read_until(raw, table, announced.start);
            }
        }
    }
    let mut sent = Sent::new();
    for ((name, ..), table) in RECEIVERS.iter().zip(tables) {
        for (prefix, path) in table {
            let octets = prefix.octets();
            let (sender, path_of) = (usize::from(octets[1]) - 100, usize::from(octets[2]));
            if path_of < PATHS.len() {
                sent.insert((*name, SENDERS[sender].0, path_of), path);
            }
        }
    }
    sent
}

fn link(lab: &Lab, dut: &Host, gateway: &str, host: &Host, addresses: &[String]) {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("{a}/24")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    lab.link(dut, &[gateway], host, &addresses);
}

fn announcement(sender: usize, path_of: usize, path: &[u32], hop: &str) -> Vec<u8> {
    let hop: Ipv4Addr = hop.parse().expect("an address");
    let prefix = format!("10.{}.{path_of}.0/24", sender + 100);
    let all = [attrs::origin(0), attrs::as_path(path), attrs::next_hop(hop)];
    attrs::update(&[], &all, &[net(&prefix)])
}

/// Reads until the route of this number has come of every sender.
fn read_until(raw: &mut Raw, table: &mut BTreeMap<Ipv4Addr, String>, mark: usize) {
    let last = |n: usize| Ipv4Addr::new(10, n as u8 + 100, mark as u8, 0);
    while !(0..SENDERS.len()).all(|n| table.contains_key(&last(n))) {
        let message = raw.expect_message(UPDATE);
        let update = ParsedUpdate::parse(&message.body);
        let path = update.attribute(2).map(|(_, value)| text(value));
        for prefix in &update.announced {
            if let IpNet::V4(prefix) = prefix {
                table.insert(prefix.addr(), path.clone().unwrap_or_default());
            }
        }
        for prefix in &update.withdrawn {
            if let IpNet::V4(prefix) = prefix {
                table.remove(&prefix.addr());
            }
        }
    }
}

/// A path of sequences.
fn text(mut path: &[u8]) -> String {
    let mut numbers: Vec<String> = Vec::new();
    while let [_, count, rest @ ..] = path {
        let (segment, rest) = rest.split_at(usize::from(*count) * 4);
        let (asns, _) = segment.as_chunks::<4>();
        numbers.extend(asns.iter().map(|asn| u32::from_be_bytes(*asn).to_string()));
        path = rest;
    }
    numbers.join(" ")
}
