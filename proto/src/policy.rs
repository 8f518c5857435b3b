//! Tests of a routing policy: from the words of a request to a route, and from
//! the decision to an answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Origin as BgpOrigin, SegmentKind, code, flag};
use godwit_bgp::community::Community;
use godwit_bgp::{Asn, Family, NextHop};
use godwit_policy::import::{Check, Said, Step};
use godwit_policy::route::{Outcome, Then, Trace, TraceResult};

use crate::convert::set_communities;
use crate::v1::{
    Attributes, ImportResult, ImportStep, Origin, PolicyChange, PolicyStep, TestPolicyResponse,
    TestRoute,
};

/// The attributes that a request gives; an error is the field and why.
pub fn attributes(route: &TestRoute, next_hop: NextHop) -> Result<AttrsBuf, (String, String)> {
    let field = |name: &str, why: String| (format!("route.{name}"), why);
    let origin = match route.origin() {
        Origin::Unspecified | Origin::Igp => BgpOrigin::Igp,
        Origin::Egp => BgpOrigin::Egp,
        Origin::Incomplete => BgpOrigin::Incomplete,
    };
    let next_hop = match route.next_hop.as_str() {
        "" => next_hop,
        text => match text.parse::<std::net::IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => return Err(field("next_hop", format!("`{text}` is not an address"))),
        },
    };
    let mut attrs = AttrsBuf::new(next_hop, origin);
    let path = as_path(&route.as_path).map_err(|why| field("as_path", why))?;
    attrs.set(code::AS_PATH, flag::TRANSITIVE, &path);
    attrs.set_med(route.med);
    attrs.set_local_pref(route.local_pref);
    let mut communities = Vec::new();
    for (i, text) in route.communities.iter().enumerate() {
        let parsed: Result<Community, _> = text.parse();
        let name = format!("communities[{i}]");
        communities.push(parsed.map_err(|e| field(&name, format!("`{text}` is {e}")))?);
    }
    set_communities(&mut attrs, communities.into_iter());
    if let Some(asn) = route.only_to_customer {
        attrs.set_only_to_customer(Asn(asn));
    }
    let mut local = attrs.as_ref().local();
    local.weight = route.weight;
    attrs.set_local(local);
    Ok(attrs)
}

