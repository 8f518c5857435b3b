use std::time::Duration;

use super::*;
use crate::model::RemoteAs;
use crate::schema::{
    ADD_PATH, DEFAULT_ORIGINATE, FAMILIES, FAMILY, LOCAL_AS, PEER, PEER_BFD, PREFIX_LIMIT, Section,
    Status,
};
use crate::settings::FamilySettings;

/// Values of a key, of each kind that it can have; each another than without it.
fn values(key: &str, files: &str) -> Vec<String> {
    let all: &[&str] = match key {
        "group" => &["'g'"],
        "description" => &["'x'", "'\"quoted\" \\ and ü'"],
        "limit" | "allow-as-in" | "max-as-path-length" | "max" | "multihop" => &["7"],
        "remote-as" => &["8", "4200000000", "'external'", "'internal'"],
        "hold-time" => &["'9s'", "'0s'", "'1m'"],
        "keepalive" | "connect-retry" | "refresh-timeout" | "stale-time" => &["'5s'", "'2500ms'"],
        "send-hold-time" => &["'10m'"],
        "restart-after" => &["'60s'", "'2d'"],
        "passive" | "disabled" | "next-hop-self" | "as-override" | "enforce-first-as" => {
            &["true", "false"]
        }
        "role-strict" | "graceful-restart" | "blackhole-community" | "graceful-shutdown" => {
            &["true", "false"]
        }
        "extended-next-hop" | "route-reflector-client" => &["true", "false"],
        "no-prepend" | "replace-as" | "dual-as" | "receive" => &["true"],
        "port" => &["1790", "65535"],
        "local-address" => &["'10.0.0.2'", "'fd00::2'"],
        "local-interface" => &["'eth0'"],
        "ttl-security" => &["true", "false", "1", "254"],
        "password-file" => &["'@key'"],
        "default-originate" => &["true", "false"],
        "bfd" => &["true", "false"],
        "interval" => &["'50ms'", "'1s'"],
        "multiplier" => &["5"],
        "weight" => &["70", "4294967295", "0"],
        "import" | "export" | "policy" => &["['accept-all']", "['p', 'reject-all']", "[]"],
        "local-as" | "asn" => &["9"],
        "remove-private-as" => &["true", "false", "'all'", "'replace'", "'all-replace'"],
        "as-set" => &["'accept'", "'withdraw'"],
        "role" => &[
            "'provider'",
            "'customer'",
            "'peer'",
            "'rs-server'",
            "'rs-client'",
        ],
        "send-communities" => &["['standard', 'large']", "['extended']", "[]"],
        "if" => &["'10.0.0.0/8+'", "'s'"],
        "then" => &["'restart'", "'disable'"],
        "warn-at" => &["50"],
        "count" => &["'accepted'"],
        "send" => &["2", "'all'", "'ecmp'"],
        other => panic!("add values of `{other}` here"),
    };
    let with_file = |value: &&str| value.replace('@', files);
    all.iter().map(with_file).collect()
}

/// Every value of every key, down to the tables within tables: lines below a
/// `[[peer]]`.
fn lines(section: &Section, before: &str, files: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for key in section
        .all_keys()
        .filter(|key| key.status != Status::Planned)
    {
        let name = format!("{before}{}", key.name);
        // What the table of a key that may be one needs besides.
        let table = match key.name {
            "address" | "interface" | "range" => continue,
            "family" => Some((&FAMILIES, "")),
            "ipv4-unicast" | "ipv6-unicast" => Some((&FAMILY, "")),
            "local-as" => Some((&LOCAL_AS, "asn = 9")),
            "default-originate" => Some((&DEFAULT_ORIGINATE, "")),
            "prefix-limit" | "prefix-limit-out" => Some((&PREFIX_LIMIT, "max = 9")),
            "add-path" => Some((&ADD_PATH, "")),
            "bfd" => Some((&PEER_BFD, "")),
            _ => None,
        };
        if let Some((within, needed)) = table {
            let own = lines_within(within, &name, needed, files);
            let not_of_this =
                |line: &String| key.name == "prefix-limit-out" && line.contains("count");
            lines.extend(own.into_iter().filter(|line| !not_of_this(line)));
        }
        let alone = !matches!(
            key.name,
            "family"
                | "ipv4-unicast"
                | "ipv6-unicast"
                | "prefix-limit"
                | "prefix-limit-out"
                | "add-path"
        );
        if alone {
            // The one name that means two things.
            let meant = match name.ends_with("bfd.multihop") {
                true => "passive",
                false => key.name,
            };
            let values = values(meant, files);
            lines.extend(values.iter().map(|value| format!("{name} = {value}\n")));
        }
    }
    lines
}

fn lines_within(section: &Section, name: &str, needed: &str, files: &str) -> Vec<String> {
    let within = lines(section, &format!("{name}."), files);
    let needed_key = needed.split(' ').next().unwrap_or_default();
    let complete = |line: String| match line.starts_with(&format!("{name}.{needed_key} ")) {
        _ if needed.is_empty() => line,
        true => line,
        // A pause goes with what it is about.
        false if line.contains("restart-after") => {
            format!("{line}{name}.{needed}\n{name}.then = 'restart'\n")
        }
        false => format!("{line}{name}.{needed}\n"),
    };
    within.into_iter().map(complete).collect()
}

/// What is written reads as it was: each key of the schema, in each of its forms.
#[test]
fn every_key_reads_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("key"), "secret").unwrap();
    let files = format!("{}/", directory.path().display());
    let text = "[router]\nasn = 1\n[peer-group.g]\n[[policy.route.p]]\nthen = 'accept'\n\
                [policy.prefix-set]\ns = ['10.0.0.0/8']\n";
    let config = crate::parse("x", text).unwrap();
    let read = |text: &str| {
        let mut read = config.read_peers(text);
        assert_eq!(read.len(), 1, "{text}");
        read.remove(0).unwrap_or_else(|e| panic!("{text}\n{e}"))
    };
    let names = [
        "address = '10.0.0.1'",
        "interface = 'eth1'",
        "range = '10.0.0.0/8'",
    ];
    for name in names {
        let peer = read(&format!("[[peer]]\n{name}\n"));
        let written = add_peer("", peer.key, None, &peer.settings).unwrap();
        assert_eq!(read(&written), peer, "{written}");
    }
    let bare = "[[peer]]\naddress = '10.0.0.1'\n";
    let lines = lines(&PEER, "", &files);
    assert!(lines.len() > 140, "{}", lines.len());
    for line in lines {
        let given = format!("{bare}{line}");
        let peer = read(&given);
        assert_ne!(peer, read(bare), "{given}");
        let written = add_peer("", peer.key, peer.group.as_deref(), &peer.settings).unwrap();
        assert_eq!(read(&written), peer, "{given}\n{written}");
    }
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
