//! The state machine: wishes and events in, writes and answers out. One batch
//! a call of [`Engine::work`]; time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_bgp::NextHop;
use godwit_netlink::{Error, Event};
use godwit_rib::{FibAck, FibChange, FibTarget, NextHopSetId, NextHopState};
use ipnet::IpNet;

use crate::api::{FibConfig, FibSink};
use crate::groups::{GROUP_BASE, Groups, HOP_BASE, Moved};
use crate::kernel::{Hop, Kernel, Op, RouteTo};
use crate::resolve::{OwnRoute, OwnRoutes, Resolution, Resolver, merge};
use crate::table::{Route, Routes, Target, Trouble};
use crate::verify::Verify;
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

/// A route whose write is in the batch.
#[derive(Debug)]
struct Written {
    prefix: IpNet,
    before: Target,
    /// To tell once it is written.
    ack: Option<FibAck>,
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

struct Own<'a> {
    routes: &'a Routes,
    groups: &'a Groups,
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

/// What to do about a route.
enum Decision {
    /// As it should be, or as good as it gets.
    Leave,
    Write(RouteTo),
    Delete,
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

    /// Looks at every next hop anew.
    fn resolve(&mut self) {
        let own = Own {
            routes: &self.routes,
            groups: &self.groups,
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
                    merge(&set.iter().map(|n| look(*n).hops).collect::<Vec<_>>()),
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

    fn sync_groups(&mut self, now: Duration) {
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
    fn lose(&mut self, slots: &[u32]) {
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

    fn reap(&mut self) {
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
        let sets = self.groups.sets().flat_map(|(_, set)| set.iter());
        self.watched = sets
            .chain(self.tracked.keys())
            .map(NextHop::address)
            .collect();
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

    /// Writes one batch of routes. False: none was pending.
    fn write(&mut self, now: Duration) -> bool {
        let mut ops = std::mem::take(&mut self.ops);
        let mut written = std::mem::take(&mut self.written);
        let mut acks = Vec::new();
        let mut idle = Vec::new();
        let mut looked_at = 0;
        // Looking is cheap but not free: a slice ends also when nothing needs a write.
        while ops.len() < self.config.batch && looked_at < 16 * self.config.batch {
            let Some((prefix, route)) = self.routes.pop() else {
                break;
            };
            looked_at += 1;
            let adopted = route.adopted();
            if adopted && !self.swept && !route.have.is_none() {
                continue;
            }
            let (decision, trouble) = decide(&prefix, route, &self.world, &mut self.groups);
            route.set_trouble(trouble);
            let installed = trouble == Trouble::NONE && !route.want.is_none();
            let ack = FibAck {
                prefix,
                seq: route.seq(),
                installed,
                error: trouble.as_errno(),
            };
            let ack = (!adopted).then_some(ack);
            let before = route.have;
            match decision {
                Decision::Leave => {
                    acks.extend(ack);
                    if route.want.is_none() {
                        idle.push(prefix);
                    }
                    continue;
                }
                Decision::Write(to) => {
                    route.have = route.want;
                    let exclusive = before.is_none() && !route.retried();
                    ops.push(Op::SetRoute {
                        prefix,
                        to,
                        exclusive,
                    });
                }
                Decision::Delete => {
                    route.have = Target::NONE;
                    ops.push(Op::DeleteRoute {
                        prefix,
                        metric: None,
                    });
                }
            }
            route.set_seen(true);
            self.groups.moved(before, route.have);
            written.push(Written {
                prefix,
                before,
                ack,
            });
        }
        if !ops.is_empty() {
            self.send(&ops, &mut written, now);
        }
        for Written { prefix, ack, .. } in written.drain(..) {
            acks.extend(ack);
            idle.push(prefix);
        }
        for prefix in idle {
            self.routes.forget_if_idle(&prefix);
        }
        if !acks.is_empty() {
            self.sink.acks(acks);
        }
        ops.clear();
        self.ops = ops;
        self.written = written;
        looked_at > 0
    }

    /// Sends the batch and puts right what was refused.
    fn send(&mut self, ops: &[Op], written: &mut [Written], now: Duration) {
        match self.apply(ops) {
            Ok(failures) => {
                for failure in failures {
                    if let Some(one) = written.get_mut(failure.index) {
                        self.refused(one, &ops[failure.index], &failure, now);
                    }
                }
                let covers = written.iter().any(|w| self.is_watched(&w.prefix));
                self.resolve_due |= covers;
            }
            Err(error) => {
                let errno = error.errno().unwrap_or(libc::EIO);
                self.note("cannot write routes", Err(error));
                for one in written.iter_mut() {
                    // Unknown whether it is there: replacing works either way.
                    self.put_back(&one.prefix, Target::OTHER, Trouble::errno(errno));
                    one.ack = one.ack.map(|ack| FibAck {
                        installed: false,
                        error: Some(errno),
                        ..ack
                    });
                }
                self.verify.soon(now);
                self.schedule_retry(now);
            }
        }
    }

    fn refused(
        &mut self,
        one: &mut Written,
        op: &Op,
        failure: &godwit_netlink::Failure,
        now: Duration,
    ) {
        let Some(route) = self.routes.find_mut(&one.prefix) else {
            return;
        };
        if matches!(op, Op::DeleteRoute { .. }) && failure.errno == libc::ESRCH {
            return;
        }
        let mut trouble = Trouble::errno(failure.errno);
        let retried = route.retried();
        if failure.errno == libc::EEXIST && self.world.is_foreign(&one.prefix) {
            trouble = Trouble::FOREIGN;
        } else if !retried {
            // Ours after all, or the group went away unnoticed: look, and once more.
            route.set_retried(true);
            self.objects_due |= failure.errno != libc::EEXIST;
            self.put_back(&one.prefix, one.before, Trouble::NONE);
            self.routes.queue(&one.prefix);
            one.ack = None;
            return;
        }
        tracing::debug!(prefix = %one.prefix, errno = failure.errno, text = failure.text, "the kernel refused a route");
        self.put_back(&one.prefix, one.before, trouble);
        self.schedule_retry(now);
        one.ack = one.ack.map(|ack| FibAck {
            installed: false,
            error: trouble.as_errno(),
            ..ack
        });
    }

    /// The write did not happen.
    fn put_back(&mut self, prefix: &IpNet, have: Target, trouble: Trouble) {
        if let Some(route) = self.routes.find_mut(prefix) {
            let before = std::mem::replace(&mut route.have, have);
            route.set_trouble(trouble);
            self.groups.moved(before, have);
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

fn decide(
    prefix: &IpNet,
    route: &Route,
    world: &World,
    groups: &mut Groups,
) -> (Decision, Trouble) {
    let to = match route.want {
        Target::NONE => Err(Trouble::NONE),
        _ if world.is_connected(prefix) => Err(Trouble::CONNECTED),
        Target::BLACKHOLE => Ok(RouteTo::Blackhole),
        want => match want.as_slot() {
            Some(slot) if groups.is_ready(slot) => Ok(RouteTo::Group(GROUP_BASE + slot)),
            Some(slot) => {
                groups.await_ready(slot);
                Err(groups
                    .error(slot)
                    .map_or(Trouble::UNREACHABLE, |f| Trouble::errno(f.errno)))
            }
            None => Err(Trouble::UNREACHABLE),
        },
    };
    match to {
        Ok(_) if route.have == route.want => (Decision::Leave, Trouble::NONE),
        Ok(_) if route.have.is_none() && world.is_foreign(prefix) => {
            (Decision::Leave, Trouble::FOREIGN)
        }
        Ok(to) => (Decision::Write(to), Trouble::NONE),
        Err(trouble) if route.have.is_none() => (Decision::Leave, trouble),
        Err(trouble) => (Decision::Delete, trouble),
    }
}
