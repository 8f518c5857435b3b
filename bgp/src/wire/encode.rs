//! Writing UPDATEs: as many prefixes as a message holds, the attributes put
//! together once for all the messages of a set.

use std::fmt;

use bytes::{BufMut, BytesMut};
use ipnet::{Ipv4Net, Ipv6Net};
use smallvec::SmallVec;

use super::frame::{self, HEADER_LEN, MAX_EXTENDED, MAX_MESSAGE, MessageType, patch_u16};
use super::next_hop;
use super::nlri::Entry;
use crate::attrs::{AttrsRef, code, flag, path_segment, push};
use crate::types::{Asn, Family, NextHop};

/// Octets before the attributes of an UPDATE that withdraws nothing in the
/// field of RFC 4271: header and two lengths.
const FIXED: usize = HEADER_LEN + 4;
const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;

/// The attributes leave no room for a prefix in one message: the routes are to
/// be withdrawn instead (RFC 8654 §5 says the same of messages that grew).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path attributes leave no room for a prefix in one message")
    }
}

impl std::error::Error for TooLong {}

/// Writes UPDATEs for peers that agree on the size of messages and of AS
/// numbers. Everything is appended to `out` as whole messages. Prefixes are
/// written with path identifiers where they are given with them.
#[derive(Clone, Debug)]
pub struct UpdateEncoder {
    max: usize,
    as4: bool,
    /// The attributes as they go out, kept for its memory.
    template: Vec<u8>,
}

impl UpdateEncoder {
    /// `max_message` is what was negotiated: [`MAX_MESSAGE`] or [`MAX_EXTENDED`].
    /// `as4`: the peer knows four-octet AS numbers.
    pub fn new(max_message: usize, as4: bool) -> UpdateEncoder {
        let max = max_message.clamp(MAX_MESSAGE, MAX_EXTENDED);
        UpdateEncoder {
            max,
            as4,
            template: Vec::new(),
        }
    }

    /// IPv4 routes: in the field of RFC 4271 with NEXT_HOP, or, when the next
    /// hop is an IPv6 one, in MP_REACH_NLRI (RFC 8950, which the peer must know).
    ///
    /// # Errors
    /// [`TooLong`], and nothing is written.
    pub fn announce_v4<E: Entry<Ipv4Net>>(
        &mut self,
        attrs: AttrsRef<'_>,
        prefixes: impl Iterator<Item = E>,
        out: &mut BytesMut,
    ) -> Result<(), TooLong> {
        let NextHop::V4(next_hop) = attrs.next_hop else {
            return self.announce_mp(Family::Ipv4Unicast, attrs, prefixes, out);
        };
        self.fill_template(attrs, Some(next_hop.octets()));
        let used = FIXED + self.template.len() + E::EXTRA;
        let room = E::EXTRA + self.room(used, Family::Ipv4Unicast)?;
        let mut prefixes = prefixes.peekable();
        while prefixes.peek().is_some() {
            let at = frame::start(MessageType::Update, out);
            out.put_u16(0);
            out.put_u16(short(self.template.len()));
            out.put_slice(&self.template);
            put_prefixes(&mut prefixes, room, out);
            frame::finish(at, out);
        }
        Ok(())
    }

    /// IPv6 routes, in MP_REACH_NLRI before all other attributes (RFC 7606 §5.1).
    ///
    /// # Errors
    /// [`TooLong`], and nothing is written.
    pub fn announce_v6<E: Entry<Ipv6Net>>(
        &mut self,
        attrs: AttrsRef<'_>,
        prefixes: impl Iterator<Item = E>,
        out: &mut BytesMut,
    ) -> Result<(), TooLong> {
        self.announce_mp(Family::Ipv6Unicast, attrs, prefixes, out)
    }

    pub fn withdraw_v4<E: Entry<Ipv4Net>>(
        &self,
        prefixes: impl Iterator<Item = E>,
        out: &mut BytesMut,
    ) {
        let mut prefixes = prefixes.peekable();
        while prefixes.peek().is_some() {
            let at = frame::start(MessageType::Update, out);
            out.put_u16(0);
            put_prefixes(&mut prefixes, self.max - FIXED, out);
            let length = out.len() - at - HEADER_LEN - 2;
            patch_u16(out, at + HEADER_LEN, short(length));
            out.put_u16(0);
            frame::finish(at, out);
        }
    }

