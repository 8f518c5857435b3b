//! Every attribute with every defect, from an external and from an internal
//! peer, over sessions that live on: the table of docs/errors.md, acted out.
//!
//! All defects of one kind of session come over that one session, and what the
//! watcher behind us holds afterwards says what became of each. Those that end
//! a session have one each.

mod cases;
mod multiprotocol;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use godwit_tests::attrs::ParsedUpdate;
use godwit_tests::godwit::{Godwit, find_peer};
use godwit_tests::raw::{Raw, RawOpen, UPDATE};
use godwit_tests::{Host, Lab, PATIENCE};
use ipnet::IpNet;
use serde_json::Value;

use self::cases::{Case, Sender, Speaker, Verdict};

const OUR_ASN: u32 = 64512;
const BAD_ASN: u32 = 65001;
const WATCHER_ASN: u32 = 65002;
const HEALTHY: &str = "203.0.113.0/24";

#[test]
fn from_an_external_peer() {
    act_out(true);
}

#[test]
fn from_an_internal_peer() {
    act_out(false);
}

/// A case with what it is about.
struct Scene {
    case: Case,
    verdict: Verdict,
    prefix: IpNet,
}

struct Stage {
    external: bool,
    us: Godwit,
    bad_host: Host,
    watcher: Raw,
    /// What the watcher holds.
    table: BTreeMap<IpNet, ParsedUpdate>,
    _lab: Lab,
}

fn act_out(external: bool) {
    let scenes = scenes(external);
    let mut stage = Stage::new(external, scenes.len());
    let mut new = stage.speaker("10.0.0.2", Speaker::New);
    let mut old = stage.speaker("10.0.0.3", Speaker::Old);
    new.send_update(&stage.sender(Speaker::New).sound(net(HEALTHY)));
    for scene in scenes.iter().filter(|s| !s.verdict.resets()) {
        let raw = match scene.case.speaker {
            Speaker::New => &mut new,
            Speaker::Old => &mut old,
        };
        raw.send_update(&stage.sender(scene.case.speaker).sound(scene.prefix));
    }
    let surviving = scenes.iter().filter(|s| !s.verdict.resets());
    let all: BTreeSet<IpNet> = surviving.map(|s| s.prefix).chain([net(HEALTHY)]).collect();
    stage.wait_for_table(&all, &scenes);
    for scene in scenes.iter().filter(|s| !s.verdict.resets()) {
        let raw = match scene.case.speaker {
            Speaker::New => &mut new,
            Speaker::Old => &mut old,
        };
        let sender = stage.sender(scene.case.speaker);
        raw.send_update(&(scene.case.body)(&sender, scene.prefix));
    }
    let kept = scenes.iter().filter(|s| s.verdict.keeps_the_route());
    let kept: BTreeSet<IpNet> = kept.map(|s| s.prefix).chain([net(HEALTHY)]).collect();
    stage.wait_for_table(&kept, &scenes);
    stage.check_what_we_hold(&scenes);
    for (number, scene) in scenes.iter().filter(|s| s.verdict.resets()).enumerate() {
        stage.check_reset(&format!("10.0.0.{}", number + 10), scene, &kept, &scenes);
    }
    // Still the first sessions, and not only a route that nobody took away.
    let list = stage.us.json(&["peer", "list"]);
    for address in ["10.0.0.2", "10.0.0.3", "10.0.1.2"] {
        let peer = find_peer(&list, address.parse().expect("an address")).expect("a peer");
        let times = &peer["counters"]["established"];
        assert_eq!(number_of(times), 1, "{address} came up anew: {peer}");
    }
    new.send_update(&stage.sender(Speaker::New).sound(net("198.51.100.0/24")));
    let mut kept = kept;
    kept.insert(net("198.51.100.0/24"));
    stage.wait_for_table(&kept, &scenes);
}

