//! The routes that stand in a namespace's kernel.

use std::collections::BTreeMap;

use godwit_netlink::{
    Error, NextHopTarget, RequestSocket, RouteFilter, RouteType, TABLE_MAIN, netns,
};
use ipnet::IpNet;

use super::lab::namespace;
use crate::failure::Failure;

/// The number that godwitd puts on its routes.
const PROTOCOL: u8 = 103;

/// Our unicast routes, each with the names of its interfaces, sorted.
pub type Routes = BTreeMap<IpNet, Vec<String>>;

pub fn routes(node: &str) -> Result<Routes, Failure> {
    Ok(netns::run_in(&namespace(node), read)??)
}

fn read() -> Result<Routes, Error> {
    let mut socket = RequestSocket::open()?;
    let names: BTreeMap<u32, String> = socket
        .links()?
        .into_iter()
        .map(|link| (link.index, link.name))
        .collect();
    let objects: BTreeMap<u32, NextHopTarget> = socket
        .next_hops()?
        .into_iter()
        .map(|object| (object.id, object.target))
        .collect();
    let ours = RouteFilter {
        table: Some(TABLE_MAIN),
        protocol: Some(PROTOCOL),
    };
    let mut found = Routes::new();
    for route in socket.routes(ours)? {
        if route.kind != RouteType::Unicast || route.key.protocol != PROTOCOL {
            continue;
        }
        let mut interfaces: Vec<u32> = route.hops.iter().map(|hop| hop.interface).collect();
        if let Some(id) = route.object {
            interfaces.extend(resolve(&objects, id));
        }
        let mut via: Vec<String> = interfaces
            .into_iter()
            .filter_map(|index| names.get(&index).cloned())
            .collect();
        via.sort();
        via.dedup();
        found.insert(route.key.prefix, via);
    }
    Ok(found)
}

/// Interfaces of a nexthop object. Groups do not nest.
fn resolve(objects: &BTreeMap<u32, NextHopTarget>, id: u32) -> Vec<u32> {
    match objects.get(&id) {
        Some(NextHopTarget::Hop { interface, .. }) => vec![*interface],
        Some(NextHopTarget::Group(members)) => members
            .iter()
            .filter_map(|member| match objects.get(&member.id) {
                Some(NextHopTarget::Hop { interface, .. }) => Some(*interface),
                _ => None,
            })
            .collect(),
        Some(NextHopTarget::Blackhole) | None => Vec::new(),
    }
}
