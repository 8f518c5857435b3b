//! Whether the RIB and the naive one agree.

use std::collections::{BTreeMap, BTreeSet};

use godwit_bgp::{Family, PathId};
use godwit_rib::{Counted, PeerId, PrefixFilter, RouteQuery, RouteView, Verdict};
use ipnet::IpNet;

use crate::world::{Remote, World};

impl World {
    /// What prefix limits keep out, by peer: to the naive RIB, as if it had not
    /// been announced. Some only while there is no room for it.
    fn kept_out(&mut self, when: &str) -> BTreeMap<u16, BTreeSet<(IpNet, PathId)>> {
        let mut out = BTreeMap::new();
        for (id, peer) in &self.naive.peers {
            let query = RouteQuery {
                view: RouteView::Rejected(PeerId(*id)),
                family: None,
                prefix: PrefixFilter::Any,
            };
            let page = self.rib.routes(&query, None, usize::MAX);
            assert_eq!(page.next, None);
            let over = page.entries.iter();
            let over = over.filter(|entry| entry.verdict == Verdict::OverLimit);
            let over = over.map(|entry| (entry.prefix, entry.path_id.unwrap_or(PathId(0))));
            let over: BTreeSet<(IpNet, PathId)> = over.collect();
            let counters = self.rib.peer_counters(PeerId(*id));
            for family in Family::ALL {
                let f = family.index();
                let of = |key: &&(IpNet, PathId)| Family::of(&key.0.addr()) == family;
                let over = over.iter().filter(of).count() as u64;
                assert_eq!(counters.over_limit[f], over, "{when}: over limit of {id}");
                if over > 0 {
                    let limit = peer.spec.limit_in[f].filter(|limit| limit.enforced);
                    let limit = limit.expect("a limit that keeps out");
                    let n = match limit.count {
                        Counted::Received => counters.received[f] - over,
                        Counted::Accepted => counters.accepted[f],
                    };
                    let from = u64::from(limit.warn_from);
                    assert!(
                        n > from,
                        "{when}: {id} has room for {family}: {n}, {limit:?}"
                    );
                }
            }
            out.insert(*id, over);
        }
        out
    }

    /// Whoever asks in the midst of things gets an answer.
    pub fn ask(&mut self, net: IpNet) {
        let ids: Vec<PeerId> = self.naive.peers.keys().map(|id| PeerId(*id)).collect();
        let of_each = ids.into_iter().flat_map(|id| {
            [
                RouteView::Received(id),
                RouteView::Accepted(id),
                RouteView::Rejected(id),
                RouteView::Advertised(id),
            ]
        });
        let views = [RouteView::All, RouteView::Best].into_iter().chain(of_each);
        for view in views.collect::<Vec<_>>() {
            let query = RouteQuery {
                view,
                family: None,
                prefix: PrefixFilter::Any,
            };
            self.rib.routes(&query, None, usize::MAX);
        }
        self.rib.explain(net);
    }

    /// Both agree.
    pub fn compare(&mut self, when: &str) {
        let kept_out = self.kept_out(when);
        let mut naive = self.naive.clone();
        for (id, peer) in &mut naive.peers {
            let out = &kept_out[id];
            peer.received.retain(|key, _| !out.contains(key));
        }
        for (id, peer) in &self.naive.peers {
            // One that is away is sent nothing.
            let remote = self.remotes.get(id);
            let want = remote.map(|_| naive.view(*id)).unwrap_or_default();
            let have = remote.map(Remote::paths).unwrap_or_default();
            if want != have {
                let nets: BTreeSet<_> = want.keys().chain(have.keys()).collect();
                for net in nets {
                    if want.get(net) != have.get(net) {
                        let explain = self.rib.explain(*net);
                        panic!(
                            "{when}: peer {id} and {net}: want {:?}, have {:?}\n{:?}\n{explain:#?}",
                            want.get(net),
                            have.get(net),
                            peer.spec,
                        );
                    }
                }
            }
            let counters = self.rib.peer_counters(PeerId(*id));
            let count = |nets: &mut dyn Iterator<Item = IpNet>| {
                let mut n = [0; 2];
                nets.for_each(|net| n[Family::of(&net.addr()).index()] += 1);
                n
            };
            let received = count(&mut peer.received.keys().map(|(net, _)| *net));
            assert_eq!(counters.received, received, "{when}: received of {id}");
            let nets: BTreeSet<IpNet> = peer.received.keys().map(|(net, _)| *net).collect();
            let prefixes = count(&mut nets.iter().copied());
            assert_eq!(counters.prefixes, prefixes, "{when}: prefixes of {id}");
            let accepted = peer.received.keys().filter(|(net, path_id)| {
                let accepted = naive.accepted(&naive.peers[id], *net, *path_id);
                accepted.is_some()
            });
            let accepted = count(&mut accepted.map(|(net, _)| *net));
            assert_eq!(counters.accepted, accepted, "{when}: accepted of {id}");
            let stale = [0, 1].map(|f| self.stale.get(&(*id, f)).map_or(0, BTreeSet::len) as u64);
            assert_eq!(counters.stale, stale, "{when}: stale of {id}");
            let is_best = |net: &IpNet| naive.best_of(*net) == Some(Some(*id));
            let best = count(&mut nets.iter().copied().filter(is_best));
            assert_eq!(counters.best, best, "{when}: best of {id}");
            let Some(remote) = remote else { continue };
            let advertised = count(&mut remote.table.keys().map(|(net, _)| *net));
            assert_eq!(counters.advertised, advertised, "{when}: to {id}");
            for family in Family::ALL {
                let once = usize::from(peer.spec.families[family.index()]);
                let ends = remote.ends_of_rib[family.index()];
                assert_eq!(ends, once, "{when}: End-of-RIB of {family} to {id}");
                let open = &remote.stale[family.index()];
                assert_eq!(*open, None, "{when}: refresh of {family} to {id}");
            }
        }
        assert_eq!(self.kernel, naive.fib(), "{when}: kernel");
    }
}
