//! The state machine: wishes and events in, writes and answers out. One batch
//! a call of [`Engine::work`]; time is an argument.

mod follow;
mod query;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_bgp::NextHop;
use godwit_netlink::{Error, Event};
use godwit_rib::{FibChange, FibTarget, NextHopSetId, NextHopState};
use ipnet::IpNet;

use self::verify::Verify;
use self::write::Written;
use crate::api::{FibConfig, FibSink};
use crate::groups::{GROUP_BASE, Groups, HOP_BASE};
use crate::kernel::{Kernel, Op};
use crate::resolve::{OwnRoute, OwnRoutes, Resolution, Resolver};
use crate::route::Target;
use crate::table::Routes;
use crate::world::{Effects, World};

/// What the kernel refused is tried again after this, then ever later.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Tracked {
    count: usize,
    pub generation: u32,
    pub resolution: Resolution,
}

impl Tracked {
    pub fn state(&self) -> NextHopState {
        NextHopState {
            reachable: !self.resolution.hops.is_empty(),
            cost: self.resolution.cost,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Engine<K, S> {
    pub(crate) config: FibConfig,
    pub(crate) kernel: K,
    sink: S,
    pub(crate) world: World,
    pub(crate) routes: Routes,
    pub(crate) groups: Groups,
    /// The RIB's names of sets, and the slot that stood for each last.
    sets: HashMap<NextHopSetId, (Arc<[NextHop]>, u32)>,
    pub(crate) tracked: HashMap<NextHop, Tracked>,
    /// Addresses of all next hops in use: a route of ours around one may change where it leads.
    watched: BTreeSet<IpAddr>,
    pub(crate) resolve_due: bool,
    /// Someone touched our nexthop objects.
    pub(crate) objects_due: bool,
    pub(crate) verify: Verify,
    /// Routes of ours at metrics of an earlier configuration.
    pub(crate) leftovers: Vec<(IpNet, u32)>,
    pub(crate) swept: bool,
    retry: Option<(Duration, Duration)>,
    pub(crate) error: Option<String>,
    pub(crate) messages_sent: u64,
    pub(crate) resyncs: u64,
    pub(crate) compat_before: Option<String>,
    ops: Vec<Op>,
    written: Vec<Written>,
}

pub(crate) struct Own<'a> {
    pub routes: &'a Routes,
    pub groups: &'a Groups,
}

impl OwnRoutes for Own<'_> {
    fn at(&self, prefix: &IpNet) -> Option<OwnRoute<'_>> {
        let have = self.routes.find(prefix)?.have;
        if have == Target::BLACKHOLE {
            return Some(OwnRoute::Blackhole);
        }
        let slot = have.as_slot()?;
        Some(match self.groups.set_of(slot) {
            Some(set) => OwnRoute::NextHops(set),
            None => OwnRoute::Hops(self.groups.resolved(slot)),
        })
    }

    fn has_length(&self, v4: bool, length: u8) -> bool {
        self.routes.has_length(v4, length)
    }
}

impl<K: Kernel, S: FibSink> Engine<K, S> {
    /// Reads what the kernel holds and takes over what is ours.
    pub fn start(config: FibConfig, kernel: K, sink: S) -> Result<Self, Error> {
        let mut engine = Self {
            world: World::new(&config),
            config,
            kernel,
            sink,
            routes: Routes::new(),
            groups: Groups::default(),
            sets: HashMap::new(),
            tracked: HashMap::new(),
            watched: BTreeSet::new(),
            resolve_due: false,
            objects_due: false,
            verify: Verify::default(),
            leftovers: Vec::new(),
            swept: false,
            retry: None,
            error: None,
            messages_sent: 0,
            resyncs: 0,
            compat_before: None,
            ops: Vec::new(),
            written: Vec::new(),
        };
        if engine.config.enabled && engine.config.set_compat_mode {
            match engine.kernel.set_compat_mode("0") {
                Ok(before) => engine.compat_before = Some(before),
                Err(error) => {
                    tracing::warn!(%error, "routes of a changed next hop are notified one by one");
                }
            }
        }
        engine.read_back()?;
        Ok(engine)
    }

