//! Whole daemons in one process, over loopback sockets. Each test has
//! addresses of its own, so that all can run at once. A loopback address is no
//! next hop, so the routes are IPv6 and the hosts are told of addresses that they
//! don't have.

mod lifecycle;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use godwit_bgp::session::State;
use godwit_bgp::wire::Open;
use godwit_bgp::{Asn, RouterId};
use godwit_policy::route::Registry;
use godwit_rib::{PrefixFilter, RouteEntry, RouteQuery, RouteView};
use ipnet::IpNet;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use crate::boot::Boot;
use crate::control::task::Kept;
use crate::control::{Control, ControlError, Loaded, NewPeer, resolve};
use crate::daemon::Engine;
use crate::interfaces::Interfaces;
use crate::state::changes::NewRoute;
use crate::status::{PeerOrigin, PeerStatus};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 10_179;

/// Two loopback addresses that no other test of this process uses.
fn addresses() -> (Ipv4Addr, Ipv4Addr) {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
    // Test processes that run side by side differ in the two octets between.
    let id = std::process::id();
    let own = 1 + (id % 250) as u8;
    let series = ((id / 250 + next / 100) % 250) as u8;
    let at = |host| Ipv4Addr::new(127, own, series, (next % 100) as u8 * 2 + host);
    (at(1), at(2))
}

struct Node {
    control: Control,
    directory: TempDir,
}

impl Node {
    async fn start(text: &str) -> Node {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("godwit.toml");
        std::fs::write(&path, text).unwrap();
        Node::start_in(directory).await
    }

    /// With what a former one left there.
    async fn start_in(directory: TempDir) -> Node {
        let path = directory.path().join("godwit.toml");
        let boot = Boot::load(
            &path,
            &directory.path().join("state"),
            &Registry::default(),
            false,
        )
        .unwrap();
        let config = boot.config;
        let identity = resolve::identity(&config, config.router.router_id.unwrap());
        let loaded = Loaded {
            config: Arc::new(config),
            text: boot.text,
            revision: boot.revision,
            path,
            at: SystemTime::now(),
            last_error: boot.last_error,
            going_back: None,
        };
        let kept = Kept {
            store: boot.store,
            history: boot.history,
        };
        let own = loaded.config.router.listen[0].ip();
        let host = identity.router_id.0;
        let global = Ipv6Addr::from(0x2001_0db8_u128 << 96 | 0xffff << 64 | u128::from(host));
        let addresses = [(own, 8), (IpAddr::V6(global), 64)];
        let interfaces = Arc::new(Interfaces::fixed(&addresses));
        let (engine, _) = Engine::start(loaded, identity, interfaces, kept).unwrap();
        let (control, _) = engine.open(100);
        let mut listeners = control.listeners();
        while listeners.is_empty() {
            tokio::task::yield_now().await;
            listeners = control.listeners();
        }
        assert!(listeners.iter().all(|l| l.error.is_none()), "{listeners:?}");
        Node { control, directory }
    }

    async fn reload(&self, text: &str) -> Result<Vec<String>, ControlError> {
        let path: PathBuf = self.directory.path().join("godwit.toml");
        std::fs::write(path, text).unwrap();
        self.control.reload().await
    }

