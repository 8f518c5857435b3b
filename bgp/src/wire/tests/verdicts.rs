//! The table of RFC 7606, one attribute at a time, on external and internal
//! sessions.

use super::build::*;
use crate::attrs::code;
use crate::wire::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Kept: in the canonical form.
    Keep,
    /// Not kept, and nothing to say about it.
    Drop,
    Discard,
    /// With the subcode a NOTIFICATION would have had.
    Withdraw(u8),
    Reset(u8),
}

use Outcome::*;

fn outcome(code: u8, body: bytes::Bytes, ctx: DecodeContext) -> Outcome {
    let update = match decode_update(body, ctx) {
        Ok(update) => update,
        Err(n) => {
            assert_eq!(n.code, notification::code::UPDATE);
            return Reset(n.subcode);
        }
    };
    if update.action == UpdateAction::TreatAsWithdraw {
        assert_eq!(
            update.announced_v4().count() + update.announced_v6().count(),
            0
        );
        assert_eq!(
            update.withdrawn_v4().count() + update.withdrawn_v6().count(),
            2
        );
        let deciding = |f: &&Fault| f.action == FaultAction::TreatAsWithdraw;
        return Withdraw(update.faults.iter().find(deciding).unwrap().subcode);
    }
    assert_eq!(
        update.announced_v4().count() + update.announced_v6().count(),
        2
    );
    if !update.faults.is_empty() {
        assert!(
            update
                .faults
                .iter()
                .all(|f| f.action == FaultAction::Discard)
        );
        return Discard;
    }
    let bytes = canonical(&update);
    let view = crate::attrs::AttrsRef {
        next_hop: std::net::IpAddr::from([0; 4]).into(),
        bytes: &bytes,
    };
    if view.find(code).is_some() {
        Keep
    } else {
        Drop
    }
}

/// A sound UPDATE, with this attribute in place of its own of that type.
fn with(attribute: &[u8], ctx: DecodeContext) -> bytes::Bytes {
    let mut attrs = mandatory(ctx);
    attrs.retain(|a| a[1] != attribute[1]);
    attrs.push(attribute.to_vec());
    body(&[], &attrs, &NLRI)
}

#[track_caller]
fn check(name: &str, attribute: &[u8], external: Outcome, internal: Outcome) {
    for (ctx, expected) in [(EXTERNAL, external), (INTERNAL, internal)] {
        let got = outcome(attribute[1], with(attribute, ctx), ctx);
        assert_eq!(got, expected, "{name}, external: {}", ctx.external);
    }
}

const FLAGS: u8 = 4;
const LENGTH: u8 = 5;
const OPTIONAL: u8 = 9;
const PATH: u8 = 11;

#[test]
fn origin_7_1() {
    for value in 0..=2 {
        check("sound", &attr(0x40, 1, &[value]), Keep, Keep);
    }
    check("undefined", &attr(0x40, 1, &[3]), Withdraw(6), Withdraw(6));
    check(
        "empty",
        &attr(0x40, 1, &[]),
        Withdraw(LENGTH),
        Withdraw(LENGTH),
    );
    check(
        "long",
        &attr(0x40, 1, &[0, 0]),
        Withdraw(LENGTH),
        Withdraw(LENGTH),
    );
    check(
        "optional",
        &attr(0xc0, 1, &[0]),
        Withdraw(FLAGS),
        Withdraw(FLAGS),
    );
}

#[test]
fn the_reserved_type_is_dropped_whatever_it_says() {
    for flags in [0, 0x40, 0x80, 0xc0] {
        check(
            "type 0",
            &attr(flags, 0, &[1, 0, 0, 0, 9]),
            Discard,
            Discard,
        );
    }
}

