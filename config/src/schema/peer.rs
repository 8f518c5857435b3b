//! Keys of peers and of their groups.

use super::{Key, Section, key, planned, table};

pub(crate) static DEFAULT_ORIGINATE: Section = Section {
    header: "default-originate = { … }",
    doc: "For a peer, a group or a family of one.",
    keys: &[&[
        key(
            "if",
            "prefix or name",
            "always",
            "Only while there is a route to this prefix (`\"10.0.0.0/8+\"`: or into it), or to one of this `[policy.prefix-set]`.",
        ),
        key(
            "policy",
            "list of names",
            "none",
            "What the route is given on its way out: policies, in order, of which one must accept it.",
        ),
    ]],
};

static PEER_ONLY: &[Key] = &[
    key(
        "address",
        "address",
        "this, `interface` or `range`",
        "The neighbour's address.",
    ),
    key(
        "interface",
        "name",
        "this, `address` or `range`",
        "The one neighbour on this interface, found by IPv6 router advertisements, with which no address has to be configured on either side (\"unnumbered\").",
    ),
    key(
        "range",
        "prefix",
        "this, `address` or `interface`",
        "Any neighbour that connects from here; we only accept. The longest range around an address counts, and an `address` of its own before all.",
    ),
    key(
        "group",
        "name",
        "none",
        "The `[peer-group.NAME]` that gives what this peer doesn't.",
    ),
    key("description", "text", "none", "For people."),
    key(
        "limit",
        "1 to 30000",
        "`1000`",
        "Neighbours of a `range` at most, each range by itself: no key of a group. More are refused with Cease/Connection Rejected.",
    ),
];

static PEER_COMMON: &[Key] = &[
    key(
        "remote-as",
        "number, `\"external\"` or `\"internal\"`",
        "required",
        "The AS that the neighbour must show: that one, any but ours, or ours.",
    ),
    key(
        "hold-time",
        "duration",
        "`\"90s\"`",
        "Silence after which the session ends; the lower of both sides' counts. `\"0s\"` switches keepalives off, else `\"3s\"` to `\"65535s\"`.",
    ),
    key(
        "keepalive",
        "duration",
        "a third of the hold time",
        "Interval of keepalives, at most a third of the hold time.",
    ),
    key(
        "connect-retry",
        "duration",
        "`\"10s\"`",
        "Wait between attempts to connect.",
    ),
    key(
        "send-hold-time",
        "duration",
        "the larger of `\"8m\"` and twice the hold time",
        "How long the neighbour may take nothing of what we send before the session ends (RFC 9687); longer than `hold-time`.",
    ),
    key(
        "refresh-timeout",
        "duration",
        "`\"6m\"`",
        "How long routes of a peer that began an enhanced refresh (RFC 7313) stay, where it neither announces them again nor ends it. `\"1s\"` to `\"1h\"`.",
    ),
    key(
        "graceful-restart",
        "boolean",
        "`true`",
        "While a peer that asks for it restarts, go on using its routes (RFC 4724), also where a NOTIFICATION ended the session (RFC 8538).",
    ),
    key(
        "stale-time",
        "duration",
        "`\"6m\"`",
        "How long routes of a peer that restarts are kept at most, from the end of its session on; it may ask for less. `\"1s\"` to `\"24h\"`.",
    ),
    key(
        "passive",
        "boolean",
        "`false`",
        "Only accept, never connect.",
    ),
    key("port", "1 to 65535", "`179`", "Where to connect to."),
    key(
        "local-address",
        "address",
        "the kernel's choice",
        "Our end of the session.",
    ),
    key(
        "multihop",
        "2 to 255",
        "1 hop on an external session, any on an internal one",
        "Hops to the neighbour at most: the TTL that we send with.",
    ),
    key(
        "local-interface",
        "name",
        "any",
        "The session's packets leave by this interface, and connections that came by another are refused.",
    ),
    key(
        "ttl-security",
        "boolean, or 1 to 254",
        "`false`",
        "Take only packets that can't have come from further away (RFC 5082): `true` from a neighbour on the link, a number from one at most so many hops away. Both ends need it, and it replaces `multihop`.",
    ),
    key(
        "password-file",
        "absolute path",
        "none",
        "A file with the TCP-MD5 key of the session (RFC 2385), at most 80 bytes, and nothing else. A `range`'s key holds for every neighbour in it that has none of its own. A reload reads it again; another key starts the session anew.",
    ),
    key(
        "disabled",
        "boolean",
        "`false`",
        "No session, until enabled.",
    ),
    key(
        "next-hop-self",
        "boolean",
        "`false`",
        "Announce external routes to an internal peer with our own address as the next hop.",
    ),
    key(
        "extended-next-hop",
        "boolean",
        "`true` on an `interface`, else `false`",
        "IPv4 routes may have IPv6 next hops, both ways, if the neighbour agrees (RFC 8950). On an IPv6 session ours goes out with them, so that no interface on the way needs an IPv4 address.",
    ),
    key(
        "route-reflector-client",
        "boolean",
        "`false`",
        "We reflect for this internal peer (RFC 4456).",
    ),
    key(
        "default-originate",
        "boolean or table",
        "`false`",
        "Send this peer a default route of our own, which is in no table here and which its `export` does not see. As a table, see below, on a condition.",
    ),
    key(
        "weight",
        "number",
        "`0`",
        "Of routes from this peer, unless a policy sets another. Looked at before all that a route carries, known to this router alone; higher wins. Routes of our own have 32768.",
    ),
    key(
        "blackhole-community",
        "boolean",
        "`false`",
        "Routes from this peer with the community `blackhole` (RFC 7999) become blackholes in the kernel, whatever their next hop, and `no-export` is added. Let its `import` accept such routes for its own prefixes only.",
    ),
    key(
        "graceful-shutdown",
        "boolean",
        "`true` on an external session, else `false`",
        "Routes from this peer with the community `graceful-shutdown` get LOCAL_PREF 0, after its `import` (RFC 8326).",
    ),
    key(
        "import",
        "list of names",
        "internal: `[\"accept-all\"]`; external: nothing passes (RFC 8212)",
        "Policies for routes from this peer, in order, for every family.",
    ),
    key(
        "export",
        "list of names",
        "as `import`",
        "Policies for routes to this peer, in order, for every family.",
    ),
    table("family"),
    key(
        "bfd",
        "boolean or table",
        "`false`",
        "Watch the path to the neighbour with BFD (RFC 5880): when it is lost, the session ends. Needs the process `godwitd bfd`. As a table, see below, with other intervals.",
    ),
    planned("tcp-ao"),
];