fn scenes(external: bool) -> Vec<Scene> {
    let all = cases::all().into_iter().enumerate();
    all.filter_map(|(number, case)| {
        let verdict = if external {
            case.external
        } else {
            case.internal
        }?;
        let prefix = match case.ipv6 {
            false => format!("10.100.{number}.0/24"),
            true => format!("fd99:{number:x}::/48"),
        };
        Some(Scene {
            case,
            verdict,
            prefix: net(&prefix),
        })
    })
    .collect()
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// 64-bit numbers are text in JSON.
fn number_of(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or(text).unwrap_or_default()
}

impl Stage {
    fn new(external: bool, callers: usize) -> Stage {
        let lab = Lab::new();
        let [us_host, bad_host, watcher_host] = ["us", "bad", "watcher"].map(|n| lab.host(n));
        let callers = callers.min(200) + 10;
        let addresses: Vec<String> = (2..callers).map(|n| format!("10.0.0.{n}/24")).collect();
        let mut addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        addresses.push("fd00::2/64");
        lab.link(
            &us_host,
            &["10.0.0.1/24", "fd00::1/64"],
            &bad_host,
            &addresses,
        );
        let (ours, theirs) = (
            ["10.0.1.1/24", "fd00:1::1/64"],
            ["10.0.1.2/24", "fd00:1::2/64"],
        );
        lab.link(&us_host, &ours, &watcher_host, &theirs);
        let kind = if external { "external" } else { "internal" };
        let us = Godwit::start(
            &us_host,
            &format!(
                r#"
[router]
asn = {OUR_ASN}
router-id = "10.0.0.1"

[peer-group.all]
passive = true
import = ["accept-all"]
export = ["accept-all"]

[[peer]]
range = "10.0.0.0/24"
group = "all"
remote-as = "{kind}"

[[peer]]
address = "10.0.1.2"
group = "all"
remote-as = {WATCHER_ASN}
"#
            ),
        );
        let open = RawOpen::new(WATCHER_ASN, "10.0.1.2");
        let watcher = Raw::establish(&watcher_host, "10.0.1.2", "10.0.1.1", &open);
        Stage {
            external,
            us,
            bad_host,
            watcher,
            table: BTreeMap::new(),
            _lab: lab,
        }
    }

    fn sender(&self, speaker: Speaker) -> Sender {
        Sender {
            external: self.external,
            speaker,
        }
    }

    fn speaker(&self, address: &str, speaker: Speaker) -> Raw {
        let asn = if self.external { BAD_ASN } else { OUR_ASN };
        let open = RawOpen {
            as4: speaker == Speaker::New,
            ..RawOpen::new(asn, address)
        };
        Raw::establish(&self.bad_host, address, "10.0.0.1", &open)
    }

    /// Reads what the watcher is sent until it holds exactly these.
    #[track_caller]
    fn wait_for_table(&mut self, wanted: &BTreeSet<IpNet>, scenes: &[Scene]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let held: BTreeSet<IpNet> = self.table.keys().copied().collect();
            if held == *wanted {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match left.is_zero() {
                true => None,
                false => self.watcher.read_message(left).ok(),
            };
            let Some(message) = message else {
                let differs: Vec<String> = held
                    .symmetric_difference(wanted)
                    .map(|prefix| format!("{}: {}", held.contains(prefix), told(*prefix, scenes)))
                    .collect();
                panic!("held (true) or not, and should not be so: {differs:#?}");
            };
            if message.kind != UPDATE {
                continue;
            }
            let update = ParsedUpdate::parse(&message.body);
            let healthy = !update.withdrawn.contains(&net(HEALTHY));
            assert!(healthy, "the healthy route went");
            for prefix in &update.withdrawn {
                self.table.remove(prefix);
            }
            for prefix in &update.announced {
                self.table.insert(*prefix, update.clone());
            }
        }
    }

    /// What we say we hold of each route: the attribute gone or there, the
    /// reason why it is not used.
    fn check_what_we_hold(&self, scenes: &[Scene]) {
        let list = |view| batches(&self.us.json(&["route", "list", view, "--limit", "9999"]));
        let (received, rejected) = (list("--received"), list("--rejected"));
        for scene in scenes.iter().filter(|s| !s.verdict.resets()) {
            let name = told(scene.prefix, scenes);
            let (prefix, code) = (scene.prefix.to_string(), scene.case.code);
            match (scene.verdict, received.get(&prefix), rejected.get(&prefix)) {
                (Verdict::Withdraw, None, None) => {}
                (Verdict::Unused(why), Some(_), Some((_, reason))) => {
                    assert_eq!(reason, why, "{name}");
                }
                (Verdict::Discard, Some((attributes, _)), None) => {
                    let there = has(attributes, code);
                    assert!(!there, "{name}: still there in {attributes}");
                }
                (Verdict::Keep, Some((attributes, _)), None) => {
                    assert!(has(attributes, code), "{name}: not in {attributes}");
                }
                (Verdict::Once, Some((attributes, _)), None) => {
                    let values = attributes["large_communities"].as_array();
                    assert_eq!(values.map(Vec::len), Some(1), "{name}: {attributes}");
                    let (_, passed_on) = self.table[&scene.prefix]
                        .attribute(code)
                        .expect("the attribute");
                    assert_eq!(passed_on.len(), 12, "{name}");
                }
                (_, received, rejected) => panic!("{name}: {received:?} {rejected:?}"),
            }
        }
        let shown = self.us.json(&["peer", "show", "10.0.0.2"]);
        let counted = &shown["peer"]["counters"]["treated_as_withdraw"];
        let of_new = scenes.iter().filter(|s| s.case.speaker == Speaker::New);
        let withdrawn = of_new.filter(|s| s.verdict == Verdict::Withdraw).count();
        assert_eq!(number_of(counted), withdrawn as u64);
    }

    /// A session of its own ends with what the case says; nothing else changes.
    #[track_caller]
    fn check_reset(
        &mut self,
        address: &str,
        scene: &Scene,
        kept: &BTreeSet<IpNet>,
        scenes: &[Scene],
    ) {
        let Verdict::Reset(subcode) = scene.verdict else {
            panic!("{:?} resets nothing", scene.verdict);
        };
        let mut raw = self.speaker(address, scene.case.speaker);
        let sender = self.sender(scene.case.speaker);
        raw.send_update(&sender.sound(scene.prefix));
        let mut with = kept.clone();
        with.insert(scene.prefix);
        self.wait_for_table(&with, scenes);
        raw.send_update(&(scene.case.body)(&sender, scene.prefix));
        let told = told(scene.prefix, scenes);
        assert_eq!(raw.expect_notification(), (3, subcode), "{told}");
        assert!(raw.is_closed_within(Duration::from_secs(10)), "{told}");
        self.wait_for_table(kept, scenes);
    }
}

/// The case that a prefix stands for.
fn told(prefix: IpNet, scenes: &[Scene]) -> String {
    match scenes.iter().find(|scene| scene.prefix == prefix) {
        Some(Scene { case, verdict, .. }) => {
            format!(
                "{} ({prefix}), {}: {verdict:?}",
                case.attribute, case.defect
            )
        }
        None => prefix.to_string(),
    }
}

/// By prefix: the attributes, and the reason why it is rejected.
fn batches(list: &Value) -> BTreeMap<String, (Value, String)> {
    let mut out = BTreeMap::new();
    for batch in list["batches"].as_array().into_iter().flatten() {
        for path in batch["paths"].as_array().into_iter().flatten() {
            let text = |key: &str| path[key].as_str().unwrap_or_default().to_owned();
            let entry = (batch["attributes"].clone(), text("rejected_by"));
            out.insert(text("prefix"), entry);
        }
    }
    out
}

/// Whether the API's attributes have this one.
fn has(attributes: &Value, code: u8) -> bool {
    let field = |name: &str| match &attributes[name] {
        Value::Null => false,
        Value::Bool(there) => *there,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(_) | Value::Number(_) => true,
    };
    match code {
        // Always there: that the route is, is what counts.
        1..=3 => true,
        4 => field("med"),
        5 => field("local_pref"),
        6 => field("atomic_aggregate"),
        7 | 18 => field("aggregator"),
        8 => field("communities"),
        9 => field("originator_id"),
        10 => field("cluster_list"),
        16 => field("extended_communities"),
        // Merged into AS_PATH, or gone.
        17 => false,
        25 => field("ipv6_extended_communities"),
        32 => field("large_communities"),
        35 => field("only_to_customer"),
        _ => field("others"),
    }
}
