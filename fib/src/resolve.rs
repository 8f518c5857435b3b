//! Where a BGP next hop really is: the longest match over the kernel's routes,
//! ours included, down to neighbours on links (RFC 4271 §5.1.3, §9.1.2.1).

use std::net::IpAddr;

use godwit_bgp::NextHop;
use godwit_netlink::{RouteHop, RouteType, TABLE_LOCAL, TABLE_MAIN};
use godwit_rib::WeightedHop;
use ipnet::IpNet;

use crate::api::{FibConfig, Way};
use crate::kernel::Hop;
use crate::world::{World, around, ends_here};

/// How deep our own routes may lean on each other.
const MAX_DEPTH: usize = 8;
/// The kernel keeps a weight in eight bits, less one.
const MAX_WEIGHT: u32 = 256;

/// Neighbours with weights, sorted, each once; none: unreachable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// 0 when connected, else the metric of the resolving route.
    pub cost: u32,
    pub hops: Vec<(Hop, u16)>,
}

/// What a route of ours points to.
pub(crate) enum OwnRoute<'a> {
    Blackhole,
    /// BGP next hops, to be resolved in their turn.
    NextHops(&'a [WeightedHop]),
    /// Taken over from before the restart: only the neighbours are known.
    Hops(&'a [(Hop, u16)]),
}

/// Our routes that stand in the kernel.
pub(crate) trait OwnRoutes<'a> {
    /// With their metrics, those of the main table.
    fn at(&self, prefix: &IpNet, each: &mut dyn FnMut(u32, OwnRoute<'a>));
    fn has_length(&self, v4: bool, length: u8) -> bool;
}

pub(crate) struct Resolver<'a, O> {
    pub world: &'a World,
    pub own: &'a O,
    pub config: &'a FibConfig,
}

enum Candidate<'a> {
    Foreign {
        kind: RouteType,
        hops: Vec<RouteHop>,
    },
    Own(OwnRoute<'a>),
}

impl<'a, O: OwnRoutes<'a>> Resolver<'a, O> {
    pub fn next_hop(&self, next_hop: NextHop) -> Resolution {
        self.resolve(next_hop, &mut Vec::new())
    }

    /// All hops of a set, each with its share of the traffic.
    pub fn set(&self, next_hops: &[WeightedHop]) -> Vec<(Hop, u16)> {
        let ways = next_hops
            .iter()
            .map(|n| (n.weight, self.next_hop(n.next_hop).hops));
        merge(&ways.collect::<Vec<_>>())
    }

    /// `waiting`: next hops whose resolution this one is part of.
    fn resolve(&self, next_hop: NextHop, waiting: &mut Vec<NextHop>) -> Resolution {
        if waiting.len() >= MAX_DEPTH {
            return Resolution::default();
        }
        if let Some(found) = self.link_local(next_hop) {
            return found;
        }
        let address = next_hop.address();
        match address {
            // It says nothing of its link, and we do not guess.
            IpAddr::V6(a) if a.is_unicast_link_local() => return Resolution::default(),
            _ if self.is_local(address) => return Resolution::default(),
            _ => {}
        }
        waiting.push(next_hop);
        let shortest = u8::from(!self.config.via_default);
        let found = self.longest(address, shortest, waiting);
        waiting.pop();
        found.map(|(_, resolution)| resolution).unwrap_or_default()
    }

    /// The longest match with at least this length.
    fn longest(
        &self,
        address: IpAddr,
        shortest: u8,
        waiting: &mut Vec<NextHop>,
    ) -> Option<(IpNet, Resolution)> {
        let v4 = address.is_ipv4();
        let longest: u8 = if v4 { 32 } else { 128 };
        let mut lengths = (shortest..=longest).rev().filter(|length| {
            self.world.foreign.has_length(v4, *length) || self.own.has_length(v4, *length)
        });
        lengths.find_map(|length| {
            let prefix = around(address, length)?;
            Some((prefix, self.at(&prefix, address, waiting)?))
        })
    }

    /// The resolution, and what led to it.
    pub fn way(&self, next_hop: NextHop) -> (Way, Resolution) {
        if let Some(found) = self.link_local(next_hop) {
            return (Way::Link, found);
        }
        let address = next_hop.address();
        match address {
            IpAddr::V6(a) if a.is_unicast_link_local() => {
                return (Way::NoLink, Resolution::default());
            }
            _ if self.is_local(address) => return (Way::Ourselves, Resolution::default()),
            _ => {}
        }
        let waiting = &mut vec![next_hop];
        let shortest = u8::from(!self.config.via_default);
        match self.longest(address, shortest, waiting) {
            Some((prefix, resolution)) => (Way::Route(prefix), resolution),
            None if shortest > 0 && self.longest(address, 0, waiting).is_some() => {
                (Way::OnlyDefault, Resolution::default())
            }
            None => (Way::Nowhere, Resolution::default()),
        }
    }

    /// The routes of one prefix, best metric first. None: go on with a shorter one.
    fn at(
        &self,
        prefix: &IpNet,
        address: IpAddr,
        waiting: &mut Vec<NextHop>,
    ) -> Option<Resolution> {
        let mut candidates: Vec<(u32, Candidate<'a>)> = Vec::new();
        for route in self
            .world
            .foreign
            .at(prefix)
            .iter()
            .filter(|r| r.key.table == TABLE_MAIN && r.tos == 0)
        {
            let hops = self.world.hops(route);
            candidates.push((
                route.key.metric,
                Candidate::Foreign {
                    kind: route.kind,
                    hops,
                },
            ));
        }
        self.own.at(prefix, &mut |metric, own| {
            candidates.push((metric, Candidate::Own(own)));
        });
        candidates.sort_by_key(|(metric, _)| *metric);
        candidates
            .into_iter()
            .find_map(|(metric, candidate)| match candidate {
                Candidate::Foreign { kind, .. } if ends_here(kind) => Some(Resolution::default()),
                Candidate::Foreign {
                    kind: RouteType::Unicast,
                    hops,
                } => self.over_links(&hops, address, metric),
                Candidate::Foreign { .. } => None,
                Candidate::Own(own) => self.over_own(&own, metric, waiting),
            })
    }

    fn over_links(&self, hops: &[RouteHop], address: IpAddr, metric: u32) -> Option<Resolution> {
        let usable = hops.iter().filter(|h| self.world.is_running(h.interface));
        let hops: Vec<_> = usable
            .map(|h| {
                let via = h.via.unwrap_or(address);
                (
                    Hop {
                        via,
                        interface: h.interface,
                        on_link: h.on_link && h.via.is_some(),
                    },
                    h.weight,
                )
            })
            .collect();
        let connected = hops.iter().all(|(hop, _)| hop.via == address);
        let cost = if connected { 0 } else { metric };
        (!hops.is_empty()).then(|| Resolution {
            cost,
            hops: merge(&[(1, hops)]),
        })
    }

    fn over_own(
        &self,
        own: &OwnRoute<'_>,
        metric: u32,
        waiting: &mut Vec<NextHop>,
    ) -> Option<Resolution> {
        let hops = match own {
            // An aggregate's stands for what is within it, and says nothing of where
            // a neighbour is. If it did, one whose contributors have their next
            // hops within it would take them away, and with them itself.
            OwnRoute::Blackhole => return None,
            // Never over a route that depends on what is being resolved.
            OwnRoute::NextHops(set) if set.iter().any(|n| waiting.contains(&n.next_hop)) => {
                return None;
            }
            OwnRoute::NextHops(set) => merge(
                &set.iter()
                    .map(|n| (n.weight, self.resolve(n.next_hop, waiting).hops))
                    .collect::<Vec<_>>(),
            ),
            OwnRoute::Hops(hops) => hops
                .iter()
                .filter(|(h, _)| self.world.is_running(h.interface))
                .copied()
                .collect(),
        };
        (!hops.is_empty()).then_some(Resolution { cost: metric, hops })
    }

    /// Whether the address is this host's, or no neighbour's at all.
    fn is_local(&self, address: IpAddr) -> bool {
        let v4 = address.is_ipv4();
        let longest: u8 = if v4 { 32 } else { 128 };
        let lengths = (0..=longest)
            .rev()
            .filter(|length| self.world.foreign.has_length(v4, *length));
        let found = lengths
            .filter_map(|length| around(address, length))
            .find_map(|prefix| {
                self.world
                    .foreign
                    .at(&prefix)
                    .iter()
                    .find(|r| r.key.table == TABLE_LOCAL)
                    .map(|r| r.kind)
            });
        address.is_unspecified() || address.is_multicast() || found.is_some_and(ends_here)
    }

    /// Who tells a link-local address is on the same link (RFC 2545 §3), which
    /// is that of its session: no route has to be asked.
    fn link_local(&self, next_hop: NextHop) -> Option<Resolution> {
        let interface = next_hop.interface();
        let via = next_hop
            .link_local()
            .filter(|_| self.world.is_running(interface))?;
        let hop = Hop {
            via: IpAddr::V6(via),
            interface,
            on_link: false,
        };
        Some(Resolution {
            cost: 0,
            hops: vec![(hop, 1)],
        })
    }
}

/// Joins the ways of several next hops so that each next hop gets its share,
/// whatever number of ways it has itself.
pub(crate) fn merge(ways: &[(u16, Vec<(Hop, u16)>)]) -> Vec<(Hop, u16)> {
    let total = |hops: &[(Hop, u16)]| hops.iter().map(|(_, w)| u32::from(*w)).sum::<u32>();
    let common = ways
        .iter()
        .filter(|(_, way)| !way.is_empty())
        .fold(1_u32, |common, (_, way)| {
            lcm(common, total(way)).min(1 << 20)
        });
    let mut merged: Vec<(Hop, u32)> = Vec::new();
    for (share, way) in ways {
        let scale = (common / total(way).max(1)).max(1) * u32::from((*share).max(1));
        for (hop, weight) in way {
            let weight = u32::from(*weight).saturating_mul(scale);
            match merged.iter_mut().find(|(h, _)| h == hop) {
                Some((_, sum)) => *sum = sum.saturating_add(weight),
                None => merged.push((*hop, weight)),
            }
        }
    }
    let divisor = merged.iter().fold(0, |d, (_, w)| gcd(d, *w)).max(1);
    let largest = merged.iter().map(|(_, w)| w / divisor).max().unwrap_or(1);
    merged.sort_unstable_by_key(|(hop, _)| *hop);
    merged
        .into_iter()
        .map(|(hop, weight)| {
            let weight = u64::from(weight / divisor);
            let fitting = match largest > MAX_WEIGHT {
                true => (weight * u64::from(MAX_WEIGHT) / u64::from(largest)).max(1),
                false => weight,
            };
            (hop, fitting as u16)
        })
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn lcm(a: u32, b: u32) -> u32 {
    (a / gcd(a, b).max(1)).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(last: u8) -> Hop {
        Hop {
            via: IpAddr::from([10, 0, 0, last]),
            interface: 1,
            on_link: false,
        }
    }

    #[test]
    fn equal_ways_get_weight_one() {
        let merged = merge(&[(1, vec![(hop(2), 1)]), (1, vec![(hop(1), 1)])]);
        assert_eq!(merged, vec![(hop(1), 1), (hop(2), 1)]);
    }

    #[test]
    fn a_next_hop_with_two_ways_gets_no_more_than_one_with_one() {
        let merged = merge(&[(1, vec![(hop(1), 1), (hop(2), 1)]), (1, vec![(hop(3), 1)])]);
        assert_eq!(merged, vec![(hop(1), 1), (hop(2), 1), (hop(3), 2)]);
    }

    #[test]
    fn a_shared_way_carries_both_shares() {
        let merged = merge(&[(1, vec![(hop(1), 1)]), (1, vec![(hop(1), 1), (hop(2), 1)])]);
        assert_eq!(merged, vec![(hop(1), 3), (hop(2), 1)]);
    }

    #[test]
    fn a_next_hop_of_more_bandwidth_gets_more_over_all_its_ways() {
        let merged = merge(&[
            (256, vec![(hop(1), 1), (hop(2), 1)]),
            (64, vec![(hop(3), 1)]),
        ]);
        assert_eq!(merged, vec![(hop(1), 2), (hop(2), 2), (hop(3), 1)]);
    }

    #[test]
    fn weights_fit_the_kernel() {
        let merged = merge(&[(1, vec![(hop(1), 1), (hop(2), 1000)])]);
        assert_eq!(merged, vec![(hop(1), 1), (hop(2), 256)]);
    }
}
