use godwit_config::{ChangeKind, Diff, PeerKey, SoftChange, diff};

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
    let soft = ChangeKind::Soft(SoftChange {
        import: true,
        ..SoftChange::default()
    });
    let peers_changed = vec![(key("10.0.0.1"), soft.clone()), (key("10.0.0.2"), soft)];
    assert_eq!(
        found,
        Diff {
            peers_changed,
            ..Diff::default()
        }
    );
}

#[test]
fn what_open_agreed_on_restarts_the_session() {
    let found = change("'10.0.0.2'", "'10.0.0.2'\nhold-time = '9s'");
    assert_eq!(
        found.peers_changed,
        [(key("10.0.0.2"), ChangeKind::Restart("hold-time"))]
    );
}

#[test]
fn another_address_is_another_peer() {
    let found = change("10.0.0.2", "10.0.0.3");
    assert_eq!(found.peers_added, [key("10.0.0.3")]);
    assert_eq!(found.peers_removed, [key("10.0.0.2")]);
    assert!(found.peers_changed.is_empty());
}

#[test]
fn our_as_number_is_our_identity() {
    assert!(change("64512", "64513").identity_changed);
}

#[test]
fn more_paths_are_no_change_of_identity() {
    let found = change("asn = 64512", "asn = 64512\nmax-paths = 2");
    assert!(found.router_changed && !found.identity_changed);
}
