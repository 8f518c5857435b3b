//! Every route that is wanted or stands in the kernel, compactly: 24 bytes an
//! IPv4 route, 36 an IPv6 one, and one more each for the hash table. Full
//! tables live here, so nothing else may be kept per route.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use crate::place::{PlaceId, Spot};
use crate::route::{Route, Target};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A prefix at a place in few bytes: those of the place fill what alignment
/// would leave empty.
trait Key: Copy + Eq + Hash {
    fn spot(self) -> Spot;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key4([u8; 7]);

impl Key4 {
    fn new(prefix: Ipv4Net, place: PlaceId) -> Self {
        let [a, b, c, d] = prefix.network().octets();
        let [high, low] = place.0.to_be_bytes();
        Key4([a, b, c, d, prefix.prefix_len(), high, low])
    }
}

impl Key for Key4 {
    fn spot(self) -> Spot {
        let [a, b, c, d, length, high, low] = self.0;
        Spot {
            prefix: Ipv4Net::new_assert([a, b, c, d].into(), length).into(),
            place: PlaceId(u16::from_be_bytes([high, low])),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key6([u8; 19]);

impl Key6 {
    fn new(prefix: Ipv6Net, place: PlaceId) -> Self {
        let mut key = [0; 19];
        key[..16].copy_from_slice(&prefix.network().octets());
        key[16] = prefix.prefix_len();
        key[17..].copy_from_slice(&place.0.to_be_bytes());
        Key6(key)
    }
}

impl Key for Key6 {
    fn spot(self) -> Spot {
        let [octets @ .., length, high, low] = self.0;
        Spot {
            prefix: Ipv6Net::new_assert(octets.into(), length).into(),
            place: PlaceId(u16::from_be_bytes([high, low])),
        }
    }
}

#[derive(Debug)]
struct Entry<K> {
    route: Route,
    key: K,
}

#[derive(Debug)]
struct Table<K> {
    entries: HashTable<Entry<K>>,
    hasher: RandomState,
    /// Routes by prefix length, so that a longest match probes only what is there.
    lengths: [u32; 129],
    pending: VecDeque<K>,
}

impl<K: Key> Table<K> {
    fn new() -> Self {
        Self {
            entries: HashTable::new(),
            hasher: RandomState::default(),
            lengths: [0; 129],
            pending: VecDeque::new(),
        }
    }

    fn find(&self, key: K) -> Option<&Route> {
        self.entries
            .find(self.hasher.hash_one(key), |e| e.key == key)
            .map(|e| &e.route)
    }

    fn find_mut(&mut self, key: K) -> Option<&mut Route> {
        self.entries
            .find_mut(self.hasher.hash_one(key), |e| e.key == key)
            .map(|e| &mut e.route)
    }

    fn upsert(&mut self, key: K, length: u8) -> &mut Route {
        let hasher = &self.hasher;
        match self.entries.entry(
            hasher.hash_one(key),
            |e| e.key == key,
            |e| hasher.hash_one(e.key),
        ) {
            TableEntry::Occupied(entry) => &mut entry.into_mut().route,
            TableEntry::Vacant(entry) => {
                self.lengths[usize::from(length)] += 1;
                &mut entry
                    .insert(Entry {
                        route: Route::EMPTY,
                        key,
                    })
                    .into_mut()
                    .route
            }
        }
    }

    fn queue(&mut self, key: K) {
        if let Some(route) = self.find_mut(key)
            && !route.queued()
        {
            route.set_queued(true);
            self.pending.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<(K, &mut Route)> {
        let key = self.pending.pop_front()?;
        if self.pending.is_empty() && self.pending.capacity() > 4096 {
            self.pending.shrink_to(4096);
        }
        let route = self.find_mut(key)?;
        route.set_queued(false);
        Some((key, route))
    }

    fn forget_if_idle(&mut self, key: K, length: u8) {
        let found = self
            .entries
            .find_entry(self.hasher.hash_one(key), |e| e.key == key);
        if let Ok(entry) = found
            && entry.get().route.idle()
        {
            entry.remove();
            self.lengths[usize::from(length)] -= 1;
            if self.entries.capacity() > 1 << 16 && self.entries.len() < self.entries.capacity() / 8
            {
                let hasher = &self.hasher;
                self.entries
                    .shrink_to(self.entries.len() * 2, |e| hasher.hash_one(e.key));
            }
        }
    }

    /// Looks at all routes; queues those for which `each` says so.
    fn scan(&mut self, each: &mut impl FnMut(Spot, &mut Route) -> bool) {
        for entry in &mut self.entries {
            if each(entry.key.spot(), &mut entry.route) && !entry.route.queued() {
                entry.route.set_queued(true);
                self.pending.push_back(entry.key);
            }
        }
    }
}

/// The routes of both families.
#[derive(Debug)]
pub(crate) struct Routes {
    v4: Table<Key4>,
    v6: Table<Key6>,
}

impl Routes {
    pub fn new() -> Self {
        Self {
            v4: Table::new(),
            v6: Table::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.v4.entries.len() + self.v6.entries.len()
    }

    pub fn pending(&self) -> usize {
        self.v4.pending.len() + self.v6.pending.len()
    }

    pub fn find(&self, spot: &Spot) -> Option<&Route> {
        match spot.prefix {
            IpNet::V4(p) => self.v4.find(Key4::new(p, spot.place)),
            IpNet::V6(p) => self.v6.find(Key6::new(p, spot.place)),
        }
    }

    pub fn find_mut(&mut self, spot: &Spot) -> Option<&mut Route> {
        match spot.prefix {
            IpNet::V4(p) => self.v4.find_mut(Key4::new(p, spot.place)),
            IpNet::V6(p) => self.v6.find_mut(Key6::new(p, spot.place)),
        }
    }

    /// The route, made if there is none.
    pub fn upsert(&mut self, spot: &Spot) -> &mut Route {
        match spot.prefix {
            IpNet::V4(p) => self.v4.upsert(Key4::new(p, spot.place), p.prefix_len()),
            IpNet::V6(p) => self.v6.upsert(Key6::new(p, spot.place), p.prefix_len()),
        }
    }

    /// Writes down the latest wish and queues the route. Returns what was wanted before.
    pub fn want(&mut self, spot: &Spot, want: Target, seq: u64) -> Target {
        let route = self.upsert(spot);
        route.set_seq(seq);
        let before = change_wish(route, want);
        self.queue(spot);
        before
    }

    /// Queues a route for removal, if there is one, since the prefix is wanted
    /// elsewhere. Returns what was wanted before.
    pub fn unwant(&mut self, spot: &Spot) -> Target {
        let Some(route) = self.find_mut(spot) else {
            return Target::NONE;
        };
        let before = change_wish(route, Target::NONE);
        route.set_moved(true);
        self.queue(spot);
        before
    }

    pub fn queue(&mut self, spot: &Spot) {
        match spot.prefix {
            IpNet::V4(p) => self.v4.queue(Key4::new(p, spot.place)),
            IpNet::V6(p) => self.v6.queue(Key6::new(p, spot.place)),
        }
    }

    /// The next route to look at, taken off the queue.
    pub fn pop(&mut self) -> Option<(Spot, &mut Route)> {
        if let Some((key, route)) = self.v4.pop() {
            return Some((key.spot(), route));
        }
        self.v6.pop().map(|(key, route)| (key.spot(), route))
    }

    pub fn forget_if_idle(&mut self, spot: &Spot) {
        match spot.prefix {
            IpNet::V4(p) => self
                .v4
                .forget_if_idle(Key4::new(p, spot.place), p.prefix_len()),
            IpNet::V6(p) => self
                .v6
                .forget_if_idle(Key6::new(p, spot.place), p.prefix_len()),
        }
    }

    /// Looks at all routes; queues those for which `each` says so.
    pub fn scan(&mut self, mut each: impl FnMut(Spot, &mut Route) -> bool) {
        self.v4.scan(&mut each);
        self.v6.scan(&mut each);
    }

    pub fn iter(&self) -> impl Iterator<Item = (Spot, &Route)> {
        let v4 = self.v4.entries.iter().map(|e| (e.key.spot(), &e.route));
        v4.chain(self.v6.entries.iter().map(|e| (e.key.spot(), &e.route)))
    }

    /// Whether there are routes of this length at all.
    pub fn has_length(&self, v4: bool, length: u8) -> bool {
        let lengths = if v4 {
            &self.v4.lengths
        } else {
            &self.v6.lengths
        };
        lengths[usize::from(length)] > 0
    }

    /// Up to `limit` routes after a cursor (0: from the start), and the next
    /// cursor. A table that grows in between may show a route twice or never.
    pub fn page(&self, after: u64, limit: usize) -> (Vec<(Spot, Route)>, Option<u64>) {
        let mut routes = Vec::with_capacity(limit.min(1024));
        let buckets4 = self.v4.entries.num_buckets();
        let buckets = buckets4 + self.v6.entries.num_buckets();
        let first = usize::try_from(after).unwrap_or(usize::MAX);
        for index in first..buckets {
            if routes.len() == limit {
                return (routes, Some(index as u64));
            }
            let found = match index.checked_sub(buckets4) {
                None => self
                    .v4
                    .entries
                    .get_bucket(index)
                    .map(|e| (e.key.spot(), e.route)),
                Some(index) => self
                    .v6
                    .entries
                    .get_bucket(index)
                    .map(|e| (e.key.spot(), e.route)),
            };
            routes.extend(found);
        }
        (routes, None)
    }
}

/// Returns what was wanted before.
fn change_wish(route: &mut Route, want: Target) -> Target {
    route.set_adopted(false);
    route.set_retried(false);
    route.set_moved(false);
    std::mem::replace(&mut route.want, want)
}

#[cfg(test)]
mod tests;
