//! Against a real kernel, each test in a namespace of its own.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use godwit_netlink::{
    Batch, Event, GroupMember, Heard, Monitor, NextHopTarget, RequestSocket, RouteFilter, RouteHop,
    RouteKey, RouteTarget, RouteType, RouterSocket, VethEnd, netns, sysctl, wait_readable,
};

const GATEWAY: &str = "10.1.0.2";

/// Runs in a fresh namespace with a veth pair `a` (10.1.0.1/24) and `b`, both up.
fn inside(test: impl FnOnce(&mut RequestSocket) + Send) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if !netns::is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let name = format!(
        "kernel-nl-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    netns::create(&name).unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        netns::run_in(&name, || {
            let mut socket = RequestSocket::open().unwrap();
            let end = |name| VethEnd {
                name,
                namespace: None,
                mtu: None,
            };
            socket.add_veth(end("a"), end("b")).unwrap();
            for name in ["lo", "a", "b"] {
                let index = socket.link_index(name).unwrap();
                socket.set_link_up(index, true).unwrap();
            }
            // The carrier comes a moment after the link is up.
            let deadline = Instant::now() + Duration::from_secs(5);
            while !socket.links().unwrap().iter().all(|l| l.running) {
                assert!(Instant::now() < deadline, "no carrier");
                std::thread::sleep(Duration::from_millis(1));
            }
            let a = socket.link_index("a").unwrap();
            socket
                .add_address(a, "10.1.0.1/24".parse().unwrap())
                .unwrap();
            socket
                .add_address(a, "2001:db8:1::1/64".parse().unwrap())
                .unwrap();
            test(&mut socket);
        })
        .unwrap();
    }));
    netns::delete(&name).unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn key(prefix: &str) -> RouteKey {
    RouteKey {
        prefix: prefix.parse().unwrap(),
        table: 254,
        metric: 10_103,
        protocol: 103,
    }
}

const OURS: RouteFilter = RouteFilter {
    table: Some(254),
    protocol: Some(103),
};

#[test]
fn a_refusal_names_its_message_and_the_others_are_done() {
    inside(|socket| {
        let mut batch = Batch::default();
        batch.create_route(&key("192.0.2.0/24"), RouteTarget::Blackhole, None);
        batch.create_route(&key("192.0.2.0/24"), RouteTarget::Blackhole, None);
        batch.create_route(&key("198.51.100.0/24"), RouteTarget::Object(77), None);
        batch.create_route(&key("203.0.113.0/24"), RouteTarget::Blackhole, None);
        let failures = socket.execute(&mut batch).unwrap();
        let refused: Vec<_> = failures.iter().map(|f| (f.index, f.errno)).collect();
        assert_eq!(refused, vec![(1, libc::EEXIST), (2, libc::EINVAL)]);
        assert_eq!(
            failures[1].text.as_deref(),
            Some("Nexthop id does not exist")
        );
        assert_eq!(socket.routes(OURS).unwrap().len(), 2);
    });
}

#[test]
fn a_batch_in_which_all_is_refused_loses_no_answer() {
    inside(|socket| {
        let mut batch = Batch::default();
        for _ in 0..4096 {
            batch.delete_route(&key("192.0.2.0/24"));
        }
        let failures = socket.execute(&mut batch).unwrap();
        assert!(failures.iter().map(|f| f.index).eq(0..4096));
        assert!(failures.iter().all(|f| f.errno == libc::ESRCH));
    });
}

#[test]
fn objects_and_their_routes_are_read_as_written() {
    inside(|socket| {
        let a = socket.link_index("a").unwrap();
        let mut batch = Batch::default();
        batch.set_hop(10, 103, GATEWAY.parse().unwrap(), a, false);
        batch.set_hop(11, 103, "2001:db8:1::2".parse().unwrap(), a, false);
        let members = [GroupMember { id: 10, weight: 3 }];
        batch.set_group(20, 103, &members);
        batch.create_route(&key("192.0.2.0/24"), RouteTarget::Object(20), None);
        assert_eq!(socket.execute(&mut batch).unwrap(), Vec::new());
        let objects = socket.next_hops().unwrap();
        assert!(objects.iter().all(|o| o.protocol == 103));
        let target = |id| objects.iter().find(|o| o.id == id).unwrap().target.clone();
        let via = Some(GATEWAY.parse().unwrap());
        assert_eq!(
            target(10),
            NextHopTarget::Hop {
                via,
                interface: a,
                on_link: false
            }
        );
        assert_eq!(target(20), NextHopTarget::Group(members.to_vec()));
        let routes = socket.routes(OURS).unwrap();
        assert_eq!(
            (routes.len(), routes[0].key, routes[0].object),
            (1, key("192.0.2.0/24"), Some(20))
        );
    });
}

