//! BFD (RFC 5880, 5881, 5882, 5883) with BIRD, with FRR's bfdd, and between two
//! of us.
//!
//! ```text
//!   them 10.0.0.2, fd00::2 ── 10.0.0.1, fd00::1 us
//!   AS 65002                  AS 64512
//! ```

use std::time::{Duration, Instant};

use godwit_tests::bird::Bird;
use godwit_tests::frr::Frr;
use godwit_tests::godwit::{BfdProcess, Godwit, find_peer};
use godwit_tests::{Host, Lab, wait_for};
use serde_json::Value;

const THEM: &str = "10.0.0.2";
/// Slow enough for neighbours that other tests keep from the processor.
const BFD: &str = "bfd = { interval = \"200ms\", multiplier = 5 }";

/// Fields drop in order: processes before their namespaces.
struct Pair<R> {
    us: Godwit,
    process: BfdProcess,
    them: R,
    us_host: Host,
    them_host: Host,
    _lab: Lab,
}

/// `bfd`: what our configuration of the peer says of it.
fn pair<R>(bfd: &str, start: impl FnOnce(&Host) -> R) -> Pair<R> {
    let lab = Lab::new();
    let (us_host, them_host) = (lab.host("us"), lab.host("them"));
    let (ours, theirs) = (["10.0.0.1/24", "fd00::1/64"], ["10.0.0.2/24", "fd00::2/64"]);
    lab.link(&us_host, &ours, &them_host, &theirs);
    let process = BfdProcess::start(&us_host);
    let them = start(&them_host);
    let us = Godwit::start(&us_host, &config(&us_host, bfd));
    Pair {
        us,
        process,
        them,
        us_host,
        them_host,
        _lab: lab,
    }
}

fn config(host: &Host, bfd: &str) -> String {
    format!(
        "[router]\nasn = 64512\nrouter-id = \"10.0.0.1\"\n{}\
         [[peer]]\naddress = \"{THEM}\"\nremote-as = 65002\nhold-time = \"90s\"\n\
         import = [\"accept-all\"]\nexport = [\"accept-all\"]\n{bfd}\n",
        BfdProcess::section(host)
    )
}

fn start_bird(host: &Host) -> Bird {
    Bird::start_with(
        host,
        "log stderr all;\nrouter id 10.0.0.2;\nprotocol device { }\n\
         protocol bfd watcher { interface \"*\" { min rx interval 200 ms; min tx interval 200 ms; \
         multiplier 5; }; multihop { min rx interval 200 ms; min tx interval 200 ms; multiplier 5; }; }\n\
         protocol static originated { ipv4; route 10.2.0.0/24 blackhole; }\n\
         protocol bgp ours { local 10.0.0.2 as 65002; neighbor 10.0.0.1 as 64512; bfd on; error wait time 1, 2; connect delay time 1;\n\
         ipv4 { import all; export all; }; }\n",
    )
}

fn start_frr(host: &Host) -> Frr {
    Frr::start_with_bfd(
        host,
        "router bgp 65002\n bgp router-id 10.0.0.2\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n \
         neighbor 10.0.0.1 remote-as 64512\n neighbor 10.0.0.1 bfd 5 200 200\n \
         address-family ipv4 unicast\n  network 10.2.0.0/24\n exit-address-family\n",
    )
}

fn peer(us: &Godwit) -> Value {
    let list = us.json(&["peer", "list"]);
    find_peer(&list, THEM.parse().expect("an address"))
        .expect("a peer")
        .clone()
}

fn is_up(us: &Godwit) -> Option<Value> {
    let bfd = peer(us)["bfd"].clone();
    (bfd["state"] == "BFD_STATE_UP" && bfd["remote_state"] == "BFD_STATE_UP").then_some(bfd)
}

impl<R> Pair<R> {
    #[track_caller]
    fn wait_up(&self) -> Value {
        self.us.wait_established(THEM);
        wait_for("BFD to be up at both ends", || is_up(&self.us))
    }

    /// Packets of every kind are lost, and no link shows it.
    fn cut(&self) {
        for host in [&self.us_host, &self.them_host] {
            for table in [
                "add table inet cut",
                "add chain inet cut in { type filter hook input priority -300; policy drop; }",
            ] {
                host.run(&["nft", table]).expect("nft works");
            }
        }
    }

    fn mend(&self) {
        for host in [&self.us_host, &self.them_host] {
            host.run(&["nft", "delete table inet cut"])
                .expect("nft works");
        }
    }
}

fn is_down(us: &Godwit) -> Option<()> {
    (!us.is_established(THEM.parse().expect("an address"))).then_some(())
}

/// The path is lost without a sign: the session ends long before its hold time,
/// says why, and comes back with the path.
fn silent_loss_ends_the_session<R>(pair: &Pair<R>) {
    let bfd = pair.wait_up();
    assert_eq!(bfd["failures"], 0, "{bfd}");
    let started = Instant::now();
    pair.cut();
    wait_for("our session to end", || is_down(&pair.us));
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(5),
        "{took:?} of a 90 s hold time"
    );
    let shown = pair.us.cli(&["peer", "show", THEM]).expect("it is shown");
    assert!(shown.contains("BFD"), "{shown}");
    let error = peer(&pair.us)["last_error"].to_string();
    assert!(error.contains("BFD"), "{error}");
    pair.mend();
    let bfd = pair.wait_up();
    assert!(bfd["failures"].as_u64() >= Some(1), "{bfd}");
}

