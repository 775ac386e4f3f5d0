//! Rows as a device gives them.

use crate::host::clock::Tick;

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
