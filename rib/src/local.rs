//! Paths of our own: routes that are originated, and aggregates.

use ::core::time::Duration;

use godwit_bgp::PathId;
use ipnet::IpNet;

use crate::api::{Aggregate, LocalRoute, PeerId};
use crate::path::{Path, Verdict};
use crate::rib::Rib;
use crate::ring::Mark;
use crate::slab::NONE;

/// Under which identifiers our own paths of a prefix are kept apart: a route,
/// which goes first, and an aggregate.
pub const ORIGINATED: PathId = PathId(0);
pub const AGGREGATED: PathId = PathId(1);

impl Rib {
    /// Announces a route of our own, in place of one of the same prefix. An
    /// aggregate of that prefix is apart from it, and stands back.
    pub fn originate(&mut self, route: &LocalRoute, now: Duration) {
        self.now = now;
        self.put_local(ORIGINATED, route);
    }

    pub(crate) fn put_local(&mut self, rx_path_id: PathId, route: &LocalRoute) {
        let core = &mut self.core;
        let attr = core.attrs.intern(route.attrs.as_ref());
        core.attrs.retain(attr);
        let mark = core.tables.find_or_insert(route.prefix.trunc());
        core.put_path(
            mark,
            Path {
                next: NONE,
                peer: PeerId::LOCAL,
                epoch: 0,
                flags: Path::flags_of(Verdict::Accepted, route.blackhole),
                attr_in: attr,
                attr,
                rx_path_id,
                since: u32::try_from(self.now.as_secs()).unwrap_or(u32::MAX),
            },
        );
    }

    /// Takes a route of our own back. False: there was none.
    pub fn withdraw_local(&mut self, prefix: IpNet) -> bool {
        self.take_local(ORIGINATED, prefix)
    }

    pub(crate) fn take_local(&mut self, rx_path_id: PathId, prefix: IpNet) -> bool {
        let mark = self.core.tables.find(prefix.trunc());
        mark.is_some_and(|mark| self.core.remove_path(mark, PeerId::LOCAL, rx_path_id))
    }

    /// From now on, these stand while something is in them.
    pub fn set_aggregates(&mut self, aggregates: &[Aggregate], now: Duration) {
        self.now = now;
        for (prefix, stood) in self.core.presence.set_aggregates(aggregates) {
            match stood.summary_only {
                // Goes when what it hid is told.
                true => self.begin_rehide(prefix),
                false => drop(self.take_local(AGGREGATED, prefix)),
            }
        }
    }

    /// Has the groups look at what an aggregate hides, or no longer hides.
    pub(crate) fn begin_rehide(&mut self, prefix: IpNet) {
        self.rehide.retain(|(other, _)| *other != prefix);
        self.rehide.push_back((prefix, Mark::FIRST));
    }

    /// Goes on with that. True: there is more.
    pub(crate) fn rehide(&mut self, units: &mut usize) -> bool {
        let Some((prefix, mut at)) = self.rehide.pop_front() else {
            return false;
        };
        let rest = loop {
            match self.core.tables.next_live(at, units) {
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
        match rest {
            Some(next) => self.rehide.push_back((prefix, next)),
            None if self.core.presence.stands(prefix) => {}
            None => drop(self.take_local(AGGREGATED, prefix)),
        }
        true
    }
}
