//! Ends the sessions of a link that lost its carrier. A thread, as the kernel's
//! news is read blocking; it waits nearly always.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use godwit_netlink::{Error, Event, Monitor, RequestSocket, Waker, wait_readable};
use tracing::{debug, warn};

use crate::peer::{PeerCommand, Registry};

/// Between two attempts to listen to the kernel.
const PAUSE: Duration = Duration::from_secs(10);

/// Watches for as long as the process runs. Without it sessions still end, by
/// their hold timers.
pub fn spawn(registry: Arc<Registry>) -> io::Result<()> {
    let watch = move || {
        loop {
            if let Err(error) = follow(&registry) {
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

fn follow(registry: &Registry) -> Result<(), Box<dyn std::error::Error>> {
    let mut monitor = Monitor::open_links()?;
    // Nobody wakes it: it stands for the second of the two things to wait for.
    let never = Waker::new()?;
    loop {
        let mut down = Vec::new();
        let mut lost = false;
        while monitor.read(|event| match event {
            Event::Link(link) if !link.running => down.push(link.index),
            Event::LinkGone(index) => down.push(index),
            Event::Resync => lost = true,
            _ => {}
        })? {}
        if lost {
            down.extend(dead()?);
        }
        for link in down {
            end_sessions(registry, link);
        }
        wait_readable([monitor.as_fd(), never.as_fd()], None)?;
    }
}

fn dead() -> Result<Vec<u32>, Error> {
    let links = RequestSocket::open()?.links()?;
    let dead = links.iter().filter(|l| !l.running);
    Ok(dead.map(|l| l.index).collect())
}

fn end_sessions(registry: &Registry, link: u32) {
    for view in registry.views() {
        let status = view.status();
        let on_it = status.session.as_ref().and_then(|s| s.link) == Some(link);
        if on_it && let Some(entry) = registry.entry(status.address) {
            debug!(peer = %status.address, link, "the link lost its carrier");
            // Its task has ended by itself: as good.
            let _ = entry.commands.blocking_send(PeerCommand::LinkLost(link));
        }
    }
}
