//! Next hops: each distinct one once, its state, and who depends on it.

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::quality::RandomState;
use godwit_bgp::NextHop;
use hashbrown::HashMap;

use crate::bitmap::Bitmap;
use crate::fib::NextHopState;
use crate::ring::Mark;

/// Names a next hop of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextHopId(u32);

/// Destinations with a path over a next hop: all of them, and perhaps some
/// that once had one.
#[derive(Debug)]
enum Dependents {
    /// In no order, perhaps doubled.
    Few(Vec<Mark>),
    Many([Bitmap; 2]),
}

const FEW: usize = 4096;

impl Default for Dependents {
    fn default() -> Self {
        Dependents::Few(Vec::new())
    }
}

impl Dependents {
    fn add(&mut self, mark: Mark) {
        match self {
            Dependents::Few(list) => {
                if list.last() == Some(&mark) {
                    return;
                }
                if list.len() == list.capacity() {
                    list.sort_unstable();
                    list.dedup();
                }
                if list.len() < FEW {
                    list.push(mark);
                    return;
                }
                let mut bitmaps = [Bitmap::default(), Bitmap::default()];
                for other in list.iter().chain([&mark]) {
                    bitmaps[other.family().index()].set(other.dest());
                }
                *self = Dependents::Many(bitmaps);
            }
            Dependents::Many(bitmaps) => {
                bitmaps[mark.family().index()].set(mark.dest());
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    next_hop: NextHop,
    /// Blocks that have it.
    refs: u32,
    /// Accepted paths that have it.
    paths: u32,
    state: NextHopState,
    dependents: Dependents,
}

const UNREACHABLE: NextHopState = NextHopState {
    reachable: false,
    cost: 0,
};

/// What the daemon is to be told about a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    Begin(NextHop),
    End(NextHop),
}

/// Of which destinations paths are counted. A walk that is under way says how
/// far it came: what lies before that is as it will be, the rest as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Counted {
    #[default]
    None,
    Up(Mark),
    All,
    From(Mark),
}

/// All next hops.
#[derive(Debug, Default)]
pub struct NextHops {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashMap<NextHop, u32, RandomState>,
    /// The one asked for last: updates come in runs of one next hop.
    last: Option<(NextHop, NextHopId)>,
    /// A path may only be used when its next hop is known to be reachable.
    required: bool,
    counted: Counted,
    /// To be told to the daemon.
    pub news: VecDeque<Tracking>,
}

impl NextHops {
    /// For a table that has no paths yet.
    pub fn new(required: bool) -> NextHops {
        NextHops {
            required,
            counted: match required {
                true => Counted::All,
                false => Counted::None,
            },
            ..NextHops::default()
        }
    }

    pub fn id(&mut self, next_hop: NextHop) -> Option<NextHopId> {
        match self.last {
            Some((last, id)) if last == next_hop => Some(id),
            _ => {
                let id = NextHopId(*self.index.get(&next_hop)?);
                self.last = Some((next_hop, id));
                Some(id)
            }
        }
    }

    /// One more block has this next hop.
    pub fn acquire(&mut self, next_hop: NextHop) -> NextHopId {
        let id = match self.id(next_hop) {
            Some(id) => id,
            None => {
                let entry = Some(Entry {
                    next_hop,
                    refs: 0,
                    paths: 0,
                    state: UNREACHABLE,
                    dependents: Dependents::default(),
                });
                let id = match self.free.pop() {
                    Some(id) => {
                        self.entries[id as usize] = entry;
                        id
                    }
                    None => {
                        self.entries.push(entry);
                        self.entries.len() as u32 - 1
                    }
                };
                self.index.insert(next_hop, id);
                NextHopId(id)
            }
        };
        self.entry_mut(id).refs += 1;
        id
    }

    pub fn release(&mut self, id: NextHopId) {
        let entry = self.entry_mut(id);
        entry.refs -= 1;
        if entry.refs == 0 {
            let next_hop = entry.next_hop;
            self.entries[id.0 as usize] = None;
            self.free.push(id.0);
            self.index.remove(&next_hop);
            self.last = None;
        }
    }

    pub fn address(&self, id: NextHopId) -> NextHop {
        self.entry(id).next_hop
    }

    /// Whether and at what cost a path may use it. As long as not all are
    /// followed that are to be, any may: a route must not go because nobody has
    /// asked yet.
    #[inline]
    pub fn cost(&self, id: NextHopId) -> Option<u32> {
        if !self.required || self.counted != Counted::All {
            return Some(0);
        }
        let state = self.entry(id).state;
        state.reachable.then_some(state.cost)
    }

    /// Whether next hops are to be reachable from now on. All paths have to be
    /// [counted](Self::count_from) first, or no longer to be.
    pub fn require(&mut self, required: bool) {
        self.required = required;
    }

