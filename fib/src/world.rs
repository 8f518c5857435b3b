//! What the kernel holds that is not ours: links, addresses, routes and
//! nexthop objects of others. Followed event by event.

use std::collections::HashMap;
use std::net::IpAddr;

use godwit_netlink::{
    Address, Event, Link, NextHopObject, NextHopTarget, Route, RouteHop, RouteType, TABLE_LOCAL,
    TABLE_MAIN,
};
use ipnet::IpNet;

use crate::api::FibConfig;
use crate::place::{Place, PlaceId, Places, Spot};

/// Routes of others, by prefix.
#[derive(Debug)]
pub(crate) struct Foreign {
    routes: HashMap<IpNet, Vec<Route>, foldhash::fast::RandomState>,
    /// Prefixes by family and length.
    lengths: [[u32; 129]; 2],
}

impl Default for Foreign {
    fn default() -> Self {
        Self {
            routes: HashMap::default(),
            lengths: [[0; 129]; 2],
        }
    }
}

fn family(prefix: &IpNet) -> usize {
    usize::from(prefix.addr().is_ipv6())
}

impl Foreign {
    pub fn at(&self, prefix: &IpNet) -> &[Route] {
        self.routes.get(prefix).map_or(&[], Vec::as_slice)
    }

    pub fn has_length(&self, v4: bool, length: u8) -> bool {
        self.lengths[usize::from(!v4)][usize::from(length)] > 0
    }

    /// `replaced`: instead of the first with its table, metric and TOS, as the
    /// kernel does it.
    pub fn add(&mut self, route: Route, replaced: bool) {
        let prefix = route.key.prefix;
        let routes = self.routes.entry(prefix).or_default();
        if routes.is_empty() {
            self.lengths[family(&prefix)][usize::from(prefix.prefix_len())] += 1;
        }
        let same_place = |r: &Route| {
            (r.key.table, r.key.metric, r.tos) == (route.key.table, route.key.metric, route.tos)
        };
        let at = if replaced {
            routes.iter().position(same_place)
        } else {
            routes.iter().position(|r| *r == route)
        };
        match at {
            Some(at) => routes[at] = route,
            None => routes.push(route),
        }
    }

    /// False: there is none exactly like it, so what we know is not what is.
    pub fn remove(&mut self, route: &Route) -> bool {
        let prefix = route.key.prefix;
        let Some(routes) = self.routes.get_mut(&prefix) else {
            return false;
        };
        let exact = routes.iter().position(|r| r == route);
        let similar = || {
            routes
                .iter()
                .position(|r| (r.key, r.tos) == (route.key, route.tos))
        };
        let Some(at) = exact.or_else(similar) else {
            return false;
        };
        routes.remove(at);
        if routes.is_empty() {
            self.routes.remove(&prefix);
            self.lengths[family(&prefix)][usize::from(prefix.prefix_len())] -= 1;
        }
        exact.is_some()
    }

    /// The kernel drops routes of which no hop is left, IPv4's without a word.
    fn remove_over(&mut self, gone: impl Fn(&Route, &RouteHop) -> bool) {
        let lengths = &mut self.lengths;
        self.routes.retain(|prefix, routes| {
            routes.retain(|r| r.hops.is_empty() || !r.hops.iter().all(|h| gone(r, h)));
            if routes.is_empty() {
                lengths[family(prefix)][usize::from(prefix.prefix_len())] -= 1;
            }
            !routes.is_empty()
        });
    }
}

/// What an event means for routes and next hops.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Next hops may resolve otherwise.
    pub resolve: bool,
    /// These links cannot carry packets: the kernel has dropped the nexthop
    /// objects on them.
    pub lost_links: Vec<u32>,
    /// These became connected or not, or somebody's at our metric or not.
    pub touched: Vec<IpNet>,
    /// Something may have gone without a message.
    pub verify: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    links: HashMap<u32, Link>,
    addresses: Vec<Address>,
    /// Prefixes on interfaces that are up, and on how many.
    connected: HashMap<IpNet, u32>,
    pub foreign: Foreign,
    objects: HashMap<u32, NextHopObject>,
    /// Where routes of ours stand.
    pub places: Places,
}

