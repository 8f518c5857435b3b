//! Another configuration: what it changes, and making it so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_config::{Config, ConfigErrors, Scope};
use godwit_rib::PeerSpec;
use tracing::{error, info, warn};

use super::ControlTask;
use super::by_command::with_key_read_again;
use super::trial::Trial;
use crate::control::desired::{Desired, Step, steps};
use crate::control::revisions::{Applied, Apply};
use crate::control::{ControlError, Loaded, resolve};
use crate::logging;
use crate::peer::{self, PeerCommand, PeerName, PeerSettings};
use crate::ribthread::Port;
use crate::state;
use crate::state::history::{By, Unconfirmed};
use crate::status::PeerOrigin;

/// A configuration that can be applied, and what that takes.
pub(super) struct Prepared {
    pub config: Arc<Config>,
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
            self.shared.amend(|loaded| loaded.last_error = last_error);
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
        let path = self.shared.loaded.load().path.clone();
        let (text, name): (Arc<str>, _) = match text {
            Some(text) if name.is_empty() => (text.into(), "the new configuration".to_owned()),
            Some(text) => (text.into(), name.to_owned()),
            None => {
                let text = godwit_config::read_text(&path).map_err(|e| refuse(&e))?;
                (text.into(), path.display().to_string())
            }
        };
        let config = self.parse(&text, &name)?;
        Ok(self.prepared(Arc::new(config), text))
    }

    pub(super) fn parse(&self, text: &str, name: &str) -> Result<Config, ControlError> {
        let loaded = self.shared.loaded.load_full();
        let registry = loaded.config.policies().registry();
        let asn = self.shared.identity.asn;
        let config = godwit_config::parse_running(name, text, registry, asn);
        let config = config.map_err(|e| refuse(&e))?;
        logging::check(&config.log).map_err(ControlError::Invalid)?;
        Ok(config)
    }

    /// Works out what a configuration would change.
    pub(super) fn prepared(&self, config: Arc<Config>, text: Arc<str>) -> Prepared {
        let identity = &self.shared.identity;
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
        let mut steps = steps(&peers_now, &peers_next, &self.desired, &next, sessions);
        self.bring_up_routes(&next, &mut steps);
        let keys = self.keys(&config);
        Prepared {
            config,
            text,
            next,
            peers: peers_next,
            steps,
            keys,
            misfits,
        }
    }

    /// Routes by command that the file has no more, as a route or an aggregate, and
    /// that come back from below it.
    fn bring_up_routes(&self, next: &Desired, steps: &mut Vec<Step>) {
        for step in &mut *steps {
            if let Step::Withdraw(prefix) = step
                && let Some(ours) = self.changes.routes.get(prefix)
            {
                *step = Step::Originate(ours.route.clone());
            }
        }
        let covered = |prefix| self.desired.aggregates(prefix) && !next.aggregates(prefix);
        let ours = self.changes.routes.values().map(|new| &new.route);
        let ours = ours.filter(|route| covered(route.prefix));
        steps.extend(ours.cloned().map(Step::Originate));
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
        let confirm_by = how.confirm_within.and(self.history.unconfirmed());
        let confirm_by = confirm_by.map(Unconfirmed::deadline);
        if let Some(within) = how.confirm_within {
            self.trial = Some(Trial::new(Arc::clone(&prepared.text), &loaded, within));
        }
        self.take(prepared, revision).await;
        Ok(Applied {
            revision,
            changes,
            warnings,
            confirm_by,
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
        if how.confirm_within.is_some() {
            let kept = self.history.keep_again(loaded.revision, &loaded.text);
            kept.map_err(|e| no_way_back(&e))?;
        }
        let (revision, kept) = self.history.record(how.by, how.why, text, changes);
        let kept = kept.and_then(|()| match how.confirm_within {
            Some(within) => {
                let (file, previous) = (&loaded.path, loaded.revision);
                self.history.expect_confirmation(file, previous, within)
            }
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
        for (peer, why) in &misfits {
            warn!(%peer, "a peer added by command does not fit and is gone: {why}");
        }
        let before = self.changes.len();
        let absorbed = self.changes.taken_over_by(&next);
        let routes = absorbed.routes.keys().copied();
        let withdrawn: Vec<_> = routes.filter(|prefix| next.aggregates(*prefix)).collect();
        if let Some(trial) = self.trial.as_mut().filter(|trial| !trial.undone) {
            trial.absorbed = absorbed;
        }
        for (peer, _) in &misfits {
            self.changes.peers.remove(peer);
        }
        let kept_before = self.shared.loaded.load().config.api.changes;
        let keep_now = config.api.changes;
        self.shared.gate.set_rate(config.router.connection_rate);
        self.shared.ranges.keep(&next.ranges);
        self.desired = next;
        self.shared.amend(|loaded| {
            *loaded = Loaded {
                config,
                text,
                revision,
                at: SystemTime::now(),
                last_error: None,
                path: loaded.path.clone(),
                going_back: loaded.going_back.take(),
            };
        });
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
    pub confirm_within: Option<Duration>,
}

fn refuse(errors: &ConfigErrors) -> ControlError {
    ControlError::Invalid(errors.render(false))
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
