//! A RIB, the naive one beside it, and peers and a kernel that hold what they
//! are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use godwit_bgp::attrs::{AttrsBuf, AttrsRef};
use godwit_bgp::wire::{
    DecodeContext, MessageType, RouteRefresh, UpdateEncoder, decode_update, split_frame,
};
use godwit_bgp::{Family, NextHop};
use godwit_policy::route::PolicyRef;
use godwit_rib::{
    FibAck, FibChange, FibTarget, KernelOptions, LimitNews, LocalRoute, NextHopSet, NextHopSetId,
    NextHopState, PeerId, PeerSpec, Rib, RibConfig, RibEvent, TapId, TapPoll,
};
use ipnet::IpNet;

use crate::naive::{Naive, NaivePeer, Target};

/// What a peer at the other end holds.
#[derive(Debug, Default)]
pub struct Remote {
    pub table: BTreeMap<IpNet, AttrsBuf>,
    pub ends_of_rib: [usize; 2],
    /// Refreshes (RFC 7313) that it saw whole, by family.
    pub refreshed: [usize; 2],
    /// What a refresh under way has not brought again.
    stale: [Option<BTreeSet<IpNet>>; 2],
    /// Prefixes it was told of, one way or the other.
    pub told: usize,
    pub bytes: usize,
}

pub struct World {
    pub rib: Rib,
    pub naive: Naive,
    pub remotes: BTreeMap<u16, Remote>,
    pub kernel: BTreeMap<IpNet, Target>,
    sets: BTreeMap<NextHopSetId, NextHopSet>,
    pub tracked: BTreeSet<NextHop>,
    pub gone: BTreeSet<PeerId>,
    pub ready: BTreeSet<PeerId>,
    tap: TapId,
    pub tapped: BTreeSet<IpNet>,
    /// By peer and family: what it has not announced again since it began to.
    stale: BTreeMap<(u16, usize), BTreeSet<IpNet>>,
    /// What was said of prefix limits.
    pub limits: Vec<(PeerId, LimitNews)>,
    pub now: Duration,
}

impl World {
    pub fn new(config: RibConfig, next_hops: BTreeMap<NextHop, NextHopState>) -> World {
        let mut rib = Rib::new(config);
        let tap = rib.open_tap();
        World {
            rib,
            naive: Naive {
                config,
                peers: BTreeMap::new(),
                local: BTreeMap::new(),
                next_hops,
            },
            remotes: BTreeMap::new(),
            kernel: BTreeMap::new(),
            sets: BTreeMap::new(),
            tracked: BTreeSet::new(),
            gone: BTreeSet::new(),
            ready: BTreeSet::new(),
            tap,
            tapped: BTreeSet::new(),
            stale: BTreeMap::new(),
            limits: Vec::new(),
            now: Duration::ZERO,
        }
    }

    pub fn up(&mut self, spec: PeerSpec) -> PeerId {
        let id = self.rib.peer_up(spec.clone(), self.now);
        self.gone.remove(&id);
        let received = BTreeMap::new();
        let old = self.naive.peers.insert(id.0, NaivePeer { spec, received });
        assert!(old.is_none(), "the id of a peer that is up was given again");
        self.remotes.insert(id.0, Remote::default());
        id
    }

    pub fn down(&mut self, id: PeerId) {
        self.rib.peer_down(id);
        self.naive.peers.remove(&id.0);
        self.remotes.remove(&id.0);
        self.ready.remove(&id);
        self.stale.retain(|(peer, _), _| *peer != id.0);
    }

    fn send(&mut self, id: PeerId, frames: BytesMut) {
        let spec = &self.naive.peers[&id.0].spec;
        let context = context(spec);
        let mut frames = frames;
        while let Some(frame) = split_frame(&mut frames, spec.max_message).unwrap() {
            let update = decode_update(frame.body, context).unwrap();
            assert!(update.faults.is_empty(), "{:?}", update.faults);
            self.rib.update(id, &update, self.now);
        }
    }

    pub fn announce(&mut self, id: PeerId, nets: &[IpNet], attrs: &AttrsBuf) {
        let frames = announce(&self.naive.peers[&id.0].spec, nets, attrs.as_ref());
        self.send(id, frames);
        let peer = self.naive.peers.get_mut(&id.0).unwrap();
        let mut attrs = attrs.clone();
        attrs.next_hop = attrs.next_hop.on(peer.spec.link);
        peer.received
            .extend(nets.iter().map(|net| (*net, attrs.clone())));
        self.fresh(id, nets);
    }

