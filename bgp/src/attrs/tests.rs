#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::types::{Asn, NextHop, RouterId};

const NEXT_HOP: NextHop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));

fn own_route() -> AttrsBuf {
    AttrsBuf::new(NEXT_HOP, Origin::Igp)
}

fn path(attrs: &AttrsBuf) -> String {
    attrs.as_ref().as_path().to_string()
}

fn set_path(attrs: &mut AttrsBuf, value: &[u8]) {
    attrs.set(code::AS_PATH, flag::TRANSITIVE, value);
}

/// The form that every edit must keep.
fn assert_canonical(attrs: &AttrsBuf) {
    let mut again = Vec::new();
    let mut last = None;
    for attr in attrs.as_ref().iter() {
        assert!(Some(attr.code) > last, "{} after {last:?}", attr.code);
        last = Some(attr.code);
        assert!(push(&mut again, attr.flags, attr.code, attr.value));
    }
    assert_eq!(again, attrs.bytes());
}

#[test]
fn own_route_has_an_origin_and_an_empty_path() {
    let attrs = own_route();
    assert_eq!(attrs.bytes(), [0x40, 1, 1, 0, 0x40, 2, 0]);
    assert_eq!(attrs.as_ref().origin(), Origin::Igp);
    assert!(attrs.as_ref().as_path().is_empty());
    assert_eq!(attrs.as_ref().as_path().length(), 0);
    assert_eq!(attrs.as_ref().as_path().first_as(), None);
}

#[test]
fn attributes_are_inserted_in_order_and_replaced_in_place() {
    let mut attrs = own_route();
    attrs.set(32, 0xc0, &[0; 12]);
    attrs.set_local_pref(Some(100));
    attrs.set_med(Some(5));
    attrs.set(8, 0xc0, &[0; 4]);
    attrs.set_local_pref(Some(200));
    attrs.set_origin(Origin::Incomplete);
    assert_canonical(&attrs);
    let codes: Vec<u8> = attrs.as_ref().iter().map(|a| a.code).collect();
    assert_eq!(codes, [1, 2, 4, 5, 8, 32]);
    let view = attrs.as_ref();
    assert_eq!((view.med(), view.local_pref()), (Some(5), Some(200)));
    assert_eq!(view.origin(), Origin::Incomplete);
    attrs.set_med(None);
    attrs.set_med(None);
    assert_eq!(attrs.as_ref().med(), None);
    assert_canonical(&attrs);
}

#[test]
fn long_values_get_the_extended_length_and_short_ones_lose_it() {
    let mut attrs = own_route();
    attrs.set(8, 0xd5, &[1; 256]);
    assert_eq!(attrs.as_ref().find(8).unwrap().flags, 0xd0);
    assert_canonical(&attrs);
    attrs.set(8, 0xd0, &[1; 252]);
    assert_eq!(attrs.as_ref().find(8).unwrap().flags, 0xc0);
    assert_canonical(&attrs);
    let before = attrs.clone();
    attrs.set(8, 0xc0, &vec![0; 65536]);
    assert_eq!(attrs, before);
}

#[test]
fn prepending_joins_the_leading_sequence() {
    let mut attrs = own_route();
    attrs.prepend_as(Asn(3), 1);
    attrs.prepend_as(Asn(2), 2);
    attrs.prepend_as(Asn(9), 0);
    assert_eq!(path(&attrs), "2 2 3");
    assert_eq!(attrs.as_ref().as_path().segments().count(), 1);
    assert_canonical(&attrs);
}

#[test]
fn prepending_before_a_set_makes_a_sequence() {
    let mut attrs = own_route();
    set_path(&mut attrs, &[1, 2, 0, 0, 0, 7, 0, 0, 0, 8]);
    assert_eq!(attrs.as_ref().as_path().first_as(), None);
    attrs.prepend_as(Asn(2), 1);
    assert_eq!(path(&attrs), "2 {7,8}");
    let view = attrs.as_ref();
    assert_eq!(view.as_path().length(), 2);
    assert!(view.as_path().has_set());
    assert_eq!(view.as_path().origin_as(), None);
}

#[test]
fn prepending_never_makes_a_segment_of_more_than_255() {
    for (before, n) in [
        (254, 1),
        (255, 1),
        (250, 10),
        (255, 255),
        (1, 600),
        (0, 255),
        (0, 511),
    ] {
        let mut attrs = own_route();
        attrs.prepend_as(Asn(1), before);
        attrs.prepend_as(Asn(2), n);
        let view = attrs.as_ref();
        assert_eq!(view.as_path().length(), before + n);
        let mut expected = vec![Asn(2); n];
        expected.extend(vec![Asn(1); before]);
        assert_eq!(view.as_path().asns().collect::<Vec<_>>(), expected);
        assert_eq!(
            view.as_path().segments().count(),
            (before + n).div_ceil(255)
        );
        assert_canonical(&attrs);
    }
}

#[test]
fn confederation_segments_count_nothing_and_are_shown_apart() {
    let bytes = [3, 1, 0, 0, 0, 9, 2, 1, 0, 0, 0, 1, 4, 1, 0, 0, 0, 5];
    let path = AsPath::new(&bytes);
    assert_eq!(path.to_string(), "(9) 1 [5]");
    assert_eq!((path.length(), path.first_as()), (1, Some(Asn(1))));
    assert!(path.contains(Asn(5)) && !path.contains(Asn(6)));
}

