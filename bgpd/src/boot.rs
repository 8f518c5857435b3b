//! Which configuration the daemon starts with.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use godwit_config::Config;
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
        let mut by = By {
            uid: None,
            how: How::Start,
        };
        let mut why = String::new();
        let mut loaded = read(path, registry, color);
        let waits = history.unconfirmed();
        if let Some(unconfirmed) = waits
            && (unconfirmed.is_over(SystemTime::now()) || loaded.is_err())
        {
            match undo(path, &history, &unconfirmed, registry, loaded.is_err()) {
                Ok(Some((config, text, note))) => {
                    by.how = How::Unconfirmed;
                    why = format!("revision {} was not confirmed", unconfirmed.revision);
                    notes.push(format!(
                        "{why}: went back to revision {}",
                        unconfirmed.previous
                    ));
                    notes.extend(note);
                    loaded = Ok((config, text));
                }
                Ok(None) => {
                    by.how = How::Unconfirmed;
                    notes.push(format!(
                        "revision {} was not confirmed, but {} was edited since: that is in force",
                        unconfirmed.revision,
                        path.display()
                    ));
                }
                Err(e) => notes.push(format!(
                    "revision {} was not confirmed, and cannot be undone: {e}",
                    unconfirmed.revision
                )),
            }
        }
        let (config, text) = loaded?;
        let unchanged =
            history.last() > 0 && history.text(history.last()).is_ok_and(|last| last == text);
        let revision = if unchanged {
            history.last()
        } else {
            let (revision, kept) = history.record(by, &why, &text, &[]);
            if let Err(e) = kept {
                notes.push(format!(
                    "configurations cannot be kept in the state directory: {e}"
                ));
            }
            revision
        };
        // Only now: had we died before, the next one would have gone back.
        if by.how == How::Unconfirmed
            && let Err(e) = history.settle()
        {
            notes.push(format!("cannot note that nothing is to be confirmed: {e}"));
        }
        Ok(Boot {
            config,
            text: text.into(),
            revision,
            store,
            history,
            notes,
            lock,
        })
    }
}

/// The configuration before an unconfirmed one, and what is to be said of the
/// file; `None`: that holds another by now.
fn undo(
    path: &Path,
    history: &History,
    unconfirmed: &Unconfirmed,
    registry: &Registry,
    unusable: bool,
) -> Result<Option<(Config, String, Option<String>)>, String> {
    let before = unconfirmed.previous;
    let text = history.text(before).map_err(|e| e.to_string())?;
    let name = format!("revision {before}");
    let config = godwit_config::parse_with(&name, &text, registry);
    let config = config.map_err(|e| e.render(false))?;
    let written = match unusable {
        true => state::replace_config(path, &text).map(|()| Undone::Written),
        false => state::undo(
            path,
            &text,
            history.text(unconfirmed.revision).ok().as_deref(),
        ),
    };
    let note = match written {
        Ok(Undone::Edited) => return Ok(None),
        Ok(Undone::Written) => None,
        Err(e) => Some(format!(
            "cannot write {}, which is not what is in force: {e}",
            path.display()
        )),
    };
    Ok(Some((config, text, note)))
}

fn read(path: &Path, registry: &Registry, color: bool) -> Result<(Config, String), String> {
    let show = |e: godwit_config::ConfigErrors| e.render(color);
    let text = godwit_config::read_text(path).map_err(show)?;
    let name = path.display().to_string();
    let config = godwit_config::parse_with(&name, &text, registry).map_err(show)?;
    Ok((config, text))
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
        boot.history.expect_confirmation(1, within).unwrap();
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
        assert_eq!(fs::read_to_string(&file).unwrap(), NEW);
        assert!(
            boot.notes[0].contains("cannot be undone"),
            "{:?}",
            boot.notes
        );
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
