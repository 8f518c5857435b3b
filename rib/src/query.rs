//! Reading routes, page by page, each a bounded amount of work.

use ::core::time::Duration;
use std::collections::HashSet;
use std::net::IpAddr;

use foldhash::quality::RandomState;
use godwit_bgp::{Family, PathId};
use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smallvec::SmallVec;

use crate::api::{
    PeerId, PeerSpec, PrefixFilter, RouteCursor, RouteEntry, RoutePage, RouteQuery, RouteView,
};
use crate::interner::AttrId;
use crate::path::{Path, Verdict, tx_path_id};
use crate::rib::Rib;
use crate::ring::Mark;
use crate::slab::NONE;

/// Destinations looked at, and entries besides the first of each, for one page,
/// at most.
const SCAN: usize = 1 << 15;

/// A page under construction.
#[derive(Default)]
struct Builder {
    page: RoutePage,
    index: HashMap<AttrId, usize, RandomState>,
}

impl Rib {
    /// A page of routes from the beginning, or from where the page before
    /// ended; about `limit` entries.
    pub fn routes(
        &mut self,
        query: &RouteQuery,
        cursor: Option<RouteCursor>,
        limit: usize,
    ) -> RoutePage {
        let mut builder = Builder::default();
        match query.prefix {
            PrefixFilter::Exact(net) => self.add_net(query, net, &mut builder),
            PrefixFilter::Covering(net) => {
                for len in 0..=net.prefix_len() {
                    self.add_len(query, net, len, &mut builder);
                }
            }
            PrefixFilter::LongestMatch(address) => {
                let net = IpNet::from(address);
                for len in (0..=net.prefix_len()).rev() {
                    self.add_len(query, net, len, &mut builder);
                    if !builder.page.entries.is_empty() {
                        break;
                    }
                }
            }
            PrefixFilter::Any => self.scan(query, None, cursor, limit, &mut builder),
            PrefixFilter::Longer(net) => {
                self.scan(query, Some(net.trunc()), cursor, limit, &mut builder);
            }
        }
        builder.page
    }

    /// Addresses of our own ends of sessions, which nobody may name as a next
    /// hop; none of a link alone.
    pub fn our_addresses(&self) -> &HashSet<IpAddr> {
        self.imports.own()
    }

    /// Whose paths those of this peer are; also while they are being removed.
    /// `None`: the daemon's own, or nobody's any more.
    pub fn peer_spec(&self, id: PeerId) -> Option<&PeerSpec> {
        Some(&self.core.peers.at(id)?.spec)
    }

    fn add_len(&mut self, query: &RouteQuery, net: IpNet, len: u8, builder: &mut Builder) {
        let family = Family::of(&net.addr());
        if self.core.tables.has_len(family, len) {
            let shorter = match net {
                IpNet::V4(net) => Ipv4Net::new(net.addr(), len).map(IpNet::V4),
                IpNet::V6(net) => Ipv6Net::new(net.addr(), len).map(IpNet::V6),
            };
            if let Ok(net) = shorter {
                self.add_net(query, net, builder);
            }
        }
    }

    fn add_net(&mut self, query: &RouteQuery, net: IpNet, builder: &mut Builder) {
        let wanted = query.family.is_none_or(|f| f == Family::of(&net.addr()));
        if let Some(mark) = self.core.tables.find(net.trunc())
            && wanted
        {
            self.add(query, mark, builder);
        }
    }

    fn scan(
        &mut self,
        query: &RouteQuery,
        inside: Option<IpNet>,
        cursor: Option<RouteCursor>,
        limit: usize,
        builder: &mut Builder,
    ) {
        let family = query.family.or(inside.map(|net| Family::of(&net.addr())));
        let first = Mark::new(family.unwrap_or(Family::Ipv4Unicast), 0);
        let mut at = cursor.map_or(first, |cursor| Mark::from_bits(cursor.0 as u32));
        let mut budget = SCAN;
        builder.page.next = loop {
            if builder.page.entries.len() >= limit.max(1) {
                break Some(at);
            }
            match self.core.tables.next_live(at, &mut budget) {
                Ok(mark) if family.is_some_and(|f| f != mark.family()) => break None,
                Ok(mark) => {
                    let net = self.core.tables.net(mark);
                    if inside.is_none_or(|inside| inside.contains(&net)) {
                        let before = builder.page.entries.len();
                        self.add(query, mark, builder);
                        let added = builder.page.entries.len() - before;
                        budget = budget.saturating_sub(added.max(1) - 1);
                    }
                    at = mark.successor();
                }
                Err(next) => break next,
            }
        }
        .map(|mark| RouteCursor(u64::from(mark.bits())));
    }

