//! Streams that cannot be read, in part or at all, beside one that can.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use inferd_tests::outcomes::{Collector, of, tally};
use inferd_tests::variant::write;
use inferd_tests::{Rig, fixtures, processes, rig};
use serde_json::Value;

use crate::serving::{Serving, assert_words, belt};

const FAST: &str = "pace = \"fast\"";

/// A pipeline of the given model on a recording, beside `belt`; waits for it to fail, and gives the reason.
fn reason_of_failure(model: &str, recording: &Path, rest: &str) -> String {
    let rig = Rig::new().unwrap();
    rig.configure(&(belt("") + &rig::pipeline_config("bad", model, recording, rest))).unwrap();
    failure_beside_belt(rig, model, "failed")
}

fn failure_beside_belt(mut rig: Rig, model: &str, state: &str) -> String {
    rig.launch().unwrap();
    let mut serving = Serving::on(rig);
    if model != crate::serving::MODEL {
        serving.rig.install(&fixtures::model(model, "1.0.0")).unwrap();
    }
    let told = |rig: &Rig| {
        let bad = rig.pipeline("bad")?;
        Ok(bad["state"] == state && bad["reason"].as_str().is_some_and(|reason| !reason.contains("not installed")))
    };
    serving.rig.wait_for(&format!("the bad pipeline to be {state} with a reason"), told).unwrap();
    serving.more_outcomes();
    serving.same_processes();
    let status = serving.rig.ctl_json(&["status"]).unwrap();
    let reason = serving.rig.pipeline("bad").unwrap()["reason"].as_str().unwrap().to_owned();
    let problems = status["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["message"].as_str().unwrap().contains(&reason)), "{problems:?}");
    reason
}

fn scratch(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

/// One picture is cut off, one is noise, one is empty, one is a link to nothing, one is a folder: each is a failed window
/// of its own, and every other has its outcome.
#[test]
fn unreadable_images_in_the_stream_are_counted_and_skipped() {
    let (_guard, folder) = scratch("pictures");
    let bad = belt_with_bad_pictures(&folder);
    let rig = Rig::start(&rig::pipeline_config("belt", "belt-inspect", &folder, FAST)).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "finished").unwrap();
    rig.wait_for("an outcome of every picture", |_| Ok(collector.count("belt") == 120)).unwrap();

    let lines = collector.lines();
    let belt = of(&lines, "belt");
    assert_eq!((tally(&belt).lost, tally(&belt).doubled), (0, 0));
    for line in &belt {
        let outcome = &line.outcome;
        let window = usize::try_from(outcome["window"].as_u64().unwrap()).unwrap();
        assert_eq!(outcome["verdict"] == "failed", bad.contains(&window), "{outcome}");
        if outcome["verdict"] == "failed" {
            assert_eq!(outcome["error"]["stage"], "decode", "{outcome}");
            assert!(!outcome["error"]["reason"].as_str().unwrap().is_empty());
        }
    }
    let figures = rig.scrape().unwrap();
    let count = figures.value("inferd_window_failures_total", &[("pipeline", "belt"), ("stage", "decode")]);
    assert_eq!(count, Some(bad.len() as f64));
    assert_eq!(rig.pipeline("belt").unwrap()["counts"]["runner_restarts"], 0);
}

/// The fixture's 120 pictures; gives the indices of those that were made bad.
fn belt_with_bad_pictures(folder: &Path) -> Vec<usize> {
    std::fs::create_dir(folder).unwrap();
    for number in 1..=120 {
        let name = format!("{number:06}.jpg");
        std::fs::copy(fixtures::recording("belt").join(&name), folder.join(&name)).unwrap();
    }
    let picture = |number: usize| folder.join(format!("{number:06}.jpg"));
    let good = std::fs::read(picture(7)).unwrap();
    write(&picture(7), &good[..good.len() / 3]).unwrap();
    write(&picture(20), &[0x5a; 4000]).unwrap();
    write(&picture(21), &[]).unwrap();
    std::fs::remove_file(picture(60)).unwrap();
    std::os::unix::fs::symlink("/absent.jpg", picture(60)).unwrap();
    std::fs::remove_file(picture(61)).unwrap();
    std::fs::create_dir(picture(61)).unwrap();
    vec![6, 19, 20, 59, 60]
}

#[test]
fn wrong_sample_rate() {
    let (_guard, wav) = scratch("speech.wav");
    wave(&wav, 44_100, 44_100);
    let reason = reason_of_failure("keyword", &wav, FAST);
    let words = ["keyword 1.0.0", "44100 samples per second", "the model needs 16000", "convert it"];
    assert_words(&reason, &words);
}

fn wave(path: &Path, rate_hz: u32, samples: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for _ in 0..samples {
        file.write_sample(0_i16).unwrap();
    }
    file.finalize().unwrap();
}

#[test]
fn another_kind_of_recording_than_the_model_needs() {
    let reason = reason_of_failure("keyword", &fixtures::recording("motion.csv"), FAST);
    assert_words(&reason, &["keyword 1.0.0", "the source gives imu frames, the model needs audio"]);
}

#[test]
fn a_channel_that_the_recording_has_not() {
    let (_guard, csv) = scratch("motion.csv");
    let text = std::fs::read_to_string(fixtures::recording("motion.csv")).unwrap();
    write(&csv, text.replacen("gz", "yaw", 1).as_bytes()).unwrap();
    let reason = reason_of_failure("gesture", &csv, FAST);
    assert_words(&reason, &["the model needs the channel `gz`", "ax, ay, az, gx, gy, yaw", "rename"]);
}

#[test]
fn recordings_without_a_frame() {
    let (_guard, wav) = scratch("silence.wav");
    wave(&wav, 16_000, 0);
    assert_words(&reason_of_failure("keyword", &wav, FAST), &["silence.wav holds nothing to play"]);
    // Played in a loop it must not become a loop of its own.
    assert_words(&reason_of_failure("keyword", &wav, "at_end = \"loop\""), &["holds nothing to play"]);

    let (_guard, csv) = scratch("empty.csv");
    write(&csv, b"ax,ay,az,gx,gy,gz\n").unwrap();
    assert_words(&reason_of_failure("gesture", &csv, "rate_hz = 50"), &["empty.csv holds nothing to play"]);

    let (_guard, mjpeg) = scratch("dark.mjpeg");
    write(&mjpeg, b"").unwrap();
    assert_words(&reason_of_failure("belt-inspect", &mjpeg, FAST), &["dark.mjpeg holds nothing to play"]);

    let (_guard, y4m) = scratch("dark.y4m");
    write(&y4m, b"YUV4MPEG2 W64 H64 F25:1 C420\n").unwrap();
    assert_words(&reason_of_failure("belt-inspect", &y4m, FAST), &["dark.y4m holds nothing to play"]);
}

/// The line is named; what came before it has its outcomes.
#[test]
fn a_word_where_a_number_belongs() {
    let (_guard, csv) = scratch("motion.csv");
    let text = std::fs::read_to_string(fixtures::recording("motion.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let fields = lines[500].split_once(',').unwrap().0.to_owned();
    lines[500] = format!("{fields},upside down,0,0,0,0,0");
    write(&csv, lines.join("\n").as_bytes()).unwrap();

    let rig = Rig::start(&rig::pipeline_config("bad", "gesture", &csv, FAST)).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.0.0")).unwrap();
    let failed = rig.wait_for_state("bad", "failed").unwrap();
    assert_words(failed["reason"].as_str().unwrap(), &["motion.csv", "line 501", "`upside down` is no number"]);
    rig.wait_for("the outcomes of what came before", |_| Ok(collector.count("bad") >= 8)).unwrap();
    let outcomes: Vec<Value> = collector.lines().into_iter().map(|line| line.outcome).collect();
    assert!(outcomes.iter().all(|outcome| outcome["verdict"] != "failed"), "{outcomes:?}");
    assert!(processes::children(rig.pid()).unwrap().is_empty(), "the runner stays without a pipeline");
}

#[test]
fn a_time_that_is_no_time() {
    let (_guard, csv) = scratch("motion.csv");
    let text = std::fs::read_to_string(fixtures::recording("motion.csv")).unwrap();
    for (from, to) in [("\n0.02,", "\nnan,"), ("\n10,", "\ninf,")] {
        assert!(text.contains(from), "{from:?}");
        write(&csv, text.replacen(from, to, 1).as_bytes()).unwrap();
        let rig = Rig::new().unwrap();
        rig.configure(&(belt("") + &rig::pipeline_config("bad", "gesture", &csv, FAST))).unwrap();
        let reason = failure_beside_belt(rig, "gesture", "waiting");
        assert_words(&reason, &["motion.csv", "line ", to.trim_matches(['\n', ',']), "is no time"]);
    }
}

/// A missing value in a sensor's row is a failed window, not the end of the stream.
#[test]
fn a_value_that_is_not_a_number_fails_its_windows_only() {
    let (_guard, csv) = scratch("motion.csv");
    let text = std::fs::read_to_string(fixtures::recording("motion.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let time = lines[511].split_once(',').unwrap().0.to_owned();
    lines[511] = format!("{time},nan,nan,nan,nan,nan,nan");
    write(&csv, lines.join("\n").as_bytes()).unwrap();
    let rig = Rig::start(&rig::pipeline_config("gesture", "gesture", &csv, FAST)).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.0.0")).unwrap();
    rig.wait_for_state("gesture", "finished").unwrap();
    rig.wait_for("every window", |_| Ok(collector.count("gesture") == 59)).unwrap();
    // Row 510 lies in the windows that begin at rows 450 and 500.
    let failed = collector.lines().into_iter().filter(|line| line.outcome["verdict"] == "failed");
    let numbers: Vec<u64> = failed.filter_map(|line| line.outcome["window"].as_u64()).collect();
    assert_eq!(numbers, [9, 10]);
}

/// A header that promises more than the file holds.
#[test]
fn a_truncated_recording_gives_what_it_holds_and_says_that_it_ends_too_early() {
    let (_guard, wav) = scratch("speech.wav");
    let good = std::fs::read(fixtures::recording("speech.wav")).unwrap();
    let mut file = std::fs::File::create(&wav).unwrap();
    file.write_all(&good[..good.len() / 4]).unwrap();
    let rig = Rig::start(&rig::pipeline_config("speech", "keyword", &wav, FAST)).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("keyword", "1.0.0")).unwrap();
    let failed = rig.wait_for_state("speech", "failed").unwrap();
    assert_words(failed["reason"].as_str().unwrap(), &["speech.wav"]);
    rig.wait_for("its windows", |_| Ok(collector.count("speech") >= 17)).unwrap();
}
