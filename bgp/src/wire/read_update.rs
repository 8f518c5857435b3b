//! Reading an UPDATE once, front to back.

use bytes::Bytes;
use smallvec::SmallVec;

use super::canonical::{has_duplicates, normal_flags};
use super::next_hop;
use super::nlri::Nlri;
use super::notification::update::{
    ATTRIBUTE_LENGTH, INVALID_NETWORK, INVALID_NEXT_HOP, MALFORMED_ATTRIBUTE_LIST,
    MISSING_WELL_KNOWN, OPTIONAL_ATTRIBUTE,
};
use super::notification::{self, Notification, header};
use super::update::{DecodeContext, Fault, FaultAction, RawAttrs, Spans, Update, UpdateAction};
use super::verdict::{Verdict, judge, wrong_flags};
use crate::attrs::{RawAttr, attribute, code};
use crate::parse::{self, Parsed};
use crate::types::{AfiSafi, Family, NextHop};

/// Faults that are remembered: enough for a log line, no more however many a
/// peer makes.
const MAX_FAULTS: usize = 8;

/// Which attribute types have been seen.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen([u64; 4]);

impl Seen {
    /// Marks a type; true the first time.
    #[inline]
    pub(super) fn first(&mut self, code: u8) -> bool {
        let bit = 1 << (code & 63);
        match self.0.get_mut(usize::from(code >> 6)) {
            Some(word) => {
                let first = *word & bit == 0;
                *word |= bit;
                first
            }
            None => false,
        }
    }

    #[inline]
    fn has(&self, code: u8) -> bool {
        self.0
            .get(usize::from(code >> 6))
            .is_some_and(|word| word & (1 << (code & 63)) != 0)
    }
}

pub(super) struct Reader {
    update: Update,
    ctx: DecodeContext,
    seen: Seen,
    /// One more than the type of the last attribute kept.
    next_code: u16,
    /// Attributes other than MP_UNREACH_NLRI were there.
    others: bool,
}

impl Reader {
    pub(super) fn read(body: Bytes, ctx: DecodeContext) -> Result<Update, Notification> {
        let Some((attrs_at, nlri_at)) = layout(&body) else {
            return Err(reset(MALFORMED_ATTRIBUTE_LIST, Bytes::new()));
        };
        // a body of more than 65,535 octets is no frame's
        let (Ok(start), Ok(end), Ok(_)) = (
            u16::try_from(attrs_at),
            u16::try_from(nlri_at),
            u16::try_from(body.len()),
        ) else {
            return Err(Notification::new(
                notification::code::MESSAGE_HEADER,
                header::BAD_LENGTH,
            ));
        };
        let check = |from: usize, to: usize| {
            let field = body.get(from..to).unwrap_or_default();
            Nlri::check(field, from, 32, ctx.path_ids(Family::Ipv4Unicast))
                .ok_or_else(|| reset(INVALID_NETWORK, Bytes::new()))
        };
        let withdrawn = check(2, attrs_at - 2)?;
        let announced = check(nlri_at, body.len())?;
        let spans = ctx.as4.then(Spans::default);
        let attrs = RawAttrs {
            start,
            end,
            as4: ctx.as4,
            external: ctx.external,
            spans,
        };
        let view = body.clone();
        let update = Update {
            body,
            withdrawn,
            announced,
            mp_unreach: None,
            mp_reach: None,
            next_hop: None,
            attrs,
            action: UpdateAction::Keep,
            faults: SmallVec::new(),
        };
        let seen = Seen::default();
        let mut reader = Reader {
            update,
            ctx,
            seen,
            next_code: 0,
            others: false,
        };
        reader.attributes(&view)?;
        reader.finish()
    }

