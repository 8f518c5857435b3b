//! Writes the seed corpus: `cargo run --bin seeds` in this folder. Sound
//! messages from our own encoder, and bodies with one thing wrong each.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use godwit_bgp::attrs::{AttrsBuf, Origin, code};
use godwit_bgp::wire::{
    Capability, HEADER_LEN, MAX_MESSAGE, Notification, Open, RouteRefresh, UpdateEncoder, keepalive,
};
use godwit_bgp::{Asn, Family, NextHop, PathId, RouterId};
use ipnet::{Ipv4Net, Ipv6Net};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let open = full_open().encode();
    write(&corpus, "open", "every-capability", &open[HEADER_LEN..])?;
    write(&corpus, "open", "bare", &[4, 0, 1, 0, 90, 1, 1, 1, 1, 0])?;
    write(
        &corpus,
        "open",
        "rfc9072",
        &[4, 0, 1, 0, 90, 1, 1, 1, 1, 9, 255, 0, 5, 2, 0, 2, 2, 0],
    )?;
    write(
        &corpus,
        "open",
        "two-parameters",
        &[4, 0, 1, 0, 90, 1, 1, 1, 1, 8, 2, 2, 2, 0, 2, 2, 6, 0],
    )?;
    write(
        &corpus,
        "open",
        "hold-time-2",
        &[4, 0, 1, 0, 2, 1, 1, 1, 1, 0],
    )?;
    write(
        &corpus,
        "open",
        "parameter-1",
        &[4, 0, 1, 0, 90, 1, 1, 1, 1, 3, 1, 1, 0],
    )?;

    others(&corpus)?;

    let mut stream = BytesMut::from(&open[..]);
    stream.extend_from_slice(&keepalive());
    for as4 in [true, false] {
        for (name, message) in updates(as4) {
            stream.extend_from_slice(&message);
            let bits = u8::from(!as4) | 2;
            let body = [&[bits], &message[HEADER_LEN..]].concat();
            write(
                &corpus,
                "update",
                &format!("{name}-as{}", if as4 { 4 } else { 2 }),
                &body,
            )?;
        }
    }
    for (name, message) in add_path_updates() {
        // read with path identifiers, and as if there were none
        for bits in [0x62, 2] {
            let body = [&[bits], &message[HEADER_LEN..]].concat();
            write(&corpus, "update", &format!("{name}-{bits}"), &body)?;
        }
    }
    let refresh = RouteRefresh {
        afi_safi: Family::Ipv6Unicast.afi_safi(),
        subtype: 0,
    };
    stream.extend_from_slice(&refresh.encode());
    stream.extend_from_slice(&Notification::shutdown(2, "bye").encode());
    write(&corpus, "message", "whole-session", &stream)?;
    write(&corpus, "message", "half-header", &keepalive()[..11])?;
    write(&corpus, "message", "half-open", &open[..30])?;
    let mut bad = keepalive().to_vec();
    bad[18] = 9;
    write(&corpus, "message", "type-9", &bad)?;
    for (name, attrs, nlri) in faulty() {
        let length = u16::try_from(attrs.len()).expect("short").to_be_bytes();
        for bits in 0..4 {
            let body = [&[bits, 0, 0], &length[..], &attrs, nlri].concat();
            write(&corpus, "update", &format!("{name}-{bits}"), &body)?;
        }
    }
    Ok(())
}

