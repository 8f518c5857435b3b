//! The story of one prefix, in the API's words.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::net::IpAddr;

use godwit_bgp::attrs::AttrsRef;
use godwit_bgp::{NextHop, PathId, RouterId};
use godwit_proto::v1;
use godwit_rib::{ExplainedPath, Explanation, LOCAL_WEIGHT, PathFate, PeerId, Rib, Step, WhyNot};
use ipnet::IpNet;

use super::batch::{errno, name, rejected_by};
use crate::api::convert;
use crate::clock;

/// With the next hop of each candidate that needs one. None: the
/// prefix has no path.
pub fn read(
    rib: &mut Rib,
    prefix: IpNet,
) -> Option<(v1::ExplainRouteResponse, Vec<Option<NextHop>>)> {
    let mut story = rib.explain(prefix)?;
    story.paths.sort_by_key(|path| order(&path.fate));
    let named = |id| name(rib.peer_spec(id), id);
    let mut candidates = Vec::new();
    for path in &story.paths {
        let comparison = comparison(rib, &story, path);
        candidates.push(candidate(&story, path, comparison, named(path.peer)));
    }
    let told = story.advertised_to.iter().map(|sent| v1::Announcement {
        peer: named(sent.to),
        path_id: sent.path_id.map(|id| id.0),
        advertised: true,
        reason: String::new(),
        export_rule: (sent.rule.as_ref()).map_or_else(String::new, ToString::to_string),
    });
    let not_told = story
        .not_advertised_to
        .iter()
        .map(|(peer, why)| v1::Announcement {
            peer: named(*peer),
            path_id: None,
            advertised: false,
            reason: reason(why),
            export_rule: match why {
                WhyNot::Policy(rule) => rule.to_string(),
                _ => String::new(),
            },
        });
    let next_hops = (story.paths.iter())
        .map(|path| {
            let attrs = attrs(path);
            let asked = path.peer != PeerId::LOCAL && !attrs.local().blackhole;
            asked.then_some(attrs.next_hop)
        })
        .collect();
    let told = v1::ExplainRouteResponse {
        prefix: story.prefix.to_string(),
        candidates,
        announcements: told.chain(not_told).collect(),
        ..v1::ExplainRouteResponse::default()
    };
    Some((told, next_hops))
}

/// Best first, then in the order in which they lost, latest first.
fn order(fate: &PathFate) -> (u8, Reverse<Option<Step>>) {
    match fate {
        PathFate::Best(_) => (0, Reverse(None)),
        PathFate::Multipath(step) => (1, Reverse(Some(*step))),
        PathFate::Lost(step) => (2, Reverse(Some(*step))),
        PathFate::Unreachable => (3, Reverse(None)),
        PathFate::Stale => (4, Reverse(None)),
        PathFate::Rejected => (5, Reverse(None)),
    }
}

fn candidate(
    story: &Explanation,
    path: &ExplainedPath,
    comparison: Comparison,
    peer: String,
) -> v1::Candidate {
    let (lost_at, detail) = match &path.fate {
        PathFate::Best(step) => (String::new(), step.to_string()),
        PathFate::Multipath(step) | PathFate::Lost(step) => {
            (step.to_string(), comparison.to_string())
        }
        PathFate::Unreachable => ("next hop unreachable".into(), String::new()),
        PathFate::Stale => ("session gone".into(), String::new()),
        PathFate::Rejected => (String::new(), String::new()),
    };
    let is_best = matches!(path.fate, PathFate::Best(_));
    let multipath = matches!(path.fate, PathFate::Multipath(_));
    v1::Candidate {
        peer,
        attributes: Some(attrs(path).into()),
        path: Some(v1::Path {
            prefix: story.prefix.to_string(),
            path_id: path.path_id.map(|id| id.0),
            best: is_best,
            multipath,
            rejected_by: rejected_by(path.verdict, path.rule.as_deref()),
            since: convert::time(clock::wall(path.since)),
            installed: story.installed && (is_best || multipath),
            install_error: story
                .install_error
                .filter(|_| is_best)
                .map(errno)
                .unwrap_or_default(),
            stale: path.fate == PathFate::Stale,
        }),
        lost_at,
        detail,
        next_hop_reachable: path.igp_cost.is_some(),
        next_hop_cost: path.igp_cost.unwrap_or_default(),
        lost_to: comparison.peer,
        lost_to_path_id: comparison.path_id.map(|id| id.0),
        value: comparison.own,
        lost_to_value: comparison.other,
        import_rule: (path.rule.as_ref()).map_or_else(String::new, ToString::to_string),
        resolution: None,
    }
}

fn attrs(path: &ExplainedPath) -> AttrsRef<'_> {
    path.accepted.as_ref().unwrap_or(&path.received).as_ref()
}

