//! Which sessions are up, as the daemons tell by their API.

use std::collections::BTreeSet;

use godwit_proto::v1::{ListPeersRequest, SessionState};

use super::lab::{self, Lab};
use super::plan::Plan;
use crate::client::Client;
use crate::failure::Failure;

/// Both ends' names, in order.
pub type Pair = (String, String);

#[derive(Debug, Default)]
pub struct Sessions {
    /// In the order of the plan's nodes; none until its daemon answers.
    clients: Vec<Option<Client>>,
}

impl Sessions {
    /// Sessions that both ends call established.
    pub async fn up(&mut self, plan: &Plan, lab: &Lab) -> Result<BTreeSet<Pair>, Failure> {
        self.clients.resize_with(plan.nodes.len(), || None);
        let mut once = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for (node, client) in plan.nodes.iter().zip(&mut self.clients) {
            if client.is_none() {
                *client = Client::connect(&lab::socket(&lab.dir, &node.name))
                    .await
                    .ok();
            }
            let Some(client) = client else { continue };
            let peers = client.peers().list_peers(ListPeersRequest {}).await?;
            for peer in peers.into_inner().peers {
                let Some(other) = node.neighbour_name(&peer.address) else {
                    continue;
                };
                if peer.state() != SessionState::Established {
                    continue;
                }
                let mut pair = [node.name.clone(), other.to_owned()];
                pair.sort();
                let [a, b] = pair;
                if !once.insert((a.clone(), b.clone())) {
                    twice.insert((a, b));
                }
            }
        }
        Ok(twice)
    }
}