#[test]
fn as_path_7_2() {
    let check_path = |name, value: &[u8], expected| {
        check(name, &attr(0x50, 2, value), expected, expected);
    };
    let malformed = Withdraw(PATH);
    check_path("empty", &[], Keep);
    check_path(
        "sequence and set",
        &[2, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 2],
        Keep,
    );
    check_path("unknown segment", &[5, 1, 0, 0, 0, 1], malformed);
    check_path("segment type 0", &[0, 1, 0, 0, 0, 1], malformed);
    check_path("empty segment", &[2, 0], malformed);
    check_path("empty segment behind", &[2, 1, 0, 0, 0, 1, 2, 0], malformed);
    check_path("overrun", &[2, 2, 0, 0, 0, 1], malformed);
    check_path("underrun", &[2, 1, 0, 0, 0, 1, 2], malformed);
    check_path("AS 0", &[2, 2, 0, 0, 0, 1, 0, 0, 0, 0], malformed);
    check_path("confederation sequence", &[3, 1, 0, 0, 0, 1], malformed);
    check_path("confederation set", &[4, 1, 0, 0, 0, 1], malformed);
    check(
        "not transitive",
        &attr(0, 2, &[]),
        Withdraw(FLAGS),
        Withdraw(FLAGS),
    );
}

#[test]
fn as_path_of_more_than_2000_numbers_is_withdrawn() {
    for (last, expected) in [(20, Keep), (21, Withdraw(PATH))] {
        let mut value = Vec::new();
        for count in [220u8; 9].into_iter().chain([last]) {
            value.extend_from_slice(&[2, count]);
            value.extend(std::iter::repeat_n([0, 0, 0, 1], count.into()).flatten());
        }
        check("long", &attr(0x50, 2, &value), expected, expected);
    }
}

#[test]
fn next_hop_7_3() {
    let check_hop = |name, value: &[u8], expected| {
        for ctx in [EXTERNAL, INTERNAL] {
            let got = outcome(3, with(&attr(0x40, 3, value), ctx), ctx);
            assert_eq!(got, expected, "{name}");
        }
    };
    // never part of the canonical form
    check_hop("sound", &[192, 0, 2, 1], Drop);
    check_hop("short", &[192, 0, 2], Withdraw(LENGTH));
    check_hop("long", &[192, 0, 2, 1, 0], Withdraw(LENGTH));
    for first in [0, 127, 224, 240, 255] {
        check_hop("no host", &[first, 0, 0, 1], Withdraw(8));
    }
    check(
        "optional",
        &attr(0x80, 3, &[192, 0, 2, 1]),
        Withdraw(FLAGS),
        Withdraw(FLAGS),
    );
}

#[test]
fn med_7_4() {
    check("sound", &attr(0x80, 4, &[0; 4]), Keep, Keep);
    check(
        "short",
        &attr(0x80, 4, &[0; 3]),
        Withdraw(LENGTH),
        Withdraw(LENGTH),
    );
    check(
        "transitive",
        &attr(0xc0, 4, &[0; 4]),
        Withdraw(FLAGS),
        Withdraw(FLAGS),
    );
}

#[test]
fn local_pref_7_5() {
    check("sound", &attr(0x40, 5, &[0; 4]), Discard, Keep);
    check("short", &attr(0x40, 5, &[0; 3]), Discard, Withdraw(LENGTH));
    check(
        "optional",
        &attr(0xc0, 5, &[0; 4]),
        Discard,
        Withdraw(FLAGS),
    );
}

#[test]
fn atomic_aggregate_7_6() {
    check("sound", &attr(0x40, 6, &[]), Keep, Keep);
    check("not empty", &attr(0x40, 6, &[1]), Discard, Discard);
    check(
        "optional",
        &attr(0xc0, 6, &[]),
        Withdraw(FLAGS),
        Withdraw(FLAGS),
    );
}

#[test]
fn aggregator_7_7() {
    check(
        "sound",
        &attr(0xc0, 7, &[0, 0, 0, 1, 1, 2, 3, 4]),
        Keep,
        Keep,
    );
    check(
        "partial",
        &attr(0xe0, 7, &[0, 0, 0, 1, 1, 2, 3, 4]),
        Keep,
        Keep,
    );
    check(
        "of an old speaker",
        &attr(0xc0, 7, &[0, 1, 1, 2, 3, 4]),
        Discard,
        Discard,
    );
    check(
        "AS 0",
        &attr(0xc0, 7, &[0, 0, 0, 0, 1, 2, 3, 4]),
        Discard,
        Discard,
    );
    check(
        "well-known",
        &attr(0x40, 7, &[1; 8]),
        Withdraw(FLAGS),
        Withdraw(FLAGS),
    );
}

