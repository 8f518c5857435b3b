//! The engine against a kernel made up of maps, which drops and refuses as the
//! real one does.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use godwit_netlink::{
    Address, Failure, GroupMember, Link, NextHopObject, NextHopTarget, RouteHop, RouteKey,
    RouteType,
};
use godwit_rib::{FibAck, RouteChange};
use proptest::prelude::*;

use super::*;
use crate::api::{RouteState, Way};
use crate::kernel::RouteTo;

const ETH0: u32 = 2;
const ETH1: u32 = 3;
const HOME: Place = Place {
    table: 254,
    metric: 10_103,
};

#[derive(Debug, Default)]
struct Fake {
    links: BTreeMap<u32, Link>,
    objects: BTreeMap<u32, NextHopTarget>,
    routes: BTreeMap<(IpNet, Place), RouteTo>,
    foreign: Vec<godwit_netlink::Route>,
    /// Refuses these with this errno.
    refuse: HashMap<IpNet, i32>,
    /// Fails the next writes as a whole.
    broken: bool,
    /// Tables can't be read.
    unreadable: bool,
    sent: Vec<Op>,
    dump: Option<Vec<godwit_netlink::Route>>,
}

impl Fake {
    fn one(&mut self, op: &Op) -> Result<(), i32> {
        match op {
            Op::SetHop { id, hop } => {
                if !self.links.get(&hop.interface).is_some_and(|l| l.running) {
                    return Err(libc::ENETDOWN);
                }
                let target = NextHopTarget::Hop {
                    via: Some(hop.via),
                    interface: hop.interface,
                    on_link: hop.on_link,
                };
                self.objects.insert(*id, target);
            }
            Op::SetGroup { id, members } => {
                if members.is_empty() || members.iter().any(|m| !self.objects.contains_key(&m.id)) {
                    return Err(libc::EINVAL);
                }
                self.objects
                    .insert(*id, NextHopTarget::Group(members.clone()));
            }
            Op::DeleteNextHop { id } => return self.remove_object(*id),
            Op::SetRoute {
                prefix,
                place,
                to,
                source: _,
                exclusive,
            } => {
                if let Some(errno) = self.refuse.get(prefix) {
                    return Err(*errno);
                }
                let foreign = self
                    .foreign
                    .iter()
                    .any(|r| r.key.prefix == *prefix && place_of(r) == *place);
                if *exclusive && (foreign || self.routes.contains_key(&(*prefix, *place))) {
                    return Err(libc::EEXIST);
                }
                assert!(!foreign, "a foreign route at {prefix} was overwritten");
                if let RouteTo::Group(id) = to
                    && !self.objects.contains_key(id)
                {
                    return Err(libc::EINVAL);
                }
                self.routes.insert((*prefix, *place), *to);
            }
            Op::DeleteRoute { prefix, place } => {
                let route = self.routes.remove(&(*prefix, *place));
                route.ok_or(libc::ESRCH)?;
            }
        }
        Ok(())
    }

    fn remove_object(&mut self, id: u32) -> Result<(), i32> {
        self.objects.remove(&id).ok_or(libc::ENOENT)?;
        let mut empty = Vec::new();
        for (group, target) in &mut self.objects {
            if let NextHopTarget::Group(members) = target {
                let before = members.len();
                members.retain(|m| m.id != id);
                if members.is_empty() && before > 0 {
                    empty.push(*group);
                }
            }
        }
        self.routes.retain(|_, to| *to != RouteTo::Group(id));
        for group in empty {
            self.remove_object(group)?;
        }
        Ok(())
    }

    /// What the kernel does, silently, when a link loses its carrier.
    fn set_running(&mut self, index: u32, running: bool) -> Event {
        let link = self.links.get_mut(&index).unwrap();
        link.running = running;
        let link = link.clone();
        if !running {
            let on_link = |t: &NextHopTarget| matches!(t, NextHopTarget::Hop { interface, .. } if *interface == index);
            let gone: Vec<u32> = self
                .objects
                .iter()
                .filter(|(_, t)| on_link(t))
                .map(|(id, _)| *id)
                .collect();
            for id in gone {
                self.remove_object(id).unwrap();
            }
        }
        Event::Link(link)
    }

