//! The story of one prefix, in the API's words.

use std::cmp::Reverse;

use godwit_bgp::attrs::AttrsRef;
use godwit_proto::v1;
use godwit_rib::{ExplainedPath, Explanation, LOCAL_WEIGHT, PathFate, PeerId, Rib, Step, WhyNot};
use ipnet::IpNet;

use super::batch::{errno, name, rejected_by};
use crate::api::convert;
use crate::clock;

/// None: the prefix has no path.
pub fn read(rib: &mut Rib, prefix: IpNet) -> Option<v1::ExplainRouteResponse> {
    let mut story = rib.explain(prefix)?;
    story.paths.sort_by_key(|path| order(&path.fate));
    let best = story
        .paths
        .iter()
        .find(|path| matches!(path.fate, PathFate::Best(_)));
    let named = |id| name(rib.peer_spec(id), id);
    let mut candidates = Vec::new();
    for path in &story.paths {
        candidates.push(candidate(&story, path, best, named(path.peer)));
    }
    let told = story.advertised_to.iter().map(|sent| v1::Announcement {
        peer: named(sent.to),
        path_id: sent.path_id.map(|id| id.0),
        advertised: true,
        reason: String::new(),
    });
    let not_told = story
        .not_advertised_to
        .iter()
        .map(|(peer, why)| v1::Announcement {
            peer: named(*peer),
            path_id: None,
            advertised: false,
            reason: reason(why),
        });
    Some(v1::ExplainRouteResponse {
        prefix: story.prefix.to_string(),
        candidates,
        announcements: told.chain(not_told).collect(),
    })
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
    best: Option<&ExplainedPath>,
    peer: String,
) -> v1::Candidate {
    let (lost_at, detail) = match &path.fate {
        PathFate::Best(step) => (String::new(), step.to_string()),
        PathFate::Multipath(step) | PathFate::Lost(step) => {
            (step.to_string(), against(*step, path, best))
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
    }
}

fn attrs(path: &ExplainedPath) -> AttrsRef<'_> {
    path.accepted.as_ref().unwrap_or(&path.received).as_ref()
}

/// What it lost with, and what it lost to, where both are numbers or words.
fn against(step: Step, path: &ExplainedPath, best: Option<&ExplainedPath>) -> String {
    let Some(best) = best else {
        return String::new();
    };
    let value = |path: &ExplainedPath| {
        let attrs = attrs(path);
        match step {
            Step::Weight => Some(match (attrs.local().weight, path.peer) {
                (0, PeerId::LOCAL) => LOCAL_WEIGHT.to_string(),
                (weight, _) => weight.to_string(),
            }),
            // RFC 4271 §9.1.1, §9.1.2.2 (c): what stands in for an absent one.
            Step::LocalPref => Some(attrs.local_pref().unwrap_or(100).to_string()),
            Step::Med => Some(attrs.med().unwrap_or(0).to_string()),
            Step::AsPathLength => Some(attrs.as_path().length().to_string()),
            Step::Origin => Some(attrs.origin().to_string()),
            Step::IgpCost => path.igp_cost.map(|cost| cost.to_string()),
            Step::ClusterListLength => Some(attrs.cluster_list().count().to_string()),
            Step::Only
            | Step::Local
            | Step::External
            | Step::RouterId
            | Step::PeerAddress
            | Step::PathId => None,
        }
    };
    match (value(path), value(best)) {
        // MED counts within one neighbour AS: it may have lost to a third path.
        (Some(own), Some(other)) if own != other => format!("{own} against {other}"),
        _ => String::new(),
    }
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
    }
}
