//! Which routes a client wants: what the RIB selects by itself, and what is
//! left to be told apart here.

use std::net::IpAddr;

use godwit_bgp::attrs::AttrsRef;
use godwit_bgp::community::{Community, CommunityError};
use godwit_bgp::{Asn, Family};
use godwit_proto::v1;
use godwit_rib::{PeerId, PrefixFilter, RouteEntry, RouteQuery, RouteView, Verdict};
use ipnet::IpNet;
use tonic::Status;
use v1::route_filter::PrefixMatch;

use crate::api::error;
use crate::control::Control;

/// What a peer is called whose routes are this host's own.
pub const LOCAL: &str = "local";

#[derive(Clone, Debug)]
pub struct Filter {
    /// None: nothing can pass, as the peer has no session.
    pub query: Option<RouteQuery>,
    entries: Entries,
    /// In the view of best routes: only from this peer.
    from: Option<PeerId>,
    community: Option<Community>,
    origin_as: Option<Asn>,
    through_as: Option<Asn>,
    next_hop: Option<IpAddr>,
}

/// What a view of all peers' paths leaves to be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entries {
    Every,
    Used,
    Accepted,
    Rejected,
}

impl Filter {
    pub fn new(message: &v1::RouteFilter, control: &Control) -> Result<Filter, Status> {
        Filter::build(message, peer(&message.peer, control)?)
    }

    fn build(message: &v1::RouteFilter, peer: Peer) -> Result<Filter, Status> {
        let view = match v1::View::try_from(message.view) {
            Ok(v1::View::Unspecified) => v1::View::Best,
            Ok(view) => view,
            Err(_) => return Err(error::bad_field("filter.view", "no such view")),
        };
        let id = match peer {
            Peer::Id(id) => Some(id),
            Peer::Any | Peer::Down => None,
        };
        let (view, entries) = match (view, id) {
            (v1::View::Received, Some(id)) => (RouteView::Received(id), Entries::Every),
            (v1::View::Received, None) => (RouteView::AllReceived, Entries::Every),
            (v1::View::Accepted, Some(id)) => (RouteView::Accepted(id), Entries::Every),
            (v1::View::Accepted, None) => (RouteView::All, Entries::Accepted),
            (v1::View::Rejected, Some(id)) => (RouteView::Rejected(id), Entries::Every),
            (v1::View::Rejected, None) => (RouteView::All, Entries::Rejected),
            (v1::View::Advertised, Some(PeerId::LOCAL)) => {
                return Err(error::bad_field(
                    "filter.peer",
                    "nothing is announced to this host itself",
                ));
            }
            (v1::View::Advertised, Some(id)) => (RouteView::Advertised(id), Entries::Every),
            (v1::View::Advertised, None) if matches!(peer, Peer::Any) => {
                return Err(error::bad_field(
                    "filter.peer",
                    "is required with VIEW_ADVERTISED",
                ));
            }
            _ => (RouteView::All, Entries::Used),
        };
        let query = RouteQuery {
            view,
            family: family(message)?,
            prefix: prefix(message)?,
        };
        let asn = |n: u32| (n != 0).then_some(Asn(n));
        Ok(Filter {
            query: (!matches!(peer, Peer::Down)).then_some(query),
            entries,
            from: id.filter(|_| entries == Entries::Used),
            community: community(&message.community)?,
            origin_as: asn(message.origin_asn),
            through_as: asn(message.as_path_contains),
            next_hop: match message.next_hop.as_str() {
                "" => None,
                text => Some(error::address("filter.next_hop", text)?),
            },
        })
    }

    pub fn takes_entry(&self, entry: &RouteEntry) -> bool {
        let wanted = match self.entries {
            Entries::Every => true,
            Entries::Used => entry.best || entry.multipath,
            Entries::Accepted => entry.verdict == Verdict::Accepted,
            Entries::Rejected => entry.verdict != Verdict::Accepted,
        };
        wanted && self.from.is_none_or(|peer| peer == entry.peer)
    }

    pub fn takes_attrs(&self, attrs: AttrsRef<'_>) -> bool {
        self.community.is_none_or(|c| c.is_in(&attrs))
            && self
                .origin_as
                .is_none_or(|asn| attrs.as_path().origin_as() == Some(asn))
            && self
                .through_as
                .is_none_or(|asn| attrs.as_path().contains(asn))
            && self
                .next_hop
                .is_none_or(|hop| attrs.next_hop.address() == hop)
    }

