//! Cameras and microphones as a kernel has them, by the programs of `docs/sources.md`. `tests/vm` boots a machine with drivers
//! that make such devices and runs this in there; elsewhere nothing is touched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::variant::write;
use inferd_tests::{Rig, onnx, skip};

/// Emulated processors take their time.
const PATIENCE: Duration = Duration::from_secs(120);

/// What vivid shows, by the control `test_pattern`, as red, green and blue.
const PATTERNS: [(u32, [f64; 3]); 4] =
    [(6, [1.0, 1.0, 1.0]), (7, [1.0, 0.0, 0.0]), (9, [0.0, 0.0, 1.0]), (5, [0.0, 0.0, 0.0])];

/// Whether this machine was made for these tests.
fn has_devices(test: &str) -> bool {
    let there = std::env::var_os("INFERD_TEST_DEVICES").is_some();
    if !there {
        skip::say(test, "it needs a machine with test devices; `make test-vm` makes one");
    }
    there
}

/// A folder of a model that answers with one number a label.
fn model_folder(rig: &Rig, name: &str, artifact: &[u8], input: &str, labels: usize) -> PathBuf {
    let folder = rig.folder().join(name);
    fs::create_dir(&folder).unwrap();
    write(&folder.join("model.onnx"), artifact).unwrap();
    let labels: Vec<String> = (0..labels).map(|label| format!("\"{label}\"")).collect();
    let manifest = format!(
        "format = 1\nname = \"{name}\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\n\
         artifact = {{ file = \"model.onnx\" }}\noutput = {{ task = \"regression\", labels = [{}] }}\n{input}\n",
        labels.join(", ")
    );
    write(&folder.join("model.toml"), manifest.as_bytes()).unwrap();
    folder
}

fn source_config(name: &str, command: &[&str], format: &str) -> String {
    let words: Vec<String> = command.iter().map(|word| format!("\"{word}\"")).collect();
    format!(
        "[pipelines.{name}]\nmodel = \"{name}\"\n[pipelines.{name}.source]\nkind = \"command\"\n\
         command = [{}]\nformat = {format}\n",
        words.join(", ")
    )
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// The values of a pipeline's outcomes that are still to come, until they satisfy.
fn wait_for_values(rig: &Rig, collector: &Collector, name: &str, what: &str, holds: impl Fn(&[f64]) -> bool) {
    let begun = Instant::now();
    let mut last = Vec::new();
    while begun.elapsed() < PATIENCE {
        for line in outcomes::of(&collector.take(), name) {
            let values = line.outcome["prediction"]["values"].as_array().into_iter().flatten();
            last = values.filter_map(|value| value["value"].as_f64()).collect();
            if !last.is_empty() && holds(&last) {
                println!("{name}: {what} after {:.1} s: {last:.2?}", begun.elapsed().as_secs_f64());
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{name}: no outcome is {what}; the last was {last:?}\n{:#}\n{}", rig.pipeline(name).unwrap(), rig.log());
}

fn wait_for_state(rig: &Rig, name: &str, state: &str) -> String {
    let begun = Instant::now();
    loop {
        let pipeline = rig.pipeline(name).unwrap();
        if pipeline["state"] == state {
            return pipeline["reason"].as_str().unwrap_or_default().to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{name} is not {state}: {pipeline:#}\n{}", rig.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Pulls the camera out of its driver (`unbind`), or puts it back (`bind`).
fn plug(action: &str) {
    write(Path::new(&format!("/sys/bus/platform/drivers/vivid/{action}")), b"vivid.0").unwrap();
}

#[test]
fn a_camera_is_seen_pulled_out_and_seen_again() {
    if !has_devices("a_camera_is_seen_pulled_out_and_seen_again") {
        return;
    }
    let camera = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "v4l2",
        "-framerate",
        "10",
        "-video_size",
        "320x180",
        "-i",
        "/dev/video0",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ];
    let format = "\"rgb24\"\nwidth = 320\nheight = 180";
    let rig = Rig::start(&source_config("colour", &camera, format)).unwrap();
    let input = "input = { kind = \"image\", shape = [1, 64, 64, 3], layout = \"NHWC\" }";
    rig.install(&model_folder(&rig, "colour", &onnx::colour(), input, 3)).unwrap();
    wait_for_state(&rig, "colour", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    for (pattern, expected) in PATTERNS {
        show(pattern);
        let near = |values: &[f64]| values.iter().zip(expected).all(|(value, wanted)| (value - wanted).abs() < 0.2);
        wait_for_values(&rig, &collector, "colour", &format!("pattern {pattern}"), near);
    }
    let runner = rig.runner_pid("colour").unwrap();
    plug("unbind");
    let reason = wait_for_state(&rig, "colour", "waiting");
    assert!(reason.starts_with("ffmpeg ended ("), "{reason}");
    println!("pulled out: {reason}");
    plug("bind");
    wait_for_state(&rig, "colour", "running");
    show(8);
    let green = |values: &[f64]| values[1] > 0.8 && values[0] < 0.2 && values[2] < 0.2;
    wait_for_values(&rig, &collector, "colour", "green", green);
    assert_eq!(rig.runner_pid("colour").unwrap(), runner, "the model stays loaded");
}

fn show(pattern: u32) {
    run("v4l2-ctl", &["-d", "/dev/video0", "-c", &format!("test_pattern={pattern},osd_text_mode=2")]);
}

/// A tone that is played until it is dropped.
struct Tone(Child);

impl Tone {
    fn play() -> Self {
        let tone = "sine=frequency=440:sample_rate=16000";
        let arguments =
            ["-v", "error", "-re", "-f", "lavfi", "-i", tone, "-filter:a", "volume=8", "-ac", "1", "-f", "alsa"];
        Self(Command::new("ffmpeg").args(arguments).arg("hw:Loopback,0").spawn().unwrap())
    }
}

impl Drop for Tone {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tone_is_told_from_silence() {
    if !has_devices("a_tone_is_told_from_silence") {
        return;
    }
    let microphone = ["arecord", "-q", "-D", "hw:Loopback,1", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1"];
    let rig = Rig::start(&source_config("loudness", &microphone, "\"pcm\"\nrate_hz = 16000")).unwrap();
    let input = "[input]\nkind = \"audio\"\nshape = [1, 8, 1000]\n[input.audio]\nrate_hz = 16000\n\
                 [window]\nlength = 8000\nhop = 8000\n";
    rig.install(&model_folder(&rig, "loudness", &onnx::loudness(8000), input, 8)).unwrap();
    wait_for_state(&rig, "loudness", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let loud = |values: &[f64]| values.iter().all(|value| *value > 0.1);
    let silent = |values: &[f64]| values.iter().all(|value| *value < 0.001);
    wait_for_values(&rig, &collector, "loudness", "silence", silent);
    let tone = Tone::play();
    wait_for_values(&rig, &collector, "loudness", "a tone", loud);
    drop(tone);
    wait_for_values(&rig, &collector, "loudness", "silence again", silent);
}