    pub fn withdraw_v6<E: Entry<Ipv6Net>>(
        &self,
        prefixes: impl Iterator<Item = E>,
        out: &mut BytesMut,
    ) {
        let mut prefixes = prefixes.peekable();
        while prefixes.peek().is_some() {
            let at = start_mp(code::MP_UNREACH_NLRI, Family::Ipv6Unicast, out);
            put_prefixes(&mut prefixes, self.max - (out.len() - at), out);
            close_attribute(at, out);
            finish_mp(at, out);
        }
    }

    /// The initial routes of a family are complete (RFC 4724 §2).
    pub fn end_of_rib(&self, family: Family, out: &mut BytesMut) {
        match family {
            Family::Ipv4Unicast => {
                let at = frame::start(MessageType::Update, out);
                out.put_u32(0);
                frame::finish(at, out);
            }
            Family::Ipv6Unicast => {
                let at = start_mp(code::MP_UNREACH_NLRI, family, out);
                close_attribute(at, out);
                finish_mp(at, out);
            }
        }
    }

    fn announce_mp<N, E: Entry<N>>(
        &mut self,
        family: Family,
        attrs: AttrsRef<'_>,
        prefixes: impl Iterator<Item = E>,
        out: &mut BytesMut,
    ) -> Result<(), TooLong> {
        self.fill_template(attrs, None);
        let next_hop = match attrs.next_hop {
            NextHop::V6WithLinkLocal(..) => 33,
            _ => 17,
        };
        let head = FIXED + 4 + 3 + next_hop + 1 + self.template.len();
        let room = E::EXTRA + self.room(head + E::EXTRA, family)?;
        let mut prefixes = prefixes.peekable();
        while prefixes.peek().is_some() {
            let at = start_mp(code::MP_REACH_NLRI, family, out);
            next_hop::put(attrs.next_hop, family, out);
            out.put_u8(0);
            put_prefixes(&mut prefixes, room, out);
            close_attribute(at, out);
            out.put_slice(&self.template);
            finish_mp(at, out);
        }
        Ok(())
    }

    /// Octets left for prefixes after `used` ones, if the longest would fit.
    fn room(&self, used: usize, family: Family) -> Result<usize, TooLong> {
        let longest = 1 + usize::from(family.max_prefix_len() / 8);
        self.max
            .checked_sub(used)
            .filter(|room| *room >= longest)
            .ok_or(TooLong)
    }

    /// Puts the attributes together as this kind of peer wants them, NEXT_HOP
    /// in its place.
    fn fill_template(&mut self, attrs: AttrsRef<'_>, next_hop: Option<[u8; 4]>) {
        let attrs = attrs.without_local();
        self.template.clear();
        if !self.as4 {
            return self.fill_narrow(attrs, next_hop);
        }
        let mut at = 0;
        if let Some(next_hop) = next_hop {
            let mut rest = attrs.bytes;
            while let Ok((tail, attr)) = crate::attrs::attribute(rest)
                && attr.code < code::NEXT_HOP
            {
                rest = tail;
            }
            at = attrs.bytes.len() - rest.len();
            self.template
                .extend_from_slice(attrs.bytes.get(..at).unwrap_or_default());
            put_attr(
                &mut self.template,
                flag::TRANSITIVE,
                code::NEXT_HOP,
                &next_hop,
            );
        }
        self.template
            .extend_from_slice(attrs.bytes.get(at..).unwrap_or_default());
    }