/// AS numbers, roles and communities.
static PEER_PATH: &[Key] = &[
    key(
        "local-as",
        "number or table",
        "`[router] asn`",
        "The AS number by which this neighbour knows us, while the rest of the network knows another: our OPEN shows it, and it stands before the paths from and to the neighbour, in what goes out before our own. See `local-as = { … }`.",
    ),
    key(
        "allow-as-in",
        "boolean or 0 to 10",
        "`false`",
        "How often our own AS number may stand in a path from the neighbour; `true` is 3. Otherwise once is a loop.",
    ),
    key(
        "as-override",
        "boolean",
        "`false`",
        "In paths to an external neighbour, put our AS number in every place of its own, so that sites of one AS take each other's routes.",
    ),
    key(
        "remove-private-as",
        "boolean, `\"all\"`, `\"replace\"` or `\"all-replace\"`",
        "`false`",
        "Private AS numbers (RFC 6996) in paths to an external neighbour: `true` removes them where the path has no others, `\"all\"` removes them from any path, `\"replace\"` and `\"all-replace\"` put our number in their place. The neighbour's own number stays.",
    ),
    key(
        "enforce-first-as",
        "boolean",
        "`true`; `false` where `role = \"rs-client\"`",
        "A path from an external neighbour must begin with its AS number (RFC 4271 §6.3), else the route is not used. A route server leaves its number out.",
    ),
    key(
        "as-set",
        "`\"withdraw\"` or `\"accept\"`",
        "`\"withdraw\"`",
        "Routes with an AS_SET in the path are not used (RFC 9774), or are.",
    ),
    key(
        "max-as-path-length",
        "1 to 2000",
        "`750`",
        "AS numbers in a path at most; a route with more is not used.",
    ),
    key(
        "role",
        "`\"provider\"`, `\"customer\"`, `\"peer\"`, `\"rs-server\"` or `\"rs-client\"`",
        "none",
        "What we are to an external neighbour (RFC 9234): `\"customer\"` where it is our provider. A neighbour whose role doesn't fit is refused, and route leaks are kept in and out by ONLY_TO_CUSTOMER.",
    ),
    key(
        "role-strict",
        "boolean",
        "`false`",
        "Refuse a neighbour that says no role.",
    ),
    key(
        "send-communities",
        "list of `\"standard\"`, `\"extended\"` and `\"large\"`",
        "all",
        "Kinds of communities that the neighbour is sent.",
    ),
];

/// For the reference alone: whoever reads a peer reads these with it.
pub(super) static PATH: Section = Section {
    header: "[peer-group.NAME]: AS numbers, roles, communities",
    doc: "More keys of a peer or group; [paths.md](paths.md) says what they come to together.",
    keys: &[PEER_PATH],
};

pub(crate) static LOCAL_AS: Section = Section {
    header: "local-as = { … }",
    doc: "Below a peer or group; `local-as = 64500` is the same as `local-as = { asn = 64500 }`.",
    keys: &[&[
        key("asn", "number", "required", "The number."),
        key(
            "no-prepend",
            "boolean",
            "`false`",
            "Don't put it before the paths that come in from the neighbour.",
        ),
        key(
            "replace-as",
            "boolean",
            "`false`",
            "Put it alone before the paths that go out to the neighbour, not our own number too.",
        ),
        key(
            "dual-as",
            "boolean",
            "`false`",
            "The neighbour may know us by either number: where it answers one with Bad Peer AS, the next OPEN shows the other (RFC 7705). External sessions only.",
        ),
    ]],
};

