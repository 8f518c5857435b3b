//! Decisions and reflection, one rule at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use godwit_bgp::attrs::{AttrsBuf, Local, Origin, code};
use godwit_bgp::community::ExtCommunity;
use godwit_bgp::{Asn, NextHop, RouterId, SessionKind};
use godwit_policy::route::PolicyRef;
use godwit_rib::{
    Drain, ExportRules, ImportRules, KernelOptions, LOCAL_WEIGHT, NextHopState, PathFate, PeerSpec,
    RibConfig, Step,
};
use ipnet::IpNet;

use crate::draw::{OUR_AS, OUR_ID};
use crate::naive::Target;
use crate::world::World;

pub fn config() -> RibConfig {
    RibConfig {
        asn: OUR_AS,
        router_id: OUR_ID,
        cluster_id: RouterId(77),
        max_paths_external: 1,
        max_paths_internal: 1,
        multipath_relax: false,
        link_bandwidth: true,
        drain: Drain::No,
        require_next_hop: false,
        fib: true,
    }
}

pub fn world() -> World {
    World::new(config(), BTreeMap::new())
}

pub fn spec(number: u8, kind: SessionKind) -> PeerSpec {
    let own = Ipv4Addr::new(198, 51, 100, 1);
    PeerSpec {
        group: None,
        address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10 + number)),
        asn: match kind {
            SessionKind::External => Asn(65100 + u32::from(number)),
            _ => OUR_AS,
        },
        router_id: RouterId(10 + u32::from(number)),
        local_asn: OUR_AS,
        local_address: own.into(),
        local_link_local: None,
        interface: None,
        link: 0,
        own_next_hop: [Some(NextHop::V4(own)), None],
        kind,
        families: [true, true],
        extended_next_hop: false,
        add_path_receive: [false; 2],
        add_path_send: [None; 2],
        as4: true,
        enhanced_refresh: false,
        sends_end_of_rib: false,
        max_message: 4096,
        import: [PolicyRef::accept_all(), PolicyRef::accept_all()],
        export: [PolicyRef::accept_all(), PolicyRef::accept_all()],
        limit_in: [None; 2],
        limit_out: [None; 2],
        next_hop_self: false,
        shared_subnet: false,
        weight: 0,
        default_originate: [None, None],
        // Most tests are about paths of any beginning.
        import_rules: ImportRules {
            enforce_first_as: false,
            ..ImportRules::default()
        },
        export_rules: ExportRules::default(),
    }
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub fn hop(last: u8) -> NextHop {
    NextHop::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// Attributes of one AS hop over this neighbour.
pub fn via(asn: u32, last: u8) -> AttrsBuf {
    let mut attrs = AttrsBuf::new(hop(last), Origin::Igp);
    attrs.prepend_as(Asn(asn), 1);
    attrs
}

pub const NET: &str = "10.0.0.0/24";

/// Where the path of the second peer falls out against that of the first.
fn step(first: (PeerSpec, AttrsBuf), second: (PeerSpec, AttrsBuf)) -> Step {
    let mut world = world();
    let winner = world.up(first.0);
    let loser = world.up(second.0);
    world.announce(winner, &[net(NET)], &first.1);
    world.announce(loser, &[net(NET)], &second.1);
    world.settle();
    world.compare("decision step");
    let story = world.rib.explain(net(NET)).unwrap();
    assert_eq!(story.paths[0].peer, winner);
    let PathFate::Lost(step) = story.paths[1].fate else {
        panic!("{:?}", story.paths[1].fate);
    };
    assert_eq!(story.paths[0].fate, PathFate::Best(step));
    step
}

pub fn external(number: u8) -> PeerSpec {
    spec(number, SessionKind::External)
}

pub fn internal(number: u8) -> PeerSpec {
    spec(number, SessionKind::Internal)
}

/// As an internal peer sends it.
pub fn inside(mut attrs: AttrsBuf, local_pref: u32) -> AttrsBuf {
    attrs.set_local_pref(Some(local_pref));
    attrs
}

#[test]
fn the_higher_local_preference_wins_over_a_shorter_path() {
    let mut long = via(1, 1);
    long.prepend_as(Asn(2), 3);
    let won = step(
        (internal(2), inside(long, 200)),
        (internal(1), inside(via(1, 2), 100)),
    );
    assert_eq!(won, Step::LocalPref);
}

#[test]
fn the_shorter_as_path_wins_over_a_better_origin() {
    let mut short = via(65102, 1);
    short.set_origin(Origin::Incomplete);
    let mut long = via(1, 1);
    long.prepend_as(Asn(65101), 1);
    assert_eq!(
        step((external(2), short), (external(1), long)),
        Step::AsPathLength
    );
}

#[test]
fn the_lower_origin_wins() {
    let mut egp = via(65101, 1);
    egp.set_origin(Origin::Egp);
    let won = step((external(2), via(65102, 1)), (external(1), egp));
    assert_eq!(won, Step::Origin);
}

#[test]
fn the_lower_med_wins_within_a_neighbour_as_and_none_counts_as_zero() {
    let mut with = via(65101, 1);
    with.set_med(Some(1));
    let mut same_as = external(2);
    same_as.asn = Asn(65101);
    let won = step((same_as, via(65101, 1)), (external(1), with.clone()));
    assert_eq!(won, Step::Med);
    // Of another AS, it says nothing.
    let mut better = external(2);
    better.router_id = RouterId(1);
    let mut higher = via(65102, 1);
    higher.set_med(Some(500));
    assert_eq!(step((better, higher), (external(1), with)), Step::RouterId);
}

#[test]
fn external_wins_over_internal() {
    let won = step(
        (external(2), via(65102, 1)),
        (internal(1), inside(via(1, 2), 100)),
    );
    assert_eq!(won, Step::External);
}

#[test]
fn the_nearer_next_hop_wins_and_an_unreachable_one_never() {
    let state = |reachable, cost| NextHopState { reachable, cost };
    let states = [(hop(1), state(true, 20)), (hop(2), state(true, 10))];
    let config = RibConfig {
        require_next_hop: true,
        ..config()
    };
    let mut world = World::new(config, states.into_iter().collect());
    let far = world.up(internal(1));
    let near = world.up(internal(2));
    world.announce(far, &[net(NET)], &inside(via(1, 1), 100));
    world.announce(near, &[net(NET)], &inside(via(1, 2), 100));
    world.settle();
    world.compare("costs");
    let story = world.rib.explain(net(NET)).unwrap();
    assert_eq!(
        (story.paths[0].peer, story.paths[0].igp_cost),
        (near, Some(10))
    );
    assert_eq!(story.paths[1].fate, PathFate::Lost(Step::IgpCost));
    world.next_hop(hop(2), state(false, 0));
    world.settle();
    world.compare("near one lost");
    let story = world.rib.explain(net(NET)).unwrap();
    assert_eq!(story.paths[0].peer, far);
    assert_eq!(story.paths[1].fate, PathFate::Unreachable);
}

#[test]
fn the_lower_originator_stands_for_the_router_id() {
    let mut reflected = inside(via(1, 1), 100);
    reflected.set_originator_id(RouterId(2));
    reflected.prepend_cluster(RouterId(5));
    let won = step(
        (internal(9), reflected),
        (internal(1), inside(via(1, 2), 100)),
    );
    assert_eq!(won, Step::RouterId);
}

#[test]
fn the_shorter_cluster_list_wins_after_the_router_id() {
    let reflected = |clusters: &[u32]| {
        let mut attrs = inside(via(1, 1), 100);
        attrs.set_originator_id(RouterId(2));
        clusters
            .iter()
            .for_each(|id| attrs.prepend_cluster(RouterId(*id)));
        attrs
    };
    let won = step(
        (internal(9), reflected(&[5])),
        (internal(1), reflected(&[5, 6])),
    );
    assert_eq!(won, Step::ClusterListLength);
}

#[test]
fn what_another_reflector_passes_on_is_not_balanced_with_the_direct_path() {
    let mut config = config();
    config.max_paths_internal = 16;
    let mut world = World::new(config, BTreeMap::new());
    let client = world.up(spec(1, SessionKind::InternalClient));
    let twin = world.up(spec(2, SessionKind::InternalClient));
    let reflector = world.up(spec(3, SessionKind::Internal));
    let mut copy = inside(via(1, 3), 100);
    copy.set_originator_id(RouterId(11));
    copy.prepend_cluster(RouterId(5));
    world.announce(reflector, &[net(NET)], &copy);
    world.announce(client, &[net(NET)], &inside(via(1, 1), 100));
    world.announce(twin, &[net(NET)], &inside(via(1, 2), 100));
    world.settle();
    world.compare("a copy from another reflector");
    let hops = vec![(hop(1), 1), (hop(2), 1)];
    let target = Target::Hops(hops, KernelOptions::default());
    assert_eq!(world.kernel.get(&net(NET)), Some(&target));
}

/// Two external paths of this bandwidth each, and their shares in the kernel.
fn shared(bandwidths: [Option<f32>; 2], config: RibConfig) -> Vec<u16> {
    let config = RibConfig {
        max_paths_external: 4,
        multipath_relax: true,
        ..config
    };
    let mut world = World::new(config, BTreeMap::new());
    for (n, bandwidth) in (1..).zip(bandwidths) {
        let spec = external(n);
        let mut attrs = via(spec.asn.0, n);
        if let Some(octets) = bandwidth {
            let value = ExtCommunity::from_link_bandwidth(spec.asn, octets, false).0;
            attrs.set(code::EXT_COMMUNITIES, 0xc0, &value);
        }
        let id = world.up(spec);
        world.announce(id, &[net(NET)], &attrs);
    }
    world.settle();
    world.compare("shares");
    match &world.kernel[&net(NET)] {
        Target::Hops(hops, _) => hops.iter().map(|(_, weight)| *weight).collect(),
        Target::Blackhole(_) => panic!("a blackhole"),
    }
}

#[test]
fn traffic_is_shared_in_the_ratio_of_bandwidths_that_all_paths_carry() {
    assert_eq!(shared([Some(1e9), Some(2.5e8)], config()), [256, 64]);
    assert_eq!(shared([Some(1.0), Some(f32::MAX)], config()), [1, 256]);
    assert_eq!(shared([Some(1e9), None], config()), [1, 1]);
    assert_eq!(shared([Some(1e9), Some(0.0)], config()), [1, 1]);
    assert_eq!(shared([Some(1e9), Some(f32::NAN)], config()), [1, 1]);
    let ignore = RibConfig {
        link_bandwidth: false,
        ..config()
    };
    assert_eq!(shared([Some(1e9), Some(2.5e8)], ignore), [1, 1]);
}

#[test]
fn the_lower_address_wins_last() {
    let mut twin = external(2);
    twin.router_id = external(1).router_id;
    let won = step((external(1), via(65101, 1)), (twin, via(65102, 1)));
    assert_eq!(won, Step::PeerAddress);
}

#[test]
fn our_own_route_wins_over_all() {
    let mut world = world();
    let peer = world.up(internal(1));
    world.announce(peer, &[net(NET)], &inside(via(1, 1), 1000));
    world.originate(net(NET), AttrsBuf::new(hop(9), Origin::Incomplete), true);
    world.settle();
    world.compare("own");
    let story = world.rib.explain(net(NET)).unwrap();
    assert_eq!(story.paths[0].fate, PathFate::Best(Step::Weight));
}

#[test]
fn a_peers_route_of_more_weight_than_ours_wins_over_ours() {
    for (weight, wins) in [
        (LOCAL_WEIGHT - 1, false),
        (LOCAL_WEIGHT, false),
        (LOCAL_WEIGHT + 1, true),
    ] {
        let mut world = world();
        let mut heavy = external(1);
        heavy.weight = weight;
        let peer = world.up(heavy);
        world.announce(peer, &[net(NET)], &via(65101, 1));
        world.originate(net(NET), AttrsBuf::new(hop(9), Origin::Igp), false);
        world.settle();
        world.compare("weight");
        let story = world.rib.explain(net(NET)).unwrap();
        assert_eq!(story.paths[0].peer == peer, wins, "{weight}");
    }
}

#[test]
fn the_higher_weight_wins_over_a_higher_local_preference_and_stays_here() {
    let mut heavy = internal(2);
    heavy.weight = 1;
    let won = step(
        (heavy.clone(), inside(via(1, 1), 100)),
        (internal(1), inside(via(1, 2), 200)),
    );
    assert_eq!(won, Step::Weight);
    let mut world = world();
    let heavy = world.up(heavy);
    let hears = world.up(external(3));
    world.announce(heavy, &[net(NET)], &inside(via(1, 1), 100));
    world.settle();
    world.compare("weight is nobody else's");
    let told = world.remotes[&hears.0].route(net(NET)).unwrap();
    assert_eq!(told.as_ref().local(), Local::default());
}

#[test]
fn med_decides_alike_in_every_order_of_arrival() {
    // Pairwise, b beats a by MED, c beats b by router id, a beats c by router id.
    let med = |asn, last, med| {
        let mut attrs = via(asn, last);
        attrs.set_med(Some(med));
        attrs
    };
    let paths = [
        (external(1), med(65150, 1, 20)),
        (external(3), med(65150, 2, 10)),
        (external(2), med(65151, 3, 0)),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut world = world();
        for i in order {
            let (spec, attrs) = paths[i].clone();
            let id = world.up(spec);
            world.announce(id, &[net(NET)], &attrs);
            world.settle();
        }
        world.compare("med");
        let story = world.rib.explain(net(NET)).unwrap();
        assert_eq!(story.paths[0].received.next_hop, hop(3), "{order:?}");
    }
}

#[test]
fn reflection_follows_the_matrix() {
    use SessionKind::{External, Internal, InternalClient};
    // RFC 4456 §6: from, to, whether it passes.
    let matrix = [
        (External, External, true),
        (External, Internal, true),
        (External, InternalClient, true),
        (Internal, External, true),
        (Internal, Internal, false),
        (Internal, InternalClient, true),
        (InternalClient, External, true),
        (InternalClient, Internal, true),
        (InternalClient, InternalClient, true),
    ];
    for (from, to, passes) in matrix {
        let mut world = world();
        let source = world.up(spec(1, from));
        let sink = world.up(spec(2, to));
        let attrs = match from {
            External => via(65101, 1),
            _ => inside(via(1, 1), 100),
        };
        world.announce(source, &[net(NET)], &attrs);
        world.settle();
        world.compare("reflection");
        let sent = world.remotes[&sink.0].route(net(NET)).cloned();
        assert_eq!(sent.is_some(), passes, "{from:?} to {to:?}");
        let reflected = passes && from != External && to != External;
        let originator = sent.and_then(|attrs| attrs.as_ref().originator_id());
        assert_eq!(
            originator,
            reflected.then_some(RouterId(11)),
            "{from:?} to {to:?}"
        );
        assert!(world.remotes[&source.0].table.is_empty());
    }
}

#[test]
fn a_loser_names_the_path_that_it_lost_to_also_by_med() {
    // The first two are of one AS, the third, the best, is of another.
    let mut world = world();
    let twin = || {
        let mut spec = external(2);
        spec.asn = external(1).asn;
        spec
    };
    let (low, high) = (world.up(external(1)), world.up(twin()));
    let med = |last, med| {
        let mut attrs = via(65101, last);
        attrs.set_med(Some(med));
        attrs
    };
    world.announce(low, &[net(NET)], &med(1, 10));
    world.announce(high, &[net(NET)], &med(2, 20));
    let mut first = external(3);
    first.router_id = RouterId(1);
    let best = world.up(first);
    world.announce(best, &[net(NET)], &via(65103, 3));
    world.settle();
    world.compare("three paths");
    let story = world.rib.explain(net(NET)).unwrap();
    let beaten = |peer| {
        let path = story.paths.iter().find(|path| path.peer == peer).unwrap();
        (path.fate.clone(), path.beaten_by.map(|(peer, _)| peer))
    };
    assert_eq!(beaten(best), (PathFate::Best(Step::RouterId), None));
    assert_eq!(beaten(high), (PathFate::Lost(Step::Med), Some(low)));
    assert_eq!(beaten(low), (PathFate::Lost(Step::RouterId), Some(best)));
    // Those who are told are told by a rule.
    let mut told = story.advertised_to.iter();
    assert!(told.all(|sent| sent.rule.is_some()));
    assert_eq!(story.advertised_to.len(), 2);
}
