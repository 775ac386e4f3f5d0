//! Rows of one or several devices, made rows of one rate.
//!
//! Devices measure when their own clocks say so. The rows that leave are on a regular grid of the wanted rate on the clock
//! that only goes forward, each value on the line between its two neighbours in time, t0 <= g < t1:
//!
//! v(g) = v0 + (v1 - v0) * (g - t0) / (t1 - t0)
//!
//! A line needs no more than the next row, so it costs one period of delay, it invents no value beyond those measured, and
//! for a signal of frequency f at a device's rate r its error is at most (pi f / r)^2 / 2 of the amplitude, small where sensors
//! of motion measure several times faster than what they are looked at for. It is no filter: what a device measures above
//! half the wanted rate folds into the rows, which is why devices are set to the slowest rate that reaches it (`rate.rs`).
//!
//! Invariants:
//! - A grid row is given once every device has passed its time, in order, each exactly once.
//! - A grid spans no gap: after an overrun, or a clock that was set, it begins anew where all devices have rows again. What
//!   is not given in between is counted, in rows of the grid.
//! - Waiting rows are bounded by the time by which a device may lag, and that by [`LONGEST_LAG`].

use std::collections::VecDeque;
use std::time::Duration;

use super::pace::{Beat, whole};
use crate::host::clock::Tick;

/// How far a device may be behind another.
pub(super) const LONGEST_LAG: Duration = Duration::from_secs(10);

/// What comes of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A row of this time.
    Row(Tick),
    /// So many rows are missing before the next one.
    Lost(u64),
}

/// Rows on their way to a regular grid.
#[derive(Debug)]
pub(super) struct Grid {
    period_ns: f64,
    tracks: Vec<Track>,
    /// For each column of a grid row: which device, and which of its values.
    places: Vec<(usize, usize)>,
    begun: Option<Tick>,
    /// Grid rows since it began.
    given: u64,
    /// The row that would have come next when it was broken off.
    broken_off: Option<Tick>,
}

/// One device's rows around the next grid row.
#[derive(Debug)]
struct Track {
    width: usize,
    times: VecDeque<Tick>,
    /// `width` values a time.
    values: VecDeque<f64>,
}

impl Grid {
    /// A grid of this rate for devices of so many values a row each.
    pub(super) fn new(rate_hz: f64, widths: &[usize], places: Vec<(usize, usize)>) -> Self {
        let track = |&width: &usize| Track { width, times: VecDeque::new(), values: VecDeque::new() };
        Self {
            period_ns: 1e9 / rate_hz,
            tracks: widths.iter().map(track).collect(),
            places,
            begun: None,
            given: 0,
            broken_off: None,
        }
    }

    /// Takes a device's row, after [`next`](Self::next) has given all that there was.
    pub(super) fn push(&mut self, device: usize, at: Tick, values: &[f64], beat: Beat) {
        if beat != Beat::Next {
            self.break_off();
            let track = &mut self.tracks[device];
            track.times.clear();
            track.values.clear();
        }
        if beat == Beat::Back {
            // The others' rows are by the clock as it was before.
            for track in &mut self.tracks {
                track.times.clear();
                track.values.clear();
            }
        }
        let track = &mut self.tracks[device];
        track.times.push_back(at);
        track.values.extend(values);
    }

    /// The next grid row that all devices have passed, into `row`.
    pub(super) fn next(&mut self, row: &mut [f64]) -> Option<Step> {
        let Some(begun) = self.begun else {
            let lost = self.begin()?;
            return if lost > 0 { Some(Step::Lost(lost)) } else { self.next(row) };
        };
        let at = begun.plus(self.offset(self.given));
        let passed = self.tracks.iter_mut().all(|track| track.approach(at));
        if !passed {
            return None;
        }
        for (value, &(device, place)) in row.iter_mut().zip(&self.places) {
            *value = self.tracks[device].value(at, place);
        }
        self.given += 1;
        Some(Step::Row(at))
    }

    /// The device that is more than this behind another, if one is.
    pub(super) fn laggard(&self, most: Duration) -> Option<usize> {
        let waits = |track: &Track| track.times.back().zip(track.times.front()).map(|(last, first)| last.since(*first));
        let longest = self.tracks.iter().filter_map(waits).max()?;
        if longest <= most {
            return None;
        }
        let newest = |(_, track): &(usize, &Track)| track.times.back().copied();
        self.tracks.iter().enumerate().min_by_key(newest).map(|(device, _)| device)
    }

    fn offset(&self, rows: u64) -> Duration {
        Duration::from_nanos(whole(rows as f64 * self.period_ns))
    }

    fn break_off(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.broken_off = Some(begun.plus(self.offset(self.given)));
        }
    }

    /// Begins with the first time that all devices have reached. Gives how many rows are missing before it.
    fn begin(&mut self) -> Option<u64> {
        let mut begun = Tick::default();
        for track in &self.tracks {
            begun = begun.max(*track.times.front()?);
        }
        (self.begun, self.given) = (Some(begun), 0);
        let Some(expected) = self.broken_off.take() else { return Some(0) };
        let missing = begun.since(expected).as_nanos() as f64 / self.period_ns;
        Some(whole(missing).max(1))
    }
}

impl Track {
    /// Drops what is before the two rows around a time. `false` where they are not there yet.
    fn approach(&mut self, at: Tick) -> bool {
        while self.times.get(1).is_some_and(|next| *next <= at) {
            self.times.pop_front();
            self.values.drain(..self.width);
        }
        match (self.times.front(), self.times.get(1)) {
            (Some(before), None) => *before == at,
            (Some(before), Some(_)) => *before <= at,
            (None, _) => false,
        }
    }

    /// A value at a time that was approached.
    fn value(&self, at: Tick, place: usize) -> f64 {
        let (before, first) = (self.times[0], self.values[place]);
        match self.times.get(1) {
            Some(after) if before < at => {
                let part = at.since(before).as_nanos() as f64 / after.since(before).as_nanos() as f64;
                first + (self.values[self.width + place] - first) * part
            }
            _ => first,
        }
    }
}

#[cfg(test)]
mod tests;
