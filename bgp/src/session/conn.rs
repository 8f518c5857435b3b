//! One TCP connection of a session, from the moment it stands.

use std::time::Duration;

use super::io::{ConnId, Direction, State};
use super::negotiate::{Negotiated, keepalive_interval};
use super::timers::ConnTimers;
use crate::types::Asn;
use crate::wire::{Capability, Open};

/// OpenSent and later: what came with the peer's OPEN exists only after it.
#[derive(Debug)]
pub(super) enum Phase {
    /// Holds the OPEN that we sent, until the peer's makes it half of a bargain.
    OpenSent(Open),
    OpenConfirm(Box<Negotiated>),
    Established(Box<Negotiated>),
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) direction: Direction,
    pub(super) phase: Phase,
    pub(super) timers: ConnTimers,
    /// The number that our OPEN showed.
    pub(super) asn: Asn,
    /// Our OPEN went without capabilities.
    pub(super) plain: bool,
    pub(super) opened: Duration,
}

impl Conn {
    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::OpenSent(_) => State::OpenSent,
            Phase::OpenConfirm(_) => State::OpenConfirm,
            Phase::Established(_) => State::Established,
        }
    }

    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::OpenSent(_) => None,
            Phase::OpenConfirm(n) | Phase::Established(n) => Some(n),
        }
    }

    /// Another interval between keepalives, within what was negotiated.
    pub(super) fn set_keepalive(&mut self, configured: Option<Duration>) {
        let (Phase::OpenConfirm(n) | Phase::Established(n)) = &mut self.phase else {
            return;
        };
        let interval = keepalive_interval(n.hold_time, configured);
        if interval != n.keepalive {
            n.keepalive = interval;
            self.timers.shorten_keepalive(interval);
        }
    }

    /// We said so in our OPEN.
    pub(super) fn takes_extended_messages(&self) -> bool {
        let open = match &self.phase {
            Phase::OpenSent(open) => open,
            Phase::OpenConfirm(n) | Phase::Established(n) => &n.local,
        };
        open.capabilities.contains(&Capability::ExtendedMessage)
    }
}
