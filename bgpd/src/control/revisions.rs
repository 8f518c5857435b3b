//! What clients ask about configurations, and what they are told.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use godwit_config::{Effect, Scope, edit};
use godwit_rib::{PeerId, Proposal};

use crate::peer::PeerName;
use crate::state::changes::Changes;
use crate::state::history::{By, How, Revision, Unconfirmed};

/// A configuration to put in force.
#[derive(Clone, Debug)]
pub struct Apply {
    /// `None`: the file, read again.
    pub text: Option<String>,
    /// What to call the text in errors.
    pub name: String,
    pub by: By,
    pub why: String,
    /// Go back unless it is confirmed in this time.
    pub confirm_within: Option<Duration>,
    /// Only if this revision is in force.
    pub expected: Option<u64>,
}

impl Apply {
    /// The file, read again, as SIGHUP wants it.
    pub fn reload(uid: Option<u32>, why: &str) -> Apply {
        Apply {
            text: None,
            name: String::new(),
            by: By {
                uid,
                how: How::Reload,
            },
            why: why.to_owned(),
            confirm_within: None,
            expected: None,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// In force now.
    pub revision: u64,
    /// A line each; empty: nothing changed.
    pub changes: Vec<String>,
    pub warnings: Vec<String>,
    pub confirm_by: Option<SystemTime>,
}

/// What came of a rollback.
#[derive(Clone, Debug)]
pub struct RolledBack {
    pub restored: u64,
    pub applied: Applied,
}

/// All that is known of former configurations.
#[derive(Clone, Debug)]
pub struct Revisions {
    /// Oldest first.
    pub all: Vec<Revision>,
    pub current: u64,
    pub unconfirmed: Option<Unconfirmed>,
    /// Why the way back from it is not done yet.
    pub going_back: Option<String>,
}

/// The text of a revision, and what is to be written into it.
#[derive(Debug)]
pub struct Shown {
    pub revision: u64,
    text: String,
    changes: Changes,
}

impl Shown {
    pub(super) fn new(revision: u64, text: String, changes: Changes) -> Shown {
        Shown {
            revision,
            text,
            changes,
        }
    }

    /// Without secrets.
    pub fn text(&self) -> Result<String, String> {
        edit::without_secrets(&self.changes.written_into(&self.text)?)
    }
}

/// What applying a configuration would change.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In force now.
    pub revision: u64,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<PeerPlan>,
    pub policies: Vec<String>,
    pub originated: Vec<String>,
    pub withdrawn: Vec<String>,
    pub keys: Vec<(&'static str, Scope)>,
    /// Peers and routes changed by command.
    pub by_command: Vec<String>,
    pub warnings: Vec<String>,
    /// `None`: no route would change.
    pub proposal: Option<Proposal>,
    /// Peers that are up.
    pub names: BTreeMap<PeerId, PeerName>,
}

#[derive(Clone, Debug)]
pub struct PeerPlan {
    pub peer: String,
    pub restarts_for: Vec<&'static str>,
    pub keys: Vec<(&'static str, Effect)>,
}
