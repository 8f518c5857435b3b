//! The table of sessions, without sockets.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use godwit_bgp::bfd::{Hops, Packet};

use super::messages::{Key, Loss, Report, Request, State, Status, Wanted};
use super::table::{Arrival, MOST, Table};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn wanted(remote: &str) -> Wanted {
    Wanted {
        key: Key {
            remote: remote.parse().unwrap(),
            local: None,
            interface: None,
            multihop: false,
        },
        interval: 50_000,
        multiplier: 3,
    }
}

/// Two processes, `10.0.0.1` and `10.0.0.2`, on one link.
struct Link {
    tables: [Table; 2],
    now: Duration,
    cut: bool,
    status: [HashMap<Key, Status>; 2],
}

impl Link {
    fn new() -> Self {
        Link {
            tables: [Table::default(), Table::default()],
            now: Duration::ZERO,
            cut: false,
            status: Default::default(),
        }
    }

    /// Each wants the other, and has had a second for it.
    fn up() -> (Self, Wanted, Wanted) {
        let (to_second, to_first) = (wanted("10.0.0.2"), wanted("10.0.0.1"));
        let mut link = Link::new();
        link.want(0, std::slice::from_ref(&to_second));
        link.want(1, std::slice::from_ref(&to_first));
        link.run(SECOND);
        (link, to_second, to_first)
    }

    fn want(&mut self, at: usize, wanted: &[Wanted]) {
        self.tables[at].set(wanted, self.now).unwrap();
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let mut flying = Vec::new();
            for at in 0..2 {
                self.tables[at].tick(self.now, false, |_, key, packet| {
                    flying.push((at, key.clone(), *packet));
                });
                for status in self.tables[at].news(self.now) {
                    self.status[at].insert(status.key.clone(), status);
                }
            }
            for (from, key, packet) in flying {
                let arrival = Arrival {
                    from: format!("10.0.0.{}", from + 1).parse().unwrap(),
                    to: key.remote,
                    interface: 7,
                    hops: key.hops(),
                };
                let there = format!("10.0.0.{}", 2 - from).parse();
                if !self.cut && Ok(key.remote) == there {
                    self.tables[1 - from].receive(&packet, arrival, self.now);
                }
            }
            self.now += MS;
        }
    }

    fn status(&self, at: usize, wanted: &Wanted) -> &Status {
        &self.status[at][&wanted.key]
    }
}

#[test]
fn sessions_come_up_go_down_and_are_told_of() {
    let (mut link, to_second, _) = Link::up();
    let status = link.status(0, &to_second);
    assert_eq!((status.state, status.failures), (State::Up, 0));
    assert_eq!(status.detection_time, 150_000);

    link.cut = true;
    link.run(SECOND);
    let status = link.status(0, &to_second);
    assert_eq!(
        (status.state, status.loss),
        (State::Down, Some(Loss::Expired))
    );
    link.cut = false;
    link.run(2 * SECOND);
    let status = link.status(0, &to_second);
    assert_eq!((status.state, status.failures), (State::Up, 1));
}

#[test]
fn what_is_wanted_again_is_not_disturbed() {
    let (mut link, to_second, _) = Link::up();
    let before = link.status(0, &to_second).local_discriminator;
    link.want(0, &[wanted("10.0.0.9"), to_second.clone()]);
    let slower = Wanted {
        interval: 80_000,
        ..to_second.clone()
    };
    link.run(SECOND);
    link.want(0, &[slower]);
    link.run(SECOND);
    let status = link.status(0, &to_second);
    assert_eq!(status.local_discriminator, before);
    assert_eq!((status.state, status.failures), (State::Up, 0));
    assert_eq!(status.transmit_interval, Some(80_000));
}

#[test]
fn a_session_that_ends_is_no_failure_and_leaves_nothing() {
    let (mut link, to_second, to_first) = Link::up();
    link.want(0, &[]);
    link.run(10 * SECOND);
    assert!(link.tables[0].is_empty());
    assert_eq!(link.tables[0].next_deadline(), None);
    let status = link.status(1, &to_first);
    assert_eq!(
        (status.loss, status.failures),
        (Some(Loss::NeighborAdminDown), 0)
    );

    // Wanted again while it still says goodbye: it comes back under its name.
    link.want(0, std::slice::from_ref(&to_second));
    link.run(SECOND);
    link.want(0, &[]);
    link.run(100 * MS);
    link.want(0, std::slice::from_ref(&to_second));
    link.run(6 * SECOND);
    assert_eq!(link.status(0, &to_second).state, State::Up);
    assert_eq!(link.status(1, &to_first).failures, 0);
}

