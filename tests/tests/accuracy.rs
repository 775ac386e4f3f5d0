//! The models of our own, through the whole of inferd, answer as well as `fixtures/accuracy.toml` says and as the
//! reference does window by window.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::collections::BTreeMap;
use std::fs;

use inferd_tests::outcomes::{self, Collector, Line};
use inferd_tests::rig::pipeline_config_with;
use inferd_tests::{Rig, fixtures};
use serde::Deserialize;

/// What one model and version is held to.
struct Case {
    model: &'static str,
    labels: &'static str,
    /// Largest difference of the top probability from the reference's: JPEG decoders round differently.
    tolerance: f64,
    /// Windows whose judgement may differ from the reference's for that reason.
    slack: usize,
}

const CASES: [Case; 3] = [
    Case { model: "belt-inspect", labels: "belt.labels.csv", tolerance: 0.02, slack: 1 },
    Case { model: "keyword", labels: "speech.labels.csv", tolerance: 2e-3, slack: 0 },
    Case { model: "gesture", labels: "motion.labels.csv", tolerance: 2e-3, slack: 0 },
];

#[derive(Deserialize)]
struct Stated {
    model: Vec<Accuracy>,
}

#[derive(Deserialize)]
struct Accuracy {
    name: String,
    version: String,
    right: usize,
    total: usize,
    windows: usize,
    held_out_right: usize,
    held_out_total: usize,
    onnx_bytes: u64,
}

/// Largest model file: they lie in the repository, and small machines run them.
const LARGEST_BYTES: u64 = 300_000;

#[test]
fn version_1_0_0_answers_as_stated() {
    check("1.0.0");
}

#[test]
fn version_1_1_0_answers_as_stated() {
    check("1.1.0");
}

/// What a swap from one to the other is for. That each answers as stated is what the tests above prove.
#[test]
fn version_1_1_0_is_really_better_and_every_model_is_small() {
    for case in &CASES {
        let [old, new] = ["1.0.0", "1.1.0"].map(|version| stated(case, version));
        assert_eq!(
            (old.total, old.held_out_total),
            (new.total, new.held_out_total),
            "{}: the same windows",
            case.model
        );
        // Each count may be off by the slack.
        assert!(new.right > old.right + 2 * case.slack, "{}: {} and {} right", case.model, old.right, new.right);
        let [before, after] = [old.held_out_right, new.held_out_right];
        assert!(after > before + 2 * case.slack, "{}: {before} and {after} right of what was held out", case.model);
        for (version, stated) in [("1.0.0", old), ("1.1.0", new)] {
            let bytes = fs::metadata(fixtures::model(case.model, version).join("model.onnx")).unwrap().len();
            assert_eq!(bytes, stated.onnx_bytes, "{} {version}", case.model);
            assert!(bytes < LARGEST_BYTES, "{} {version} has {bytes} bytes", case.model);
        }
    }
}

fn stated(case: &Case, version: &str) -> Accuracy {
    let text = fs::read_to_string(fixtures::folder().join("accuracy.toml")).unwrap();
    let stated: Stated = toml::from_str(&text).unwrap();
    stated.model.into_iter().find(|one| one.name == case.model && one.version == version).unwrap()
}

fn check(version: &str) {
    let lines = played(version);
    for case in &CASES {
        let answers: Vec<_> = outcomes::of(&lines, case.model).iter().map(|line| Answer::of(line)).collect();
        check_accuracy(case, version, &answers);
        check_reference(case, version, &answers);
    }
}

/// Every outcome of every recording, played once.
fn played(version: &str) -> Vec<Line> {
    let config: String = CASES
        .iter()
        .map(|case| {
            let source = "pace = \"fast\"\nat_end = \"stop\"";
            let recording = fixtures::recording_of(case.model);
            pipeline_config_with("enabled = false", case.model, case.model, &recording, source)
        })
        .collect();
    let mut rig = Rig::start(&config).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    for case in &CASES {
        rig.install(&fixtures::model(case.model, version)).unwrap();
        rig.ctl(&["start", case.model]).unwrap();
        rig.wait_for_state(case.model, "finished").unwrap();
    }
    rig.stop().unwrap();
    collector.finish()
}

struct Answer {
    window: usize,
    label: String,
    probability: f64,
}

impl Answer {
    fn of(line: &Line) -> Self {
        let outcome = &line.outcome;
        Self {
            window: usize::try_from(outcome["window"].as_u64().unwrap()).unwrap(),
            label: outcome["label"].as_str().unwrap_or_default().to_owned(),
            probability: outcome["confidence"].as_f64().unwrap(),
        }
    }
}

fn check_accuracy(case: &Case, version: &str, answers: &[Answer]) {
    let stated = stated(case, version);
    let windows: Vec<usize> = answers.iter().map(|answer| answer.window).collect();
    assert_eq!(windows, (0..stated.windows).collect::<Vec<_>>(), "{} {version}: every window once", case.model);
    let labels: BTreeMap<usize, String> = rows(&format!("recordings/{}", case.labels))
        .into_iter()
        .map(|row| (row[0].parse().unwrap(), row[1].clone()))
        .collect();
    let right = answers.iter().filter(|answer| labels.get(&answer.window) == Some(&answer.label)).count();
    println!("{} {version}: {right}/{} right, stated {}/{}", case.model, labels.len(), stated.right, stated.total);
    assert_eq!(labels.len(), stated.total);
    assert!(right.abs_diff(stated.right) <= case.slack, "{} {version}", case.model);
}

fn check_reference(case: &Case, version: &str, answers: &[Answer]) {
    let expected = rows(&format!("expected/{}-{version}.csv", case.model));
    assert_eq!(expected.len(), answers.len());
    let (mut labels_differ, mut far, mut largest) = (0, 0, 0.0_f64);
    for (row, answer) in expected.iter().zip(answers) {
        let difference = (row[2].parse::<f64>().unwrap() - answer.probability).abs();
        largest = largest.max(difference);
        labels_differ += usize::from(row[1] != answer.label);
        far += usize::from(difference > case.tolerance);
    }
    println!(
        "{} {version}: {labels_differ} labels differ from the reference, {far} probabilities by more than {}; largest {largest:e}",
        case.model, case.tolerance
    );
    assert!(labels_differ <= case.slack, "{} {version}", case.model);
    assert!(far * 100 <= answers.len(), "{} {version}", case.model);
}

fn rows(file: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(fixtures::folder().join(file)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}
