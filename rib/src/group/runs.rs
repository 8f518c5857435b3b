//! The frames of a group: encoded once, read by every member at its own pace.

use std::collections::VecDeque;

use bytes::Bytes;
use godwit_bgp::Family;

use super::queue::{Audience, PathMark};
use crate::ring::Mark;

/// Whole frames for the same audience, one after the other.
#[derive(Debug)]
pub struct Run {
    pub bytes: Bytes,
    pub audience: Audience,
    /// The destinations in it: a member that does not read it owes them.
    pub marks: Box<[Mark]>,
    /// Paths that it withdraws, of destinations with several: nothing else says
    /// any more that such a member may hold them.
    pub gone: Box<[PathMark]>,
    /// It is an End-of-RIB.
    pub end_of_rib: Option<Family>,
    /// Orders the runs of all groups.
    pub seq: u64,
    /// Members that have not passed it.
    readers: u32,
}

/// Runs that some attached member has not passed. A position counts all that
/// ever were.
#[derive(Debug, Default)]
pub struct Runs {
    runs: VecDeque<Run>,
    begin: u64,
    held: usize,
}

impl Runs {
    pub fn push(&mut self, run: Run, readers: u32) {
        self.held += cost(&run);
        self.runs.push_back(Run { readers, ..run });
        self.trim();
    }

    pub fn end(&self) -> u64 {
        self.begin + self.runs.len() as u64
    }

    /// Bytes kept.
    pub fn held(&self) -> usize {
        self.held
    }

    pub fn oldest_seq(&self) -> Option<u64> {
        self.runs.front().map(|run| run.seq)
    }

    pub fn at(&self, cursor: u64) -> Option<&Run> {
        self.runs.get(cursor.checked_sub(self.begin)? as usize)
    }

    /// The first of the newest that are no more than `max` bytes together.
    pub fn newest(&self, max: usize) -> u64 {
        let mut bytes = 0;
        let newest = self.runs.iter().rev().take_while(|run| {
            bytes += cost(run);
            bytes <= max
        });
        self.end() - newest.count() as u64
    }

    /// So many members have passed the run at `cursor`.
    pub fn passed(&mut self, cursor: u64, readers: u32) {
        if let Some(i) = cursor.checked_sub(self.begin)
            && let Some(run) = self.runs.get_mut(i as usize)
        {
            run.readers -= readers;
        }
        self.trim();
    }

    /// A member will read nothing from `cursor` on and before `end`; what it
    /// leaves behind.
    pub fn leave(&mut self, cursor: u64, end: u64, mut left: impl FnMut(&Run)) {
        let [first, end] = [cursor, end].map(|at| at.saturating_sub(self.begin) as usize);
        for run in self.runs.iter_mut().take(end).skip(first) {
            run.readers -= 1;
            left(run);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while let Some(run) = self.runs.front()
            && run.readers == 0
        {
            self.held -= cost(run);
            self.runs.pop_front();
            self.begin += 1;
        }
    }
}

fn cost(run: &Run) -> usize {
    run.bytes.len() + size_of_val(&*run.marks) + size_of_val(&*run.gone) + size_of::<Run>()
}

impl Run {
    pub fn new(bytes: Bytes, audience: Audience, seq: u64) -> Run {
        Run {
            bytes,
            audience,
            marks: Box::default(),
            gone: Box::default(),
            end_of_rib: None,
            seq,
            readers: 0,
        }
    }
}
