//! The state directory: what outlives the process.
//!
//! | file | what |
//! |---|---|
//! | `state.json` | the router-id that was chosen ([`identity`](crate::identity)) |
//! | `config/N.json` | a configuration that was applied, its time, who and why |
//! | `unconfirmed.json` | that revision N of a file goes back to M unless it is confirmed in time |
//! | `changes.json` | peers and routes that were changed by command |
//! | `lock` | held by the daemon that uses the directory |
//!
//! Each is replaced in one step, and on the disk before the change it tells of is
//! made. Each carries the version of its form; one of a later version, or a
//! broken one, is said so, and set aside (`.unusable`) before another is written.

pub mod changes;
pub mod history;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Of the files' form.
const VERSION: u32 = 1;

/// The directory.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// Held as long as a daemon uses the directory.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What every file has around what it is about.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// As much as can be read whatever the rest looks like.
#[derive(Debug, Deserialize)]
struct Version {
    version: u32,
}

impl Store {
    pub fn new(directory: &Path) -> Store {
        Store(directory.to_owned())
    }

    /// Keeps other daemons out; `None`: one is there. Two would undo what the other
    /// notes.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        self.make_directory(&self.0)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn make_directory(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        // Configurations may have passwords in them.
        fs::set_permissions(directory, Permissions::from_mode(0o700))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// `None`: there is no such file.
    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let text = match fs::read_to_string(self.path(name)) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let version = serde_json::from_str::<Version>(&text)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?
            .version;
        if version != VERSION {
            let text = format!("its form is of version {version}, this daemon knows {VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let envelope: Envelope<T> = serde_json::from_str(&text)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(Some(envelope.content))
    }

    fn write<T: Serialize>(&self, name: &str, content: &T) -> io::Result<()> {
        let path = self.path(name);
        if let Some(directory) = path.parent() {
            self.make_directory(directory)?;
        }
        self.set_aside(name)?;
        let envelope = Envelope {
            version: VERSION,
            content,
        };
        let mut text = serde_json::to_vec_pretty(&envelope)?;
        text.push(b'\n');
        replace(&path, &text, 0o600, None)
    }

    /// What cannot be read is not written over: it goes by another name.
    fn set_aside(&self, name: &str) -> io::Result<()> {
        match self.read::<serde_json::Value>(name) {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                let aside = format!("{name}.unusable");
                warn!(
                    "{} cannot be used ({e}) and is now {aside}",
                    self.path(name).display()
                );
                fs::rename(self.path(name), self.path(&aside))
            }
            _ => Ok(()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.set_aside(name)?;
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => sync_directory(&path),
        }
    }
}

/// Writes the text of a configuration file in place of what is there, with the
/// same rights and owner. A link stays one: the file that it names is replaced.
pub fn replace_config(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (mode, owner) = match fs::metadata(&path) {
        Ok(old) => (old.mode() & 0o7777, Some((old.uid(), old.gid()))),
        Err(_) => (0o640, None),
    };
    replace(&path, text.as_bytes(), mode, owner)
}

/// What became of a configuration file that nobody confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It is the one before again.
    Written,
    /// Somebody has edited it since, and so it is left as it is.
    Edited,
}

/// Writes the configuration before in place of an unconfirmed one, if that is
/// what the file holds.
pub fn undo(path: &Path, before: &str, unconfirmed: Option<&str>) -> io::Result<Undone> {
    let found = fs::read(path).ok();
    let is = |text: &str| found.as_deref() == Some(text.as_bytes());
    if is(before) {
        return Ok(Undone::Written);
    }
    if found.is_some() && !unconfirmed.is_some_and(is) {
        return Ok(Undone::Edited);
    }
    replace_config(path, before).map(|()| Undone::Written)
}

/// Replaces a file in one step: a crash leaves the old or the new one, whole.
pub fn replace(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", process::id()));
    let temporary = PathBuf::from(name);
    let written =
        write_new(&temporary, bytes, mode, owner).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Whether it goes is not worth a word beside what went wrong.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    // The new one is there: who was told otherwise would act on the old one.
    if let Err(e) = sync_directory(path) {
        warn!(
            "{} may be the old one after a power cut: {e}",
            path.display()
        );
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    if let Some((uid, gid)) = owner {
        let same = file
            .metadata()
            .is_ok_and(|m| (m.uid(), m.gid()) == (uid, gid));
        if !same {
            fchown(&file, Some(uid), Some(gid))?;
        }
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// The name itself is on the disk only with its directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_only_by_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(&directory.path().join("new"));
        assert_eq!(store.read::<Vec<u8>>("x").unwrap(), None);
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Thing {
            a: u8,
        }
        store.write("sub/x.json", &Thing { a: 7 }).unwrap();
        assert_eq!(store.read("sub/x.json").unwrap(), Some(Thing { a: 7 }));
        let mode = fs::metadata(store.path("sub/x.json")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names = fs::read_dir(store.path("sub")).unwrap().count();
        assert_eq!(names, 1, "no temporary file is left");
        store.remove("sub/x.json").unwrap();
        store.remove("sub/x.json").unwrap();
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        fs::write(store.path("x"), "{\"version\": 2, \"new\": true}").unwrap();
        let error = store.read::<serde_json::Value>("x").unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn a_linked_configuration_stays_linked_and_keeps_its_rights() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace_config(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o604);
    }
}
