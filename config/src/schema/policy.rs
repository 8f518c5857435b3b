//! Keys of routing policies.

use super::{Section, key, table};

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
