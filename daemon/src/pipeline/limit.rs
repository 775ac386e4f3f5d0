//! Which windows are served: at most so many a second, and fewer while the machine is hot.

use inferd_core::Name;

use crate::capture::Pace;
use crate::config::Power;
use crate::host::clock::Tick;
use crate::host::thermal::Thermal;

/// Degrees below the temperature at which a pipeline is slowed down that it must be for the pipeline to be fast again: it is
/// not to change its pace with every tenth of a degree.
const COOLED_BY: f64 = 5.0;

/// Says which windows are wanted.
#[derive(Debug)]
pub(super) struct Limit {
    pipeline: Name,
    pace: Pace,
    usual: Option<f64>,
    heat: Option<Heat>,
    skipped: [u64; 2],
}

/// What is done where it is hot.
#[derive(Debug)]
struct Heat {
    thermal: Thermal,
    above_c: f64,
    per_second: f64,
    is_hot: bool,
}

impl Limit {
    pub(super) fn new(pipeline: &Name, power: &Power, thermal: Thermal) -> Self {
        let usual = power.max_per_second;
        let heat = power.slow_above_c.zip(power.slow_to_per_second).map(|(above_c, per_second)| {
            if thermal.hottest_c().is_none() {
                tracing::warn!(%pipeline, "this machine does not say how hot it is: `slow_above_c` does nothing");
            }
            let per_second = usual.map_or(per_second, |usual| usual.min(per_second));
            Heat { thermal, above_c, per_second, is_hot: false }
        });
        Self { pipeline: pipeline.clone(), pace: Pace::new(usual), usual, heat, skipped: [0; 2] }
    }

    /// Whether a window whose last sample was taken then is wanted; counts it where it is not.
    pub(super) fn wants(&mut self, taken: Tick) -> bool {
        if let Some(heat) = &mut self.heat
            && heat.has_changed(&self.pipeline)
        {
            self.pace.change(if heat.is_hot { Some(heat.per_second) } else { self.usual });
        }
        let is_wanted = self.pace.lets_through(taken);
        let reason = usize::from(self.heat.as_ref().is_some_and(|heat| heat.is_hot));
        self.skipped[reason] += u64::from(!is_wanted);
        is_wanted
    }

    /// The next window is wanted, whenever it was taken.
    pub(super) const fn begin_anew(&mut self) {
        self.pace.begin_anew();
    }

    /// Windows that were left out: for the usual limit, for the temperature.
    pub(super) const fn skipped(&self) -> [u64; 2] {
        self.skipped
    }
}

impl Heat {
    /// Looks at the temperature; tells whether it has become hot, or has cooled down.
    fn has_changed(&mut self, pipeline: &Name) -> bool {
        let Some(now_c) = self.thermal.hottest_c() else { return false };
        let is_hot = if self.is_hot { now_c > self.above_c - COOLED_BY } else { now_c > self.above_c };
        let has_changed = is_hot != self.is_hot;
        if has_changed && is_hot {
            tracing::warn!(%pipeline, celsius = now_c, per_second = self.per_second, "hot: fewer windows are served");
        } else if has_changed {
            tracing::info!(%pipeline, celsius = now_c, "cooled down: windows are served as before");
        }
        self.is_hot = is_hot;
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(max_per_second: Option<f64>, slow: Option<(f64, f64)>, thermal: &Thermal) -> Limit {
        let (slow_above_c, slow_to_per_second) = slow.unzip();
        let power = Power { max_per_second, slow_above_c, slow_to_per_second, ..Power::default() };
        Limit::new(&"belt".parse().unwrap(), &power, thermal.clone())
    }

    /// Of windows at a hundred a second, how many are wanted in each second.
    fn wanted(limit: &mut Limit, seconds: std::ops::Range<u64>) -> Vec<usize> {
        let in_second = |limit: &mut Limit, second: u64| {
            (0..100).filter(|hundredth| limit.wants(Tick::from_ns((second * 100 + hundredth) * 10_000_000))).count()
        };
        seconds.map(|second| in_second(limit, second)).collect()
    }

    #[test]
    fn only_so_many_windows_a_second_are_wanted_and_the_rest_is_counted() {
        let mut limit = limit(Some(4.0), None, &Thermal::unknown());
        // What is hardly too early is taken: it is no more over time.
        assert_eq!(wanted(&mut limit, 0..4), [5, 4, 4, 4]);
        assert_eq!(limit.skipped(), [400 - 17, 0]);
    }

    #[test]
    fn what_is_hot_is_slow_until_it_is_five_degrees_cooler() {
        let thermal = Thermal::unknown();
        let mut limit = limit(Some(20.0), Some((80.0, 2.0)), &thermal);
        let mut at = |celsius: f64, second: u64| {
            thermal.set_hottest_c(celsius);
            wanted(&mut limit, second..second + 3)[2]
        };
        let speeds = [(79.0, 20), (80.0, 20), (80.5, 2), (79.0, 2), (75.5, 2), (75.0, 20), (79.9, 20), (81.0, 2)];
        for (number, (celsius, expected)) in (0..).zip(speeds) {
            assert_eq!(at(celsius, number * 3), expected, "the {number}th, at {celsius}");
        }
        let [usual, hot] = limit.skipped();
        assert!((4 * 3 * 80 - 10..=4 * 3 * 80 + 10).contains(&usual), "{usual}");
        assert!((4 * 3 * 98 - 10..=4 * 3 * 98 + 10).contains(&hot), "{hot}");
    }

    #[test]
    fn a_machine_without_a_limit_is_slowed_down_by_heat_alone() {
        let thermal = Thermal::unknown();
        let mut limit = limit(None, Some((80.0, 2.0)), &thermal);
        assert_eq!(wanted(&mut limit, 0..1), [100], "how hot it is is not known");
        thermal.set_hottest_c(90.0);
        assert_eq!(wanted(&mut limit, 1..4), [3, 2, 2]);
        thermal.set_hottest_c(60.0);
        assert_eq!(wanted(&mut limit, 4..5), [100]);
        assert_eq!(limit.skipped(), [0, 300 - 7]);
    }
}
