//! All peers: how to reach their tasks and where to read about them.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Notify, broadcast, mpsc};

use super::{PeerCommand, PeerName};
use crate::status::{PeerEvent, PeerView};
use crate::sync::lock;

/// Peer changes that a watcher may be behind before it is told to start over.
const EVENTS: usize = 4096;

#[derive(Clone, Debug)]
pub struct Entry {
    pub view: Arc<PeerView>,
    pub commands: mpsc::Sender<PeerCommand>,
}

/// Written by the control task alone.
#[derive(Debug)]
pub struct Registry {
    peers: RwLock<BTreeMap<PeerName, Entry>>,
    /// Peers that are known by their interface, by its index as of now.
    links: Mutex<HashMap<u32, PeerName>>,
    /// Who was found on the interfaces of these.
    neighbours: Mutex<HashMap<PeerName, IpAddr>>,
    /// Somebody else was found.
    found: Notify,
    events: broadcast::Sender<PeerEvent>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            peers: RwLock::default(),
            links: Mutex::default(),
            neighbours: Mutex::default(),
            found: Notify::new(),
            events: broadcast::channel(EVENTS).0,
        }
    }
}

impl Registry {
    pub fn insert(&self, address: PeerName, entry: Entry) {
        self.announce(PeerEvent::Changed(entry.view.status()));
        self.write().insert(address, entry);
    }

    pub fn remove(&self, address: PeerName) {
        lock(&self.neighbours).remove(&address);
        if self.write().remove(&address).is_some() {
            self.announce(PeerEvent::Removed(address));
        }
    }

    pub fn entry(&self, address: impl Into<PeerName>) -> Option<Entry> {
        self.read().get(&address.into()).cloned()
    }

    pub fn view(&self, address: impl Into<PeerName>) -> Option<Arc<PeerView>> {
        self.read()
            .get(&address.into())
            .map(|e| Arc::clone(&e.view))
    }

    pub fn views(&self) -> Vec<Arc<PeerView>> {
        self.read().values().map(|e| Arc::clone(&e.view)).collect()
    }

    /// Who is expected at the other end of a connection: a link-local address
    /// means whoever is on that link.
    pub fn caller(&self, from: SocketAddr) -> Option<Entry> {
        if let SocketAddr::V6(v6) = from
            && v6.ip().is_unicast_link_local()
            && let Some(name) = lock(&self.links).get(&v6.scope_id()).copied()
        {
            return self.entry(name);
        }
        self.entry(from.ip())
    }

    /// The interface of a peer that is known by it has this index, or is gone.
    pub fn set_link(&self, name: PeerName, index: Option<u32>) {
        let mut links = lock(&self.links);
        links.retain(|_, other| *other != name);
        links.extend(index.map(|index| (index, name)));
    }

    /// Who is on the interface of this peer now.
    pub fn set_neighbour(&self, name: PeerName, address: Option<IpAddr>) {
        let mut neighbours = lock(&self.neighbours);
        match address {
            Some(address) => neighbours.insert(name, address),
            None => neighbours.remove(&name),
        };
        self.found.notify_one();
    }

    pub fn neighbour(&self, name: PeerName) -> Option<IpAddr> {
        lock(&self.neighbours).get(&name).copied()
    }

    /// Returns when another neighbour was found on some interface, or none any
    /// more. For the control task alone.
    pub async fn neighbours_changed(&self) {
        self.found.notified().await;
    }

    pub fn watch(&self) -> broadcast::Receiver<PeerEvent> {
        self.events.subscribe()
    }

    pub fn announce(&self, event: PeerEvent) {
        // Nobody watches: fine.
        let _ = self.events.send(event);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<PeerName, Entry>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<PeerName, Entry>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }
}
