//! What went wrong before: resets, and the last bad message.

use godwit_proto::v1::{BadMessage, BadMessageOutcome, GetPeerResponse, PeerReset};

use super::state_name;
use crate::failure::Failure;
use crate::output::{Out, Table, Tone, or_dash};
use crate::span;

/// Octets in a line of a dump.
const LINE: usize = 16;
/// Lines shown before the fault and after it.
const AROUND: usize = 3;

pub fn print(answer: &GetPeerResponse, out: &mut Out) -> Result<(), Failure> {
    if !answer.resets.is_empty() {
        resets(&answer.resets, out)?;
    }
    match &answer.last_bad_message {
        Some(bad) => bad_message(bad, out),
        None => Ok(()),
    }
}

fn resets(resets: &[PeerReset], out: &mut Out) -> Result<(), Failure> {
    out.line("")?;
    let mut table = Table::new(&["RESET", "UP FOR", "STATE", "REASON"]);
    for reset in resets {
        let error = reset.error.clone().unwrap_or_default();
        table.row([
            format!("{} ago", span::age(error.at.as_ref())).into(),
            or_dash(up_for(reset)).into(),
            state_name(reset.state()).into(),
            error.text.into(),
        ]);
    }
    out.table(&mut table)
}

fn up_for(reset: &PeerReset) -> String {
    let uptime = reset.uptime.map(std::time::Duration::try_from);
    uptime.map_or_else(String::new, |up| span::short(up.unwrap_or_default()))
}

fn bad_message(bad: &BadMessage, out: &mut Out) -> Result<(), Failure> {
    let kind = match bad.r#type.as_str() {
        "" => "octets that are no message".to_owned(),
        kind => kind.to_uppercase(),
    };
    let outcome = match bad.outcome() {
        BadMessageOutcome::Unspecified => "",
        BadMessageOutcome::SessionEnded => "; it ended the session",
        BadMessageOutcome::TreatedAsWithdraw => "; treated as withdraw",
        BadMessageOutcome::AttributeDiscarded => "; the attribute was discarded",
    };
    out.line("")?;
    out.line(format!(
        "last bad message, {} ago: {kind}, {} octets: {}{outcome}",
        span::age(bad.at.as_ref()),
        bad.length,
        out.paint(Tone::Warn, &bad.what),
    ))?;
    for line in dump(bad) {
        out.line(line)?;
    }
    Ok(())
}

/// The lines around the fault, or the first ones; a `>` stands before each octet
/// of it.
fn dump(bad: &BadMessage) -> Vec<String> {
    let octets: Vec<&str> = (0..bad.hex.len() / 2)
        .filter_map(|i| bad.hex.get(2 * i..2 * i + 2))
        .collect();
    let fault = bad.start as usize..bad.end as usize;
    let (from, to) = match fault.is_empty() {
        true => (0, 2 * AROUND),
        false => (
            (fault.start / LINE).saturating_sub(AROUND),
            fault.end / LINE + AROUND,
        ),
    };
    let mut lines = Vec::new();
    for (i, line) in octets.chunks(LINE).enumerate() {
        if i < from || i > to {
            continue;
        }
        let mut text = format!("  {:04x} ", i * LINE);
        for (j, octet) in line.iter().enumerate() {
            let marked = fault.contains(&(i * LINE + j));
            text.push(if marked { '>' } else { ' ' });
            text.push_str(octet);
        }
        lines.push(text);
    }
    let shown = octets.len().div_ceil(LINE);
    if lines.len() < shown {
        lines.push(format!(
            "  {} of {shown} lines; -o json has all",
            lines.len()
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_marks_the_fault_and_leaves_out_what_is_far_from_it() {
        let bad = BadMessage {
            hex: "ab".repeat(1000),
            start: 497,
            end: 499,
            ..BadMessage::default()
        };
        let lines = dump(&bad);
        assert_eq!(lines.len(), 2 * AROUND + 2);
        assert_eq!(
            lines[AROUND],
            "  01f0  ab>ab>ab ab ab ab ab ab ab ab ab ab ab ab ab ab"
        );
        assert_eq!(lines[7], "  7 of 63 lines; -o json has all");
    }

    #[test]
    fn a_short_one_is_shown_whole() {
        let bad = BadMessage {
            hex: "00ff".into(),
            ..BadMessage::default()
        };
        assert_eq!(dump(&bad), ["  0000  00 ff"]);
    }
}
