//! What a command prints: tables and lines for people, JSON for machines.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};

/// Dimmed: what is beside the point.
pub const DIM: Style = Style::new().dimmed();
/// Bold: headings.
pub const BOLD: Style = Style::new().bold();
/// What went well.
pub const GREEN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// What was refused or is wrong.
pub const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// What is pending.
pub const YELLOW: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// Names.
pub const CYAN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

/// `text` in `style`.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a line. Colours are left out where the output is not a terminal. A reader that has
/// gone away (`| head`) ends the process quietly, as it does other Unix tools.
pub fn line(text: impl std::fmt::Display) {
    let mut out = anstream::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a line to standard error.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// `text` without what could forge a line of a table: ends of lines, other control characters,
/// and marks that turn the direction of writing. Descriptions are other people's words.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// Prints JSON, indented.
pub fn json(value: &serde_json::Value) {
    line(serde_json::to_string_pretty(value).expect("a JSON value is printable"));
}

/// Prints JSON on one line.
pub fn json_line(value: &serde_json::Value) {
    line(value);
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table with aligned columns and a dimmed heading.
#[derive(Debug)]
pub struct Table {
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// A cell: its text, and the style that does not count as width.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

/// A cell in a style.
pub fn cell(style: Style, text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        style,
    }
}

impl Table {
    /// Headings; one that starts with `>` stands right.
    pub fn new(heads: &[&'static str]) -> Self {
        let heads = heads
            .iter()
            .map(|head| match head.strip_prefix('>') {
                Some(head) => (head, Align::Right),
                None => (*head, Align::Left),
            })
            .collect();
        Self {
            heads,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.heads.len());
        let printable = |cell: Cell| Cell {
            text: printable(&cell.text),
            ..cell
        };
        self.rows.push(cells.into_iter().map(printable).collect());
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, without a last newline.
    pub fn render(&self) -> String {
        let width = |at: usize| {
            self.rows
                .iter()
                .map(|row| row[at].text.chars().count())
                .chain([self.heads[at].0.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.heads.len()).map(width).collect();
        let heads: Vec<_> = self
            .heads
            .iter()
            .map(|(head, _)| cell(DIM, *head))
            .collect();
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut text = String::new();
            for (at, own) in row.iter().enumerate() {
                let pad = " ".repeat(widths[at] - own.text.chars().count());
                let painted = paint(own.style, &own.text);
                let last = at + 1 == row.len();
                match self.heads[at].1 {
                    Align::Left if last => text.push_str(&painted),
                    Align::Left => text.push_str(&format!("{painted}{pad}")),
                    Align::Right => text.push_str(&format!("{pad}{painted}")),
                }
                if !last {
                    text.push_str("  ");
                }
            }
            lines.push(text.trim_end().to_owned());
        }
        lines.join("\n")
    }

    /// Prints it, or `empty` where it has no rows.
    pub fn print(&self, empty: &str) {
        if self.is_empty() {
            line(paint(DIM, empty));
        } else {
            line(self.render());
        }
    }
}

/// Names and values, one a line; empty values are left out.
pub fn fields(pairs: &[(&str, String)]) {
    let width = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        line(format!("  {DIM}{name:width$}{DIM:#}  {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_cannot_forge_a_row() {
        let mut table = Table::new(&["what"]);
        table.row(vec![cell(Style::new(), "rent\r\n99.00 USD \u{202e}x")]);
        let rendered = table.render();
        assert_eq!(rendered.lines().count(), 2, "{rendered}");
        assert!(!rendered.contains(['\r', '\u{202e}']), "{rendered}");
    }

    #[test]
    fn columns_are_aligned_whatever_their_style() {
        let mut table = Table::new(&["account", ">posted"]);
        table.row(vec![cell(CYAN, "a:b"), "1.00".into()]);
        table.row(vec!["long:name".into(), cell(RED, "-100.00")]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(
            plain,
            "account     posted\na:b           1.00\nlong:name  -100.00"
        );
    }
}
