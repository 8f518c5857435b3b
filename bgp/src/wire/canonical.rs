//! From attributes as received to the canonical form of [`attrs`](crate::attrs).

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::read_update::Seen;
use super::update::{DecodeContext, RawAttrs};
use super::verdict::{Verdict, category, judge};
use crate::attrs::{
    AsPath, PathBuilder, PathBytes, RawAttr, SegmentKind, attribute, code, flag, path_segment, push,
};

const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;

/// The flags that a kept attribute has in canonical form. What we do not know
/// and pass on is Partial (RFC 4271 §5).
#[inline]
pub(super) const fn normal_flags(attr: &RawAttr<'_>) -> u8 {
    let flags = match category(attr.code) {
        Some(OPTIONAL_TRANSITIVE) => OPTIONAL_TRANSITIVE | (attr.flags & flag::PARTIAL),
        Some(category) => category,
        None => OPTIONAL_TRANSITIVE | flag::PARTIAL,
    };
    if attr.value.len() > 255 {
        flags | flag::EXTENDED
    } else {
        flags
    }
}

/// Octets of a large community (RFC 8092 §3).
const LARGE: usize = 12;

/// Whether a large community occurs more than once: those after the first are
/// removed without a word (RFC 8092 §3).
#[inline]
pub(super) fn has_duplicates(attr: &RawAttr<'_>) -> bool {
    attr.code == code::LARGE_COMMUNITIES && attr.value.len() > LARGE && repeats(attr.value)
}

fn repeats(value: &[u8]) -> bool {
    let (all, _) = value.as_chunks::<LARGE>();
    let mut sorted = SmallVec::<[[u8; LARGE]; 16]>::from_slice(all);
    sorted.sort_unstable();
    sorted.array_windows().any(|[a, b]| a == b)
}

#[cold]
fn without_duplicates(value: &[u8]) -> Vec<u8> {
    let (all, _) = value.as_chunks::<LARGE>();
    let mut seen = BTreeSet::new();
    let first = all.iter().filter(|community| seen.insert(**community));
    first.flatten().copied().collect()
}

/// Replaces `out` by the canonical form of the attributes in `body`.
pub(super) fn write(body: &[u8], attrs: &RawAttrs, out: &mut Vec<u8>) {
    out.clear();
    match &attrs.spans {
        Some(spans) => {
            for (start, end) in spans.parts.iter().take(spans.used.into()) {
                let part = body.get(usize::from(*start)..usize::from(*end));
                out.extend_from_slice(part.unwrap_or_default());
            }
        }
        None => rewrite(body.get(attrs.range()).unwrap_or_default(), attrs, out),
    }
}

/// The long way: sort, normalise, widen AS numbers. It judges each attribute
/// again rather than remember a list of them for every UPDATE.
#[cold]
fn rewrite(mut rest: &[u8], attrs: &RawAttrs, out: &mut Vec<u8>) {
    let (as4, external) = (attrs.as4, attrs.external);
    let ctx = DecodeContext {
        as4,
        external,
        extended_next_hop: false,
        families: [true; 2],
        add_path: [false; 2],
    };
    let mut kept = SmallVec::<[RawAttr<'_>; 16]>::new();
    let mut wide = As4::default();
    let mut seen = Seen::default();
    while let Ok((tail, attr)) = attribute(rest) {
        rest = tail;
        if !seen.first(attr.code) {
            continue;
        }
        match (attr.code, judge(&attr, ctx)) {
            (code::NEXT_HOP | code::MP_REACH_NLRI | code::MP_UNREACH_NLRI, _) => {}
            (code::AS4_PATH, Verdict::Drop) => wide.path = Some(attr.value),
            (code::AS4_AGGREGATOR, Verdict::Drop) => wide.aggregator = Some(attr.value),
            (_, Verdict::Keep) => kept.push(attr),
            _ => {}
        }
    }
    kept.sort_unstable_by_key(|attr| attr.code);
    if !as4 {
        wide.settle(
            kept.iter()
                .find(|a| a.code == code::AGGREGATOR)
                .map(|a| a.value),
        );
    }
    for attr in &kept {
        let flags = normal_flags(attr);
        // none passes 65,535 octets: paths are capped, the rest is as received
        let _ = match attr.code {
            code::AS_PATH if !as4 => push(out, flags, attr.code, &wide.merge_path(attr.value)),
            code::AGGREGATOR if !as4 => {
                push(out, flags, attr.code, &wide.merge_aggregator(attr.value))
            }
            code::LARGE_COMMUNITIES if has_duplicates(attr) => {
                let once = without_duplicates(attr.value);
                let once = RawAttr {
                    value: &once,
                    ..*attr
                };
                push(out, normal_flags(&once), attr.code, once.value)
            }
            _ => push(out, flags, attr.code, attr.value),
        };
    }
}

/// AS4_PATH and AS4_AGGREGATOR of a peer with two-octet numbers.
#[derive(Default)]
struct As4<'a> {
    path: Option<&'a [u8]>,
    aggregator: Option<&'a [u8]>,
}