    /// Neighbours that the kernel would send a prefix to, and their links.
    fn neighbours(&self, prefix: &str) -> Vec<(IpAddr, u32)> {
        let prefix = prefix.parse().unwrap();
        let here = self.routes.iter().filter(|((p, _), _)| *p == prefix);
        let Some(RouteTo::Group(id)) = here.map(|(_, to)| to).next() else {
            return Vec::new();
        };
        let Some(NextHopTarget::Group(members)) = self.objects.get(id) else {
            panic!("a route names no group")
        };
        let neighbour = |m: &GroupMember| match self.objects.get(&m.id) {
            Some(NextHopTarget::Hop { via, interface, .. }) => (via.unwrap(), *interface),
            other => panic!("a group's member is {other:?}"),
        };
        let mut neighbours: Vec<_> = members.iter().map(neighbour).collect();
        neighbours.sort();
        neighbours
    }

    fn dumped(&self) -> Vec<godwit_netlink::Route> {
        let ours = self
            .routes
            .iter()
            .map(|((prefix, place), to)| godwit_netlink::Route {
                key: RouteKey {
                    prefix: *prefix,
                    table: place.table,
                    metric: place.metric,
                    protocol: 103,
                },
                kind: if *to == RouteTo::Blackhole {
                    RouteType::Blackhole
                } else {
                    RouteType::Unicast
                },
                tos: 0,
                object: match to {
                    RouteTo::Group(id) => Some(*id),
                    RouteTo::Blackhole => None,
                },
                hops: Vec::new(),
                source: None,
            });
        ours.chain(self.foreign.iter().cloned()).collect()
    }
}

#[derive(Clone, Debug, Default)]
struct Shared(Rc<RefCell<Fake>>);

impl Kernel for Shared {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Failure>, Error> {
        let mut fake = self.0.borrow_mut();
        if fake.broken {
            return Err(Error::Overrun);
        }
        fake.sent.extend(ops.iter().cloned());
        let failures = ops.iter().enumerate().filter_map(|(index, op)| {
            fake.one(op).err().map(|errno| Failure {
                index,
                errno,
                text: None,
            })
        });
        Ok(failures.collect())
    }

    fn links(&mut self) -> Result<Vec<Link>, Error> {
        Ok(self.0.borrow().links.values().cloned().collect())
    }

    fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        Ok(Vec::new())
    }

    fn next_hops(&mut self) -> Result<Vec<NextHopObject>, Error> {
        let fake = self.0.borrow();
        Ok(fake
            .objects
            .iter()
            .map(|(id, t)| NextHopObject {
                id: *id,
                protocol: 103,
                target: t.clone(),
            })
            .collect())
    }

    fn table(&mut self, table: u32) -> Result<Vec<godwit_netlink::Route>, Error> {
        if self.0.borrow().unreadable {
            return Err(Error::Overrun);
        }
        let mut routes = self.0.borrow().dumped();
        routes.retain(|r| r.key.table == table);
        Ok(routes)
    }

    fn start_dump(&mut self) -> Result<(), Error> {
        let routes = self.0.borrow().dumped();
        self.0.borrow_mut().dump = Some(routes);
        Ok(())
    }

    fn dump_chunk(&mut self, each: &mut dyn FnMut(godwit_netlink::Route)) -> Result<bool, Error> {
        let routes = self.0.borrow_mut().dump.take();
        routes.into_iter().flatten().for_each(each);
        Ok(false)
    }

    fn set_compat_mode(&mut self, _: &str) -> Result<String, Error> {
        Ok("1".into())
    }
}

/// Written to by the engine on this thread only; `FibSink` asks for `Send`.
#[derive(Clone, Debug, Default)]
struct Ear(Arc<std::sync::Mutex<HashMap<IpNet, FibAck>>>);

impl FibSink for Ear {
    fn acks(&self, acks: Vec<FibAck>) {
        self.0
            .lock()
            .unwrap()
            .extend(acks.into_iter().map(|a| (a.prefix, a)));
    }

    fn next_hops(&self, _: Vec<(NextHop, NextHopState)>) {}

    fn ready_for_more(&self) {}
}

