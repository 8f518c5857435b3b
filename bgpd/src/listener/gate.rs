//! How often one address may connect.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::sync::lock;

/// A source that was quiet may open this many seconds' worth at once.
const BURST: Duration = Duration::from_secs(10);
/// Strangers that are told apart. More share one budget, so that a flood from
/// everywhere costs no memory.
const STRANGERS: usize = 4096;

/// One source's budget: when what it has opened is paid for.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Duration>);

impl Budget {
    fn take(&self, interval: Duration, now: Duration) -> bool {
        take(&mut lock(&self.0), interval, now)
    }
}

fn take(paid: &mut Duration, interval: Duration, now: Duration) -> bool {
    if *paid > now + BURST - interval.min(BURST) {
        return false;
    }
    *paid = now.max(*paid) + interval;
    true
}

/// Connections that were turned away since the daemon started.
#[derive(Debug, Default)]
pub struct Refused {
    /// No peer and no range has the address.
    pub strangers: AtomicU64,
    /// One address opened too many.
    pub rate: AtomicU64,
    /// A range, or the daemon, was full.
    pub limit: AtomicU64,
}

#[derive(Debug)]
pub struct Gate {
    /// A second, from one source; 0: no limit.
    rate: AtomicU32,
    /// Where neighbours may come from of whom no peer is known yet.
    ranges: ArcSwap<Vec<IpNet>>,
    strangers: Mutex<HashMap<IpAddr, Duration>>,
    /// Of all strangers that the table has no room for.
    rest: Budget,
    pub refused: Refused,
}

impl Gate {
    pub fn new(rate: u32) -> Gate {
        Gate {
            rate: AtomicU32::new(rate),
            ranges: ArcSwap::default(),
            strangers: Mutex::default(),
            rest: Budget::default(),
            refused: Refused::default(),
        }
    }

    pub fn set_rate(&self, rate: u32) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    pub fn set_ranges(&self, ranges: Vec<IpNet>) {
        self.ranges.store(Arc::new(ranges));
    }

    fn interval(&self) -> Option<Duration> {
        let rate = self.rate.load(Ordering::Relaxed);
        (rate > 0).then(|| Duration::from_secs(1) / rate)
    }

    /// A peer's connection, which has a budget of its own.
    pub fn admits_peer(&self, budget: &Budget, now: Duration) -> bool {
        let admits = self.interval().is_none_or(|i| budget.take(i, now));
        self.counted(admits)
    }

    pub fn admits_stranger(&self, address: IpAddr, now: Duration) -> bool {
        let admits = self
            .interval()
            .is_none_or(|i| self.stranger(self.source(address), i, now));
        self.counted(admits)
    }

    fn stranger(&self, source: IpAddr, interval: Duration, now: Duration) -> bool {
        let mut table = lock(&self.strangers);
        if let Some(paid) = table.get_mut(&source) {
            return take(paid, interval, now);
        }
        if table.len() >= STRANGERS {
            table.retain(|_, paid| *paid > now);
        }
        if table.len() >= STRANGERS {
            return self.rest.take(interval, now);
        }
        take(table.entry(source).or_default(), interval, now)
    }

    /// Whose budget it is. In a range each address is a neighbour; elsewhere, who
    /// has one IPv6 address has all of its /64.
    fn source(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V6(v6) if !self.ranges.load().iter().any(|r| r.contains(&address)) => {
                Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64)).into()
            }
            _ => address,
        }
    }

    fn counted(&self, admits: bool) -> bool {
        if !admits {
            self.refused.rate.fetch_add(1, Ordering::Relaxed);
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn admitted(gate: &Gate, address: &str, tries: usize, now: Duration) -> usize {
        let address = address.parse().unwrap();
        (0..tries)
            .filter(|_| gate.admits_stranger(address, now))
            .count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let gate = Gate::new(10);
        assert_eq!(admitted(&gate, "10.0.0.1", 500, NOW), 100);
        assert_eq!(
            admitted(&gate, "10.0.0.1", 500, NOW + Duration::from_secs(1)),
            10
        );
        assert_eq!(admitted(&gate, "10.0.0.2", 5, NOW), 5);
        assert_eq!(gate.refused.rate.load(Ordering::Relaxed), 890);
    }

    #[test]
    fn a_rate_below_the_bursts_resolution_still_lets_one_through() {
        let gate = Gate::new(1);
        assert_eq!(admitted(&gate, "10.0.0.1", 50, NOW), 10);
    }

    #[test]
    fn zero_is_no_limit() {
        let gate = Gate::new(0);
        assert_eq!(admitted(&gate, "10.0.0.1", 5000, NOW), 5000);
    }

    #[test]
    fn all_addresses_of_a_64_are_one_source() {
        let gate = Gate::new(10);
        assert_eq!(admitted(&gate, "fd00::1", 500, NOW), 100);
        assert_eq!(admitted(&gate, "fd00::2", 500, NOW), 0);
        assert_eq!(admitted(&gate, "fd00:0:0:1::2", 1, NOW), 1);
    }

    #[test]
    fn neighbours_of_a_range_have_a_budget_each_though_they_share_a_64() {
        let gate = Gate::new(10);
        gate.set_ranges(vec!["fd00::/64".parse().unwrap()]);
        for host in 1..=500 {
            let address = format!("fd00::{host:x}");
            assert_eq!(admitted(&gate, &address, 3, NOW), 3, "{address}");
        }
        assert_eq!(admitted(&gate, "fd00::1", 500, NOW), 97);
        assert_eq!(admitted(&gate, "fd01::1", 500, NOW), 100);
        assert_eq!(admitted(&gate, "fd01::2", 1, NOW), 0);
    }

    #[test]
    fn a_flood_from_everywhere_takes_no_more_memory_and_is_held_down() {
        let gate = Gate::new(10);
        let flood = |n: u32, now| {
            let from = |i: u32| IpAddr::from((0x0a00_0000 + i).to_be_bytes());
            (0..n)
                .filter(|i| gate.admits_stranger(from(*i), now))
                .count()
        };
        assert_eq!(flood(10_000, NOW), STRANGERS + 100);
        assert_eq!(lock(&gate.strangers).len(), STRANGERS);
        // Quiet ones make room.
        assert_eq!(flood(100, NOW + Duration::from_secs(60)), 100);
    }

    #[test]
    fn a_peer_has_a_budget_of_its_own() {
        let gate = Gate::new(10);
        let (one, other) = (Budget::default(), Budget::default());
        let admitted = |budget| (0..500).filter(|_| gate.admits_peer(budget, NOW)).count();
        assert_eq!(admitted(&one), 100);
        assert_eq!(admitted(&other), 100);
    }
}
