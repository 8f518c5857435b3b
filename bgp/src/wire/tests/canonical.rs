//! The canonical form of what peers send, and the AS4 merge of RFC 6793.

use super::build::*;
use crate::attrs::{AttrsRef, code};
use crate::types::NextHop;
use crate::wire::*;

fn of(attrs: &[Vec<u8>], ctx: DecodeContext) -> Vec<u8> {
    let update = read(body(&[], attrs, &NLRI), ctx);
    assert_eq!(update.action, UpdateAction::Keep, "{:?}", update.faults);
    canonical(&update)
}

#[test]
fn sorted_attributes_are_copied_without_the_next_hop() {
    let tail = [
        attr(0x80, 4, &[0, 0, 0, 5]),
        attr(0xc0, 8, &[1; 8]),
        attr(0xe0, 99, &[1]),
    ];
    let attrs = [mandatory(EXTERNAL), tail.to_vec()].concat();
    let update = read(body(&[], &attrs, &NLRI), EXTERNAL);
    assert_eq!(update.attrs.spans.unwrap().used, 2);
    assert_eq!(
        canonical(&update),
        [origin(), as_path(), tail.concat()].concat()
    );
}

#[test]
fn whatever_order_and_flags_the_form_is_the_same() {
    let expected = of(
        &[
            origin(),
            as_path(),
            next_hop(),
            attr(0x80, 4, &[0; 4]),
            attr(0xe0, 99, &[1, 2]),
        ],
        EXTERNAL,
    );
    let shuffled = [
        attr(0xd3, 99, &[1, 2]),
        attr(0x9f, 4, &[0; 4]),
        next_hop(),
        // Partial means nothing on a well-known attribute
        attr(0x7f, 2, &as_path()[3..]),
        origin(),
        origin(),
    ];
    assert_eq!(of(&shuffled, EXTERNAL), expected);
}

#[test]
fn unknown_transitive_becomes_partial_and_keeps_its_value() {
    let long: Vec<u8> = (0..=255).cycle().take(300).map(|n: u16| n as u8).collect();
    let attrs = [mandatory(EXTERNAL), vec![attr(0xd0, 77, &long)]].concat();
    let bytes = of(&attrs, EXTERNAL);
    let view = AttrsRef {
        next_hop: NextHop::V4([0; 4].into()),
        bytes: &bytes,
    };
    let unknown = view.find(77).unwrap();
    assert_eq!((unknown.flags, unknown.value), (0xf0, &long[..]));
}

#[test]
fn known_transitive_keeps_partial_as_it_is() {
    for flags in [0xc0, 0xe0] {
        let attrs = [mandatory(EXTERNAL), vec![attr(flags, 8, &[1; 4])]].concat();
        assert!(of(&attrs, EXTERNAL).ends_with(&attr(flags, 8, &[1; 4])));
    }
}

/// RFC 8092 §3.
#[test]
fn a_large_community_that_occurs_twice_is_in_it_once() {
    let large = |locals: &[u8]| -> Vec<u8> {
        let one = |n: &u8| [0, 0, 0xfd, 0xe9, 0, 0, 0, 1, 0, 0, 0, *n];
        let value: Vec<u8> = locals.iter().flat_map(one).collect();
        attr(if value.len() > 255 { 0xd0 } else { 0xc0 }, 32, &value)
    };
    let with = |attr: Vec<u8>, ctx| of(&[mandatory(ctx), vec![attr]].concat(), ctx);
    for ctx in [EXTERNAL, OLD] {
        // Those that stay keep their order.
        assert_eq!(
            with(large(&[9, 2, 9, 2, 5]), ctx),
            with(large(&[9, 2, 5]), ctx)
        );
        // What is left needs no long length any more.
        assert_eq!(with(large(&[7; 30]), ctx), with(large(&[7]), ctx));
    }
    let sound = read(
        body(
            &[],
            &[mandatory(EXTERNAL), vec![large(&[2, 1])]].concat(),
            &NLRI,
        ),
        EXTERNAL,
    );
    assert!(sound.attrs.spans.is_some(), "nothing to remove: copied");
    // Octets that differ within and not at the bounds of a value.
    let shifted = attr(0xc0, 32, &[[1; 12], [2; 12]].concat());
    assert!(with(shifted.clone(), EXTERNAL).ends_with(&shifted));
    // As many as a message has room for.
    let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let first: Vec<u8> = (0..=255).collect();
    assert_eq!(with(large(&all), EXTERNAL), with(large(&first), EXTERNAL));
}

#[test]
fn what_is_not_kept_is_not_in_it() {
    let attrs = [
        mandatory(EXTERNAL),
        vec![
            local_pref(),
            attr(0xc0, 7, &[1; 3]),
            attr(0x80, 9, &[1; 4]),
            attr(0x80, 10, &[1; 4]),
            attr(0x80, 15, &[0, 2, 1]),
            attr(0xc0, 17, &[1; 4]),
            attr(0x80, 66, &[1]),
        ],
    ]
    .concat();
    assert_eq!(of(&attrs, EXTERNAL), [origin(), as_path()].concat());
}

