//! The listening sockets, which come and go with the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{error, info};

use super::{ListenerStatus, Shared};
use crate::listener::{self, Stranger};

/// Every address of the file, with the task that accepts there.
#[derive(Debug)]
pub(crate) struct Listeners {
    strangers: mpsc::Sender<Stranger>,
    /// `Err`: why it does not listen.
    open: BTreeMap<SocketAddr, Result<AbortHandle, String>>,
}

impl Listeners {
    pub fn new(strangers: mpsc::Sender<Stranger>) -> Listeners {
        Listeners {
            strangers,
            open: BTreeMap::new(),
        }
    }

    /// Listens at these addresses and at no others; those that stay are not
    /// touched. One that cannot be opened shows in the status and keeps nothing
    /// else from working. Sessions outlive the socket that accepted them.
    pub async fn set(&mut self, addresses: &[SocketAddr], shared: &Shared) {
        let gone: Vec<SocketAddr> = self
            .open
            .iter()
            .filter(|(address, state)| state.is_err() || !addresses.contains(address))
            .map(|(address, _)| *address)
            .collect();
        for address in gone {
            if let Some(Ok(task)) = self.open.remove(&address) {
                task.abort();
                info!(%address, "listens no more");
                // The socket closes with its task, and may be in the way of a new one.
                while !task.is_finished() {
                    tokio::task::yield_now().await;
                }
            }
        }
        for address in addresses {
            if !self.open.contains_key(address) {
                self.open.insert(*address, self.start(*address, shared));
            }
        }
        let statuses = self.open.iter().map(|(address, state)| ListenerStatus {
            address: *address,
            error: state.as_ref().err().cloned(),
        });
        shared.listeners.store(Arc::new(statuses.collect()));
    }

    fn start(&self, address: SocketAddr, shared: &Shared) -> Result<AbortHandle, String> {
        match listener::bind(address) {
            Ok(socket) => {
                let registry = Arc::clone(&shared.registry);
                let serving = listener::serve(socket, registry, self.strangers.clone());
                Ok(tokio::spawn(serving).abort_handle())
            }
            Err(e) => {
                error!(%address, "cannot listen: {e}");
                Err(e.to_string())
            }
        }
    }
}
