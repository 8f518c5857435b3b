//! What two OPENs come to.

use super::*;
use crate::session::negotiate::negotiate;
use crate::wire::Capability;

fn agree(config: &SessionConfig, remote: Open) -> Negotiated {
    negotiate(config, config.local_asn, config.open(false), remote).unwrap()
}

#[test]
fn the_smaller_hold_time_counts_and_keepalives_are_a_third() {
    for (ours, theirs, hold) in [
        (90, 30, 30),
        (9, 180, 9),
        (0, 90, 0),
        (90, 0, 0),
        (3, 90, 3),
    ] {
        let mut config = config();
        config.hold_time = secs(ours);
        let mut open = peer_open();
        open.hold_time = theirs;
        let agreed = agree(&config, open);
        assert_eq!(agreed.hold_time, secs(hold));
        assert_eq!(agreed.keepalive, secs(hold) / 3);
    }
}

#[test]
fn a_configured_keepalive_is_taken_if_shorter_and_at_least_a_second() {
    for (configured, used) in [
        (secs(5), secs(5)),
        (secs(60), secs(30)),
        (millis(10), secs(1)),
    ] {
        let mut config = config();
        config.keepalive = Some(configured);
        assert_eq!(agree(&config, peer_open()).keepalive, used);
    }
}

#[test]
fn a_hold_time_that_no_peer_may_accept_is_never_proposed() {
    for (configured, proposed) in [
        (secs(0), 0),
        (millis(500), 3),
        (secs(1), 3),
        (secs(2), 3),
        (secs(3), 3),
        (secs(100_000), 65535),
    ] {
        let mut config = config();
        config.hold_time = configured;
        assert_eq!(config.hold_seconds(), proposed);
    }
}

#[test]
fn families_are_those_of_both() {
    let mut open = peer_config();
    open.families = vec![Family::Ipv6Unicast];
    let agreed = agree(&config(), open.open(false));
    assert_eq!(agreed.families, [false, true]);
}

#[test]
fn several_paths_go_where_one_sends_and_the_other_receives() {
    const NEITHER: AddPath = AddPath {
        receive: false,
        send: false,
    };
    const RECEIVE: AddPath = AddPath {
        receive: true,
        ..NEITHER
    };
    const SEND: AddPath = AddPath {
        send: true,
        ..NEITHER
    };
    const BOTH: AddPath = AddPath {
        receive: true,
        send: true,
    };
    for (ours, theirs, agreed) in [
        (BOTH, BOTH, BOTH),
        (BOTH, SEND, RECEIVE),
        (BOTH, RECEIVE, SEND),
        (SEND, SEND, NEITHER),
        (RECEIVE, RECEIVE, NEITHER),
        (RECEIVE, SEND, RECEIVE),
        (BOTH, NEITHER, NEITHER),
        (NEITHER, BOTH, NEITHER),
    ] {
        let (mut config, mut peer) = (config(), peer_config());
        config.add_path = [ours, NEITHER];
        peer.add_path = [theirs, BOTH];
        let negotiated = agree(&config, peer.open(false));
        assert_eq!(negotiated.add_path, [agreed, NEITHER]);
        assert_eq!(
            negotiated.decode_context().add_path,
            [agreed.receive, false]
        );
    }
}

#[test]
fn several_paths_of_a_family_that_was_not_negotiated_or_in_no_known_way_do_not_count() {
    let both = AddPath {
        receive: true,
        send: true,
    };
    let (mut config, mut peer) = (config(), peer_config());
    config.add_path = [both; 2];
    peer.families = vec![Family::Ipv6Unicast];
    let mut open = peer.open(false);
    let [v4, v6] = Family::ALL.map(Family::afi_safi);
    open.capabilities
        .push(Capability::AddPath(vec![(v4, 3), (v6, 7)]));
    let negotiated = agree(&config, open);
    assert_eq!(negotiated.add_path, [AddPath::default(); 2]);
    // Nor does it take back what was said (RFC 7911 §4).
    let mut open = peer.open(false);
    open.capabilities
        .push(Capability::AddPath(vec![(v6, 3), (v6, 0), (v6, 4)]));
    let negotiated = agree(&config, open);
    assert_eq!(negotiated.add_path, [AddPath::default(), both]);
}

