//! From devices' rows to the source's rows: straight on where one device measures as often as is wanted, else by a grid.

use inferd_core::manifest::ImuInput;

use super::grid::{Grid, Step};
use super::pace::{Beat, Pace};
use crate::host::clock::Tick;

/// Periods after which a device's own clock is known well enough.
const PROOF: u64 = 128;

/// How rows become the source's rows. [`next`](Self::next) gives all that there is before the next [`push`](Self::push).
#[derive(Debug)]
pub(super) struct Join {
    rate_hz: f64,
    paces: Vec<Pace>,
    places: Vec<(usize, usize)>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Straight(Straight),
    Grid(Grid),
}

/// The only device's rows, as they are.
#[derive(Debug, Default)]
struct Straight {
    values: Vec<f64>,
    waiting: Option<Tick>,
    lost: u64,
    /// When counting began, and periods since.
    counted: Option<(Tick, u64)>,
}

impl Join {
    /// For devices that measure so often and give so many values a row; `places` says for each column whose value it is.
    pub(super) fn new(rate_hz: f64, devices: &[(Option<f64>, usize)], places: Vec<(usize, usize)>) -> Self {
        let paces = devices.iter().map(|(device_hz, _)| Pace::new(*device_hz)).collect();
        let way = match devices {
            [(Some(device_hz), _)] if is_near(*device_hz, rate_hz) => Way::Straight(Straight::default()),
            devices => Way::Grid(grid(rate_hz, devices.iter().map(|(_, width)| *width), &places)),
        };
        Self { rate_hz, paces, places, way }
    }

    /// Takes a row of a device; `missing` are known to be lost before it.
    pub(super) fn push(&mut self, device: usize, at: Tick, missing: u64, values: &[f64]) {
        let beat = match self.paces[device].beat(at) {
            Beat::Next if missing > 0 => Beat::Missed(missing),
            beat => beat,
        };
        match &mut self.way {
            Way::Grid(grid) => grid.push(device, at, values, beat),
            Way::Straight(straight) => {
                straight.push(at, values, beat);
                if let Some(device_hz) = straight.proven_hz(at)
                    && !is_near(device_hz, self.rate_hz)
                {
                    tracing::warn!(
                        device_hz,
                        wanted_hz = self.rate_hz,
                        "the sensor's rate is not what it says; rows are interpolated"
                    );
                    let mut grid = grid(self.rate_hz, std::iter::once(values.len()), &self.places);
                    grid.push(device, at, values, Beat::Next);
                    self.way = Way::Grid(grid);
                }
            }
        }
    }

    /// The next row of the source, into `row`, or what is missing before it.
    pub(super) fn next(&mut self, row: &mut [f64]) -> Option<Step> {
        match &mut self.way {
            Way::Grid(grid) => grid.next(row),
            Way::Straight(straight) => straight.next(row, &self.places),
        }
    }

    /// A device without which no row can be given although others have gone on.
    pub(super) fn laggard(&self, most: std::time::Duration) -> Option<usize> {
        match &self.way {
            Way::Grid(grid) => grid.laggard(most),
            Way::Straight(_) => None,
        }
    }
}

fn grid(rate_hz: f64, widths: impl Iterator<Item = usize>, places: &[(usize, usize)]) -> Grid {
    Grid::new(rate_hz, &widths.collect::<Vec<_>>(), places.to_vec())
}

fn is_near(device_hz: f64, wanted_hz: f64) -> bool {
    (device_hz - wanted_hz).abs() <= wanted_hz * ImuInput::RATE_TOLERANCE
}

impl Straight {
    fn push(&mut self, at: Tick, values: &[f64], beat: Beat) {
        self.values.clear();
        self.values.extend_from_slice(values);
        self.waiting = Some(at);
        if let Beat::Missed(rows) = beat {
            self.lost += rows;
        }
        self.counted = match (beat, self.counted) {
            (Beat::Next, Some((begun, periods))) => Some((begun, periods + 1)),
            _ => Some((at, 0)),
        };
    }

    /// How often the device really measures, once and again that is known.
    fn proven_hz(&mut self, at: Tick) -> Option<f64> {
        let (begun, periods) = self.counted.filter(|(_, periods)| *periods == PROOF)?;
        self.counted = Some((at, 0));
        Some(periods as f64 / at.since(begun).as_secs_f64())
    }

    fn next(&mut self, row: &mut [f64], places: &[(usize, usize)]) -> Option<Step> {
        if self.lost > 0 {
            return Some(Step::Lost(std::mem::take(&mut self.lost)));
        }
        let at = self.waiting.take()?;
        for (value, (_, place)) in row.iter_mut().zip(places) {
            *value = self.values[*place];
        }
        Some(Step::Row(at))
    }
}

#[cfg(test)]
mod tests;
