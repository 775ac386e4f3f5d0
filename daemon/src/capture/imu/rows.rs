//! Rows between a device and the frames that they leave in.

use std::time::Duration;

use inferd_core::frame::Format;

use crate::capture::live::{Feed, Trouble};
use crate::host::clock::Tick;
use crate::host::frames::Slot;

/// Rows of one device, as it gave them at once. Its room is used again and again.
#[derive(Debug)]
pub(super) struct Rows {
    width: usize,
    /// When each was measured, and how many the reader knows to be missing before it.
    times: Vec<(Tick, u64)>,
    /// In the kernel's units, `width` a row.
    values: Vec<f64>,
}

impl Rows {
    /// No rows, of so many values each.
    pub(super) const fn new(width: usize) -> Self {
        Self { width, times: Vec::new(), values: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Appends a row whose values `fill` appends.
    pub(super) fn add(&mut self, at: Tick, missing: u64, fill: impl FnOnce(&mut Vec<f64>)) {
        self.times.push((at, missing));
        fill(&mut self.values);
        self.values.resize(self.times.len() * self.width, 0.0);
    }

    /// The last row's values.
    pub(super) fn last(&mut self) -> &mut [f64] {
        let start = self.values.len().saturating_sub(self.width);
        &mut self.values[start..]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Tick, u64, &[f64])> {
        self.times
            .iter()
            .zip(self.values.chunks_exact(self.width))
            .map(|(&(at, missing), values)| (at, missing, values))
    }
}

/// Rows that are handed on at once, at most: what came together, goes together.
const MOST: usize = 64;

/// How long rows wait for others that go with them: as the kernel's buffer holds them back, so that both ways of reading give
/// at most 20 frames a second.
const GATHERED: Duration = Duration::from_millis(50);

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
    /// For rows of so many columns, which are gathered for a while where they come one by one.
    pub(super) fn new(rate_hz: f64, columns: usize, gathers: bool) -> Self {
        let channels = u16::try_from(columns).unwrap_or(u16::MAX);
        let format = Format::Imu { rate_hz: crate::capture::single(rate_hz), channels };
        // The next row comes a period later: what would be too old then goes now.
        let patience = GATHERED.saturating_sub(Duration::from_secs_f64(1.0 / rate_hz));
        let patience = if gathers { patience } else { Duration::ZERO };
        let (first, last) = (Tick::default(), Tick::default());
        Self { format, row_bytes: columns * 4, slot: None, filled: 0, first, last, patience }
    }

    /// Adds a row; a full frame is handed on.
    ///
    /// # Errors
    /// [`Trouble`] where there is no memory for it, or where the pipeline has stopped.
    pub(super) fn add(&mut self, at: Tick, row: &[f64], feed: &mut Feed) -> Result<(), Trouble> {
        let slot = match &mut self.slot {
            Some(slot) => slot,
            none => none.insert(feed.slots().take(self.row_bytes * MOST)?),
        };
        let place = &mut slot.space()[self.filled..self.filled + self.row_bytes];
        for (bytes, value) in place.chunks_exact_mut(4).zip(row) {
            bytes.copy_from_slice(&crate::capture::single(*value).to_le_bytes());
        }
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
