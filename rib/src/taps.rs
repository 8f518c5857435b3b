//! Observers of changes, for watches.

use ipnet::IpNet;

use crate::api::{RibEvent, TapId, TapPoll};
use crate::core::Core;

#[derive(Debug)]
struct Tap {
    cursor: u64,
    told: bool,
}

/// All taps, by id.
#[derive(Debug, Default)]
pub struct Taps(Vec<Option<Tap>>);

impl Taps {
    pub fn open(&mut self, core: &Core) -> TapId {
        let tap = Some(Tap {
            cursor: core.ring.begin(),
            told: false,
        });
        let at = match self.0.iter().position(Option::is_none) {
            Some(at) => {
                self.0[at] = tap;
                at
            }
            None => {
                self.0.push(tap);
                self.0.len() - 1
            }
        };
        TapId(at as u32)
    }

    pub fn close(&mut self, id: TapId) {
        if let Some(slot) = self.0.get_mut(id.0 as usize) {
            *slot = None;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The least position in the ring.
    pub fn cursor(&self) -> Option<u64> {
        self.0.iter().flatten().map(|tap| tap.cursor).min()
    }

    pub fn poll(
        &mut self,
        id: TapId,
        out: &mut Vec<IpNet>,
        max: usize,
        core: &mut Core,
    ) -> TapPoll {
        let Some(Some(tap)) = self.0.get_mut(id.0 as usize) else {
            return TapPoll::Empty;
        };
        if core.ring.lapped(tap.cursor) {
            tap.cursor = core.ring.begin();
            tap.told = false;
            return TapPoll::Lapped;
        }
        for _ in 0..max {
            let Some(mark) = core.ring.at(tap.cursor) else {
                break;
            };
            tap.cursor += 1;
            core.passed(mark);
            out.push(core.tables.net(mark));
        }
        tap.told = tap.cursor < core.ring.end();
        if tap.told {
            TapPoll::More
        } else {
            TapPoll::Empty
        }
    }

    pub fn tell(&mut self, core: &mut Core) {
        for (at, tap) in self.0.iter_mut().enumerate() {
            if let Some(tap) = tap
                && !tap.told
                && tap.cursor < core.ring.end()
            {
                tap.told = true;
                core.events.push_back(RibEvent::TapReady(TapId(at as u32)));
            }
        }
    }
}
