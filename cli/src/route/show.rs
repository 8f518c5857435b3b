//! Routes as people read them.

use godwit_proto::text;
use godwit_proto::v1::fib_route::Kind;
use godwit_proto::v1::{
    Attributes, ExplainRouteResponse, LookupRouteResponse, Origin, Path, RouteBatch,
};

use crate::failure::Failure;
use crate::fib;
use crate::output::{Cell, Out, Table, Tone, or_dash};
use crate::span;

pub fn table() -> Table {
    Table::new(&[
        "PREFIX",
        "NEXT HOP",
        "PEER",
        "LOCAL-PREF",
        "MED",
        "AS PATH",
        "FOR",
        "STATE",
    ])
}

/// A line a path.
pub fn rows(batch: &RouteBatch, table: &mut Table) {
    let attributes = batch.attributes.clone().unwrap_or_default();
    let via = next_hop(&attributes);
    let path = path_and_origin(&attributes);
    for p in &batch.paths {
        table.row([
            p.prefix.as_str().into(),
            or_dash(&via).into(),
            batch.peer.as_str().into(),
            number(attributes.local_pref).into(),
            number(attributes.med).into(),
            path.as_str().into(),
            span::age(p.since.as_ref()).into(),
            state(p),
        ]);
    }
}

fn state(path: &Path) -> Cell {
    if !path.rejected_by.is_empty() {
        let text = format!("rejected by {}", path.rejected_by);
        return Cell::new(with_id(&text, path.path_id), Tone::Warn);
    }
    let mut words: Vec<String> = Vec::new();
    let mut tone = Tone::Plain;
    if path.best {
        words.push("best".into());
    }
    if path.multipath {
        words.push("multipath".into());
    }
    if path.installed {
        words.push("installed".into());
        tone = Tone::Good;
    }
    if path.stale {
        words.push("stale".into());
        tone = Tone::Warn;
    }
    words.extend(path.path_id.map(|id| format!("path id {id}")));
    let mut text = words.join(", ");
    if !path.install_error.is_empty() {
        text = format!("{text}, not installed: {}", path.install_error);
        tone = Tone::Bad;
    }
    Cell::new(or_dash(text), tone)
}

pub fn next_hop(attributes: &Attributes) -> String {
    match &attributes.next_hop {
        None => String::new(),
        Some(hop) => match (hop.address.as_str(), hop.link_local.as_str()) {
            // A route of this host: each peer sees an address of ours.
            ("0.0.0.0" | "::", "") => "self".into(),
            // RFC 2545 §3: no global address.
            ("::", link_local) => link_local.into(),
            (address, "") => address.into(),
            (address, link_local) => format!("{address} ({link_local})"),
        },
    }
}

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "-".into(), |v| v.to_string())
}

/// As routers print it: "65001 65002 i".
pub fn path_and_origin(attributes: &Attributes) -> String {
    let origin = match attributes.origin() {
        Origin::Igp => "i",
        Origin::Egp => "e",
        Origin::Incomplete => "?",
        Origin::Unspecified => "",
    };
    let path = text::as_path(&attributes.as_path);
    if path.is_empty() {
        origin.to_owned()
    } else {
        format!("{path} {origin}")
    }
}

/// Every path of one destination, each with all its attributes.
pub fn lookup(answer: &LookupRouteResponse, out: &mut Out) -> Result<(), Failure> {
    out.line(&answer.prefix)?;
    for batch in &answer.batches {
        for path in &batch.paths {
            let from = if batch.peer == "local" {
                "this host".to_owned()
            } else {
                format!("from {}", batch.peer)
            };
            let cell = state(path);
            let state = out.paint(cell.tone(), cell.text());
            out.line(format!(
                "  {from} for {}: {state}",
                span::age(path.since.as_ref())
            ))?;
            attributes(&batch.attributes.clone().unwrap_or_default(), out)?;
        }
    }
    Ok(())
}

