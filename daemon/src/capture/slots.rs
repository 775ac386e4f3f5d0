//! Where sources put their frames.

use std::time::Duration;

use super::error::SourceError;
use super::queue::FrameQueue;
use crate::host::frames::{MAX_SLOT_BYTES, Pool, Slot};

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

    /// A slot with these bytes.
    pub(super) fn filled(&mut self, bytes: &[u8]) -> Result<Slot, SourceError> {
        let mut slot = self.take(bytes.len())?;
        slot.space()[..bytes.len()].copy_from_slice(bytes);
        slot.set_len(bytes.len());
        Ok(slot)
    }

    /// A slot with room for `bytes`; waits while all are in use.
    pub(super) fn take(&mut self, bytes: usize) -> Result<Slot, SourceError> {
        let pool = match &self.pool {
            Some(pool) if pool.slot_bytes() >= bytes => pool,
            _ => self.pool.insert(Pool::new(self.count, roomy(bytes))?),
        };
        loop {
            let waiting = self.queue.attendance().wait();
            let taken = pool.take(PATIENCE);
            drop(waiting);
            if let Some(slot) = taken {
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