    pub fn change(&mut self, change: FibChange) {
        if !self.config.enabled {
            return;
        }
        match change {
            FibChange::Define(id, hops) => {
                self.sets.insert(id, (hops, u32::MAX));
            }
            FibChange::Route(change) => {
                let want = match change.target {
                    FibTarget::None => Target::NONE,
                    FibTarget::Blackhole => Target::BLACKHOLE,
                    FibTarget::Hops(id) => match self.slot_for(id, &change.prefix) {
                        Some(slot) => Target::slot(slot),
                        None => {
                            tracing::error!(?id, prefix = %change.prefix, "route over a next-hop set that was never defined");
                            return;
                        }
                    },
                };
                let before = self.routes.want(&change.prefix, want, change.seq);
                self.groups.moved(before, want);
            }
        }
    }

    fn slot_for(&mut self, id: NextHopSetId, prefix: &IpNet) -> Option<u32> {
        let (set, last) = self.sets.get_mut(&id)?;
        if self
            .groups
            .set_of(*last)
            .is_some_and(|s| Arc::ptr_eq(s, set))
        {
            return Some(*last);
        }
        if let Some(slot) = self.groups.find(set) {
            // Equal content, other allocation: share it from now on.
            *set = Arc::clone(self.groups.set_of(slot)?);
            *last = slot;
            return Some(slot);
        }
        let own = Own {
            routes: &self.routes,
            groups: &self.groups,
        };
        let resolved = Resolver {
            world: &self.world,
            own: &own,
            config: &self.config,
        }
        .set(set);
        let have = self.routes.find(prefix).map_or(Target::NONE, |r| r.have);
        let slot = self.groups.add(set, resolved, have);
        *last = slot;
        self.watched.extend(set.iter().map(NextHop::address));
        Some(slot)
    }

    pub fn track(&mut self, next_hop: NextHop) {
        let tracked = self.tracked.entry(next_hop).or_insert_with(|| {
            let own = Own {
                routes: &self.routes,
                groups: &self.groups,
            };
            let resolver = Resolver {
                world: &self.world,
                own: &own,
                config: &self.config,
            };
            Tracked {
                count: 0,
                generation: 0,
                resolution: resolver.next_hop(next_hop),
            }
        });
        tracked.count += 1;
        let state = tracked.state();
        self.watched.insert(next_hop.address());
        self.sink.next_hops(vec![(next_hop, state)]);
    }

    pub fn untrack(&mut self, next_hop: NextHop) {
        if let Some(tracked) = self.tracked.get_mut(&next_hop) {
            tracked.count -= 1;
            if tracked.count == 0 {
                self.tracked.remove(&next_hop);
            }
        }
    }

    pub fn ready_for_more(&self) {
        self.sink.ready_for_more();
    }

    /// What nobody asked for since the start goes away.
    pub fn sweep(&mut self) {
        if std::mem::replace(&mut self.swept, true) {
            return;
        }
        let mut kept_from_before = 0;
        self.routes.scan(|_, route| {
            kept_from_before += usize::from(route.adopted());
            route.adopted()
        });
        self.objects_due = true;
        let leftovers = std::mem::take(&mut self.leftovers);
        for chunk in leftovers.chunks(self.config.batch) {
            let ops: Vec<Op> = chunk
                .iter()
                .map(|(prefix, metric)| Op::DeleteRoute {
                    prefix: *prefix,
                    metric: Some(*metric),
                })
                .collect();
            let result = self.apply(&ops).map(drop);
            self.note("cannot sweep routes", result);
        }
        tracing::info!(
            routes = kept_from_before,
            leftovers = leftovers.len(),
            "sweeping what nobody reclaimed"
        );
    }

    pub fn event(&mut self, event: Event, now: Duration) {
        match event {
            Event::Resync => {
                self.resyncs += 1;
                self.resync(now);
                return;
            }
            Event::Route { ref route, .. } if self.is_ours(route) => {
                let target = self.target_of(route);
                return self.found(&route.key.prefix, target);
            }
            Event::RouteGone(ref route) if self.is_ours(route) => {
                return self.found(&route.key.prefix, Target::NONE);
            }
            Event::NextHop(ref object) if self.is_our_id(object.id) => {
                self.objects_due = true;
                return;
            }
            Event::NextHopGone(id) if self.is_our_id(id) => {
                self.objects_due = true;
                return;
            }
            _ => {}
        }
        self.verify.remember(&event);
        let effects = self.world.apply(event);
        self.take_effects(&effects, now);
    }

    fn is_our_id(&self, id: u32) -> bool {
        self.config.enabled && (HOP_BASE..GROUP_BASE * 2 - HOP_BASE).contains(&id)
    }

