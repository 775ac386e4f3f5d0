//! The task that delivers: whose turn it is, what a failure means for it, and how long to pause.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::backoff::Backoff;
use super::{Destination, Refusal, Status, TRIES, blocking};
use crate::host::error::with_causes;
use crate::spool::{Entry, Id, Spool, SpoolError};

/// The task.
pub(super) struct Uploads {
    pub(super) destination: Arc<Destination>,
    pub(super) spool: Spool,
    pub(super) stored: watch::Receiver<u64>,
    pub(super) backoff: Backoff,
    /// Samples up to this one have had their turn.
    pub(super) passed: Option<Id>,
    /// Failures in a row of the sample whose turn it is.
    pub(super) tries: u32,
    pub(super) flush: Arc<Notify>,
    pub(super) status: Arc<Mutex<Status>>,
}

impl Uploads {
    pub(super) async fn run(mut self) {
        loop {
            self.stored.mark_unchanged();
            match self.next() {
                Some(entry) => self.attempt(&entry).await,
                None => self.wait_for_samples().await,
            }
        }
    }

    /// Whose turn it is.
    fn next(&mut self) -> Option<Arc<Entry>> {
        let next = self.spool.oldest(self.passed.as_ref());
        if next.is_some() || self.passed.is_none() {
            return next;
        }
        self.passed = None;
        self.spool.oldest(None)
    }

    async fn wait_for_samples(&mut self) {
        tokio::select! {
            changed = self.stored.changed() => if changed.is_err() { std::future::pending().await },
            () = self.flush.notified() => {}
        }
    }

    async fn attempt(&mut self, entry: &Arc<Entry>) {
        let read = self.on_disk(entry, |spool, entry| spool.read(&entry)).await;
        let delivered = match read {
            Ok(sample) => self.destination.deliver(entry, sample).await,
            Err(error @ SpoolError::Damaged { .. }) => Err(Refusal::Never(error.to_string())),
            Err(error) => Err(Refusal::Later { reason: with_causes(&error), after: None }),
        };
        match delivered {
            Ok(()) => self.delivered(entry).await,
            Err(Refusal::Never(reason)) => self.set_aside(entry, reason).await,
            Err(Refusal::Later { reason, after }) => {
                self.failed(entry, reason);
                let pause = self.backoff.next().max(after.unwrap_or_default());
                self.pause(pause).await;
            }
            Err(Refusal::Misconfigured(reason)) => {
                self.failed(entry, reason);
                let pause = self.backoff.longest();
                self.pause(pause).await;
            }
        }
    }

    async fn delivered(&mut self, entry: &Arc<Entry>) {
        self.backoff.reset();
        self.tries = 0;
        let recovered = self.update(|status| {
            status.uploaded += 1;
            std::mem::take(&mut status.last_error)
        });
        if !recovered.is_empty() {
            tracing::info!("uploads work again");
        }
        tracing::debug!(sample = %entry.id, "sample uploaded");
        if let Err(error) = self.on_disk(entry, |spool, entry| spool.remove(&entry.id)).await {
            tracing::warn!(sample = %entry.id, error = with_causes(&error), "an uploaded sample cannot be deleted yet");
        }
    }

    async fn set_aside(&mut self, entry: &Arc<Entry>, reason: String) {
        self.tries = 0;
        match self.on_disk(entry, |spool, entry| spool.quarantine(&entry.id)).await {
            // Dropped by the spool or discarded while it was under way: it was not damaged and no longer matters.
            Ok(false) => return,
            Ok(true) => {
                tracing::error!(sample = %entry.id, reason, "a sample cannot be uploaded: now in spool/quarantine")
            }
            Err(error) => {
                tracing::error!(sample = %entry.id, reason, error = with_causes(&error), "a refused sample cannot be moved");
            }
        }
        self.update(|status| {
            status.failed_attempts += 1;
            status.last_error = reason;
        });
    }

    fn failed(&mut self, entry: &Entry, reason: String) {
        self.tries += 1;
        if self.tries >= TRIES {
            self.tries = 0;
            self.passed = Some(entry.id);
        }
        let news = self.update(|status| {
            status.failed_attempts += 1;
            let news = status.last_error != reason;
            status.last_error.clone_from(&reason);
            news
        });
        if news {
            tracing::warn!(sample = %entry.id, reason, "upload failed; samples stay in the spool");
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.flush.notified() => {}
        }
    }

    /// Runs something that waits for the disk where waiting is allowed.
    async fn on_disk<T, F>(&self, entry: &Arc<Entry>, work: F) -> Result<T, SpoolError>
    where
        T: Send + 'static,
        F: FnOnce(Spool, Arc<Entry>) -> Result<T, SpoolError> + Send + 'static,
    {
        let (spool, entry) = (self.spool.clone(), Arc::clone(entry));
        blocking(move || work(spool, entry)).await
    }

    fn update<T>(&self, change: impl FnOnce(&mut Status) -> T) -> T {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
