//! Pages of routes: read in slices that the RIB thread runs between batches of
//! its own work.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use godwit_proto::v1;
use godwit_rib::{PeerId, Rib, RouteCursor, RoutePage, RouteQuery};
use prost::Message;
use tonic::Status;

use super::batch::{Batches, name};
use super::filter::Filter;
use crate::api::error;
use crate::ribthread::RibHandle;

/// Entries of a slice.
const SLICE: usize = 128;
/// Slices of a page: one that finds nothing must come to an end.
const SLICES: usize = 128;
/// Attributes of a page, in octets on the wire; as text they are about three
/// times that, and clients take 4 MiB unless told otherwise.
const OCTETS: usize = 1 << 20;

/// What one visit to the RIB thread brings.
#[derive(Debug)]
pub struct Slice {
    pub page: RoutePage,
    names: HashMap<PeerId, String>,
}

impl Slice {
    pub fn read(
        rib: &mut Rib,
        query: &RouteQuery,
        from: Option<RouteCursor>,
        limit: usize,
    ) -> Slice {
        let page = rib.routes(query, from, limit);
        let mut names = HashMap::new();
        for entry in &page.entries {
            names
                .entry(entry.peer)
                .or_insert_with(|| name(rib.peer_spec(entry.peer), entry.peer));
        }
        Slice { page, names }
    }

    pub fn name(&self, peer: PeerId) -> String {
        self.names.get(&peer).cloned().unwrap_or_default()
    }
}

pub async fn slice(
    rib: &RibHandle,
    query: RouteQuery,
    from: Option<RouteCursor>,
    limit: usize,
) -> Result<Slice, Status> {
    let read = move |rib: &mut Rib| Slice::read(rib, &query, from, limit);
    Ok(rib.query(read).await?)
}

/// About `limit` paths that pass, and where to go on.
pub async fn read(
    rib: &RibHandle,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<v1::RouteBatch>, Option<Cursor>), Status> {
    let Some(query) = filter.query else {
        return Ok((Vec::new(), None));
    };
    let mut at = cursor.map(|Cursor(at)| at);
    let mut batches = Batches::default();
    for _ in 0..SLICES {
        let room = limit.saturating_sub(batches.paths).clamp(1, SLICE);
        let slice = slice(rib, query, at, room).await?;
        batches.add(&slice, filter);
        at = slice.page.next;
        if at.is_none() || batches.paths >= limit || batches.octets >= OCTETS {
            break;
        }
    }
    Ok((batches.finish(), at.map(Cursor)))
}

/// Where the next page begins; good for the filter that it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(RouteCursor);

impl Cursor {
    /// The position, and what the filter hashes to.
    pub fn bytes(self, filter: &v1::RouteFilter) -> Vec<u8> {
        let mut bytes = self.0.0.to_be_bytes().to_vec();
        bytes.extend(hash(filter).to_be_bytes());
        bytes
    }

    pub fn parse(bytes: &[u8], filter: &v1::RouteFilter) -> Result<Option<Cursor>, Status> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let parts = bytes.split_first_chunk::<8>().and_then(|(at, rest)| {
            let of = u64::from_be_bytes(rest.try_into().ok()?);
            (of == hash(filter)).then_some(u64::from_be_bytes(*at))
        });
        match parts {
            // The RIB's own positions have 32 bits.
            Some(at) if u32::try_from(at).is_ok() => Ok(Some(Cursor(RouteCursor(at)))),
            _ => Err(error::bad_field(
                "cursor",
                "is not of a page with this filter; begin without one",
            )),
        }
    }
}

fn hash(filter: &v1::RouteFilter) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&filter.encode_to_vec());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_filter_only() {
        let filter = v1::RouteFilter::default();
        let cursor = Cursor(RouteCursor(77));
        let bytes = cursor.bytes(&filter);
        assert_eq!(Cursor::parse(&bytes, &filter).unwrap(), Some(cursor));
        let other = v1::RouteFilter {
            origin_asn: 1,
            ..filter.clone()
        };
        assert!(Cursor::parse(&bytes, &other).is_err());
        assert!(Cursor::parse(&bytes[..5], &filter).is_err());
        assert_eq!(Cursor::parse(&[], &filter).unwrap(), None);
    }

    #[test]
    fn a_forged_position_is_refused() {
        let filter = v1::RouteFilter::default();
        let bytes = Cursor(RouteCursor(u64::MAX)).bytes(&filter);
        assert!(Cursor::parse(&bytes, &filter).is_err());
    }
}