#[test]
fn a_packet_is_of_the_session_that_its_way_fits() {
    let mut table = Table::default();
    let on = |interface: &str| Wanted {
        key: Key {
            interface: Some(interface.to_owned()),
            ..wanted("fe80::1").key
        },
        ..wanted("fe80::1")
    };
    table.set(&[on("a"), on("b")], Duration::ZERO).unwrap();
    let mut first = None;
    let mut names = Vec::new();
    table.tick(Duration::ZERO, false, |name, key, packet| {
        first = first.or(Some(*packet));
        names.push((name, key.interface.as_deref() == Some("a")));
    });
    for (name, is_a) in names {
        table.set_interface(name, Some(if is_a { 1 } else { 2 }));
    }
    let hello = Packet {
        your_discriminator: 0,
        my_discriminator: NonZeroU32::new(5).unwrap(),
        ..first.unwrap()
    };
    let arrival = Arrival {
        from: "fe80::1".parse().unwrap(),
        to: "fe80::2".parse().unwrap(),
        interface: 2,
        hops: Hops::Single,
    };
    table.news(Duration::ZERO);
    let elsewhere = [
        Arrival {
            interface: 3,
            ..arrival
        },
        Arrival {
            hops: Hops::Multi,
            ..arrival
        },
        Arrival {
            from: "fe80::3".parse().unwrap(),
            ..arrival
        },
    ];
    for arrival in elsewhere {
        table.receive(&hello, arrival, MS);
    }
    assert_eq!(table.news(MS), []);
    table.receive(&hello, arrival, MS);
    let news = table.news(MS);
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].key.interface.as_deref(), Some("b"));
    assert_eq!(
        (news[0].state, news[0].remote_discriminator),
        (State::Init, 5)
    );

    // Our name from somewhere else is nobody's.
    let guessed = Packet {
        your_discriminator: news[0].local_discriminator,
        ..hello
    };
    table.receive(&guessed, elsewhere[0], MS);
    assert_eq!(table.news(MS), []);
}

#[test]
fn more_sessions_than_can_be_kept_change_nothing() {
    let mut table = Table::default();
    let one = wanted("10.0.0.2");
    table
        .set(std::slice::from_ref(&one), Duration::ZERO)
        .unwrap();
    let many: Vec<_> = (0..=MOST)
        .map(|n| wanted(&format!("10.1.{}.{}", n / 256, n % 256)))
        .collect();
    assert!(table.set(&many, Duration::ZERO).is_err());
    let left: Vec<_> = table
        .news(Duration::ZERO)
        .into_iter()
        .map(|s| s.key)
        .collect();
    assert_eq!(left, [one.key]);
}

#[test]
fn a_newer_or_older_build_is_understood() {
    let line = r#"{"type":"wonder","what":1}"#;
    assert_eq!(
        serde_json::from_str::<Request>(line).unwrap(),
        Request::Unknown
    );
    assert_eq!(
        serde_json::from_str::<Report>(line).unwrap(),
        Report::Unknown
    );
    let line = r#"{"type":"sessions","more":1,"sessions":[
        {"remote":"10.0.0.2","interval":50000,"multiplier":3,"colour":"red"}]}"#;
    let read = serde_json::from_str::<Request>(line).unwrap();
    assert_eq!(
        read,
        Request::Sessions {
            sessions: vec![wanted("10.0.0.2")]
        }
    );
}

/// A daemon that comes back asks for one session after the other.
#[test]
fn what_a_former_daemon_wanted_stays_until_its_time_is_over() {
    let (mut link, to_second, to_first) = Link::up();
    link.tables[0].inherit();
    link.want(0, &[wanted("10.0.0.9")]);
    link.run(SECOND);
    assert_eq!(link.status(0, &to_second).state, State::Up);
    // Asked for again, it is like any other; not asked for, it ends.
    link.want(0, std::slice::from_ref(&to_second));
    link.tables[0].end_inherited(link.now);
    link.run(SECOND);
    assert_eq!(link.status(1, &to_first).state, State::Up);
    link.tables[0].inherit();
    link.tables[0].end_inherited(link.now);
    link.run(6 * SECOND);
    assert!(link.tables[0].is_empty());
    let status = link.status(1, &to_first);
    assert_eq!(
        (status.loss, status.failures),
        (Some(Loss::NeighborAdminDown), 0)
    );
}

/// To the neighbour there is one session, whatever we call it.
#[test]
fn another_way_to_the_same_neighbour_is_the_same_session() {
    let (mut link, to_second, to_first) = Link::up();
    let before = link.status(0, &to_second).local_discriminator;
    let mut from = to_second;
    from.key.local = Some("10.0.0.1".parse().unwrap());
    link.want(0, std::slice::from_ref(&from));
    link.run(6 * SECOND);
    let status = link.status(0, &from);
    assert_eq!(status.local_discriminator, before);
    assert_eq!((status.state, status.failures), (State::Up, 0));
    assert_eq!(link.status(1, &to_first).failures, 0);
}