#[test]
fn no_multiprotocol_capability_means_ipv4_unicast() {
    let agreed = agree(&config(), peer_config().open(true));
    assert_eq!(agreed.families, [true, false]);
    assert!(!agreed.as4 && !agreed.extended_message && !agreed.route_refresh);
    assert_eq!(agreed.graceful_restart, None);
}

#[test]
fn capabilities_count_only_if_both_have_them() {
    let agreed = agree(&config(), peer_open());
    assert!(agreed.as4 && agreed.extended_message && agreed.route_refresh);
    assert_eq!(agreed.max_message(), wire::MAX_EXTENDED);
    assert_eq!(
        agreed.graceful_restart,
        Some(PeerGracefulRestart::default())
    );
    let mut without = config();
    without.capabilities = Capabilities {
        four_octet_as: false,
        route_refresh: false,
        enhanced_refresh: false,
        extended_message: false,
        extended_next_hop: false,
        graceful_restart: None,
        role: None,
        role_strict: false,
        extra: Vec::new(),
    };
    let agreed = agree(&without, peer_open());
    assert!(!agreed.as4 && !agreed.extended_message && !agreed.enhanced_refresh);
    // It says what its sender takes (RFC 2918 §2).
    assert!(agreed.route_refresh);
    assert_eq!(agreed.max_message(), wire::MAX_MESSAGE);
    assert_eq!(agreed.graceful_restart, None);
}

/// The subcode with which we, in this role, refuse a peer that advertises these.
fn refused(ours: Option<Role>, strict: bool, theirs: &[u8]) -> Option<u8> {
    let mut config = config();
    config.capabilities.role = ours;
    config.capabilities.role_strict = strict;
    let mut open = peer_open();
    let roles = theirs.iter().map(|role| Capability::Role(*role));
    open.capabilities.extend(roles);
    let refused = negotiate(&config, config.local_asn, config.open(false), open).err()?;
    assert_eq!(refused.code, 2);
    Some(refused.subcode)
}

/// RFC 9234 §4.2, table 2.
#[test]
fn only_roles_that_fit_agree() {
    let allowed = [(0, 3), (3, 0), (1, 2), (2, 1), (4, 4)];
    for ours in Role::ALL {
        for theirs in 0..=5 {
            let fits = allowed.contains(&(ours as u8, theirs));
            let expected = (!fits).then_some(11);
            assert_eq!(
                refused(Some(ours), false, &[theirs]),
                expected,
                "{ours} {theirs}"
            );
        }
    }
}

#[test]
fn a_role_is_asked_for_only_where_we_have_one() {
    assert_eq!(refused(Some(Role::Provider), false, &[]), None);
    assert_eq!(refused(Some(Role::Provider), true, &[]), Some(11));
    assert_eq!(refused(None, false, &[3]), None);
    assert_eq!(refused(None, true, &[]), None);
    // The same twice is once; two that differ fit nobody.
    assert_eq!(refused(Some(Role::Provider), true, &[3, 3]), None);
    assert_eq!(refused(Some(Role::Provider), false, &[3, 4]), Some(11));
    assert_eq!(refused(Some(Role::Peer), false, &[4, 3]), Some(11));
}

#[test]
fn an_internal_session_has_no_roles() {
    let mut config = config();
    config.remote_as = RemoteAs::Internal;
    config.capabilities.role = Some(Role::Provider);
    config.capabilities.role_strict = true;
    let mut peer = peer_config();
    peer.local_asn = config.local_asn;
    agree(&config, peer.open(false));
}

#[test]
fn what_may_come_in_depends_on_what_we_advertised_alone() {
    let mut without = config();
    without.capabilities.extended_message = false;
    let (lone, _) = Lone::established(without.clone());
    assert_eq!(lone.session.max_receive(), wire::MAX_MESSAGE);
    let (mut lone, conn) = Lone::open_sent(config());
    lone.session.set_config(without);
    assert_eq!(lone.session.max_receive(), wire::MAX_EXTENDED);
    lone.input(Input::Closed(conn, "reset".into()));
    assert_eq!(lone.session.max_receive(), wire::MAX_MESSAGE);
}