    async fn until(&self, peer: Ipv4Addr, what: &str, is: impl Fn(&PeerStatus) -> bool) {
        let found = timeout(PATIENCE, async {
            loop {
                let view = self.control.peer(peer);
                if view.is_some_and(|v| is(&v.status())) {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        });
        let status = || self.control.peer(peer).map(|v| v.status());
        assert!(found.await.is_ok(), "not {what}: {:?}", status());
    }

    async fn established(&self, peer: Ipv4Addr) {
        let up = |s: &PeerStatus| s.session.is_some();
        self.until(peer, "established", up).await;
    }

    /// All paths, our own and received ones, whatever import made of them.
    async fn all(&self) -> Vec<RouteEntry> {
        let page = self.control.rib().query(|rib| {
            let query = RouteQuery {
                view: RouteView::All,
                family: None,
                prefix: PrefixFilter::Any,
            };
            rib.routes(&query, None, 1000)
        });
        page.await.unwrap().entries
    }

    async fn prefixes(&self) -> Vec<IpNet> {
        let mut prefixes: Vec<IpNet> = self.all().await.iter().map(|e| e.prefix).collect();
        prefixes.sort();
        prefixes
    }

    /// Waits until a rule rejects `prefix` (or none does).
    async fn until_rejected(&self, prefix: &str, rejected: bool) {
        let prefix: IpNet = prefix.parse().unwrap();
        let is = |e: &RouteEntry| e.prefix == prefix && e.rejected_by.is_some() == rejected;
        let found = timeout(PATIENCE, async {
            while !self.all().await.iter().any(is) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(found.await.is_ok(), "{:?}", self.all().await);
    }

    async fn until_routes(&self, wanted: &[&str]) {
        let wanted: Vec<IpNet> = wanted.iter().map(|p| p.parse().unwrap()).collect();
        let found = timeout(PATIENCE, async {
            while self.prefixes().await != wanted {
                sleep(Duration::from_millis(10)).await;
            }
        });
        if found.await.is_err() {
            panic!("routes are {:?}, not {wanted:?}", self.prefixes().await);
        }
    }

    fn sessions_had(&self, peer: Ipv4Addr) -> u64 {
        let view = self.control.peer(peer).unwrap();
        view.figures().messages.established
    }
}

/// A router of `asn` at `own` with no peers.
fn router(asn: u32, own: Ipv4Addr) -> String {
    format!(
        "[router]\nasn = {asn}\nrouter-id = \"{own}\"\nlisten = [\"{own}:{PORT}\"]\n\
         [fib]\nenabled = false\n"
    )
}

/// A peer with everything accepted; `more` goes into its table.
fn peer(own: Ipv4Addr, address: Ipv4Addr, asn: u32, more: &str) -> String {
    format!(
        "[[peer]]\naddress = \"{address}\"\nlocal-address = \"{own}\"\nport = {PORT}\n\
         remote-as = {asn}\nimport = [\"accept-all\"]\nexport = [\"accept-all\"]\n\
         connect-retry = \"1s\"\n{more}\n"
    )
}

fn new_route(prefix: IpNet) -> NewRoute {
    let request = godwit_proto::v1::AddRouteRequest {
        prefix: prefix.to_string(),
        ..Default::default()
    };
    NewRoute::new(prefix, request).unwrap()
}

fn originate(prefix: &str) -> String {
    format!("[[originate]]\nprefix = \"{prefix}\"\n")
}

/// Two routers of different AS, each with one route. The right one waits to be
/// called: a collision would be another test.
async fn pair() -> (Node, Ipv4Addr, Node, Ipv4Addr) {
    pair_with("passive = true").await
}

async fn pair_with(right: &str) -> (Node, Ipv4Addr, Node, Ipv4Addr) {
    let (a, b) = addresses();
    let left = router(65001, a) + &peer(a, b, 65002, "") + &originate("2001:db8:1::/48");
    let right = router(65002, b) + &peer(b, a, 65001, right) + &originate("2001:db8:2::/48");
    (Node::start(&left).await, a, Node::start(&right).await, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routers_that_call_each_other_at_once_come_together() {
    let (left, a, right, b) = pair_with("").await;
    left.until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    left.established(b).await;
    right.established(a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_added_and_removed_by_command_reach_the_peer() {
    let (left, _, right, _) = pair().await;
    let prefix = "2001:db8:3::/48".parse().unwrap();
    left.control.add_route(new_route(prefix)).await.unwrap();
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48"])
        .await;
    left.control.remove_route(prefix).await.unwrap();
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    let again = left.control.remove_route(prefix).await;
    assert!(matches!(again, Err(ControlError::NotFound(_))), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_applied_without_touching_the_session() {
    let (left, a, right, b) = pair().await;
    left.until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    let strict = router(65001, a)
        + &peer(a, b, 65002, "").replace("accept-all", "reject-all")
        + &originate("2001:db8:1::/48");
    let changes = left.reload(&strict).await.unwrap();
    assert_eq!(changes, [format!("peer {b} changed: import, export")]);
    left.until_rejected("2001:db8:2::/48", true).await;
    right.until_routes(&["2001:db8:2::/48"]).await;
    assert_eq!(left.sessions_had(b), 1);
    let open = strict.replace("reject-all", "accept-all");
    left.reload(&open).await.unwrap();
    left.until_rejected("2001:db8:2::/48", false).await;
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    assert_eq!(left.sessions_had(b), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_changes_nothing_touches_nothing() {
    let (left, _, right, b) = pair().await;
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    left.established(b).await;
    assert_eq!(left.control.reload().await, Ok(Vec::new()));
    assert_eq!(left.sessions_had(b), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_an_error_changes_nothing_and_is_shown() {
    let (left, a, _right, b) = pair().await;
    left.established(b).await;
    let broken = router(65001, a) + "[[peer]]\naddress = \"nowhere\"\n";
    let Err(ControlError::Invalid(text)) = left.reload(&broken).await else {
        panic!("the file was taken");
    };
    assert!(text.contains("nowhere") && text.contains("^^^"), "{text}");
    assert!(left.control.loaded().last_error.is_some());
    assert_eq!(left.sessions_had(b), 1);
    left.until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_of_the_session_restarts_it() {
    let (left, a, right, b) = pair().await;
    left.established(b).await;
    right.established(a).await;
    let changed = router(65001, a)
        + &peer(a, b, 65002, "hold-time = \"30s\"")
        + &originate("2001:db8:1::/48");
    let changes = left.reload(&changed).await.unwrap();
    let expected = format!("peer {b} changed, its session restarts for hold-time");
    assert_eq!(changes, [expected]);
    let is = |s: &PeerStatus| {
        let hold = s.session.as_ref().map(|s| s.negotiated.hold_time);
        hold == Some(Duration::from_secs(30))
    };
    left.until(b, "established anew", is).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_open_told_of_leaves_the_session_alone() {
    let (left, a, _right, b) = pair().await;
    left.established(b).await;
    let lines = "next-hop-self = true\nkeepalive = \"1s\"\ndescription = \"x\"\n";
    let text = peer(a, b, 65002, lines)
        .replace(&format!("local-address = \"{a}\"\n"), "")
        .replace("remote-as = 65002", "remote-as = \"external\"")
        .replace("\"1s\"\nnext-hop", "\"3s\"\nnext-hop");
    let changed = router(65001, a) + &text + &originate("2001:db8:1::/48");
    let changes = left.reload(&changed).await.unwrap();
    let keys = "remote-as, local-address, next-hop-self, keepalive, description, connect-retry";
    assert_eq!(changes, [format!("peer {b} changed: {keys}")]);
    let is = |s: &PeerStatus| {
        let keepalive = s.session.as_ref().map(|s| s.negotiated.keepalive);
        keepalive == Some(Duration::from_secs(1))
    };
    left.until(b, "with the new interval", is).await;
    assert_eq!(left.sessions_had(b), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_come_and_go_with_the_file() {
    let (a, _) = addresses();
    let node = Node::start(&router(65001, a)).await;
    let at = |port: u16| tokio::net::TcpStream::connect((IpAddr::from(a), port));
    at(PORT).await.unwrap();
    let other = router(65001, a).replace(&format!(":{PORT}"), &format!(":{}", PORT + 1));
    node.reload(&other).await.unwrap();
    at(PORT + 1).await.unwrap();
    assert!(at(PORT).await.is_err());
    assert_eq!(node.control.listeners().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_peer_takes_its_routes_along() {
    let (left, a, right, _) = pair().await;
    left.until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    left.reload(&(router(65001, a) + &originate("2001:db8:1::/48")))
        .await
        .unwrap();
    left.until_routes(&["2001:db8:1::/48"]).await;
    right.until_routes(&["2001:db8:2::/48"]).await;
    right
        .until(a, "told why", |s| {
            let error = s.last_error.as_ref().map(|(_, e)| e.to_string());
            error.is_some_and(|e| e.contains("Peer De-configured"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_disabled_by_command_stays_down_over_a_reload() {
    let (left, _, right, b) = pair().await;
    left.established(b).await;
    left.control
        .disable_peer(b.into(), "maintenance".to_owned())
        .await
        .unwrap();
    left.until(b, "down", |s| s.disabled && s.state == State::Idle)
        .await;
    left.control.reload().await.unwrap();
    left.until(b, "down", |s| s.disabled && s.state == State::Idle)
        .await;
    right.until_routes(&["2001:db8:2::/48"]).await;
    left.control.enable_peer(b.into()).await.unwrap();
    left.established(b).await;
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_added_by_command_survives_a_reload() {
    let (a, b) = addresses();
    let left = Node::start(&(router(65001, a) + &originate("2001:db8:1::/48"))).await;
    let right = Node::start(&(router(65002, b) + &peer(b, a, 65001, "passive = true"))).await;
    let new = NewPeer {
        name: b.into(),
        group: None,
        settings: godwit_config::PeerSettings {
            remote_as: Some(godwit_config::RemoteAs::External),
            local_address: Some(a.into()),
            port: Some(PORT),
            export: Some(vec!["accept-all".to_owned()]),
            ..godwit_config::PeerSettings::default()
        },
    };
    left.control.add_peer(new.clone()).await.unwrap();
    left.established(b).await;
    right.until_routes(&["2001:db8:1::/48"]).await;
    assert_eq!(left.control.reload().await, Ok(Vec::new()));
    assert_eq!(left.sessions_had(b), 1);
    let again = left.control.add_peer(new).await;
    assert!(
        matches!(again, Err(ControlError::AlreadyExists(_))),
        "{again:?}"
    );
    left.control
        .remove_peer(b.into(), String::new())
        .await
        .unwrap();
    assert!(left.control.peer(b).is_none());
    right.until_routes(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_from_a_range_is_a_peer_while_it_is_connected() {
    let (a, b) = addresses();
    let range = format!(
        "[[peer]]\nrange = \"{b}/32\"\nremote-as = \"external\"\nimport = [\"accept-all\"]\n"
    );
    let left = Node::start(&(router(65001, a) + &range)).await;
    let calling = router(65002, b) + &peer(b, a, 65001, "") + &originate("2001:db8:2::/48");
    let right = Node::start(&calling).await;
    left.established(b).await;
    let origin = left.control.peer(b).unwrap().status().origin;
    assert!(matches!(origin, PeerOrigin::Range(_)), "{origin:?}");
    left.until_routes(&["2001:db8:2::/48"]).await;
    right.control.stop().await;
    left.until_routes(&[]).await;
    let gone = timeout(PATIENCE, async {
        while left.control.peer(b).is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(gone.await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_that_it_is_rejected() {
    let (a, b) = addresses();
    let _left = Node::start(&router(65001, a)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(b), 0).into()).unwrap();
    let mut stream = socket
        .connect((IpAddr::from(a), PORT).into())
        .await
        .unwrap();
    // Sent at once, as neighbours do: unread, it would turn the end into a reset,
    // which may overtake the words.
    stream.write_all(&open_of(65002, b)).await.unwrap();
    let mut heard = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut heard))
        .await
        .unwrap()
        .unwrap();
    // NOTIFICATION, Cease, Connection Rejected (RFC 4486 §4).
    assert_eq!(heard.get(18..), Some(&[3, 6, 5][..]));
}

fn open_of(asn: u32, router_id: Ipv4Addr) -> Bytes {
    let id = RouterId(router_id.into());
    Open::new(Asn(asn), 90, id, Vec::new()).encode()
}

/// Its former session's last words are still on their way to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_from_a_range_that_calls_again_at_once_is_answered() {
    let (a, b) = addresses();
    let range = format!("[[peer]]\nrange = \"{b}/32\"\nremote-as = \"external\"\n");
    let _node = Node::start(&(router(65001, a) + &range)).await;
    let call = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from(b), 0).into()).unwrap();
        let to = (IpAddr::from(a), PORT).into();
        let mut stream = socket.connect(to).await.unwrap();
        let mut header = [0; 19];
        let read = timeout(Duration::from_secs(1), stream.read_exact(&mut header));
        read.await.unwrap().unwrap();
        assert_eq!(header[18], 1, "an OPEN");
        stream
    };
    let mut first = call().await;
    // No message: NOTIFICATION. We hear of it and keep our end open.
    first.write_all(&[0; 19]).await.unwrap();
    let mut heard = [0; 1024];
    while first.read(&mut heard).await.unwrap() > 0 {}
    call().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_brings_back_what_is_there() {
    let (left, _, right, b) = pair().await;
    left.until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    right
        .until_routes(&["2001:db8:1::/48", "2001:db8:2::/48"])
        .await;
    let view = left.control.peer(b).unwrap();
    let before = view.figures().messages;
    left.control.refresh_in(b.into(), Vec::new()).await.unwrap();
    let again = timeout(PATIENCE, async {
        while view.figures().messages.received.update == before.received.update {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(again.await.is_ok());
    assert_eq!(view.figures().messages.established, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_panics_harms_only_itself() {
    let (a, _) = addresses();
    let node = Node::start(&(router(65001, a) + &originate("2001:db8:1::/48"))).await;
    let answer = node.control.rib().query(|_| panic!("for the test")).await;
    let text = answer.map(|()| String::new()).unwrap_err().to_string();
    assert!(text.contains("for the test"), "{text}");
    node.until_routes(&["2001:db8:1::/48"]).await;
}
