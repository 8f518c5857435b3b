//! What a rule sets, compiled; and worked out for one route.

use std::net::IpAddr;

use godwit_bgp::Family;
use godwit_bgp::attrs::Origin;
use godwit_bgp::community::Community;

use super::community::CommunitySet;
use super::edits::NewNextHop;
use super::view::View;
use super::{Amount, Direction, Edits, NextHopSpec, Prepend, Route, SetSpec, Uses};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Actions {
    local_pref: Option<Amount>,
    med: Option<Amount>,
    origin: Option<Origin>,
    community_set: Option<Box<[Community]>>,
    community_remove: CommunitySet,
    community_add: Box<[Community]>,
    next_hop: Option<NextHopSpec>,
    prepend: Box<[Prepend]>,
    weight: Option<Amount>,
    kernel_table: Option<u32>,
    kernel_metric: Option<u32>,
    preferred_source: Box<[IpAddr]>,
    blackhole: Option<bool>,
}

impl SetSpec {
    /// What this does to one route: for policies that are written in Rust.
    pub fn edits(&self, route: &Route<'_>) -> Edits {
        let mut edits = Edits::default();
        Actions::new(self).apply(route, &mut edits);
        edits
    }
}

impl Actions {
    pub fn new(spec: &SetSpec) -> Actions {
        let SetSpec {
            local_pref,
            med,
            origin,
            community_set,
            community_remove,
            community_add,
            next_hop,
            prepend,
            weight,
            kernel_table,
            kernel_metric,
            preferred_source,
            blackhole,
        } = spec;
        Actions {
            local_pref: *local_pref,
            med: *med,
            origin: *origin,
            community_set: community_set.as_deref().map(Into::into),
            community_remove: CommunitySet::new(community_remove),
            community_add: community_add.as_slice().into(),
            next_hop: *next_hop,
            prepend: prepend.as_slice().into(),
            weight: *weight,
            kernel_table: *kernel_table,
            kernel_metric: *kernel_metric,
            preferred_source: preferred_source.as_slice().into(),
            blackhole: *blackhole,
        }
    }

    pub fn uses(&self) -> Uses {
        Uses {
            neighbour: self.next_hop == Some(NextHopSpec::PeerAddress),
            source: false,
        }
    }

    /// Whether the effect differs by what the route carries.
    pub fn uses_attributes(&self) -> bool {
        let relative = |amount: Option<Amount>| amount.is_some_and(|a| !a.is_absolute());
        relative(self.local_pref)
            || relative(self.med)
            || relative(self.weight)
            || !self.community_remove.is_empty()
    }

    /// Adds the effect on this route, as `edits` have it so far.
    pub fn apply(&self, route: &Route<'_>, edits: &mut Edits) {
        let view = View { route, edits };
        let local_pref = self.local_pref.map(|a| a.of(view.local_pref()));
        let med = self.med.map(|a| a.of(view.med()));
        let weight = self.weight.map(|a| a.of(view.weight()));
        edits.local_pref = local_pref.or(edits.local_pref);
        edits.med = med.or(edits.med);
        edits.weight = weight.or(edits.weight);
        edits.origin = self.origin.or(edits.origin);
        edits.next_hop = self.next_hop(route).or(edits.next_hop);
        edits.prepend.splice(0..0, self.prepend.iter().copied());
        edits.kernel_table = self.kernel_table.or(edits.kernel_table);
        edits.kernel_metric = self.kernel_metric.or(edits.kernel_metric);
        edits.preferred_source = self.source(route.peer.family).or(edits.preferred_source);
        edits.blackhole = self.blackhole.or(edits.blackhole);
        self.apply_communities(route, edits);
    }

    fn apply_communities(&self, route: &Route<'_>, edits: &mut Edits) {
        if let Some(set) = &self.community_set {
            edits.communities.clear();
            set.iter().for_each(|one| edits.communities.add(*one));
        }
        if !self.community_remove.is_empty() {
            let go: Vec<Community> = edits
                .communities
                .after(route.attrs)
                .filter(|one| self.community_remove.contains(*one))
                .collect();
            go.into_iter().for_each(|one| edits.communities.remove(one));
        }
        for one in &self.community_add {
            edits.communities.add(*one);
        }
    }

    fn next_hop(&self, route: &Route<'_>) -> Option<NewNextHop> {
        // A link-local one says nothing without its interface: such a neighbour
        // names itself in what it sends.
        let to = |address: IpAddr| {
            let scoped = matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
            let fits = Family::of(&address) == route.peer.family && !scoped;
            fits.then_some(NewNextHop::To(address))
        };
        match self.next_hop? {
            NextHopSpec::Own => Some(NewNextHop::Own),
            NextHopSpec::Address(address) => to(address),
            NextHopSpec::PeerAddress => match route.peer.direction {
                Direction::Import => to(route.peer.neighbour.address),
                Direction::Export => Some(NewNextHop::Own),
            },
        }
    }

    fn source(&self, family: Family) -> Option<IpAddr> {
        let of_family = |source: &&IpAddr| Family::of(source) == family;
        self.preferred_source.iter().find(of_family).copied()
    }
}
