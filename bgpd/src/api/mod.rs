//! The gRPC API on the unix socket: package `godwit.v1`, reflection, health.
//!
//! ```text
//!  client ──► connection task ──► a service ──► control task   (changes)
//!                                     ├──────► RIB thread      (queries, in pages)
//!                                     ├──────► fib thread      (on a blocking thread)
//!                                     └──────► registry        (peers; no waiting)
//! ```
//!
//! A watch is a task of its own with a bounded queue to its client: where the
//! client is slow the task waits, falls behind its source, and starts over with
//! a resync. Nothing in the daemon ever waits for a client.

mod config;
mod convert;
mod daemon;
mod dryrun;
mod error;
mod fib;
mod limits;
mod path;
mod peers;
mod policy;
mod routes;
mod socket;

use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use godwit_proto::v1;
use godwit_proto::v1::config_server::ConfigServer;
use godwit_proto::v1::daemon_server::DaemonServer;
use godwit_proto::v1::fib_server::FibServer;
use godwit_proto::v1::peers_server::PeersServer;
use godwit_proto::v1::route_policy_server::RoutePolicyServer;
use godwit_proto::v1::routes_server::RoutesServer;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::{Router, UdsConnectInfo};
use tracing::{error, info, warn};

use crate::control::Control;

/// Calls of one client that run at once.
const CALLS: usize = 64;
/// Between two attempts to make the socket, or to accept after an error.
const PAUSE: Duration = Duration::from_secs(5);

/// Serves until it is dropped; then watches end and the socket goes.
#[derive(Debug)]
pub struct ApiHandle {
    _stop: watch::Sender<bool>,
    place: socket::Place,
}

impl Drop for ApiHandle {
    fn drop(&mut self) {
        self.place.clear();
    }
}

/// Serves the API as `[api]` says. A socket that cannot be made keeps nothing
/// else from working: it is logged and tried again.
pub fn spawn(control: Control) -> ApiHandle {
    let api = control.loaded().config.api.clone();
    let place = socket::Place::default();
    let (stop, stopped) = watch::channel(false);
    let serving = serve(
        api.unix.clone(),
        api.group,
        control,
        place.clone(),
        Stop(stopped),
    );
    tokio::spawn(serving);
    ApiHandle { _stop: stop, place }
}

/// Resolves when the API is to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) async fn wait(&mut self) {
        // Nothing is ever sent: the sender's end is the sign.
        while self.0.changed().await.is_ok() {}
    }
}

async fn serve(
    path: std::path::PathBuf,
    group: String,
    control: Control,
    place: socket::Place,
    mut stop: Stop,
) {
    loop {
        let served = match socket::bind(&path, &group, &place) {
            Ok(listener) => serve_on(listener, &control, stop.clone()).await,
            Err(e) => Err(e),
        };
        match served {
            Ok(()) => return,
            Err(e) => error!(socket = %path.display(), "the API cannot be served: {e}"),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.wait() => return,
        }
    }
}

async fn serve_on(listener: UnixListener, control: &Control, stop: Stop) -> io::Result<()> {
    let mut ended = stop.clone();
    let router = services(control, stop).await.map_err(io::Error::other)?;
    info!("the API is served");
    router
        .serve_with_incoming_shutdown(incoming(listener), async move { ended.wait().await })
        .await
        .map_err(io::Error::other)
}

async fn services(
    control: &Control,
    stop: Stop,
) -> Result<Router, tonic_reflection::server::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<DaemonServer<daemon::Service>>().await;
    health.set_serving::<ConfigServer<config::Service>>().await;
    health.set_serving::<PeersServer<peers::Service>>().await;
    health.set_serving::<RoutesServer<routes::Service>>().await;
    health.set_serving::<FibServer<fib::Service>>().await;
    health
        .set_serving::<RoutePolicyServer<policy::Service>>()
        .await;

    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;

    Ok(Server::builder()
        .concurrency_limit_per_connection(CALLS)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(DaemonServer::new(daemon::Service::new(control.clone())))
        .add_service(
            ConfigServer::new(config::Service::new(control.clone()))
                .max_decoding_message_size(config::LONGEST_FILE + (64 << 10)),
        )
        .add_service(PeersServer::new(peers::Service::new(
            control.clone(),
            stop.clone(),
        )))
        .add_service(RoutesServer::new(routes::Service::new(
            control.clone(),
            stop,
        )))
        .add_service(FibServer::new(fib::Service::new(control.clone())))
        .add_service(RoutePolicyServer::new(policy::Service::new(
            control.clone(),
        ))))
}

/// The user at the other end of the socket.
fn uid<T>(request: &tonic::Request<T>) -> Option<u32> {
    let info = request.extensions().get::<UdsConnectInfo>()?;
    Some(info.peer_cred?.uid())
}

/// What `limit` of a listing means.
fn page_limit(asked: u32) -> usize {
    match asked {
        0 => 1000,
        n => n.min(10_000) as usize,
    }
}

/// Accepted connections. An error there (no descriptors left) passes; it must
/// not end the server.
fn incoming(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(stream), listener)),
                Err(e) => {
                    warn!("cannot accept a client: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests;