fn attributes(a: &Attributes, out: &mut Out) -> Result<(), Failure> {
    let mut line = |name: &str, value: String| match value.as_str() {
        "" => Ok(()),
        value => out.line(format!("    {name:<22} {value}")),
    };
    let or_nothing = |v: Option<u32>| v.map(|v| v.to_string()).unwrap_or_default();
    line("next hop", next_hop(a))?;
    line("AS path", path_and_origin(a))?;
    line("local-pref", or_nothing(a.local_pref))?;
    line("MED", or_nothing(a.med))?;
    line("communities", a.communities.join(" "))?;
    line("large communities", a.large_communities.join(" "))?;
    let extended = [&a.extended_communities[..], &a.ipv6_extended_communities].concat();
    line("extended communities", extended.join(" "))?;
    let only_to_customer = a.only_to_customer.map(|asn| asn.to_string());
    line("only to customer", only_to_customer.unwrap_or_default())?;
    if a.atomic_aggregate {
        line("atomic aggregate", "yes".into())?;
    }
    if let Some(g) = &a.aggregator {
        line("aggregator", format!("AS {} {}", g.asn, g.address))?;
    }
    line("weight", or_nothing(Some(a.weight).filter(|w| *w > 0)))?;
    line("kernel table", or_nothing(a.kernel_table))?;
    line("kernel metric", or_nothing(a.kernel_metric))?;
    line("preferred source", a.preferred_source.clone())?;
    if a.blackhole {
        line("blackhole", "yes".into())?;
    }
    line("originator id", a.originator_id.clone())?;
    line("cluster list", a.cluster_list.join(" "))?;
    for other in &a.others {
        let value: String = other.value.iter().map(|b| format!("{b:02x}")).collect();
        let text = format!("flags {:#04x} {value}", other.flags);
        line(&format!("attribute {}", other.code), text)?;
    }
    Ok(())
}

/// Candidates in order with the step at which each lost, then who is told.
pub fn explanation(answer: &ExplainRouteResponse, out: &mut Out) -> Result<(), Failure> {
    out.line(&answer.prefix)?;
    out.line("")?;
    let mut table = Table::new(&[
        "PEER",
        "NEXT HOP",
        "LOCAL-PREF",
        "MED",
        "AS PATH",
        "IMPORT RULE",
        "VERDICT",
    ]);
    for c in &answer.candidates {
        let attributes = c.attributes.clone().unwrap_or_default();
        let path = c.path.clone().unwrap_or_default();
        let hop = match (c.next_hop_reachable, c.next_hop_cost) {
            (false, _) => format!("{} unreachable", next_hop(&attributes)),
            (true, 0) => next_hop(&attributes),
            (true, cost) => format!("{} cost {cost}", next_hop(&attributes)),
        };
        table.row([
            with_id(&c.peer, path.path_id).into(),
            or_dash(hop).into(),
            number(attributes.local_pref).into(),
            number(attributes.med).into(),
            path_and_origin(&attributes).into(),
            or_dash(&c.import_rule).into(),
            verdict(&path, &c.lost_at, &c.detail),
        ]);
    }
    out.table(&mut table)?;
    resolutions(answer, out)?;
    kernel(answer, out)?;
    if answer.announcements.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut table = Table::new(&["TOLD TO", "", "EXPORT RULE", "WHY NOT"]);
    for a in &answer.announcements {
        let (told, tone) = match a.advertised {
            true => ("advertised", Tone::Good),
            false => ("not", Tone::Dim),
        };
        table.row([
            a.peer.as_str().into(),
            Cell::new(with_id(told, a.path_id), tone),
            or_dash(&a.export_rule).into(),
            or_dash(&a.reason).into(),
        ]);
    }
    out.table(&mut table)
}

/// How each next hop is reached.
fn resolutions(answer: &ExplainRouteResponse, out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::new(&["NEXT HOP", "ROUTE", "COST", "VIA"]);
    let mut shown: Vec<String> = Vec::new();
    for c in &answer.candidates {
        let hop = next_hop(&c.attributes.clone().unwrap_or_default());
        let Some(resolution) = c.resolution.as_ref().filter(|_| !shown.contains(&hop)) else {
            continue;
        };
        let reached = resolution.unreachable.is_empty();
        table.row([
            hop.as_str().into(),
            or_dash(&resolution.route).into(),
            number(reached.then_some(resolution.cost)).into(),
            match reached {
                true => fib::hops(&resolution.resolved).into(),
                false => Cell::new(&resolution.unreachable, Tone::Bad),
            },
        ]);
        shown.push(hop);
    }
    if shown.is_empty() {
        return Ok(());
    }
    out.line("")?;
    out.table(&mut table)
}

