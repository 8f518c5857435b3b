//! Capabilities (RFC 5492), as OPEN carries them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::parse::{self, Parsed};
use crate::types::{AfiSafi, Asn};

const MULTI_PROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXT_HOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const ROLE: u8 = 9;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;
const ADD_PATH: u8 = 69;
const ENHANCED_ROUTE_REFRESH: u8 = 70;
const FQDN: u8 = 73;

/// One capability. One that is known but of a length its RFC forbids is kept as
/// [`Capability::Unknown`]: it is shown and has no effect (RFC 5492 §3 knows no
/// error for it). A malformed [`Capability::FourOctetAs`] alone ends the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760 §8.
    MultiProtocol(AfiSafi),
    /// RFC 2918 §2.
    RouteRefresh,
    /// RFC 8950 §4: family of the routes, and the AFI their next hop may have.
    ExtendedNextHop(Vec<(AfiSafi, u16)>),
    /// RFC 8654 §3.
    ExtendedMessage,
    /// RFC 9234 §4.1.
    Role(u8),
    /// RFC 4724 §3; `notification` is the N bit of RFC 8538 §2, `time` is in
    /// seconds (12 bits), the flag of a family says that its forwarding state
    /// was kept.
    GracefulRestart {
        restart: bool,
        notification: bool,
        time: u16,
        families: Vec<(AfiSafi, bool)>,
    },
    /// RFC 6793 §3.
    FourOctetAs(Asn),
    /// RFC 7911 §4: 1 receive, 2 send, 3 both.
    AddPath(Vec<(AfiSafi, u8)>),
    /// RFC 7313 §3.1.
    EnhancedRouteRefresh,
    /// draft-walton-bgp-hostname-capability: names as the peer spells them.
    Fqdn {
        host: Bytes,
        domain: Bytes,
    },
    Unknown {
        code: u8,
        data: Bytes,
    },
}

impl Capability {
    /// The registered code.
    pub const fn code(&self) -> u8 {
        match self {
            Capability::MultiProtocol(_) => MULTI_PROTOCOL,
            Capability::RouteRefresh => ROUTE_REFRESH,
            Capability::ExtendedNextHop(_) => EXTENDED_NEXT_HOP,
            Capability::ExtendedMessage => EXTENDED_MESSAGE,
            Capability::Role(_) => ROLE,
            Capability::GracefulRestart { .. } => GRACEFUL_RESTART,
            Capability::FourOctetAs(_) => FOUR_OCTET_AS,
            Capability::AddPath(_) => ADD_PATH,
            Capability::EnhancedRouteRefresh => ENHANCED_ROUTE_REFRESH,
            Capability::Fqdn { .. } => FQDN,
            Capability::Unknown { code, .. } => *code,
        }
    }

    /// The name to show, if we know the capability.
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self {
            Capability::MultiProtocol(_) => "multiprotocol",
            Capability::RouteRefresh => "route-refresh",
            Capability::ExtendedNextHop(_) => "extended-next-hop",
            Capability::ExtendedMessage => "extended-message",
            Capability::Role(_) => "role",
            Capability::GracefulRestart { .. } => "graceful-restart",
            Capability::FourOctetAs(_) => "four-octet-as",
            Capability::AddPath(_) => "add-path",
            Capability::EnhancedRouteRefresh => "enhanced-route-refresh",
            Capability::Fqdn { .. } => "fqdn",
            Capability::Unknown { .. } => return None,
        })
    }

    /// Reads one capability's value; `whole` is the buffer that `value` lies in.
    pub(super) fn decode(code: u8, value: &[u8], whole: &Bytes) -> Capability {
        match read_known(code, value, whole) {
            Ok(([], Some(capability))) => capability,
            _ => Capability::Unknown {
                code,
                data: whole.slice_ref(value),
            },
        }
    }

    /// Appends code, length and value. False, and nothing written, if the value
    /// does not fit the one octet of its length.
    #[must_use]
    pub(super) fn encode(&self, out: &mut BytesMut) -> bool {
        let at = out.len();
        out.put_u8(self.code());
        out.put_u8(0);
        self.encode_value(out);
        let length = u8::try_from(out.len() - at - 2);
        match (length, out.get_mut(at + 1)) {
            (Ok(length), Some(field)) => {
                *field = length;
                true
            }
            _ => {
                out.truncate(at);
                false
            }
        }
    }

    fn encode_value(&self, out: &mut BytesMut) {
        match self {
            Capability::MultiProtocol(family) => {
                out.put_u16(family.afi);
                out.put_u8(0);
                out.put_u8(family.safi);
            }
            Capability::RouteRefresh
            | Capability::ExtendedMessage
            | Capability::EnhancedRouteRefresh => {}
            Capability::ExtendedNextHop(entries) => {
                for (family, next_hop_afi) in entries {
                    out.put_u16(family.afi);
                    out.put_u16(family.safi.into());
                    out.put_u16(*next_hop_afi);
                }
            }
            Capability::Role(role) => out.put_u8(*role),
            Capability::GracefulRestart {
                restart,
                notification,
                time,
                families,
            } => {
                let flags = u16::from(*restart) << 15 | u16::from(*notification) << 14;
                out.put_u16(flags | (*time).min(0x0fff));
                for (family, kept) in families {
                    out.put_u16(family.afi);
                    out.put_u8(family.safi);
                    out.put_u8(u8::from(*kept) << 7);
                }
            }
            Capability::FourOctetAs(asn) => out.put_u32(asn.0),
            Capability::AddPath(entries) => {
                for (family, mode) in entries {
                    out.put_u16(family.afi);
                    out.put_u8(family.safi);
                    out.put_u8(*mode);
                }
            }
            // names of more than 255 octets burst the value's own length
            Capability::Fqdn { host, domain } => {
                for name in [host, domain] {
                    out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
                    out.put_slice(name);
                }
            }
            Capability::Unknown { data, .. } => out.put_slice(data),
        }
    }
}

