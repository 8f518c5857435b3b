//! FRR's other ways to choose what it sends: the best path of each neighbouring
//! AS, and all; changed from one to the other, with sources that come and go.
//!
//! ```text
//!   us 10.0.0.1, AS 65001 ── them 10.0.0.2, AS 65002 ── 10.0.0.11 and .12, AS 65011; .13, AS 65012
//! ```

use std::collections::BTreeMap;

use godwit_tests::frr::Frr;
use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{Raw, RawOpen};
use godwit_tests::router::{Announce, Neighbour, Router as _, RouterSpec};
use godwit_tests::{Lab, attrs, wait_for};

use super::{ALL, THEM, US, as_path, config};

const PREFIX: &str = "203.0.113.0/24";
const SOURCES: [(&str, u32); 3] = [
    ("10.0.0.11", 65011),
    ("10.0.0.12", 65011),
    ("10.0.0.13", 65012),
];

/// Fields drop in order: processes before the namespaces that they live in.
struct PerAs {
    us: Godwit,
    them: Frr,
    sources: Vec<Raw>,
    _lab: Lab,
}

fn start(strategy: &str) -> PerAs {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [us, them, sources] = ["us", "them", "sources"].map(|name| lab.host(name));
    lab.plug(&us, &["10.0.0.1/24"], &switch);
    lab.plug(&them, &["10.0.0.2/24"], &switch);
    let addresses = SOURCES.map(|(address, _)| format!("{address}/24"));
    lab.plug(&sources, &addresses.each_ref().map(String::as_str), &switch);
    let godwit = Godwit::start(&us, &config(ALL, ""));
    let passive = |(address, asn)| Neighbour {
        passive: true,
        ipv6: false,
        ..Neighbour::new(address, asn)
    };
    let frr = Frr::start(
        &them,
        RouterSpec {
            asn: 65002,
            router_id: THEM.to_owned(),
            neighbours: [Neighbour::new(US, 65001)]
                .into_iter()
                .chain(SOURCES.map(passive))
                .collect(),
            announce: vec![Announce::plain("198.51.100.0/24")],
        },
    );
    set(&frr, strategy);
    let session = |(address, asn)| {
        let open = RawOpen {
            ipv6: false,
            ..RawOpen::new(asn, address)
        };
        Raw::establish(&sources, address, THEM, &open)
    };
    let sources = SOURCES.map(session).into();
    godwit.wait_established(THEM);
    PerAs {
        us: godwit,
        them: frr,
        sources,
        _lab: lab,
    }
}

fn set(frr: &Frr, strategy: &str) {
    frr.configure(&[
        "router bgp 65002",
        "address-family ipv4 unicast",
        &format!("neighbor {US} {strategy}"),
    ]);
}

impl PerAs {
    /// A path of source `n`, through these.
    fn announce(&mut self, n: usize, through: &[u32]) {
        let (address, asn) = SOURCES[n];
        let all = [
            attrs::origin(0),
            attrs::as_path(&[&[asn], through].concat()),
            attrs::next_hop(address.parse().expect("an address")),
        ];
        let update = attrs::update(&[], &all, &[PREFIX.parse().expect("a prefix")]);
        self.sources[n].send_update(&update);
    }

    fn withdraw(&mut self, n: usize) {
        let update = attrs::update(&[PREFIX.parse().expect("a prefix")], &[], &[]);
        self.sources[n].send_update(&update);
    }

    /// Waits until these are here and no others; their identifiers, all apart.
    #[track_caller]
    fn wait(&self, paths: &[&str]) -> BTreeMap<String, u64> {
        let ids = wait_for(&format!("the paths {paths:?}"), || {
            let routes = self
                .us
                .json(&["route", "list", "--peer", THEM, "--received"]);
            let mut ids = BTreeMap::new();
            for batch in routes["batches"].as_array()? {
                for path in batch["paths"].as_array()? {
                    if path["prefix"] == PREFIX {
                        ids.insert(as_path(&batch["attributes"]), path["path_id"].as_u64()?);
                    }
                }
            }
            ids.keys().eq(paths).then_some(ids)
        });
        let mut apart: Vec<u64> = ids.values().copied().collect();
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(apart.len(), paths.len(), "{ids:?}");
        ids
    }
}

const ONE: &str = "65002 65011 1 2";
const TWO: &str = "65002 65011 1 2 3";
const TWO_SHORTER: &str = "65002 65011 3";
const OTHER: &str = "65002 65012 4 5 6 7";

#[test]
fn frrs_best_of_each_as_come_and_go_and_the_others_keep_their_identifiers() {
    let mut lab = start("addpath-tx-bestpath-per-AS");
    lab.announce(0, &[1, 2]);
    lab.announce(1, &[1, 2, 3]);
    lab.announce(2, &[4, 5, 6, 7]);
    let first = lab.wait(&[ONE, OTHER]);
    // Another is the best of its AS.
    lab.announce(1, &[3]);
    let ids = lab.wait(&[TWO_SHORTER, OTHER]);
    assert_eq!(ids[OTHER], first[OTHER]);
    lab.withdraw(1);
    let ids = lab.wait(&[ONE, OTHER]);
    assert_eq!(ids[OTHER], first[OTHER]);
    lab.withdraw(0);
    let ids = lab.wait(&[OTHER]);
    assert_eq!(ids[OTHER], first[OTHER]);
    lab.announce(0, &[1, 2]);
    let ids = lab.wait(&[ONE, OTHER]);
    assert_eq!(ids[OTHER], first[OTHER]);
    // All, instead: whatever that does to the session.
    set(&lab.them, "addpath-tx-all-paths");
    lab.announce(1, &[1, 2, 3]);
    lab.wait(&[ONE, TWO, OTHER]);
}

#[test]
fn of_all_of_frrs_paths_each_keeps_its_identifier_when_others_change() {
    let mut lab = start("addpath-tx-all-paths");
    lab.announce(0, &[1, 2]);
    lab.announce(1, &[1, 2, 3]);
    lab.announce(2, &[4, 5, 6, 7]);
    let first = lab.wait(&[ONE, TWO, OTHER]);
    lab.announce(1, &[3]);
    let ids = lab.wait(&[ONE, TWO_SHORTER, OTHER]);
    assert_eq!(ids[OTHER], first[OTHER]);
    assert_eq!(ids[ONE], first[ONE]);
    // Replaced in place: the same path to us (RFC 7911 §3).
    assert_eq!(ids[TWO_SHORTER], first[TWO]);
    lab.withdraw(0);
    let ids = lab.wait(&[TWO_SHORTER, OTHER]);
    assert_eq!(ids[OTHER], first[OTHER]);
    lab.sources.pop();
    lab.wait(&[TWO_SHORTER]);
    let shown = lab.us.json(&["route", "show", PREFIX]);
    assert_eq!(as_path(&shown["batches"][0]["attributes"]), TWO_SHORTER);
}
