//! A client's watch of best routes: a tap on the RIB's changes, and a bounded
//! queue to the client. A slow client makes the task wait, the tap falls
//! behind, and the client starts over.

use std::collections::HashSet;

use godwit_proto::v1;
use godwit_proto::v1::watch_routes_response::Event;
use godwit_rib::{PrefixFilter, RouteQuery, TapPoll};
use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::batch::Batches;
use super::filter::Filter;
use super::page::{self, Slice};
use crate::api::Stop;
use crate::ribthread::{RibHandle, Tap};

/// Messages that wait for a slow client before its watch waits.
const QUEUE: usize = 16;
/// Changed prefixes a visit to the RIB thread.
const CHANGES: usize = 128;
/// Paths a message of the snapshot.
const SNAPSHOT: usize = 1000;

type Response = Result<v1::WatchRoutesResponse, Status>;

pub fn start(rib: RibHandle, filter: Filter, mut stop: Stop) -> ReceiverStream<Response> {
    let (client, receiver) = mpsc::channel(QUEUE);
    let watch = Watch {
        rib,
        filter,
        client,
    };
    tokio::spawn(async move {
        tokio::select! {
            ended = watch.run() => if let Err(End::Failed(status)) = ended {
                // The client may have gone too.
                let _ = watch.client.send(Err(status)).await;
            },
            () = watch.client.closed() => {}
            () = stop.wait() => {}
        }
    });
    ReceiverStream::new(receiver)
}

struct Watch {
    rib: RibHandle,
    filter: Filter,
    client: mpsc::Sender<Response>,
}

enum End {
    /// The client hung up.
    Gone,
    Failed(Status),
}

impl<E: Into<Status>> From<E> for End {
    fn from(e: E) -> End {
        End::Failed(e.into())
    }
}

impl Watch {
    async fn run(&self) -> Result<(), End> {
        // Before the snapshot, so that nothing falls between.
        let tap = self.rib.open_tap().await?;
        loop {
            self.snapshot().await?;
            self.send(Event::SnapshotEnd(v1::SnapshotEnd {})).await?;
            self.changes(&tap).await?;
            self.send(Event::Resync(v1::Resync {})).await?;
        }
    }

    async fn snapshot(&self) -> Result<(), End> {
        let mut cursor = None;
        loop {
            let (batches, next) = page::read(&self.rib, &self.filter, cursor, SNAPSHOT).await?;
            self.send_change(batches, Vec::new()).await?;
            match next {
                None => return Ok(()),
                next => cursor = next,
            }
        }
    }

    /// Tells changes until some were lost.
    async fn changes(&self, tap: &Tap) -> Result<(), End> {
        loop {
            tap.ready().await;
            loop {
                let (poll, change) = self.poll(tap).await?;
                if poll == TapPoll::Lapped {
                    return Ok(());
                }
                self.send_change(change.batches, change.removed).await?;
                if poll == TapPoll::Empty {
                    break;
                }
            }
        }
    }

    /// What changed, as it stands now.
    async fn poll(&self, tap: &Tap) -> Result<(TapPoll, v1::RouteChange), End> {
        let (tap, filter) = (tap.id(), self.filter.clone());
        let (poll, slices) = self
            .rib
            .query(move |rib| {
                let mut nets = Vec::new();
                let poll = rib.poll_tap(tap, &mut nets, CHANGES);
                let nets: HashSet<IpNet> = nets.into_iter().collect();
                let slices: Vec<(IpNet, Slice)> = nets
                    .into_iter()
                    .filter(|net| filter.takes_prefix(*net))
                    .filter_map(|net| {
                        let query = RouteQuery {
                            prefix: PrefixFilter::Exact(net),
                            ..filter.query?
                        };
                        Some((net, Slice::read(rib, &query, None, usize::MAX)))
                    })
                    .collect();
                (poll, slices)
            })
            .await?;
        let mut batches = Batches::default();
        let mut removed = Vec::new();
        for (net, slice) in &slices {
            let before = batches.paths;
            batches.add(slice, &self.filter);
            if batches.paths == before {
                removed.push(net.to_string());
            }
        }
        let batches = batches.finish();
        Ok((poll, v1::RouteChange { batches, removed }))
    }

    async fn send_change(
        &self,
        batches: Vec<v1::RouteBatch>,
        removed: Vec<String>,
    ) -> Result<(), End> {
        if batches.is_empty() && removed.is_empty() {
            return Ok(());
        }
        self.send(Event::Change(v1::RouteChange { batches, removed }))
            .await
    }

    async fn send(&self, event: Event) -> Result<(), End> {
        let response = v1::WatchRoutesResponse { event: Some(event) };
        self.client.send(Ok(response)).await.map_err(|_| End::Gone)
    }
}
