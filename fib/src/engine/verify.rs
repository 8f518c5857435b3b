//! Reading the kernel's routes: at the start, all at once; later, when
//! something may have changed without a message, a piece at a time between
//! other work. What is read is believed.

use std::time::Duration;

use godwit_netlink::{Error, Event, Route, RouteType};
use ipnet::IpNet;

use crate::api::{CheckReport, FibSink};
use crate::engine::Engine;
use crate::kernel::Kernel;
use crate::route::{Target, Trouble};
use crate::world::Foreign;

/// Let a flapping link come to rest before everything is read.
const CALM: Duration = Duration::from_secs(1);
/// Events kept while a reading runs; more, and it begins anew.
const REMEMBERED: usize = 65_536;
/// Prefixes that a report names of each kind.
const NAMED: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Verify {
    due: Option<Duration>,
    run: Option<Run>,
}

#[derive(Debug, Default)]
struct Run {
    foreign: Foreign,
    /// Came while the run went on; may be newer than what was read.
    events: Vec<Event>,
}

impl Verify {
    pub fn soon(&mut self, now: Duration) {
        self.due = Some(now + CALM);
    }

    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Others' routes that change while a reading runs.
    pub fn remember(&mut self, event: &Event) {
        if let Some(run) = &mut self.run
            && matches!(event, Event::Route { .. } | Event::RouteGone(_))
        {
            run.events.push(event.clone());
        }
    }
}

impl<K: Kernel, S: FibSink> Engine<K, S> {
    /// At the start: what is ours is adopted.
    pub(crate) fn read_back(&mut self) -> Result<(), Error> {
        self.read_small(Duration::ZERO, true)?;
        let mut foreign = Foreign::default();
        self.kernel.start_dump()?;
        loop {
            let mut routes = Vec::new();
            let more = self.kernel.dump_chunk(&mut |route| routes.push(route))?;
            for route in routes {
                if self.is_ours(&route) {
                    let have = self.target_of(&route);
                    let known = self.routes.upsert(&route.key.prefix);
                    known.have = have;
                    known.set_adopted(true);
                    self.groups.moved(Target::NONE, have);
                } else {
                    self.read_foreign(route, &mut foreign);
                }
            }
            if !more {
                break;
            }
        }
        self.world.foreign = foreign;
        self.resolve_due = true;
        if self.routes.len() > 0 {
            tracing::info!(
                routes = self.routes.len(),
                groups = self.groups.count(),
                "adopted the routes of an earlier run"
            );
        }
        Ok(())
    }

    /// Links, addresses, nexthop objects.
    fn read_small(&mut self, now: Duration, adopt: bool) -> Result<(), Error> {
        let links = self.kernel.links()?;
        let addresses = self.kernel.addresses()?;
        let objects = match self.kernel.next_hops() {
            Ok(objects) => objects,
            Err(error) if !self.config.enabled => {
                tracing::debug!(%error, "no nexthop objects here");
                Vec::new()
            }
            Err(error) => {
                // The routes will be refused, each with its error, and the
                // status says why; next hops are followed all the same.
                self.note(
                    "this kernel has no nexthop objects (Linux 5.3 has)",
                    Err(error),
                );
                Vec::new()
            }
        };
        let others = objects
            .iter()
            .filter(|o| o.protocol != self.config.protocol || !self.config.enabled);
        let effects = self
            .world
            .replace(links, addresses, others.cloned().collect());
        self.take_effects(&effects, now);
        if self.config.enabled {
            let (moved, _) = self.groups.reconcile(&objects, self.config.protocol, adopt);
            self.take_moved(&moved);
        }
        Ok(())
    }

    /// Events were lost.
    pub(crate) fn resync(&mut self, now: Duration) {
        tracing::info!("kernel events were lost; reading everything anew");
        let result = self.read_small(now, false);
        self.note("cannot read the kernel anew", result);
        self.verify.run = None;
        self.verify.due = Some(now);
    }

    /// Goes on with a reading, or begins one that is due. False: none to do.
    pub(crate) fn verify_slice(&mut self, now: Duration) -> bool {
        if self.verify.due.is_some_and(|due| due <= now) {
            self.verify.due = None;
            self.begin_verify(now);
        }
        if self
            .verify
            .run
            .as_ref()
            .is_some_and(|run| run.events.len() > REMEMBERED)
        {
            self.verify.run = None;
            self.verify.soon(now);
        }
        let Some(mut run) = self.verify.run.take() else {
            return false;
        };
        let mut routes = Vec::new();
        match self.kernel.dump_chunk(&mut |route| routes.push(route)) {
            Ok(more) => {
                for route in routes {
                    self.verify_route(route, &mut run.foreign);
                }
                if more {
                    self.verify.run = Some(run);
                } else {
                    self.end_verify(run);
                }
            }
            Err(error) => {
                self.note("cannot read the kernel's routes", Err(error));
                self.verify.soon(now);
            }
        }
        true
    }

