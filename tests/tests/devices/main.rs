//! Cameras, microphones and sensors as a kernel has them, by inferd itself and by the programs of `docs/sources.md`. `tests/vm`
//! boots a machine with drivers that make such devices and runs this in there; elsewhere nothing is touched.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

mod camera;
mod imu;
mod installed;
mod limits;
mod microphone;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::variant::write;
use inferd_tests::{Rig, onnx, skip, uhid};

/// Emulated processors take their time.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// A pipeline whose model has its name.
fn pipeline_config(name: &str, source: &str) -> String {
    format!("[pipelines.{name}]\nmodel = \"{name}\"\n[pipelines.{name}.source]\n{source}\n")
}

/// A source that is a program.
fn command(command: &[&str], format: &str) -> String {
    let words: Vec<String> = command.iter().map(|word| format!("\"{word}\"")).collect();
    format!("kind = \"command\"\ncommand = [{}]\nformat = {format}", words.join(", "))
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

/// What inferd adds to the latency of a source's windows: from the moment that the driver or the reader says to the outcome, less
/// the stages in the runner. The median of the next windows.
fn print_added_latency(collector: &Collector, name: &str, source: &str) {
    let mut lines = collector.take();
    let begun = Instant::now();
    while outcomes::of(&lines, name).len() < 30 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
        lines.extend(collector.take());
    }
    println!("{source}: {}", outcomes::added_line(&outcomes::added_ms(&outcomes::of(&lines, name))));
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

/// What is attached is listed, with lines that a configuration takes.
#[test]
fn what_is_attached_is_listed() {
    if !has_devices("what_is_attached_is_listed") {
        return;
    }
    let _sensor = uhid::Accelerometer::plug_in().unwrap();
    let rig = Rig::start("").unwrap();
    let mut sources = Vec::new();
    // The kernel takes its time to make an IIO device of a HID sensor.
    rig.wait_for("all kinds of devices", |rig| {
        let listed = rig.ctl_json(&["sources"])?;
        sources = listed["sources"].as_array().unwrap().clone();
        Ok(["camera", "microphone", "imu"].iter().all(|kind| sources.iter().any(|source| source["kind"] == *kind)))
    })
    .unwrap();
    println!("{}", rig.ctl(&["sources"]).unwrap());
    let mut config = String::new();
    for (number, source) in sources.iter().enumerate() {
        assert_eq!(source["problem"], "", "{source:#}");
        let line = source["source"].as_str().unwrap();
        config += &format!("[pipelines.p{number}]\nmodel = \"m\"\nsource = {line}\n");
    }
    rig.configure(&config).unwrap();
    rig.ctl(&["reload"]).unwrap();
    assert_eq!(rig.ctl_json(&["pipelines"]).unwrap()["pipelines"].as_array().unwrap().len(), sources.len());
}

/// The models of these tests: name, artifact, input, labels.
fn models() -> [(&'static str, Vec<u8>, &'static str, usize); 3] {
    [
        ("colour", onnx::colour(), COLOUR_INPUT, 3),
        ("loudness", onnx::loudness(8000), LOUDNESS_INPUT, 8),
        ("motion", onnx::strength(50), MOTION_INPUT, 3),
    ]
}

/// How much red, green and blue there is.
const COLOUR_INPUT: &str = "input = { kind = \"image\", shape = [1, 64, 64, 3], layout = \"NHWC\" }";

/// How loud each eighth of half a second is.
const LOUDNESS_INPUT: &str = "[input]\nkind = \"audio\"\nshape = [1, 8, 1000]\n[input.audio]\nrate_hz = 16000\n\
                              [window]\nlength = 8000\nhop = 8000\n";

/// How strong each axis of a second of motion is.
const MOTION_INPUT: &str = "[input]\nkind = \"imu\"\nshape = [1, 50, 3]\nlayout = \"NTC\"\n[input.imu]\nrate_hz = 50\n\
                            channels = [\"ax\", \"ay\", \"az\"]\n[window]\nlength = 50\nhop = 25\n";

/// Starts inferd with a pipeline, and installs the model of its name.
fn rig_with(name: &str, source: &str) -> Rig {
    let rig = Rig::start(&pipeline_config(name, source)).unwrap();
    let (_, artifact, input, labels) = models().into_iter().find(|(model, ..)| *model == name).unwrap();
    rig.install(&model_folder(&rig, name, &artifact, input, labels)).unwrap();
    rig
}
