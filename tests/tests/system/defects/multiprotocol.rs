//! MP_REACH_NLRI and MP_UNREACH_NLRI, with an IPv6 prefix.

use std::net::Ipv6Addr;

use godwit_tests::attrs::{self, attribute};
use ipnet::IpNet;

use super::cases::Verdict::{self, Reset, Withdraw};
use super::cases::{Case, Sender, both};

const REACH: (&str, u8) = ("MP_REACH_NLRI", 14);
const UNREACH: (&str, u8) = ("MP_UNREACH_NLRI", 15);
const OPTIONAL: u8 = 0x80;
const HOP: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// Makes the attributes in question of the prefix's NLRI.
type Make = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

fn case(
    name: (&'static str, u8),
    defect: &'static str,
    verdict: Verdict,
    source: &'static str,
    make: Make,
) -> Case {
    let body = move |sender: &Sender, prefix: IpNet| {
        let first = make(&attrs::nlri(&[prefix]));
        // MP_UNREACH_NLRI stands alone: beside others, and without a route, any
        // error that is treated as withdraw would be one of RFC 7606 §5.2.
        let others = match name {
            REACH => sender.without_next_hop(),
            _ => Vec::new(),
        };
        attrs::update(&[], &[first, others].concat(), &[])
    };
    Case {
        ipv6: true,
        ..Case::new(name, defect, both(verdict), source, body)
    }
}

fn reach(flags: u8, hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = u8::try_from(hop.len()).expect("a short next hop");
    let value = [&[0, 2, 1, length], hop, &[0], nlri].concat();
    attribute(flags, REACH.1, &value)
}

fn unreach(flags: u8, nlri: &[u8]) -> Vec<u8> {
    attribute(flags, UNREACH.1, &[&[0, 2, 1], nlri].concat())
}

pub fn add(all: &mut Vec<Case>) {
    const FLAGS: [(&str, u8); 2] = [
        ("the Optional flag is wrong", 0x80),
        ("the Transitive flag is wrong", 0x40),
    ];
    for (defect, bit) in FLAGS {
        let make: Make = Box::new(move |n| vec![reach(OPTIONAL ^ bit, &HOP.octets(), n)]);
        all.push(case(REACH, defect, Withdraw, "7606 §3 c", make));
    }
    let with_hop = |hop: Vec<u8>| -> Make { Box::new(move |n| vec![reach(OPTIONAL, &hop, n)]) };
    for (length, defect) in [
        (0, "no next hop"),
        (4, "a next hop of 4 octets"),
        (15, "a next hop of 15 octets"),
        (17, "a next hop of 17 octets"),
    ] {
        let make = with_hop(vec![0x20; length]);
        all.push(case(REACH, defect, Reset(9), "7606 §7.11", make));
    }
    let multicast = [&[0xff, 2][..], &[0; 13], &[1]].concat();
    for (defect, hop) in [
        ("next hop ::", vec![0; 16]),
        ("a multicast next hop", multicast),
    ] {
        all.push(case(REACH, defect, Withdraw, "4271 §6.3", with_hop(hop)));
    }
    all.extend(cut(REACH, [&[], &[0, 2, 1, 16, 0xfd]]));
    for (defect, nlri) in NLRI {
        let make: Make = Box::new(move |_| vec![reach(OPTIONAL, &HOP.octets(), nlri)]);
        all.push(case(REACH, defect, Reset(9), "7606 §5.3", make));
    }
    let twice: Make = Box::new(|n| vec![reach(OPTIONAL, &HOP.octets(), n); 2]);
    all.push(case(REACH, "twice", Reset(1), "7606 §3 g", twice));

    for (defect, bit) in FLAGS {
        let make: Make = Box::new(move |n| vec![unreach(OPTIONAL ^ bit, n)]);
        all.push(case(UNREACH, defect, Withdraw, "7606 §3 c", make));
    }
    all.extend(cut(UNREACH, [&[], &[0, 2]]));
    for (defect, nlri) in NLRI {
        let make: Make = Box::new(move |_| vec![unreach(OPTIONAL, nlri)]);
        all.push(case(UNREACH, defect, Reset(9), "7606 §5.3", make));
    }
    let twice: Make = Box::new(|n| vec![unreach(OPTIONAL, n); 2]);
    all.push(case(UNREACH, "twice", Reset(1), "7606 §3 g", twice));
}

const NLRI: [(&str, &[u8]); 2] = [
    ("a prefix of 129 bits", &[129, 0xfd]),
    ("a prefix that ends early", &[48, 0xfd, 1]),
];

fn cut(name: (&'static str, u8), values: [&'static [u8]; 2]) -> [Case; 2] {
    let [empty, short] =
        values.map(|value| -> Make { Box::new(move |_| vec![attribute(OPTIONAL, name.1, value)]) });
    [
        case(name, "empty", Reset(9), "7606 §5.3", empty),
        case(
            name,
            "ends before its prefixes",
            Reset(9),
            "7606 §5.3",
            short,
        ),
    ]
}
