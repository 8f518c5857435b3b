//! The state machine: wishes and events in, writes and answers out. One batch
//! a call of [`Engine::work`]; time is an argument.

mod follow;
mod query;
#[cfg(test)]
mod tests;
mod unread;
mod verify;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_bgp::NextHop;
use godwit_netlink::{Error, Event, TABLE_MAIN};
use godwit_rib::{
    FibAck, FibChange, FibTarget, KernelOptions, NextHopSet, NextHopSetId, NextHopState,
    RouteChange,
};
use ipnet::IpNet;

use self::unread::Unread;
use self::verify::Verify;
use self::write::Written;
use crate::api::{FibConfig, FibSink};
use crate::groups::{GROUP_BASE, Groups, HOP_BASE};
use crate::kernel::{Kernel, Op};
use crate::place::{Place, PlaceId, Places, Spot};
use crate::resolve::{OwnRoute, OwnRoutes, Resolution, Resolver};
use crate::route::Target;
use crate::table::Routes;
use crate::world::{Effects, World, place_of};

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
    sets: HashMap<NextHopSetId, (Arc<NextHopSet>, u32)>,
    pub(crate) tracked: HashMap<NextHop, Tracked>,
    /// Addresses of all next hops in use: a route of ours around one may change where it leads.
    watched: BTreeSet<IpAddr>,
    pub(crate) resolve_due: bool,
    /// Someone touched our nexthop objects.
    pub(crate) objects_due: bool,
    pub(crate) verify: Verify,
    pub(crate) swept: bool,
    retry: Option<(Duration, Duration)>,
    unread: Unread,
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
    pub places: &'a Places,
}