    fn attributes(&mut self, body: &Bytes) -> Result<(), Notification> {
        let range = self.update.attrs.range();
        let end = range.end;
        let mut rest = body.get(range).unwrap_or_default();
        while !rest.is_empty() {
            let at = end - rest.len();
            let Ok((tail, attr)) = attribute(rest) else {
                // RFC 7606 §4: the total length is relied upon for the rest
                self.others = true;
                let what = "attributes do not fit their total length";
                self.withdraw(0, (at, end), MALFORMED_ATTRIBUTE_LIST, what);
                break;
            };
            self.attribute(&attr, (at, end - tail.len()))?;
            rest = tail;
        }
        Ok(())
    }

    #[inline]
    fn attribute(&mut self, attr: &RawAttr<'_>, at: (usize, usize)) -> Result<(), Notification> {
        self.others |= attr.code != code::MP_UNREACH_NLRI;
        if !self.seen.first(attr.code) {
            // RFC 7606 §3 g
            if matches!(attr.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                return Err(reset(MALFORMED_ATTRIBUTE_LIST, Bytes::new()));
            }
            self.discard(
                attr.code,
                at,
                MALFORMED_ATTRIBUTE_LIST,
                "attribute occurs twice",
            );
            return Ok(());
        }
        match attr.code {
            code::NEXT_HOP => self.next_hop(attr, at),
            code::MP_REACH_NLRI => self.mp_reach(attr, at)?,
            code::MP_UNREACH_NLRI => self.mp_unreach(attr, at)?,
            code => match judge(attr, self.ctx) {
                Verdict::Keep => self.keep(attr, at),
                Verdict::Drop => {}
                Verdict::Discard(subcode, what) => self.discard(code, at, subcode, what),
                Verdict::Withdraw(subcode, what) => self.withdraw(code, at, subcode, what),
            },
        }
        Ok(())
    }

    /// Adds a kept attribute to the spans, as long as they are canonical.
    #[inline]
    fn keep(&mut self, attr: &RawAttr<'_>, at: (usize, usize)) {
        let in_order = u16::from(attr.code) >= self.next_code;
        self.next_code = u16::from(attr.code) + 1;
        let Some(spans) = &mut self.update.attrs.spans else {
            return;
        };
        let normal = attr.flags == normal_flags(attr) && !has_duplicates(attr);
        if !(in_order && normal && spans.push(at)) {
            self.update.attrs.spans = None;
        }
    }

    fn next_hop(&mut self, attr: &RawAttr<'_>, at: (usize, usize)) {
        if self.update.announced.is_empty() {
            // RFC 4760 §3: to be ignored beside MP_REACH_NLRI alone
            return;
        }
        if wrong_flags(attr) {
            return self.wrong_flags(attr, at);
        }
        let Ok(octets) = <[u8; 4]>::try_from(attr.value) else {
            let what = "NEXT_HOP is not four octets";
            return self.withdraw(attr.code, at, ATTRIBUTE_LENGTH, what);
        };
        if !next_hop::is_host_v4(octets.into()) {
            return self.withdraw(
                attr.code,
                at,
                INVALID_NEXT_HOP,
                "NEXT_HOP is no host's address",
            );
        }
        self.update.next_hop = Some(octets.into());
    }

    fn mp_reach(&mut self, attr: &RawAttr<'_>, at: (usize, usize)) -> Result<(), Notification> {
        let malformed = || reset(OPTIONAL_ATTRIBUTE, self.update.body.slice(at.0..at.1));
        let (nlri, (afi_safi, next_hop)) = mp_reach_head(attr.value).map_err(|_| malformed())?;
        let Some(family) = afi_safi.family().filter(|f| self.ctx.negotiated(*f)) else {
            let what = "MP_REACH_NLRI of a family not negotiated";
            self.discard(attr.code, at, OPTIONAL_ATTRIBUTE, what);
            return Ok(());
        };
        // RFC 7606 §7.11: with the wrong length the prefixes cannot be found
        let next_hop = next_hop::read(next_hop, family, self.ctx.extended_next_hop);
        let next_hop = next_hop.ok_or_else(malformed)?;
        let nlri = self.nlri(nlri, at.1, family).ok_or_else(malformed)?;
        self.update.mp_reach = Some((family, next_hop, nlri));
        if wrong_flags(attr) {
            self.wrong_flags(attr, at);
        }
        if !next_hop::is_host(next_hop) {
            let what = "next hop of MP_REACH_NLRI is no host's address";
            self.withdraw(attr.code, at, INVALID_NEXT_HOP, what);
        }
        Ok(())
    }

