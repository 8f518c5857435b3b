//! A RIB, the naive one beside it, and peers and a kernel that hold what they
//! are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use godwit_bgp::attrs::{AttrsBuf, AttrsRef};
use godwit_bgp::wire::{
    DecodeContext, MessageType, RouteRefresh, UpdateEncoder, decode_update, split_frame,
};
use godwit_bgp::{Family, NextHop, PathId, SendPaths};
use godwit_policy::route::PolicyRef;
use godwit_rib::{
    Aggregate, FibAck, FibChange, FibTarget, KernelOptions, LimitNews, LocalRoute, NextHopSet,
    NextHopSetId, NextHopState, PeerId, PeerSpec, Rib, RibConfig, RibEvent, TapId, TapPoll,
};
use ipnet::IpNet;

use crate::naive::{Naive, NaivePeer, Target, compare};

/// What a peer at the other end holds.
#[derive(Debug, Default)]
pub struct Remote {
    /// With path identifiers where it takes several paths, else 0.
    pub table: BTreeMap<(IpNet, PathId), AttrsBuf>,
    pub ends_of_rib: [usize; 2],
    /// Refreshes (RFC 7313) that it saw whole, by family.
    pub refreshed: [usize; 2],
    /// What a refresh under way has not brought again.
    pub stale: [Option<BTreeSet<(IpNet, PathId)>>; 2],
    /// Routes it was told of, one way or the other.
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
    /// What was said of prefix limits.
    pub limits: Vec<(PeerId, LimitNews)>,
    /// By peer and family: what it has not announced again since it began to.
    pub stale: BTreeMap<(u16, usize), BTreeSet<(IpNet, PathId)>>,
    /// Families whose End-of-RIB, or its time-out, ends a graceful restart.
    restarting: BTreeMap<u16, [bool; 2]>,
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
                aggregates: Vec::new(),
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
            restarting: BTreeMap::new(),
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
        self.forget(id);
    }

    fn forget(&mut self, id: PeerId) {
        self.naive.peers.remove(&id.0);
        self.remotes.remove(&id.0);
        self.ready.remove(&id);
        self.stale.retain(|(peer, _), _| *peer != id.0);
        self.restarting.remove(&id.0);
    }

    /// A session ends whose peer may be back; of the families in `keep` its
    /// routes stay, but for those that it had to announce again and had not.
    pub fn away(&mut self, id: PeerId, keep: [bool; 2]) {
        if keep == [false; 2] {
            self.rib.peer_away(id, keep);
            return self.forget(id);
        }
        self.rib.peer_away(id, keep);
        self.remotes.remove(&id.0);
        self.ready.remove(&id);
        for family in Family::ALL {
            self.sweep(id, family);
            self.begin(id, family);
            if !keep[family.index()] {
                self.sweep(id, family);
            }
        }
        self.restarting.insert(id.0, keep);
    }

    /// It is back, as this one; of the families in `keep` what was stale stays.
    pub fn back(&mut self, id: PeerId, spec: PeerSpec, keep: [bool; 2]) -> PeerId {
        let new = self.rib.peer_back(id, spec.clone(), keep, self.now);
        if new != id {
            self.forget(id);
            let received = BTreeMap::new();
            self.naive.peers.insert(new.0, NaivePeer { spec, received });
        } else {
            for family in Family::ALL {
                let f = family.index();
                if !(keep[f] && spec.families[f]) {
                    self.restart_end(id, family);
                }
            }
            self.naive.peers.get_mut(&id.0).unwrap().spec = spec;
        }
        self.gone.remove(&new);
        self.remotes.insert(new.0, Remote::default());
        new
    }

    /// The time is over in which a peer that is back could have announced all.
    pub fn stale_over(&mut self, id: PeerId, family: Family) {
        self.rib.stale_over(id, family);
        self.restart_end(id, family);
    }

    fn restart_end(&mut self, id: PeerId, family: Family) {
        let restarting = self.restarting.get_mut(&id.0);
        if restarting.is_some_and(|r| std::mem::take(&mut r[family.index()])) {
            self.sweep(id, family);
        }
    }

    fn send(&mut self, id: PeerId, frames: BytesMut) {
        let spec = &self.naive.peers[&id.0].spec;
        let context = context(spec, spec.add_path_receive);
        let mut frames = frames;
        while let Some(frame) = split_frame(&mut frames, spec.max_message).unwrap() {
            let update = decode_update(frame.body, context).unwrap();
            assert!(update.faults.is_empty(), "{:?}", update.faults);
            self.rib.update(id, &update, self.now);
        }
    }

    pub fn announce(&mut self, id: PeerId, nets: &[IpNet], attrs: &AttrsBuf) {
        self.announce_path(id, PathId(0), nets, attrs);
    }

    /// Under an identifier, which means nothing if the peer is not to give any.
    pub fn announce_path(&mut self, id: PeerId, path: PathId, nets: &[IpNet], attrs: &AttrsBuf) {
        let frames = announce(&self.naive.peers[&id.0].spec, path, nets, attrs.as_ref());
        self.send(id, frames);
        let peer = self.naive.peers.get_mut(&id.0).unwrap();
        let mut attrs = attrs.clone();
        attrs.next_hop = attrs.next_hop.on(peer.spec.link);
        let keys = nets.iter().map(|net| key(&peer.spec, *net, path));
        let keys: Vec<(IpNet, PathId)> = keys.collect();
        let paths = keys.iter().map(|key| (*key, attrs.clone()));
        peer.received.extend(paths);
        self.fresh(id, &keys);
    }

    /// As [`announce_path`](Self::announce_path), and the naive RIB hears nothing.
    pub fn announce_beside(&mut self, id: PeerId, path: PathId, nets: &[IpNet], attrs: &AttrsBuf) {
        let frames = announce(&self.naive.peers[&id.0].spec, path, nets, attrs.as_ref());
        self.send(id, frames);
    }

    pub fn withdraw(&mut self, id: PeerId, nets: &[IpNet]) {
        self.withdraw_path(id, PathId(0), nets);
    }

    pub fn withdraw_path(&mut self, id: PeerId, path: PathId, nets: &[IpNet]) {
        let spec = &self.naive.peers[&id.0].spec;
        let encoder = UpdateEncoder::new(spec.max_message, spec.as4);
        let mut frames = BytesMut::new();
        let v4 = nets.iter().filter_map(v4);
        match spec.add_path_receive[0] {
            true => encoder.withdraw_v4(v4.map(|net| (path, net)), &mut frames),
            false => encoder.withdraw_v4(v4, &mut frames),
        }
        let v6 = nets.iter().filter_map(v6);
        match spec.add_path_receive[1] {
            true => encoder.withdraw_v6(v6.map(|net| (path, net)), &mut frames),
            false => encoder.withdraw_v6(v6, &mut frames),
        }
        self.send(id, frames);
        let peer = self.naive.peers.get_mut(&id.0).unwrap();
        let keys = nets.iter().map(|net| key(&peer.spec, *net, path));
        let keys: Vec<(IpNet, PathId)> = keys.collect();
        for key in &keys {
            peer.received.remove(key);
        }
        self.fresh(id, &keys);
    }

    pub fn end_of_rib(&mut self, id: PeerId, family: Family) {
        let spec = &self.naive.peers[&id.0].spec;
        let mut frames = BytesMut::new();
        UpdateEncoder::new(spec.max_message, spec.as4).end_of_rib(family, &mut frames);
        self.send(id, frames);
        self.restart_end(id, family);
    }

    fn fresh(&mut self, id: PeerId, keys: &[(IpNet, PathId)]) {
        for key in keys {
            let family = Family::of(&key.0.addr()).index();
            if let Some(stale) = self.stale.get_mut(&(id.0, family)) {
                stale.remove(key);
            }
        }
    }

    /// The peer begins to announce a family anew (RFC 7313).
    pub fn refresh_begin(&mut self, id: PeerId, family: Family) {
        self.rib.refresh_begin(id, family);
        self.begin(id, family);
    }

    fn begin(&mut self, id: PeerId, family: Family) {
        let nets = self.naive.peers[&id.0].received.keys().copied();
        let stale = nets.filter(|(net, _)| Family::of(&net.addr()) == family);
        self.stale.insert((id.0, family.index()), stale.collect());
    }

    pub fn refresh_end(&mut self, id: PeerId, family: Family) {
        self.rib.refresh_end(id, family);
        self.sweep(id, family);
    }

    /// What was to be announced again and was not goes.
    fn sweep(&mut self, id: PeerId, family: Family) {
        let stale = self.stale.remove(&(id.0, family.index()));
        let received = &mut self.naive.peers.get_mut(&id.0).unwrap().received;
        for key in stale.into_iter().flatten() {
            received.remove(&key);
        }
    }

    pub fn aggregate(&mut self, aggregates: Vec<Aggregate>) {
        self.rib.set_aggregates(&aggregates, self.now);
        self.naive.aggregates = aggregates;
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
                remote.table.insert((never, PathId(0)), attrs);
            }
        } else {
            let table = &mut remote.table;
            table.retain(|(net, _), _| Family::of(&net.addr()) != family);
        }
    }

    pub fn set_send_paths(&mut self, id: PeerId, send: SendPaths) {
        let mut spec = self.naive.peers[&id.0].spec.clone();
        // The others stay as they were agreed.
        spec.add_path_send
            .iter_mut()
            .flatten()
            .for_each(|s| *s = send);
        self.set_spec(id, spec);
    }

    pub fn reconfigure(&mut self, config: RibConfig) {
        self.rib.reconfigure(config);
        if !config.fib {
            // Whoever served the kernel has gone, and its routes with it.
            self.kernel.clear();
        }
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
            // One of our own and one that a policy made look alike from here.
            let blackhole = matches!(target, Some(Target::Blackhole(_)));
            assert!(
                old != target || blackhole,
                "{} did not change",
                route.prefix
            );
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

    pub fn read_tap(&mut self) {
        let mut nets = Vec::new();
        while self.rib.poll_tap(self.tap, &mut nets, 3) != TapPoll::Empty {}
        self.tapped.extend(nets);
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
            self.read_tap();
            if !any {
                return;
            }
        }
    }
}

