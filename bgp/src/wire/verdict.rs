//! What RFC 7606 says of one attribute: the table of the whole codec.

use super::notification::update::{
    ATTRIBUTE_FLAGS, ATTRIBUTE_LENGTH, INVALID_ORIGIN, MALFORMED_AS_PATH, OPTIONAL_ATTRIBUTE,
    UNRECOGNIZED_WELL_KNOWN,
};
use super::update::DecodeContext;
use crate::attrs::{Origin, RawAttr, SegmentKind, code, flag, path_segment};

/// More numbers than any path has: beyond them lies only abuse, and paths that
/// no longer fit the messages we would send.
pub(super) const MAX_PATH: usize = 2000;

/// What to do with an attribute other than NEXT_HOP and the MP ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Sound, to be kept.
    Keep,
    /// Sound, and not for keeping: unknown and non-transitive (RFC 4271 §5), or
    /// consumed by the AS4 merge.
    Drop,
    /// RFC 7606 §2 "attribute discard".
    Discard(u8, &'static str),
    /// RFC 7606 §2 "treat-as-withdraw".
    Withdraw(u8, &'static str),
}

use Verdict::{Discard, Drop, Keep, Withdraw};

const CATEGORY: u8 = flag::OPTIONAL | flag::TRANSITIVE;
const WELL_KNOWN: u8 = flag::TRANSITIVE;
const OPTIONAL: u8 = flag::OPTIONAL;
const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;

/// The flags that an attribute of this type must have; `None` for unknown ones.
#[inline]
pub(super) const fn category(code: u8) -> Option<u8> {
    Some(match code {
        code::ORIGIN
        | code::AS_PATH
        | code::NEXT_HOP
        | code::LOCAL_PREF
        | code::ATOMIC_AGGREGATE => WELL_KNOWN,
        code::MED
        | code::ORIGINATOR_ID
        | code::CLUSTER_LIST
        | code::MP_REACH_NLRI
        | code::MP_UNREACH_NLRI => OPTIONAL,
        code::AGGREGATOR
        | code::COMMUNITIES
        | code::EXT_COMMUNITIES
        | code::AS4_PATH
        | code::AS4_AGGREGATOR
        | code::IPV6_EXT_COMMUNITIES
        | code::LARGE_COMMUNITIES
        | code::OTC => OPTIONAL_TRANSITIVE,
        _ => return None,
    })
}

/// Whether the flags conflict with the type's category (RFC 7606 §3 c).
#[inline]
pub(super) const fn wrong_flags(attr: &RawAttr<'_>) -> bool {
    match category(attr.code) {
        Some(category) => attr.flags & CATEGORY != category,
        None => false,
    }
}

#[inline]
pub(super) fn judge(attr: &RawAttr<'_>, ctx: DecodeContext) -> Verdict {
    // what is to be ignored is ignored before its flags are looked at
    match attr.code {
        code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST if ctx.external => {
            return Discard(
                OPTIONAL_ATTRIBUTE,
                "attribute of internal sessions from an external peer",
            );
        }
        // RFC 4271 §4.3 reserves it, and here it stands for what peers don't decide
        code::LOCAL => return Discard(OPTIONAL_ATTRIBUTE, "attribute of the reserved type 0"),
        code::AS4_PATH | code::AS4_AGGREGATOR if ctx.as4 => {
            return Discard(
                OPTIONAL_ATTRIBUTE,
                "AS4 attribute from a peer with four-octet AS numbers",
            );
        }
        _ => {}
    }
    if wrong_flags(attr) {
        return Withdraw(ATTRIBUTE_FLAGS, "wrong attribute flags");
    }
    let length = attr.value.len();
    match attr.code {
        code::ORIGIN => match *attr.value {
            [value] if Origin::from_wire(value).is_some() => Keep,
            [_] => Withdraw(INVALID_ORIGIN, "undefined ORIGIN"),
            _ => Withdraw(ATTRIBUTE_LENGTH, "ORIGIN is not one octet"),
        },
        code::AS_PATH => match check_path(attr.value, if ctx.as4 { 4 } else { 2 }) {
            Ok(()) => Keep,
            Err(what) => Withdraw(MALFORMED_AS_PATH, what),
        },
        code::MED if length != 4 => Withdraw(ATTRIBUTE_LENGTH, "MED is not four octets"),
        code::LOCAL_PREF if length != 4 => {
            Withdraw(ATTRIBUTE_LENGTH, "LOCAL_PREF is not four octets")
        }
        code::ATOMIC_AGGREGATE if length != 0 => {
            Discard(ATTRIBUTE_LENGTH, "ATOMIC_AGGREGATE is not empty")
        }
        code::AGGREGATOR => check_aggregator(attr.value, if ctx.as4 { 8 } else { 6 }),
        code::COMMUNITIES => list(length, 4, "COMMUNITIES is not a list of four octets each"),
        code::ORIGINATOR_ID if length != 4 => {
            Withdraw(ATTRIBUTE_LENGTH, "ORIGINATOR_ID is not four octets")
        }
        code::CLUSTER_LIST => list(length, 4, "CLUSTER_LIST is not a list of four octets each"),
        code::EXT_COMMUNITIES => list(
            length,
            8,
            "EXTENDED COMMUNITIES is not a list of eight octets each",
        ),
        code::IPV6_EXT_COMMUNITIES => list(
            length,
            20,
            "IPv6 EXTENDED COMMUNITIES is not a list of twenty octets each",
        ),
        code::LARGE_COMMUNITIES => list(
            length,
            12,
            "LARGE_COMMUNITY is not a list of twelve octets each",
        ),
        // RFC 9234 §5
        code::OTC if length != 4 => {
            Withdraw(ATTRIBUTE_LENGTH, "ONLY_TO_CUSTOMER is not four octets")
        }
        // RFC 6793 §6: their faults cost only themselves
        code::AS4_PATH => match check_as4_path(attr.value) {
            Ok(false) => Drop,
            // unlike a plain set, one that the merge would drop without a trace
            Ok(true) => Withdraw(MALFORMED_AS_PATH, "AS4_PATH has a confederation set"),
            Err(what) => Discard(OPTIONAL_ATTRIBUTE, what),
        },
        code::AS4_AGGREGATOR => match check_aggregator(attr.value, 8) {
            Keep => Drop,
            verdict => verdict,
        },
        _ if category(attr.code).is_some() => Keep,
        _ if attr.flags & flag::OPTIONAL == 0 => {
            Withdraw(UNRECOGNIZED_WELL_KNOWN, "unrecognized well-known attribute")
        }
        _ if attr.flags & flag::TRANSITIVE != 0 => Keep,
        _ => Drop,
    }
}

fn list(length: usize, unit: usize, what: &'static str) -> Verdict {
    if length > 0 && length.is_multiple_of(unit) {
        Keep
    } else {
        Withdraw(OPTIONAL_ATTRIBUTE, what)
    }
}

/// RFC 7606 §7.2; RFC 7607 §2 for AS 0. We belong to no confederation, so its
/// segments are an error from any neighbour (RFC 5065 §5).
#[inline]
fn check_path(mut path: &[u8], width: usize) -> Result<(), &'static str> {
    let mut numbers = 0;
    while !path.is_empty() {
        let Ok((rest, (kind, asns))) = path_segment(path, width) else {
            return Err("AS_PATH ends within a segment");
        };
        match SegmentKind::from_wire(kind) {
            Some(SegmentKind::Set | SegmentKind::Sequence) => {}
            Some(_) => return Err("AS_PATH has a confederation segment"),
            None => return Err("AS_PATH has a segment of unknown type"),
        }
        check_numbers(asns, width, &mut numbers)?;
        path = rest;
    }
    Ok(())
}

