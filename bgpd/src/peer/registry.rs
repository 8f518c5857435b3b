//! All peers: how to reach their tasks and where to read about them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{broadcast, mpsc};

use super::PeerCommand;
use crate::status::{PeerEvent, PeerView};

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
    peers: RwLock<BTreeMap<IpAddr, Entry>>,
    events: broadcast::Sender<PeerEvent>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            peers: RwLock::default(),
            events: broadcast::channel(EVENTS).0,
        }
    }
}

impl Registry {
    pub fn insert(&self, address: IpAddr, entry: Entry) {
        self.announce(PeerEvent::Changed(entry.view.status()));
        self.write().insert(address, entry);
    }

    pub fn remove(&self, address: IpAddr) {
        if self.write().remove(&address).is_some() {
            self.announce(PeerEvent::Removed(address));
        }
    }

    pub fn entry(&self, address: IpAddr) -> Option<Entry> {
        self.read().get(&address).cloned()
    }

    pub fn view(&self, address: IpAddr) -> Option<Arc<PeerView>> {
        self.read().get(&address).map(|e| Arc::clone(&e.view))
    }

    pub fn views(&self) -> Vec<Arc<PeerView>> {
        self.read().values().map(|e| Arc::clone(&e.view)).collect()
    }

    pub fn watch(&self) -> broadcast::Receiver<PeerEvent> {
        self.events.subscribe()
    }

    pub fn announce(&self, event: PeerEvent) {
        // Nobody watches: fine.
        let _ = self.events.send(event);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<IpAddr, Entry>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<IpAddr, Entry>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }
}
