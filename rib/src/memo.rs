//! What a policy makes of an attribute block, remembered for the blocks seen
//! last.

use godwit_policy::route::{Outcome, Residual};
use smallvec::SmallVec;

use crate::interner::{AttrId, Interner, Weak};

/// A verdict of one outcome of a residual: `Err` says why there is none.
pub type Fixed<E> = Result<Weak, E>;

/// What a policy makes of one block. `S` is what else decides besides the
/// block, `E` why a route goes no further.
#[derive(Debug)]
pub struct Entry<S, E> {
    attr: Weak,
    source: S,
    /// `Err`: whatever the policy says.
    pub residual: Result<Residual, E>,
    /// By outcome, as far as they were needed.
    pub fixed: SmallVec<[Option<Fixed<E>>; 1]>,
}

impl<S, E: Clone> Entry<S, E> {
    pub fn new(attr: Weak, source: S, residual: Result<Residual, E>) -> Self {
        Entry {
            attr,
            source,
            residual,
            fixed: SmallVec::new(),
        }
    }

    /// The attributes that an outcome leads to, with a reference for the
    /// caller; `make` makes them (with a reference, too) where they are not
    /// known, or no longer.
    pub fn outcome(
        &mut self,
        index: u16,
        attrs: &mut Interner,
        make: impl FnOnce(&Outcome, &mut Interner) -> Result<AttrId, E>,
    ) -> Result<AttrId, E> {
        let index = usize::from(index);
        match self.fixed.get(index) {
            Some(Some(Ok(weak))) => {
                if let Some(id) = attrs.upgrade(*weak) {
                    attrs.retain(id);
                    return Ok(id);
                }
            }
            Some(Some(Err(why))) => return Err(why.clone()),
            _ => {}
        }
        let made = match &self.residual {
            Err(why) => Err(why.clone()),
            Ok(residual) => match residual.outcomes().get(index) {
                Some(outcome) => make(outcome, attrs),
                None => unreachable!("a residual picks among its outcomes"),
            },
        };
        if self.fixed.len() <= index {
            self.fixed.resize_with(index + 1, || None);
        }
        self.fixed[index] = Some(match &made {
            Ok(id) => Ok(attrs.weak(*id)),
            Err(why) => Err(why.clone()),
        });
        made
    }
}

/// Entries kept at most; a power of two.
const SLOTS: usize = 1024;

/// A small cache, one candidate a slot: prefixes of one block come together.
#[derive(Debug)]
pub struct Memo<S, E> {
    slots: Vec<Option<Box<Entry<S, E>>>>,
}

impl<S, E> Default for Memo<S, E> {
    fn default() -> Self {
        Memo { slots: Vec::new() }
    }
}

impl<S: PartialEq, E> Memo<S, E> {
    /// The entry of this block, made by `make` if it is not there.
    #[inline]
    pub fn entry(
        &mut self,
        id: AttrId,
        source: S,
        attrs: &Interner,
        make: impl FnOnce(Weak, S) -> Entry<S, E>,
    ) -> &mut Entry<S, E> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let slot = &mut self.slots[id.0 as usize & (SLOTS - 1)];
        let weak = attrs.weak(id);
        match slot {
            Some(entry) if entry.attr == weak && entry.source == source => {}
            Some(entry) => **entry = make(weak, source),
            None => *slot = Some(Box::new(make(weak, source))),
        }
        match slot {
            Some(entry) => entry,
            None => unreachable!("just filled"),
        }
    }

    pub fn clear(&mut self) {
        self.slots = Vec::new();
    }
}
