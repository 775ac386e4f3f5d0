//! Sources that are not files: what comes through a program is what was put in, and a program that fails costs nothing but
//! the time that it was gone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::{path, pipeline_config_with, signal};
use inferd_tests::{Rig, fixtures, processes, variant};
use nix::sys::signal::Signal::SIGKILL;

/// A pipeline whose source is a line of shell.
fn shell_config(keys: &str, name: &str, model: &str, script: &str, rest: &str) -> String {
    format!(
        "[pipelines.{name}]\nmodel = \"{model}\"\n{keys}\n[pipelines.{name}.source]\nkind = \"command\"\n\
         command = [\"sh\", \"-c\", '''{script}''']\n{rest}\n"
    )
}

/// Pictures of the belt, 25 a second, for ever.
fn camera() -> String {
    let folder = fixtures::recording("belt");
    format!("while :; do for f in {}/*.jpg; do cat $f; sleep 0.04; done; done", folder.display())
}

/// The classes and scores of a pipeline's windows, in their order.
fn results(rig: &Rig, name: &str) -> Vec<String> {
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.ctl(&["start", name]).unwrap();
    rig.wait_for_state(name, "finished").unwrap();
    let mut results = Vec::new();
    rig.wait_for("the outcomes", |rig| {
        let windows = rig.pipeline(name)?["counts"]["windows"].as_u64();
        results = outcomes::of(&collector.lines(), name)
            .iter()
            .map(|line| format!("{} {}", line.outcome["window"], line.outcome["prediction"]))
            .collect();
        Ok(windows == Some(results.len() as u64))
    })
    .unwrap();
    results
}

#[test]
fn a_program_gives_the_same_outcomes_as_the_recording_that_it_plays() {
    let recording = |name: &str| fixtures::recording(name).display().to_string();
    let mut config = String::new();
    for (model, file, script, rest) in [
        ("belt-inspect", "belt.mjpeg", format!("cat {}", recording("belt.mjpeg")), "format = \"mjpeg\""),
        (
            "keyword",
            "speech.wav",
            // Behind the header there is nothing but samples.
            format!("tail -c +45 {}", recording("speech.wav")),
            "format = \"pcm\"\nrate_hz = 16000",
        ),
        (
            "gesture",
            "motion.csv",
            format!("cat {}", recording("motion.csv")),
            "format = \"csv\"\nrate_hz = 50\ncolumns = [\"ax\", \"ay\", \"az\", \"gx\", \"gy\", \"gz\"]",
        ),
    ] {
        let off = "enabled = false";
        let played = format!("{model}-played");
        config += &pipeline_config_with(off, &played, model, &fixtures::recording(file), "pace = \"fast\"");
        config += &shell_config(off, model, model, &script, &format!("{rest}\nat_end = \"stop\""));
    }
    let rig = Rig::start(&config).unwrap();
    for model in fixtures::MODELS {
        rig.install(&fixtures::model(model, "1.1.0")).unwrap();
        let (played, piped) = (results(&rig, &format!("{model}-played")), results(&rig, model));
        assert!(played.len() > 50, "{model}: {} windows", played.len());
        assert_eq!(piped, played, "{model}");
        println!("{model}: {} windows, the same by file and by pipe", piped.len());
    }
}

