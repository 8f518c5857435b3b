//! What a group advertises (its Adj-RIB-Out), kept once for all members.

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use crate::api::PeerId;
use crate::bitmap::Bitmap;
use crate::interner::AttrId;
use crate::slab::Sparse;

/// What is advertised of one destination: 8 bytes. Holds a reference to the
/// block.
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
}

/// The output of one family.
#[derive(Debug, Default)]
pub struct Output {
    outs: Sparse<Out>,
    /// Destinations that are advertised.
    pub present: Bitmap,
    by_source: HashMap<PeerId, u64, RandomState>,
}

impl Output {
    #[inline]
    pub fn load(&self, dest: u32) -> Out {
        self.outs.load(dest)
    }

    pub fn store(&mut self, dest: u32, new: Out) {
        let slot = self.outs.slot(dest);
        let old = std::mem::replace(slot, new);
        match (old.attr.is_some(), new.attr.is_some()) {
            (false, true) => self.present.set(dest),
            (true, false) => self.present.clear(dest),
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
    pub fn settle(&mut self, dest: u32) {
        self.outs.slot(dest).queued = false;
    }

    /// Destinations that a member is to hold.
    pub fn count_for(&self, member: PeerId) -> u64 {
        let own = self.by_source.get(&member).copied().unwrap_or(0);
        u64::from(self.present.len()) - own
    }
}