#[test]
fn communities_7_8_7_14_and_large() {
    for (code, unit) in [(8, 4), (16, 8), (25, 20), (32, 12)] {
        let malformed = Withdraw(OPTIONAL);
        check("sound", &attr(0xc0, code, &vec![1; unit * 3]), Keep, Keep);
        check("partial", &attr(0xe0, code, &vec![1; unit * 3]), Keep, Keep);
        check("empty", &attr(0xc0, code, &[]), malformed, malformed);
        check(
            "short",
            &attr(0xc0, code, &vec![1; unit * 3 - 1]),
            malformed,
            malformed,
        );
        check(
            "well-known",
            &attr(0x40, code, &vec![1; unit]),
            Withdraw(FLAGS),
            Withdraw(FLAGS),
        );
    }
}

#[test]
fn only_to_customer() {
    check("sound", &attr(0xc0, 35, &[0, 0, 0, 1]), Keep, Keep);
    check("partial", &attr(0xe0, 35, &[0, 0, 0, 1]), Keep, Keep);
    for value in [&[][..], &[0; 3], &[0; 5], &[0; 8]] {
        let malformed = Withdraw(LENGTH);
        check("length", &attr(0xc0, 35, value), malformed, malformed);
    }
    check(
        "not transitive",
        &attr(0x80, 35, &[0, 0, 0, 1]),
        Withdraw(FLAGS),
        Withdraw(FLAGS),
    );
}

#[test]
fn originator_id_7_9_and_cluster_list_7_10() {
    check("sound", &attr(0x80, 9, &[1; 4]), Discard, Keep);
    check("long", &attr(0x80, 9, &[1; 5]), Discard, Withdraw(LENGTH));
    check(
        "transitive",
        &attr(0xc0, 9, &[1; 4]),
        Discard,
        Withdraw(FLAGS),
    );
    check("sound", &attr(0x80, 10, &[1; 8]), Discard, Keep);
    check("empty", &attr(0x80, 10, &[]), Discard, Withdraw(OPTIONAL));
    check("odd", &attr(0x80, 10, &[1; 6]), Discard, Withdraw(OPTIONAL));
}

#[test]
fn as4_attributes_are_ignored_from_a_peer_with_four_octet_numbers() {
    check(
        "path",
        &attr(0xc0, 17, &[2, 1, 0, 0, 0, 1]),
        Discard,
        Discard,
    );
    check("aggregator", &attr(0xc0, 18, &[1; 8]), Discard, Discard);
    check("malformed", &attr(0x40, 17, &[9]), Discard, Discard);
}

#[test]
fn as4_attributes_of_an_old_speaker_cost_only_themselves() {
    let cases: &[(&str, Vec<u8>, Outcome)] = &[
        ("sound path", attr(0xc0, 17, &[2, 1, 0, 0, 0, 1]), Drop),
        ("sound aggregator", attr(0xc0, 18, &[1; 8]), Drop),
        ("empty path", attr(0xc0, 17, &[]), Discard),
        ("path overrun", attr(0xc0, 17, &[2, 2, 0, 0, 0, 1]), Discard),
        (
            "path of an unknown segment",
            attr(0xc0, 17, &[7, 1, 0, 0, 0, 1]),
            Discard,
        ),
        (
            "path with an empty segment",
            attr(0xc0, 17, &[2, 0]),
            Discard,
        ),
        (
            "path with AS 0",
            attr(0xc0, 17, &[2, 1, 0, 0, 0, 0]),
            Discard,
        ),
        (
            "path with a confederation sequence",
            attr(0xc0, 17, &[3, 1, 0, 0, 0, 1]),
            Drop,
        ),
        (
            "path with a confederation set",
            attr(0xc0, 17, &[4, 1, 0, 0, 0, 1]),
            Withdraw(PATH),
        ),
        ("aggregator of six octets", attr(0xc0, 18, &[1; 6]), Discard),
        (
            "aggregator AS 0",
            attr(0xc0, 18, &[0, 0, 0, 0, 1, 1, 1, 1]),
            Discard,
        ),
        (
            "well-known",
            attr(0x40, 17, &[2, 1, 0, 0, 0, 1]),
            Withdraw(FLAGS),
        ),
    ];
    for (name, attribute, expected) in cases {
        let got = outcome(attribute[1], with(attribute, OLD), OLD);
        assert_eq!(got, *expected, "{name}");
    }
}

