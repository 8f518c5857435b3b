//! NOTIFICATION: why a session ends (RFC 4271 §4.5, §6; RFC 9003 for words).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{self, HEADER_LEN, MAX_MESSAGE, MessageType};
use crate::parse;
use crate::types::AfiSafi;

/// Error codes (RFC 4271 §4.5, RFC 7313 §5, RFC 9687 §3).
pub mod code {
    pub const MESSAGE_HEADER: u8 = 1;
    pub const OPEN: u8 = 2;
    pub const UPDATE: u8 = 3;
    pub const HOLD_TIMER_EXPIRED: u8 = 4;
    pub const FSM: u8 = 5;
    pub const CEASE: u8 = 6;
    pub const ROUTE_REFRESH: u8 = 7;
    pub const SEND_HOLD_TIMER_EXPIRED: u8 = 8;
}

/// Subcodes of [`code::MESSAGE_HEADER`] (RFC 4271 §6.1).
pub mod header {
    pub const NOT_SYNCHRONIZED: u8 = 1;
    pub const BAD_LENGTH: u8 = 2;
    pub const BAD_TYPE: u8 = 3;
}

/// Subcodes of [`code::OPEN`] (RFC 4271 §6.2, RFC 5492 §5, RFC 9234 §4.2).
pub mod open {
    pub const UNSPECIFIC: u8 = 0;
    pub const UNSUPPORTED_VERSION: u8 = 1;
    pub const BAD_PEER_AS: u8 = 2;
    pub const BAD_IDENTIFIER: u8 = 3;
    pub const UNSUPPORTED_PARAMETER: u8 = 4;
    pub const UNACCEPTABLE_HOLD_TIME: u8 = 6;
    pub const UNSUPPORTED_CAPABILITY: u8 = 7;
    pub const ROLE_MISMATCH: u8 = 11;
}

/// Subcodes of [`code::UPDATE`] (RFC 4271 §6.3).
pub mod update {
    pub const MALFORMED_ATTRIBUTE_LIST: u8 = 1;
    pub const UNRECOGNIZED_WELL_KNOWN: u8 = 2;
    pub const MISSING_WELL_KNOWN: u8 = 3;
    pub const ATTRIBUTE_FLAGS: u8 = 4;
    pub const ATTRIBUTE_LENGTH: u8 = 5;
    pub const INVALID_ORIGIN: u8 = 6;
    pub const INVALID_NEXT_HOP: u8 = 8;
    pub const OPTIONAL_ATTRIBUTE: u8 = 9;
    pub const INVALID_NETWORK: u8 = 10;
    pub const MALFORMED_AS_PATH: u8 = 11;
}

/// Subcodes of [`code::FSM`]: the message came in that state (RFC 6608).
pub mod fsm {
    pub const UNSPECIFIED: u8 = 0;
    pub const IN_OPEN_SENT: u8 = 1;
    pub const IN_OPEN_CONFIRM: u8 = 2;
    pub const IN_ESTABLISHED: u8 = 3;
}

/// Subcodes of [`code::CEASE`] (RFC 4486 §4, RFC 8538 §3, RFC 9384).
pub mod cease {
    pub const MAX_PREFIXES: u8 = 1;
    pub const ADMIN_SHUTDOWN: u8 = 2;
    pub const PEER_DECONFIGURED: u8 = 3;
    pub const ADMIN_RESET: u8 = 4;
    pub const CONNECTION_REJECTED: u8 = 5;
    pub const OTHER_CONFIG_CHANGE: u8 = 6;
    pub const COLLISION_RESOLUTION: u8 = 7;
    pub const OUT_OF_RESOURCES: u8 = 8;
    pub const HARD_RESET: u8 = 9;
    pub const BFD_DOWN: u8 = 10;
}

/// Subcodes of [`code::ROUTE_REFRESH`] (RFC 7313 §5).
pub mod refresh {
    pub const INVALID_LENGTH: u8 = 1;
}

/// A NOTIFICATION, received or to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub code: u8,
    pub subcode: u8,
    pub data: Bytes,
}

impl Notification {
    pub const fn new(code: u8, subcode: u8) -> Notification {
        Notification {
            code,
            subcode,
            data: Bytes::new(),
        }
    }

    pub const fn with_data(code: u8, subcode: u8, data: Bytes) -> Notification {
        Notification {
            code,
            subcode,
            data,
        }
    }

