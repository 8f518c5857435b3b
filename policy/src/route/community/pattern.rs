//! One pattern over communities.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use godwit_bgp::community::{Community, ExtCommunity, Ipv6ExtCommunity, well_known};
use regex::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;

use super::super::NumberRange;

/// Which communities are meant. As text, any of
///
/// | text | what |
/// |---|---|
/// | `64512:100`, `no-export`, `64512:1:2`, `rt:64512:7`, `rt:[2001:db8::1]:7` | that one |
/// | `64512:*`, `64512:100-199`, `*:666`, `64512-64515:*` | standard ones |
/// | `64512:*:*`, `64512:1-9:*` | large ones |
/// | `rt:*`, `soo:*` | every route target or route origin |
/// | `rt:64512:*`, `rt:64512:100-199`, `rt:10.0.0.1:*`, `rt:[2001:db8::1]:*` | some of them |
/// | `bandwidth:*`, `color:*`, … | every extended one of that name |
/// | `/^64512:1..$/` | whose text the regular expression finds |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CommunityPattern {
    Exactly(Community),
    Standard([NumberRange; 2]),
    Large([NumberRange; 3]),
    /// Route targets or origins, of an AS (in either encoding) or an IPv4
    /// address; `None`: of anyone, IPv6 addresses included.
    Administered {
        name: Administered,
        who: Option<Administrator>,
        number: NumberRange,
    },
    /// Extended ones by how their text begins.
    Named(&'static str),
    Regex(CommunityRegex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Administered {
    RouteTarget,
    RouteOrigin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Administrator {
    As(NumberRange),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// A regular expression over the text of a community, as `route show` prints it;
/// well-known ones are found by name and by number.
#[derive(Clone, Debug)]
pub struct CommunityRegex(Regex);

/// Why a text is no pattern over communities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommunityPatternError {
    Unknown,
    Regex(String),
}

/// Extended communities that only go by their name.
const NAMED: [&str; 7] = [
    "bandwidth",
    "transitive-bandwidth",
    "validation",
    "color",
    "encapsulation",
    "opaque",
    "local-opaque",
];

/// Compiled, in bytes: enough for what people write, and no more.
pub(super) const REGEX_SIZE: usize = 1 << 18;

impl CommunityRegex {
    fn new(text: &str) -> Result<CommunityRegex, CommunityPatternError> {
        // Texts of communities are ASCII: without Unicode tables, `\d` is [0-9].
        let regex = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(REGEX_SIZE)
            .dfa_size_limit(REGEX_SIZE)
            .build();
        let message = |e: regex::Error| {
            let text = e.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        };
        regex
            .map(CommunityRegex)
            .map_err(|e| CommunityPatternError::Regex(message(e)))
    }

    pub(super) fn text(&self) -> &str {
        self.0.as_str()
    }

    fn finds(&self, community: Community) -> bool {
        any_text(community, |text| self.0.is_match(text))
    }
}

/// Asks about the community's text; of one with a name, about that and its
/// numbers.
pub(super) fn any_text(community: Community, found: impl Fn(&[u8]) -> bool) -> bool {
    let mut text = Text::default();
    let named = match community {
        Community::Standard(c) => well_known::name(c.0),
        _ => None,
    };
    // Writing into memory does not fail.
    let _ = match community {
        Community::Standard(c) => write!(text, "{}:{}", c.0 >> 16, c.0 & 0xffff),
        other => write!(text, "{other}"),
    };
    named.is_some_and(|name| found(name.as_bytes())) || found(&text.0)
}

/// The longest text of a community fits.
#[derive(Default)]
struct Text(SmallVec<[u8; 64]>);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl PartialEq for CommunityRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for CommunityRegex {}

impl std::hash::Hash for CommunityRegex {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

impl CommunityPattern {
    pub fn matches(&self, community: Community) -> bool {
        match (self, community) {
            (CommunityPattern::Exactly(wanted), have) => *wanted == have,
            (CommunityPattern::Standard([high, low]), Community::Standard(c)) => {
                high.contains(c.0 >> 16) && low.contains(c.0 & 0xffff)
            }
            (CommunityPattern::Large([a, b, c]), Community::Large(have)) => {
                a.contains(have.global) && b.contains(have.local1) && c.contains(have.local2)
            }
            (CommunityPattern::Administered { name, who, number }, have) => parts(have)
                .is_some_and(|(sub, by, n)| {
                    sub == u8::from(*name)
                        && number.contains(n)
                        && who.is_none_or(|who| who.contains(by))
                }),
            (CommunityPattern::Named(name), Community::Extended(c)) => {
                let text = c.to_string();
                let rest = text.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(':'))
            }
            (CommunityPattern::Regex(regex), have) => regex.finds(have),
            _ => false,
        }
    }
}

impl Administrator {
    /// Whether it is a single one.
    pub(super) const fn is_one(&self) -> bool {
        match self {
            Administrator::As(range) => range.is_one(),
            Administrator::V4(_) | Administrator::V6(_) => true,
        }
    }

    fn contains(self, one: Administrator) -> bool {
        match (self, one) {
            (Administrator::As(range), Administrator::As(asn)) => range.contains(asn.min),
            (who, one) => who == one,
        }
    }
}

/// The sub-type, administrator and number of a community that has them.
pub(super) fn parts(community: Community) -> Option<(u8, Administrator, u32)> {
    match community {
        Community::Extended(ExtCommunity([kind, sub, value @ ..])) => {
            let [a, b, c, d, e, f] = value;
            let short = u32::from(u16::from_be_bytes([e, f]));
            let asn = |asn| Administrator::As(NumberRange::one(asn));
            Some(match kind {
                0 => {
                    let number = u32::from_be_bytes([c, d, e, f]);
                    (sub, asn(u16::from_be_bytes([a, b]).into()), number)
                }
                1 => (sub, Administrator::V4(Ipv4Addr::new(a, b, c, d)), short),
                2 => (sub, asn(u32::from_be_bytes([a, b, c, d])), short),
                _ => return None,
            })
        }
        Community::Ipv6Extended(Ipv6ExtCommunity([0, sub, rest @ ..])) => {
            let [address @ .., a, b] = rest;
            let number = u16::from_be_bytes([a, b]).into();
            Some((sub, Administrator::V6(Ipv6Addr::from(address)), number))
        }
        _ => None,
    }
}

impl Administered {
    const ALL: [(&'static str, Administered); 2] = [
        ("rt", Administered::RouteTarget),
        ("soo", Administered::RouteOrigin),
    ];
}

/// The low type octets of RFC 4360 §4 and §5.
impl From<Administered> for u8 {
    fn from(name: Administered) -> u8 {
        match name {
            Administered::RouteTarget => 2,
            Administered::RouteOrigin => 3,
        }
    }
}

impl FromStr for CommunityPattern {
    type Err = CommunityPatternError;

    fn from_str(text: &str) -> Result<CommunityPattern, CommunityPatternError> {
        let regex = text.strip_prefix('/').and_then(|t| t.strip_suffix('/'));
        if let Some(regex) = regex {
            return CommunityRegex::new(regex).map(CommunityPattern::Regex);
        }
        if let Ok(one) = text.parse() {
            return Ok(CommunityPattern::Exactly(one));
        }
        let unknown = CommunityPatternError::Unknown;
        if let Some((name, rest)) = text.split_once(':') {
            let known = Administered::ALL.iter().find(|(known, _)| *known == name);
            if let Some((_, name)) = known {
                return administered(*name, rest).ok_or(unknown);
            }
            let known = NAMED.iter().find(|known| **known == name);
            if let (Some(name), "*") = (known, rest) {
                return Ok(CommunityPattern::Named(name));
            }
        }
        let mut parts = text.split(':').map(str::parse::<NumberRange>);
        let found = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(high)), Some(Ok(low)), None, None) => {
                let short = |r: &NumberRange| *r == NumberRange::ALL || r.max <= 0xffff;
                (short(&high) && short(&low)).then_some(CommunityPattern::Standard([high, low]))
            }
            (Some(Ok(a)), Some(Ok(b)), Some(Ok(c)), None) => {
                Some(CommunityPattern::Large([a, b, c]))
            }
            _ => None,
        };
        found.ok_or(unknown)
    }
}

fn administered(name: Administered, text: &str) -> Option<CommunityPattern> {
    let pattern = |who, number: &str| {
        Some(CommunityPattern::Administered {
            name,
            who,
            number: number.parse().ok()?,
        })
    };
    if text == "*" {
        return pattern(None, "*");
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, number) = rest.split_once("]:")?;
        return pattern(Some(Administrator::V6(address.parse().ok()?)), number);
    }
    let (who, number) = text.split_once(':')?;
    let who = match who.parse() {
        Ok(address) => Some(Administrator::V4(address)),
        Err(_) if who == "*" => None,
        Err(_) => Some(Administrator::As(who.parse().ok()?)),
    };
    pattern(who, number)
}

impl fmt::Display for CommunityPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommunityPatternError::Unknown => f.write_str(
                "not a community: write one as `64512:100`, `64512:1:2`, `rt:64512:100` or \
                 `no-export`, several as `64512:*`, `64512:100-199` or `rt:*`, or a regular \
                 expression as `/^64512:1..$/`",
            ),
            CommunityPatternError::Regex(why) => write!(f, "not a regular expression: {why}"),
        }
    }
}

impl std::error::Error for CommunityPatternError {}
