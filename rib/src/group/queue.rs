//! Changes on their way to being encoded, sorted so that those with the same
//! attributes and the same audience share frames.

use bytes::BytesMut;
use foldhash::quality::RandomState;
use godwit_bgp::Family;
use godwit_bgp::wire::UpdateEncoder;
use hashbrown::HashMap;

use crate::api::PeerId;
use crate::dest::Tables;
use crate::interner::{AttrId, Interner};
use crate::ring::Mark;

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

/// Changes that go into the same frames; `attr` is none for a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub audience: Audience,
    pub family: Family,
    pub attr: AttrId,
}

/// Changes not encoded yet. Each destination at most once for an audience.
/// Whoever queues an attribute id sees to it that it stays alive.
#[derive(Debug, Default)]
pub struct Queue {
    buckets: Vec<(Bucket, u32)>,
    index: HashMap<Bucket, u32, RandomState>,
    changes: Vec<(u32, Mark)>,
    /// Scratch: destinations in order of their buckets.
    sorted: Vec<Mark>,
    last: u32,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn push(&mut self, bucket: Bucket, mark: Mark) {
        let known = matches!(self.buckets.get(self.last as usize), Some((b, _)) if *b == bucket);
        if !known {
            let buckets = &mut self.buckets;
            self.last = *self.index.entry(bucket).or_insert_with(|| {
                buckets.push((bucket, 0));
                buckets.len() as u32 - 1
            });
        }
        self.buckets[self.last as usize].1 += 1;
        self.changes.push((self.last, mark));
    }

    /// Hands over all changes, bucket by bucket, those of an audience one
    /// after the other, and is empty then.
    pub fn drain(&mut self, mut sink: impl FnMut(Bucket, &[Mark])) {
        // A counting sort: many buckets are small, a list for each would cost
        // more than the frames.
        let mut start = 0;
        let mut places: Vec<u32> = Vec::with_capacity(self.buckets.len());
        for (_, n) in &self.buckets {
            places.push(start);
            start += n;
        }
        self.sorted.clear();
        self.sorted.resize(self.changes.len(), Mark::FIRST);
        for (bucket, mark) in self.changes.drain(..) {
            let place = &mut places[bucket as usize];
            self.sorted[*place as usize] = mark;
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
pub fn encode(
    encoder: &mut UpdateEncoder,
    bucket: Bucket,
    marks: &[Mark],
    tables: &Tables,
    attrs: &Interner,
    out: &mut BytesMut,
) {
    let v4 = || marks.iter().map(|mark| tables.v4.net(mark.dest()));
    let v6 = || marks.iter().map(|mark| tables.v6.net(mark.dest()));
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
