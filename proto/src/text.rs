//! The API's spellings of attributes, both ways.

use crate::v1::AsPathSegment;
use crate::v1::as_path_segment::Kind;

/// Communities that have a name (IANA "BGP Well-known Communities").
const WELL_KNOWN: [(u32, &str); 7] = [
    (0xffff_0000, "graceful-shutdown"),
    (0xffff_0001, "accept-own"),
    (0xffff_029a, "blackhole"),
    (0xffff_ff01, "no-export"),
    (0xffff_ff02, "no-advertise"),
    (0xffff_ff03, "no-export-subconfed"),
    (0xffff_ff04, "no-peer"),
];

/// "64512:100", or the name of a well-known one.
pub fn community(value: u32) -> String {
    match WELL_KNOWN.iter().find(|(v, _)| *v == value) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("{}:{}", value >> 16, value & 0xffff),
    }
}

/// What [`community`] writes, and numbers for those that have a name.
pub fn parse_community(text: &str) -> Option<u32> {
    if let Some((value, _)) = WELL_KNOWN.iter().find(|(_, name)| *name == text) {
        return Some(*value);
    }
    let (asn, value) = text.split_once(':')?;
    let asn: u16 = number(asn)?;
    let value: u16 = number(value)?;
    Some(u32::from(asn) << 16 | u32::from(value))
}

/// "64512:1:2", RFC 8092.
pub fn parse_large_community(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split(':').map(number);
    let community = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(community)
}

/// Digits only: `parse` would take a plus sign too.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

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
    fn communities_read_as_written() {
        for value in [0, 0xfc00_0064, 0xffff_ff01, 0xffff_ffff] {
            assert_eq!(parse_community(&community(value)), Some(value));
        }
        assert_eq!(community(0xffff_ff01), "no-export");
        assert_eq!(parse_community("65535:65281"), Some(0xffff_ff01));
        for wrong in ["", "1", "1:2:3", "65536:1", "a:b", "+1:2", ":"] {
            assert_eq!(parse_community(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn large_communities_have_three_numbers() {
        assert_eq!(
            parse_large_community("4200000000:1:2"),
            Some([4_200_000_000, 1, 2])
        );
        for wrong in ["", "1:2", "1:2:3:4", "1:2:4294967296"] {
            assert_eq!(parse_large_community(wrong), None, "{wrong}");
        }
    }

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