impl Remote {
    /// Of a prefix, to a peer that takes one path.
    pub fn route(&self, net: IpNet) -> Option<&AttrsBuf> {
        self.table.get(&(net, PathId(0)))
    }

    /// The paths of each prefix, in order.
    pub fn paths(&self) -> BTreeMap<IpNet, Vec<AttrsBuf>> {
        let mut paths: BTreeMap<IpNet, Vec<AttrsBuf>> = BTreeMap::new();
        for ((net, _), attrs) in &self.table {
            paths.entry(*net).or_default().push(attrs.clone());
        }
        paths.values_mut().for_each(|paths| paths.sort_by(compare));
        paths
    }

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
            let several = spec.add_path_send.map(|send| send.is_some());
            let update = decode_update(frame.body, context(spec, several)).unwrap();
            assert!(update.faults.is_empty(), "{:?}", update.faults);
            if let Some(family) = update.end_of_rib() {
                self.ends_of_rib[family.index()] += 1;
                continue;
            }
            let mut bytes = Vec::new();
            update.canonical_attrs(&mut bytes);
            let v4 = update
                .withdrawn_paths_v4()
                .map(|(id, net)| (net.into(), id));
            let v6 = update
                .withdrawn_paths_v6()
                .map(|(id, net)| (net.into(), id));
            for key in v4.chain(v6) {
                self.told += 1;
                self.table.remove(&key);
                self.fresh(&key);
            }
            let v4 = update
                .announced_paths_v4()
                .map(|(id, net)| (net.into(), id));
            let v6 = update
                .announced_paths_v6()
                .map(|(id, net)| (net.into(), id));
            for (net, path_id) in v4.chain(v6) {
                self.told += 1;
                let net: IpNet = net;
                let attrs = AttrsRef {
                    next_hop: update.next_hop(Family::of(&net.addr())).unwrap(),
                    bytes: &bytes,
                };
                self.table.insert((net, path_id), AttrsBuf::from_ref(attrs));
                self.fresh(&(net, path_id));
            }
        }
        assert!(frames.is_empty(), "not whole frames");
    }

    fn fresh(&mut self, key: &(IpNet, PathId)) {
        if let Some(stale) = &mut self.stale[Family::of(&key.0.addr()).index()] {
            stale.remove(key);
        }
    }

    fn take_mark(&mut self, mark: RouteRefresh) {
        let family = mark.afi_safi.family().unwrap();
        let f = family.index();
        match mark.subtype {
            RouteRefresh::BEGIN => {
                assert_eq!(self.ends_of_rib[f], 1, "before the End-of-RIB");
                assert!(self.stale[f].is_none(), "one within another");
                let held = self.table.keys().copied();
                let stale = held.filter(|(net, _)| Family::of(&net.addr()) == family);
                self.stale[f] = Some(stale.collect());
            }
            RouteRefresh::END => {
                for key in self.stale[f].take().expect("an end without a beginning") {
                    self.table.remove(&key);
                }
                self.refreshed[f] += 1;
            }
            other => panic!("subtype {other}"),
        }
    }
}

