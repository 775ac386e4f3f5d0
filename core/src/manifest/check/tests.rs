use super::*;

const KEYWORD: &str = r#"
format = 1
name = "keyword"
version = "1.0.0"
licence = "MIT"
[artifact]
file = "model.onnx"
[input]
kind = "audio"
shape = [1, 49, 10, 1]
layout = "NTFC"
[input.audio]
rate_hz = 16000
features = "mfcc"
frame_length = 480
frame_step = 320
fft_length = 512
coefficients = 10
[window]
length = 16000
hop = 8000
[output]
task = "classification"
labels = ["start", "stop", "_silence_"]
normal = ["_silence_"]
[[golden]]
input = "golden/a.wav"
output = "golden/a.npy"
"#;

fn parse(text: &str) -> Result<Manifest, Vec<Problem>> {
    Manifest::parse(text, &mut |_| Err("no such file".into()))
}

fn problem(text: &str) -> String {
    let problems = parse(text).expect_err("must be refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

#[test]
fn a_good_manifest_is_understood() {
    let manifest = parse(KEYWORD).unwrap();
    assert_eq!(manifest.kind(), Kind::Audio);
    assert_eq!(manifest.window_duration().as_secs(), 1);
    let Task::Classification { normal, .. } = &manifest.output.task else { unreachable!("it is a classifier") };
    assert_eq!(normal, &[2]);
    assert_eq!(manifest.referenced_files().count(), 3);
}

#[test]
fn a_typed_manifest_survives_the_wire() {
    let manifest = parse(KEYWORD).unwrap();
    let mut buffer = Vec::new();
    crate::wire::encode(&manifest, &mut buffer).unwrap();
    assert_eq!(crate::wire::decode::<Manifest>(&buffer).unwrap(), manifest);
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let cases = [
        ("hop = 8000", "hop = 0", "line 21: window.hop: must be 1 to 28800000 samples"),
        (
            "coefficients = 10",
            "coefficients = 12",
            "line 10: input.shape: [1, 49, 10, 1] has 490 values, but these features make 49 x 12 = 588",
        ),
        (
            "normal = [\"_silence_\"]",
            "normal = [\"silence\"]",
            "line 25: output.normal: `silence` is no label; did you mean `_silence_`?",
        ),
        (
            "file = \"model.onnx\"",
            "file = \"../model.onnx\"",
            "line 7: artifact.file: `../model.onnx` is no path in a bundle: plain ASCII names joined by `/` are expected, without `.` and `..`",
        ),
        (
            "output = \"golden/a.npy\"",
            "output = \"golden/a.txt\"",
            "line 28: golden.0.output: `golden/a.txt` must be a NumPy file (.npy)",
        ),
        ("format = 1", "format = 2", "line 2: format: is 2, but this inferd reads manifests of format 1"),
        (
            "fft_length = 512",
            "fft_length = 256",
            "line 17: input.audio.fft_length: is 256; at least `frame_length` (480) is expected",
        ),
        (
            "rate_hz = 16000",
            "rate_hz = 16000\nmel_high_hz = 9000.0",
            "line 14: input.audio.mel_high_hz: is 9000, but at this rate there is nothing above 8000 Hz",
        ),
        (
            "coefficients = 10",
            "coeficients = 10",
            "line 18: input.audio.coeficients: unknown key `coeficients`; did you mean `coefficients`?",
        ),
        (
            "kind = \"audio\"",
            "kind = \"sound\"",
            "line 9: input.kind: unknown value `sound`; expected one of `image`, `audio`, `imu`, `tensor`",
        ),
    ];
    for (good, bad, expected) in cases {
        assert!(KEYWORD.contains(good), "{good}");
        assert_eq!(problem(&KEYWORD.replacen(good, bad, 1)), expected);
    }
}

#[test]
fn labels_may_come_from_a_file() {
    let text = KEYWORD.replace(r#"labels = ["start", "stop", "_silence_"]"#, r#"labels_file = "labels.txt""#);
    let manifest = Manifest::parse(&text, &mut |_| Ok("start\nstop\n_silence_\n".into())).unwrap();
    assert_eq!(manifest.output.labels.len(), 3);
    assert!(problem_list(&text).contains("output.labels_file: cannot read `labels.txt`: no such file"));
}

fn problem_list(text: &str) -> String {
    parse(text).expect_err("must be refused").iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn image_layout_and_color_must_agree() {
    let image = KEYWORD.split("[window]").next().unwrap().split("[input]").next().unwrap().to_owned()
        + "[input]\nkind = \"image\"\nshape = [1, 3, 8, 16]\nlayout = \"NHWC\"\n[output]\ntask = \"raw\"\n";
    assert_eq!(
        problem(&image),
        "line 10: input.shape: [1, 3, 8, 16] has 16 channels in this layout, but `color` has 3"
    );
    let manifest = parse(&image.replace("NHWC", "NCHW")).unwrap();
    let Preprocess::Image(image) = manifest.input.preprocess else { unreachable!("it is an image") };
    assert_eq!((image.height, image.width), (8, 16));
}
