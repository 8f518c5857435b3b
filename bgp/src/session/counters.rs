//! Numbers for `peer show` and the metrics.

use crate::wire::MessageType;

/// Messages by type in one direction, since the session was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    pub open: u64,
    pub update: u64,
    pub notification: u64,
    pub keepalive: u64,
    pub route_refresh: u64,
}

impl MessageCounts {
    pub(super) fn add(&mut self, kind: MessageType, n: u64) {
        *self.slot(kind) += n;
    }

    fn slot(&mut self, kind: MessageType) -> &mut u64 {
        match kind {
            MessageType::Open => &mut self.open,
            MessageType::Update => &mut self.update,
            MessageType::Notification => &mut self.notification,
            MessageType::Keepalive => &mut self.keepalive,
            MessageType::RouteRefresh => &mut self.route_refresh,
        }
    }

    pub const fn total(&self) -> u64 {
        self.open + self.update + self.notification + self.keepalive + self.route_refresh
    }
}

/// What one session has counted. Both connections of a collision count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub received: MessageCounts,
    /// UPDATEs as told by [`Session::updates_sent`](super::Session::updates_sent).
    pub sent: MessageCounts,
    /// Times Established was reached.
    pub established: u64,
    /// Times Established was left.
    pub dropped: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Connections accepted, and of them those refused without an OPEN.
    pub accepted: u64,
    pub refused: u64,
    /// Collisions resolved (RFC 4271 §6.8).
    pub collisions: u64,
}
