//! Patterns as operators write them.

use godwit_bgp::attrs::{AttrsBuf, Origin, SegmentKind, code, flag};
use godwit_bgp::{Asn, NextHop};
use proptest::prelude::*;

use super::*;

fn path(asns: &[u32]) -> AttrsBuf {
    let mut buf = AttrsBuf::new(NextHop::V4([192, 0, 2, 1].into()), Origin::Igp);
    for asn in asns.iter().rev() {
        buf.prepend_as(Asn(*asn), 1);
    }
    buf
}

fn finds(pattern: &str, asns: &[u32]) -> bool {
    let pattern: AsPathPattern = pattern.parse().unwrap_or_else(|e| panic!("{pattern}: {e}"));
    let buf = path(asns);
    let found = pattern.matches(buf.as_ref().as_path());
    // The look-up tables must agree with the automaton.
    let set = AsPathSet::new(std::slice::from_ref(&pattern));
    let positions = Positions::of(std::iter::empty(), buf.as_ref().as_path());
    assert_eq!(set.matches(&positions), found, "{pattern}");
    found
}

#[test]
fn patterns_match_numbers_not_digits() {
    for (pattern, yes, no) in [
        (
            "65001",
            &[&[1, 65001, 2][..], &[65001]][..],
            &[&[650, 1][..], &[165001], &[]][..],
        ),
        ("_65001_", &[&[1, 65001, 2]], &[&[650010]]),
        (
            "^65001",
            &[&[65001], &[65001, 2]],
            &[&[2, 65001], &[650010]],
        ),
        ("^65001_", &[&[65001]], &[&[650010]]),
        ("_65001$", &[&[65001], &[2, 65001]], &[&[65001, 2]]),
        ("65001$", &[&[2, 65001]], &[&[165001]]),
        (
            "^65001 .* 65010$",
            &[&[65001, 65010], &[65001, 7, 8, 65010]],
            &[&[65001], &[65010, 65001]],
        ),
        ("^$", &[&[]], &[&[1]]),
        (".", &[&[1], &[1, 2]], &[&[]]),
        ("^.$", &[&[1]], &[&[], &[1, 2]]),
        ("^. .$", &[&[1, 2]], &[&[1], &[1, 2, 3]]),
        ("^.{2,3}$", &[&[1, 2], &[1, 2, 3]], &[&[1], &[1, 2, 3, 4]]),
        ("^.{3,}$", &[&[1, 2, 3], &[1, 2, 3, 4]], &[&[1, 2]]),
        ("^1{2}$", &[&[1, 1]], &[&[1], &[1, 1, 1]]),
        ("^1+ 2$", &[&[1, 2], &[1, 1, 1, 2]], &[&[2], &[1, 3, 2]]),
        ("^1? 2$", &[&[2], &[1, 2]], &[&[1, 1, 2]]),
        ("^(1|2 3)$", &[&[1], &[2, 3]], &[&[2], &[1, 3]]),
        (
            "^65001(_65001)*$",
            &[&[65001], &[65001, 65001]],
            &[&[65001, 1]],
        ),
        ("^(1_)+2$", &[&[1, 2], &[1, 1, 2]], &[&[2]]),
        (
            "[64512-65534 4200000000-4294967294]",
            &[&[1, 64512], &[4_200_000_001]],
            &[&[64511, 65535]],
        ),
        ("64512-65534", &[&[1, 64512]], &[&[1]]),
        ("^[^1,2]$", &[&[3]], &[&[1], &[2]]),
        ("^1|2$", &[&[1, 9], &[9, 2]], &[&[9, 1], &[2, 9]]),
        (".*", &[&[], &[1]], &[]),
        ("", &[&[], &[1]], &[]),
        ("(1|)", &[&[], &[2]], &[]),
        ("^(1*)*$", &[&[], &[1, 1]], &[&[2]]),
        ("1 ^ 2", &[], &[&[1, 2], &[2]]),
        ("^.* 1$", &[&[1], &[3, 1]], &[&[1, 3]]),
        ("2 .*", &[&[1, 2], &[2, 1]], &[&[1]]),
        ("^2 .*", &[&[2], &[2, 1]], &[&[1, 2]]),
    ] {
        for asns in yes {
            assert!(finds(pattern, asns), "{pattern} on {asns:?}");
        }
        for asns in no {
            assert!(!finds(pattern, asns), "{pattern} on {asns:?}");
        }
    }
}

