//! Building and editing canonical attributes.

use smallvec::SmallVec;

use super::local::Local;
use super::path::{self, SegmentKind};
use super::view::{AttrsRef, Origin, RawAttr, push};
use super::{code, flag};
use crate::types::{Asn, NextHop, RouterId};

const WELL_KNOWN: u8 = flag::TRANSITIVE;
const OPTIONAL: u8 = flag::OPTIONAL;
const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;

type Scratch = SmallVec<[u8; 256]>;

/// Attributes in canonical form, owned. Every edit keeps the form; one that
/// would make a value longer than 65,535 octets changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttrsBuf {
    pub next_hop: NextHop,
    bytes: Vec<u8>,
}

impl AttrsBuf {
    /// A route of our own: the origin and an empty path.
    pub fn new(next_hop: NextHop, origin: Origin) -> AttrsBuf {
        let bytes = vec![
            WELL_KNOWN,
            code::ORIGIN,
            1,
            origin as u8,
            WELL_KNOWN,
            code::AS_PATH,
            0,
        ];
        AttrsBuf { next_hop, bytes }
    }

    pub fn from_ref(attrs: AttrsRef<'_>) -> AttrsBuf {
        AttrsBuf {
            next_hop: attrs.next_hop,
            bytes: attrs.bytes.to_vec(),
        }
    }

    pub fn as_ref(&self) -> AttrsRef<'_> {
        AttrsRef {
            next_hop: self.next_hop,
            bytes: &self.bytes,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Becomes a copy of `attrs`, in the memory it has.
    pub fn assign(&mut self, attrs: AttrsRef<'_>) {
        self.next_hop = attrs.next_hop;
        self.bytes.clear();
        self.bytes.extend_from_slice(attrs.bytes);
    }

    /// Drops every attribute and keeps the memory. What follows must give the
    /// buffer an origin and a path again, or [`AttrsBuf::assign`] to it.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Replaces the attribute or inserts it where its type belongs.
    pub fn set(&mut self, code: u8, flags: u8, value: &[u8]) {
        let (start, end) = self.locate(code);
        let mut attr = Vec::with_capacity(value.len() + 4);
        if push(&mut attr, flags, code, value) {
            self.bytes.splice(start..end, attr);
        }
    }

    pub fn remove(&mut self, code: u8) {
        let (start, end) = self.locate(code);
        self.bytes.drain(start..end);
    }

    /// Keeps the attributes that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&RawAttr<'_>) -> bool) {
        let mut kept = Vec::with_capacity(self.bytes.len());
        for attr in self.as_ref().iter().filter(|a| keep(a)) {
            // its length fitted before
            let _ = push(&mut kept, attr.flags, attr.code, attr.value);
        }
        self.bytes = kept;
    }

    /// Replaces what only this router knows of the route.
    pub fn set_local(&mut self, local: Local) {
        if local.is_default() {
            self.remove(code::LOCAL);
        } else {
            self.set(code::LOCAL, OPTIONAL, &local.encode());
        }
    }

    pub fn set_origin(&mut self, origin: Origin) {
        self.set(code::ORIGIN, WELL_KNOWN, &[origin as u8]);
    }

    pub fn set_med(&mut self, med: Option<u32>) {
        self.set_number(code::MED, OPTIONAL, med);
    }

    pub fn set_local_pref(&mut self, local_pref: Option<u32>) {
        self.set_number(code::LOCAL_PREF, WELL_KNOWN, local_pref);
    }

    pub fn set_originator_id(&mut self, id: RouterId) {
        self.set_number(code::ORIGINATOR_ID, OPTIONAL, Some(id.0));
    }

    /// Replaces ONLY_TO_CUSTOMER or adds it (RFC 9234 §5).
    pub fn set_only_to_customer(&mut self, asn: Asn) {
        self.set_number(code::OTC, OPTIONAL_TRANSITIVE, Some(asn.0));
    }