    fn begin_verify(&mut self, now: Duration) {
        self.reconcile_objects();
        self.routes.scan(|_, route| {
            route.set_seen(false);
            false
        });
        match self.kernel.start_dump() {
            Ok(()) => self.verify.run = Some(Run::default()),
            Err(error) => {
                self.note("cannot read the kernel's routes", Err(error));
                self.verify.soon(now);
            }
        }
    }

    fn verify_route(&mut self, route: Route, foreign: &mut Foreign) {
        if !self.is_ours(&route) {
            return self.read_foreign(route, foreign);
        }
        let have = self.target_of(&route);
        let prefix = route.key.prefix;
        let known = self.routes.upsert(&prefix);
        // What was written since the run began is newer than what it reads.
        if known.seen() {
            return;
        }
        known.set_seen(true);
        if known.have != have {
            let before = std::mem::replace(&mut known.have, have);
            self.groups.moved(before, have);
            self.routes.queue(&prefix);
        }
    }

    fn end_verify(&mut self, run: Run) {
        let groups = &mut self.groups;
        let mut gone = 0;
        self.routes.scan(|_, route| {
            let missing = !route.have.is_none() && !route.seen();
            if missing {
                gone += 1;
                groups.moved(route.have, Target::NONE);
                route.have = Target::NONE;
                route.set_retried(false);
            }
            missing || route.trouble() == Trouble::FOREIGN
        });
        if gone > 0 {
            tracing::info!(
                routes = gone,
                "the kernel lost routes without a message; writing them again"
            );
        }
        self.world.foreign = run.foreign;
        for event in run.events {
            self.world.apply(event);
        }
        self.resolve_due = true;
    }

    fn read_foreign(&mut self, route: Route, foreign: &mut Foreign) {
        let metric = route.key.metric;
        let ours = self.config.enabled
            && route.key.protocol == self.config.protocol
            && route.key.table == self.config.table
            && metric != self.config.metric;
        if ours {
            if !self.leftovers.contains(&(route.key.prefix, metric)) && !self.swept {
                self.leftovers.push((route.key.prefix, metric));
            }
        } else if self.world.follows(route.key.table) {
            foreign.add(route, false);
        }
    }

    pub(crate) fn target_of(&self, route: &Route) -> Target {
        match (route.kind, route.object) {
            (RouteType::Blackhole, _) => Target::BLACKHOLE,
            (RouteType::Unicast, Some(object)) => self.groups.target_of(object),
            _ => Target::OTHER,
        }
    }

    /// Reads everything and says where it differs, changing nothing.
    pub(crate) fn check(&mut self, now: Duration) -> Result<CheckReport, Error> {
        // One reading at a time; both mark what they have seen.
        if self.verify.run.take().is_some() {
            self.verify.soon(now);
        }
        self.routes.scan(|_, route| {
            route.set_seen(false);
            false
        });
        let mut report = CheckReport::default();
        self.kernel.start_dump()?;
        let mut more = true;
        while more {
            let mut routes = Vec::new();
            more = self.kernel.dump_chunk(&mut |route| routes.push(route))?;
            for route in routes {
                if self.is_ours(&route) {
                    report.in_kernel += 1;
                    self.check_route(&route, &mut report);
                }
            }
        }
        for (prefix, route) in self.routes.iter() {
            report.wanted += usize::from(!route.want.is_none());
            if !route.want.is_none() && !route.seen() && route.trouble() != Trouble::CONNECTED {
                name(&mut report.missing, &mut report.missing_count, prefix);
            }
        }
        Ok(report)
    }

    fn check_route(&mut self, route: &Route, report: &mut CheckReport) {
        let prefix = route.key.prefix;
        let there = self.target_of(route);
        match self.routes.find_mut(&prefix) {
            Some(known) if known.adopted() => known.set_seen(true),
            Some(known) if !known.want.is_none() => {
                known.set_seen(true);
                if known.want != there {
                    name(&mut report.different, &mut report.different_count, prefix);
                }
            }
            _ => name(&mut report.extra, &mut report.extra_count, prefix),
        }
    }
}

fn name(list: &mut Vec<IpNet>, count: &mut usize, prefix: IpNet) {
    *count += 1;
    if list.len() < NAMED {
        list.push(prefix);
    }
}
