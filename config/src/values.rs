//! Single values: what each kind looks like, and what to write instead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use godwit_bgp::{Asn, Family, InterfaceName, RouterId, SendPaths};
use godwit_policy::route::{
    AsPathPattern, AsPathPatternError, CommunityPattern, CommunityPatternError, NumberRange,
    PrefixRange,
};
use ipnet::IpNet;
use toml::de::DeValue;

use crate::model::{PeerBfdConfig, RemoteAs};
use crate::password::Password;
use crate::suggest::closest;

/// Why a value can't be taken.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub title: String,
    pub label: String,
    pub help: String,
}

impl Wrong {
    pub fn new(
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Wrong {
            title: title.into(),
            label: label.into(),
            help: help.into(),
        }
    }

    /// Another type of value is wanted.
    pub fn kind(wanted: &str, found: &DeValue<'_>, help: impl Into<String>) -> Self {
        let found = found.type_str();
        Wrong::new(
            format!("{wanted} is needed here, not {}", article(found)),
            format!("this is {}", article(found)),
            help,
        )
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

type Read<T> = Result<T, Wrong>;

pub(crate) fn string(value: &DeValue<'_>) -> Read<String> {
    str_of(value, "text", "put it into quotes").map(str::to_owned)
}

fn str_of<'v>(value: &'v DeValue<'_>, wanted: &str, help: &str) -> Read<&'v str> {
    value
        .as_str()
        .ok_or_else(|| Wrong::kind(wanted, value, help))
}

pub(crate) fn boolean(value: &DeValue<'_>) -> Read<bool> {
    value.as_bool().ok_or_else(|| {
        Wrong::kind(
            "true or false",
            value,
            "write `true` or `false`, without quotes",
        )
    })
}

/// A number within `range`.
pub(crate) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&DeValue<'_>) -> Read<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |value| {
        let help = || format!("write a number from {} to {}", range.start(), range.end());
        let number = integer(value).ok_or_else(|| Wrong::kind("a number", value, help()))?;
        number
            .and_then(|n| T::try_from(n).ok())
            .filter(|n| range.contains(n))
            .ok_or_else(|| Wrong::new("number out of range", "out of range", help()))
    }
}

/// `None`: no integer at all; `Some(None)`: one that is too large.
fn integer(value: &DeValue<'_>) -> Option<Option<i64>> {
    let integer = value.as_integer()?;
    Some(i64::from_str_radix(integer.as_str(), integer.radix()).ok())
}

/// Which paths a peer is sent (RFC 7911).
pub(crate) fn send_paths(value: &DeValue<'_>) -> Read<SendPaths> {
    const HELP: &str =
        "write a number from 1 to 256, `\"all\"`, or `\"ecmp\"` for those that we forward by";
    if let Some(text) = value.as_str() {
        return match text {
            "all" => Ok(SendPaths::All),
            "ecmp" => Ok(SendPaths::Ecmp),
            _ => Err(Wrong::new("not a choice of paths", "not known here", HELP)),
        };
    }
    let number = integer(value).ok_or_else(|| Wrong::kind("a number or a word", value, HELP))?;
    number
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n <= MAX_SEND_PATHS)
        .and_then(NonZeroU16::new)
        .map(SendPaths::Best)
        .ok_or_else(|| Wrong::new("number out of range", "out of range", HELP))
}

/// The most paths of a prefix that can be asked for by number.
pub const MAX_SEND_PATHS: u16 = 256;

/// One of a few words.
pub(crate) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&DeValue<'_>) -> Read<T> {
    word_of(words)
}

/// As [`word`], of a list made elsewhere.
pub(crate) fn word_of<T: Copy>(
    words: impl AsRef<[(&'static str, T)]>,
) -> impl Fn(&DeValue<'_>) -> Read<T> {
    move |value| {
        let words = words.as_ref();
        let known = || {
            let quoted: Vec<String> = words.iter().map(|(w, _)| format!("`\"{w}\"`")).collect();
            format!("write {}", quoted.join(" or "))
        };
        let text = str_of(value, "a word", &known())?;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let help = match closest(text, words.iter().map(|(word, _)| *word)) {
                    Some(word) => format!("did you mean `\"{word}\"`?"),
                    None => known(),
                };
                Err(Wrong::new(
                    "not one of the words that can stand here",
                    "not known",
                    help,
                ))
            }
        }
    }
}

