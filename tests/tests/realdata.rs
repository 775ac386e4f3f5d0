//! Real models and recordings by others, through the whole of inferd: bundles are packed, proven with the reference's own
//! golden samples, and as many windows are right as `INDEX.md` of the recordings says. Skipped, loudly, where they are
//! absent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::fs;
use std::path::{Path, PathBuf};

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::{path, pipeline_config_with};
use inferd_tests::variant::write;
use inferd_tests::{Rig, fixtures};

/// A model by others with a recording for it.
struct Case {
    name: &'static str,
    artifact: &'static str,
    /// The folder of golden samples and the output's name in it.
    golden: (&'static str, &'static str),
    /// The manifest below its head; the runner's own tests use the same files.
    manifest: &'static str,
    /// `[pipelines.*.source]`.
    source: &'static str,
    /// Right and all, as `INDEX.md` says.
    accuracy: (usize, usize),
}

impl Case {
    /// Names of the classes.
    fn labels(&self) -> Vec<String> {
        let manifest: toml::Table = self.manifest.parse().unwrap();
        manifest["output"]["labels"].clone().try_into().unwrap()
    }
}

const VWW: Case = Case {
    name: "person",
    artifact: "image/vww_float.onnx",
    golden: ("image/golden/vww_float", "Identity"),
    manifest: include_str!("../fixtures/realdata/vww_float.toml"),
    source: "",
    accuracy: (124, 128),
};

const KWS: Case = Case {
    name: "word",
    artifact: "audio/kws_float.onnx",
    golden: ("audio/golden/kws_float", "Identity"),
    manifest: include_str!("../fixtures/realdata/kws_float.toml"),
    source: "",
    accuracy: (133, 144),
};

const WAND: Case = Case {
    name: "wand",
    artifact: "imu/magic_wand_float.onnx",
    golden: ("imu/golden/magic_wand_float", "output_softmax"),
    manifest: include_str!("../fixtures/realdata/magic_wand_float.toml"),
    source: "rate_hz = 119.0\n",
    accuracy: (94, 100),
};

#[test]
fn photos_are_judged_as_by_the_reference() {
    let Some(data) = fixtures::real_data("photos_are_judged_as_by_the_reference") else { return };
    play(&data, &VWW, |folder| {
        fs::create_dir(folder.join("photos")).unwrap();
        let rows = rows(&data.join("image/caltech101/labels.csv"));
        let labelled = rows.iter().filter_map(|row| Some((&row[0], row[3].parse::<usize>().ok()?)));
        let classes = labelled.enumerate().map(|(index, (file, person))| {
            let to = folder.join(format!("photos/{index:06}.jpg"));
            fs::copy(data.join("image/caltech101").join(file), to).unwrap();
            person
        });
        (classes.collect(), folder.join("photos"))
    });
}

#[test]
fn words_are_heard_as_by_the_reference() {
    let Some(data) = fixtures::real_data("words_are_heard_as_by_the_reference") else { return };
    play(&data, &KWS, |folder| {
        let recording = folder.join("words.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut all = hound::WavWriter::create(&recording, spec).unwrap();
        let mut classes = Vec::new();
        for row in rows(&data.join("audio/speech_commands/labels.csv")) {
            let mut clip = hound::WavReader::open(data.join("audio/speech_commands").join(&row[0])).unwrap();
            assert_eq!((clip.spec(), clip.duration()), (spec, 16000), "{}", row[0]);
            clip.samples::<i16>().for_each(|sample| all.write_sample(sample.unwrap()).unwrap());
            classes.push(row[2].parse().unwrap());
        }
        all.finalize().unwrap();
        (classes, recording)
    });
}

#[test]
fn gestures_are_seen_as_by_the_reference() {
    let Some(data) = fixtures::real_data("gestures_are_seen_as_by_the_reference") else { return };
    play(&data, &WAND, |folder| {
        let mut text = "aX,aY,aZ,gX,gY,gZ\n".to_owned();
        let mut classes = Vec::new();
        for (class, name) in WAND.labels().iter().enumerate() {
            let rows = rows(&data.join(format!("imu/magic_wand_train/{name}.csv")));
            for gesture in rows.chunks_exact(119) {
                gesture.iter().for_each(|row| text += &format!("{}\n", row.join(",")));
                classes.push(class);
            }
        }
        write(&folder.join("gestures.csv"), text.as_bytes()).unwrap();
        (classes, folder.join("gestures.csv"))
    });
}

#[test]
fn a_reference_that_is_a_thousandth_off_is_refused() {
    let Some(data) = fixtures::real_data("a_reference_that_is_a_thousandth_off_is_refused") else { return };
    for case in [VWW, KWS, WAND] {
        let rig = Rig::start("").unwrap();
        let bundle = bundle_folder(&data, &case, rig.folder());
        let expected = bundle.join("golden/0.npy");
        let mut npy = fs::read(&expected).unwrap();
        let last = npy.len() - 4;
        let value = f32::from_le_bytes(npy[last..].try_into().unwrap());
        npy[last..].copy_from_slice(&(value + 1.5e-3).to_le_bytes());
        write(&expected, &npy).unwrap();
        let packed = rig.pack(&bundle).unwrap();
        let output = rig.ctl_output(&["install", path(&packed).unwrap(), "--json"]).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}: {said}", case.name);
        assert_eq!(said["job"]["error"]["name"], "GoldenMismatch", "{}: {said}", case.name);
    }
}