#[test]
fn bird_and_we_notice_a_silent_loss() {
    let pair = pair(BFD, start_bird);
    let bfd = pair.wait_up();
    assert_eq!(bfd["detection_time"], "1s", "{bfd}");
    let shown = pair.them.ask("show bfd sessions").expect("BIRD answers");
    assert!(shown.contains("Up"), "{shown}");
    silent_loss_ends_the_session(&pair);
}

#[test]
fn frr_and_we_notice_a_silent_loss() {
    let pair = pair(BFD, start_frr);
    silent_loss_ends_the_session(&pair);
}

#[test]
fn bird_across_routers() {
    let pair = pair("bfd = { multihop = true }\nmultihop = 5", |host| {
        Bird::start_with(
            host,
            "log stderr all;\nrouter id 10.0.0.2;\nprotocol device { }\n\
             protocol bfd watcher { multihop { min rx interval 200 ms; min tx interval 200 ms; multiplier 5; }; }\n\
             protocol bgp ours { local 10.0.0.2 as 65002; neighbor 10.0.0.1 as 64512;\n\
             multihop 5; bfd on; error wait time 1, 2; connect delay time 1; ipv4 { import all; export all; }; }\n",
        )
    });
    let bfd = pair.wait_up();
    assert_eq!(bfd["multihop"], true, "{bfd}");
}

/// FRR's session with us, while it is up: its name, which a new one would not have.
fn frr_up(frr: &Frr) -> Option<String> {
    let shown = frr.ask_bfdd("show bfd peers")?;
    let id = shown.lines().find(|line| line.trim().starts_with("ID: "))?;
    shown.contains("Status: up").then(|| id.to_owned())
}

/// The daemon is killed and comes back: the neighbour's BFD notices nothing, and
/// neither does ours. (BIRD ends its BFD with each BGP session.)
#[test]
fn a_kill_of_the_daemon_costs_no_bfd_session() {
    let mut pair = pair(BFD, start_frr);
    let before = pair.wait_up();
    let theirs = wait_for("their session", || frr_up(&pair.them));
    pair.us.crash_and_restart();
    let after = pair.wait_up();
    for same in ["local_discriminator", "remote_discriminator", "failures"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(frr_up(&pair.them), Some(theirs), "still the same");
    assert!(pair.process.process().is_running());
}

/// The same in the other's place.
struct Mirror {
    us: Godwit,
    _process: BfdProcess,
}

fn start_mirror(host: &Host) -> Mirror {
    let process = BfdProcess::start(host);
    let config = config(host, BFD)
        .replace("asn = 64512", "asn = 65002")
        .replace("remote-as = 65002", "remote-as = 64512")
        .replace("\"10.0.0.1\"", "\"10.0.0.3\"")
        .replace(THEM, "10.0.0.1");
    Mirror {
        us: Godwit::start(host, &config),
        _process: process,
    }
}

/// Taken down on purpose, BFD ends no session (RFC 5882 §3.2). (Between two of
/// us: BIRD 2.0 and FRR 8.4 end theirs even so.)
#[test]
fn a_planned_end_of_bfd_costs_no_session() {
    let mut pair = pair(BFD, start_mirror);
    pair.wait_up();
    let since = |us: &Godwit| peer(us)["state_since"].clone();
    let before = since(&pair.us);
    let theirs = |state: &str| {
        let list = pair.them.us.json(&["peer", "list"]);
        let us = find_peer(&list, "10.0.0.1".parse().expect("an address")).cloned();
        us.filter(|us| us["bfd"]["state"] == state)
    };

    // Ours, by configuration.
    pair.us.reload(&config(&pair.us_host, ""));
    wait_for("our BFD to go", || {
        peer(&pair.us)["bfd"].is_null().then_some(())
    });
    let us = wait_for("theirs to be down", || theirs("BFD_STATE_DOWN"));
    let loss = us["bfd"]["last_loss"].as_str();
    assert_eq!(loss, Some("taken down by the neighbour's administrator"));
    assert_eq!(us["bfd"]["failures"], 0);
    pair.us.reload(&config(&pair.us_host, BFD));
    pair.wait_up();

    // The process itself.
    assert_eq!(pair.process.process().terminate(), Some(0));
    wait_for("the loss of the process to be told", || {
        let trouble = peer(&pair.us)["bfd"]["trouble"].clone();
        trouble.as_str()?.contains("godwitd bfd").then_some(())
    });
    pair.process = BfdProcess::start(&pair.us_host);
    pair.wait_up();
    assert_eq!(since(&pair.us), before, "the session has not moved");
}

/// Nobody who is there comes back: after the configured time the sessions end,
/// and the neighbour is told that it was on purpose.
#[test]
fn sessions_without_a_daemon_end_after_the_hold() {
    let lab = Lab::new();
    let (us_host, them_host) = (lab.host("us"), lab.host("them"));
    lab.link(&us_host, &["10.0.0.1/24"], &them_host, &["10.0.0.2/24"]);
    let _process = BfdProcess::start(&us_host);
    let bird = start_bird(&them_host);
    let hold = config(&us_host, "bfd = true").replace("[bfd]\n", "[bfd]\nhold = \"1s\"\n");
    let mut us = Godwit::start(&us_host, &hold);
    us.wait_established(THEM);
    wait_for("BFD to be up at both ends", || is_up(&us));
    us.process().kill();
    wait_for("BIRD to hear of a planned end", || {
        let shown = bird.ask("show bfd sessions")?;
        shown.contains("Down").then_some(())
    });
}
