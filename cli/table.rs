//! Columns that line up, as `kubectl` prints them: three spaces between, nothing after the last.

use std::io::IsTerminal;

/// Spaces between columns.
const GAP: usize = 3;

/// How a cell is coloured where colour is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be, but working.
    Warn,
    /// Not working.
    Bad,
}

impl Tone {
    /// The escape sequence that begins it; empty for plain.
    pub fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// Text and its tone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A coloured cell.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        let text: String = text.into();
        // What comes from YAML must not steer the terminal.
        let text = match text.chars().any(char::is_control) {
            true => text
                .chars()
                .flat_map(|c| match c {
                    '\n' | '\t' => vec![' '],
                    c if c.is_control() => c.escape_default().collect(),
                    c => vec![c],
                })
                .collect(),
            false => text,
        };
        Self { text, tone }
    }

    /// The text, which cannot steer the terminal.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A table in the making.
#[derive(Clone, Debug, Default)]
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(heads: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            heads: heads.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it has one cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, every line ended.
    pub fn render(&self, color: bool) -> String {
        let widths: Vec<usize> = self
            .heads
            .iter()
            .enumerate()
            .map(|(column, head)| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let longest = cells.map(|cell| cell.text.chars().count()).max();
                longest.unwrap_or(0).max(head.len())
            })
            .collect();
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::from(*head)).collect();
        let mut out = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut spaces = 0;
            for (cell, width) in row.iter().zip(&widths) {
                if !cell.text.is_empty() {
                    out.extend(std::iter::repeat_n(' ', spaces));
                    spaces = 0;
                    if color && cell.tone != Tone::Plain {
                        out.push_str(cell.tone.code());
                        out.push_str(&cell.text);
                        out.push_str("\x1b[0m");
                    } else {
                        out.push_str(&cell.text);
                    }
                }
                spaces += width - cell.text.chars().count() + GAP;
            }
            out.push('\n');
        }
        out
    }
}

/// Whether standard output wants colour: a terminal that can show it, and no `NO_COLOR`
/// (no-color.org).
pub fn stdout_wants_color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !refused && !dumb && std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["NAME", "STATE", "REASON"]);
        table.row([
            "kiali".into(),
            Cell::new("<pending>", Tone::Warn),
            "full".into(),
        ]);
        table.row(["grüße".into(), Cell::new("ok", Tone::Good), "".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_no_line_has_a_tail() {
        assert_eq!(
            table().render(false),
            "NAME    STATE       REASON\n\
             kiali   <pending>   full\n\
             grüße   ok\n"
        );
    }

    #[test]
    fn colour_changes_no_width() {
        let colored = table().render(true);
        assert!(
            colored.contains("\x1b[33m<pending>\x1b[0m   full"),
            "{colored:?}"
        );
        let plain = colored
            .replace("\x1b[33m", "")
            .replace("\x1b[32m", "")
            .replace("\x1b[0m", "");
        assert_eq!(plain, table().render(false));
    }

    #[test]
    fn text_cannot_steer_the_terminal() {
        let mut table = Table::new(["A"]);
        table.row(["x\x1b[2J\ny".into()]);
        assert_eq!(table.render(false), "A\nx\\u{1b}[2J y\n");
    }
}
