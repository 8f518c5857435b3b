//! What was changed by command: kept beside the file, or written into it.

use std::mem;

use godwit_config::{Changes as Policy, Password};
use tracing::warn;

use super::ControlTask;
use super::reload::{Install, Write};
use super::trial::Trial;
use crate::control::{ControlError, NewPeer, resolve};
use crate::state::changes::Changes;
use crate::state::history::{By, How};

impl ControlTask {
    /// For people, a line each.
    pub(super) fn by_command(&self) -> Vec<String> {
        let changes = &self.changes;
        let peers = changes.peers.keys().map(|a| format!("peer {a} added"));
        let forced = changes.forced.iter().map(|(address, disabled)| {
            let word = if *disabled { "disabled" } else { "enabled" };
            format!("peer {address} {word}")
        });
        let routes = changes.routes.keys().map(|p| format!("route {p} added"));
        peers.chain(forced).chain(routes).collect()
    }

    // Beside the file.

    /// Has what was changed by command on the disk, or nothing there, as the file
    /// wants it. During a trial with all that would come back.
    pub(super) fn keep_changes(&self) {
        let mut changes = self.changes.clone();
        let mut wanted = self.shared.loaded.load().config.api.changes != Policy::Forget;
        if let Some(trial) = &self.trial {
            changes.put_back(trial.absorbed.clone());
            wanted |= trial.keeps_changes();
        }
        let kept = match wanted && !changes.is_empty() {
            true => changes.write(&self.store),
            false => Changes::clear(&self.store),
        };
        if let Err(e) = kept {
            warn!("what was changed by command will be lost with a restart: {e}");
        }
    }

    /// Reads what was changed by command in a former run.
    pub(super) fn restore_changes(&mut self) {
        let loaded = self.shared.loaded.load_full();
        let forget = loaded.config.api.changes == Policy::Forget;
        if forget && self.trial.is_none() {
            self.keep_changes();
            return;
        }
        let former = self.trial.as_ref().and_then(Trial::former);
        let former = former.map(|former| &*former.config);
        let (mut changes, notes) = Changes::read(&self.store, &loaded.config, former);
        for note in notes {
            warn!("{note}");
        }
        let absorbed = match forget {
            // They come back with what was before the trial.
            true => mem::take(&mut changes),
            // The file goes first.
            false => changes.taken_over_by(&self.desired),
        };
        if let Some(trial) = self.trial.as_mut().filter(|trial| !trial.undone) {
            trial.absorbed = absorbed;
        }
        self.changes = changes;
    }

    /// Makes them again, once the file's own peers are there.
    pub(super) fn make_changes(&mut self) {
        let loaded = self.shared.loaded.load_full();
        for new in self.changes.peers.values().cloned().collect::<Vec<_>>() {
            match resolve::runtime_peer(&loaded.config, &self.shared.identity, &new) {
                Ok(settings) => self.spawn(settings),
                Err(e) => {
                    warn!(peer = %new.name, "a peer added by command is lost: {e}");
                    self.changes.peers.remove(&new.name);
                }
            }
        }
        for new in self.changes.routes.values() {
            self.originate(new.route.clone());
        }
    }

    // In the file.

    /// A change by command, written into the file and applied from there.
    pub(super) async fn rewrite(
        &mut self,
        why: String,
        edit: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<(), ControlError> {
        self.nothing_waits()?;
        let loaded = self.shared.loaded.load_full();
        let on_disk = godwit_config::read_text(&loaded.path);
        if on_disk.map_or(true, |text| *text != *loaded.text) {
            return Err(ControlError::FailedPrecondition(format!(
                "{} was changed since it was applied: apply or undo that first (`godwit config diff`)",
                loaded.path.display()
            )));
        }
        let text = edit(&loaded.text).map_err(ControlError::FailedPrecondition)?;
        let name = loaded.path.display().to_string();
        let prepared = self.prepare(Some(&text), &name)?.whole()?;
        let install = Install {
            write: Write::First,
            by: By {
                uid: self.uid,
                how: How::Command,
            },
            why: &why,
            confirm_within: None,
        };
        self.install(prepared, &install).await.map(drop)
    }
}

/// A peer that was added by command, with what its password file holds now. One
/// that can't be read any more costs no session.
pub(super) fn with_key_read_again(new: &NewPeer) -> NewPeer {
    let mut new = new.clone();
    if let Some(password) = &mut new.settings.password {
        match Password::read(password.file()) {
            Ok(read) => *password = read,
            Err(e) => {
                let file = password.file().display();
                warn!(peer = %new.name, %file, "{e}; the key that it had stays in force");
            }
        }
    }
    new
}
