//! Reading a device by its buffer.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use super::calibrate::Calibration;
use super::rows::Rows;
use super::setup::{Ready, Stamps};
use crate::capture::live::is_plausible;
use crate::host::clock::{Clock, Tick};

/// Scans that are read at once, at most: half a second of the fastest sensors comes in a few reads.
const SCANS: usize = 128;

/// A device whose buffer is on. The buffer is off once it is dropped.
#[derive(Debug)]
pub(super) struct Buffered {
    ready: Ready,
    calibration: Calibration,
    /// Room for scans, and how far it is filled: a scan may come in two reads.
    bytes: Vec<u8>,
    filled: usize,
    /// When the last row was measured.
    last: Option<Tick>,
}

impl Buffered {
    pub(super) fn new(ready: Ready, calibration: Calibration) -> Self {
        let bytes = vec![0; ready.layout.bytes * SCANS];
        Self { ready, calibration, bytes, filled: 0, last: None }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.node.as_fd()
    }

    pub(super) const fn rate_hz(&self) -> Option<f64> {
        self.ready.rate_hz
    }

    /// Appends the rows that there are, up to one read's. Gives whether there may be more.
    ///
    /// # Errors
    /// What the system said of a device that has gone.
    pub(super) fn read(&mut self, clock: &Clock, rows: &mut Rows) -> io::Result<bool> {
        let more = match self.ready.node.read(&mut self.bytes[self.filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => more,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let was_filled = self.filled + more == self.bytes.len();
        self.filled += more;
        self.decode(clock, rows);
        Ok(was_filled)
    }

    fn decode(&mut self, clock: &Clock, rows: &mut Rows) {
        let scan_bytes = self.ready.layout.bytes;
        let scans = self.filled / scan_bytes;
        let spread = Spread::over(scans, self.last, clock.now(), self.ready.rate_hz);
        for (number, scan) in self.bytes[..scans * scan_bytes].chunks_exact(scan_bytes).enumerate() {
            let at = self.measured(scan, clock).unwrap_or_else(|| spread.at(number));
            rows.add(at, 0, |values| self.ready.layout.decode(scan, values));
            self.calibration.apply(rows.last());
            self.last = Some(at);
        }
        self.bytes.copy_within(scans * scan_bytes..self.filled, 0);
        self.filled -= scans * scan_bytes;
    }

    /// When a scan was made, as far as the device says.
    fn measured(&self, scan: &[u8], clock: &Clock) -> Option<Tick> {
        let ns = self.ready.layout.timestamp(scan)?;
        let told = match self.ready.stamps {
            Stamps::Monotonic => clock.at_monotonic_ns(u64::try_from(ns).unwrap_or(0)),
            Stamps::Unix => clock.at_unix_ns(ns),
            Stamps::Absent => return None,
        };
        // Some drivers leave the time to an interrupt that does not come: it stands still, or is none.
        let is_new = self.last.is_none_or(|last| told != last);
        is_plausible(told, clock.now()).then_some(told).filter(|_| is_new)
    }
}

/// The times of rows that were read at once from a device that does not say when it measured them: evenly over the time since
/// the last one, so that they neither overlap nor drift; after a silence that is too long for that, back from now by the
/// device's period.
#[derive(Clone, Copy, Debug)]
struct Spread {
    first_ns: u64,
    step_ns: f64,
}

impl Spread {
    fn over(rows: usize, last: Option<Tick>, now: Tick, rate_hz: Option<f64>) -> Self {
        let rows = rows.max(1) as f64;
        let period_ns = rate_hz.map_or(1e6, |rate_hz| 1e9 / rate_hz);
        let step_ns = match last {
            Some(last) => {
                let since_ns = now.since(last).as_nanos() as f64;
                let is_gap = rate_hz.is_some() && since_ns > (rows + 1.5) * period_ns;
                if is_gap { period_ns } else { since_ns / rows }
            }
            None => period_ns,
        };
        let back = super::pace::whole((rows - 1.0) * step_ns);
        Self { first_ns: now.as_ns().saturating_sub(back), step_ns }
    }

    fn at(&self, number: usize) -> Tick {
        Tick::from_ns(self.first_ns + super::pace::whole(number as f64 * self.step_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(rows: usize, last_ms: Option<u64>, now_ms: u64, rate_hz: Option<f64>) -> Vec<u64> {
        let tick = |ms| Tick::from_ns(ms * 1_000_000);
        let spread = Spread::over(rows, last_ms.map(tick), tick(now_ms), rate_hz);
        (0..rows).map(|number| spread.at(number).as_ns() / 1_000_000).collect()
    }

    #[test]
    fn rows_without_a_time_are_spread_over_the_time_since_the_last() {
        for (rows, last_ms, now_ms, rate_hz, expected) in [
            (4, None, 1000, Some(100.0), vec![970, 980, 990, 1000]),
            (4, Some(960), 1000, Some(100.0), vec![970, 980, 990, 1000]),
            // A reader that is late or a clock that is fast: neither overlaps nor drifts.
            (4, Some(952), 1000, Some(100.0), vec![964, 976, 988, 1000]),
            (2, Some(990), 1000, Some(100.0), vec![995, 1000]),
            // Too long for two rows: the gap stays one.
            (2, Some(900), 1000, Some(100.0), vec![990, 1000]),
            (2, Some(900), 1000, None, vec![950, 1000]),
            (1, Some(990), 1000, Some(100.0), vec![1000]),
        ] {
            assert_eq!(times(rows, last_ms, now_ms, rate_hz), expected, "{rows} rows, {last_ms:?} to {now_ms}");
        }
    }
}
