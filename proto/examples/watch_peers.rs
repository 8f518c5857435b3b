//! A client in thirty lines: every peer, then whatever changes.
//!
//! ```sh
//! cargo run -p godwit-proto --example watch_peers -- /run/godwit/godwit.sock
//! ```

use godwit_proto::v1::peers_client::PeersClient;
use godwit_proto::v1::watch_peers_response::Event;
use godwit_proto::v1::{Peer, WatchPeersRequest};
use tonic::transport::Endpoint;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = std::env::args()
        .nth(1)
        .unwrap_or_else(|| godwit_proto::DEFAULT_SOCKET.to_owned());
    let channel = Endpoint::try_from(format!("unix:{socket}"))?
        .connect()
        .await?;
    let mut peers = PeersClient::new(channel);

    let mut events = peers
        .watch_peers(WatchPeersRequest::default())
        .await?
        .into_inner();
    while let Some(message) = events.message().await? {
        match message.event {
            Some(Event::Peer(peer)) => print(&peer),
            Some(Event::Removed(address)) => println!("{address} is gone"),
            Some(Event::SnapshotEnd(_)) => println!("-- those were all; now changes"),
            // We read too slowly: what we know may be wrong, and comes anew.
            Some(Event::Resync(_)) => println!("-- once more from the start"),
            None => {}
        }
    }
    Ok(())
}

fn print(peer: &Peer) {
    let accepted: u64 = peer.families.iter().map(|f| f.accepted).sum();
    println!(
        "{} AS {} {}: {accepted} routes",
        peer.address,
        peer.remote_asn,
        peer.state().as_str_name()
    );
}
