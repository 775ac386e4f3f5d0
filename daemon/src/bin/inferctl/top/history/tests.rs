use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn counts(windows: u64, uncertain: u64, dropped: u64) -> Counts {
    Counts { windows, uncertain, dropped, ..Counts::default() }
}

fn scored(latency_ms: f64, confidence: Option<f64>) -> Seen {
    Seen { latency_ms, confidence, ..Seen::default() }
}

#[test]
fn shares_are_of_the_last_minute_and_not_of_all_time() {
    let mut history = History::default();
    // A hundred uncertain windows long ago, then ten a second of which one is uncertain and one frame in ten is dropped.
    history.read(at(0), &counts(100, 100, 50));
    for second in 1..=100 {
        history.read(at(second), &counts(100 + second * 10, 100 + second, 50 + second));
    }
    assert_eq!(history.uncertain_share(), Some(0.1));
    assert_eq!(history.dropped_lately(), 60);
}

#[test]
fn with_nothing_counted_there_is_no_share_no_mean_and_no_trend() {
    let mut history = History::default();
    history.read(at(0), &counts(0, 0, 0));
    history.read(at(1), &counts(0, 0, 0));
    assert_eq!((history.uncertain_share(), history.confidence(), history.worst_ms()), (None, None, None));
    assert_eq!(history.stages(), None);
    assert_eq!(history.latency_trend(at(1), 30), vec![None; 30]);
    // Outcomes without a score, as those of a regression, have no mean.
    history.saw(at(1), scored(2.0, None));
    assert_eq!((history.confidence(), history.worst_ms()), (None, Some(2.0)));
}

#[test]
fn a_pipeline_that_was_started_again_counts_from_there() {
    let mut history = History::default();
    history.read(at(0), &counts(1000, 0, 10));
    history.read(at(1), &counts(1010, 10, 12));
    history.read(at(2), &counts(4, 0, 0));
    assert_eq!((history.uncertain_share(), history.dropped_lately()), (None, 0));
    history.read(at(3), &counts(8, 1, 0));
    assert_eq!(history.uncertain_share(), Some(0.25));
}

#[test]
fn what_is_remembered_is_bounded_however_much_and_however_often_it_comes() {
    let mut history = History::default();
    for millisecond in 0..200_000 {
        let now = Duration::from_millis(millisecond);
        history.saw(now, scored(1.0, Some(0.5)));
        history.read(now, &counts(millisecond, 0, 0));
    }
    assert_eq!(history.kept(), MAX_OUTCOMES);
    assert!(history.readings.len() <= MAX_READINGS, "{}", history.readings.len());
    assert_eq!(history.seconds.len(), SECONDS);
}

#[test]
fn a_minute_without_outcomes_is_empty_again() {
    let mut history = History::default();
    history.saw(at(0), scored(900.0, Some(0.9)));
    history.read(at(59), &counts(1, 0, 0));
    assert_eq!(history.worst_ms(), Some(900.0));
    history.read(at(60), &counts(1, 0, 0));
    assert_eq!((history.worst_ms(), history.confidence()), (None, None));
}

#[test]
fn a_trend_has_the_worst_latency_and_the_mean_score_of_each_part_newest_last() {
    let mut history = History::default();
    for (second, ms, score) in [(4, 1.0, 0.2), (5, 9.0, 0.4), (6, 3.0, 0.8), (11, 2.0, 1.0)] {
        history.saw(at(second), scored(ms, Some(score)));
    }
    // Ten parts of six seconds; the seventh to the twelfth second is the newest.
    let latencies = history.latency_trend(at(11), 10);
    assert_eq!(&latencies[8..], [Some(9.0), Some(3.0)]);
    assert_eq!(latencies[..8], [None; 8]);
    let scores: Vec<_> = history.confidence_trend(at(11), 10).into_iter().flatten().collect();
    assert!((scores[0] - 0.3).abs() < 1e-9 && (scores[1] - 0.9).abs() < 1e-9, "{scores:?}");
}

#[test]
fn a_part_keeps_its_value_while_it_moves() {
    let mut history = History::default();
    for second in 0..60 {
        history.saw(at(second), scored(f64::from(u32::try_from(second).unwrap()), None));
    }
    let (now, later) = (history.latency_trend(at(54), 15), history.latency_trend(at(58), 15));
    assert_eq!(now[3..14], later[2..13], "shifted by one part of four seconds");
}

#[test]
fn stages_and_labels_are_of_the_outcomes_that_are_kept() {
    let mut history = History::default();
    for (label, ms) in [("fine", 1.0), ("broken", 2.0), ("fine", 6.0)] {
        let stages_ms = Some([0.5, 0.0, ms, 0.1]);
        history.saw(at(0), Seen { label: Some(label.into()), stages_ms, ..Seen::default() });
    }
    history.saw(at(0), Seen::default());
    let [decode, _, inference, _] = history.stages().unwrap();
    assert_eq!((decode.mean_ms, inference), (0.5, StageTime { mean_ms: 3.0, worst_ms: 6.0 }));
    assert_eq!(history.labels(), [("fine", 2), ("broken", 1)]);
}
