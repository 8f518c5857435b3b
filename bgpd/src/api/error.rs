//! Canonical codes with details: `BadRequest` names the field, `ErrorInfo` the
//! reason in a word that programs can compare.

use std::collections::HashMap;
use std::net::IpAddr;

use godwit_fib::Stopped;
use ipnet::IpNet;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::control::ControlError;
use crate::peer::PeerName;
use crate::ribthread::RibError;

const DOMAIN: &str = "godwit";

/// `reason`: as google.rpc.ErrorInfo wants it, "NO_SUCH_PEER".
pub fn because(code: Code, reason: &str, text: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, text, details)
}

pub fn bad_field(field: impl Into<String>, why: impl Into<String>) -> Status {
    let (field, why) = (field.into(), why.into());
    let text = format!("{field}: {why}");
    let details = ErrorDetails::with_bad_request_violation(field, why);
    Status::with_error_details(Code::InvalidArgument, text, details)
}

pub fn no_such_peer(address: &str) -> Status {
    because(
        Code::NotFound,
        "NO_SUCH_PEER",
        format!("no peer {address}; see `godwit peer list`"),
    )
}

pub fn fib_off() -> Status {
    because(
        Code::FailedPrecondition,
        "FIB_DISABLED",
        "no routes are put into the kernel: `[fib] enabled` is false",
    )
}

impl From<ControlError> for Status {
    fn from(e: ControlError) -> Status {
        let text = e.to_string();
        match e {
            ControlError::NotFound(_) => because(Code::NotFound, "NOT_FOUND", text),
            ControlError::AlreadyExists(_) => because(Code::AlreadyExists, "ALREADY_EXISTS", text),
            ControlError::FailedPrecondition(_) => {
                because(Code::FailedPrecondition, "NOT_IN_THIS_STATE", text)
            }
            ControlError::Conflict(_) => because(Code::Aborted, "OTHER_REVISION", text),
            ControlError::Invalid(_) => because(Code::InvalidArgument, "INVALID", text),
            ControlError::Stopping => because(Code::Unavailable, "STOPPING", text),
            ControlError::Internal(_) => because(Code::Internal, "INTERNAL", text),
        }
    }
}

impl From<RibError> for Status {
    fn from(e: RibError) -> Status {
        let text = e.to_string();
        match e {
            RibError::Gone => because(Code::Unavailable, "STOPPING", text),
            RibError::Panicked(_) => because(Code::Internal, "INTERNAL", text),
        }
    }
}

pub fn fib_stopped(_: Stopped) -> Status {
    because(Code::Unavailable, "STOPPING", "the daemon is stopping")
}

pub fn address(field: &str, text: &str) -> Result<IpAddr, Status> {
    text.parse()
        .map_err(|_| bad_field(field, format!("`{text}` is not an address")))
}

pub fn peer_name(field: &str, text: &str) -> Result<PeerName, Status> {
    text.parse().map_err(|()| {
        bad_field(
            field,
            format!("`{text}` is neither an address nor an interface"),
        )
    })
}

/// A prefix whose host bits are zero: any other is most likely a slip.
pub fn prefix(field: &str, text: &str) -> Result<IpNet, Status> {
    let net: IpNet = text.parse().map_err(|_| {
        bad_field(
            field,
            format!("`{text}` is not a prefix; write it like 10.0.0.0/24"),
        )
    })?;
    if net == net.trunc() {
        Ok(net)
    } else {
        Err(bad_field(
            field,
            format!("`{text}` has host bits set; did you mean {}?", net.trunc()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_prefix_is_told_with_the_field() {
        let status = prefix("prefix", "10.0.0.1/24").unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "prefix");
        assert!(violations[0].description.contains("10.0.0.0/24"));
    }

    #[test]
    fn other_errors_have_a_reason_to_compare() {
        let status = Status::from(ControlError::NotFound("no route".into()));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no route");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("NOT_FOUND", "godwit")
        );
    }
}
