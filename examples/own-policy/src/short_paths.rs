//! The policy: paths that are longer than they should be are worse, and much
//! longer ones are not taken at all, but for default routes.

use std::sync::Arc;

use godwit_policy::route::{
    Amount, Outcome, PrefixRange, PrefixSet, Residual, Route, RoutePolicy, SetSpec, Uses,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Its `Debug` text is its identity: see [`RoutePolicy::id`].
#[derive(Debug)]
pub struct ShortPaths {
    /// AS numbers of a good path at most.
    pub most: usize,
}

impl RoutePolicy for ShortPaths {
    /// Called once for a block of attributes, however many prefixes share it.
    fn specialise(&self, route: &Route<'_>) -> Residual {
        let length = route.attrs.as_path().length();
        let excess = length.saturating_sub(self.most);
        if excess == 0 {
            let same = Outcome::next("short path".into(), Default::default());
            return Residual::constant(same);
        }
        // The vocabulary of the configuration, arithmetic included.
        let worse = SetSpec {
            local_pref: Some(Amount::Minus(10 * excess as u32)),
            ..SetSpec::default()
        };
        let worse = Outcome::next("long path".into(), worse.edits(route));
        if excess < self.most {
            return Residual::constant(worse);
        }
        let defaults = [IpNet::V4(Ipv4Net::default()), Ipv6Net::default().into()];
        let defaults = PrefixSet::new(&defaults.map(PrefixRange::exact));
        let reject = Outcome::reject("far too long a path".into());
        Residual::split(Arc::new(defaults), worse, reject)
    }

    /// Only at attributes and prefixes: peers share results.
    fn uses(&self) -> Uses {
        Uses::default()
    }
}

#[cfg(test)]
mod tests {
    use godwit_bgp::attrs::{AttrsBuf, Origin};
    use godwit_bgp::{Asn, NextHop, SessionKind};
    use godwit_policy::route::{
        Direction, Neighbour, PeerContext, PolicySet, PolicySetSpec, Registry, Source, SourceKind,
    };

    use super::*;

    /// Whether a path of this length is taken, and its LOCAL_PREF.
    fn judge(length: usize, prefix: &str) -> (bool, Option<u32>) {
        let registry = Registry::default().with("short-paths", ShortPaths { most: 3 });
        let set = PolicySet::compile_with(&PolicySetSpec::default(), &registry).unwrap();
        let policy = set.chain(&["custom:short-paths", "accept-all"]).unwrap();
        let mut attrs = AttrsBuf::new(NextHop::V4([192, 0, 2, 1].into()), Origin::Igp);
        attrs.prepend_as(Asn(65001), length);
        let neighbour = Arc::new(Neighbour {
            address: [192, 0, 2, 1].into(),
            asn: Asn(65001),
            group: None,
            interface: None,
        });
        let kind = SessionKind::External;
        let peer = PeerContext {
            direction: Direction::Import,
            neighbour: Arc::clone(&neighbour),
            kind,
            local_asn: Asn(64512),
            own_next_hop: None,
            family: godwit_bgp::Family::Ipv4Unicast,
        };
        let source = Source {
            kind: SourceKind::Peer(kind),
            neighbour: Some(neighbour),
        };
        let route = Route {
            peer: &peer,
            source: &source,
            attrs: attrs.as_ref(),
        };
        let outcome = policy.0.specialise(&route).decide(prefix.parse().unwrap());
        (outcome.is_accepted(), outcome.edits.local_pref())
    }

    #[test]
    fn longer_paths_are_worse_and_much_longer_ones_are_not_taken() {
        assert_eq!(judge(3, "10.0.0.0/8"), (true, None));
        assert_eq!(judge(5, "10.0.0.0/8"), (true, Some(80)));
        assert_eq!(judge(6, "10.0.0.0/8"), (false, None));
        assert_eq!(judge(6, "0.0.0.0/0"), (true, Some(70)));
    }
}
