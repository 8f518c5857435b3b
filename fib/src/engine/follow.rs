//! Following next hops: resolving them anew, and bringing groups and the
//! routes over them in line.

use std::collections::HashMap;
use std::time::Duration;

use godwit_bgp::NextHop;

use crate::api::FibSink;
use crate::engine::{Engine, Own};
use crate::groups::Moved;
use crate::kernel::{Hop, Kernel};
use crate::resolve::{Resolution, Resolver, merge};
use crate::route::Target;

impl<K: Kernel, S: FibSink> Engine<K, S> {
    /// Looks at every next hop anew.
    pub(super) fn resolve(&mut self) {
        let own = Own {
            routes: &self.routes,
            groups: &self.groups,
            places: &self.world.places,
        };
        let resolver = Resolver {
            world: &self.world,
            own: &own,
            config: &self.config,
        };
        let mut known: HashMap<NextHop, Resolution> = HashMap::new();
        let mut look = |next_hop: NextHop| -> Resolution {
            known
                .entry(next_hop)
                .or_insert_with(|| resolver.next_hop(next_hop))
                .clone()
        };
        let mut news = Vec::new();
        for (next_hop, tracked) in &mut self.tracked {
            let resolution = look(*next_hop);
            if resolution != tracked.resolution {
                let before = tracked.state();
                tracked.resolution = resolution;
                tracked.generation = tracked.generation.wrapping_add(1);
                if tracked.state() != before {
                    news.push((*next_hop, tracked.state()));
                }
            }
        }
        let changed: Vec<(u32, Vec<(Hop, u16)>)> = self
            .groups
            .sets()
            .map(|(slot, set)| {
                (
                    slot,
                    merge(
                        &set.hops
                            .iter()
                            .map(|n| (n.weight, look(n.next_hop).hops))
                            .collect::<Vec<_>>(),
                    ),
                )
            })
            .filter(|(slot, resolved)| self.groups.resolved(*slot) != resolved)
            .collect();
        for (slot, resolved) in changed {
            self.groups.set_resolved(slot, resolved);
        }
        if !news.is_empty() {
            self.sink.next_hops(news);
        }
    }

    pub(super) fn sync_groups(&mut self, now: Duration) {
        let (kernel, sent) = (&mut self.kernel, &mut self.messages_sent);
        let result = self.groups.sync(|ops| {
            *sent += ops.len() as u64;
            if ops.is_empty() {
                Ok(Vec::new())
            } else {
                kernel.apply(ops)
            }
        });
        match result {
            Ok(moved) => self.take_moved(&moved),
            Err(error) => {
                self.note("cannot write next hops", Err(error));
                self.verify.soon(now);
                self.schedule_retry(now);
            }
        }
        if self.groups.any_error() {
            self.schedule_retry(now);
        }
    }

    pub(crate) fn take_moved(&mut self, moved: &Moved) {
        self.lose(&moved.lost);
        if !moved.retry.is_empty() {
            let ready: Vec<Target> = moved.retry.iter().map(|s| Target::slot(*s)).collect();
            self.routes
                .scan(|_, route| ready.contains(&route.want) && route.have != route.want);
        }
    }

    /// The kernel has no routes over these groups any more.
    pub(super) fn lose(&mut self, slots: &[u32]) {
        if slots.is_empty() {
            return;
        }
        let lost: Vec<Target> = slots.iter().map(|s| Target::slot(*s)).collect();
        let groups = &mut self.groups;
        self.routes.scan(|_, route| {
            let gone = lost.contains(&route.have);
            if gone {
                groups.moved(route.have, Target::NONE);
                route.have = Target::NONE;
                route.set_retried(false);
                route.set_seen(true);
            }
            gone
        });
        self.resolve_due = true;
    }

    pub(crate) fn reconcile_objects(&mut self) {
        if !self.config.enabled {
            return;
        }
        match self.kernel.next_hops() {
            Ok(objects) => {
                let (moved, strays) = self.groups.reconcile(&objects, self.config.protocol, false);
                self.take_moved(&moved);
                if self.swept && !strays.is_empty() {
                    let result = self.apply(&strays).map(drop);
                    self.note("cannot remove stray next hops", result);
                }
            }
            Err(error) => self.note("cannot read next hops", Err(error)),
        }
    }

    pub(super) fn reap(&mut self) {
        let (kernel, sent) = (&mut self.kernel, &mut self.messages_sent);
        let result = self.groups.reap(|ops| {
            *sent += ops.len() as u64;
            if ops.is_empty() {
                Ok(Vec::new())
            } else {
                kernel.apply(ops)
            }
        });
        self.note("cannot remove unused next hops", result);
        let sets = self.groups.sets().flat_map(|(_, set)| set.hops.iter());
        self.watched = sets
            .map(|hop| hop.next_hop)
            .chain(self.tracked.keys().copied())
            .map(|next_hop| next_hop.address())
            .collect();
    }
}
