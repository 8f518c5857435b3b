//! What a session makes of the AS path and of the communities of a route that
//! leaves by it.

use std::str::FromStr;

use super::path::PathBuilder;
use super::{AttrsBuf, code, flag};
use crate::types::Asn;

/// What becomes of private AS numbers (RFC 6996) in the path. The neighbour's
/// own number always stays: it is how the neighbour knows its own routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RemovePrivate {
    #[default]
    No,
    /// Remove them where the path has no others.
    IfAlone,
    /// Remove them.
    All,
    /// Put our own number in the place of each, where the path has no others.
    ReplaceIfAlone,
    /// Put our own number in the place of each.
    ReplaceAll,
}

impl RemovePrivate {
    const NAMES: [(RemovePrivate, &str); 5] = [
        (RemovePrivate::No, "false"),
        (RemovePrivate::IfAlone, "true"),
        (RemovePrivate::All, "all"),
        (RemovePrivate::ReplaceIfAlone, "replace"),
        (RemovePrivate::ReplaceAll, "all-replace"),
    ];

    /// As the configuration and the API spell it.
    pub fn name(self) -> &'static str {
        let known = RemovePrivate::NAMES.iter().find(|(how, _)| *how == self);
        known.map_or("", |(_, name)| name)
    }
}

impl FromStr for RemovePrivate {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let known = RemovePrivate::NAMES.iter().find(|(_, name)| *name == s);
        known.map(|(how, _)| *how).ok_or(())
    }
}

/// Kinds of communities that a neighbour is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommunityKinds {
    pub standard: bool,
    /// Those of RFC 4360 and of RFC 5701.
    pub extended: bool,
    pub large: bool,
}

impl CommunityKinds {
    pub const ALL: CommunityKinds = CommunityKinds {
        standard: true,
        extended: true,
        large: true,
    };
    pub const NONE: CommunityKinds = CommunityKinds {
        standard: false,
        extended: false,
        large: false,
    };
    /// As the configuration and the API spell them.
    pub const NAMES: [&str; 3] = ["standard", "extended", "large"];

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let CommunityKinds {
            standard,
            extended,
            large,
        } = self;
        let all = CommunityKinds::NAMES
            .into_iter()
            .zip([standard, extended, large]);
        all.filter(|(_, sent)| *sent).map(|(name, _)| name)
    }

    /// The kinds of these names.
    ///
    /// # Errors
    /// The first one that is no kind.
    pub fn of_names<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<CommunityKinds, &'a str> {
        let mut kinds = CommunityKinds::NONE;
        for name in names {
            match name {
                "standard" => kinds.standard = true,
                "extended" => kinds.extended = true,
                "large" => kinds.large = true,
                _ => return Err(name),
            }
        }
        Ok(kinds)
    }
}

impl Default for CommunityKinds {
    fn default() -> Self {
        CommunityKinds::ALL
    }
}

impl AttrsBuf {
    /// Removes private numbers from the path, or puts `own` in their place.
    pub fn remove_private(&mut self, how: RemovePrivate, own: Asn, neighbour: Asn) {
        use RemovePrivate::{All, IfAlone, No, ReplaceAll, ReplaceIfAlone};
        let affected = |asn: Asn| asn.is_private() && asn != neighbour;
        let path = self.as_ref().as_path();
        let alone = || path.asns().all(Asn::is_private);
        let replace = match how {
            No => return,
            IfAlone | ReplaceIfAlone if !alone() => return,
            IfAlone | All => None,
            ReplaceIfAlone | ReplaceAll => Some(own),
        };
        if path.asns().any(affected) {
            self.map_path(|asn| if affected(asn) { replace } else { Some(asn) });
        }
    }

    /// Puts `own` in every place where the path has the neighbour's number, so
    /// that it takes routes of another site of its AS.
    pub fn override_as(&mut self, neighbour: Asn, own: Asn) {
        if self.as_ref().as_path().contains(neighbour) {
            self.map_path(|asn| Some(if asn == neighbour { own } else { asn }));
        }
    }

    /// Each number of the path as `map` says; `None` takes it out, and with the
    /// last one its segment.
    fn map_path(&mut self, mut map: impl FnMut(Asn) -> Option<Asn>) {
        let mut path = PathBuilder::default();
        let mut numbers: Vec<[u8; 4]> = Vec::new();
        for segment in self.as_ref().as_path().segments() {
            numbers.clear();
            let mapped = segment.asns().filter_map(&mut map);
            numbers.extend(mapped.map(|asn| asn.0.to_be_bytes()));
            if !numbers.is_empty() {
                path.push(segment.kind, &numbers);
            }
        }
        self.set(code::AS_PATH, flag::TRANSITIVE, &path.into_bytes());
    }

    /// Removes what may not leave the AS from both kinds of extended communities
    /// (RFC 4360 §6, RFC 5701 §2).
    pub fn remove_non_transitive(&mut self) {
        let stays = |octets: &[u8]| octets.first().is_none_or(|kind| kind & 0x40 == 0);
        for (code, unit) in [(code::EXT_COMMUNITIES, 8), (code::IPV6_EXT_COMMUNITIES, 20)] {
            let old = self.value(code);
            if old.chunks(unit).all(stays) {
                continue;
            }
            let staying = old.chunks(unit).filter(|one| stays(one));
            let list: Vec<u8> = staying.flatten().copied().collect();
            self.set_list(code, &list);
        }
    }

