//! Text that is no TOML, explained for who has never read its grammar.

use std::ops::Range;

use toml::de::Error;

use crate::error::Problem;

/// What the parser found, at most one problem a line: the rest of a broken line
/// only follows from the first.
pub(crate) fn problems(faults: &[Error], text: &str) -> Vec<Problem> {
    let mut found: Vec<(usize, Problem)> = Vec::new();
    let mut faults: Vec<(Range<usize>, &Error)> = faults
        .iter()
        .map(|fault| (fault.span().unwrap_or(0..0), fault))
        .collect();
    faults.sort_by_key(|(span, _)| span.start);
    for (span, fault) in faults {
        let at = text.floor_char_boundary(span.start);
        let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        if !found.iter().any(|(seen, _)| *seen == line) {
            found.push((line, explain(fault.message(), text, line, span)));
        }
    }
    found.into_iter().map(|(_, problem)| problem).collect()
}

fn explain(message: &str, text: &str, line: usize, span: Range<usize>) -> Problem {
    let end = text[line..].find('\n').map_or(text.len(), |n| line + n);
    let whole = &text[line..end];
    if let Some(value) = bare_value(whole) {
        let (from, to) = (line + value.start, line + value.end);
        let help = format!("write `\"{}\"`", &text[from..to]);
        return Problem::new("text needs quotes", help)
            .at(from..to)
            .label("no number, and not quoted");
    }
    if let Some(key) = whole.trim_end().strip_suffix('=') {
        let title = format!("`{}` has no value", key.trim());
        let help = "write it behind the `=`, or take the line out";
        return Problem::new(title, help).at(line..line + whole.trim_end().len());
    }
    let header = whole.trim().trim_matches(['[', ']']).trim();
    let help = match message {
        "duplicate key" if whole.starts_with("[[") => {
            format!(
                "`[{header}]` and `[[{header}]]` don't go together: write all with two brackets"
            )
        }
        "duplicate key" if whole.starts_with('[') => match header {
            "peer" | "originate" => format!("write `[[{header}]]`, in double brackets, once each"),
            _ => format!("put all of it below one `[{header}]`"),
        },
        "duplicate key" => "take one of them out".to_owned(),
        _ if message.starts_with("invalid") && message.contains("string") => {
            "end the text with the quote that it began with".to_owned()
        }
        _ if message.starts_with("unclosed") => "close the bracket".to_owned(),
        _ => "write `[section]` headers and `key = value` lines below them (https://toml.io)"
            .to_owned(),
    };
    Problem::new(message, help).at(span)
}

/// The unquoted word that stands as the value of a line, where it is neither a
/// number nor anything else that could stand so: mostly an address.
fn bare_value(line: &str) -> Option<Range<usize>> {
    let (key, rest) = line.split_once('=')?;
    let value = rest.split('#').next().unwrap_or_default();
    let word = value.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:/-_+".contains(c);
    let bare = !key.contains(['"', '\'', '{', '[', '#'])
        && !word.is_empty()
        && word.chars().all(plain)
        && word.parse::<f64>().is_err();
    let start = key.len() + 1 + (value.len() - value.trim_start().len());
    bare.then_some(start..start + word.len())
}
