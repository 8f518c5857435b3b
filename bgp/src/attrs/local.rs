//! What only this router knows of a route: it goes into the decision and the
//! kernel, and to nobody.

use std::net::IpAddr;

use smallvec::SmallVec;

/// Kept in canonical attributes under the type 0, which RFC 4271 reserves: so
/// routes that differ in nothing else are still different blocks. It is dropped
/// from what peers send, and never encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Local {
    /// Looked at before all that the route carries; higher wins.
    pub weight: u32,
    /// The kernel table, where it is not the daemon's own; never 0.
    pub table: Option<u32>,
    /// The kernel's metric, where it is not the daemon's own.
    pub metric: Option<u32>,
    /// The source address that the kernel prefers for packets of our own; of
    /// the route's family.
    pub source: Option<IpAddr>,
    /// The kernel is to drop what goes there (RFC 7999), whatever the next hop.
    pub blackhole: bool,
}

const WEIGHT: u8 = 0x01;
const TABLE: u8 = 0x02;
const METRIC: u8 = 0x04;
const SOURCE_V4: u8 = 0x08;
const SOURCE_V6: u8 = 0x10;
const BLACKHOLE: u8 = 0x20;

impl Local {
    /// Nothing but defaults: no attribute.
    pub fn is_default(&self) -> bool {
        *self == Local::default()
    }

    /// An octet of what is there, and the values in the order of its bits.
    pub(super) fn encode(&self) -> SmallVec<[u8; 32]> {
        let Local {
            weight,
            table,
            metric,
            source,
            blackhole,
        } = *self;
        let mut present = 0;
        let mut out = SmallVec::from_slice(&[0]);
        let mut number = |bit, value: Option<u32>| {
            if let Some(value) = value {
                present |= bit;
                out.extend_from_slice(&value.to_be_bytes());
            }
        };
        number(WEIGHT, (weight != 0).then_some(weight));
        number(TABLE, table);
        number(METRIC, metric);
        match source {
            Some(IpAddr::V4(source)) => {
                present |= SOURCE_V4;
                out.extend_from_slice(&source.octets());
            }
            Some(IpAddr::V6(source)) => {
                present |= SOURCE_V6;
                out.extend_from_slice(&source.octets());
            }
            None => {}
        }
        if blackhole {
            present |= BLACKHOLE;
        }
        if let Some(first) = out.first_mut() {
            *first = present;
        }
        out
    }

    /// What [`Local::encode`] made, and nobody else.
    pub(super) fn decode(value: &[u8]) -> Local {
        let Some((&present, mut rest)) = value.split_first() else {
            return Local::default();
        };
        let mut number = |bit| {
            let (value, tail) = rest.split_first_chunk().filter(|_| present & bit != 0)?;
            rest = tail;
            Some(u32::from_be_bytes(*value))
        };
        Local {
            weight: number(WEIGHT).unwrap_or(0),
            table: number(TABLE),
            metric: number(METRIC),
            source: match rest.len() {
                4 => rest.first_chunk::<4>().map(|a| IpAddr::from(*a)),
                _ => rest.first_chunk::<16>().map(|a| IpAddr::from(*a)),
            },
            blackhole: present & BLACKHOLE != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn local() -> impl Strategy<Value = Local> {
        let source = proptest::option::of(any::<IpAddr>());
        let number = || any::<Option<u32>>();
        (any::<u32>(), number(), number(), source, any::<bool>()).prop_map(
            |(weight, table, metric, source, blackhole)| Local {
                weight,
                table,
                metric,
                source,
                blackhole,
            },
        )
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(local in local()) {
            prop_assert_eq!(Local::decode(&local.encode()), local);
        }

        #[test]
        fn any_octets_are_read_without_a_panic(octets: Vec<u8>) {
            Local::decode(&octets);
        }
    }
}
