//! With lines, on which interpolation is exact.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn tick(ms: u64) -> Tick {
    Tick::from_ns(ms * MS)
}

/// Pushes a row; gives what comes of it.
fn push(grid: &mut Grid, device: usize, ms: u64, values: &[f64], beat: Beat) -> Vec<(u64, Vec<f64>)> {
    let mut row = vec![f64::NAN; grid.places.len()];
    grid.push(device, tick(ms), values, beat);
    let mut given = Vec::new();
    while let Some(step) = grid.next(&mut row) {
        given.push(match step {
            Step::Row(at) => (at.as_ns() / MS, row.clone()),
            Step::Lost(rows) => (0, vec![-(rows as f64)]),
        });
    }
    given
}

proptest! {
    #[test]
    fn lines_are_met_exactly_and_every_row_comes_once(
        rate_hz in 1.0..500.0_f64,
        device_hz in prop::collection::vec(1.0..500.0_f64, 1..4),
        starts_ns in prop::collection::vec(0..1_000_000_000_u64, 3),
        slope in -10.0..10.0_f64,
    ) {
        let places = (0..device_hz.len()).map(|device| (device, 0)).collect();
        let mut grid = Grid::new(rate_hz, &vec![1; device_hz.len()], places);
        let line = |device: usize, at: Tick| slope * at.as_ns() as f64 / 1e9 + device as f64;
        let mut arrivals: Vec<(u64, usize)> = device_hz.iter().enumerate().flat_map(|(device, hz)| {
            let start = starts_ns[device];
            (0..40_u64).map(move |number| (start + whole(number as f64 * 1e9 / hz), device))
        }).collect();
        arrivals.sort_unstable();
        let mut row = vec![0.0; device_hz.len()];
        let mut times = Vec::new();
        for (ns, device) in &arrivals {
            let at = Tick::from_ns(*ns);
            grid.push(*device, at, &[line(*device, at)], Beat::Next);
            while let Some(step) = grid.next(&mut row) {
                let Step::Row(at) = step else { return Err(TestCaseError::fail("nothing was lost")) };
                for (device, value) in row.iter().enumerate() {
                    prop_assert!((value - line(device, at)).abs() < 1e-6, "{} at {:?}", value, at);
                }
                times.push(at.as_ns());
            }
        }
        let first = *starts_ns[..device_hz.len()].iter().max().unwrap();
        let newest = |device: usize| arrivals.iter().filter(|arrival| arrival.1 == device).map(|arrival| arrival.0).max();
        let end = (0..device_hz.len()).filter_map(newest).min().unwrap();
        let expected: Vec<u64> = (0..).map(|number| first + whole(f64::from(number) * 1e9 / rate_hz)).take_while(|ns| *ns <= end).collect();
        prop_assert_eq!(times, expected);
    }
}

#[test]
fn two_devices_are_joined_where_both_have_passed() {
    let mut grid = Grid::new(100.0, &[2, 1], vec![(1, 0), (0, 1), (0, 0)]);
    assert_eq!(push(&mut grid, 0, 100, &[1.0, 10.0], Beat::Next), []);
    assert_eq!(push(&mut grid, 1, 104, &[0.0], Beat::Next), []);
    assert_eq!(push(&mut grid, 0, 108, &[2.0, 20.0], Beat::Next), [(104, vec![0.0, 15.0, 1.5])]);
    assert_eq!(push(&mut grid, 0, 116, &[3.0, 30.0], Beat::Next), [], "the other has not passed 114");
    assert_eq!(push(&mut grid, 1, 124, &[2.0], Beat::Next), [(114, vec![1.0, 27.5, 2.75])]);
}

#[test]
fn a_gap_is_not_bridged_and_is_counted_in_rows_of_the_grid() {
    let mut grid = Grid::new(100.0, &[1, 1], vec![(0, 0), (1, 0)]);
    push(&mut grid, 0, 100, &[0.0], Beat::Next);
    assert_eq!(push(&mut grid, 1, 100, &[0.0], Beat::Next), [(100, vec![0.0, 0.0])]);
    push(&mut grid, 0, 110, &[1.0], Beat::Next);
    assert_eq!(push(&mut grid, 1, 110, &[1.0], Beat::Next), [(110, vec![1.0, 1.0])]);
    let missing = "120 to 150 are missing: four rows";
    assert_eq!(push(&mut grid, 0, 155, &[5.5], Beat::Missed(3)), [(0, vec![-4.0])], "{missing}");
    assert_eq!(push(&mut grid, 1, 120, &[12.0], Beat::Next), []);
    let joined: Vec<_> =
        (13..=16).flat_map(|number| push(&mut grid, 1, number * 10, &[number as f64], Beat::Next)).collect();
    assert_eq!(joined, [(155, vec![5.5, 15.5])]);
}

#[test]
fn a_clock_that_was_set_begins_the_grid_anew() {
    let mut grid = Grid::new(100.0, &[1], vec![(0, 0)]);
    push(&mut grid, 0, 1000, &[0.0], Beat::Next);
    assert_eq!(push(&mut grid, 0, 500, &[7.0], Beat::Back), [(0, vec![-1.0]), (500, vec![7.0])]);
    assert_eq!(push(&mut grid, 0, 510, &[8.0], Beat::Next), [(510, vec![8.0])]);
    // The other device's rows are by the clock as it was before: they are nothing to join with.
    let mut grid = Grid::new(100.0, &[1, 1], vec![(0, 0), (1, 0)]);
    push(&mut grid, 1, 1000, &[0.0], Beat::Next);
    push(&mut grid, 0, 1000, &[0.0], Beat::Next);
    assert_eq!(push(&mut grid, 0, 500, &[7.0], Beat::Back), []);
    assert_eq!(push(&mut grid, 1, 500, &[9.0], Beat::Back), []);
    assert_eq!(push(&mut grid, 0, 510, &[8.0], Beat::Next), [(0, vec![-1.0])]);
    assert_eq!(push(&mut grid, 1, 520, &[10.0], Beat::Next), [(510, vec![8.0, 9.5])]);
}

#[test]
fn a_device_that_lags_is_told() {
    let mut grid = Grid::new(100.0, &[1, 1], vec![(0, 0), (1, 0)]);
    for ms in (0..=200).step_by(10) {
        push(&mut grid, 0, ms, &[0.0], Beat::Next);
    }
    assert_eq!(grid.laggard(Duration::from_millis(200)), None);
    assert_eq!(grid.laggard(Duration::from_millis(199)), Some(1));
    for ms in (0..=190).step_by(10) {
        push(&mut grid, 1, ms, &[0.0], Beat::Next);
    }
    assert_eq!(grid.laggard(Duration::from_millis(100)), None);
}
