use std::{fmt, io};

/// What went wrong on the way to the kernel, or what it answered.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    System { what: String, source: io::Error },
    /// The kernel refused a request. `text` is its own explanation, where it
    /// gave one.
    Refused {
        what: String,
        errno: i32,
        text: Option<String>,
    },
    /// The kernel's answer could not be read.
    Malformed { what: &'static str },
    /// The answers to a dump or a batch were lost: the receive buffer overflowed.
    Overrun,
}

impl Error {
    pub(crate) fn system(what: impl Into<String>, source: io::Error) -> Self {
        Error::System {
            what: what.into(),
            source,
        }
    }

    /// The errno behind the error, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::System { source, .. } => source.raw_os_error(),
            Error::Refused { errno, .. } => Some(*errno),
            Error::Overrun => Some(libc::ENOBUFS),
            Error::Malformed { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::System { what, source } => write!(f, "{what}: {source}"),
            Error::Refused { what, errno, text } => {
                write!(f, "{what}: {}", io::Error::from_raw_os_error(*errno))?;
                match text {
                    Some(text) => write!(f, " (kernel: {text})"),
                    None => Ok(()),
                }
            }
            Error::Malformed { what } => write!(f, "unreadable netlink message: {what}"),
            Error::Overrun => {
                f.write_str("netlink receive buffer overflowed; raise net.core.rmem_max")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