    pub(crate) fn is_ours(&self, route: &godwit_netlink::Route) -> bool {
        self.config.enabled
            && route.key.protocol == self.config.protocol
            && route.key.table == self.config.table
            && route.key.metric == self.config.metric
            && route.tos == 0
    }

    /// Somebody else wrote or removed a route of ours.
    fn found(&mut self, prefix: &IpNet, target: Target) {
        if let Some(route) = self.routes.find_mut(prefix) {
            let before = std::mem::replace(&mut route.have, target);
            route.set_seen(true);
            route.set_retried(false);
            self.groups.moved(before, target);
            self.routes.queue(prefix);
        } else if !target.is_none() {
            let route = self.routes.upsert(prefix);
            route.have = target;
            route.set_seen(true);
            self.groups.moved(Target::NONE, target);
            self.routes.queue(prefix);
        }
    }

    pub(crate) fn take_effects(&mut self, effects: &Effects, now: Duration) {
        self.resolve_due |= effects.resolve;
        for link in &effects.lost_links {
            let lost = self.groups.link_lost(*link);
            self.lose(&lost);
        }
        for prefix in &effects.touched {
            self.routes.queue(prefix);
        }
        if effects.verify || !effects.lost_links.is_empty() {
            self.verify.soon(now);
        }
    }

    /// One slice of work. False: nothing to do until something comes in or
    /// [`Engine::next_deadline`] has passed.
    pub fn work(&mut self, now: Duration) -> bool {
        if self.objects_due {
            self.objects_due = false;
            self.reconcile_objects();
        }
        if self.retry.is_some_and(|(at, _)| at <= now) {
            self.retry_refused(now);
        }
        if self.resolve_due {
            self.resolve_due = false;
            self.resolve();
        }
        if self.groups.is_dirty() {
            self.sync_groups(now);
        }
        let wrote = self.write(now);
        let verifying = self.verify_slice(now);
        if self.routes.pending() == 0 && self.groups.has_unused() {
            self.reap();
        }
        wrote || verifying || self.resolve_due || self.objects_due || self.routes.pending() > 0
    }

    pub fn next_deadline(&self) -> Option<Duration> {
        let retry = self.retry.map(|(at, _)| at);
        [retry, self.verify.due()].into_iter().flatten().min()
    }

    fn retry_refused(&mut self, now: Duration) {
        let delay = self
            .retry
            .map_or(FIRST_RETRY, |(_, delay)| (delay * 2).min(LAST_RETRY));
        // Kept so that the next refusal waits longer; cleared when all is well.
        self.retry = None;
        self.groups.retry_refused();
        self.objects_due = true;
        let mut refused = 0;
        self.routes.scan(|_, route| {
            let again = route.trouble().is_refusal();
            refused += usize::from(again);
            if again {
                route.set_retried(false);
            }
            again
        });
        if refused > 0 {
            self.retry = Some((now + delay, delay));
        }
    }

    fn schedule_retry(&mut self, now: Duration) {
        if self.retry.is_none() {
            self.retry = Some((now + FIRST_RETRY, FIRST_RETRY));
        }
    }

    pub(crate) fn apply(&mut self, ops: &[Op]) -> Result<Vec<godwit_netlink::Failure>, Error> {
        self.messages_sent += ops.len() as u64;
        self.kernel.apply(ops)
    }

    /// Keeps the last error for the status, and tells the log.
    pub(crate) fn note(&mut self, what: &str, result: Result<(), Error>) {
        if let Err(error) = result {
            tracing::error!(%error, "{what}");
            self.error = Some(format!("{what}: {error}"));
        }
    }

    fn is_watched(&self, prefix: &IpNet) -> bool {
        self.watched
            .range(prefix.network()..=prefix.broadcast())
            .next()
            .is_some()
    }

    /// Takes all our routes back. The caller works until nothing is pending.
    pub fn remove_all(&mut self) {
        self.sweep();
        let groups = &mut self.groups;
        self.routes.scan(|_, route| {
            groups.moved(route.want, Target::NONE);
            route.want = Target::NONE;
            true
        });
        self.retry = None;
    }

    /// Puts the host's settings back.
    pub fn restore_settings(&mut self) {
        if let Some(before) = self.compat_before.take()
            && before != "0"
        {
            let result = self.kernel.set_compat_mode(&before).map(drop);
            self.note("cannot restore nexthop_compat_mode", result);
        }
    }
}
