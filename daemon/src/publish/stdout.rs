//! JSON lines to standard output, written by the thread `stdout`: a pipe that nobody empties holds up that thread only.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::json::Line;
use super::queue::{Entrance, Exit, Put, queue};

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Stdout {
    /// `None` once it is shut down.
    entrance: Mutex<Option<Entrance>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    dropped: AtomicU64,
}

impl Stdout {
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (entrance, exit) = queue();
        let (ending, ended) = oneshot::channel();
        thread::Builder::new().name("stdout".into()).spawn(move || {
            if let Err(error) = write_all(output, exit) {
                tracing::warn!(%error, "standard output is closed: outcomes no longer go there");
            }
            // Nobody waits for the end but a shutdown.
            let _ = ending.send(());
        })?;
        let (entrance, ended) = (Mutex::new(Some(entrance)), Mutex::new(Some(ended)));
        Ok(Self { entrance, ended, dropped: AtomicU64::new(0) })
    }

    pub(super) fn send(&self, line: Line) {
        let entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let put = entrance.as_ref().map_or(Put::Closed, |entrance| entrance.put(line));
        if put != Put::Queued {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lets the thread write what is queued, at most until the deadline. A thread that a full pipe holds is left to the end
    /// of the process.
    pub(super) async fn shutdown(&self, until: Instant) {
        drop(self.entrance.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended
            && tokio::time::timeout_at(until, ended).await.is_err()
        {
            tracing::info!("standard output did not take the last lines");
        }
    }
}

fn write_all(mut output: impl Write, mut exit: Exit) -> io::Result<()> {
    while let Some(line) = exit.blocking_next() {
        output.write_all(&line)?;
        output.flush()?;
    }
    Ok(())
}
