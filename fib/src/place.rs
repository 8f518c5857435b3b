//! Where routes stand in the kernel: a prefix may have a route in each table
//! and at each metric, and the kernel tells them apart by nothing else.

use ipnet::IpNet;

use crate::api::FibConfig;

/// A table and a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub table: u32,
    pub metric: u32,
}

/// Names a place; two bytes beside a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PlaceId(pub u16);

impl PlaceId {
    /// Of the configuration.
    pub const HOME: PlaceId = PlaceId(0);
}

/// A prefix at a place: what the kernel has one route of ours for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub prefix: IpNet,
    pub place: PlaceId,
}

/// All places that were ever used, by rules or by an earlier run. There are as
/// many as the policies name, so they are never forgotten.
#[derive(Debug)]
pub(crate) struct Places(Vec<Place>);

impl Places {
    pub fn new(config: &FibConfig) -> Places {
        Places(vec![Place {
            table: config.table,
            metric: config.metric,
        }])
    }

    pub fn at(&self, id: PlaceId) -> Place {
        self.0[usize::from(id.0)]
    }

    pub fn find(&self, place: Place) -> Option<PlaceId> {
        let at = self.0.iter().position(|p| *p == place)?;
        Some(PlaceId(at as u16))
    }

    /// `None`: there are too many, or no route can be there: `unspec` is no
    /// table, `local` is the kernel's, and an IPv6 route without a metric gets
    /// one from it.
    pub fn find_or_add(&mut self, place: Place) -> Option<PlaceId> {
        self.find(place).or_else(|| {
            let impossible = matches!(place.table, 0 | godwit_netlink::TABLE_LOCAL);
            if impossible || place.metric == 0 || self.0.len() > usize::from(u16::MAX) {
                return None;
            }
            self.0.push(place);
            Some(PlaceId((self.0.len() - 1) as u16))
        })
    }

    pub fn has_table(&self, table: u32) -> bool {
        self.0.iter().any(|p| p.table == table)
    }

    pub fn ids(&self) -> impl Iterator<Item = PlaceId> + use<> {
        (0..self.0.len()).map(|at| PlaceId(at as u16))
    }

    /// The prefix at every place.
    pub fn spots(&self, prefix: IpNet) -> impl Iterator<Item = Spot> + use<> {
        self.ids().map(move |place| Spot { prefix, place })
    }
}