#[test]
fn communities_are_added_once_removed_and_set() {
    let mut attrs = own_route();
    attrs.community_add(&[1, community::NO_EXPORT, 1]);
    assert_eq!(
        attrs.as_ref().communities().collect::<Vec<_>>(),
        [1, community::NO_EXPORT]
    );
    assert!(attrs.as_ref().has_community(community::NO_EXPORT));
    attrs.community_remove(|c| c == 1);
    assert_eq!(
        attrs.as_ref().communities().collect::<Vec<_>>(),
        [community::NO_EXPORT]
    );
    attrs.community_remove(|_| true);
    assert!(attrs.as_ref().find(code::COMMUNITIES).is_none());
    attrs.community_set(&[3, 2]);
    assert_eq!(attrs.as_ref().communities().collect::<Vec<_>>(), [3, 2]);
    attrs.community_set(&[]);
    assert!(attrs.as_ref().find(code::COMMUNITIES).is_none());
    assert_canonical(&attrs);
}

#[test]
fn partial_is_not_cleared_by_editing_communities() {
    let mut attrs = own_route();
    attrs.set(code::COMMUNITIES, 0xe0, &[0, 0, 0, 1]);
    attrs.community_add(&[2]);
    assert_eq!(attrs.as_ref().find(code::COMMUNITIES).unwrap().flags, 0xe0);
}

#[test]
fn reflection_attributes_are_read_back() {
    let mut attrs = own_route();
    attrs.set_originator_id(RouterId(7));
    attrs.prepend_cluster(RouterId(1));
    attrs.prepend_cluster(RouterId(2));
    let view = attrs.as_ref();
    assert_eq!(view.originator_id(), Some(RouterId(7)));
    assert_eq!(
        view.cluster_list().collect::<Vec<_>>(),
        [RouterId(2), RouterId(1)]
    );
    assert_canonical(&attrs);
}

#[test]
fn other_attributes_are_read() {
    let mut attrs = own_route();
    attrs.set(code::ATOMIC_AGGREGATE, 0x40, &[]);
    attrs.set(code::AGGREGATOR, 0xc0, &[0, 1, 0, 0, 192, 0, 2, 9]);
    attrs.set(code::EXT_COMMUNITIES, 0xc0, &[1; 16]);
    attrs.set(
        code::LARGE_COMMUNITIES,
        0xc0,
        &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
    );
    let view = attrs.as_ref();
    assert!(view.atomic_aggregate());
    assert_eq!(
        view.aggregator(),
        Some((Asn(65536), Ipv4Addr::new(192, 0, 2, 9)))
    );
    assert_eq!(view.ext_communities().count(), 2);
    let large: Vec<String> = view.large_communities().map(|l| l.to_string()).collect();
    assert_eq!(large, ["1:2:3"]);
    attrs.retain(|a| a.code < 8);
    assert_eq!(attrs.as_ref().iter().last().unwrap().code, code::AGGREGATOR);
    assert_canonical(&attrs);
}

#[test]
fn what_only_we_know_stands_first_and_is_left_out_for_others() {
    let mut attrs = own_route();
    let plain = attrs.clone();
    let local = Local {
        weight: 7,
        table: Some(100),
        source: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
        ..Local::default()
    };
    attrs.set_local(local);
    assert_canonical(&attrs);
    assert_ne!(attrs, plain);
    assert_eq!(attrs.as_ref().local(), local);
    assert_eq!(attrs.as_ref().without_local(), plain.as_ref());
    assert_eq!(plain.as_ref().without_local(), plain.as_ref());
    attrs.set_local(Local::default());
    assert_eq!(attrs, plain);
}

#[test]
fn assigning_copies_and_clearing_empties() {
    let mut attrs = own_route();
    attrs.set_med(Some(1));
    let mut other = AttrsBuf::from_ref(attrs.as_ref());
    assert_eq!(other, attrs);
    other.clear();
    assert!(other.bytes().is_empty());
    other.assign(attrs.as_ref());
    assert_eq!(other, attrs);
}

#[derive(Clone, Debug)]
enum Edit {
    Set(u8, u8, Vec<u8>),
    Remove(u8),
    Prepend(u32, usize),
    Add(Vec<u32>),
    Cluster(u32),
}

fn edit() -> impl Strategy<Value = Edit> {
    let value = proptest::collection::vec(any::<u8>(), 0..600);
    prop_oneof![
        (3u8.., any::<u8>(), value).prop_map(|(code, flags, v)| Edit::Set(code, flags, v)),
        (3u8..).prop_map(Edit::Remove),
        (1u32.., 0usize..300).prop_map(|(asn, n)| Edit::Prepend(asn, n)),
        proptest::collection::vec(any::<u32>(), 0..80).prop_map(Edit::Add),
        any::<u32>().prop_map(Edit::Cluster),
    ]
}

proptest! {
    #[test]
    fn every_edit_keeps_the_canonical_form(edits in proptest::collection::vec(edit(), 0..12)) {
        let mut attrs = own_route();
        let mut length = 0;
        for edit in edits {
            match edit {
                Edit::Set(code, flags, value) => {
                    attrs.set(code, flags, &value);
                    prop_assert_eq!(attrs.as_ref().find(code).unwrap().value, &value[..]);
                }
                Edit::Remove(code) => {
                    attrs.remove(code);
                    prop_assert!(attrs.as_ref().find(code).is_none());
                }
                Edit::Prepend(asn, n) => {
                    attrs.prepend_as(Asn(asn), n);
                    length += n;
                }
                Edit::Add(list) => attrs.community_add(&list),
                Edit::Cluster(id) => attrs.prepend_cluster(RouterId(id)),
            }
            assert_canonical(&attrs);
            prop_assert_eq!(attrs.as_ref().as_path().length(), length);
        }
    }
}
