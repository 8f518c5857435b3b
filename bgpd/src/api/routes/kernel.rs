//! What the kernel has to do with a route: how its next hops are reached, and
//! what stands in the tables.

use godwit_bgp::NextHop;
use godwit_fib::{ForeignRoute, NextHopWay, RouteInfo, RouteState, Story, Way};
use godwit_proto::v1;
use ipnet::IpNet;

use crate::api::fib;
use crate::control::Control;

/// Adds it to an explanation whose candidates have these next hops.
pub async fn tell(
    control: &Control,
    prefix: IpNet,
    next_hops: &[Option<NextHop>],
    told: &mut v1::ExplainRouteResponse,
) {
    let enabled = control.loaded().config.fib.enabled;
    let mut asked: Vec<NextHop> = next_hops.iter().flatten().copied().collect();
    asked.sort();
    asked.dedup();
    // Without it, or while the daemon ends, the rest is still an answer.
    let story = match control.fib().cloned() {
        Some(handle) => fib::ask(move || handle.explain(prefix, asked)).await.ok(),
        None => None,
    };
    let Story {
        next_hops: ways,
        routes,
        foreign,
    } = story.unwrap_or_default();
    for (candidate, next_hop) in told.candidates.iter_mut().zip(next_hops) {
        let way = ways.iter().find(|way| Some(way.next_hop) == *next_hop);
        candidate.resolution = way.map(resolution);
    }
    let ours = |table| {
        let stands = |route: &&RouteInfo| {
            route.table == table
                && matches!(route.state, RouteState::Installed | RouteState::Adopted)
        };
        let metrics = routes.iter().filter(stands);
        metrics.map(|route| route.metric).min()
    };
    told.foreign = (foreign.iter())
        .map(|route| foreign_route(route, ours(route.table)))
        .collect();
    told.kernel = routes.iter().map(fib::message).collect();
    if told.kernel.is_empty() {
        let best = |c: &v1::Candidate| c.path.as_ref().is_some_and(|path| path.best);
        told.no_kernel_route = match told.candidates.iter().any(best) {
            _ if !enabled => "[fib] is off",
            false => "no path can be used",
            true => "the best path is none to install: of this host, or not passed on yet",
        }
        .to_owned();
    }
}

fn resolution(way: &NextHopWay) -> v1::Resolution {
    let route = match way.way {
        Way::Route(prefix) => prefix.to_string(),
        Way::Link | Way::Ourselves | Way::NoLink | Way::OnlyDefault | Way::Nowhere => String::new(),
    };
    let unreachable = match way.way {
        _ if !way.resolved.is_empty() => String::new(),
        Way::Route(prefix) => format!("the route to {prefix} leads nowhere"),
        Way::Ourselves => "not the address of a neighbour: this host's own, or nobody's".into(),
        Way::Link | Way::NoLink => "its link is down or not known".into(),
        Way::OnlyDefault => "only a default route leads there, and it may not be used".into(),
        Way::Nowhere => "the kernel has no route to it".into(),
    };
    v1::Resolution {
        route,
        resolved: way.resolved.iter().map(fib::hop).collect(),
        cost: way.cost,
        unreachable,
    }
}

/// `ours`: the metric of the best of our routes that stand in the table. The
/// kernel takes the lower one.
fn foreign_route(route: &ForeignRoute, ours: Option<u32>) -> v1::ForeignRoute {
    v1::ForeignRoute {
        protocol: protocol(route.protocol),
        table: route.table,
        metric: route.metric,
        hops: route.hops.iter().map(fib::hop).collect(),
        wins: ours.is_none_or(|ours| route.metric <= ours),
    }
}

/// As iproute2 calls it (`rt_protos`).
fn protocol(number: u8) -> String {
    match number {
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        9 => "ra",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        18 => "keepalived",
        42 => "babel",
        84 => "ovn",
        99 => "openr",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        other => return other.to_string(),
    }
    .to_owned()
}
