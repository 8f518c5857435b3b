//! Two sessions over a path that delays, loses and breaks, in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Both ends, and the packets between them by time of arrival.
struct Pair {
    now: Duration,
    ends: [Session; 2],
    flying: BTreeMap<(Duration, u64), (usize, Packet)>,
    count: u64,
    delay: Duration,
    /// Whether the nth packet, of this end, gets through.
    passes: Box<dyn Fn(u64, usize) -> bool>,
    changes: Vec<(Duration, usize, Change)>,
}

impl Pair {
    fn new(first: SessionConfig, second: SessionConfig, delay: Duration) -> Self {
        let end = |name, config| Session::new(NonZeroU32::new(name).unwrap(), config, name.into());
        Pair {
            now: Duration::ZERO,
            ends: [end(1, first), end(2, second)],
            flying: BTreeMap::new(),
            count: 0,
            delay,
            passes: Box::new(|_, _| true),
            changes: Vec::new(),
        }
    }

    /// Runs until `until`.
    fn run(&mut self, until: Duration) {
        loop {
            for at in 0..2 {
                let change = self.ends[at].handle_timeout(self.now);
                self.note(at, change);
                while let Some(packet) = self.ends[at].poll_transmit(self.now) {
                    self.count += 1;
                    if (self.passes)(self.count, at) {
                        let packet = Packet::decode(&packet.encode()).unwrap();
                        self.flying
                            .insert((self.now + self.delay, self.count), (1 - at, packet));
                    }
                }
            }
            let arrival = self.flying.first_key_value().map(|(key, _)| key.0);
            let deadlines = self.ends.iter().filter_map(Session::next_deadline);
            let Some(next) = deadlines.chain(arrival).min() else {
                break;
            };
            if next > until {
                break;
            }
            assert!(next >= self.now || next == Duration::ZERO, "time goes back");
            self.now = next.max(self.now);
            // As a caller does: what has arrived first, then the timers.
            while let Some(entry) = self.flying.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, packet) = entry.remove();
                let known = self.ends[to].local_discriminator().get();
                if packet.your_discriminator == 0 || packet.your_discriminator == known {
                    let change = self.ends[to].receive(&packet, self.now);
                    self.note(to, change);
                }
            }
        }
        self.now = until;
    }

    fn note(&mut self, at: usize, change: Option<Change>) {
        self.changes
            .extend(change.map(|change| (self.now, at, change)));
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

#[test]
fn two_ends_come_up_in_a_few_exchanges_and_notice_a_cut_in_time() {
    let mut pair = Pair::new(config(50 * MS, 3), config(100 * MS, 4), MS);
    pair.run(10 * MS);
    assert_eq!(pair.states(), [State::Up; 2]);
    pair.run(10 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
    let before = pair.count;
    pair.run(11 * SECOND);
    let rate = pair.count - before;
    assert!(
        (20..=28).contains(&rate),
        "both send each 100 ms: {rate} a second"
    );

    pair.changes.clear();
    pair.passes = Box::new(|_, _| false);
    pair.run(20 * SECOND);
    let [(first, ..), (second, ..)] = pair.changes[..] else {
        panic!("{:?}", pair.changes)
    };
    assert!(first <= 11 * SECOND + 300 * MS + MS, "{first:?}");
    assert!(second <= 11 * SECOND + 400 * MS + MS, "{second:?}");
    assert!(
        pair.changes
            .iter()
            .all(|c| c.2 == Change::DetectionTimeExpired)
    );

    pair.passes = Box::new(|_, _| true);
    pair.run(22 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn one_way_loss_takes_both_ends_down() {
    let mut pair = Pair::new(config(50 * MS, 3), config(50 * MS, 3), MS);
    pair.run(SECOND);
    pair.changes.clear();
    pair.passes = Box::new(|_, from| from != 0);
    pair.run(SECOND + 152 * MS);
    let told: Vec<_> = pair.changes.iter().map(|c| (c.1, c.2)).collect();
    let expired = Diagnostic::DETECTION_TIME_EXPIRED;
    assert_eq!(
        told,
        [
            (1, Change::DetectionTimeExpired),
            (0, Change::NeighborDown(expired)),
        ]
    );
}

#[test]
fn a_planned_end_is_no_failure_for_the_other() {
    let mut pair = Pair::new(config(50 * MS, 3), config(50 * MS, 3), MS);
    pair.run(SECOND);
    pair.changes.clear();
    pair.ends[0].set_admin_down(true, pair.now);
    pair.run(10 * SECOND);
    let told: Vec<_> = pair.changes.iter().map(|c| (c.1, c.2)).collect();
    assert_eq!(told, [(1, Change::NeighborAdminDown)]);
    assert!(pair.ends[0].finished());
}

#[test]
fn a_restarted_end_is_noticed_and_both_come_back() {
    let mut pair = Pair::new(config(50 * MS, 3), config(50 * MS, 3), MS);
    pair.run(SECOND);
    pair.changes.clear();
    pair.ends[0] = Session::new(NonZeroU32::new(77).unwrap(), config(50 * MS, 3), 5);
    pair.run(3 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
    assert_eq!(pair.changes[0].1, 1, "{:?}", pair.changes);
    assert_eq!(pair.ends[1].remote_discriminator(), 77);
}

fn any_config() -> impl Strategy<Value = SessionConfig> {
    (20u64..2000, 20u64..2000, 2u8..6).prop_map(|(tx, rx, detect_mult)| SessionConfig {
        desired_min_tx: Duration::from_millis(tx),
        required_min_rx: Duration::from_millis(rx),
        detect_mult,
        control_plane_independent: false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// §6.8.3: whatever is changed while the session is up, as long as no packet
    /// is lost and the delay stays under an interval, nothing goes down.
    #[test]
    fn changes_of_intervals_never_cost_the_session(
        configs in proptest::collection::vec((0usize..2, any_config(), 1u64..3000), 1..12),
        delay in 0u64..8,
    ) {
        let mut pair = Pair::new(config(50 * MS, 3), config(50 * MS, 3), Duration::from_millis(delay));
        pair.run(2 * SECOND);
        prop_assert_eq!(pair.states(), [State::Up; 2]);
        pair.changes.clear();
        for (at, config, wait) in configs {
            pair.ends[at].set_config(config);
            pair.run(pair.now + Duration::from_millis(wait));
        }
        pair.run(pair.now + 10 * SECOND);
        prop_assert_eq!(&pair.changes, &[]);
    }

    /// Whatever is lost, once the path is whole both ends come up and stay.
    #[test]
    fn both_ends_always_come_up(
        first in any_config(), second in any_config(),
        lost in proptest::collection::vec(any::<bool>(), 0..200),
        delay in 0u64..30,
    ) {
        let mut pair = Pair::new(first, second, Duration::from_millis(delay));
        let until = lost.len() as u64;
        pair.passes = Box::new(move |n, _| lost.get(n as usize).is_none_or(|lost| !lost));
        while pair.count < until {
            pair.run(pair.now + SECOND);
        }
        pair.run(pair.now + 30 * SECOND);
        pair.changes.clear();
        pair.run(pair.now + 60 * SECOND);
        prop_assert_eq!(pair.states(), [State::Up; 2]);
        prop_assert_eq!(&pair.changes, &[]);
    }
}
