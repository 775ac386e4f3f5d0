//! A runner that dies, hangs or breaks the protocol is killed, counted and replaced; no window is lost and the daemon is
//! not affected. The runner here is one that does so on purpose; everything else is real.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::processes;
use inferd_tests::rig::{Rig, path, pipeline_config_with, program};
use inferd_tests::variant::{npy, write};

/// Windows in the recording.
const WINDOWS: usize = 12;

const FAST: &str = "pace = \"fast\"";

/// What a rogue model gives out.
const RAW: &str = "output = { task = \"raw\" }";
const CLASSES: &str = "output = { task = \"classification\", labels = [\"a\", \"b\"] }";

/// A model folder whose input tensor's name tells the rogue runner what to do.
fn model(rig: &Rig, trick: &str) -> PathBuf {
    let output = if trick == "answers too many classes" { CLASSES } else { RAW };
    model_folder(rig, "1.0.0", trick, output)
}

fn model_folder(rig: &Rig, version: &str, trick: &str, rest: &str) -> PathBuf {
    let folder = rig.folder().join(format!("rogue-{version}"));
    std::fs::create_dir_all(&folder).unwrap();
    write(&folder.join("model.onnx"), b"not looked at").unwrap();
    let manifest = format!(
        "format = 1\nname = \"rogue\"\nversion = \"{version}\"\nlicence = \"MIT\"\n\
         artifact = {{ file = \"model.onnx\" }}\n\
         input = {{ kind = \"tensor\", tensor = \"{trick}\", shape = [1, 4] }}\n{rest}\n"
    );
    write(&folder.join("model.toml"), manifest.as_bytes()).unwrap();
    folder
}

/// A folder with a golden sample, for tricks that come there.
fn model_with_golden(rig: &Rig, version: &str, trick: &str) -> PathBuf {
    let golden = "[[golden]]\ninput = \"zeros.npy\"\noutput = \"zeros.npy\"\ntolerance = 0.1";
    let folder = model_folder(rig, version, trick, &format!("{RAW}\n{golden}"));
    std::fs::copy(recording(rig), folder.join("zeros.npy")).unwrap();
    folder
}

/// A daemon whose runners are rogues, with a pipeline of the rogue model that is not started yet.
fn rig(runner: &str, source: &str) -> Rig {
    let mut rig = Rig::new().unwrap();
    rig.set_env("INFERD__RUNNER__PROGRAM", path(&program("rogue-runner")).unwrap());
    let pipeline = pipeline_config_with("enabled = false", "rogue", "rogue", &recording(&rig), source);
    rig.configure(&format!("[runner]\n{runner}\n{pipeline}")).unwrap();
    rig.launch().unwrap();
    rig
}

/// Installs a model that is refused; gives what `inferctl` said.
fn refusal(rig: &Rig, folder: &Path) -> String {
    let bundle = rig.pack(folder).unwrap();
    let refused = rig.ctl_output(&["install", "--activate", path(&bundle).unwrap()]).unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    said
}

/// `[WINDOWS, 4]` zeros as NumPy saves them.
fn recording(rig: &Rig) -> PathBuf {
    let file = rig.folder().join("zeros.npy");
    write(&file, &npy(&[WINDOWS, 4], &[0.0; WINDOWS * 4])).unwrap();
    file
}

/// Plays the recording to a runner with this trick; gives the outcomes and how often the metric of `reason` was raised.
fn play(trick: &str, reason: &str) -> (Vec<outcomes::Line>, f64) {
    let mut rig = rig("deadline_ms = 200", FAST);
    let pid = rig.pid();
    rig.install(&model(&rig, trick)).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.ctl(&["start", "rogue"]).unwrap();
    rig.wait_for_state("rogue", "finished").unwrap();
    let scrape = rig.scrape().unwrap();
    let restarts = scrape.value("inferd_runner_restarts_total", &[("pipeline", "rogue"), ("reason", reason)]);
    assert!(rig.is_running() && rig.pid() == pid, "the daemon was affected:\n{}", rig.log());
    rig.stop().unwrap();
    (collector.finish(), restarts.expect("restarts are counted by reason"))
}

/// Every window has one outcome, in order; gives how many failed at this stage.
fn failed_at(lines: &[outcomes::Line], stage: &str, trick: &str) -> usize {
    let tally = outcomes::tally(&outcomes::of(lines, "rogue"));
    let expected = (WINDOWS, 0, 0, 0);
    assert_eq!((tally.outcomes, tally.lost, tally.doubled, tally.out_of_order), expected, "{trick}: {tally:?}");
    lines.iter().filter(|line| line.outcome["error"]["stage"] == stage).count()
}

