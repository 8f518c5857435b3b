//! What routes to a peer are given besides policy: AS numbers, roles and kinds of
//! communities. Of routes from one `godwit_policy::import` knows.

use godwit_bgp::Role;
use godwit_bgp::attrs::{CommunityKinds, RemovePrivate};

/// For routes to an external peer (the kinds of communities: to any). The
/// order: export policy, private numbers, override, our own numbers in front,
/// ONLY_TO_CUSTOMER, communities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExportRules {
    /// On a session with a number of its own: put only that before the path, not
    /// the router's too.
    pub replace_as: bool,
    pub remove_private: RemovePrivate,
    /// Put our number in the place of the peer's.
    pub as_override: bool,
    /// Ours (RFC 9234).
    pub role: Option<Role>,
    pub communities: CommunityKinds,
}

impl ExportRules {
    /// Whether the peer's own number decides what it is sent.
    pub fn asks_who(&self) -> bool {
        self.as_override || self.remove_private != RemovePrivate::No
    }
}
