//! ROUTE-REFRESH (RFC 2918), with the subtypes of RFC 7313.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{self, HEADER_LEN, MessageType};
use super::notification::{Notification, code, header, refresh};
use crate::parse::{self, Parsed};
use crate::types::AfiSafi;

/// A plain request, or the begin or end of one's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    pub afi_safi: AfiSafi,
    /// One of the constants here; others are to be ignored (RFC 7313 §5).
    pub subtype: u8,
}

impl RouteRefresh {
    /// "Send me your routes again."
    pub const REQUEST: u8 = 0;
    /// Beginning of the routes that answer (BoRR).
    pub const BEGIN: u8 = 1;
    /// End of them (EoRR).
    pub const END: u8 = 2;

    /// Reads the body of a ROUTE-REFRESH. What follows the fourth octet of a
    /// plain one (filters of RFC 5291, never negotiated here) is ignored.
    /// `enhanced`: RFC 7313 was negotiated, so that BoRR and EoRR mean something.
    ///
    /// # Errors
    /// Bad Message Length, or for BoRR and EoRR Invalid Message Length with the
    /// whole message as data (RFC 7313 §5).
    pub fn decode(body: &Bytes, enhanced: bool) -> Result<RouteRefresh, Notification> {
        let marker = matches!(body.get(2), Some(&(Self::BEGIN | Self::END)));
        match read(body) {
            Ok((rest, message)) if rest.is_empty() || !(marker && enhanced) => Ok(message),
            Err(_) if !(marker && enhanced) => Err(Notification::with_data(
                code::MESSAGE_HEADER,
                header::BAD_LENGTH,
                // shorter than four octets, so it fits
                Bytes::copy_from_slice(&[0, (HEADER_LEN + body.len()) as u8]),
            )),
            _ => Err(Notification::with_data(
                code::ROUTE_REFRESH,
                refresh::INVALID_LENGTH,
                whole_message(body),
            )),
        }
    }

    /// The whole message.
    pub fn encode(&self) -> Bytes {
        let [hi, lo] = self.afi_safi.afi.to_be_bytes();
        whole_message(&[hi, lo, self.subtype, self.afi_safi.safi])
    }
}

fn read(input: &[u8]) -> Parsed<'_, RouteRefresh> {
    let (input, afi) = parse::word(input)?;
    let (input, subtype) = parse::octet(input)?;
    let (input, safi) = parse::octet(input)?;
    Ok((
        input,
        RouteRefresh {
            afi_safi: AfiSafi { afi, safi },
            subtype,
        },
    ))
}

fn whole_message(body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_LEN + body.len());
    let at = frame::start(MessageType::RouteRefresh, &mut out);
    out.put_slice(body);
    frame::finish(at, &mut out);
    out.freeze()
}
