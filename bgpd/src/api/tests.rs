//! The services over a real socket, before a real RIB thread and a control task
//! that follows a script.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use godwit_bgp::RouterId;
use godwit_proto::v1;
use godwit_proto::v1::daemon_client::DaemonClient;
use godwit_proto::v1::fib_client::FibClient;
use godwit_proto::v1::peers_client::PeersClient;
use godwit_proto::v1::routes_client::RoutesClient;
use godwit_rib::{Rib, RibConfig};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tonic_types::StatusExt;
use v1::watch_routes_response::Event;

use super::*;
use crate::control::{Command, ControlError, Identity, Loaded, Ranges, Shared};
use crate::listener::Gate;
use crate::peer::Registry;
use crate::ribthread::{self, Inbox};
use crate::status::PeerEvent;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Daemon {
    directory: TempDir,
    api: Option<ApiHandle>,
    channel: Channel,
    registry: Arc<Registry>,
}

impl Daemon {
    async fn start() -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("godwit.sock");
        let text = format!(
            "[router]\nasn = 64512\n[fib]\nenabled = false\n[api]\nunix = {:?}\ngroup = \"no-such\"\n",
            socket.display().to_string()
        );
        let config = godwit_config::parse("godwit.toml", &text).unwrap();
        let id = RouterId(0x0a00_000b);
        let rib = Rib::new(RibConfig {
            asn: config.router.asn,
            router_id: id,
            cluster_id: id,
            max_paths_external: 1,
            max_paths_internal: 1,
            multipath_relax: false,
            link_bandwidth: true,
            drain: godwit_rib::Drain::No,
            require_next_hop: false,
            fib: false,
        });
        let (rib, _, _) = ribthread::spawn(rib, None, Arc::new(Inbox::default())).unwrap();
        let registry = Arc::new(Registry::default());
        let config = Arc::new(config);
        let shared = Shared {
            restraint: ArcSwap::default(),
            started: Arc::clone(&config),
            identity: Identity {
                node: "host-a".into(),
                asn: config.router.asn,
                router_id: id,
                cluster_id: id,
            },
            loaded: ArcSwap::from_pointee(Loaded {
                config,
                text: "".into(),
                revision: 1,
                path: "/etc/godwit/godwit.toml".into(),
                at: SystemTime::now(),
                last_error: None,
                going_back: None,
            }),
            listeners: ArcSwap::default(),
            gate: Arc::new(Gate::new(0)),
            ranges: Ranges::default(),
            registry: Arc::clone(&registry),
            rib: rib.clone(),
            fib: None,
        };
        let (commands, script) = mpsc::channel(8);
        tokio::spawn(follow(script, rib));
        let api = spawn(Control::new(commands, Arc::new(shared)));
        let channel = connect(&socket).await;
        Daemon {
            directory,
            api: Some(api),
            channel,
            registry,
        }
    }

    fn routes(&self) -> RoutesClient<Channel> {
        RoutesClient::new(self.channel.clone())
    }

    fn peers(&self) -> PeersClient<Channel> {
        PeersClient::new(self.channel.clone())
    }

    async fn add(&self, prefix: &str) {
        let request = v1::AddRouteRequest {
            prefix: prefix.into(),
            communities: vec!["no-export".into()],
            ..v1::AddRouteRequest::default()
        };
        self.routes().add_route(request).await.unwrap();
    }

    async fn watch(&self) -> Streaming<v1::WatchRoutesResponse> {
        let mut routes = self.routes();
        let stream = routes.watch_routes(v1::WatchRoutesRequest::default());
        stream.await.unwrap().into_inner()
    }

    async fn list(&self, request: v1::ListRoutesRequest) -> v1::ListRoutesResponse {
        self.routes()
            .list_routes(request)
            .await
            .unwrap()
            .into_inner()
    }
}

