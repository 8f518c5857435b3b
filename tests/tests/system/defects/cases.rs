//! The defects, and what RFC 7606 (or who else) says of each.

use std::net::Ipv4Addr;

use godwit_tests::attrs::{self, attribute};
use ipnet::IpNet;

use super::{BAD_ASN, OUR_ASN, multiprotocol};

/// What becomes of the route that the UPDATE announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Treat-as-withdraw: as if the route had been withdrawn.
    Withdraw,
    /// The route is kept and shown, and not used, for this reason.
    Unused(&'static str),
    /// Attribute discard: the route is used without this attribute.
    Discard,
    /// The route is used with the attribute as it came first, or passed on.
    Keep,
    /// The route is used, and a value that came twice is passed on once.
    Once,
    /// Session reset: a NOTIFICATION with code 3 and this subcode.
    Reset(u8),
}

impl Verdict {
    pub fn resets(self) -> bool {
        matches!(self, Reset(_))
    }

    pub fn keeps_the_route(self) -> bool {
        matches!(self, Discard | Keep | Once)
    }
}

use Verdict::{Discard, Keep, Once, Reset, Unused, Withdraw};

/// Who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    New,
    /// Of two-octet AS numbers only (RFC 6793).
    Old,
}

pub type Body = Box<dyn Fn(&Sender, IpNet) -> Vec<u8>>;

pub struct Case {
    /// As the page calls it.
    pub attribute: &'static str,
    pub code: u8,
    pub defect: &'static str,
    pub speaker: Speaker,
    pub ipv6: bool,
    /// `None`: cannot be.
    pub external: Option<Verdict>,
    pub internal: Option<Verdict>,
    /// Who says so.
    pub source: &'static str,
    /// The UPDATE that announces this prefix with the defect.
    pub body: Body,
}

/// Makes UPDATEs as this peer would.
pub struct Sender {
    pub external: bool,
    pub speaker: Speaker,
}

impl Sender {
    /// The mandatory attributes of an IPv4 route, sound.
    fn base(&self) -> Vec<Vec<u8>> {
        let mut all = self.without_next_hop();
        all.push(attrs::next_hop(Ipv4Addr::new(10, 0, 0, 2)));
        all
    }

    pub fn without_next_hop(&self) -> Vec<Vec<u8>> {
        let mut all = vec![attrs::origin(0)];
        all.push(match (self.external, self.speaker) {
            (false, _) => attrs::as_path(&[]),
            (true, Speaker::New) => attrs::as_path(&[BAD_ASN]),
            (true, Speaker::Old) => attrs::as_path_2(&[BAD_ASN as u16]),
        });
        if !self.external {
            all.push(attrs::local_pref(100));
        }
        all
    }

    /// An announcement without a defect.
    pub fn sound(&self, prefix: IpNet) -> Vec<u8> {
        match prefix {
            IpNet::V4(_) => attrs::update(&[], &self.base(), &[prefix]),
            IpNet::V6(_) => {
                let hop = "fd00::2".parse().expect("an address");
                let reach = attrs::mp_reach_ipv6(hop, &[prefix]);
                attrs::update(&[], &[vec![reach], self.without_next_hop()].concat(), &[])
            }
        }
    }

    /// `other` in the place of the sound one of its type.
    fn with(&self, other: &[u8], prefix: IpNet) -> Vec<u8> {
        let mut all = self.base();
        all.retain(|a| a[1] != other[1]);
        all.push(other.to_vec());
        attrs::update(&[], &all, &[prefix])
    }
}

/// By an external and by an internal peer.
pub type Both = (Option<Verdict>, Option<Verdict>);

pub const fn both(verdict: Verdict) -> Both {
    (Some(verdict), Some(verdict))
}

/// Of an attribute that is ignored from external peers.
const fn inside(verdict: Verdict) -> Both {
    (Some(Discard), Some(verdict))
}

/// The category of an attribute's flags (RFC 4271 §5).
const WELL_KNOWN: u8 = 0x40;
const OPTIONAL: u8 = 0x80;
const TRANSITIVE: u8 = 0xc0;

