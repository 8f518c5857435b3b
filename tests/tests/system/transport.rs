//! Getting a TCP connection: keys, TTL, hops, interfaces, limits.
//!
//! ```text
//!   them 10.0.0.2 ───── 10.0.0.1 us           next to each other, or
//!   them 10.9.2.2 ── middle ── 10.9.1.1 us    with a router between
//! ```

mod no_room;
mod ours;
mod who;

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use godwit_tests::bird::Bird;
use godwit_tests::godwit::Godwit;
use godwit_tests::openbgpd::Openbgpd;
use godwit_tests::raw::{Raw, RawOpen, listen};
use godwit_tests::router::{Neighbour, Router, RouterSpec};
use godwit_tests::wait::holds_for;
use godwit_tests::{Host, Lab, wait_for};
use socket2::{Domain, Protocol, Socket, Type};

const OUR_ASN: u32 = 64512;
const THEIR_ASN: u32 = 65002;
/// As long as both ends need for several attempts.
const A_WHILE: Duration = Duration::from_secs(4);

/// Where the two ends are.
#[derive(Clone, Copy)]
pub enum Place {
    Link4,
    Link6,
    /// A router between.
    Apart,
}

impl Place {
    pub fn us(self) -> &'static str {
        match self {
            Place::Link4 => "10.0.0.1",
            Place::Link6 => "fd00::1",
            Place::Apart => "10.9.1.1",
        }
    }

    pub fn them(self) -> &'static str {
        match self {
            Place::Link4 => "10.0.0.2",
            Place::Link6 => "fd00::2",
            Place::Apart => "10.9.2.2",
        }
    }

    fn range(self) -> &'static str {
        match self {
            Place::Link4 => "10.0.0.0/24",
            Place::Link6 => "fd00::/64",
            Place::Apart => "10.9.2.0/24",
        }
    }

    pub fn build(self, lab: &Lab) -> (Host, Host) {
        let (us, them) = (lab.host("us"), lab.host("them"));
        match self {
            // OpenBGPD wants an IPv6 address too.
            Place::Link4 => lab.link(
                &us,
                &["10.0.0.1/24", "fd00::1/64"],
                &them,
                &["10.0.0.2/24", "fd00::2/64"],
            ),
            Place::Link6 => lab.link(&us, &["fd00::1/64"], &them, &["fd00::2/64"]),
            Place::Apart => {
                let middle = lab.host("middle");
                lab.link(&us, &["10.9.1.1/24"], &middle, &["10.9.1.9/24"]);
                lab.link(&them, &["10.9.2.2/24"], &middle, &["10.9.2.9/24"]);
                us.ip(&["route", "add", "10.9.2.0/24", "via", "10.9.1.9"]);
                them.ip(&["route", "add", "10.9.1.0/24", "via", "10.9.2.9"]);
            }
        }
        (us, them)
    }
}

/// The daemon beside one other speaker.
pub struct Pair<R> {
    place: Place,
    pub us_host: Host,
    pub us: Godwit,
    pub them: R,
    _lab: Lab,
}

impl<R: Router> Pair<R> {
    /// `ours`: lines of our configuration of them; `@` stands for the directory
    /// with our key files `right` and `wrong`.
    #[track_caller]
    pub fn start(place: Place, ours: &str, theirs: impl FnOnce(&mut Neighbour)) -> Pair<R> {
        let lab = Lab::new();
        let (us_host, them_host) = place.build(&lab);
        for (file, key) in [("right", "right-secret\n"), ("wrong", "wrong-secret\n")] {
            us_host.write(file, key);
        }
        let us = Godwit::start(&us_host, &configuration(place, &us_host, ours));
        let mut neighbour = Neighbour::new(place.us(), OUR_ASN);
        theirs(&mut neighbour);
        let them = R::start(
            &them_host,
            RouterSpec {
                asn: THEIR_ASN,
                router_id: "10.0.0.2".to_owned(),
                neighbours: vec![neighbour],
                announce: Vec::new(),
            },
        );
        Pair {
            place,
            us_host,
            us,
            them,
            _lab: lab,
        }
    }

    pub fn reload(&self, ours: &str) {
        self.us
            .reload(&configuration(self.place, &self.us_host, ours));
    }

    fn is_up(&self) -> bool {
        let us: IpAddr = self.place.us().parse().expect("an address");
        let them = self.place.them().parse().expect("an address");
        self.us.is_established(them) && self.them.is_established(us)
    }

