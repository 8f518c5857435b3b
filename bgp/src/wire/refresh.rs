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
    ///
    /// # Errors
    /// Bad Message Length, or for BoRR and EoRR Invalid Message Length with the
    /// whole message as data (RFC 7313 §5).
    pub fn decode(body: &Bytes) -> Result<RouteRefresh, Notification> {
        let Ok((rest, message)) = read(body) else {
            return Err(Notification::new(code::MESSAGE_HEADER, header::BAD_LENGTH));
        };
        if !rest.is_empty() && matches!(message.subtype, Self::BEGIN | Self::END) {
            let whole = whole_message(body);
            return Err(Notification::with_data(
                code::ROUTE_REFRESH,
                refresh::INVALID_LENGTH,
                whole,
            ));
        }
        Ok(message)
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
