//! Another configuration: what it changes, and making it so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use godwit_config::{Changes as Policy, Config, Password, Scope};
use godwit_rib::PeerSpec;
use tracing::{error, info, warn};

use super::ControlTask;
use crate::control::desired::{Desired, Step, steps};
use crate::control::revisions::{Applied, Apply};
use crate::control::{ControlError, Loaded, NewPeer, resolve};
use crate::logging;
use crate::peer::{self, PeerCommand, PeerName, PeerSettings};
use crate::ribthread::Port;
use crate::state;
use crate::state::changes::Changes;
use crate::state::history::{By, How};
use crate::status::PeerOrigin;

/// A configuration that can be applied, and what that takes.
pub(super) struct Prepared {
    pub config: Config,
    pub text: Arc<str>,
    pub next: Desired,
    pub peers: BTreeMap<PeerName, PeerSettings>,
    pub steps: Vec<Step>,
    /// Keys outside of peers that differ from what runs.
    pub keys: Vec<(&'static str, Scope)>,
    /// Peers added by command that do not fit it, and why.
    pub misfits: Vec<(PeerName, String)>,
}

impl Prepared {
    /// What it changes, a line each.
    pub fn describe(&self) -> Vec<String> {
        let in_steps = |key: &str| key.starts_with("[router] ") && key != "[router] listen";
        let keys = self.keys.iter().filter_map(|(key, scope)| match scope {
            Scope::Daemon => Some(format!("{key} changed: {scope}")),
            // The RIB's step tells of these.
            Scope::Live if in_steps(key) => None,
            Scope::Live => Some(format!("{key} changed")),
        });
        keys.chain(self.steps.iter().map(Step::describe)).collect()
    }

    /// Nothing of what runs would be another.
    fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.keys.iter().all(|(_, scope)| *scope == Scope::Daemon)
    }

    /// What was added by command has to fit.
    pub fn whole(self) -> Result<Prepared, ControlError> {
        match self.misfits.first() {
            None => Ok(self),
            Some((peer, why)) => Err(ControlError::Invalid(format!(
                "peer {peer}, added by command: {why}"
            ))),
        }
    }
}

impl ControlTask {
    /// Applies what a client, or SIGHUP, wants.
    pub(super) async fn apply(&mut self, wanted: Apply) -> Result<Applied, ControlError> {
        let of_the_file = wanted.text.is_none();
        let result = self.try_apply(wanted).await;
        let last_error = match &result {
            Ok(applied) if applied.changes.is_empty() => {
                info!("configuration read again: nothing changed");
                None
            }
            Ok(applied) => {
                let (revision, changes) = (applied.revision, applied.changes.join("; "));
                info!(revision, changes, "configuration applied");
                None
            }
            Err(e) => {
                error!("configuration not applied, the old one stays in force:\n{e}");
                Some(e.to_string())
            }
        };
        // A text that came from elsewhere and was refused left no trace.
        if of_the_file || result.is_ok() {
            let loaded = self.shared.loaded.load();
            self.shared.loaded.store(Arc::new(Loaded {
                last_error,
                ..Loaded::clone(&loaded)
            }));
        }
        result
    }

    async fn try_apply(&mut self, wanted: Apply) -> Result<Applied, ControlError> {
        self.nothing_waits()?;
        let loaded = self.shared.loaded.load_full();
        if let Some(expected) = wanted.expected
            && expected != loaded.revision
        {
            return Err(ControlError::Conflict(format!(
                "revision {} is in force, not {expected}: somebody else was faster; look at `godwit config diff` again",
                loaded.revision
            )));
        }
        let prepared = (self.prepare(wanted.text.as_deref(), &wanted.name)?).whole()?;
        let install = Install {
            // Of a trial it has to be known that the way back can be written, too.
            write: match wanted.text.is_some() || wanted.confirm_within.is_some() {
                true => Write::First,
                false => Write::No,
            },
            by: wanted.by,
            why: &wanted.why,
            confirm_within: wanted.confirm_within,
        };
        self.install(prepared, &install).await
    }

