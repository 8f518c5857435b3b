//! The task of one interface: waits for the link, then speaks and listens on it.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use godwit_netlink::{Heard, RouterSocket, sysctl};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, sleep_until};
use tracing::{debug, info, warn};

use super::finder::Finder;
use super::{Discovery, Link};
use crate::clock;
use crate::interfaces::Interfaces;
use crate::links::{LinkState, Links};
use crate::peer::{PeerName, Registry};
use crate::status::PeerView;

/// Messages that are read in one go, and the pause before the next: whoever
/// floods the link costs us no more than this.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(50);
/// Before another attempt to open the socket.
const RETRY: Duration = Duration::from_secs(5);

/// Starts it; it runs until it is aborted.
pub(crate) fn spawn(
    discovery: Arc<Discovery>,
    view: Arc<PeerView>,
    links: &Links,
    registry: Arc<Registry>,
    interfaces: Arc<Interfaces>,
) -> AbortHandle {
    let link = links.watch(discovery.interface);
    let listener = Listener {
        discovery,
        view,
        link,
        registry,
        interfaces,
    };
    tokio::spawn(listener.run()).abort_handle()
}

struct Listener {
    discovery: Arc<Discovery>,
    view: Arc<PeerView>,
    link: watch::Receiver<LinkState>,
    registry: Arc<Registry>,
    interfaces: Arc<Interfaces>,
}

impl Listener {
    async fn run(mut self) {
        loop {
            let link = *self.link.borrow_and_update();
            self.enter(link);
            let ended = match link {
                LinkState {
                    running: true,
                    index,
                    ..
                } => self.listen(index, link.hardware).await,
                _ => self.link.changed().await.map_err(|_| ()),
            };
            if ended.is_err() {
                // The watch of links is gone, and so is the daemon.
                return;
            }
        }
    }

    /// The link is as it is now; who was on it before is forgotten.
    fn enter(&self, link: LinkState) {
        let state = match link {
            LinkState { index: 0, .. } => Link::Absent,
            LinkState {
                running: true,
                index,
                ..
            } => Link::Running(index),
            LinkState { up: true, .. } => Link::NoCarrier,
            _ => Link::Down,
        };
        let name = PeerName::Interface(self.discovery.interface);
        self.registry
            .set_link(name, link.running.then_some(link.index));
        self.discovery.change(|s| {
            s.finder = Finder::begin(clock::now());
            s.trouble = None;
            let news = s.link != state;
            s.link = state;
            ((), news)
        });
    }

    /// Until the link changes. `Err`: the daemon ends.
    async fn listen(&mut self, index: u32, hardware: Option<[u8; 6]>) -> Result<(), ()> {
        let here = LinkState {
            index,
            up: true,
            running: true,
            hardware,
        };
        let hardware = hardware.map_or(Vec::new(), |h| h.to_vec());
        loop {
            let opened = RouterSocket::open(index)
                .map_err(|e| e.to_string())
                .and_then(|s| Ok((readiness(&s).map_err(|e| e.to_string())?, s)));
            let (ready, socket) = match opened {
                Ok(both) => both,
                Err(e) => {
                    self.trouble(Some(e));
                    tokio::select! {
                        changed = self.link.changed() => return changed.map_err(|_| ()),
                        () = sleep(RETRY) => continue,
                    }
                }
            };
            loop {
                let next = self.discovery.change(|s| (s.finder.next_deadline(), false));
                tokio::select! {
                    changed = self.link.changed() => {
                        changed.map_err(|_| ())?;
                        if *self.link.borrow() != here {
                            return Ok(());
                        }
                    }
                    readable = ready.readable() => match readable {
                        Ok(()) => {
                            if !self.read(&ready, &socket) {
                                // There is more, but not at once.
                                sleep(PAUSE).await;
                            }
                        }
                        Err(e) => {
                            self.trouble(Some(e.to_string()));
                            break;
                        }
                    },
                    () = sleep_until(clock::instant(next).into()) => {}
                }
                self.speak(&socket, &hardware);
            }
        }
    }

