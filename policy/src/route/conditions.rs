//! What a rule asks of a route, compiled.

use std::sync::Arc;

use godwit_bgp::attrs::Origin;
use godwit_bgp::{Family, SessionKind};
use ipnet::IpNet;

use super::as_path::AsPathSet;
use super::community::CommunitySet;
use super::number::NumberSet;
use super::view::View;
use super::{
    MatchSpec, Neighbour, NeighbourMatch, NumberRange, PrefixRange, PrefixSet, Source, SourceKind,
    SourceMatch, Uses,
};

/// All conditions but the prefix's stand behind [`Conditions::first`].
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Conditions {
    pub prefix_set: Option<Arc<PrefixSet>>,
    family: Option<Family>,
    communities: CommunitySet,
    communities_all: CommunitySet,
    as_path: Option<Arc<AsPathSet>>,
    as_path_length: Option<NumberRange>,
    origin_as: NumberSet,
    first_as: NumberSet,
    next_hop: Option<PrefixSet>,
    origin: Box<[Origin]>,
    med: Option<NumberRange>,
    local_pref: Option<NumberRange>,
    weight: Option<NumberRange>,
    source: Box<[SourceMatch]>,
    neighbours: Box<[NeighbourMatch]>,
    interfaces: Box<[String]>,
}

impl Conditions {
    /// The prefix set is the caller's to look up.
    pub fn new(spec: &MatchSpec, prefix_set: Option<Arc<PrefixSet>>) -> Conditions {
        let MatchSpec {
            prefix_sets: _,
            family,
            communities,
            communities_all,
            as_path,
            as_path_length,
            origin_as,
            first_as,
            next_hop,
            origin,
            med,
            local_pref,
            weight,
            source,
            neighbours,
            interfaces,
        } = spec;
        // An address is in a range whatever lengths that asks of prefixes.
        let around = |range: &PrefixRange| PrefixRange::or_longer(range.prefix());
        Conditions {
            prefix_set,
            family: *family,
            communities: CommunitySet::new(communities),
            communities_all: CommunitySet::new(communities_all),
            as_path: (!as_path.is_empty()).then(|| Arc::new(AsPathSet::new(as_path))),
            as_path_length: *as_path_length,
            origin_as: NumberSet::new(origin_as.clone()),
            first_as: NumberSet::new(first_as.clone()),
            next_hop: (!next_hop.is_empty())
                .then(|| PrefixSet::new(&next_hop.iter().map(around).collect::<Vec<_>>())),
            origin: origin.as_slice().into(),
            med: *med,
            local_pref: *local_pref,
            weight: *weight,
            source: source.as_slice().into(),
            neighbours: neighbours.as_slice().into(),
            interfaces: interfaces.as_slice().into(),
        }
    }

    pub fn uses(&self) -> Uses {
        Uses {
            neighbour: !self.neighbours.is_empty() || !self.interfaces.is_empty(),
            source: (self.source.iter()).any(|s| matches!(s, SourceMatch::Neighbour(_))),
        }
    }

    /// Whether anything is asked besides prefix, family and neighbour.
    pub fn uses_attributes(&self) -> bool {
        let Conditions {
            prefix_set: _,
            family: _,
            communities,
            communities_all,
            as_path,
            as_path_length,
            origin_as,
            first_as,
            next_hop,
            origin,
            med,
            local_pref,
            weight,
            source,
            neighbours: _,
            interfaces: _,
        } = self;
        !(communities.is_empty()
            && communities_all.is_empty()
            && as_path.is_none()
            && as_path_length.is_none()
            && origin_as.is_empty()
            && first_as.is_empty()
            && next_hop.is_none()
            && origin.is_empty()
            && med.is_none()
            && local_pref.is_none()
            && weight.is_none()
            && source.is_empty())
    }