#[test]
fn a_runner_that_breaks_the_protocol_is_replaced_and_no_window_is_lost() {
    for trick in [
        "sends bytes of no message",
        "sends a packet that is too long",
        "answers another window",
        "says that it is ready again",
        "answers NaN",
        "answers another kind",
        "answers too many values",
        "answers too many classes",
    ] {
        let (lines, restarts) = play(trick, "protocol");
        assert!(restarts >= 2.0, "{trick}: {restarts} restarts");
        assert_eq!(failed_at(&lines, "runner-died", trick), 0, "{trick}: each window had a second attempt");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_runner() {
    let (lines, restarts) = play("answers twice", "protocol");
    assert!(restarts >= 1.0);
    failed_at(&lines, "runner-died", "answers twice");
}

#[test]
fn a_runner_that_dies_is_replaced_and_no_window_is_lost() {
    for trick in ["ends", "aborts", "sends an empty packet"] {
        let (lines, restarts) = play(trick, "died");
        assert!(restarts >= 2.0, "{trick}: {restarts} restarts");
        assert_eq!(failed_at(&lines, "runner-died", trick), 0, "{trick}: each window had a second attempt");
    }
}

#[test]
fn a_runner_that_hangs_is_replaced_and_its_window_says_why() {
    let (lines, restarts) = play("hangs", "hung");
    assert!(restarts >= 1.0);
    assert!(failed_at(&lines, "deadline", "hangs") >= 1);
}

#[test]
fn a_runner_that_does_not_come_up_serves_nothing_and_is_told_apart() {
    let mut rig = rig("start_timeout_ms = 1000", FAST);
    for (version, trick, words) in [
        ("1.0.0", "answers a load with a window", "broke the protocol: it answered a load with a window's prediction"),
        ("1.0.1", "hangs at load", "the runner did not answer within"),
        ("1.0.2", "dies at load", "the runner has ended"),
    ] {
        let said = refusal(&rig, &model_folder(&rig, version, trick, RAW));
        assert!(said.contains(words), "{trick}: {said}");
    }
    assert!(rig.is_running());
    assert!(processes::children(rig.pid()).unwrap().is_empty(), "a runner was left");
}

/// D-Bus ends the connection of whoever sends a NUL in a string; a terminal obeys escape sequences.
#[test]
fn what_a_runner_says_can_be_shown() {
    let mut rig = rig("deadline_ms = 1000", FAST);
    let said = refusal(&rig, &model(&rig, "refuses in words that cannot be shown"));
    assert!(said.contains("a b [2Jc a b") && said.len() < 4096, "{said:?}");
    assert!(!said.trim_end().contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    let said = refusal(&rig, &model_with_golden(&rig, "1.0.1", "fails at golden in words that cannot be shown"));
    assert!(said.contains("a b [2Jc"), "{said:?}");

    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&model_folder(&rig, "1.0.2", "fails in words that cannot be shown", RAW)).unwrap();
    rig.ctl(&["activate", "rogue", "1.0.2"]).unwrap();
    rig.ctl(&["start", "rogue"]).unwrap();
    rig.wait_for_state("rogue", "finished").unwrap();
    rig.wait_for("its outcomes", |_| Ok(collector.count("rogue") == WINDOWS)).unwrap();
    let lines = collector.lines();
    let reasons: Vec<&str> = lines.iter().filter_map(|line| line.outcome["error"]["reason"].as_str()).collect();
    assert_eq!(reasons, ["a b [2Jc "; WINDOWS - 5]);
    assert!(rig.is_running());
}

#[test]
fn a_backend_that_cannot_be_shown_does_not_end_the_bus() {
    let rig = rig("deadline_ms = 1000", "fps = 2");
    rig.install(&model(&rig, "has a backend that cannot be shown")).unwrap();
    rig.ctl(&["start", "rogue"]).unwrap();
    let running = rig.wait_for_state("rogue", "running").unwrap();
    assert_eq!(running["backend"], "a b [2Jc ", "{running}");
}

#[test]
fn a_version_that_hangs_at_its_golden_samples_does_not_touch_the_one_that_serves() {
    let mut rig = rig("deadline_ms = 500", "fps = 50\nat_end = \"loop\"");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&model_with_golden(&rig, "1.0.0", "serves")).unwrap();
    rig.ctl(&["start", "rogue"]).unwrap();
    rig.wait_for_state("rogue", "running").unwrap();
    let runner = rig.runner_pid("rogue").unwrap();
    let bundle = rig.pack(&model_with_golden(&rig, "1.1.0", "hangs at golden")).unwrap();
    rig.ctl(&["install", path(&bundle).unwrap()]).unwrap();
    let refused = rig.ctl_output(&["activate", "rogue", "1.1.0"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("golden sample zeros.npy") && said.contains("did not answer within"), "{said}");
    assert_eq!(rig.runner_pid("rogue").unwrap(), runner);
    let so_far = collector.count("rogue");
    rig.wait_for("more outcomes", |_| Ok(collector.count("rogue") > so_far + 10)).unwrap();
    rig.stop().unwrap();
    let lines = collector.finish();
    let tally = outcomes::tally(&outcomes::of(&lines, "rogue"));
    assert_eq!((tally.lost, tally.doubled, tally.out_of_order), (0, 0, 0), "{tally:?}");
    assert_eq!(tally.by_version.keys().collect::<Vec<_>>(), ["1.0.0"]);
}
