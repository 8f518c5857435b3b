//! Why a peer is not up.

use std::sync::Arc;
use std::time::SystemTime;

use godwit_proto::v1;
use tonic::Status;

use super::super::{convert, error};
use crate::control::Control;
use crate::explain;
use crate::netstat::Drops;
use crate::peer::PeerName;

pub(super) async fn explain(
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
