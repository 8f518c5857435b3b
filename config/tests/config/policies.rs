//! Routing policy: what rules take, and what they say where they don't.

use godwit_bgp::attrs::Origin;
use godwit_policy::route::{
    Amount, NeighbourMatch, NextHopSpec, NumberRange, Outcome, Registry, Residual, Route,
    RoutePolicy, SourceMatch,
};

use crate::{ROUTER, ok, wrong};

/// What stands before each rule below.
const SETS: &str = "
[peer-group.tor]
remote-as = 'external'
[policy.prefix-set]
pods = ['10.244.0.0/16{16,28}']
hosts = ['10.0.0.0/8+']
[policy.community-set]
ours = ['64512:100', '64512:1:2', 'rt:64512:7']
theirs = ['64513:*']
[policy.as-path-set]
customers = ['_65001_', '^65002 .*']
[[policy.route.other]]
then = 'accept'
[[policy.route.p]]
";

fn file(rule: &str) -> String {
    format!("{ROUTER}{SETS}{rule}")
}

#[test]
fn each_condition_takes_what_the_reference_says() {
    for condition in [
        "prefix-set = 'pods'",
        "prefix-set = ['pods', 'hosts']",
        "community = ['ours', 'theirs', 'no-export', '64512:100-199', '*:666', '1:*:*', 'rt:*', '/^64512:/']",
        "community-all = ['ours', '64512:*']",
        "as-path = '_65001_'",
        "as-path = ['customers', '^$', '^65001 [^64512-65534]{2,} (1|2)+$']",
        "as-path-length = 3",
        "as-path-length = '1-3'",
        "as-path-length = { min = 2 }",
        "origin-as = [65001, '64512-65534']",
        "first-as = 65001",
        "next-hop = ['10.0.0.1', '192.0.2.0/24', 'hosts', 'fd00::/8']",
        "origin = ['igp', 'incomplete']",
        "med = { min = 10, max = 20 }",
        "local-pref = { max = 99 }",
        "weight = 0",
        "source = ['local', 'aggregate', 'external', 'internal', 'client', '10.0.0.1', 65001, 'group:tor']",
        "neighbour = ['10.0.0.1', 65001, 'group:tor']",
        "interface = ['eth0', 'eth1']",
        "family = 'ipv6-unicast'",
    ] {
        let config = ok(&file(&format!(
            "match = {{ {condition} }}\nunless = {{ {condition} }}"
        )));
        let rule = &config.policy_spec().policies["p"][0];
        assert_ne!(rule.matches, Default::default(), "{condition}");
        assert_eq!(rule.matches, rule.unless, "{condition}");
    }
}

#[test]
fn what_rules_say_is_what_is_meant() {
    let config = ok(&file(
        "match = { community = ['ours', 'theirs'], as-path = 'customers', med = { min = 10 }, source = 'group:tor', origin = 'egp', next-hop = '10.0.0.1' }
set = { local-pref = '+10', med = '-5', weight = 7, origin = 'igp', community-remove = ['theirs', 'soo:*'], community-add = 'ours', next-hop = 'peer-address', kernel-table = 100, kernel-metric = 500, preferred-source = ['192.0.2.1', '2001:db8::1'], blackhole = true }
call = 'other'
then = 'reject'",
    ));
    let rule = &config.policy_spec().policies["p"][0];
    assert_eq!(rule.matches.communities.len(), 4);
    assert_eq!(rule.matches.as_path.len(), 2);
    let at_least = NumberRange {
        min: 10,
        max: u32::MAX,
    };
    assert_eq!(rule.matches.med, Some(at_least));
    let tor = NeighbourMatch::Group("tor".into());
    assert_eq!(rule.matches.source, [SourceMatch::Neighbour(tor)]);
    assert_eq!(rule.matches.origin, [Origin::Egp]);
    let sets = &rule.sets;
    assert_eq!(sets.local_pref, Some(Amount::Plus(10)));
    assert_eq!(sets.med, Some(Amount::Minus(5)));
    assert_eq!(sets.weight, Some(Amount::Exactly(7)));
    assert_eq!(sets.next_hop, Some(NextHopSpec::PeerAddress));
    assert_eq!(
        (sets.community_remove.len(), sets.community_add.len()),
        (2, 3)
    );
    assert_eq!(
        (sets.kernel_table, sets.kernel_metric),
        (Some(100), Some(500))
    );
    assert_eq!(sets.preferred_source.len(), 2);
    assert_eq!(sets.blackhole, Some(true));
    assert_eq!(rule.call.as_deref(), Some("other"));
    assert!(config.policies().chain(&["p"]).is_ok());
}

