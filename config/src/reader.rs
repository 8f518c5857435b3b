//! Reads tables of a parsed file, gathering what is wrong instead of stopping.

use std::cell::RefCell;
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Problem;
use crate::schema::{Section, Status};
use crate::suggest::closest;
use crate::values::Wrong;

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    pub fn wrong(&self, wrong: Wrong, span: Range<usize>) {
        let problem = Problem::new(wrong.title, wrong.help).at(span);
        self.push(problem.label(wrong.label));
    }

    /// What was found so far, which is forgotten here.
    pub fn take(&self) -> Vec<Problem> {
        self.0.take()
    }

    pub fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// One table of the file, read by the keys of its section.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    values: &'a DeTable<'a>,
    schema: &'static Section,
    problems: &'a Problems,
    /// The whole table, its header where it has one.
    pub start: usize,
    pub end: usize,
}

/// A key and what it holds.
pub(crate) type Entry<'a> = (
    &'a Spanned<std::borrow::Cow<'a, str>>,
    &'a Spanned<DeValue<'a>>,
);

impl<'a> Table<'a> {
    /// Complains about every key that the section doesn't have.
    pub fn new(
        values: &'a DeTable<'a>,
        span: Range<usize>,
        schema: &'static Section,
        problems: &'a Problems,
    ) -> Self {
        for (name, _) in values.iter() {
            check_key(name, schema, problems);
        }
        Table {
            values,
            schema,
            problems,
            start: span.start,
            end: span.end,
        }
    }

    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    fn entry(&self, key: &str) -> Option<Entry<'a>> {
        debug_assert!(
            self.schema
                .key(key)
                .is_some_and(|known| known.status != Status::Planned),
            "{key} is not in the schema of {}",
            self.schema.header
        );
        self.values.iter().find(|(name, _)| name.get_ref() == key)
    }

    /// The value of `key` as `read` sees it; `None` where absent or wrong.
    pub fn value<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Spanned<T>> {
        let (_, value) = self.entry(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(Spanned::new(value.span(), read)),
            Err(wrong) => {
                self.problems.wrong(wrong, value.span());
                None
            }
        }
    }

    /// What stands there, whatever it is.
    pub fn raw(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A value without a place.
    pub fn plain<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.value(key, read).map(Spanned::into_inner)
    }

    /// As [`value`](Self::value), and an error where the key is absent.
    pub fn required<T>(
        &self,
        key: &'static str,
        help: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Spanned<T>> {
        if self.entry(key).is_none() && self.misspelt(key).is_none() {
            let title = format!("`{key}` is missing");
            let problem = Problem::new(title, help).at(self.span());
            self.problems.push(problem.label("in this table"));
        }
        self.value(key, read)
    }

    /// The place of an unknown key that is likely meant as this one: that was
    /// complained about, and this is not to be called missing besides.
    pub fn misspelt(&self, key: &'static str) -> Option<Range<usize>> {
        let unknown = self
            .values
            .keys()
            .filter(|name| self.schema.key(name.get_ref()).is_none());
        let mut unknown =
            unknown.filter(|name| suggested(name.get_ref(), self.schema) == Some(key));
        unknown.next().map(|name| name.span())
    }

    pub fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    pub fn key_span(&self, key: &'static str) -> Option<Range<usize>> {
        self.entry(key).map(|(name, _)| name.span())
    }

    /// A list, each item for itself; what is wrong is left out.
    pub fn list<T>(
        &self,
        key: &'static str,
        item: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Vec<Spanned<T>>> {
        let (_, value) = self.entry(key)?;
        Some(self.items(value, false, item))
    }

    /// A list, or one item without the brackets.
    pub fn one_or_list<T>(
        &self,
        key: &'static str,
        item: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Vec<Spanned<T>>> {
        let (_, value) = self.entry(key)?;
        Some(self.items(value, true, item))
    }

    pub fn value_span(&self, key: &'static str) -> Option<Range<usize>> {
        self.entry(key).map(|(_, value)| value.span())
    }

    /// The place of `[]`.
    pub fn empty_list(&self, key: &'static str) -> Option<Range<usize>> {
        let (_, value) = self.entry(key)?;
        let empty = value
            .get_ref()
            .as_array()
            .is_some_and(|items| items.is_empty());
        empty.then(|| value.span())
    }

    fn items<T>(
        &self,
        value: &Spanned<DeValue<'_>>,
        one: bool,
        item: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Vec<Spanned<T>> {
        list_of(value, one, self.problems, item)
    }

    /// A sub-table.
    pub fn table(&self, key: &'static str, schema: &'static Section) -> Option<Table<'a>> {
        let (_, value) = self.entry(key)?;
        self.as_table(value, schema)
    }

    /// An array of tables.
    pub fn tables(&self, key: &'static str, schema: &'static Section) -> Vec<Table<'a>> {
        self.entry(key)
            .map(|(_, value)| tables_of(value, schema, self.problems))
            .unwrap_or_default()
    }

    /// A table whose keys are names.
    pub fn named(&self, key: &'static str) -> Vec<Entry<'a>> {
        let Some((_, value)) = self.entry(key) else {
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Table(table) => table.iter().collect(),
            other => {
                let wrong = Wrong::kind(
                    "a table of names",
                    other,
                    format!("write `[…{key}]` and one `NAME = …` a line below it"),
                );
                self.problems.wrong(wrong, value.span());
                Vec::new()
            }
        }
    }

    pub fn as_table(
        &self,
        value: &'a Spanned<DeValue<'a>>,
        schema: &'static Section,
    ) -> Option<Table<'a>> {
        table_of(value, schema, self.problems)
    }

    pub fn as_tables(
        &self,
        value: &'a Spanned<DeValue<'a>>,
        schema: &'static Section,
    ) -> Vec<Table<'a>> {
        tables_of(value, schema, self.problems)
    }
}

