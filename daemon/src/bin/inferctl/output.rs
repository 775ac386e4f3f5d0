//! The only place that prints: people's text with colours on a terminal, JSON where asked for, failures to standard
//! error. A write error is a [`Failure`], never a panic.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    colours: bool,
}

/// Columns of the terminal on standard output; `None` where it is none.
pub(crate) fn width() -> Option<usize> {
    Table::new().width().map(usize::from)
}

/// Colours that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, terminal, colours: terminal && !no_color }
    }

    /// Text for people, as into a file.
    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self { json: false, terminal: false, colours: false }
    }

    /// Text for people, as on a terminal.
    #[cfg(test)]
    pub(crate) const fn coloured() -> Self {
        Self { json: false, terminal: true, colours: true }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    pub(crate) const fn is_terminal(self) -> bool {
        self.terminal
    }

    pub(crate) const fn is_coloured(self) -> bool {
        self.colours
    }

    /// Whether a line may be written over.
    pub(crate) const fn is_live(self) -> bool {
        self.terminal && !self.json
    }

    /// The one value of a command: as JSON, or as text for people.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            let json = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
            self.line(&json)
        } else {
            self.line(text().trim_end())
        }
    }

    /// A line on standard output.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| Failure::printing(&error))
    }

    /// Replaces the line that the cursor is on.
    pub(crate) fn rewrite_line(self, text: &str) -> Result<(), Failure> {
        const ERASE_LINE: &str = "\r\x1b[2K";
        let mut stdout = io::stdout().lock();
        write!(stdout, "{ERASE_LINE}{text}").and_then(|()| stdout.flush()).map_err(|error| Failure::printing(&error))
    }

    /// A remark for people, beside the command's result.
    pub(crate) fn remark(self, text: &str) {
        // Standard error may be closed: there is nobody to tell then.
        let _ = writeln!(io::stderr(), "{text}");
    }

    pub(crate) fn failure(self, failure: &Failure) {
        if !failure.is_worth_telling() {
            return;
        }
        if self.json {
            let error = json!({"name": failure.name, "message": failure.sentence, "hint": failure.hint});
            // If standard output is broken as well, the exit code still tells.
            let _ = self.line(&json!({ "error": error }).to_string());
            return;
        }
        self.remark(&format!("inferctl: {}", failure.sentence));
        if !failure.hint.is_empty() {
            self.remark(&format!("  {}", failure.hint));
        }
    }

    pub(crate) fn paint(self, paint: Paint, text: impl Display) -> String {
        let code = match paint {
            Paint::Good => 32,
            Paint::Warn => 33,
            Paint::Bad => 31,
            Paint::Faint => 2,
            Paint::Strong => 1,
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Columns two spaces apart; those named in `right` hold figures.
    pub(crate) fn table(self, header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        table.set_header(header.iter().map(|title| Cell::new(self.paint(Paint::Faint, title))));
        table.add_rows(rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text without colours.
    fn bare(text: &str) -> String {
        let mut parts = text.split('\x1b');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |bare, part| bare + part.split_once('m').map_or(part, |(_, rest)| rest))
    }

    #[test]
    fn colours_move_no_column() {
        let table = |output: Output| {
            let row =
                |name: &str, paint, state: &str| vec![name.to_owned(), output.paint(paint, state), "12.5/s".into()];
            let rows = vec![row("front", Paint::Good, "running"), row("a", Paint::Bad, "failed")];
            output.table(&["PIPELINE", "STATE", "RATE"], &[2], rows)
        };
        let coloured = table(Output::coloured());
        assert!(coloured.contains("\x1b[32mrunning\x1b[0m"), "{coloured:?}");
        assert_eq!(bare(&coloured), table(Output::plain()));
    }
}
