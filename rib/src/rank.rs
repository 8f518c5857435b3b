//! The best paths of a destination in order, for peers that are sent several
//! (RFC 7911).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::decide::{AfterMed, Candidate, Candidates, View};

/// Those that are not held back, by what decides between them.
type Heap = BinaryHeap<Reverse<(AfterMed, usize)>>;

/// Candidates of one neighbour AS with the same MED, next to each other: those
/// that come after them have to wait for all of them.
struct Level {
    begin: usize,
    end: usize,
    left: usize,
}

/// The best so many: each is what the decision would choose if those before
/// it were not there.
///
/// All steps but MED put paths in one order. MED holds paths back until none of
/// their neighbour AS with a lower one is left. So what is ranked next is the
/// first in that order of those that are not held back.
pub fn ranked<'a>(view: &View<'_>, mut all: Candidates<'a>, n: usize) -> Candidates<'a> {
    let class = |c: &Candidate<'_>| view.before_med(c);
    let level = |c: &Candidate<'_>| (class(c), c.key.neighbour_as, c.key.med);
    all.sort_unstable_by_key(level);
    let mut levels: Vec<Level> = Vec::new();
    let mut level_of: Vec<usize> = Vec::with_capacity(all.len());
    for (i, c) in all.iter().enumerate() {
        match levels.last_mut() {
            Some(last) if level(&all[last.begin]) == level(c) => last.end = i + 1,
            _ => levels.push(Level {
                begin: i,
                end: i + 1,
                left: 0,
            }),
        }
        level_of.push(levels.len() - 1);
    }
    let mut ranked = Candidates::new();
    let mut heap = Heap::new();
    let mut next_class = 0;
    while ranked.len() < n {
        if heap.is_empty() {
            // The best of each neighbour AS of the next class.
            let Some(first) = levels.get(next_class) else {
                break;
            };
            let of = class(&all[first.begin]);
            let mut before = None;
            while let Some(here) = levels.get_mut(next_class)
                && class(&all[here.begin]) == of
            {
                let asn = Some(all[here.begin].key.neighbour_as);
                if before != asn {
                    enter(view, &all, here, &mut heap);
                }
                before = asn;
                next_class += 1;
            }
        }
        let Some(Reverse((_, i))) = heap.pop() else {
            break;
        };
        ranked.push(all[i]);
        let at = level_of[i];
        levels[at].left -= 1;
        if levels[at].left == 0
            && let Some(held) = levels.get_mut(at + 1)
        {
            let who = |c: &Candidate<'_>| (class(c), c.key.neighbour_as);
            if who(&all[held.begin]) == who(&all[i]) {
                enter(view, &all, held, &mut heap);
            }
        }
    }
    ranked
}

/// Nothing holds these back any more.
fn enter(view: &View<'_>, all: &Candidates<'_>, level: &mut Level, heap: &mut Heap) {
    level.left = level.end - level.begin;
    heap.extend((level.begin..level.end).map(|i| Reverse((view.after_med(&all[i]), i))));
}