#[test]
fn a_set_is_one_place_of_any_of_its_numbers() {
    let mut buf = path(&[]);
    let mut value = vec![SegmentKind::Sequence as u8, 1, 0, 0, 0, 9];
    value.extend([SegmentKind::Set as u8, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    buf.set(code::AS_PATH, flag::TRANSITIVE, &value);
    for (pattern, found) in [
        ("^9 1$", true),
        ("^9 2$", true),
        ("2$", true),
        ("^9 1 2$", false),
        ("_1_", true),
        ("^9 [^1]$", true),
        ("^9 [^1 2]$", false),
        ("^. .$", true),
    ] {
        let parsed: AsPathPattern = pattern.parse().unwrap();
        assert_eq!(parsed.matches(buf.as_ref().as_path()), found, "{pattern}");
        let positions = Positions::of(std::iter::empty(), buf.as_ref().as_path());
        assert_eq!(
            AsPathSet::new(&[parsed]).matches(&positions),
            found,
            "{pattern}"
        );
    }
}

#[test]
fn what_other_tools_would_read_otherwise_is_an_error_that_says_where() {
    for (pattern, at, part) in [
        ("^6500.$", 5, "whole AS numbers"),
        ("6500[1-3]", 4, "whole AS numbers"),
        ("^[0-9]+$", 1, "whole AS numbers"),
        (".*65001", 2, "whole AS numbers"),
        ("65001.*", 5, "whole AS numbers"),
        ("1 as 2", 2, "no meaning"),
        ("(1", 0, "not closed"),
        ("1)", 1, "closes nothing"),
        ("[1", 0, "not closed"),
        ("[]", 0, "empty"),
        ("[1-]", 3, "missing"),
        ("*", 0, "nothing for `*`"),
        ("1{3,2}", 1, "larger"),
        ("1{2", 1, "not closed"),
        ("1{300}", 2, "too large"),
        ("4294967296", 0, "too large"),
        ("5-3", 0, "larger"),
    ] {
        let error = pattern.parse::<AsPathPattern>().unwrap_err();
        assert_eq!(error.at.start, at, "{pattern}: {error}");
        assert!(error.to_string().contains(part), "{pattern}: {error}");
    }
    let deep = "(".repeat(100);
    assert!(deep.parse::<AsPathPattern>().is_err());
    for large in [
        "(((1{255}){255}){255}){255}",
        "(((((){255}){255}){255}){255}){255}",
    ] {
        assert!(large.parse::<AsPathPattern>().is_err());
    }
}

/// A backtracking matcher would need longer than the universe is old.
#[test]
fn a_hostile_path_costs_linear_time() {
    let pattern: AsPathPattern = "^(1*)*(1|1 1)*(.*.*){9} 2$"
        .replace(".*.*", ".* .*")
        .parse()
        .unwrap();
    let mut value = Vec::new();
    for _ in 0..60 {
        value.extend([SegmentKind::Sequence as u8, 250]);
        value.extend([0, 0, 0, 1].repeat(250));
    }
    let mut buf = path(&[]);
    buf.set(code::AS_PATH, flag::TRANSITIVE, &value);
    assert!(!pattern.matches(buf.as_ref().as_path()));
}

#[test]
fn common_forms_are_looked_up_in_tables() {
    for plain in [
        "_1_", "1", "^1", "^1_", "1$", "^1 2 3$", "^$", ".* 1 .*", "^.* 1$", "^1 .*$", "^1 .* 2$",
    ] {
        let pattern: AsPathPattern = plain.parse().unwrap();
        assert!(pattern.plain.is_some(), "{plain}");
    }
    let pattern: AsPathPattern = "^1 . 2$".parse().unwrap();
    assert!(pattern.plain.is_none());
}

#[test]
fn patterns_are_set_apart_by_a_number_that_they_require() {
    for (pattern, required) in [
        ("^1 .* 2$", Some(2)),
        ("1 [3 4]", Some(1)),
        ("1 (2|3) .", Some(1)),
        ("^(1 2|3 2)$", Some(2)),
        ("^1 2+ .$", Some(2)),
        ("^1 2* .$", Some(1)),
        ("^1 (2 3)? .$", Some(1)),
        ("^(1|2) .$", None),
        ("[^1] .", None),
        ("^.{3}$", None),
    ] {
        let parsed: AsPathPattern = pattern.parse().unwrap();
        assert_eq!(parsed.required, required, "{pattern}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "[0-9 _.^$*+?|(){},\\[\\]-]{0,40}") {
        if let Ok(pattern) = text.parse::<AsPathPattern>() {
            pattern.matches(path(&[1, 2, 3]).as_ref().as_path());
        }
    }

    #[test]
    fn tables_and_automata_agree(
        text in "\\^?(\\.\\* )?[1-3]( [1-3]\\+?| [1-3]\\*| \\(1\\|2\\)| \\.\\*| \\.){0,3}\\$?",
        asns in prop::collection::vec(1..4u32, 0..5),
    ) {
        finds(&text, &asns);
    }
}
