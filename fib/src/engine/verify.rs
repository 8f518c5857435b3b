//! Reading the kernel's routes: at the start, all at once; later, when
//! something may have changed without a message, a piece at a time between
//! other work. What is read is believed.

use std::time::Duration;

use crate::api::{CheckReport, FibSink, KernelRoute};
use crate::engine::Engine;
use crate::kernel::Kernel;
use crate::place::{Place, Places, Spot};
use crate::route::{Target, Trouble};
use crate::world::{Foreign, place_of};
use godwit_netlink::{Error, Event, Route, RouteType};

/// Let a flapping link come to rest before everything is read.
const CALM: Duration = Duration::from_secs(1);
/// Events kept while a reading runs; more, and it begins anew.
const REMEMBERED: usize = 65_536;
/// Routes that a report names of each kind.
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
                if let Some(spot) = self.adopted_spot(&route) {
                    if let Some(object) = route.object {
                        self.groups.adopt_source(object, route.source);
                    }
                    let have = self.target_of(&route);
                    let known = self.routes.upsert(&spot);
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
        let Some(spot) = self.own_spot(&route) else {
            return self.read_foreign(route, foreign);
        };
        let have = self.target_of(&route);
        let known = self.routes.upsert(&spot);
        // What was written since the run began is newer than what it reads.
        if known.seen() {
            return;
        }
        known.set_seen(true);
        if known.have != have {
            let before = std::mem::replace(&mut known.have, have);
            self.groups.moved(before, have);
            self.routes.queue(&spot);
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
        if self.world.follows(route.key.table) {
            foreign.add(route, false);
        }
    }

    /// What of an earlier run stands in the kernel is ours, wherever that put
    /// it: its rules and its configuration may have been others.
    fn adopted_spot(&mut self, route: &Route) -> Option<Spot> {
        if self.is_marked(route) {
            self.world.places.find_or_add(place_of(route));
        }
        self.own_spot(route)
    }

    pub(crate) fn target_of(&self, route: &Route) -> Target {
        match (route.kind, route.object) {
            (RouteType::Blackhole, _) => Target::BLACKHOLE,
            (RouteType::Unicast, Some(object)) => self.groups.target_of(object, route.source),
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
                if let Some(spot) = self.own_spot(&route) {
                    report.in_kernel += 1;
                    self.check_route(&spot, &route, &mut report);
                }
            }
        }
        let places = &self.world.places;
        for (spot, route) in self.routes.iter() {
            report.wanted += usize::from(!route.want.is_none());
            if !route.want.is_none() && !route.seen() && route.trouble() != Trouble::CONNECTED {
                let route = named(&spot, places);
                name(&mut report.missing, &mut report.missing_count, route);
            }
        }
        Ok(report)
    }

    fn check_route(&mut self, spot: &Spot, route: &Route, report: &mut CheckReport) {
        let there = self.target_of(route);
        let route = named(spot, &self.world.places);
        match self.routes.find_mut(spot) {
            Some(known) if known.adopted() => known.set_seen(true),
            Some(known) if !known.want.is_none() => {
                known.set_seen(true);
                if known.want != there {
                    name(&mut report.different, &mut report.different_count, route);
                }
            }
            _ => name(&mut report.extra, &mut report.extra_count, route),
        }
    }
}

fn named(spot: &Spot, places: &Places) -> KernelRoute {
    let Place { table, metric } = places.at(spot.place);
    KernelRoute {
        prefix: spot.prefix,
        table,
        metric,
    }
}

fn name(list: &mut Vec<KernelRoute>, count: &mut usize, route: KernelRoute) {
    *count += 1;
    if list.len() < NAMED {
        list.push(route);
    }
}
