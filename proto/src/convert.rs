//! Between the protocol's types and messages.

use std::str::FromStr;

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Local, Origin as BgpOrigin, SegmentKind, code, flag};
use godwit_bgp::community::{
    Community, ExtCommunity, Ipv6ExtCommunity, LargeCommunity, StandardCommunity,
};
use godwit_bgp::{Family as BgpFamily, NextHop as BgpNextHop};

use crate::v1::{
    AddRouteRequest, Aggregator, AsPathSegment, Attributes, Family, NextHop, Origin, RawAttribute,
    as_path_segment,
};

impl From<BgpFamily> for Family {
    fn from(family: BgpFamily) -> Self {
        match family {
            BgpFamily::Ipv4Unicast => Family::Ipv4Unicast,
            BgpFamily::Ipv6Unicast => Family::Ipv6Unicast,
        }
    }
}

impl Family {
    /// `None`: unspecified.
    pub fn known(self) -> Option<BgpFamily> {
        match self {
            Family::Unspecified => None,
            Family::Ipv4Unicast => Some(BgpFamily::Ipv4Unicast),
            Family::Ipv6Unicast => Some(BgpFamily::Ipv6Unicast),
        }
    }
}

impl From<BgpNextHop> for NextHop {
    fn from(hop: BgpNextHop) -> Self {
        NextHop {
            address: hop.to_string(),
            link_local: hop
                .link_local()
                .filter(|a| hop.address() != *a)
                .map(|a| a.to_string())
                .unwrap_or_default(),
        }
    }
}

impl From<AttrsRef<'_>> for Attributes {
    fn from(attrs: AttrsRef<'_>) -> Self {
        let Local {
            weight,
            table,
            metric,
            source,
            blackhole,
        } = attrs.local();
        Attributes {
            weight,
            kernel_table: table,
            kernel_metric: metric,
            preferred_source: source.map(|a| a.to_string()).unwrap_or_default(),
            blackhole,
            next_hop: Some(attrs.next_hop.into()),
            origin: origin(attrs.origin()) as i32,
            as_path: as_path(attrs),
            med: attrs.med(),
            local_pref: attrs.local_pref(),
            atomic_aggregate: attrs.atomic_aggregate(),
            aggregator: attrs.aggregator().map(|(asn, address)| Aggregator {
                asn: asn.0,
                address: address.to_string(),
            }),
            communities: attrs
                .communities()
                .map(|c| StandardCommunity(c).to_string())
                .collect(),
            extended_communities: attrs
                .ext_communities()
                .map(|c| ExtCommunity(c).to_string())
                .collect(),
            ipv6_extended_communities: attrs
                .ipv6_ext_communities()
                .map(|c| c.to_string())
                .collect(),
            only_to_customer: attrs.only_to_customer().map(|asn| asn.0),
            large_communities: attrs.large_communities().map(|c| c.to_string()).collect(),
            originator_id: attrs
                .originator_id()
                .map(|id| id.to_string())
                .unwrap_or_default(),
            cluster_list: attrs.cluster_list().map(|id| id.to_string()).collect(),
            others: attrs
                .iter()
                .filter(|a| !has_a_field(a.code))
                .map(|a| RawAttribute {
                    flags: a.flags.into(),
                    code: a.code.into(),
                    value: a.value.to_vec(),
                })
                .collect(),
        }
    }
}

fn has_a_field(code: u8) -> bool {
    matches!(
        code,
        code::LOCAL
            | code::ORIGIN
            | code::AS_PATH
            | code::MED
            | code::LOCAL_PREF
            | code::ATOMIC_AGGREGATE
            | code::AGGREGATOR
            | code::COMMUNITIES
            | code::ORIGINATOR_ID
            | code::CLUSTER_LIST
            | code::EXT_COMMUNITIES
            | code::IPV6_EXT_COMMUNITIES
            | code::LARGE_COMMUNITIES
            | code::OTC
    )
}