fn link(index: u32) -> Link {
    Link {
        index,
        name: format!("eth{}", index - ETH0),
        up: true,
        running: true,
        loopback: false,
        mtu: 1500,
        hardware_address: Vec::new(),
    }
}

fn on_link(prefix: &str, interface: u32) -> godwit_netlink::Route {
    let hop = RouteHop {
        via: None,
        interface,
        weight: 1,
        on_link: false,
    };
    let key = RouteKey {
        prefix: prefix.parse().unwrap(),
        table: 254,
        metric: 0,
        protocol: 2,
    };
    godwit_netlink::Route {
        key,
        kind: RouteType::Unicast,
        tos: 0,
        object: None,
        hops: vec![hop],
        source: None,
    }
}

struct Bench {
    fake: Shared,
    ear: Ear,
    engine: Engine<Shared, Ear>,
    seq: u64,
    now: Duration,
}

impl Bench {
    /// 10.0.0.0/24 is on eth0, 10.1.0.0/24 on eth1.
    fn new() -> Self {
        let fake = Shared::default();
        fake.0.borrow_mut().links = [(ETH0, link(ETH0)), (ETH1, link(ETH1))].into();
        fake.0.borrow_mut().foreign =
            vec![on_link("10.0.0.0/24", ETH0), on_link("10.1.0.0/24", ETH1)];
        Self::over(fake)
    }

    fn over(fake: Shared) -> Self {
        let ear = Ear::default();
        let engine = Engine::start(FibConfig::default(), fake.clone(), ear.clone()).unwrap();
        Bench {
            fake,
            ear,
            engine,
            seq: 0,
            now: Duration::ZERO,
        }
    }

    fn define(&mut self, id: u32, next_hops: &[&str]) {
        self.define_in(id, next_hops, None);
    }

    fn define_in(&mut self, id: u32, next_hops: &[&str], table: Option<u32>) {
        let hops: Vec<NextHop> = next_hops
            .iter()
            .map(|n| n.parse::<IpAddr>().unwrap().into())
            .collect();
        let mut set = NextHopSet::of(&hops);
        set.options.table = table;
        let change = FibChange::Define(NextHopSetId(id), Arc::new(set));
        self.engine.change(change);
    }

    fn define_hops(&mut self, id: u32, hops: &[NextHop]) {
        let set = Arc::new(NextHopSet::of(hops));
        self.engine.change(FibChange::Define(NextHopSetId(id), set));
    }

    fn want(&mut self, prefix: &str, target: FibTarget) {
        self.seq += 1;
        let change = RouteChange {
            prefix: prefix.parse().unwrap(),
            seq: self.seq,
            target,
        };
        self.engine.change(FibChange::Route(change));
    }

    fn hops(&mut self, prefix: &str, set: u32) {
        self.want(prefix, FibTarget::Hops(NextHopSetId(set)));
    }

