//! What the file wants, and the steps from one wish to the next.

use std::collections::BTreeMap;
use std::net::IpAddr;

use godwit_rib::{LocalRoute, RibConfig};
use ipnet::IpNet;

use crate::peer::PeerSettings;

/// Any neighbour from `range` becomes a peer like `template`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub range: IpNet,
    pub template: PeerSettings,
}

/// Everything of the file that can change while the daemon runs.
#[derive(Clone, Debug)]
pub struct Desired {
    pub peers: BTreeMap<IpAddr, PeerSettings>,
    /// Longest first, so that the first match is the right one.
    pub ranges: Vec<Range>,
    pub routes: BTreeMap<IpNet, LocalRoute>,
    pub rib: RibConfig,
}

impl Desired {
    /// The settings that a neighbour who calls from `address` has by a range.
    pub fn for_caller(&self, address: IpAddr) -> Option<PeerSettings> {
        let found = self.ranges.iter().find(|r| r.range.contains(&address))?;
        Some(PeerSettings {
            address,
            ..found.template.clone()
        })
    }
}

/// One step of a reload.
#[derive(Clone, Debug)]
pub enum Step {
    AddPeer(PeerSettings),
    RemovePeer(IpAddr),
    /// `reset`: the session has to come up anew for it.
    ChangePeer {
        settings: PeerSettings,
        reset: bool,
    },
    Originate(LocalRoute),
    Withdraw(IpNet),
    Reconfigure(RibConfig),
}

impl Step {
    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Step::AddPeer(s) => format!("peer {} added", s.address),
            Step::RemovePeer(address) => format!("peer {address} removed"),
            Step::ChangePeer { settings, reset } => {
                let how = if *reset { ", its session restarts" } else { "" };
                format!("peer {} changed{how}", settings.address)
            }
            Step::Originate(route) => format!("route {} originated", route.prefix),
            Step::Withdraw(prefix) => format!("route {prefix} withdrawn"),
            Step::Reconfigure(_) => "route selection changed".to_owned(),
        }
    }
}

/// The peers that should be there next, against those that are, then the rest.
/// What is equal is not touched. Removals come first: a new peer may need the
/// place of an old one.
pub fn steps(
    peers_now: &BTreeMap<IpAddr, PeerSettings>,
    peers_next: &BTreeMap<IpAddr, PeerSettings>,
    now: &Desired,
    next: &Desired,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for address in peers_now.keys() {
        if !peers_next.contains_key(address) {
            steps.push(Step::RemovePeer(*address));
        }
    }
    for prefix in now.routes.keys() {
        if !next.routes.contains_key(prefix) {
            steps.push(Step::Withdraw(*prefix));
        }
    }
    if now.rib != next.rib {
        steps.push(Step::Reconfigure(next.rib));
    }
    for (address, settings) in peers_next {
        match peers_now.get(address) {
            None => steps.push(Step::AddPeer(settings.clone())),
            Some(old) if old != settings => steps.push(Step::ChangePeer {
                settings: settings.clone(),
                reset: old.needs_reset(settings),
            }),
            Some(_) => {}
        }
    }
    for (prefix, route) in &next.routes {
        if now
            .routes
            .get(prefix)
            .is_none_or(|old| !same_route(old, route))
        {
            steps.push(Step::Originate(route.clone()));
        }
    }
    steps
}

fn same_route(a: &LocalRoute, b: &LocalRoute) -> bool {
    a.prefix == b.prefix && a.attrs == b.attrs && a.blackhole == b.blackhole
}
