//! Real models and recordings by others: the answers must be those of the reference (ONNX Runtime and Pillow), and what
//! cannot be served must say why. Skipped, loudly, where `../shared/realdata` beside the workspace (or the folder that
//! `INFERD_REALDATA` names) is absent.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its own code and in what it calls"
)]

mod real;

use std::fs;
use std::path::Path;

use inferd_core::frame::{Format, PixelFormat};
use inferd_core::prediction::{Prediction, rank};
use inferd_core::wire::ModelSpec;
use inferd_runner::Engine;

use real::{VWW, manifest, realdata};

fn load(folder: &Path, model: &str, body: &str) -> Engine {
    refused_or_loaded(folder, model, body).unwrap_or_else(|reason| panic!("{model}: {reason}"))
}

fn refused_or_loaded(folder: &Path, model: &str, body: &str) -> Result<Engine, String> {
    let artifact = fs::read(folder.join(model)).unwrap();
    let mut engine =
        Engine::load(&ModelSpec::from(&manifest(model, body)), &artifact, 1).map_err(|error| error.to_string())?;
    engine.warm_up(2).map_err(|error| error.to_string())?;
    Ok(engine)
}

/// Runs every golden sample of a model; the largest difference.
fn golden(engine: &mut Engine, folder: &Path, outputs: &[&str]) -> f32 {
    let mut largest = 0.0_f32;
    let mut samples = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let input = entry.unwrap().path();
        let name = input.file_name().unwrap().to_str().unwrap().to_owned();
        let Some((sample, _)) = name.split_once(".in.") else { continue };
        let read = |output| fs::read(folder.join(format!("{sample}.out.{output}.npy"))).unwrap();
        let expected: Vec<Vec<u8>> = outputs.iter().map(read).collect();
        let expected: Vec<&[u8]> = expected.iter().map(Vec::as_slice).collect();
        let difference = engine.compare_golden(&fs::read(&input).unwrap(), Format::Npy, &expected).unwrap();
        largest = largest.max(difference);
        samples += 1;
    }
    assert!(samples > 0, "no golden samples in {}", folder.display());
    eprintln!("{}: {samples} golden samples, largest difference {largest:e}", folder.display());
    largest
}

fn best(engine: &mut Engine, bytes: &[u8], format: Format) -> usize {
    match engine.run(bytes, format).unwrap().0 {
        Prediction::Classes(scores) => rank(&scores).unwrap().best,
        other => panic!("{other:?}"),
    }
}

