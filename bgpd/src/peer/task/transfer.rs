//! Octets in and out, between the sockets, the session and the RIB.

use std::time::{Duration, SystemTime};

use godwit_bgp::session::{ConnId, Event, Input};
use godwit_bgp::wire::{UpdateAction, split_frame};
use tracing::warn;

use super::PeerTask;
use crate::clock;
use crate::ribthread::{Batch, Item};
use crate::sync::lock;

/// Survived faults of one peer are logged this far apart.
const FAULT_LOG: Duration = Duration::from_secs(10);

impl PeerTask {
    /// One burst from a connection.
    pub(super) fn read(&mut self, index: usize) {
        let now = clock::now();
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        let id = connection.id;
        if let Some(up) = &self.up
            && up.connection == id
            && connection.broken.is_none()
            && !up.port.has_room()
        {
            connection.paused = true;
            self.session.reading_paused(id, true, now);
            return;
        }
        let session = &mut self.session;
        let mut batch = Batch::default();
        let mut fault = None;
        let history = &self.view.history;
        let max = session.max_receive();
        let result = connection.incoming.read(&connection.stream, |buffer| {
            let before = buffer.len();
            loop {
                match split_frame(buffer, max) {
                    Ok(Some(frame)) => {
                        let item = session.handle_frame(id, frame, now).map(|e| match e {
                            Event::Update(update) => Item::Update(update),
                            Event::RefreshBegin(family) => Item::RefreshBegin(family),
                            Event::RefreshEnd(family) => Item::RefreshEnd(family),
                        });
                        batch.items.extend(item);
                    }
                    Ok(None) => break,
                    Err(notification) => {
                        lock(history).no_message(SystemTime::now(), buffer, &notification);
                        fault = Some(notification);
                        break;
                    }
                }
            }
            batch.bytes = before - buffer.len();
        });
        let broken = connection.broken.clone();
        self.figures.octets_in += batch.bytes as u64;
        // A KEEPALIVE in the burst may have brought the session up: its port first.
        self.act();
        self.deliver(id, batch, now);
        let input = match (fault, result) {
            (Some(notification), _) => Input::BadFrame(id, notification),
            (None, Ok(Some(0))) => Input::Closed(id, "connection closed by peer".to_owned()),
            (None, Err(e)) => Input::Closed(id, e.to_string()),
            (None, Ok(None)) if broken.is_some() => Input::Closed(id, broken.unwrap_or_default()),
            (None, Ok(_)) => return,
        };
        if matches!(input, Input::Closed(..)) {
            // Nothing can be said on it any more, so the session asks for no farewell.
            self.connections.retain(|c| c.id != id);
        }
        self.session.handle_input(input, now);
    }

    fn deliver(&mut self, id: ConnId, batch: Batch, now: Duration) {
        let Some(up) = self.up.as_ref().filter(|up| up.connection == id) else {
            return;
        };
        let mut bad = None;
        for item in &batch.items {
            let Item::Update(update) = item else { continue };
            let Some(fault) = update.faults.first() else {
                continue;
            };
            bad = Some((update, fault));
            let withdrawn = update.action == UpdateAction::TreatAsWithdraw;
            if withdrawn {
                self.figures.treated_as_withdraw += 1;
            } else {
                self.figures.attributes_discarded += update.faults.len() as u64;
            }
            // RFC 7606 §6 wants to be told; a peer that sends a table of them must not fill the disk.
            if now >= self.next_fault_log {
                self.next_fault_log = now + FAULT_LOG;
                let what = fault.what;
                let action = if withdrawn {
                    "treated as withdraw"
                } else {
                    "attribute discarded"
                };
                warn!(peer = %self.settings.name, fault = what, "malformed UPDATE: {action}");
            }
        }
        // Of a burst the last one; a peer may send nothing else.
        if let Some((update, fault)) = bad {
            lock(&self.view.history).survived(SystemTime::now(), &update.body, fault);
        }
        self.context.rib.push(&up.port, batch);
    }

    /// Writes what there is, as far as the sockets take it, and reads on where
    /// the RIB has room again.
    pub(super) fn write(&mut self) {
        let now = clock::now();
        for connection in &mut self.connections {
            let port = self
                .up
                .as_ref()
                .filter(|up| up.connection == connection.id)
                .map(|up| &up.port);
            if connection.paused && port.is_none_or(|p| p.has_room()) {
                connection.paused = false;
                self.session.reading_paused(connection.id, false, now);
            }
            let written = connection.write(|max, frames| {
                port.map_or(0, |p| self.context.rib.take_frames(p, max, frames))
            });
            self.figures.octets_out += written.octets as u64;
            if written.octets > 0 {
                self.session.written(connection.id, now);
            }
            if written.updates > 0 {
                self.session
                    .updates_sent(connection.id, written.updates, now);
            }
            self.session.refresh_marks_sent(written.refresh_marks);
            if written.blocked {
                self.session.blocked(connection.id, now);
            }
        }
    }
}