/// What the control task does with routes; peers it refuses.
async fn follow(mut script: mpsc::Receiver<Command>, rib: ribthread::RibHandle) {
    while let Some(command) = script.recv().await {
        let command = match command {
            Command::As(_, command) => *command,
            command => command,
        };
        match command {
            Command::AddRoute(route, reply) => {
                let now = crate::clock::now();
                rib.query(move |rib| {
                    rib.originate(&route.route, now);
                    while rib.work(1000) {}
                })
                .await
                .unwrap();
                let _ = reply.send(Ok(()));
            }
            Command::RemoveRoute(prefix, reply) => {
                let gone = rib.query(move |rib| {
                    let gone = rib.withdraw_local(prefix);
                    while rib.work(1000) {}
                    gone
                });
                let _ = reply.send(match gone.await.unwrap() {
                    true => Ok(()),
                    false => Err(ControlError::NotFound(format!("no route {prefix} of ours"))),
                });
            }
            Command::AddPeer(peer, reply) => {
                let text = format!("peer {} is in the file", peer.name);
                let _ = reply.send(Err(ControlError::AlreadyExists(text)));
            }
            _ => {}
        }
    }
}

async fn connect(socket: &std::path::Path) -> Channel {
    let endpoint = Endpoint::try_from(format!("unix:{}", socket.display())).unwrap();
    let started = std::time::Instant::now();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(e) if started.elapsed() > PATIENCE => panic!("the API does not come up: {e}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn prefixes(batches: &[v1::RouteBatch]) -> Vec<String> {
    let paths = batches.iter().flat_map(|b| &b.paths);
    let mut all: Vec<String> = paths.map(|p| p.prefix.clone()).collect();
    all.sort();
    all
}

async fn next(stream: &mut Streaming<v1::WatchRoutesResponse>) -> Event {
    let message = timeout(PATIENCE, stream.message()).await.unwrap().unwrap();
    message.unwrap().event.unwrap()
}

#[tokio::test]
async fn status_tells_who_it_is_and_that_all_is_well() {
    let daemon = Daemon::start().await;
    daemon.add("10.1.0.0/16").await;
    let status = DaemonClient::new(daemon.channel.clone())
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let identity = status.identity.unwrap();
    assert_eq!(
        (identity.asn, identity.router_id.as_str()),
        (64512, "10.0.0.11")
    );
    assert_eq!(status.tables[0].prefixes, 1);
    assert!(status.resident_bytes > 0);
    assert_eq!(status.problems, []);
}

#[tokio::test]
async fn a_route_of_ours_is_listed_with_what_was_asked() {
    let daemon = Daemon::start().await;
    daemon.add("10.1.0.0/16").await;
    let page = daemon.list(v1::ListRoutesRequest::default()).await;
    assert!(page.next_cursor.is_empty());
    let [batch] = page.batches.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!(batch.peer, "local");
    let attributes = batch.attributes.clone().unwrap();
    assert_eq!(attributes.communities, ["no-export"]);
    let path = &batch.paths[0];
    assert_eq!((path.prefix.as_str(), path.best), ("10.1.0.0/16", true));
    assert_eq!((path.installed, path.stale), (false, false));
    assert_eq!(path.rejected_by, "");
}

#[tokio::test]
async fn pages_together_hold_every_route_once() {
    let daemon = Daemon::start().await;
    let mut wanted = Vec::new();
    for i in 0..20 {
        let prefix = format!("10.{i}.0.0/16");
        daemon.add(&prefix).await;
        wanted.push(prefix);
    }
    wanted.sort();
    let mut request = v1::ListRoutesRequest {
        limit: 3,
        ..v1::ListRoutesRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let page = daemon.list(request.clone()).await;
        let got = prefixes(&page.batches);
        assert!(got.len() <= 3, "{got:?}");
        all.extend(got);
        if page.next_cursor.is_empty() {
            break;
        }
        request.cursor = page.next_cursor;
    }
    all.sort();
    assert_eq!(all, wanted);
}

#[tokio::test]
async fn a_page_has_a_set_of_attributes_once() {
    let daemon = Daemon::start().await;
    // More than a slice.
    for i in 0..=255 {
        daemon.add(&format!("10.{i}.0.0/16")).await;
    }
    let page = daemon.list(v1::ListRoutesRequest::default()).await;
    let sizes: Vec<usize> = page.batches.iter().map(|b| b.paths.len()).collect();
    assert_eq!(sizes, [256]);
}

#[tokio::test]
async fn filters_run_on_the_server() {
    let daemon = Daemon::start().await;
    daemon.add("10.1.0.0/16").await;
    daemon.add("10.1.2.0/24").await;
    daemon.add("2001:db8::/32").await;
    let listed = |filter: v1::RouteFilter| {
        let daemon = &daemon;
        async move {
            let request = v1::ListRoutesRequest {
                filter: Some(filter),
                ..v1::ListRoutesRequest::default()
            };
            prefixes(&daemon.list(request).await.batches)
        }
    };
    let six = v1::RouteFilter {
        family: v1::Family::Ipv6Unicast as i32,
        ..v1::RouteFilter::default()
    };
    assert_eq!(listed(six).await, ["2001:db8::/32"]);
    let longer = v1::RouteFilter {
        prefix: "10.1.0.0/16".into(),
        prefix_match: v1::route_filter::PrefixMatch::Longer as i32,
        ..v1::RouteFilter::default()
    };
    assert_eq!(listed(longer).await, ["10.1.0.0/16", "10.1.2.0/24"]);
    let other = v1::RouteFilter {
        community: "64512:1".into(),
        ..v1::RouteFilter::default()
    };
    assert_eq!(listed(other).await, [""; 0]);
    let ours = v1::RouteFilter {
        peer: "local".into(),
        view: v1::View::Received as i32,
        ..v1::RouteFilter::default()
    };
    assert_eq!(listed(ours).await.len(), 3);
}

#[tokio::test]
async fn an_address_finds_its_longest_match() {
    let daemon = Daemon::start().await;
    daemon.add("10.1.0.0/16").await;
    daemon.add("10.1.2.0/24").await;
    let lookup = |target: &str| v1::LookupRouteRequest {
        target: target.into(),
    };
    let found = daemon.routes().lookup_route(lookup("10.1.2.3")).await;
    let found = found.unwrap().into_inner();
    assert_eq!(found.prefix, "10.1.2.0/24");
    assert_eq!(prefixes(&found.batches), ["10.1.2.0/24"]);
    let none = daemon.routes().lookup_route(lookup("192.0.2.1")).await;
    let status = none.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "NO_SUCH_ROUTE");
}