fn table_of<'a>(
    value: &'a Spanned<DeValue<'a>>,
    schema: &'static Section,
    problems: &'a Problems,
) -> Option<Table<'a>> {
    match value.get_ref() {
        DeValue::Table(table) => Some(Table::new(table, value.span(), schema, problems)),
        other => {
            let help = format!("write it as `{}`", schema.header);
            problems.wrong(Wrong::kind("a table", other, help), value.span());
            None
        }
    }
}

fn tables_of<'a>(
    value: &'a Spanned<DeValue<'a>>,
    schema: &'static Section,
    problems: &'a Problems,
) -> Vec<Table<'a>> {
    match value.get_ref() {
        DeValue::Array(items) => items
            .iter()
            .filter_map(|item| table_of(item, schema, problems))
            .collect(),
        other => {
            let help = format!("write `{}`, in double brackets, once each", schema.header);
            problems.wrong(Wrong::kind("a list of tables", other, help), value.span());
            Vec::new()
        }
    }
}

pub(crate) fn list_of<T>(
    value: &Spanned<DeValue<'_>>,
    one: bool,
    problems: &Problems,
    item: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
) -> Vec<Spanned<T>> {
    let read = |value: &Spanned<DeValue<'_>>| match item(value.get_ref()) {
        Ok(read) => Some(Spanned::new(value.span(), read)),
        Err(wrong) => {
            problems.wrong(wrong, value.span());
            None
        }
    };
    match value.get_ref() {
        DeValue::Array(items) => items.iter().filter_map(read).collect(),
        _ if one => read(value).into_iter().collect(),
        other => {
            let wrong = Wrong::kind("a list", other, "put it into brackets: `[…]`");
            problems.wrong(wrong, value.span());
            Vec::new()
        }
    }
}

fn usable(schema: &'static Section) -> impl Iterator<Item = &'static str> {
    let keys = schema.all_keys();
    keys.filter(|key| key.status != Status::Planned)
        .map(|key| key.name)
}

/// What an unknown key is likely meant as.
fn suggested(text: &str, schema: &'static Section) -> Option<&'static str> {
    closest(text, usable(schema))
}

fn check_key(
    name: &Spanned<std::borrow::Cow<'_, str>>,
    schema: &'static Section,
    problems: &Problems,
) {
    let text: &str = name.get_ref();
    match schema.key(text).map(|key| key.status) {
        Some(Status::Built | Status::Table) => {}
        Some(Status::Planned) => {
            let title = format!("`{text}` is not in this version");
            let help = match text {
                "tcp-ao" => without_tcp_ao(),
                _ => "it is planned; take it out for now".to_owned(),
            };
            let problem = Problem::new(title, help);
            problems.push(problem.at(name.span()).label("not in this version"));
        }
        None => {
            let help = match suggested(text, schema) {
                Some(word) => format!("did you mean `{word}`?"),
                None => {
                    let usable: Vec<&str> = usable(schema).collect();
                    format!("known here: {}", usable.join(", "))
                }
            };
            let what = if schema.header.is_empty() {
                "section"
            } else {
                "key"
            };
            let problem = Problem::new(format!("unknown {what} `{text}`"), help);
            problems.push(problem.at(name.span()).label("not known here"));
        }
    }
}

/// What to do without TCP-AO (RFC 5925), and whether the kernel could do it.
fn without_tcp_ao() -> String {
    const HELP: &str = "it is planned; sign with `password-file` (TCP-MD5) for now";
    match godwit_netlink::sockopt::has_tcp_ao() {
        Ok(false) => format!(
            "{HELP}. This kernel has none either: it does not know TCP_AO_ADD_KEY, \
             which takes Linux 6.7 or later built with CONFIG_TCP_AO"
        ),
        Ok(true) | Err(_) => HELP.to_owned(),
    }
}
