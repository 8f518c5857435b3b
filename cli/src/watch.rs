//! `godwit watch`: changes as they happen. With `-o json` each message of the
//! API is a line, markers included.

use clap::Subcommand;
use godwit_proto::v1::watch_peers_response::Event as PeerEvent;
use godwit_proto::v1::watch_routes_response::Event as RouteEvent;
use godwit_proto::v1::{Peer, RouteBatch, WatchPeersRequest, WatchRoutesRequest};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Out, Tone};
use crate::{peer, route};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sessions that come and go.
    Peers {
        /// Only these; none: all.
        addresses: Vec<String>,
    },
    /// Best routes that come, change and go.
    Routes(Box<route::Filter>),
}

pub async fn run(command: &Command, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        Command::Peers { addresses } => peers(addresses, client, out).await,
        Command::Routes(filter) => routes(filter, client, out).await,
    }
}

async fn peers(addresses: &[String], client: &Client, out: &mut Out) -> Result<(), Failure> {
    let request = WatchPeersRequest {
        addresses: addresses.to_vec(),
    };
    let mut stream = client.peers().watch_peers(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if out.json {
            out.json_line(&message)?;
            continue;
        }
        match message.event {
            Some(PeerEvent::Peer(peer)) => peer_line(&peer, out)?,
            Some(PeerEvent::Removed(address)) => out.line(format!("- {address}"))?,
            Some(PeerEvent::SnapshotEnd(_)) => marker("now changes", out)?,
            Some(PeerEvent::Resync(_)) => marker("changes were lost; all anew", out)?,
            None => {}
        }
        out.flush()?;
    }
    ended()
}

fn peer_line(p: &Peer, out: &mut Out) -> Result<(), Failure> {
    let cell = peer::state(p);
    let state = out.paint(cell.tone(), cell.text());
    let why = match (&p.session, &p.last_error) {
        (None, Some(error)) => format!("   {}", error.text),
        _ => String::new(),
    };
    out.line(format!(
        "  {}   AS {}   {state}{why}",
        p.address,
        peer::asn(p.remote_asn)
    ))
}

async fn routes(filter: &route::Filter, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let request = WatchRoutesRequest {
        filter: Some(filter.message()),
    };
    let mut stream = client.routes().watch_routes(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if out.json {
            out.json_line(&message)?;
            continue;
        }
        match message.event {
            Some(RouteEvent::Change(change)) => {
                for prefix in &change.removed {
                    out.line(format!("- {prefix}"))?;
                }
                for batch in &change.batches {
                    route_lines(batch, out)?;
                }
            }
            Some(RouteEvent::SnapshotEnd(_)) => marker("now changes", out)?,
            Some(RouteEvent::Resync(_)) => marker("changes were lost; all anew", out)?,
            None => {}
        }
        out.flush()?;
    }
    ended()
}

fn route_lines(batch: &RouteBatch, out: &mut Out) -> Result<(), Failure> {
    let attributes = batch.attributes.clone().unwrap_or_default();
    let via = route::show::next_hop(&attributes);
    let path = route::show::path_and_origin(&attributes);
    for p in &batch.paths {
        let sign = if p.multipath { "|" } else { "+" };
        out.line(format!(
            "{sign} {} via {via} from {}   {path}",
            p.prefix, batch.peer
        ))?;
    }
    Ok(())
}

fn marker(text: &str, out: &mut Out) -> Result<(), Failure> {
    let text = out.paint(Tone::Dim, &format!("-- {text}"));
    out.line(text)
}

/// A watch has no end of its own.
fn ended() -> Result<(), Failure> {
    Err(Failure::Unreachable(
        "the daemon ended the watch; it is stopping".into(),
    ))
}
