//! The terminal as a screen.
//!
//! Invariant: it is given back as it was found when this is dropped, also by an error, a signal or a panic (whose words are
//! printed after that).

use ratatui::{DefaultTerminal, Frame};

use crate::failure::Failure;

pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal on standard output.
    pub(super) fn take() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(|error| {
            // It may have come half of the way.
            let _ = ratatui::try_restore();
            Failure::failed(format!("cannot use the terminal: {error}"))
        })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        self.0.draw(draw).map(drop).map_err(|error| Failure::failed(format!("cannot draw on the terminal: {error}")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs neither.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