#[test]
fn graceful_restart_keeps_the_peers_families_that_were_negotiated() {
    let mut peer = peer_config();
    peer.families = vec![Family::Ipv6Unicast];
    peer.capabilities.graceful_restart = Some(GracefulRestart {
        restarted: true,
        notification: true,
        restart_time: 120,
        families: vec![(Family::Ipv4Unicast, true), (Family::Ipv6Unicast, true)],
    });
    let gr = agree(&config(), peer.open(false)).graceful_restart.unwrap();
    assert!(gr.restarted && gr.notification);
    assert_eq!(gr.restart_time, secs(120));
    assert_eq!(gr.families, [None, Some(true)]);
}

#[test]
fn of_several_graceful_restart_capabilities_the_last_counts_4724_3() {
    let mut open = peer_open();
    let v4 = Family::Ipv4Unicast.afi_safi();
    for (time, families) in [(1, vec![]), (7, vec![(v4, true)])] {
        open.capabilities.push(Capability::GracefulRestart {
            restart: false,
            notification: false,
            time,
            families,
        });
    }
    let gr = agree(&config(), open).graceful_restart.unwrap();
    assert_eq!(
        (gr.restart_time, gr.families),
        (secs(7), [Some(true), None])
    );
}

#[test]
fn our_open_survives_the_wire() {
    let mut config = config();
    config.local_asn = Asn(4_200_000_001);
    config.capabilities.extra.push(Capability::Unknown {
        code: 200,
        data: Bytes::from_static(b"kept"),
    });
    let open = config.open(false);
    assert_eq!(open.my_as, 23456);
    assert_eq!(Open::decode(&frame(&open.encode()).body).unwrap(), open);
}

#[test]
fn we_advertise_graceful_restart_without_families() {
    let listed = config()
        .open(false)
        .capabilities
        .into_iter()
        .find_map(|c| match c {
            Capability::GracefulRestart { families, .. } => Some(families),
            _ => None,
        });
    assert_eq!(listed, Some(Vec::new()));
}

#[test]
fn every_form_of_remote_as_accepts_what_it_says() {
    let (ours, other) = (Asn(1), Asn(2));
    for (form, same, different) in [
        (RemoteAs::Asn(other), false, true),
        (RemoteAs::Asn(ours), true, false),
        (RemoteAs::External, false, true),
        (RemoteAs::Internal, true, false),
        (RemoteAs::Any, true, true),
    ] {
        assert_eq!(form.accepts(ours, ours), same);
        assert_eq!(form.accepts(ours, other), different);
    }
}

#[test]
fn the_kind_of_session_follows_from_the_as_that_came() {
    let any = SessionConfig {
        remote_as: RemoteAs::Any,
        ..config()
    };
    assert!(agree(&any, peer_open()).external);
    let mut same = peer_config();
    same.local_asn = Asn(65001);
    assert!(!agree(&any, same.open(false)).external);
}

#[test]
fn ipv6_next_hops_for_ipv4_need_the_capability_of_both() {
    let with = |mut config: SessionConfig| {
        config.capabilities.extended_next_hop = true;
        config
    };
    assert!(!agree(&with(config()), peer_open()).extended_next_hop);
    let both = agree(&with(config()), with(peer_config()).open(false));
    assert!(both.extended_next_hop && both.decode_context().extended_next_hop);
}

#[test]
fn ipv6_next_hops_are_not_offered_without_ipv4() {
    let mut ipv6 = config();
    ipv6.capabilities.extended_next_hop = true;
    let offers = |config: &SessionConfig| {
        let list = config.open(false).capabilities;
        list.contains(&Capability::ExtendedNextHop(vec![(
            Family::Ipv4Unicast.afi_safi(),
            2,
        )]))
    };
    assert!(offers(&ipv6));
    ipv6.families = vec![Family::Ipv6Unicast];
    assert!(!offers(&ipv6));
}