/// That of a route for which nobody names one.
pub fn no_next_hop(family: Family) -> NextHop {
    match family {
        Family::Ipv4Unicast => NextHop::V4(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6Unicast => NextHop::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// "65001 65002 {1,2}" as the value of the attribute.
fn as_path(text: &str) -> Result<Vec<u8>, String> {
    /// What one segment can count (RFC 4271 §4.3).
    const SEGMENT: usize = 255;
    let number = |text: &str| match text.trim().parse::<u32>() {
        Ok(asn) => Ok(Asn(asn)),
        Err(_) => Err(format!(
            "`{text}` is not an AS number; write `65001 65002 {{1,2}}`"
        )),
    };
    let mut out = Vec::new();
    let mut segment = |kind: SegmentKind, asns: &[Asn]| {
        for chunk in asns.chunks(SEGMENT) {
            out.extend([kind as u8, chunk.len() as u8]);
            out.extend(chunk.iter().flat_map(|asn| asn.0.to_be_bytes()));
        }
    };
    let mut rest = text;
    while !rest.trim().is_empty() {
        let (sequence, set) = match rest.split_once('{') {
            None => (rest, None),
            Some((before, set)) => {
                let (set, after) = (set.split_once('}'))
                    .ok_or_else(|| format!("`{{{set}` is not closed by a `}}`"))?;
                rest = after;
                (before, Some(set))
            }
        };
        let asns: Vec<Asn> = sequence
            .split_whitespace()
            .map(number)
            .collect::<Result<_, _>>()?;
        segment(SegmentKind::Sequence, &asns);
        let Some(set) = set else { break };
        let asns: Vec<Asn> = set.split(',').map(number).collect::<Result<_, _>>()?;
        segment(SegmentKind::Set, &asns);
    }
    match out.len() <= 16_384 {
        true => Ok(out),
        false => Err("this path is too long".into()),
    }
}

/// A decision, or the check that came before it; `after` is what an accepted
/// route became.
pub fn response(
    steps: &[Step],
    decision: &Result<Trace, Check>,
    before: AttrsRef<'_>,
    after: AttrsRef<'_>,
) -> TestPolicyResponse {
    let outcome = decision.as_ref().ok().map(|trace| &trace.outcome);
    let accepted = outcome.is_some_and(Outcome::is_accepted);
    let next_hop_self = outcome.is_some_and(|outcome| outcome.edits.next_hop_self());
    let (before, after) = (Attributes::from(before), Attributes::from(after));
    let rules = decision.as_ref().map(|trace| trace.steps.as_slice());
    TestPolicyResponse {
        accepted,
        decided_by: match decision {
            Ok(trace) => trace.outcome.rule.to_string(),
            Err(check) => check.to_string(),
        },
        import_steps: steps.iter().map(import_step).collect(),
        steps: rules
            .unwrap_or_default()
            .iter()
            .map(|step| {
                let (applied, because) = match step.result {
                    TraceResult::Matched => (true, String::new()),
                    TraceResult::Missed(key) => (false, format!("match.{key}")),
                    TraceResult::Excluded(key) => (false, format!("unless.{key}")),
                    TraceResult::Said(then) => (then != Then::Next, String::new()),
                };
                PolicyStep {
                    policy: step.policy.to_string(),
                    rule: step.rule as u32,
                    applied,
                    because,
                }
            })
            .collect(),
        changes: match accepted {
            true => changes(&before, &after, next_hop_self),
            false => Vec::new(),
        },
        after: accepted.then_some(after),
        before: Some(before),
    }
}

fn import_step(step: &Step) -> ImportStep {
    ImportStep {
        name: step.name.to_owned(),
        result: match step.said {
            Said::Passed => ImportResult::Passed,
            Said::Refused => ImportResult::Refused,
            Said::Changed => ImportResult::Changed,
        } as i32,
        detail: step.detail.clone(),
    }
}

/// Each attribute that differs, in the words of the configuration.
fn changes(before: &Attributes, after: &Attributes, next_hop_self: bool) -> Vec<PolicyChange> {
    let mut out = Vec::new();
    let mut differ = |name: &str, before: String, after: String| {
        if before != after {
            out.push(PolicyChange {
                name: name.to_owned(),
                before,
                after,
            });
        }
    };
    let number = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
    let weight = |a: &Attributes| number((a.weight != 0).then_some(a.weight));
    let hop = |a: &Attributes| {
        a.next_hop
            .as_ref()
            .map_or(String::new(), |h| h.address.clone())
    };
    let communities = |a: &Attributes| {
        let kinds = [
            &a.communities,
            &a.extended_communities,
            &a.ipv6_extended_communities,
            &a.large_communities,
        ];
        kinds.map(|kind| kind.join(" ")).join(" ").trim().to_owned()
    };
    differ(
        "local-pref",
        number(before.local_pref),
        number(after.local_pref),
    );
    differ("med", number(before.med), number(after.med));
    differ("origin", origin(before.origin()), origin(after.origin()));
    differ(
        "as-path",
        crate::text::as_path(&before.as_path),
        crate::text::as_path(&after.as_path),
    );
    match next_hop_self && hop(before) == hop(after) {
        true => differ("next-hop", hop(before), "self".into()),
        false => differ("next-hop", hop(before), hop(after)),
    }
    differ("communities", communities(before), communities(after));
    let otc = |a: &Attributes| number(a.only_to_customer);
    differ("only-to-customer", otc(before), otc(after));
    differ("weight", weight(before), weight(after));
    differ(
        "kernel-table",
        number(before.kernel_table),
        number(after.kernel_table),
    );
    differ(
        "kernel-metric",
        number(before.kernel_metric),
        number(after.kernel_metric),
    );
    differ(
        "preferred-source",
        before.preferred_source.clone(),
        after.preferred_source.clone(),
    );
    differ(
        "blackhole",
        before.blackhole.to_string(),
        after.blackhole.to_string(),
    );
    out
}

fn origin(origin: Origin) -> String {
    match origin {
        Origin::Igp => "igp",
        Origin::Egp => "egp",
        Origin::Incomplete => "incomplete",
        Origin::Unspecified => "",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_read_from_words() {
        let route = TestRoute {
            as_path: "65001 65002 {1, 2} 3".into(),
            communities: ["64512:1", "rt:64512:7", "64512:1:2", "rt:[2001:db8::1]:7"]
                .map(Into::into)
                .into(),
            med: Some(5),
            next_hop: "10.0.0.1".into(),
            weight: 7,
            ..TestRoute::default()
        };
        let attrs = attributes(&route, NextHop::V4([0, 0, 0, 0].into())).unwrap();
        let attrs = attrs.as_ref();
        assert_eq!(attrs.as_path().to_string(), "65001 65002 {1,2} 3");
        let message = Attributes::from(attrs);
        assert_eq!(message.extended_communities, ["rt:64512:7"]);
        assert_eq!(message.ipv6_extended_communities, ["rt:[2001:db8::1]:7"]);
        assert_eq!(message.large_communities, ["64512:1:2"]);
        assert_eq!((attrs.med(), attrs.local().weight), (Some(5), 7));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        for (route, field) in [
            (
                TestRoute {
                    as_path: "65001 x".into(),
                    ..Default::default()
                },
                "route.as_path",
            ),
            (
                TestRoute {
                    as_path: "{1".into(),
                    ..Default::default()
                },
                "route.as_path",
            ),
            (
                TestRoute {
                    next_hop: "x".into(),
                    ..Default::default()
                },
                "route.next_hop",
            ),
            (
                TestRoute {
                    communities: vec!["1:1".into(), "x".into()],
                    ..Default::default()
                },
                "route.communities[1]",
            ),
        ] {
            let error = attributes(&route, NextHop::V4([0, 0, 0, 0].into())).unwrap_err();
            assert_eq!(error.0, field);
        }
    }
}