    pub fn withdraw(&mut self, id: PeerId, nets: &[IpNet]) {
        let spec = &self.naive.peers[&id.0].spec;
        let encoder = UpdateEncoder::new(spec.max_message, spec.as4);
        let mut frames = BytesMut::new();
        encoder.withdraw_v4(nets.iter().filter_map(v4), &mut frames);
        encoder.withdraw_v6(nets.iter().filter_map(v6), &mut frames);
        self.send(id, frames);
        let received = &mut self.naive.peers.get_mut(&id.0).unwrap().received;
        nets.iter().for_each(|net| drop(received.remove(net)));
        self.fresh(id, nets);
    }

    pub fn end_of_rib(&mut self, id: PeerId, family: Family) {
        let spec = &self.naive.peers[&id.0].spec;
        let mut frames = BytesMut::new();
        UpdateEncoder::new(spec.max_message, spec.as4).end_of_rib(family, &mut frames);
        self.send(id, frames);
    }

    fn fresh(&mut self, id: PeerId, nets: &[IpNet]) {
        for net in nets {
            let family = Family::of(&net.addr()).index();
            if let Some(stale) = self.stale.get_mut(&(id.0, family)) {
                stale.remove(net);
            }
        }
    }

    /// The peer begins to announce a family anew (RFC 7313).
    pub fn refresh_begin(&mut self, id: PeerId, family: Family) {
        self.rib.refresh_begin(id, family);
        let nets = self.naive.peers[&id.0].received.keys().copied();
        let stale = nets.filter(|net| Family::of(&net.addr()) == family);
        self.stale.insert((id.0, family.index()), stale.collect());
    }

    pub fn refresh_end(&mut self, id: PeerId, family: Family) {
        self.rib.refresh_end(id, family);
        let stale = self.stale.remove(&(id.0, family.index()));
        let received = &mut self.naive.peers.get_mut(&id.0).unwrap().received;
        for net in stale.into_iter().flatten() {
            received.remove(&net);
        }
    }

    pub fn originate(&mut self, prefix: IpNet, attrs: AttrsBuf, blackhole: bool) {
        let route = LocalRoute {
            prefix,
            attrs: attrs.clone(),
            blackhole,
        };
        self.rib.originate(&route, self.now);
        self.naive.local.insert(prefix, (attrs, blackhole));
    }

    pub fn withdraw_local(&mut self, prefix: IpNet) {
        let had = self.naive.local.remove(&prefix).is_some();
        assert_eq!(self.rib.withdraw_local(prefix), had);
    }

    pub fn next_hop(&mut self, next_hop: NextHop, state: NextHopState) {
        self.naive.next_hops.insert(next_hop, state);
        if self.tracked.contains(&next_hop) {
            self.rib.next_hop(next_hop, state);
        }
    }

    pub fn set_spec(&mut self, id: PeerId, spec: PeerSpec) {
        self.rib.set_spec(id, spec.clone());
        self.naive.peers.get_mut(&id.0).unwrap().spec = spec;
    }

    pub fn set_import(&mut self, id: PeerId, import: [PolicyRef; 2]) {
        self.rib.set_import(id, import.clone());
        self.naive.peers.get_mut(&id.0).unwrap().spec.import = import;
    }

    pub fn set_export(&mut self, id: PeerId, export: [PolicyRef; 2]) {
        self.rib.set_export(id, export.clone());
        self.naive.peers.get_mut(&id.0).unwrap().spec.export = export;
    }

    /// The peer asks for a family again; one that is sent no marks forgets it
    /// before, the others hold on to what they have and more.
    pub fn refresh(&mut self, id: PeerId, family: Family) {
        self.rib.refresh(id, family);
        let remote = self.remotes.get_mut(&id.0).unwrap();
        if self.naive.peers[&id.0].spec.enhanced_refresh {
            let never: IpNet = match family {
                Family::Ipv4Unicast => "203.0.113.7/32".parse().unwrap(),
                Family::Ipv6Unicast => "2001:db8:dead::/128".parse().unwrap(),
            };
            if let Some(attrs) = remote.table.values().next().cloned() {
                remote.table.insert(never, attrs);
            }
        } else {
            let table = &mut remote.table;
            table.retain(|net, _| Family::of(&net.addr()) != family);
        }
    }