/// `"9s"`, `"100ms"`, `"2m"`, `"1h"`, `"7d"`.
pub(crate) fn duration(value: &DeValue<'_>) -> Read<Duration> {
    const HELP: &str = "write a number and its unit in quotes: `\"9s\"`, `\"100ms\"`, `\"2m\"`, `\"1h\"`, `\"7d\"`";
    if let Some(Some(seconds)) = integer(value) {
        return Err(Wrong::new(
            "a duration needs its unit",
            "of what?",
            format!("write `\"{seconds}s\"` for seconds"),
        ));
    }
    let text = str_of(value, "a duration", HELP)?;
    let wrong = || Wrong::new("not a duration", "not a number and a unit", HELP);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(milliseconds).ok_or_else(wrong)?;
    Ok(Duration::from_millis(total))
}

/// A hold time that may stand in an OPEN (RFC 4271 §4.2).
pub(crate) fn hold_time(value: &DeValue<'_>) -> Read<Duration> {
    let time = duration(value)?;
    if hold_time_allowed(time) {
        Ok(time)
    } else {
        Err(Wrong::new(
            "not a hold time that BGP allows",
            "must be 0 s, or 3 s to 65535 s in whole seconds",
            "write `\"3s\"` or more, or `\"0s\"` to do without keepalives (RFC 4271 §4.2)",
        ))
    }
}

pub(crate) fn hold_time_allowed(time: Duration) -> bool {
    time.subsec_nanos() == 0 && matches!(time.as_secs(), 0 | 3..=65535)
}

/// A duration from `min` to `max`.
pub(crate) fn duration_within(
    min: Duration,
    max: Duration,
) -> impl Fn(&DeValue<'_>) -> Read<Duration> {
    move |value| {
        let time = duration(value)?;
        if (min..=max).contains(&time) {
            return Ok(time);
        }
        Err(Wrong::new(
            "duration out of range",
            "out of range",
            format!(
                "write one from `\"{}s\"` to `\"{}s\"`",
                min.as_secs(),
                max.as_secs()
            ),
        ))
    }
}

pub(crate) fn bfd_interval(value: &DeValue<'_>) -> Read<Duration> {
    let time = duration(value)?;
    if PeerBfdConfig::INTERVALS.contains(&time) {
        return Ok(time);
    }
    Err(Wrong::new(
        "duration out of range",
        "out of range",
        "write one from `\"10ms\"` to `\"60s\"`",
    ))
}

pub(crate) fn asn(value: &DeValue<'_>) -> Read<Asn> {
    const HELP: &str = "write the number alone, as `64512`";
    if let Some(text) = value.as_str().filter(|text| text.parse::<u32>().is_ok()) {
        return Err(quoted_asn(text));
    }
    let number = integer(value).ok_or_else(|| Wrong::kind("an AS number", value, HELP))?;
    let asn = number.and_then(|n| u32::try_from(n).ok()).ok_or_else(|| {
        Wrong::new(
            "not an AS number",
            "out of range",
            "AS numbers go from 1 to 4294967294",
        )
    })?;
    let reserved = match asn {
        0 => "0 is no AS number (RFC 7607)",
        23456 => "23456 is AS_TRANS, which stands for larger numbers (RFC 6793)",
        65535 | u32::MAX => "the last AS number of each range is reserved (RFC 7300)",
        _ => return Ok(Asn(asn)),
    };
    Err(Wrong::new(
        "an AS number that nobody can have",
        reserved,
        "use the number assigned to you, or a private one: 64512 to 65534, 4200000000 to 4294967294",
    ))
}

fn quoted_asn(text: &str) -> Wrong {
    Wrong::new(
        "an AS number has no quotes",
        "this is text",
        format!("write `{text}`"),
    )
}

pub(crate) fn remote_as(value: &DeValue<'_>) -> Read<RemoteAs> {
    const HELP: &str = "write a number, `\"external\"` (any AS but ours) or `\"internal\"` (ours)";
    match value.as_str() {
        Some("external") => Ok(RemoteAs::External),
        Some("internal") => Ok(RemoteAs::Internal),
        Some(text) if text.parse::<u32>().is_ok() => Err(quoted_asn(text)),
        Some(text) => Err(Wrong::new(
            "not an AS",
            "not known",
            match closest(text, ["external", "internal"]) {
                Some(word) => format!("did you mean `\"{word}\"`?"),
                None => HELP.to_owned(),
            },
        )),
        None if value.is_integer() => asn(value).map(RemoteAs::Asn),
        None => Err(Wrong::kind("an AS", value, HELP)),
    }
}

