//! Messages on the stream: the header of RFC 4271 §4.1.

use bytes::{Buf, Bytes, BytesMut};

use super::notification::{Notification, code, header};
use crate::parse::{self, Parsed};

/// Octets of the message header: marker, length, type.
pub const HEADER_LEN: usize = 19;
/// The largest message, in octets, header included (RFC 4271 §4.1).
pub const MAX_MESSAGE: usize = 4096;
/// The largest message once both sides know RFC 8654.
pub const MAX_EXTENDED: usize = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// What a message is (RFC 4271 §4.1, RFC 2918).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    Open = 1,
    Update = 2,
    Notification = 3,
    Keepalive = 4,
    RouteRefresh = 5,
}

impl MessageType {
    /// In small letters, as the API says it.
    pub const fn name(self) -> &'static str {
        match self {
            MessageType::Open => "open",
            MessageType::Update => "update",
            MessageType::Notification => "notification",
            MessageType::Keepalive => "keepalive",
            MessageType::RouteRefresh => "route-refresh",
        }
    }

    const fn from_wire(value: u8) -> Option<MessageType> {
        Some(match value {
            1 => MessageType::Open,
            2 => MessageType::Update,
            3 => MessageType::Notification,
            4 => MessageType::Keepalive,
            5 => MessageType::RouteRefresh,
            _ => return None,
        })
    }

    /// Smallest and largest length of the whole message, given what the
    /// session allows. OPEN and KEEPALIVE never grow (RFC 8654 §4).
    const fn bounds(self, max_len: usize) -> (usize, usize) {
        match self {
            MessageType::Open => (29, MAX_MESSAGE),
            MessageType::Update => (23, max_len),
            MessageType::Notification => (21, max_len),
            MessageType::Keepalive => (HEADER_LEN, HEADER_LEN),
            // A body of another length than 4 is not an error of the header
            // (RFC 7313 §5).
            MessageType::RouteRefresh => (HEADER_LEN, max_len),
        }
    }
}

/// One message: its type and what follows the header, sharing the read buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: MessageType,
    pub body: Bytes,
}

/// Splits one frame off the front of `buf` without copying.
///
/// `Ok(None)` means that more octets are needed; the buffer then has room for
/// the rest of the message. `max_len` is [`MAX_MESSAGE`], or [`MAX_EXTENDED`]
/// once the extended message capability is negotiated.
///
/// # Errors
/// The NOTIFICATION that ends the session, as RFC 4271 §6.1 wants it.
pub fn split_frame(buf: &mut BytesMut, max_len: usize) -> Result<Option<Frame>, Notification> {
    let Ok((_, (marker, length, kind))) = read_header(buf) else {
        return Ok(None);
    };
    if marker != MARKER {
        return Err(Notification::new(
            code::MESSAGE_HEADER,
            header::NOT_SYNCHRONIZED,
        ));
    }
    let bad_length = || {
        let data = Bytes::copy_from_slice(&length.to_be_bytes());
        Notification::with_data(code::MESSAGE_HEADER, header::BAD_LENGTH, data)
    };
    let total = usize::from(length);
    if total < HEADER_LEN || total > max_len {
        return Err(bad_length());
    }
    let Some(kind) = MessageType::from_wire(kind) else {
        let data = Bytes::copy_from_slice(&[kind]);
        return Err(Notification::with_data(
            code::MESSAGE_HEADER,
            header::BAD_TYPE,
            data,
        ));
    };
    let (min, max) = kind.bounds(max_len);
    if total < min || total > max {
        return Err(bad_length());
    }
    if buf.len() < total {
        buf.reserve(total - buf.len());
        return Ok(None);
    }
    let mut body = buf.split_to(total).freeze();
    body.advance(HEADER_LEN);
    Ok(Some(Frame { kind, body }))
}

fn read_header(input: &[u8]) -> Parsed<'_, (&[u8], u16, u8)> {
    let (input, marker) = parse::bytes(input, MARKER.len())?;
    let (input, length) = parse::word(input)?;
    let (input, kind) = parse::octet(input)?;
    Ok((input, (marker, length, kind)))
}

/// Starts a message in `out`; [`finish`] fills in its length.
pub(super) fn start(kind: MessageType, out: &mut BytesMut) -> usize {
    let at = out.len();
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[0, 0, kind as u8]);
    at
}

/// Writes the length of the message that began at `at` into its header.
pub(super) fn finish(at: usize, out: &mut BytesMut) {
    // every writer bounds its message by MAX_EXTENDED
    let length = u16::try_from(out.len() - at).unwrap_or(u16::MAX);
    patch_u16(out, at + MARKER.len(), length);
}

pub(super) fn patch_u16(out: &mut BytesMut, at: usize, value: u16) {
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// A KEEPALIVE, whole.
pub fn keepalive() -> Bytes {
    static KEEPALIVE: [u8; HEADER_LEN] = {
        let mut frame = [0xff; HEADER_LEN];
        frame[16] = 0;
        frame[17] = HEADER_LEN as u8;
        frame[18] = MessageType::Keepalive as u8;
        frame
    };
    Bytes::from_static(&KEEPALIVE)
}
