//! What a chain does to the attributes of a route that it accepts.

use std::collections::BTreeSet;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, LargeCommunity, code, flag};
use godwit_bgp::{Asn, NextHop};

use super::{Community, Prepend, SetSpec};

/// The sum of all `set`s on the way to an outcome, in a normal form: equal
/// effects by equal rules compare equal, whatever the order they were set in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Edits {
    local_pref: Option<u32>,
    med: Option<u32>,
    next_hop_self: bool,
    /// As the AS path will begin.
    prepend: Vec<Prepend>,
    standard: ListEdit<u32>,
    large: ListEdit<LargeOrd>,
}

/// [`LargeCommunity`] by value order.
type LargeOrd = (u32, u32, u32);

fn large_ord(c: LargeCommunity) -> LargeOrd {
    (c.global, c.local1, c.local2)
}

/// The longest value that a path attribute's length field can tell.
const MAX_VALUE: usize = u16::MAX as usize;

/// Change of a list without duplicates: `(cleared ? {} : old - removed) + added`.
///
/// Invariant: `removed` is empty when `cleared`, and disjoint from `added`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ListEdit<T> {
    cleared: bool,
    removed: BTreeSet<T>,
    added: BTreeSet<T>,
}

impl<T> Default for ListEdit<T> {
    fn default() -> Self {
        ListEdit {
            cleared: false,
            removed: BTreeSet::new(),
            added: BTreeSet::new(),
        }
    }
}

impl<T: Copy + Ord> ListEdit<T> {
    fn clear(&mut self) {
        self.cleared = true;
        self.removed.clear();
        self.added.clear();
    }

    fn remove(&mut self, item: T) {
        self.added.remove(&item);
        if !self.cleared {
            self.removed.insert(item);
        }
    }

    fn add(&mut self, item: T) {
        self.removed.remove(&item);
        self.added.insert(item);
    }

    fn is_empty(&self) -> bool {
        !self.cleared && self.removed.is_empty() && self.added.is_empty()
    }

    /// Whether the item is there afterwards; `before` tells if it was.
    fn has(&self, item: T, before: impl FnOnce() -> bool) -> bool {
        self.added.contains(&item) || (!self.cleared && !self.removed.contains(&item) && before())
    }

    /// The bytes of the edited list: what stays in the order it came, then what
    /// is new. Stops at the length that one attribute can hold.
    fn bytes<const N: usize>(
        &self,
        before: impl Iterator<Item = T>,
        encode: impl Fn(T) -> [u8; N],
    ) -> Vec<u8> {
        let mut new = self.added.clone();
        let mut out = Vec::new();
        let stay = before.filter(|item| self.has(*item, || true));
        for item in stay {
            new.remove(&item);
            out.extend_from_slice(&encode(item));
        }
        for item in new {
            if out.len() + N > MAX_VALUE {
                break;
            }
            out.extend_from_slice(&encode(item));
        }
        out
    }
}

impl Edits {
    pub(super) fn from_spec(spec: &SetSpec) -> Edits {
        let mut edits = Edits {
            local_pref: spec.local_pref,
            med: spec.med,
            next_hop_self: spec.next_hop_self,
            prepend: spec.prepend.clone(),
            ..Edits::default()
        };
        if let Some(communities) = &spec.community_set {
            edits.standard.clear();
            edits.large.clear();
            communities.iter().for_each(|c| edits.add(*c));
        }
        for community in &spec.community_remove {
            match community {
                Community::Standard(c) => edits.standard.remove(*c),
                Community::Large(c) => edits.large.remove(large_ord(*c)),
            }
        }
        spec.community_add.iter().for_each(|c| edits.add(*c));
        edits
    }

    fn add(&mut self, community: Community) {
        match community {
            Community::Standard(c) => self.standard.add(c),
            Community::Large(c) => self.large.add(large_ord(c)),
        }
    }

    /// These edits, then `later` on top of them.
    pub(super) fn then(&mut self, later: &Edits) {
        self.local_pref = later.local_pref.or(self.local_pref);
        self.med = later.med.or(self.med);
        self.next_hop_self |= later.next_hop_self;
        self.prepend.splice(0..0, later.prepend.iter().copied());
        then_list(&mut self.standard, &later.standard);
        then_list(&mut self.large, &later.large);
    }

    /// Whether the route carries `community` once edited.
    pub(super) fn has_community(&self, attrs: &AttrsRef<'_>, community: Community) -> bool {
        match community {
            Community::Standard(c) => self.standard.has(c, || attrs.has_community(c)),
            Community::Large(c) => self.large.has(large_ord(c), || {
                attrs
                    .large_communities()
                    .any(|have| large_ord(have) == large_ord(c))
            }),
        }
    }

    /// Nothing changes.
    pub fn is_empty(&self) -> bool {
        self.local_pref.is_none()
            && self.med.is_none()
            && !self.next_hop_self
            && self.prepend.is_empty()
            && self.standard.is_empty()
            && self.large.is_empty()
    }

    /// Whether the route is to be announced with our own next hop.
    pub const fn next_hop_self(&self) -> bool {
        self.next_hop_self
    }

    pub const fn local_pref(&self) -> Option<u32> {
        self.local_pref
    }

    pub const fn med(&self) -> Option<u32> {
        self.med
    }

    /// Edits `buf` in place. `own_next_hop` is what `next-hop-self` means on
    /// this session (left alone where there is none); `asn` is the number that
    /// [`Prepend::Local`] repeats.
    pub fn apply(&self, own_next_hop: Option<NextHop>, asn: Asn, buf: &mut AttrsBuf) {
        if self.local_pref.is_some() {
            buf.set_local_pref(self.local_pref);
        }
        if self.med.is_some() {
            buf.set_med(self.med);
        }
        if let (true, Some(own)) = (self.next_hop_self, own_next_hop) {
            buf.next_hop = own;
        }
        // The last of the list stands next to the old path.
        for prepend in self.prepend.iter().rev() {
            match prepend {
                Prepend::Local(times) => buf.prepend_as(asn, usize::from(*times)),
                Prepend::Asn(asn) => buf.prepend_as(*asn, 1),
            }
        }
        if !self.standard.is_empty() {
            let bytes = self
                .standard
                .bytes(buf.as_ref().communities(), u32::to_be_bytes);
            replace(buf, code::COMMUNITIES, &bytes);
        }
        if !self.large.is_empty() {
            let before = buf.as_ref().large_communities().map(large_ord);
            let bytes = self.large.bytes(before, |(global, local1, local2)| {
                let mut out = [0; 12];
                let parts = [global, local1, local2];
                for (chunk, part) in out.chunks_exact_mut(4).zip(parts) {
                    chunk.copy_from_slice(&part.to_be_bytes());
                }
                out
            });
            replace(buf, code::LARGE_COMMUNITIES, &bytes);
        }
    }
}

fn then_list<T: Copy + Ord>(edit: &mut ListEdit<T>, later: &ListEdit<T>) {
    if later.cleared {
        edit.clear();
    }
    later.removed.iter().for_each(|item| edit.remove(*item));
    later.added.iter().for_each(|item| edit.add(*item));
}

/// An empty list is no attribute. Partial stays as received (RFC 4271 §5).
fn replace(buf: &mut AttrsBuf, code: u8, bytes: &[u8]) {
    if bytes.is_empty() {
        buf.remove(code);
        return;
    }
    let flags = buf
        .as_ref()
        .find(code)
        .map_or(flag::OPTIONAL | flag::TRANSITIVE, |attr| attr.flags);
    buf.set(code, flags, bytes);
}
