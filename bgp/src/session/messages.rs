//! What each message does in each state of its connection, and the timers that
//! run while there is one.

use std::time::Duration;

use bytes::Bytes;

use super::collision::surviving_direction;
use super::conn::{Conn, Phase};
use super::ending::{After, Ending};
use super::faults;
use super::fsm::Session;
use super::io::{Action, ConnId, Event, State};
use super::negotiate::{Negotiated, negotiate};
use crate::types::{Asn, Family};
use crate::wire::{
    Capability, Frame, MessageType, Notification, Open, RouteRefresh, decode_update,
};

impl Session {
    /// Takes one frame of one connection. An UPDATE of an Established session
    /// comes straight back; everything else ends up in
    /// [`poll_action`](Session::poll_action).
    pub fn handle_frame(&mut self, conn: ConnId, frame: Frame, now: Duration) -> Option<Event> {
        let at = self.find(conn)?;
        self.counters.received.add(frame.kind, 1);
        let here = self.conns.get_mut(at)?;
        if frame.kind == MessageType::Update
            && let Phase::Established(negotiated) = &here.phase
        {
            here.timers.heard(now);
            let Frame { kind, body } = frame;
            match decode_update(body.clone(), negotiated.decode_context()) {
                Ok(update) => {
                    if let Some(family) = update.end_of_rib() {
                        self.stale_ended(family);
                    }
                    return Some(Event::Update(update));
                }
                Err(fault) => self.bad_message(at, &Frame { kind, body }, fault, now),
            }
        } else if frame.kind == MessageType::RouteRefresh
            && let Phase::Established(negotiated) = &here.phase
        {
            match RouteRefresh::decode(&frame.body, negotiated.enhanced_refresh) {
                Ok(refresh) => return self.refresh_received(at, refresh, now),
                Err(fault) => self.bad_message(at, &frame, fault, now),
            }
        } else {
            self.handle_rare(at, &frame, now);
        }
        self.settle(now);
        None
    }

    fn handle_rare(&mut self, at: usize, frame: &Frame, now: Duration) {
        let Some(state) = self.conns.get(at).map(Conn::state) else {
            return;
        };
        match (frame.kind, state) {
            (MessageType::Notification, _) => match Notification::decode(&frame.body) {
                Ok(n) => self.end(at, Ending::Received(n), After::Hold, now),
                // an error in a NOTIFICATION is not answered (RFC 4271 §6.4)
                Err(fault) => {
                    self.actions.push_back(Action::BadMessage {
                        kind: frame.kind,
                        body: frame.body.clone(),
                        fault,
                    });
                    let why = "malformed NOTIFICATION received".to_owned();
                    let id = self.conns.get(at).map(|c| c.id);
                    // It was a NOTIFICATION, and might have been a hard reset.
                    self.end(at, Ending::Lost(why), After::Hold, now);
                    self.actions.extend(id.map(Action::Close));
                }
            },
            (MessageType::Open, State::OpenSent) => match Open::decode(&frame.body) {
                Ok(open) => self.open_received(at, open, &frame.body, now),
                Err(fault) => self.bad_message(at, frame, fault, now),
            },
            (MessageType::Keepalive, State::OpenConfirm) => self.establish(at, now),
            (MessageType::Keepalive, State::Established) => {
                if let Some(conn) = self.conns.get_mut(at) {
                    conn.timers.heard(now);
                }
            }
            (kind, state) => {
                self.bad_message(at, frame, faults::unexpected(state, kind), now);
            }
        }
    }

    fn bad_message(&mut self, at: usize, frame: &Frame, fault: Notification, now: Duration) {
        self.actions.push_back(Action::BadMessage {
            kind: frame.kind,
            body: frame.body.clone(),
            fault: fault.clone(),
        });
        self.fail(at, fault, now);
    }

    fn fail(&mut self, at: usize, fault: Notification, now: Duration) {
        self.end(at, Ending::Send(fault), After::Hold, now);
    }

