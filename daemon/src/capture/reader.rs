//! What every kind of recording offers to the player, and how it can fail.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;

use super::queue::FrameQueue;
use crate::host::frames::{MAX_SLOT_BYTES, Pool, PoolError, Slot};

/// A file that is read frame by frame.
pub(super) trait Reader: Send {
    /// The next frame, in a slot; `None` at the end.
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError>;

    /// Back to the first frame.
    fn rewind(&mut self) -> Result<(), SourceError>;
}

/// One frame, read.
pub(super) struct Read {
    pub(super) slot: Slot,
    pub(super) format: Format,
    /// How long the source was busy recording it: the next frame is due this much later.
    pub(super) lasts: Duration,
}

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

/// Where readers get slots from: a pool that is replaced by a larger one when a frame does not fit. Slots of the old
/// pool stay valid until they are dropped.
pub(super) struct Slots {
    count: u32,
    pool: Option<Pool>,
    queue: FrameQueue,
}

/// How long to wait for a slot before looking whether the pipeline has stopped.
const PATIENCE: Duration = Duration::from_millis(200);

impl Slots {
    /// Slots for a source whose frames wait in `queue`; `count` covers the queue, what is in flight and one being filled.
    pub(super) const fn new(count: u32, queue: FrameQueue) -> Self {
        Self { count, pool: None, queue }
    }

    /// A slot with room for `bytes`; waits while all are in use.
    pub(super) fn take(&mut self, bytes: usize) -> Result<Slot, SourceError> {
        let pool = match &self.pool {
            Some(pool) if pool.slot_bytes() >= bytes => pool,
            _ => self.pool.insert(Pool::new(self.count, roomy(bytes))?),
        };
        loop {
            if let Some(slot) = pool.take(PATIENCE) {
                return Ok(slot);
            }
            if self.queue.is_stopped() {
                return Err(SourceError::Stopped);
            }
        }
    }
}

/// Room for the next frames, which may be a little larger: a power of two, but not more than a slot may have where this
/// frame needs less.
fn roomy(bytes: usize) -> usize {
    bytes.checked_next_power_of_two().unwrap_or(bytes).min(MAX_SLOT_BYTES).max(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_rounded_up_within_their_limit() {
        const MIB: usize = 1 << 20;
        for (bytes, expected) in [
            (1, 1),
            (3 * MIB, 4 * MIB),
            (128 * MIB, 128 * MIB),
            // A power of two would be over the limit, the frame is not.
            (129 * MIB, MAX_SLOT_BYTES),
            (MAX_SLOT_BYTES, MAX_SLOT_BYTES),
            (MAX_SLOT_BYTES + 1, MAX_SLOT_BYTES + 1),
            (usize::MAX, usize::MAX),
        ] {
            assert_eq!(roomy(bytes), expected, "{bytes}");
        }
    }
}
