//! A watch of peers.

use std::collections::{HashMap, HashSet};

use godwit_proto::v1;
use godwit_proto::v1::watch_peers_response::Event;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::Stop;
use super::message;
use crate::control::Control;
use crate::peer::PeerName;
use crate::status::PeerEvent;

/// Events that wait for a slow client before its watch waits.
const QUEUE: usize = 64;

/// Watches these peers, or all if there are none, until the client hangs up.
pub(super) fn start(
    control: Control,
    only: HashSet<PeerName>,
    mut stop: Stop,
) -> ReceiverStream<Result<v1::WatchPeersResponse, Status>> {
    let (client, events) = mpsc::channel(QUEUE);
    let mut watch = Watch {
        control,
        only,
        client,
        told: HashMap::new(),
    };
    tokio::spawn(async move {
        let gone = watch.client.clone();
        tokio::select! {
            _ = watch.run() => {}
            () = gone.closed() => {}
            () = stop.wait() => {}
        }
    });
    ReceiverStream::new(events)
}

/// One client's watch of peers.
struct Watch {
    control: Control,
    /// Empty: all.
    only: HashSet<PeerName>,
    client: mpsc::Sender<Result<v1::WatchPeersResponse, Status>>,
    /// What the client was told last, without what counts.
    told: HashMap<PeerName, v1::Peer>,
}

/// The client hung up.
struct Gone;

impl Watch {
    async fn run(&mut self) -> Result<(), Gone> {
        // Before the snapshot, so that nothing falls between.
        let mut changes = self.control.watch_peers();
        self.snapshot().await?;
        loop {
            match changes.recv().await {
                Ok(PeerEvent::Changed(status)) if self.wants(status.name) => {
                    self.send_peer(status.name).await?;
                }
                Ok(PeerEvent::Removed(address)) if self.wants(address) => {
                    self.told.remove(&address);
                    self.send(Event::Removed(address.to_string())).await?;
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    self.send(Event::Resync(v1::Resync {})).await?;
                    self.told.clear();
                    // What is queued is older than the snapshot.
                    changes = changes.resubscribe();
                    self.snapshot().await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    fn wants(&self, address: PeerName) -> bool {
        self.only.is_empty() || self.only.contains(&address)
    }

    async fn snapshot(&mut self) -> Result<(), Gone> {
        for view in self.control.peers() {
            let address = view.status().name;
            if self.wants(address) {
                self.send_peer(address).await?;
            }
        }
        self.send(Event::SnapshotEnd(v1::SnapshotEnd {})).await
    }

    /// The peer as it is now, which may be newer than the event; unless only
    /// its figures differ from what was told.
    async fn send_peer(&mut self, address: PeerName) -> Result<(), Gone> {
        match message(&self.control, address).await {
            Ok(Some(peer)) => {
                let constant = without_figures(&peer);
                if self.told.get(&address) == Some(&constant) {
                    return Ok(());
                }
                self.told.insert(address, constant);
                self.send(Event::Peer(peer)).await
            }
            Ok(None) => Ok(()),
            Err(status) => self.client.send(Err(status)).await.map_err(|_| Gone),
        }
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        let event = v1::WatchPeersResponse { event: Some(event) };
        self.client.send(Ok(event)).await.map_err(|_| Gone)
    }
}

fn without_figures(peer: &v1::Peer) -> v1::Peer {
    let families = peer.families.iter().map(|family| v1::PeerFamily {
        refreshing: false,
        over_limit: 0,
        dropped: 0,
        received: 0,
        prefixes: 0,
        refused: 0,
        accepted: 0,
        rejected: 0,
        best: 0,
        advertised: 0,
        ..family.clone()
    });
    v1::Peer {
        counters: None,
        families: families.collect(),
        ..peer.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_alone_are_no_change() {
        let mut peer = v1::Peer {
            families: vec![v1::PeerFamily::default()],
            ..v1::Peer::default()
        };
        let before = without_figures(&peer);
        peer.families[0].received = 7;
        peer.counters = Some(v1::Counters::default());
        assert_eq!(without_figures(&peer), before);
        peer.families[0].end_of_rib_received = true;
        assert_ne!(without_figures(&peer), before);
    }
}
