//! What of a peer outlives its session (RFC 4724): the session says what is
//! kept and how long, the RIB keeps it.

use std::sync::Arc;

use godwit_bgp::Family;
use tracing::{info, warn};

use super::PeerTask;
use crate::clock;
use crate::netstat::Drops;
use crate::ribthread::{Batch, Item};
use crate::sync::lock;

impl PeerTask {
    /// The session is over; routes of the families in `kept` stay.
    pub(super) fn went_away(&mut self, kept: [bool; Family::COUNT]) {
        if !kept.contains(&true) {
            return self.went_down();
        }
        // One that was reset in the moment when it came up has left what there was.
        let Some(up) = self.up.take() else { return };
        info!(peer = %self.settings.name, families = names(kept), "the peer restarts: its routes are kept");
        self.state_since = Some(clock::now());
        lock(&self.view.clues).drops = Drops::lately();
        self.context.rib.peer_away(Arc::clone(&up.port), kept);
        self.away = Some(up);
    }

    /// What is still stale of these families goes.
    pub(super) fn stale_over(&mut self, families: [bool; Family::COUNT]) {
        self.changed = true;
        let peer = self.settings.name;
        let Some(up) = &self.up else {
            if self.away.is_some() {
                warn!(%peer, families = names(families), "the peer is not waited for any more: its stale routes go");
            }
            return self.give_up();
        };
        warn!(%peer, families = names(families), "no End-of-RIB in time: what the peer did not announce again goes");
        // Behind all that has been read.
        let batch = Batch {
            items: these(families).map(Item::StaleOver).collect(),
            bytes: 0,
        };
        self.context.rib.push(&up.port, batch);
    }

    /// What is kept goes.
    pub(super) fn give_up(&mut self) {
        if let Some(away) = self.away.take() {
            self.context.rib.peer_down(away.port);
        }
    }
}

fn names(families: [bool; Family::COUNT]) -> String {
    let named = these(families).map(Family::name);
    named.collect::<Vec<_>>().join(", ")
}

fn these(families: [bool; Family::COUNT]) -> impl Iterator<Item = Family> {
    let all = Family::ALL.into_iter().zip(families);
    all.filter(|(_, is)| *is).map(|(family, _)| family)
}
