use std::num::NonZeroU16;
use std::time::Duration;

use godwit_bgp::{Asn, SendPaths};
use godwit_config::{AddPathConfig, OnStop, PeerKey, PeerSettings, RemoteAs};
use godwit_policy::route::PolicyRef;

use crate::{ROUTER, ok};

#[test]
fn as_number_and_one_peer_are_enough() {
    let config = ok("[router]\nasn = 64512\n[[peer]]\naddress = '10.0.0.254'\nremote-as = 65000");
    let peer = &config.peers[0];
    assert_eq!(config.router.asn, Asn(64512));
    assert_eq!(config.router.router_id, None);
    let listen: Vec<String> = config.router.listen.iter().map(|a| a.to_string()).collect();
    assert_eq!(listen, ["0.0.0.0:179", "[::]:179"]);
    assert_eq!(config.router.max_paths_external, 16);
    assert_eq!(peer.hold_time, Duration::from_secs(90));
    assert_eq!(peer.families, [true, true]);
    assert_eq!(peer.remote_as, RemoteAs::Asn(Asn(65000)));
    assert_eq!((peer.external, peer.ttl(), peer.port), (true, 1, 179));
    assert_eq!(
        (config.fib.table, config.fib.metric, config.fib.protocol),
        (254, 10103, 103)
    );
    assert_eq!(config.fib.on_stop, OnStop::Keep);
    assert!(config.next_hop.require && config.next_hop.via_default);
}

#[test]
fn the_neighbour_on_an_interface_takes_ipv6_next_hops_for_ipv4() {
    let config = ok(&format!(
        "{ROUTER}[[peer]]\ninterface = 'eth1'\nremote-as = 'external'\n\
         [[peer]]\ninterface = 'eth2'\nremote-as = 'external'\nextended-next-hop = false\n\
         [[peer]]\naddress = 'fd00::1'\nremote-as = 'external'\n"
    ));
    let peers: Vec<(String, bool)> = config
        .peers
        .iter()
        .map(|p| (p.key.to_string(), p.extended_next_hop))
        .collect();
    let expected = [("eth1", true), ("eth2", false), ("fd00::1", false)];
    assert_eq!(peers, expected.map(|(key, on)| (key.to_owned(), on)));
}

#[test]
fn without_policies_an_external_peer_passes_nothing_and_an_internal_one_all() {
    let config = ok(&format!(
        "{ROUTER}[[peer]]\naddress = '10.0.0.1'\nremote-as = 'external'\n\
         [[peer]]\naddress = '10.0.0.2'\nremote-as = 64512\n"
    ));
    assert_eq!(config.peers[0].import[0].policy, PolicyRef::no_policy());
    assert_eq!(config.peers[0].export[1].policy, PolicyRef::no_policy());
    assert_eq!(config.peers[1].import[0].policy, PolicyRef::accept_all());
    assert!(!config.peers[1].external);
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("external peer 10.0.0.1 has no `import` and `export`: no route passes in either direction (RFC 8212)"), "{}", config.warnings[0]);
}

#[test]
fn a_peers_own_keys_come_before_its_groups() {
    let config = ok(&format!(
        "{ROUTER}
[peer-group.g]
remote-as = 'external'
hold-time = '9s'
port = 1790
import = ['accept-all']
[peer-group.g.family.ipv4-unicast]
export = ['reject-all']

[[peer]]
address = '10.0.0.1'
group = 'g'
hold-time = '30s'
[[peer]]
address = '10.0.0.2'
group = 'g'
export = ['accept-all']
[peer.family.ipv6-unicast]
import = ['reject-all']
"
    ));
    let [one, two] = &config.peers[..] else {
        panic!("two peers")
    };
    assert_eq!((one.hold_time.as_secs(), one.port), (30, 1790));
    assert_eq!(one.group.as_deref(), Some("g"));
    assert_eq!(one.families, [true, false]);
    assert_eq!(one.export[0].names, Some(vec!["reject-all".to_owned()]));
    assert_eq!(two.families, [false, true]);
    assert_eq!(two.export[1].names, Some(vec!["accept-all".to_owned()]));
    assert_eq!(two.import[1].policy, PolicyRef::reject_all());
}

#[test]
fn the_address_then_the_longest_range_names_the_peer() {
    let config = ok(&format!(
        "{ROUTER}
[[peer]]
range = '10.0.0.0/8'
remote-as = 'internal'
[[peer]]
range = '10.1.0.0/16'
remote-as = 'internal'
[[peer]]
address = '10.1.0.1'
remote-as = 'internal'
"
    ));
    let key = |address: &str| {
        let peer = config.peer_for(address.parse().unwrap());
        peer.map(|peer| peer.key.to_string())
    };
    assert_eq!(key("10.1.0.1").as_deref(), Some("10.1.0.1"));
    assert_eq!(key("10.1.0.2").as_deref(), Some("10.1.0.0/16"));
    assert_eq!(key("10.2.0.2").as_deref(), Some("10.0.0.0/8"));
    assert_eq!(key("192.0.2.1"), None);
    assert!(config.peers[0].passive);
}

#[test]
fn max_paths_is_the_default_of_both_kinds() {
    let config = ok("[router]\nasn = 1\nmax-paths = 4\nmax-paths-internal = 2");
    assert_eq!(
        (
            config.router.max_paths_external,
            config.router.max_paths_internal
        ),
        (4, 2)
    );
}

