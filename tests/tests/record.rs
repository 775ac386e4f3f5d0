//! What was recorded in the field replays on a desk: `inferctl record` writes what a source gives, and a recording source that
//! plays it gives the same again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::{path, pipeline_config, pipeline_config_with};
use inferd_tests::{Rig, fixtures, variant};

/// Records a pipeline for two seconds; gives the folder.
fn record(rig: &Rig, name: &str) -> PathBuf {
    let folder = rig.folder().join(format!("recorded-{name}"));
    let said = rig.ctl(&["record", name, "--seconds", "2", "--output", path(&folder).unwrap()]).unwrap();
    assert!(said.contains("play it with") && !said.contains("missed"), "{said}");
    folder
}

/// The predictions of a pipeline, in the order of its windows.
fn predictions(collector: &Collector, name: &str) -> Vec<String> {
    let lines = collector.lines();
    outcomes::of(&lines, name).iter().map(|line| line.outcome["prediction"].to_string()).collect()
}

fn is_part<T: PartialEq>(part: &[T], whole: &[T]) -> bool {
    !part.is_empty() && whole.windows(part.len()).any(|window| window == part)
}

/// Plays a recorded folder with a model until its end; gives the predictions.
fn replay(rig: &Rig, collector: &Collector, config: &str, name: &str, model: &str) -> Vec<String> {
    let again = format!("{name}-again");
    let folder = rig.folder().join(format!("recorded-{name}"));
    rig.configure(&format!("{config}{}", pipeline_config(&again, model, &folder, ""))).unwrap();
    rig.ctl(&["reload"]).unwrap();
    rig.wait_for_state(&again, "finished").unwrap();
    predictions(collector, &again)
}

#[test]
fn pictures_are_played_as_they_were_seen() {
    // Raw pictures of three colours, of which one after the other comes.
    let frames = |bytes: usize| -> Vec<u8> { [16_u8, 128, 240].iter().flat_map(|&level| vec![level; bytes]).collect() };
    let mut rig = Rig::new().unwrap();
    let mut config =
        pipeline_config("folder", "belt-inspect", &fixtures::recording("belt"), "at_end = \"loop\"\nfps = 20");
    for (format, bytes) in
        [("rgb24", 33 * 20 * 3), ("bgr24", 33 * 20 * 3), ("yuyv", 68 * 20), ("nv12", 33 * 20 + 34 * 10)]
    {
        let file = rig.folder().join(format);
        variant::write(&file, &frames(bytes)).unwrap();
        config += &format!(
            "[pipelines.{format}]\nmodel = \"belt-inspect\"\n[pipelines.{format}.source]\nkind = \"command\"\n\
             command = [\"sh\", \"-c\", \"while :; do for i in 0 1 2; do tail -c +$((i * {bytes} + 1)) {} | head -c {bytes} || exit; \
             sleep 0.1; done; done\"]\nformat = \"{format}\"\nwidth = 33\nheight = 20\n",
            file.display()
        );
    }
    rig.configure(&config).unwrap();
    rig.launch().unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    for name in ["folder", "rgb24", "bgr24", "yuyv", "nv12"] {
        rig.wait_for_state(name, "running").unwrap();
        let folder = record(&rig, name);
        rig.ctl(&["stop", name]).unwrap();
        let seen = predictions(&collector, name);
        let again = replay(&rig, &collector, &config, name, "belt-inspect");
        assert!(again.len() >= 10, "{name}: {} windows", again.len());
        assert!(is_part(&again, &seen), "{name}: {again:?}\nis no part of\n{seen:?}");
        check_about(&folder, name, again.len());
    }
    assert_eq!(fs::read(rig.folder().join("recorded-folder/000000.jpg")).unwrap()[..2], [0xff, 0xd8]);
    refusals(&rig, &config);
}