    /// Puts a cluster id before the list (RFC 4456 §8).
    pub fn prepend_cluster(&mut self, id: RouterId) {
        let mut list = Scratch::from_slice(&id.0.to_be_bytes());
        list.extend_from_slice(self.value(code::CLUSTER_LIST));
        self.set(code::CLUSTER_LIST, OPTIONAL, &list);
    }

    /// Puts `asn` before the path `n` times (RFC 4271 §5.1.2): into the leading
    /// sequence while that has room for 255, else into new ones before it.
    pub fn prepend_as(&mut self, asn: Asn, n: usize) {
        if n == 0 {
            return;
        }
        let old = self.value(code::AS_PATH);
        let (rest, asns) = match path::segment(old, 4) {
            Ok((rest, (kind, asns))) if kind == SegmentKind::Sequence as u8 => (rest, asns),
            _ => (old, [].as_slice()),
        };
        let leading = asns.len() / 4;
        let merged = n.min(255 - leading);
        let mut ahead = n - merged;
        let mut new = Scratch::new();
        while ahead > 0 {
            let chunk = (ahead - 1) % 255 + 1;
            push_sequence(&mut new, chunk, asn, chunk);
            ahead -= chunk;
        }
        push_sequence(&mut new, leading + merged, asn, merged);
        new.extend_from_slice(asns);
        new.extend_from_slice(rest);
        self.set(code::AS_PATH, WELL_KNOWN, &new);
    }

    /// Adds the communities that are not there yet, at the end.
    pub fn community_add(&mut self, communities: &[u32]) {
        let old = self.value(code::COMMUNITIES);
        let mut list = Scratch::from_slice(old);
        for community in communities {
            let octets = community.to_be_bytes();
            if !list.as_chunks::<4>().0.contains(&octets) {
                list.extend_from_slice(&octets);
            }
        }
        if list.len() != old.len() {
            self.set_list(code::COMMUNITIES, &list);
        }
    }

    /// Removes the communities that `which` says yes to.
    pub fn community_remove(&mut self, mut which: impl FnMut(u32) -> bool) {
        let mut list = Scratch::new();
        for community in self.as_ref().communities().filter(|c| !which(*c)) {
            list.extend_from_slice(&community.to_be_bytes());
        }
        if list.len() != self.value(code::COMMUNITIES).len() {
            self.set_list(code::COMMUNITIES, &list);
        }
    }

    /// Replaces all communities; none at all removes the attribute.
    pub fn community_set(&mut self, communities: &[u32]) {
        self.remove(code::COMMUNITIES);
        self.community_add(communities);
    }

    pub(super) fn set_list(&mut self, code: u8, list: &[u8]) {
        if list.is_empty() {
            self.remove(code);
        } else {
            // Partial, once set, stays (RFC 4271 §4.3)
            let flags = self
                .as_ref()
                .find(code)
                .map_or(OPTIONAL_TRANSITIVE, |a| a.flags);
            self.set(code, flags, list);
        }
    }

    fn set_number(&mut self, code: u8, flags: u8, number: Option<u32>) {
        match number {
            Some(number) => self.set(code, flags, &number.to_be_bytes()),
            None => self.remove(code),
        }
    }

    pub(super) fn value(&self, code: u8) -> &[u8] {
        self.as_ref().find(code).map_or(&[], |a| a.value)
    }

    /// Where the attribute is, or the empty range where it would be.
    fn locate(&self, code: u8) -> (usize, usize) {
        let mut start = 0;
        for attr in self.as_ref().iter() {
            let header = if attr.flags & flag::EXTENDED == 0 {
                3
            } else {
                4
            };
            let end = start + header + attr.value.len();
            if attr.code == code {
                return (start, end);
            }
            if attr.code > code {
                break;
            }
            start = end;
        }
        (start, start)
    }
}

/// The head of a sequence of `length` numbers, and `asn` as the first `n`.
fn push_sequence(out: &mut Scratch, length: usize, asn: Asn, n: usize) {
    out.extend_from_slice(&[
        SegmentKind::Sequence as u8,
        u8::try_from(length).unwrap_or(u8::MAX),
    ]);
    for _ in 0..n {
        out.extend_from_slice(&asn.0.to_be_bytes());
    }
}