    /// Checks a text, or the file's, and works out what it would change.
    pub(super) fn prepare(&self, text: Option<&str>, name: &str) -> Result<Prepared, ControlError> {
        let path: PathBuf = self.shared.loaded.load().path.clone();
        let refuse = |e: godwit_config::ConfigErrors| ControlError::Invalid(e.render(false));
        let (text, name): (Arc<str>, _) = match text {
            Some(text) if name.is_empty() => (text.into(), "the new configuration".to_owned()),
            Some(text) => (text.into(), name.to_owned()),
            None => {
                let text = godwit_config::read_text(&path).map_err(refuse)?;
                (text.into(), path.display().to_string())
            }
        };
        let loaded = self.shared.loaded.load_full();
        let registry = loaded.config.policies().registry();
        let identity = &self.shared.identity;
        let config = godwit_config::parse_running(&name, &text, registry, identity.asn);
        let config = config.map_err(refuse)?;
        logging::check(&config.log).map_err(ControlError::Invalid)?;
        let mut next = resolve::desired(&config, identity);
        // They take effect with the next start, as the list of changes says.
        next.rib.fib = self.desired.rib.fib;
        // It is as an operator left it.
        next.rib.drain = self.desired.rib.drain;
        next.rib.require_next_hop = self.desired.rib.require_next_hop;
        let (peers_next, misfits) = self.peers_next(&config, &next);
        let peers_now: BTreeMap<PeerName, PeerSettings> = self
            .peers
            .iter()
            .map(|(address, peer)| (*address, peer.settings.clone()))
            .collect();
        let sessions = |address: PeerName| {
            let peer = self.peers.get(&address)?;
            peer.entry.view.status().session.clone()
        };
        let steps = steps(&peers_now, &peers_next, &self.desired, &next, sessions);
        let keys = self.keys(&config);
        Ok(Prepared {
            config,
            text,
            next,
            peers: peers_next,
            steps,
            keys,
            misfits,
        })
    }

    /// Live keys against what is in force; the others against what was there
    /// when the daemon started.
    fn keys(&self, config: &Config) -> Vec<(&'static str, Scope)> {
        let now = Arc::clone(&self.shared.loaded.load().config);
        let only = |of: &Config, scope: Scope| {
            let keys = godwit_config::diff(of, config).keys.into_iter();
            keys.filter(move |(_, other)| *other == scope)
        };
        only(&self.shared.started, Scope::Daemon)
            .chain(only(&now, Scope::Live))
            .collect()
    }

    /// Keeps it as a revision, writes the file where that is wanted, and applies
    /// it. Fails before anything has changed, or not at all.
    pub(super) async fn install(
        &mut self,
        prepared: Prepared,
        how: &Install<'_>,
    ) -> Result<Applied, ControlError> {
        let loaded = self.shared.loaded.load_full();
        let changes = prepared.describe();
        let mut warnings = prepared.config.warnings.clone();
        warnings.extend((prepared.misfits.iter()).map(|(peer, why)| {
            format!("peer {peer}, added by command, does not fit and is gone: {why}")
        }));
        let same = *prepared.text == *loaded.text;
        if same && prepared.is_idle() {
            if how.write == Write::First {
                write_file(&loaded.path, &prepared.text)?;
            }
            // What it refers to (a range's key) may be another all the same.
            self.take(prepared, loaded.revision).await;
            return Ok(Applied {
                revision: loaded.revision,
                changes,
                warnings,
                confirm_by: None,
            });
        }
        let revision = self.record(&prepared.text, how, &changes, &mut warnings)?;
        if how.write == Write::First
            && let Err(e) = write_file(&loaded.path, &prepared.text)
        {
            if how.confirm_within.is_some() {
                // It says that what is in force comes back, which it is.
                let _ = self.history.settle();
            }
            self.history.forget_last();
            return Err(e);
        }
        let unconfirmed = self.history.unconfirmed();
        self.confirm_at = how
            .confirm_within
            .map(|within| tokio::time::Instant::now() + within);
        self.take(prepared, revision).await;
        Ok(Applied {
            revision,
            changes,
            warnings,
            confirm_by: unconfirmed.map(|u| u.deadline()),
        })
    }