fn check_about(folder: &Path, pipeline: &str, frames: usize) {
    let about: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("recording.json")).unwrap()).unwrap();
    assert_eq!((&about["pipeline"], &about["frames"]), (&pipeline.into(), &frames.into()), "{about:#}");
    let seconds = about["seconds"].as_f64().unwrap();
    assert!((1.0..2.2).contains(&seconds), "{about:#}");
    let rows = fs::read_to_string(folder.join("timing.csv")).unwrap();
    assert_eq!(rows.lines().count(), frames + 1);
}

fn refusals(rig: &Rig, config: &str) {
    let fails = |arguments: &[&str]| String::from_utf8(rig.ctl_output(arguments).unwrap().stderr).unwrap();
    let (there, new) = (rig.folder().join("recorded-rgb24"), rig.folder().join("new"));
    let said = fails(&["record", "folder", "-o", path(&there).unwrap()]);
    assert!(said.contains("is there already"), "{said}");
    let said = fails(&["record", "absent", "-o", path(&new).unwrap()]);
    assert!(said.contains("there is no pipeline `absent`"), "{said}");
    rig.ctl(&["stop", "folder"]).unwrap();
    let said = fails(&["record", "folder", "-o", path(&new).unwrap()]);
    assert!(said.contains("does not run"), "{said}");
    assert!(!new.exists(), "what could not be recorded leaves no folder");
    // A folder that is no recording any more is told when the configuration is read.
    fs::remove_file(there.join("recording.json")).unwrap();
    fs::remove_file(there.join("000000.bmp")).unwrap();
    rig.configure(&format!("{config}{}", pipeline_config("broken", "belt-inspect", &there, ""))).unwrap();
    rig.ctl(&["reload"]).unwrap();
}

#[test]
fn sound_and_motion_are_played_as_they_were_measured() {
    let config = pipeline_config("sound", "keyword", &fixtures::recording("speech.wav"), "at_end = \"loop\"")
        + &pipeline_config("motion", "gesture", &fixtures::recording("motion.csv"), "at_end = \"loop\"");
    let rig = Rig::start(&config).unwrap();
    rig.install(&fixtures::model("keyword", "1.1.0")).unwrap();
    rig.install(&fixtures::model("gesture", "1.1.0")).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.wait_for_state("sound", "running").unwrap();
    rig.wait_for_state("motion", "running").unwrap();

    let samples = |file: &Path| -> Vec<i16> {
        hound::WavReader::open(file).unwrap().samples().collect::<Result<_, _>>().unwrap()
    };
    let recorded = samples(&record(&rig, "sound").join("sound.wav"));
    let original = samples(&fixtures::recording("speech.wav"));
    assert!(recorded.len() >= 24_000, "{} samples", recorded.len());
    let twice = [&original[..], &original].concat();
    assert!(is_part(&recorded, &twice), "what was recorded is what was played");

    // Without the first column, which is the time.
    let rows = |file: &Path| -> Vec<Vec<f32>> {
        let text = fs::read_to_string(file).unwrap();
        let values = |line: &str| line.split(',').skip(1).map(|value| value.parse().unwrap()).collect();
        text.lines().skip(1).map(values).collect()
    };
    let recorded = rows(&record(&rig, "motion").join("motion.csv"));
    let original = rows(&fixtures::recording("motion.csv"));
    assert!(recorded.len() >= 50, "{} rows", recorded.len());
    assert!(is_part(&recorded, &[&original[..], &original].concat()));

    for (name, model) in [("sound", "keyword"), ("motion", "gesture")] {
        let again = replay(&rig, &collector, &config, name, model);
        assert!(!again.is_empty(), "{name}");
    }
    let play = pipeline_config_with(
        "enabled = false",
        "fast",
        "gesture",
        &rig.folder().join("recorded-motion"),
        "pace = \"fast\"",
    );
    rig.configure(&format!("{config}{play}")).unwrap();
    rig.ctl(&["reload"]).unwrap();
}
