//! Which configuration the daemon starts with.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use godwit_config::Config;
use godwit_policy::route::Registry;

use crate::state::history::{By, History, How};
use crate::state::{self, Store};

/// The configuration to start with, and what is kept besides.
pub struct Boot {
    pub config: Config,
    pub text: Arc<str>,
    pub revision: u64,
    pub store: Store,
    pub history: History,
    /// For the log, once there is one.
    pub notes: Vec<String>,
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {}", self.revision)
    }
}

impl Boot {
    /// Reads the file. If the last run was still waiting for somebody to confirm
    /// it, and that is over or the file cannot be used, the revision before is
    /// written back first. The error is text for people.
    pub fn load(
        path: &Path,
        state_directory: &Path,
        registry: &Registry,
        color: bool,
    ) -> Result<Boot, String> {
        let store = Store::new(state_directory);
        let (mut history, mut notes) = History::open(&store);
        let mut by = By {
            uid: None,
            how: How::Start,
        };
        let mut why = String::new();
        if let Some(unconfirmed) = history.unconfirmed() {
            let over = unconfirmed.is_over(SystemTime::now());
            let unusable = read(path, registry, false).is_err();
            if over || unusable {
                let previous = unconfirmed.previous;
                match history.text(previous) {
                    Ok(text) => {
                        state::replace_config(path, &text).map_err(|e| {
                            format!(
                                "error: {}: cannot go back to revision {previous}, as revision {} was not confirmed: {e}",
                                path.display(),
                                unconfirmed.revision
                            )
                        })?;
                        by.how = How::Unconfirmed;
                        why = format!("revision {} was not confirmed", unconfirmed.revision);
                        notes.push(format!("{why}: went back to revision {previous}"));
                    }
                    Err(e) => notes.push(format!(
                        "revision {} was not confirmed, and cannot be undone: {e}",
                        unconfirmed.revision
                    )),
                }
            }
        }
        let (config, text) = read(path, registry, color)?;
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
        })
    }
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
    fn a_state_directory_that_cannot_be_written_keeps_nobody_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let (file, state) = paths(&directory);
        fs::write(&file, OLD).unwrap();
        fs::write(&state, "a file").unwrap();
        let boot = load(&directory).unwrap();
        assert!(!boot.notes.is_empty());
    }
}
