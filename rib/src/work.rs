//! What follows from updates, done a bounded amount at a time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

use godwit_bgp::attrs::{AttrsBuf, Origin, code, flag};
use godwit_bgp::{Family, NextHop};
use ipnet::IpNet;

use crate::api::{Aggregate, LocalRoute, RibEvent};
use crate::core::{Grave, Quiet};
use crate::dest::{DIRTY, GRAVE, LIVE, TOUCHED};
use crate::presence::News;
use crate::rib::Rib;
use crate::ring::Mark;
use crate::slab::NONE;
use crate::sweep::Done;

/// Destinations decided, swept or freed before something else has its turn.
const TURN: usize = 1024;

impl Rib {
    /// Does some of what is due: a unit is about one destination looked at.
    /// True: there is more.
    pub fn work(&mut self, units: usize) -> bool {
        let mut units = units;
        let mut more = true;
        while more && units > 0 {
            units -= 1;
            if self.groups.is_moving() {
                self.groups.regroup(&mut self.core);
            }
            more = self.sweep(&mut units);
            more |= self.mark_dependents(&mut units);
            more |= self.mark_all(&mut units);
            more |= self.decide(&mut units);
            self.groups.watch_conditions(&mut self.core);
            more |= self.take_presence();
            more |= self.rehide(&mut units);
            more |= self.groups.work(&mut units, &mut self.core);
        }
        self.trim();
        more |= self.bury(TURN);
        self.fib.tell(&mut self.core);
        self.taps.tell(&mut self.core);
        more
    }

    fn sweep(&mut self, units: &mut usize) -> bool {
        let mut turn = TURN.min(*units);
        let given = turn;
        let mut done = Done::default();
        let more = self
            .sweep
            .work(&mut turn, &mut self.core, &mut self.imports, &mut done);
        *units -= given - turn;
        for id in done.purged {
            for family in Family::ALL {
                self.relieve(id, family, true);
            }
        }
        for id in done.removed {
            if let Some(peer) = self.core.peers.at(id) {
                let import = peer.import;
                import
                    .into_iter()
                    .for_each(|class| self.imports.leave(class));
                self.core.peers.remove(id);
                self.core.events.push_back(RibEvent::PeerGone(id));
            }
        }
        more
    }

    fn mark_dependents(&mut self, units: &mut usize) -> bool {
        let Some((id, from)) = self.next_hops.front().copied() else {
            return false;
        };
        let turn = TURN.min(*units);
        let mut marks = std::mem::take(&mut self.marks);
        let next = self
            .core
            .attrs
            .next_hops
            .dependents(id, from, turn, &mut marks);
        *units -= marks.len().min(*units);
        for mark in marks.drain(..) {
            // Some of them have long been freed.
            if self.core.state(mark).has(LIVE) {
                self.core.mark_dirty(mark);
            }
        }
        self.marks = marks;
        match next {
            Some(next) => self.next_hops[0].1 = next,
            None => {
                self.next_hops.pop_front();
            }
        }
        true
    }

    fn mark_all(&mut self, units: &mut usize) -> bool {
        let Some(mut at) = self.redecide else {
            return false;
        };
        let mut turn = TURN.min(*units);
        let given = turn;
        self.redecide = loop {
            match self.core.tables.next_live(at, &mut turn) {
                Ok(mark) => {
                    // Multipath may change where the best path does not.
                    self.core.tables.state_mut(mark).set(TOUCHED);
                    self.core.mark_dirty(mark);
                    at = mark.successor();
                }
                Err(next) => break next,
            }
        };
        *units -= given - turn;
        self.redecide.is_some()
    }

    fn decide(&mut self, units: &mut usize) -> bool {
        let turn = TURN.min(*units);
        for _ in 0..turn {
            let Some(mark) = self.core.dirty.pop_front() else {
                break;
            };
            self.core.decide(mark);
            *units -= 1;
        }
        !self.core.dirty.is_empty()
    }

