//! All sessions: who is who, and who is due next. No sockets, no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use godwit_bgp::bfd::{Change, Hops, Packet, Session, SessionConfig};

use super::messages::{Key, Loss, Status, Wanted};

/// More are refused: at the least interval as many fill a processor.
pub(super) const MOST: usize = 4096;

/// One session, and what is told of it beyond its machine.
#[derive(Debug)]
struct Entry {
    key: Key,
    session: Session,
    loss: Option<Loss>,
    failures: u32,
    changed: Duration,
    trouble: Option<String>,
    /// Its place in the order of deadlines.
    due: Option<Duration>,
    /// Its place where arriving packets are looked up by address.
    interface: Option<u32>,
    /// Taken down for good, or for as long as the other side is to be told.
    leaving: bool,
    /// Wanted again meanwhile.
    returns: bool,
    /// Of a daemon that has gone; the next one has not asked for it yet.
    inherited: bool,
    /// As last reported, without `since`.
    reported: Option<Status>,
}

/// The sessions of the process.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<NonZeroU32, Entry>,
    /// Also of those that are leaving. Ordered by the other end's address first.
    keys: BTreeMap<Key, NonZeroU32>,
    /// Whose status may have changed since it was last asked for.
    touched: HashSet<NonZeroU32>,
    order: BTreeSet<(Duration, NonZeroU32)>,
    /// Whose sockets are of no use any more.
    unused: Vec<NonZeroU32>,
    /// For discriminators and jitter.
    random: RandomState,
    drawn: u64,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) interface: u32,
    pub(super) hops: Hops,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The sessions whose sockets are to be closed.
    pub(super) fn take_unused(&mut self) -> Vec<NonZeroU32> {
        std::mem::take(&mut self.unused)
    }

    /// The daemon has gone: what it wanted stays, until a next one asks for it or
    /// [`end_inherited`](Self::end_inherited). A daemon that starts asks for one
    /// session after the other, as it finds its neighbours.
    pub(super) fn inherit(&mut self) {
        for entry in self.entries.values_mut() {
            entry.inherited = !entry.leaving;
        }
    }

    /// Takes down what nobody asked for again.
    pub(super) fn end_inherited(&mut self, now: Duration) {
        let inherited = self.entries.iter().filter(|(_, entry)| entry.inherited);
        let names: Vec<_> = inherited.map(|(name, _)| *name).collect();
        for name in names {
            self.end(name, now);
        }
    }

    /// Makes the sessions those of `wanted`, and those that are inherited; the
    /// ones that stay are not disturbed, the others are taken down
    /// administratively.
    ///
    /// # Errors
    /// More than [`MOST`]; then nothing is changed.
    pub(super) fn set(&mut self, wanted: &[Wanted], now: Duration) -> Result<(), String> {
        if wanted.len() > MOST {
            let asked = wanted.len();
            return Err(format!(
                "{asked} sessions asked for; at most {MOST} are kept"
            ));
        }
        let stay: HashSet<_> = wanted.iter().map(|wanted| &wanted.key).collect();
        for one in wanted {
            self.take_over(&one.key, &stay);
        }
        let gone = self.keys.iter().filter(|(key, _)| !stay.contains(key));
        let gone: Vec<_> = gone.map(|(_, name)| *name).collect();
        for name in gone {
            let lives = |entry: &Entry| !entry.inherited && !entry.leaving;
            if self.entries.get(&name).is_some_and(lives) {
                self.end(name, now);
            }
        }
        for one in wanted {
            self.keep(one, now);
        }
        Ok(())
    }

    /// A session with the same neighbour that goes by another way from now on: to
    /// the neighbour it is the same one.
    fn take_over(&mut self, key: &Key, stay: &HashSet<&Key>) {
        if self.keys.contains_key(key) {
            return;
        }
        let same = |other: &Key| other.hops() == key.hops() && !stay.contains(other);
        let Some((before, name)) = self.with(key.remote).find(|(other, _)| same(other)) else {
            return;
        };
        let before = before.clone();
        self.keys.remove(&before);
        self.keys.insert(key.clone(), name);
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.key = key.clone();
            entry.interface = None;
            entry.reported = None;
        }
        self.unused.push(name);
        self.touched.insert(name);
    }

    /// The sessions with this neighbour.
    fn with(&self, remote: IpAddr) -> impl Iterator<Item = (&Key, NonZeroU32)> {
        let least = Key {
            remote,
            local: None,
            interface: None,
            multihop: false,
        };
        self.keys
            .range(least..)
            .take_while(move |(key, _)| key.remote == remote)
            .map(|(key, name)| (key, *name))
    }

    fn keep(&mut self, wanted: &Wanted, now: Duration) {
        let interval = Duration::from_micros(wanted.interval.into());
        let config = SessionConfig {
            desired_min_tx: interval,
            required_min_rx: interval,
            detect_mult: wanted.multiplier,
            control_plane_independent: true,
        };
        if let Some(name) = self.keys.get(&wanted.key).copied() {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.session.set_config(config);
                entry.inherited = false;
                // The other side is told of the end first.
                entry.returns = entry.leaving;
            }
            self.reorder(name);
            return;
        }
        let name = self.free_name();
        let entry = Entry {
            key: wanted.key.clone(),
            session: Session::new(name, config, self.random()),
            loss: None,
            failures: 0,
            changed: now,
            trouble: None,
            due: None,
            interface: None,
            leaving: false,
            returns: false,
            inherited: false,
            reported: None,
        };
        self.entries.insert(name, entry);
        self.keys.insert(wanted.key.clone(), name);
        self.reorder(name);
    }

    /// Takes a session down for good.
    fn end(&mut self, name: NonZeroU32, now: Duration) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.leaving = true;
            entry.returns = false;
            entry.inherited = false;
            let change = entry.session.set_admin_down(true, now);
            entry.note(change, now);
        }
        self.reorder(name);
    }

    /// Takes all sessions down for good.
    pub(super) fn end_all(&mut self, now: Duration) {
        let names: Vec<_> = self.entries.keys().copied().collect();
        for name in names {
            self.end(name, now);
        }
    }

    /// A valid packet with a TTL that counts. Ignored where it is of no session.
    pub(super) fn receive(&mut self, packet: &Packet, arrival: Arrival, now: Duration) {
        let Some(name) = self.find(packet, arrival) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&name) {
            let change = entry.session.receive(packet, now);
            entry.note(change, now);
        }
        self.reorder(name);
    }

    /// RFC 5880 §6.3: by our discriminator, and before it is known by where the
    /// packet came from and arrived (RFC 5881 §3, RFC 5883 §4).
    fn find(&self, packet: &Packet, arrival: Arrival) -> Option<NonZeroU32> {
        match NonZeroU32::new(packet.your_discriminator) {
            // The address as well: a name can be guessed.
            Some(name) => self
                .entries
                .get(&name)
                .is_some_and(|entry| entry.is_for(arrival))
                .then_some(name),
            None => self
                .with(arrival.from)
                .map(|(_, name)| name)
                .find(|name| self.entries.get(name).is_some_and(|e| e.is_for(arrival))),
        }
    }

    /// When to call [`tick`](Self::tick) next.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Whose deadline has come: their timers, unless something may lie unread
    /// that they wait for, and what they send.
    pub(super) fn tick(
        &mut self,
        now: Duration,
        unread: bool,
        mut send: impl FnMut(NonZeroU32, &Key, &Packet),
    ) {
        let due: Vec<_> = self
            .order
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, name)| *name)
            .collect();
        for name in due {
            let Some(entry) = self.entries.get_mut(&name) else {
                continue;
            };
            if !unread {
                let change = entry.session.handle_timeout(now);
                entry.note(change, now);
            }
            while let Some(packet) = entry.session.poll_transmit(now) {
                send(name, &entry.key, &packet);
            }
            if entry.leaving && entry.session.finished() {
                if !entry.returns {
                    self.remove(name);
                    continue;
                }
                (entry.leaving, entry.returns) = (false, false);
                let change = entry.session.set_admin_down(false, now);
                entry.note(change, now);
            }
            self.reorder(name);
        }
    }

    /// The index of a session's interface, as its sender found it.
    pub(super) fn set_interface(&mut self, name: NonZeroU32, index: Option<u32>) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.interface = index;
        }
    }

    /// Whether packets of a session leave, as its sender found.
    pub(super) fn set_trouble(&mut self, name: NonZeroU32, trouble: Option<String>) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.trouble = trouble;
            self.touched.insert(name);
        }
    }

    /// The sessions whose status is not as it was last reported.
    pub(super) fn news(&mut self, now: Duration) -> Vec<Status> {
        let mut news = Vec::new();
        for name in self.touched.drain() {
            let entry = self.entries.get_mut(&name);
            let Some(entry) = entry.filter(|entry| !entry.leaving) else {
                continue;
            };
            let mut status = entry.status();
            if entry.reported.as_ref() == Some(&status) {
                continue;
            }
            entry.reported = Some(status.clone());
            status.since =
                u64::try_from(now.saturating_sub(entry.changed).as_millis()).unwrap_or(u64::MAX);
            news.push(status);
        }
        news
    }

    /// Somebody new listens: all is news.
    pub(super) fn forget_reports(&mut self) {
        for (name, entry) in &mut self.entries {
            entry.reported = None;
            self.touched.insert(*name);
        }
    }

    fn remove(&mut self, name: NonZeroU32) {
        if let Some(entry) = self.entries.remove(&name) {
            self.keys.remove(&entry.key);
            self.unused.push(name);
            if let Some(due) = entry.due {
                self.order.remove(&(due, name));
            }
        }
    }

    fn reorder(&mut self, name: NonZeroU32) {
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        self.touched.insert(name);
        // A session that is leaving must be looked at once more when it has
        // nothing to wait for.
        let at_once = (entry.leaving && entry.session.finished()).then_some(Duration::ZERO);
        let due = at_once.or(entry.session.next_deadline());
        if due == entry.due {
            return;
        }
        if let Some(before) = entry.due {
            self.order.remove(&(before, name));
        }
        entry.due = due;
        if let Some(due) = due {
            self.order.insert((due, name));
        }
    }

    fn free_name(&mut self) -> NonZeroU32 {
        loop {
            let name = NonZeroU32::new(self.random() as u32);
            if let Some(name) = name.filter(|name| !self.entries.contains_key(name)) {
                return name;
            }
        }
    }

    /// Unlike those of a process before, so that a restarted one does not take
    /// the names of its former sessions.
    fn random(&mut self) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn)
    }
}