#[test]
fn a_mistake_is_shown_with_what_to_write_instead() {
    let wrong_match = |condition: &str| format!("match = {{ {condition} }}");
    let wrong_set = |action: &str| format!("set = {{ {action} }}");
    let cases: Vec<(String, &[&str])> = vec![
        (
            wrong_match("as-path = '^[0-9]+$'"),
            &["whole AS numbers", "write `.` for any"],
        ),
        (
            wrong_match("as-path = '65001.*'"),
            &["at `.*`", "put a blank between them"],
        ),
        (wrong_match("as-path = '(1'"), &["this `(` is not closed"]),
        (
            wrong_match("as-path = 'customer'"),
            &[
                "no AS path pattern and no AS path pattern set",
                "did you mean `customers`?",
            ],
        ),
        (
            wrong_match("as-path = []"),
            &["`as-path` has nothing to match"],
        ),
        (
            wrong_match("as-path-length = '3-1'"),
            &["not a range of numbers"],
        ),
        (
            wrong_match("as-path-length = { min = 3, max = 1 }"),
            &["`min` is above `max`"],
        ),
        (wrong_match("med = { mni = 3 }"), &["unknown key `mni`"]),
        (wrong_match("med = {}"), &["a range of nothing"]),
        (wrong_match("origin-as = 'sixty'"), &["`\"64512-65534\"`"]),
        (wrong_match("origin-as = 0"), &["0"]),
        (
            wrong_match("community = '/(/'"),
            &["not a regular expression"],
        ),
        (
            wrong_match("community = '64512'"),
            &["not a community", "`64512:*`"],
        ),
        (wrong_match("next-hop = 'host'"), &["did you mean `hosts`?"]),
        (
            wrong_match("next-hop = '10.0.0.0/33'"),
            &["write an address, a prefix"],
        ),
        (wrong_match("origin = 'ipg'"), &["did you mean `\"igp\"`?"]),
        (
            wrong_match("source = 'extrenal'"),
            &["did you mean `\"external\"`?"],
        ),
        (
            wrong_match("source = 'group:tro'"),
            &["did you mean `group:tor`?"],
        ),
        (
            wrong_match("neighbour = 'group:spine'"),
            &["add a `[peer-group.spine]`"],
        ),
        (
            wrong_match("prefix-set = ['pods', 'pod']"),
            &["did you mean `pods`?"],
        ),
        (
            wrong_match("comunity = 'ours'"),
            &["did you mean `community`?"],
        ),
        (wrong_set("local-pref = '10'"), &["`\"+10\"`"]),
        (
            wrong_set("med = '+'"),
            &["not a number and not a change of one"],
        ),
        (
            wrong_set("med = '+4294967296'"),
            &["not a number and not a change of one"],
        ),
        (
            wrong_set("community-add = '64512:*'"),
            &["a pattern says what to match"],
        ),
        (
            wrong_set("community-add = 'theirs'"),
            &["a pattern says what to match"],
        ),
        (
            wrong_set("next-hop = 'slef'"),
            &["write `\"self\"`, `\"peer-address\"` or an address"],
        ),
        (wrong_set("next-hop-self = true"), &["unknown key"]),
        (
            wrong_set("preferred-source = ['192.0.2.1', '192.0.2.2']"),
            &["two preferred sources of one family"],
        ),
        (wrong_set("kernel-metric = 5"), &["from 257"]),
        (
            wrong_set("kernel-table = 'mian'"),
            &["no routing table is known"],
        ),
        (
            "call = 'othre'".into(),
            &[
                "no routing policy is named `othre`",
                "did you mean `other`?",
            ],
        ),
        (
            "call = 'custom:geo'".into(),
            &["no policy `custom:geo` is in this program"],
        ),
        (
            "call = 'p'".into(),
            &[
                "policies call each other in a ring: p → p",
                "closes the ring",
            ],
        ),
    ];
    for (rule, parts) in cases {
        let said = wrong(&file(&rule));
        assert_eq!(said.matches("error: ").count(), 1, "{rule}\n{said}");
        assert!(said.contains("godwit.toml:"), "no place: {said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in\n{said}");
        }
    }
}

