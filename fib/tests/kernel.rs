//! The fib against a real kernel, in namespaces of its own.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use godwit_fib::{FibConfig, OnStop, RouteState};
use godwit_netlink::{Event, Monitor, RouteFilter, netns};
use godwit_rib::{FibTarget, KernelOptions, NextHopSet, NextHopState};
use support::{CONNECTED, Host, Running, UNREACHABLE, can_run, hops};

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|a| a.parse().unwrap()).collect()
}

#[test]
fn routes_of_both_families_are_installed_and_removed() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2"]);
    fib.define(2, &["2001:db8:1::2"]);
    assert!(fib.put("192.0.2.0/24", hops(1)).installed);
    assert!(fib.put("2001:db8:77::/48", hops(2)).installed);
    assert!(fib.put("198.51.100.0/24", FibTarget::Blackhole).installed);
    assert_eq!(host.gateways("192.0.2.0/24"), addresses(&["10.1.0.2"]));
    assert_eq!(
        host.gateways("2001:db8:77::/48"),
        addresses(&["2001:db8:1::2"])
    );
    assert_eq!(host.ours().len(), 3);
    for prefix in ["192.0.2.0/24", "2001:db8:77::/48", "198.51.100.0/24"] {
        assert!(!fib.put(prefix, FibTarget::None).installed);
    }
    assert!(host.ours().is_empty());
    host.wait(|h| h.objects().is_empty());
    fib.stop(OnStop::Keep);
}

#[test]
fn equal_paths_share_one_group() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2", "10.2.0.2"]);
    assert!(fib.put("192.0.2.0/24", hops(1)).installed);
    assert!(fib.put("198.51.100.0/24", hops(1)).installed);
    assert_eq!(
        host.gateways("192.0.2.0/24"),
        addresses(&["10.1.0.2", "10.2.0.2"])
    );
    let objects: Vec<_> = host.ours().iter().map(|r| r.object).collect();
    assert!(objects[0].is_some() && objects[0] == objects[1]);
    // An IPv4 route over an IPv6 next hop (RFC 8950).
    fib.define(2, &["2001:db8:1::2"]);
    assert!(fib.put("203.0.113.0/24", hops(2)).installed);
    assert_eq!(
        host.gateways("203.0.113.0/24"),
        addresses(&["2001:db8:1::2"])
    );
    fib.stop(OnStop::Keep);
}

#[test]
fn a_lost_link_shrinks_the_group_and_comes_back() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2", "10.2.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    host.set_carrier("eth1", false);
    host.wait(|h| h.gateways("192.0.2.0/24") == addresses(&["10.1.0.2"]));
    host.set_carrier("eth1", true);
    host.wait(|h| h.gateways("192.0.2.0/24") == addresses(&["10.1.0.2", "10.2.0.2"]));
    fib.stop(OnStop::Keep);
}

#[test]
fn routes_that_the_kernel_drops_with_the_last_link_come_back_with_it() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.2.0.2"]);
    fib.define(2, &["2001:db8:2::2"]);
    fib.handle
        .track("10.2.0.2".parse::<IpAddr>().unwrap().into());
    fib.wait_next_hop("10.2.0.2", CONNECTED);
    fib.put("192.0.2.0/24", hops(1));
    fib.put("2001:db8:77::/48", hops(2));
    host.set_carrier("eth1", false);
    fib.wait_next_hop("10.2.0.2", UNREACHABLE);
    fib.wait_ack("192.0.2.0/24", false);
    host.wait(|h| h.ours().is_empty());
    host.set_carrier("eth1", true);
    fib.wait_next_hop("10.2.0.2", CONNECTED);
    fib.wait_ack("192.0.2.0/24", true);
    host.wait(|h| h.has("192.0.2.0/24") && h.has("2001:db8:77::/48"));
    fib.stop(OnStop::Keep);
}

#[test]
fn an_interface_set_down_and_up_gets_its_routes_back() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.2.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    host.set_up("eth1", false);
    fib.wait_ack("192.0.2.0/24", false);
    host.set_up("eth1", true);
    host.wait(|h| h.has("192.0.2.0/24"));
    fib.stop(OnStop::Keep);
}

