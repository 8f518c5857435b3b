//! Timers under load: whole tables that change all the time, with a hold time of
//! three seconds. At full size by `./test soak`.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use godwit_tests::godwit::Godwit;
use godwit_tests::raw::{KEEPALIVE, Raw, RawOpen, UPDATE, frame};
use godwit_tests::table::Table;
use godwit_tests::{Host, Lab, wait_for};

const SENDERS: u32 = 4;
const HOLD: u16 = 3;
/// A third of the hold time.
const INTERVAL: Duration = Duration::from_secs(1);
/// What a slow machine may add.
const MARGIN: Duration = Duration::from_secs(1);
/// How long it lasts: several hold times.
const LOAD: Duration = Duration::from_secs(12);

fn open(asn: u32, router_id: &str) -> RawOpen {
    RawOpen {
        hold_time: HOLD,
        ..RawOpen::new(asn, router_id)
    }
}

fn configuration() -> String {
    let mut text = String::from(
        "[router]\nasn = 4210000000\nrouter-id = \"10.0.0.1\"\n[fib]\nenabled = false\n\
         [peer-group.raw]\nremote-as = \"external\"\nhold-time = \"3s\"\npassive = true\n\
         import = [\"accept-all\"]\nexport = [\"reject-all\"]\n\
         [[peer]]\naddress = \"10.0.1.2\"\ngroup = \"raw\"\n\
         [[peer]]\naddress = \"10.0.1.3\"\ngroup = \"raw\"\nexport = [\"accept-all\"]\n\
         send-hold-time = \"5s\"\n",
    );
    for i in 0..SENDERS {
        text += &format!(
            "[[peer]]\naddress = \"10.0.0.{}\"\ngroup = \"raw\"\n",
            2 + i
        );
    }
    text
}

struct Scene {
    us: Godwit,
    us_host: Host,
    watch_host: Host,
    over: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
    _lab: Lab,
}

impl Scene {
    fn start(senders: u32) -> Scene {
        let lab = Lab::new();
        let [us_host, load_host, watch_host] = ["us", "load", "watch"].map(|name| lab.host(name));
        let addresses: Vec<String> = (0..SENDERS)
            .map(|i| format!("10.0.0.{}/24", 2 + i))
            .collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        lab.link(&us_host, &["10.0.0.1/24"], &load_host, &addresses);
        let two = ["10.0.1.2/24", "10.0.1.3/24"];
        lab.link(&us_host, &["10.0.1.1/24"], &watch_host, &two);
        let us = Godwit::start(&us_host, &configuration());
        let over = Arc::new(AtomicBool::new(false));
        let senders = (0..senders).map(|i| sender(i, &load_host, &over)).collect();
        Scene {
            us,
            us_host,
            watch_host,
            over,
            senders,
            _lab: lab,
        }
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for sender in self.senders.drain(..) {
            sender.join().expect("a sender whose session stays up");
        }
    }
}

/// Announces a table, and then all of it by another path and back, forever.
fn sender(i: u32, host: &Host, over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let soak = std::env::var_os("GODWIT_SOAK").is_some();
    let table = Table::generate(false, if soak { 200_000 } else { 10_000 }, 7);
    let (asn, address) = (4_210_000_001 + i, format!("10.0.0.{}", 2 + i));
    let nobody = "fd00::2".parse().expect("an address");
    let mut raw = Raw::establish(host, &address, "10.0.0.1", &open(asn, &address));
    drain(&raw);
    let over = Arc::clone(over);
    thread::spawn(move || {
        let mut other = table.clone();
        other.paths.iter_mut().for_each(|path| path.insert(0, 1300));
        let rounds = [table, other].map(|table| {
            let bodies = table.updates(asn, [10, 0, 0, 2 + i as u8].into(), nobody);
            let frames = bodies.iter().map(|body| frame(UPDATE, body));
            frames.collect::<Vec<_>>()
        });
        for frames in rounds.iter().cycle() {
            for some in frames.chunks(16) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                raw.send_bytes(&some.concat())
                    .expect("the session stays up");
            }
        }
    })
}

/// Reads and forgets, so that nobody waits for this end.
fn drain(raw: &Raw) {
    let mut stream = raw.stream();
    thread::spawn(move || {
        let mut sink = [0; 65536];
        while stream.read(&mut sink).is_ok_and(|n| n > 0) {}
    });
}

