//! Extended communities (RFC 4360, RFC 5668).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::{CommunityError, NON_TRANSITIVE, decimal, from_hex, write_hex};
use crate::types::Asn;

/// The high type octet, without [`NON_TRANSITIVE`].
const TWO_OCTET_AS: u8 = 0x00;
const IPV4: u8 = 0x01;
const FOUR_OCTET_AS: u8 = 0x02;
const OPAQUE: u8 = 0x03;

/// The low type octet of those that name an administrator.
const ROUTE_TARGET: u8 = 0x02;
const ROUTE_ORIGIN: u8 = 0x03;
/// Of a two-octet AS (draft-ietf-idr-link-bandwidth).
const LINK_BANDWIDTH: u8 = 0x04;
/// Of opaque ones: RFC 8097, RFC 9012 §4.3, RFC 9012 §4.1.
const VALIDATION_STATE: u8 = 0x00;
const COLOR: u8 = 0x0b;
const ENCAPSULATION: u8 = 0x0c;

const STATES: [&str; 3] = ["valid", "not-found", "invalid"];

/// An extended community, as its eight octets. As text:
///
/// | text | what |
/// |---|---|
/// | `rt:64512:7`, `soo:64512:7` | route target, route origin, of a two-octet AS and 32 bits |
/// | `rt:4200000000:7`, `rt:64512L:7` | of a four-octet AS and 16 bits; `L` where the number would fit two octets |
/// | `rt:10.0.0.1:7` | of an IPv4 address and 16 bits |
/// | `bandwidth:64512:125000000` | link bandwidth in octets a second, non-transitive |
/// | `transitive-bandwidth:64512:125000000` | the same, transitive |
/// | `validation:valid` | RFC 8097: also `not-found`, `invalid` |
/// | `color:100`, `encapsulation:8` | RFC 9012 |
/// | `opaque:6:0x000000000001`, `local-opaque:6:0x…` | opaque of another sub-type; `local-` where non-transitive |
/// | `0x8006000000000000` | all else |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtCommunity(pub [u8; 8]);

impl ExtCommunity {
    /// Whether it may leave the AS (RFC 4360 §6).
    pub const fn is_transitive(&self) -> bool {
        self.0[0] & NON_TRANSITIVE == 0
    }

    /// The AS and the octets a second of a link bandwidth community, whether
    /// transitive or not.
    pub fn link_bandwidth(&self) -> Option<(Asn, f32)> {
        let [kind, LINK_BANDWIDTH, a, b, rate @ ..] = self.0 else {
            return None;
        };
        let rate = f32::from_be_bytes(rate);
        // Zero is a bandwidth; what is negative or no number is none.
        let sound =
            kind & !NON_TRANSITIVE == TWO_OCTET_AS && rate.is_finite() && rate.is_sign_positive();
        sound.then(|| (Asn(u16::from_be_bytes([a, b]).into()), rate))
    }

    /// Link bandwidth in octets a second; an AS that does not fit two octets is
    /// told as AS_TRANS.
    pub fn from_link_bandwidth(asn: Asn, octets: f32, transitive: bool) -> ExtCommunity {
        let asn = u16::try_from(asn.0).unwrap_or(Asn::TRANS.0 as u16);
        let kind = if transitive { 0 } else { NON_TRANSITIVE };
        let [a, b] = asn.to_be_bytes();
        let [c, d, e, f] = octets.to_be_bytes();
        ExtCommunity([kind | TWO_OCTET_AS, LINK_BANDWIDTH, a, b, c, d, e, f])
    }
}

impl fmt::Display for ExtCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((asn, rate)) = self.link_bandwidth() {
            let name = match self.is_transitive() {
                true => "transitive-bandwidth",
                false => "bandwidth",
            };
            return write!(f, "{name}:{asn}:{rate}");
        }
        let [kind, sub, value @ ..] = self.0;
        let [a, b, c, d, rest @ ..] = value;
        let short = u16::from_be_bytes(rest);
        match (kind, administered(sub)) {
            (TWO_OCTET_AS, Some(name)) => {
                let [e, g] = rest;
                let number = u32::from_be_bytes([c, d, e, g]);
                write!(f, "{name}:{}:{number}", u16::from_be_bytes([a, b]))
            }
            (IPV4, Some(name)) => write!(f, "{name}:{}:{short}", Ipv4Addr::new(a, b, c, d)),
            (FOUR_OCTET_AS, Some(name)) => {
                let asn = u32::from_be_bytes([a, b, c, d]);
                let mark = if asn <= u16::MAX.into() { "L" } else { "" };
                write!(f, "{name}:{asn}{mark}:{short}")
            }
            _ if kind & !NON_TRANSITIVE == OPAQUE => self.opaque(f),
            _ => write_hex(&self.0, f),
        }
    }
}