/// Patterns with what they are held against, and messages of router discovery.
fn others(corpus: &Path) -> std::io::Result<()> {
    let path = [
        [1, 0, 0, 0xfd, 0xe9],
        [1, 0, 0, 0xfd, 0xea],
        [0, 0, 0, 0xfd, 0xeb],
    ];
    for (name, text) in [
        ("through", "_65001_"),
        ("ends", "^65001 .* 65003$"),
        ("empty", "^$"),
        ("counts", "^.{1,3}$"),
        ("classes", "64512-65534 [65001 65010-65019]+ [^65001]?"),
        ("groups", "^65001 ((65002|65003)* 65010{2,}|65003$)"),
        ("digits", "65[0-9]+"),
    ] {
        let data = [text.as_bytes(), b"\n", path.as_flattened()].concat();
        write(corpus, "as_path", name, &data)?;
    }
    let carried = [[0xfc, 0, 0, 100], [0xff, 0xff, 2, 0x9a], [0, 0, 0, 0]];
    for (name, text) in [
        ("exact", "64512:100"),
        ("named", "blackhole"),
        ("ranges", "64512:100-199"),
        ("wild", "*:666"),
        ("large", "64512:*:*"),
        ("extended", "rt:64512:1-9"),
        ("ipv6", "rt:[2001:db8::1]:7"),
        ("bandwidth", "bandwidth:64512:125000000"),
        ("regex", "/^64512:1..$/"),
    ] {
        let data = [text.as_bytes(), b"\n", carried.as_flattened()].concat();
        write(corpus, "community", name, &data)?;
    }
    // The first octet: from a neighbour on the link.
    let advertisement = [0x0a, 134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let options = [1, 1, 2, 0, 0, 0, 0, 1, 5, 1, 0, 0, 0, 0, 5, 220];
    let solicitation = [0x0a, 133, 0, 0, 0, 0, 0, 0, 0];
    write(corpus, "router", "bare", &advertisement)?;
    let with_options = [&advertisement[..], &options].concat();
    write(corpus, "router", "options", &with_options)?;
    write(corpus, "router", "solicitation", &solicitation)
}

fn write(corpus: &Path, target: &str, name: &str, data: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(corpus.join(target))?;
    fs::write(corpus.join(target).join(name), data)
}

fn full_open() -> Open {
    let [v4, v6] = Family::ALL.map(Family::afi_safi);
    let capabilities = vec![
        Capability::MultiProtocol(v4),
        Capability::MultiProtocol(v6),
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![(v4, 2)]),
        Capability::ExtendedMessage,
        Capability::Role(3),
        Capability::GracefulRestart {
            restart: true,
            notification: false,
            time: 120,
            families: vec![(v4, true), (v6, false)],
        },
        Capability::FourOctetAs(Asn(4_200_000_001)),
        Capability::AddPath(vec![(v4, 3)]),
        Capability::EnhancedRouteRefresh,
        Capability::Fqdn {
            host: Bytes::from_static(b"tor1"),
            domain: Bytes::from_static(b"x"),
        },
        Capability::Unknown {
            code: 199,
            data: Bytes::from_static(&[1, 2, 3]),
        },
    ];
    Open::new(Asn(4_200_000_001), 90, RouterId(0x0a00_0001), capabilities)
}

fn updates(as4: bool) -> Vec<(&'static str, Bytes)> {
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, as4);
    let v4 = ["10.1.0.0/16", "10.2.3.0/24", "0.0.0.0/0", "192.0.2.1/32"];
    let v4 = || v4.iter().map(|p| p.parse::<Ipv4Net>().expect("a prefix"));
    let v6 = ["2001:db8::/32", "::/0", "2001:db8::1/128"];
    let v6 = || v6.iter().map(|p| p.parse::<Ipv6Net>().expect("a prefix"));
    let mut list = Vec::new();
    let mut add = |name, out: &mut BytesMut| list.push((name, out.split().freeze()));
    let mut out = BytesMut::new();
    let mut attrs = full_attrs();
    encoder
        .announce_v4(attrs.as_ref(), v4(), &mut out)
        .expect("room");
    add("ipv4", &mut out);
    let (global, link_local) = ("2001:db8::1", "fe80::1");
    let global = global.parse().expect("an address");
    attrs.next_hop = NextHop::V6(global);
    encoder
        .announce_v6(attrs.as_ref(), v6(), &mut out)
        .expect("room");
    add("ipv6", &mut out);
    attrs.next_hop = NextHop::V6WithLinkLocal(global, link_local.parse().expect("an address"), 0);
    encoder
        .announce_v6(attrs.as_ref(), v6(), &mut out)
        .expect("room");
    add("ipv6-link-local", &mut out);
    encoder.withdraw_v4(v4(), &mut out);
    add("withdraw-ipv4", &mut out);
    encoder.withdraw_v6(v6(), &mut out);
    add("withdraw-ipv6", &mut out);
    for (name, family) in ["end-of-rib-ipv4", "end-of-rib-ipv6"]
        .into_iter()
        .zip(Family::ALL)
    {
        encoder.end_of_rib(family, &mut out);
        add(name, &mut out);
    }
    list
}

