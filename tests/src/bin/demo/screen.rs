//! The terminal: a live block that is redrawn in place, and lines that scroll above it.
//!
//! Invariants:
//! - What is drawn at once is written at once, and old text is overwritten rather than cleared first: nothing flickers.
//! - No line wraps while the block is drawn, so that its height is known.
//! - Without a terminal there is no block and no control sequence.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

/// A colour or a weight.
#[derive(Clone, Copy)]
pub(crate) enum Paint {
    /// It is as it should be.
    Good,
    /// It is not.
    Bad,
    /// What the eye should find.
    Strong,
    /// What it may skip.
    Faint,
    /// A name.
    Name,
}

/// Standard output.
pub(crate) struct Screen {
    is_terminal: bool,
    has_colours: bool,
    /// Lines of the block that is on the screen.
    height: usize,
}

impl Screen {
    /// Standard output as it is.
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_terminal, has_colours: is_terminal && !no_color, height: 0 }
    }

    /// Whether there is a live block.
    pub(crate) const fn is_live(&self) -> bool {
        self.is_terminal
    }

    /// Text in a colour, where there are colours.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Strong => "1",
            Paint::Faint => "2",
            Paint::Name => "36",
        };
        if self.has_colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes lines that stay.
    pub(crate) fn say(&mut self, text: &str) {
        let above = if self.height > 0 { format!("\x1b[{}A\x1b[J", self.height) } else { String::new() };
        self.height = 0;
        put(&format!("{above}{text}\n"));
    }

    /// Draws the block in the place of the last.
    pub(crate) fn draw(&mut self, block: &str) {
        if !self.is_terminal {
            return;
        }
        // Synchronised output, no cursor, no wrapping; terminals that do not know one of them ignore it.
        let mut text = String::from("\x1b[?2026h\x1b[?25l\x1b[?7l");
        if self.height > 0 {
            // A failure to write into a text is memory's end.
            let _ = write!(text, "\x1b[{}A", self.height);
        }
        for line in block.lines() {
            let _ = writeln!(text, "\r{line}\x1b[K");
        }
        text.push_str("\x1b[J\x1b[?7h\x1b[?2026l");
        self.height = block.lines().count();
        put(&text);
    }

    /// Leaves the block where it is; what comes next comes below.
    pub(crate) fn settle(&mut self) {
        self.height = 0;
        if self.is_terminal {
            put("\x1b[?25h");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.settle();
    }
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever has closed the pipe does not want to read on; the exit status still tells.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
