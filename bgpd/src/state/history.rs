//! Configurations that were applied, newest last, and the one that waits to be
//! confirmed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Store;

/// Revisions that are kept.
const KEPT: usize = 50;
const UNCONFIRMED: &str = "unconfirmed.json";

/// What brought a revision about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The daemon started with another file than it last had.
    Start,
    /// SIGHUP, or `apply` without a file.
    Reload,
    Apply,
    Rollback,
    /// Nobody confirmed it in time.
    Unconfirmed,
    /// A peer or route changed by command, written to the file.
    Command,
}

impl How {
    pub fn word(self) -> &'static str {
        match self {
            How::Start => "start",
            How::Reload => "reload",
            How::Apply => "apply",
            How::Rollback => "rollback",
            How::Unconfirmed => "unconfirmed",
            How::Command => "command",
        }
    }
}

/// Who did it and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Of the client at the socket; `None`: the daemon itself, or a signal.
    pub uid: Option<u32>,
    pub how: How,
}

/// A revision, but for its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    pub number: u64,
    /// Milliseconds since 1970.
    at: u64,
    #[serde(flatten)]
    pub by: By,
    pub why: String,
    /// What it changed, a line each.
    pub changes: Vec<String>,
}

impl Revision {
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.at)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    revision: Revision,
    text: String,
}

/// A revision that goes back to another unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    pub revision: u64,
    pub previous: u64,
    /// Whose revisions these are: the path without links.
    file: String,
    /// Milliseconds since 1970.
    deadline: u64,
    since: u64,
}

impl Unconfirmed {
    pub fn deadline(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.deadline)
    }

    /// Whether it is about this configuration file.
    pub fn is_of(&self, path: &Path) -> bool {
        self.file == whole(path)
    }

    /// Also where the clock was set back behind its beginning: then nobody knows.
    pub fn is_over(&self, now: SystemTime) -> bool {
        let now = millis(now);
        now >= self.deadline || now < self.since
    }
}

/// All that is known of revisions; the texts stay on the disk.
#[derive(Debug)]
pub struct History {
    store: Store,
    revisions: BTreeMap<u64, Revision>,
    last: u64,
    unconfirmed: Option<Unconfirmed>,
}

impl History {
    /// What cannot be read is told, and left out.
    pub fn open(store: &Store) -> (History, Vec<String>) {
        let mut history = History {
            store: store.clone(),
            revisions: BTreeMap::new(),
            last: 0,
            unconfirmed: None,
        };
        let mut notes = Vec::new();
        for number in history.numbers(&mut notes) {
            // One that cannot be read is not written over, either.
            history.last = history.last.max(number);
            match store.read::<Stored>(&name(number)) {
                Ok(Some(stored)) if stored.revision.number == number => {
                    history.revisions.insert(number, stored.revision);
                }
                Ok(_) => {}
                Err(e) => notes.push(format!("configuration revision {number} is unusable: {e}")),
            }
        }
        match store.read(UNCONFIRMED) {
            Ok(unconfirmed) => history.unconfirmed = unconfirmed,
            Err(e) => notes.push(format!(
                "cannot tell whether a configuration waits to be confirmed: {e}"
            )),
        }
        (history, notes)
    }

    fn numbers(&self, notes: &mut Vec<String>) -> Vec<u64> {
        let entries = match fs::read_dir(self.store.path("config")) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(e) => {
                notes.push(format!("cannot read the configuration history: {e}"));
                return Vec::new();
            }
        };
        let number = |entry: io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_suffix(".json")?.parse().ok()
        };
        entries.filter_map(number).collect()
    }

    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.revisions.values()
    }

    /// The number of the newest; 0: there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The newest before `number`.
    pub fn before(&self, number: u64) -> Option<u64> {
        let mut older = self.revisions.range(..number);
        older.next_back().map(|(number, _)| *number)
    }

    pub fn text(&self, number: u64) -> io::Result<String> {
        let stored: Option<Stored> = self.store.read(&name(number))?;
        stored.map(|s| s.text).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no revision {number} (any more)"),
            )
        })
    }

    /// Keeps a text as the newest revision. Its number counts, whether it could
    /// be kept or not.
    pub fn record(
        &mut self,
        by: By,
        why: &str,
        text: &str,
        changes: &[String],
    ) -> (u64, io::Result<()>) {
        self.last += 1;
        let revision = Revision {
            number: self.last,
            at: millis(SystemTime::now()),
            by,
            why: why.to_owned(),
            changes: changes.to_vec(),
        };
        let stored = Stored {
            revision,
            text: text.to_owned(),
        };
        let kept = self.store.write(&name(self.last), &stored);
        if kept.is_ok() {
            self.revisions.insert(self.last, stored.revision);
            self.prune();
        }
        (self.last, kept)
    }

    /// Has the text of a revision on the disk, also where that failed in its time.
    pub fn keep_again(&mut self, number: u64, text: &str) -> io::Result<()> {
        if self.text(number).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        let known = self.revisions.get(&number).cloned();
        let revision = known.unwrap_or_else(|| Revision {
            number,
            at: millis(SystemTime::now()),
            by: By {
                uid: None,
                how: How::Start,
            },
            why: "could not be kept earlier".to_owned(),
            changes: Vec::new(),
        });
        let stored = Stored {
            revision,
            text: text.to_owned(),
        };
        self.store.write(&name(number), &stored)?;
        self.revisions.insert(number, stored.revision);
        Ok(())
    }

    /// Takes the newest back: it was not applied after all.
    pub fn forget_last(&mut self) {
        if self.revisions.remove(&self.last).is_some()
            && self.store.remove(&name(self.last)).is_ok()
        {
            self.last -= 1;
        }
    }

    fn prune(&mut self) {
        while self.revisions.len() > KEPT {
            let needed = self.unconfirmed.as_ref().map(|u| u.previous);
            let oldest = self.revisions.keys().find(|n| Some(**n) != needed).copied();
            let Some(oldest) = oldest else { return };
            self.revisions.remove(&oldest);
            // At the worst it is there after the next start, and goes then.
            let _ = self.store.remove(&name(oldest));
        }
    }

    pub fn unconfirmed(&self) -> Option<&Unconfirmed> {
        self.unconfirmed.as_ref()
    }

    /// It is about another file: it stays on the disk for the daemon of that one.
    pub fn ignore_unconfirmed(&mut self) {
        self.unconfirmed = None;
    }

    /// The newest revision, of this file, is to be confirmed within this time.
    pub fn expect_confirmation(
        &mut self,
        file: &Path,
        previous: u64,
        within: Duration,
    ) -> io::Result<()> {
        let now = SystemTime::now();
        let unconfirmed = Unconfirmed {
            revision: self.last,
            previous,
            file: whole(file),
            deadline: millis(now + within),
            since: millis(now),
        };
        self.store.write(UNCONFIRMED, &unconfirmed)?;
        self.unconfirmed = Some(unconfirmed);
        Ok(())
    }

    /// It is undone, though not everywhere: after a restart nobody is to be waited
    /// for.
    pub fn let_go(&mut self) -> io::Result<()> {
        if let Some(unconfirmed) = &mut self.unconfirmed {
            unconfirmed.deadline = 0;
            self.store.write(UNCONFIRMED, unconfirmed)?;
        }
        Ok(())
    }

    /// It was confirmed, or it is undone.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.unconfirmed.is_some() {
            self.store.remove(UNCONFIRMED)?;
            self.unconfirmed = None;
        }
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("config/{number}.json")
}

