//! Counting what a configuration would do to the routes, on the RIB thread in
//! slices between its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use godwit_proto::v1;
use godwit_proto::v1::diff_config_response::Event;
use godwit_rib::{DryRunCounts, DryRunResult, PeerId, Rib};
use tokio::sync::mpsc;
use tonic::Status;

use crate::control::revisions::Plan;
use crate::peer::PeerName;
use crate::ribthread::RibHandle;

/// A stretch on the RIB thread; half of what one of its own takes.
const SLICE: Duration = Duration::from_micros(500);
/// Units between two looks at the clock.
const UNITS: usize = 64;
/// How often a client hears how far it is.
const EVERY: Duration = Duration::from_millis(200);

type Events = mpsc::Sender<Result<v1::DiffConfigResponse, Status>>;

/// Sends the plan, then counts, and tells how far it is. `Err`: nobody listens.
pub async fn tell(plan: Plan, rib: &RibHandle, events: &Events) -> Result<(), ()> {
    send(events, Event::Plan(super::config::plan(&plan))).await?;
    match count(plan, rib, events).await {
        Ok(result) => send(events, Event::Result(result)).await,
        Err(Some(e)) => events.send(Err(e)).await.map_err(drop),
        Err(None) => Err(()),
    }
}

async fn send(events: &Events, event: Event) -> Result<(), ()> {
    let message = v1::DiffConfigResponse { event: Some(event) };
    events.send(Ok(message)).await.map_err(drop)
}

/// `Err(None)`: nobody listens any more.
async fn count(
    plan: Plan,
    rib: &RibHandle,
    events: &Events,
) -> Result<v1::DryRunResult, Option<Status>> {
    let Some(proposal) = plan.proposal else {
        return Ok(v1::DryRunResult::default());
    };
    let begin = move |rib: &mut Rib| {
        let total: u64 = rib.summary().prefixes.iter().sum();
        let run = rib.dry_run(proposal);
        let total = total * run.passes();
        (run, total)
    };
    let (mut run, total) = rib.query(begin).await.map_err(|e| Some(e.into()))?;
    let mut told = Instant::now();
    loop {
        let slice = move |rib: &mut Rib| {
            let end = Instant::now() + SLICE;
            let mut more = true;
            while more && Instant::now() < end {
                more = rib.count(&mut run, UNITS);
            }
            (run, more)
        };
        let more;
        (run, more) = rib.query(slice).await.map_err(|e| Some(e.into()))?;
        if !more {
            return Ok(message(run.result(), &plan.names));
        }
        if told.elapsed() >= EVERY {
            told = Instant::now();
            let progress = v1::DryRunProgress {
                done: run.looked_at(),
                total,
            };
            send(events, Event::Progress(progress))
                .await
                .map_err(|()| None)?;
        }
    }
}

/// By their names, where they were up when the plan was made.
fn message(result: DryRunResult, names: &BTreeMap<PeerId, PeerName>) -> v1::DryRunResult {
    let changed = (result.peers.into_iter())
        .filter(|(_, _, counts)| *counts != DryRunCounts::default())
        .map(|(id, address, counts)| {
            let name = names.get(&id).copied();
            (name.unwrap_or(PeerName::Address(address)), counts)
        });
    let mut peers: Vec<_> = changed.collect();
    peers.sort_by_key(|(name, _)| *name);
    v1::DryRunResult {
        peers: (peers.into_iter())
            .map(|(name, counts)| v1::PeerDryRun {
                peer: name.to_string(),
                newly_accepted: counts.newly_accepted,
                newly_rejected: counts.newly_rejected,
                accepted_changed: counts.accepted_changed,
                newly_advertised: counts.newly_advertised,
                withdrawn: counts.withdrawn,
                advertised_changed: counts.advertised_changed,
            })
            .collect(),
        prefixes: result.prefixes,
        best_changed: result.best_changed,
        changed_meanwhile: result.changed_meanwhile,
    }
}
