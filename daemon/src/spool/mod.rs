//! The durable queue of samples on disk, between the pipelines that offer and the uploader that delivers.
//!
//! Invariants, in numbers:
//! - `accepted = delivered + pending + dropped + quarantined` at every moment, each sample in exactly one of them. Accepted
//!   is what was found at start-up and every offer since.
//! - At most 64 samples and 32 MiB wait in memory for the one thread, `spool`, that encodes and writes; one more is
//!   dropped as `busy`. [`Spool::offer`] never waits for it.
//! - At most `max_bytes` are on disk in the spool's folder, temporary and quarantined ones counted, each file rounded up to
//!   4096 bytes and 4096 for its folder; at most `max_samples` samples. What is over that is dropped as `quota`: the least
//!   uncertain first, of equals the oldest, requested ones last; quarantined ones go before any other. Nothing is dropped
//!   for a sample that is itself the least.
//!   Limits that were lowered since the last run hold from the start: what is over them goes in the same order.
//! - A sample is complete once its folder has its name, which is after both files, the folder and its parent are synced. A
//!   crash before that leaves a temporary name, which the next start removes.
//! - Names sort by age: UUIDv7 by the wall clock.
//! - Nothing found on disk stops a start. Damaged samples go to `quarantine/`, the others are delivered.
//! - A disk that fails costs the sample that was to be written, counted as `disk` and logged once until it works again.
//!
//! ```text
//! <state_dir>/spool/<id>/sample.json         what `docs/samples.md` says
//! <state_dir>/spool/<id>/payload.<ending>
//! <state_dir>/spool/quarantine/<id>/         damaged, or refused for good by the destination
//! <state_dir>/spool/.tmp-*/                  being written or removed
//! ```

mod disk;
mod entry;
mod ledger;
mod payload;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inferd_core::frame::Format;
use inferd_core::outcome::Outcome;
use tokio::sync::watch;

pub use entry::{Entry, Id, InvalidId, PayloadFile, Reason, Why};
pub use ledger::{Counts, DropReason};

use crate::config;
use crate::host::clock::Clock;
use crate::host::durable::FileError;
use disk::{Disk, Found};
use ledger::{End, Erasable, Ledger};
use writer::Writer;

/// A window to be kept.
#[derive(Debug)]
pub struct Offered {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it is kept.
    pub reason: Reason,
    /// What its bytes are.
    pub format: Format,
    /// Names of the channels of [`Format::Imu`], in order; empty where they have none.
    pub channels: Arc<[String]>,
    /// The bytes, copied from where the source had them.
    pub bytes: Vec<u8>,
}

/// A sample read back for delivery.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The content of `sample.json`, as it was written.
    pub json: Vec<u8>,
    /// The payload; its digest was found right.
    pub payload: Vec<u8>,
}