#[test]
fn what_is_unchanged_after_a_restart_is_written_nothing() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    let wanted = [
        ("192.0.2.0/24", 1),
        ("198.51.100.0/24", 2),
        ("2001:db8:77::/48", 3),
    ];
    let define = |fib: &Running| {
        fib.define(1, &["10.1.0.2", "10.2.0.2"]);
        fib.define(2, &["10.1.0.2"]);
        fib.define(3, &["2001:db8:1::2"]);
    };
    define(&fib);
    for (prefix, set) in wanted {
        assert!(fib.put(prefix, hops(set)).installed);
    }
    fib.put("203.0.113.0/24", FibTarget::Blackhole);
    fib.stop(OnStop::Keep);
    let before = host.ours();
    assert_eq!(before.len(), 4);

    let mut monitor = netns::run_in(&host.name, || Monitor::open(None).unwrap()).unwrap();
    let fib = Running::start(&host);
    define(&fib);
    for (prefix, set) in wanted.into_iter().rev() {
        assert!(fib.put(prefix, hops(set)).installed);
    }
    assert!(fib.put("203.0.113.0/24", FibTarget::Blackhole).installed);
    fib.handle.end_of_rib_complete();
    assert!(fib.handle.status().unwrap().swept);
    assert_eq!(host.ours(), before);
    let mut events = Vec::new();
    while monitor.read(|event| events.push(event)).unwrap() {}
    events.retain(|e| !matches!(e, Event::Link(_) | Event::Address(_)));
    assert_eq!(events, Vec::new());
    fib.stop(OnStop::Keep);
}

#[test]
fn what_nobody_reclaims_is_kept_until_the_sweep() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2"]);
    fib.define(2, &["10.2.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    fib.put("198.51.100.0/24", hops(2));
    fib.stop(OnStop::Keep);
    host.add_route("203.0.113.0/24", 0, 4, "10.1.0.2");

    let fib = Running::start(&host);
    fib.define(7, &["10.1.0.2"]);
    assert!(fib.put("192.0.2.0/24", hops(7)).installed);
    assert!(host.has("198.51.100.0/24"));
    let page = fib.handle.routes(0, 100).unwrap();
    let stale = page
        .routes
        .iter()
        .find(|r| r.prefix == "198.51.100.0/24".parse().unwrap())
        .unwrap();
    assert_eq!(stale.state, RouteState::Adopted);
    fib.handle.end_of_rib_complete();
    host.wait(|h| !h.has("198.51.100.0/24"));
    assert!(host.has("192.0.2.0/24"));
    // One group and its one member.
    host.wait(|h| h.objects().len() == 2);
    fib.stop(OnStop::Keep);
}

#[test]
fn a_changed_metric_moves_the_routes_and_leaves_none_behind() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    fib.stop(OnStop::Keep);
    let fib = Running::start_with(
        &host,
        FibConfig {
            metric: 20_000,
            ..FibConfig::default()
        },
    );
    fib.define(1, &["10.1.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    fib.handle.end_of_rib_complete();
    fib.handle.status().unwrap();
    let metrics: Vec<u32> = host.ours().iter().map(|r| r.key.metric).collect();
    assert_eq!(metrics, vec![20_000]);
    fib.stop(OnStop::Keep);
}

#[test]
fn removal_on_stop_leaves_nothing_of_ours_and_all_of_others() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    host.add_route("203.0.113.0/24", 0, 4, "10.1.0.2");
    // IPv6's link-local routes still come while the test runs.
    let others = |h: &Host| {
        let mut routes = h.request(|s| s.routes(RouteFilter::default()).unwrap());
        routes.retain(|r| r.key.prefix.addr().is_ipv4());
        routes
    };
    let before = others(&host);
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2", "10.2.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    fib.put("203.0.113.0/24", hops(1));
    fib.stop(OnStop::Remove);
    assert_eq!(others(&host), before);
    assert_eq!(host.objects(), Vec::new());
    let mode = netns::run_in(&host.name, || {
        godwit_netlink::sysctl::read("net.ipv4.nexthop_compat_mode")
    })
    .unwrap();
    assert_eq!(mode.unwrap(), "1");
}

#[test]
fn a_foreign_route_at_our_metric_is_not_overwritten() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    host.add_route("192.0.2.0/24", 10_103, 4, "10.1.0.2");
    let fib = Running::start(&host);
    fib.define(1, &["10.2.0.2"]);
    let ack = fib.put("192.0.2.0/24", hops(1));
    assert!(!ack.installed && ack.error.is_some());
    assert!(host.ours().is_empty());
    // Another that came while we ran.
    host.add_route("198.51.100.0/24", 10_103, 4, "10.1.0.2");
    assert!(!fib.put("198.51.100.0/24", hops(1)).installed);
    // It goes: ours may come.
    host.delete_route("192.0.2.0/24", 10_103, 4);
    fib.wait_ack("192.0.2.0/24", true);
    assert_eq!(host.gateways("192.0.2.0/24"), addresses(&["10.2.0.2"]));
    fib.stop(OnStop::Keep);
}

