//! Which way rows go, and what overruns are.

use super::*;

/// Pushes rows at these times; gives the times of what comes, and what was lost before.
fn times(join: &mut Join, at_us: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut lost = 0;
    let mut given = Vec::new();
    let mut row = [0.0; 1];
    for at_us in at_us {
        join.push(0, Tick::from_ns(at_us * 1000), 0, &[at_us as f64]);
        while let Some(step) = join.next(&mut row) {
            match step {
                Step::Lost(rows) => lost += rows,
                Step::Row(at) => given.push((at.as_ns() / 1000, std::mem::take(&mut lost))),
            }
        }
    }
    given
}

#[test]
fn one_device_of_the_wanted_rate_is_handed_on_as_it_is() {
    let mut join = Join::new(100.0, &[(Some(104.0), 1)], vec![(0, 0)]);
    let jittery = [0, 9_800, 19_100, 28_700, 38_500];
    assert_eq!(times(&mut join, jittery), jittery.map(|at_us| (at_us, 0)));
}

#[test]
fn other_rates_go_by_the_grid() {
    for device_hz in [Some(200.0), Some(50.0), Some(106.0), None] {
        let mut join = Join::new(100.0, &[(device_hz, 1)], vec![(0, 0)]);
        let at_us = (0..=10).map(|number| number * 4000 + 1000);
        assert_eq!(times(&mut join, at_us), [1000, 11_000, 21_000, 31_000, 41_000].map(|at_us| (at_us, 0)));
    }
}

#[test]
fn more_than_two_and_a_half_periods_are_an_overrun() {
    for (gap_us, lost) in [(25_000, 0), (25_100, 2), (40_000, 3), (1_000_000, 99)] {
        let mut join = Join::new(100.0, &[(Some(100.0), 1)], vec![(0, 0)]);
        let given = times(&mut join, [0, 10_000, 10_000 + gap_us, 20_000 + gap_us]);
        assert_eq!(given, [(0, 0), (10_000, 0), (10_000 + gap_us, lost), (20_000 + gap_us, 0)], "{gap_us} us");
    }
}

#[test]
fn rows_that_were_not_read_in_time_are_lost() {
    let mut join = Join::new(100.0, &[(Some(100.0), 1)], vec![(0, 0)]);
    let mut row = [0.0];
    join.push(0, Tick::from_ns(1), 0, &[1.0]);
    assert_eq!(join.next(&mut row), Some(Step::Row(Tick::from_ns(1))));
    join.push(0, Tick::from_ns(20_000_001), 1, &[1.0]);
    assert_eq!(join.next(&mut row), Some(Step::Lost(1)));
    assert_eq!(join.next(&mut row), Some(Step::Row(Tick::from_ns(20_000_001))));
    assert_eq!(join.next(&mut row), None);
}

#[test]
fn a_device_that_does_not_keep_its_word_is_interpolated() {
    // It says 100 Hz and measures at 80.
    let mut join = Join::new(100.0, &[(Some(100.0), 1)], vec![(0, 0)]);
    let given = times(&mut join, (0..400).map(|number| number * 12_500));
    let steps: Vec<u64> = given.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(steps[0], 12_500);
    assert!(steps[200..].iter().all(|step| *step == 10_000), "{steps:?}");
    assert!(given.iter().all(|(_, lost)| *lost == 0));
}

#[test]
fn a_device_of_quite_another_rate_is_believed_in_the_end() {
    // It says 100 Hz and measures at 10.
    let mut join = Join::new(100.0, &[(Some(100.0), 1)], vec![(0, 0)]);
    let given = times(&mut join, (0..400).map(|number| number * 100_000));
    let steps: Vec<u64> = given.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(steps[200..].iter().all(|step| *step == 10_000));
    let lost: Vec<u64> = given.iter().map(|(_, lost)| *lost).filter(|lost| *lost > 0).collect();
    assert_eq!(lost, [9; 8], "overruns as long as the device is not believed");
}