impl ExtCommunity {
    fn opaque(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, sub, value @ ..] = self.0;
        match (self.is_transitive(), sub, value) {
            (false, VALIDATION_STATE, [0, 0, 0, 0, 0, state])
                if let Some(state) = STATES.get(usize::from(state)) =>
            {
                write!(f, "validation:{state}")
            }
            (true, COLOR, [0, 0, color @ ..]) => {
                write!(f, "color:{}", u32::from_be_bytes(color))
            }
            (true, ENCAPSULATION, [0, 0, 0, 0, tunnel @ ..]) => {
                write!(f, "encapsulation:{}", u16::from_be_bytes(tunnel))
            }
            (transitive, ..) => {
                let name = if transitive { "" } else { "local-" };
                write!(f, "{name}opaque:{sub}:")?;
                write_hex(&value, f)
            }
        }
    }
}

const fn administered(sub: u8) -> Option<&'static str> {
    match sub {
        ROUTE_TARGET => Some("rt"),
        ROUTE_ORIGIN => Some("soo"),
        _ => None,
    }
}

impl FromStr for ExtCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        let Some((name, value)) = text.split_once(':') else {
            return from_hex(text).map(ExtCommunity);
        };
        match name {
            "rt" => of_administrator(ROUTE_TARGET, value),
            "soo" => of_administrator(ROUTE_ORIGIN, value),
            "bandwidth" => bandwidth(value, false),
            "transitive-bandwidth" => bandwidth(value, true),
            "validation" => {
                let state = STATES.iter().position(|state| *state == value);
                let state = state.and_then(|at| u8::try_from(at).ok());
                let state = state.ok_or(CommunityError)?;
                let kind = OPAQUE | NON_TRANSITIVE;
                Ok(ExtCommunity([kind, VALIDATION_STATE, 0, 0, 0, 0, 0, state]))
            }
            "color" => {
                let [a, b, c, d] = decimal::<u32>(value)?.to_be_bytes();
                Ok(ExtCommunity([OPAQUE, COLOR, 0, 0, a, b, c, d]))
            }
            "encapsulation" => {
                let [a, b] = decimal::<u16>(value)?.to_be_bytes();
                Ok(ExtCommunity([OPAQUE, ENCAPSULATION, 0, 0, 0, 0, a, b]))
            }
            "opaque" => opaque(OPAQUE, value),
            "local-opaque" => opaque(OPAQUE | NON_TRANSITIVE, value),
            _ => Err(CommunityError),
        }
    }
}

fn of_administrator(sub: u8, text: &str) -> Result<ExtCommunity, CommunityError> {
    let (who, number) = text.split_once(':').ok_or(CommunityError)?;
    let wide = |kind, who: [u8; 4]| {
        let [a, b, c, d] = who;
        let [e, f] = decimal::<u16>(number)?.to_be_bytes();
        Ok(ExtCommunity([kind, sub, a, b, c, d, e, f]))
    };
    if let Ok(address) = who.parse::<Ipv4Addr>() {
        return wide(IPV4, address.octets());
    }
    if let Some(asn) = who.strip_suffix('L') {
        return wide(FOUR_OCTET_AS, decimal::<u32>(asn)?.to_be_bytes());
    }
    let asn: u32 = decimal(who)?;
    let Ok(asn) = u16::try_from(asn) else {
        return wide(FOUR_OCTET_AS, asn.to_be_bytes());
    };
    let [a, b] = asn.to_be_bytes();
    let [c, d, e, f] = decimal::<u32>(number)?.to_be_bytes();
    Ok(ExtCommunity([TWO_OCTET_AS, sub, a, b, c, d, e, f]))
}

fn bandwidth(text: &str, transitive: bool) -> Result<ExtCommunity, CommunityError> {
    let (asn, rate) = text.split_once(':').ok_or(CommunityError)?;
    // Digits and a point: `parse` would take "inf" and exponents too.
    if !rate.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(CommunityError);
    }
    let rate: f32 = rate.parse().map_err(|_| CommunityError)?;
    if !rate.is_finite() {
        return Err(CommunityError);
    }
    let asn: u16 = decimal(asn)?;
    let asn = Asn(asn.into());
    Ok(ExtCommunity::from_link_bandwidth(asn, rate, transitive))
}

fn opaque(kind: u8, text: &str) -> Result<ExtCommunity, CommunityError> {
    let (sub, value) = text.split_once(':').ok_or(CommunityError)?;
    let [a, b, c, d, e, f] = from_hex(value)?;
    Ok(ExtCommunity([kind, decimal(sub)?, a, b, c, d, e, f]))
}