pub(crate) static PEER_BFD: Section = Section {
    header: "bfd = { … }",
    doc: "Below a peer or group; `bfd = true` takes all defaults.",
    keys: &[&[
        key(
            "interval",
            "duration",
            "`\"300ms\"`",
            "Between two packets, both ways: the slower end's counts. `\"10ms\"` to `\"60s\"`.",
        ),
        key(
            "multiplier",
            "1 to 255",
            "`3`",
            "So many packets lost in a row are a lost path.",
        ),
        key(
            "multihop",
            "boolean",
            "`true` with the session's `multihop`, and for an internal neighbour in none of our networks",
            "Across routers (RFC 5883, UDP port 4784), instead of on one link (RFC 5881, UDP port 3784).",
        ),
    ]],
};

pub(crate) static PEER_GROUP: Section = Section {
    header: "[peer-group.NAME]",
    doc: "What several peers share. A peer's own keys come first.",
    keys: &[PEER_COMMON, PEER_PATH],
};

pub(crate) static PEER: Section = Section {
    header: "[[peer]]",
    doc: "A neighbour, the one on an interface, or a range of them. One table each; takes every key of `[peer-group.NAME]` too.",
    keys: &[PEER_ONLY, PEER_COMMON, PEER_PATH],
};

pub(crate) static FAMILIES: Section = Section {
    header: "[peer-group.NAME.family]",
    doc: "",
    keys: &[&[table("ipv4-unicast"), table("ipv6-unicast")]],
};

pub(crate) static FAMILY: Section = Section {
    header: "[peer-group.NAME.family.ipv4-unicast], [peer-group.NAME.family.ipv6-unicast]",
    doc: "Naming a family switches it on; without any, both are. Below a `[[peer]]`: `[peer.family.ipv4-unicast]`; a peer that names families of its own doesn't have its group's.",
    keys: &[&[
        key(
            "import",
            "list of names",
            "the peer's `import`",
            "Policies for routes of this family from the peer.",
        ),
        key(
            "export",
            "list of names",
            "the peer's `export`",
            "Policies for routes of this family to the peer.",
        ),
        key(
            "default-originate",
            "boolean or table",
            "the peer's `default-originate`",
            "The same for this family alone.",
        ),
        key(
            "prefix-limit",
            "table",
            "none",
            "How many prefixes the peer may announce (with `add-path`: how many paths), see below.",
        ),
        key(
            "prefix-limit-out",
            "table",
            "none",
            "How many prefixes the peer may be sent; more mean a mistake of ours. Takes `max`, `then`, `restart-after` and `warn-at`.",
        ),
        key(
            "add-path",
            "table",
            "neither way",
            "Several paths of one prefix (RFC 7911), in what the peer sends and in what it is sent; see below.",
        ),
    ]],
};

pub(crate) static ADD_PATH: Section = Section {
    header: "add-path = { … }",
    doc: "Below a family, of a peer or else of its group. It is told in OPEN: a change restarts the session, but for one value of `send` in place of another.",
    keys: &[&[
        key(
            "receive",
            "boolean",
            "`false`",
            "The peer may send us several paths of a prefix.",
        ),
        key(
            "send",
            "1 to 256, `\"all\"` or `\"ecmp\"`",
            "the best path alone",
            "What we send a peer that takes several: so many of the best, every usable one, or those that we forward by ourselves (`max-paths`). Chosen before `export` has its say.",
        ),
    ]],
};

pub(crate) static PREFIX_LIMIT: Section = Section {
    header: "prefix-limit = { … }",
    doc: "Below a family; for `prefix-limit-out` too, save for `\"discard\"` and `count`.",
    keys: &[&[
        key("max", "1 to 4294967295", "required", "The limit."),
        key(
            "then",
            "`\"warn\"`, `\"discard\"`, `\"restart\"` or `\"disable\"`",
            "`\"warn\"`",
            "What happens past it: a log line; new prefixes are kept out and those that were there stay; the session ends with Cease/Maximum Number of Prefixes Reached (RFC 4486) and comes back after `restart-after`; it ends and stays down until `godwit peer enable`.",
        ),
        key(
            "restart-after",
            "duration",
            "`\"15m\"`",
            "With `restart`: how long the peer is refused. `\"1s\"` to `\"7d\"`.",
        ),
        key(
            "warn-at",
            "1 to 100",
            "`80`",
            "Per cent of `max` at which a warning is logged; and below which there is room again after `discard`.",
        ),
        key(
            "count",
            "`\"received\"` or `\"accepted\"`",
            "`\"received\"`",
            "Count all that the peer announces, or what its import policies let through.",
        ),
    ]],
};
