//! Delivers samples from the spool to their destination, one at a time, oldest first.
//!
//! Invariants:
//! - At least once: a sample leaves the spool only after the destination has said that it has it. A crash between the two
//!   delivers it again, under the same id, which is its idempotency key.
//! - What arrives is byte for byte what was spooled: the digest is checked as the sample is read.
//! - After a failure there is a pause, drawn at random between `backoff_first` and a ceiling that doubles with each further
//!   failure up to `backoff_max` (full jitter, so that a fleet does not come back all at once). A destination that names a
//!   longer pause, of at most a day, gets it.
//! - One sample cannot hold up the others: refused for good it goes to quarantine; after [`TRIES`] failures in a row the
//!   next one has its turn, and it has its own again after the last.
//! - Trouble that an operator has to mend (wrong address, wrong token, missing folder) costs no sample: it is reported, and
//!   tried again every `backoff_max`.
//! - Nothing is connected to where no destination is configured. Stopping aborts a running upload at once.

mod backoff;
mod delivery;
mod directory;
mod http;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::config;
use crate::host::clock::Clock;
use crate::spool::{Entry, Spool, Stored};
use backoff::Backoff;
use delivery::Uploads;
use directory::Directory;
use http::Http;

/// Failures in a row before another sample has its turn.
const TRIES: u32 = 4;

/// Time that stopping takes at most: what runs is aborted.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How uploads stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Delivered since the start.
    pub uploaded: u64,
    /// Attempts that failed since the start.
    pub failed_attempts: u64,
    /// Why the last attempt failed; empty where it did not.
    pub last_error: String,
}

/// Reads how uploads stand.
#[derive(Clone, Debug)]
pub struct Watcher(Arc<Mutex<Status>>);

impl Watcher {
    /// How it stands.
    pub fn status(&self) -> Status {
        read(&self.0)
    }
}

fn read(status: &Mutex<Status>) -> Status {
    status.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The configuration names no usable destination.
#[derive(Debug, thiserror::Error)]
#[error("upload.{key} is missing; it is needed where upload.to is \"{to}\"")]
pub struct UploadError {
    key: &'static str,
    to: &'static str,
}

/// The running uploads.
#[derive(Debug)]
pub struct Handle {
    task: Option<JoinHandle<()>>,
    flush: Arc<Notify>,
    status: Arc<Mutex<Status>>,
}

/// Starts uploads on the runtime that this is called on. Where no destination is configured nothing runs.
///
/// # Errors
/// [`UploadError`] where the configuration is not complete.
pub fn start(config: &config::Upload, spool: Spool, clock: Clock) -> Result<Handle, UploadError> {
    let handle = Handle { task: None, flush: Arc::default(), status: Arc::default() };
    let Some(destination) = Destination::new(config, clock)? else { return Ok(handle) };
    let uploads = Uploads {
        destination: Arc::new(destination),
        stored: spool.subscribe(),
        spool,
        backoff: Backoff::new(config),
        passed: None,
        tries: 0,
        flush: Arc::clone(&handle.flush),
        status: Arc::clone(&handle.status),
    };
    Ok(Handle { task: Some(tokio::spawn(uploads.run())), ..handle })
}

impl Handle {
    /// Tries at once, whatever pause there is.
    pub fn flush(&self) {
        self.flush.notify_one();
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        read(&self.status)
    }

    /// What reads how it stands, for others than the owner.
    pub fn watcher(&self) -> Watcher {
        Watcher(Arc::clone(&self.status))
    }

    /// Stops within a second. What was not delivered stays in the spool.
    pub async fn shutdown(self) {
        if let Some(task) = self.task {
            task.abort();
            // Aborted or not there any more: either way it has ended.
            let _ = tokio::time::timeout(STOP_TIMEOUT, task).await;
        }
    }
}

/// Where samples go.
#[derive(Debug)]
enum Destination {
    Directory(Directory),
    Http(Http),
}

/// Why a sample was not delivered.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// It may work later; the destination may have said when.
    #[error("{reason}")]
    Later { reason: String, after: Option<Duration> },
    /// This sample will never be taken.
    #[error("{0}")]
    Never(String),
    /// No sample is taken until somebody mends something.
    #[error("{0}")]
    Misconfigured(String),
}

impl Destination {
    fn new(config: &config::Upload, clock: Clock) -> Result<Option<Self>, UploadError> {
        let missing = |key, to| UploadError { key, to };
        Ok(match config.to {
            config::Destination::None => None,
            config::Destination::Directory => {
                let folder = config.directory.clone().ok_or_else(|| missing("directory", "directory"))?;
                Some(Self::Directory(Directory::new(folder)))
            }
            config::Destination::Http => {
                let url = config.url.clone().ok_or_else(|| missing("url", "http"))?;
                let timeout = Duration::from_millis(config.timeout_ms);
                Some(Self::Http(Http::new(url, config.token_file.clone(), timeout, clock)))
            }
        })
    }

    async fn deliver(&self, entry: &Arc<Entry>, sample: Stored) -> Result<(), Refusal> {
        match self {
            Self::Directory(directory) => directory.deliver(Arc::clone(entry), sample).await,
            Self::Http(http) => http.deliver(entry, sample).await,
        }
    }
}

/// Waits for work that waits for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Only where the runtime ends: so does this task, at its next pause.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