    /// True: there is nothing left to read.
    fn read(&self, ready: &UdpSocket, socket: &RouterSocket) -> bool {
        for _ in 0..BURST {
            match ready.try_io(Interest::READABLE, || socket.receive()) {
                Ok(Some(Heard::Advertisement { from, lifetime })) => {
                    self.heard(from, lifetime, socket);
                }
                Ok(Some(Heard::Solicitation)) => self.discovery.change(|s| {
                    s.finder.solicited(clock::now());
                    ((), false)
                }),
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                Err(e) => {
                    debug!(interface = %self.discovery.interface, "cannot read router discovery: {e}");
                    return true;
                }
            }
        }
        false
    }

    fn heard(&self, from: std::net::Ipv6Addr, lifetime: u16, socket: &RouterSocket) {
        if self.interfaces.has(from.into(), socket.interface()) {
            // A loop on the link brings us back what we say.
            return;
        }
        let established = self.view.status().session.is_some();
        let news = self.discovery.change(|s| {
            let news = s.finder.heard(from, established, clock::now());
            (news, news)
        });
        if !news {
            return;
        }
        let interface = self.discovery.interface;
        if self.discovery.found().is_some_and(|f| f.address == from) {
            info!(%interface, address = %from, "found the neighbour by its router advertisement");
            if lifetime > 0 && kernel_believes(interface.as_str()) {
                warn!(
                    %interface,
                    "the neighbour says it is a default router, and the kernel believes it: \
                     set net.ipv6.conf.{interface}.accept_ra to 0 if that is not wanted"
                );
            }
        } else {
            warn!(%interface, address = %from, "another router advertises itself: one neighbour is expected on the link");
        }
    }

    fn speak(&self, socket: &RouterSocket, hardware: &[u8]) {
        let jitter = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
        let due = self
            .discovery
            .change(|s| (s.finder.due(clock::now(), jitter), false));
        let Some(due) = due else { return };
        let sent = if due.solicit {
            socket.solicit(hardware)
        } else {
            Ok(())
        };
        match sent.and_then(|()| socket.advertise(hardware)) {
            Ok(()) => self.trouble(None),
            Err(e) => {
                self.discovery.change(|s| {
                    s.finder.failed(clock::now());
                    ((), false)
                });
                self.trouble(Some(why(self.discovery.interface.as_str(), &e)));
            }
        }
    }

    fn trouble(&self, trouble: Option<String>) {
        if let Some(text) = &trouble {
            debug!(interface = %self.discovery.interface, "router discovery: {text}");
        }
        self.discovery.change(|s| {
            let news = s.trouble != trouble;
            s.trouble = trouble;
            ((), news)
        });
    }
}

/// Lets the runtime say when there is something to read. To it this is a socket
/// like any other; none of the calls of UDP is used.
fn readiness(socket: &RouterSocket) -> io::Result<UdpSocket> {
    let same = socket.as_fd().try_clone_to_owned()?;
    UdpSocket::from_std(same.into())
}

impl Drop for Listener {
    fn drop(&mut self) {
        let name = PeerName::Interface(self.discovery.interface);
        self.registry.set_link(name, None);
    }
}

/// `net.ipv6.conf.INTERFACE.KEY`, where a dot of the name is no separator.
fn setting(interface: &str, key: &str) -> Option<String> {
    let interface = interface.replace('.', "/");
    sysctl::read(&format!("net.ipv6.conf.{interface}.{key}")).ok()
}

/// Why nothing can be sent.
fn why(interface: &str, e: &io::Error) -> String {
    match setting(interface, "disable_ipv6").as_deref() {
        None => format!("this kernel has no IPv6 on {interface}"),
        Some("0") if e.kind() == io::ErrorKind::AddrNotAvailable => {
            format!("{interface} has no link-local address (yet)")
        }
        Some("0") => format!("cannot send router advertisements on {interface}: {e}"),
        Some(_) => {
            format!("IPv6 is off on {interface}: set net.ipv6.conf.{interface}.disable_ipv6 to 0")
        }
    }
}

/// Whether the kernel takes default routes from advertisements there.
fn kernel_believes(interface: &str) -> bool {
    let is = |key, value| setting(interface, key).as_deref() == Some(value);
    let accepts = is("accept_ra", "2") || (is("accept_ra", "1") && is("forwarding", "0"));
    accepts && is("accept_ra_defrtr", "1")
}
