//! Spans of time as people write and read them.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// "9s", "100ms", "1m30s": numbers, each with its unit.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span of time; write it like 9s, 100ms or 1m30s");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).ok_or_else(wrong)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

/// The two largest units: "3d4h", "5m12s", "8s".
pub fn short(span: Duration) -> String {
    let s = span.as_secs();
    let (d, h, m) = (s / 86_400, s / 3600 % 24, s / 60 % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m{}s", s % 60),
        (0, _, _) => format!("{h}h{m}m"),
        _ => format!("{d}d{h}h"),
    }
}

/// Time since then; "-" where there is none.
pub fn age(then: Option<&Timestamp>) -> String {
    then.and_then(|t| SystemTime::try_from(*t).ok())
        .map(|t| short(SystemTime::now().duration_since(t).unwrap_or_default()))
        .unwrap_or_else(|| "-".into())
}

/// Time from now to then.
pub fn until(then: &Timestamp) -> String {
    let then = SystemTime::try_from(*then).unwrap_or(SystemTime::UNIX_EPOCH);
    short(then.duration_since(SystemTime::now()).unwrap_or_default())
}

/// A span of the API; "-" where there is none.
pub fn of(span: Option<&prost_types::Duration>) -> String {
    span.map_or_else(|| "-".into(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        assert_eq!(parse("9s"), Ok(Duration::from_secs(9)));
        assert_eq!(parse("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "9", "s", "9 s", "9x", "99999999999999999999s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_units_are_enough_for_people() {
        let short = |s| short(Duration::from_secs(s));
        assert_eq!(short(8), "8s");
        assert_eq!(short(312), "5m12s");
        assert_eq!(short(3600), "1h0m");
        assert_eq!(short(273_700), "3d4h");
    }
}
