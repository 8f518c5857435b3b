#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::types::Asn;

fn ext(text: &str) -> [u8; 8] {
    text.parse::<ExtCommunity>().unwrap().0
}

#[test]
fn every_well_known_name_reads_and_prints() {
    for (value, name) in well_known::NAMES {
        let community = StandardCommunity(value);
        assert_eq!(community.to_string(), name);
        assert_eq!(name.parse(), Ok(community));
        let as_in_the_rfc = name.to_uppercase().replace('-', "_");
        assert_eq!(as_in_the_rfc.parse(), Ok(community));
        let number = format!("{}:{}", value >> 16, value & 0xffff);
        assert_eq!(number.parse(), Ok(community));
    }
    assert_eq!("NOPEER".parse(), Ok(StandardCommunity(0xffff_ff04)));
}

#[test]
fn extended_communities_have_the_octets_of_their_rfc() {
    let cases: &[(&str, [u8; 8])] = &[
        ("rt:65000:7", [0, 2, 0xfd, 0xe8, 0, 0, 0, 7]),
        (
            "soo:65000:4294967295",
            [0, 3, 0xfd, 0xe8, 255, 255, 255, 255],
        ),
        ("rt:192.0.2.1:7", [1, 2, 192, 0, 2, 1, 0, 7]),
        ("rt:4200000000:7", [2, 2, 0xfa, 0x56, 0xea, 0, 0, 7]),
        ("soo:65000L:7", [2, 3, 0, 0, 0xfd, 0xe8, 0, 7]),
        // 125,000,000 octets a second: 1 Gbit/s
        (
            "bandwidth:65000:125000000",
            [0x40, 4, 0xfd, 0xe8, 0x4c, 0xee, 0x6b, 0x28],
        ),
        ("transitive-bandwidth:1:0.5", [0, 4, 0, 1, 0x3f, 0, 0, 0]),
        ("validation:invalid", [0x43, 0, 0, 0, 0, 0, 0, 2]),
        ("color:100", [3, 11, 0, 0, 0, 0, 0, 100]),
        ("encapsulation:8", [3, 12, 0, 0, 0, 0, 0, 8]),
        ("opaque:6:0x010203040506", [3, 6, 1, 2, 3, 4, 5, 6]),
        ("local-opaque:0:0x000000000003", [0x43, 0, 0, 0, 0, 0, 0, 3]),
        ("0x8006000000000001", [0x80, 6, 0, 0, 0, 0, 0, 1]),
    ];
    for (text, octets) in cases {
        assert_eq!(ext(text), *octets, "{text}");
        assert_eq!(ExtCommunity(*octets).to_string(), *text);
    }
}

#[test]
fn ipv6_specific_ones_name_an_address() {
    let text = "rt:[2001:db8::1]:7";
    let community: Ipv6ExtCommunity = text.parse().unwrap();
    let mut octets = [0; 20];
    octets[1] = 2;
    octets[2..6].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    octets[17] = 1;
    octets[19] = 7;
    assert_eq!(community.0, octets);
    assert_eq!(community.to_string(), text);
    octets[0] = 0x40;
    assert!(!Ipv6ExtCommunity(octets).is_transitive());
    assert!(Ipv6ExtCommunity(octets).to_string().starts_with("0x40"));
}

#[test]
fn what_is_no_community_is_refused() {
    for wrong in [
        "",
        ":",
        "1",
        "1:",
        "a:b",
        "+1:2",
        "65536:1",
        "1:2:3:4",
        "1:2:4294967296",
        "no_such",
        "rt:",
        "rt:1",
        "rt:65000:4294967296",
        "rt:65536:65536",
        "rt:1.2.3.4:65536",
        "rt:L:1",
        "rt:[::]:65536",
        "rt:[::]",
        "bandwidth:1:-1",
        "bandwidth:1:inf",
        "bandwidth:1:1e9",
        "bandwidth:65536:1",
        "bandwidth:1:",
        "validation:maybe",
        "opaque:256:0x000000000000",
        "opaque:1:0x00",
        "0x",
        "0x00",
        "0x+006000000000001",
        "lb:1:2",
    ] {
        assert_eq!(wrong.parse::<Community>(), Err(CommunityError), "{wrong:?}");
    }
}

#[test]
fn a_bandwidth_that_is_no_number_has_no_name() {
    for rate in [f32::NAN, f32::INFINITY, -1.0, -0.0] {
        let community = ExtCommunity::from_link_bandwidth(Asn(1), rate, false);
        assert_eq!(community.link_bandwidth(), None);
        assert!(community.to_string().starts_with("0x4004"), "{community}");
    }
    let wide = ExtCommunity::from_link_bandwidth(Asn(4_200_000_000), 1.0, false);
    assert_eq!(wide.link_bandwidth(), Some((Asn::TRANS, 1.0)));
}

/// Types that have names come often.
fn any_ext() -> impl Strategy<Value = [u8; 8]> {
    let head = (
        prop_oneof![0..4u8, 0x40..0x44u8, any::<u8>()],
        prop_oneof![0..13u8, any::<u8>()],
    );
    let zeros = prop_oneof![Just(0u8), any::<u8>()];
    (
        head,
        [zeros.clone(), zeros.clone(), zeros],
        any::<[u8; 3]>(),
    )
        .prop_map(|((kind, sub), [a, b, c], [d, e, f])| [kind, sub, a, b, c, d, e, f])
}

proptest! {
    #[test]
    fn every_community_reads_back(
        standard in prop_oneof![any::<u32>(), 0xffff_0000..0xffff_0010u32, 0xffff_ff00..=u32::MAX],
        ext in any_ext(),
        (a, b, c) in any::<(u32, u32, u32)>(),
        mut ipv6 in any::<[u8; 20]>(),
        known in any::<bool>(),
    ) {
        if known {
            ipv6[0] = 0;
            ipv6[1] = 2;
        }
        for community in [
            Community::Standard(StandardCommunity(standard)),
            Community::Extended(ExtCommunity(ext)),
            Community::Ipv6Extended(Ipv6ExtCommunity(ipv6)),
            Community::Large(LargeCommunity { global: a, local1: b, local2: c }),
        ] {
            let text = community.to_string();
            prop_assert_eq!(text.parse(), Ok(community), "{}", text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = text.parse::<Community>();
    }
}