/// What stands in the kernel's tables, ours first.
fn kernel(answer: &ExplainRouteResponse, out: &mut Out) -> Result<(), Failure> {
    let none = &answer.no_kernel_route;
    if !none.is_empty() {
        out.line("")?;
        out.line(format!("no kernel route of ours: {none}"))?;
    }
    if answer.kernel.is_empty() && answer.foreign.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut table = Table::new(&["KERNEL ROUTE OF", "TABLE", "METRIC", "VIA", "STATE"]);
    for ours in &answer.kernel {
        let via = match ours.kind() {
            Kind::Blackhole => "blackhole".into(),
            _ => fib::hops(&ours.resolved),
        };
        table.row([
            "godwit".into(),
            fib::table_name(ours.table).into(),
            ours.metric.to_string().into(),
            or_dash(via).into(),
            fib::state(ours),
        ]);
    }
    for other in &answer.foreign {
        table.row([
            other.protocol.as_str().into(),
            fib::table_name(other.table).into(),
            other.metric.to_string().into(),
            or_dash(fib::hops(&other.hops)).into(),
            match other.wins {
                true => Cell::new("wins over ours", Tone::Warn),
                false => Cell::new("behind ours", Tone::Dim),
            },
        ]);
    }
    out.table(&mut table)
}

/// With the path identifier of RFC 7911, where there is one.
fn with_id(text: &str, id: Option<u32>) -> String {
    match id {
        None => text.to_owned(),
        Some(id) => format!("{text}, path id {id}"),
    }
}

fn verdict(path: &Path, lost_at: &str, detail: &str) -> Cell {
    if !path.rejected_by.is_empty() {
        return Cell::new(format!("rejected by {}", path.rejected_by), Tone::Warn);
    }
    let detail = match detail {
        "" => String::new(),
        detail => format!(" ({detail})"),
    };
    match (path.best, path.multipath) {
        (true, _) => Cell::new(format!("best{detail}"), Tone::Good),
        (_, true) => Cell::new(
            format!("multipath, behind by {lost_at}{detail}"),
            Tone::Good,
        ),
        _ => Cell::new(format!("lost by {}{detail}", or_dash(lost_at)), Tone::Plain),
    }
}

#[cfg(test)]
mod tests {
    use godwit_proto::v1::{AsPathSegment, NextHop, as_path_segment};

    use super::*;

    #[test]
    fn a_path_ends_in_its_origin() {
        let mut attributes = Attributes {
            origin: Origin::Incomplete as i32,
            ..Attributes::default()
        };
        assert_eq!(path_and_origin(&attributes), "?");
        attributes.as_path = vec![AsPathSegment {
            kind: as_path_segment::Kind::Sequence as i32,
            asns: vec![65001, 65002],
        }];
        assert_eq!(path_and_origin(&attributes), "65001 65002 ?");
    }

    #[test]
    fn a_route_of_this_host_has_itself_as_next_hop() {
        let via = |address: &str, link_local: &str| {
            next_hop(&Attributes {
                next_hop: Some(NextHop {
                    address: address.into(),
                    link_local: link_local.into(),
                }),
                ..Attributes::default()
            })
        };
        assert_eq!(via("::", ""), "self");
        assert_eq!(via("::", "fe80::1"), "fe80::1");
        assert_eq!(via("2001:db8::1", "fe80::1"), "2001:db8::1 (fe80::1)");
        assert_eq!(via("10.0.0.1", ""), "10.0.0.1");
    }

    #[test]
    fn the_state_says_why_a_path_is_not_used() {
        let rejected = Path {
            rejected_by: "from-tor rule 1".into(),
            ..Path::default()
        };
        assert_eq!(state(&rejected).text(), "rejected by from-tor rule 1");
        let failed = Path {
            best: true,
            install_error: "no route to host".into(),
            ..Path::default()
        };
        assert_eq!(
            state(&failed).text(),
            "best, not installed: no route to host"
        );
        assert_eq!(state(&Path::default()).text(), "-");
        let several = Path {
            best: true,
            path_id: Some(0),
            ..Path::default()
        };
        assert_eq!(state(&several).text(), "best, path id 0");
    }

    #[test]
    fn a_verdict_gives_the_step_and_both_values() {
        let lost = verdict(&Path::default(), "MED", "20 against 10");
        assert_eq!(lost.text(), "lost by MED (20 against 10)");
        let best = Path {
            best: true,
            ..Path::default()
        };
        assert_eq!(verdict(&best, "", "only path").text(), "best (only path)");
    }
}