/// Why the spool cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk.
    #[error("the spool on disk fails; check that it is mounted, writable and not full")]
    Disk(#[from] FileError),
    /// A sample's files are not what they were when it was written.
    #[error("sample {id} is damaged: {what}")]
    Damaged {
        /// Which.
        id: Id,
        /// How.
        what: String,
    },
    /// The thread could not be started.
    #[error("cannot start the thread `spool`")]
    Thread(#[source] std::io::Error),
}

/// The queue; cheap to clone. Dropping the last one ends the thread once it has written what was offered.
#[derive(Clone, Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

/// What callers and the thread share.
#[derive(Debug)]
struct Shared {
    disk: Disk,
    ledger: Mutex<Ledger>,
    /// Counts up with every stored sample.
    stored: watch::Sender<u64>,
}

impl Shared {
    /// The ledger; held only for a few steps in memory, never while a disk is waited for.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Opens the spool in `folder`, which is made where absent: removes left-overs of a crash, moves damaged samples aside,
    /// keeps the others. `device_id` goes into every new sample.
    ///
    /// # Errors
    /// [`SpoolError`] where the folder cannot be made or listed. What lies in it is no reason.
    pub fn open(folder: &Path, device_id: &str, config: &config::Spool, clock: Clock) -> Result<Self, SpoolError> {
        let disk = Disk::open(folder)?;
        let mut ledger = Ledger::new(config);
        disk.recover(|found| match found {
            Found::Whole(entry) => ledger.recovered(entry),
            Found::Damaged { moved, bytes } => ledger.found_damaged(moved, bytes),
            Found::Quarantined { name, bytes } => ledger.found_quarantined(name, bytes),
            Found::Stuck { path, bytes } => ledger.found_stuck(path, bytes),
        })?;
        let shared = Arc::new(Shared { disk, ledger: Mutex::new(ledger), stored: watch::Sender::new(0) });
        shared.erase_surplus();
        let writer = Writer::start(Arc::clone(&shared), device_id.into(), clock).map_err(SpoolError::Thread)?;
        Ok(Self { shared, writer: Arc::new(writer) })
    }

    /// Takes over a window. Never waits: what cannot be taken is dropped and counted.
    pub fn offer(&self, offered: Offered) {
        let bytes = offered.bytes.len();
        if self.shared.ledger().accept(bytes) && !self.writer.send(offered) {
            self.shared.ledger().lose_queued(bytes, DropReason::Stopping);
        }
    }

    /// The figures; they always add up.
    pub fn counts(&self) -> Counts {
        self.shared.ledger().counts()
    }

    /// The oldest samples that wait, at most `limit`.
    pub fn list(&self, limit: usize) -> Vec<Arc<Entry>> {
        self.shared.ledger().entries().take(limit).cloned().collect()
    }

    /// The oldest sample that waits, or the oldest after another.
    pub fn oldest(&self, after: Option<&Id>) -> Option<Arc<Entry>> {
        self.shared.ledger().oldest(after)
    }

    /// Reads a sample for delivery. Waits for the disk.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] where it should be [`quarantined`](Self::quarantine), [`SpoolError::Disk`] where it may be
    /// read later.
    pub fn read(&self, entry: &Entry) -> Result<Stored, SpoolError> {
        self.shared.disk.read(entry)
    }

    /// Deletes a sample that was delivered; `false` where it is gone already. Waits for the disk.
    ///
    /// # Errors
    /// [`SpoolError::Disk`]: it counts as delivered and is erased once the disk works again; should the service end before
    /// that, it is delivered once more.
    pub fn remove(&self, id: &Id) -> Result<bool, SpoolError> {
        self.shared.end(id, End::Delivered)
    }

    /// Deletes a sample that nobody wants; `false` where it is gone already. Waits for the disk.
    ///
    /// # Errors
    /// [`SpoolError::Disk`]: it counts as dropped and is erased once the disk works again.
    pub fn discard(&self, id: &Id) -> Result<bool, SpoolError> {
        self.shared.end(id, End::Dropped(DropReason::Discarded))
    }

    /// Moves a sample aside that can never be delivered; `false` where it is gone already. Waits for the disk.
    ///
    /// # Errors
    /// [`SpoolError::Disk`]: it counts as quarantined, but is erased once the disk works again.
    pub fn quarantine(&self, id: &Id) -> Result<bool, SpoolError> {
        let Some(entry) = self.shared.ledger().take(id, End::Quarantined) else { return Ok(false) };
        let moved = self.shared.disk.quarantine(&id.to_string());
        let mut ledger = self.shared.ledger();
        match moved {
            Ok(name) => ledger.moved_aside(name, entry.bytes),
            Err(error) => {
                ledger.stuck(self.shared.disk.folder_of(id), entry.bytes);
                return Err(error.into());
            }
        }
        Ok(true)
    }

    /// A receiver whose value changes with every sample that was stored.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.stored.subscribe()
    }

    /// Takes no more offers, waits until those taken are written, at most until the deadline; `true` when all were. The
    /// others are dropped as `stopping`.
    pub fn shutdown(&self, deadline: Duration) -> bool {
        self.writer.shutdown(deadline)
    }
}

impl Shared {
    fn end(&self, id: &Id, end: End) -> Result<bool, SpoolError> {
        let Some(entry) = self.ledger().take(id, end) else { return Ok(false) };
        self.erase(self.disk.folder_of(id), entry.bytes)?;
        Ok(true)
    }

    /// Brings what was found at the start within the limits: they may be lower than those it was stored under.
    fn erase_surplus(&self) {
        let mut erased = 0;
        loop {
            let Some(surplus) = self.ledger().take_surplus() else { break };
            let (folder, bytes) = self.place_of(surplus);
            if let Err(error) = self.erase(folder, bytes) {
                // Its bytes count until it can be erased. Going on would give up one sample after the other for nothing.
                tracing::warn!(%error, "the spool is over its limits, and what is too much cannot be erased yet");
                break;
            }
            erased += 1;
        }
        if erased > 0 {
            tracing::warn!(erased, "the spool was over its limits; what was worth least is gone");
        }
    }

    fn place_of(&self, erasable: Erasable) -> (PathBuf, u64) {
        match erasable {
            Erasable::Sample(entry) => (self.disk.folder_of(&entry.id), entry.bytes),
            Erasable::Quarantined { name, bytes } => (self.disk.quarantined(&name), bytes),
        }
    }

    /// Deletes what the ledger has let go; its bytes count until that is done.
    fn erase(&self, folder: PathBuf, bytes: u64) -> Result<(), FileError> {
        let erased = self.disk.erase(&folder);
        let mut ledger = self.ledger();
        match &erased {
            Ok(()) => ledger.freed(bytes),
            Err(_) => ledger.stuck(folder, bytes),
        }
        erased
    }
}

#[cfg(test)]
mod tests;
