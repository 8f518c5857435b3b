//! OPEN (RFC 4271 §4.2), with the long optional parameters of RFC 9072.

use bytes::{BufMut, Bytes, BytesMut};

use super::capability::Capability;
use super::frame::{self, HEADER_LEN, MAX_MESSAGE, MessageType};
use super::notification::{Notification, code, open};
use crate::parse::{self, Parsed, Short};
use crate::types::{Asn, RouterId};

const VERSION: u8 = 4;
const PARAMETER_CAPABILITIES: u8 = 2;
/// The parameter type that announces the long form (RFC 9072 §2).
const PARAMETER_EXTENDED: u8 = 255;
const FOUR_OCTET_AS: u8 = 65;

/// An OPEN, received or to be sent. One that was decoded is valid in itself;
/// whether it suits this session is the session's to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub version: u8,
    /// The speaker's AS: from capability 65, else the My-AS field.
    pub asn: Asn,
    /// The two-octet field as sent; [`Asn::TRANS`] for a number too large.
    pub my_as: u16,
    /// Seconds; 0 means no keepalives, 1 and 2 do not occur.
    pub hold_time: u16,
    /// Never zero (RFC 6286 §2.1).
    pub router_id: RouterId,
    /// As sent, in order, unknown ones included.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// An OPEN of ours; capability 65 is the caller's to include.
    pub fn new(
        asn: Asn,
        hold_time: u16,
        router_id: RouterId,
        capabilities: Vec<Capability>,
    ) -> Open {
        let my_as = two_octets(asn);
        Open {
            version: VERSION,
            asn,
            my_as,
            hold_time,
            router_id,
            capabilities,
        }
    }

    /// Reads the body of an OPEN.
    ///
    /// # Errors
    /// The NOTIFICATION that RFC 4271 §6.2 wants for the first fault found.
    pub fn decode(body: &Bytes) -> Result<Open, Notification> {
        let Ok((rest, fixed)) = read_fixed(body) else {
            return Err(error(open::UNSPECIFIC));
        };
        if fixed.version != VERSION {
            // the data is the largest version we speak, in two octets
            let supported = Bytes::from_static(&[0, VERSION]);
            return Err(Notification::with_data(
                code::OPEN,
                open::UNSUPPORTED_VERSION,
                supported,
            ));
        }
        if fixed.router_id == 0 {
            return Err(error(open::BAD_IDENTIFIER));
        }
        let capabilities = read_parameters(rest, body)?;
        let asn = speaker(fixed.my_as, &capabilities)?;
        Ok(Open {
            version: fixed.version,
            asn,
            my_as: fixed.my_as,
            hold_time: fixed.hold_time,
            router_id: RouterId(fixed.router_id),
            capabilities,
        })
    }

    /// The whole message. Capabilities travel in one parameter (RFC 5492 §4),
    /// in the long form if they need it; one that would burst the message or
    /// its own length octet is left out.
    pub fn encode(&self) -> Bytes {
        let mut list = BytesMut::new();
        let room = MAX_MESSAGE - HEADER_LEN - 10 - 6;
        for capability in &self.capabilities {
            let before = list.len();
            if capability.encode(&mut list) && list.len() > room {
                list.truncate(before);
            }
        }
        let mut out = BytesMut::with_capacity(HEADER_LEN + 10 + 6 + list.len());
        let at = frame::start(MessageType::Open, &mut out);
        out.put_u8(self.version);
        out.put_u16(self.my_as);
        out.put_u16(self.hold_time);
        out.put_u32(self.router_id.0);
        put_parameters(&list, &mut out);
        frame::finish(at, &mut out);
        out.freeze()
    }
}

struct Fixed {
    version: u8,
    my_as: u16,
    hold_time: u16,
    router_id: u32,
}

fn read_fixed(input: &[u8]) -> Parsed<'_, Fixed> {
    let (input, version) = parse::octet(input)?;
    let (input, my_as) = parse::word(input)?;
    let (input, hold_time) = parse::word(input)?;
    let (input, router_id) = parse::long(input)?;
    Ok((
        input,
        Fixed {
            version,
            my_as,
            hold_time,
            router_id,
        },
    ))
}

