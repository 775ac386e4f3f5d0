//! Outcome sinks: JSON lines for whoever attaches to the socket, and to standard output where that is configured.
//!
//! Invariants:
//! - [`Publisher::send`] never waits: a line that a reader's or standard output's queue (1024 lines each) cannot take is
//!   dropped for that one, counted, and announced to it as `{"dropped":N}` where the gap is.
//! - A slow reader slows neither the pipeline nor other readers; at most 32 are attached, and one that leaves makes room at
//!   once.
//! - No line is made while nobody listens.
//! - Lines of one pipeline keep their order; the line format is in `docs/outcomes.md` and is only extended.

mod json;
mod queue;
mod socket;
mod stdout;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use inferd_core::outcome::Outcome;

use crate::config;
use socket::Socket;
use stdout::Stdout;

/// Why a sink cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The socket.
    #[error("cannot listen on {path}")]
    Socket {
        /// Where.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process answers there.
    #[error("{0} is served by another process; is inferd running already?")]
    InUse(String),
    /// A thread could not be started.
    #[error("cannot start the thread `stdout`")]
    Thread(#[source] std::io::Error),
}

/// The sinks' figures since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Readers that are attached to the socket.
    pub readers: u64,
    /// Connections that were closed at once because 32 readers were attached.
    pub refused: u64,
    /// Outcomes that were made into a line.
    pub lines: u64,
    /// Lines that were dropped for some reader of the socket.
    pub socket_dropped: u64,
    /// Lines that standard output was too slow for, or that came after it was closed.
    pub stdout_dropped: u64,
}

/// What pipelines send outcomes to; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    sinks: Arc<Sinks>,
}

#[derive(Debug, Default)]
struct Sinks {
    socket: Option<Socket>,
    stdout: Option<Stdout>,
    lines: AtomicU64,
}

/// The running sinks.
#[derive(Debug)]
pub struct Handle {
    sinks: Arc<Sinks>,
    acceptor: Option<socket::Acceptor>,
}

/// Opens the configured sinks, on the tokio runtime that this is called on. `socket` is where readers attach; its folder
/// must exist.
///
/// # Errors
/// [`PublishError`]
pub fn start(config: &config::Sinks, socket: &Path) -> Result<(Publisher, Handle), PublishError> {
    let (socket, acceptor) = config.socket.then(|| socket::listen(socket)).transpose()?.unzip();
    let stdout = config.stdout.then(|| Stdout::start(std::io::stdout())).transpose().map_err(PublishError::Thread)?;
    let sinks = Arc::new(Sinks { socket, stdout, ..Sinks::default() });
    Ok((Publisher { sinks: Arc::clone(&sinks) }, Handle { sinks, acceptor }))
}

impl Publisher {
    /// Hands an outcome to all who listen. Never waits.
    pub fn send(&self, outcome: &Outcome) {
        let Sinks { socket, stdout, lines } = &*self.sinks;
        let socket = socket.as_ref().filter(|socket| socket.has_readers());
        if socket.is_none() && stdout.is_none() {
            return;
        }
        let line = json::line(outcome);
        lines.fetch_add(1, Ordering::Relaxed);
        if let Some(socket) = socket {
            socket.send(&line);
        }
        if let Some(stdout) = stdout {
            stdout.send(line);
        }
    }

    /// The figures.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { lines: self.sinks.lines.load(Ordering::Relaxed), ..Counts::default() };
        if let Some(socket) = &self.sinks.socket {
            socket.count(&mut counts);
        }
        if let Some(stdout) = &self.sinks.stdout {
            counts.stdout_dropped = stdout.dropped();
        }
        counts
    }
}

impl Handle {
    /// Takes no more lines, waits until those taken are written, at most until the deadline, and removes the socket.
    pub async fn shutdown(self, deadline: Duration) {
        let until = tokio::time::Instant::now() + deadline;
        if let (Some(socket), Some(acceptor)) = (&self.sinks.socket, self.acceptor) {
            acceptor.shutdown(socket, until).await;
        }
        if let Some(stdout) = &self.sinks.stdout {
            stdout.shutdown(until).await;
        }
    }
}

#[cfg(test)]
mod tests;
