//! Service `Peers`.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_bgp::{Asn, Family, SendPaths};
use godwit_config::{
    AddPathConfig, DefaultSettings, FamilySettings, MAX_SEND_PATHS, Password, PeerSettings,
    RemoteAs,
};
use godwit_proto::v1;
use godwit_proto::v1::watch_peers_response::Event;
use godwit_rib::{PeerCounters, PeerId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Stop, convert, error, limits, path};
use crate::control::{Control, NewPeer};
use crate::explain;
use crate::netstat::Drops;
use crate::peer::PeerName;
use crate::status::{PeerEvent, PeerStatus, PeerView};

/// Events that wait for a slow client before its watch waits.
const WATCH_QUEUE: usize = 64;
/// Peers whose figures the RIB is asked for at once.
const ASK: usize = 64;
/// RFC 9003 §2.
const LONGEST_MESSAGE: usize = 255;

#[derive(Debug)]
pub struct Service {
    control: Control,
    stop: Stop,
}

impl Service {
    pub fn new(control: Control, stop: Stop) -> Service {
        Service { control, stop }
    }

    fn known(&self, text: &str) -> Result<PeerName, Status> {
        let address = error::peer_name("address", text)?;
        match self.control.peer(address) {
            Some(_) => Ok(address),
            None => Err(error::no_such_peer(text)),
        }
    }
}

#[tonic::async_trait]
impl v1::peers_server::Peers for Service {
    async fn list_peers(
        &self,
        _: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        let views = self.control.peers();
        Ok(Response::new(v1::ListPeersResponse {
            peers: messages(&self.control, &views).await?,
        }))
    }

    async fn get_peer(
        &self,
        request: Request<v1::GetPeerRequest>,
    ) -> Result<Response<v1::GetPeerResponse>, Status> {
        let text = &request.get_ref().address;
        let address = error::peer_name("address", text)?;
        let peer = message(&self.control, address).await?;
        let history = self.control.peer(address).map(|view| view.history());
        let history = history.unwrap_or_default();
        Ok(Response::new(v1::GetPeerResponse {
            peer: Some(peer.ok_or_else(|| error::no_such_peer(text))?),
            resets: history.resets.iter().map(convert::reset).collect(),
            last_bad_message: history.bad_message.as_ref().map(convert::bad_message),
        }))
    }

    async fn add_peer(
        &self,
        request: Request<v1::AddPeerRequest>,
    ) -> Result<Response<v1::AddPeerResponse>, Status> {
        let control = self.control.on_behalf_of(super::uid(&request));
        let spec = request.into_inner().peer;
        let new = new_peer(spec.ok_or_else(|| error::bad_field("peer", "is required"))?)?;
        let address = new.name;
        control.add_peer(new).await?;
        Ok(Response::new(v1::AddPeerResponse {
            peer: message(&self.control, address).await?,
        }))
    }

    async fn remove_peer(
        &self,
        request: Request<v1::RemovePeerRequest>,
    ) -> Result<Response<v1::RemovePeerResponse>, Status> {
        let control = self.control.on_behalf_of(super::uid(&request));
        let request = request.into_inner();
        let address = self.known(&request.address)?;
        let message = told(request.message)?;
        control.remove_peer(address, message).await?;
        Ok(Response::new(v1::RemovePeerResponse {}))
    }

    async fn enable_peer(
        &self,
        request: Request<v1::EnablePeerRequest>,
    ) -> Result<Response<v1::EnablePeerResponse>, Status> {
        let address = self.known(&request.get_ref().address)?;
        let control = self.control.on_behalf_of(super::uid(&request));
        control.enable_peer(address).await?;
        Ok(Response::new(v1::EnablePeerResponse {}))
    }

    async fn disable_peer(
        &self,
        request: Request<v1::DisablePeerRequest>,
    ) -> Result<Response<v1::DisablePeerResponse>, Status> {
        let control = self.control.on_behalf_of(super::uid(&request));
        let request = request.into_inner();
        let address = self.known(&request.address)?;
        let message = told(request.message)?;
        control.disable_peer(address, message).await?;
        Ok(Response::new(v1::DisablePeerResponse {}))
    }

    async fn reset_peer(
        &self,
        request: Request<v1::ResetPeerRequest>,
    ) -> Result<Response<v1::ResetPeerResponse>, Status> {
        let request = request.into_inner();
        let address = self.known(&request.address)?;
        let message = told(request.message)?;
        self.control
            .reset_peer(address, request.hard, message)
            .await?;
        Ok(Response::new(v1::ResetPeerResponse {}))
    }

