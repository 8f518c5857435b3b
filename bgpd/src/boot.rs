//! Which configuration the daemon starts with.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use godwit_config::{Config, ConfigErrors};
use godwit_policy::route::Registry;

use crate::state::history::{By, History, How, Unconfirmed};
use crate::state::{self, Lock, Store, Undone};

/// The configuration to start with, and what is kept besides.
pub struct Boot {
    pub config: Config,
    pub text: Arc<str>,
    pub revision: u64,
    pub store: Store,
    pub history: History,
    /// Why the file itself is not in force.
    pub last_error: Option<String>,
    /// For the log, once there is one.
    pub notes: Vec<String>,
    /// `None`: the directory cannot be written at all.
    pub lock: Option<Lock>,
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {}", self.revision)
    }
}

impl Boot {
    /// Reads the file. If the last run was still waiting for somebody to confirm
    /// it, and that is over or the file cannot be used, it is the revision before,
    /// which is written back; unless that cannot be used any more, or somebody has
    /// edited the file since. The error is text for people.
    pub fn load(
        path: &Path,
        state_directory: &Path,
        registry: &Registry,
        color: bool,
    ) -> Result<Boot, String> {
        let store = Store::new(state_directory);
        let mut notes = Vec::new();
        let lock = match store.lock() {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => {
                return Err(format!(
                    "error: another daemon uses the state directory {}; give this one another by --state-dir",
                    state_directory.display()
                ));
            }
            Err(e) => {
                notes.push(format!("the state directory cannot be used: {e}"));
                None
            }
        };
        let (mut history, found) = History::open(&store);
        notes.extend(found);
        let file = File { path, registry };
        let start = match history.unconfirmed().cloned() {
            None => file.start().map_err(|e| e.render(color))?,
            Some(unconfirmed) if !unconfirmed.is_of(path) => {
                notes.push(format!(
                    "revision {} of another file waits to be confirmed, and is left alone",
                    unconfirmed.revision
                ));
                history.ignore_unconfirmed();
                file.start().map_err(|e| e.render(color))?
            }
            Some(unconfirmed) => file.on_trial(&unconfirmed, &history, &mut notes, color)?,
        };
        let Start {
            config,
            text,
            how,
            why,
            settled,
            last_error,
        } = start;
        let unchanged =
            history.last() > 0 && history.text(history.last()).is_ok_and(|last| last == text);
        let revision = if unchanged {
            history.last()
        } else {
            let by = By { uid: None, how };
            let (revision, kept) = history.record(by, &why, &text, &[]);
            if let Err(e) = kept {
                notes.push(format!(
                    "configurations cannot be kept in the state directory: {e}"
                ));
            }
            revision
        };
        // Only now: had we died before, the next one would have gone back.
        if settled && let Err(e) = history.settle() {
            notes.push(format!("cannot note that nothing is to be confirmed: {e}"));
        }
        Ok(Boot {
            config,
            text: text.into(),
            revision,
            store,
            history,
            last_error,
            notes,
            lock,
        })
    }
}

/// What to start with.
struct Start {
    config: Config,
    text: String,
    how: How,
    why: String,
    /// Nothing is to be confirmed, or to be done about it, any more.
    settled: bool,
    last_error: Option<String>,
}

/// The configuration file, and what it may name.
struct File<'a> {
    path: &'a Path,
    registry: &'a Registry,
}

