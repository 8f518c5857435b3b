//! AS numbers and roles, one rule at a time: what a peer sent, and what another
//! is sent.

use godwit_bgp::attrs::{AttrsBuf, RemovePrivate, code, flag};
use godwit_bgp::{Asn, Role};
use godwit_rib::{ExportRules, ImportRules, PeerSpec, Verdict};

use crate::draw::OUR_AS;
use crate::rules::{NET, external, hop, net, spec, via, world};
use crate::world::World;

fn of(path: &[u32]) -> AttrsBuf {
    let mut attrs = AttrsBuf::new(hop(1), godwit_bgp::attrs::Origin::Igp);
    for asn in path.iter().rev() {
        attrs.prepend_as(Asn(*asn), 1);
    }
    attrs
}

/// The path with a set behind it.
fn with_set(path: &[u32], set: &[u32]) -> AttrsBuf {
    let mut attrs = of(path);
    let mut value = attrs.as_ref().as_path().bytes().to_vec();
    value.extend([1, set.len() as u8]);
    value.extend(set.iter().flat_map(|asn| asn.to_be_bytes()));
    attrs.set(code::AS_PATH, flag::TRANSITIVE, &value);
    attrs
}

/// What import makes of this route.
fn verdict(from: PeerSpec, attrs: &AttrsBuf) -> Verdict {
    let mut world = world();
    let id = world.up(from);
    world.announce(id, &[net(NET)], attrs);
    world.settle();
    world.compare("import");
    world.rib.explain(net(NET)).unwrap().paths[0].verdict
}

/// What `to` is sent of it.
fn sent(from: PeerSpec, attrs: &AttrsBuf, to: PeerSpec) -> Option<AttrsBuf> {
    let mut world = world();
    let source = world.up(from);
    let receiver = world.up(to);
    world.announce(source, &[net(NET)], attrs);
    world.settle();
    world.compare("export");
    world.remotes[&receiver.0].route(net(NET)).cloned()
}

fn sent_path(from: PeerSpec, attrs: &AttrsBuf, to: PeerSpec) -> String {
    let sent = sent(from, attrs, to).unwrap();
    sent.as_ref().as_path().to_string()
}

fn importing(rules: ImportRules) -> PeerSpec {
    PeerSpec {
        import_rules: rules,
        ..external(1)
    }
}

fn exporting(rules: ExportRules) -> PeerSpec {
    PeerSpec {
        export_rules: rules,
        ..external(2)
    }
}

/// A session on which we are AS 64999.
fn known_as_64999(spec: PeerSpec) -> PeerSpec {
    PeerSpec {
        local_asn: Asn(64999),
        ..spec
    }
}

#[test]
fn our_own_number_is_a_loop_beyond_what_is_allowed() {
    let own = OUR_AS.0;
    for (allowed, path, expected) in [
        (0, &[65101, own][..], Verdict::AsLoop),
        (1, &[65101, own], Verdict::Accepted),
        (1, &[65101, own, 7, own], Verdict::AsLoop),
        (2, &[65101, own, 7, own], Verdict::Accepted),
    ] {
        let rules = ImportRules {
            allow_as_in: allowed,
            ..ImportRules::default()
        };
        assert_eq!(
            verdict(importing(rules), &of(path)),
            expected,
            "{allowed} {path:?}"
        );
    }
}

#[test]
fn both_numbers_of_a_session_are_loops() {
    let from = known_as_64999(external(1));
    for looped in [64999, OUR_AS.0] {
        assert_eq!(
            verdict(from.clone(), &of(&[65101, looped])),
            Verdict::AsLoop
        );
    }
    // What we put there ourselves counts for nothing.
    assert_eq!(verdict(from, &of(&[65101])), Verdict::Accepted);
    // To other neighbours we are not that one.
    assert_eq!(
        verdict(external(1), &of(&[65101, 64999])),
        Verdict::Accepted
    );
}

