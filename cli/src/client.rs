//! The way to the daemon: one connection over its unix socket.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use godwit_proto::v1::config_client::ConfigClient;
use godwit_proto::v1::daemon_client::DaemonClient;
use godwit_proto::v1::fib_client::FibClient;
use godwit_proto::v1::peers_client::PeersClient;
use godwit_proto::v1::route_policy_client::RoutePolicyClient;
use godwit_proto::v1::routes_client::RoutesClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::failure::Failure;

/// A page of routes with long AS paths and many communities goes beyond
/// tonic's 4 MiB; the daemon is ours, so trust it with more.
const MAX_MESSAGE: usize = 64 << 20;

#[derive(Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    pub async fn connect(socket: &Path) -> Result<Client, Failure> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|e| unreachable(socket, &e))?;
        let once = Mutex::new(Some(stream));
        let connector = tower::service_fn(move |_: Uri| {
            let stream = once.lock().ok().and_then(|mut s| s.take());
            async move {
                stream
                    .map(TokioIo::new)
                    .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))
            }
        });
        // The URI is not used; a request must have one.
        let channel = Endpoint::from_static("http://godwit")
            .connect_with_connector(connector)
            .await
            .map_err(|e| {
                Failure::Unreachable(format!(
                    "{} is not a Godwit socket: {e}; give godwitd's with --socket",
                    socket.display()
                ))
            })?;
        Ok(Client { channel })
    }

    pub fn daemon(&self) -> DaemonClient<Channel> {
        DaemonClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub fn config(&self) -> ConfigClient<Channel> {
        ConfigClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub fn peers(&self) -> PeersClient<Channel> {
        PeersClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub fn routes(&self) -> RoutesClient<Channel> {
        RoutesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub fn route_policy(&self) -> RoutePolicyClient<Channel> {
        RoutePolicyClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub fn fib(&self) -> FibClient<Channel> {
        FibClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => {
            "is godwitd running? start it, or name its socket with --socket or GODWIT_SOCKET"
        }
        io::ErrorKind::ConnectionRefused => {
            "the daemon that made this socket is gone; start godwitd"
        }
        io::ErrorKind::PermissionDenied => {
            "run as root, or as a member of the group that `[api] group` names"
        }
        _ => "name the daemon's socket with --socket or GODWIT_SOCKET",
    };
    Failure::Unreachable(format!(
        "cannot reach the daemon at {}: {}; {advice}",
        socket.display(),
        reason(error),
    ))
}

/// The system's words without "(os error 2)".
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}