    /// Whether a prefix can pass at all; for what is gone, all that can be said.
    pub fn takes_prefix(&self, net: IpNet) -> bool {
        let Some(query) = &self.query else {
            return false;
        };
        let family = query.family.is_none_or(|f| f == Family::of(&net.addr()));
        family
            && match query.prefix {
                PrefixFilter::Any => true,
                PrefixFilter::Exact(wanted) => wanted == net,
                PrefixFilter::Longer(around) => around.contains(&net),
                PrefixFilter::Covering(within) => net.contains(&within),
                PrefixFilter::LongestMatch(address) => net.contains(&address),
            }
    }
}

/// Whose routes.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Any,
    Id(PeerId),
    /// It has no session, so it has no routes.
    Down,
}

fn peer(text: &str, control: &Control) -> Result<Peer, Status> {
    match text {
        "" => Ok(Peer::Any),
        LOCAL => Ok(Peer::Id(PeerId::LOCAL)),
        text => {
            let address = error::peer_name("filter.peer", text)?;
            let view = control
                .peer(address)
                .ok_or_else(|| error::no_such_peer(text))?;
            let id = view.status().rib_id();
            Ok(id.map_or(Peer::Down, Peer::Id))
        }
    }
}

fn family(message: &v1::RouteFilter) -> Result<Option<Family>, Status> {
    v1::Family::try_from(message.family)
        .map(v1::Family::known)
        .map_err(|_| error::bad_field("filter.family", "no such family"))
}

fn prefix(message: &v1::RouteFilter) -> Result<PrefixFilter, Status> {
    if message.prefix.is_empty() {
        return Ok(PrefixFilter::Any);
    }
    let net = error::prefix("filter.prefix", &message.prefix)?;
    match PrefixMatch::try_from(message.prefix_match) {
        Ok(PrefixMatch::Unspecified | PrefixMatch::Exact) => Ok(PrefixFilter::Exact(net)),
        Ok(PrefixMatch::Longer) => Ok(PrefixFilter::Longer(net)),
        Ok(PrefixMatch::Covering) => Ok(PrefixFilter::Covering(net)),
        Err(_) => Err(error::bad_field("filter.prefix_match", "no such match")),
    }
}

fn community(text: &str) -> Result<Option<Community>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|e: CommunityError| {
            error::bad_field("filter.community", format!("`{text}` is {e}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use godwit_bgp::NextHop;
    use godwit_bgp::attrs::{AttrsBuf, Origin};
    use tonic::Code;

    use super::*;

    fn built(message: &v1::RouteFilter) -> Filter {
        Filter::build(message, Peer::Any).unwrap()
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn attributes_must_pass_every_filter() {
        let mut attrs = AttrsBuf::new(NextHop::V4([10, 0, 0, 1].into()), Origin::Igp);
        attrs.prepend_as(Asn(65002), 1);
        attrs.prepend_as(Asn(65001), 1);
        attrs.community_add(&[0xfc00_0064]);
        let mut message = v1::RouteFilter {
            community: "64512:100".into(),
            origin_asn: 65002,
            as_path_contains: 65001,
            next_hop: "10.0.0.1".into(),
            ..v1::RouteFilter::default()
        };
        assert!(built(&message).takes_attrs(attrs.as_ref()));
        message.origin_asn = 65001;
        assert!(!built(&message).takes_attrs(attrs.as_ref()));
    }

    #[test]
    fn what_is_gone_is_told_by_its_prefix_alone() {
        let within = |prefix_match: PrefixMatch| v1::RouteFilter {
            prefix: "10.0.0.0/8".into(),
            prefix_match: prefix_match as i32,
            ..v1::RouteFilter::default()
        };
        let longer = built(&within(PrefixMatch::Longer));
        assert!(longer.takes_prefix(net("10.1.0.0/16")));
        assert!(!longer.takes_prefix(net("0.0.0.0/0")));
        let covering = built(&within(PrefixMatch::Covering));
        assert!(covering.takes_prefix(net("0.0.0.0/0")));
        assert!(!covering.takes_prefix(net("10.1.0.0/16")));
        let six = built(&v1::RouteFilter {
            family: v1::Family::Ipv6Unicast as i32,
            ..v1::RouteFilter::default()
        });
        assert!(!six.takes_prefix(net("10.1.0.0/16")));
    }

    #[test]
    fn what_is_announced_is_asked_of_one_peer() {
        let message = v1::RouteFilter {
            view: v1::View::Advertised as i32,
            ..v1::RouteFilter::default()
        };
        let status = Filter::build(&message, Peer::Any).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        // One without a session is no error: nothing is announced to it.
        let filter = Filter::build(&message, Peer::Down).unwrap();
        assert!(filter.query.is_none());
    }
}
