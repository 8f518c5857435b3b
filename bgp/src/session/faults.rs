//! The NOTIFICATIONs that the session itself sends (RFC 4271 §4.5, §6).

use bytes::{BufMut, Bytes, BytesMut};

use super::io::State;
use crate::wire::notification::{cease as cease_code, code, fsm, open};
use crate::wire::{MessageType, Notification};

/// The data is the highest version we speak (RFC 4271 §6.2).
pub(super) fn unsupported_version() -> Notification {
    let data = Bytes::from_static(&[0, 4]);
    Notification::with_data(code::OPEN, open::UNSUPPORTED_VERSION, data)
}

pub(super) fn bad_peer_as() -> Notification {
    Notification::new(code::OPEN, open::BAD_PEER_AS)
}

pub(super) fn bad_bgp_identifier() -> Notification {
    Notification::new(code::OPEN, open::BAD_IDENTIFIER)
}

pub(super) fn unacceptable_hold_time() -> Notification {
    Notification::new(code::OPEN, open::UNACCEPTABLE_HOLD_TIME)
}

/// `needed`: the capabilities that we would have wanted (RFC 5492 §5).
pub(super) fn unsupported_capability(needed: Bytes) -> Notification {
    Notification::with_data(code::OPEN, open::UNSUPPORTED_CAPABILITY, needed)
}

/// RFC 9234 §4.2.
pub(super) fn role_mismatch() -> Notification {
    Notification::new(code::OPEN, open::ROLE_MISMATCH)
}

pub(super) fn hold_timer_expired() -> Notification {
    Notification::new(code::HOLD_TIMER_EXPIRED, 0)
}

/// RFC 9687 §3.
pub(super) fn send_hold_timer_expired() -> Notification {
    Notification::new(code::SEND_HOLD_TIMER_EXPIRED, 0)
}

/// A message that has no place in this state of its connection (RFC 6608 §3:
/// the data is its type).
pub(super) fn unexpected(state: State, kind: MessageType) -> Notification {
    let subcode = match state {
        State::OpenSent => fsm::IN_OPEN_SENT,
        State::OpenConfirm => fsm::IN_OPEN_CONFIRM,
        State::Established => fsm::IN_ESTABLISHED,
        State::Idle | State::Connect | State::Active => fsm::UNSPECIFIED,
    };
    Notification::with_data(code::FSM, subcode, Bytes::copy_from_slice(&[kind as u8]))
}

pub(super) fn collision() -> Notification {
    Notification::new(code::CEASE, cease_code::COLLISION_RESOLUTION)
}

pub(super) fn rejected() -> Notification {
    Notification::new(code::CEASE, cease_code::CONNECTION_REJECTED)
}

/// Cease as an operator asks for it: the text goes with subcodes 2 and 4
/// (RFC 9003 §2); a hard reset wraps an administrative one (RFC 8538 §3.1).
pub(super) fn cease(subcode: u8, text: &str) -> Notification {
    if subcode != cease_code::HARD_RESET {
        return Notification::shutdown(subcode, text);
    }
    hard_reset(&Notification::shutdown(cease_code::ADMIN_RESET, text))
}

/// The same message within a hard reset (RFC 8538 §3.1).
pub(super) fn hard_reset(inner: &Notification) -> Notification {
    let mut data = BytesMut::with_capacity(2 + inner.data.len());
    data.put_slice(&[inner.code, inner.subcode]);
    data.put_slice(&inner.data);
    Notification::with_data(code::CEASE, cease_code::HARD_RESET, data.freeze())
}

pub(super) fn is_hard_reset(n: &Notification) -> bool {
    (n.code, n.subcode) == (code::CEASE, cease_code::HARD_RESET)
}

/// Says that we don't want the session, rather than that it has failed: what we
/// have of each other is not to outlive it (RFC 8538 §5).
pub(super) fn is_final(n: &Notification) -> bool {
    let final_ones = [
        cease_code::MAX_PREFIXES,
        cease_code::ADMIN_SHUTDOWN,
        cease_code::PEER_DECONFIGURED,
        // An operator who resets wants to begin with nothing, as with FRR.
        cease_code::ADMIN_RESET,
        cease_code::OUT_OF_RESOURCES,
        cease_code::HARD_RESET,
        // The path is lost, so it forwards nothing (RFC 5882 §4.3).
        cease_code::BFD_DOWN,
    ];
    n.code == code::CEASE && final_ones.contains(&n.subcode)
}

pub(super) fn is_bad_peer_as(n: &Notification) -> bool {
    (n.code, n.subcode) == (code::OPEN, open::BAD_PEER_AS)
}

pub(super) fn is_collision(n: &Notification) -> bool {
    (n.code, n.subcode) == (code::CEASE, cease_code::COLLISION_RESOLUTION)
}

/// Sent by a peer that doesn't know capabilities (RFC 5492 §3).
pub(super) fn refuses_capabilities(n: &Notification) -> bool {
    (n.code, n.subcode) == (code::OPEN, open::UNSUPPORTED_PARAMETER)
}