/// As [`check_path`]; confederation sequences are dropped in the merge
/// (RFC 6793 §6). True: there is a confederation set, which RFC 9774 §3 wants
/// treated as a withdrawal.
fn check_as4_path(mut path: &[u8]) -> Result<bool, &'static str> {
    let mut confederation_set = false;
    let mut numbers = 0;
    if path.is_empty() {
        return Err("AS4_PATH is empty");
    }
    while !path.is_empty() {
        let Ok((rest, (kind, asns))) = path_segment(path, 4) else {
            return Err("AS4_PATH ends within a segment");
        };
        match SegmentKind::from_wire(kind) {
            Some(SegmentKind::ConfedSet) => confederation_set = true,
            Some(_) => {}
            None => return Err("AS4_PATH has a segment of unknown type"),
        }
        check_numbers(asns, 4, &mut numbers)?;
        path = rest;
    }
    Ok(confederation_set)
}

#[inline]
fn check_numbers(asns: &[u8], width: usize, numbers: &mut usize) -> Result<(), &'static str> {
    if asns.is_empty() {
        return Err("path has an empty segment");
    }
    let zero = if width == 4 {
        asns.as_chunks::<4>().0.contains(&[0; 4])
    } else {
        asns.as_chunks::<2>().0.contains(&[0; 2])
    };
    if zero {
        return Err("path has AS 0");
    }
    *numbers += asns.len() / width;
    if *numbers > MAX_PATH {
        return Err("path has more than 2000 numbers");
    }
    Ok(())
}

/// RFC 7606 §7.7; AS 0 costs the attribute too (RFC 7607 §2).
fn check_aggregator(value: &[u8], length: usize) -> Verdict {
    if value.len() != length {
        return Discard(ATTRIBUTE_LENGTH, "AGGREGATOR has the wrong length");
    }
    match value.get(..length - 4) {
        Some(asn) if asn.iter().any(|b| *b != 0) => Keep,
        _ => Discard(OPTIONAL_ATTRIBUTE, "AGGREGATOR is AS 0"),
    }
}
