//! Finding the one neighbour on an interface by IPv6 router advertisements
//! (RFC 4861), and being found: "unnumbered" peers.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod finder;
mod task;

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use godwit_bgp::InterfaceName;
use tokio::sync::Notify;

use self::finder::Finder;
pub use self::finder::Tie;
pub(crate) use self::task::spawn;
use crate::clock;
use crate::sync::lock;

/// What is known of the neighbour on one interface: written by the task that
/// listens there, read by the peer's task and by whoever shows it.
#[derive(Debug)]
pub struct Discovery {
    interface: InterfaceName,
    state: Mutex<State>,
    /// The peer's task is to look again.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    link: Link,
    finder: Finder,
    /// Why we cannot listen or speak.
    trouble: Option<String>,
}

/// What the interface is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Absent,
    Down,
    NoCarrier,
    Running(u32),
}

/// The neighbour, and by which interface index it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: Ipv6Addr,
    pub link: u32,
}

/// For people and the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// The neighbour, and since when it is known.
    pub neighbour: Option<(Ipv6Addr, Duration)>,
    pub note: Note,
}

/// What keeps a neighbour from being found, or is odd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Note {
    #[default]
    Nothing,
    NoInterface(InterfaceName),
    Down(InterfaceName),
    NoCarrier(InterfaceName),
    /// Why we cannot listen or speak.
    Trouble(String),
    /// It has not sent a router advertisement there yet, nor connected.
    Silence(InterfaceName),
    /// Beside the neighbour there is another router.
    Another(InterfaceName, Ipv6Addr),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Nothing => Ok(()),
            Note::NoInterface(name) => write!(f, "there is no interface {name}"),
            Note::Down(name) => write!(f, "{name} is down"),
            Note::NoCarrier(name) => write!(f, "{name} has no carrier"),
            Note::Trouble(why) => f.write_str(why),
            Note::Silence(name) => write!(f, "waiting for a router advertisement on {name}"),
            Note::Another(name, other) => write!(
                f,
                "another router is on {name}, {other}: one neighbour is expected there"
            ),
        }
    }
}

impl Discovery {
    pub fn new(interface: InterfaceName) -> Arc<Discovery> {
        Arc::new(Discovery {
            interface,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Returns when something is new.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub fn found(&self) -> Option<Found> {
        let state = lock(&self.state);
        let Link::Running(link) = state.link else {
            return None;
        };
        let address = state.finder.neighbour()?.address;
        Some(Found { address, link })
    }

    /// Somebody connected to us from this address on this link, and we have this
    /// with the neighbour that is known; false: it is not the neighbour.
    pub fn called(&self, address: Ipv6Addr, link: u32, tie: Tie) -> bool {
        let mut state = lock(&self.state);
        state.link == Link::Running(link)
            && address.is_unicast_link_local()
            && state.finder.called(address, tie, clock::now())
    }

    pub fn finding(&self) -> Finding {
        let state = lock(&self.state);
        let name = self.interface;
        let neighbour = state.finder.neighbour().map(|n| (n.address, n.since));
        let note = match (state.link, &state.trouble, neighbour) {
            (Link::Absent, ..) => Note::NoInterface(name),
            (Link::Down, ..) => Note::Down(name),
            (Link::NoCarrier, ..) => Note::NoCarrier(name),
            (_, Some(trouble), _) => Note::Trouble(trouble.clone()),
            (.., None) => Note::Silence(name),
            _ => state
                .finder
                .other(clock::now())
                .map_or(Note::Nothing, |other| Note::Another(name, other)),
        };
        Finding { neighbour, note }
    }

    /// Changes the state; who waits is told where that may matter.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> (T, bool)) -> T {
        let (result, news) = change(&mut lock(&self.state));
        if news {
            self.changed.notify_one();
        }
        result
    }
}
