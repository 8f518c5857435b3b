//! A daemon that answers from a script, so that the command line is tested
//! without one.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use godwit_proto::v1::config_server::{Config, ConfigServer};
use godwit_proto::v1::daemon_server::{Daemon, DaemonServer};
use godwit_proto::v1::fib_server::{Fib, FibServer};
use godwit_proto::v1::peers_server::{Peers, PeersServer};
use godwit_proto::v1::routes_server::{Routes, RoutesServer};
use godwit_proto::v1::watch_peers_response::Event;
use godwit_proto::v1::*;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, iter};
use tonic::{Request, Response, Status};

/// What it says, and what it was asked (as JSON, by name of the call).
#[derive(Clone, Default)]
pub struct Mock {
    pub problems: Vec<Problem>,
    pub peers: Vec<Peer>,
    /// A page each.
    pub pages: Vec<Vec<RouteBatch>>,
    pub differences: Vec<FibDifference>,
    /// Of whatever prefix is asked about.
    pub story: ExplainRouteResponse,
    /// What a diff tells, in order.
    pub diff: Vec<diff_config_response::Event>,
    pub applied: ApplyConfigResponse,
    pub rolled_back: RollbackConfigResponse,
    pub revisions: ListRevisionsResponse,
    pub config: GetConfigResponse,
    pub refuse: Option<Status>,
    pub asked: Arc<Mutex<Vec<(&'static str, serde_json::Value)>>>,
}

impl Mock {
    /// Serves on `socket` until the process ends.
    pub fn serve(self, socket: &Path) {
        let (ready, up) = std::sync::mpsc::channel();
        let socket = socket.to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(socket).unwrap();
                ready.send(()).unwrap();
                tonic::transport::Server::builder()
                    .add_service(DaemonServer::new(self.clone()))
                    .add_service(PeersServer::new(self.clone()))
                    .add_service(RoutesServer::new(self.clone()))
                    .add_service(FibServer::new(self.clone()))
                    .add_service(ConfigServer::new(self))
                    .serve_with_incoming(UnixListenerStream::new(listener))
                    .await
                    .unwrap();
            });
        });
        up.recv().unwrap();
    }

    fn note<T: serde::Serialize>(&self, call: &'static str, request: &T) -> Result<(), Status> {
        let request = serde_json::to_value(request).unwrap();
        self.asked.lock().unwrap().push((call, request));
        self.refuse.clone().map_or(Ok(()), Err)
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// Calls that take note of what was asked and answer with nothing. (Written as
/// `async_trait` would: it does not see into a macro.)
macro_rules! plain {
    ($($name:ident($request:ty) -> $response:ident),* $(,)?) => { $(
        fn $name<'s, 'a>(&'s self, request: Request<$request>) -> Answer<'a, $response>
        where
            's: 'a,
            Self: 'a,
        {
            Box::pin(async move {
                self.note(stringify!($name), request.get_ref())?;
                Ok(Response::new($response::default()))
            })
        }
    )* };
}

#[tonic::async_trait]
impl Daemon for Mock {
    plain! {
        drain(DrainRequest) -> DrainResponse,
        undrain(UndrainRequest) -> UndrainResponse,
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse {
            version: "9.9.9".into(),
            identity: Some(Identity {
                node_name: "host-a".into(),
                asn: 64512,
                router_id: "10.0.0.11".into(),
                cluster_id: "10.0.0.11".into(),
            }),
            problems: self.problems.clone(),
            ..GetStatusResponse::default()
        }))
    }

    async fn reload(
        &self,
        request: Request<ReloadRequest>,
    ) -> Result<Response<ReloadResponse>, Status> {
        self.note("reload", request.get_ref())?;
        Ok(Response::new(ReloadResponse {
            changes: vec!["peer 10.0.0.254 added".into()],
        }))
    }

    plain! { stop(StopRequest) -> StopResponse }
}

#[tonic::async_trait]
impl Config for Mock {
    type DiffConfigStream = Events<DiffConfigResponse>;

    async fn diff_config(
        &self,
        request: Request<DiffConfigRequest>,
    ) -> Result<Response<Self::DiffConfigStream>, Status> {
        self.note("diff_config", request.get_ref())?;
        let events = self.diff.clone().into_iter();
        let events = events.map(|event| Ok(DiffConfigResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(iter(events))))
    }

    async fn apply_config(
        &self,
        request: Request<ApplyConfigRequest>,
    ) -> Result<Response<ApplyConfigResponse>, Status> {
        self.note("apply_config", request.get_ref())?;
        Ok(Response::new(self.applied.clone()))
    }

