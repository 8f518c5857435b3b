//! Rules as they are shown: on one line, as they could stand in the file.

use std::fmt::Write as _;

use toml::de::DeValue;

use crate::reader::Table;

/// The parts of a rule, each as an inline table; `None` where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleText {
    pub matches: Option<String>,
    pub unless: Option<String>,
    pub sets: Option<String>,
}

impl RuleText {
    pub(super) fn of(rule: &Table<'_>) -> RuleText {
        let text = |key| {
            let value = rule.raw(key)?.get_ref();
            let mut out = String::new();
            write(value, &mut out);
            Some(out)
        };
        RuleText {
            matches: text("match"),
            unless: text("unless"),
            sets: text("set"),
        }
    }
}

fn write(value: &DeValue<'_>, out: &mut String) {
    match value {
        DeValue::String(text) => _ = write!(out, "{:?}", text.as_ref()),
        DeValue::Integer(number) => out.push_str(number.as_str()),
        DeValue::Boolean(yes) => _ = write!(out, "{yes}"),
        DeValue::Float(number) => out.push_str(number.as_str()),
        DeValue::Datetime(time) => _ = write!(out, "{time}"),
        DeValue::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                write(item.get_ref(), out);
            }
            out.push(']');
        }
        DeValue::Table(table) => {
            out.push('{');
            for (n, (key, value)) in table.iter().enumerate() {
                _ = write!(
                    out,
                    "{} {} = ",
                    if n == 0 { "" } else { "," },
                    key.get_ref()
                );
                write(value.get_ref(), out);
            }
            out.push_str(" }");
        }
    }
}