    /// A Cease with the words of RFC 9003, cut at 255 octets. Only subcodes 2
    /// and 4 ([`cease::ADMIN_SHUTDOWN`], [`cease::ADMIN_RESET`]) carry words;
    /// with any other, or without words, the data stays empty.
    pub fn shutdown(subcode: u8, text: &str) -> Notification {
        if text.is_empty() || !carries_words(code::CEASE, subcode) {
            return Notification::new(code::CEASE, subcode);
        }
        let text = text
            .get(..text.floor_char_boundary(255))
            .unwrap_or_default();
        let mut data = BytesMut::with_capacity(1 + text.len());
        data.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
        data.put_slice(text.as_bytes());
        Notification::with_data(code::CEASE, subcode, data.freeze())
    }

    /// Cease/Maximum Number of Prefixes Reached, with the family and the limit
    /// (RFC 4486 §4).
    pub fn max_prefixes(family: AfiSafi, max: u32) -> Notification {
        let mut data = BytesMut::with_capacity(7);
        data.put_u16(family.afi);
        data.put_u8(family.safi);
        data.put_u32(max);
        Notification::with_data(code::CEASE, cease::MAX_PREFIXES, data.freeze())
    }

    /// The family and limit of a Cease/Maximum Number of Prefixes Reached that
    /// says them.
    pub fn prefix_limit(&self) -> Option<(AfiSafi, u32)> {
        match (self.code, self.subcode, &*self.data) {
            (code::CEASE, cease::MAX_PREFIXES, &[a, b, safi, m, n, o, p]) => {
                let afi = u16::from_be_bytes([a, b]);
                let max = u32::from_be_bytes([m, n, o, p]);
                Some((AfiSafi { afi, safi }, max))
            }
            _ => None,
        }
    }

    /// The words a peer sent with its Cease (RFC 9003), if they are UTF-8; those
    /// of the message within, where it is a hard reset (RFC 8538 §3.1).
    pub fn communication(&self) -> Option<&str> {
        let text = self.words()?;
        std::str::from_utf8(text).ok().filter(|t| !t.is_empty())
    }

    /// The same for terminals and logs: what a peer says there must not write
    /// over what others say. `None`: no words.
    pub fn printable_communication(&self) -> Option<String> {
        let words = self.words().filter(|words| !words.is_empty())?;
        let Ok(text) = std::str::from_utf8(words) else {
            // RFC 9003 §4 wants to see them.
            let hex: String = words.iter().map(|b| format!("{b:02x}")).collect();
            return Some(format!("not UTF-8: {hex}"));
        };
        Some(printable(text))
    }

    /// The message within, where this is a hard reset (RFC 8538 §3.1).
    pub fn within(&self) -> Option<Notification> {
        match (self.code, self.subcode, &*self.data) {
            (code::CEASE, cease::HARD_RESET, [code, subcode, data @ ..]) => Some(Notification {
                code: *code,
                subcode: *subcode,
                data: self.data.slice_ref(data),
            }),
            _ => None,
        }
    }

    fn words(&self) -> Option<&[u8]> {
        let (code, subcode, data) = match (self.code, self.subcode, &*self.data) {
            (code::CEASE, cease::HARD_RESET, [code, subcode, data @ ..]) => (*code, *subcode, data),
            (code, subcode, data) => (code, subcode, data),
        };
        if !carries_words(code, subcode) {
            return None;
        }
        let (_, text) = parse::short_field(data).ok()?;
        Some(text)
    }

    /// Reads the body of a NOTIFICATION.
    ///
    /// # Errors
    /// Bad Message Length when it is shorter than its two codes. No error in a
    /// NOTIFICATION is ever answered (RFC 4271 §6.4): it is to be logged.
    pub fn decode(body: &Bytes) -> Result<Notification, Notification> {
        let [code, subcode, data @ ..] = body.as_ref() else {
            return Err(Notification::new(code::MESSAGE_HEADER, header::BAD_LENGTH));
        };
        Ok(Notification {
            code: *code,
            subcode: *subcode,
            data: body.slice_ref(data),
        })
    }

    /// The whole message. Data that would pass 4,096 octets is cut.
    pub fn encode(&self) -> Bytes {
        let room = MAX_MESSAGE - HEADER_LEN - 2;
        let data = self.data.get(..room).unwrap_or(&self.data);
        let mut out = BytesMut::with_capacity(HEADER_LEN + 2 + data.len());
        let at = frame::start(MessageType::Notification, &mut out);
        out.put_u8(self.code);
        out.put_u8(self.subcode);
        out.put_slice(data);
        frame::finish(at, &mut out);
        out.freeze()
    }

