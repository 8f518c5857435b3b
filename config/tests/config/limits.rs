use std::time::Duration;

use godwit_config::{Effect, LimitAction, LimitCount, PrefixLimit, diff};

use crate::{ok, wrong};

fn with(limit: &str) -> String {
    format!(
        "[router]\nasn = 1\n[peer-group.g.family.ipv4-unicast]\n{limit}\n[peer-group.g.family.ipv6-unicast]\n\
         [[peer]]\naddress = '10.0.0.1'\nremote-as = 1\ngroup = 'g'\n"
    )
}

fn limit(text: &str) -> Option<PrefixLimit> {
    ok(&with(text)).peers[0].prefix_limit[0]
}

#[test]
fn a_number_alone_warns_from_80_per_cent_of_what_is_received() {
    let wanted = PrefixLimit {
        max: 1000,
        then: LimitAction::Warn,
        warn_at: 80,
        count: LimitCount::Received,
    };
    let limit = limit("prefix-limit = { max = 1000 }");
    assert_eq!(limit, Some(wanted));
    assert_eq!(wanted.warn_from(), 800);
}

#[test]
fn all_keys_are_read_in_both_directions() {
    let limit = limit(
        "prefix-limit = { max = 7, then = 'restart', restart-after = '1m', warn-at = 50, count = 'accepted' }",
    );
    let wanted = PrefixLimit {
        max: 7,
        then: LimitAction::Restart(Duration::from_secs(60)),
        warn_at: 50,
        count: LimitCount::Accepted,
    };
    assert_eq!(limit, Some(wanted));
    let config = ok(&with("prefix-limit-out = { max = 9, then = 'restart' }"));
    let peer = &config.peers[0];
    assert_eq!(peer.prefix_limit, [None, None]);
    let out = peer.prefix_limit_out[0].map(|limit| limit.then);
    let quarter = Duration::from_secs(15 * 60);
    assert_eq!(out, Some(LimitAction::Restart(quarter)));
}

#[test]
fn the_peers_own_limit_comes_before_its_groups() {
    let text = with("prefix-limit = { max = 10 }")
        + "[peer.family.ipv4-unicast]\nprefix-limit = { max = 20, then = 'disable' }\n";
    let config = ok(&text);
    let own = config.peers[0].prefix_limit[0].map(|limit| (limit.max, limit.then));
    assert_eq!(own, Some((20, LimitAction::Disable)));
}

#[test]
fn another_limit_changes_nothing_in_the_session() {
    let old = ok(&with("prefix-limit = { max = 10 }"));
    let new = ok(&with(
        "prefix-limit = { max = 20 }\nprefix-limit-out = { max = 3 }",
    ));
    let found = &diff(&old, &new).peers_changed[0].1;
    let wanted = ["prefix-limit", "prefix-limit-out"].map(|key| (key, Effect::InPlace));
    assert_eq!(found.keys, wanted);
}

#[test]
fn what_makes_no_sense_is_explained() {
    let cases: [(&str, &[&str]); 7] = [
        (
            "prefix-limit = { then = 'warn' }",
            &["`max` is missing", "add `max = NUMBER`"],
        ),
        ("prefix-limit = { max = 0 }", &["number out of range"]),
        (
            "prefix-limit = { max = 1, then = 'drop' }",
            &["not one of the words", "`\"discard\"`"],
        ),
        (
            "prefix-limit = { max = 1, restart-after = '1m' }",
            &[
                "`restart-after` is for limits that restart",
                "then = \"restart\"",
            ],
        ),
        ("prefix-limit = { max = 1, warn-at = 101 }", &["1 to 100"]),
        (
            "prefix-limit-out = { max = 1, then = 'discard' }",
            &["not one of the words"],
        ),
        (
            "prefix-limit-out = { max = 1, count = 'accepted' }",
            &["`count` is for what a peer announces"],
        ),
    ];
    for (text, said) in cases {
        let all = wrong(&with(text));
        for part in said {
            assert!(all.contains(part), "{part} is not in:\n{all}");
        }
    }
}