    #[track_caller]
    pub fn comes_up(&self) {
        wait_for("the session on both sides", || self.is_up().then_some(()));
    }

    #[track_caller]
    fn stays_down(&self) {
        holds_for(A_WHILE, "no session", || !self.is_up());
    }
}

/// `ours` begins with the key of the peer, `address` or `range`, where it isn't
/// their address.
pub fn configuration(place: Place, host: &Host, ours: &str) -> String {
    let ours = ours
        .replace('@', &format!("{}/", host.dir().display()))
        .replace("RANGE", &format!("range = \"{}\"", place.range()))
        .replace("THEM", &format!("address = \"{}\"", place.them()));
    let ours = ours.replace(
        "[[peer]]",
        "[[peer]]\nremote-as = 65002\nconnect-retry = \"1s\"\n\
         import = [\"accept-all\"]\nexport = [\"accept-all\"]",
    );
    format!("[router]\nasn = {OUR_ASN}\nrouter-id = \"10.0.0.1\"\n{ours}\n")
}

pub fn signs(n: &mut Neighbour) {
    n.password = Some("right-secret".to_owned());
}

const RIGHT: &str = "[[peer]]\nTHEM\npassword-file = \"@right\"";
const WRONG: &str = "[[peer]]\nTHEM\npassword-file = \"@wrong\"";
const NONE: &str = "[[peer]]\nTHEM";

fn comes_up_signed_over_ipv4_when_we_connect<R: Router>() {
    Pair::<R>::start(Place::Link4, RIGHT, |n| {
        signs(n);
        n.passive = true;
    })
    .comes_up();
}

fn comes_up_signed_over_ipv6_when_we_connect<R: Router>() {
    Pair::<R>::start(Place::Link6, RIGHT, |n| {
        signs(n);
        n.passive = true;
    })
    .comes_up();
}

fn comes_up_signed_over_ipv4_when_they_connect<R: Router>() {
    Pair::<R>::start(Place::Link4, &format!("{RIGHT}\npassive = true"), signs).comes_up();
}

fn comes_up_signed_over_ipv6_when_they_connect<R: Router>() {
    Pair::<R>::start(Place::Link6, &format!("{RIGHT}\npassive = true"), signs).comes_up();
}

fn stays_down_with_another_key_until_the_file_has_the_right_one<R: Router>() {
    let pair: Pair<R> = Pair::start(Place::Link4, WRONG, signs);
    pair.stays_down();
    pair.us_host.write("wrong", "right-secret");
    pair.reload(WRONG);
    pair.comes_up();
    // The same configuration, another key in the file: the session is not that any more.
    pair.us_host.write("wrong", "no-more-right");
    pair.reload(WRONG);
    wait_for("the session to go", || (!pair.is_up()).then_some(()));
    pair.stays_down();
}

fn stays_down_where_only_they_sign_until_we_do<R: Router>() {
    let pair: Pair<R> = Pair::start(Place::Link6, NONE, signs);
    pair.stays_down();
    pair.reload(RIGHT);
    pair.comes_up();
}

fn stays_down_where_only_we_sign_until_we_do_no_more<R: Router>() {
    let pair: Pair<R> = Pair::start(Place::Link4, RIGHT, |_| {});
    pair.stays_down();
    pair.reload(NONE);
    pair.comes_up();
}

fn a_ranges_key_is_wanted_from_who_calls_from_it<R: Router>() {
    for place in [Place::Link4, Place::Link6] {
        let right = "[[peer]]\nRANGE\npassword-file = \"@right\"";
        let pair: Pair<R> = Pair::start(place, right, signs);
        pair.comes_up();
        pair.reload("[[peer]]\nRANGE\npassword-file = \"@wrong\"");
        wait_for("the session to go", || (!pair.is_up()).then_some(()));
        pair.stays_down();
        // A peer's own key comes before its range's.
        pair.reload(&format!(
            "[[peer]]\nRANGE\npassword-file = \"@wrong\"\n{RIGHT}\npassive = true"
        ));
        pair.comes_up();
    }
}

fn comes_up_with_ttl_security_whoever_connects<R: Router>() {
    for place in [Place::Link4, Place::Link6] {
        let ours = format!("{NONE}\nttl-security = true");
        let waiting = format!("{ours}\npassive = true");
        let guarded = |n: &mut Neighbour| n.ttl_security = Some(1);
        Pair::<R>::start(place, &waiting, guarded).comes_up();
        Pair::<R>::start(place, &ours, |n| {
            guarded(n);
            n.passive = true;
        })
        .comes_up();
    }
}

