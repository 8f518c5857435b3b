//! Kernel settings under /proc/sys, of the calling thread's network namespace.

use std::fs;
use std::path::PathBuf;

use crate::Error;

/// `/proc/sys/net` shows the namespace of whoever opens it. A dot in a name
/// (an interface `eth0.5`) is written as a slash, as sysctl(8) wants.
fn path(name: &str) -> PathBuf {
    let name: String = name
        .chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect();
    PathBuf::from("/proc/sys").join(name)
}

/// The value without its line end. `name` as in `net.ipv4.ip_forward`.
pub fn read(name: &str) -> Result<String, Error> {
    let value = fs::read_to_string(path(name))
        .map_err(|e| Error::system(format!("cannot read sysctl {name}"), e))?;
    Ok(value.trim_end().to_owned())
}

pub fn write(name: &str, value: &str) -> Result<(), Error> {
    fs::write(path(name), value)
        .map_err(|e| Error::system(format!("cannot set sysctl {name} to {value}"), e))
}