/// An attribute and what the defects cost that any can have.
struct Attribute {
    name: &'static str,
    code: u8,
    flags: u8,
    /// A value without a defect.
    sound: &'static [u8],
    speaker: Speaker,
    flags_cost: Both,
    length_cost: Both,
    copy_cost: Both,
    source: &'static str,
}

impl Attribute {
    fn new(
        (name, code): (&'static str, u8),
        flags: u8,
        sound: &'static [u8],
        length: Verdict,
        source: &'static str,
    ) -> Attribute {
        Attribute {
            name,
            code,
            flags,
            sound,
            speaker: Speaker::New,
            flags_cost: both(Withdraw),
            length_cost: both(length),
            copy_cost: both(Keep),
            source,
        }
    }

    /// Of internal peers only.
    fn of_inside(self) -> Attribute {
        Attribute {
            flags_cost: inside(Withdraw),
            length_cost: inside(Withdraw),
            copy_cost: inside(Keep),
            ..self
        }
    }

    /// AS4_PATH and AS4_AGGREGATOR: from this kind of speaker.
    fn as4(self, speaker: Speaker) -> Attribute {
        let flags = match speaker {
            Speaker::New => Discard,
            Speaker::Old => Withdraw,
        };
        Attribute {
            speaker,
            flags_cost: both(flags),
            copy_cost: both(Discard),
            ..self
        }
    }

    fn of(&self, value: &[u8]) -> Vec<u8> {
        attribute(self.flags, self.code, value)
    }

    fn cases(&self, all: &mut Vec<Case>) {
        let right = self.sound.len();
        let with_length = |length: usize| {
            let mut value = self.sound.to_vec();
            value.resize(length, 1);
            self.of(&value)
        };
        let wrong = |bit: u8| attribute(self.flags ^ bit, self.code, self.sound);
        let (cost, source) = (self.length_cost, self.source);
        let mut add = |defect, verdict, source, bytes| {
            all.push(self.with(defect, verdict, source, bytes));
        };
        let flags = self.flags_cost;
        add(
            "the Optional flag is wrong",
            flags,
            "7606 §3 c",
            wrong(0x80),
        );
        add(
            "the Transitive flag is wrong",
            flags,
            "7606 §3 c",
            wrong(0x40),
        );
        let long = [&[self.flags | 0x10, self.code, 0, right as u8], self.sound].concat();
        let odd = attribute(self.flags | 0x0f, self.code, self.sound);
        let (none, source_of_none) = (self.copy_cost, "4271 §4.3");
        add(
            "none: Extended Length, though short",
            none,
            source_of_none,
            long,
        );
        add("none: unused flag bits are set", none, source_of_none, odd);
        if right > 0 {
            add("empty", cost, source, with_length(0));
        }
        if right > 1 {
            add("an octet short", cost, source, with_length(right - 1));
        }
        add("an octet long", cost, source, with_length(right + 1));
        let copies = [with_length(right), with_length(right + 1)].concat();
        let text = "a second copy, with a defect";
        add(text, self.copy_cost, "7606 §3 g", copies);
    }

    /// These bytes instead of the sound attribute.
    fn with(
        &self,
        defect: &'static str,
        verdict: Both,
        source: &'static str,
        bytes: Vec<u8>,
    ) -> Case {
        let body = move |sender: &Sender, prefix: IpNet| sender.with(&bytes, prefix);
        Case {
            speaker: self.speaker,
            ..Case::new((self.name, self.code), defect, verdict, source, body)
        }
    }

    fn missing(&self, verdict: Both) -> Case {
        let code = self.code;
        let body = move |sender: &Sender, prefix: IpNet| {
            let mut list = sender.base();
            list.retain(|a| a[1] != code);
            attrs::update(&[], &list, &[prefix])
        };
        Case::new((self.name, code), "missing", verdict, "7606 §3 d", body)
    }
}

impl Case {
    pub fn new(
        (attribute, code): (&'static str, u8),
        defect: &'static str,
        (external, internal): Both,
        source: &'static str,
        body: impl Fn(&Sender, IpNet) -> Vec<u8> + 'static,
    ) -> Case {
        Case {
            attribute,
            code,
            defect,
            speaker: Speaker::New,
            ipv6: false,
            external,
            internal,
            source,
            body: Box::new(body),
        }
    }
}

/// In the order of the page.
pub fn all() -> Vec<Case> {
    let mut all = Vec::new();
    origin(&mut all);
    as_path(&mut all);
    next_hop_and_med(&mut all);
    internal(&mut all);
    aggregates(&mut all);
    communities(&mut all);
    multiprotocol::add(&mut all);
    as4(&mut all, Speaker::New);
    as4(&mut all, Speaker::Old);
    unknown(&mut all);
    whole(&mut all);
    all
}

fn origin(all: &mut Vec<Case>) {
    let origin = Attribute::new(("ORIGIN", 1), WELL_KNOWN, &[0], Withdraw, "7606 §7.1");
    origin.cases(all);
    let undefined = attrs::origin(3);
    all.push(origin.with("undefined value", both(Withdraw), origin.source, undefined));
    all.push(origin.missing(both(Withdraw)));
}

const FIRST_AS: Verdict = Unused("AS path does not begin with the peer's AS");

fn as_path(all: &mut Vec<Case>) {
    const SOURCE: &str = "7606 §7.2";
    let sound: &'static [u8] = &[2, 1, 0, 0, 0xfd, 0xe9];
    let path = Attribute::new(("AS_PATH", 2), WELL_KNOWN, sound, Withdraw, SOURCE);
    path.cases(all);
    // An empty one is an internal peer's own route.
    if let Some(case) = all.iter_mut().find(|c| c.code == 2 && c.defect == "empty") {
        (case.external, case.internal) = (Some(FIRST_AS), Some(Keep));
        case.source = "4271 §6.3";
    }
    let behind = |more: &[u8]| path.of(&[sound, more].concat());
    let segments = |count: usize| {
        let one = [vec![2, 250], [0, 0, 0, 7].repeat(250)].concat();
        behind(&one.repeat(count))
    };
    let looped = behind(&[&[2, 1][..], &OUR_ASN.to_be_bytes()].concat());
    for (defect, verdict, source, bytes) in [
        (
            "a segment of unknown type",
            Withdraw,
            SOURCE,
            behind(&[9, 1, 0, 0, 0, 7]),
        ),
        ("an empty segment", Withdraw, SOURCE, behind(&[2, 0])),
        (
            "a segment that ends early",
            Withdraw,
            SOURCE,
            behind(&[2, 2, 0, 0, 0, 7]),
        ),
        ("AS 0", Withdraw, "7607 §2", behind(&[2, 1, 0, 0, 0, 0])),
        (
            "a confederation sequence",
            Withdraw,
            "5065 §5",
            behind(&[3, 1, 0, 0, 0, 7]),
        ),
        (
            "a confederation set",
            Withdraw,
            "9774 §3",
            behind(&[4, 1, 0, 0, 0, 7]),
        ),
        (
            "a set",
            Unused("AS_SET in the AS path"),
            "9774 §3",
            behind(&[1, 1, 0, 0, 0, 7]),
        ),
        (
            "our own AS",
            Unused("own AS in the AS path"),
            "4271 §9.1.2",
            looped,
        ),
        (
            "more than 750 numbers",
            Unused("AS path too long"),
            "",
            segments(3),
        ),
    ] {
        all.push(path.with(defect, both(verdict), source, bytes));
    }
    let another = attrs::as_path(&[64999, BAD_ASN]);
    let verdict = (Some(FIRST_AS), Some(Keep));
    all.push(path.with("another AS first", verdict, "4271 §6.3", another));
    all.push(path.missing(both(Withdraw)));
}

fn next_hop_and_med(all: &mut Vec<Case>) {
    let value = &[10, 0, 0, 2];
    let hop = Attribute::new(("NEXT_HOP", 3), WELL_KNOWN, value, Withdraw, "7606 §7.3");
    hop.cases(all);
    let ours = Unused("next hop is an address of ours");
    for (defect, verdict, source, address) in [
        ("0.0.0.0", Withdraw, "4271 §6.3", [0; 4]),
        ("a loopback address", Withdraw, "4271 §6.3", [127, 0, 0, 1]),
        ("a multicast address", Withdraw, "4271 §6.3", [224, 0, 0, 1]),
        ("an address of ours", ours, "4271 §5.1.3", [10, 0, 0, 1]),
    ] {
        all.push(hop.with(defect, both(verdict), source, hop.of(&address)));
    }
    all.push(hop.missing(both(Withdraw)));
    let value = &[0, 0, 0, 5];
    let med = ("MULTI_EXIT_DISC", 4);
    Attribute::new(med, OPTIONAL, value, Withdraw, "7606 §7.4").cases(all);
}

/// What only internal peers send.
fn internal(all: &mut Vec<Case>) {
    let value = &[0, 0, 0, 100];
    let pref = Attribute::new(("LOCAL_PREF", 5), WELL_KNOWN, value, Withdraw, "7606 §7.5");
    let pref = pref.of_inside();
    all.push(pref.with("none", inside(Keep), pref.source, pref.of(value)));
    pref.cases(all);
    all.push(pref.missing((None, Some(Withdraw))));
    let value = &[10, 9, 9, 9];
    for (name, source, why) in [
        (
            ("ORIGINATOR_ID", 9),
            "7606 §7.9",
            "own router id as ORIGINATOR_ID",
        ),
        (
            ("CLUSTER_LIST", 10),
            "7606 §7.10",
            "own cluster id in the CLUSTER_LIST",
        ),
    ] {
        let id = Attribute::new(name, OPTIONAL, value, Withdraw, source).of_inside();
        all.push(id.with("none", inside(Keep), source, id.of(value)));
        id.cases(all);
        let ours = id.of(&[10, 0, 0, 1]);
        all.push(id.with("our own id", inside(Unused(why)), "4456 §8", ours));
    }
}

fn aggregates(all: &mut Vec<Case>) {
    let atomic = ("ATOMIC_AGGREGATE", 6);
    Attribute::new(atomic, WELL_KNOWN, &[], Discard, "7606 §7.6").cases(all);
    let value = &[0, 0, 0xfd, 0xe9, 10, 0, 0, 2];
    let name = ("AGGREGATOR", 7);
    let aggregator = Attribute::new(name, TRANSITIVE, value, Discard, "7606 §7.7");
    aggregator.cases(all);
    let nobody = attrs::aggregator(0, Ipv4Addr::new(10, 0, 0, 2));
    all.push(aggregator.with("AS 0", both(Discard), "7607 §2", nobody));
}

fn communities(all: &mut Vec<Case>) {
    let wide = &[
        0, 2, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1,
    ];
    let of = |name, sound: &'static [u8], source| {
        Attribute::new(name, TRANSITIVE, sound, Withdraw, source)
    };
    of(("COMMUNITIES", 8), &[0xfd, 0xe9, 0, 1], "7606 §7.8").cases(all);
    let extended = &[0, 2, 0, 1, 0, 0, 0, 1];
    of(("EXTENDED COMMUNITIES", 16), extended, "7606 §7.14").cases(all);
    of(("IPv6 EXTENDED COMMUNITIES", 25), wide, "7606 §7.15").cases(all);
    let value = &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
    let large = of(("LARGE_COMMUNITY", 32), value, "8092 §6");
    large.cases(all);
    let twice = large.of(&value.repeat(2));
    all.push(large.with("a value twice", both(Once), "8092 §3", twice));
    of(("ONLY_TO_CUSTOMER", 35), &[0, 0, 0, 9], "9234 §5").cases(all);
}

/// Of peers with two-octet AS numbers; ignored from others.
fn as4(all: &mut Vec<Case>, speaker: Speaker) {
    let (names, source, set) = match speaker {
        Speaker::New => (
            [
                "AS4_PATH, four-octet peer",
                "AS4_AGGREGATOR, four-octet peer",
            ],
            "6793 §4.1",
            Discard,
        ),
        Speaker::Old => (
            ["AS4_PATH, two-octet peer", "AS4_AGGREGATOR, two-octet peer"],
            "6793 §6",
            Withdraw,
        ),
    };
    let sound: &'static [u8] = &[2, 1, 0, 0, 0xfd, 0xe9];
    let path = Attribute::new((names[0], 17), TRANSITIVE, sound, Discard, source).as4(speaker);
    path.cases(all);
    let behind = |more: &[u8]| path.of(&[sound, more].concat());
    for (defect, verdict, source, bytes) in [
        (
            "a segment of unknown type",
            Discard,
            source,
            behind(&[9, 1, 0, 0, 0, 7]),
        ),
        ("an empty segment", Discard, source, behind(&[2, 0])),
        ("AS 0", Discard, "7607 §2", behind(&[2, 1, 0, 0, 0, 0])),
        (
            "a confederation set",
            set,
            "9774 §3",
            behind(&[4, 1, 0, 0, 0, 7]),
        ),
    ] {
        all.push(path.with(defect, both(verdict), source, bytes));
    }
    let value = &[0, 0, 0xfd, 0xe9, 10, 0, 0, 2];
    let name = (names[1], 18);
    let aggregator = Attribute::new(name, TRANSITIVE, value, Discard, source).as4(speaker);
    aggregator.cases(all);
    let nobody = aggregator.of(&[0, 0, 0, 0, 10, 0, 0, 2]);
    all.push(aggregator.with("AS 0", both(Discard), "7607 §2", nobody));
}

fn unknown(all: &mut Vec<Case>) {
    let other = Attribute::new(("any other", 200), TRANSITIVE, b"?", Keep, "4271 §5");
    for (defect, verdict, source, flags) in [
        (
            "optional and transitive: passed on, Partial",
            Keep,
            "4271 §5",
            TRANSITIVE,
        ),
        ("optional, not transitive", Discard, "4271 §5", OPTIONAL),
        ("well-known", Withdraw, "7606 §3 c", WELL_KNOWN),
        ("neither optional nor transitive", Withdraw, "7606 §3 c", 0),
    ] {
        all.push(other.with(defect, both(verdict), source, attribute(flags, 200, b"?")));
    }
}

/// What is not of one attribute.
fn whole(all: &mut Vec<Case>) {
    const NAME: (&str, u8) = ("the UPDATE", 0);
    let overrun = |sender: &Sender, prefix: IpNet| {
        let list = [sender.base(), vec![vec![TRANSITIVE, 8, 40, 1, 2, 3, 4]]].concat();
        attrs::update(&[], &list, &[prefix])
    };
    let text = "its attributes overrun their total length";
    all.push(Case::new(NAME, text, both(Withdraw), "7606 §4", overrun));
    let nothing = |sender: &Sender, _: IpNet| {
        let list = [sender.base(), vec![attribute(OPTIONAL, 4, &[0])]].concat();
        attrs::update(&[], &list, &[])
    };
    let text = "a defect of the kind withdraw, and no prefix";
    all.push(Case::new(NAME, text, both(Reset(5)), "7606 §5.2", nothing));
    for (defect, nlri) in [
        ("a prefix of 33 bits", &[33, 10, 10, 0, 0, 0][..]),
        ("a prefix that ends early", &[24, 10, 10]),
    ] {
        let body = move |sender: &Sender, _: IpNet| {
            [&attrs::update(&[], &sender.base(), &[]), nlri].concat()
        };
        all.push(Case::new(NAME, defect, both(Reset(10)), "7606 §5.3", body));
    }
    for (defect, bytes) in [
        ("its withdrawn routes overrun it", &[0xff, 0xff, 0, 0][..]),
        ("its attributes overrun it", &[0, 0, 0, 9, 1]),
    ] {
        let body = move |_: &Sender, _: IpNet| bytes.to_vec();
        all.push(Case::new(NAME, defect, both(Reset(1)), "4271 §6.3", body));
    }
}
