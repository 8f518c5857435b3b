//! Service `Config`.

use std::time::Duration;

use godwit_config::{Effect, Scope};
use godwit_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{convert, error};
use crate::control::Control;
use crate::control::revisions::{Apply, PeerPlan, Plan};
use crate::state::history::{By, How, Revision};

/// Longest text of a file, and of a reason.
pub const LONGEST_FILE: usize = 16 << 20;
const LONGEST_WHY: usize = 1000;
/// What may pass until somebody confirms.
const LONGEST_TRIAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Events that wait for a slow client before the count waits.
const QUEUE: usize = 4;

#[derive(Debug)]
pub struct Service {
    control: Control,
}

impl Service {
    pub fn new(control: Control) -> Service {
        Service { control }
    }
}

#[tonic::async_trait]
impl v1::config_server::Config for Service {
    type DiffConfigStream = ReceiverStream<Result<v1::DiffConfigResponse, Status>>;

    async fn diff_config(
        &self,
        request: Request<v1::DiffConfigRequest>,
    ) -> Result<Response<Self::DiffConfigStream>, Status> {
        let request = request.into_inner();
        check_text(request.text.as_deref())?;
        let plan = self.control.plan(request.text, request.file).await?;
        let (events, stream) = mpsc::channel(QUEUE);
        let rib = self.control.rib().clone();
        tokio::spawn(async move {
            // A client that is gone ends it.
            let _ = super::dryrun::tell(plan, &rib, &events).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn apply_config(
        &self,
        request: Request<v1::ApplyConfigRequest>,
    ) -> Result<Response<v1::ApplyConfigResponse>, Status> {
        let uid = super::uid(&request);
        let control = self.control.on_behalf_of(uid);
        let request = request.into_inner();
        check_text(request.text.as_deref())?;
        let confirm_within = match request.confirm_within {
            None => None,
            Some(span) => Some(trial(span)?),
        };
        let how = match request.text {
            Some(_) => How::Apply,
            None => How::Reload,
        };
        let wanted = Apply {
            text: request.text,
            name: request.file,
            by: By { uid, how },
            why: why(request.why)?,
            confirm_within,
            expected: request.expected_revision,
        };
        let applied = control.apply(wanted).await?;
        Ok(Response::new(v1::ApplyConfigResponse {
            revision: applied.revision,
            changes: applied.changes,
            warnings: applied.warnings,
            confirm_by: applied.confirm_by.and_then(convert::time),
        }))
    }

    async fn confirm_config(
        &self,
        _: Request<v1::ConfirmConfigRequest>,
    ) -> Result<Response<v1::ConfirmConfigResponse>, Status> {
        Ok(Response::new(v1::ConfirmConfigResponse {
            revision: self.control.confirm().await?,
        }))
    }

    async fn rollback_config(
        &self,
        request: Request<v1::RollbackConfigRequest>,
    ) -> Result<Response<v1::RollbackConfigResponse>, Status> {
        let control = self.control.on_behalf_of(super::uid(&request));
        let request = request.into_inner();
        let back = control
            .rollback(request.revision, why(request.why)?)
            .await?;
        Ok(Response::new(v1::RollbackConfigResponse {
            revision: back.applied.revision,
            restored: back.restored,
            changes: back.applied.changes,
            warnings: back.applied.warnings,
        }))
    }

    async fn list_revisions(
        &self,
        _: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        let known = self.control.revisions().await?;
        let newest_first = known.all.iter().rev();
        Ok(Response::new(v1::ListRevisionsResponse {
            revisions: newest_first.map(|r| revision(r, known.current)).collect(),
            confirm_by: (known.unconfirmed.as_ref()).and_then(|u| convert::time(u.deadline())),
            goes_back_to: known.unconfirmed.map(|u| u.previous).unwrap_or_default(),
            rollback_error: known.going_back.unwrap_or_default(),
        }))
    }

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        let (revision, text) = self.control.show(request.get_ref().revision).await?;
        Ok(Response::new(v1::GetConfigResponse { revision, text }))
    }
}

fn check_text(text: Option<&str>) -> Result<(), Status> {
    match text {
        Some(text) if text.len() > LONGEST_FILE => {
            Err(error::bad_field("text", "is longer than 16 MiB"))
        }
        _ => Ok(()),
    }
}

fn why(text: String) -> Result<String, Status> {
    if text.len() > LONGEST_WHY {
        return Err(error::bad_field("why", "is longer than 1000 bytes"));
    }
    Ok(text)
}

fn trial(span: prost_types::Duration) -> Result<Duration, Status> {
    let wrong = || error::bad_field("confirm_within", "must be 1 s to 7 days");
    let span = Duration::try_from(span).map_err(|_| wrong())?;
    match span {
        span if span < Duration::from_secs(1) || span > LONGEST_TRIAL => Err(wrong()),
        span => Ok(span),
    }
}

fn revision(revision: &Revision, current: u64) -> v1::Revision {
    v1::Revision {
        number: revision.number,
        at: convert::time(revision.time()),
        uid: revision.by.uid,
        how: revision.by.how.word().to_owned(),
        why: revision.why.clone(),
        changes: revision.changes.clone(),
        current: revision.number == current,
    }
}

pub fn plan(plan: &Plan) -> v1::ConfigPlan {
    v1::ConfigPlan {
        revision: plan.revision,
        peers_added: plan.added.clone(),
        peers_removed: plan.removed.clone(),
        peers_changed: plan.changed.iter().map(peer).collect(),
        policies: plan.policies.clone(),
        routes_originated: plan.originated.clone(),
        routes_withdrawn: plan.withdrawn.clone(),
        keys: plan.keys.iter().map(key).collect(),
        by_command: plan.by_command.clone(),
        warnings: plan.warnings.clone(),
    }
}

fn key((key, scope): &(&str, Scope)) -> v1::KeyPlan {
    v1::KeyPlan {
        key: (*key).to_owned(),
        effect: scope.to_string(),
        needs_daemon_restart: *scope == Scope::Daemon,
    }
}

fn peer(plan: &PeerPlan) -> v1::PeerPlan {
    let effect = |key: &str, effect: Effect| match effect {
        // The session is as the key wants it already.
        Effect::Restart if !plan.restarts_for.contains(&key) => Effect::InPlace,
        effect => effect,
    };
    v1::PeerPlan {
        peer: plan.peer.clone(),
        restarts_for: plan.restarts_for.iter().map(|k| (*k).to_owned()).collect(),
        keys: (plan.keys.iter())
            .map(|(key, of)| v1::KeyPlan {
                key: (*key).to_owned(),
                effect: effect(key, *of).to_string(),
                needs_daemon_restart: false,
            })
            .collect(),
    }
}
