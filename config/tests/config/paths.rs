//! AS numbers, roles and kinds of communities.

use godwit_bgp::attrs::{CommunityKinds, RemovePrivate};
use godwit_bgp::{Asn, Role};
use godwit_config::{Effect, LocalAs, PathConfig, diff};

use crate::{ROUTER, ok, wrong};

fn path(keys: &str) -> PathConfig {
    let text = format!("{ROUTER}[[peer]]\naddress = '10.0.0.1'\nremote-as = 65001\n{keys}");
    ok(&text).peers[0].path.clone()
}

#[track_caller]
fn says(keys: &str, parts: &[&str]) {
    let said = wrong(&format!("{ROUTER}[[peer]]\naddress = '10.0.0.1'\n{keys}"));
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn paths_are_strict_unless_told_otherwise() {
    let expected = PathConfig {
        local_as: None,
        allow_as_in: 0,
        as_override: false,
        remove_private_as: RemovePrivate::No,
        enforce_first_as: true,
        accept_as_set: false,
        max_as_path_length: 750,
        role: None,
        role_strict: false,
        send_communities: CommunityKinds::ALL,
    };
    assert_eq!(path(""), expected);
}

#[test]
fn each_key_is_taken() {
    let given = path(
        "allow-as-in = 2\nas-override = true\nremove-private-as = 'all-replace'\n\
         enforce-first-as = false\nas-set = 'accept'\nmax-as-path-length = 2000\n\
         role = 'customer'\nrole-strict = true\nsend-communities = ['standard', 'large']",
    );
    let expected = PathConfig {
        local_as: None,
        allow_as_in: 2,
        as_override: true,
        remove_private_as: RemovePrivate::ReplaceAll,
        enforce_first_as: false,
        accept_as_set: true,
        max_as_path_length: 2000,
        role: Some(Role::Customer),
        role_strict: true,
        send_communities: CommunityKinds {
            extended: false,
            ..CommunityKinds::ALL
        },
    };
    assert_eq!(given, expected);
    assert_eq!(path("allow-as-in = true").allow_as_in, 3);
    assert_eq!(path("allow-as-in = false").allow_as_in, 0);
    let private = |value| path(&format!("remove-private-as = {value}")).remove_private_as;
    assert_eq!(private("true"), RemovePrivate::IfAlone);
    assert_eq!(private("false"), RemovePrivate::No);
    assert_eq!(private("'all'"), RemovePrivate::All);
    assert_eq!(private("'replace'"), RemovePrivate::ReplaceIfAlone);
    let none = path("send-communities = []").send_communities;
    assert_eq!(none, CommunityKinds::NONE);
}

#[test]
fn a_local_as_is_a_number_or_a_table() {
    let local = |keys| path(keys).local_as.unwrap();
    let plain = LocalAs {
        asn: Asn(64500),
        no_prepend: false,
        replace_as: false,
        dual_as: false,
    };
    assert_eq!(local("local-as = 64500"), plain);
    assert_eq!(local("local-as = { asn = 64500 }"), plain);
    let both = local("local-as = { asn = 64500, no-prepend = true, replace-as = true }");
    assert!(both.no_prepend && both.replace_as && !both.dual_as);
    assert!(local("local-as = { asn = 64500, dual-as = true }").dual_as);
    let remote = "remote-as = 65001\n";
    says(
        &format!("{remote}local-as = {{ no-prepend = true }}"),
        &["`asn` is missing", "local-as = { asn = NUMBER"],
    );
    says(
        &format!("{remote}local-as = {{ asn = 1, noprepend = true }}"),
        &["did you mean `no-prepend`?"],
    );
    says(
        &format!("{remote}local-as = 'x'"),
        &["an AS number is needed here"],
    );
    says(
        &format!("{remote}local-as = 64512"),
        &["64512 is our AS number anyway"],
    );
}

#[test]
fn a_local_as_decides_what_is_external() {
    let peer = |keys: &str| {
        let text = format!("{ROUTER}[[peer]]\naddress = '10.0.0.1'\n{keys}");
        ok(&text).peers[0].external
    };
    assert!(!peer("remote-as = 64500\nlocal-as = 64500"));
    assert!(peer("remote-as = 65001\nlocal-as = 64500"));
    assert!(!peer("remote-as = 'internal'\nlocal-as = 64500"));
    says(
        "remote-as = 64512\nlocal-as = 64500",
        &["a neighbour of our own AS would be an external one"],
    );
}

#[test]
fn a_role_is_for_an_external_peer() {
    says(
        "remote-as = 'internal'\nrole = 'peer'",
        &["an internal peer has no role", "RFC 9234"],
    );
    says(
        "remote-as = 1\nrole-strict = true",
        &["`role-strict` needs a `role`"],
    );
    says(
        "remote-as = 1\nrole = 'costumer'",
        &["did you mean `\"customer\"`?"],
    );
    says(
        "remote-as = 1\nsend-communities = ['wide']",
        &["standard", "large"],
    );
    says("remote-as = 1\nallow-as-in = 11", &["from 0 to 10"]);
    says("remote-as = 1\nmax-as-path-length = 0", &["from 1 to 2000"]);
    says("remote-as = 1\nas-set = true", &["a word is needed here"]);
}

/// RFC 7947 §2.2.2.1.
#[test]
fn a_route_server_may_leave_itself_out_of_the_path() {
    assert!(!path("role = 'rs-client'").enforce_first_as);
    assert!(path("role = 'rs-client'\nenforce-first-as = true").enforce_first_as);
    assert!(path("role = 'rs-server'").enforce_first_as);
}

#[test]
fn a_peer_takes_from_its_group_what_it_does_not_say() {
    let text = format!(
        "{ROUTER}[peer-group.g]\nremote-as = 'external'\nlocal-as = 64500\nallow-as-in = true\n\
         as-set = 'accept'\n[[peer]]\naddress = '10.0.0.1'\ngroup = 'g'\nallow-as-in = 1\n"
    );
    let path = ok(&text).peers[0].path.clone();
    assert_eq!(path.local_as.unwrap().asn, Asn(64500));
    assert_eq!((path.allow_as_in, path.accept_as_set), (1, true));
}

#[test]
fn only_what_open_says_restarts_the_session() {
    let peer = |keys: &str| {
        let head = "[[peer]]\naddress = '10.0.0.1'\nremote-as = 65001\n";
        ok(&format!("{ROUTER}{head}{keys}"))
    };
    let effect = |old: &str, new: &str| {
        let found = diff(&peer(old), &peer(new)).peers_changed;
        let [(_, change)] = &found[..] else {
            panic!("{found:?}")
        };
        let [(_, effect)] = change.keys[..] else {
            panic!("{change:?}")
        };
        effect
    };
    assert_eq!(effect("", "local-as = 64500"), Effect::Restart);
    assert_eq!(
        effect("local-as = 64501", "local-as = 64500"),
        Effect::Restart
    );
    let table = "local-as = { asn = 64500, replace-as = true }";
    assert_eq!(effect("local-as = 64500", table), Effect::InPlace);
    assert_eq!(
        effect("role = 'peer'", "role = 'provider'"),
        Effect::Restart
    );
    assert_eq!(effect("", "allow-as-in = 1"), Effect::Import);
    assert_eq!(effect("", "enforce-first-as = false"), Effect::Import);
    assert_eq!(effect("", "as-set = 'accept'"), Effect::Import);
    assert_eq!(effect("", "max-as-path-length = 5"), Effect::Import);
    assert_eq!(effect("", "as-override = true"), Effect::Export);
    assert_eq!(effect("", "remove-private-as = true"), Effect::Export);
    assert_eq!(effect("", "send-communities = []"), Effect::Export);
}