#[test]
fn a_connected_prefix_is_never_installed() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.2.0.2"]);
    assert!(!fib.put("10.1.0.0/24", hops(1)).installed);
    assert!(fib.put("10.3.0.0/24", hops(1)).installed);
    // It becomes connected, and ceases to be.
    let eth0 = host.index("eth0");
    host.request(|s| s.add_address(eth0, "10.3.0.1/24".parse().unwrap()).unwrap());
    fib.wait_ack("10.3.0.0/24", false);
    host.wait(|h| !h.has("10.3.0.0/24"));
    host.request(|s| {
        s.delete_address(eth0, "10.3.0.1/24".parse().unwrap())
            .unwrap();
    });
    host.wait(|h| h.has("10.3.0.0/24"));
    fib.stop(OnStop::Keep);
}

#[test]
fn a_next_hop_resolves_over_our_own_route_and_follows_it() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.handle
        .track("172.16.0.9".parse::<IpAddr>().unwrap().into());
    fib.wait_next_hop("172.16.0.9", UNREACHABLE);
    fib.define(1, &["10.1.0.2"]);
    fib.define(2, &["172.16.0.9"]);
    fib.define(3, &["10.2.0.2"]);
    fib.put("172.16.0.0/16", hops(1));
    fib.wait_next_hop(
        "172.16.0.9",
        NextHopState {
            reachable: true,
            cost: 10_103,
        },
    );
    assert!(fib.put("192.0.2.0/24", hops(2)).installed);
    assert_eq!(host.gateways("192.0.2.0/24"), addresses(&["10.1.0.2"]));
    fib.put("172.16.0.0/16", hops(3));
    host.wait(|h| h.gateways("192.0.2.0/24") == addresses(&["10.2.0.2"]));
    // A route over a next hop that it covers itself does not resolve it.
    fib.put("172.16.0.0/24", hops(2));
    host.wait(|h| h.gateways("172.16.0.0/24") == addresses(&["10.2.0.2"]));
    fib.put("172.16.0.0/16", FibTarget::None);
    fib.wait_next_hop("172.16.0.9", UNREACHABLE);
    host.wait(|h| !h.has("192.0.2.0/24"));
    fib.stop(OnStop::Keep);
}

#[test]
fn a_static_route_resolves_at_its_metric_and_a_default_only_if_allowed() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    host.add_route("172.16.0.0/16", 77, 4, "10.1.0.2");
    host.add_route("0.0.0.0/0", 5, 4, "10.2.0.2");
    let config = FibConfig {
        via_default: false,
        ..FibConfig::default()
    };
    let fib = Running::start_with(&host, config);
    for next_hop in ["172.16.0.9", "172.17.0.9", "10.1.0.1"] {
        fib.handle.track(next_hop.parse::<IpAddr>().unwrap().into());
    }
    fib.wait_next_hop(
        "172.16.0.9",
        NextHopState {
            reachable: true,
            cost: 77,
        },
    );
    fib.wait_next_hop("172.17.0.9", UNREACHABLE);
    // Our own address is no next hop.
    fib.wait_next_hop("10.1.0.1", UNREACHABLE);
    host.delete_route("172.16.0.0/16", 77, 4);
    fib.wait_next_hop("172.16.0.9", UNREACHABLE);
    fib.stop(OnStop::Keep);
    let fib = Running::start(&host);
    fib.handle
        .track("172.17.0.9".parse::<IpAddr>().unwrap().into());
    fib.wait_next_hop(
        "172.17.0.9",
        NextHopState {
            reachable: true,
            cost: 5,
        },
    );
    fib.stop(OnStop::Keep);
}

