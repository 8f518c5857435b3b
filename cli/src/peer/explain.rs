//! Why a peer is not up.

use godwit_proto::v1::{ExplainPeerRequest, ExplainPeerResponse, SessionState};

use super::state_name;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Out, Tone};

pub async fn run(address: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let request = ExplainPeerRequest {
        address: address.to_owned(),
    };
    let answer = client.peers().explain_peer(request).await?.into_inner();
    let up = answer.state() == SessionState::Established;
    if out.json {
        out.json(&answer)?;
    } else {
        print(&answer, up, out)?;
    }
    if up {
        return Ok(());
    }
    out.flush()?;
    Err(Failure::No)
}

fn print(answer: &ExplainPeerResponse, up: bool, out: &mut Out) -> Result<(), Failure> {
    let tone = if up { Tone::Good } else { Tone::Bad };
    let state = out.paint(tone, state_name(answer.state()));
    out.line(format!("{}: {state}", answer.address))?;
    for finding in &answer.findings {
        let what = out.paint(Tone::Warn, &finding.what);
        out.line("")?;
        out.line(what)?;
        out.line(format!("  evidence: {}", finding.evidence))?;
        out.line(format!("  to do:    {}", finding.advice))?;
    }
    Ok(())
}