#[tokio::test]
async fn the_only_path_is_explained_as_such() {
    let daemon = Daemon::start().await;
    daemon.add("10.1.0.0/16").await;
    let request = v1::ExplainRouteRequest {
        target: "10.1.0.0/16".into(),
    };
    let story = daemon.routes().explain_route(request).await.unwrap();
    let story = story.into_inner();
    let [only] = story.candidates.as_slice() else {
        panic!("{story:?}");
    };
    assert!(only.path.as_ref().unwrap().best);
    assert_eq!(
        (only.lost_at.as_str(), only.detail.as_str()),
        ("", "only path")
    );
}

#[tokio::test]
async fn a_watch_is_a_snapshot_a_marker_and_changes() {
    let daemon = Daemon::start().await;
    daemon.add("10.1.0.0/16").await;
    let mut stream = daemon.watch().await;
    let Event::Change(change) = next(&mut stream).await else {
        panic!("no snapshot");
    };
    assert_eq!(prefixes(&change.batches), ["10.1.0.0/16"]);
    assert_eq!(
        next(&mut stream).await,
        Event::SnapshotEnd(v1::SnapshotEnd {})
    );

    daemon.add("10.2.0.0/16").await;
    // What was there when the tap was opened may be told once more.
    loop {
        match next(&mut stream).await {
            Event::Change(c) if prefixes(&c.batches).contains(&"10.2.0.0/16".into()) => break,
            Event::Change(c) => assert_eq!(prefixes(&c.batches), ["10.1.0.0/16"]),
            other => panic!("{other:?}"),
        }
    }
    let request = v1::RemoveRouteRequest {
        prefix: "10.2.0.0/16".into(),
    };
    daemon.routes().remove_route(request).await.unwrap();
    let Event::Change(change) = next(&mut stream).await else {
        panic!("no change");
    };
    assert_eq!(change.removed, ["10.2.0.0/16"]);
    assert_eq!(change.batches, []);
}