#[test]
fn a_route_that_someone_removes_or_changes_is_put_back() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    host.delete_route("192.0.2.0/24", 10_103, 103);
    host.wait(|h| h.has("192.0.2.0/24"));
    // The group with its routes.
    let group = host.ours()[0].object.unwrap();
    host.request(|s| s.delete_next_hop(group).unwrap());
    host.wait(|h| h.has("192.0.2.0/24"));
    fib.stop(OnStop::Keep);
}

#[test]
fn a_check_names_what_differs() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    fib.define(1, &["10.1.0.2"]);
    fib.put("192.0.2.0/24", hops(1));
    fib.put("10.1.0.0/24", hops(1));
    let report = fib.handle.check().unwrap();
    assert_eq!((report.wanted, report.in_kernel), (2, 1));
    assert_eq!(
        (
            report.missing_count,
            report.extra_count,
            report.different_count
        ),
        (0, 0, 0)
    );
    fib.stop(OnStop::Keep);
}

#[test]
fn read_only_follows_next_hops_and_writes_nothing() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start_with(
        &host,
        FibConfig {
            enabled: false,
            ..FibConfig::default()
        },
    );
    fib.handle
        .track("10.1.0.2".parse::<IpAddr>().unwrap().into());
    fib.wait_next_hop("10.1.0.2", CONNECTED);
    fib.define(1, &["10.1.0.2"]);
    fib.want("192.0.2.0/24", hops(1));
    host.set_carrier("eth0", false);
    fib.wait_next_hop("10.1.0.2", UNREACHABLE);
    assert!(host.ours().is_empty());
    let mode = netns::run_in(&host.name, || {
        godwit_netlink::sysctl::read("net.ipv4.nexthop_compat_mode")
    })
    .unwrap();
    assert_eq!(mode.unwrap(), "1");
    fib.stop(OnStop::Remove);
}

#[test]
fn a_stopped_fib_answers_that_it_has_stopped() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    let handle = fib.handle.clone();
    fib.stop(OnStop::Keep);
    assert!(handle.status().is_err());
    assert!(handle.stop(OnStop::Keep, Duration::from_secs(1)));
}

/// One hop, or a blackhole, with options.
fn set(next_hop: Option<&str>, options: KernelOptions) -> NextHopSet {
    let hop = next_hop.map(|a| a.parse::<IpAddr>().unwrap().into());
    NextHopSet {
        options,
        ..NextHopSet::of(hop.as_slice())
    }
}

fn in_table(table: u32, metric: Option<u32>) -> KernelOptions {
    KernelOptions {
        table: Some(table),
        metric,
        source: None,
    }
}

/// Table and metric of all our routes, sorted.
fn places(host: &Host) -> Vec<(u32, u32)> {
    let routes = host.ours_in(None);
    let mut places: Vec<_> = routes.iter().map(|r| (r.key.table, r.key.metric)).collect();
    places.sort_unstable();
    places
}

#[test]
fn a_route_moves_between_tables_and_metrics_and_leaves_none_behind() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    for prefix in ["192.0.2.0/24", "2001:db8:77::/48"] {
        let via = if prefix.starts_with('1') {
            "10.1.0.2"
        } else {
            "2001:db8:1::2"
        };
        fib.define_set(1, set(Some(via), in_table(100, None)));
        fib.define_set(2, set(Some(via), in_table(100, Some(500))));
        fib.define_set(3, set(None, in_table(1000, Some(600))));
        fib.define_set(4, set(Some(via), KernelOptions::default()));
        for (id, place) in [
            (1, (100, 10_103)),
            (2, (100, 500)),
            (3, (1000, 600)),
            (4, (254, 10_103)),
            (1, (100, 10_103)),
        ] {
            assert!(fib.put(prefix, hops(id)).installed, "{prefix} {id}");
            host.wait(|h| places(h) == [place]);
        }
        assert!(!fib.put(prefix, FibTarget::None).installed);
        host.wait(|h| places(h).is_empty());
    }
    fib.stop(OnStop::Keep);
}

