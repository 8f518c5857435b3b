//! The rules one by one; what the RIB makes of them stands in its own tests.

use godwit_bgp::attrs::{Origin, SegmentKind, code, flag};

use super::*;

const PEER: Asn = Asn(65002);

fn entrance() -> Entrance {
    Entrance {
        kind: SessionKind::External,
        local_asn: Asn(64512),
        own_link_local: None,
        weight: 0,
        rules: ImportRules::default(),
    }
}

fn route(path: &[u32]) -> AttrsBuf {
    let mut attrs = AttrsBuf::new(NextHop::V4([10, 0, 0, 2].into()), Origin::Igp);
    let mut value = vec![SegmentKind::Sequence as u8, path.len() as u8];
    value.extend(path.iter().flat_map(|asn| asn.to_be_bytes()));
    attrs.set(code::AS_PATH, flag::TRANSITIVE, &value);
    attrs
}

fn own() -> HashSet<IpAddr> {
    HashSet::from([[10, 0, 0, 1].into()])
}

fn router(own: &HashSet<IpAddr>) -> Router<'_> {
    Router {
        asn: Asn(64512),
        router_id: RouterId(1),
        cluster_id: RouterId(1),
        own,
    }
}

#[test]
fn the_steps_end_with_the_check_that_fails() {
    let own = own();
    let mut to_us = route(&[65002]);
    to_us.next_hop = NextHop::V4([10, 0, 0, 1].into());
    let mut marked = route(&[65002]);
    marked.set_only_to_customer(Asn(7));
    let provider = |entrance: &mut Entrance| entrance.rules.role = Some(Role::Provider);
    let internal = |entrance: &mut Entrance| entrance.kind = SessionKind::Internal;
    let mut reflected = route(&[]);
    reflected.set_originator_id(RouterId(1));
    let mut around = route(&[]);
    around.prepend_cluster(RouterId(1));
    let plain = |_: &mut Entrance| {};
    type Change = fn(&mut Entrance);
    let cases: [(Check, AttrsBuf, Change); 7] = [
        (Check::AsLoop, route(&[65002, 64512]), plain),
        (Check::FirstAs, route(&[65003]), plain),
        (Check::OwnNextHop, to_us, plain),
        (Check::Role, marked, provider),
        (Check::OriginatorId, reflected, internal),
        (Check::ClusterList, around, internal),
        (Check::MaxAsPath, route(&[65002; 200]), |entrance| {
            entrance.rules.max_as_path = 199;
        }),
    ];
    for (check, attrs, change) in cases {
        let mut entrance = entrance();
        change(&mut entrance);
        let attrs = attrs.as_ref();
        assert_eq!(entrance.check(attrs, PEER, &router(&own)), Err(check));
        let (steps, told) = entrance.check_steps(attrs, PEER, &router(&own), true);
        assert_eq!(told, Err(check));
        let (last, before) = steps.split_last().unwrap();
        assert_eq!((last.name, last.said), (check.name(), Said::Refused));
        assert!(before.iter().all(|step| step.said == Said::Passed));
        assert!(steps.iter().all(|step| !step.detail.is_empty()));
    }
}

#[test]
fn a_next_hop_that_nobody_gave_is_not_looked_at() {
    let own = own();
    let mut attrs = route(&[65002]);
    attrs.next_hop = NextHop::V4([0, 0, 0, 0].into());
    let ask = |look| {
        entrance()
            .check_steps(attrs.as_ref(), PEER, &router(&own), look)
            .1
    };
    assert_eq!(ask(true), Err(Check::NextHop));
    assert_eq!(ask(false), Ok(()));
}

#[test]
fn each_addition_is_told_and_done() {
    let own = own();
    let mut entrance = entrance();
    entrance.local_asn = Asn(64999);
    entrance.weight = 7;
    entrance.rules = ImportRules {
        role: Some(Role::Customer),
        blackhole_community: true,
        graceful_shutdown: true,
        ..ImportRules::default()
    };
    let mut attrs = route(&[65002]);
    attrs.community_add(&[community::BLACKHOLE, community::GRACEFUL_SHUTDOWN]);
    let additions = entrance.additions(attrs.as_ref(), PEER, &router(&own));
    let names: Vec<&str> = additions.steps().iter().map(|step| step.name).collect();
    assert_eq!(
        names,
        [
            "weight",
            "blackhole-community",
            "local-as",
            "role",
            "graceful-shutdown"
        ]
    );
    additions.apply(&mut attrs);
    attrs.set_local_pref(Some(500));
    entrance.finish(&additions, &mut attrs);
    let attrs = attrs.as_ref();
    assert_eq!(attrs.as_path().to_string(), "64999 65002");
    assert_eq!(attrs.only_to_customer(), Some(PEER));
    assert_eq!(attrs.local_pref(), Some(0));
    assert!(attrs.has_community(community::NO_EXPORT));
    assert!(attrs.local().blackhole && attrs.local().weight == 7);
}