    fn mp_unreach(&mut self, attr: &RawAttr<'_>, at: (usize, usize)) -> Result<(), Notification> {
        let malformed = || reset(OPTIONAL_ATTRIBUTE, self.update.body.slice(at.0..at.1));
        let (nlri, afi_safi) = afi_safi(attr.value).map_err(|_| malformed())?;
        let Some(family) = afi_safi.family().filter(|f| self.ctx.negotiated(*f)) else {
            let what = "MP_UNREACH_NLRI of a family not negotiated";
            self.discard(attr.code, at, OPTIONAL_ATTRIBUTE, what);
            return Ok(());
        };
        let nlri = self.nlri(nlri, at.1, family).ok_or_else(malformed)?;
        self.update.mp_unreach = Some((family, nlri));
        if wrong_flags(attr) {
            self.wrong_flags(attr, at);
        }
        Ok(())
    }

    /// The prefixes of an MP attribute, which `field` ends with.
    fn nlri(&self, field: &[u8], end: usize, family: Family) -> Option<Nlri> {
        let ids = self.ctx.path_ids(family);
        Nlri::check(field, end - field.len(), family.max_prefix_len(), ids)
    }

    /// What can only be said once all attributes are read.
    fn finish(mut self) -> Result<Update, Notification> {
        let classic = !self.update.announced.is_empty();
        let reach = self
            .update
            .mp_reach
            .is_some_and(|(_, _, nlri)| !nlri.is_empty());
        if classic || reach {
            self.mandatory(classic);
        }
        if classic
            && let Some((Family::Ipv4Unicast, next_hop, nlri)) = self.update.mp_reach
            && !nlri.is_empty()
            && self
                .update
                .next_hop
                .is_some_and(|n| NextHop::V4(n) != next_hop)
        {
            // an UPDATE has one set of attributes, so one next hop a family
            let what = "IPv4 routes with two next hops in one UPDATE";
            self.withdraw(code::MP_REACH_NLRI, (0, 0), INVALID_NEXT_HOP, what);
        }
        let found = classic || self.seen.has(code::MP_REACH_NLRI);
        if self.update.action == UpdateAction::TreatAsWithdraw && self.others && !found {
            return Err(self.cannot_withdraw());
        }
        if !self.ctx.negotiated(Family::Ipv4Unicast)
            && (classic || !self.update.withdrawn.is_empty())
        {
            self.update.announced = Nlri::default();
            self.update.withdrawn = Nlri::default();
            let what = "IPv4 routes, a family not negotiated";
            self.discard(0, (0, 0), OPTIONAL_ATTRIBUTE, what);
        }
        Ok(self.update)
    }

    /// RFC 7606 §3 d; LOCAL_PREF is mandatory between internal peers
    /// (RFC 4271 §5.1.5).
    #[inline]
    fn mandatory(&mut self, classic: bool) {
        let needed = [
            (code::ORIGIN, true, "ORIGIN is missing"),
            (code::AS_PATH, true, "AS_PATH is missing"),
            (code::NEXT_HOP, classic, "NEXT_HOP is missing"),
            (
                code::LOCAL_PREF,
                !self.ctx.external,
                "LOCAL_PREF is missing",
            ),
        ];
        for (code, needed, what) in needed {
            if needed && !self.seen.has(code) {
                self.withdraw(code, (0, 0), MISSING_WELL_KNOWN, what);
            }
        }
    }

