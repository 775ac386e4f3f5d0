//! The runner's log: short lines on standard error, which the daemon passes on. Nothing per window.

use std::fmt::Display;
use std::io::Write;

/// Writes one line. A log that cannot be written is lost: there is nowhere else to say so.
pub(crate) fn line(message: impl Display) {
    let text = format!("inferd-runner: {message}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
}
