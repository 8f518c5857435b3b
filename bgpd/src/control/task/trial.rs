//! A configuration on trial, and the way back from it.
//!
//! What is to come back was in force, so it is remembered as it was: going back
//! reads no text, no key and no file that may have gone meanwhile, and cannot be
//! refused for what was changed by command. Only the file is left to be written;
//! where that fails, the old configuration is in force all the same, and it is
//! tried again. After a restart of the daemon the old text is read from the
//! history, again until it can be used.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_config::{Changes as Policy, Config};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::ControlTask;
use super::reload::{Install, Write};
use crate::control::revisions::{Applied, RolledBack};
use crate::control::{ControlError, Loaded};
use crate::state::changes::Changes;
use crate::state::history::{By, How, Unconfirmed};
use crate::state::{self, Undone};

/// Between two attempts to go back.
const RETRY: Duration = Duration::from_secs(10);

/// What is in force until somebody confirms it, and what comes back.
pub(super) struct Trial {
    /// On trial.
    text: Arc<str>,
    /// `None`: it could not be read yet after a restart of the daemon.
    former: Option<Former>,
    /// When it comes back, or when that is tried again.
    pub at: Instant,
    /// Changes by command that the text on trial says by itself.
    pub absorbed: Changes,
    /// The former is in force again; what is left is about files.
    pub undone: bool,
}

/// A configuration that was in force.
#[derive(Clone)]
pub(super) struct Former {
    pub config: Arc<Config>,
    pub text: Arc<str>,
}

impl Trial {
    pub(super) fn new(text: Arc<str>, before: &Loaded, within: Duration) -> Trial {
        Trial {
            text,
            former: Some(Former {
                config: Arc::clone(&before.config),
                text: Arc::clone(&before.text),
            }),
            at: Instant::now() + within,
            absorbed: Changes::default(),
            undone: false,
        }
    }

    pub(super) fn former(&self) -> Option<&Former> {
        self.former.as_ref()
    }

    /// Whether what was changed by command has to outlive the process so that all
    /// of it can come back.
    pub(super) fn keeps_changes(&self) -> bool {
        let kept = |former: &Former| former.config.api.changes != Policy::Forget;
        !self.undone && self.former.as_ref().is_none_or(kept)
    }
}

impl ControlTask {
    /// Refuses to change what somebody may be about to take back.
    pub(super) fn nothing_waits(&self) -> Result<(), ControlError> {
        let Some(u) = self.history.unconfirmed() else {
            return Ok(());
        };
        let text = match &self.shared.loaded.load().going_back {
            Some(text) => text.clone(),
            None => format!(
                "revision {} waits to be confirmed: `godwit config confirm` keeps it, `godwit config rollback` takes it back",
                u.revision
            ),
        };
        Err(ControlError::FailedPrecondition(text))
    }

    pub(super) fn confirm(&mut self) -> Result<u64, ControlError> {
        let Some(revision) = self.history.unconfirmed().map(|u| u.revision) else {
            let text = "nothing waits to be confirmed".to_owned();
            return Err(ControlError::FailedPrecondition(text));
        };
        if self.trial.as_ref().is_some_and(|trial| trial.undone) {
            let text = format!("revision {revision} is not in force any more");
            return Err(ControlError::FailedPrecondition(text));
        }
        self.history.settle().map_err(|e| {
            ControlError::Internal(format!(
                "cannot note in the state directory that it is confirmed: {e}"
            ))
        })?;
        self.trial_ended();
        info!(revision, "configuration confirmed");
        Ok(revision)
    }

    pub(super) fn trial_ended(&mut self) {
        self.trial = None;
        self.shared.amend(|loaded| loaded.going_back = None);
        // Without what the trial had kept for the way back.
        self.keep_changes();
    }

    /// Nobody confirmed the newest revision in time.
    pub(super) async fn not_confirmed(&mut self) {
        let Some(u) = self.history.unconfirmed().cloned() else {
            self.trial = None;
            return;
        };
        let by = By {
            uid: None,
            how: How::Unconfirmed,
        };
        let why = format!("revision {} was not confirmed in time", u.revision);
        if self.shared.loaded.load().going_back.is_none() {
            warn!("{why}: going back to revision {}", u.previous);
        }
        // What is in the way is logged and shown, and tried again.
        let _ = self.go_back(&u, by, &why).await;
    }

