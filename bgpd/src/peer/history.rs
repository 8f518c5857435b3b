//! What went wrong with a peer's sessions: the last resets, and the last message
//! that could not be taken as it was. Bounded, whatever a peer sends.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use godwit_bgp::session::{SessionError, State};
use godwit_bgp::wire::{Fault, FaultAction, HEADER_LEN, MessageType, Notification};

/// Resets that are remembered.
pub const RESETS: usize = 20;
/// Octets kept of a bad message.
const MESSAGE: usize = 4096;
/// Octets of data kept of a NOTIFICATION: all the words that RFC 9003 allows.
const DATA: usize = 256;

#[derive(Clone, Debug, Default)]
pub struct History {
    /// Latest first.
    pub resets: VecDeque<(SystemTime, SessionError)>,
    pub bad_message: Option<BadMessage>,
}

/// What became of a bad message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The session ended with a NOTIFICATION.
    SessionEnded,
    /// RFC 7606 §2.
    TreatedAsWithdraw,
    AttributeDiscarded,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMessage {
    pub at: SystemTime,
    /// `None`: the octets were no message.
    pub kind: Option<MessageType>,
    /// With its header, cut at 4,096 octets.
    pub octets: Vec<u8>,
    /// Octets of all of it.
    pub length: usize,
    /// Where in `octets` the fault lies; empty: not known, or all of it.
    pub place: Range<usize>,
    pub what: String,
    pub outcome: Outcome,
}

impl History {
    /// An attempt to connect that came to nothing is no reset.
    pub fn report(&mut self, at: SystemTime, error: &SessionError) {
        if error.state < State::OpenSent {
            return;
        }
        let mut error = error.clone();
        if let Some(n) = &mut error.notification
            && n.data.len() > DATA
        {
            n.data = Bytes::copy_from_slice(n.data.get(..DATA).unwrap_or_default());
        }
        self.resets.truncate(RESETS - 1);
        self.resets.push_front((at, error));
    }

    /// A message that ended the session.
    pub fn fatal(&mut self, at: SystemTime, kind: MessageType, body: &[u8], fault: &Notification) {
        let place = place_of(&fault.data, body);
        self.put(
            at,
            kind,
            body,
            place,
            fault.to_string(),
            Outcome::SessionEnded,
        );
    }

    /// An UPDATE that it survived.
    pub fn survived(&mut self, at: SystemTime, body: &[u8], fault: &Fault) {
        let outcome = match fault.action {
            FaultAction::TreatAsWithdraw => Outcome::TreatedAsWithdraw,
            FaultAction::Discard => Outcome::AttributeDiscarded,
        };
        let what = fault.what.to_owned();
        self.put(at, MessageType::Update, body, fault.range(), what, outcome);
    }

    /// Octets that are no message; `stream` begins with them.
    pub fn no_message(&mut self, at: SystemTime, stream: &[u8], fault: &Notification) {
        self.bad_message = Some(BadMessage {
            at,
            kind: None,
            octets: stream.iter().take(MESSAGE).copied().collect(),
            length: stream.len(),
            place: 0..HEADER_LEN.min(stream.len()),
            what: fault.to_string(),
            outcome: Outcome::SessionEnded,
        });
    }

    fn put(
        &mut self,
        at: SystemTime,
        kind: MessageType,
        body: &[u8],
        place: Range<usize>,
        what: String,
        outcome: Outcome,
    ) {
        let length = HEADER_LEN + body.len();
        let mut octets = vec![0xff; 16];
        octets.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        octets.push(kind as u8);
        octets.extend(body.iter().take(MESSAGE - HEADER_LEN));
        let end = octets.len();
        let place = match place.is_empty() {
            true => 0..0,
            false => (HEADER_LEN + place.start).min(end)..(HEADER_LEN + place.end).min(end),
        };
        self.bad_message = Some(BadMessage {
            at,
            kind: Some(kind),
            octets,
            length,
            place,
            what,
            outcome,
        });
    }
}

/// A NOTIFICATION often shows what was wrong (RFC 4271 §6): where that is.
fn place_of(data: &[u8], body: &[u8]) -> Range<usize> {
    // Fewer octets could be anywhere.
    if data.len() < 3 {
        return 0..0;
    }
    let found = body.windows(data.len()).position(|part| part == data);
    found.map_or(0..0, |start| start..start + data.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use godwit_bgp::session::ErrorOrigin;

    use super::*;

    fn error(n: u64, state: State) -> SessionError {
        SessionError {
            origin: ErrorOrigin::Received,
            state,
            notification: Some(Notification::with_data(6, 2, vec![1; 60_000].into())),
            uptime: None,
            text: n.to_string(),
            at: Duration::from_secs(n),
        }
    }

    #[test]
    fn the_last_twenty_resets_stay_and_little_of_each() {
        let mut history = History::default();
        for n in 0..100 {
            history.report(SystemTime::UNIX_EPOCH, &error(n, State::Established));
            history.report(SystemTime::UNIX_EPOCH, &error(n, State::Connect));
        }
        assert_eq!(history.resets.len(), RESETS);
        let texts = history.resets.iter().map(|(_, error)| error.text.as_str());
        assert!(texts.clone().eq((80..100).rev().map(|n| n.to_string())));
        let data = |error: &SessionError| error.notification.as_ref().map(|n| n.data.len());
        assert!(history.resets.iter().all(|(_, e)| data(e) == Some(DATA)));
    }

    #[test]
    fn a_bad_message_is_kept_with_its_header_cut_and_marked() {
        let mut history = History::default();
        let mut body = vec![0; 60_000];
        body[10..14].copy_from_slice(&[0x40, 1, 1, 9]);
        let fault = Notification::with_data(3, 6, vec![0x40, 1, 1, 9].into());
        history.fatal(SystemTime::UNIX_EPOCH, MessageType::Update, &body, &fault);
        let bad = history.bad_message.as_ref().unwrap();
        assert_eq!((bad.octets.len(), bad.length), (MESSAGE, 60_019));
        assert_eq!(bad.octets[bad.place.clone()], [0x40, 1, 1, 9]);
        assert_eq!(bad.octets[16..19], [0xea, 0x73, 2]);
        history.no_message(SystemTime::UNIX_EPOCH, b"GET / HTTP/1.1", &fault);
        let bad = history.bad_message.unwrap();
        assert_eq!((bad.kind, bad.place), (None, 0..14));
    }
}
