//! What a rule changes: `set`.

use std::net::IpAddr;

use godwit_bgp::community::Community;
use godwit_bgp::{Asn, Family};
use godwit_policy::route::{Amount, CommunityPattern, NextHopSpec, PolicySet, Prepend, SetSpec};
use serde_spanned::Spanned;
use toml::de::DeValue;

use super::matches::{origin, patterns};
use super::{Names, plain};
use crate::error::Problem;
use crate::reader::Table;
use crate::values::{self, Wrong};

pub(super) fn read(table: &Table<'_>, names: &Names) -> SetSpec {
    let remove = table.one_or_list("community-remove", |value| patterns(value, names));
    SetSpec {
        local_pref: table.plain("local-pref", amount),
        med: table.plain("med", amount),
        origin: table.plain("origin", origin),
        community_set: communities(table, "community-set", names),
        community_remove: remove.map(plain).unwrap_or_default().concat(),
        community_add: communities(table, "community-add", names).unwrap_or_default(),
        next_hop: table.plain("next-hop", next_hop),
        prepend: table.plain("prepend", prepend).unwrap_or_default(),
        weight: table.plain("weight", amount),
        kernel_table: table.plain("kernel-table", values::kernel_table),
        kernel_metric: table.plain("kernel-metric", values::number(257..=u32::MAX)),
        preferred_source: preferred_source(table),
        blackhole: table.plain("blackhole", values::boolean),
    }
}

/// Communities to put there: no patterns.
fn communities(table: &Table<'_>, key: &'static str, names: &Names) -> Option<Vec<Community>> {
    let items = table.one_or_list(key, |value| {
        let patterns = patterns(value, names)?;
        let one = |pattern: CommunityPattern| match pattern {
            CommunityPattern::Exactly(one) => Some(one),
            _ => None,
        };
        let all: Option<Vec<Community>> = patterns.into_iter().map(one).collect();
        all.ok_or_else(|| {
            Wrong::new(
                "a pattern says what to match, not what to set",
                "not one community",
                "write each community out",
            )
        })
    });
    Some(plain(items?).concat())
}

/// `100`, `"+10"`, `"-10"`.
fn amount(value: &DeValue<'_>) -> Result<Amount, Wrong> {
    const HELP: &str =
        "write a number from 0 to 4294967295, or `\"+10\"` or `\"-10\"` to change what is there";
    if value.is_integer() {
        return values::number(0..=u32::MAX)(value).map(Amount::Exactly);
    }
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::kind("a number", value, HELP))?;
    let digits = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse().ok(),
        false => None,
    };
    let found = match text.split_at_checked(1) {
        Some(("+", more)) => digits(more).map(Amount::Plus),
        Some(("-", less)) => digits(less).map(Amount::Minus),
        _ => None,
    };
    found.ok_or_else(|| Wrong::new("not a number and not a change of one", "", HELP))
}

fn next_hop(value: &DeValue<'_>) -> Result<NextHopSpec, Wrong> {
    match value.as_str() {
        Some("self") => Ok(NextHopSpec::Own),
        Some("peer-address") => Ok(NextHopSpec::PeerAddress),
        _ => values::unicast(value)
            .and_then(|address| match address {
                IpAddr::V6(a) if a.is_unicast_link_local() => Err(Wrong::new(
                    "a link-local address is not a next hop for more than one link",
                    "link-local",
                    "",
                )),
                address => Ok(NextHopSpec::Address(address)),
            })
            .map_err(|wrong| Wrong {
                help: "write `\"self\"`, `\"peer-address\"` or an address".to_owned(),
                ..wrong
            }),
    }
}

fn preferred_source(table: &Table<'_>) -> Vec<IpAddr> {
    let Some(listed) = table.one_or_list("preferred-source", values::unicast) else {
        return Vec::new();
    };
    for (at, one) in listed.iter().enumerate() {
        let same =
            |other: &&Spanned<IpAddr>| Family::of(other.get_ref()) == Family::of(one.get_ref());
        if let Some(first) = listed.iter().take(at).find(same) {
            let problem = Problem::new(
                "two preferred sources of one family",
                "write one IPv4 and one IPv6 address at most",
            );
            let problem = problem.at(one.span()).and(first.span(), "the other");
            table.problems().push(problem);
        }
    }
    plain(listed)
}

/// A count of our own number, or the numbers.
fn prepend(value: &DeValue<'_>) -> Result<Vec<Prepend>, Wrong> {
    let max = PolicySet::MAX_PREPEND;
    match value {
        DeValue::Array(items) => {
            let asns: Vec<Asn> = items
                .iter()
                .map(|item| values::asn(item.get_ref()))
                .collect::<Result<_, _>>()?;
            if asns.len() > max {
                return Err(Wrong::new(
                    format!("{} AS numbers are too many to prepend", asns.len()),
                    "too long",
                    format!("write at most {max}"),
                ));
            }
            Ok(asns.into_iter().map(Prepend::Asn).collect())
        }
        value if value.is_integer() => {
            let count = values::number(1..=max as u8)(value)?;
            Ok(vec![Prepend::Local(count)])
        }
        other => Err(Wrong::kind(
            "a count or a list of AS numbers",
            other,
            "write `prepend = 2` for our own number twice, or `prepend = [64512, 64513]`",
        )),
    }
}
