//! Answers for the command line and the API.

use std::time::Duration;

use godwit_bgp::NextHop;
use ipnet::IpNet;

use crate::api::{
    FibSink, FibStatus, ForeignRoute, NextHopInfo, NextHopWay, ResolvedHop, RouteInfo, RoutePage,
    RouteState, Story,
};
use crate::engine::{Engine, Own};
use crate::handle::Query;
use crate::kernel::{Hop, Kernel};
use crate::place::{Place, Spot};
use crate::resolve::{Resolution, Resolver};
use crate::route::{Route, Target, Trouble};

/// Routes a page at most, whatever is asked for.
const PAGE: usize = 10_000;

impl<K: Kernel, S: FibSink> Engine<K, S> {
    /// `queued`: changes that wait before the engine. Whoever asked may have
    /// gone: that is his affair.
    pub(crate) fn answer(&mut self, query: Query, queued: usize, now: Duration) {
        match query {
            Query::Routes {
                after,
                limit,
                answer,
            } => {
                let _ = answer.send(self.page(after, limit));
            }
            Query::NextHops(answer) => {
                let _ = answer.send(self.next_hop_infos());
            }
            Query::Explain {
                prefix,
                next_hops,
                answer,
            } => {
                let _ = answer.send(self.story(prefix, &next_hops));
            }
            Query::Check(answer) => match self.check(now) {
                Ok(report) => {
                    let _ = answer.send(report);
                }
                // Dropping the sender answers too: the caller hears that there is no answer.
                Err(error) => self.note("cannot check the kernel's routes", Err(error)),
            },
            Query::Status(answer) => {
                let _ = answer.send(self.status(queued));
            }
        }
    }

    fn page(&self, after: u64, limit: usize) -> RoutePage {
        let (routes, next) = self.routes.page(after, limit.clamp(1, PAGE));
        RoutePage {
            routes: routes
                .into_iter()
                .map(|(spot, route)| self.info(&spot, &route))
                .collect(),
            next,
        }
    }

    fn info(&self, spot: &Spot, route: &Route) -> RouteInfo {
        let Place { table, metric } = self.world.places.at(spot.place);
        let wanted = route
            .want
            .as_slot()
            .and_then(|slot| self.groups.set_of(slot));
        let shown = if route.have.is_none() {
            route.want
        } else {
            route.have
        };
        RouteInfo {
            prefix: spot.prefix,
            table,
            metric,
            source: shown.as_slot().and_then(|slot| self.groups.source(slot)),
            blackhole: shown == Target::BLACKHOLE,
            next_hops: wanted
                .map(|set| set.hops.iter().map(|hop| hop.next_hop).collect())
                .unwrap_or_default(),
            resolved: shown
                .as_slot()
                .map(|slot| self.hops(self.groups.resolved(slot)))
                .unwrap_or_default(),
            state: state(route),
        }
    }

    fn hops(&self, hops: &[(Hop, u16)]) -> Vec<ResolvedHop> {
        let name = |index| match self.world.link(index) {
            Some(link) => link.name.clone(),
            None => format!("if{index}"),
        };
        hops.iter()
            .map(|(hop, weight)| ResolvedHop {
                via: hop.via,
                interface: name(hop.interface),
                weight: *weight,
            })
            .collect()
    }

    fn next_hop_infos(&self) -> Vec<NextHopInfo> {
        let mut infos: Vec<NextHopInfo> = self
            .tracked
            .iter()
            .map(|(next_hop, tracked)| NextHopInfo {
                next_hop: *next_hop,
                state: tracked.state(),
                generation: tracked.generation,
                resolved: self.hops(&tracked.resolution.hops),
            })
            .collect();
        infos.sort_by_key(|info| info.next_hop);
        infos
    }

    pub(super) fn story(&self, prefix: IpNet, next_hops: &[NextHop]) -> Story {
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
        let way = |next_hop: &NextHop| {
            let (way, Resolution { cost, hops }) = resolver.way(*next_hop);
            NextHopWay {
                next_hop: *next_hop,
                way,
                cost,
                resolved: self.hops(&hops),
            }
        };
        let spots = self.world.places.spots(prefix);
        let routes = spots.filter_map(|spot| Some(self.info(&spot, self.routes.find(&spot)?)));
        let routes: Vec<RouteInfo> = routes.collect();
        let foreign = self.world.foreign.at(&prefix).iter();
        let foreign = foreign.filter(|r| {
            r.key.table == self.config.table || routes.iter().any(|ours| ours.table == r.key.table)
        });
        let mut foreign: Vec<ForeignRoute> = foreign.map(|r| self.foreign(r)).collect();
        foreign.sort_by_key(|route| (route.table, route.metric));
        Story {
            next_hops: next_hops.iter().map(way).collect(),
            routes,
            foreign,
        }
    }

    fn foreign(&self, route: &godwit_netlink::Route) -> ForeignRoute {
        let hops = self.world.hops(route);
        let hops: Vec<(Hop, u16)> = (hops.iter())
            .map(|hop| {
                let hop_of = Hop {
                    via: hop.via.unwrap_or(route.key.prefix.addr()),
                    interface: hop.interface,
                    on_link: hop.on_link,
                };
                (hop_of, hop.weight)
            })
            .collect();
        ForeignRoute {
            table: route.key.table,
            metric: route.key.metric,
            protocol: route.key.protocol,
            hops: self.hops(&hops),
        }
    }

    fn status(&self, queued: usize) -> FibStatus {
        let mut status = FibStatus {
            enabled: self.config.enabled,
            routes_pending: self.routes.pending(),
            groups: self.groups.count(),
            next_hops: self.tracked.len(),
            queued,
            messages_sent: self.messages_sent,
            resyncs: self.resyncs,
            swept: self.swept,
            error: self.error.clone(),
            compat_mode_before: self.compat_before.clone(),
            ..FibStatus::default()
        };
        for (_, route) in self.routes.iter() {
            status.routes_adopted += usize::from(route.adopted());
            status.routes_wanted += usize::from(!route.want.is_none());
            status.routes_installed += usize::from(route.installed());
            status.routes_failed += usize::from(!matches!(
                route.trouble(),
                Trouble::NONE | Trouble::CONNECTED
            ));
        }
        status
    }
}

fn state(route: &Route) -> RouteState {
    match route.trouble() {
        Trouble::CONNECTED => RouteState::Connected,
        Trouble::FOREIGN => RouteState::Foreign,
        Trouble::UNREACHABLE => RouteState::Unreachable,
        trouble => match trouble.as_errno() {
            Some(errno) => RouteState::Refused(errno),
            None if route.adopted() => RouteState::Adopted,
            None if route.installed() => RouteState::Installed,
            None => RouteState::Pending,
        },
    }
}