#[test]
fn many_gaps_take_the_long_way_to_the_same_form() {
    let mut attrs = mandatory(EXTERNAL);
    let mut expected = [origin(), as_path()].concat();
    for code in 100..120 {
        let unknown = attr(if code % 2 == 0 { 0xe0 } else { 0x80 }, code, &[code]);
        if code % 2 == 0 {
            expected.extend_from_slice(&unknown);
        }
        attrs.push(unknown);
    }
    let update = read(body(&[], &attrs, &NLRI), EXTERNAL);
    assert!(update.attrs.spans.is_none());
    assert_eq!(canonical(&update), expected);
}

/// Two-octet path, four-octet path: what comes of them, as text.
fn merged(old: &[u8], new: Option<&[u8]>) -> String {
    let mut attrs = vec![origin(), attr(0x40, 2, old), next_hop()];
    if let Some(new) = new {
        // before AS_PATH: the order must not matter
        attrs.insert(0, attr(0xc0, 17, new));
    }
    let bytes = of(&attrs, OLD);
    let view = AttrsRef {
        next_hop: NextHop::V4([0; 4].into()),
        bytes: &bytes,
    };
    assert!(view.find(code::AS4_PATH).is_none());
    view.as_path().to_string()
}

/// A sequence of numbers below 256, of `width` octets each.
fn sequence(kind: u8, width: usize, asns: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, u8::try_from(asns.len()).unwrap()];
    for asn in asns {
        out.extend(std::iter::repeat_n(0, width - 1).chain([*asn]));
    }
    out
}

#[test]
fn as4_path_replaces_the_tail_of_as_path_6793_4_2_3() {
    let old = |asns| sequence(2, 2, asns);
    let new = |asns| sequence(2, 4, asns);
    assert_eq!(merged(&old(&[1, 2, 3]), None), "1 2 3");
    assert_eq!(merged(&old(&[1, 2, 3]), Some(&new(&[8, 9]))), "1 8 9");
    assert_eq!(merged(&old(&[1, 2, 3]), Some(&new(&[7, 8, 9]))), "7 8 9");
    // longer: not to be believed
    assert_eq!(merged(&old(&[1, 2, 3]), Some(&new(&[6, 7, 8, 9]))), "1 2 3");
    assert_eq!(merged(&[], Some(&new(&[9]))), "");
}

#[test]
fn sets_count_as_one_number_in_the_merge() {
    let old = [sequence(2, 2, &[1, 2]), sequence(1, 2, &[3, 4])].concat();
    assert_eq!(merged(&old, Some(&sequence(2, 4, &[9]))), "1 2 9");
    assert_eq!(merged(&old, Some(&sequence(1, 4, &[7, 8]))), "1 2 {7,8}");
    let old = [sequence(1, 2, &[3, 4]), sequence(2, 2, &[1, 2])].concat();
    assert_eq!(merged(&old, Some(&sequence(2, 4, &[9]))), "{3,4} 1 9");
    assert_eq!(merged(&old, Some(&sequence(2, 4, &[8, 9]))), "{3,4} 8 9");
}

#[test]
fn confederations_in_as4_path_are_discarded() {
    let new = [sequence(3, 4, &[5, 6]), sequence(2, 4, &[9])].concat();
    assert_eq!(merged(&sequence(2, 2, &[1, 2]), Some(&new)), "1 9");
}

#[test]
fn merged_path_is_the_same_bytes_as_if_sent_whole() {
    let old = [
        origin(),
        attr(0x40, 2, &sequence(2, 2, &[1, 2, 3])),
        next_hop(),
    ];
    let mut with_as4 = old.to_vec();
    with_as4.push(attr(0xc0, 17, &sequence(2, 4, &[2, 3])));
    let whole = [
        origin(),
        attr(0x40, 2, &sequence(2, 4, &[1, 2, 3])),
        next_hop(),
    ];
    assert_eq!(of(&with_as4, OLD), of(&whole, EXTERNAL));
    assert_eq!(of(&old, OLD), of(&whole, EXTERNAL));
}

fn aggregated(old: [u8; 2], new: bool) -> (String, String) {
    let mut attrs = mandatory(OLD);
    attrs.push(attr(0xc0, 7, &[&old[..], &[1, 1, 1, 1]].concat()));
    attrs.push(attr(0xc0, 17, &sequence(2, 4, &[9])));
    if new {
        attrs.push(attr(0xc0, 18, &[0, 1, 0, 0, 2, 2, 2, 2]));
    }
    let bytes = of(&attrs, OLD);
    let view = AttrsRef {
        next_hop: NextHop::V4([0; 4].into()),
        bytes: &bytes,
    };
    let (asn, address) = view.aggregator().unwrap();
    (format!("{asn} {address}"), view.as_path().to_string())
}

#[test]
fn as4_aggregator_counts_only_beside_as_trans() {
    let trans = 23456u16.to_be_bytes();
    let text = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    assert_eq!(aggregated(trans, true), text(("65536 2.2.2.2", "9")));
    assert_eq!(aggregated(trans, false), text(("23456 1.1.1.1", "9")));
    // an old speaker aggregated since: AS4_PATH is stale too
    assert_eq!(aggregated([0, 7], true), text(("7 1.1.1.1", "65001")));
    assert_eq!(aggregated([0, 7], false), text(("7 1.1.1.1", "9")));
}

#[test]
fn as4_aggregator_alone_is_dropped() {
    let attrs = [mandatory(OLD), vec![attr(0xc0, 18, &[1; 8])]].concat();
    assert_eq!(of(&attrs, OLD), [origin(), as_path()].concat());
}
