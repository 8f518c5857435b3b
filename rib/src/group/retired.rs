//! What groups advertised that have no members any more: it is given back in
//! slices, and kept as long as somebody who was a member may hold it.

use godwit_bgp::Family;

use super::{Group, Output, Place};
use crate::api::PeerId;
use crate::core::Core;

/// The output of a group that is no more.
#[derive(Debug)]
pub struct Retired {
    serial: u64,
    output: [Output; 2],
    /// The family and destination from which on references are to be given
    /// back; `None`: all were, and entries only say which paths there were.
    rest: Option<(Family, u32)>,
    left: Vec<PeerId>,
}

impl Retired {
    pub fn new(group: Group) -> Retired {
        Retired {
            serial: group.serial,
            output: group.output,
            rest: Some((Family::Ipv4Unicast, 0)),
            left: group.left,
        }
    }

    /// Goes on giving references back. True: there are more.
    pub fn release(&mut self, units: &mut usize, core: &mut Core) -> bool {
        while let Some((family, from)) = self.rest {
            if *units == 0 {
                return true;
            }
            let output = &self.output[family.index()];
            let Some(dest) = output.present.next(from) else {
                self.rest = match family {
                    Family::Ipv4Unicast => Some((Family::Ipv6Unicast, 0)),
                    Family::Ipv6Unicast => None,
                };
                continue;
            };
            for (_, out) in output.entries(dest) {
                core.attrs.release(out.attr);
                *units = units.saturating_sub(1);
            }
            self.rest = Some((family, dest + 1));
        }
        false
    }

    /// Nothing is to be given back, and nobody may hold any of it.
    pub fn is_over(&self, core: &Core) -> bool {
        let mut left = self.left.iter();
        self.rest.is_none() && !left.any(|id| may_hold(*id, self.serial, core))
    }
}

/// Whether the debts of a peer still name the group of this number as one that
/// it was in.
pub fn may_hold(id: PeerId, serial: u64, core: &Core) -> bool {
    let peer = core.peers.at(id);
    peer.is_some_and(
        |peer| matches!(&peer.member.place, Place::Detached(debts) if debts.names(serial)),
    )
}

/// The groups besides one that a member is in.
#[derive(Debug)]
pub struct Others<'a> {
    pub before: &'a [Option<Group>],
    pub after: &'a [Option<Group>],
    pub retired: &'a [Retired],
}

impl Others<'_> {
    /// What the group of this number advertises, or did at its end.
    pub fn output(&self, serial: u64) -> Option<&[Output; 2]> {
        let groups = self.before.iter().chain(self.after).flatten();
        let mut outputs = groups.map(|group| (group.serial, &group.output)).chain(
            self.retired
                .iter()
                .map(|group| (group.serial, &group.output)),
        );
        outputs.find_map(|(other, output)| (other == serial).then_some(output))
    }
}
