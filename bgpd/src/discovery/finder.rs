//! Who the neighbour is, and when to speak: decided without sockets or clocks.

use std::net::Ipv6Addr;
use std::time::Duration;

/// Messages that follow each other quickly when a link comes up, and how quickly:
/// both ends of a cable often come up in the same second.
///
/// RFC 4861 §6.2.6 has 3 s between two, and answers late by up to 0.5 s: for
/// links with many hosts that ask at once. Here is one neighbour at the other
/// end, a session waits for the answer, and none of what we say is for hosts.
const FAST: u8 = 4;
const FAST_INTERVAL: Duration = Duration::from_secs(1);
/// Later ones: well within the patience of who waits for a router.
const INTERVAL: Duration = Duration::from_secs(10);
/// Solicitations are answered, but not faster than this.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Without a session, a neighbour that was silent for so long has made room for
/// another.
const SILENT: Duration = Duration::from_secs(15);
/// Other routers on the link are told of this far apart: any host there can
/// make up as many as it likes.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The longest that RFC 4861 §6.2.1 lets a router wait between two messages.
const REMEMBERED: Duration = Duration::from_secs(1800);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub address: Ipv6Addr,
    pub since: Duration,
    heard: Duration,
}

/// What there is with the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    None,
    /// TCP stands, and no session yet.
    Connection,
    Session,
}

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Ask for advertisements, too.
    pub solicit: bool,
}

/// One link: at most one neighbour, and the last of any others.
#[derive(Debug, Default)]
pub struct Finder {
    neighbour: Option<Neighbour>,
    other: Option<(Ipv6Addr, Duration)>,
    /// The one of the others that was told of last.
    told: Option<(Ipv6Addr, Duration)>,
    fast_left: u8,
    last_sent: Option<Duration>,
    next: Duration,
}

impl Finder {
    /// The link came up; nothing is known of who is there.
    pub fn begin(now: Duration) -> Finder {
        Finder {
            fast_left: FAST,
            next: now,
            ..Finder::default()
        }
    }

    pub fn neighbour(&self) -> Option<&Neighbour> {
        self.neighbour.as_ref()
    }

    /// Another router that was heard on the link.
    pub fn other(&self, now: Duration) -> Option<Ipv6Addr> {
        let (address, at) = self.other?;
        (now.saturating_sub(at) < REMEMBERED).then_some(address)
    }

    /// An advertisement; true: there is something new to show or to do.
    pub fn heard(&mut self, from: Ipv6Addr, established: bool, now: Duration) -> bool {
        match &mut self.neighbour {
            Some(neighbour) if neighbour.address == from => {
                neighbour.heard = now;
                false
            }
            // A session is better proof than any advertisement.
            Some(neighbour) if established || now.saturating_sub(neighbour.heard) < SILENT => {
                self.other = Some((from, now));
                self.tells(from, now)
            }
            _ => self.take(from, now),
        }
    }

    /// Whether another router is to be told of: a new one, and not one after
    /// the other.
    fn tells(&mut self, other: Ipv6Addr, now: Duration) -> bool {
        let news = self.told.is_none_or(|(told, at)| {
            let ago = now.saturating_sub(at);
            ago >= REMEMBERED || (told != other && ago >= TELL_EVERY)
        });
        if news {
            self.told = Some((other, now));
        }
        news
    }

    /// A connection; false: from somebody else than the neighbour, with whom we
    /// have a session, or are about to. So nobody else on the link keeps the two
    /// apart by connecting again and again.
    pub fn called(&mut self, from: Ipv6Addr, tie: Tie, now: Duration) -> bool {
        match &mut self.neighbour {
            Some(neighbour) if neighbour.address == from => {
                neighbour.heard = now;
                true
            }
            Some(neighbour)
                if tie == Tie::Session
                    || (tie == Tie::Connection && now.saturating_sub(neighbour.heard) < SILENT) =>
            {
                self.other = Some((from, now));
                false
            }
            _ => self.take(from, now),
        }
    }

    fn take(&mut self, address: Ipv6Addr, now: Duration) -> bool {
        self.neighbour = Some(Neighbour {
            address,
            since: now,
            heard: now,
        });
        (self.other, self.told) = (None, None);
        true
    }

    /// Somebody asked for advertisements: the next goes out early.
    pub fn solicited(&mut self, now: Duration) {
        let earliest = self.last_sent.map_or(now, |at| at + AT_MOST_EVERY);
        self.next = self.next.min(earliest.max(now));
    }

    pub fn next_deadline(&self) -> Duration {
        self.next
    }