/// `Ok` with what is left of the value and the capability, `None` if its code
/// is not one of ours.
fn read_known<'a>(code: u8, input: &'a [u8], whole: &Bytes) -> Parsed<'a, Option<Capability>> {
    let (input, capability) = match code {
        MULTI_PROTOCOL => {
            let (input, afi) = parse::word(input)?;
            let (input, _reserved) = parse::octet(input)?;
            let (input, safi) = parse::octet(input)?;
            (input, Capability::MultiProtocol(AfiSafi { afi, safi }))
        }
        ROUTE_REFRESH => (input, Capability::RouteRefresh),
        EXTENDED_NEXT_HOP => {
            let (input, entries) = entries(input, next_hop_entry)?;
            (input, Capability::ExtendedNextHop(entries))
        }
        EXTENDED_MESSAGE => (input, Capability::ExtendedMessage),
        ROLE => {
            let (input, role) = parse::octet(input)?;
            (input, Capability::Role(role))
        }
        GRACEFUL_RESTART => {
            let (input, head) = parse::word(input)?;
            let (input, families) = entries(input, |i| {
                let (i, (family, flags)) = family_entry(i)?;
                Ok((i, (family, flags & 0x80 != 0)))
            })?;
            let (restart, notification) = (head & 0x8000 != 0, head & 0x4000 != 0);
            let time = head & 0x0fff;
            (
                input,
                Capability::GracefulRestart {
                    restart,
                    notification,
                    time,
                    families,
                },
            )
        }
        FOUR_OCTET_AS => {
            let (input, asn) = parse::long(input)?;
            (input, Capability::FourOctetAs(Asn(asn)))
        }
        ADD_PATH => {
            let (input, entries) = entries(input, family_entry)?;
            (input, Capability::AddPath(entries))
        }
        ENHANCED_ROUTE_REFRESH => (input, Capability::EnhancedRouteRefresh),
        FQDN => {
            let (input, host) = parse::short_field(input)?;
            let (input, domain) = parse::short_field(input)?;
            let (host, domain) = (whole.slice_ref(host), whole.slice_ref(domain));
            (input, Capability::Fqdn { host, domain })
        }
        _ => return Ok((input, None)),
    };
    Ok((input, Some(capability)))
}

fn entries<'a, T>(
    mut input: &'a [u8],
    mut entry: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> Parsed<'a, Vec<T>> {
    let mut list = Vec::new();
    while !input.is_empty() {
        let (rest, item) = entry(input)?;
        list.push(item);
        input = rest;
    }
    Ok((input, list))
}

fn family_entry(input: &[u8]) -> Parsed<'_, (AfiSafi, u8)> {
    let (input, afi) = parse::word(input)?;
    let (input, safi) = parse::octet(input)?;
    let (input, flags) = parse::octet(input)?;
    Ok((input, (AfiSafi { afi, safi }, flags)))
}

fn next_hop_entry(input: &[u8]) -> Parsed<'_, (AfiSafi, u16)> {
    let (input, afi) = parse::word(input)?;
    let (input, safi) = parse::word(input)?;
    let (input, next_hop_afi) = parse::word(input)?;
    // RFC 8950 §4 gives the SAFI two octets; no SAFI needs the upper one
    let safi = u8::try_from(safi).unwrap_or(0);
    Ok((input, (AfiSafi { afi, safi }, next_hop_afi)))
}