fn announce(spec: &PeerSpec, id: PathId, nets: &[IpNet], attrs: AttrsRef<'_>) -> BytesMut {
    let mut encoder = UpdateEncoder::new(spec.max_message, spec.as4);
    let mut frames = BytesMut::new();
    let v4: Vec<_> = nets.iter().filter_map(v4).collect();
    let v6: Vec<_> = nets.iter().filter_map(v6).collect();
    if !v4.is_empty() {
        let v4 = v4.into_iter();
        match spec.add_path_receive[0] {
            true => encoder.announce_v4(attrs, v4.map(|net| (id, net)), &mut frames),
            false => encoder.announce_v4(attrs, v4, &mut frames),
        }
        .unwrap();
    }
    if !v6.is_empty() {
        let v6 = v6.into_iter();
        match spec.add_path_receive[1] {
            true => encoder.announce_v6(attrs, v6.map(|net| (id, net)), &mut frames),
            false => encoder.announce_v6(attrs, v6, &mut frames),
        }
        .unwrap();
    }
    frames
}

/// A prefix as we keep it of this peer.
fn key(spec: &PeerSpec, net: IpNet, path: PathId) -> (IpNet, PathId) {
    match spec.add_path_receive[Family::of(&net.addr()).index()] {
        true => (net, path),
        false => (net, PathId(0)),
    }
}

fn context(spec: &PeerSpec, add_path: [bool; 2]) -> DecodeContext {
    DecodeContext {
        as4: spec.as4,
        external: spec.kind.is_external(),
        extended_next_hop: spec.extended_next_hop,
        families: spec.families,
        add_path,
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
