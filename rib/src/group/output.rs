//! What a group advertises (its Adj-RIB-Out), kept once for all members.

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::lists::Lists;
use crate::api::PeerId;
use crate::bitmap::Bitmap;
use crate::interner::AttrId;
use crate::slab::{NONE, Sparse};

/// What is advertised of one destination, or with ADD-PATH of one path of it: 8
/// bytes. Holds a reference to the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    pub attr: AttrId,
    /// Who gave us the route, and so does not get it.
    pub source: PeerId,
    /// Its change waits to be encoded: it may not change again before that.
    pub queued: bool,
}

impl Default for Out {
    fn default() -> Self {
        Out {
            attr: AttrId::NONE,
            source: PeerId::LOCAL,
            queued: false,
        }
    }
}

impl Out {
    /// What a member is to hold of it.
    pub fn for_member(&self, member: PeerId) -> Option<AttrId> {
        (self.attr.is_some() && self.source != member).then_some(self.attr)
    }

    /// Neither advertised nor about to be withdrawn.
    pub fn is_nothing(&self) -> bool {
        !self.attr.is_some() && !self.queued
    }
}

/// The output of one family: one entry a destination, inline, or with ADD-PATH
/// (RFC 7911) one for each path that goes out. An entry is named by its
/// destination and the slot of its path, which is [`NONE`] where there is but
/// one.
#[derive(Debug, Default)]
pub struct Output {
    outs: Sparse<Out>,
    /// In place of `outs`, where several paths go out.
    lists: Option<Lists>,
    /// Destinations that are advertised.
    pub present: Bitmap,
    count: u64,
    by_source: HashMap<PeerId, u64, RandomState>,
}

impl Output {
    pub fn new(several: bool) -> Output {
        Output {
            lists: several.then(Lists::default),
            ..Output::default()
        }
    }

    /// Whether its routes go out with path identifiers.
    pub fn has_several(&self) -> bool {
        self.lists.is_some()
    }

    /// Of a destination of which only one path goes out.
    #[inline]
    pub fn load(&self, dest: u32) -> Out {
        self.outs.load(dest)
    }

    /// All entries of a destination, with the slots of their paths.
    pub fn entries(&self, dest: u32) -> impl Iterator<Item = (u32, Out)> + '_ {
        let one = (self.lists.is_none())
            .then(|| (NONE, self.outs.load(dest)))
            .filter(|(_, out)| !out.is_nothing());
        let several = self.lists.iter().flat_map(move |lists| lists.iter(dest));
        one.into_iter().chain(several)
    }

    /// Whether anything is advertised of the destination, or waits to be
    /// withdrawn.
    pub fn holds(&self, dest: u32) -> bool {
        match &self.lists {
            None => !self.outs.load(dest).is_nothing(),
            Some(lists) => lists.any(dest),
        }
    }

    pub fn store(&mut self, dest: u32, path: u32, new: Out) {
        let (old, present) = match &mut self.lists {
            None => {
                let old = std::mem::replace(self.outs.slot(dest), new);
                (old, new.attr.is_some())
            }
            Some(lists) => {
                let old = lists.replace(dest, path, new);
                let present = new.attr.is_some() || old.attr.is_some() && lists.advertises(dest);
                (old, present)
            }
        };
        match (old.attr.is_some(), new.attr.is_some()) {
            (false, true) => {
                self.count += 1;
                self.present.set(dest);
            }
            (true, false) => {
                self.count -= 1;
                if !present {
                    self.present.clear(dest);
                }
            }
            _ => {}
        }
        if old.attr.is_some() && new.attr.is_some() && old.source == new.source {
            return;
        }
        if old.attr.is_some()
            && let Some(n) = self.by_source.get_mut(&old.source)
        {
            *n -= 1;
            if *n == 0 {
                self.by_source.remove(&old.source);
            }
        }
        if new.attr.is_some() {
            *self.by_source.entry(new.source).or_insert(0) += 1;
        }
    }

    /// The change is encoded.
    pub fn settle(&mut self, dest: u32, path: u32) {
        match &mut self.lists {
            None => self.outs.slot(dest).queued = false,
            Some(lists) => lists.settle(dest, path),
        }
    }

    /// Routes that a member is to hold.
    pub fn count_for(&self, member: PeerId) -> u64 {
        self.count - self.by_source.get(&member).copied().unwrap_or(0)
    }
}