impl<'a> OwnRoutes<'a> for Own<'a> {
    fn at(&self, prefix: &IpNet, each: &mut dyn FnMut(u32, OwnRoute<'a>)) {
        for spot in self.places.spots(*prefix) {
            let Place { table, metric } = self.places.at(spot.place);
            let Some(route) = self.routes.find(&spot).filter(|_| table == TABLE_MAIN) else {
                continue;
            };
            if route.have == Target::BLACKHOLE {
                each(metric, OwnRoute::Blackhole);
            } else if let Some(slot) = route.have.as_slot() {
                let own = match self.groups.set_of(slot) {
                    Some(set) => OwnRoute::NextHops(&set.hops),
                    None => OwnRoute::Hops(self.groups.resolved(slot)),
                };
                each(metric, own);
            }
        }
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
            swept: false,
            retry: None,
            unread: Unread::default(),
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
            FibChange::Define(id, set) => {
                self.sets.insert(id, (set, u32::MAX));
            }
            FibChange::Route(change) => {
                self.unread.overtaken(change.prefix);
                let (spot, want) = match self.wish(&change) {
                    Ok(Some(wish)) => wish,
                    Ok(None) => return,
                    Err(errno) => {
                        self.sink.acks(vec![FibAck {
                            prefix: change.prefix,
                            seq: change.seq,
                            installed: false,
                            error: Some(errno),
                        }]);
                        return self.unread.wait(change);
                    }
                };
                let before = self.routes.want(&spot, want, change.seq);
                self.groups.moved(before, want);
                // Queued behind it: the new one in, then the old one out.
                for other in self.world.places.spots(spot.prefix) {
                    if other != spot {
                        let before = self.routes.unwant(&other);
                        self.groups.moved(before, Target::NONE);
                    }
                }
            }
        }
    }

    /// Where the route is to stand, and what it is to be. `None`: nothing is
    /// known of it. An error: the table cannot be read.
    fn wish(&mut self, change: &RouteChange) -> Result<Option<(Spot, Target)>, i32> {
        let prefix = change.prefix;
        let home = Spot {
            prefix,
            place: PlaceId::HOME,
        };
        Ok(Some(match change.target {
            FibTarget::None => {
                let wanted = |spot: &Spot| {
                    let route = self.routes.find(spot);
                    route.is_some_and(|route| !route.want.is_none())
                };
                let there = self.world.places.spots(prefix).find(wanted);
                (there.unwrap_or(home), Target::NONE)
            }
            FibTarget::Blackhole => (home, Target::BLACKHOLE),
            FibTarget::Hops(id) => {
                let Some((set, _)) = self.sets.get(&id) else {
                    tracing::error!(?id, %prefix, "route over a next-hop set that was never defined");
                    return Ok(None);
                };
                let set = Arc::clone(set);
                match self.place(&set.options)? {
                    Some(place) => {
                        let spot = Spot { prefix, place };
                        let want = if set.hops.is_empty() {
                            Target::BLACKHOLE
                        } else {
                            let Some(slot) = self.slot_for(id, &spot) else {
                                return Ok(None);
                            };
                            Target::slot(slot)
                        };
                        (spot, want)
                    }
                    None => {
                        tracing::error!(%prefix, options = ?set.options, "no route can stand there in the kernel");
                        (home, Target::NONE)
                    }
                }
            }
        }))
    }

    /// The place that these options mean. Before the first route goes into a
    /// table, it is read: what others have there is not to be overwritten.
    fn place(&mut self, options: &KernelOptions) -> Result<Option<PlaceId>, i32> {
        let home = self.world.places.at(PlaceId::HOME);
        let place = Place {
            table: options.table.unwrap_or(home.table),
            metric: options.metric.unwrap_or(home.metric),
        };
        if !self.world.follows(place.table) {
            if let Some(errno) = self.unread.error(place.table) {
                return Err(errno);
            }
            match self.kernel.table(place.table) {
                Ok(routes) => {
                    for route in routes {
                        self.world.foreign.add(route, false);
                    }
                }
                Err(error) => {
                    let errno = error.errno().unwrap_or(libc::EIO);
                    self.note("cannot read a routing table", Err(error));
                    self.unread.failed(place.table, errno);
                    return Err(errno);
                }
            }
        }
        Ok(self.world.places.find_or_add(place))
    }

    fn slot_for(&mut self, id: NextHopSetId, spot: &Spot) -> Option<u32> {
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
            places: &self.world.places,
        };
        let resolved = Resolver {
            world: &self.world,
            own: &own,
            config: &self.config,
        }
        .set(&set.hops);
        let have = self.routes.find(spot).map_or(Target::NONE, |r| r.have);
        let slot = self.groups.add(set, resolved, have);
        *last = slot;
        let addresses = set.hops.iter().map(|hop| hop.next_hop.address());
        self.watched.extend(addresses);
        Some(slot)
    }

    pub fn track(&mut self, next_hop: NextHop) {
        let tracked = self.tracked.entry(next_hop).or_insert_with(|| {
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
        tracing::info!(routes = kept_from_before, "sweeping what nobody reclaimed");
    }

    pub fn event(&mut self, event: Event, now: Duration) {
        match event {
            Event::Resync => {
                self.resyncs += 1;
                self.resync(now);
                return;
            }
            Event::Route { ref route, .. } => {
                if let Some(spot) = self.own_spot(route) {
                    let target = self.target_of(route);
                    return self.found(&spot, target);
                }
            }
            Event::RouteGone(ref route) => {
                if let Some(spot) = self.own_spot(route) {
                    return self.found(&spot, Target::NONE);
                }
            }
            // A source that was refused may be there now.
            Event::Address(_) if self.retry.is_some() => {
                self.retry = Some((now, FIRST_RETRY));
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

    /// Whether the route carries our mark.
    pub(crate) fn is_marked(&self, route: &godwit_netlink::Route) -> bool {
        self.config.enabled && route.key.protocol == self.config.protocol && route.tos == 0
    }

    /// Where a route of ours stands; `None`: it is not ours.
    pub(crate) fn own_spot(&self, route: &godwit_netlink::Route) -> Option<Spot> {
        let place = self.world.places.find(place_of(route))?;
        self.is_marked(route).then_some(Spot {
            prefix: route.key.prefix,
            place,
        })
    }

    /// Somebody else wrote or removed a route of ours.
    fn found(&mut self, spot: &Spot, target: Target) {
        if let Some(route) = self.routes.find_mut(spot) {
            let before = std::mem::replace(&mut route.have, target);
            route.set_seen(true);
            route.set_retried(false);
            self.groups.moved(before, target);
            self.routes.queue(spot);
        } else if !target.is_none() {
            let route = self.routes.upsert(spot);
            route.have = target;
            route.set_seen(true);
            self.groups.moved(Target::NONE, target);
            self.routes.queue(spot);
        }
    }

    pub(crate) fn take_effects(&mut self, effects: &Effects, now: Duration) {
        self.resolve_due |= effects.resolve;
        for link in &effects.lost_links {
            let lost = self.groups.link_lost(*link);
            self.lose(&lost);
        }
        for prefix in &effects.touched {
            for spot in self.world.places.spots(*prefix) {
                self.routes.queue(&spot);
            }
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
        if self.unread.len() > 0 {
            self.schedule_retry(now);
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
        for change in self.unread.take() {
            self.change(FibChange::Route(change));
        }
        let mut refused = self.unread.len();
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
        self.unread = Unread::default();
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
