//! The API's spellings of attributes. Communities are spelt by
//! [`godwit_bgp::community`].

pub use godwit_bgp::community::{
    Community, ExtCommunity, Ipv6ExtCommunity, LargeCommunity, StandardCommunity,
};

use crate::v1::AsPathSegment;
use crate::v1::as_path_segment::Kind;

/// "65001 65002 {1,2}"; confederation segments in round and square brackets.
pub fn as_path(segments: &[AsPathSegment]) -> String {
    let parts: Vec<String> = segments.iter().map(segment).collect();
    parts.join(" ")
}

fn segment(segment: &AsPathSegment) -> String {
    let join = |separator| {
        let asns: Vec<String> = segment.asns.iter().map(u32::to_string).collect();
        asns.join(separator)
    };
    match segment.kind() {
        Kind::Sequence | Kind::Unspecified => join(" "),
        Kind::Set => format!("{{{}}}", join(",")),
        Kind::ConfedSequence => format!("({})", join(" ")),
        Kind::ConfedSet => format!("[{}]", join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_its_segments() {
        let part = |kind: Kind, asns: &[u32]| AsPathSegment {
            kind: kind as i32,
            asns: asns.to_vec(),
        };
        let path = [
            part(Kind::ConfedSequence, &[1, 2]),
            part(Kind::Sequence, &[65001, 65002]),
            part(Kind::Set, &[7, 8]),
        ];
        assert_eq!(as_path(&path), "(1 2) 65001 65002 {7,8}");
    }
}