/// A BGP identifier or cluster id (RFC 6286).
pub(crate) fn router_id(value: &DeValue<'_>) -> Read<RouterId> {
    const HELP: &str = "write four numbers in quotes, as an IPv4 address: `\"10.0.0.11\"`";
    let text = str_of(value, "an id", HELP)?;
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| Wrong::new("not an id", "not in the form of an IPv4 address", HELP))?;
    if address.is_unspecified() {
        return Err(Wrong::new(
            "an id may not be zero",
            "zero (RFC 6286 §2.1)",
            "use an IPv4 address of this host",
        ));
    }
    Ok(RouterId::from(address))
}

pub(crate) fn address(value: &DeValue<'_>) -> Read<IpAddr> {
    const HELP: &str = "write an address in quotes: `\"10.0.0.254\"` or `\"fd00::1\"`";
    let text = str_of(value, "an address", HELP)?;
    let wrong = |label: &str, help: &str| Wrong::new("not an address", label, help);
    if text.contains('/') {
        return Err(wrong("this is a prefix", "leave the length out"));
    }
    let address: IpAddr = text
        .parse()
        .map_err(|_| wrong("neither IPv4 nor IPv6", HELP))?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(Wrong::new(
            "an IPv4 address in IPv6 form",
            "mapped",
            format!("write `\"{}\"`", address.to_canonical()),
        )),
        _ => Ok(address),
    }
}

/// An address that one neighbour can have.
pub(crate) fn unicast(value: &DeValue<'_>) -> Read<IpAddr> {
    let address = address(value)?;
    match (address, no_neighbour(&address)) {
        (IpAddr::V6(a), _) if a.is_unicast_link_local() => Err(Wrong::new(
            "a link-local address alone names no neighbour",
            "means nothing without an interface",
            "write `interface = \"NAME\"` instead: the neighbour there is found by its router advertisements",
        )),
        (_, Some(label)) => Err(Wrong::new(
            "no neighbour can have this address",
            label,
            "write the neighbour's own address",
        )),
        _ => Ok(address),
    }
}

/// The interface that names a peer.
pub(crate) fn peer_interface(value: &DeValue<'_>) -> Read<InterfaceName> {
    let name = interface(value)?;
    let odd = |label: &str, help: String| Wrong::new("not the name of an interface", label, help);
    if name.parse::<IpAddr>().is_ok() {
        let help = format!("write `address = \"{name}\"` for the neighbour of that address");
        return Err(odd("an address", help));
    }
    let help = "the `%` would make `fe80::1%NAME` ambiguous: give it another name";
    name.parse()
        .map_err(|()| odd("cannot name a peer", help.to_owned()))
}

/// Why no neighbour can have this address.
pub(crate) fn no_neighbour(address: &IpAddr) -> Option<&'static str> {
    match address {
        a if a.is_unspecified() => Some("unspecified"),
        a if a.is_multicast() => Some("multicast"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("broadcast"),
        IpAddr::V6(a) if a.is_unicast_link_local() => Some("link-local, without an interface"),
        _ => None,
    }
}

/// The name of a network interface; it need not be there yet.
pub(crate) fn interface(value: &DeValue<'_>) -> Read<String> {
    const HELP: &str = "write its name in quotes, as `ip link` shows it: `\"eth0\"`";
    let name = str_of(value, "the name of an interface", HELP)?;
    interface_name(name)
        .map(|()| name.to_owned())
        .map_err(|label| Wrong::new("not the name of an interface", label, HELP))
}

/// Whether Linux can have an interface of this name; else why not.
pub fn interface_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" | "." | ".." => Err("no interface has this name"),
        // IFNAMSIZ, with the zero behind it.
        _ if name.len() > 15 => Err("longer than 15 bytes"),
        _ if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c == '\0') => {
            Err("a character that no name has")
        }
        _ => Ok(()),
    }
}

/// Hops, 0 for `false`.
pub(crate) fn ttl_security(value: &DeValue<'_>) -> Read<u8> {
    match value.as_bool() {
        Some(on) => Ok(on.into()),
        None if value.is_integer() => number(1..=254)(value),
        None => Err(Wrong::kind(
            "true, false or a number of hops",
            value,
            "write `true` for a neighbour on the link, or the hops to it at most",
        )),
    }
}

/// The key that a file holds.
pub(crate) fn password_file(value: &DeValue<'_>) -> Read<Password> {
    let help = "write the path of a file that holds the key: the key itself never stands here";
    let path = str_of(value, "the path of a file", help)?;
    Password::read(Path::new(path))
        .map_err(|e| Wrong::new("this password file can't be used", e.what, e.help))
}