/// The parameters and whether each has a two-octet length.
fn read_parameter_block(input: &[u8]) -> Parsed<'_, (&[u8], bool)> {
    let (input, length) = parse::octet(input)?;
    if length != 0
        && let [PARAMETER_EXTENDED, long @ ..] = input
    {
        // RFC 9072 §2: the first length octet is then to be ignored
        let (rest, block) = parse::long_field(long)?;
        return Ok((rest, (block, true)));
    }
    let (rest, block) = parse::bytes(input, length.into())?;
    Ok((rest, (block, false)))
}

fn read_parameters(input: &[u8], body: &Bytes) -> Result<Vec<Capability>, Notification> {
    let Ok(([], (mut block, long))) = read_parameter_block(input) else {
        return Err(error(open::UNSPECIFIC));
    };
    let mut capabilities = Vec::new();
    while !block.is_empty() {
        let Ok((rest, (kind, value))) = read_parameter(block, long) else {
            return Err(error(open::UNSPECIFIC));
        };
        if kind != PARAMETER_CAPABILITIES {
            return Err(error(open::UNSUPPORTED_PARAMETER));
        }
        if read_capabilities(value, body, &mut capabilities).is_err() {
            return Err(error(open::UNSPECIFIC));
        }
        block = rest;
    }
    Ok(capabilities)
}

fn read_parameter(input: &[u8], long: bool) -> Parsed<'_, (u8, &[u8])> {
    let (input, kind) = parse::octet(input)?;
    let (input, value) = if long {
        parse::long_field(input)?
    } else {
        parse::short_field(input)?
    };
    Ok((input, (kind, value)))
}

fn read_capabilities(
    mut input: &[u8],
    body: &Bytes,
    out: &mut Vec<Capability>,
) -> Result<(), Short> {
    while !input.is_empty() {
        let Ok((rest, (code, value))) = read_parameter(input, false) else {
            return Err(Short);
        };
        if code == FOUR_OCTET_AS && value.len() != 4 {
            return Err(Short);
        }
        out.push(Capability::decode(code, value, body));
        input = rest;
    }
    Ok(())
}

/// The AS that the OPEN speaks for: capability 65 decides (RFC 6793 §4.1).
/// AS 0 is nobody (RFC 7607), AS_TRANS is nobody in particular.
fn speaker(my_as: u16, capabilities: &[Capability]) -> Result<Asn, Notification> {
    let four_octet = capabilities.iter().find_map(|c| match c {
        Capability::FourOctetAs(asn) => Some(*asn),
        _ => None,
    });
    let asn = four_octet.unwrap_or(Asn(my_as.into()));
    if my_as == 0 || asn == Asn(0) || asn == Asn::TRANS {
        return Err(error(open::BAD_PEER_AS));
    }
    Ok(asn)
}

fn put_parameters(capabilities: &[u8], out: &mut BytesMut) {
    if capabilities.is_empty() {
        out.put_u8(0);
        return;
    }
    match u8::try_from(capabilities.len()) {
        Ok(length) if length <= 253 => {
            out.put_u8(length + 2);
            out.put_u8(PARAMETER_CAPABILITIES);
            out.put_u8(length);
        }
        _ => {
            // Open::encode bounds the list by the size of the message
            let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
            out.put_u8(255);
            out.put_u8(PARAMETER_EXTENDED);
            out.put_u16(length.saturating_add(3));
            out.put_u8(PARAMETER_CAPABILITIES);
            out.put_u16(length);
        }
    }
    out.put_slice(capabilities);
}

fn two_octets(asn: Asn) -> u16 {
    u16::try_from(asn.0).unwrap_or(Asn::TRANS.0 as u16)
}

const fn error(subcode: u8) -> Notification {
    Notification::new(code::OPEN, subcode)
}