fn stays_down_where_only_they_have_ttl_security_until_we_do<R: Router>() {
    let pair: Pair<R> = Pair::start(Place::Link4, NONE, |n| n.ttl_security = Some(1));
    pair.stays_down();
    pair.reload(&format!("{NONE}\nttl-security = true"));
    pair.comes_up();
}

fn stays_down_where_only_we_have_ttl_security<R: Router>() {
    let pair: Pair<R> = Pair::start(
        Place::Link4,
        &format!("{NONE}\nttl-security = true"),
        |_| {},
    );
    pair.stays_down();
}

fn ttl_security_counts_the_hops_to_the_neighbour<R: Router>() {
    let guarded = |n: &mut Neighbour| n.ttl_security = Some(2);
    let pair: Pair<R> = Pair::start(Place::Apart, &format!("{NONE}\nttl-security = 2"), guarded);
    pair.comes_up();
    pair.reload(&format!("{NONE}\nttl-security = 1"));
    wait_for("the session to go", || (!pair.is_up()).then_some(()));
    pair.stays_down();
}

fn multihop_reaches_a_neighbour_behind_a_router<R: Router>() {
    let far = |n: &mut Neighbour| n.multihop = Some(3);
    let pair: Pair<R> = Pair::start(Place::Apart, NONE, far);
    pair.stays_down();
    pair.reload(&format!("{NONE}\nmultihop = 2"));
    pair.comes_up();
}

with_every_router!(
    comes_up_signed_over_ipv4_when_we_connect,
    comes_up_signed_over_ipv6_when_we_connect,
    comes_up_signed_over_ipv4_when_they_connect,
    comes_up_signed_over_ipv6_when_they_connect,
    stays_down_with_another_key_until_the_file_has_the_right_one,
    stays_down_where_only_they_sign_until_we_do,
    stays_down_where_only_we_sign_until_we_do_no_more,
    a_ranges_key_is_wanted_from_who_calls_from_it,
    comes_up_with_ttl_security_whoever_connects,
    stays_down_where_only_they_have_ttl_security_until_we_do,
    stays_down_where_only_we_have_ttl_security,
    ttl_security_counts_the_hops_to_the_neighbour,
    multihop_reaches_a_neighbour_behind_a_router,
);

#[test]
fn openbgpd_signs_as_we_do() {
    let pair: Pair<Openbgpd> = Pair::start(Place::Link4, RIGHT, signs);
    pair.comes_up();
    pair.reload(WRONG);
    wait_for("the session to go", || (!pair.is_up()).then_some(()));
    pair.stays_down();
}

#[test]
fn another_port_is_connected_to() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let listener = them.enter(|| std::net::TcpListener::bind("10.0.0.2:1179").expect("a port"));
    let config = configuration(Place::Link4, &us, &format!("{NONE}\nport = 1179"));
    let godwit = Godwit::start(&us, &config);
    let _raw = Raw::accept(&listener, &RawOpen::new(THEIR_ASN, "10.0.0.2"));
    godwit.wait_established("10.0.0.2");
}

#[test]
fn a_passive_peer_is_not_connected_to() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let listener = listen(&them, "10.0.0.2");
    listener.set_nonblocking(true).expect("a socket");
    let config = configuration(Place::Link4, &us, &format!("{NONE}\npassive = true"));
    let godwit = Godwit::start(&us, &config);
    holds_for(A_WHILE, "no connection", || listener.accept().is_err());
    let _raw = Raw::establish(
        &them,
        "10.0.0.2",
        "10.0.0.1",
        &RawOpen::new(THEIR_ASN, "10.0.0.2"),
    );
    godwit.wait_established("10.0.0.2");
}

#[test]
fn a_key_is_shown_nowhere() {
    let mut pair: Pair<Bird> = Pair::start(Place::Link4, RIGHT, signs);
    pair.comes_up();
    pair.reload(WRONG);
    wait_for("the session to go", || (!pair.is_up()).then_some(()));
    let them = pair.place.them();
    let mut shown = pair.us.process().log();
    for verb in [
        &["-o", "json", "peer", "show", them][..],
        &["peer", "show", them],
        &["-o", "json", "status"],
    ] {
        match pair.us.cli(verb) {
            Ok(text) | Err(text) => shown.push_str(&text),
        }
    }
    assert!(shown.contains("TCP-MD5"), "{shown}");
    assert!(!shown.contains("-secret"), "{shown}");
}

