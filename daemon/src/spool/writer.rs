//! The thread `spool`: encodes what was offered, makes room for it and writes it, one sample after the other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use uuid::{ContextV7, Timestamp, Uuid};

use super::disk::blocks;
use super::entry::{Entry, Id, Reason, compose};
use super::ledger::{DropReason, QUEUE_CAPACITY, Room};
use super::payload::encode;
use super::{Offered, Shared};
use crate::host::clock::Clock;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once the spool is shut down.
    queue: Mutex<Option<SyncSender<Offered>>>,
    /// Disconnects when the thread ends.
    ended: Mutex<Receiver<()>>,
    give_up: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>, device_id: Box<str>, clock: Clock) -> io::Result<Self> {
        let (queue, offers) = sync_channel(QUEUE_CAPACITY);
        let (ending, ended) = sync_channel::<()>(1);
        let give_up = Arc::new(AtomicBool::new(false));
        let mut work =
            Work { shared, device_id, clock, ids: ContextV7::new(), failing: false, give_up: Arc::clone(&give_up) };
        thread::Builder::new().name("spool".into()).spawn(move || {
            for offered in offers {
                work.store(offered);
            }
            drop(ending);
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), ended: Mutex::new(ended), give_up })
    }

    /// `false` where the thread takes no more. It is never full: the ledger lets in no more than it holds.
    pub(super) fn send(&self, offered: Offered) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().is_some_and(|queue| queue.try_send(offered).is_ok())
    }

    pub(super) fn shutdown(&self, deadline: Duration) -> bool {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(deadline);
        let drained = matches!(ended, Err(RecvTimeoutError::Disconnected));
        // A thread that a dead disk holds is left to the end of the process; it takes up nothing new.
        self.give_up.store(!drained, Ordering::SeqCst);
        drained
    }
}

struct Work {
    shared: Arc<Shared>,
    device_id: Box<str>,
    clock: Clock,
    ids: ContextV7,
    /// The disk refused the last sample: the next refusal is not logged.
    failing: bool,
    give_up: Arc<AtomicBool>,
}

impl Work {
    fn store(&mut self, offered: Offered) {
        let bytes = offered.bytes.len();
        match self.try_store(&offered) {
            Ok(entry) => {
                self.shared.ledger().stored(entry, bytes);
                self.shared.stored.send_modify(|count| *count = count.wrapping_add(1));
            }
            Err(reason) => self.shared.ledger().lose_queued(bytes, reason),
        }
    }

    fn try_store(&mut self, offered: &Offered) -> Result<Entry, DropReason> {
        if self.give_up.load(Ordering::SeqCst) {
            return Err(DropReason::Stopping);
        }
        let encoded = encode(offered.format, &offered.channels, &offered.bytes).map_err(|error| {
            tracing::warn!(pipeline = %offered.outcome.pipeline, %error, "a window cannot be kept");
            DropReason::Invalid
        })?;
        let (mut entry, json) = compose(self.new_id(), &offered.outcome, offered.reason, &self.device_id, &encoded);
        entry.bytes = blocks(&[json.len() as u64, encoded.content.len() as u64]);
        self.erase_stuck();
        self.make_room(entry.bytes, entry.reason)?;
        self.write(&entry, &json, &encoded.content)?;
        Ok(entry)
    }

    fn make_room(&self, bytes: u64, reason: Reason) -> Result<(), DropReason> {
        loop {
            let room = self.shared.ledger().make_room(bytes, reason);
            let (folder, freed) = match room {
                Room::Made => return Ok(()),
                Room::None => return Err(DropReason::Quota),
                Room::Erase(erasable) => self.shared.place_of(erasable),
            };
            self.erase(folder, freed).map_err(|()| DropReason::Disk)?;
        }
    }

    fn write(&mut self, entry: &Entry, json: &[u8], content: &[u8]) -> Result<(), DropReason> {
        let written = self.shared.disk.write(&entry.id, json, (&entry.payload.file, content));
        match &written {
            Ok(()) if self.failing => tracing::info!("the spool's disk works again"),
            Err(error) if !self.failing => {
                let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "samples are lost until the spool's disk works; is it full or unplugged?");
            }
            Ok(()) | Err(_) => {}
        }
        self.failing = written.is_err();
        written.map_err(|_| {
            // What cannot be erased either is tried again with the next sample; its bytes count until then.
            let _ = self.erase(self.shared.disk.folder_of(&entry.id), entry.bytes);
            DropReason::Disk
        })
    }

    fn erase_stuck(&self) {
        let stuck = self.shared.ledger().take_stuck();
        for (folder, bytes) in stuck {
            let _ = self.erase(folder, bytes);
        }
    }

    fn erase(&self, folder: PathBuf, bytes: u64) -> Result<(), ()> {
        self.shared.erase(folder, bytes).map_err(|error| tracing::debug!(%error, "not erased yet"))
    }

    fn new_id(&self) -> Id {
        let now_ns = self.clock.unix_ns().max(0).unsigned_abs();
        let nanos = u32::try_from(now_ns % 1_000_000_000).unwrap_or_default();
        Id::new(Uuid::new_v7(Timestamp::from_unix(&self.ids, now_ns / 1_000_000_000, nanos)))
    }
}
