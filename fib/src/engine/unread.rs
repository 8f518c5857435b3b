//! Changes that wait because a table could not be read: what others have there
//! is not known, and not to be overwritten. Until then a route stays where it is.

use std::collections::BTreeMap;

use godwit_rib::RouteChange;
use ipnet::IpNet;

/// At most one change a prefix, the latest.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    changes: BTreeMap<IpNet, RouteChange>,
    /// Why, by table: it is not tried again for each route.
    errors: BTreeMap<u32, i32>,
}

impl Unread {
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Why the table could not be read.
    pub fn error(&self, table: u32) -> Option<i32> {
        self.errors.get(&table).copied()
    }

    pub fn failed(&mut self, table: u32, errno: i32) {
        self.errors.insert(table, errno);
    }

    pub fn wait(&mut self, change: RouteChange) {
        self.changes.insert(change.prefix, change);
    }

    /// Another change of the prefix has come.
    pub fn overtaken(&mut self, prefix: IpNet) {
        self.changes.remove(&prefix);
    }

    /// All that waits, to be tried again.
    pub fn take(&mut self) -> Vec<RouteChange> {
        let Unread { changes, .. } = std::mem::take(self);
        changes.into_values().collect()
    }
}