    /// Works until there is nothing to do, the calm after trouble included.
    fn settle(&mut self) {
        for _ in 0..100 {
            if self.engine.work(self.now) {
                continue;
            }
            match self.engine.next_deadline() {
                Some(at) => self.now = self.now.max(at),
                None => return,
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.engine.event(event, self.now);
    }

    fn running(&mut self, index: u32, running: bool) {
        let event = self.fake.0.borrow_mut().set_running(index, running);
        self.event(event);
    }

    fn ack(&self, prefix: &str) -> FibAck {
        self.ear.0.lock().unwrap()[&prefix.parse().unwrap()]
    }

    fn sent(&self) -> Vec<Op> {
        std::mem::take(&mut self.fake.0.borrow_mut().sent)
    }

    fn gateways(&self, prefix: &str) -> Vec<String> {
        self.fake
            .0
            .borrow()
            .neighbours(prefix)
            .iter()
            .map(|(via, _)| via.to_string())
            .collect()
    }
}

#[test]
fn wishes_that_were_overtaken_never_reach_the_kernel() {
    let mut bench = Bench::new();
    bench.define(1, &["10.0.0.2"]);
    bench.hops("192.0.2.0/24", 1);
    bench.want("192.0.2.0/24", FibTarget::None);
    bench.want("198.51.100.0/24", FibTarget::None);
    bench.want("198.51.100.0/24", FibTarget::Blackhole);
    bench.settle();
    let routes = bench.sent().into_iter().filter(|op| {
        !matches!(
            op,
            Op::SetHop { .. } | Op::SetGroup { .. } | Op::DeleteNextHop { .. }
        )
    });
    assert_eq!(
        routes.collect::<Vec<_>>(),
        vec![Op::SetRoute {
            prefix: "198.51.100.0/24".parse().unwrap(),
            place: HOME,
            to: RouteTo::Blackhole,
            source: None,
            exclusive: true
        }]
    );
    assert_eq!(bench.ack("192.0.2.0/24").seq, 2);
    assert_eq!(bench.engine.routes.len(), 1);
}

#[test]
fn link_local_next_hops_of_one_address_stay_on_their_links() {
    let mut bench = Bench::new();
    let on = |interface| {
        let nobody = std::net::Ipv6Addr::UNSPECIFIED;
        NextHop::V6WithLinkLocal(nobody, "fe80::1".parse().unwrap(), interface)
    };
    let sets = [vec![on(ETH0)], vec![on(ETH1)], vec![on(ETH0), on(ETH1)]];
    for (id, set) in (1..).zip(sets) {
        bench.define_hops(id, &set);
        bench.hops(&format!("192.0.{id}.0/24"), id);
    }
    bench.settle();
    let interfaces = |bench: &Bench, prefix: &str| -> Vec<u32> {
        let neighbours = bench.fake.0.borrow().neighbours(prefix);
        neighbours.iter().map(|(_, interface)| *interface).collect()
    };
    assert_eq!(interfaces(&bench, "192.0.1.0/24"), [ETH0]);
    assert_eq!(interfaces(&bench, "192.0.2.0/24"), [ETH1]);
    assert_eq!(interfaces(&bench, "192.0.3.0/24"), [ETH0, ETH1]);
    bench.running(ETH0, false);
    bench.settle();
    assert!(!bench.ack("192.0.1.0/24").installed);
    assert_eq!(interfaces(&bench, "192.0.2.0/24"), [ETH1]);
    assert_eq!(interfaces(&bench, "192.0.3.0/24"), [ETH1]);
}

#[test]
fn a_link_local_next_hop_without_a_link_is_not_guessed() {
    let mut bench = Bench::new();
    bench.running(ETH1, false);
    let nobody = std::net::Ipv6Addr::UNSPECIFIED;
    let lost = NextHop::V6WithLinkLocal(nobody, "fe80::1".parse().unwrap(), 0);
    bench.define_hops(1, &[lost]);
    bench.hops("192.0.2.0/24", 1);
    bench.settle();
    assert_eq!(bench.ack("192.0.2.0/24").error, Some(libc::ENETUNREACH));
}

#[test]
fn the_way_to_a_next_hop_is_told_with_its_route_or_the_reason_why_not() {
    let mut fake = Fake::default();
    for index in [ETH0, ETH1] {
        fake.links.insert(index, link(index));
    }
    fake.foreign = vec![on_link("10.0.0.0/24", ETH0), on_link("0.0.0.0/0", ETH1)];
    let mut bench = Bench::over(Shared(Rc::new(RefCell::new(fake))));
    bench.engine.config.via_default = false;
    bench.define(1, &["10.0.0.1"]);
    bench.hops("192.0.2.0/24", 1);
    bench.settle();
    let asked = [
        "10.0.0.1",
        "192.0.2.7",
        "198.51.100.1",
        "224.0.0.1",
        "fe80::1",
    ];
    let asked = asked.map(|text| NextHop::from(text.parse::<IpAddr>().unwrap()));
    let story = bench.engine.story("192.0.2.0/24".parse().unwrap(), &asked);
    let ways: Vec<_> = (story.next_hops.iter())
        .map(|found| (found.way, !found.resolved.is_empty()))
        .collect();
    let route = |text: &str| Way::Route(text.parse().unwrap());
    assert_eq!(
        ways,
        [
            (route("10.0.0.0/24"), true),
            (route("192.0.2.0/24"), true),
            (Way::OnlyDefault, false),
            (Way::Ourselves, false),
            (Way::NoLink, false),
        ]
    );
    assert_eq!(story.routes[0].state, RouteState::Installed);
    assert_eq!(story.routes.len(), 1);
    assert!(story.foreign.is_empty());
}

#[test]
fn a_lost_uplink_is_messages_per_set_not_per_route() {
    let mut bench = Bench::new();
    bench.define(1, &["10.0.0.2", "10.1.0.2"]);
    for i in 0..1000 {
        bench.hops(&format!("20.{}.{}.0/24", i / 250, i % 250), 1);
    }
    bench.settle();
    bench.sent();
    bench.running(ETH1, false);
    bench.settle();
    assert_eq!(bench.gateways("20.0.0.0/24"), ["10.0.0.2"]);
    assert!(
        bench.sent().is_empty(),
        "the kernel has shrunk the group itself"
    );
    bench.running(ETH1, true);
    bench.settle();
    assert_eq!(bench.gateways("20.3.9.0/24"), ["10.0.0.2", "10.1.0.2"]);
    assert_eq!(bench.sent().len(), 2);
}

#[test]
fn routes_lost_with_the_last_link_are_told_and_written_again() {
    let mut bench = Bench::new();
    bench.define(1, &["10.1.0.2"]);
    bench.hops("192.0.2.0/24", 1);
    bench.settle();
    assert!(bench.ack("192.0.2.0/24").installed);
    bench.running(ETH1, false);
    bench.settle();
    let ack = bench.ack("192.0.2.0/24");
    assert_eq!(
        (ack.installed, ack.error, ack.seq),
        (false, Some(libc::ENETUNREACH), 1)
    );
    bench.running(ETH1, true);
    bench.settle();
    assert!(bench.ack("192.0.2.0/24").installed);
    assert_eq!(bench.gateways("192.0.2.0/24"), ["10.1.0.2"]);
}

#[test]
fn a_refused_route_is_told_and_tried_again_later() {
    let mut bench = Bench::new();
    bench.define(1, &["10.0.0.2"]);
    let prefix = "192.0.2.0/24".parse().unwrap();
    bench
        .fake
        .0
        .borrow_mut()
        .refuse
        .insert(prefix, libc::ENOMEM);
    bench.hops("192.0.2.0/24", 1);
    while bench.engine.work(bench.now) {}
    assert_eq!(bench.ack("192.0.2.0/24").error, Some(libc::ENOMEM));
    bench.fake.0.borrow_mut().refuse.clear();
    bench.settle();
    assert!(bench.ack("192.0.2.0/24").installed);
}

#[test]
fn a_route_waits_where_it_is_for_a_table_that_cannot_be_read() {
    let mut bench = Bench::new();
    bench.define(1, &["10.0.0.2"]);
    bench.define_in(2, &["10.0.0.2"], Some(7));
    bench.hops("192.0.2.0/24", 1);
    bench.settle();
    let tables = |bench: &Bench| -> Vec<u32> {
        let fake = bench.fake.0.borrow();
        fake.routes.keys().map(|(_, place)| place.table).collect()
    };
    bench.fake.0.borrow_mut().unreadable = true;
    bench.hops("192.0.2.0/24", 2);
    while bench.engine.work(bench.now) {}
    let ack = bench.ack("192.0.2.0/24");
    assert!(!ack.installed && ack.error.is_some(), "{ack:?}");
    assert_eq!(tables(&bench), [254]);
    bench.fake.0.borrow_mut().unreadable = false;
    bench.settle();
    assert!(bench.ack("192.0.2.0/24").installed);
    assert_eq!(tables(&bench), [7]);
}

#[test]
fn a_blackhole_of_ours_leaves_the_way_to_a_neighbour_within_it() {
    let bench = Bench::new();
    let default = on_link("0.0.0.0/0", ETH1);
    bench.fake.0.borrow_mut().foreign.push(default);
    let mut bench = Bench::over(bench.fake);
    bench.define(1, &["10.200.0.1"]);
    bench.hops("10.1.0.0/16", 1);
    bench.settle();
    assert!(bench.ack("10.1.0.0/16").installed);
    bench.want("10.0.0.0/8", FibTarget::Blackhole);
    bench.settle();
    assert!(bench.ack("10.1.0.0/16").installed);
    assert_eq!(bench.gateways("10.1.0.0/16"), ["10.200.0.1"]);
}

#[test]
fn a_send_of_unknown_fate_is_written_again() {
    let mut bench = Bench::new();
    bench.define(1, &["10.0.0.2"]);
    bench.hops("192.0.2.0/24", 1);
    bench.settle();
    bench.fake.0.borrow_mut().broken = true;
    bench.want("198.51.100.0/24", FibTarget::Blackhole);
    while bench.engine.work(bench.now) {}
    assert!(!bench.ack("198.51.100.0/24").installed);
    bench.fake.0.borrow_mut().broken = false;
    bench.settle();
    assert!(bench.ack("198.51.100.0/24").installed);
}

#[test]
fn a_set_id_defined_anew_leaves_earlier_routes_alone() {
    let mut bench = Bench::new();
    bench.define(1, &["10.0.0.2"]);
    bench.hops("192.0.2.0/24", 1);
    bench.define(1, &["10.1.0.2"]);
    bench.hops("198.51.100.0/24", 1);
    bench.settle();
    assert_eq!(bench.gateways("192.0.2.0/24"), ["10.0.0.2"]);
    assert_eq!(bench.gateways("198.51.100.0/24"), ["10.1.0.2"]);
}

#[test]
fn groups_go_with_their_last_route() {
    let mut bench = Bench::new();
    for i in 0..20 {
        bench.define(i, &[&format!("10.0.0.{}", i + 2)]);
        bench.hops("192.0.2.0/24", i);
        bench.settle();
    }
    assert_eq!(bench.fake.0.borrow().objects.len(), 2);
    bench.want("192.0.2.0/24", FibTarget::None);
    bench.settle();
    assert!(bench.fake.0.borrow().objects.is_empty());
}

#[test]
fn events_that_were_lost_are_made_up_for() {
    let mut bench = Bench::new();
    bench.define(1, &["10.0.0.2"]);
    bench.define(2, &["10.1.0.2"]);
    bench.hops("192.0.2.0/24", 1);
    bench.hops("198.51.100.0/24", 2);
    bench.settle();
    // Nobody tells of the link, nor of the route that somebody removed.
    let _ = bench.fake.0.borrow_mut().set_running(ETH1, false);
    bench
        .fake
        .0
        .borrow_mut()
        .routes
        .remove(&("192.0.2.0/24".parse().unwrap(), HOME));
    bench.event(Event::Resync);
    bench.settle();
    assert_eq!(bench.gateways("192.0.2.0/24"), ["10.0.0.2"]);
    assert!(!bench.ack("198.51.100.0/24").installed);
}

#[derive(Clone, Debug)]
enum Step {
    Want { prefix: u8, set: Option<u8> },
    Blackhole(u8),
    Carrier { link: bool, on: bool },
    Meddle(u8),
    Work,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8, proptest::option::of(0..6_u8)).prop_map(|(prefix, set)| Step::Want { prefix, set }),
        1 => (0..12_u8).prop_map(Step::Blackhole),
        2 => any::<(bool, bool)>().prop_map(|(link, on)| Step::Carrier { link, on }),
        1 => (0..12_u8).prop_map(Step::Meddle),
        2 => Just(Step::Work),
        1 => Just(Step::Restart),
    ]
}