    fn record(
        &mut self,
        text: &str,
        how: &Install<'_>,
        changes: &[String],
        warnings: &mut Vec<String>,
    ) -> Result<u64, ControlError> {
        let loaded = self.shared.loaded.load_full();
        let mut previous = loaded.revision;
        if how.confirm_within.is_some()
            && self.history.text(previous).ok().as_deref() != Some(&*loaded.text)
        {
            // It could not be kept when it was put in force.
            let by = By {
                uid: None,
                how: How::Start,
            };
            let (again, kept) = self.history.record(by, "", &loaded.text, &[]);
            kept.map_err(|e| no_way_back(&e))?;
            previous = again;
        }
        let (revision, kept) = self.history.record(how.by, how.why, text, changes);
        let kept = kept.and_then(|()| match how.confirm_within {
            Some(within) => self.history.expect_confirmation(previous, within),
            None => Ok(()),
        });
        match (kept, how.confirm_within) {
            (Ok(()), _) => {}
            (Err(e), Some(_)) => {
                self.history.forget_last();
                return Err(no_way_back(&e));
            }
            (Err(e), None) => {
                let text = format!(
                    "revision {revision} is in force, but could not be kept in the state directory: {e}"
                );
                warn!("{text}");
                warnings.push(text);
            }
        }
        Ok(revision)
    }

    /// From here on nothing can fail.
    async fn take(&mut self, prepared: Prepared, revision: u64) {
        let Prepared {
            config,
            text,
            next,
            peers,
            steps,
            keys: _,
            misfits,
        } = prepared;
        for warning in &config.warnings {
            warn!("{warning}");
        }
        // The file has them now.
        let before = self.changes.len();
        let Changes {
            peers: added,
            forced,
            routes,
        } = &mut self.changes;
        added.retain(|address, _| {
            let misfit = misfits.iter().any(|(other, _)| other == address);
            !next.peers.contains_key(address) && !misfit
        });
        let mut withdrawn = Vec::new();
        routes.retain(|prefix, _| {
            let aggregate = next.aggregates(*prefix);
            withdrawn.extend(aggregate.then_some(*prefix));
            !aggregate && !next.routes.contains_key(prefix)
        });
        forced.retain(|address, disabled| {
            let of_file = next.peers.get(address);
            of_file.is_none_or(|settings| settings.disabled != *disabled)
        });
        let kept_before = self.shared.loaded.load().config.api.changes;
        let keep_now = config.api.changes;
        self.shared.gate.set_rate(config.router.connection_rate);
        self.shared.ranges.keep(&next.ranges);
        self.desired = next;
        let path = self.shared.loaded.load().path.clone();
        self.shared.loaded.store(Arc::new(Loaded {
            config: Arc::new(config),
            text,
            revision,
            path,
            at: SystemTime::now(),
            last_error: None,
        }));
        if self.changes.len() != before || kept_before != keep_now {
            self.keep_changes();
        }
        for prefix in withdrawn {
            info!(%prefix, "the route added by command is withdrawn: the file has an aggregate of this prefix now");
            self.withdraw(prefix);
        }
        // Before the sessions that come up anew with other keys.
        self.listen(peers.values()).await;
        let log = &self.shared.loaded.load().config.log;
        if let Err(e) = logging::set_level(log) {
            warn!("cannot change the log level: {e}");
        }
        self.apply_in_place(&steps);
        for step in steps {
            self.make(step).await;
        }
    }

    /// Has what was changed by command on the disk, or nothing there, as the file
    /// wants it.
    pub(super) fn keep_changes(&self) {
        let wanted = self.shared.loaded.load().config.api.changes;
        let kept = match wanted {
            Policy::Keep | Policy::Write if !self.changes.is_empty() => {
                self.changes.write(&self.store)
            }
            _ => Changes::clear(&self.store),
        };
        if let Err(e) = kept {
            warn!("what was changed by command will be lost with a restart: {e}");
        }
    }

