//! Between the protocol's types and messages.

use godwit_bgp::attrs::{AttrsBuf, AttrsRef, Origin as BgpOrigin, SegmentKind, code, flag};
use godwit_bgp::{Family as BgpFamily, NextHop as BgpNextHop};

use crate::text;
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
            address: hop.address().to_string(),
            link_local: hop.link_local().map(|a| a.to_string()).unwrap_or_default(),
        }
    }
}

impl From<AttrsRef<'_>> for Attributes {
    fn from(attrs: AttrsRef<'_>) -> Self {
        Attributes {
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
            communities: attrs.communities().map(text::community).collect(),
            extended_communities: attrs
                .ext_communities()
                .map(|c| format!("{:016x}", u64::from_be_bytes(c)))
                .collect(),
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
        code::ORIGIN
            | code::AS_PATH
            | code::MED
            | code::LOCAL_PREF
            | code::ATOMIC_AGGREGATE
            | code::AGGREGATOR
            | code::COMMUNITIES
            | code::ORIGINATOR_ID
            | code::CLUSTER_LIST
            | code::EXT_COMMUNITIES
            | code::LARGE_COMMUNITIES
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
    let mut communities = Vec::new();
    for (i, c) in request.communities.iter().enumerate() {
        communities.push(text::parse_community(c).ok_or_else(|| {
            (
                format!("communities[{i}]"),
                format!("`{c}` is not a community; write it like 64512:100 or no-export"),
            )
        })?);
    }
    attrs.community_add(&communities);
    let mut large = Vec::new();
    for (i, c) in request.large_communities.iter().enumerate() {
        large.push(text::parse_large_community(c).ok_or_else(|| {
            (
                format!("large_communities[{i}]"),
                format!("`{c}` is not a large community; write it like 64512:1:2"),
            )
        })?);
    }
    // Sorted and each once, as RFC 8092 §5 asks of whoever writes them.
    large.sort_unstable();
    large.dedup();
    if !large.is_empty() {
        let value: Vec<u8> = large
            .iter()
            .flatten()
            .flat_map(|part| part.to_be_bytes())
            .collect();
        attrs.set(
            code::LARGE_COMMUNITIES,
            flag::OPTIONAL | flag::TRANSITIVE,
            &value,
        );
    }
    Ok(attrs)
}

#[cfg(test)]
mod tests;
