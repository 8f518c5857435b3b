//! Several paths a prefix (RFC 7911), with every speaker that knows them, on one
//! switch. The two sources announce the same prefixes, to us or to them:
//!
//! ```text
//!   us 10.0.0.1, AS 65001     them 10.0.0.2, AS 65002
//!   one 10.0.0.11, AS 65011   two 10.0.0.12, AS 65012
//! ```

mod per_as;

use std::collections::BTreeMap;

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::gobgp::Gobgp;
use godwit_tests::godwit::Godwit;
use godwit_tests::openbgpd::Openbgpd;
use godwit_tests::router::{Neighbour, RouterSpec, Several};
use godwit_tests::{Host, Lab, wait_for};
use serde_json::Value;

const US: &str = "10.0.0.1";
const THEM: &str = "10.0.0.2";
const SOURCES: [(&str, u32); 2] = [("10.0.0.11", 65011), ("10.0.0.12", 65012)];
const PREFIXES: [&str; 2] = ["203.0.113.0/24", "2001:db8:7::/48"];

/// Fields drop in order: processes before the namespaces that they live in.
#[derive(Debug)]
struct Four<R> {
    us: Godwit,
    them: R,
    sources: [Godwit; 2],
    _lab: Lab,
}

/// To whom the sources announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hub {
    Us,
    Them,
}

impl<R: Several> Four<R> {
    #[track_caller]
    fn start(hub: Hub) -> Four<R> {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let host = |name: &str, last: u8| -> Host {
            let host = lab.host(name);
            let addresses = [format!("10.0.0.{last}/24"), format!("fd00::{last}/64")];
            lab.plug(&host, &[&addresses[0], &addresses[1]], &switch);
            host
        };
        let hosts = [("us", 1), ("them", 2), ("one", 11), ("two", 12)];
        let [us, them, one, two] = hosts.map(|(name, last)| host(name, last));
        let sources = SOURCES.map(|(address, asn)| Neighbour::new(address, asn));
        let us_there = Neighbour {
            several: true,
            ..Neighbour::new(US, 65001)
        };
        let spec = RouterSpec {
            asn: 65002,
            router_id: THEM.to_owned(),
            neighbours: match hub {
                Hub::Us => vec![us_there],
                Hub::Them => [us_there].into_iter().chain(sources).collect(),
            },
            announce: Vec::new(),
        };
        let (hub_address, hub_asn) = match hub {
            Hub::Us => (US, 65001),
            Hub::Them => (THEM, 65002),
        };
        let source = |host: &Host, (address, asn): (&str, u32)| {
            Godwit::start(host, &source_config(address, asn, hub_address, hub_asn))
        };
        let four = Four {
            us: Godwit::start(&us, &config(ALL, "")),
            them: R::start(&them, spec),
            sources: [source(&one, SOURCES[0]), source(&two, SOURCES[1])],
            _lab: lab,
        };
        four.us.wait_established(THEM);
        for source in &four.sources {
            source.wait_established(hub_address);
            announce(source);
        }
        four
    }

    /// They hold the paths through these, first to last.
    #[track_caller]
    fn wait_there(&self, prefix: &str, paths: &[&str]) {
        wait_for(&format!("{paths:?} of {prefix} there"), || {
            let mut seen: Vec<String> = self
                .them
                .paths(prefix)
                .into_iter()
                .map(|p| p.as_path)
                .collect();
            seen.sort();
            (seen == paths).then_some(())
        });
    }

    /// The paths in a view of ours of the session with them: identifiers by the
    /// AS paths.
    fn ids(&self, view: &str, prefix: &str) -> BTreeMap<String, Option<u64>> {
        let routes = self.us.json(&["route", "list", "--peer", THEM, view]);
        let mut ids = BTreeMap::new();
        for batch in routes["batches"].as_array().into_iter().flatten() {
            for path in batch["paths"].as_array().into_iter().flatten() {
                if path["prefix"] == prefix {
                    ids.insert(as_path(&batch["attributes"]), path["path_id"].as_u64());
                }
            }
        }
        ids
    }

    /// Waits until a view has so many paths, each with an identifier of its own.
    #[track_caller]
    fn wait_ids(&self, view: &str, prefix: &str, n: usize) -> BTreeMap<String, Option<u64>> {
        let ids = wait_for(&format!("{n} paths of {prefix}, {view}"), || {
            let ids = self.ids(view, prefix);
            (ids.len() == n).then_some(ids)
        });
        let mut apart: Vec<u64> = ids.values().flatten().copied().collect();
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(apart.len(), n, "{ids:?}");
        ids
    }

    fn times_established(&self) -> u64 {
        self.them.times_established(US.parse().expect("an address"))
    }