    /// Puts in force what was before the trial. `Err`: it cannot be read; it is
    /// tried again.
    pub(super) async fn go_back(
        &mut self,
        u: &Unconfirmed,
        by: By,
        why: &str,
    ) -> Result<RolledBack, ControlError> {
        let mut applied = match self.undo(u, by, why).await {
            Ok(applied) => applied,
            Err(e) => {
                let text = format!(
                    "revision {} was not confirmed, but revision {} cannot be put in force in its place \
                     (`godwit config confirm` keeps what is): {e}",
                    u.revision, u.previous
                );
                self.try_later(&text);
                return Err(ControlError::FailedPrecondition(text));
            }
        };
        let written = self.write_back(u, &mut applied.warnings);
        let settled = written.and_then(|()| {
            let settled = self.history.settle();
            settled.map_err(|e| format!("cannot note it in the state directory: {e}"))
        });
        match settled {
            Ok(()) => self.trial_ended(),
            Err(e) => {
                // A restart then has nobody to wait for.
                let noted = self.history.let_go();
                let noted = noted.map_or_else(|e| format!(" ({e})"), |()| String::new());
                let text = format!(
                    "revision {} is in force again, but a restart may bring revision {} back: {e}{noted}",
                    u.previous, u.revision
                );
                self.try_later(&text);
                applied.warnings.push(text);
            }
        }
        Ok(RolledBack {
            restored: u.previous,
            applied,
        })
    }

    async fn undo(&mut self, u: &Unconfirmed, by: By, why: &str) -> Result<Applied, ControlError> {
        let former = self.former(u.previous)?;
        let absorbed = match &mut self.trial {
            Some(trial) if !trial.undone => mem::take(&mut trial.absorbed),
            _ => {
                return Ok(Applied {
                    revision: self.shared.loaded.load().revision,
                    changes: Vec::new(),
                    warnings: Vec::new(),
                    confirm_by: None,
                });
            }
        };
        self.changes.put_back(absorbed);
        let prepared = self.prepared(former.config, former.text);
        if let Some(trial) = &mut self.trial {
            trial.undone = true;
        }
        let install = Install {
            write: Write::No,
            by,
            why,
            confirm_within: None,
        };
        self.install(prepared, &install).await
    }

    /// As it was in force; after a restart of the daemon as its text is read now.
    fn former(&mut self, number: u64) -> Result<Former, ControlError> {
        if let Some(former) = self.trial.as_ref().and_then(|t| t.former.clone()) {
            return Ok(former);
        }
        let text = self.text_of(number)?;
        let former = Former {
            config: Arc::new(self.parse(&text, &format!("revision {number}"))?),
            text: text.into(),
        };
        if let Some(trial) = &mut self.trial {
            trial.former = Some(former.clone());
        }
        Ok(former)
    }

    /// Has the old text in the file, unless somebody has written another one.
    fn write_back(&self, u: &Unconfirmed, warnings: &mut Vec<String>) -> Result<(), String> {
        let Some((trial, former)) =
            (self.trial.as_ref()).and_then(|t| Some((t, t.former.as_ref()?)))
        else {
            return Ok(());
        };
        let path = self.shared.loaded.load().path.clone();
        match state::undo(&path, &former.text, Some(&trial.text)) {
            Ok(Undone::Written) => Ok(()),
            Ok(Undone::Edited) => {
                let text = format!(
                    "{} was edited since revision {} was applied, and stays as it is; revision {} is in force again: \
                     `godwit config diff` shows what the file would change",
                    path.display(),
                    u.revision,
                    u.previous
                );
                warn!("{text}");
                warnings.push(text);
                Ok(())
            }
            Err(e) => Err(format!("cannot write {}: {e}", path.display())),
        }
    }

    /// Logged once, shown until it is done.
    fn try_later(&mut self, why: &str) {
        if let Some(trial) = &mut self.trial {
            trial.at = Instant::now() + RETRY;
        }
        let text = format!("{why}; it is tried again every {} s", RETRY.as_secs());
        if self.shared.loaded.load().going_back.as_ref() != Some(&text) {
            error!("{text}");
            self.shared.amend(|loaded| loaded.going_back = Some(text));
        }
    }

    /// Waits on for a confirmation that a former run was still waiting for.
    pub(super) fn resume(&mut self) {
        let loaded = self.shared.loaded.load_full();
        info!(revision = loaded.revision, "configuration in force");
        let Some(u) = self.history.unconfirmed().cloned() else {
            return;
        };
        let on_trial = self.history.text(u.revision);
        let on_trial = on_trial.map_or_else(|_| Arc::clone(&loaded.text), Arc::from);
        let before = self.history.text(u.previous);
        let undone = *loaded.text != *on_trial && before.is_ok_and(|text| *text == *loaded.text);
        let left = match undone {
            // For the file.
            true => Duration::ZERO,
            false => {
                let left = u.deadline().duration_since(SystemTime::now());
                left.unwrap_or_default()
            }
        };
        self.trial = Some(Trial {
            undone,
            text: on_trial,
            former: undone.then(|| Former {
                config: Arc::clone(&loaded.config),
                text: Arc::clone(&loaded.text),
            }),
            at: Instant::now() + left,
            absorbed: Changes::default(),
        });
        if undone {
            return;
        }
        warn!(
            revision = u.revision,
            seconds = left.as_secs(),
            "the configuration waits to be confirmed"
        );
        if let Err(e) = self.former(u.previous) {
            warn!(
                "revision {}, to come back unless it is confirmed, cannot be used now: {e}",
                u.previous
            );
        }
    }
}