    /// A family that was not negotiated: ignored (RFC 2918 §4), and so is a
    /// request where we said nothing of the capability, whatever the peer said;
    /// it is for those who take requests. Subtypes that nobody defined are
    /// ignored too (RFC 7313 §5); without that RFC the octet is reserved, and
    /// the message a request (RFC 2918 §3).
    fn refresh_received(
        &mut self,
        at: usize,
        refresh: RouteRefresh,
        now: Duration,
    ) -> Option<Event> {
        let family = refresh.afi_safi.family()?;
        let negotiated = self.conns.get(at).and_then(Conn::negotiated)?;
        if !negotiated.has(family) {
            return None;
        }
        let enhanced = negotiated.enhanced_refresh;
        let answers = negotiated
            .local
            .capabilities
            .contains(&Capability::RouteRefresh);
        let until = self.refresh_until.get_mut(family.index())?;
        match refresh.subtype {
            _ if !enhanced => {
                self.actions
                    .extend(answers.then_some(Action::Refresh(family)));
                None
            }
            RouteRefresh::REQUEST => {
                self.actions.push_back(Action::Refresh(family));
                None
            }
            RouteRefresh::BEGIN => {
                *until = Some(now.saturating_add(self.config.refresh_hold));
                Some(Event::RefreshBegin(family))
            }
            RouteRefresh::END => {
                *until = None;
                Some(Event::RefreshEnd(family))
            }
            _ => None,
        }
    }

    /// Refreshes of the peer's that took too long.
    pub(super) fn refresh_timeouts(&mut self, now: Duration) {
        for (family, until) in Family::ALL.into_iter().zip(&mut self.refresh_until) {
            if until.is_some_and(|until| until <= now) {
                *until = None;
                self.actions.push_back(Action::RefreshExpired(family));
            }
        }
    }

    fn open_received(&mut self, at: usize, remote: Open, body: &Bytes, now: Duration) {
        let Some(conn) = self.conns.get(at) else {
            return;
        };
        let Phase::OpenSent(local) = &conn.phase else {
            return;
        };
        self.peer_open = Some(remote.clone());
        let negotiated = match negotiate(&self.config, conn.asn, local.clone(), remote) {
            Ok(negotiated) => negotiated,
            Err(fault) => {
                let frame = Frame {
                    kind: MessageType::Open,
                    body: body.clone(),
                };
                return self.bad_message(at, &frame, fault, now);
            }
        };
        let id = conn.id;
        if !self.survives_collision(at, &negotiated, now) {
            return;
        }
        let Some(at) = self.find(id) else {
            return;
        };
        self.confirm(at, negotiated, now);
    }

    /// RFC 4271 §6.8: when the OPEN of one connection comes in, the other may be
    /// in OpenConfirm, and one of them goes; or Established, and the new one
    /// goes. False: it was this one.
    fn survives_collision(&mut self, at: usize, new: &Negotiated, now: Duration) -> bool {
        let Some(here) = self.conns.get(at) else {
            return false;
        };
        let (id, direction, opened) = (here.id, here.direction, here.opened);
        let rival = self.conns.iter().position(|c| {
            c.id != id && matches!(c.state(), State::OpenConfirm | State::Established)
        });
        let Some((rival, other)) = rival.and_then(|r| Some((r, self.conns.get(r)?))) else {
            return true;
        };
        let local = (new.local.router_id, new.local_asn);
        let remote: (_, Asn) = (new.remote_router_id, new.remote_asn);
        let by_identifier =
            other.direction != direction && direction == surviving_direction(local, remote);
        let settled = other.state() == State::Established;
        // A peer that lost its session without our noticing (RFC 4724 §5). Only
        // it can have opened one since: we don't connect while Established.
        let restarted = settled
            && self.established_since.is_some_and(|since| opened > since)
            && other
                .negotiated()
                .is_some_and(Negotiated::peer_restarts_gracefully);
        let wins = restarted || (by_identifier && (!settled || self.config.collide_established));
        self.counters.collisions += 1;
        if restarted {
            self.end(rival, Ending::Replaced, After::Retry, now);
        } else {
            let loser = if wins { rival } else { at };
            self.end(loser, Ending::Send(faults::collision()), After::Retry, now);
        }
        wins
    }

    /// The peer's OPEN is accepted: KEEPALIVE, and the negotiated timers.
    fn confirm(&mut self, at: usize, negotiated: Negotiated, now: Duration) {
        let send_hold = self.send_hold_time(&negotiated);
        // Without a hold time the wait for the KEEPALIVE still has to end.
        let hold = match negotiated.hold_time {
            Duration::ZERO => self.config.open_hold,
            hold => hold,
        };
        if let Some(conn) = self.conns.get_mut(at) {
            conn.timers.set_hold(hold, now);
            conn.timers.set_send_hold(send_hold);
            conn.phase = Phase::OpenConfirm(Box::new(negotiated));
        }
        self.send_keepalive(at, now);
    }

