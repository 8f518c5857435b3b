//! Prefix limits on the command line: `ipv4-unicast=1000:restart:15m`.

use clap::ValueEnum;
use godwit_proto::v1::{FamilyLimits, LimitAction, PrefixLimit};

use super::FamilyArg;
use crate::span;

/// One limit of one family.
#[derive(Clone, Copy, Debug)]
pub struct LimitArg {
    family: FamilyArg,
    limit: PrefixLimit,
}

/// `FAMILY=MAX[:THEN[:SPAN]]`.
pub fn parse(text: &str) -> Result<LimitArg, String> {
    let form = || format!("`{text}` is not FAMILY=MAX[:THEN[:SPAN]], as ipv4-unicast=1000:warn");
    let (family, rest) = text.split_once('=').ok_or_else(form)?;
    let family = FamilyArg::from_str(family, true).map_err(|_| form())?;
    let mut parts = rest.split(':');
    let max = parts.next().and_then(|n| n.parse().ok()).ok_or_else(form)?;
    let then = match parts.next() {
        None | Some("warn") => LimitAction::Warn,
        Some("discard") => LimitAction::Discard,
        Some("restart") => LimitAction::Restart,
        Some("disable") => LimitAction::Disable,
        Some(other) => {
            return Err(format!(
                "`{other}` is none of warn, discard, restart, disable"
            ));
        }
    };
    let pause = parts.next().map(span::parse).transpose()?;
    let restart_after = pause
        .map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|e| e.to_string())?;
    match parts.next() {
        Some(_) => Err(form()),
        None => Ok(LimitArg {
            family,
            limit: PrefixLimit {
                max,
                then: then as i32,
                restart_after,
                ..PrefixLimit::default()
            },
        }),
    }
}

/// One entry a family that has a limit.
pub fn messages(inward: &[LimitArg], outward: &[LimitArg]) -> Vec<FamilyLimits> {
    let of = |all: &[LimitArg], family| {
        let found = all.iter().rfind(|arg| arg.family == family);
        found.map(|arg| arg.limit)
    };
    let entry = |family: &FamilyArg| FamilyLimits {
        family: family.number(),
        r#in: of(inward, *family),
        out: of(outward, *family),
    };
    let entries = FamilyArg::value_variants().iter().map(entry);
    entries
        .filter(|e| e.r#in.is_some() || e.out.is_some())
        .collect()
}

/// As the configuration says it: "1000, then restart after 900s".
pub fn text(limit: &PrefixLimit) -> String {
    let then = match limit.then() {
        LimitAction::Unspecified | LimitAction::Warn => "warn".to_owned(),
        LimitAction::Discard => "discard".to_owned(),
        LimitAction::Restart => format!("restart after {}", span::of(limit.restart_after.as_ref())),
        LimitAction::Disable => "disable".to_owned(),
    };
    let accepted = if limit.accepted { " accepted" } else { "" };
    format!("{}{accepted}, then {then}", limit.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_what_they_do() {
        let limit = parse("ipv4=1000:restart:15m").unwrap().limit;
        assert_eq!(text(&limit), "1000, then restart after 900s");
        let limit = parse("ipv6-unicast=7").unwrap().limit;
        assert_eq!(text(&limit), "7, then warn");
        for wrong in ["1000", "ipv4=", "ipv4=1:x", "ipv4=1:restart:9", "ipv9=1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