#[test]
fn unknown_attributes_of_each_category() {
    check("optional transitive", &attr(0xc0, 200, &[1, 2]), Keep, Keep);
    check("optional", &attr(0x80, 200, &[1, 2]), Drop, Drop);
    check(
        "well-known",
        &attr(0x40, 200, &[1, 2]),
        Withdraw(2),
        Withdraw(2),
    );
    check(
        "neither",
        &attr(0x00, 200, &[1, 2]),
        Withdraw(2),
        Withdraw(2),
    );
}

#[test]
fn missing_mandatory_attributes_3_d() {
    for (ctx, code, expected) in [
        (EXTERNAL, code::ORIGIN, Withdraw(3)),
        (EXTERNAL, code::AS_PATH, Withdraw(3)),
        (EXTERNAL, code::NEXT_HOP, Withdraw(3)),
        (INTERNAL, code::ORIGIN, Withdraw(3)),
        (INTERNAL, code::LOCAL_PREF, Withdraw(3)),
    ] {
        let mut attrs = mandatory(ctx);
        attrs.retain(|a| a[1] != code);
        assert_eq!(
            outcome(code, body(&[], &attrs, &NLRI), ctx),
            expected,
            "{code}"
        );
    }
}

#[test]
fn second_copy_of_an_attribute_is_discarded_3_g() {
    for code in [1, 2, 3] {
        let mut attrs = mandatory(EXTERNAL);
        // malformed even: only the first copy counts
        attrs.push(attr(0x40, code, &[9, 9]));
        assert_eq!(outcome(code, body(&[], &attrs, &NLRI), EXTERNAL), Discard);
        let update = read(body(&[], &attrs, &NLRI), EXTERNAL);
        assert_eq!(canonical(&update), [origin(), as_path()].concat());
    }
}

#[test]
fn second_mp_attribute_resets_3_g() {
    let reach = attr(0x80, 14, &mp_reach(2, &global(1), &[16, 0x20, 1]));
    let unreach = attr(0x80, 15, &[0, 2, 1, 16, 0x20, 1]);
    for twice in [reach, unreach] {
        let attrs = [mandatory(EXTERNAL), vec![twice.clone(), twice]].concat();
        assert_eq!(outcome(0, body(&[], &attrs, &NLRI), EXTERNAL), Reset(1));
    }
}

#[test]
fn the_strongest_fault_decides_3_h() {
    let mut attrs = mandatory(EXTERNAL);
    attrs.extend((0..20).map(|_| origin()));
    attrs.push(attr(0x80, 4, &[]));
    let update = read(body(&[], &attrs, &NLRI), EXTERNAL);
    assert_eq!(update.action, UpdateAction::TreatAsWithdraw);
    let last = update.faults.last().unwrap();
    assert_eq!(
        (last.attribute, last.action),
        (code::MED, FaultAction::TreatAsWithdraw)
    );
    assert_eq!(&update.body[last.range()], [0x80, 4, 0]);
    assert!(update.faults.len() <= 8);
}

#[test]
fn attributes_that_do_not_fit_their_total_length_4() {
    for tail in [&[0x40][..], &[0x40, 5], &[0x40, 5, 4, 0], &[0x50, 5, 0]] {
        let mut attrs = mandatory(EXTERNAL);
        attrs.push(tail.to_vec());
        assert_eq!(
            outcome(0, body(&[], &attrs, &NLRI), EXTERNAL),
            Withdraw(1),
            "{tail:?}"
        );
        // without prefixes there may be overlooked ones: 5.2
        assert_eq!(
            outcome(0, body(&NLRI, &attrs, &[]), EXTERNAL),
            Reset(1),
            "{tail:?}"
        );
    }
}