/// Set 3 resolves over the route 30.0.0.0/24, if that is there; those of the
/// last two go to a table of their own.
const SETS: [(&[&str], Option<u32>); 6] = [
    (&["10.0.0.2"], None),
    (&["10.1.0.2"], None),
    (&["10.0.0.2", "10.1.0.3"], None),
    (&["30.0.0.9"], None),
    (&["10.0.0.2"], Some(100)),
    (&["10.1.0.2"], Some(200)),
];

fn define_all(bench: &mut Bench) {
    for (id, (set, table)) in SETS.iter().enumerate() {
        bench.define_in(id as u32, set, *table);
    }
}

fn prefix(number: u8) -> String {
    format!("30.0.{number}.0/24")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens in whatever order: in the end the kernel holds what is
    /// wanted and can be reached, nothing else, and was told so.
    #[test]
    fn the_kernel_ends_up_with_what_is_wanted(steps in proptest::collection::vec(step(), 1..60)) {
        let mut bench = Bench::new();
        define_all(&mut bench);
        let mut wanted: BTreeMap<u8, FibTarget> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Want { prefix: p, set } => {
                    let target = set.map_or(FibTarget::None, |s| FibTarget::Hops(NextHopSetId(s.into())));
                    wanted.insert(p, target);
                    bench.want(&prefix(p), target);
                }
                Step::Blackhole(p) => {
                    wanted.insert(p, FibTarget::Blackhole);
                    bench.want(&prefix(p), FibTarget::Blackhole);
                }
                Step::Carrier { link, on } => bench.running(if link { ETH1 } else { ETH0 }, on),
                Step::Meddle(p) => {
                    let prefix = prefix(p).parse().unwrap();
                    let gone = bench.fake.0.borrow().dumped().into_iter().find(|r| r.key.prefix == prefix);
                    if let Some(gone) = gone {
                        bench.fake.0.borrow_mut().routes.remove(&(prefix, place_of(&gone)));
                        bench.event(Event::RouteGone(gone));
                    }
                }
                Step::Work => drop(bench.engine.work(bench.now)),
                Step::Restart => {
                    bench = Bench::over(bench.fake.clone());
                    define_all(&mut bench);
                    for (p, target) in &wanted {
                        bench.want(&prefix(*p), *target);
                    }
                    bench.engine.sweep();
                }
            }
        }
        bench.settle();
        let up = |index| bench.fake.0.borrow().links[&index].running;
        let direct = |target: FibTarget| -> Vec<&str> {
            match target {
                FibTarget::Hops(NextHopSetId(0 | 4)) if up(ETH0) => vec!["10.0.0.2"],
                FibTarget::Hops(NextHopSetId(1 | 5)) if up(ETH1) => vec!["10.1.0.2"],
                FibTarget::Hops(NextHopSetId(2)) => {
                    [("10.0.0.2", ETH0), ("10.1.0.3", ETH1)].into_iter().filter(|(_, l)| up(*l)).map(|(h, _)| h).collect()
                }
                _ => Vec::new(),
            }
        };
        // Next hops are looked up in the main table alone.
        let resolver = match wanted.get(&0) {
            Some(FibTarget::Hops(NextHopSetId(4 | 5))) | None => FibTarget::None,
            Some(target) => *target,
        };
        for (p, target) in &wanted {
            let expected = match target {
                FibTarget::Hops(NextHopSetId(3)) => direct(resolver),
                target => direct(*target),
            };
            prop_assert_eq!(bench.gateways(&prefix(*p)), expected.clone(), "{} {:?}", prefix(*p), target);
            let installed = !expected.is_empty() || *target == FibTarget::Blackhole;
            prop_assert_eq!(bench.ack(&prefix(*p)).installed, installed, "{} {:?}", prefix(*p), target);
        }
        // Each prefix stands in one table, that of its set, and there is nothing else.
        for (prefix_there, place) in bench.fake.0.borrow().routes.keys() {
            let (_, target) = wanted
                .iter()
                .find(|(p, _)| prefix(**p).parse::<IpNet>().unwrap() == *prefix_there)
                .unwrap();
            let table = match target {
                FibTarget::Hops(NextHopSetId(id)) => SETS[*id as usize].1,
                _ => None,
            };
            prop_assert_eq!(place.table, table.unwrap_or(254), "{}", prefix_there);
        }
        // No object without a use.
        let groups: Vec<u32> = bench.fake.0.borrow().routes.values().filter_map(|to| match to {
            RouteTo::Group(id) => Some(*id),
            RouteTo::Blackhole => None,
        }).collect();
        for (id, target) in &bench.fake.0.borrow().objects {
            if let NextHopTarget::Group(_) = target {
                let slot = id - GROUP_BASE;
                prop_assert!(groups.contains(id) || bench.engine.groups.set_of(slot).is_some(), "group {} stays behind", id);
            }
        }
    }
}