    fn flap(&self) {
        let before = self.times_established();
        let reset = ["peer", "reset", "--hard", THEM];
        self.us.cli(&reset).expect("a session to end");
        wait_for("another session", || {
            (self.times_established() > before).then_some(())
        });
        self.us.wait_established(THEM);
    }
}

fn as_path(attributes: &Value) -> String {
    let segments = attributes["as_path"].as_array().into_iter().flatten();
    let numbers = segments.flat_map(|segment| segment["asns"].as_array().into_iter().flatten());
    let numbers: Vec<String> = numbers.map(|asn| asn.to_string()).collect();
    numbers.join(" ")
}

fn announce(source: &Godwit) {
    for prefix in PREFIXES {
        source.cli(&["route", "add", prefix]).expect("a new route");
    }
}

fn withdraw(source: &Godwit) {
    for prefix in PREFIXES {
        source
            .cli(&["route", "remove", prefix])
            .expect("a route of it");
    }
}

const ALL: &str = "add-path = { receive = true, send = \"all\" }";

/// `add_path`: a line of both families with them; `two`: lines of the second
/// source.
fn config(add_path: &str, two: &str) -> String {
    format!(
        r#"
[router]
asn = 65001
router-id = "{US}"
multipath-relax = true

[fib]
enabled = false

[peer-group.all]
remote-as = "external"
export = ["accept-all"]
connect-retry = "1s"

[[peer]]
address = "{THEM}"
group = "all"
import = ["accept-all"]
[peer.family.ipv4-unicast]
{add_path}
[peer.family.ipv6-unicast]
{add_path}

[[peer]]
address = "10.0.0.11"
group = "all"
import = ["accept-all"]

[[peer]]
address = "10.0.0.12"
group = "all"
{two}

[[policy.route.prefer]]
set = {{ local-pref = 200 }}
then = "accept"
"#
    )
}

const AS_IT_IS: &str = "import = [\"accept-all\"]";
const PREFERRED: &str = "import = [\"prefer\"]";

fn source_config(address: &str, asn: u32, hub: &str, hub_asn: u32) -> String {
    format!(
        r#"
[router]
asn = {asn}
router-id = "{address}"

[fib]
enabled = false

[[peer]]
address = "{hub}"
remote-as = {hub_asn}
connect-retry = "1s"
import = ["accept-all"]
export = ["accept-all"]
"#
    )
}

const BOTH_OF_US: [&str; 2] = ["65001 65011", "65001 65012"];

fn our_paths_arrive_and_each_goes_alone<R: Several>() {
    let four: Four<R> = Four::start(Hub::Us);
    four.us.reload(&config(ALL, AS_IT_IS));
    for prefix in PREFIXES {
        four.wait_there(prefix, &BOTH_OF_US);
    }
    let before = PREFIXES.map(|prefix| four.wait_ids("--advertised", prefix, 2));
    withdraw(&four.sources[0]);
    for (prefix, before) in PREFIXES.iter().zip(&before) {
        four.wait_there(prefix, &BOTH_OF_US[1..]);
        let left = four.ids("--advertised", prefix);
        assert_eq!(left[BOTH_OF_US[1]], before[BOTH_OF_US[1]]);
    }
    announce(&four.sources[0]);
    for prefix in PREFIXES {
        four.wait_there(prefix, &BOTH_OF_US);
    }
    four.flap();
    for prefix in PREFIXES {
        four.wait_there(prefix, &BOTH_OF_US);
    }
    let shown = four.us.cli(&["peer", "show", THEM]).expect("a peer");
    assert!(shown.contains("send all"), "{shown}");
    assert!(shown.contains("add-path ipv4-unicast both"), "{shown}");
}

fn our_identifiers_stay_when_another_path_becomes_the_best<R: Several>() {
    let four: Four<R> = Four::start(Hub::Us);
    four.us.reload(&config(ALL, AS_IT_IS));
    let before = PREFIXES.map(|prefix| four.wait_ids("--advertised", prefix, 2));
    let best = |prefix: &str| {
        let routes = four.us.json(&["route", "show", prefix]);
        as_path(&routes["batches"][0]["attributes"])
    };
    assert_eq!(best(PREFIXES[0]), "65011");
    four.us.reload(&config(ALL, PREFERRED));
    for (prefix, before) in PREFIXES.iter().zip(before) {
        wait_for("another best path", || {
            (best(prefix) == "65012").then_some(())
        });
        four.wait_there(prefix, &BOTH_OF_US);
        assert_eq!(four.ids("--advertised", prefix), before);
    }
}