    /// Aggregates that came to stand or fell, conditions that came to hold or
    /// ceased to. True: there is more to decide.
    fn take_presence(&mut self) -> bool {
        let news = std::mem::take(&mut self.core.presence.news);
        if news.is_empty() {
            return false;
        }
        for news in news {
            match news {
                News::Condition => self.core.renotify_defaults(),
                News::Aggregate(prefix) => {
                    let Some((spec, before, now)) = self.core.presence.due(prefix) else {
                        continue;
                    };
                    match now {
                        Some(atomic) => self.originate(&self.aggregate(spec, atomic), self.now),
                        None => drop(self.withdraw_local(prefix)),
                    }
                    if spec.summary_only && before.is_some() != now.is_some() {
                        self.rehide.retain(|(other, _)| *other != prefix);
                        self.rehide.push_back((prefix, Mark::FIRST));
                    }
                }
            }
        }
        true
    }

    /// RFC 4271 §9.2.2.2 without a set (RFC 9774): our own path, and that
    /// others were left out.
    fn aggregate(&self, spec: Aggregate, atomic: bool) -> LocalRoute {
        let nobody = match spec.prefix {
            IpNet::V4(_) => NextHop::V4(Ipv4Addr::UNSPECIFIED),
            IpNet::V6(_) => NextHop::V6(Ipv6Addr::UNSPECIFIED),
        };
        let config = &self.core.config;
        let mut attrs = AttrsBuf::new(nobody, Origin::Igp);
        if atomic {
            attrs.set(code::ATOMIC_AGGREGATE, flag::TRANSITIVE, &[]);
        }
        let aggregator = [config.asn.0.to_be_bytes(), config.router_id.0.to_be_bytes()];
        attrs.set(
            code::AGGREGATOR,
            flag::OPTIONAL | flag::TRANSITIVE,
            aggregator.as_flattened(),
        );
        LocalRoute {
            prefix: spec.prefix,
            attrs,
            blackhole: spec.blackhole,
        }
    }

    /// Has the groups look at what an aggregate hides, or no longer hides.
    fn rehide(&mut self, units: &mut usize) -> bool {
        let Some((prefix, mut at)) = self.rehide.pop_front() else {
            return false;
        };
        let mut turn = TURN.min(*units);
        let given = turn;
        let rest = loop {
            match self.core.tables.next_live(at, &mut turn) {
                Ok(mark) => {
                    let net = self.core.tables.net(mark);
                    if prefix.contains(&net) && prefix != net {
                        self.core.renotify(mark);
                    }
                    at = mark.successor();
                }
                Err(next) => break next,
            }
        };
        *units -= given - turn;
        self.rehide.extend(rest.map(|next| (prefix, next)));
        true
    }

    /// Forgets what every reader of the ring has passed.
    fn trim(&mut self) {
        let readers = [self.groups.cursor(), self.fib.cursor(), self.taps.cursor()];
        let least = readers.into_iter().flatten().min();
        self.core.trim(least);
        if self.core.dirty.is_empty() && self.core.dirty.capacity() > 1 << 16 {
            self.core.dirty = VecDeque::new();
        }
    }

    /// Frees destinations without paths that nothing names any more. True: some
    /// were, and there are others.
    fn bury(&mut self, max: usize) -> bool {
        let (last, oldest) = self.groups.run_seqs();
        let begin = self.core.ring.begin();
        let mut progress = false;
        for _ in 0..max.min(self.core.graves.len()) {
            let Some(grave) = self.core.graves.pop_front() else {
                break;
            };
            let mark = grave.mark;
            let state = *self.core.state(mark);
            if state.paths != NONE {
                self.core.tables.state_mut(mark).clear(GRAVE);
                continue;
            }
            let named = state.has(DIRTY)
                || self.fib.needs(mark, &self.core)
                || self.groups.needs(mark, &self.core);
            let now = Quiet {
                ring: self.core.ring.end(),
                run: last,
            };
            let quiet = if named {
                None
            } else {
                grave.quiet.or(Some(now))
            };
            match quiet {
                Some(quiet) if begin >= quiet.ring && oldest > quiet.run => {
                    self.core.tables.remove(mark);
                    progress = true;
                }
                _ => {
                    progress |= quiet.is_some() != grave.quiet.is_some();
                    self.core.graves.push_back(Grave { mark, quiet });
                }
            }
        }
        progress && !self.core.graves.is_empty()
    }
}