pub(crate) fn prefix(value: &DeValue<'_>) -> Read<IpNet> {
    const HELP: &str = "write address and length in quotes: `\"10.244.1.0/24\"`";
    let text = str_of(value, "a prefix", HELP)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(Wrong::new(
            "a prefix needs its length",
            "an address alone",
            format!("write `\"{}\"` for it alone", IpNet::from(address)),
        ));
    }
    let net: IpNet = text.parse().map_err(|_| no_prefix(text, HELP))?;
    if net != net.trunc() {
        return Err(Wrong::new(
            "bits beyond the prefix length are set",
            format!("not zero behind bit {}", net.prefix_len()),
            format!("write `\"{}\"`", net.trunc()),
        ));
    }
    Ok(net)
}

/// What of a prefix is wrong, the address or the length.
fn no_prefix(text: &str, help: &str) -> Wrong {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(address, length)| {
        let length = length
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then_some(length)?;
        Some((address.parse::<IpAddr>().ok(), length))
    });
    match parts {
        Some((Some(address), length)) if !length.is_empty() => {
            let most = if address.is_ipv4() { 32 } else { 128 };
            Wrong::new(
                "not a prefix",
                format!("no length of {length}"),
                format!("lengths of such an address go from 0 to {most}"),
            )
        }
        _ => Wrong::new("not a prefix", "not address/length", help),
    }
}

pub(crate) fn prefix_range(value: &DeValue<'_>) -> Read<PrefixRange> {
    const HELP: &str = "write `\"10.0.0.0/8\"`, `\"10.0.0.0/8+\"` (it and all inside) or `\"10.0.0.0/8{16,24}\"` (lengths 16 to 24)";
    let text = str_of(value, "a prefix", HELP)?;
    text.parse()
        .map_err(|error: godwit_policy::route::PrefixRangeError| {
            let message = error.to_string();
            match message.split_once(": ") {
                Some((title, help)) => Wrong::new(title, "", help),
                None => Wrong::new("not a prefix or range", "", message),
            }
        })
}

pub(crate) fn community_pattern(value: &DeValue<'_>) -> Read<CommunityPattern> {
    let text = str_of(value, "a community", "put it into quotes: `\"64512:100\"`")?;
    text.parse().map_err(|error: CommunityPatternError| {
        let message = error.to_string();
        let (title, help) = message.split_once(": ").unwrap_or((&message, ""));
        match error {
            CommunityPatternError::Unknown => match too_large(text) {
                Some(wrong) => wrong,
                None => Wrong::new(title, "not a community", help),
            },
            CommunityPatternError::Regex(why) => {
                Wrong::new(title, why, "write it as `/^64512:1..$/`")
            }
        }
    })
}

/// Two numbers, one of which only a large community has room for.
fn too_large(text: &str) -> Option<Wrong> {
    let (who, what) = text.split_once(':')?;
    let (who, what): (u32, u32) = (who.parse().ok()?, what.parse().ok()?);
    let larger = [who, what].into_iter().find(|n| *n > 65535)?;
    Some(Wrong::new(
        "not a community",
        format!("{larger} is more than 65535"),
        format!("a large community has three numbers of 32 bits: `\"{who}:0:{what}\"`"),
    ))
}

pub(crate) fn as_path_pattern(value: &DeValue<'_>) -> Read<AsPathPattern> {
    const HELP: &str = "write it into quotes: `\"^65001 .* 65010$\"`";
    let text = str_of(value, "a pattern over AS paths", HELP)?;
    text.parse().map_err(|error: AsPathPatternError| {
        let part = text.get(error.at.start..).unwrap_or_default();
        let label = match part.is_empty() || error.at.start == 0 {
            true => String::new(),
            false => format!("at `{part}`"),
        };
        Wrong::new(
            format!("not a pattern over AS paths: {}", error.what),
            label,
            error.help,
        )
    })
}

