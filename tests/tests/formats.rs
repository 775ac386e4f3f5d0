//! Recordings in formats that no other test plays through the real programs, and the pace of a device.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use inferd_tests::outcomes::{self, Collector, Line};
use inferd_tests::rig::{pipeline_config, signal};
use inferd_tests::variant::write;
use inferd_tests::{Rig, fixtures};
use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};

/// Plays recordings with the inspector of belts, a pipeline each; gives the outcomes of each.
fn play(recordings: &[&Path]) -> Vec<Vec<Line>> {
    let names: Vec<String> = (0..recordings.len()).map(|number| format!("p{number}")).collect();
    let pipelines = names.iter().zip(recordings);
    let config: String = pipelines
        .map(|(name, recording)| pipeline_config(name, "belt-inspect", recording, "pace = \"fast\""))
        .collect();
    let mut rig = Rig::start(&config).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    for name in &names {
        rig.wait_for_state(name, "finished").unwrap();
    }
    rig.stop().unwrap();
    let lines = collector.finish();
    names.iter().map(|name| outcomes::of(&lines, name).into_iter().cloned().collect()).collect()
}

/// Both streams were served, with the same windows, the same verdicts and scores that differ by no more than rounding.
fn assert_alike(one: &[Line], other: &[Line]) {
    assert_eq!(one.len(), other.len());
    for (window, (one, other)) in one.iter().zip(other).enumerate() {
        let (one, other) = (&one.outcome, &other.outcome);
        assert_eq!((one["window"].as_u64(), other["window"].as_u64()), (Some(window as u64), Some(window as u64)));
        assert!(one["verdict"] != "failed", "{one}");
        assert_eq!((&one["verdict"], &one["label"]), (&other["verdict"], &other["label"]), "{one} {other}");
        let difference = one["confidence"].as_f64().unwrap() - other["confidence"].as_f64().unwrap();
        assert!(difference.abs() < 0.02, "{one} {other}");
    }
}

#[test]
fn motion_jpeg_is_played_picture_by_picture() {
    let played = play(&[&fixtures::recording("belt.mjpeg"), &fixtures::recording("belt")]);
    let [mjpeg, folder] = &played[..] else { panic!("two streams were played") };
    assert_eq!((mjpeg.len(), folder.len()), (60, 120));
    assert_alike(mjpeg, &folder[..60]);
}

const WIDTH: usize = 160;
const HEIGHT: usize = 120;

/// A slanted edge that wanders through the picture.
fn luma(number: usize) -> Vec<u8> {
    let pixel = |at: usize| if at % WIDTH + at / WIDTH < 40 + number * 20 { 200 } else { 40 };
    (0..WIDTH * HEIGHT).map(pixel).collect()
}

fn y4m(path: &Path, chroma: &str, planes: &[u8]) {
    let mut file = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C{chroma}\n").into_bytes();
    for number in 0..8 {
        file.extend(b"FRAME\n");
        file.extend(luma(number));
        file.extend(planes);
    }
    write(path, &file).unwrap();
}

/// A grey Windows bitmap of 24 bits: rows from the bottom up.
fn bmp(path: &Path, luma: &[u8]) {
    let size = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    let mut file = b"BM".to_vec();
    for value in [54 + 3 * luma.len(), 0, 54, 40, WIDTH, HEIGHT] {
        file.extend(size(value));
    }
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    for row in luma.rchunks_exact(WIDTH) {
        file.extend(row.iter().flat_map(|grey| [*grey; 3]));
    }
    write(path, &file).unwrap();
}

#[test]
fn y4m_is_played_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    y4m(&place("grey.y4m"), "mono", &[]);
    y4m(&place("colour.y4m"), "420jpeg", &[128; WIDTH * HEIGHT / 2]);
    fs::create_dir(place("grey")).unwrap();
    for number in 0..8 {
        bmp(&place(&format!("grey/{number}.bmp")), &luma(number));
    }
    let played = play(&[&place("grey.y4m"), &place("grey"), &place("colour.y4m")]);
    let [y4m, pictures, colour] = &played[..] else { panic!("three streams were played") };
    assert_eq!(y4m.len(), 8);
    assert_alike(y4m, pictures);
    assert_eq!(colour.len(), 8);
    assert!(colour.iter().all(|line| line.outcome["verdict"] != "failed"), "{colour:?}");
}

/// A model that cannot follow a device gets the newest frames; what it missed is counted, and numbers have no gap.
#[test]
fn a_live_source_drops_what_a_slow_model_cannot_take() {
    let source = "pace = \"live\"\nat_end = \"loop\"\nfps = 50";
    let config = pipeline_config("belt", "belt-inspect", &fixtures::recording("belt"), source);
    let mut rig = Rig::start(&format!("[runner]\ndeadline_ms = 60000\n{config}")).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for("the first outcomes", |_| Ok(collector.count("belt") > 20)).unwrap();

    let dropped = |rig: &Rig| rig.pipeline("belt").unwrap()["counts"]["dropped"].as_u64().unwrap();
    let before = dropped(&rig);
    let runner = rig.runner_pid("belt").unwrap();
    signal(runner, SIGSTOP).unwrap();
    rig.wait_for("frames of two seconds to be dropped", |rig| Ok(dropped(rig) >= before + 100)).unwrap();
    let served = collector.count("belt");
    signal(runner, SIGCONT).unwrap();
    rig.wait_for("more outcomes", |_| Ok(collector.count("belt") > served + 20)).unwrap();

    let at_queue = [("pipeline", "belt"), ("place", "queue"), ("reason", "queue-full")];
    let counted = rig.scrape().unwrap().value("inferd_frames_dropped_total", &at_queue).unwrap();
    assert!(counted >= (before + 100) as f64, "{counted}");
    rig.stop().unwrap();
    let lines = collector.finish();
    let belt = outcomes::of(&lines, "belt");
    let tally = outcomes::tally(&belt);
    assert_eq!((tally.lost, tally.doubled, tally.out_of_order), (0, 0, 0), "{tally:?}");
    assert!(belt.iter().all(|line| line.outcome["verdict"] != "failed"));
    // The runner had two windows while it stood still. All others were of the newest frames: a queue of them is a tenth of
    // a second old.
    let latency_ms = |line: &&&Line| line.outcome["latency_ms"].as_f64().unwrap();
    let stale: Vec<u64> = belt
        .iter()
        .filter(|line| latency_ms(line) > 1000.0)
        .filter_map(|line| line.outcome["window"].as_u64())
        .collect();
    assert!((1..=2).contains(&stale.len()), "windows that were older than a second: {stale:?}");
}