/// What of a path was compared, in the order of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(u32),
    Origin(godwit_bgp::attrs::Origin),
    RouterId(RouterId),
    Address(IpAddr),
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Origin(origin) => origin.fmt(f),
            Value::RouterId(id) => id.fmt(f),
            Value::Address(address) => address.fmt(f),
            Value::Word(word) => f.write_str(word),
        }
    }
}

/// A path held against the one that it lost to.
#[derive(Debug, Default)]
struct Comparison {
    peer: String,
    path_id: Option<PathId>,
    own: String,
    /// Between the two values.
    sign: &'static str,
    other: String,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison {
            peer,
            path_id,
            own,
            sign,
            other,
        } = self;
        if !own.is_empty() {
            write!(f, "{own} {sign} {other} of ")?;
        } else if !peer.is_empty() {
            f.write_str("to ")?;
        }
        f.write_str(peer)?;
        match path_id {
            Some(id) => write!(f, ", path id {}", id.0),
            None => Ok(()),
        }
    }
}

fn comparison(rib: &Rib, story: &Explanation, path: &ExplainedPath) -> Comparison {
    let (PathFate::Multipath(step) | PathFate::Lost(step)) = path.fate else {
        return Comparison::default();
    };
    let rival = path.beaten_by.and_then(|(peer, id)| {
        let mut paths = story.paths.iter();
        paths.find(|other| (other.peer, other.path_id) == (peer, id))
    });
    let Some(rival) = rival else {
        return Comparison::default();
    };
    let mut comparison = Comparison {
        peer: name(rib.peer_spec(rival.peer), rival.peer),
        path_id: rival.path_id,
        ..Comparison::default()
    };
    if let (Some(own), Some(other)) = (value(rib, step, path), value(rib, step, rival)) {
        comparison.own = own.to_string();
        comparison.other = other.to_string();
        comparison.sign = match own.cmp(&other) {
            _ if matches!(own, Value::Word(_)) => "against",
            Ordering::Less => "<",
            Ordering::Equal => "=",
            Ordering::Greater => ">",
        };
    }
    comparison
}

/// What a step looks at. `None`: nothing of the path, or it is not known.
fn value(rib: &Rib, step: Step, path: &ExplainedPath) -> Option<Value> {
    let attrs = attrs(path);
    let local = path.peer == PeerId::LOCAL;
    let spec = rib.peer_spec(path.peer);
    let external = || spec.is_some_and(|spec| spec.kind.is_external());
    let count = |n: usize| Value::Number(u32::try_from(n).unwrap_or(u32::MAX));
    Some(match step {
        Step::Only => return None,
        Step::Weight => Value::Number(match attrs.local().weight {
            0 if local => LOCAL_WEIGHT,
            weight => weight,
        }),
        Step::Local => Value::Word(if local { "local" } else { "learned" }),
        // RFC 4271 §9.1.1, §9.1.2.2 (c): what stands in for an absent one.
        Step::LocalPref => Value::Number(attrs.local_pref().unwrap_or(100)),
        Step::AsPathLength => count(attrs.as_path().length()),
        Step::Origin => Value::Origin(attrs.origin()),
        Step::Med => Value::Number(attrs.med().unwrap_or(0)),
        Step::External => Value::Word(if external() { "external" } else { "internal" }),
        Step::IgpCost => Value::Number(path.igp_cost?),
        // RFC 4456 §9.
        Step::RouterId => Value::RouterId(match attrs.originator_id() {
            Some(id) => id,
            None => spec?.router_id,
        }),
        Step::ClusterListLength => count(attrs.cluster_list().count()),
        Step::PeerAddress => Value::Address(spec?.address),
        Step::PathId => Value::Number(path.path_id?.0),
    })
}

fn reason(why: &WhyNot) -> String {
    match why {
        WhyNot::Source => "it came from there".into(),
        WhyNot::Family => "the family was not negotiated".into(),
        WhyNot::NoAdvertise => "community no-advertise".into(),
        WhyNot::NoExport => "community no-export".into(),
        WhyNot::RouteLeak => "marked ONLY_TO_CUSTOMER (RFC 9234)".into(),
        WhyNot::NotReflected => "neither end is a route reflector client".into(),
        WhyNot::Policy(rule) => rule.to_string(),
        WhyNot::NoNextHop => "no address of ours to be the next hop".into(),
        WhyNot::Drained => "this router is drained".into(),
        WhyNot::Aggregated(prefix) => format!("part of the aggregate {prefix}"),
        WhyNot::TooLong => "its attributes do not fit a message".into(),
        WhyNot::NoBest => "no path can be used".into(),
        WhyNot::Pending => "about to be sent".into(),
    }
}