fn table(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn photos_are_judged_as_by_the_reference() {
    let Some(data) = realdata() else { return };
    let mut engine = load(&data, "image/vww_float.onnx", VWW);
    assert!(golden(&mut engine, &data.join("image/golden/vww_float"), &["Identity"]) < 1e-3);
    let (mut right, mut all) = (0, 0);
    for row in table(&data.join("image/caltech101/labels.csv")) {
        let Ok(person) = row[3].parse::<usize>() else { continue };
        let photo = fs::read(data.join("image/caltech101").join(&row[0])).unwrap();
        all += 1;
        right += usize::from(best(&mut engine, &photo, Format::Jpeg) == person);
    }
    assert_eq!((right, all), (124, 128));
}

const KWS: &str = include_str!("../../tests/fixtures/realdata/kws_float.toml");

#[test]
fn words_are_heard_as_by_the_reference() {
    let Some(data) = realdata() else { return };
    let mut engine = load(&data, "audio/kws_float.onnx", KWS);
    let folder = data.join("audio/golden/kws_float");
    assert!(golden(&mut engine, &folder, &["Identity"]) < 1e-3);
    let sound = fs::read(data.join("audio/speech_commands/down__beb458a4_nohash_4.wav")).unwrap();
    let expected = fs::read(folder.join("down__beb458a4_nohash_4.out.Identity.npy")).unwrap();
    let difference = engine.compare_golden(&sound, Format::Wav, &[&expected]).unwrap();
    eprintln!("features and model on a recording: difference {difference:e}");
    assert!(difference < 1e-3);
    let (mut right, mut all) = (0, 0);
    for row in table(&data.join("audio/speech_commands/labels.csv")) {
        let sound = fs::read(data.join("audio/speech_commands").join(&row[0])).unwrap();
        all += 1;
        right += usize::from(best(&mut engine, &sound, Format::Wav).to_string() == row[2]);
    }
    assert_eq!((right, all), (133, 144));
    let other = fs::read(data.join("audio/noisy_p232_113_48k.wav")).unwrap();
    let failure = engine.run(&other, Format::Wav).unwrap_err();
    assert_eq!(failure.reason, "the recording has 48000 samples per second, the model needs 16000");
}

const WAND: &str = include_str!("../../tests/fixtures/realdata/magic_wand_float.toml");

#[test]
fn gestures_are_seen_as_by_the_reference() {
    let Some(data) = realdata() else { return };
    let mut engine = load(&data, "imu/magic_wand_float.onnx", WAND);
    assert!(golden(&mut engine, &data.join("imu/golden/magic_wand_float"), &["output_softmax"]) < 1e-3);
    let format = Format::Imu { rate_hz: 119.0, channels: 6 };
    let names = ["AlohomoraCharm", "ArrestoMomentumCharm", "AvadaKedavra", "LocomotorCharm", "Revelio"];
    let (mut right, mut all) = (0, 0);
    for (class, name) in names.iter().enumerate() {
        let rows = table(&data.join(format!("imu/magic_wand_train/{name}.csv")));
        for window in rows.chunks_exact(119) {
            let values = window.iter().flatten().map(|value| value.parse::<f32>().unwrap());
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            all += 1;
            right += usize::from(best(&mut engine, &bytes, format) == class);
        }
    }
    assert_eq!((right, all), (94, 100));
}

/// It has a GRU: nothing may be carried from one window to the next.
#[test]
fn activities_are_seen_as_by_the_reference() {
    let Some(data) = realdata() else { return };
    let body = "[input]\nkind = \"tensor\"\nshape = [1, 52, 3]\n[output]\ntask = \"raw\"\n";
    let mut engine = load(&data, "imu/stm_har_cnn_gru.onnx", body);
    assert!(golden(&mut engine, &data.join("imu/golden/stm_har_cnn_gru"), &["probs"]) < 1e-4);
}

const FACES: &str = r#"
[input]
kind = "image"
shape = [1, 3, 240, 320]
layout = "NCHW"
[input.image]
scale = 1.0
mean = [127.0]
std = [128.0]
[output]
task = "detection"
tensor = "boxes"
labels = ["background", "face"]
[output.boxes]
scores_tensor = "scores"
background = "background"
min_score = 0.7
max_overlap = 0.3
"#;

fn faces(engine: &mut Engine, path: &Path) -> usize {
    let format = Format::of_file(path.to_str().unwrap()).unwrap();
    match engine.run(&fs::read(path).unwrap(), format).unwrap().0 {
        Prediction::Boxes(boxes) => {
            assert!(boxes.iter().all(|found| found.area[0] < found.area[2] && found.area[1] < found.area[3]));
            boxes.len()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn faces_are_found_as_by_the_reference() {
    let Some(data) = realdata() else { return };
    let mut engine = load(&data, "image/face_rfb_320.onnx", FACES);
    assert!(golden(&mut engine, &data.join("image/golden/face_rfb_320"), &["boxes", "scores"]) < 1e-3);
    let portraits: Vec<_> = table(&data.join("image/caltech101/labels.csv"))
        .into_iter()
        .filter(|row| row[1] == "Faces")
        .map(|row| faces(&mut engine, &data.join("image/caltech101").join(&row[0])))
        .collect();
    assert_eq!(portraits, [1; 20]);
    for (photo, expected) in [("faces/19.jpg", 5), ("faces/2.jpg", 4), ("samples/mlek_couple.bmp", 2)] {
        assert_eq!(faces(&mut engine, &data.join("image").join(photo)), expected, "{photo}");
    }
}

#[test]
fn models_that_cannot_be_served_are_refused_with_the_reason() {
    let Some(data) = realdata() else { return };
    let image = |shape: &str, dtype: &str, labels: usize| {
        format!(
            "[input]\nkind = \"tensor\"\nshape = {shape}\ndtype = \"{dtype}\"\n[output]\ntask = \"classification\"\n\
             labels = {:?}\n",
            (0..labels).map(|label| label.to_string()).collect::<Vec<_>>()
        )
    };
    for (model, body, says) in [
        (
            "image/mobilenet_v2_1.0_224_quant.onnx",
            image("[1, 224, 224, 3]", "u8", 1001),
            &["Softmax", "QuantizeLinear"][..],
        ),
        ("audio/sww_marvin_int8.onnx", image("[1, 30, 1, 40]", "i8", 3), &["Softmax"]),
        ("negative/person_detect_bad_axis.onnx", image("[1, 96, 96, 1]", "i8", 2), &["Softmax"]),
        ("audio/silero_vad_16k_op15.onnx", image("[1, 576]", "f32", 1), &["operators", "If"]),
        ("audio/silero_vad_16k_static.onnx", image("[1, 576]", "f32", 1), &["several inputs", "state [2, 1, 128]"]),
        (
            "image/vww_float.onnx",
            image("[1, 64, 64, 3]", "f32", 2),
            &["[?, 96, 96, 3]", "[1, 64, 64, 3]", "input.shape"],
        ),
        ("image/vww_float.onnx", image("[1, 96, 96, 3]", "u8", 2), &["f32", "u8", "input.dtype"]),
        ("image/vww_float.onnx", image("[1, 96, 96, 3]", "f32", 3), &["2 values", "3 labels"]),
        ("image/vww_float.onnx", VWW.replace("task", "tensor = \"scores\"\ntask"), &["`scores`", "Identity"]),
        ("image/vww_float.onnx", VWW.replace("shape", "tensor = \"image\"\nshape"), &["`image`", "input_1"]),
        ("INDEX.md", VWW.to_owned(), &["not an ONNX model"]),
    ] {
        let reason = refused_or_loaded(&data, model, &body).err().unwrap_or_else(|| panic!("{model} was loaded"));
        eprintln!("{model}: {reason}");
        assert!(says.iter().all(|word| reason.contains(word)), "{model}: {reason}");
    }
}

#[test]
fn unreadable_windows_fail_and_the_engine_goes_on() {
    let Some(data) = realdata() else { return };
    let mut engine = load(&data, "image/vww_float.onnx", VWW);
    let photo = fs::read(data.join("image/samples/cat_720p.jpg")).unwrap();
    let before = engine.run(&photo, Format::Jpeg).unwrap().0;
    let ended_early = [&photo[..photo.len() / 2], b"\xff\xd9"].concat();
    for (bytes, format) in [
        (&ended_early[..], Format::Jpeg),
        (&photo[..photo.len() / 2], Format::Jpeg),
        (&photo[..200], Format::Jpeg),
        (&photo[..], Format::Png),
        (&photo[..], Format::Wav),
        (&[][..], Format::Jpeg),
        (&photo[..100], Format::Raw(PixelFormat::Rgb24, inferd_core::frame::ImageSize { width: 96, height: 96 })),
    ] {
        let failure = engine.run(bytes, format).expect_err(format.word());
        eprintln!("{}: {}", failure.stage.word(), failure.reason);
    }
    assert_eq!(engine.run(&photo, Format::Jpeg).unwrap().0, before);
}