#[test]
fn a_program_that_dies_is_back_and_its_runner_was_never_gone() {
    let rig = Rig::start(&shell_config("", "door", "belt-inspect", &camera(), "format = \"mjpeg\"")).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    rig.wait_for_state("door", "running").unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let runner = rig.runner_pid("door").unwrap();
    rig.wait_for("windows", |_| Ok(collector.count("door") > 25)).unwrap();
    for _ in 0..3 {
        let program = program_of(&rig);
        let before = collector.count("door");
        signal(program, SIGKILL).unwrap();
        rig.wait_for("more windows", |_| Ok(collector.count("door") > before + 25)).unwrap();
        assert!(!processes::is_alive(program));
    }
    assert_eq!(rig.runner_pid("door").unwrap(), runner);
    let scrape = rig.scrape().unwrap();
    assert_eq!(scrape.value("inferd_source_restarts_total", &[("pipeline", "door")]), Some(3.0));
    assert!(rig.log().contains("sh ended (signal: 9 (SIGKILL))"), "{}", rig.log());
    let lines = collector.lines();
    let lines = outcomes::of(&lines, "door");
    let (tally, gap) = (outcomes::tally(&lines), outcomes::largest_gap(&lines));
    assert!(tally.is_whole(), "{tally:?}");
    assert!(gap < Duration::from_secs(2), "it has served well, so it is back at once: {gap:?}");
    println!("a camera's program killed 3 times: {} windows, the longest pause {gap:?}", tally.outcomes);
    println!("command, mjpeg: {}", outcomes::added_line(&outcomes::added_ms(&lines)));
}

/// The process that was started for the only source; runners are the others.
fn program_of(rig: &Rig) -> u32 {
    let children = processes::children(rig.pid()).unwrap();
    let runner = rig.runner_pid("door").unwrap();
    let programs: Vec<u32> = children.into_iter().filter(|&pid| pid != runner && processes::is_alive(pid)).collect();
    assert_eq!(programs.len(), 1, "{programs:?}");
    programs[0]
}

#[test]
fn a_camera_that_comes_late_is_waited_for_and_its_words_are_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let (plug, environment) = (folder.path().join("plugged-in"), folder.path().join("environment"));
    let script = format!(
        "env > {}; test -e {} || {{ echo no camera is attached >&2; exit 5; }}; {}",
        environment.display(),
        plug.display(),
        camera()
    );
    let mut rig = Rig::new().unwrap();
    rig.set_env("NOTIFY_SOCKET", path(&folder.path().join("nobody")).unwrap());
    rig.configure(&shell_config("", "door", "belt-inspect", &script, "format = \"mjpeg\"")).unwrap();
    rig.launch().unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    rig.wait_for("it to say why", |rig| {
        let door = rig.pipeline("door")?;
        let why = door["reason"].as_str().unwrap_or_default();
        Ok(door["state"] == "waiting"
            && why.contains("sh ended (exit status: 5): no camera is attached; it is started"))
    })
    .unwrap();
    let runner = rig.runner_pid("door").unwrap();
    assert!(processes::is_alive(runner), "the model stays loaded");
    assert!(rig.log().contains("door: sh: no camera is attached"), "{}", rig.log());
    assert!(rig.ctl(&["status"]).unwrap().contains("no camera is attached"));

    variant::write(&plug, b"").unwrap();
    rig.wait_for_state("door", "running").unwrap();
    assert_eq!(rig.runner_pid("door").unwrap(), runner);
    let given = variables(&environment);
    assert!(given.contains_key("PATH") && !given.contains_key("NOTIFY_SOCKET"), "{given:?}");
    assert!(!given.keys().any(|name| name.starts_with("INFERD_")), "{given:?}");

    let program = program_of(&rig);
    rig.ctl(&["stop", "door"]).unwrap();
    assert!(!processes::is_alive(program), "it ends with its pipeline");
}

fn variables(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn a_program_that_is_not_there_keeps_its_pipeline_waiting() {
    let config = "[pipelines.door]\nmodel = \"belt-inspect\"\n[pipelines.door.source]\nkind = \"command\"\n\
                  command = [\"no-such-camera-tool\"]\nformat = \"mjpeg\"\n";
    let rig = Rig::start(config).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    rig.wait_for("it to say why", |rig| {
        let door = rig.pipeline("door")?;
        let why = door["reason"].as_str().unwrap_or_default().to_owned();
        Ok(door["state"] == "waiting" && why.starts_with("no-such-camera-tool is in no folder of the PATH"))
    })
    .unwrap();
}
