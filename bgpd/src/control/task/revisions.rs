//! Former configurations: going back, showing, and what another would change.

use std::mem;

use godwit_rib::{PeerId, Proposal};
use tracing::warn;

use super::ControlTask;
use super::reload::{Install, Write};
use crate::control::ControlError;
use crate::control::desired::Step;
use crate::control::revisions::{PeerPlan, Plan, Revisions, RolledBack, Shown};
use crate::peer::PeerName;
use crate::state::changes::Changes;
use crate::state::history::{By, How};

impl ControlTask {
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
        match self.history.unconfirmed().cloned() {
            Some(u) if u.previous == to => self.go_back(&u, by, &why).await,
            _ => self.restore(to, by, &why).await,
        }
    }

    async fn restore(&mut self, to: u64, by: By, why: &str) -> Result<RolledBack, ControlError> {
        // As before the trial, if there is one.
        let absorbed = self.trial.as_mut().map(|t| mem::take(&mut t.absorbed));
        self.changes.put_back(absorbed.unwrap_or_default());
        let restored = self.try_restore(to, by, why).await;
        if restored.is_err() {
            let absorbed = self.changes.taken_over_by(&self.desired);
            if let Some(trial) = &mut self.trial {
                trial.absorbed = absorbed;
            }
        }
        restored
    }

    async fn try_restore(
        &mut self,
        to: u64,
        by: By,
        why: &str,
    ) -> Result<RolledBack, ControlError> {
        let text = self.text_of(to)?;
        let prepared = self.prepare(Some(&text), &format!("revision {to}"))?;
        let install = Install {
            write: Write::First,
            by,
            why,
            confirm_within: None,
        };
        let mut applied = self.install(prepared, &install).await?;
        // Only now: had the daemon died before, the next one would have gone back.
        if let Err(e) = self.history.settle() {
            let text =
                format!("cannot note in the state directory that nothing is to be confirmed: {e}");
            warn!("{text}");
            applied.warnings.push(text);
        }
        self.trial_ended();
        Ok(RolledBack {
            restored: to,
            applied,
        })
    }

    pub(super) fn text_of(&self, revision: u64) -> Result<String, ControlError> {
        let text = self.history.text(revision);
        text.map_err(|e| ControlError::NotFound(e.to_string()))
    }

    pub(super) fn revisions(&self) -> Revisions {
        Revisions {
            all: self.history.revisions().cloned().collect(),
            current: self.shared.loaded.load().revision,
            unconfirmed: self.history.unconfirmed().cloned(),
            going_back: self.shared.loaded.load().going_back.clone(),
        }
    }

    /// The text of a revision; of the one in force with what was changed by
    /// command.
    pub(super) fn show(&self, number: Option<u64>) -> Result<Shown, ControlError> {
        let loaded = self.shared.loaded.load_full();
        let of_file = |number, text| Shown::new(number, text, Changes::default());
        match number {
            Some(number) if number != loaded.revision => Ok(of_file(number, self.text_of(number)?)),
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
                    proposal.gone.extend(status.and_then(|s| s.rib_id()));
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
            Some((status.rib_id()?, *name))
        })
    }
}
