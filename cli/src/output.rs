//! Tables for people, JSON for programs; colours only on a terminal.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;

pub struct Out {
    writer: Box<dyn Write>,
    pub json: bool,
    colour: bool,
}

/// On a terminal, unless its owner wants none (no-color.org).
fn colour_on(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
}

pub fn colour_on_stderr() -> bool {
    colour_on(&io::stderr())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

impl Out {
    pub fn stdout(format: Format) -> Out {
        let stdout = io::stdout();
        let colour = colour_on(&stdout);
        Out {
            writer: Box::new(BufWriter::new(stdout)),
            json: format == Format::Json,
            colour,
        }
    }

    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        Ok(writeln!(self.writer, "{}", text.as_ref())?)
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.writer.write_all(bytes)?)
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }

    /// A whole answer.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.writer, value)?;
        self.line("")
    }

    /// One of many: a line of its own, there at once.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.writer, value)?;
        self.line("")?;
        self.flush()
    }

    /// A list that comes in parts, as `{"name": [..]}`: of a million routes
    /// only a page is in memory.
    pub fn begin_list(&mut self, name: &str) -> Result<List, Failure> {
        if self.json {
            write!(self.writer, "{{\"{name}\": [")?;
        }
        Ok(List { empty: true })
    }

    pub fn list_item(&mut self, list: &mut List, value: &impl Serialize) -> Result<(), Failure> {
        let comma = if std::mem::take(&mut list.empty) {
            ""
        } else {
            ","
        };
        writeln!(self.writer, "{comma}")?;
        Ok(serde_json::to_writer(&mut self.writer, value)?)
    }

    pub fn end_list(&mut self, list: &List) -> Result<(), Failure> {
        match (self.json, list.empty) {
            (true, true) => self.line("]}"),
            (true, false) => self.line("\n]}"),
            (false, _) => Ok(()),
        }
    }

    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
        };
        if self.colour && !code.is_empty() && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The rows in columns, and none where there are none.
    pub fn table(&mut self, table: &mut Table) -> Result<(), Failure> {
        table.fit();
        if !std::mem::replace(&mut table.headed, true) {
            let header: Vec<Cell> = table.header.iter().map(|h| Cell::from(*h)).collect();
            self.row(&header, &table.widths, true)?;
        }
        for row in std::mem::take(&mut table.rows) {
            self.row(&row, &table.widths, false)?;
        }
        Ok(())
    }

    fn row(&mut self, row: &[Cell], widths: &[usize], header: bool) -> Result<(), Failure> {
        let mut line = String::new();
        let mut gap = 0;
        for (cell, width) in row.iter().zip(widths) {
            if cell.text.is_empty() {
                gap += width + GAP;
                continue;
            }
            line.extend(std::iter::repeat_n(' ', gap));
            let tone = if header { Tone::Dim } else { cell.tone };
            line.push_str(&self.paint(tone, &cell.text));
            gap = width.saturating_sub(cell.text.chars().count()) + GAP;
        }
        self.line(line)
    }
}

/// A list on its way out; see [`Out::begin_list`].
#[derive(Debug)]
pub struct List {
    empty: bool,
}

/// Spaces between two columns.
const GAP: usize = 3;

#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub fn new(text: impl Into<String>, tone: Tone) -> Cell {
        Cell {
            text: text.into(),
            tone,
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn tone(&self) -> Tone {
        self.tone
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text.to_string(), Tone::Plain)
    }
}

/// Rows on their way to [`Out::table`]; printed in parts, the header comes once
/// and columns only ever grow.
#[derive(Debug)]
pub struct Table {
    header: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
    widths: Vec<usize>,
    headed: bool,
}

impl Table {
    pub fn new(header: &'static [&'static str]) -> Table {
        Table {
            header,
            rows: Vec::new(),
            widths: header.iter().map(|h| h.len()).collect(),
            headed: false,
        }
    }

    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.header.len());
        self.rows.push(cells.into());
    }

    fn fit(&mut self) {
        for row in &self.rows {
            for (cell, width) in row.iter().zip(&mut self.widths) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
    }
}

/// `text`, or a dash where there is none.
pub fn or_dash(text: impl AsRef<str>) -> String {
    match text.as_ref() {
        "" => "-".into(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(colour: bool, print: impl FnOnce(&mut Out)) -> String {
        let shared = Shared::default();
        let mut out = Out {
            writer: Box::new(shared.clone()),
            json: false,
            colour,
        };
        print(&mut out);
        String::from_utf8(shared.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn columns_align_without_trailing_blanks() {
        let text = printed(false, |out| {
            let mut table = Table::new(&["PEER", "STATE"]);
            table.row(["10.0.0.254".into(), "up".into()]);
            table.row(["::1".into(), "".into()]);
            out.table(&mut table).unwrap();
        });
        assert_eq!(text, "PEER         STATE\n10.0.0.254   up\n::1\n");
    }

    #[test]
    fn a_second_part_has_no_second_header() {
        let text = printed(false, |out| {
            let mut table = Table::new(&["A", "B"]);
            table.row([1.into(), 2.into()]);
            out.table(&mut table).unwrap();
            table.row([3.into(), 4.into()]);
            out.table(&mut table).unwrap();
        });
        assert_eq!(text, "A   B\n1   2\n3   4\n");
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let text = printed(true, |out| {
            let mut table = Table::new(&["A", "B"]);
            table.row([Cell::new("up", Tone::Good), 2.into()]);
            out.table(&mut table).unwrap();
        });
        assert_eq!(
            text,
            "\x1b[2mA\x1b[0m    \x1b[2mB\x1b[0m\n\x1b[32mup\x1b[0m   2\n"
        );
    }
}
