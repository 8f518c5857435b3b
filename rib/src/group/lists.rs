//! What goes out of destinations with several paths (RFC 7911): a list for each,
//! or a tree where they are many.

use std::collections::BTreeMap;

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::output::Out;
use crate::slab::{Chunked, NONE, Sparse};

/// Entries of a list at most: every one makes the next change dearer. Where there
/// are more, they are in a tree.
const LONG: usize = 32;
/// The head of a destination whose entries are in a tree.
const TREE: u32 = NONE - 1;

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

/// The first node of a destination, or [`TREE`].
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
    /// Of destinations with many entries, until they have none.
    trees: HashMap<u32, Tree, RandomState>,
}

#[derive(Debug, Default)]
struct Tree {
    entries: BTreeMap<u32, Out>,
    advertised: usize,
}

impl Tree {
    fn replace(&mut self, path: u32, new: Out) -> Out {
        let old = match new.is_nothing() {
            true => self.entries.remove(&path),
            false => self.entries.insert(path, new),
        }
        .unwrap_or_default();
        self.advertised += usize::from(new.attr.is_some());
        self.advertised -= usize::from(old.attr.is_some());
        old
    }
}

impl Default for Lists {
    fn default() -> Self {
        Lists {
            heads: Sparse::default(),
            nodes: Chunked::default(),
            free: NONE,
            trees: HashMap::default(),
        }
    }
}

impl Lists {
    pub fn iter(&self, dest: u32) -> impl Iterator<Item = (u32, Out)> + '_ {
        let mut at = self.heads.load(dest).0;
        let tree = (at == TREE).then(|| self.trees.get(&dest)).flatten();
        let in_tree = tree.into_iter().flat_map(|tree| &tree.entries);
        let in_list = std::iter::from_fn(move || {
            (at < TREE).then(|| {
                let node = &self.nodes[at];
                at = node.next;
                (node.path, node.out)
            })
        });
        in_list.chain(in_tree.map(|(path, out)| (*path, *out)))
    }

    /// Whether some path of the destination is advertised.
    pub fn advertises(&self, dest: u32) -> bool {
        match self.trees.get(&dest) {
            Some(tree) => tree.advertised > 0,
            None => self.iter(dest).any(|(_, out)| out.attr.is_some()),
        }
    }

    pub fn any(&self, dest: u32) -> bool {
        self.heads.load(dest).0 != NONE
    }

    /// Where the path's node is in a list: the one before it, and itself. Else
    /// how many others there are.
    fn find(&self, dest: u32, path: u32) -> Result<(u32, u32), usize> {
        let mut before = NONE;
        let mut at = self.heads.load(dest).0;
        let mut others = 0;
        while at != NONE {
            let node = &self.nodes[at];
            if node.path == path {
                return Ok((before, at));
            }
            before = at;
            at = node.next;
            others += 1;
        }
        Err(others)
    }

    /// Puts an entry in place of the one before, which it returns.
    pub fn replace(&mut self, dest: u32, path: u32, new: Out) -> Out {
        if self.heads.load(dest).0 == TREE {
            return self.replace_in_tree(dest, path, new);
        }
        match self.find(dest, path) {
            Ok((before, at)) => {
                let old = std::mem::replace(&mut self.nodes[at].out, new);
                if new.is_nothing() {
                    self.unlink(dest, before, at);
                }
                old
            }
            Err(_) if new.is_nothing() => Out::default(),
            Err(others) if others < LONG => {
                self.insert(dest, path, new);
                Out::default()
            }
            Err(_) => {
                self.plant(dest);
                self.replace_in_tree(dest, path, new)
            }
        }
    }

    fn replace_in_tree(&mut self, dest: u32, path: u32, new: Out) -> Out {
        let tree = self.trees.entry(dest).or_default();
        let old = tree.replace(path, new);
        if tree.entries.is_empty() {
            self.trees.remove(&dest);
            self.heads.slot(dest).0 = NONE;
        }
        old
    }

    /// Moves a list into a tree.
    fn plant(&mut self, dest: u32) {
        let mut tree = Tree::default();
        loop {
            let at = self.heads.load(dest).0;
            if at == NONE {
                break;
            }
            let Node { path, out, .. } = self.nodes[at];
            tree.replace(path, out);
            self.unlink(dest, NONE, at);
        }
        self.heads.slot(dest).0 = TREE;
        self.trees.insert(dest, tree);
    }

    /// The change of an entry is encoded.
    pub fn settle(&mut self, dest: u32, path: u32) {
        let settled = |out: Out| Out {
            queued: false,
            ..out
        };
        if self.heads.load(dest).0 == TREE {
            let tree = self.trees.get(&dest);
            let out = tree.and_then(|tree| tree.entries.get(&path).copied());
            if let Some(out) = out {
                self.replace_in_tree(dest, path, settled(out));
            }
        } else if let Ok((before, at)) = self.find(dest, path) {
            let out = &mut self.nodes[at].out;
            *out = settled(*out);
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

    #[test]
    fn many_paths_of_a_destination_are_no_list() {
        let mut lists = Lists::default();
        const MANY: u32 = 50_000;
        for path in 0..MANY {
            lists.replace(7, path, out(path + 1, true));
        }
        for path in (0..MANY).rev() {
            lists.settle(7, path);
        }
        assert!(lists.iter(7).map(|(path, _)| path).eq(0..MANY));
        assert!(lists.iter(7).all(|(path, o)| o == out(path + 1, false)));
        for path in 0..MANY {
            assert!(lists.advertises(7));
            assert_eq!(lists.replace(7, path, out(0, true)), out(path + 1, false));
        }
        assert!(lists.any(7) && !lists.advertises(7));
        (0..MANY).for_each(|path| lists.settle(7, path));
        assert!(!lists.any(7) && lists.trees.is_empty());
        // Few again.
        lists.replace(7, 3, out(1, false));
        assert!(lists.iter(7).eq([(3, out(1, false))]));
        assert_eq!(lists.nodes.len(), LONG as u32);
    }
}
