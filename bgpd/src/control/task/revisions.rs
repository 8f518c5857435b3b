//! Former configurations: confirming, going back, and showing.

use std::sync::Arc;
use std::time::Duration;

use godwit_rib::{PeerId, Proposal};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::ControlTask;
use super::reload::{Install, Write};
use crate::control::desired::Step;
use crate::control::revisions::{PeerPlan, Plan, Revisions, RolledBack, Shown};
use crate::control::{ControlError, Loaded};
use crate::peer::PeerName;
use crate::state::changes::Changes;
use crate::state::history::{By, How, Unconfirmed};
use crate::state::{self, Undone};

/// Between two attempts to go back.
const RETRY: Duration = Duration::from_secs(10);

impl ControlTask {
    /// Refuses to change what somebody may be about to take back.
    pub(super) fn nothing_waits(&self) -> Result<(), ControlError> {
        match self.history.unconfirmed() {
            None => Ok(()),
            Some(u) => Err(ControlError::FailedPrecondition(format!(
                "revision {} waits to be confirmed: `godwit config confirm` keeps it, `godwit config rollback` takes it back",
                u.revision
            ))),
        }
    }

    pub(super) fn confirm(&mut self) -> Result<u64, ControlError> {
        let Some(unconfirmed) = self.history.unconfirmed() else {
            let text = "nothing waits to be confirmed".to_owned();
            return Err(ControlError::FailedPrecondition(text));
        };
        self.history.settle().map_err(|e| {
            ControlError::Internal(format!(
                "cannot note in the state directory that it is confirmed: {e}"
            ))
        })?;
        self.confirm_at = None;
        info!(revision = unconfirmed.revision, "configuration confirmed");
        Ok(unconfirmed.revision)
    }

    /// Nobody confirmed the newest revision in time.
    pub(super) async fn not_confirmed(&mut self) {
        self.confirm_at = None;
        let Some(unconfirmed) = self.history.unconfirmed() else {
            return;
        };
        let by = By {
            uid: None,
            how: How::Unconfirmed,
        };
        let why = format!(
            "revision {} was not confirmed in time",
            unconfirmed.revision
        );
        warn!("{why}: going back to revision {}", unconfirmed.previous);
        let failed = match self.go_back(&unconfirmed, by, &why).await {
            Ok(()) => None,
            Err(e) => {
                let text = format!(
                    "{why}, and it cannot go back to revision {}: {e}; tried again every {} s",
                    unconfirmed.previous,
                    RETRY.as_secs()
                );
                error!("{text}");
                self.confirm_at = Some(Instant::now() + RETRY);
                Some(text)
            }
        };
        let loaded = self.shared.loaded.load();
        self.shared.loaded.store(Arc::new(Loaded {
            last_error: failed,
            ..Loaded::clone(&loaded)
        }));
    }

    /// Puts the one before in force, and then to the file; unless somebody edited
    /// that meanwhile.
    async fn go_back(
        &mut self,
        unconfirmed: &Unconfirmed,
        by: By,
        why: &str,
    ) -> Result<(), ControlError> {
        let text = self.former(unconfirmed.previous)?;
        let name = format!("revision {}", unconfirmed.previous);
        let prepared = self.prepare(Some(&text), &name)?;
        let install = Install {
            write: Write::No,
            by,
            why,
            confirm_within: None,
        };
        self.install(prepared, &install).await?;
        let path = self.shared.loaded.load().path.clone();
        let trial = self.history.text(unconfirmed.revision).ok();
        match state::undo(&path, &text, trial.as_deref()) {
            Ok(Undone::Written) => {}
            Ok(Undone::Edited) => warn!(
                "{} was edited since revision {} was applied, and is left as it is: \
                 `godwit config diff` shows what it would change",
                path.display(),
                unconfirmed.revision
            ),
            Err(e) => {
                let text = format!("cannot write {}: {e}", path.display());
                return Err(ControlError::FailedPrecondition(text));
            }
        }
        self.history.settle().map_err(|e| {
            let text = format!("cannot note in the state directory that it is undone: {e}");
            ControlError::Internal(text)
        })
    }

    fn former(&self, number: u64) -> Result<String, ControlError> {
        let text = self.history.text(number);
        text.map_err(|e| ControlError::NotFound(e.to_string()))
    }

    /// `None`: the one before, or the one that an unconfirmed one goes back to.
    pub(super) async fn rollback(
        &mut self,
        to: Option<u64>,
        why: &str,
    ) -> Result<RolledBack, ControlError> {
        let current = self.shared.loaded.load().revision;
        let before = || match self.history.unconfirmed() {
            Some(u) => Some(u.previous),
            None => self.history.before(current),
        };
        let to = to.or_else(before).ok_or_else(|| {
            ControlError::NotFound("there is no revision before the one in force".to_owned())
        })?;
        let by = By {
            uid: self.uid,
            how: How::Rollback,
        };
        let why = match why {
            "" => format!("back to revision {to}"),
            why => why.to_owned(),
        };
        self.restore(to, by, &why).await
    }

    async fn restore(&mut self, to: u64, by: By, why: &str) -> Result<RolledBack, ControlError> {
        let text = self.former(to)?;
        let prepared = self.prepare(Some(&text), &format!("revision {to}"))?;
        let install = Install {
            write: Write::First,
            by,
            why,
            confirm_within: None,
        };
        let mut applied = self.install(prepared, &install).await?;
        // Only now: had the daemon died before, the next one would have gone back.
        self.confirm_at = None;
        if let Err(e) = self.history.settle() {
            let text =
                format!("cannot note in the state directory that nothing is to be confirmed: {e}");
            warn!("{text}");
            applied.warnings.push(text);
        }
        applied.confirm_by = None;
        Ok(RolledBack {
            restored: to,
            applied,
        })
    }