#[test]
fn every_ring_of_calls_is_shown_where_it_closes() {
    let said = wrong(&format!(
        "{ROUTER}[[policy.route.a]]\ncall = 'b'\n[[policy.route.b]]\ncall = 'c'\n\
         [[policy.route.c]]\ncall = 'a'\n[[policy.route.d]]\ncall = 'd'\n"
    ));
    assert!(said.contains("a → b → c → a"), "{said}");
    assert!(said.contains("d → d"), "{said}");
    assert_eq!(said.matches("closes the ring").count(), 2, "{said}");
}

#[test]
fn rules_are_shown_as_they_could_stand_in_the_file() {
    let config = ok(&file(
        "match = { community = [ 'ours' ] , med={min=1} }\nset = { local-pref = 200 }",
    ));
    let text = &config.policy_text()["p"][0];
    assert_eq!(
        text.matches.as_deref(),
        Some("{ community = [\"ours\"], med = { min = 1 } }")
    );
    assert_eq!(text.sets.as_deref(), Some("{ local-pref = 200 }"));
    assert_eq!(text.unless, None);
}

#[derive(Debug)]
struct Nothing;

impl RoutePolicy for Nothing {
    fn specialise(&self, _: &Route<'_>) -> Residual {
        Residual::constant(Outcome::reject("nothing".into()))
    }
}

#[test]
fn policies_in_rust_are_named_where_they_are_in_the_program() {
    let text = |name: &str| {
        format!(
            "{ROUTER}[[peer]]\naddress = '10.0.0.1'\nremote-as = 65001\nimport = ['{name}']\nexport = ['accept-all']"
        )
    };
    let registry = Registry::default().with("nothing", Nothing);
    let parse = |name: &str| godwit_config::parse_with("godwit.toml", &text(name), &registry);
    assert!(parse("custom:nothing").is_ok());
    let said = parse("custom:nothign").unwrap_err().to_string();
    assert!(said.contains("did you mean `custom:nothing`?"), "{said}");
    let said = parse("custom:geo").unwrap_err().to_string();
    assert!(said.contains("this program has custom:nothing"), "{said}");
    let unchecked = Registry::unchecked();
    assert!(godwit_config::parse_with("x", &text("custom:geo"), &unchecked).is_ok());
}

#[test]
fn a_changed_called_policy_changes_the_import_of_who_calls_it() {
    let config = |pref: u32| {
        ok(&format!(
            "{ROUTER}[[peer]]\naddress = '10.0.0.1'\nremote-as = 65001\nimport = ['outer']\nexport = ['accept-all']\n\
             [[policy.route.outer]]\ncall = 'inner'\n\
             [[policy.route.inner]]\nset = {{ local-pref = {pref} }}\nthen = 'accept'\n"
        ))
    };
    let (one, same, two) = (config(1), config(1), config(2));
    assert!(godwit_config::diff(&one, &same).is_empty());
    let diff = godwit_config::diff(&one, &two);
    assert_eq!(diff.peers_changed.len(), 1);
    assert_eq!(diff.peers_changed[0].1.restarts().count(), 0);
}
