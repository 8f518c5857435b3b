//! Keys of the TCP connection: password, TTL, interface, limits.

use std::os::unix::fs::PermissionsExt as _;

use godwit_config::{Config, Effect, Scope, diff};
use tempfile::NamedTempFile;

use crate::{ROUTER, ok, wrong};

fn key_file(key: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key).unwrap();
    file
}

fn with_peer(keys: &str) -> String {
    format!(
        "{ROUTER}[[peer]]\naddress = '10.0.0.1'\nremote-as = 65001\n\
         import = ['accept-all']\nexport = ['accept-all']\n{keys}\n"
    )
}

fn with_key(file: &NamedTempFile) -> Config {
    ok(&with_peer(&format!(
        "password-file = '{}'",
        file.path().display()
    )))
}

/// The keys for which the one peer's session restarts.
fn restarts(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = diff(old, new).peers_changed;
    changed.iter().flat_map(|(_, c)| c.restarts()).collect()
}

#[test]
fn another_key_in_the_same_file_restarts_the_session() {
    let file = key_file("one\n");
    let old = with_key(&file);
    assert_eq!(old.peers[0].password.as_ref().unwrap().key(), b"one");
    std::fs::write(file.path(), "two\n").unwrap();
    assert_eq!(restarts(&old, &with_key(&file)), ["password-file"]);
}

#[test]
fn the_same_key_in_another_file_leaves_the_session_alone() {
    let (one, other) = (key_file("one\n"), key_file("one"));
    let diff = diff(&with_key(&one), &with_key(&other));
    let (_, change) = &diff.peers_changed[0];
    let expected = [("password-file of the same key", Effect::InPlace)];
    assert_eq!(change.keys, expected);
    assert_eq!(change.restarts().count(), 0);
}

#[test]
fn a_password_file_that_cannot_be_used_is_underlined_once() {
    let text = format!(
        "{ROUTER}[peer-group.g]\nremote-as = 65001\npassword-file = '/no/such/key'\n\
         [[peer]]\naddress = '10.0.0.1'\ngroup = 'g'\n[[peer]]\naddress = '10.0.0.2'\ngroup = 'g'\n"
    );
    let said = wrong(&text);
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert!(said.contains("godwit.toml:5:17"), "{said}");
    assert!(said.contains("can't be read: No such file"), "{said}");
}

#[test]
fn a_password_in_the_file_itself_is_refused() {
    let said = wrong(&with_peer("password-file = 'hush'"));
    assert!(said.contains("no absolute path"), "{said}");
}

#[test]
fn a_password_file_that_others_can_read_is_warned_of() {
    let file = key_file("key");
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = with_key(&file).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("chmod 600"), "{}", warnings[0]);
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(with_key(&file).warnings.is_empty());
}

#[test]
fn a_peer_without_a_key_in_a_range_with_one_is_warned_of() {
    let file = key_file("key");
    let range = format!(
        "[[peer]]\nrange = '10.0.0.0/24'\nremote-as = 'internal'\npassword-file = '{}'\n",
        file.path().display()
    );
    let config = ok(&format!("{}{range}", with_peer("")));
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    let said = &config.warnings[0];
    assert!(
        said.contains("the key of the range 10.0.0.0/24 holds for 10.0.0.1 too"),
        "{said}"
    );
}

#[test]
fn tcp_ao_says_what_to_take_instead() {
    let said = wrong(&with_peer("tcp-ao = '/etc/godwit/ao.key'"));
    assert!(said.contains("`tcp-ao` is not in this version"), "{said}");
    assert!(said.contains("sign with `password-file`"), "{said}");
    let names_the_kernel = said.contains("Linux 6.7 or later built with CONFIG_TCP_AO");
    let has = godwit_netlink::sockopt::has_tcp_ao().unwrap();
    assert_eq!(names_the_kernel, !has, "{said}");
}

#[test]
fn ttl_security_counts_hops_and_sends_the_highest_ttl() {
    for (value, min, on_link) in [("true", 255, true), ("1", 255, true), ("3", 253, false)] {
        let config = ok(&with_peer(&format!("ttl-security = {value}")));
        let peer = &config.peers[0];
        assert_eq!((peer.ttl(), peer.min_ttl()), (255, Some(min)), "{value}");
        assert_eq!(peer.on_link(), on_link, "{value}");
    }
    let config = ok(&with_peer("ttl-security = false"));
    assert_eq!(
        (config.peers[0].ttl(), config.peers[0].min_ttl()),
        (1, None)
    );
}

#[test]
fn ttl_security_and_multihop_exclude_each_other_also_by_the_group() {
    let said = wrong(&with_peer("ttl-security = true\nmultihop = 3"));
    assert!(said.contains("exclude each other"), "{said}");
    assert!(said.contains("write `ttl-security = 3` alone"), "{said}");
    let group = "[peer-group.g]\nttl-security = true\n";
    let said = wrong(&format!(
        "{}{group}",
        with_peer("group = 'g'\nmultihop = 3")
    ));
    assert!(said.contains("exclude each other"), "{said}");
    ok(&format!(
        "{}{group}",
        with_peer("group = 'g'\nmultihop = 3\nttl-security = false")
    ));
}

#[test]
fn an_interface_name_is_one_that_linux_can_have() {
    let config = ok(&with_peer("local-interface = 'eth0.100'"));
    assert_eq!(config.peers[0].local_interface.as_deref(), Some("eth0.100"));
    for name in ["", "a/b", "a b", "sixteen-letters-"] {
        let said = wrong(&with_peer(&format!("local-interface = '{name}'")));
        assert!(said.contains("not the name of an interface"), "{said}");
    }
}

#[test]
fn a_limit_is_a_ranges() {
    let range = "[[peer]]\nrange = '10.0.0.0/24'\nremote-as = 'internal'\n";
    assert_eq!(ok(&format!("{ROUTER}{range}")).peers[0].limit, 1000);
    assert_eq!(ok(&format!("{ROUTER}{range}limit = 2\n")).peers[0].limit, 2);
    let said = wrong(&with_peer("limit = 2"));
    assert!(said.contains("`limit` belongs to a `range`"), "{said}");
}

#[test]
fn the_connection_rate_is_applied_in_place() {
    let (old, new) = (ok(ROUTER), ok(&format!("{ROUTER}connection-rate = 0\n")));
    assert_eq!(old.router.connection_rate, 10);
    assert_eq!(new.router.connection_rate, 0);
    let changed = [("[router] connection-rate", Scope::Live)];
    assert_eq!(diff(&old, &new).keys, changed);
}