#[test]
fn routes_without_objects_keep_all_their_hops() {
    inside(|socket| {
        let a = socket.link_index("a").unwrap();
        let hop = |via: &str, weight| RouteHop {
            via: Some(via.parse().unwrap()),
            interface: a,
            weight,
            on_link: false,
        };
        let hops = [hop(GATEWAY, 1), hop("10.1.0.3", 5), hop("2001:db8:1::2", 1)];
        socket
            .add_route(&key("192.0.2.0/24"), RouteTarget::Hops(&hops))
            .unwrap();
        let one = [hop("2001:db8:1::2", 1)];
        socket
            .add_route(&key("2001:db8:77::/48"), RouteTarget::Hops(&one))
            .unwrap();
        let routes = socket.routes(OURS).unwrap();
        assert_eq!(routes[0].hops, hops);
        assert_eq!(routes[1].hops, one);
    });
}

#[test]
fn a_dump_shows_links_addresses_and_the_kernels_own_routes() {
    inside(|socket| {
        let a = socket
            .links()
            .unwrap()
            .into_iter()
            .find(|l| l.name == "a")
            .unwrap();
        assert!(a.up && a.running && !a.loopback && a.hardware_address.len() == 6);
        let addresses = socket.addresses().unwrap();
        let v4 = addresses
            .iter()
            .find(|x| x.interface == a.index && x.local.is_ipv4())
            .unwrap();
        assert_eq!(v4.prefix, "10.1.0.0/24".parse().unwrap());
        let kind = |socket: &mut RequestSocket, prefix: &str, table| {
            let prefix = prefix.parse().unwrap();
            let routes = socket.routes(RouteFilter::default()).unwrap();
            routes
                .iter()
                .find(|r| r.key.prefix == prefix && r.key.table == table)
                .map(|r| r.kind)
        };
        let (unicast, local) = (Some(RouteType::Unicast), Some(RouteType::Local));
        assert_eq!(kind(socket, "10.1.0.0/24", 254), unicast);
        assert_eq!(kind(socket, "10.1.0.1/32", 255), local);
        // The kernel adds that of an IPv6 address from a work queue.
        let deadline = Instant::now() + Duration::from_secs(5);
        while kind(socket, "2001:db8:1::1/128", 255) != local {
            assert!(Instant::now() < deadline, "no local IPv6 route");
            std::thread::sleep(Duration::from_millis(1));
        }
        let none = RouteFilter {
            table: Some(4711),
            protocol: None,
        };
        assert_eq!(socket.routes(none).unwrap(), Vec::new());
    });
}

fn events(monitor: &mut Monitor) -> Vec<Event> {
    let mut events = Vec::new();
    while monitor.read(|event| events.push(event)).unwrap() {}
    events.retain(|e| matches!(e, Event::Route { .. } | Event::RouteGone(_) | Event::Resync));
    events
}

#[test]
fn the_monitor_hears_others_and_not_ourselves() {
    inside(|socket| {
        let mut monitor = Monitor::open(Some(socket.port())).unwrap();
        let mut other = RequestSocket::open().unwrap();
        socket
            .add_route(&key("192.0.2.0/24"), RouteTarget::Blackhole)
            .unwrap();
        other
            .add_route(&key("198.51.100.0/24"), RouteTarget::Blackhole)
            .unwrap();
        other.delete_route(&key("192.0.2.0/24")).unwrap();
        let heard = events(&mut monitor);
        assert_eq!(heard.len(), 2);
        assert!(
            matches!(&heard[0], Event::Route { route, replaced: false } if route.key == key("198.51.100.0/24"))
        );
        assert!(matches!(&heard[1], Event::RouteGone(route) if route.key == key("192.0.2.0/24")));
    });
}

