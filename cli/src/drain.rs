//! `godwit drain` and `godwit undrain`: out of service and back, with the
//! sessions up.

use std::time::{Duration, SystemTime};

use godwit_proto::v1::{DrainRequest, DrainStatus, GetStatusRequest, UndrainRequest};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Out;
use crate::span;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long neighbours get to find other ways before everything is
    /// withdrawn.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span::parse)]
    wait: Duration,
    /// Stay the last choice and withdraw nothing.
    #[arg(long)]
    no_withdraw: bool,
}

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

pub async fn drain(args: &Args, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let wait = prost_types::Duration::try_from(args.wait)
        .map_err(|e| Failure::Usage(format!("--wait: {e}")))?;
    let request = DrainRequest {
        wait: Some(wait),
        keep_announcing: args.no_withdraw,
    };
    let answer = client.daemon().drain(request).await?.into_inner();
    if !out.json {
        out.line("announcing everything as the last choice (graceful-shutdown)")?;
        if !args.no_withdraw {
            out.line(format!("withdrawing it in {}", span::short(args.wait)))?;
        }
        out.flush()?;
    }
    let mut drain = answer.drain;
    while drain.as_ref().is_some_and(|d| d.withdraw_at.is_some()) {
        tokio::time::sleep(LOOK).await;
        let status = client.daemon().get_status(GetStatusRequest {}).await?;
        drain = status.into_inner().drain;
    }
    let Some(drain) = drain else {
        return Err(Failure::Refused(
            "somebody has undrained it meanwhile".into(),
        ));
    };
    if out.json {
        return out.json(&drain);
    }
    if drain.withdrawn {
        out.line("everything is withdrawn; sessions stay up")?;
    }
    out.line("`godwit undrain` brings this router back into service")
}

pub async fn undrain(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.daemon().undrain(UndrainRequest {}).await?;
    if out.json {
        out.json(&answer.into_inner())
    } else {
        out.line("in service again: everything is announced as usual")
    }
}

/// For the status: how far out of service it is.
pub fn line(drain: &DrainStatus) -> String {
    let since = span::age(drain.since.as_ref());
    match (&drain.withdraw_at, drain.withdrawn) {
        (_, true) => format!("drained for {since}: nothing is announced"),
        (Some(at), false) => {
            let left = SystemTime::try_from(*at)
                .ok()
                .and_then(|at| at.duration_since(SystemTime::now()).ok());
            format!(
                "draining for {since}: the last choice, withdrawn in {}",
                span::short(left.unwrap_or_default())
            )
        }
        (None, false) => format!("drained for {since}: announced as the last choice"),
    }
}