    /// The first condition that turns out to be `wanted`, by its key; the
    /// cheapest are asked first.
    pub fn first(&self, view: &View<'_>, wanted: bool) -> Option<&'static str> {
        let peer = view.route.peer;
        let number = |range: NumberRange, number: u32| range.contains(number) == wanted;
        if let Some(family) = self.family
            && (family == peer.family) == wanted
        {
            return Some("family");
        }
        if !self.neighbours.is_empty()
            && (self.neighbours.iter()).any(|n| n.is(&peer.neighbour)) == wanted
        {
            return Some("neighbour");
        }
        if !self.interfaces.is_empty() {
            let on = peer.neighbour.interface.as_deref();
            if (self.interfaces.iter()).any(|name| on == Some(name)) == wanted {
                return Some("interface");
            }
        }
        if !self.source.is_empty()
            && (self.source.iter()).any(|s| s.is(view.route.source)) == wanted
        {
            return Some("source");
        }
        if !self.origin.is_empty() && self.origin.contains(&view.origin()) == wanted {
            return Some("origin");
        }
        if self.med.is_some_and(|range| number(range, view.med())) {
            return Some("med");
        }
        if (self.local_pref).is_some_and(|range| number(range, view.local_pref())) {
            return Some("local-pref");
        }
        if (self.weight).is_some_and(|range| number(range, view.weight())) {
            return Some("weight");
        }
        if let Some(set) = &self.next_hop
            && set.contains(&IpNet::from(view.next_hop())) == wanted
        {
            return Some("next-hop");
        }
        if let Some(key) = self.first_of_path(view, wanted) {
            return Some(key);
        }
        if !self.communities.is_empty()
            && self.communities.contains_any(view.communities()) == wanted
        {
            return Some("community");
        }
        if !self.communities_all.is_empty()
            && self.communities_all.all_in(&view.communities()) == wanted
        {
            return Some("community-all");
        }
        None
    }

    fn first_of_path(&self, view: &View<'_>, wanted: bool) -> Option<&'static str> {
        if let Some(range) = self.as_path_length {
            let length = u32::try_from(view.path_length()).unwrap_or(u32::MAX);
            if range.contains(length) == wanted {
                return Some("as-path-length");
            }
        }
        if self.first_as.is_empty() && self.origin_as.is_empty() && self.as_path.is_none() {
            return None;
        }
        let path = view.path();
        let ends = |set: &NumberSet, position: Option<super::as_path::Position<'_>>| {
            position.is_some_and(|p| p.asns().any(|asn| set.contains(asn.0)))
        };
        if !self.first_as.is_empty() && ends(&self.first_as, path.first()) == wanted {
            return Some("first-as");
        }
        if !self.origin_as.is_empty() && ends(&self.origin_as, path.last()) == wanted {
            return Some("origin-as");
        }
        match &self.as_path {
            Some(set) if set.matches(&path) == wanted => Some("as-path"),
            _ => None,
        }
    }
}

impl NeighbourMatch {
    fn is(&self, neighbour: &Neighbour) -> bool {
        match self {
            NeighbourMatch::Address(address) => *address == neighbour.address,
            NeighbourMatch::Asn(asn) => *asn == neighbour.asn,
            NeighbourMatch::Group(group) => neighbour.group.as_deref() == Some(group),
        }
    }
}

impl SourceMatch {
    fn is(&self, source: &Source) -> bool {
        let kind = source.kind;
        match self {
            SourceMatch::Local => kind == SourceKind::Local,
            SourceMatch::Aggregate => kind == SourceKind::Aggregate,
            SourceMatch::External => kind == SourceKind::Peer(SessionKind::External),
            SourceMatch::Internal => {
                matches!(kind, SourceKind::Peer(kind) if !kind.is_external())
            }
            SourceMatch::Client => kind == SourceKind::Peer(SessionKind::InternalClient),
            SourceMatch::Neighbour(wanted) => {
                source.neighbour.as_deref().is_some_and(|n| wanted.is(n))
            }
        }
    }
}