    /// RFC 6793 §4.2.2: two-octet numbers, AS_TRANS for what does not fit, and
    /// the truth in AS4_PATH and AS4_AGGREGATOR.
    fn fill_narrow(&mut self, attrs: AttrsRef<'_>, next_hop: Option<[u8; 4]>) {
        let out = &mut self.template;
        let path = attrs.as_path();
        let wide_path = path.asns().any(is_wide).then_some(path.bytes());
        let wide_aggregator = attrs
            .find(code::AGGREGATOR)
            .map(|a| a.value)
            .filter(|_| attrs.aggregator().is_some_and(|(asn, _)| is_wide(asn)));
        let inserted = [
            (
                code::NEXT_HOP,
                flag::TRANSITIVE,
                next_hop.as_ref().map(<[u8; 4]>::as_slice),
            ),
            (code::AS4_PATH, OPTIONAL_TRANSITIVE, wide_path),
            (code::AS4_AGGREGATOR, OPTIONAL_TRANSITIVE, wide_aggregator),
        ];
        let mut inserted = inserted.into_iter().peekable();
        for attr in attrs.iter() {
            while let Some((code, flags, value)) = inserted.next_if(|(code, ..)| *code < attr.code)
            {
                value
                    .into_iter()
                    .for_each(|value| put_attr(out, flags, code, value));
            }
            match attr.code {
                code::AS_PATH => put_attr(out, attr.flags, attr.code, &narrow_path(attr.value)),
                code::AGGREGATOR => {
                    put_attr(out, attr.flags, attr.code, &narrow_aggregator(attr.value));
                }
                _ => put_attr(out, attr.flags, attr.code, attr.value),
            }
        }
        for (code, flags, value) in inserted {
            value
                .into_iter()
                .for_each(|value| put_attr(out, flags, code, value));
        }
    }
}

/// Values here are no longer than they were in canonical form, so they fit.
fn put_attr(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    let _ = push(out, flags, code, value);
}

const fn is_wide(asn: Asn) -> bool {
    asn.0 > u16::MAX as u32
}

fn narrow([a, b, c, d]: [u8; 4]) -> [u8; 2] {
    if [a, b] == [0, 0] {
        [c, d]
    } else {
        (Asn::TRANS.0 as u16).to_be_bytes()
    }
}

fn narrow_path(mut path: &[u8]) -> SmallVec<[u8; 256]> {
    let mut out = SmallVec::new();
    while let Ok((rest, (kind, asns))) = path_segment(path, 4) {
        let (asns, _) = asns.as_chunks::<4>();
        out.extend_from_slice(&[kind, u8::try_from(asns.len()).unwrap_or(u8::MAX)]);
        for asn in asns {
            out.extend_from_slice(&narrow(*asn));
        }
        path = rest;
    }
    out
}

fn narrow_aggregator(value: &[u8]) -> SmallVec<[u8; 8]> {
    let mut out = SmallVec::new();
    if let Some((asn, address)) = value.split_first_chunk::<4>() {
        out.extend_from_slice(&narrow(*asn));
        out.extend_from_slice(address);
    }
    out
}

/// Writes prefixes until the next would take more than `room` octets.
#[inline]
fn put_prefixes<N, E: Entry<N>>(
    prefixes: &mut std::iter::Peekable<impl Iterator<Item = E>>,
    mut room: usize,
    out: &mut BytesMut,
) {
    while let Some(prefix) = prefixes.next_if(|p| p.size() <= room) {
        room -= prefix.size();
        prefix.put(out);
    }
}

/// Where the first attribute of a message that began at 0 has its flags.
const ATTRIBUTE: usize = FIXED;

/// Starts an UPDATE whose first attribute is an MP one with room for a
/// two-octet length.
fn start_mp(code: u8, family: Family, out: &mut BytesMut) -> usize {
    let at = frame::start(MessageType::Update, out);
    out.put_u32(0);
    out.put_slice(&[flag::OPTIONAL | flag::EXTENDED, code, 0, 0]);
    let afi_safi = family.afi_safi();
    out.put_u16(afi_safi.afi);
    out.put_u8(afi_safi.safi);
    at
}

/// Fills in the length of that attribute, in one octet if it fits: the long
/// form is for longer ones only (RFC 4271 §4.3).
fn close_attribute(at: usize, out: &mut BytesMut) {
    let value = at + ATTRIBUTE + 4;
    let length = out.len() - value;
    match u8::try_from(length) {
        Ok(short) => {
            if let Some(flags) = out.get_mut(at + ATTRIBUTE) {
                *flags = flag::OPTIONAL;
            }
            if let Some(field) = out.get_mut(value - 2) {
                *field = short;
            }
            out.copy_within(value.., value - 1);
            out.truncate(value - 1 + length);
        }
        Err(_) => patch_u16(out, value - 2, short(length)),
    }
}

fn finish_mp(at: usize, out: &mut BytesMut) {
    let length = out.len() - at - FIXED;
    patch_u16(out, at + FIXED - 2, short(length));
    frame::finish(at, out);
}

/// A length within a message, which the encoder's limit bounds.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
