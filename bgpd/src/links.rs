//! Which links are there and whether they carry packets: ends the sessions of
//! one that lost its carrier, and tells who waits for one. A thread, as the
//! kernel's news is read blocking; it waits nearly always.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

use godwit_bgp::InterfaceName;
use godwit_netlink::{Error, Event, Link, Monitor, RequestSocket, Waker, wait_readable};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::peer::{PeerCommand, Registry};
use crate::sync::lock;

/// Between two attempts to listen to the kernel.
const PAUSE: Duration = Duration::from_secs(10);

/// An interface as its name finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// 0: there is none of this name.
    pub index: u32,
    pub up: bool,
    /// Up, and with carrier.
    pub running: bool,
    /// Its Ethernet address.
    pub hardware: Option<[u8; 6]>,
}

impl LinkState {
    fn of(link: &Link) -> LinkState {
        LinkState {
            index: link.index,
            up: link.up,
            running: link.running,
            hardware: link.hardware_address[..].try_into().ok(),
        }
    }
}

/// All links, and who waits for some.
#[derive(Debug, Default)]
pub struct Links {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    links: HashMap<u32, (Option<InterfaceName>, LinkState)>,
    watched: HashMap<InterfaceName, watch::Sender<LinkState>>,
}

impl Links {
    /// The link of this name, now and whenever it changes.
    pub fn watch(&self, name: InterfaceName) -> watch::Receiver<LinkState> {
        let mut table = lock(&self.table);
        table.watched.retain(|_, sender| !sender.is_closed());
        let state = table.state(name);
        let sender = table.watched.entry(name);
        sender
            .or_insert_with(|| watch::Sender::new(state))
            .subscribe()
    }

    fn set(&self, link: &Link) {
        let mut table = lock(&self.table);
        let new = (link.name.parse().ok(), LinkState::of(link));
        let old = table.links.insert(link.index, new);
        table.tell([old.and_then(|(name, _)| name), new.0]);
    }

    fn remove(&self, index: u32) {
        let mut table = lock(&self.table);
        let old = table.links.remove(&index);
        table.tell([old.and_then(|(name, _)| name), None]);
    }

    fn replace(&self, links: &[Link]) {
        let mut table = lock(&self.table);
        let entry = |l: &Link| (l.index, (l.name.parse().ok(), LinkState::of(l)));
        table.links = links.iter().map(entry).collect();
        let names: Vec<InterfaceName> = table.watched.keys().copied().collect();
        table.tell(names.into_iter().map(Some));
    }
}

impl Table {
    fn state(&self, name: InterfaceName) -> LinkState {
        let found = self.links.values().find(|(other, _)| *other == Some(name));
        found.map_or_else(LinkState::default, |(_, state)| *state)
    }

    fn tell(&self, names: impl IntoIterator<Item = Option<InterfaceName>>) {
        for name in names.into_iter().flatten() {
            if let Some(sender) = self.watched.get(&name) {
                let state = self.state(name);
                sender.send_if_modified(|old| std::mem::replace(old, state) != state);
            }
        }
    }
}

/// Watches for as long as the process runs. Without it sessions still end, by
/// their hold timers.
pub fn spawn(links: Arc<Links>, registry: Arc<Registry>) -> io::Result<()> {
    let watch = move || {
        loop {
            if let Err(error) = follow(&links, &registry) {
                warn!(%error, "cannot watch links, trying again");
            }
            thread::sleep(PAUSE);
        }
    };
    thread::Builder::new()
        .name("links".to_owned())
        .spawn(watch)
        .map(drop)
}

fn follow(links: &Links, registry: &Registry) -> Result<(), Box<dyn std::error::Error>> {
    let mut monitor = Monitor::open_links()?;
    // Nobody wakes it: it stands for the second of the two things to wait for.
    let never = Waker::new()?;
    // What happened before we listened.
    let mut down = read_all(links)?;
    loop {
        let mut lost = false;
        while monitor.read(|event| match event {
            Event::Link(link) => {
                if !link.running {
                    down.push(link.index);
                }
                links.set(&link);
            }
            Event::LinkGone(index) => {
                down.push(index);
                links.remove(index);
            }
            Event::Resync => lost = true,
            _ => {}
        })? {}
        if lost {
            down.extend(read_all(links)?);
        }
        for link in down.drain(..) {
            end_sessions(registry, link);
        }
        wait_readable([monitor.as_fd(), never.as_fd()], None)?;
    }
}

/// Reads all links anew; those that carry nothing.
fn read_all(links: &Links) -> Result<Vec<u32>, Error> {
    let all = RequestSocket::open()?.links()?;
    links.replace(&all);
    let dead = all.iter().filter(|l| !l.running);
    Ok(dead.map(|l| l.index).collect())
}

fn end_sessions(registry: &Registry, link: u32) {
    for view in registry.views() {
        let status = view.status();
        let on_it = status.session.as_ref().and_then(|s| s.link) == Some(link);
        if on_it && let Some(entry) = registry.entry(status.name) {
            debug!(peer = %status.name, link, "the link lost its carrier");
            // Its task has ended by itself: as good.
            let _ = entry.commands.blocking_send(PeerCommand::LinkLost(link));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, running: bool) -> Link {
        Link {
            index,
            name: name.to_owned(),
            up: true,
            running,
            loopback: false,
            mtu: 1500,
            hardware_address: vec![2, 0, 0, 0, 0, 1],
        }
    }

    #[test]
    fn who_waits_for_a_name_hears_of_it_alone() {
        let links = Links::default();
        let mut eth1 = links.watch("eth1".parse().unwrap());
        assert_eq!(*eth1.borrow_and_update(), LinkState::default());
        links.set(&link(7, "eth0", true));
        assert!(!eth1.has_changed().unwrap());
        links.set(&link(8, "eth1", false));
        assert_eq!(eth1.borrow_and_update().index, 8);
        links.set(&link(8, "eth1", true));
        assert!(eth1.borrow_and_update().running);
        // The same again is no news.
        links.set(&link(8, "eth1", true));
        assert!(!eth1.has_changed().unwrap());
    }

    #[test]
    fn a_renamed_link_leaves_one_name_and_takes_another() {
        let links = Links::default();
        links.replace(&[link(8, "eth1", true)]);
        let [mut old, mut new] = ["eth1", "uplink"].map(|n| links.watch(n.parse().unwrap()));
        assert_eq!(
            (old.borrow_and_update().index, new.borrow_and_update().index),
            (8, 0)
        );
        links.set(&link(8, "uplink", true));
        assert_eq!(
            (old.borrow_and_update().index, new.borrow_and_update().index),
            (0, 8)
        );
        links.remove(8);
        assert_eq!(new.borrow_and_update().index, 0);
    }
}