    /// What is to be sent now, if anything. `jitter`, 0 to 1, keeps routers that
    /// started together apart (RFC 4861 §6.2.4).
    pub fn due(&mut self, now: Duration, jitter: f64) -> Option<Due> {
        if now < self.next {
            return None;
        }
        self.fast_left = self.fast_left.saturating_sub(1);
        let interval = if self.fast_left > 0 {
            FAST_INTERVAL
        } else {
            INTERVAL.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 4.0)
        };
        self.last_sent = Some(now);
        self.next = now + interval;
        Some(Due {
            solicit: self.neighbour.is_none(),
        })
    }

    /// What was due could not be sent: again soon.
    pub fn failed(&mut self, now: Duration) {
        self.fast_left = FAST;
        self.next = now + FAST_INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn address(finder: &Finder) -> Option<Ipv6Addr> {
        finder.neighbour().map(|n| n.address)
    }

    #[test]
    fn the_first_router_heard_is_the_neighbour() {
        let mut finder = Finder::begin(at(0));
        assert!(finder.heard(A, false, at(1)));
        assert!(!finder.heard(A, false, at(2)));
        assert_eq!(finder.neighbour().unwrap().since, at(1));
    }

    #[test]
    fn a_second_router_is_told_and_not_taken() {
        let mut finder = Finder::begin(at(0));
        finder.heard(A, false, at(1));
        assert!(finder.heard(B, false, at(2)));
        assert!(!finder.heard(B, false, at(3)), "news only once");
        assert_eq!((address(&finder), finder.other(at(4))), (Some(A), Some(B)));
        assert_eq!(finder.other(at(4000)), None);
    }

    #[test]
    fn a_new_address_follows_a_silent_one_unless_it_has_a_session() {
        for established in [true, false] {
            let mut finder = Finder::begin(at(0));
            finder.heard(A, false, at(1));
            finder.heard(B, established, at(20));
            let expected = if established { A } else { B };
            assert_eq!(address(&finder), Some(expected));
        }
    }

    #[test]
    fn who_connects_is_the_neighbour_unless_another_has_a_session() {
        let mut finder = Finder::begin(at(0));
        assert!(finder.called(A, Tie::None, at(1)));
        assert!(finder.called(B, Tie::None, at(2)));
        assert!(!finder.called(A, Tie::Session, at(3)));
        assert!(finder.called(B, Tie::Session, at(3)));
        assert_eq!((address(&finder), finder.other(at(3))), (Some(B), Some(A)));
    }

    #[test]
    fn a_connection_to_a_neighbour_that_speaks_is_not_given_up_for_another_caller() {
        let mut finder = Finder::begin(at(0));
        finder.called(A, Tie::None, at(1));
        assert!(!finder.called(B, Tie::Connection, at(15)));
        assert_eq!((address(&finder), finder.other(at(15))), (Some(A), Some(B)));
        // It hangs, and the neighbour is silent.
        assert!(finder.called(B, Tie::Connection, at(16)));
        assert_eq!(address(&finder), Some(B));
    }

    #[test]
    fn others_in_turn_are_told_of_now_and_then() {
        let c = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);
        let mut finder = Finder::begin(at(0));
        finder.heard(A, false, at(0));
        let told = (0..600u64)
            .filter(|n| {
                let now = at(1) + Duration::from_millis(n * 100);
                finder.heard(A, false, now);
                finder.heard(if n % 2 == 0 { B } else { c }, false, now)
            })
            .count();
        assert!((5..=6).contains(&told), "{told} in a minute");
    }

    #[test]
    fn we_speak_quickly_at_first_and_ask_until_somebody_answers() {
        let mut finder = Finder::begin(at(5));
        let mut sent = Vec::new();
        for second in 0..30 {
            if second == 7 {
                finder.heard(A, false, at(7));
            }
            if let Some(due) = finder.due(at(second), 1.0) {
                sent.push((second, due.solicit));
            }
        }
        let expected = [
            (5, true),
            (6, true),
            (7, false),
            (8, false),
            (18, false),
            (28, false),
        ];
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_solicitation_is_answered_but_a_flood_is_not() {
        let mut finder = Finder::begin(at(0));
        for second in 0..4 {
            finder.due(at(second), 0.0);
        }
        let mut sent = 0;
        for tick in 0..1000u64 {
            let now = at(5) + Duration::from_millis(tick * 10);
            finder.solicited(now);
            sent += usize::from(finder.due(now, 0.0).is_some());
        }
        assert!((10..=11).contains(&sent), "{sent} in ten seconds");
    }
}