#[test]
fn the_interface_of_a_session_is_kept_to_in_both_directions() {
    let lab = Lab::new();
    let [us, them, other] = ["us", "them", "other"].map(|name| lab.host(name));
    lab.link(&us, &["10.0.0.1/24"], &them, &["10.0.0.2/24"]);
    lab.link(&us, &["10.0.1.1/24"], &other, &["10.0.1.2/24"]);
    let with = |interface: &str, more: &str| {
        let ours = format!("{NONE}\nlocal-interface = \"{interface}\"\n{more}");
        configuration(Place::Link4, &us, &ours)
    };
    let godwit = Godwit::start(&us, &with("to-other", ""));
    let them_at: IpAddr = "10.0.0.2".parse().expect("an address");
    let _bird = Bird::start(
        &them,
        RouterSpec {
            asn: THEIR_ASN,
            router_id: "10.0.0.2".to_owned(),
            neighbours: vec![Neighbour::new("10.0.0.1", OUR_ASN)],
            announce: Vec::new(),
        },
    );
    let refused = || {
        let peer = godwit.json(&["peer", "show", "10.0.0.2"]);
        let refused = &peer["peer"]["counters"]["connections_refused"];
        refused.as_u64().unwrap_or(0)
    };
    wait_for("a connection by the wrong interface to be refused", || {
        (refused() > 0).then_some(())
    });
    holds_for(A_WHILE, "no session", || !godwit.is_established(them_at));
    godwit.reload(&with("to-them", ""));
    godwit.wait_established("10.0.0.2");
    godwit.reload(&with("to-them", "passive = true"));
    wait_for("the reload", || {
        let peer = godwit.json(&["peer", "show", "10.0.0.2"]);
        (peer["peer"]["passive"] == true).then_some(())
    });
    godwit.wait_established("10.0.0.2");
}

/// TOS and TTL of every IPv4 TCP packet that `source` sends to `host`.
fn capture(host: &Host, source: [u8; 4]) -> impl FnMut() -> Vec<(u8, u8)> {
    const EVERY_PROTOCOL: u16 = 3;
    let socket = host.enter(|| {
        let protocol = Protocol::from(i32::from(EVERY_PROTOCOL.to_be()));
        Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).expect("root may capture")
    });
    socket.set_nonblocking(true).expect("a socket");
    move || {
        let mut seen = Vec::new();
        let mut packet = [0; 64];
        while let Ok(length) = (&socket).read(&mut packet) {
            if length >= 20 && packet[0] >> 4 == 4 && packet[9] == 6 && packet[12..16] == source {
                seen.push((packet[1], packet[8]));
            }
        }
        seen
    }
}

#[test]
fn every_packet_of_a_session_is_network_control() {
    let lab = Lab::new();
    let (us, them) = Place::Link4.build(&lab);
    let mut sent = capture(&them, [10, 0, 0, 1]);
    // DSCP CS6. An external neighbour is one hop away; answers to a first
    // segment leave before it is known whose it is.
    let godwit = Godwit::start(
        &us,
        &configuration(Place::Link4, &us, &format!("{NONE}\npassive = true")),
    );
    let raw = Raw::establish(
        &them,
        "10.0.0.2",
        "10.0.0.1",
        &RawOpen::new(THEIR_ASN, "10.0.0.2"),
    );
    let packets = sent();
    assert!(packets.len() >= 3, "{packets:?}");
    assert!(packets.iter().all(|(tos, _)| *tos == 0xc0), "{packets:?}");
    assert!(packets.iter().any(|(_, ttl)| *ttl == 1), "{packets:?}");
    assert!(
        packets.iter().all(|(_, ttl)| matches!(ttl, 1 | 255)),
        "{packets:?}"
    );
    drop(raw);
    godwit.reload(&configuration(
        Place::Link4,
        &us,
        &format!("{NONE}\nttl-security = true"),
    ));
    let _listener = listen(&them, "10.0.0.2");
    let mut packets = Vec::new();
    wait_for("it to connect", || {
        packets.extend(sent().into_iter().filter(|(_, ttl)| *ttl == 255));
        (packets.len() >= 3).then_some(())
    });
    assert!(packets.iter().all(|(tos, _)| *tos == 0xc0), "{packets:?}");
}
