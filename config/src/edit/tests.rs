use std::time::Duration;

use super::*;
use crate::model::RemoteAs;
use crate::settings::FamilySettings;

/// What is written reads as it was.
#[test]
fn every_key_reads_as_it_was_written() {
    let text = "[router]\nasn = 1\n[[peer]]\naddress = \"10.0.0.1\"\nremote-as = 7\n\
        description = \"x\"\ndisabled = true\nhold-time = \"9s\"\nkeepalive = \"2500ms\"\n\
        connect-retry = \"5s\"\nrefresh-timeout = \"60s\"\npassive = true\nport = 1790\n\
        local-address = \"10.0.0.2\"\nmultihop = 4\nnext-hop-self = false\n\
        route-reflector-client = false\nweight = 70\nblackhole-community = true\n\
        graceful-shutdown = false\nimport = [\"accept-all\"]\nexport = []\n\
        local-as = { asn = 9, no-prepend = true, dual-as = true }\nallow-as-in = 2\nas-override = true\n\
        remove-private-as = \"all-replace\"\nenforce-first-as = false\nas-set = \"accept\"\n\
        max-as-path-length = 99\nrole = \"customer\"\nrole-strict = true\n\
        send-communities = [\"standard\", \"large\"]\n\
        family.ipv4-unicast.import = [\"reject-all\"]\n\
        family.ipv4-unicast.prefix-limit = { max = 9, then = \"restart\", restart-after = \"60s\", count = \"accepted\" }\n\
        family.ipv4-unicast.prefix-limit-out = { max = 9, warn-at = 50 }\n";
    let config = crate::parse("x", text).unwrap();
    let read = |text: &str| config.read_peers(text).remove(0).unwrap();
    let first = read(text);
    let again = add_peer("", first.key, None, &first.settings).unwrap();
    assert_eq!(read(&again), first);
}

const FILE: &str = "# The router of rack 1.

[router]
asn = 64512 # ours

# --- neighbours ---

# the left ToR
[[peer]]
address = \"10.0.0.1\" # eth0
remote-as = 65001

[[peer]]
address = \"10.0.0.2\"
remote-as = 65002
disabled = true # until the cable is there

[policy.prefix-set]
s = [\"10.0.0.0/8+\"]
# the end
";

fn key(address: &str) -> PeerKey {
    PeerKey::Address(address.parse().unwrap())
}

/// What a change takes out and puts in, line by line.
fn difference(new: &str) -> (Vec<String>, Vec<String>) {
    let only = |a: &str, b: &str| -> Vec<String> {
        let mut rest: Vec<&str> = b.lines().collect();
        let mut found = Vec::new();
        for line in a.lines() {
            match rest.iter().position(|other| *other == line) {
                Some(at) => drop(rest.remove(at)),
                None => found.push(line.to_owned()),
            }
        }
        found
    };
    (only(FILE, new), only(new, FILE))
}

#[test]
fn a_peer_is_added_behind_the_others_and_all_else_stays() {
    let settings = PeerSettings {
        remote_as: Some(RemoteAs::External),
        hold_time: Some(Duration::from_secs(9)),
        import: Some(vec!["accept-all".to_owned()]),
        families: [None, Some(FamilySettings::default())],
        ..PeerSettings::default()
    };
    let new = add_peer(FILE, key("10.0.0.3"), None, &settings).unwrap();
    let (gone, come) = difference(&new);
    assert!(gone.is_empty(), "{gone:?}");
    let expected = [
        "[[peer]]",
        "address = \"10.0.0.3\"",
        "remote-as = \"external\"",
        "hold-time = \"9s\"",
        "import = [\"accept-all\"]",
        "",
        "[peer.family.ipv6-unicast]",
        "",
    ];
    assert_eq!(come, expected);
    let config = crate::parse("x", &new).unwrap();
    assert_eq!(config.peers.len(), 3);
    assert_eq!(config.peers[2].families, [false, true]);
}

#[test]
fn a_peer_goes_with_its_comment_and_no_other() {
    let new = remove_peer(FILE, key("10.0.0.1")).unwrap();
    let (gone, come) = difference(&new);
    assert!(come.is_empty(), "{come:?}");
    assert!(gone.contains(&"# the left ToR".to_owned()));
    assert!(new.contains("# --- neighbours ---"), "{new}");
    assert!(new.contains("# the end"), "{new}");
    assert_eq!(crate::parse("x", &new).unwrap().peers.len(), 1);
}

#[test]
fn a_peer_is_disabled_and_enabled_in_its_place() {
    let new = set_disabled(FILE, key("10.0.0.1"), true).unwrap();
    assert_eq!(
        difference(&new),
        (Vec::new(), vec!["disabled = true".to_owned()])
    );
    assert_eq!(set_disabled(&new, key("10.0.0.1"), false).unwrap(), FILE);
    let grouped =
        "[peer-group.g]\ndisabled = true\n[[peer]]\naddress = \"10.0.0.1\"\ngroup = \"g\"\n";
    let new = set_disabled(grouped, key("10.0.0.1"), false).unwrap();
    assert!(new.ends_with("disabled = false\n"), "{new}");
}

#[test]
fn routes_come_and_go() {
    let net = "192.0.2.0/24".parse().unwrap();
    let new = add_route(FILE, net, true).unwrap();
    assert!(crate::parse("x", &new).unwrap().originate[0].blackhole);
    let plain = add_route(&new, net, false).unwrap();
    assert!(!crate::parse("x", &plain).unwrap().originate[0].blackhole);
    let gone = remove_route(&plain, net).unwrap();
    assert_eq!(crate::parse("x", &gone).unwrap().originate.len(), 0);
    assert!(remove_route(FILE, net).is_err());
}

#[test]
fn secrets_are_hidden_wherever_they_stand() {
    let text = "[[peer]]\npassword = \"abc\" # x\n[peer-group.g]\npassword = 'def'\n[a]\nb = { password = \"ghi\" }\n";
    let shown = without_secrets(text).unwrap();
    for secret in ["abc", "def", "ghi"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("# x"));
}

#[test]
fn a_list_in_one_line_is_left_alone() {
    let text = "peer = [{ address = \"10.0.0.1\", remote-as = 1 }]\n";
    let error = remove_peer(text, key("10.0.0.1")).unwrap_err();
    assert!(error.contains("[[peer]]"), "{error}");
}