    pub(super) fn revisions(&self) -> Revisions {
        Revisions {
            all: self.history.revisions().cloned().collect(),
            current: self.shared.loaded.load().revision,
            unconfirmed: self.history.unconfirmed(),
        }
    }

    /// The text of a revision; of the one in force with what was changed by
    /// command.
    pub(super) fn show(&self, number: Option<u64>) -> Result<Shown, ControlError> {
        let loaded = self.shared.loaded.load_full();
        let of_file = |number, text| Shown::new(number, text, Changes::default());
        match number {
            Some(number) if number != loaded.revision => Ok(of_file(number, self.former(number)?)),
            Some(number) => Ok(of_file(number, loaded.text.to_string())),
            None => Ok(Shown::new(
                loaded.revision,
                loaded.text.to_string(),
                self.changes.clone(),
            )),
        }
    }

    /// What applying a text, or the file, would change.
    pub(super) fn plan(&self, text: Option<&str>, name: &str) -> Result<Plan, ControlError> {
        let prepared = self.prepare(text, name)?.whole()?;
        let loaded = self.shared.loaded.load_full();
        let mut plan = Plan {
            revision: loaded.revision,
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            policies: godwit_config::diff(&loaded.config, &prepared.config).policies,
            originated: Vec::new(),
            withdrawn: Vec::new(),
            keys: prepared.keys.clone(),
            by_command: self.by_command(),
            warnings: prepared.config.warnings.clone(),
            proposal: None,
            names: self.peers_in_rib().collect(),
        };
        let mut proposal = Proposal {
            specs: Vec::new(),
            gone: Vec::new(),
            originated: Vec::new(),
            withdrawn: Vec::new(),
            aggregates: prepared.next.aggregates.clone(),
            config: prepared.next.rib,
        };
        let mut routes_differ = false;
        for step in &prepared.steps {
            match step {
                Step::AddPeer(settings) => plan.added.push(settings.name.to_string()),
                Step::RemovePeer(address) => {
                    plan.removed.push(address.to_string());
                    let status = self.peers.get(address).map(|p| p.entry.view.status());
                    let session = status.as_ref().and_then(|s| s.session.as_ref());
                    proposal.gone.extend(session.and_then(|s| s.rib_id()));
                }
                Step::ChangePeer {
                    settings,
                    restart,
                    keys,
                } => {
                    plan.changed.push(PeerPlan {
                        peer: settings.name.to_string(),
                        restarts_for: restart.clone(),
                        keys: keys.clone(),
                    });
                    if let Some((port, spec)) = self.new_spec(settings)
                        && let Some(id) = port.id()
                    {
                        if settings.disabled {
                            proposal.gone.push(id);
                        } else {
                            proposal.specs.push((id, spec));
                        }
                    }
                }
                Step::AddRange(range) => plan.added.push(range.to_string()),
                Step::RemoveRange(range) => plan.removed.push(range.to_string()),
                Step::ChangeRange { range, keys } => plan.changed.push(PeerPlan {
                    peer: range.to_string(),
                    restarts_for: Vec::new(),
                    keys: keys.clone(),
                }),
                Step::Originate(route) => {
                    plan.originated.push(route.prefix.to_string());
                    proposal.originated.push(route.clone());
                }
                Step::Withdraw(prefix) => {
                    plan.withdrawn.push(prefix.to_string());
                    proposal.withdrawn.push(*prefix);
                }
                // Its keys tell.
                Step::Aggregate(_) | Step::Reconfigure(_) => routes_differ = true,
            }
        }
        // An aggregate takes the place of a route by command.
        let replaced = self.changes.routes.keys();
        let replaced = replaced.filter(|prefix| prepared.next.aggregates(**prefix));
        proposal.withdrawn.extend(replaced);
        let Proposal {
            specs,
            gone,
            originated,
            withdrawn,
            ..
        } = &proposal;
        routes_differ |= !(specs.is_empty() && gone.is_empty());
        routes_differ |= !(originated.is_empty() && withdrawn.is_empty());
        plan.proposal = routes_differ.then_some(proposal);
        Ok(plan)
    }

    fn peers_in_rib(&self) -> impl Iterator<Item = (PeerId, PeerName)> {
        self.peers.iter().filter_map(|(name, peer)| {
            let status = peer.entry.view.status();
            Some((status.session.as_ref()?.rib_id()?, *name))
        })
    }

    fn by_command(&self) -> Vec<String> {
        let changes = &self.changes;
        let peers = changes.peers.keys().map(|a| format!("peer {a} added"));
        let forced = changes.forced.iter().map(|(address, disabled)| {
            let word = if *disabled { "disabled" } else { "enabled" };
            format!("peer {address} {word}")
        });
        let routes = changes.routes.keys().map(|p| format!("route {p} added"));
        peers.chain(forced).chain(routes).collect()
    }

    /// Waits on for a confirmation that a former run was still waiting for.
    pub(super) fn resume(&mut self) {
        if let Some(unconfirmed) = self.history.unconfirmed() {
            let left = unconfirmed
                .deadline()
                .duration_since(std::time::SystemTime::now())
                .unwrap_or_default();
            self.confirm_at = Some(Instant::now() + left);
            warn!(
                revision = unconfirmed.revision,
                seconds = left.as_secs(),
                "the configuration waits to be confirmed"
            );
        }
        let loaded: Arc<_> = self.shared.loaded.load_full();
        info!(revision = loaded.revision, "configuration in force");
    }
}
