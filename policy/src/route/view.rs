//! A route as it was set so far.

use std::net::IpAddr;

use godwit_bgp::Asn;
use godwit_bgp::attrs::Origin;
use godwit_bgp::community::Community;

use super::as_path::Positions;
use super::edits::NewNextHop;
use super::{Edits, Prepend, Route};

/// What an absent LOCAL_PREF counts as.
const LOCAL_PREF: u32 = 100;

#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub route: &'a Route<'a>,
    pub edits: &'a Edits,
}

impl<'a> View<'a> {
    pub fn local_pref(&self) -> u32 {
        let received = || self.route.attrs.local_pref().unwrap_or(LOCAL_PREF);
        self.edits.local_pref.unwrap_or_else(received)
    }

    pub fn med(&self) -> u32 {
        let received = || self.route.attrs.med().unwrap_or(0);
        self.edits.med.unwrap_or_else(received)
    }

    pub fn weight(&self) -> u32 {
        let before = || self.route.attrs.local().weight;
        self.edits.weight.unwrap_or_else(before)
    }

    pub fn origin(&self) -> Origin {
        let received = || self.route.attrs.origin();
        self.edits.origin.unwrap_or_else(received)
    }

    pub fn next_hop(&self) -> IpAddr {
        let received = self.route.attrs.next_hop;
        match self.edits.next_hop {
            None => received.address(),
            Some(NewNextHop::To(address)) => address,
            Some(NewNextHop::Own) => self.route.peer.own_next_hop.unwrap_or(received).address(),
        }
    }

    pub fn communities(&self) -> impl Iterator<Item = Community> + Clone + use<'a> {
        self.edits.communities.after(self.route.attrs)
    }

    pub fn path(&self) -> Positions<'a> {
        Positions::of(self.ahead(), self.route.attrs.as_path())
    }

    pub fn path_length(&self) -> usize {
        self.route.attrs.as_path().length() + self.ahead().count()
    }

    /// What was put before the path.
    fn ahead(&self) -> impl Iterator<Item = Asn> + use<'a> {
        let own = self.route.peer.local_asn;
        self.edits.prepend.iter().flat_map(move |prepend| {
            let (asn, times) = match prepend {
                Prepend::Local(times) => (own, usize::from(*times)),
                Prepend::Asn(asn) => (*asn, 1),
            };
            std::iter::repeat_n(asn, times)
        })
    }
}
