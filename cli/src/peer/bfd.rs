//! The BFD session of a peer: as an argument, and as it is shown.

use std::time::Duration;

use godwit_proto::v1::{BfdSession, BfdSpec, BfdState};

use crate::failure::Failure;
use crate::output::{Out, Tone};
use crate::span;

/// `on`, `off` or `INTERVAL[:MULTIPLIER]`.
pub fn parse(text: &str) -> Result<BfdSpec, String> {
    match text {
        "on" => return Ok(BfdSpec::default()),
        "off" => {
            return Ok(BfdSpec {
                off: true,
                ..BfdSpec::default()
            });
        }
        _ => {}
    }
    let (interval, multiplier) = text.split_once(':').unwrap_or((text, "3"));
    let interval = span::parse(interval)?;
    let multiplier = multiplier.parse::<u8>().ok().filter(|n| *n > 0);
    Ok(BfdSpec {
        interval: Some(interval.try_into().map_err(|_| "too long".to_owned())?),
        multiplier: multiplier
            .ok_or_else(|| "the multiplier is from 1 to 255".to_owned())?
            .into(),
        ..BfdSpec::default()
    })
}

pub fn print(session: &BfdSession, out: &mut Out) -> Result<(), Failure> {
    let hops = if session.multihop { " multihop" } else { "" };
    if session.state() == BfdState::Unspecified {
        let why = match session.trouble.as_str() {
            "" => "waiting for the BFD process",
            why => why,
        };
        let why = out.paint(Tone::Bad, why);
        return out.line(format!("bfd{hops}: {why}"));
    }
    let tone = match session.state() {
        BfdState::Up => Tone::Good,
        _ => Tone::Bad,
    };
    let state = out.paint(tone, name(session.state()));
    let every = |interval: Option<&prost_types::Duration>| {
        let interval = interval.and_then(|i| Duration::try_from(*i).ok());
        interval.map_or_else(|| "never".to_owned(), milliseconds)
    };
    out.line(format!(
        "bfd{hops}: {state} for {}, the neighbour's {}   sends every {}, detects in {}",
        span::age(session.since.as_ref()),
        name(session.remote_state()),
        every(session.transmit_interval.as_ref()),
        every(session.detection_time.as_ref()),
    ))?;
    if !session.last_loss.is_empty() {
        let times = match session.failures {
            1 => "once".to_owned(),
            n => format!("{n} times"),
        };
        out.line(format!(
            "     path lost {times}; last: {}",
            session.last_loss
        ))?;
    }
    if !session.trouble.is_empty() {
        let trouble = out.paint(Tone::Bad, &session.trouble);
        out.line(format!("     {trouble}"))?;
    }
    Ok(())
}

fn name(state: BfdState) -> &'static str {
    match state {
        BfdState::Up => "up",
        BfdState::Init => "init",
        BfdState::Down => "down",
        BfdState::AdminDown => "admin down",
        BfdState::Unspecified => "unknown",
    }
}

fn milliseconds(span: Duration) -> String {
    if span >= Duration::from_secs(10) {
        return span::short(span);
    }
    format!("{} ms", span.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        assert_eq!(parse("on"), Ok(BfdSpec::default()));
        assert!(parse("off").unwrap().off);
        let spec = parse("100ms").unwrap();
        assert_eq!(spec.interval.unwrap().nanos, 100_000_000);
        assert_eq!(spec.multiplier, 3);
        assert_eq!(parse("1s:5").unwrap().multiplier, 5);
        for wrong in ["100", "100ms:0", "100ms:256", "100ms:x", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
