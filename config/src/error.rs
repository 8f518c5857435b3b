//! What is wrong in a file, shown at its place.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub title: String,
    /// Bytes of the text that it is about; `None` where it is about the file.
    pub span: Option<Range<usize>>,
    /// Stands under the span.
    pub label: String,
    /// Another place that belongs to it, and what it is.
    pub other: Option<(Range<usize>, String)>,
    /// What to write instead.
    pub help: String,
}

impl Problem {
    pub(crate) fn new(title: impl Into<String>, help: impl Into<String>) -> Self {
        Problem {
            title: title.into(),
            span: None,
            label: String::new(),
            other: None,
            help: help.into(),
        }
    }

    pub(crate) fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn and(mut self, span: Range<usize>, what: impl Into<String>) -> Self {
        self.other = Some((span, what.into()));
        self
    }

    /// For where there is no text to point into.
    pub(crate) fn one_line(&self) -> String {
        format!("{}: {}", self.title, self.help)
    }

    /// As compilers show it: file, line, the text underlined, a line of help.
    pub(crate) fn render(&self, level: &Level<'_>, name: &str, text: &str, color: bool) -> String {
        let mut elements: Vec<Element<'_>> = Vec::new();
        if let Some(span) = &self.span {
            let mut snippet = Snippet::source(text).path(name).annotation(
                AnnotationKind::Primary
                    .span(clamp(span, text))
                    .label(&self.label),
            );
            if let Some((span, what)) = &self.other {
                snippet =
                    snippet.annotation(AnnotationKind::Context.span(clamp(span, text)).label(what));
            }
            elements.push(snippet.into());
        }
        if !self.help.is_empty() {
            elements.push(Level::HELP.message(&self.help).into());
        }
        let title = if self.span.is_some() {
            self.title.clone()
        } else {
            format!("{name}: {}", self.title)
        };
        let group = Group::with_title(level.clone().primary_title(title)).elements(elements);
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }
}

/// A span that the renderer can show whatever the text is.
fn clamp(span: &Range<usize>, text: &str) -> Range<usize> {
    let end = text.floor_char_boundary(span.end);
    text.floor_char_boundary(span.start).min(end)..end
}

/// Everything that is wrong in one file.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    name: String,
    text: String,
    problems: Vec<Problem>,
}

impl ConfigErrors {
    pub(crate) fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|p| p.span.as_ref().map_or((0, 0), |s| (s.start, s.end)));
        // A group's mistake is found with each of its peers.
        let mut seen = HashSet::new();
        problems.retain(|p| seen.insert((p.span.clone(), p.title.clone(), p.label.clone())));
        ConfigErrors {
            name: name.to_owned(),
            text: text.to_owned(),
            problems,
        }
    }

    /// In the order of the file; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column of a byte of the text, from 1, as editors count them.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (line, before[start..].chars().count() + 1)
    }

    /// All of them, for a terminal with colours or without.
    pub fn render(&self, color: bool) -> String {
        /// A file that is no configuration at all must not fill the screen.
        const SHOWN: usize = 50;
        let shown = self.problems.iter().take(SHOWN);
        let mut out: Vec<String> = shown
            .map(|p| p.render(&Level::ERROR, &self.name, &self.text, color))
            .collect();
        if self.problems.len() > SHOWN {
            out.push(format!("and {} more", self.problems.len() - SHOWN));
        }
        out.join("\n\n")
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// As shown to people: `main` and `unwrap` print this.
impl fmt::Debug for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for ConfigErrors {}
