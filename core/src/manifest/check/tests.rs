use proptest::prelude::*;

use super::*;
use crate::manifest::{Kind, Preprocess};
use crate::wire::{Limits, Load, ModelSpec, PROTOCOL, SandboxPolicy, ToRunner, encode};

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
    let Task::Classification { normal, .. } = &manifest.output.task else { unreachable!("it is a classifier") };
    assert_eq!(normal, &[2]);
    assert_eq!(manifest.referenced_files().count(), 3);
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
    assert_eq!(manifest.output.labels_file.as_deref(), Some("labels.txt"));
    assert_eq!(manifest.referenced_files().collect::<Vec<_>>()[..2], ["model.onnx", "labels.txt"]);
    assert!(problem_list(&text).contains("output.labels_file: cannot read `labels.txt`: no such file"));
    let outside = text.replace("\"labels.txt\"", "\"../labels.txt\"");
    let problems = Manifest::parse(&outside, &mut |_| unreachable!("it is not looked for")).unwrap_err();
    assert!(problems[0].to_string().starts_with("line 24: output.labels_file: `../labels.txt` is no path in a bundle"));
}

#[test]
fn a_name_that_classes_share_stands_for_all_of_them() {
    let shared = KEYWORD.replace(r#"["start", "stop", "_silence_"]"#, r#"["_silence_", "stop", "_silence_"]"#);
    let Task::Classification { normal, .. } = parse(&shared).unwrap().output.task else { panic!("it classifies") };
    assert_eq!(normal, [0, 2]);
}

#[test]
fn labels_can_be_seen() {
    let from_file = KEYWORD.replace(r#"labels = ["start", "stop", "_silence_"]"#, r#"labels_file = "labels.txt""#);
    let read = |labels: &str| Manifest::parse(&from_file, &mut |_| Ok(labels.to_owned()));
    for good in ["start\nstop\n_silence_", "start\r\nstop\r\n_silence_\r\n", "start \nstop\n_silence_\n\n  \n"] {
        assert_eq!(read(good).unwrap().output.labels, ["start", "stop", "_silence_"], "{good:?}");
    }
    for (bad, says) in [
        (
            "start\n\n_silence_\n",
            "line 24: output.labels_file: line 2 of `labels.txt` is empty; every class needs a name",
        ),
        (
            "_silence_\nst\u{0}op\n",
            "line 24: output.labels_file: line 2 of `labels.txt` holds a control character: \"st\\0op\"",
        ),
        ("\n\n", "line 22: output.labels: is missing: `labels.txt` holds none"),
    ] {
        let problems = read(bad).expect_err(bad);
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [says]);
    }
    for (bad, says) in [
        (r#"["start", " ", "_silence_"]"#, "line 24: output.labels.1: label 1 is empty; every class needs a name"),
        (
            r#"["start", "a\u0000b", "_silence_"]"#,
            "line 24: output.labels.1: label 1 holds a control character: \"a\\0b\"",
        ),
    ] {
        assert_eq!(problem(&KEYWORD.replace(r#"["start", "stop", "_silence_"]"#, bad)), says);
    }
}

#[test]
fn what_is_shown_holds_no_control_characters() {
    let cases = [
        (
            "description = \"a\\u0000b\"",
            "line 2: description: holds the control character '\\0'; one line of plain text is expected",
        ),
        (
            "description = \"a\\nb\"",
            "line 2: description: holds the control character '\\n'; one line of plain text is expected",
        ),
    ];
    for (line, says) in cases {
        assert_eq!(problem(&KEYWORD.replacen("format = 1", &format!("{line}\nformat = 1"), 1)), says);
    }
    assert!(problem(&KEYWORD.replace("\"MIT\"", "\"MIT\\u001b\"")).starts_with("line 5: licence: holds"));
    let named = |name: &str| KEYWORD.replace("kind = \"audio\"", &format!("kind = \"audio\"\ntensor = \"{name}\""));
    assert!(parse(&named(&"n".repeat(1_000))).is_ok());
    assert_eq!(
        problem(&named(&"n".repeat(1_001))),
        "line 10: input.tensor: has 1001 bytes; a name of 1 to 1000 is expected"
    );
    assert!(problem(&named("")).contains("0 bytes"));
}

const IMU: &str = r#"
format = 1
name = "gesture"
version = "1.0.0"
licence = "MIT"
artifact = { file = "model.onnx" }
[input]
kind = "imu"
shape = [1, 6, 119]
layout = "NCT"
[input.imu]
rate_hz = 119.0
channels = ["a", "b", "c", "d", "e", "f"]
[window]
length = 119
hop = 119
[output]
task = "raw"
"#;

#[test]
fn imu_axes_are_in_the_order_of_the_layout() {
    for (shape, layout, fits) in [
        ("[1, 6, 119]", "NCT", true),
        ("[1, 119, 6]", "NTC", true),
        ("[1, 6, 1, 119, 1]", "NCT", true),
        ("[6, 119]", "NCT", true),
        // One axis, or more than the two: filled in the layout's order.
        ("[1, 714]", "NTC", true),
        ("[1, 2, 3, 119]", "NCT", true),
        ("[1, 6, 119]", "NTC", false),
        ("[1, 119, 6]", "NCT", false),
        ("[1, 1, 119, 1, 6]", "NCT", false),
        ("[1, 7, 102]", "NCT", false),
    ] {
        let text = IMU.replace("[1, 6, 119]", shape).replace("NCT", layout);
        let found = parse(&text).map_err(|problems| problems[0].to_string());
        let says = "does not have its axes in the order of `layout`: ";
        let right = if fits { found.is_ok() } else { found.as_ref().is_err_and(|problem| problem.contains(says)) };
        assert!(right, "{shape} {layout}: {found:?}");
    }
    assert_eq!(
        problem(&IMU.replace("NCT", "NTC")),
        "line 9: input.shape: [1, 6, 119] does not have its axes in the order of `layout`: 119 rows of 6 channels are \
         expected"
    );
    let single = IMU.replace("[1, 6, 119]", "[1, 119, 1]").replace(r#"["a", "b", "c", "d", "e", "f"]"#, r#"["a"]"#);
    for layout in ["NCT", "NTC"] {
        assert!(parse(&single.replace("NCT", layout)).is_ok());
    }
}

#[test]
fn layouts_belong_to_their_kinds() {
    let audio = |layout: &str| KEYWORD.replace("layout = \"NTFC\"\n", layout);
    assert!(parse(&audio("")).is_ok());
    for layout in ["NHWC", "NCHW", "NTC", "NCT"] {
        assert_eq!(
            problem(&audio(&format!("layout = \"{layout}\"\n"))),
            "line 11: input.layout: must be \"NTFC\" or absent for an input of kind `audio`"
        );
    }
    for layout in ["NHWC", "NCHW", "NTFC"] {
        let problem = problem(&IMU.replace("NCT", layout));
        assert!(problem.starts_with("line 10: input.layout: must be \"NTC\" (rows) or"), "{problem}");
    }
    let tensor = "format = 1\nname = \"a\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\nartifact = { file = \"m.onnx\" }\n\
                  [input]\nkind = \"tensor\"\nshape = [1, 4]\nlayout = \"NHWC\"\n[output]\ntask = \"raw\"\n";
    assert_eq!(
        problem(tensor),
        "line 9: input.layout: does not belong to an input of kind `tensor`: it is taken as it is"
    );
}

#[test]
fn detection_is_compared_by_corners_and_scores() {
    let text = "format = 1\nname = \"a\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\nartifact = { file = \"m.onnx\" }\n\
                input = { kind = \"image\", shape = [1, 8, 8, 3], layout = \"NHWC\" }\n[output]\ntask = \"detection\"\n\
                labels = [\"a\"]\nboxes = { scores_tensor = \"s\" }\n[[golden]]\ninput = \"a.jpg\"\noutput = \"a.npy\"\n";
    assert_eq!(
        problem(text),
        "line 11: golden.0.scores: is missing: detection is compared by corners (`output`) and scores"
    );
    let manifest = parse(&format!("{text}scores = \"b.npy\"\n")).unwrap();
    assert_eq!(manifest.referenced_files().collect::<Vec<_>>(), ["m.onnx", "a.jpg", "a.npy", "b.npy"]);
    assert_eq!(
        problem(&format!("{text}scores = \"b.jpg\"\n")),
        "line 14: golden.0.scores: `b.jpg` must be a NumPy file (.npy)"
    );
    assert_eq!(
        problem(&format!("{KEYWORD}scores = \"b.npy\"\n")),
        "line 29: golden.0.scores: does not belong to task `classification`"
    );
}

#[test]
fn decisions_are_refused_in_the_words_of_their_task() {
    let decision = |text: &str, value: &str| format!("{text}\n[decision]\nthreshold = {value}\n");
    let classification = KEYWORD.split("[[golden]]").next().unwrap_or_default();
    assert!(problem(&decision(classification, "1.5")).ends_with("decision.threshold: is 1.5; 0 to 1 is expected"));
    assert!(parse(&decision(IMU, "1.5")).is_ok());
    assert!(problem(&decision(IMU, "nan")).ends_with("decision.threshold: is NaN; a finite number is expected"));
}

/// Each of these took minutes or gigabytes while every problem parsed the text again and compared with all labels.
#[test]
fn the_work_on_a_bad_manifest_is_bounded() {
    let list = |count: usize, word: &str| (0..count).map(|index| format!("\"{word}{index}\",")).collect::<String>();
    let normal = |names: &str| KEYWORD.replace(r#"normal = ["_silence_"]"#, &format!("normal = [{names}]"));
    assert_eq!(problem(&normal(&list(25_000, "x"))), "line 25: output.normal: has 25000 names, but there are 3 labels");
    let labels = list(8_000, "some-label-");
    let many = normal(&list(8_000, "y")).replace(r#""start", "stop", "_silence_""#, &labels);
    let golden = "[[golden]]\ninput=\"\"\noutput=\"\"\n".repeat(6_000);
    let twice = KEYWORD.replace(r#""start", "stop", "_silence_""#, &"\"\",".repeat(16_000));
    let files: String = (0..6_000).map(|index| format!("\"../{index}\" = \"{}\"\n", "00".repeat(32))).collect();
    let files = format!("{KEYWORD}[files]\n{}", &files[..files.len().min(250_000) / 74 * 74]);
    let started = std::time::Instant::now();
    for text in [many, format!("{KEYWORD}{golden}"), twice, files] {
        assert!(text.len() <= crate::manifest::MAX_BYTES, "{}", text.len());
        let problems = parse(&text).unwrap_err();
        assert!(problems.len() <= MAX_PROBLEMS + 1, "{}", problems.len());
        if problems.len() > MAX_PROBLEMS {
            assert_eq!(problems[MAX_PROBLEMS].to_string(), "and more: these are the first 20 problems");
        }
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

/// A good text with one change: a line gone, doubled or moved, a value replaced, bytes put in or taken out.
fn changed(text: &str, how: usize, at: usize, word: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let (line, other) = (at % lines.len(), at / 7 % lines.len());
    let value;
    match how {
        0 => drop(lines.remove(line)),
        1 => lines.insert(other, lines[line]),
        2 => lines.swap(line, other),
        3 => {
            value = format!("{} = {word}", lines[line].split('=').next().unwrap_or_default());
            lines[line] = &value;
        }
        4 => lines.insert(line, word),
        _ => {
            let middle = lines[line].chars().count() / 2;
            value = lines[line].chars().take(middle).chain(word.chars()).collect();
            lines[line] = &value;
        }
    }
    lines.join("\n")
}

const WORDS: [&str; 16] = [
    "0",
    "-1",
    "1e39",
    "nan",
    "4294967295",
    "18446744073709551615",
    "\"\"",
    "\"NCT\"",
    "\"\\u0000\"",
    "[]",
    "[0]",
    "[1, 1]",
    "{}",
    "true",
    "[\"a\", \"a\"]",
    "\"..\"",
];

proptest! {
    #[test]
    fn any_text_is_a_manifest_that_fits_the_wire_or_has_few_problems(
        imu: bool,
        changes in proptest::collection::vec((0..6_usize, any::<usize>(), 0..WORDS.len(), "\\PC{0,3}"), 0..4),
    ) {
        let mut text = if imu { IMU } else { KEYWORD }.to_owned();
        for (how, at, word, odd) in changes {
            text = changed(&text, how, at, if odd.is_empty() { WORDS[word] } else { &odd });
        }
        match parse(&text) {
            Ok(manifest) => {
                let limits = Limits { memory_bytes: 1, threads: 1, sandbox: SandboxPolicy::Full };
                let model = ModelSpec::from(&manifest);
                let load = Load { protocol: PROTOCOL, model, artifact_bytes: 1, limits, warm_up_runs: 1 };
                prop_assert!(encode(&ToRunner::Load(Box::new(load)), &mut Vec::new()).is_ok());
                prop_assert!(manifest.referenced_files().all(is_bundle_path));
            }
            Err(problems) => {
                prop_assert!((1..=MAX_PROBLEMS + 1).contains(&problems.len()));
                prop_assert!(problems.iter().all(|problem| problem.to_string().len() < 1_100));
            }
        }
    }
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
