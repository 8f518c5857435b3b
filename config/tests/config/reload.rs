use godwit_config::{Diff, Effect, PeerChange, PeerKey, Scope, diff};

use crate::ok;

const BASE: &str = "
[router]
asn = 64512
[peer-group.g]
remote-as = 'external'
import = ['p']
export = ['accept-all']
[[peer]]
address = '10.0.0.1'
group = 'g'
[[peer]]
address = '10.0.0.2'
group = 'g'
[policy.prefix-set]
s = ['10.0.0.0/8+']
[[policy.route.p]]
match = { prefix-set = 's' }
then = 'accept'
";

fn change(from: &str, to: &str) -> Diff {
    assert!(BASE.contains(from));
    diff(&ok(BASE), &ok(&BASE.replacen(from, to, 1)))
}

fn key(address: &str) -> PeerKey {
    PeerKey::Address(address.parse().unwrap())
}

#[test]
fn the_same_file_changes_nothing() {
    assert!(change("asn", "asn").is_empty());
    assert!(change("group = 'g'", "group = 'g' # a comment").is_empty());
}

#[test]
fn a_changed_prefix_set_changes_the_import_of_who_uses_it() {
    let found = change("10.0.0.0/8+", "10.0.0.0/8");
    let judged = PeerChange {
        keys: vec![("import", Effect::Import)],
    };
    let peers_changed = vec![(key("10.0.0.1"), judged.clone()), (key("10.0.0.2"), judged)];
    assert_eq!(
        found,
        Diff {
            peers_changed,
            policies: vec!["prefix-set s".to_owned()],
            ..Diff::default()
        }
    );
}

#[test]
fn a_changed_set_of_communities_or_paths_is_named_whether_it_is_used_or_not() {
    let with = |used: &str, unused: &str| {
        let rule = "match = { prefix-set = 's' }";
        let sets = format!(
            "[policy.community-set]\nc = ['{used}']\n[policy.as-path-set]\na = ['{unused}']\n"
        );
        let file = BASE.replace(rule, "match = { community = 'c' }") + &sets;
        ok(&file)
    };
    let base = with("64512:1", "^1$");
    let found = diff(&base, &with("64512:2", "^1$"));
    assert_eq!(found.policies, ["community-set c", "p"]);
    let found = diff(&base, &with("64512:1", "^2$"));
    assert_eq!(found.policies, ["as-path-set a"]);
    assert!(found.peers_changed.is_empty());
    let found = diff(&base, &ok(BASE));
    assert_eq!(found.policies, ["community-set c", "as-path-set a", "p"]);
}

#[test]
fn what_open_agreed_on_restarts_the_session() {
    let found = change("'10.0.0.2'", "'10.0.0.2'\nhold-time = '9s'");
    let [(peer, change)] = &found.peers_changed[..] else {
        panic!("{found:?}")
    };
    assert_eq!(*peer, key("10.0.0.2"));
    assert_eq!(change.restarts().collect::<Vec<_>>(), ["hold-time"]);
}

#[test]
fn all_keys_that_differ_are_named() {
    let found = change(
        "'10.0.0.2'",
        "'10.0.0.2'\ndescription = 'x'\nmultihop = 3\nport = 1790\nexport = []",
    );
    let keys: Vec<&str> = found.peers_changed[0].1.keys.iter().map(|k| k.0).collect();
    assert_eq!(keys, ["port", "multihop", "export", "description"]);
    let restarts: Vec<&str> = found.peers_changed[0].1.restarts().collect();
    assert_eq!(restarts, ["port", "multihop"]);
}

#[test]
fn ourselves_as_next_hop_leaves_the_session_alone() {
    let found = change("'10.0.0.2'", "'10.0.0.2'\nnext-hop-self = true");
    assert_eq!(found.peers_changed[0].1.restarts().count(), 0);
}

#[test]
fn another_address_is_another_peer() {
    let found = change("10.0.0.2", "10.0.0.3");
    assert_eq!(found.peers_added, [key("10.0.0.3")]);
    assert_eq!(found.peers_removed, [key("10.0.0.2")]);
    assert!(found.peers_changed.is_empty());
}

#[test]
fn our_as_number_needs_another_daemon() {
    let found = change("64512", "64513");
    assert_eq!(found.needs_restart().collect::<Vec<_>>(), ["[router] asn"]);
}

#[test]
fn more_paths_are_used_at_once() {
    let found = change("asn = 64512", "asn = 64512\nmax-paths = 2");
    assert_eq!(
        found.keys,
        [
            ("[router] max-paths-external", Scope::Live),
            ("[router] max-paths-internal", Scope::Live)
        ]
    );
}

#[test]
fn whether_several_paths_go_restarts_the_session_and_how_many_does_not() {
    let peer = "'10.0.0.2'\ngroup = 'g'\n";
    let with = |add_path: &str| {
        let family = format!("{peer}[peer.family.ipv4-unicast]\n{add_path}\n");
        BASE.replace(peer, &family)
    };
    assert_ne!(with(""), BASE);
    let change = |from: &str, to: &str| {
        let found = diff(&ok(&with(from)), &ok(&with(to)));
        let keys = found
            .peers_changed
            .first()
            .map(|(_, change)| change.keys.clone());
        keys.unwrap_or_default()
    };
    let restart = [("add-path", Effect::Restart)];
    let send = |paths: &str| format!("add-path = {{ send = {paths} }}");
    assert_eq!(change("", "add-path = { receive = true }"), restart);
    assert_eq!(change("", &send("4")), restart);
    assert_eq!(change(&send("'all'"), ""), restart);
    let in_place = [("add-path.send", Effect::Export)];
    assert_eq!(change(&send("4"), &send("5")), in_place);
    assert_eq!(change(&send("4"), &send("'all'")), in_place);
    assert_eq!(change(&send("'ecmp'"), &send("1")), in_place);
    assert_eq!(change("", "add-path = { receive = false }"), []);
}
