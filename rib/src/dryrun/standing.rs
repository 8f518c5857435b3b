//! Which aggregates would stand, and which conditions hold: counted over the
//! table as it would be, before anything that depends on them.

use foldhash::quality::RandomState;
use godwit_bgp::Family;
use hashbrown::HashMap;
use ipnet::IpNet;

use crate::api::Aggregate;
use crate::presence::{Condition, PRESENT, WITH_PATH};

#[derive(Debug)]
struct Counted {
    spec: Aggregate,
    /// Something is in it.
    stands: bool,
    /// With an AS_PATH.
    with_path: bool,
    /// What its own prefix has without it.
    beside: u8,
}

#[derive(Debug, Default)]
pub struct Standing {
    aggregates: HashMap<IpNet, Counted, RandomState>,
    /// Lengths that aggregates have, by family.
    lengths: [Vec<u8>; Family::COUNT],
    conditions: Vec<(Condition, bool)>,
    settled: bool,
}

impl Standing {
    pub fn new<'a>(
        aggregates: &[Aggregate],
        conditions: impl Iterator<Item = &'a Condition>,
    ) -> Standing {
        let mut standing = Standing::default();
        for spec in aggregates {
            let lengths = &mut standing.lengths[Family::of(&spec.prefix.addr()).index()];
            if !lengths.contains(&spec.prefix.prefix_len()) {
                lengths.push(spec.prefix.prefix_len());
            }
            let counted = Counted {
                spec: *spec,
                stands: false,
                with_path: false,
                beside: 0,
            };
            standing.aggregates.insert(spec.prefix, counted);
        }
        for condition in conditions {
            if !standing
                .conditions
                .iter()
                .any(|(known, _)| known == condition)
            {
                standing.conditions.push((condition.clone(), false));
            }
        }
        standing
    }

    /// Nothing has to be counted.
    pub fn is_idle(&self) -> bool {
        self.aggregates.is_empty() && self.conditions.is_empty()
    }

    /// A prefix, and what it would have: bits of [`presence`](crate::presence).
    pub fn count(&mut self, net: IpNet, presence: u8) {
        match self.aggregates.get_mut(&net) {
            Some(own) => own.beside = presence,
            None => self.add(net, presence),
        }
    }

    fn add(&mut self, net: IpNet, presence: u8) {
        if presence & PRESENT == 0 {
            return;
        }
        let lengths = &self.lengths[Family::of(&net.addr()).index()];
        for length in lengths.iter().filter(|len| **len < net.prefix_len()) {
            let around = IpNet::new(net.addr(), *length).map(|net| net.trunc());
            if let Some(counted) = around.ok().and_then(|net| self.aggregates.get_mut(&net)) {
                counted.stands = true;
                counted.with_path |= presence & WITH_PATH != 0;
            }
        }
        for (condition, holds) in &mut self.conditions {
            *holds = *holds || condition.matches(net);
        }
    }

    /// All is counted.
    pub fn settle(&mut self) {
        let mut prefixes: Vec<IpNet> = self.aggregates.keys().copied().collect();
        // What is in an aggregate decides about it, others among that.
        prefixes.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));
        for net in prefixes {
            if let Some(counted) = self.aggregates.get(&net) {
                // It goes before what peers have there, and has no path.
                let presence = match counted.stands {
                    true => PRESENT,
                    false => counted.beside,
                };
                self.add(net, presence);
            }
        }
        self.settled = true;
    }

    /// The aggregate that would stand there: whether with ATOMIC_AGGREGATE.
    pub fn aggregate(&self, net: IpNet) -> Option<bool> {
        let counted = self.aggregates.get(&net)?;
        (self.settled && counted.stands).then_some(counted.with_path)
    }

    /// Whether an aggregate would be announced in its place.
    pub fn hides(&self, net: IpNet) -> bool {
        let lengths = &self.lengths[Family::of(&net.addr()).index()];
        let shorter = lengths.iter().filter(|len| **len < net.prefix_len());
        shorter
            .filter_map(|len| Some(IpNet::new(net.addr(), *len).ok()?.trunc()))
            .filter_map(|around| self.aggregates.get(&around))
            .any(|counted| counted.spec.summary_only && counted.stands)
    }

    /// `None`, no condition: always.
    pub fn holds(&self, condition: Option<&Condition>) -> bool {
        condition.is_none_or(|condition| {
            let known = self.conditions.iter().find(|(other, _)| other == condition);
            known.is_some_and(|(_, holds)| *holds)
        })
    }
}