    /// Removes the communities of other kinds.
    pub fn keep_communities(&mut self, kinds: CommunityKinds) {
        let CommunityKinds {
            standard,
            extended,
            large,
        } = kinds;
        for (code, keep) in [
            (code::COMMUNITIES, standard),
            (code::EXT_COMMUNITIES, extended),
            (code::IPV6_EXT_COMMUNITIES, extended),
            (code::LARGE_COMMUNITIES, large),
        ] {
            if !keep {
                self.remove(code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use super::*;
    use crate::attrs::Origin;
    use crate::types::NextHop;

    const OWN: Asn = Asn(64496);
    const NEIGHBOUR: Asn = Asn(65010);

    /// Sequences of a path, sets in braces as "{65001 2}".
    fn route(path: &str) -> AttrsBuf {
        let mut buf = AttrsBuf::new(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)), Origin::Igp);
        let mut value = Vec::new();
        for (n, part) in path.split(['{', '}']).enumerate() {
            let asns: Vec<u32> = part
                .split_whitespace()
                .map(|a| a.parse().unwrap())
                .collect();
            if !asns.is_empty() {
                value.extend([2 - (n % 2) as u8, asns.len() as u8]);
                value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
            }
        }
        buf.set(code::AS_PATH, flag::TRANSITIVE, &value);
        buf
    }

    fn path(buf: &AttrsBuf) -> String {
        buf.as_ref().as_path().to_string()
    }

    #[test]
    fn private_numbers_go_as_asked() {
        use RemovePrivate::{All, IfAlone, No, ReplaceAll, ReplaceIfAlone};
        let alone = "65001 4200000000 65534";
        let mixed = "65001 3356 65002";
        let cases = [
            (No, alone, alone),
            (IfAlone, alone, ""),
            (IfAlone, mixed, mixed),
            (IfAlone, "", ""),
            (All, alone, ""),
            (All, mixed, "3356"),
            // neither range reaches the reserved last number
            (
                All,
                "64511 64512 65535 4199999999 4294967295",
                "64511 65535 4199999999 4294967295",
            ),
            (ReplaceIfAlone, alone, "64496 64496 64496"),
            (ReplaceIfAlone, mixed, mixed),
            (ReplaceAll, mixed, "64496 3356 64496"),
            // the neighbour knows its own routes by its number
            (IfAlone, "65001 65010", "65010"),
            (All, "3356 65010 65001", "3356 65010"),
            (ReplaceAll, "65001 65010", "64496 65010"),
            (All, "3356 {65001 65002} 701", "3356 701"),
            (All, "3356 {65001 701}", "3356 {701}"),
        ];
        for (how, before, after) in cases {
            let mut buf = route(before);
            buf.remove_private(how, OWN, NEIGHBOUR);
            assert_eq!(path(&buf), path(&route(after)), "{how:?} of {before}");
            assert_eq!(buf, route(after), "one path, one form");
        }
    }

    #[test]
    fn the_neighbours_number_is_overridden_wherever_it_stands() {
        let mut buf = route("65010 3356 65010 {65010 1}");
        buf.override_as(NEIGHBOUR, OWN);
        assert_eq!(path(&buf), "64496 3356 64496 {64496,1}");
        let before = route("3356 1");
        let mut buf = before.clone();
        buf.override_as(NEIGHBOUR, OWN);
        assert_eq!(buf, before);
    }

    #[test]
    fn communities_that_are_local_stay_here() {
        let mut buf = route("1");
        let transitive = [0, 2, 0, 1, 0, 0, 0, 7];
        let local = [0x40, 4, 0, 1, 0, 0, 0, 0];
        let list = [local, transitive, local].concat();
        let optional_transitive = flag::OPTIONAL | flag::TRANSITIVE;
        buf.set(
            code::EXT_COMMUNITIES,
            optional_transitive | flag::PARTIAL,
            &list,
        );
        let mut wide = [0; 20];
        wide[0] = 0x40;
        buf.set(code::IPV6_EXT_COMMUNITIES, optional_transitive, &wide);
        buf.remove_non_transitive();
        let left = buf.as_ref().find(code::EXT_COMMUNITIES).unwrap();
        assert_eq!((left.flags, left.value), (0xe0, &transitive[..]));
        assert!(buf.as_ref().find(code::IPV6_EXT_COMMUNITIES).is_none());
    }

    #[test]
    fn names_read_as_written() {
        for (how, name) in RemovePrivate::NAMES {
            assert_eq!((how.name(), name.parse()), (name, Ok(how)));
        }
        let two = CommunityKinds {
            extended: false,
            ..CommunityKinds::ALL
        };
        for kinds in [CommunityKinds::ALL, CommunityKinds::NONE, two] {
            assert_eq!(CommunityKinds::of_names(kinds.names()), Ok(kinds));
        }
        assert_eq!(CommunityKinds::of_names(["large", "wide"]), Err("wide"));
    }

    #[test]
    fn only_the_kinds_asked_for_are_sent() {
        let mut all = route("1");
        for (code, length) in [(8, 4), (16, 8), (25, 20), (32, 12)] {
            all.set(code, flag::OPTIONAL | flag::TRANSITIVE, &vec![1; length]);
        }
        let left = |kinds| {
            let mut buf = all.clone();
            buf.keep_communities(kinds);
            let codes = buf.as_ref().iter().map(|a| a.code).filter(|c| *c > 2);
            codes.collect::<Vec<u8>>()
        };
        assert_eq!(left(CommunityKinds::ALL), [8, 16, 25, 32]);
        assert_eq!(left(CommunityKinds::NONE), [0; 0]);
        let extended = CommunityKinds {
            extended: true,
            ..CommunityKinds::NONE
        };
        assert_eq!(left(extended), [16, 25]);
    }
}