#[tokio::test]
async fn a_watch_of_peers_has_its_marker_without_peers_too() {
    let daemon = Daemon::start().await;
    let mut peers = daemon.peers();
    let stream = peers.watch_peers(v1::WatchPeersRequest::default());
    let mut stream = stream.await.unwrap().into_inner();
    let first = timeout(PATIENCE, stream.message()).await.unwrap().unwrap();
    let marker = v1::watch_peers_response::Event::SnapshotEnd(v1::SnapshotEnd {});
    assert_eq!(first.unwrap().event, Some(marker));
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_starts_over() {
    use v1::watch_peers_response::Event;

    let daemon = Daemon::start().await;
    let mut peers = daemon.peers();
    let stream = peers.watch_peers(v1::WatchPeersRequest::default());
    let mut stream = stream.await.unwrap().into_inner();
    let marker = |m: Option<v1::WatchPeersResponse>| match m.unwrap().event.unwrap() {
        Event::Removed(_) => None,
        marker => Some(marker),
    };
    let first = timeout(PATIENCE, stream.message()).await.unwrap().unwrap();
    let end = Event::SnapshotEnd(v1::SnapshotEnd {});
    assert_eq!(marker(first), Some(end.clone()));
    // Far more than the broadcast, the watch's queue and HTTP/2's window hold,
    // at once: nothing is read in between.
    for i in 0..50_000u32 {
        let gone = std::net::Ipv4Addr::from(i).into();
        daemon.registry.announce(PeerEvent::Removed(gone));
    }
    let mut markers = Vec::new();
    while markers.len() < 2 {
        let message = timeout(PATIENCE, stream.message()).await.unwrap().unwrap();
        markers.extend(marker(message));
    }
    assert_eq!(markers, [Event::Resync(v1::Resync {}), end]);
}

#[tokio::test]
async fn refusals_have_their_canonical_code() {
    let daemon = Daemon::start().await;
    let request = v1::RemoveRouteRequest {
        prefix: "10.9.0.0/16".into(),
    };
    let status = daemon.routes().remove_route(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let request = v1::GetPeerRequest {
        address: "10.0.0.1".into(),
    };
    let status = daemon.peers().get_peer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let mut spec = v1::PeerSpec {
        address: "10.0.0.1".into(),
        remote_as: "64513".into(),
        ..v1::PeerSpec::default()
    };
    let request = v1::AddPeerRequest {
        peer: Some(spec.clone()),
    };
    let status = daemon.peers().add_peer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);

    spec.remote_as = "everybody".into();
    let request = v1::AddPeerRequest { peer: Some(spec) };
    let status = daemon.peers().add_peer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let bad = status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations[0].field, "peer.remote_as");

    let mut fib = FibClient::new(daemon.channel.clone());
    let status = fib.check_fib(v1::CheckFibRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn health_and_reflection_are_on() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1 as reflection;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let daemon = Daemon::start().await;
    let request = tonic_health::pb::HealthCheckRequest {
        service: "godwit.v1.Routes".into(),
    };
    let mut health = HealthClient::new(daemon.channel.clone());
    let health = health.check(request);
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    assert_eq!(health.await.unwrap().into_inner().status(), serving);

    let list = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(daemon.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter([list]));
    let mut answers = answers.await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<String> = list.service.into_iter().map(|s| s.name).collect();
    for service in ["Daemon", "Peers", "Routes", "Fib"] {
        let name = format!("godwit.v1.{service}");
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn the_end_of_the_daemon_ends_watches_and_takes_the_socket() {
    let mut daemon = Daemon::start().await;
    let mut stream = daemon.watch().await;
    assert_eq!(
        next(&mut stream).await,
        Event::SnapshotEnd(v1::SnapshotEnd {})
    );
    daemon.api = None;
    let end = timeout(PATIENCE, stream.message()).await;
    assert!(!matches!(end.unwrap(), Ok(Some(_))));
    assert!(!daemon.directory.path().join("godwit.sock").exists());
}