/// Sends a KEEPALIVE in time, on a thread of its own.
fn keep_alive(raw: &Raw, over: &Arc<AtomicBool>) {
    let (mut stream, over) = (raw.stream(), Arc::clone(over));
    thread::spawn(move || {
        use std::io::Write as _;
        while !over.load(Ordering::Relaxed) && stream.write_all(&frame(KEEPALIVE, &[])).is_ok() {
            thread::sleep(Duration::from_millis(700));
        }
    });
}

#[test]
fn no_keepalive_is_late_and_no_session_drops_while_tables_change() {
    let mut scene = Scene::start(SENDERS);
    let quiet = Raw::establish(
        &scene.watch_host,
        "10.0.1.2",
        "10.0.1.1",
        &open(65002, "10.0.1.2"),
    );
    let busy = Raw::establish(
        &scene.watch_host,
        "10.0.1.3",
        "10.0.1.1",
        &open(65003, "10.0.1.3"),
    );
    let end = Instant::now() + LOAD;
    let watch = |mut raw: Raw| {
        keep_alive(&raw, &scene.over);
        thread::spawn(move || {
            let (mut worst, mut last) = (Duration::ZERO, Instant::now());
            let (mut keepalives, mut table, mut ends_of_rib, mut updates) = (0, 0, 0, 0);
            while last < end {
                let message = raw.read_message(Duration::from_secs(10));
                let message = message.expect("the session stays up");
                match message.kind {
                    UPDATE if message.body == [0; 4] => ends_of_rib += 1,
                    UPDATE if ends_of_rib == 0 => table += 1,
                    UPDATE => updates += 1,
                    _ => keepalives += 1,
                }
                worst = worst.max(last.elapsed());
                last = Instant::now();
            }
            (worst, [keepalives, table, ends_of_rib, updates], raw)
        })
    };
    let (quiet, busy) = (watch(quiet), watch(busy));
    let (worst, [keepalives, ..], _quiet) = quiet.join().expect("a session that stays up");
    let (worst_busy, [_, table, ends_of_rib, updates], _busy) =
        busy.join().expect("a session that stays up");
    println!(
        "longest wait for one of {keepalives} keepalives: {worst:?}; for a message of a session with {table} UPDATEs and {updates} after the End-of-RIB: {worst_busy:?}"
    );
    // The whole table goes out while it changes, and so do the changes.
    assert!(table > 0 && ends_of_rib == 1 && updates > 0);
    assert!(worst <= INTERVAL + MARGIN, "a keepalive after {worst:?}");
    assert!(
        worst_busy <= INTERVAL + MARGIN,
        "a message after {worst_busy:?}"
    );
    let peers = scene.us.json(&["peer", "list"]);
    for peer in peers["peers"].as_array().expect("peers") {
        assert_eq!(peer["counters"]["established"], 1, "{peer}");
        assert_eq!(peer["state"], "SESSION_STATE_ESTABLISHED", "{peer}");
    }
    scene.stop();
}

#[test]
fn a_peer_that_takes_nothing_is_let_go_by_the_send_hold_timer_and_others_are_not() {
    let mut scene = Scene::start(1);
    // Small buffers are full soon.
    let small = "4096 8192 8192";
    scene.watch_host.sysctl("net/ipv4/tcp_rmem", small);
    scene.us_host.sysctl("net/ipv4/tcp_wmem", small);
    let stuck = Raw::establish(
        &scene.watch_host,
        "10.0.1.3",
        "10.0.1.1",
        &open(65003, "10.0.1.3"),
    );
    let quiet = Raw::establish(
        &scene.watch_host,
        "10.0.1.2",
        "10.0.1.1",
        &open(65002, "10.0.1.2"),
    );
    drain(&quiet);
    keep_alive(&quiet, &scene.over);
    // It says that it lives, and reads nothing.
    keep_alive(&stuck, &scene.over);
    wait_for("the send hold timer", || {
        let shown = scene.us.json(&["peer", "show", "10.0.1.3"]);
        let text = shown["resets"][0]["error"]["text"].to_string();
        text.contains("sent Send Hold Timer Expired").then_some(())
    });
    for address in ["10.0.1.2", "10.0.0.2"] {
        assert!(
            scene
                .us
                .is_established(address.parse().expect("an address"))
        );
    }
    scene.stop();
}
