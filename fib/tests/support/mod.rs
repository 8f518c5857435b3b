//! Two namespaces with two veth pairs between them, and a fib in one.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use godwit_bgp::NextHop;
use godwit_fib::{Fib, FibConfig, FibHandle, FibSink, OnStop};
use godwit_netlink::{
    NextHopObject, RequestSocket, Route, RouteFilter, RouteKey, RouteTarget, VethEnd, netns,
};
use godwit_rib::{
    FibAck, FibChange, FibTarget, NextHopSet, NextHopSetId, NextHopState, RouteChange,
};
use ipnet::IpNet;

const PATIENCE: Duration = Duration::from_secs(10);

/// Says why nothing is tested, where nothing can be.
pub fn can_run() -> bool {
    let root = netns::is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// A host with `eth0` 10.1.0.1/24, 2001:db8:1::1/64 and `eth1` 10.2.0.1/24,
/// 2001:db8:2::1/64, whose other ends are .2 and ::2 in a neighbour namespace.
pub struct Host {
    pub name: String,
    neighbour: String,
}

impl Host {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let host = Host {
            name: format!("kernel-h-{id}"),
            neighbour: format!("kernel-n-{id}"),
        };
        for name in [&host.name, &host.neighbour] {
            netns::create(name).unwrap();
        }
        let here = netns::open(&host.name).unwrap();
        let there = netns::open(&host.neighbour).unwrap();
        let mut socket = RequestSocket::open().unwrap();
        for name in ["eth0", "eth1"] {
            let end = |namespace| VethEnd {
                name,
                namespace: Some(namespace),
                mtu: None,
            };
            socket
                .add_veth(end(here.as_fd()), end(there.as_fd()))
                .unwrap();
        }
        host.configure(&host.name, 1);
        host.configure(&host.neighbour, 2);
        host.wait(|host| host.request(|s| s.links().unwrap().iter().all(|l| l.running)));
        host
    }

    fn configure(&self, name: &str, last: u8) {
        netns::run_in(name, || {
            let mut socket = RequestSocket::open().unwrap();
            for link in socket.links().unwrap() {
                socket.set_link_up(link.index, true).unwrap();
                let third = match link.name.as_str() {
                    "eth0" => 1,
                    "eth1" => 2,
                    _ => continue,
                };
                for address in [
                    format!("10.{third}.0.{last}/24"),
                    format!("2001:db8:{third}::{last}/64"),
                ] {
                    socket
                        .add_address(link.index, address.parse().unwrap())
                        .unwrap();
                }
            }
        })
        .unwrap();
    }

    /// Runs with a request socket inside the host.
    pub fn request<T: Send>(&self, work: impl FnOnce(&mut RequestSocket) -> T + Send) -> T {
        netns::run_in(&self.name, || work(&mut RequestSocket::open().unwrap())).unwrap()
    }

    pub fn index(&self, name: &str) -> u32 {
        self.request(|s| s.link_index(name).unwrap())
    }

    /// Takes the carrier from an interface, or gives it back.
    pub fn set_carrier(&self, name: &str, on: bool) {
        netns::run_in(&self.neighbour, || {
            let mut socket = RequestSocket::open().unwrap();
            let index = socket.link_index(name).unwrap();
            socket.set_link_up(index, on).unwrap();
        })
        .unwrap();
    }

    pub fn set_up(&self, name: &str, up: bool) {
        self.request(|s| {
            let index = s.link_index(name).unwrap();
            s.set_link_up(index, up).unwrap();
        });
    }

    pub fn add_route(&self, prefix: &str, metric: u32, protocol: u8, via: &str) {
        let interface = self.index(if via.starts_with("10.1.") {
            "eth0"
        } else {
            "eth1"
        });
        let hop = godwit_netlink::RouteHop {
            via: Some(via.parse().unwrap()),
            interface,
            weight: 1,
            on_link: false,
        };
        self.request(|s| {
            s.add_route(&key(prefix, metric, protocol), RouteTarget::Hops(&[hop]))
                .unwrap();
        });
    }

    pub fn delete_route(&self, prefix: &str, metric: u32, protocol: u8) {
        self.request(|s| s.delete_route(&key(prefix, metric, protocol)).unwrap());
    }

    /// Our routes in the kernel.
    pub fn ours(&self) -> Vec<Route> {
        self.ours_in(Some(254))
    }

    /// `None`: in every table.
    pub fn ours_in(&self, table: Option<u32>) -> Vec<Route> {
        self.request(|s| {
            s.routes(RouteFilter {
                table,
                protocol: Some(103),
            })
            .unwrap()
        })
    }

    pub fn objects(&self) -> Vec<NextHopObject> {
        self.request(|s| s.next_hops().unwrap())
    }

    pub fn has(&self, prefix: &str) -> bool {
        let prefix: IpNet = prefix.parse().unwrap();
        self.ours().iter().any(|r| r.key.prefix == prefix)
    }

    /// Gateways that the kernel would use for our route, sorted.
    pub fn gateways(&self, prefix: &str) -> Vec<IpAddr> {
        let prefix: IpNet = prefix.parse().unwrap();
        let objects: HashMap<u32, NextHopObject> =
            self.objects().into_iter().map(|o| (o.id, o)).collect();
        let Some(route) = self.ours().into_iter().find(|r| r.key.prefix == prefix) else {
            return Vec::new();
        };
        let mut gateways = Vec::new();
        let mut todo: Vec<u32> = route.object.into_iter().collect();
        while let Some(id) = todo.pop() {
            match objects.get(&id).map(|o| &o.target) {
                Some(godwit_netlink::NextHopTarget::Hop { via, .. }) => gateways.extend(*via),
                Some(godwit_netlink::NextHopTarget::Group(members)) => {
                    todo.extend(members.iter().map(|m| m.id));
                }
                _ => {}
            }
        }
        gateways.sort();
        gateways
    }

    pub fn wait(&self, until: impl Fn(&Host) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !until(self) {
            assert!(Instant::now() < deadline, "still not so after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for name in [&self.name, &self.neighbour] {
            let _ = netns::delete(name);
        }
    }
}

fn key(prefix: &str, metric: u32, protocol: u8) -> RouteKey {
    RouteKey {
        prefix: prefix.parse().unwrap(),
        table: 254,
        metric,
        protocol,
    }
}

#[derive(Default)]
struct Heard {
    acks: HashMap<IpNet, FibAck>,
    next_hops: HashMap<NextHop, NextHopState>,
}

#[derive(Clone, Default)]
struct Ear(Arc<(Mutex<Heard>, Condvar)>);

impl FibSink for Ear {
    fn acks(&self, acks: Vec<FibAck>) {
        self.0
            .0
            .lock()
            .unwrap()
            .acks
            .extend(acks.into_iter().map(|a| (a.prefix, a)));
        self.0.1.notify_all();
    }

    fn next_hops(&self, states: Vec<(NextHop, NextHopState)>) {
        self.0.0.lock().unwrap().next_hops.extend(states);
        self.0.1.notify_all();
    }

    fn ready_for_more(&self) {}
}

/// A running fib and what it has said.
pub struct Running {
    pub handle: FibHandle,
    ear: Ear,
    seq: AtomicU64,
}

impl Running {
    pub fn start(host: &Host) -> Self {
        Self::start_with(host, FibConfig::default())
    }

    pub fn start_with(host: &Host, config: FibConfig) -> Self {
        let ear = Ear::default();
        let sink = ear.clone();
        let handle = netns::run_in(&host.name, || Fib::spawn(config, sink).unwrap()).unwrap();
        Running {
            handle,
            ear,
            seq: AtomicU64::new(1),
        }
    }

    pub fn define(&self, id: u32, next_hops: &[&str]) {
        let hops: Vec<NextHop> = next_hops
            .iter()
            .map(|n| n.parse::<IpAddr>().unwrap().into())
            .collect();
        self.define_set(id, NextHopSet::of(&hops));
    }

    pub fn define_set(&self, id: u32, set: NextHopSet) {
        self.handle
            .try_send(vec![FibChange::Define(NextHopSetId(id), Arc::new(set))])
            .unwrap();
    }

    pub fn want(&self, prefix: &str, target: FibTarget) {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        let change = RouteChange {
            prefix: prefix.parse().unwrap(),
            seq,
            target,
        };
        self.handle
            .try_send(vec![FibChange::Route(change)])
            .unwrap();
    }

    /// Waits for the answer to the latest wish.
    pub fn ack(&self, prefix: &str) -> FibAck {
        let seq = self.seq.load(Ordering::Relaxed) - 1;
        let prefix: IpNet = prefix.parse().unwrap();
        self.until(|heard| heard.acks.get(&prefix).filter(|a| a.seq == seq).copied())
    }

    /// Wants it and waits for the answer.
    pub fn put(&self, prefix: &str, target: FibTarget) -> FibAck {
        self.want(prefix, target);
        self.ack(prefix)
    }

    pub fn wait_ack(&self, prefix: &str, installed: bool) -> FibAck {
        let prefix: IpNet = prefix.parse().unwrap();
        self.until(|heard| {
            heard
                .acks
                .get(&prefix)
                .filter(|a| a.installed == installed)
                .copied()
        })
    }

    pub fn wait_next_hop(&self, next_hop: &str, state: NextHopState) {
        let next_hop = next_hop.parse::<IpAddr>().unwrap().into();
        self.until(|heard| {
            heard
                .next_hops
                .get(&next_hop)
                .filter(|s| **s == state)
                .copied()
        });
    }

    fn until<T>(&self, look: impl Fn(&Heard) -> Option<T>) -> T {
        let (heard, news) = &*self.ear.0;
        let mut heard = heard.lock().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(&heard) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not heard within {PATIENCE:?}; acks: {:?} next hops: {:?}",
                heard.acks,
                heard.next_hops
            );
            heard = news.wait_timeout(heard, left).unwrap().0;
        }
    }

    pub fn stop(self, on_stop: OnStop) {
        assert!(self.handle.stop(on_stop, PATIENCE));
    }
}

pub fn hops(id: u32) -> FibTarget {
    FibTarget::Hops(NextHopSetId(id))
}

pub const CONNECTED: NextHopState = NextHopState {
    reachable: true,
    cost: 0,
};
pub const UNREACHABLE: NextHopState = NextHopState {
    reachable: false,
    cost: 0,
};
