//! How a source can fail.

use std::io;
use std::path::{Path, PathBuf};

use super::format::FormatError;
use crate::host::frames::PoolError;

/// A source that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not what its name says, or damaged.
    #[error("{} is damaged or not supported: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing in it.
    #[error("{} holds nothing to play: {expected}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// A program that should write frames does not.
    #[error("{program} {problem}")]
    Command {
        /// The program.
        program: String,
        /// What it did.
        problem: String,
    },
    /// No memory for frames.
    #[error(transparent)]
    Memory(#[from] PoolError),
    /// The pipeline wants no more frames.
    #[error("the pipeline has stopped")]
    Stopped,
}

impl SourceError {
    pub(super) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }
}

/// Shorthand for `.map_err(during("read", path))`.
pub(super) fn during(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { action, path, source }
}

/// Shorthand for `.map_err(in_file(path))`.
pub(super) fn in_file(path: &Path) -> impl FnOnce(FormatError) -> SourceError {
    let path = path.to_owned();
    move |error| match error {
        FormatError::Read(source) => SourceError::Io { action: "read", path, source },
        broken @ (FormatError::Truncated(_) | FormatError::Broken(_)) => {
            SourceError::Damaged { path, problem: broken.to_string() }
        }
    }
}