#[test]
fn a_path_begins_with_the_peers_number() {
    let first = importing(ImportRules::default());
    assert_eq!(verdict(first.clone(), &of(&[65101, 7])), Verdict::Accepted);
    for path in [&[][..], &[7], &[7, 65101]] {
        assert_eq!(
            verdict(first.clone(), &of(path)),
            Verdict::FirstAs,
            "{path:?}"
        );
    }
    let set_first = PeerSpec {
        import_rules: ImportRules {
            accept_as_set: true,
            ..ImportRules::default()
        },
        ..first
    };
    assert_eq!(
        verdict(set_first, &with_set(&[], &[65101])),
        Verdict::FirstAs
    );
}

#[test]
fn an_internal_path_may_begin_with_anything() {
    let mut from = spec(1, godwit_bgp::SessionKind::Internal);
    from.import_rules = ImportRules::default();
    let mut attrs = of(&[7]);
    attrs.set_local_pref(Some(100));
    assert_eq!(verdict(from, &attrs), Verdict::Accepted);
}

#[test]
fn a_set_is_taken_only_where_asked_for() {
    let attrs = with_set(&[65101], &[1, 2]);
    assert_eq!(verdict(external(1), &attrs), Verdict::AsSet);
    let rules = ImportRules {
        accept_as_set: true,
        ..ImportRules::default()
    };
    assert_eq!(verdict(importing(rules), &attrs), Verdict::Accepted);
}

#[test]
fn the_longest_path_is_taken_and_one_more_is_not() {
    let rules = ImportRules {
        max_as_path: 3,
        ..ImportRules::default()
    };
    let path = [65101, 1, 2, 3];
    assert_eq!(
        verdict(importing(rules), &of(&path[..3])),
        Verdict::Accepted
    );
    assert_eq!(verdict(importing(rules), &of(&path)), Verdict::PathTooLong);
    // In a set each number counts.
    let rules = ImportRules {
        accept_as_set: true,
        ..rules
    };
    let set = with_set(&[65101], &[1, 2, 3]);
    assert_eq!(verdict(importing(rules), &set), Verdict::PathTooLong);
}

#[test]
fn a_local_as_stands_before_what_comes_in_unless_told_not_to() {
    for (no_prepend, expected) in [(false, "65000 64999 65101 7"), (true, "65000 65101 7")] {
        let mut from = known_as_64999(external(1));
        from.import_rules.no_prepend = no_prepend;
        assert_eq!(sent_path(from, &of(&[65101, 7]), external(2)), expected);
    }
}

#[test]
fn a_local_as_stands_before_what_goes_out_with_our_own_unless_told_not_to() {
    for (replace_as, expected) in [(false, "64999 65000 65101 7"), (true, "64999 65101 7")] {
        let rules = ExportRules {
            replace_as,
            ..ExportRules::default()
        };
        let to = known_as_64999(exporting(rules));
        assert_eq!(sent_path(external(1), &of(&[65101, 7]), to), expected);
    }
}

#[test]
fn private_numbers_leave_before_ours_is_put_in_front() {
    let to = |remove_private| {
        exporting(ExportRules {
            remove_private,
            ..ExportRules::default()
        })
    };
    let path = of(&[65101, 3356, 65103]);
    let paths = [
        (RemovePrivate::No, "65000 65101 3356 65103"),
        (RemovePrivate::IfAlone, "65000 65101 3356 65103"),
        (RemovePrivate::All, "65000 3356"),
        (RemovePrivate::ReplaceAll, "65000 65000 3356 65000"),
    ];
    for (how, expected) in paths {
        assert_eq!(sent_path(external(1), &path, to(how)), expected, "{how:?}");
    }
    let alone = sent_path(
        external(1),
        &of(&[65101, 65103]),
        to(RemovePrivate::IfAlone),
    );
    assert_eq!(alone, "65000");
}

