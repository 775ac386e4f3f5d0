//! Leaving out what comes faster than it is wanted.

use std::time::Duration;

use crate::host::clock::Tick;

/// Lets at most so many frames or windows a second through, evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    apart: Duration,
    due: Option<Tick>,
}

impl Pace {
    /// `None` lets everything through.
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        Self { apart: apart(per_second), due: None }
    }

    /// Changes the rate: the next one is due as long after the last as it says.
    pub(crate) fn change(&mut self, per_second: Option<f64>) {
        let before = std::mem::replace(&mut self.apart, apart(per_second));
        let last = |due: Tick| Tick::default().plus(due.since(Tick::default().plus(before)));
        self.due = self.due.map(|due| last(due).plus(self.apart));
    }

    /// The next one is let through, whenever it is.
    pub(crate) const fn begin_anew(&mut self) {
        self.due = None;
    }

    /// Whether a frame of this time is wanted. One is due every so often; one that is hardly too early is taken, or a camera
    /// that has just the wanted rate would lose half of its pictures to the jitter of its clock.
    pub(crate) fn lets_through(&mut self, captured: Tick) -> bool {
        if self.apart.is_zero() {
            return true;
        }
        let due = self.due.unwrap_or(captured);
        if captured.plus(self.apart / 4) < due {
            return false;
        }
        // After a pause it begins anew rather than catch up.
        let next = due.plus(self.apart);
        self.due = Some(if next < captured { captured.plus(self.apart) } else { next });
        true
    }
}

fn apart(per_second: Option<f64>) -> Duration {
    per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_through(fps: f64, times_ms: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut pace = Pace::new(Some(fps));
        times_ms.filter(|ms| pace.lets_through(Tick::from_ns(ms * 1_000_000))).collect()
    }

    #[test]
    fn the_rate_is_kept_evenly() {
        let of_thirty = let_through(10.0, (0..30).map(|number| number * 1000 / 30));
        assert_eq!(of_thirty.len(), 10, "{of_thirty:?}");
        assert!(of_thirty.windows(2).all(|pair| (66..=134).contains(&(pair[1] - pair[0]))), "{of_thirty:?}");
        // A camera of 10 whose clock jitters loses nothing.
        let late = [0, 13, 5, 20, 2].into_iter().cycle();
        let jittered = let_through(10.0, (10..60).zip(late).map(|(number, late)| number * 100 + late));
        assert_eq!(jittered.len(), 50);
    }

    #[test]
    fn a_pause_is_not_caught_up_with() {
        assert_eq!(let_through(10.0, [0, 5000, 5010, 5020, 5100, 5130].into_iter()), [0, 5000, 5100]);
    }

    #[test]
    fn without_a_rate_everything_passes() {
        let mut pace = Pace::new(None);
        assert!((0..10).all(|ns| pace.lets_through(Tick::from_ns(ns))));
    }

    #[test]
    fn another_rate_counts_from_the_last_that_was_let_through() {
        let mut pace = Pace::new(Some(0.01));
        let mut lets = |ms: u64, rate: Option<f64>| {
            if let Some(rate) = rate {
                pace.change(Some(rate));
            }
            pace.lets_through(Tick::from_ns(ms * 1_000_000))
        };
        assert_eq!([lets(1000, None), lets(2000, None)], [true, false]);
        assert!(lets(2000, Some(1.0)), "what was due after 100 s is due after one");
        assert_eq!([lets(2500, None), lets(3000, Some(0.5)), lets(4000, None)], [false, false, true]);
    }
}
