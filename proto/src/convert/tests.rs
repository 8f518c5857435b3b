use godwit_bgp::{Asn, RouterId};

use super::*;
use crate::text;

fn here() -> BgpNextHop {
    BgpNextHop::V4([10, 0, 0, 1].into())
}

#[test]
fn every_attribute_is_told() {
    let mut attrs = AttrsBuf::new(here(), BgpOrigin::Incomplete);
    attrs.prepend_as(Asn(4_200_000_000), 2);
    attrs.set_med(Some(0));
    attrs.set_local_pref(Some(200));
    attrs.community_add(&[0xfc00_0064, 0xffff_ff01]);
    attrs.set_originator_id(RouterId(1));
    attrs.prepend_cluster(RouterId(2));
    attrs.set(
        code::EXT_COMMUNITIES,
        flag::OPTIONAL | flag::TRANSITIVE,
        &[0, 2, 0xfc, 0, 0, 0, 0, 100],
    );
    attrs.set(
        99,
        flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL,
        &[7, 8],
    );

    let told = Attributes::from(attrs.as_ref());
    assert_eq!(told.next_hop.as_ref().unwrap().address, "10.0.0.1");
    assert_eq!(told.origin(), Origin::Incomplete);
    assert_eq!(text::as_path(&told.as_path), "4200000000 4200000000");
    assert_eq!((told.med, told.local_pref), (Some(0), Some(200)));
    assert_eq!(told.communities, ["64512:100", "no-export"]);
    assert_eq!(told.originator_id, "0.0.0.1");
    assert_eq!(told.cluster_list, ["0.0.0.2"]);
    assert_eq!(told.extended_communities, ["rt:64512:100"]);
    assert_eq!(
        told.others,
        [RawAttribute {
            flags: 0xe0,
            code: 99,
            value: vec![7, 8],
        }]
    );
}

#[test]
fn own_routes_carry_what_was_asked() {
    let request = AddRouteRequest {
        med: Some(5),
        communities: vec!["no-export".into(), "64512:100".into()],
        large_communities: vec!["3:2:1".into(), "1:2:3".into(), "1:2:3".into()],
        extended_communities: vec!["rt:[2001:db8::1]:7".into(), "rt:64512:7".into()],
        ..AddRouteRequest::default()
    };
    let attrs = own_attributes(&request, here()).unwrap();
    let told = Attributes::from(attrs.as_ref());
    assert_eq!(told.med, Some(5));
    assert_eq!(told.communities, ["no-export", "64512:100"]);
    assert_eq!(told.large_communities, ["1:2:3", "3:2:1"]);
    assert_eq!(told.extended_communities, ["rt:64512:7"]);
    assert_eq!(told.ipv6_extended_communities, ["rt:[2001:db8::1]:7"]);
}

#[test]
fn a_wrong_community_is_named() {
    let request = AddRouteRequest {
        communities: vec!["1:1".into(), "x".into()],
        ..AddRouteRequest::default()
    };
    let (field, _) = own_attributes(&request, here()).unwrap_err();
    assert_eq!(field, "communities[1]");
    let request = AddRouteRequest {
        extended_communities: vec!["rt:1:1".into(), "1:1".into()],
        ..AddRouteRequest::default()
    };
    let (field, _) = own_attributes(&request, here()).unwrap_err();
    assert_eq!(field, "extended_communities[1]");
}