    /// The registered name of the code, if it has one.
    pub const fn code_name(&self) -> Option<&'static str> {
        Some(match self.code {
            code::MESSAGE_HEADER => "Message Header Error",
            code::OPEN => "OPEN Message Error",
            code::UPDATE => "UPDATE Message Error",
            code::HOLD_TIMER_EXPIRED => "Hold Timer Expired",
            code::FSM => "Finite State Machine Error",
            code::CEASE => "Cease",
            code::ROUTE_REFRESH => "ROUTE-REFRESH Message Error",
            code::SEND_HOLD_TIMER_EXPIRED => "Send Hold Timer Expired",
            _ => return None,
        })
    }

    /// The registered name of the subcode, if it has one.
    pub const fn subcode_name(&self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            (1, header::NOT_SYNCHRONIZED) => "Connection Not Synchronized",
            (1, header::BAD_LENGTH) => "Bad Message Length",
            (1, header::BAD_TYPE) => "Bad Message Type",
            (2, open::UNSUPPORTED_VERSION) => "Unsupported Version Number",
            (2, open::BAD_PEER_AS) => "Bad Peer AS",
            (2, open::BAD_IDENTIFIER) => "Bad BGP Identifier",
            (2, open::UNSUPPORTED_PARAMETER) => "Unsupported Optional Parameter",
            (2, open::UNACCEPTABLE_HOLD_TIME) => "Unacceptable Hold Time",
            (2, open::UNSUPPORTED_CAPABILITY) => "Unsupported Capability",
            (2, open::ROLE_MISMATCH) => "Role Mismatch",
            (3, update::MALFORMED_ATTRIBUTE_LIST) => "Malformed Attribute List",
            (3, update::UNRECOGNIZED_WELL_KNOWN) => "Unrecognized Well-known Attribute",
            (3, update::MISSING_WELL_KNOWN) => "Missing Well-known Attribute",
            (3, update::ATTRIBUTE_FLAGS) => "Attribute Flags Error",
            (3, update::ATTRIBUTE_LENGTH) => "Attribute Length Error",
            (3, update::INVALID_ORIGIN) => "Invalid ORIGIN Attribute",
            (3, update::INVALID_NEXT_HOP) => "Invalid NEXT_HOP Attribute",
            (3, update::OPTIONAL_ATTRIBUTE) => "Optional Attribute Error",
            (3, update::INVALID_NETWORK) => "Invalid Network Field",
            (3, update::MALFORMED_AS_PATH) => "Malformed AS_PATH",
            (5, fsm::IN_OPEN_SENT) => "Unexpected Message in OpenSent State",
            (5, fsm::IN_OPEN_CONFIRM) => "Unexpected Message in OpenConfirm State",
            (5, fsm::IN_ESTABLISHED) => "Unexpected Message in Established State",
            (6, cease::MAX_PREFIXES) => "Maximum Number of Prefixes Reached",
            (6, cease::ADMIN_SHUTDOWN) => "Administrative Shutdown",
            (6, cease::PEER_DECONFIGURED) => "Peer De-configured",
            (6, cease::ADMIN_RESET) => "Administrative Reset",
            (6, cease::CONNECTION_REJECTED) => "Connection Rejected",
            (6, cease::OTHER_CONFIG_CHANGE) => "Other Configuration Change",
            (6, cease::COLLISION_RESOLUTION) => "Connection Collision Resolution",
            (6, cease::OUT_OF_RESOURCES) => "Out of Resources",
            (6, cease::HARD_RESET) => "Hard Reset",
            (6, cease::BFD_DOWN) => "BFD Down",
            (7, refresh::INVALID_LENGTH) => "Invalid Message Length",
            _ => return None,
        })
    }
}

const fn carries_words(code: u8, subcode: u8) -> bool {
    code == code::CEASE && matches!(subcode, cease::ADMIN_SHUTDOWN | cease::ADMIN_RESET)
}

/// What a peer says, fit for terminals and logs: it must not write over what
/// others say.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_disguise(c) {
            out.extend(c.escape_unicode());
        } else if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that make text look like another: directions, no width, line ends.
const fn is_disguise(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// "Cease/Administrative Shutdown: text". Control characters in the peer's
/// words are escaped: they end up in logs and on terminals.
impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "code {}", self.code)?,
        }
        match self.subcode_name() {
            Some(name) => write!(f, "/{name}")?,
            None if self.subcode != 0 => write!(f, "/subcode {}", self.subcode)?,
            None => {}
        }
        // A hard reset says what it is about within (RFC 8538 §3.1).
        if let Some(within) = self.within() {
            return write!(f, ", {within}");
        }
        if let Some((family, max)) = self.prefix_limit() {
            return write!(f, ": {family}, limit {max}");
        }
        match self.printable_communication() {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Notification {}