#[test]
fn the_receivers_number_is_overridden() {
    let rules = ExportRules {
        as_override: true,
        ..ExportRules::default()
    };
    let path = of(&[65101, 65102, 7, 65102]);
    let expected = "65000 65101 65000 7 65000";
    assert_eq!(sent_path(external(1), &path, exporting(rules)), expected);
}

#[test]
fn peers_of_other_ases_are_apart_only_where_the_number_decides() {
    let groups = |rules| {
        let mut world: World = world();
        for number in 1..4 {
            world.up(PeerSpec {
                export_rules: rules,
                ..external(number)
            });
        }
        world.rib.summary().update_groups
    };
    assert_eq!(groups(ExportRules::default()), 1);
    let rules = ExportRules {
        as_override: true,
        ..ExportRules::default()
    };
    assert_eq!(groups(rules), 3);
    let rules = ExportRules {
        remove_private: RemovePrivate::All,
        ..ExportRules::default()
    };
    assert_eq!(groups(rules), 3);
}

/// The route marked by this AS, or not.
fn marked(by: Option<u32>) -> AttrsBuf {
    let mut attrs = via(65101, 1);
    by.into_iter()
        .for_each(|asn| attrs.set_only_to_customer(Asn(asn)));
    attrs
}

/// RFC 9234 §5, ingress: by our role, is the route of peer 65101 taken, and with
/// whose mark does it go to an internal peer?
#[test]
fn a_marked_route_from_below_or_beside_is_a_leak() {
    use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
    let own = Some(65101);
    let cases = [
        (None, [(None, Ok(None)), (Some(9), Ok(Some(9)))]),
        (Some(Provider), [(None, Ok(None)), (Some(9), Err(()))]),
        (Some(RouteServer), [(None, Ok(None)), (own, Err(()))]),
        (Some(Peer), [(None, Ok(own)), (own, Ok(own))]),
        (Some(Peer), [(Some(9), Err(())), (Some(65000), Err(()))]),
        (Some(Customer), [(None, Ok(own)), (Some(9), Ok(Some(9)))]),
        (
            Some(RouteServerClient),
            [(None, Ok(own)), (Some(9), Ok(Some(9)))],
        ),
    ];
    for (role, routes) in cases {
        for (mark, expected) in routes {
            let from = importing(ImportRules {
                role,
                ..ImportRules::default()
            });
            let attrs = marked(mark);
            let said = verdict(from.clone(), &attrs);
            assert_eq!(
                said == Verdict::RouteLeak,
                expected.is_err(),
                "{role:?} {mark:?}"
            );
            let inside = spec(2, godwit_bgp::SessionKind::Internal);
            let sent = sent(from, &attrs, inside);
            let mark_sent = sent.map(|attrs| attrs.as_ref().only_to_customer().map(|a| a.0));
            assert_eq!(mark_sent, expected.ok(), "{role:?} {mark:?}");
        }
    }
}

/// RFC 9234 §5, egress: by our role towards the receiver, what it is sent.
#[test]
fn a_marked_route_goes_down_only() {
    use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
    let own = Some(OUR_AS.0);
    for (role, unmarked, of_nine) in [
        (None, Some(None), Some(Some(9))),
        (Some(Provider), Some(own), Some(Some(9))),
        (Some(RouteServer), Some(own), Some(Some(9))),
        (Some(Peer), Some(own), None),
        (Some(Customer), Some(None), None),
        (Some(RouteServerClient), Some(None), None),
    ] {
        for (mark, expected) in [(None, unmarked), (Some(9), of_nine)] {
            let to = exporting(ExportRules {
                role,
                ..ExportRules::default()
            });
            let sent = sent(external(1), &marked(mark), to);
            let sent = sent.map(|attrs| attrs.as_ref().only_to_customer().map(|a| a.0));
            assert_eq!(sent, expected, "{role:?} {mark:?}");
        }
    }
}