    fn establish(&mut self, at: usize, now: Duration) {
        let Some(conn) = self.conns.get_mut(at) else {
            return;
        };
        let Phase::OpenConfirm(negotiated) = &conn.phase else {
            return;
        };
        let negotiated = negotiated.clone();
        conn.timers.set_hold(negotiated.hold_time, now);
        conn.phase = Phase::Established(negotiated.clone());
        self.counters.established += 1;
        self.established_since = Some(now);
        let id = conn.id;
        let kept = self.stale_back(&negotiated);
        self.actions.push_back(Action::Up(id, negotiated, kept));
    }

    pub(super) fn conn_timeouts(&mut self, now: Duration) {
        let due = |deadline: Option<Duration>| deadline.is_some_and(|d| d <= now);
        let ids: smallvec::SmallVec<[ConnId; 2]> = self.conns.iter().map(|c| c.id).collect();
        for id in ids {
            let Some(at) = self.find(id) else {
                continue;
            };
            let Some(timers) = self.conns.get(at).map(|c| &c.timers) else {
                continue;
            };
            if due(timers.hold_deadline()) {
                self.fail(at, faults::hold_timer_expired(), now);
            } else if due(timers.send_hold_deadline()) {
                self.fail(at, faults::send_hold_timer_expired(), now);
            } else if due(timers.keepalive_deadline()) {
                self.send_keepalive(at, now);
            }
        }
    }

    /// The connection whose hold timer [`handle_timeout`](Session::handle_timeout)
    /// would let fire now, the one further on if there are two. If its socket has bytes that nobody has read, call
    /// [`unread_bytes`](Session::unread_bytes) first: the peer is alive, we are late.
    pub fn hold_expiring(&self, now: Duration) -> Option<ConnId> {
        self.conns
            .iter()
            .filter(|c| c.timers.hold_deadline().is_some_and(|d| d <= now))
            .max_by_key(|c| c.state())
            .map(|c| c.id)
    }

    /// Puts hold expiry off for a second.
    pub fn unread_bytes(&mut self, conn: ConnId, now: Duration) {
        if let Some(conn) = self.conn_mut(conn) {
            conn.timers.unread(now);
        }
    }

    /// We stop reading, or go on. Meanwhile the hold timer rests; it starts over
    /// afterwards.
    pub fn reading_paused(&mut self, conn: ConnId, paused: bool, now: Duration) {
        if let Some(conn) = self.conn_mut(conn) {
            conn.timers.paused(paused, now);
        }
    }

    /// The socket took bytes.
    pub fn written(&mut self, conn: ConnId, _now: Duration) {
        if let Some(conn) = self.conn_mut(conn) {
            conn.timers.written();
        }
    }

    /// The socket takes no more, and there are bytes left: the send hold timer
    /// runs from the first of these until [`written`](Session::written).
    ///
    /// RFC 9687 §3 counts messages. Octets are what shows that the peer's TCP
    /// takes something; one that takes a little now and then would end messages
    /// now and then, too, and costs nobody but itself.
    pub fn blocked(&mut self, conn: ConnId, now: Duration) {
        if let Some(conn) = self.conn_mut(conn) {
            conn.timers.blocked(now);
        }
    }

    /// Asks the peer for its routes again (RFC 2918). False: there is no session,
    /// or it cannot be asked for these.
    pub fn request_refresh(&mut self, family: Family) -> bool {
        let Some(conn) = self.established_at().and_then(|at| self.conns.get(at)) else {
            return false;
        };
        let id = conn.id;
        let able = |n: &Negotiated| n.route_refresh && n.has(family);
        if !conn.negotiated().is_some_and(able) {
            return false;
        }
        let refresh = RouteRefresh {
            afi_safi: family.afi_safi(),
            subtype: RouteRefresh::REQUEST,
        };
        self.send(id, MessageType::RouteRefresh, refresh.encode());
        true
    }

    /// UPDATEs that went to the socket: counted, and as good as a KEEPALIVE
    /// (RFC 4271 §8.2.2, Established).
    pub fn updates_sent(&mut self, conn: ConnId, count: u64, now: Duration) {
        self.counters.sent.add(MessageType::Update, count);
        if let Some(conn) = self.conn_mut(conn) {
            conn.timers.sent(now);
        }
    }

    /// Marks of a refresh (RFC 7313) that went to the socket with the UPDATEs.
    pub fn refresh_marks_sent(&mut self, count: u64) {
        self.counters.sent.add(MessageType::RouteRefresh, count);
    }

    fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|c| c.id == id)
    }
}
