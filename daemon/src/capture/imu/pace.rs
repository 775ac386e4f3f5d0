//! Whether a device's rows follow each other: by their times, which is the only way to know of an overrun.

use crate::host::clock::Tick;

/// Periods from one row to the next that are an overrun: a device's clock may jitter by half a period, and one row that came
/// late is no loss.
const OVERRUN: f64 = 2.5;

/// Periods that are measured where a device does not say its rate.
const MEASURED: u32 = 8;

/// Overruns in a row after which the device is believed rather than the rate that it was said to have.
const BELIEVED: u32 = 8;

/// How a row follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// It is the next one.
    Next,
    /// So many are missing before it.
    Missed(u64),
    /// Its time is not later: the device's clock was set.
    Back,
}

/// The times of a device's rows.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    period_ns: Option<f64>,
    last: Option<Tick>,
    /// When measuring began, and periods since.
    measured: Option<(Tick, u32)>,
    overruns: u32,
}

impl Pace {
    /// Of a device that measures so often.
    pub(super) fn new(rate_hz: Option<f64>) -> Self {
        Self { period_ns: rate_hz.map(|rate_hz| 1e9 / rate_hz), last: None, measured: None, overruns: 0 }
    }

    /// Takes the next row's time.
    pub(super) fn beat(&mut self, at: Tick) -> Beat {
        let Some(last) = self.last.replace(at) else { return Beat::Next };
        if at <= last {
            self.measured = None;
            return Beat::Back;
        }
        let Some(period_ns) = self.period_ns else {
            self.measure(last, at);
            return Beat::Next;
        };
        let periods = at.since(last).as_nanos() as f64 / period_ns;
        if periods <= OVERRUN {
            self.overruns = 0;
            return Beat::Next;
        }
        self.overruns += 1;
        if self.overruns == BELIEVED {
            (self.period_ns, self.overruns) = (None, 0);
        }
        Beat::Missed(whole(periods - 1.0).max(1))
    }

    fn measure(&mut self, last: Tick, at: Tick) {
        let (begun, periods) = self.measured.unwrap_or((last, 0));
        self.measured = Some((begun, periods + 1));
        if periods + 1 == MEASURED {
            self.period_ns = Some(at.since(begun).as_nanos() as f64 / f64::from(MEASURED));
            self.measured = None;
        }
    }
}

/// A count that a number is nearest to.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of numbers saturate")]
pub(super) fn whole(number: f64) -> u64 {
    number.round() as u64
}