    /// Whether the accepted paths of this destination are counted.
    #[inline]
    pub fn counts(&self, mark: Mark) -> bool {
        match self.counted {
            Counted::None => false,
            Counted::Up(end) => mark < end,
            Counted::All => true,
            Counted::From(begin) => mark >= begin,
        }
    }

    /// Where to go on adding (true) or removing accepted paths. A walk that is
    /// no longer wanted comes to its end first, so that what is counted always
    /// is one stretch of the table.
    pub fn count_from(&mut self) -> Option<(bool, Mark)> {
        match (self.counted, self.required) {
            (Counted::None, true) => self.counted = Counted::Up(Mark::FIRST),
            (Counted::All, false) => self.counted = Counted::From(Mark::FIRST),
            _ => {}
        }
        match self.counted {
            Counted::None | Counted::All => None,
            Counted::Up(at) => Some((true, at)),
            Counted::From(at) => Some((false, at)),
        }
    }

    /// The walk came here, or (`None`) to its end. True: from now on,
    /// [costs](Self::cost) are others.
    pub fn counted_to(&mut self, at: Option<Mark>) -> bool {
        self.counted = match (self.counted, at) {
            (Counted::Up(_), Some(at)) => Counted::Up(at),
            (Counted::From(_), Some(at)) => Counted::From(at),
            (Counted::Up(_), None) => Counted::All,
            (Counted::From(_), None) => Counted::None,
            (counted, _) => counted,
        };
        self.required && self.counted == Counted::All
    }

    /// An accepted path of this destination uses it.
    pub fn add_path(&mut self, id: NextHopId, mark: Mark) {
        let entry = self.entry_mut(id);
        entry.paths += 1;
        entry.dependents.add(mark);
        if entry.paths == 1 {
            let next_hop = entry.next_hop;
            self.news.push_back(Tracking::Begin(next_hop));
        }
    }

    pub fn remove_path(&mut self, id: NextHopId) {
        let entry = self.entry_mut(id);
        entry.paths -= 1;
        if entry.paths == 0 {
            entry.state = UNREACHABLE;
            entry.dependents = Dependents::default();
            let next_hop = entry.next_hop;
            self.news.push_back(Tracking::End(next_hop));
        }
    }

    /// Takes the news; the id, if that changes anything.
    pub fn set_state(&mut self, next_hop: NextHop, state: NextHopState) -> Option<NextHopId> {
        let id = self.id(next_hop)?;
        let entry = self.entry_mut(id);
        // Nobody uses it any more: what is said of it may be out of date when
        // somebody does.
        if entry.paths == 0 || entry.state == state {
            return None;
        }
        let differs = entry.state.reachable || state.reachable;
        entry.state = state;
        differs.then_some(id)
    }

    /// A part of the destinations that may depend on it, from `from` on, in
    /// order; `None` when the end was reached.
    pub fn dependents(
        &mut self,
        id: NextHopId,
        from: Mark,
        max: usize,
        out: &mut Vec<Mark>,
    ) -> Option<Mark> {
        let Some(Some(entry)) = self.entries.get_mut(id.0 as usize) else {
            return None;
        };
        match &mut entry.dependents {
            Dependents::Few(list) => {
                list.sort_unstable();
                list.dedup();
                let start = list.partition_point(|mark| *mark < from);
                out.extend(list[start..].iter().take(max));
                list.get(start + max).copied()
            }
            Dependents::Many(bitmaps) => {
                let mut at = from;
                for _ in 0..max {
                    at = next_set(bitmaps, at)?;
                    out.push(at);
                    at = at.successor();
                }
                next_set(bitmaps, at)
            }
        }
    }

    /// Whether the address of some next hop is such.
    pub fn any(&self, mut such: impl FnMut(IpAddr) -> bool) -> bool {
        self.index.keys().any(|next_hop| such(next_hop.address()))
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    fn entry(&self, id: NextHopId) -> &Entry {
        match &self.entries[id.0 as usize] {
            Some(entry) => entry,
            None => unreachable!("a next hop lives as long as a block has it"),
        }
    }

    fn entry_mut(&mut self, id: NextHopId) -> &mut Entry {
        match &mut self.entries[id.0 as usize] {
            Some(entry) => entry,
            None => unreachable!("a next hop lives as long as a block has it"),
        }
    }
}

fn next_set(bitmaps: &[Bitmap; 2], from: Mark) -> Option<Mark> {
    let family = from.family();
    bitmaps[family.index()]
        .next(from.dest())
        .map(|dest| Mark::new(family, dest))
        .or_else(|| {
            let next = Mark::family_after(family)?;
            bitmaps[next.family().index()]
                .next(0)
                .map(|dest| Mark::new(next.family(), dest))
        })
}
