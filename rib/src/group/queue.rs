//! Changes on their way to being encoded, sorted so that those with the same
//! attributes and the same audience share frames.

use bytes::BytesMut;
use foldhash::quality::RandomState;
use godwit_bgp::wire::{Entry, UpdateEncoder};
use godwit_bgp::{Family, PathId};
use hashbrown::HashMap;
use ipnet::{Ipv4Net, Ipv6Net};

use crate::api::PeerId;
use crate::dest::Tables;
use crate::interner::{AttrId, Interner};
use crate::path::tx_path_id;
use crate::ring::Mark;
use crate::slab::NONE;

/// Which members a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    All,
    /// All but the source of the routes.
    Except(PeerId),
    /// One whose view differs from the others'.
    Only(PeerId),
}

impl Audience {
    pub fn includes(self, member: PeerId) -> bool {
        match self {
            Audience::All => true,
            Audience::Except(source) => source != member,
            Audience::Only(one) => one == member,
        }
    }
}

/// One path of a destination, to members that are sent several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMark {
    pub mark: Mark,
    /// Slot of the path.
    pub path: u32,
}

/// What is written of a change, besides its attributes.
pub trait Item: Copy {
    type V4: Entry<Ipv4Net>;
    type V6: Entry<Ipv6Net>;

    fn mark(self) -> Mark;
    /// As [`super::output::Output`] names its entries.
    fn path(self) -> u32;
    fn v4(self, tables: &Tables) -> Self::V4;
    fn v6(self, tables: &Tables) -> Self::V6;
}

impl Item for Mark {
    type V4 = Ipv4Net;
    type V6 = Ipv6Net;

    fn mark(self) -> Mark {
        self
    }

    fn path(self) -> u32 {
        NONE
    }

    #[inline]
    fn v4(self, tables: &Tables) -> Ipv4Net {
        tables.v4.net(self.dest())
    }

    #[inline]
    fn v6(self, tables: &Tables) -> Ipv6Net {
        tables.v6.net(self.dest())
    }
}

impl Item for PathMark {
    type V4 = (PathId, Ipv4Net);
    type V6 = (PathId, Ipv6Net);

    fn mark(self) -> Mark {
        self.mark
    }

    fn path(self) -> u32 {
        self.path
    }

    #[inline]
    fn v4(self, tables: &Tables) -> (PathId, Ipv4Net) {
        (tx_path_id(self.path), tables.v4.net(self.mark.dest()))
    }

    #[inline]
    fn v6(self, tables: &Tables) -> (PathId, Ipv6Net) {
        (tx_path_id(self.path), tables.v6.net(self.mark.dest()))
    }
}

/// Changes that go into the same frames; `attr` is none for a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub audience: Audience,
    pub family: Family,
    pub attr: AttrId,
}

/// Changes not encoded yet. Each item at most once for an audience. Whoever
/// queues an attribute id sees to it that it stays alive.
#[derive(Debug)]
pub struct Queue<T> {
    buckets: Vec<(Bucket, u32)>,
    index: HashMap<Bucket, u32, RandomState>,
    changes: Vec<(u32, T)>,
    /// Scratch: items in order of their buckets.
    sorted: Vec<T>,
    last: u32,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            buckets: Vec::new(),
            index: HashMap::default(),
            changes: Vec::new(),
            sorted: Vec::new(),
            last: 0,
        }
    }
}

impl<T: Item> Queue<T> {
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn push(&mut self, bucket: Bucket, item: T) {
        let known = matches!(self.buckets.get(self.last as usize), Some((b, _)) if *b == bucket);
        if !known {
            let buckets = &mut self.buckets;
            self.last = *self.index.entry(bucket).or_insert_with(|| {
                buckets.push((bucket, 0));
                buckets.len() as u32 - 1
            });
        }
        self.buckets[self.last as usize].1 += 1;
        self.changes.push((self.last, item));
    }

    /// Hands over all changes, bucket by bucket, those of an audience one
    /// after the other, and is empty then.
    pub fn drain(&mut self, mut sink: impl FnMut(Bucket, &[T])) {
        let Some((_, first)) = self.changes.first().copied() else {
            return;
        };
        // A counting sort: many buckets are small, a list for each would cost
        // more than the frames.
        let mut start = 0;
        let mut places: Vec<u32> = Vec::with_capacity(self.buckets.len());
        for (_, n) in &self.buckets {
            places.push(start);
            start += n;
        }
        self.sorted.clear();
        self.sorted.resize(self.changes.len(), first);
        for (bucket, item) in self.changes.drain(..) {
            let place = &mut places[bucket as usize];
            self.sorted[*place as usize] = item;
            *place += 1;
        }
        let mut order: Vec<u32> = (0..self.buckets.len() as u32).collect();
        order.sort_by_key(|i| self.buckets[*i as usize].0.audience);
        for i in order {
            let (bucket, n) = self.buckets[i as usize];
            let end = places[i as usize] as usize;
            sink(bucket, &self.sorted[end - n as usize..end]);
        }
        self.buckets.clear();
        self.index.clear();
        self.last = 0;
        if self.sorted.capacity() > 1 << 16 {
            self.sorted = Vec::new();
        }
    }
}

/// Appends the frames of one bucket.
pub fn encode<T: Item>(
    encoder: &mut UpdateEncoder,
    bucket: Bucket,
    items: &[T],
    tables: &Tables,
    attrs: &Interner,
    out: &mut BytesMut,
) {
    let v4 = || items.iter().map(|item| item.v4(tables));
    let v6 = || items.iter().map(|item| item.v6(tables));
    let announced = bucket.attr.is_some() && {
        let attrs = attrs.attrs(bucket.attr);
        match bucket.family {
            Family::Ipv4Unicast => encoder.announce_v4(attrs, v4(), out),
            Family::Ipv6Unicast => encoder.announce_v6(attrs, v6(), out),
        }
        .is_ok()
    };
    if !announced {
        match bucket.family {
            Family::Ipv4Unicast => encoder.withdraw_v4(v4(), out),
            Family::Ipv6Unicast => encoder.withdraw_v6(v6(), out),
        }
    }
}