#[test]
fn faults_without_prefixes_reset_5_2() {
    let attrs = [attr(0x40, 1, &[7])];
    assert_eq!(outcome(0, body(&[], &attrs, &[]), EXTERNAL), Reset(6));
    // an attribute discard does not
    let discarded = body(&[], &[attr(0x40, 6, &[7])], &[]);
    assert_eq!(read(discarded, EXTERNAL).faults.len(), 1);
    // nor does MP_UNREACH_NLRI alone, its flags wrong
    let unreach = body(&[], &[attr(0xc0, 15, &[0, 2, 1, 16, 0x20, 1])], &[]);
    let update = read(unreach, EXTERNAL);
    assert_eq!(update.withdrawn_v6().count(), 1);
    assert_eq!(update.faults.len(), 1);
}

#[test]
fn prefixes_that_cannot_be_told_apart_reset_5_3() {
    for nlri in [
        &[33, 1, 2, 3, 4, 5][..],
        &[24, 10, 0],
        &[8, 10, 32, 1, 2, 3],
    ] {
        let attrs = mandatory(EXTERNAL);
        assert_eq!(outcome(0, body(&[], &attrs, nlri), EXTERNAL), Reset(10));
        assert_eq!(outcome(0, body(nlri, &[], &[]), EXTERNAL), Reset(10));
        let reach = attr(0x80, 14, &mp_reach(1, &[192, 0, 2, 1], nlri));
        let attrs = [mandatory(EXTERNAL), vec![reach]].concat();
        assert_eq!(outcome(0, body(&[], &attrs, &NLRI), EXTERNAL), Reset(9));
        let unreach = attr(0x80, 15, &[&[0, 1, 1], nlri].concat());
        assert_eq!(outcome(0, body(&[], &[unreach], &[]), EXTERNAL), Reset(9));
    }
    let reach = attr(0x80, 14, &mp_reach(2, &global(1), &[129]));
    assert_eq!(outcome(0, body(&[], &[reach], &[]), EXTERNAL), Reset(9));
}

#[test]
fn lengths_that_pass_the_message_reset() {
    for bad in [
        &[][..],
        &[0],
        &[0, 1],
        &[0, 0, 0],
        &[0, 0, 0, 1],
        &[0, 5, 0, 0],
    ] {
        let body = bytes::Bytes::copy_from_slice(bad);
        assert_eq!(
            decode_update(body, EXTERNAL).unwrap_err().subcode,
            1,
            "{bad:?}"
        );
    }
}

fn reach_case(next_hop: &[u8], flags: u8) -> Outcome {
    let reach = attr(
        flags,
        14,
        &mp_reach(2, next_hop, &[16, 0x20, 1, 16, 0x20, 2]),
    );
    outcome(14, body(&[], &[reach, origin(), as_path()], &[]), EXTERNAL)
}

#[test]
fn mp_reach_7_11() {
    assert_eq!(reach_case(&global(1), 0x80), Drop);
    let both = [global(1), link_local(1)].concat();
    assert_eq!(reach_case(&both, 0x80), Drop);
    for length in [0, 4, 15, 17, 24, 31, 33, 48] {
        assert_eq!(reach_case(&vec![1; length], 0x80), Reset(9), "{length}");
    }
    assert_eq!(reach_case(&[0; 16], 0x80), Withdraw(8));
    assert_eq!(reach_case(&[0xff; 16], 0x80), Withdraw(8));
    assert_eq!(reach_case(&global(1), 0xc0), Withdraw(FLAGS));
    for value in [&[][..], &[0, 2, 1], &[0, 2, 1, 16, 0, 0], &[0, 2, 1, 0]] {
        assert_eq!(
            outcome(0, body(&[], &[attr(0x80, 14, value)], &[]), EXTERNAL),
            Reset(9)
        );
    }
}

#[test]
fn mp_unreach_7_12() {
    for value in [&[][..], &[0], &[0, 2]] {
        assert_eq!(
            outcome(0, body(&[], &[attr(0x80, 15, value)], &[]), EXTERNAL),
            Reset(9)
        );
    }
}