    pub fn reconfigure(&mut self, config: RibConfig) {
        self.rib.reconfigure(config);
        self.naive.config = config;
    }

    /// Answers events. True: there were some.
    pub fn events(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.rib.poll_event() {
            any = true;
            match event {
                RibEvent::TrackNextHop(next_hop) => {
                    assert!(self.tracked.insert(next_hop));
                    let state = self.naive.next_hops.get(&next_hop);
                    if let Some(state) = state {
                        self.rib.next_hop(next_hop, *state);
                    }
                }
                RibEvent::UntrackNextHop(next_hop) => assert!(self.tracked.remove(&next_hop)),
                RibEvent::Limit(id, news) => self.limits.push((id, news)),
                RibEvent::PeerGone(id) => assert!(self.gone.insert(id)),
                RibEvent::FramesReady(id) if self.remotes.contains_key(&id.0) => {
                    self.ready.insert(id);
                }
                _ => {}
            }
        }
        any
    }

    /// Reads some of what is there for a peer that was said to be ready.
    pub fn poll(&mut self, id: PeerId, max: usize) -> bool {
        let mut frames = Vec::new();
        let more = self.rib.poll_frames(id, max, &mut frames);
        if !more {
            self.ready.remove(&id);
        }
        let spec = self.naive.peers[&id.0].spec.clone();
        let remote = self.remotes.get_mut(&id.0).unwrap();
        frames.iter().for_each(|frames| remote.take(frames, &spec));
        more
    }

    pub fn poll_fib(&mut self, max: usize) -> bool {
        let mut changes = Vec::new();
        let more = self.rib.poll_fib(&mut changes, max);
        for change in changes {
            let route = match change {
                FibChange::Define(id, hops) => {
                    self.sets.insert(id, NextHopSet::clone(&hops));
                    continue;
                }
                FibChange::Route(route) => route,
            };
            let target = match route.target {
                FibTarget::Hops(id) => {
                    let NextHopSet { hops, options } = self.sets[&id].clone();
                    let hops = hops.iter().map(|hop| (hop.next_hop, hop.weight));
                    Some(match hops.len() {
                        0 => Target::Blackhole(options),
                        _ => Target::Hops(hops.collect(), options),
                    })
                }
                FibTarget::Blackhole => Some(Target::Blackhole(KernelOptions::default())),
                FibTarget::None => None,
            };
            let old = self.kernel.remove(&route.prefix);
            assert_ne!(old, target, "{} did not change", route.prefix);
            self.rib.fib_done(&[FibAck {
                prefix: route.prefix,
                seq: route.seq,
                installed: target.is_some(),
                error: None,
            }]);
            if let Some(target) = target {
                self.kernel.insert(route.prefix, target);
            }
        }
        more
    }

    /// Runs until nothing is left to do.
    pub fn settle(&mut self) {
        loop {
            while self.rib.work(7) {}
            let mut any = self.events();
            for id in self.ready.clone() {
                any = true;
                while self.poll(id, 300) {}
            }
            while self.poll_fib(5) {}
            let mut nets = Vec::new();
            while self.rib.poll_tap(self.tap, &mut nets, 3) != TapPoll::Empty {}
            self.tapped.extend(nets);
            if !any {
                return;
            }
        }
    }

