//! Named network namespaces, as `ip netns` makes them: a file in /run/netns
//! with the namespace mounted on it.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use crate::{Error, sys};

const DIRECTORY: &str = "/run/netns";

/// Whether this process may make namespaces and routes; tests ask.
pub fn is_root() -> bool {
    sys::is_root()
}

fn path(name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) || name.len() > 255 {
        return Err(Error::system(
            format!("bad namespace name {name:?}"),
            io::ErrorKind::InvalidInput.into(),
        ));
    }
    Ok(Path::new(DIRECTORY).join(name))
}

fn c_path(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|e| Error::system(format!("bad path {}", path.display()), e.into()))
}

/// Makes an empty namespace; its loopback is down.
pub fn create(name: &str) -> Result<(), Error> {
    let path = path(name)?;
    share_directory()?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(&path)
        .map_err(|e| Error::system(format!("cannot create {}", path.display()), e))?;
    let target = c_path(&path)?;
    // A thread of its own: the namespace of the caller must not change.
    let mounted = on_thread(move || {
        sys::unshare_network_namespace()
            .map_err(|e| Error::system("cannot make a network namespace", e))?;
        sys::mount(
            Some(c"/proc/thread-self/ns/net"),
            &target,
            Some(c"none"),
            libc::MS_BIND,
        )
        .map_err(|e| Error::system("cannot name the network namespace", e))
    });
    if mounted.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&path);
    }
    mounted
}

/// The mounts must reach namespaces made elsewhere, or `ip netns` would not
/// see them go: the directory is a shared mount of its own.
fn share_directory() -> Result<(), Error> {
    fs::create_dir_all(DIRECTORY)
        .map_err(|e| Error::system(format!("cannot create {DIRECTORY}"), e))?;
    let directory = c_path(Path::new(DIRECTORY))?;
    let share = || sys::mount(None, &directory, None, libc::MS_SHARED | libc::MS_REC);
    if share().is_ok() {
        return Ok(());
    }
    // Not a mount point yet.
    sys::mount(
        Some(&directory),
        &directory,
        None,
        libc::MS_BIND | libc::MS_REC,
    )
    .and_then(|()| share())
    .map_err(|e| Error::system(format!("cannot make {DIRECTORY} a shared mount"), e))
}

/// Removes the name; the namespace lives on while a process is in it.
pub fn delete(name: &str) -> Result<(), Error> {
    let path = path(name)?;
    match sys::unmount(&c_path(&path)?) {
        // Not mounted: a file that a crash left behind.
        Err(e) if e.raw_os_error() != Some(libc::EINVAL) => {
            return Err(Error::system(
                format!("cannot unmount {}", path.display()),
                e,
            ));
        }
        _ => {}
    }
    fs::remove_file(&path)
        .map_err(|e| Error::system(format!("cannot remove {}", path.display()), e))
}

pub fn exists(name: &str) -> bool {
    path(name).is_ok_and(|p| p.exists())
}

/// Names of all namespaces.
pub fn list() -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(DIRECTORY) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::system(format!("cannot read {DIRECTORY}"), e)),
    };
    Ok(entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect())
}

/// A descriptor of the namespace; holds it alive.
pub fn open(name: &str) -> Result<File, Error> {
    let path = path(name)?;
    File::open(&path).map_err(|e| Error::system(format!("cannot open namespace {name}"), e))
}

/// Moves the calling thread, and what it spawns, into the namespace for good.
pub fn enter(name: &str) -> Result<(), Error> {
    let namespace = open(name)?;
    sys::enter_network_namespace(namespace.as_fd())
        .map_err(|e| Error::system(format!("cannot enter namespace {name}"), e))
}

/// Like [`enter`], and gives the thread a mount namespace in which /sys
/// belongs to the namespace, as `ip netns exec` does. For a process about to
/// be replaced by another program.
pub fn enter_with_sysfs(name: &str) -> Result<(), Error> {
    enter(name)?;
    let what = |e| Error::system(format!("cannot mount /sys for namespace {name}"), e);
    sys::unshare_mounts().map_err(what)?;
    sys::mount(None, c"/", None, libc::MS_SLAVE | libc::MS_REC).map_err(what)?;
    sys::unmount(c"/sys").map_err(what)?;
    sys::mount(Some(c"sysfs"), c"/sys", Some(c"sysfs"), 0).map_err(what)
}

/// Runs `work` on a thread inside the namespace and waits for it.
pub fn run_in<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let namespace = open(name)?;
    on_thread(move || {
        sys::enter_network_namespace(namespace.as_fd())
            .map_err(|e| Error::system(format!("cannot enter namespace {name}"), e))?;
        Ok(work())
    })
}

/// A panic of `work` goes on in the caller.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .spawn_scoped(scope, work)
            .map_err(|e| Error::system("cannot start a thread", e))?;
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
