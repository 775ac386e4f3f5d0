//! How a stream of bytes is told apart into frames, wherever it comes from: a file, or a program's output. Contents stay
//! unread; what is looked at is where one frame ends and the next begins.

mod lines;
mod mjpeg;
mod y4m;

use std::io;

pub(super) use lines::{Rows, Syntax, csv_row, json_row};
pub(super) use mjpeg::Pictures;
pub(super) use y4m::Video;

/// A stream that gives no more frames.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormatError {
    /// The system said no.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// It ends where it should go on.
    #[error("it ends in the middle of a {0}")]
    Truncated(&'static str),
    /// It is not of the format that it should be.
    #[error("{0}")]
    Broken(String),
}

impl FormatError {
    fn broken(problem: impl Into<String>) -> Self {
        Self::Broken(problem.into())
    }
}
