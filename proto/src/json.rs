//! How messages look as JSON: the field names of the `.proto` files, every
//! field always there. Enumerations are their names, times RFC 3339 in UTC,
//! spans seconds with an `s`, bytes hex, 64-bit numbers plain numbers.

use prost_types::{Duration, Timestamp};
use serde::{Serialize, Serializer};

/// An enumeration that knows the names of its values.
pub trait Named: TryFrom<i32> {
    fn proto_name(&self) -> &'static str;
}

macro_rules! named {
    ($($ty:ty),* $(,)?) => { $(
        impl Named for $ty {
            fn proto_name(&self) -> &'static str {
                self.as_str_name()
            }
        }
    )* };
}

named!(
    crate::v1::Family,
    crate::v1::Origin,
    crate::v1::View,
    crate::v1::Direction,
    crate::v1::PolicyDirection,
    crate::v1::ImportResult,
    crate::v1::LimitAction,
    crate::v1::BadMessageOutcome,
    crate::v1::BfdState,
    crate::v1::FibState,
    crate::v1::PeerSource,
    crate::v1::SessionKind,
    crate::v1::SessionState,
    crate::v1::as_path_segment::Kind,
    crate::v1::fib_difference::Kind,
    crate::v1::fib_route::Kind,
    crate::v1::route_filter::PrefixMatch,
);

/// A value that this version does not know is left as its number.
#[derive(Serialize)]
#[serde(untagged)]
enum Name {
    Known(&'static str),
    Unknown(i32),
}

fn name_of<E: Named>(value: i32) -> Name {
    E::try_from(value).map_or(Name::Unknown(value), |e| Name::Known(e.proto_name()))
}

pub(crate) fn name<E: Named, S: Serializer>(value: &i32, s: S) -> Result<S::Ok, S::Error> {
    name_of::<E>(*value).serialize(s)
}

pub(crate) fn names<E: Named, S: Serializer>(values: &[i32], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(values.iter().map(|v| name_of::<E>(*v)))
}

pub(crate) fn time<S: Serializer>(value: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(t) => s.collect_str(t),
        None => s.serialize_none(),
    }
}

pub(crate) fn span<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(d) => s.collect_str(d),
        None => s.serialize_none(),
    }
}

pub(crate) fn hex<S: Serializer>(value: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&Hex(value))
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests;