    /// All peers as they should stand: those of the file, those added by
    /// command (the file goes first), and neighbours from ranges that remain.
    /// And which of those added by command do not fit.
    fn peers_next(&self, config: &Config, next: &Desired) -> (Peers, Vec<(PeerName, String)>) {
        let mut peers = next.peers.clone();
        let mut misfits = Vec::new();
        for (address, new) in &self.changes.peers {
            if !peers.contains_key(address) {
                let new = with_key_read_again(new);
                match resolve::runtime_peer(config, &self.shared.identity, &new) {
                    Ok(settings) => drop(peers.insert(*address, settings)),
                    Err(e) => misfits.push((*address, e)),
                }
            }
        }
        for (address, peer) in &self.peers {
            if matches!(peer.settings.origin, PeerOrigin::Range(_))
                && !peers.contains_key(address)
                && let Some(settings) = next.for_caller(peer.settings.address)
            {
                peers.insert(*address, settings);
            }
        }
        for (address, disabled) in &self.changes.forced {
            if let Some(settings) = peers.get_mut(address) {
                settings.disabled = *disabled;
            }
        }
        (peers, misfits)
    }

    /// Gives all sessions their new policies and roles in one job: an update
    /// group that moves as a whole sends its members the difference once.
    fn apply_in_place(&self, steps: &[Step]) {
        let changed: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::ChangePeer {
                    settings, restart, ..
                } if restart.is_empty() => self.new_spec(settings),
                _ => None,
            })
            .collect();
        if changed.is_empty() {
            return;
        }
        self.shared.rib.set_specs(changed);
    }

    /// What the RIB is to know of an established session under these settings.
    pub(super) fn new_spec(&self, settings: &PeerSettings) -> Option<(Arc<Port>, PeerSpec)> {
        let status = self.peers.get(&settings.name)?.entry.view.status();
        let session = status.session.as_ref()?;
        let (local, remote) = (session.local, session.remote.ip());
        let place = self.context.interfaces.place(local, remote);
        // Of a peer on an interface only its task knows the address.
        let settings = PeerSettings {
            address: remote,
            ..settings.clone()
        };
        let spec = peer::spec::peer_spec(&settings, &session.negotiated, local.ip(), &place);
        Some((Arc::clone(&session.port), spec))
    }

    async fn make(&mut self, step: Step) {
        match step {
            Step::AddPeer(settings) => self.spawn(settings),
            Step::RemovePeer(address) => self.drop_peer(address, String::new()).await,
            Step::ChangePeer {
                settings, restart, ..
            } => {
                if let Some(peer) = self.peers.get_mut(&settings.name) {
                    peer.settings = settings.clone();
                    let command = PeerCommand::Configure {
                        settings: Box::new(settings),
                        reset: !restart.is_empty(),
                    };
                    // An ended task is taken up by `task_ended`.
                    let _ = peer.entry.commands.send(command).await;
                }
            }
            // Whoever looks for a range finds it among the desired ones.
            Step::AddRange(_) | Step::RemoveRange(_) | Step::ChangeRange { .. } => {}
            Step::Originate(route) => self.originate(route),
            Step::Withdraw(prefix) => self.withdraw(prefix),
            Step::Aggregate(aggregates) => self.aggregate(aggregates),
            Step::Reconfigure(config) => {
                self.shared.rib.command(move |rib| rib.reconfigure(config));
            }
        }
    }

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

/// All peers, as they should stand.
type Peers = BTreeMap<PeerName, PeerSettings>;

/// Whether a configuration is written to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It is there, or whoever asks sees to it.
    No,
    /// Before it is put in force, which it is not if that fails.
    First,
}

/// How a configuration is put in force.
pub(super) struct Install<'a> {
    pub write: Write,
    pub by: By,
    pub why: &'a str,
    pub confirm_within: Option<std::time::Duration>,
}

fn no_way_back(e: &std::io::Error) -> ControlError {
    ControlError::FailedPrecondition(format!(
        "the way back could not be kept in the state directory, so nothing was changed: {e}"
    ))
}

fn write_file(path: &Path, text: &str) -> Result<(), ControlError> {
    state::replace_config(path, text).map_err(|e| {
        ControlError::FailedPrecondition(format!(
            "cannot write {}, so nothing was changed: {e}",
            path.display()
        ))
    })
}

/// A peer that was added by command, with what its password file holds now. One
/// that can't be read any more costs no session.
fn with_key_read_again(new: &NewPeer) -> NewPeer {
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
