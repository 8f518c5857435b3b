//! Every section and key: what the reader takes, what it says about the rest,
//! and what the reference prints.

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Section {
    /// As one writes it.
    pub header: &'static str,
    pub doc: &'static str,
    pub keys: &'static [&'static [Key]],
}

#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    /// What its value looks like; empty for a key that is planned.
    pub value: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    pub status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Built,
    /// A table with a section of its own.
    Table,
    /// Known, but not in this version.
    Planned,
}

impl Section {
    pub fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().flat_map(|keys| keys.iter())
    }

    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.all_keys().find(|key| key.name == name)
    }
}

const fn key(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        name,
        value,
        default,
        doc,
        status: Status::Built,
    }
}

const fn table(name: &'static str) -> Key {
    Key {
        name,
        value: "",
        default: "",
        doc: "",
        status: Status::Table,
    }
}

const fn planned(name: &'static str) -> Key {
    Key {
        name,
        value: "",
        default: "",
        doc: "",
        status: Status::Planned,
    }
}

pub(crate) static ROOT: Section = Section {
    header: "",
    doc: "",
    keys: &[&[
        table("router"),
        table("originate"),
        table("aggregate"),
        table("peer-group"),
        table("peer"),
        table("policy"),
        table("fib"),
        table("next-hop"),
        table("api"),
        table("log"),
        planned("node"),
        planned("host"),
        planned("store"),
        planned("ipam"),
        planned("network-policy"),
        planned("metrics"),
    ]],
};

pub(crate) static ROUTER: Section = Section {
    header: "[router]",
    doc: "Who we are. Required.",
    keys: &[&[
        key(
            "asn",
            "number",
            "required",
            "Our AS number, 1 to 4294967294.",
        ),
        key(
            "router-id",
            "`\"10.0.0.11\"`",
            "the source address of the default route when first started, then kept",
            "Our BGP identifier, any non-zero number written as an IPv4 address (RFC 6286). Required on hosts without IPv4.",
        ),
        key(
            "listen",
            "list of `\"address:port\"`",
            "`[\"0.0.0.0:179\", \"[::]:179\"]`",
            "Where we accept sessions; the port may be left out. `[::]` is IPv6 only. An empty list accepts none.",
        ),
        key(
            "cluster-id",
            "`\"10.0.0.1\"`",
            "the router id",
            "Our cluster as a route reflector (RFC 4456); alike on the reflectors of one cluster.",
        ),
        key(
            "multipath-relax",
            "boolean",
            "`false`",
            "ECMP over paths of equal length through different AS, as from two ToRs of different AS.",
        ),
        key(
            "link-bandwidth",
            "`\"use\"` or `\"ignore\"`",
            "`\"use\"`",
            "Share traffic over the paths of one ECMP route in the ratio of their link bandwidth communities, where all of them carry one.",
        ),
        key(
            "update-delay",
            "duration",
            "`\"0s\"`",
            "After a start, hold back everything that would be announced until every configured peer has sent its End-of-RIB, at most this long, to `\"1h\"`: for reflectors, that they don't announce a choice from half of the routes. What is received goes into the kernel all the same.",
        ),
        key(
            "max-paths",
            "1 to 256",
            "`16`",
            "Paths of one ECMP route at most.",
        ),
        key(
            "max-paths-external",
            "1 to 256",
            "`max-paths`",
            "The same, for external paths.",
        ),
        key(
            "max-paths-internal",
            "1 to 256",
            "`max-paths`",
            "The same, for internal paths.",
        ),
        key(
            "connection-rate",
            "0 to 10000",
            "`10`",
            "New connections a second that one address may open to us, ten times as many at once; more are closed unanswered. An IPv6 stranger's address counts as its /64. 0: no limit.",
        ),
    ]],
};

pub(crate) static ORIGINATE: Section = Section {
    header: "[[originate]]",
    doc: "A prefix that we announce. One table each.",
    keys: &[&[
        key("prefix", "prefix", "required", "What to announce."),
        key(
            "blackhole",
            "boolean",
            "`false`",
            "The kernel gets a blackhole route for it, so that addresses of it without a more specific route don't leave by the default route.",
        ),
    ]],
};