/// The path as every way to the file has it.
fn whole(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().into_owned()
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: By = By {
        uid: Some(1000),
        how: How::Apply,
    };

    fn open(directory: &tempfile::TempDir) -> History {
        let (history, notes) = History::open(&Store::new(directory.path()));
        assert!(notes.is_empty(), "{notes:?}");
        history
    }

    fn record(history: &mut History, text: &str) -> u64 {
        let (number, kept) = history.record(BY, "why", text, &["a line".to_owned()]);
        kept.unwrap();
        number
    }

    #[test]
    fn revisions_are_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = open(&directory);
        assert_eq!(
            (record(&mut history, "a"), record(&mut history, "b")),
            (1, 2)
        );
        let again = open(&directory);
        assert_eq!(again.last(), 2);
        assert_eq!(again.text(1).unwrap(), "a");
        assert_eq!(again.before(2), Some(1));
        let first = again.revisions().next().unwrap();
        assert_eq!((first.by, first.why.as_str()), (BY, "why"));
        assert!(
            again
                .text(3)
                .unwrap_err()
                .to_string()
                .contains("no revision 3")
        );
    }

    #[test]
    fn only_so_many_are_kept_and_numbers_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = open(&directory);
        for _ in 0..KEPT + 3 {
            record(&mut history, "x");
        }
        let again = open(&directory);
        assert_eq!(again.revisions().count(), KEPT);
        assert_eq!(again.revisions().next().unwrap().number, 4);
        assert_eq!(again.last(), KEPT as u64 + 3);
    }

    #[test]
    fn one_that_others_go_back_to_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = open(&directory);
        record(&mut history, "first");
        record(&mut history, "second");
        history
            .expect_confirmation(Path::new("f"), 1, Duration::from_secs(60))
            .unwrap();
        for _ in 0..KEPT {
            record(&mut history, "x");
        }
        assert_eq!(history.text(1).unwrap(), "first");
        assert!(history.text(2).is_err());
    }

    #[test]
    fn one_that_could_not_be_kept_is_kept_later() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = open(&directory);
        let in_the_way = directory.path().join("config");
        fs::write(&in_the_way, "").unwrap();
        let (number, kept) = history.record(BY, "", "a", &[]);
        kept.unwrap_err();
        history.keep_again(number, "a").unwrap_err();
        fs::remove_file(&in_the_way).unwrap();
        history.keep_again(number, "a").unwrap();
        assert_eq!(open(&directory).text(number).unwrap(), "a");
    }

    #[test]
    fn whether_one_is_unconfirmed_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = open(&directory);
        record(&mut history, "a");
        record(&mut history, "b");
        history
            .expect_confirmation(Path::new("f"), 1, Duration::from_secs(60))
            .unwrap();
        let again = open(&directory).unconfirmed().unwrap().clone();
        assert_eq!((again.revision, again.previous), (2, 1));
        let now = SystemTime::now();
        assert!(!again.is_over(now));
        assert!(again.is_over(now + Duration::from_secs(61)));
        assert!(again.is_over(now - Duration::from_secs(61)));
        history.settle().unwrap();
        assert_eq!(open(&directory).unconfirmed(), None);
    }

    #[test]
    fn a_broken_one_is_told_and_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = open(&directory);
        record(&mut history, "a");
        fs::write(directory.path().join("config/2.json"), "{").unwrap();
        let (mut history, notes) = History::open(&Store::new(directory.path()));
        assert_eq!(notes.len(), 1);
        assert_eq!(record(&mut history, "c"), 3);
    }
}