#[test]
fn routes_in_other_tables_are_adopted_checked_mended_and_swept() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    let define = |fib: &Running| {
        fib.define_set(1, set(Some("10.1.0.2"), in_table(100, Some(500))));
        fib.define_set(2, set(Some("10.2.0.2"), in_table(200, None)));
    };
    define(&fib);
    assert!(fib.put("192.0.2.0/24", hops(1)).installed);
    assert!(fib.put("198.51.100.0/24", hops(2)).installed);
    fib.stop(OnStop::Keep);
    let before = host.ours_in(None);

    let fib = Running::start(&host);
    define(&fib);
    assert!(fib.put("192.0.2.0/24", hops(1)).installed);
    assert_eq!(host.ours_in(None), before, "nothing was rewritten");
    // Nobody reclaims the other.
    fib.handle.end_of_rib_complete();
    host.wait(|h| places(h) == [(100, 500)]);
    let route = fib.handle.routes(0, 10).unwrap().routes.remove(0);
    assert_eq!((route.table, route.metric), (100, 500));

    let taken = host.ours_in(Some(100)).remove(0);
    host.request(|s| s.delete_route(&taken.key).unwrap());
    host.wait(|h| places(h) == [(100, 500)]);
    let report = fib.handle.check().unwrap();
    assert_eq!((report.wanted, report.in_kernel), (1, 1));
    assert_eq!((report.missing_count, report.extra_count), (0, 0));
    fib.stop(OnStop::Remove);
    assert!(host.ours_in(None).is_empty());
}

#[test]
fn a_foreign_route_in_a_table_that_is_new_to_us_is_not_overwritten() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    let foreign = godwit_netlink::RouteKey {
        prefix: "192.0.2.0/24".parse().unwrap(),
        table: 300,
        metric: 10_103,
        protocol: 4,
    };
    host.request(|s| {
        s.add_route(&foreign, godwit_netlink::RouteTarget::Blackhole)
            .unwrap();
    });
    fib.define_set(1, set(Some("10.1.0.2"), in_table(300, None)));
    assert_eq!(fib.put("192.0.2.0/24", hops(1)).error, Some(libc::EEXIST));
    host.request(|s| s.delete_route(&foreign).unwrap());
    fib.wait_ack("192.0.2.0/24", true);
    fib.stop(OnStop::Keep);
}

#[test]
fn the_kernel_is_told_the_preferred_source_once_it_is_ours() {
    if !can_run() {
        return;
    }
    let host = Host::new();
    let fib = Running::start(&host);
    let from = |source: &str| KernelOptions {
        source: Some(source.parse().unwrap()),
        ..KernelOptions::default()
    };
    fib.define_set(1, set(Some("10.1.0.2"), from("10.9.9.9")));
    assert_eq!(fib.put("192.0.2.0/24", hops(1)).error, Some(libc::EINVAL));
    host.request(|s| {
        let lo = s.link_index("lo").unwrap();
        s.add_address(lo, "10.9.9.9/32".parse().unwrap()).unwrap();
        s.add_address(lo, "2001:db8:9::9/128".parse().unwrap())
            .unwrap();
    });
    fib.wait_ack("192.0.2.0/24", true);
    let source = |h: &Host| h.ours().iter().map(|r| r.source).collect::<Vec<_>>();
    host.wait(|h| source(h) == [Some("10.9.9.9".parse().unwrap())]);
    // The same hops without it are another wish.
    fib.define_set(2, set(Some("10.1.0.2"), KernelOptions::default()));
    assert!(fib.put("192.0.2.0/24", hops(2)).installed);
    assert_eq!(source(&host), [None]);
    fib.put("192.0.2.0/24", FibTarget::None);
    fib.define_set(3, set(Some("2001:db8:1::2"), from("2001:db8:9::9")));
    assert!(fib.put("2001:db8:77::/48", hops(3)).installed);
    let v6: IpAddr = "2001:db8:9::9".parse().unwrap();
    assert_eq!(source(&host), [Some(v6)]);
    // After a restart it is recognised as it stands.
    fib.stop(OnStop::Keep);
    let before = host.ours();
    let fib = Running::start(&host);
    fib.define_set(3, set(Some("2001:db8:1::2"), from("2001:db8:9::9")));
    assert!(fib.put("2001:db8:77::/48", hops(3)).installed);
    assert_eq!(host.ours(), before);
    fib.stop(OnStop::Keep);
}