    /// RFC 7606 §5.2: attributes with an error and no prefixes to withdraw mean
    /// that prefixes may have been overlooked.
    #[cold]
    fn cannot_withdraw(&self) -> Notification {
        let fault = self
            .update
            .faults
            .iter()
            .find(|f| f.action == FaultAction::TreatAsWithdraw);
        match fault {
            Some(fault) => reset(fault.subcode, self.update.body.slice(fault.range())),
            None => reset(MALFORMED_ATTRIBUTE_LIST, Bytes::new()),
        }
    }

    #[cold]
    fn wrong_flags(&mut self, attr: &RawAttr<'_>, at: (usize, usize)) {
        let subcode = notification::update::ATTRIBUTE_FLAGS;
        self.withdraw(attr.code, at, subcode, "wrong attribute flags");
    }

    #[cold]
    fn discard(&mut self, code: u8, at: (usize, usize), subcode: u8, what: &'static str) {
        self.fault(code, at, subcode, what, FaultAction::Discard);
    }

    #[cold]
    fn withdraw(&mut self, code: u8, at: (usize, usize), subcode: u8, what: &'static str) {
        if self.update.action == UpdateAction::Keep {
            self.update.action = UpdateAction::TreatAsWithdraw;
            // the fault that decided is always among the remembered ones
            self.update.faults.truncate(MAX_FAULTS - 1);
        }
        self.fault(code, at, subcode, what, FaultAction::TreatAsWithdraw);
    }

    fn fault(
        &mut self,
        attribute: u8,
        (start, end): (usize, usize),
        subcode: u8,
        what: &'static str,
        action: FaultAction,
    ) {
        if self.update.faults.len() >= MAX_FAULTS {
            return;
        }
        // positions in the body, whose length fits
        let start = u16::try_from(start).unwrap_or(u16::MAX);
        let end = u16::try_from(end).unwrap_or(u16::MAX);
        let code = notification::code::UPDATE;
        self.update.faults.push(Fault {
            attribute,
            start,
            end,
            action,
            code,
            subcode,
            what,
        });
    }
}

impl Spans {
    /// Adds a part, joined to the one before it where they touch. False when
    /// there are too many.
    #[inline]
    fn push(&mut self, (start, end): (usize, usize)) -> bool {
        let (Ok(start), Ok(end)) = (u16::try_from(start), u16::try_from(end)) else {
            return false;
        };
        let used = usize::from(self.used);
        if let Some(last) = used.checked_sub(1).and_then(|n| self.parts.get_mut(n))
            && last.1 == start
        {
            last.1 = end;
            return true;
        }
        let Some(part) = self.parts.get_mut(used) else {
            return false;
        };
        *part = (start, end);
        self.used += 1;
        true
    }
}

/// Where the attributes begin and end. `None`: the lengths do not fit
/// (RFC 4271 §6.3).
fn layout(body: &[u8]) -> Option<(usize, usize)> {
    let (rest, _withdrawn) = parse::long_field(body).ok()?;
    let attrs_at = body.len() - rest.len() + 2;
    let (rest, _attrs) = parse::long_field(rest).ok()?;
    Some((attrs_at, body.len() - rest.len()))
}

fn afi_safi(input: &[u8]) -> Parsed<'_, AfiSafi> {
    let (input, afi) = parse::word(input)?;
    let (input, safi) = parse::octet(input)?;
    Ok((input, AfiSafi { afi, safi }))
}

/// MP_REACH_NLRI up to its prefixes: the family and the next hop's octets.
fn mp_reach_head(input: &[u8]) -> Parsed<'_, (AfiSafi, &[u8])> {
    let (input, afi_safi) = afi_safi(input)?;
    let (input, next_hop) = parse::short_field(input)?;
    let (input, _reserved) = parse::octet(input)?;
    Ok((input, (afi_safi, next_hop)))
}

#[cold]
fn reset(subcode: u8, data: Bytes) -> Notification {
    Notification::with_data(notification::code::UPDATE, subcode, data)
}
