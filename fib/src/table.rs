//! Every route that is wanted or stands in the kernel, compactly: 24 bytes an
//! IPv4 route, 36 an IPv6 one, and one more each for the hash table. Full
//! tables live here, so nothing else may be kept per route.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where a route points, in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target(u32);

impl Target {
    pub const NONE: Target = Target(0);
    pub const BLACKHOLE: Target = Target(1);
    /// Ours and in the kernel, but in no form that we write: replace it.
    pub const OTHER: Target = Target(2);
    const FIRST_SLOT: u32 = 3;

    pub const fn slot(slot: u32) -> Target {
        Target(slot + Self::FIRST_SLOT)
    }

    pub const fn as_slot(self) -> Option<u32> {
        self.0.checked_sub(Self::FIRST_SLOT)
    }

    pub fn is_none(self) -> bool {
        self == Target::NONE
    }
}

/// Why the route is not as wanted; an errno, or one of the constants that no
/// errno reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble(pub u8);

impl Trouble {
    pub const NONE: Trouble = Trouble(0);
    pub const UNREACHABLE: Trouble = Trouble(253);
    pub const FOREIGN: Trouble = Trouble(254);
    pub const CONNECTED: Trouble = Trouble(255);

    pub fn errno(errno: i32) -> Trouble {
        match u8::try_from(errno) {
            Ok(small @ 1..=252) => Trouble(small),
            _ => Trouble(libc::EIO as u8),
        }
    }

    /// The kernel said no; it may say yes later.
    pub fn is_refusal(self) -> bool {
        (1..=252).contains(&self.0)
    }

    /// As the RIB gets to see it.
    pub fn as_errno(self) -> Option<i32> {
        match self {
            Trouble::NONE => None,
            Trouble::UNREACHABLE => Some(libc::ENETUNREACH),
            Trouble::FOREIGN | Trouble::CONNECTED => Some(libc::EEXIST),
            Trouble(errno) => Some(errno.into()),
        }
    }
}

/// In the pending list.
const QUEUED: u8 = 1;
/// From before the restart; nobody asked for it yet.
const ADOPTED: u8 = 2;
/// Met by the running verification, or written since it began.
const SEEN: u8 = 4;
/// Refused once for a reason that a second try may overcome.
const RETRIED: u8 = 8;

/// What is known of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub want: Target,
    /// What the kernel holds, as far as we know.
    pub have: Target,
    /// 48 bits of sequence, 8 of trouble, 8 of flags.
    packed: [u32; 2],
}

impl Route {
    const EMPTY: Route = Route {
        want: Target::NONE,
        have: Target::NONE,
        packed: [0; 2],
    };

    pub fn seq(&self) -> u64 {
        u64::from(self.packed[0]) | u64::from(self.packed[1] & 0xffff) << 32
    }

    fn set_seq(&mut self, seq: u64) {
        self.packed[0] = seq as u32;
        self.packed[1] = self.packed[1] & 0xffff_0000 | (seq >> 32) as u32 & 0xffff;
    }

    pub fn trouble(&self) -> Trouble {
        Trouble((self.packed[1] >> 16) as u8)
    }

    pub fn set_trouble(&mut self, trouble: Trouble) {
        self.packed[1] = self.packed[1] & 0xff00_ffff | u32::from(trouble.0) << 16;
    }

    fn flag(&self, flag: u8) -> bool {
        self.packed[1] & u32::from(flag) << 24 != 0
    }

    fn set_flag(&mut self, flag: u8, on: bool) {
        let bit = u32::from(flag) << 24;
        self.packed[1] = if on {
            self.packed[1] | bit
        } else {
            self.packed[1] & !bit
        };
    }

    pub fn queued(&self) -> bool {
        self.flag(QUEUED)
    }

    pub fn adopted(&self) -> bool {
        self.flag(ADOPTED)
    }

    pub fn set_adopted(&mut self, on: bool) {
        self.set_flag(ADOPTED, on);
    }

    pub fn seen(&self) -> bool {
        self.flag(SEEN)
    }

    pub fn set_seen(&mut self, on: bool) {
        self.set_flag(SEEN, on);
    }

    pub fn retried(&self) -> bool {
        self.flag(RETRIED)
    }

    pub fn set_retried(&mut self, on: bool) {
        self.set_flag(RETRIED, on);
    }

    pub fn installed(&self) -> bool {
        !self.want.is_none() && self.want == self.have
    }

    /// Nothing to remember: neither wanted nor there.
    fn idle(&self) -> bool {
        self.want.is_none() && self.have.is_none() && !self.queued()
    }
}

