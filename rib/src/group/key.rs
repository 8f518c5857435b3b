//! What makes two peers members of one update group.

use std::sync::Arc;

use godwit_bgp::{Asn, Family, NextHop, SendPaths, SessionKind};
use godwit_policy::route::{Neighbour, PolicyRef};

use crate::api::{DefaultOriginate, ExportRules, PeerSpec};

/// The values that decide the bytes a peer is sent. Peers with equal keys are
/// sent the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey {
    families: [bool; 2],
    extended_next_hop: bool,
    /// Of the negotiated families.
    add_path: [Option<SendPaths>; 2],
    as4: bool,
    max_message: usize,
    kind: SessionKind,
    local_asn: Asn,
    own_next_hop: [Option<NextHop>; 2],
    next_hop_self: bool,
    shared_subnet: bool,
    /// Of the negotiated families.
    default_originate: [Option<DefaultOriginate>; 2],
    /// Of the negotiated families.
    export: [Option<PolicyRef>; 2],
    /// Only where a rule of an export policy asks for it.
    neighbour: Option<Arc<Neighbour>>,
    export_rules: ExportRules,
    /// Only where a rule asks for it.
    asn: Option<Asn>,
}

impl GroupKey {
    /// Taken apart without `..`: a new field does not compile before somebody
    /// has decided whether it is in the key, here and in [`KNOBS`].
    pub fn of(spec: &PeerSpec) -> GroupKey {
        let PeerSpec {
            address: _,
            asn,
            group: _,
            router_id: _,
            local_asn,
            local_address: _,
            local_link_local: _,
            interface: _,
            link: _,
            own_next_hop,
            kind,
            families,
            extended_next_hop,
            add_path_receive: _,
            add_path_send,
            as4,
            enhanced_refresh: _,
            sends_end_of_rib: _,
            max_message,
            import: _,
            export,
            limit_in: _,
            limit_out: _,
            next_hop_self,
            shared_subnet,
            weight: _,
            default_originate,
            import_rules: _,
            export_rules,
        } = spec;
        let negotiated = |family: Family| families[family.index()];
        let export =
            Family::ALL.map(|family| negotiated(family).then(|| export[family.index()].clone()));
        let default_originate = Family::ALL.map(|family| {
            let of_family = default_originate[family.index()].clone();
            of_family.filter(|_| negotiated(family))
        });
        let defaults = default_originate.iter().flatten();
        let policies = export.iter().flatten();
        let neighbour = policies
            .chain(defaults.map(|default| &default.policy))
            .any(|policy| policy.0.uses().neighbour)
            .then(|| spec.neighbour());
        GroupKey {
            families: *families,
            extended_next_hop: *extended_next_hop,
            add_path: Family::ALL
                .map(|family| add_path_send[family.index()].filter(|_| negotiated(family))),
            as4: *as4,
            max_message: *max_message,
            kind: *kind,
            local_asn: *local_asn,
            own_next_hop: *own_next_hop,
            next_hop_self: *next_hop_self,
            shared_subnet: *shared_subnet,
            default_originate,
            export,
            neighbour,
            export_rules: *export_rules,
            asn: export_rules.asks_who().then_some(*asn),
        }
    }
}

/// Whether a knob of [`PeerSpec`] is in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InKey {
    Always,
    /// Only with an export policy or rule that asks who the neighbour is.
    IfAsked,
    /// It does not change what a peer is sent; why not.
    Never(&'static str),
}

/// Every field of [`PeerSpec`].
pub const KNOBS: &[(&str, InKey)] = &[
    ("address", InKey::IfAsked),
    ("asn", InKey::IfAsked),
    ("group", InKey::IfAsked),
    (
        "router_id",
        InKey::Never("matters of the source of a route only"),
    ),
    ("local_asn", InKey::Always),
    (
        "local_address",
        InKey::Never("own_next_hop is what we send"),
    ),
    (
        "local_link_local",
        InKey::Never("own_next_hop is what we send"),
    ),
    ("interface", InKey::IfAsked),
    (
        "link",
        InKey::Never("the scope of next hops that come in; ours have none"),
    ),
    ("own_next_hop", InKey::Always),
    ("kind", InKey::Always),
    ("families", InKey::Always),
    ("extended_next_hop", InKey::Always),
    ("add_path_receive", InKey::Never("decides what comes in")),
    ("add_path_send", InKey::Always),
    ("as4", InKey::Always),
    (
        "enhanced_refresh",
        InKey::Never("marks go to the one that asked, beside the routes"),
    ),
    ("sends_end_of_rib", InKey::Never("matters to what comes in")),
    ("max_message", InKey::Always),
    ("import", InKey::Never("decides what comes in")),
    ("export", InKey::Always),
    ("limit_in", InKey::Never("decides what comes in")),
    (
        "limit_out",
        InKey::Never("ends a session, or says so, and changes no frame"),
    ),
    ("next_hop_self", InKey::Always),
    ("shared_subnet", InKey::Always),
    ("default_originate", InKey::Always),
    ("weight", InKey::Never("decides what comes in")),
    ("import_rules", InKey::Never("decides what comes in")),
    ("export_rules", InKey::Always),
];
