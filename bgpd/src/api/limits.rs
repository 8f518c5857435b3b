//! Prefix limits, from and to messages.

use std::time::Duration;

use godwit_bgp::Family;
use godwit_config::{FamilySettings, LimitAction, LimitCount, PrefixLimit};
use godwit_proto::v1;
use tonic::Status;

use super::{convert, error};

pub fn message(limit: &PrefixLimit) -> v1::PrefixLimit {
    let (then, pause) = match limit.then {
        LimitAction::Warn => (v1::LimitAction::Warn, None),
        LimitAction::Discard => (v1::LimitAction::Discard, None),
        LimitAction::Restart(pause) => (v1::LimitAction::Restart, Some(pause)),
        LimitAction::Disable => (v1::LimitAction::Disable, None),
    };
    v1::PrefixLimit {
        max: limit.max,
        then: then as i32,
        restart_after: pause.and_then(convert::span),
        warn_at: Some(limit.warn_at.into()),
        accepted: limit.count == LimitCount::Accepted,
    }
}

/// Puts the limits to the families of a new peer.
pub fn put(
    all: &[v1::FamilyLimits],
    families: &mut [Option<FamilySettings>; Family::COUNT],
) -> Result<(), Status> {
    for (i, limits) in all.iter().enumerate() {
        let field = format!("peer.limits[{i}]");
        let family = convert::family(&format!("{field}.family"), limits.family)?;
        let settings = families
            .get_mut(family.index())
            .and_then(Option::as_mut)
            .ok_or_else(|| {
                error::bad_field(format!("{field}.family"), "is not in peer.families")
            })?;
        settings.prefix_limit = read(&format!("{field}.in"), limits.r#in.as_ref(), false)?;
        settings.prefix_limit_out = read(&format!("{field}.out"), limits.out.as_ref(), true)?;
    }
    Ok(())
}

fn read(
    field: &str,
    limit: Option<&v1::PrefixLimit>,
    out: bool,
) -> Result<Option<PrefixLimit>, Status> {
    let Some(limit) = limit else { return Ok(None) };
    let wrong = |name: &str, what: &str| Err(error::bad_field(format!("{field}.{name}"), what));
    if limit.max == 0 {
        return wrong("max", "must not be 0");
    }
    let pause = limit.restart_after.map(Duration::try_from).transpose();
    let Ok(pause) = pause else {
        return wrong("restart_after", "a span cannot be negative");
    };
    let then = match limit.then() {
        v1::LimitAction::Unspecified | v1::LimitAction::Warn => LimitAction::Warn,
        v1::LimitAction::Discard if out => {
            return wrong("then", "DISCARD is for what a peer announces");
        }
        v1::LimitAction::Discard => LimitAction::Discard,
        v1::LimitAction::Restart => {
            LimitAction::Restart(pause.unwrap_or(PrefixLimit::RESTART_AFTER))
        }
        v1::LimitAction::Disable => LimitAction::Disable,
    };
    if pause.is_some() && !matches!(then, LimitAction::Restart(_)) {
        return wrong("restart_after", "is for RESTART");
    }
    let warn_at = match limit.warn_at {
        None => PrefixLimit::WARN_AT,
        Some(percent) => match u8::try_from(percent) {
            Ok(percent @ 1..=100) => percent,
            _ => return wrong("warn_at", "is per cent: 1 to 100"),
        },
    };
    let count = match limit.accepted {
        true if out => return wrong("accepted", "is for what a peer announces"),
        true => LimitCount::Accepted,
        false => LimitCount::Received,
    };
    Ok(Some(PrefixLimit {
        max: limit.max,
        then,
        warn_at,
        count,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_comes_back_as_it_went() {
        for then in [
            LimitAction::Warn,
            LimitAction::Discard,
            LimitAction::Restart(Duration::from_secs(7)),
            LimitAction::Disable,
        ] {
            let limit = PrefixLimit {
                max: 1000,
                then,
                warn_at: 90,
                count: LimitCount::Accepted,
            };
            let back = read("x", Some(&message(&limit)), false);
            assert_eq!(back.unwrap(), Some(limit));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let sound = v1::PrefixLimit {
            max: 1,
            ..v1::PrefixLimit::default()
        };
        assert!(read("x", Some(&sound), true).unwrap().is_some());
        let spoil: [fn(&mut v1::PrefixLimit); 5] = [
            |l| l.max = 0,
            |l| l.then = v1::LimitAction::Discard as i32,
            |l| l.warn_at = Some(101),
            |l| l.accepted = true,
            |l| l.restart_after = convert::span(Duration::from_secs(1)),
        ];
        for spoil in spoil {
            let mut limit = sound;
            spoil(&mut limit);
            assert!(read("x", Some(&limit), true).is_err(), "{limit:?}");
        }
    }
}
