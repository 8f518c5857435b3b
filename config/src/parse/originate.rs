//! `[[originate]]` and `[[aggregate]]`.

use std::collections::BTreeMap;
use std::ops::Range;

use ipnet::IpNet;

use crate::error::Problem;
use crate::model::{AggregateConfig, OriginateConfig};
use crate::reader::{Problems, Table};
use crate::schema;
use crate::values;

pub(super) fn originate(root: &Table<'_>, warnings: &Problems) -> Vec<OriginateConfig> {
    let mut out = Vec::new();
    let mut seen: BTreeMap<IpNet, Range<usize>> = BTreeMap::new();
    for table in root.tables("originate", &schema::ORIGINATE) {
        let help = "add `prefix = \"ADDRESS/LENGTH\"`, what to announce";
        let prefix = table.required("prefix", help, values::prefix);
        let blackhole = table.plain("blackhole", values::boolean).unwrap_or(false);
        let Some(prefix) = prefix else { continue };
        let (span, prefix) = (prefix.span(), prefix.into_inner());
        if let Some(first) = seen.get(&prefix) {
            let problem = Problem::new(
                format!("{prefix} is originated twice"),
                "take one of them out",
            );
            let problem = problem
                .at(span)
                .label("again")
                .and(first.clone(), "first here");
            root.problems().push(problem);
            continue;
        }
        if let Some((other, first)) = overlapping(&seen, prefix) {
            let problem = Problem::new(
                format!("{prefix} and {other} overlap"),
                "both are announced; take one out if that is not meant",
            );
            warnings.push(problem.at(span.clone()).and(first.clone(), "the other"));
        }
        seen.insert(prefix, span);
        out.push(OriginateConfig { prefix, blackhole });
    }
    out
}

pub(super) fn aggregate(root: &Table<'_>, originate: &[OriginateConfig]) -> Vec<AggregateConfig> {
    let mut out = Vec::new();
    let mut seen: BTreeMap<IpNet, Range<usize>> = BTreeMap::new();
    for table in root.tables("aggregate", &schema::AGGREGATE) {
        let help = "add `prefix = \"ADDRESS/LENGTH\"`, what to announce";
        let prefix = table.required("prefix", help, values::prefix);
        let flag = |key| table.plain(key, values::boolean);
        let (summary_only, blackhole) = (flag("summary-only"), flag("blackhole"));
        let Some(prefix) = prefix else { continue };
        let (span, prefix) = (prefix.span(), prefix.into_inner());
        if originate.iter().any(|route| route.prefix == prefix) {
            let problem = Problem::new(
                format!("{prefix} is originated too"),
                "it is announced always by `[[originate]]`: take one of the two out",
            );
            root.problems().push(problem.at(span).label("here again"));
            continue;
        }
        if let Some(first) = seen.insert(prefix, span.clone()) {
            let problem = Problem::new(
                format!("{prefix} is aggregated twice"),
                "take one of them out",
            );
            let problem = problem.at(span).label("again").and(first, "first here");
            root.problems().push(problem);
            continue;
        }
        out.push(AggregateConfig {
            prefix,
            summary_only: summary_only.unwrap_or(false),
            blackhole: blackhole.unwrap_or(true),
        });
    }
    out
}

/// The closest prefix that covers this one, or else the first within it. A host
/// may originate thousands, so this looks each length up instead of at each.
fn overlapping<T>(seen: &BTreeMap<IpNet, T>, prefix: IpNet) -> Option<(&IpNet, &T)> {
    let covering = std::iter::successors(prefix.supernet(), IpNet::supernet);
    let covering = covering
        .into_iter()
        .find_map(|net| seen.get_key_value(&net));
    // Prefixes sort by address: what lies within follows at once.
    covering.or_else(|| {
        let next = seen.range(prefix..).next();
        next.filter(|(net, _)| prefix.contains(*net))
    })
}
