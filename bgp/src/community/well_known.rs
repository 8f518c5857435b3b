//! IANA "BGP Well-known Communities": those that mean the same everywhere.

/// RFC 8326.
pub const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;
/// RFC 7611.
pub const ACCEPT_OWN: u32 = 0xffff_0001;
/// RFC 9494.
pub const LLGR_STALE: u32 = 0xffff_0006;
/// RFC 9494.
pub const NO_LLGR: u32 = 0xffff_0007;
/// RFC 7999.
pub const BLACKHOLE: u32 = 0xffff_029a;
/// RFC 1997.
pub const NO_EXPORT: u32 = 0xffff_ff01;
/// RFC 1997.
pub const NO_ADVERTISE: u32 = 0xffff_ff02;
/// RFC 1997; outside a confederation the same as [`NO_EXPORT`].
pub const NO_EXPORT_SUBCONFED: u32 = 0xffff_ff03;
/// RFC 3765.
pub const NO_PEER: u32 = 0xffff_ff04;

/// Every registered one, and how it is written.
pub const NAMES: [(u32, &str); 14] = [
    (GRACEFUL_SHUTDOWN, "graceful-shutdown"),
    (ACCEPT_OWN, "accept-own"),
    (0xffff_0002, "route-filter-translated-v4"),
    (0xffff_0003, "route-filter-v4"),
    (0xffff_0004, "route-filter-translated-v6"),
    (0xffff_0005, "route-filter-v6"),
    (LLGR_STALE, "llgr-stale"),
    (NO_LLGR, "no-llgr"),
    (0xffff_0008, "accept-own-nexthop"),
    (BLACKHOLE, "blackhole"),
    (NO_EXPORT, "no-export"),
    (NO_ADVERTISE, "no-advertise"),
    (NO_EXPORT_SUBCONFED, "no-export-subconfed"),
    (NO_PEER, "no-peer"),
];

pub fn name(community: u32) -> Option<&'static str> {
    let known = NAMES.iter().find(|(value, _)| *value == community);
    known.map(|(_, name)| *name)
}

/// The community of this name, also as the RFCs spell it: `NO_EXPORT`.
pub fn value(name: &str) -> Option<u32> {
    let same = |known: &str| {
        known.len() == name.len()
            && (known.bytes().zip(name.bytes()))
                .all(|(a, b)| a == b.to_ascii_lowercase() || (a == b'-' && b == b'_'))
    };
    let known = NAMES.iter().find(|(_, known)| same(known));
    let known = known.map(|(value, _)| *value);
    known.or_else(|| same("nopeer").then_some(NO_PEER))
}
