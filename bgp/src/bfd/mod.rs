//! Bidirectional Forwarding Detection (RFC 5880), pure: no sockets, no clock.
//!
//! [`Packet`] is a control packet on the wire (§4.1); [`Session`] the state
//! machine of one session (§6), asynchronous mode, active role. The caller
//! receives and sends the packets: single hop as RFC 5881, several hops as
//! RFC 5883 ([`Hops`] has what the two differ in).
//!
//! Not implemented: authentication (§6.7; a packet that carries some is
//! dropped, as §6.8.6 wants where none is configured), the echo function (we say
//! that we accept none, §6.8.9), demand mode of our own (a peer's is honoured,
//! §6.6).
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod packet;
mod session;
mod timing;

#[cfg(test)]
mod tests;

pub use packet::{Diagnostic, Malformed, PACKET_LEN, Packet, State};
pub use session::{Change, Session, SessionConfig};

/// What differs between a session on one link and one across routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hops {
    /// RFC 5881: both ends on one link.
    Single,
    /// RFC 5883: routers between the ends.
    Multi,
}

impl Hops {
    /// The UDP port that control packets are sent to (RFC 5881 §4, RFC 5883 §5).
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Hops::Single => 3784,
            Hops::Multi => 4784,
        }
    }

    /// Whether a packet that arrived with this TTL or hop limit counts. On one
    /// link it must be what everybody sends, 255 (RFC 5881 §5); across routers
    /// there is no telling.
    #[must_use]
    pub fn accepts_ttl(self, ttl: u8) -> bool {
        match self {
            Hops::Single => ttl == Self::TTL,
            Hops::Multi => true,
        }
    }

    /// The TTL or hop limit of all that we send.
    pub const TTL: u8 = 255;
}