    /// Both agree.
    pub fn compare(&mut self, when: &str) {
        for (id, peer) in &self.naive.peers {
            let want = self.naive.view(*id);
            let remote = &self.remotes[id];
            let have = &remote.table;
            if want != *have {
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
            let received = count(&mut peer.received.keys().copied());
            assert_eq!(counters.received, received, "{when}: received of {id}");
            let accepted = |net: &IpNet| self.naive.accepted(peer, *net).is_some();
            let accepted = count(&mut peer.received.keys().copied().filter(accepted));
            assert_eq!(counters.accepted, accepted, "{when}: accepted of {id}");
            let advertised = count(&mut want.keys().copied());
            assert_eq!(counters.advertised, advertised, "{when}: to {id}");
            let is_best = |net: &IpNet| self.naive.best_of(*net) == Some(Some(*id));
            let best = count(&mut peer.received.keys().copied().filter(is_best));
            assert_eq!(counters.best, best, "{when}: best of {id}");
            for family in Family::ALL {
                let once = usize::from(peer.spec.families[family.index()]);
                let ends = remote.ends_of_rib[family.index()];
                assert_eq!(ends, once, "{when}: End-of-RIB of {family} to {id}");
                let open = &remote.stale[family.index()];
                assert_eq!(*open, None, "{when}: refresh of {family} to {id}");
            }
        }
        assert_eq!(self.kernel, self.naive.fib(), "{when}: kernel");
    }
}

impl Remote {
    fn take(&mut self, frames: &Bytes, spec: &PeerSpec) {
        self.bytes += frames.len();
        let mut frames = BytesMut::from(&frames[..]);
        while let Some(frame) = split_frame(&mut frames, spec.max_message).unwrap() {
            if frame.kind == MessageType::RouteRefresh {
                assert!(spec.enhanced_refresh);
                self.take_mark(RouteRefresh::decode(&frame.body, true).unwrap());
                continue;
            }
            assert_eq!(frame.kind, MessageType::Update);
            let update = decode_update(frame.body, context(spec)).unwrap();
            assert!(update.faults.is_empty(), "{:?}", update.faults);
            if let Some(family) = update.end_of_rib() {
                self.ends_of_rib[family.index()] += 1;
                continue;
            }
            let mut bytes = Vec::new();
            update.canonical_attrs(&mut bytes);
            let withdrawn = update.withdrawn_v4().map(IpNet::V4);
            for net in withdrawn.chain(update.withdrawn_v6().map(IpNet::V6)) {
                self.told += 1;
                self.table.remove(&net);
                self.fresh(&net);
            }
            let announced = update.announced_v4().map(IpNet::V4);
            for net in announced.chain(update.announced_v6().map(IpNet::V6)) {
                self.told += 1;
                let attrs = AttrsRef {
                    next_hop: update.next_hop(Family::of(&net.addr())).unwrap(),
                    bytes: &bytes,
                };
                self.table.insert(net, AttrsBuf::from_ref(attrs));
                self.fresh(&net);
            }
        }
        assert!(frames.is_empty(), "not whole frames");
    }

    fn fresh(&mut self, net: &IpNet) {
        if let Some(stale) = &mut self.stale[Family::of(&net.addr()).index()] {
            stale.remove(net);
        }
    }

    fn take_mark(&mut self, mark: RouteRefresh) {
        let family = mark.afi_safi.family().unwrap();
        let f = family.index();
        match mark.subtype {
            RouteRefresh::BEGIN => {
                assert_eq!(self.ends_of_rib[f], 1, "before the End-of-RIB");
                assert!(self.stale[f].is_none(), "one within another");
                let nets = self.table.keys().copied();
                let stale = nets.filter(|net| Family::of(&net.addr()) == family);
                self.stale[f] = Some(stale.collect());
            }
            RouteRefresh::END => {
                for net in self.stale[f].take().expect("an end without a beginning") {
                    self.table.remove(&net);
                }
                self.refreshed[f] += 1;
            }
            other => panic!("subtype {other}"),
        }
    }
}

pub fn announce(spec: &PeerSpec, nets: &[IpNet], attrs: AttrsRef<'_>) -> BytesMut {
    let mut encoder = UpdateEncoder::new(spec.max_message, spec.as4);
    let mut frames = BytesMut::new();
    let v4: Vec<_> = nets.iter().filter_map(v4).collect();
    let v6: Vec<_> = nets.iter().filter_map(v6).collect();
    if !v4.is_empty() {
        encoder
            .announce_v4(attrs, v4.into_iter(), &mut frames)
            .unwrap();
    }
    if !v6.is_empty() {
        encoder
            .announce_v6(attrs, v6.into_iter(), &mut frames)
            .unwrap();
    }
    frames
}

pub fn context(spec: &PeerSpec) -> DecodeContext {
    DecodeContext {
        as4: spec.as4,
        external: spec.kind.is_external(),
        extended_next_hop: spec.extended_next_hop,
        families: spec.families,
    }
}

fn v4(net: &IpNet) -> Option<ipnet::Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    }
}

fn v6(net: &IpNet) -> Option<ipnet::Ipv6Net> {
    match net {
        IpNet::V6(net) => Some(*net),
        IpNet::V4(_) => None,
    }
}
