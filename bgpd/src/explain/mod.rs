//! Why a peer is not up: what is known of it, and what the kernel says now.

mod judge;
mod wait;
mod words;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use godwit_config::PeerConfig;
use godwit_netlink::{RequestSocket, RouteType};

pub use judge::judge;

use crate::listener::ListenerStatus;
use crate::netstat::Drops;
use crate::status::{Clues, PeerStatus};

/// One reason, with what shows it and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word for programs.
    pub reason: &'static str,
    /// What is wrong, in a fragment.
    pub what: String,
    pub evidence: String,
    pub advice: String,
}

/// All that a judgement goes by.
#[derive(Clone, Debug)]
pub struct Facts {
    pub now: SystemTime,
    pub status: Arc<PeerStatus>,
    pub clues: Clues,
    /// What the host has dropped since the peer was last up or set up.
    pub drops: Drops,
    pub kernel: Kernel,
    pub listeners: Arc<Vec<ListenerStatus>>,
}

/// The kernel's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub way: Way,
    /// `local-address` is an address of this host; also where none is given.
    pub has_local_address: bool,
    pub interface: Interface,
}

/// How the kernel would reach the neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not asked, or not answered.
    Unknown,
    /// In the kernel's words.
    None(String),
    OnLink(String),
    /// Gateway and interface.
    Through(IpAddr, String),
}

/// How `local-interface` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Or none is given.
    Fine,
    Missing,
    /// No packets pass.
    Down,
}

/// Asks the kernel; blocks for a moment.
pub fn ask_kernel(address: IpAddr, config: &PeerConfig) -> Kernel {
    let unknown = Kernel {
        way: Way::Unknown,
        has_local_address: true,
        interface: Interface::Fine,
    };
    let Ok(mut socket) = RequestSocket::open() else {
        return unknown;
    };
    let Ok(links) = socket.links() else {
        return unknown;
    };
    let wanted = config.local_interface.as_deref();
    let link = wanted.and_then(|name| links.iter().find(|l| l.name == name));
    let interface = match (wanted, link) {
        (None, _) => Interface::Fine,
        (Some(_), None) => Interface::Missing,
        (Some(_), Some(link)) if link.running || link.loopback => Interface::Fine,
        (Some(_), Some(_)) => Interface::Down,
    };
    let has_local_address = match (config.local_address, socket.addresses()) {
        (Some(local), Ok(addresses)) => addresses.iter().any(|a| a.local == local),
        (None, _) | (_, Err(_)) => true,
    };
    let source = config.local_address.filter(|_| has_local_address);
    let name = |index: Option<u32>| {
        let link = links.iter().find(|l| Some(l.index) == index);
        link.map_or_else(|| "an unknown interface".to_owned(), |l| l.name.clone())
    };
    // The way to a link-local address is its link, of which more is known already.
    let on_link = matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
    let way = match socket.way_to(address, source, link.map(|l| l.index)) {
        _ if on_link => Way::Unknown,
        Err(e) => Way::None(e.to_string()),
        Ok(way) => match (way.kind, way.via) {
            (RouteType::Unicast, Some(via)) => Way::Through(via, name(way.interface)),
            (RouteType::Unicast | RouteType::Local, _) => Way::OnLink(name(way.interface)),
            (kind, _) => Way::None(format!("the kernel's route to it is {kind:?}")),
        },
    };
    Kernel {
        way,
        has_local_address,
        interface,
    }
}
