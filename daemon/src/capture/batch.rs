//! Rows of sensor values that leave together.

use std::time::Duration;

use inferd_core::frame::Format;

use super::live::{Feed, Trouble};
use crate::host::clock::Tick;
use crate::host::frames::Slot;

/// Rows that are handed on at once, at most: what came together, goes together.
const MOST: usize = 64;

/// How long rows that come one by one wait for others: as the kernel's buffer holds them back, so that both ways of reading give
/// at most 20 frames a second.
pub(super) const GATHERED: Duration = Duration::from_millis(50);

/// The frame that is being filled: 32-bit floats, little-endian, a row after the other.
pub(super) struct Batch {
    format: Format,
    row_bytes: usize,
    slot: Option<Slot>,
    filled: usize,
    first: Tick,
    last: Tick,
    /// How old its first row becomes.
    patience: Duration,
}

impl Batch {
    /// For rows of so many columns, which are gathered for so long where they come one by one.
    pub(super) fn new(rate_hz: f64, columns: usize, gathered: Duration) -> Self {
        let channels = u16::try_from(columns).unwrap_or(u16::MAX);
        let format = Format::Imu { rate_hz: super::single(rate_hz), channels };
        // The next row comes a period later: what would be too old then goes now.
        let period = Duration::try_from_secs_f64(1.0 / rate_hz).unwrap_or(Duration::MAX);
        let patience = gathered.saturating_sub(period);
        let (first, last) = (Tick::default(), Tick::default());
        Self { format, row_bytes: columns * 4, slot: None, filled: 0, first, last, patience }
    }

    /// Adds a row that `fill` writes; a full frame is handed on.
    ///
    /// # Errors
    /// [`Trouble`] where there is no memory for it, or where the pipeline has stopped.
    pub(super) fn add(&mut self, at: Tick, feed: &mut Feed, fill: impl FnOnce(&mut [u8])) -> Result<(), Trouble> {
        let slot = match &mut self.slot {
            Some(slot) => slot,
            none => none.insert(feed.slots().take(self.row_bytes * MOST)?),
        };
        fill(&mut slot.space()[self.filled..self.filled + self.row_bytes]);
        if self.filled == 0 {
            self.first = at;
        }
        self.filled += self.row_bytes;
        self.last = at;
        if self.filled == self.row_bytes * MOST { self.flush(feed) } else { Ok(()) }
    }

    /// Hands on what has waited long enough.
    ///
    /// # Errors
    /// [`Trouble`] where the pipeline has stopped.
    pub(super) fn flush_old(&mut self, feed: &mut Feed) -> Result<(), Trouble> {
        let is_young = self.filled > 0 && feed.clock().now().since(self.first) < self.patience;
        if is_young { Ok(()) } else { self.flush(feed) }
    }

    /// Hands on what there is.
    ///
    /// # Errors
    /// [`Trouble`] where the pipeline has stopped.
    pub(super) fn flush(&mut self, feed: &mut Feed) -> Result<(), Trouble> {
        let Some(mut slot) = self.slot.take() else { return Ok(()) };
        slot.set_len(std::mem::take(&mut self.filled));
        feed.hand_on(slot, self.format, self.last)
    }
}