impl World {
    pub fn new(config: &FibConfig) -> Self {
        Self {
            links: HashMap::new(),
            addresses: Vec::new(),
            connected: HashMap::new(),
            foreign: Foreign::default(),
            objects: HashMap::new(),
            places: Places::new(config),
        }
    }

    /// Whether routes of this table matter.
    pub fn follows(&self, table: u32) -> bool {
        table == TABLE_MAIN || table == TABLE_LOCAL || self.places.has_table(table)
    }

    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    pub fn is_running(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|l| l.running)
    }

    /// Whether the prefix is that of an interface here, whose route ours would
    /// compete with. A rule that sends routes to another table means it.
    pub fn is_connected(&self, spot: &Spot) -> bool {
        let competes =
            spot.place == PlaceId::HOME || self.places.at(spot.place).table == TABLE_MAIN;
        competes && self.connected.contains_key(&spot.prefix)
    }

    /// Whether a route of someone else stands where ours would.
    pub fn is_foreign(&self, spot: &Spot) -> bool {
        let place = self.places.at(spot.place);
        let there = |r: &Route| r.tos == 0 && place_of(r) == place;
        self.foreign.at(&spot.prefix).iter().any(there)
    }

    fn in_our_place(&self, route: &Route) -> bool {
        route.tos == 0 && self.places.find(place_of(route)).is_some()
    }

    /// The hops of a route, those of its nexthop object included.
    pub fn hops(&self, route: &Route) -> Vec<RouteHop> {
        match route.object {
            Some(id) if route.hops.is_empty() => self.object_hops(id, 1),
            _ => route.hops.clone(),
        }
    }

    fn object_hops(&self, id: u32, weight: u16) -> Vec<RouteHop> {
        match self.objects.get(&id).map(|o| &o.target) {
            Some(&NextHopTarget::Hop {
                via,
                interface,
                on_link,
            }) => {
                vec![RouteHop {
                    via,
                    interface,
                    weight,
                    on_link,
                }]
            }
            // Groups hold no groups.
            Some(NextHopTarget::Group(members)) => members
                .iter()
                .filter(|m| {
                    !matches!(
                        self.objects.get(&m.id).map(|o| &o.target),
                        Some(NextHopTarget::Group(_))
                    )
                })
                .flat_map(|m| self.object_hops(m.id, m.weight))
                .collect(),
            Some(NextHopTarget::Blackhole) | None => Vec::new(),
        }
    }

    /// Reads links, addresses and others' objects anew.
    pub fn replace(
        &mut self,
        links: Vec<Link>,
        addresses: Vec<Address>,
        objects: Vec<NextHopObject>,
    ) -> Effects {
        let before = std::mem::take(&mut self.connected);
        let mut effects = Effects {
            resolve: true,
            ..Effects::default()
        };
        let links: HashMap<u32, Link> = links.into_iter().map(|l| (l.index, l)).collect();
        let lost = self
            .links
            .values()
            .filter(|old| old.running && !links.get(&old.index).is_some_and(|l| l.running));
        effects.lost_links = lost.map(|l| l.index).collect();
        self.links = links;
        self.addresses = addresses;
        self.objects = objects.into_iter().map(|o| (o.id, o)).collect();
        self.count_connected(&before, &mut effects);
        effects
    }

    pub fn apply(&mut self, event: Event) -> Effects {
        let mut effects = Effects::default();
        match event {
            Event::Link(link) => self.set_link(link, &mut effects),
            Event::LinkGone(index) => {
                effects.lost_links.push(index);
                effects.resolve = true;
                self.links.remove(&index);
                self.addresses.retain(|a| a.interface != index);
                self.link_down(index, &mut effects);
            }
            Event::Address(address) => {
                self.addresses.retain(|a| !same_address(a, &address));
                self.addresses.push(address);
                self.recount_connected(&mut effects);
            }
            Event::AddressGone(address) => {
                self.addresses.retain(|a| !same_address(a, &address));
                self.recount_connected(&mut effects);
                self.address_gone(&address);
                effects.resolve = true;
                effects.verify = true;
            }
            Event::Route { route, replaced } if self.follows(route.key.table) => {
                self.note_route(&route, &mut effects);
                self.foreign.add(route, replaced);
            }
            Event::RouteGone(route) if self.follows(route.key.table) => {
                self.note_route(&route, &mut effects);
                effects.verify |= !self.foreign.remove(&route);
            }
            Event::NextHop(object) => {
                effects.resolve = true;
                self.objects.insert(object.id, object);
            }
            Event::NextHopGone(id) => {
                effects.resolve = true;
                self.objects.remove(&id);
                // Routes that named it are gone, IPv4's without a word.
                effects.verify = true;
            }
            Event::Route { .. } | Event::RouteGone(_) | Event::Resync => {}
        }
        effects
    }

    fn note_route(&self, route: &Route, effects: &mut Effects) {
        effects.resolve = true;
        if self.in_our_place(route) {
            effects.touched.push(route.key.prefix);
        }
    }

    fn set_link(&mut self, link: Link, effects: &mut Effects) {
        let index = link.index;
        let (up, running) = (link.up, link.running);
        let before = self.links.insert(index, link);
        let (was_up, was_running) = before.map_or((false, false), |l| (l.up, l.running));
        if was_running && !running {
            effects.lost_links.push(index);
        }
        effects.resolve |= was_running != running || was_up != up;
        if was_up && !up {
            self.link_down(index, effects);
        } else if was_up != up {
            self.recount_connected(effects);
        }
    }

    /// Administratively down, or gone: the kernel flushes its routes.
    fn link_down(&mut self, index: u32, effects: &mut Effects) {
        self.foreign.remove_over(|_, hop| hop.interface == index);
        self.recount_connected(effects);
        effects.verify = true;
    }

    /// With the last IPv4 address of an interface go its IPv4 routes.
    fn address_gone(&mut self, address: &Address) {
        let others = |a: &Address| a.interface == address.interface && a.local.is_ipv4();
        if address.local.is_ipv4() && !self.addresses.iter().any(others) {
            self.foreign.remove_over(|route, hop| {
                route.key.prefix.addr().is_ipv4() && hop.interface == address.interface
            });
        }
    }

    fn recount_connected(&mut self, effects: &mut Effects) {
        let before = std::mem::take(&mut self.connected);
        self.count_connected(&before, effects);
    }

    fn count_connected(&mut self, before: &HashMap<IpNet, u32>, effects: &mut Effects) {
        for address in &self.addresses {
            if self.links.get(&address.interface).is_some_and(|l| l.up) {
                let own = IpNet::from(address.local);
                *self.connected.entry(address.prefix).or_default() += 1;
                if own != address.prefix {
                    *self.connected.entry(own).or_default() += 1;
                }
            }
        }
        let changed = |a: &HashMap<IpNet, u32>, b: &HashMap<IpNet, u32>| -> Vec<IpNet> {
            a.keys().filter(|p| !b.contains_key(p)).copied().collect()
        };
        effects.touched.extend(changed(before, &self.connected));
        effects.touched.extend(changed(&self.connected, before));
        effects.resolve |= !effects.touched.is_empty();
    }
}

pub(crate) fn place_of(route: &Route) -> Place {
    Place {
        table: route.key.table,
        metric: route.key.metric,
    }
}

fn same_address(a: &Address, b: &Address) -> bool {
    (a.interface, a.local, a.prefix.prefix_len()) == (b.interface, b.local, b.prefix.prefix_len())
}

/// Whether the route swallows packets or keeps them here.
pub(crate) fn ends_here(kind: RouteType) -> bool {
    !matches!(
        kind,
        RouteType::Unicast | RouteType::Throw | RouteType::Other(_)
    )
}

/// The prefix of this length around an address.
pub(crate) fn around(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok().map(|p| p.trunc())
}
