//! Patterns as operators write them.

use super::*;

fn matches(pattern: &str, community: &str) -> bool {
    let pattern: CommunityPattern = pattern.parse().unwrap_or_else(|e| panic!("{pattern}: {e}"));
    let community = community.parse().unwrap();
    let set = CommunitySet::new(std::slice::from_ref(&pattern));
    assert_eq!(
        set.contains(community),
        pattern.matches(community),
        "{pattern:?}"
    );
    pattern.matches(community)
}

#[test]
fn wildcards_ranges_and_expressions_of_each_kind() {
    for (pattern, yes, no) in [
        (
            "64512:100",
            &["64512:100"][..],
            &["64512:101", "64512:100:0", "rt:64512:100"][..],
        ),
        ("no-export", &["65535:65281"], &["no-advertise"]),
        (
            "64512:*",
            &["64512:0", "64512:65535"],
            &["64513:0", "64512:1:2"],
        ),
        (
            "64512:100-199",
            &["64512:100", "64512:199"],
            &["64512:99", "64512:200"],
        ),
        ("*:666", &["1:666", "65535:666"], &["1:667"]),
        ("64512-64515:*", &["64512:1", "64515:65535"], &["64516:0"]),
        ("1-2:3-4", &["1:3", "2:4"], &["1:5", "3:3"]),
        ("*:*", &["0:0", "no-export"], &["1:2:3"]),
        ("64512:*:*", &["64512:1:2"], &["64513:1:2", "64512:1"]),
        ("64512:1-9:*", &["64512:9:4294967295"], &["64512:10:0"]),
        ("*:1:2", &["4200000000:1:2"], &["1:2:2"]),
        ("1:2:3-4", &["1:2:4"], &["1:2:5"]),
        (
            "rt:64512:7",
            &["rt:64512:7"],
            &["soo:64512:7", "rt:64512:8"],
        ),
        (
            "rt:64512:*",
            &["rt:64512:7", "rt:64512L:7"],
            &["rt:64513:7", "soo:64512:7"],
        ),
        ("rt:64512:1-9", &["rt:64512:9"], &["rt:64512:10"]),
        ("rt:10.0.0.1:*", &["rt:10.0.0.1:7"], &["rt:10.0.0.2:7"]),
        ("rt:4200000000:*", &["rt:4200000000:7"], &["rt:64512:7"]),
        (
            "rt:[2001:db8::1]:*",
            &["rt:[2001:db8::1]:7"],
            &["rt:[2001:db8::2]:7"],
        ),
        (
            "rt:*",
            &["rt:64512:7", "rt:10.0.0.1:7", "rt:[2001:db8::1]:7"],
            &["soo:64512:7", "1:2"],
        ),
        ("soo:*:7", &["soo:64512:7"], &["soo:64512:8"]),
        (
            "bandwidth:*",
            &["bandwidth:64512:125000000"],
            &["transitive-bandwidth:1:1"],
        ),
        ("color:*", &["color:100"], &["rt:1:100"]),
        (
            "/^64512:1..$/",
            &["64512:100"],
            &["64512:1000", "64513:100"],
        ),
        ("/^no-/", &["no-export"], &["blackhole"]),
        ("/^65535:666$/", &["blackhole"], &["no-export"]),
        (r"/^rt:\d+:7$/", &["rt:1:7"], &["rt:1:8"]),
    ] {
        for community in yes {
            assert!(matches(pattern, community), "{pattern} on {community}");
        }
        for community in no {
            assert!(!matches(pattern, community), "{pattern} on {community}");
        }
    }
}

/// A set looks patterns up by what they are; asked one by one they say the same.
#[test]
fn a_set_of_all_kinds_holds_what_any_pattern_holds() {
    let texts = [
        "64512:100",
        "64512:1:2",
        "rt:64512:7",
        "no-export",
        "64513:*",
        "64514:100-199",
        "*:666",
        "*:700-799",
        "64520-64529:*",
        "64530-64539:1-9",
        "64512:*:*",
        "64513:1-9:*",
        "1-5:*:*",
        "1-5:7:*",
        "rt:64513:*",
        "rt:64514:1-9",
        "soo:10.0.0.1:*",
        "rt:[2001:db8::1]:*",
        "rt:1-5:*",
        "soo:*:7",
        "color:*",
        "/^64512:1..$/",
        "/^no-/",
        "/:3:/",
    ];
    let patterns: Vec<CommunityPattern> = texts.iter().map(|t| t.parse().unwrap()).collect();
    let set = CommunitySet::new(&patterns);
    let numbers = [
        0, 1, 3, 5, 6, 7, 9, 10, 99, 100, 150, 199, 200, 666, 700, 799, 800,
    ];
    let firsts = [
        0, 1, 5, 6, 64511, 64512, 64513, 64514, 64520, 64529, 64530, 64539, 65535,
    ];
    let mut asked = Vec::new();
    for a in firsts {
        for n in numbers {
            for text in [
                format!("{a}:{n}"),
                format!("rt:{a}:{n}"),
                format!("soo:{a}:{n}"),
                format!("{a}:{n}:3"),
                format!("{a}:3:{n}"),
            ] {
                asked.push(text);
            }
        }
    }
    for n in numbers {
        asked.push(format!("soo:10.0.0.1:{n}"));
        asked.push(format!("soo:10.0.0.2:{n}"));
        asked.push(format!("rt:[2001:db8::1]:{n}"));
        asked.push(format!("rt:[2001:db8::2]:{n}"));
        asked.push(format!("color:{n}"));
    }
    for text in asked
        .iter()
        .map(String::as_str)
        .chain(["no-export", "no-peer", "blackhole"])
    {
        let community = text.parse().unwrap();
        let expected = patterns.iter().any(|p| p.matches(community));
        assert_eq!(set.contains(community), expected, "{text}");
    }
}

#[test]
fn what_is_no_pattern_is_an_error() {
    for text in [
        "",
        "1",
        "65536:*",
        "1:2:3:4",
        "*",
        "rt:",
        "rt:1",
        "rt:x:*",
        "rt:[x]:*",
        "2-1:*",
        "1:a-b",
        "bandwidth:1-2",
        "nonsense:*",
        "1:+2",
        "-1:2",
    ] {
        let error = text.parse::<CommunityPattern>().unwrap_err();
        assert_eq!(error, CommunityPatternError::Unknown, "{text}");
    }
    for text in ["/(/", "/a{99999}{99999}/", "/(?<x/"] {
        let error = text.parse::<CommunityPattern>().unwrap_err();
        assert!(matches!(error, CommunityPatternError::Regex(_)), "{text}");
    }
}