    async fn refresh_peer(
        &self,
        request: Request<v1::RefreshPeerRequest>,
    ) -> Result<Response<v1::RefreshPeerResponse>, Status> {
        let request = request.into_inner();
        let address = self.known(&request.address)?;
        let families = convert::families("families", &request.families)?;
        match request.direction() {
            v1::Direction::In => self.control.refresh_in(address, families).await?,
            v1::Direction::Out => self.control.refresh_out(address, families).await?,
            v1::Direction::Unspecified => {
                return Err(error::bad_field("direction", "is required"));
            }
        }
        Ok(Response::new(v1::RefreshPeerResponse {}))
    }

    async fn explain_peer(
        &self,
        request: Request<v1::ExplainPeerRequest>,
    ) -> Result<Response<v1::ExplainPeerResponse>, Status> {
        let text = &request.get_ref().address;
        let address = error::peer_name("address", text)?;
        Ok(Response::new(explain(&self.control, address, text).await?))
    }

    type WatchPeersStream = ReceiverStream<Result<v1::WatchPeersResponse, Status>>;

    async fn watch_peers(
        &self,
        request: Request<v1::WatchPeersRequest>,
    ) -> Result<Response<Self::WatchPeersStream>, Status> {
        let mut only = HashSet::new();
        for (i, text) in request.get_ref().addresses.iter().enumerate() {
            only.insert(error::peer_name(&format!("addresses[{i}]"), text)?);
        }
        let (sender, receiver) = mpsc::channel(WATCH_QUEUE);
        let mut watch = Watch {
            control: self.control.clone(),
            only,
            client: sender,
            told: HashMap::new(),
        };
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            let gone = watch.client.clone();
            tokio::select! {
                _ = watch.run() => {}
                () = gone.closed() => {}
                () = stop.wait() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
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

async fn explain(
    control: &Control,
    name: PeerName,
    text: &str,
) -> Result<v1::ExplainPeerResponse, Status> {
    let Some(view) = control.peer(name) else {
        let PeerName::Address(address) = name else {
            return Err(error::no_such_peer(text));
        };
        let config = Arc::clone(&control.loaded().config);
        let range = config.peer_for(address).map(|peer| peer.key);
        let range = range.ok_or_else(|| error::no_such_peer(text))?;
        return Ok(v1::ExplainPeerResponse {
            address: name.to_string(),
            state: v1::SessionState::Idle as i32,
            findings: vec![v1::Finding {
                reason: "nobody-connects".into(),
                what: "it has not connected".into(),
                evidence: format!("the range {range} takes connections from it, and there is none"),
                advice: "see whether it is configured with our address; `godwit status` counts \
                         connections that were refused"
                    .into(),
            }],
        });
    };
    let (status, clues) = (view.status(), view.clues());
    if let Some(nobody) = nobody_found(&status) {
        return Ok(v1::ExplainPeerResponse {
            address: name.to_string(),
            state: convert::state(status.state) as i32,
            findings: vec![nobody],
        });
    }
    let about = Arc::clone(&status);
    let kernel = tokio::task::spawn_blocking(move || {
        (
            explain::ask_kernel(about.address, &about.config),
            Drops::now(),
        )
    });
    let (kernel, drops) = kernel
        .await
        .map_err(|e| Status::internal(format!("cannot ask the kernel: {e}")))?;
    let facts = explain::Facts {
        now: SystemTime::now(),
        drops: drops.since(clues.drops),
        status: Arc::clone(&status),
        clues,
        kernel,
        listeners: control.listeners(),
    };
    let findings = explain::judge(&facts).into_iter().map(|f| v1::Finding {
        reason: f.reason.into(),
        what: f.what,
        evidence: f.evidence,
        advice: f.advice,
    });
    Ok(v1::ExplainPeerResponse {
        address: name.to_string(),
        state: convert::state(status.state) as i32,
        findings: findings.collect(),
    })
}

/// Why a peer that is named by its interface has nobody to talk to.
fn nobody_found(status: &PeerStatus) -> Option<v1::Finding> {
    let note = &status.finding.as_ref()?.note;
    (status.address.is_unspecified() && !status.disabled).then(|| v1::Finding {
        reason: "nobody-found".into(),
        what: "the neighbour on the interface is not known".into(),
        evidence: note.clone(),
        advice: "see whether the other side sends router advertisements there or connects to us; \
                 `tcpdump -ni INTERFACE icmp6` shows what is heard"
            .into(),
    })
}

async fn message(control: &Control, address: PeerName) -> Result<Option<v1::Peer>, Status> {
    let views: Vec<_> = control.peer(address).into_iter().collect();
    Ok(messages(control, &views).await?.pop())
}

/// The peers with their figures from the RIB, a few at a time.
async fn messages(control: &Control, views: &[Arc<PeerView>]) -> Result<Vec<v1::Peer>, Status> {
    let mut peers = Vec::with_capacity(views.len());
    for views in views.chunks(ASK) {
        let ids: Vec<Option<PeerId>> = views
            .iter()
            .map(|view| view.status().session.as_ref()?.rib_id())
            .collect();
        let figures: Vec<Option<PeerCounters>> = if ids.iter().any(Option::is_some) {
            control
                .rib()
                .query(move |rib| {
                    ids.into_iter()
                        .map(|id| Some(rib.peer_counters(id?)))
                        .collect()
                })
                .await?
        } else {
            vec![None; views.len()]
        };
        for (view, figures) in views.iter().zip(&figures) {
            peers.push(convert::peer(view, figures.as_ref()));
        }
    }
    Ok(peers)
}

fn told(message: String) -> Result<String, Status> {
    match message.len() {
        0..=LONGEST_MESSAGE => Ok(message),
        n => Err(error::bad_field(
            "message",
            format!("{n} bytes; RFC 9003 has room for {LONGEST_MESSAGE}"),
        )),
    }
}

fn new_peer(spec: v1::PeerSpec) -> Result<NewPeer, Status> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let local_address = match spec.local_address.as_str() {
        "" => None,
        text => Some(error::address("peer.local_address", text)?),
    };
    let mut families: [Option<FamilySettings>; Family::COUNT] = Default::default();
    for family in convert::families("peer.families", &spec.families)? {
        families[family.index()] = Some(FamilySettings::default());
    }
    limits::put(&spec.limits, &mut families)?;
    for (i, message) in spec.add_path.iter().enumerate() {
        let field = format!("peer.add_path[{i}]");
        let family = convert::families(&format!("{field}.family"), &[message.family])?[0];
        match &mut families[family.index()] {
            Some(family) => family.add_path = Some(add_path(message, &field)?),
            None => {
                let why = format!("{family} is not among the families that are named");
                return Err(error::bad_field(format!("{field}.family"), why));
            }
        }
    }
    Ok(NewPeer {
        name: error::peer_name("peer.address", &spec.address)?,
        group: some(spec.group),
        settings: PeerSettings {
            description: some(spec.description),
            disabled: spec.disabled,
            remote_as: some(spec.remote_as).map(|t| remote_as(&t)).transpose()?,
            hold_time: span("peer.hold_time", spec.hold_time)?,
            refresh_timeout: span("peer.refresh_timeout", spec.refresh_timeout)?,
            send_hold_time: span("peer.send_hold_time", spec.send_hold_time)?,
            passive: spec.passive,
            port: spec.port.map(|n| small(n, "peer.port")).transpose()?,
            local_address,
            multihop: spec
                .multihop
                .map(|n| small(n, "peer.multihop"))
                .transpose()?,
            ttl_security: spec.ttl_security.map(hops).transpose()?,
            password: some(spec.password_file).map(|t| password(&t)).transpose()?,
            local_interface: some(spec.local_interface).map(interface).transpose()?,
            next_hop_self: spec.next_hop_self,
            extended_next_hop: spec.extended_next_hop,
            route_reflector_client: spec.route_reflector_client,
            default_originate: spec.default_originate.map(|default| DefaultSettings {
                on: true,
                when: some(default.condition),
                policy: (!default.policy.is_empty()).then_some(default.policy),
            }),
            weight: spec.weight,
            blackhole_community: spec.blackhole_community,
            graceful_shutdown: spec.graceful_shutdown,
            import: (!spec.import.is_empty()).then_some(spec.import),
            export: (!spec.export.is_empty()).then_some(spec.export),
            families,
            path: path::settings(spec.path)?,
            ..PeerSettings::default()
        },
    })
}

fn add_path(message: &v1::AddPath, field: &str) -> Result<AddPathConfig, Status> {
    let best = |text: &str| {
        let number = text.parse().ok().filter(|n| *n <= MAX_SEND_PATHS);
        number.and_then(NonZeroU16::new).map(SendPaths::Best)
    };
    let send = match message.send.as_str() {
        "" => None,
        "all" => Some(SendPaths::All),
        "ecmp" => Some(SendPaths::Ecmp),
        text => Some(best(text).ok_or_else(|| {
            let why = format!("`{text}` is neither 1 to {MAX_SEND_PATHS} nor `all` nor `ecmp`");
            error::bad_field(format!("{field}.send"), why)
        })?),
    };
    Ok(AddPathConfig {
        receive: message.receive,
        send,
    })
}

fn remote_as(text: &str) -> Result<RemoteAs, Status> {
    match text {
        "external" => Ok(RemoteAs::External),
        "internal" => Ok(RemoteAs::Internal),
        number => match number.parse() {
            Ok(0) | Err(_) => Err(error::bad_field(
                "peer.remote_as",
                format!("`{number}` is neither an AS number nor `external` nor `internal`"),
            )),
            Ok(number) => Ok(RemoteAs::Asn(Asn(number))),
        },
    }
}

fn password(path: &str) -> Result<Password, Status> {
    Password::read(path.as_ref())
        .map_err(|e| error::bad_field("peer.password_file", format!("{}; {}", e.what, e.help)))
}

fn interface(name: String) -> Result<String, Status> {
    match godwit_config::interface_name(&name) {
        Ok(()) => Ok(name),
        Err(why) => Err(error::bad_field("peer.local_interface", why)),
    }
}

/// 0 is off.
fn hops(number: u32) -> Result<u8, Status> {
    match u8::try_from(number) {
        Ok(hops @ 0..=254) => Ok(hops),
        _ => Err(error::bad_field(
            "peer.ttl_security",
            format!("{number} is out of range: 1 to 254 hops, or 0"),
        )),
    }
}

fn span(field: &str, span: Option<prost_types::Duration>) -> Result<Option<Duration>, Status> {
    let negative = |_| error::bad_field(field, "a span cannot be negative");
    span.map(|span| Duration::try_from(span).map_err(negative))
        .transpose()
}

/// A number that fits, and is not zero.
fn small<T: TryFrom<u32>>(number: u32, field: &str) -> Result<T, Status> {
    match T::try_from(number) {
        Ok(value) if number != 0 => Ok(value),
        _ => Err(error::bad_field(field, format!("{number} is out of range"))),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn field_at_fault(spec: v1::PeerSpec) -> String {
        let status = new_peer(spec).unwrap_err();
        let mut violations = status.get_details_bad_request().unwrap().field_violations;
        violations.remove(0).field
    }

    fn spec() -> v1::PeerSpec {
        v1::PeerSpec {
            address: "10.0.0.1".into(),
            remote_as: "external".into(),
            ..v1::PeerSpec::default()
        }
    }

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

    #[test]
    fn an_interface_is_a_peers_name_too() {
        for address in ["eth1", "fe80::1%eth1"] {
            let spec = v1::PeerSpec {
                address: address.into(),
                ..spec()
            };
            assert_eq!(new_peer(spec).unwrap().name.to_string(), "eth1");
        }
    }

    #[test]
    fn what_is_absent_stays_open_for_the_group() {
        let peer = new_peer(spec()).unwrap();
        let settings = peer.settings;
        assert_eq!(settings.remote_as, Some(RemoteAs::External));
        assert_eq!((peer.group, settings.port), (None, None));
        assert_eq!((settings.import, settings.disabled), (None, None));
    }

    #[test]
    fn each_wrong_field_is_named() {
        type Spoil = fn(&mut v1::PeerSpec);
        let wrong: [(&str, Spoil); 9] = [
            ("peer.address", |s| s.address = "10.0.0.300".into()),
            ("peer.remote_as", |s| s.remote_as = "0".into()),
            ("peer.port", |s| s.port = Some(65536)),
            ("peer.multihop", |s| s.multihop = Some(0)),
            ("peer.local_address", |s| s.local_address = "x".into()),
            ("peer.families[0]", |s| s.families = vec![0]),
            ("peer.password_file", |s| s.password_file = "key".into()),
            ("peer.ttl_security", |s| s.ttl_security = Some(255)),
            ("peer.local_interface", |s| s.local_interface = "a/b".into()),
        ];
        for (field, spoil) in wrong {
            let mut spec = spec();
            spoil(&mut spec);
            assert_eq!(field_at_fault(spec), field);
        }
    }
}