#[test]
fn next_hops_are_not_required_where_the_fib_is_off() {
    assert!(
        !ok(&format!("{ROUTER}[fib]\nenabled = false"))
            .next_hop
            .require
    );
}

#[test]
fn rules_take_what_the_reference_says() {
    let config = ok(&format!(
        "{ROUTER}
[policy.prefix-set]
pods = ['10.244.0.0/16{{16,28}}', '10.0.0.0/8', 'fd00::/8+']
[policy.community-set]
ours = ['64512:100', '64512:1:2']
[[policy.route.p]]
match = {{ prefix-set = 'pods', community = ['ours', 'no-export'], neighbour = [65000, '10.0.0.1'], family = 'ipv4-unicast' }}
set = {{ local-pref = 200, med = 0, community-set = [], community-remove = 'ours', community-add = ['64512:7'], next-hop = 'self', prepend = [65001, 65001] }}
then = 'next'
[[policy.route.p]]
set = {{ prepend = 3 }}
"
    ));
    let rules = &config.policy_spec().policies["p"];
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[0].matches.communities.len(), 3);
    assert_eq!(rules[0].matches.neighbours.len(), 2);
    assert_eq!(rules[0].sets.community_remove.len(), 2);
    assert_eq!(rules[0].sets.community_set, Some(vec![]));
    assert_eq!(rules[0].sets.prepend.len(), 2);
    assert_eq!(rules[1].then, None);
    assert!(config.policies().chain(&["p", "accept-all"]).is_ok());
}

#[test]
fn originates_that_overlap_are_a_warning() {
    let config = ok(&format!(
        "{ROUTER}[[originate]]\nprefix = '10.0.0.0/8'\n[[originate]]\nprefix = '10.1.0.0/16'\nblackhole = true"
    ));
    assert_eq!(config.originate.len(), 2);
    assert!(config.warnings[0].starts_with("warning: 10.1.0.0/16 and 10.0.0.0/8 overlap"));
}

#[test]
fn an_originate_that_covers_an_earlier_one_is_a_warning_too() {
    let config = ok(&format!(
        "{ROUTER}[[originate]]\nprefix = '10.1.0.0/16'\n[[originate]]\nprefix = '10.0.0.0/8'\n\
         [[originate]]\nprefix = '11.0.0.0/8'"
    ));
    assert_eq!(config.originate.len(), 3);
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("warning: 10.0.0.0/8 and 10.1.0.0/16 overlap"));
}

#[test]
fn a_peer_made_at_run_time_follows_the_files_rules() {
    let config = ok(&format!(
        "{ROUTER}[peer-group.g]\nremote-as = 'external'\nimport = ['accept-all']\nexport = ['accept-all']"
    ));
    let key = PeerKey::Address("10.0.0.1".parse().unwrap());
    let peer = config
        .resolve_peer(key, Some("g"), &PeerSettings::default())
        .unwrap();
    assert!(peer.external);
    let settings = PeerSettings {
        hold_time: Some(Duration::from_secs(2)),
        import: Some(vec!["nope".to_owned()]),
        ..PeerSettings::default()
    };
    let errors = config.resolve_peer(key, None, &settings).unwrap_err();
    assert!(
        errors[0].starts_with("peer 10.0.0.1 has no `remote-as`: "),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("not a hold time that BGP allows: "),
        "{errors:?}"
    );
    assert!(
        errors[2].starts_with("no routing policy is named \"nope\": "),
        "{errors:?}"
    );
    let errors = config.resolve_peer(key, Some("h"), &settings).unwrap_err();
    assert_eq!(errors, ["no peer group is named `h`: did you mean `g`?"]);
}

#[test]
fn several_paths_are_a_matter_of_each_family_the_peers_before_its_groups() {
    let config = ok(&format!(
        "{ROUTER}
[peer-group.g]
remote-as = 'internal'
[peer-group.g.family.ipv4-unicast]
add-path = {{ receive = true, send = 4 }}
[peer-group.g.family.ipv6-unicast]
add-path = {{ send = 'all' }}

[[peer]]
address = '10.0.0.1'
group = 'g'
[[peer]]
address = '10.0.0.2'
group = 'g'
[peer.family.ipv4-unicast]
add-path = {{ send = 'ecmp' }}
[[peer]]
address = '10.0.0.3'
group = 'g'
[peer.family.ipv4-unicast]
"
    ));
    let add_path = |receive, send| AddPathConfig { receive, send };
    let four = add_path(true, NonZeroU16::new(4).map(SendPaths::Best));
    let neither = AddPathConfig::default();
    let all = add_path(false, Some(SendPaths::All));
    let ecmp = add_path(false, Some(SendPaths::Ecmp));
    let found: Vec<_> = config.peers.iter().map(|peer| peer.add_path).collect();
    assert_eq!(found, [[four, all], [ecmp, neither], [four, neither]]);
}

#[test]
fn max_paths_is_for_both_kinds_and_each_may_have_its_own() {
    let paths = |keys: &str| {
        let router = ok(&format!("{ROUTER}{keys}")).router;
        (router.max_paths_external, router.max_paths_internal)
    };
    assert_eq!(paths("max-paths = 4"), (4, 4));
    assert_eq!(paths("max-paths-external = 8"), (8, 16));
    assert_eq!(paths("max-paths = 2\nmax-paths-internal = 1"), (2, 1));
    assert_eq!(
        paths("max-paths-external = 3\nmax-paths-internal = 5"),
        (3, 5)
    );
}