fn origin(origin: BgpOrigin) -> Origin {
    match origin {
        BgpOrigin::Igp => Origin::Igp,
        BgpOrigin::Egp => Origin::Egp,
        BgpOrigin::Incomplete => Origin::Incomplete,
    }
}

fn as_path(attrs: AttrsRef<'_>) -> Vec<AsPathSegment> {
    use as_path_segment::Kind;
    attrs
        .as_path()
        .segments()
        .map(|segment| AsPathSegment {
            kind: match segment.kind {
                SegmentKind::Set => Kind::Set,
                SegmentKind::Sequence => Kind::Sequence,
                SegmentKind::ConfedSequence => Kind::ConfedSequence,
                SegmentKind::ConfedSet => Kind::ConfedSet,
            } as i32,
            asns: segment.asns().map(|asn| asn.0).collect(),
        })
        .collect()
}

/// The attributes of a route of ours, or the field at fault and why.
pub fn own_attributes(
    request: &AddRouteRequest,
    next_hop: BgpNextHop,
) -> Result<AttrsBuf, (String, String)> {
    let mut attrs = AttrsBuf::new(next_hop, BgpOrigin::Igp);
    attrs.set_med(request.med);
    attrs.set_local_pref(request.local_pref);
    let standard: Vec<StandardCommunity> = list(
        "communities",
        &request.communities,
        "a community; write it like 64512:100 or no-export",
    )?;
    // The kinds that share one field are told apart by their text.
    let help = "an extended community; write it like rt:64512:100";
    let extended: Vec<Community> =
        list("extended_communities", &request.extended_communities, help)?;
    for (i, community) in extended.iter().enumerate() {
        if let Community::Standard(_) | Community::Large(_) = community {
            let text = &request.extended_communities[i];
            let field = format!("extended_communities[{i}]");
            return Err((field, format!("`{text}` is not {help}")));
        }
    }
    let large: Vec<LargeCommunity> = list(
        "large_communities",
        &request.large_communities,
        "a large community; write it like 64512:1:2",
    )?;
    let standard = standard.into_iter().map(Community::Standard);
    let all = standard
        .chain(extended)
        .chain(large.into_iter().map(Community::Large));
    set_communities(&mut attrs, all);
    Ok(attrs)
}

/// Gives a route these communities and no others.
pub(crate) fn set_communities(attrs: &mut AttrsBuf, all: impl Iterator<Item = Community>) {
    let mut standard = Vec::new();
    let (mut extended, mut ipv6, mut large) = (Vec::new(), Vec::new(), Vec::new());
    for community in all {
        match community {
            Community::Standard(c) => standard.push(c.0),
            Community::Extended(c) => extended.push(c),
            Community::Ipv6Extended(c) => ipv6.push(c),
            Community::Large(c) => large.push(c),
        }
    }
    attrs.community_set(&standard);
    put(attrs, code::EXT_COMMUNITIES, extended, |c: ExtCommunity| {
        c.0
    });
    put(
        attrs,
        code::IPV6_EXT_COMMUNITIES,
        ipv6,
        |c: Ipv6ExtCommunity| c.0,
    );
    put(attrs, code::LARGE_COMMUNITIES, large, |c| c.octets());
}

fn list<T: FromStr>(field: &str, texts: &[String], what: &str) -> Result<Vec<T>, (String, String)> {
    let one = |(i, text): (usize, &String)| {
        let wrong = |_| (format!("{field}[{i}]"), format!("`{text}` is not {what}"));
        text.parse().map_err(wrong)
    };
    texts.iter().enumerate().map(one).collect()
}

/// Sorted and each once, as RFC 8092 §5 asks of whoever writes large ones.
fn put<T: Ord, const N: usize>(
    attrs: &mut AttrsBuf,
    code: u8,
    mut communities: Vec<T>,
    octets: impl Fn(T) -> [u8; N],
) {
    communities.sort_unstable();
    communities.dedup();
    if !communities.is_empty() {
        let value: Vec<u8> = communities.into_iter().flat_map(octets).collect();
        attrs.set(code, flag::OPTIONAL | flag::TRANSITIVE, &value);
    }
}

#[cfg(test)]
mod tests;
