//! Service `Peers`.

mod explain;
mod spec;
mod watch;

use std::collections::HashSet;
use std::sync::Arc;

use godwit_proto::v1;
use godwit_rib::{PeerCounters, PeerId};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Stop, convert, error};
use crate::control::Control;
use crate::peer::PeerName;
use crate::status::PeerView;
use explain::explain;
use spec::new_peer;

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
        let events = watch::start(self.control.clone(), only, self.stop.clone());
        Ok(Response::new(events))
    }
}

async fn message(control: &Control, address: PeerName) -> Result<Option<v1::Peer>, Status> {
    let views: Vec<_> = control.peer(address).into_iter().collect();
    Ok(messages(control, &views).await?.pop())
}

/// The peers with their figures from the RIB, a few at a time.
async fn messages(control: &Control, views: &[Arc<PeerView>]) -> Result<Vec<v1::Peer>, Status> {
    let mut peers = Vec::with_capacity(views.len());
    for views in views.chunks(ASK) {
        let ids: Vec<Option<PeerId>> = views.iter().map(|view| view.status().rib_id()).collect();
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