    /// Adds the entries of one destination.
    fn add(&mut self, query: &RouteQuery, mark: Mark, builder: &mut Builder) {
        let state = *self.core.state(mark);
        let mut used = None;
        if let RouteView::Advertised(peer) = query.view {
            for (id, path_id, attr) in self.advertised(mark, peer) {
                self.push(mark, id, path_id, attr, &mut used, builder);
            }
            return;
        }
        let mut id = state.paths;
        while id != NONE {
            let path = *self.core.paths.at(id);
            let attr = match query.view {
                RouteView::All => Some(if path.accepted() {
                    path.attr
                } else {
                    path.attr_in
                }),
                RouteView::AllReceived => Some(path.attr_in),
                // Another may have come in its place that is not accepted.
                RouteView::Best => (id == state.best && path.accepted()).then_some(path.attr),
                RouteView::Received(peer) => (path.peer == peer).then_some(path.attr_in),
                RouteView::Accepted(peer) => {
                    (path.peer == peer && path.accepted()).then_some(path.attr)
                }
                RouteView::Rejected(peer) => {
                    (path.peer == peer && !path.accepted()).then_some(path.attr_in)
                }
                RouteView::Advertised(_) => None,
            };
            if let Some(attr) = attr {
                let path_id = self.rx_path_id(mark, &path);
                self.push(mark, id, path_id, attr, &mut used, builder);
            }
            id = path.next;
        }
    }

    /// What a peer is sent of a destination: the path, where it is still there,
    /// the identifier it goes out by, and its attributes.
    pub(crate) fn advertised(
        &self,
        mark: Mark,
        to: PeerId,
    ) -> SmallVec<[(u32, Option<PathId>, AttrId); 2]> {
        let core = &self.core;
        let Some(group) = self.groups.of(to, core) else {
            return SmallVec::new();
        };
        let output = &group.output[mark.family().index()];
        let several = output.has_several();
        let best = core.state(mark).best;
        // What was sent is of a path of its source, of the best one if that is it.
        let of_source = |source: PeerId| {
            let of_best = best != NONE && core.paths.at(best).peer == source;
            let mut paths = core.paths_of(mark);
            let found = paths.find(|(id, path)| match of_best {
                true => *id == best,
                false => path.peer == source,
            });
            found.map(|(id, _)| id)
        };
        let mut slots: SmallVec<[u32; 8]> = SmallVec::new();
        if several {
            slots.extend(core.paths_of(mark).map(|(id, _)| id));
            slots.sort_unstable();
        }
        let path = |slot: u32, source: PeerId| match several {
            true => slots.binary_search(&slot).map_or(NONE, |_| slot),
            false => of_source(source).unwrap_or(NONE),
        };
        output
            .entries(mark.dest())
            .filter_map(|(slot, out)| {
                let attr = out.for_member(to)?;
                let path_id = several.then(|| tx_path_id(slot));
                Some((path(slot, out.source), path_id, attr))
            })
            .collect()
    }

    /// The identifier that the peer gave the path under, if it gives such.
    pub(crate) fn rx_path_id(&self, mark: Mark, path: &Path) -> Option<PathId> {
        let peer = self.core.peers.at(path.peer)?;
        peer.spec.add_path_receive[mark.family().index()].then_some(path.rx_path_id)
    }

    /// `used`: the slots of the paths used at once, in order, once they were
    /// asked for.
    fn push(
        &mut self,
        mark: Mark,
        id: u32,
        path_id: Option<PathId>,
        attr: AttrId,
        used: &mut Option<SmallVec<[u32; 8]>>,
        builder: &mut Builder,
    ) {
        let core = &self.core;
        let state = *core.state(mark);
        let prefix = core.tables.net(mark);
        let page = &mut builder.page;
        let attrs = *builder.index.entry(attr).or_insert_with(|| {
            page.attrs.push(core.attrs.owned(attr));
            page.attrs.len() - 1
        });
        let (_, installed, install_error) = self.fib.status(mark, core);
        // An advertised route may be about to be withdrawn, its path gone.
        let path = match id {
            NONE => Path::default(),
            id => *core.paths.at(id),
        };
        let best = id != NONE && id == state.best && path.accepted();
        let multipath = !best && path.accepted() && {
            let used = used.get_or_insert_with(|| core.used_at_once(mark));
            used.binary_search(&id).is_ok()
        };
        let entry = RouteEntry {
            prefix,
            peer: path.peer,
            path_id,
            attrs,
            best,
            multipath,
            verdict: path.verdict(),
            rejected_by: None,
            since: Duration::from_secs(path.since.into()),
            installed: best && installed,
            install_error: install_error.filter(|_| best),
            stale: core.peers.is_stale(&path, mark.family()),
        };
        let rejected_by = (path.verdict() == Verdict::Policy)
            .then(|| self.import_rule(path.peer, path.attr_in, mark))
            .flatten();
        builder.page.entries.push(RouteEntry {
            rejected_by,
            ..entry
        });
    }

    /// The rule of the import policy that decided.
    pub(crate) fn import_rule(
        &mut self,
        peer: PeerId,
        attr_in: AttrId,
        mark: Mark,
    ) -> Option<godwit_policy::route::RuleName> {
        let core = &self.core;
        let peer = core.peers.at(peer)?;
        let (class, asn) = (peer.import[mark.family().index()], peer.spec.asn);
        let mut evaluated = self
            .imports
            .evaluate(class, asn, attr_in, &core.config, &core.attrs);
        evaluated.rule(core.tables.net(mark))
    }
}
