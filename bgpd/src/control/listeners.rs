//! The listening sockets, which come and go with the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use godwit_config::Password;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{error, info};

use super::Shared;
use crate::listener::{self, Keys, ListenerStatus, Stranger};

/// Every address of the file.
#[derive(Debug)]
pub(crate) struct Listeners {
    strangers: mpsc::Sender<Stranger>,
    /// `Err`: why it does not listen.
    open: BTreeMap<SocketAddr, Result<Open, String>>,
}

/// A listening socket, with the task that accepts there.
#[derive(Debug)]
struct Open {
    socket: Arc<TcpListener>,
    task: AbortHandle,
    keys: Keys,
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for open in self.open.values().flatten() {
            open.task.abort();
        }
    }
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
    ///
    /// `keys` are those of TCP-MD5, by peer and range.
    pub async fn set(
        &mut self,
        addresses: &[SocketAddr],
        keys: &BTreeMap<IpNet, Password>,
        shared: &Shared,
    ) {
        let gone: Vec<SocketAddr> = self
            .open
            .iter()
            .filter(|(address, state)| state.is_err() || !addresses.contains(address))
            .map(|(address, _)| *address)
            .collect();
        for address in gone {
            if let Some(Ok(Open { task, .. })) = self.open.remove(&address) {
                task.abort();
                info!(%address, "listens no more");
                // The socket closes with its task, and may be in the way of a new one.
                while !task.is_finished() {
                    tokio::task::yield_now().await;
                }
            }
        }
        for address in addresses {
            match self.open.get_mut(address) {
                Some(Ok(open)) => open.keys.set(*address, &open.socket, keys),
                Some(Err(_)) | None => {
                    self.open
                        .insert(*address, self.start(*address, keys, shared));
                }
            }
        }
        let statuses = self.open.iter().map(|(address, state)| ListenerStatus {
            address: *address,
            error: state.as_ref().err().cloned(),
            keys: state.as_ref().map_or(0, |open| open.keys.count()),
            keys_missing: state
                .as_ref()
                .map(|open| open.keys.missing().clone())
                .unwrap_or_default(),
        });
        shared.listeners.store(Arc::new(statuses.collect()));
    }

    fn start(
        &self,
        address: SocketAddr,
        keys: &BTreeMap<IpNet, Password>,
        shared: &Shared,
    ) -> Result<Open, String> {
        match listener::bind(address, keys) {
            Ok((socket, keys)) => {
                let socket = Arc::new(socket);
                let serving = listener::serve(
                    Arc::clone(&socket),
                    Arc::clone(&shared.registry),
                    Arc::clone(&shared.gate),
                    self.strangers.clone(),
                );
                let task = tokio::spawn(serving).abort_handle();
                Ok(Open { socket, task, keys })
            }
            Err(e) => {
                error!(%address, "cannot listen: {e}");
                Err(e.to_string())
            }
        }
    }
}
