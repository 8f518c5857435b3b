use super::*;

/// Two values of every key that a group can have.
fn two_values(key: &str) -> [&'static str; 2] {
    match key {
        "remote-as" => ["65001", "'external'"],
        "hold-time" => ["'30s'", "'60s'"],
        "keepalive" => ["'2s'", "'3s'"],
        "connect-retry" | "refresh-timeout" | "stale-time" => ["'20s'", "'30s'"],
        "send-hold-time" => ["'10m'", "'20m'"],
        "passive" | "disabled" | "next-hop-self" => ["true", "false"],
        "default-originate" => ["true", "false"],
        "as-override" | "enforce-first-as" | "role-strict" => ["true", "false"],
        "graceful-restart" | "blackhole-community" | "graceful-shutdown" | "extended-next-hop" => {
            ["true", "false"]
        }
        "local-as" => ["65010", "65011"],
        "allow-as-in" | "max-as-path-length" | "weight" => ["2", "5"],
        "remove-private-as" => ["true", "'all'"],
        "as-set" => ["'withdraw'", "'accept'"],
        "role" => ["'customer'", "'provider'"],
        "send-communities" => ["['standard']", "['large']"],
        "bfd" => ["true", "{ interval = '50ms' }"],
        "port" => ["1179", "2179"],
        "local-address" => ["'10.0.0.8'", "'10.0.0.9'"],
        "multihop" => ["2", "3"],
        "local-interface" => ["'eth0'", "'eth1'"],
        "ttl-security" => ["true", "false"],
        "password-file" => ["'@one'", "'@two'"],
        // Internal peers only, which the rows' others are not.
        "route-reflector-client" => ["true", "false"],
        "import" | "export" => ["['accept-all']", "['reject-all']"],
        other => panic!("add two values of `{other}` here"),
    }
}

#[test]
fn a_peer_overrides_each_key_of_its_group() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        std::fs::write(directory.path().join(name), name).unwrap();
    }
    let files = format!("{}/", directory.path().display());
    let peer = |key: &str, group: &str, own: &str| {
        let with = |value: &str| match value {
            "" => String::new(),
            value => format!("{key} = {}\n", value.replace('@', &files)),
        };
        let asn = match key {
            "remote-as" => "",
            "route-reflector-client" => "remote-as = 'internal'\n",
            "role-strict" => "remote-as = 65002\nrole = 'customer'\n",
            _ => "remote-as = 65002\n",
        };
        let text = format!(
            "[router]\nasn = 64512\n[peer-group.g]\n{asn}{}\
             [[peer]]\naddress = '10.0.0.1'\ngroup = 'g'\n{}",
            with(group),
            with(own)
        );
        crate::parse("x", &text)
            .unwrap_or_else(|e| panic!("{text}\n{e}"))
            .peers[0]
            .clone()
    };
    for key in PEER_GROUP.all_keys().filter(|k| k.status == Status::Built) {
        let [a, b] = two_values(key.name);
        assert_ne!(peer(key.name, "", a), peer(key.name, "", b), "{}", key.name);
        for (group, own) in [(a, b), (b, a)] {
            let inherited = peer(key.name, group, "");
            assert_eq!(inherited, peer(key.name, "", group), "{}", key.name);
            let overridden = peer(key.name, group, own);
            assert_eq!(overridden, peer(key.name, "", own), "{}", key.name);
        }
    }
}

/// A value of a type that no key takes: who reads the key says so. A key
/// that nobody reads would be taken in silence.
#[test]
fn every_key_of_the_schema_is_read() {
    let places: &[(&Section, &str, &str)] = &[
        (&ROUTER, "[router]\n", ""),
        (&ORIGINATE, "[[originate]]\n", ""),
        (&AGGREGATE, "[[aggregate]]\n", ""),
        (
            &DEFAULT_ORIGINATE,
            "[peer-group.g]\ndefault-originate = { ",
            " }",
        ),
        (&PEER, "[[peer]]\n", ""),
        (&PEER_GROUP, "[peer-group.g]\n", ""),
        (&LOCAL_AS, "[[peer]]\nlocal-as = { ", " }"),
        (&PEER_BFD, "[[peer]]\nbfd = { ", " }"),
        (&FAMILIES, "[peer-group.g.family]\n", ""),
        (&FAMILY, "[peer-group.g.family.ipv6-unicast]\n", ""),
        (
            &PREFIX_LIMIT,
            "[peer-group.g.family.ipv6-unicast]\nprefix-limit = { ",
            " }",
        ),
        (
            &ADD_PATH,
            "[peer-group.g.family.ipv6-unicast]\nadd-path = { ",
            " }",
        ),
        (&POLICY, "[policy]\n", ""),
        (&RULE, "[[policy.route.p]]\n", ""),
        (&MATCH, "[[policy.route.p]]\nmatch = { ", " }"),
        (&SET, "[[policy.route.p]]\nset = { ", " }"),
        (&FIB, "[fib]\n", ""),
        (&NEXT_HOP, "[next-hop]\n", ""),
        (&BFD, "[bfd]\n", ""),
        (&API, "[api]\n", ""),
        (&LOG, "[log]\n", ""),
        (&ROOT, "", ""),
    ];
    for (section, before, after) in places {
        for key in section.all_keys().filter(|k| k.status != Status::Planned) {
            let text = format!("{before}{} = 1979-05-27{after}", key.name);
            let said = crate::parse("x", &text).expect_err(&text).to_string();
            assert!(said.contains("not a datetime"), "{text}\n{said}");
        }
    }
}