impl File<'_> {
    fn parse(&self, name: &str, text: String) -> Result<(Config, String), ConfigErrors> {
        let config = godwit_config::parse_with(name, &text, self.registry)?;
        Ok((config, text))
    }

    /// With the file as it is.
    fn start(&self) -> Result<Start, ConfigErrors> {
        let text = godwit_config::read_text(self.path)?;
        let (config, text) = self.parse(&self.path.display().to_string(), text)?;
        Ok(Start {
            config,
            text,
            how: How::Start,
            why: String::new(),
            settled: false,
            last_error: None,
        })
    }

    /// With the file, unless it is on trial and that is over.
    fn on_trial(
        &self,
        unconfirmed: &Unconfirmed,
        history: &History,
        notes: &mut Vec<String>,
        color: bool,
    ) -> Result<Start, String> {
        let (revision, previous) = (unconfirmed.revision, unconfirmed.previous);
        let shown = self.path.display();
        let on_trial = history.text(revision).ok();
        let start = match self.start() {
            // Whoever wrote it, and starts the daemon with it, wants it.
            Ok(start) if on_trial.as_ref() != Some(&start.text) => {
                notes.push(format!(
                    "{shown} was edited since revision {revision} was applied: that is in force, and nothing is to be confirmed any more"
                ));
                return Ok(Start {
                    settled: true,
                    ..start
                });
            }
            Ok(start) if !unconfirmed.is_over(SystemTime::now()) => return Ok(start),
            start => start,
        };
        let why = format!("revision {revision} was not confirmed");
        // Whether it can be used is known before anything is written.
        let before = history.text(previous).map_err(|e| e.to_string());
        let before = before.and_then(|text| {
            let parsed = self.parse(&format!("revision {previous}"), text);
            parsed.map_err(|e| e.render(color))
        });
        let ((config, text), unusable) = match (before, start) {
            (Ok(before), Ok(_)) => (before, None),
            (Ok(before), Err(e)) => (before, Some(e)),
            (Err(e), start) => {
                let text =
                    format!("{why}, and revision {previous} cannot be used in its place: {e}");
                return match start {
                    Ok(start) => {
                        notes.push(text);
                        Ok(start)
                    }
                    Err(file) => Err(format!("{}\n{text}", file.render(color))),
                };
            }
        };
        notes.push(format!("{why}: went back to revision {previous}"));
        let mut start = Start {
            config,
            text,
            how: How::Unconfirmed,
            why,
            settled: true,
            last_error: None,
        };
        match state::undo(self.path, &start.text, on_trial.as_deref()) {
            Ok(Undone::Written) => {}
            Ok(Undone::Edited) => {
                notes.push(format!(
                    "{shown} was edited since, and cannot be used; it is left as it is"
                ));
                start.last_error = unusable.map(|e| e.render(false));
            }
            Err(e) => {
                // The daemon tries again; to route is worth more than the file.
                notes.push(format!("cannot write revision {previous} to {shown}: {e}"));
                start.settled = false;
            }
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    const OLD: &str = "[router]\nasn = 64512\n";
    const NEW: &str = "[router]\nasn = 64513\n";

    fn load(directory: &tempfile::TempDir) -> Result<Boot, String> {
        let (file, state) = paths(directory);
        Boot::load(&file, &state, &Registry::default(), false)
    }

    fn paths(directory: &tempfile::TempDir) -> (std::path::PathBuf, std::path::PathBuf) {
        (
            directory.path().join("godwit.toml"),
            directory.path().join("state"),
        )
    }

    /// One that ran with `OLD` and then got `new`, to be confirmed.
    fn unconfirmed(new: &str, within: Duration) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let (file, _) = paths(&directory);
        fs::write(&file, OLD).unwrap();
        let mut boot = load(&directory).unwrap();
        let (_, kept) = boot.history.record(
            By {
                uid: None,
                how: How::Apply,
            },
            "",
            new,
            &[],
        );
        kept.unwrap();
        boot.history.expect_confirmation(&file, 1, within).unwrap();
        fs::write(&file, new).unwrap();
        directory
    }

    #[test]
    fn a_file_that_changed_while_nobody_ran_is_another_revision() {
        let directory = tempfile::tempdir().unwrap();
        let (file, _) = paths(&directory);
        fs::write(&file, OLD).unwrap();
        assert_eq!(load(&directory).unwrap().revision, 1);
        assert_eq!(load(&directory).unwrap().revision, 1);
        fs::write(&file, NEW).unwrap();
        assert_eq!(load(&directory).unwrap().revision, 2);
    }

    #[test]
    fn one_that_nobody_confirmed_in_time_is_undone() {
        let directory = unconfirmed(NEW, Duration::ZERO);
        let boot = load(&directory).unwrap();
        assert_eq!((&*boot.text, boot.revision), (OLD, 3));
        assert_eq!(boot.history.unconfirmed(), None);
        assert_eq!(fs::read_to_string(paths(&directory).0).unwrap(), OLD);
        assert_eq!(boot.notes.len(), 1);
    }

    #[test]
    fn one_that_may_still_be_confirmed_stays() {
        let directory = unconfirmed(NEW, Duration::from_secs(60));
        let boot = load(&directory).unwrap();
        assert_eq!((&*boot.text, boot.revision), (NEW, 2));
        assert!(boot.history.unconfirmed().is_some());
    }

    #[test]
    fn one_that_cannot_be_used_is_undone_at_once() {
        let directory = unconfirmed("[router]\n", Duration::from_secs(60));
        assert_eq!(&*load(&directory).unwrap().text, OLD);
    }

    #[test]
    fn one_that_somebody_edited_since_is_left_alone() {
        let directory = unconfirmed(NEW, Duration::ZERO);
        let (file, _) = paths(&directory);
        let repaired = "[router]\nasn = 64514\n";
        fs::write(&file, repaired).unwrap();
        let boot = load(&directory).unwrap();
        assert_eq!((&*boot.text, boot.history.unconfirmed()), (repaired, None));
        assert_eq!(fs::read_to_string(&file).unwrap(), repaired);
        assert!(
            boot.notes[0].contains("was edited since"),
            "{:?}",
            boot.notes
        );
    }

    #[test]
    fn it_stays_where_the_one_before_cannot_be_used_any_more() {
        let directory = unconfirmed(NEW, Duration::ZERO);
        let (file, state) = paths(&directory);
        let revision = state.join("config/1.json");
        let stored = fs::read_to_string(&revision).unwrap();
        fs::write(&revision, stored.replace("64512", "0")).unwrap();
        let boot = load(&directory).unwrap();
        assert_eq!(&*boot.text, NEW);
        assert!(boot.history.unconfirmed().is_some(), "it is tried again");
        assert_eq!(fs::read_to_string(&file).unwrap(), NEW);
        assert!(
            boot.notes[0].contains("cannot be used in its place"),
            "{:?}",
            boot.notes
        );
    }

    #[test]
    fn one_that_is_edited_while_it_may_still_be_confirmed_is_not_on_trial_any_more() {
        let directory = unconfirmed(NEW, Duration::from_secs(60));
        let edited = "[router]\nasn = 64514\n";
        fs::write(paths(&directory).0, edited).unwrap();
        let boot = load(&directory).unwrap();
        assert_eq!((&*boot.text, boot.history.unconfirmed()), (edited, None));
    }

    #[test]
    fn a_broken_edit_is_left_where_it_is_while_the_old_one_is_in_force() {
        let directory = unconfirmed(NEW, Duration::ZERO);
        let file = paths(&directory).0;
        fs::write(&file, "[rooter]\n").unwrap();
        let boot = load(&directory).unwrap();
        assert_eq!((&*boot.text, boot.history.unconfirmed()), (OLD, None));
        assert!(boot.last_error.is_some_and(|e| e.contains("rooter")));
        assert_eq!(fs::read_to_string(&file).unwrap(), "[rooter]\n");
    }

    #[test]
    fn the_trial_of_one_file_leaves_another_alone() {
        let directory = unconfirmed(NEW, Duration::ZERO);
        let (file, state) = paths(&directory);
        let rescue = directory.path().join("rescue.toml");
        let text = "[router]\nasn = 64515\n";
        fs::write(&rescue, text).unwrap();
        let mut boot = Boot::load(&rescue, &state, &Registry::default(), false).unwrap();
        assert_eq!((&*boot.text, boot.history.unconfirmed()), (text, None));
        assert_eq!(fs::read_to_string(&rescue).unwrap(), text);
        // As after each rollback.
        boot.history.settle().unwrap();
        drop(boot);
        // The file that it is about goes back all the same.
        assert_eq!(&*load(&directory).unwrap().text, OLD);
        assert_eq!(fs::read_to_string(&file).unwrap(), OLD);
    }

    #[test]
    fn a_file_that_cannot_be_written_keeps_nobody_from_going_back() {
        let directory = unconfirmed(NEW, Duration::ZERO);
        let file = paths(&directory).0;
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let boot = load(&directory).unwrap();
        assert_eq!((&*boot.text, boot.revision), (OLD, 3));
        assert!(boot.history.unconfirmed().is_some(), "it is tried again");
    }

    #[test]
    fn where_neither_can_be_used_both_reasons_are_told() {
        let directory = unconfirmed("[router]\n", Duration::ZERO);
        fs::remove_file(paths(&directory).1.join("config/1.json")).unwrap();
        let error = load(&directory).unwrap_err();
        assert!(error.contains("asn"), "{error}");
        assert!(error.contains("no revision 1"), "{error}");
    }

    #[test]
    fn a_state_directory_serves_one_daemon_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(paths(&directory).0, OLD).unwrap();
        let first = load(&directory).unwrap();
        let refused = load(&directory).unwrap_err();
        assert!(refused.contains("another daemon"), "{refused}");
        drop(first);
        load(&directory).unwrap();
    }

    #[test]
    fn a_state_directory_that_cannot_be_written_keeps_nobody_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let (file, state) = paths(&directory);
        fs::write(&file, OLD).unwrap();
        fs::write(&state, "a file").unwrap();
        let boot = load(&directory).unwrap();
        assert!(!boot.notes.is_empty());
    }
}