/// A number, `"2-5"`, or `{ min = 2, max = 5 }`.
pub(crate) fn number_range(value: &DeValue<'_>) -> Read<NumberRange> {
    const HELP: &str =
        "write a number, `\"2-5\"`, or `{ min = 2, max = 5 }`, of which one may be left out";
    let number = number(0..=u32::MAX);
    match value {
        DeValue::Table(table) => {
            let mut range = NumberRange::ALL;
            for (key, value) in table.iter() {
                let end = match key.get_ref().as_ref() {
                    "min" => &mut range.min,
                    "max" => &mut range.max,
                    other => {
                        let title = format!("unknown key `{other}`");
                        return Err(Wrong::new(title, "not known here", HELP));
                    }
                };
                *end = number(value.get_ref())?;
            }
            match (table.is_empty(), range.min <= range.max) {
                (true, _) => Err(Wrong::new("a range of nothing", "no `min`, no `max`", HELP)),
                (_, true) => Ok(range),
                (_, false) => Err(Wrong::new(
                    "`min` is above `max`",
                    "nothing fits",
                    "swap them",
                )),
            }
        }
        value if value.is_integer() => number(value).map(NumberRange::one),
        value => range_text(value, "a number or a range", HELP),
    }
}

/// A number, or `"64512-65534"`.
pub(crate) fn asn_range(value: &DeValue<'_>) -> Read<NumberRange> {
    match value.is_integer() {
        true => asn(value).map(|asn| NumberRange::one(asn.0)),
        false => range_text(
            value,
            "an AS number",
            "write a number, or several as `\"64512-65534\"`",
        ),
    }
}

fn range_text(value: &DeValue<'_>, wanted: &str, help: &str) -> Read<NumberRange> {
    let range = str_of(value, wanted, help)?.parse::<NumberRange>();
    range.map_err(|_| Wrong::new("not a range of numbers", "", help))
}

pub(crate) fn family(value: &DeValue<'_>) -> Read<Family> {
    word(&[
        ("ipv4-unicast", Family::Ipv4Unicast),
        ("ipv6-unicast", Family::Ipv6Unicast),
    ])(value)
}

/// `address`, `address:port`, `[v6]`, `[v6]:port`.
pub(crate) fn listener(value: &DeValue<'_>) -> Read<SocketAddr> {
    const HELP: &str = "write `\"0.0.0.0:179\"` or `\"[::]:179\"`; the port may be left out";
    let text = str_of(value, "an address to listen on", HELP)?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .map_or_else(
            || text.parse::<IpAddr>().ok(),
            |inner| inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        );
    let socket = bare
        .map(|address| SocketAddr::new(address, 179))
        .or_else(|| text.parse().ok())
        .ok_or_else(|| Wrong::new("not an address to listen on", "not address:port", HELP))?;
    if socket.port() == 0 {
        return Err(Wrong::new("no port to listen on", "port 0", HELP));
    }
    Ok(socket)
}

/// `"main"` or a number.
pub(crate) fn kernel_table(value: &DeValue<'_>) -> Read<u32> {
    const HELP: &str = "write `\"main\"` or the number of a table, 1 to 4294967295";
    let table = match value.as_str() {
        Some("main") => Some(254),
        Some(text) => {
            return Err(Wrong::new(
                format!("no routing table is known as `{text}`"),
                "not known",
                match closest(text, ["main"]) {
                    Some(word) => format!("did you mean `\"{word}\"`?"),
                    None => HELP.to_owned(),
                },
            ));
        }
        None => integer(value)
            .ok_or_else(|| Wrong::kind("a routing table", value, HELP))?
            .and_then(|n| u32::try_from(n).ok()),
    };
    match table {
        Some(255) => Err(Wrong::new("table 255 is the kernel's own", "`local`", HELP)),
        Some(table) if table > 0 => Ok(table),
        _ => Err(Wrong::new("not a routing table", "out of range", HELP)),
    }
}

/// A route protocol number that nobody else uses: what carries it is ours.
pub(crate) fn kernel_protocol(value: &DeValue<'_>) -> Read<u8> {
    const OTHERS: [(u8, &str); 20] = [
        (0, "unspecified"),
        (1, "redirects"),
        (2, "the kernel"),
        (3, "boot"),
        (4, "an administrator (static)"),
        (8, "gated"),
        (9, "router advertisements"),
        (11, "zebra"),
        (12, "BIRD"),
        (15, "ntk"),
        (16, "DHCP"),
        (17, "mrouted"),
        (18, "keepalived"),
        (42, "babel"),
        (99, "openr"),
        (186, "FRR (bgp)"),
        (187, "FRR (isis)"),
        (188, "FRR (ospf)"),
        (189, "FRR (rip)"),
        (192, "FRR (eigrp)"),
    ];
    let protocol = number(0..=255)(value)?;
    match OTHERS.iter().find(|(number, _)| *number == protocol) {
        Some((_, name)) => Err(Wrong::new(
            "this protocol number belongs to another program",
            format!("of {name}"),
            "leave it out for 103, or choose one that nothing else on the host uses",
        )),
        None => Ok(protocol),
    }
}
