//! What a peer's routes are held to and given besides policy: AS numbers, roles
//! and kinds of communities.

use godwit_bgp::Role;
use godwit_bgp::attrs::{CommunityKinds, RemovePrivate};

/// For routes from a peer. What is added is there before policy sees the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImportRules {
    /// How often our own number may stand in an AS path: the router's, and the
    /// session's where that is another, each counted apart.
    pub allow_as_in: u8,
    /// On a session with a number of its own (see [`PeerSpec::local_asn`]),
    /// don't put that before the path.
    ///
    /// [`PeerSpec::local_asn`]: super::PeerSpec::local_asn
    pub no_prepend: bool,
    /// The path of an external peer must begin with its number (RFC 4271 §6.3).
    pub enforce_first_as: bool,
    /// Take paths with sets, which RFC 9774 wants treated as withdrawn.
    pub accept_as_set: bool,
    /// The most numbers that a path may have.
    pub max_as_path: u16,
    /// Ours towards an external peer (RFC 9234).
    pub role: Option<Role>,
    /// Routes with the community BLACKHOLE are to be dropped here (RFC 7999).
    pub blackhole_community: bool,
    /// Routes with the community GRACEFUL_SHUTDOWN are the last choice
    /// (RFC 8326).
    pub graceful_shutdown: bool,
}

impl Default for ImportRules {
    fn default() -> Self {
        ImportRules {
            allow_as_in: 0,
            no_prepend: false,
            enforce_first_as: true,
            accept_as_set: false,
            max_as_path: ImportRules::MAX_AS_PATH,
            role: None,
            blackhole_community: false,
            graceful_shutdown: false,
        }
    }
}

impl ImportRules {
    /// The default of `max_as_path`, far above any real path.
    pub const MAX_AS_PATH: u16 = 750;
}

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