pub(crate) static AGGREGATE: Section = Section {
    header: "[[aggregate]]",
    doc: "A prefix that we announce while some route is within it: of our own AS, without an AS_SET (RFC 9774). One table each.",
    keys: &[&[
        key("prefix", "prefix", "required", "What to announce."),
        key(
            "summary-only",
            "boolean",
            "`false`",
            "Announce it instead of what is within it.",
        ),
        key(
            "blackhole",
            "boolean",
            "`true`",
            "The kernel drops what none of the routes within it takes.",
        ),
    ]],
};

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
        "Neighbours of a `range` at most; more are refused with Cease/Connection Rejected.",
    ),
    planned("interface"),
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
    planned("bfd"),
    planned("graceful-restart"),
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
static PATH: Section = Section {
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
            "How many prefixes the peer may announce, see below.",
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

pub(crate) static POLICY: Section = Section {
    header: "[policy]",
    doc: "",
    keys: &[&[
        table("prefix-set"),
        table("community-set"),
        table("as-path-set"),
        table("route"),
    ]],
};

pub(crate) static RULE: Section = Section {
    header: "[[policy.route.NAME]]",
    doc: "A rule of the routing policy NAME; rules are tried in the order of the file. Built in: `accept-all`, `reject-all`. All of it: [policy.md](policy.md).",
    keys: &[&[
        key(
            "match",
            "table",
            "every route",
            "Conditions, all of which must hold.",
        ),
        key(
            "unless",
            "table",
            "none",
            "Conditions, none of which may hold; the same keys.",
        ),
        key(
            "set",
            "table",
            "nothing",
            "What to change; later conditions see it.",
        ),
        key(
            "call",
            "name",
            "none",
            "Goes through another policy, after `set`. What that accepts or rejects is decided; falling off its end and `next` come back to this rule's `then`.",
        ),
        key(
            "then",
            "`\"accept\"`, `\"reject\"` or `\"next\"`",
            "the next rule, keeping what was set",
            "`next`, as falling off the end, goes on with the next policy of the peer's list. The end of the list rejects.",
        ),
    ]],
};

pub(crate) static MATCH: Section = Section {
    header: "match = { … }, unless = { … }",
    doc: "Below a rule. A list holds when one of it does.",
    keys: &[&[
        key(
            "prefix-set",
            "name or list",
            "any",
            "The prefix is in this `[policy.prefix-set]`.",
        ),
        key(
            "family",
            "`\"ipv4-unicast\"` or `\"ipv6-unicast\"`",
            "any",
            "The route is of this family.",
        ),
        key(
            "community",
            "community or list",
            "any",
            "The route carries one of these: `\"64512:100\"`, `\"64512:1:2\"`, `\"rt:64512:7\"`, `\"no-export\"` and the like, `\"64512:*\"`, `\"64512:100-199\"`, `\"rt:*\"`, `\"/^64512:1..$/\"`, or names of `[policy.community-set]`.",
        ),
        key(
            "community-all",
            "community or list",
            "any",
            "The route carries one for each of these.",
        ),
        key(
            "as-path",
            "pattern or list",
            "any",
            "The AS path fits: `\"_65001_\"`, `\"^65001 .* 65010$\"`, `\"^$\"`, or names of `[policy.as-path-set]`.",
        ),
        key(
            "as-path-length",
            "number, `\"2-5\"` or `{ min, max }`",
            "any",
            "Numbers of the AS path; a set counts as one.",
        ),
        key(
            "origin-as",
            "number, `\"64512-65534\"` or list",
            "any",
            "The AS path ends with one of these.",
        ),
        key(
            "first-as",
            "number, `\"64512-65534\"` or list",
            "any",
            "The AS path begins with one of these.",
        ),
        key(
            "next-hop",
            "address, prefix, name of a prefix set or list",
            "any",
            "The next hop is, or lies in, one of these.",
        ),
        key(
            "origin",
            "`\"igp\"`, `\"egp\"`, `\"incomplete\"` or list",
            "any",
            "ORIGIN.",
        ),
        key(
            "med",
            "number, `\"2-5\"` or `{ min, max }`",
            "any",
            "MULTI_EXIT_DISC; none counts as 0.",
        ),
        key(
            "local-pref",
            "number, `\"2-5\"` or `{ min, max }`",
            "any",
            "LOCAL_PREF; none counts as 100.",
        ),
        key(
            "weight",
            "number, `\"2-5\"` or `{ min, max }`",
            "any",
            "Our own weight of the route.",
        ),
        key(
            "source",
            "word, address, AS number, `\"group:NAME\"` or list",
            "any",
            "Where the route comes from: `\"local\"`, `\"aggregate\"`, `\"external\"`, `\"internal\"` (clients too), `\"client\"`, or from which peer. On import that is the peer itself.",
        ),
        key(
            "neighbour",
            "address, AS number, `\"group:NAME\"` or list",
            "any",
            "The peer that the session is with: on export the one that the route goes to.",
        ),
        key(
            "interface",
            "name or list",
            "any",
            "The peer is on this interface.",
        ),
    ]],
};

pub(crate) static SET: Section = Section {
    header: "set = { … }",
    doc: "Below a rule.",
    keys: &[&[
        key(
            "local-pref",
            "number, `\"+10\"` or `\"-10\"`",
            "as it is",
            "LOCAL_PREF; higher wins. Where there is none, 100 is what changes.",
        ),
        key(
            "med",
            "number, `\"+10\"` or `\"-10\"`",
            "as it is",
            "MULTI_EXIT_DISC; lower wins.",
        ),
        key(
            "origin",
            "`\"igp\"`, `\"egp\"` or `\"incomplete\"`",
            "as it is",
            "ORIGIN.",
        ),
        key(
            "community-set",
            "list of communities",
            "as they are",
            "Replaces all communities of every kind; `[]` removes them.",
        ),
        key(
            "community-remove",
            "list of communities",
            "none",
            "Removes these; wildcards as in `match`.",
        ),
        key(
            "community-add",
            "list of communities",
            "none",
            "Adds these, of any kind.",
        ),
        key(
            "next-hop",
            "`\"self\"`, `\"peer-address\"` or address",
            "as it is",
            "`self`: our own address on the session. `peer-address`: on import the neighbour's, on export ours. An address counts for routes of its family.",
        ),
        key(
            "prepend",
            "count or list of AS numbers",
            "nothing",
            "Puts our AS number this many times, or these numbers, before the AS path; 32 at most.",
        ),
        key(
            "weight",
            "number, `\"+10\"` or `\"-10\"`",
            "as it is",
            "On import: looked at before LOCAL_PREF; higher wins. Nobody is told.",
        ),
        key(
            "kernel-table",
            "`\"main\"` or number",
            "`[fib] table`",
            "On import: the routing table.",
        ),
        key(
            "kernel-metric",
            "257 to 4294967295",
            "`[fib] metric`",
            "On import: the metric in the kernel.",
        ),
        key(
            "preferred-source",
            "address, or one of each family",
            "the kernel's choice",
            "On import: the source address of our own packets that take the route.",
        ),
        key(
            "blackhole",
            "boolean",
            "`false`",
            "On import: the kernel drops what goes there.",
        ),
    ]],
};

pub(crate) static FIB: Section = Section {
    header: "[fib]",
    doc: "Routes in the kernel.",
    keys: &[&[
        key(
            "enabled",
            "boolean",
            "`true`",
            "`false` on a pure reflector.",
        ),
        key(
            "table",
            "`\"main\"` or number",
            "`\"main\"`",
            "The routing table.",
        ),
        key(
            "metric",
            "257 to 4294967295",
            "`10103`",
            "Of every route of ours. Unusual on purpose: a foreign route of equal metric would be overwritten, and IPv6 metrics to 256 would beat connected routes.",
        ),
        key(
            "protocol",
            "5 to 255",
            "`103`",
            "Our own number on every route and nexthop object; what carries it is ours to change and remove.",
        ),
        key(
            "on-stop",
            "`\"keep\"` or `\"remove\"`",
            "`\"keep\"`",
            "What becomes of our routes when the daemon stops.",
        ),
        planned("wait-for-kernel"),
    ]],
};

pub(crate) static NEXT_HOP: Section = Section {
    header: "[next-hop]",
    doc: "When a next hop is usable.",
    keys: &[&[
        key(
            "require",
            "boolean",
            "as `[fib] enabled`",
            "A path whose next hop the kernel can't reach is not used.",
        ),
        key(
            "via-default",
            "boolean",
            "`true`",
            "A default route may resolve a next hop.",
        ),
    ]],
};

pub(crate) static API: Section = Section {
    header: "[api]",
    doc: "The gRPC API.",
    keys: &[&[
        key(
            "unix",
            "path",
            "`\"/run/godwit/godwit.sock\"`",
            "Its socket, mode 0660.",
        ),
        key(
            "group",
            "name",
            "`\"godwit\"`",
            "The system group that may use it; where there is no such group, root alone.",
        ),
        key(
            "changes",
            "`\"keep\"`, `\"write\"` or `\"forget\"`",
            "`\"keep\"`",
            "What becomes of peers and routes that are changed by command: kept in the state directory and made again after a restart, written into this file (its comments stay), or gone with the process.",
        ),
        planned("tcp"),
    ]],
};

pub(crate) static LOG: Section = Section {
    header: "[log]",
    doc: "Logs go to standard error.",
    keys: &[&[
        key(
            "level",
            "text",
            "`\"info\"`",
            "`error`, `warn`, `info`, `debug` or `trace`, and others for parts: `\"info,godwit_rib=debug\"`.",
        ),
        key(
            "format",
            "`\"text\"` or `\"json\"`",
            "`\"text\"`",
            "For people or for programs.",
        ),
    ]],
};

/// In the order of the reference.
pub(crate) static SECTIONS: &[&Section] = &[
    &ROUTER,
    &ORIGINATE,
    &AGGREGATE,
    &PEER,
    &PEER_GROUP,
    &PATH,
    &LOCAL_AS,
    &FAMILY,
    &DEFAULT_ORIGINATE,
    &PREFIX_LIMIT,
    &ADD_PATH,
    &RULE,
    &MATCH,
    &SET,
    &FIB,
    &NEXT_HOP,
    &API,
    &LOG,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values of every key that a group can have.
    fn two_values(key: &str) -> [&'static str; 2] {
        match key {
            "remote-as" => ["65001", "'external'"],
            "hold-time" => ["'30s'", "'60s'"],
            "keepalive" => ["'2s'", "'3s'"],
            "connect-retry" | "refresh-timeout" => ["'20s'", "'30s'"],
            "send-hold-time" => ["'10m'", "'20m'"],
            "passive" | "disabled" | "next-hop-self" => ["true", "false"],
            "default-originate" => ["true", "false"],
            "as-override" | "enforce-first-as" | "role-strict" => ["true", "false"],
            "blackhole-community" | "graceful-shutdown" | "extended-next-hop" => ["true", "false"],
            "local-as" => ["65010", "65011"],
            "allow-as-in" | "max-as-path-length" | "weight" => ["2", "5"],
            "remove-private-as" => ["true", "'all'"],
            "as-set" => ["'withdraw'", "'accept'"],
            "role" => ["'customer'", "'provider'"],
            "send-communities" => ["['standard']", "['large']"],
            "port" => ["1179", "2179"],
            "local-address" => ["'10.0.0.8'", "'10.0.0.9'"],
            "multihop" => ["2", "3"],
            "local-interface" => ["'eth0'", "'eth1'"],
            "ttl-security" => ["true", "false"],
            "password-file" => ["'@one'", "'@two'"],
            // Internal peers only, which the rows' others are not.
            "route-reflector-client" => ["true", "false"],
            "import" | "export" => ["['accept-all']", "['reject-all']"],
            other => panic!("add two values of `{other}` here"),
        }
    }

    #[test]
    fn a_peer_overrides_each_key_of_its_group() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            std::fs::write(directory.path().join(name), name).unwrap();
        }
        let files = format!("{}/", directory.path().display());
        let peer = |key: &str, group: &str, own: &str| {
            let with = |value: &str| match value {
                "" => String::new(),
                value => format!("{key} = {}\n", value.replace('@', &files)),
            };
            let asn = match key {
                "remote-as" => "",
                "route-reflector-client" => "remote-as = 'internal'\n",
                "role-strict" => "remote-as = 65002\nrole = 'customer'\n",
                _ => "remote-as = 65002\n",
            };
            let text = format!(
                "[router]\nasn = 64512\n[peer-group.g]\n{asn}{}\
                 [[peer]]\naddress = '10.0.0.1'\ngroup = 'g'\n{}",
                with(group),
                with(own)
            );
            crate::parse("x", &text)
                .unwrap_or_else(|e| panic!("{text}\n{e}"))
                .peers[0]
                .clone()
        };
        for key in PEER_GROUP.all_keys().filter(|k| k.status == Status::Built) {
            let [a, b] = two_values(key.name);
            assert_ne!(peer(key.name, "", a), peer(key.name, "", b), "{}", key.name);
            for (group, own) in [(a, b), (b, a)] {
                let inherited = peer(key.name, group, "");
                assert_eq!(inherited, peer(key.name, "", group), "{}", key.name);
                let overridden = peer(key.name, group, own);
                assert_eq!(overridden, peer(key.name, "", own), "{}", key.name);
            }
        }
    }

    /// A value of a type that no key takes: who reads the key says so. A key
    /// that nobody reads would be taken in silence.
    #[test]
    fn every_key_of_the_schema_is_read() {
        let places: &[(&Section, &str, &str)] = &[
            (&ROUTER, "[router]\n", ""),
            (&ORIGINATE, "[[originate]]\n", ""),
            (&AGGREGATE, "[[aggregate]]\n", ""),
            (
                &DEFAULT_ORIGINATE,
                "[peer-group.g]\ndefault-originate = { ",
                " }",
            ),
            (&PEER, "[[peer]]\n", ""),
            (&PEER_GROUP, "[peer-group.g]\n", ""),
            (&LOCAL_AS, "[[peer]]\nlocal-as = { ", " }"),
            (&FAMILIES, "[peer-group.g.family]\n", ""),
            (&FAMILY, "[peer-group.g.family.ipv6-unicast]\n", ""),
            (
                &PREFIX_LIMIT,
                "[peer-group.g.family.ipv6-unicast]\nprefix-limit = { ",
                " }",
            ),
            (
                &ADD_PATH,
                "[peer-group.g.family.ipv6-unicast]\nadd-path = { ",
                " }",
            ),
            (&POLICY, "[policy]\n", ""),
            (&RULE, "[[policy.route.p]]\n", ""),
            (&MATCH, "[[policy.route.p]]\nmatch = { ", " }"),
            (&SET, "[[policy.route.p]]\nset = { ", " }"),
            (&FIB, "[fib]\n", ""),
            (&NEXT_HOP, "[next-hop]\n", ""),
            (&API, "[api]\n", ""),
            (&LOG, "[log]\n", ""),
            (&ROOT, "", ""),
        ];
        for (section, before, after) in places {
            for key in section.all_keys().filter(|k| k.status != Status::Planned) {
                let text = format!("{before}{} = 1979-05-27{after}", key.name);
                let said = crate::parse("x", &text).expect_err(&text).to_string();
                assert!(said.contains("not a datetime"), "{text}\n{said}");
            }
        }
    }
}