fn how_many_we_send_changes_in_place_and_whether_does_not<R: Several>() {
    let four: Four<R> = Four::start(Hub::Us);
    let send = |paths: &str| {
        let add_path = format!("add-path = {{ receive = true, send = {paths} }}");
        four.us.reload(&config(&add_path, AS_IT_IS));
    };
    send("2");
    four.wait_there(PREFIXES[0], &BOTH_OF_US);
    let before = four.times_established();
    for (paths, arrive) in [
        ("1", &BOTH_OF_US[..1]),
        ("\"ecmp\"", &BOTH_OF_US),
        ("1", &BOTH_OF_US[..1]),
        ("\"all\"", &BOTH_OF_US),
    ] {
        send(paths);
        for prefix in PREFIXES {
            four.wait_there(prefix, arrive);
        }
    }
    assert_eq!(four.times_established(), before);
    four.us.reload(&config("", AS_IT_IS));
    wait_for("another session", || {
        (four.times_established() > before).then_some(())
    });
    for prefix in PREFIXES {
        four.wait_there(prefix, &BOTH_OF_US[..1]);
        let ids = four.ids("--advertised", prefix);
        assert_eq!(ids, BTreeMap::from([(BOTH_OF_US[0].to_owned(), None)]));
    }
}

const BOTH_OF_THEM: [&str; 2] = ["65002 65011", "65002 65012"];

fn their_paths_arrive_and_each_goes_alone<R: Several>() {
    let four: Four<R> = Four::start(Hub::Them);
    let before = PREFIXES.map(|prefix| four.wait_ids("--received", prefix, 2));
    for ids in &before {
        assert!(ids.keys().eq(BOTH_OF_THEM), "{ids:?}");
    }
    withdraw(&four.sources[0]);
    for (prefix, before) in PREFIXES.iter().zip(&before) {
        let left = four.wait_ids("--received", prefix, 1);
        assert_eq!(left[BOTH_OF_THEM[1]], before[BOTH_OF_THEM[1]]);
    }
    announce(&four.sources[0]);
    for prefix in PREFIXES {
        four.wait_ids("--received", prefix, 2);
    }
    four.flap();
    for prefix in PREFIXES {
        four.wait_ids("--received", prefix, 2);
    }
    let shown = four.us.json(&["peer", "show", THEM]);
    let families = shown["peer"]["families"].as_array();
    for family in families.expect("a list") {
        assert_eq!(family["add_path_receive"], true, "{family}");
        assert_eq!(
            (&family["received"], &family["prefixes"]),
            (&2.into(), &1.into())
        );
    }
}

fn a_session_that_takes_one_path_keeps_none_of_one_that_took_several<R: Several>() {
    let four: Four<R> = Four::start(Hub::Them);
    for prefix in PREFIXES {
        four.wait_ids("--received", prefix, 2);
    }
    four.us.reload(&config("", AS_IT_IS));
    for prefix in PREFIXES {
        wait_for("one path", || {
            let ids = four.ids("--received", prefix);
            (ids.len() == 1 && ids.values().all(Option::is_none)).then_some(())
        });
    }
    let routes = four.us.json(&["route", "list", "--received"]);
    let paths = routes["batches"].as_array().into_iter().flatten();
    let paths: usize = paths
        .map(|batch| batch["paths"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(paths, PREFIXES.len());
}

macro_rules! with_each {
    ($($name:ident($router:ty): [$($scenario:ident),*]),* $(,)?) => {
        $(mod $name {
            $(#[test] fn $scenario() { super::$scenario::<$router>(); })*
        })*
    };
}

with_each!(
    bird(super::Bird): [
        our_paths_arrive_and_each_goes_alone,
        our_identifiers_stay_when_another_path_becomes_the_best,
        how_many_we_send_changes_in_place_and_whether_does_not,
        their_paths_arrive_and_each_goes_alone,
        a_session_that_takes_one_path_keeps_none_of_one_that_took_several
    ],
    frr(super::Frr): [
        our_paths_arrive_and_each_goes_alone,
        our_identifiers_stay_when_another_path_becomes_the_best,
        how_many_we_send_changes_in_place_and_whether_does_not,
        their_paths_arrive_and_each_goes_alone,
        a_session_that_takes_one_path_keeps_none_of_one_that_took_several
    ],
    gobgp(super::Gobgp): [
        our_paths_arrive_and_each_goes_alone,
        our_identifiers_stay_when_another_path_becomes_the_best,
        how_many_we_send_changes_in_place_and_whether_does_not,
        their_paths_arrive_and_each_goes_alone,
        a_session_that_takes_one_path_keeps_none_of_one_that_took_several
    ],
    openbgpd(super::Openbgpd): [
        our_paths_arrive_and_each_goes_alone,
        our_identifiers_stay_when_another_path_becomes_the_best,
        how_many_we_send_changes_in_place_and_whether_does_not,
        their_paths_arrive_and_each_goes_alone,
        a_session_that_takes_one_path_keeps_none_of_one_that_took_several
    ],
);