impl Entry {
    fn is_for(&self, arrival: Arrival) -> bool {
        self.key.remote == arrival.from
            && self.key.hops() == arrival.hops
            && self.key.local.is_none_or(|local| local == arrival.to)
            && (self.key.interface.is_none() || self.interface == Some(arrival.interface))
    }

    fn note(&mut self, change: Option<Change>, now: Duration) {
        let Some(change) = change else {
            return;
        };
        self.changed = now;
        let loss = match change {
            Change::Up => return,
            Change::DetectionTimeExpired => Loss::Expired,
            Change::NeighborDown(_) => Loss::NeighborDown,
            Change::NeighborAdminDown => Loss::NeighborAdminDown,
            _ => Loss::Administrative,
        };
        self.loss = Some(loss);
        self.failures += u32::from(loss.is_failure());
    }

    fn status(&self) -> Status {
        let session = &self.session;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Status {
            key: self.key.clone(),
            state: session.state().into(),
            remote_state: session.remote().0.into(),
            loss: self.loss,
            failures: self.failures,
            transmit_interval: session.transmit_interval().map(micros),
            detection_time: micros(session.detection_time()),
            local_discriminator: session.local_discriminator().get(),
            remote_discriminator: session.remote_discriminator(),
            remote_independent: session.remote_control_plane_independent(),
            since: 0,
            trouble: self.trouble.clone(),
        }
    }
}
