//! Keys of TCP-MD5, from files of their own: a configuration can then be shown,
//! copied and kept in a repository.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As long as Linux takes them (`TCP_MD5SIG_MAXKEYLEN`).
const LONGEST: usize = 80;

/// A key (RFC 2385) and where it was read. Nothing prints it.
#[derive(Clone)]
pub struct Password {
    file: PathBuf,
    key: Arc<[u8]>,
    exposed: bool,
}

/// Who else can read the file makes it no other key.
impl PartialEq for Password {
    fn eq(&self, other: &Password) -> bool {
        (&self.file, &self.key) == (&other.file, &other.key)
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Password").field(&self.file).finish()
    }
}

/// Why a file gives no key; never what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordError {
    /// "can't be read: No such file or directory".
    pub what: String,
    /// What to do.
    pub help: &'static str,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the password file {}", self.what)
    }
}

impl std::error::Error for PasswordError {}

impl Password {
    /// Reads a file that holds the key alone; a line end behind it doesn't count.
    pub fn read(file: &Path) -> Result<Password, PasswordError> {
        let fault = |what: String, help| Err(PasswordError { what, help });
        if !file.is_absolute() {
            return fault(
                "has no absolute path".to_owned(),
                "write the whole path: `\"/etc/godwit/tor.key\"`",
            );
        }
        // Anything else than a file may never end, or never begin.
        let read = match fs::metadata(file) {
            Ok(found) if !found.is_file() => {
                return fault("is not a file".to_owned(), "name a file with the key in it");
            }
            Ok(found) => contents(file).map(|bytes| (bytes, found.permissions().mode())),
            Err(e) => Err(e),
        };
        let (bytes, mode) = match read {
            Ok(read) => read,
            Err(e) => {
                return fault(
                    format!("can't be read: {e}"),
                    "make it, with the key alone in it, readable by this user alone",
                );
            }
        };
        let key = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        if key.is_empty() {
            return fault("is empty".to_owned(), "write the key into it");
        }
        if key.contains(&b'\n') {
            return fault(
                "has more than one line".to_owned(),
                "leave nothing but the key in it",
            );
        }
        if key.len() > LONGEST {
            return fault(
                format!("holds a key of more than {LONGEST} bytes"),
                "Linux takes no longer ones: agree on a shorter key with the neighbour",
            );
        }
        Ok(Password {
            file: file.to_owned(),
            key: key.into(),
            exposed: mode & 0o077 != 0,
        })
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// For the kernel, and nobody else.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its file can be read or changed by others than its owner.
    pub fn is_exposed(&self) -> bool {
        self.exposed
    }
}

/// No more than a key can be, and one byte to tell.
fn contents(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A line end of two bytes may follow.
    let most = LONGEST as u64 + 3;
    fs::File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Vec<u8>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        match Password::read(file.path()) {
            Ok(password) => Ok(password.key().to_vec()),
            Err(e) => Err(e.what),
        }
    }

    #[test]
    fn one_line_end_is_not_part_of_the_key() {
        assert_eq!(read(b"secret").unwrap(), b"secret");
        assert_eq!(read(b"secret\n").unwrap(), b"secret");
        assert_eq!(read(b"secret\r\n").unwrap(), b"secret");
        assert_eq!(read(b"secret \n").unwrap(), b"secret ");
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        assert_eq!(read(b"").unwrap_err(), "is empty");
        assert_eq!(read(b"\n").unwrap_err(), "is empty");
        assert_eq!(read(b"a\nb\n").unwrap_err(), "has more than one line");
        assert_eq!(read(b"a\n\n").unwrap_err(), "has more than one line");
        assert_eq!(
            read(&[b'x'; 81]).unwrap_err(),
            "holds a key of more than 80 bytes"
        );
        assert!(read(&[[b'x'; 80].as_slice(), b"\r\n"].concat()).is_ok());
    }

    #[test]
    fn only_files_are_read() {
        for path in ["/dev/zero", "/", "/no/such/file", "relative"] {
            Password::read(Path::new(path)).unwrap_err();
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hush").unwrap();
        let printed = format!("{:?}", Password::read(file.path()).unwrap());
        assert!(!printed.contains("hush"), "{printed}");
    }

    #[test]
    fn a_file_that_others_can_read_is_known_as_such() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "key").unwrap();
        for (mode, exposed) in [(0o600, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Password::read(file.path()).unwrap().is_exposed(), exposed);
        }
    }
}