/// RFC 7911: two paths of one prefix, one of them with the identifier 0.
fn add_path_updates() -> Vec<(&'static str, Bytes)> {
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
    let v4 = || ["10.1.0.0/16"; 2].map(|p| p.parse::<Ipv4Net>().expect("a prefix"));
    let v6 = || ["2001:db8::/32"; 2].map(|p| p.parse::<Ipv6Net>().expect("a prefix"));
    let ids = || [PathId(0), PathId(u32::MAX)].into_iter();
    let mut list = Vec::new();
    let mut add = |name, out: &mut BytesMut| list.push((name, out.split().freeze()));
    let mut out = BytesMut::new();
    let mut attrs = full_attrs();
    encoder
        .announce_v4(attrs.as_ref(), ids().zip(v4()), &mut out)
        .expect("room");
    add("add-path-ipv4", &mut out);
    attrs.next_hop = NextHop::V6("2001:db8::1".parse().expect("an address"));
    encoder
        .announce_v6(attrs.as_ref(), ids().zip(v6()), &mut out)
        .expect("room");
    add("add-path-ipv6", &mut out);
    encoder.withdraw_v4(ids().zip(v4()), &mut out);
    add("add-path-withdraw-ipv4", &mut out);
    encoder.withdraw_v6(ids().zip(v6()), &mut out);
    add("add-path-withdraw-ipv6", &mut out);
    list
}

fn full_attrs() -> AttrsBuf {
    let mut attrs = AttrsBuf::new(NextHop::V4([192, 0, 2, 1].into()), Origin::Egp);
    attrs.set(code::AS_PATH, 0x40, &[1, 2, 0, 0, 0, 7, 0, 1, 0, 0]);
    attrs.prepend_as(Asn(4_200_000_001), 2);
    attrs.prepend_as(Asn(65001), 1);
    attrs.set_med(Some(5));
    attrs.set_local_pref(Some(100));
    attrs.set(code::ATOMIC_AGGREGATE, 0x40, &[]);
    attrs.set(code::AGGREGATOR, 0xc0, &[0, 1, 0, 0, 192, 0, 2, 9]);
    attrs.community_add(&[0xffff_ff01, 0xfde9_0001]);
    attrs.set_originator_id(RouterId(9));
    attrs.prepend_cluster(RouterId(8));
    attrs.set(code::EXT_COMMUNITIES, 0xc0, &[0, 2, 0xfd, 0xe9, 0, 0, 0, 1]);
    attrs.set(
        code::LARGE_COMMUNITIES,
        0xc0,
        &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
    );
    attrs.set(200, 0xe0, &[1; 260]);
    attrs
}

/// Attributes with one fault each, and the prefixes behind them.
fn faulty() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    const GOOD: &[u8] = &[
        0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0, 9, 0x40, 3, 4, 192, 0, 2, 1, 0x40, 5, 4, 0, 0, 0,
        100,
    ];
    const NLRI: &[u8] = &[24, 10, 2, 3, 8, 11];
    let with = |more: &[u8]| [GOOD, more].concat();
    vec![
        ("sound", with(&[]), NLRI),
        ("no-attributes", vec![], NLRI),
        ("no-prefixes", with(&[]), &[]),
        ("prefix-too-long", with(&[]), &[33, 1, 2, 3, 4, 5]),
        ("prefix-cut", with(&[]), &[24, 10]),
        ("attribute-cut", with(&[0x80, 4, 9, 0]), NLRI),
        ("attribute-twice", with(&[0x40, 1, 1, 9]), NLRI),
        ("med-short", with(&[0x80, 4, 1, 0]), NLRI),
        ("flags", with(&[0x40, 8, 4, 0, 0, 0, 1]), NLRI),
        ("unknown-well-known", with(&[0x40, 99, 0]), NLRI),
        (
            "unknown-optional",
            with(&[0x80, 99, 0, 0xc0, 98, 1, 1]),
            NLRI,
        ),
        ("extended-length", with(&[0x90, 4, 0, 4, 0, 0, 0, 1]), NLRI),
        (
            "backwards",
            [&[0x80, 4, 4, 0, 0, 0, 1][..], GOOD].concat(),
            NLRI,
        ),
        ("as4-path", with(&[0xc0, 17, 6, 2, 1, 0, 1, 0, 0]), NLRI),
        (
            "as4-aggregator",
            with(&[
                0xc0, 7, 6, 0x5b, 0xa0, 1, 1, 1, 1, 0xc0, 18, 8, 0, 1, 0, 0, 1, 1, 1, 1,
            ]),
            NLRI,
        ),
        (
            "mp-reach-hop",
            with(&[0x80, 14, 8, 0, 2, 1, 3, 1, 2, 3, 0]),
            &[],
        ),
        (
            "mp-reach-ipv4",
            with(&[0x80, 14, 11, 0, 1, 1, 4, 192, 0, 2, 1, 0, 8, 12]),
            NLRI,
        ),
        ("mp-unreach-vpn", with(&[0x80, 15, 4, 0, 1, 128, 0]), NLRI),
    ]
}