    async fn confirm_config(
        &self,
        request: Request<ConfirmConfigRequest>,
    ) -> Result<Response<ConfirmConfigResponse>, Status> {
        self.note("confirm_config", request.get_ref())?;
        Ok(Response::new(ConfirmConfigResponse { revision: 7 }))
    }

    async fn rollback_config(
        &self,
        request: Request<RollbackConfigRequest>,
    ) -> Result<Response<RollbackConfigResponse>, Status> {
        self.note("rollback_config", request.get_ref())?;
        Ok(Response::new(self.rolled_back.clone()))
    }

    async fn list_revisions(
        &self,
        request: Request<ListRevisionsRequest>,
    ) -> Result<Response<ListRevisionsResponse>, Status> {
        self.note("list_revisions", request.get_ref())?;
        Ok(Response::new(self.revisions.clone()))
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        self.note("get_config", request.get_ref())?;
        Ok(Response::new(self.config.clone()))
    }
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Peers for Mock {
    async fn list_peers(
        &self,
        _: Request<ListPeersRequest>,
    ) -> Result<Response<ListPeersResponse>, Status> {
        Ok(Response::new(ListPeersResponse {
            peers: self.peers.clone(),
        }))
    }

    async fn get_peer(
        &self,
        request: Request<GetPeerRequest>,
    ) -> Result<Response<GetPeerResponse>, Status> {
        let address = request.into_inner().address;
        match self.peers.iter().find(|p| p.address == address) {
            Some(peer) => Ok(Response::new(GetPeerResponse {
                peer: Some(peer.clone()),
                ..GetPeerResponse::default()
            })),
            None => Err(Status::not_found(format!("no peer {address}"))),
        }
    }

    plain! {
        add_peer(AddPeerRequest) -> AddPeerResponse,
        remove_peer(RemovePeerRequest) -> RemovePeerResponse,
        enable_peer(EnablePeerRequest) -> EnablePeerResponse,
        disable_peer(DisablePeerRequest) -> DisablePeerResponse,
        reset_peer(ResetPeerRequest) -> ResetPeerResponse,
        refresh_peer(RefreshPeerRequest) -> RefreshPeerResponse,
        explain_peer(ExplainPeerRequest) -> ExplainPeerResponse,
    }

    type WatchPeersStream = Events<WatchPeersResponse>;

    /// The peers, the marker, one that goes, the end.
    async fn watch_peers(
        &self,
        _: Request<WatchPeersRequest>,
    ) -> Result<Response<Self::WatchPeersStream>, Status> {
        let mut events: Vec<Event> = self.peers.iter().cloned().map(Event::Peer).collect();
        events.push(Event::SnapshotEnd(SnapshotEnd {}));
        events.push(Event::Removed("10.0.0.9".into()));
        let events = events
            .into_iter()
            .map(|event| Ok(WatchPeersResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(iter(events))))
    }
}

#[tonic::async_trait]
impl Routes for Mock {
    async fn list_routes(
        &self,
        request: Request<ListRoutesRequest>,
    ) -> Result<Response<ListRoutesResponse>, Status> {
        self.note("list_routes", request.get_ref())?;
        let page = request
            .get_ref()
            .cursor
            .first()
            .map_or(0, |c| usize::from(*c));
        let more = page + 1 < self.pages.len();
        Ok(Response::new(ListRoutesResponse {
            batches: self.pages.get(page).cloned().unwrap_or_default(),
            next_cursor: more.then_some(page as u8 + 1).into_iter().collect(),
        }))
    }

    plain! {
        lookup_route(LookupRouteRequest) -> LookupRouteResponse,
        add_route(AddRouteRequest) -> AddRouteResponse,
        remove_route(RemoveRouteRequest) -> RemoveRouteResponse,
    }

    async fn explain_route(
        &self,
        request: Request<ExplainRouteRequest>,
    ) -> Result<Response<ExplainRouteResponse>, Status> {
        self.note("explain_route", request.get_ref())?;
        Ok(Response::new(self.story.clone()))
    }

    type WatchRoutesStream = Events<WatchRoutesResponse>;

    async fn watch_routes(
        &self,
        _: Request<WatchRoutesRequest>,
    ) -> Result<Response<Self::WatchRoutesStream>, Status> {
        Ok(Response::new(Box::pin(iter([]))))
    }
}

#[tonic::async_trait]
impl Fib for Mock {
    plain! { list_fib(ListFibRequest) -> ListFibResponse }

    async fn check_fib(
        &self,
        _: Request<CheckFibRequest>,
    ) -> Result<Response<CheckFibResponse>, Status> {
        Ok(Response::new(CheckFibResponse {
            wanted: 7,
            found: 7,
            difference_count: self.differences.len() as u64,
            differences: self.differences.clone(),
        }))
    }
}
