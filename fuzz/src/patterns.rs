//! Patterns of routing policy, held against what a peer may send: a text is a
//! pattern or an error that says where, and a pattern finds the same whether it
//! is tried alone or looked up in the tables of a compiled rule.

use std::net::Ipv4Addr;

use godwit_bgp::attrs::{AttrsBuf, Origin, SegmentKind, code, flag};
use godwit_bgp::community::{Community, StandardCommunity};
use godwit_bgp::{Asn, Family, NextHop, SessionKind};
use godwit_policy::route::{
    AsPathPattern, CommunityPattern, Direction, MatchSpec, Neighbour, PeerContext, PolicySet,
    PolicySetSpec, Route, RuleSpec, Source, SourceKind, Then,
};

/// A pattern, and after the first line's end an AS path: an octet for the kind
/// of each number's segment, and the number.
pub fn as_path(data: &[u8]) {
    let (text, rest) = split(data);
    let pattern: AsPathPattern = match text.parse() {
        Ok(pattern) => pattern,
        Err(error) => {
            let error: godwit_policy::route::AsPathPatternError = error;
            let whole = error.at.end == usize::MAX;
            assert!(error.at.start <= text.len() && (whole || error.at.end <= text.len()));
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(pattern.to_string(), text);
    let mut path = Vec::new();
    let (numbers, _) = rest.as_chunks::<5>();
    for [kind, number @ ..] in numbers.iter().take(200) {
        let kind = match kind & 3 {
            0 => SegmentKind::Set,
            _ => SegmentKind::Sequence,
        };
        path.extend([kind as u8, 1]);
        path.extend(number);
    }
    let mut attrs = route();
    attrs.set(code::AS_PATH, flag::TRANSITIVE, &path);
    let alone = pattern.matches(attrs.as_ref().as_path());
    let rule = MatchSpec {
        as_path: vec![pattern],
        ..MatchSpec::default()
    };
    assert_eq!(accepts(rule, &attrs), alone, "{text:?} of {path:?}");
}

/// A pattern, and after the first line's end communities of four octets.
pub fn community(data: &[u8]) {
    let (text, rest) = split(data);
    let pattern: CommunityPattern = match text.parse() {
        Ok(pattern) => pattern,
        Err(error) => {
            let error: godwit_policy::route::CommunityPatternError = error;
            return assert!(!error.to_string().is_empty());
        }
    };
    let (carried, _) = rest.as_chunks::<4>();
    let carried: Vec<u32> = carried
        .iter()
        .take(200)
        .map(|octets| u32::from_be_bytes(*octets))
        .collect();
    let mut attrs = route();
    attrs.community_add(&carried);
    let fits =
        |community: &u32| pattern.matches(Community::Standard(StandardCommunity(*community)));
    let alone = carried.iter().any(fits);
    let rule = MatchSpec {
        communities: vec![pattern],
        ..MatchSpec::default()
    };
    assert_eq!(accepts(rule, &attrs), alone, "{text:?} of {carried:?}");
}

fn split(data: &[u8]) -> (String, &[u8]) {
    let end = data.iter().position(|octet| *octet == b'\n');
    let (text, rest) = data.split_at(end.unwrap_or(data.len()));
    let text = String::from_utf8_lossy(text).into_owned();
    (text, rest.get(1..).unwrap_or_default())
}

fn route() -> AttrsBuf {
    AttrsBuf::new(NextHop::V4(Ipv4Addr::new(10, 0, 0, 2)), Origin::Igp)
}

/// Whether a policy of this rule alone lets the route in.
fn accepts(matches: MatchSpec, attrs: &AttrsBuf) -> bool {
    let rule = RuleSpec {
        matches,
        then: Some(Then::Accept),
        ..RuleSpec::default()
    };
    let spec = PolicySetSpec {
        policies: [("p".to_owned(), vec![rule])].into(),
        ..PolicySetSpec::default()
    };
    let set = PolicySet::compile(&spec).expect("one rule");
    let policy = set.chain(&["p".to_owned()]).expect("it is there");
    let peer = PeerContext {
        direction: Direction::Import,
        neighbour: std::sync::Arc::new(Neighbour {
            address: Ipv4Addr::new(10, 0, 0, 2).into(),
            asn: Asn(65002),
            group: None,
            interface: None,
        }),
        kind: SessionKind::External,
        local_asn: Asn(64512),
        own_next_hop: None,
        family: Family::Ipv4Unicast,
    };
    let source = Source {
        kind: SourceKind::Peer(SessionKind::External),
        neighbour: None,
    };
    let route = Route {
        peer: &peer,
        source: &source,
        attrs: attrs.as_ref(),
    };
    let net = "10.9.0.0/24".parse().expect("a prefix");
    policy.0.specialise(&route).decide(net).is_accepted()
}