#[test]
fn an_overflow_of_the_monitor_is_said() {
    inside(|socket| {
        let mut monitor = Monitor::open(None).unwrap();
        for third in 0..=255_u8 {
            let mut batch = Batch::default();
            for last in 0..=255_u8 {
                batch.create_route(
                    &key(&format!("20.0.{third}.{last}/32")),
                    RouteTarget::Blackhole,
                    None,
                );
            }
            socket.execute(&mut batch).unwrap();
        }
        assert!(events(&mut monitor).contains(&Event::Resync));
    });
}

#[test]
fn a_lost_carrier_is_heard() {
    inside(|socket| {
        let mut monitor = Monitor::open(None).unwrap();
        let (a, b) = (
            socket.link_index("a").unwrap(),
            socket.link_index("b").unwrap(),
        );
        socket.set_link_up(b, false).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut lost = false;
        while !lost && Instant::now() < deadline {
            wait_readable([monitor.as_fd(); 2], Some(Duration::from_millis(100))).unwrap();
            monitor
                .read(|e| {
                    lost |= matches!(&e, Event::Link(l) if l.index == a && l.up && !l.running);
                })
                .unwrap();
        }
        assert!(lost);
    });
}

#[test]
fn settings_are_those_of_the_namespace() {
    inside(|_| {
        let name = "net.ipv4.nexthop_compat_mode";
        assert_eq!(sysctl::read(name).unwrap(), "1");
        sysctl::write(name, "0").unwrap();
        assert_eq!(sysctl::read(name).unwrap(), "0");
        // A dot within a name is written as a slash.
        assert!(sysctl::read("net.ipv4.conf.a.forwarding").is_ok());
        assert!(sysctl::read("net.ipv4.no_such_thing").is_err());
    });
}

#[test]
fn a_namespace_is_listed_while_it_is_there() {
    if !netns::is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let name = format!("kernel-ns-{}", std::process::id());
    netns::create(&name).unwrap();
    assert!(netns::create(&name).is_err(), "made twice");
    assert!(netns::list().unwrap().contains(&name) && netns::exists(&name));
    netns::delete(&name).unwrap();
    assert!(!netns::exists(&name) && netns::run_in(&name, || ()).is_err());
    assert!(netns::create("../evil").is_err());
}

#[test]
fn routers_hear_each_other_on_their_link() {
    inside(|socket| {
        let [a, b] = ["a", "b"].map(|name| socket.link_index(name).unwrap());
        let links = socket.links().unwrap();
        let hardware = &links
            .iter()
            .find(|l| l.index == a)
            .unwrap()
            .hardware_address;
        let (one, other) = (
            RouterSocket::open(a).unwrap(),
            RouterSocket::open(b).unwrap(),
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        // Until the link-local address has proved to be the only one of its kind.
        let mut heard = Vec::new();
        while heard.len() < 2 {
            assert!(Instant::now() < deadline, "heard {heard:?} only");
            let _ = one.solicit(hardware).and_then(|()| one.advertise(hardware));
            std::thread::sleep(Duration::from_millis(50));
            while let Ok(message) = other.receive() {
                // At first what we say has no address, and does not count.
                heard.extend(message.filter(|message| !heard.contains(message)));
            }
        }
        let expected = socket
            .addresses()
            .unwrap()
            .into_iter()
            .find_map(|x| match x.local {
                std::net::IpAddr::V6(v6) if x.interface == a && v6.is_unicast_link_local() => {
                    Some(v6)
                }
                _ => None,
            });
        assert!(heard.contains(&Heard::Solicitation));
        assert!(heard.contains(&Heard::Advertisement {
            from: expected.unwrap(),
            lifetime: 0
        }));
        while let Ok(message) = one.receive() {
            // The kernel solicits, too, once an address of the other end is ready.
            let own = matches!(message, Some(Heard::Advertisement { .. }));
            assert!(!own, "we hear ourselves");
        }
    });
}
