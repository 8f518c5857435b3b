//! The unix socket: who may open it, and what becomes of an old one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::net::UnixListener;
use tracing::warn;

use crate::sync::lock;

/// The socket that we made, so that no other is removed at the end.
#[derive(Clone, Debug, Default)]
pub struct Place(Arc<Mutex<Option<Made>>>);

impl Place {
    pub fn clear(&self) {
        *lock(&self.0) = None;
    }
}

#[derive(Debug)]
struct Made {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for Made {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|i| i == self.inode) {
            // It is of no use to anybody; whether it goes is not worth a word.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

/// Listens at `path`, mode 0660, for members of `group`; without such a group
/// for root alone. A socket at which somebody answers is left alone; anything
/// else but a socket, too.
pub fn bind(path: &Path, group: &str, place: &Place) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    refuse_if_in_use(path)?;
    // Made beside its place and moved there once its rights are right: nobody
    // ever sees it with others, and it replaces a stale one at once.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    grant(&new, group)?;
    fs::rename(&new, path)?;
    let made = Made {
        path: path.to_owned(),
        inode: inode(path)?,
    };
    *lock(&place.0) = Some(made);
    Ok(listener)
}

fn refuse_if_in_use(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(m) if !m.file_type().is_socket() => {
            return Err(io::Error::other(
                "there is a file of that name that is no socket; remove it or change `[api] unix`",
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another daemon answers there; stop it or change `[api] unix`",
        )),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn grant(path: &Path, group: &str) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    match group_id(group) {
        Some(id) => {
            chown(path, None, Some(id))?;
            fs::set_permissions(path, Permissions::from_mode(0o660))
        }
        None => {
            warn!(group, "no such group: only root may use the API");
            Ok(())
        }
    }
}

/// From the file that every system has. A group of a directory service must be
/// listed there to be used here.
fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    group_in(&groups, name)
}

fn group_in(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODYS: &str = "no-such-group-here";

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn groups_are_found_by_name() {
        let groups = "root:x:0:\ngodwit:x:990:a,b\nbad\n";
        assert_eq!(group_in(groups, "godwit"), Some(990));
        assert_eq!(group_in(groups, "god"), None);
        assert_eq!(group_in(groups, "bad"), None);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/godwit.sock");
        let place = Place::default();
        drop(bind(&path, NOBODYS, &place).unwrap());
        let _listener = bind(&path, NOBODYS, &place).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("godwit.sock");
        let place = Place::default();
        let _listener = bind(&path, NOBODYS, &place).unwrap();
        let error = bind(&path, NOBODYS, &Place::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("godwit.sock");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path, NOBODYS, &Place::default()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn without_the_group_only_the_owner_may_open_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("godwit.sock");
        let place = Place::default();
        let _listener = bind(&path, NOBODYS, &place).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[tokio::test]
    async fn the_group_may_read_and_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("godwit.sock");
        // Root's own: any user may give a file to a group of theirs only.
        let place = Place::default();
        let Ok(_listener) = bind(&path, "root", &place) else {
            return;
        };
        assert_eq!(mode(&path), 0o660);
    }

    #[tokio::test]
    async fn it_goes_with_its_owner_and_another_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("godwit.sock");
        let place = Place::default();
        let listener = bind(&path, NOBODYS, &place).unwrap();
        drop(listener);
        let other = Place::default();
        let _listener = bind(&path, NOBODYS, &other).unwrap();
        drop(place);
        assert!(path.exists());
        drop(other);
        assert!(!path.exists());
    }
}
