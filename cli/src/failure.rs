//! Everything a command can end with, and its exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use tonic::{Code, Status};
use tonic_types::StatusExt;

#[derive(Debug)]
pub enum Failure {
    /// The answer is no, or something is unhealthy; it has been printed.
    No,
    /// The daemon, or a check, refused.
    Refused(String),
    /// What was asked cannot be asked.
    Usage(String),
    /// No daemon to ask.
    Unreachable(String),
    /// Our own input or output.
    Io(io::Error),
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            // Whoever reads our output has enough of it.
            Failure::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
            Failure::No | Failure::Refused(_) | Failure::Io(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Unreachable(_) => 3,
        })
    }

    /// What to tell the user, if anything.
    pub fn text(&self) -> Option<String> {
        match self {
            Failure::No => None,
            Failure::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => None,
            Failure::Io(e) => Some(e.to_string()),
            Failure::Refused(text) | Failure::Usage(text) | Failure::Unreachable(text) => {
                Some(text.clone())
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().unwrap_or_default())
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Io(e)
    }
}

impl From<godwit_netlink::Error> for Failure {
    fn from(e: godwit_netlink::Error) -> Self {
        Failure::Refused(e.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(e: serde_json::Error) -> Self {
        Failure::Io(e.into())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument => Failure::Usage(with_fields(&status)),
            Code::Unavailable => Failure::Unreachable(format!(
                "the daemon went away before it answered: {}; see its log",
                status.message()
            )),
            Code::Unimplemented => {
                Failure::Refused("this daemon does not know the call: it is older".into())
            }
            _ => Failure::Refused(status.message().to_owned()),
        }
    }
}

/// The message, with the fields at fault unless it names them already.
fn with_fields(status: &Status) -> String {
    let mut text = status.message().to_owned();
    for violation in status
        .get_details_bad_request()
        .map(|b| b.field_violations)
        .unwrap_or_default()
    {
        if !text.contains(&violation.description) {
            text.push_str(&format!(
                "\n  {}: {}",
                violation.field, violation.description
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_bad_argument_names_its_field() {
        let details = ErrorDetails::with_bad_request_violation("peer.port", "0 is no port");
        let status = Status::with_error_details(Code::InvalidArgument, "cannot add", details);
        let failure = Failure::from(status);
        assert_eq!(
            failure.text().as_deref(),
            Some("cannot add\n  peer.port: 0 is no port")
        );
        assert!(matches!(failure, Failure::Usage(_)));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::Io(io::ErrorKind::BrokenPipe.into());
        assert_eq!(failure.text(), None);
        assert_eq!(failure.exit_code(), ExitCode::SUCCESS);
    }
}
