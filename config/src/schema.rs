//! Every section and key: what the reader takes, what it says about the rest,
//! and what the reference prints.

mod peer;
mod policy;
#[cfg(test)]
mod tests;

use peer::PATH;
pub(crate) use peer::{
    ADD_PATH, DEFAULT_ORIGINATE, FAMILIES, FAMILY, LOCAL_AS, PEER, PEER_BFD, PEER_GROUP,
    PREFIX_LIMIT,
};
pub(crate) use policy::{MATCH, POLICY, RULE, SET};

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
        table("bfd"),
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
            "establish-wait",
            "duration",
            "`update-delay`",
            "Of that time, how long sessions have to come up, at most all of it: a peer that is not Established by then is not waited for.",
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
            "New connections a second that one address may open to us, ten times as many at once; more are closed unanswered. An IPv6 address that no peer and no `range` covers counts as its /64. 0: no limit.",
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

pub(crate) static BFD: Section = Section {
    header: "[bfd]",
    doc: "The process `godwitd bfd`, which keeps the sessions of peers with `bfd`.",
    keys: &[&[
        key(
            "socket",
            "path",
            "`\"/run/godwit/bfd.sock\"`",
            "Where it is reached: its `--socket`.",
        ),
        key(
            "hold",
            "duration",
            "`\"120s\"`",
            "How long it keeps the sessions when this daemon is gone without a word: long enough for a restart. `\"0s\"` to `\"1h\"`.",
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
    &PEER_BFD,
    &DEFAULT_ORIGINATE,
    &PREFIX_LIMIT,
    &ADD_PATH,
    &RULE,
    &MATCH,
    &SET,
    &FIB,
    &NEXT_HOP,
    &BFD,
    &API,
    &LOG,
];
