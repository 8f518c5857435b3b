//! What goes out of destinations with several paths (RFC 7911): a list for each.

use super::output::Out;
use crate::slab::{Chunked, NONE, Sparse};

/// An entry of a list: 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The next of the destination, or of the free list.
    next: u32,
    /// Slot of the path.
    path: u32,
    out: Out,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            next: NONE,
            path: NONE,
            out: Out::default(),
        }
    }
}

/// The first node of a destination.
#[derive(Clone, Copy, Debug)]
struct Head(u32);

impl Default for Head {
    fn default() -> Self {
        Head(NONE)
    }
}

/// Entries by destination and path. One that is neither advertised nor queued is
/// not kept.
#[derive(Debug)]
pub struct Lists {
    heads: Sparse<Head>,
    nodes: Chunked<Node>,
    free: u32,
}

impl Default for Lists {
    fn default() -> Self {
        Lists {
            heads: Sparse::default(),
            nodes: Chunked::default(),
            free: NONE,
        }
    }
}

impl Lists {
    pub fn iter(&self, dest: u32) -> impl Iterator<Item = (u32, Out)> + '_ {
        let mut at = self.heads.load(dest).0;
        std::iter::from_fn(move || {
            (at != NONE).then(|| {
                let node = &self.nodes[at];
                at = node.next;
                (node.path, node.out)
            })
        })
    }

    pub fn any(&self, dest: u32) -> bool {
        self.heads.load(dest).0 != NONE
    }

    /// Where the path's node is: the one before it, and itself.
    fn find(&self, dest: u32, path: u32) -> Option<(u32, u32)> {
        let mut before = NONE;
        let mut at = self.heads.load(dest).0;
        while at != NONE {
            let node = &self.nodes[at];
            if node.path == path {
                return Some((before, at));
            }
            before = at;
            at = node.next;
        }
        None
    }

    /// Puts an entry in place of the one before, which it returns.
    pub fn replace(&mut self, dest: u32, path: u32, new: Out) -> Out {
        match self.find(dest, path) {
            Some((before, at)) => {
                let old = std::mem::replace(&mut self.nodes[at].out, new);
                if new.is_nothing() {
                    self.unlink(dest, before, at);
                }
                old
            }
            None => {
                if !new.is_nothing() {
                    self.insert(dest, path, new);
                }
                Out::default()
            }
        }
    }

    pub fn settle(&mut self, dest: u32, path: u32) {
        if let Some((before, at)) = self.find(dest, path) {
            let out = &mut self.nodes[at].out;
            out.queued = false;
            if out.is_nothing() {
                self.unlink(dest, before, at);
            }
        }
    }

    fn insert(&mut self, dest: u32, path: u32, out: Out) {
        let at = if self.free == NONE {
            self.nodes.grow()
        } else {
            let at = self.free;
            self.free = self.nodes[at].next;
            at
        };
        let head = self.heads.slot(dest);
        self.nodes[at] = Node {
            next: head.0,
            path,
            out,
        };
        head.0 = at;
    }

    fn unlink(&mut self, dest: u32, before: u32, at: u32) {
        let next = self.nodes[at].next;
        if before == NONE {
            self.heads.slot(dest).0 = next;
        } else {
            self.nodes[before].next = next;
        }
        self.nodes[at] = Node {
            next: self.free,
            ..Node::default()
        };
        self.free = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PeerId;
    use crate::interner::AttrId;

    fn out(attr: u32, queued: bool) -> Out {
        Out {
            attr: if attr == 0 {
                AttrId::NONE
            } else {
                AttrId(attr)
            },
            source: PeerId(1),
            queued,
        }
    }

    #[test]
    fn an_entry_takes_16_bytes() {
        assert_eq!(size_of::<Node>(), 16);
    }

    #[test]
    fn entries_are_apart_by_destination_and_path_and_their_room_is_used_again() {
        let mut lists = Lists::default();
        for (dest, path) in [(0, 1), (0, 2), (0, 3), (9, 2)] {
            let old = lists.replace(dest, path, out(dest + path, false));
            assert_eq!(old, Out::default());
        }
        assert_eq!(lists.replace(0, 2, out(0, false)), out(2, false));
        let left: Vec<u32> = lists.iter(0).map(|(path, _)| path).collect();
        assert_eq!(left, [3, 1]);
        assert!(lists.iter(9).eq([(2, out(11, false))]));
        lists.replace(9, 7, out(5, false));
        assert_eq!(lists.nodes.len(), 4);
        assert!(!lists.any(1));
    }

    #[test]
    fn a_withdrawal_is_kept_until_it_is_encoded() {
        let mut lists = Lists::default();
        lists.replace(4, 1, out(1, false));
        lists.replace(4, 1, out(0, true));
        assert!(lists.any(4));
        lists.settle(4, 1);
        assert!(!lists.any(4));
    }
}