/// Packs, installs (which runs the golden samples), plays, and counts what is right. `record` makes the recording in a
/// folder and gives each window's class.
fn play(data: &Path, case: &Case, record: impl FnOnce(&Path) -> (Vec<usize>, PathBuf)) {
    let mut rig = Rig::new().unwrap();
    let (classes, recording) = record(rig.folder());
    let source = format!("pace = \"fast\"\nat_end = \"stop\"\n{}", case.source);
    rig.configure(&pipeline_config_with("enabled = false", case.name, case.name, &recording, &source)).unwrap();
    rig.launch().unwrap();
    rig.install(&bundle_folder(data, case, rig.folder())).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.ctl(&["start", case.name]).unwrap();
    rig.wait_for_state(case.name, "finished").unwrap();
    rig.stop().unwrap();
    let lines = collector.finish();
    let answers = outcomes::of(&lines, case.name);
    let windows: Vec<_> = answers.iter().map(|line| line.outcome["window"].as_u64().unwrap()).collect();
    assert_eq!(windows, (0..classes.len() as u64).collect::<Vec<_>>(), "every window has one outcome, in order");
    let labels = case.labels();
    let is_right = |(line, class): &(&&outcomes::Line, &usize)| line.outcome["label"] == labels[**class].as_str();
    let right = answers.iter().zip(&classes).filter(is_right).count();
    println!("{}: {right}/{} right", case.name, classes.len());
    assert_eq!((right, classes.len()), case.accuracy);
}

/// A folder that `inferctl bundle pack` takes, with every golden sample of the reference.
fn bundle_folder(data: &Path, case: &Case, below: &Path) -> PathBuf {
    let folder = below.join(format!("{}-1.0.0", case.name));
    fs::create_dir_all(folder.join("golden")).unwrap();
    fs::copy(data.join(case.artifact), folder.join("model.onnx")).unwrap();
    let mut manifest = format!(
        "format = 1\nname = \"{}\"\nversion = \"1.0.0\"\nlicence = \"Apache-2.0\"\n[artifact]\nfile = \"model.onnx\"\n{}",
        case.name, case.manifest
    );
    let samples = golden_samples(&data.join(case.golden.0), case.golden.1);
    assert!(samples.len() >= 3, "{} has golden samples", case.name);
    for (index, (input, expected)) in samples.iter().enumerate() {
        fs::copy(input, folder.join(format!("golden/{index}.in.npy"))).unwrap();
        fs::copy(expected, folder.join(format!("golden/{index}.npy"))).unwrap();
        manifest += &format!(
            "[[golden]]\ninput = \"golden/{index}.in.npy\"\noutput = \"golden/{index}.npy\"\ntolerance = 0.001\n"
        );
    }
    write(&folder.join("model.toml"), manifest.as_bytes()).unwrap();
    folder
}

/// Inputs and expected outputs: `SAMPLE.in.TENSOR.npy`, `SAMPLE.out.OUTPUT.npy`.
fn golden_samples(folder: &Path, output: &str) -> Vec<(PathBuf, PathBuf)> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pairs = names.filter_map(|input| {
        let (sample, _) = input.file_name()?.to_str()?.split_once(".in.")?;
        let expected = folder.join(format!("{sample}.out.{output}.npy"));
        Some((input, expected))
    });
    pairs.collect()
}

fn rows(file: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}