/// A prefix in as few bytes as it has.
trait Key: Copy + Eq + Hash {
    fn prefix(self) -> IpNet;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key4([u8; 5]);

impl From<Ipv4Net> for Key4 {
    fn from(prefix: Ipv4Net) -> Self {
        let [a, b, c, d] = prefix.network().octets();
        Key4([a, b, c, d, prefix.prefix_len()])
    }
}

impl Key for Key4 {
    fn prefix(self) -> IpNet {
        let [a, b, c, d, length] = self.0;
        Ipv4Net::new_assert([a, b, c, d].into(), length).into()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key6([u8; 17]);

impl From<Ipv6Net> for Key6 {
    fn from(prefix: Ipv6Net) -> Self {
        let mut key = [0; 17];
        key[..16].copy_from_slice(&prefix.network().octets());
        key[16] = prefix.prefix_len();
        Key6(key)
    }
}

impl Key for Key6 {
    fn prefix(self) -> IpNet {
        let [octets @ .., length] = self.0;
        Ipv6Net::new_assert(octets.into(), length).into()
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
            route.set_flag(QUEUED, true);
            self.pending.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<(K, &mut Route)> {
        let key = self.pending.pop_front()?;
        if self.pending.is_empty() && self.pending.capacity() > 4096 {
            self.pending.shrink_to(4096);
        }
        let route = self.find_mut(key)?;
        route.set_flag(QUEUED, false);
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
    fn scan(&mut self, each: &mut impl FnMut(IpNet, &mut Route) -> bool) {
        for entry in &mut self.entries {
            if each(entry.key.prefix(), &mut entry.route) && !entry.route.queued() {
                entry.route.set_flag(QUEUED, true);
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

    pub fn find(&self, prefix: &IpNet) -> Option<&Route> {
        match *prefix {
            IpNet::V4(p) => self.v4.find(p.into()),
            IpNet::V6(p) => self.v6.find(p.into()),
        }
    }

    pub fn find_mut(&mut self, prefix: &IpNet) -> Option<&mut Route> {
        match *prefix {
            IpNet::V4(p) => self.v4.find_mut(p.into()),
            IpNet::V6(p) => self.v6.find_mut(p.into()),
        }
    }

    /// The route, made if there is none.
    pub fn upsert(&mut self, prefix: &IpNet) -> &mut Route {
        match *prefix {
            IpNet::V4(p) => self.v4.upsert(p.into(), p.prefix_len()),
            IpNet::V6(p) => self.v6.upsert(p.into(), p.prefix_len()),
        }
    }

    /// Writes down the latest wish and queues the route. Returns what was wanted before.
    pub fn want(&mut self, prefix: &IpNet, want: Target, seq: u64) -> Target {
        let route = self.upsert(prefix);
        let before = std::mem::replace(&mut route.want, want);
        route.set_seq(seq);
        route.set_adopted(false);
        route.set_retried(false);
        self.queue(prefix);
        before
    }

    pub fn queue(&mut self, prefix: &IpNet) {
        match *prefix {
            IpNet::V4(p) => self.v4.queue(p.into()),
            IpNet::V6(p) => self.v6.queue(p.into()),
        }
    }

    /// The next route to look at, taken off the queue.
    pub fn pop(&mut self) -> Option<(IpNet, &mut Route)> {
        if let Some((key, route)) = self.v4.pop() {
            return Some((key.prefix(), route));
        }
        self.v6.pop().map(|(key, route)| (key.prefix(), route))
    }

    pub fn forget_if_idle(&mut self, prefix: &IpNet) {
        match *prefix {
            IpNet::V4(p) => self.v4.forget_if_idle(p.into(), p.prefix_len()),
            IpNet::V6(p) => self.v6.forget_if_idle(p.into(), p.prefix_len()),
        }
    }

    /// Looks at all routes; queues those for which `each` says so.
    pub fn scan(&mut self, mut each: impl FnMut(IpNet, &mut Route) -> bool) {
        self.v4.scan(&mut each);
        self.v6.scan(&mut each);
    }

    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &Route)> {
        let v4 = self.v4.entries.iter().map(|e| (e.key.prefix(), &e.route));
        v4.chain(self.v6.entries.iter().map(|e| (e.key.prefix(), &e.route)))
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
    pub fn page(&self, after: u64, limit: usize) -> (Vec<(IpNet, Route)>, Option<u64>) {
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
                    .map(|e| (e.key.prefix(), e.route)),
                Some(index) => self
                    .v6
                    .entries
                    .get_bucket(index)
                    .map(|e| (e.key.prefix(), e.route)),
            };
            routes.extend(found);
        }
        (routes, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_costs_what_is_promised() {
        assert_eq!(size_of::<Entry<Key4>>(), 24);
        assert_eq!(size_of::<Entry<Key6>>(), 36);
    }

    #[test]
    fn packed_fields_do_not_disturb_each_other() {
        let mut route = Route::EMPTY;
        route.set_seq(0xabcd_1234_5678);
        route.set_trouble(Trouble::CONNECTED);
        route.set_adopted(true);
        route.set_seen(true);
        route.set_adopted(false);
        assert_eq!(route.seq(), 0xabcd_1234_5678);
        assert_eq!(route.trouble(), Trouble::CONNECTED);
        assert!(route.seen() && !route.adopted());
    }

    #[test]
    fn a_route_is_queued_once_and_the_latest_wish_wins() {
        let mut routes = Routes::new();
        let prefix = "10.0.0.0/8".parse().unwrap();
        routes.want(&prefix, Target::BLACKHOLE, 1);
        assert_eq!(routes.want(&prefix, Target::slot(4), 2), Target::BLACKHOLE);
        let (popped, route) = routes.pop().unwrap();
        assert_eq!(
            (popped, route.want.as_slot(), route.seq()),
            (prefix, Some(4), 2)
        );
        assert!(routes.pop().is_none());
    }

    #[test]
    fn pages_show_every_route_of_both_families_once() {
        let mut routes = Routes::new();
        for i in 0..100_u32 {
            routes.want(
                &IpNet::new(std::net::Ipv4Addr::from(i << 8).into(), 24).unwrap(),
                Target::BLACKHOLE,
                0,
            );
            let v6 = std::net::Ipv6Addr::from(u128::from(i) << 64);
            routes.want(&IpNet::new(v6.into(), 64).unwrap(), Target::BLACKHOLE, 0);
        }
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let (page, next) = routes.page(after, 7);
            seen.extend(page.into_iter().map(|(prefix, _)| prefix));
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 200);
    }
}