impl As4<'_> {
    /// RFC 6793 §4.2.3: an AGGREGATOR other than AS_TRANS shows that a speaker
    /// without four-octet numbers aggregated since; both AS4 attributes are old.
    fn settle(&mut self, aggregator: Option<&[u8]>) {
        if self.aggregator.is_some()
            && let Some([hi, lo, ..]) = aggregator
            && [*hi, *lo] != TRANS
        {
            *self = As4::default();
        }
    }

    fn merge_aggregator(&self, value: &[u8]) -> SmallVec<[u8; 8]> {
        match self.aggregator {
            Some(wide) => SmallVec::from_slice(wide),
            None => {
                let mut wide = SmallVec::from_slice(&[0, 0]);
                wide.extend_from_slice(value);
                wide
            }
        }
    }

    /// RFC 6793 §4.2.3: as many leading numbers of AS_PATH as it is longer, then
    /// AS4_PATH; all of AS_PATH if that is the shorter.
    fn merge_path(&self, narrow: &[u8]) -> PathBytes {
        let narrow = widen(narrow);
        let Some(wide) = self.path else {
            return narrow;
        };
        let (old, new) = (AsPath::new(&narrow), AsPath::new(wide));
        let Some(mut ahead) = old.length().checked_sub(new.length()) else {
            return narrow;
        };
        let mut path = PathBuilder::default();
        for segment in old.segments() {
            if ahead == 0 {
                break;
            }
            match segment.kind {
                SegmentKind::Sequence => {
                    let take = ahead.min(segment.length());
                    path.push(
                        segment.kind,
                        segment.octets().get(..take).unwrap_or_default(),
                    );
                    ahead -= take;
                }
                kind => {
                    path.push(kind, segment.octets());
                    ahead -= segment.length();
                }
            }
        }
        for segment in new.segments() {
            // RFC 6793 §6: confederation segments there are to be discarded
            if matches!(segment.kind, SegmentKind::Set | SegmentKind::Sequence) {
                path.push(segment.kind, segment.octets());
            }
        }
        path.into_bytes()
    }
}

const TRANS: [u8; 2] = 23456u16.to_be_bytes();

/// A path of two-octet numbers as one of four-octet ones.
fn widen(mut path: &[u8]) -> PathBytes {
    let mut out = PathBytes::new();
    while let Ok((rest, (kind, asns))) = path_segment(path, 2) {
        let (asns, _) = asns.as_chunks::<2>();
        // a count that was read from one octet
        out.extend_from_slice(&[kind, u8::try_from(asns.len()).unwrap_or(u8::MAX)]);
        for [hi, lo] in asns {
            out.extend_from_slice(&[0, 0, *hi, *lo]);
        }
        path = rest;
    }
    out
}
