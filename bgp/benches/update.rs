//! What one UPDATE costs: reading, canonical form, writing.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use godwit_bgp::attrs::{AttrsBuf, Origin, code};
use godwit_bgp::wire::{
    DecodeContext, MAX_MESSAGE, Update, UpdateEncoder, decode_update, split_frame,
};
use godwit_bgp::{Asn, NextHop};
use ipnet::{Ipv4Net, Ipv6Net};

const CONTEXT: DecodeContext = DecodeContext {
    as4: true,
    external: true,
    extended_next_hop: false,
    families: [true; 2],
    add_path: [false; 2],
};

/// What a transit route looks like: four ASes, a few communities.
fn attrs(next_hop: NextHop) -> AttrsBuf {
    let mut attrs = AttrsBuf::new(next_hop, Origin::Igp);
    for asn in [13335, 6939, 3356, 65001] {
        attrs.prepend_as(Asn(asn), 1);
    }
    attrs.set_med(Some(10));
    attrs.community_add(&[0x1234_0001, 0x1234_0002, 0x1234_0003]);
    attrs.set(code::LARGE_COMMUNITIES, 0xc0, &[7; 24]);
    attrs
}

fn prefixes_v4(n: u32) -> impl Iterator<Item = Ipv4Net> + Clone {
    (0..n).map(|i| Ipv4Net::new((0x0b00_0000 + (i << 8)).into(), 24).expect("24 bits"))
}

fn prefixes_v6(n: u128) -> impl Iterator<Item = Ipv6Net> + Clone {
    (0..n).map(|i| Ipv6Net::new(((0x2a01 << 112) + (i << 80)).into(), 48).expect("48 bits"))
}

fn v4_attrs() -> AttrsBuf {
    attrs(NextHop::V4([192, 0, 2, 1].into()))
}

fn v6_attrs() -> AttrsBuf {
    attrs(NextHop::V6("2001:db8::1".parse().expect("an address")))
}

fn body(as4: bool, n: u32, v6: bool) -> Bytes {
    let mut encoder = UpdateEncoder::new(MAX_MESSAGE, as4);
    let mut out = BytesMut::new();
    let written = if v6 {
        encoder.announce_v6(v6_attrs().as_ref(), prefixes_v6(n.into()), &mut out)
    } else {
        encoder.announce_v4(v4_attrs().as_ref(), prefixes_v4(n), &mut out)
    };
    written.expect("room");
    split_frame(&mut out, MAX_MESSAGE)
        .expect("sound")
        .expect("whole")
        .body
}

fn read_all(update: &Update) -> u64 {
    let v4: u64 = update
        .announced_v4()
        .map(|p| u64::from(p.addr().to_bits()))
        .sum();
    let v6: u64 = update
        .announced_v6()
        .map(|p| p.addr().to_bits() as u64)
        .sum();
    v4.wrapping_add(v6)
}

fn reading(c: &mut Criterion) {
    let old = DecodeContext {
        as4: false,
        ..CONTEXT
    };
    let cases = [
        ("6 IPv4 prefixes", body(true, 6, false), CONTEXT),
        ("6 IPv6 prefixes", body(true, 6, true), CONTEXT),
        ("6 IPv4 prefixes, two-octet AS", body(false, 6, false), old),
        ("900 IPv4 prefixes", body(true, 900, false), CONTEXT),
    ];
    for (name, body, ctx) in cases {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("decode", |b| {
            b.iter(|| decode_update(black_box(body.clone()), ctx).expect("sound"));
        });
        let update = decode_update(body.clone(), ctx).expect("sound");
        let mut out = Vec::with_capacity(256);
        group.bench_function("canonical", |b| {
            b.iter(|| black_box(&update).canonical_attrs(&mut out));
        });
        group.bench_function("prefixes", |b| b.iter(|| read_all(black_box(&update))));
        group.finish();
    }
}

fn writing(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let (v4, v6) = (v4_attrs(), v6_attrs());
    for n in [6u32, 900] {
        group.throughput(Throughput::Elements(n.into()));
        for as4 in [true, false] {
            let mut encoder = UpdateEncoder::new(MAX_MESSAGE, as4);
            let octets = if as4 { "four" } else { "two" };
            group.bench_function(format!("{n} IPv4 prefixes, {octets}-octet AS"), |b| {
                b.iter_batched_ref(
                    || BytesMut::with_capacity(16384),
                    |out| encoder.announce_v4(v4.as_ref(), prefixes_v4(n), out),
                    BatchSize::SmallInput,
                );
            });
        }
        let mut encoder = UpdateEncoder::new(MAX_MESSAGE, true);
        group.bench_function(format!("{n} IPv6 prefixes"), |b| {
            b.iter_batched_ref(
                || BytesMut::with_capacity(16384),
                |out| encoder.announce_v6(v6.as_ref(), prefixes_v6(n.into()), out),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, reading, writing);
criterion_main!(benches);
