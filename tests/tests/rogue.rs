//! A runner that dies, hangs or breaks the protocol is killed, counted and replaced; no window is lost and the daemon is
//! not affected. The runner here is one that does so on purpose; everything else is real.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::{Rig, path, pipeline_config, program};

/// Windows in the recording.
const WINDOWS: usize = 12;

/// A model folder whose input tensor's name tells the rogue runner what to do.
fn model(rig: &Rig, trick: &str) -> PathBuf {
    let folder = rig.folder().join("rogue");
    std::fs::create_dir_all(&folder).unwrap();
    write(&folder.join("model.onnx"), b"not looked at");
    let manifest = format!(
        "format = 1\nname = \"rogue\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\n\
         artifact = {{ file = \"model.onnx\" }}\n\
         input = {{ kind = \"tensor\", tensor = \"{trick}\", shape = [1, 4] }}\noutput = {{ task = \"raw\" }}\n"
    );
    write(&folder.join("model.toml"), manifest.as_bytes());
    folder
}

/// `[WINDOWS, 4]` zeros as NumPy saves them.
fn recording(rig: &Rig) -> PathBuf {
    let file = rig.folder().join("zeros.npy");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({WINDOWS}, 4), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; WINDOWS * 16]);
    write(&file, &bytes);
    file
}

fn write(file: &Path, bytes: &[u8]) {
    File::create(file).unwrap().write_all(bytes).unwrap();
}

/// Plays the recording to a runner with this trick; gives the outcomes and how often the metric of `reason` was raised.
fn play(trick: &str, reason: &str) -> (Vec<outcomes::Line>, f64) {
    let mut rig = Rig::new().unwrap();
    rig.set_env("INFERD__RUNNER__PROGRAM", path(&program("rogue-runner")).unwrap());
    let pipeline = pipeline_config("rogue", "rogue", &recording(&rig), "pace = \"fast\"");
    let pipeline = pipeline.replacen("model =", "enabled = false\nmodel =", 1);
    rig.configure(&format!("[runner]\ndeadline_ms = 200\n{pipeline}")).unwrap();
    rig.launch().unwrap();
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
fn a_runner_that_answers_a_load_with_nonsense_serves_nothing() {
    let mut rig = Rig::new().unwrap();
    rig.set_env("INFERD__RUNNER__PROGRAM", path(&program("rogue-runner")).unwrap());
    rig.configure("").unwrap();
    rig.launch().unwrap();
    let bundle = rig.pack(&model(&rig, "answers a load with a window")).unwrap();
    let refused = rig.ctl_output(&["install", path(&bundle).unwrap()]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("broke the protocol"), "{said}");
    assert!(rig.is_running());
}
