//! From what a person wrote to a [`Manifest`]: every rule that can be checked without the model, all problems at once.

use super::raw;
use super::{
    AudioInput, Boxes, Decision, Features, Golden, ImageInput, ImageLayout, ImuChannel, ImuInput, ImuLayout, Input,
    Kind, Manifest, Mel, Output, Preprocess, Spectrum, Taper, Task, Window,
};
use crate::frame::{Dtype, Format};
use crate::prediction::MAX_VALUES;
use crate::text::{Problem, suggest};

/// The version of the manifest's own format that this build reads.
const FORMAT: u32 = 1;

/// Values that cannot be meant: a window of ten minutes at 48 kHz, a picture of 4096 pixels a side.
const MAX_WINDOW: u32 = 48_000 * 600;
const MAX_SIDE: u32 = 4096;

pub(super) fn check(
    raw: raw::Manifest,
    text: &str,
    read_text: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Manifest, Vec<Problem>> {
    let mut found = Found { text, problems: Vec::new() };
    found.unless(raw.format == FORMAT, "format", || {
        format!("is {}, but this inferd reads manifests of format {FORMAT}", raw.format)
    });
    found.unless(!raw.licence.is_empty(), "licence", || "is empty; an SPDX expression is expected".into());
    found.path("artifact.file", &raw.artifact.file);
    let input = check_input(&raw.input, raw.window, &mut found);
    let output = check_output(raw.output, &mut found, read_text);
    let decision = check_decision(&raw.decision, &output.task, &mut found);
    let golden = check_golden(raw.golden, &mut found);
    for file in raw.files.keys() {
        found.path("files", file);
    }
    if !found.problems.is_empty() {
        return Err(found.problems);
    }
    Ok(Manifest {
        name: raw.name,
        version: raw.version,
        description: raw.description,
        licence: raw.licence,
        artifact: super::Artifact { file: raw.artifact.file, format: raw.artifact.format },
        input,
        output,
        decision,
        golden,
        files: raw.files,
    })
}

/// The problems so far, and the text that their lines are looked up in.
struct Found<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::at(self.text, key, message));
    }

    fn unless(&mut self, holds: bool, key: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.problem(key, message());
        }
    }

    /// A path in a bundle: relative, downwards, plain.
    fn path(&mut self, key: &str, path: &str) {
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let fine = path.len() <= 200
            && path.split('/').all(plain)
            && path.chars().all(|c| c.is_ascii_graphic() && c != '\\' && c != '"');
        self.unless(fine, key, || {
            format!(
                "`{path}` is no path in a bundle: plain ASCII names joined by `/` are expected, without `.` and `..`"
            )
        });
    }

    fn required<T: Copy>(&mut self, value: Option<T>, key: &str, why: &str) -> Option<T> {
        if value.is_none() {
            self.problem(key, format!("is missing: {why}"));
        }
        value
    }

    fn finite(&mut self, key: &str, values: &[f32]) {
        self.unless(values.iter().all(|value| value.is_finite()), key, || "holds NaN or infinity".into());
    }
}

fn check_input(raw: &raw::Input, window: Option<Window>, found: &mut Found<'_>) -> Input {
    for (kind, present) in
        [(Kind::Image, raw.image.is_some()), (Kind::Audio, raw.audio.is_some()), (Kind::Imu, raw.imu.is_some())]
    {
        found.unless(!present || raw.kind == kind, &format!("input.{}", kind.word()), || {
            format!("does not belong to an input of kind `{}`", raw.kind.word())
        });
    }
    let streams = matches!(raw.kind, Kind::Audio | Kind::Imu);
    found.unless(streams || window.is_none(), "window", || {
        format!("does not belong to an input of kind `{}`: each frame is one window", raw.kind.word())
    });
    let preprocess = match raw.kind {
        Kind::Image => Preprocess::Image(check_image(raw, found)),
        Kind::Audio => {
            let window = check_window(window, found);
            check_audio(raw, window, found).map_or(Preprocess::Tensor, Preprocess::Audio)
        }
        Kind::Imu => {
            let window = check_window(window, found);
            check_imu(raw, window, found).map_or(Preprocess::Tensor, Preprocess::Imu)
        }
        Kind::Tensor => Preprocess::Tensor,
    };
    let floats_only = streams && raw.dtype != Dtype::F32;
    found.unless(!floats_only, "input.dtype", || format!("must be \"f32\" for an input of kind `{}`", raw.kind.word()));
    Input { tensor: raw.tensor.clone(), shape: raw.shape, dtype: raw.dtype, preprocess }
}

fn check_window(window: Option<Window>, found: &mut Found<'_>) -> Window {
    let usual = Window { length: 1, hop: 1 };
    let Some(window) = window else {
        found.problem("window", "is missing: `length` and `hop` in samples are expected for audio and imu");
        return usual;
    };
    let sane = |value: u32| (1..=MAX_WINDOW).contains(&value);
    found.unless(sane(window.length), "window.length", || format!("must be 1 to {MAX_WINDOW} samples"));
    found.unless(sane(window.hop), "window.hop", || format!("must be 1 to {MAX_WINDOW} samples"));
    window
}

fn check_image(raw: &raw::Input, found: &mut Found<'_>) -> ImageInput {
    let image = raw.image.as_ref().map_or_else(Default::default, Clone::clone);
    let (layout, [height, width, channels]) = image_axes(raw, found);
    found.unless(channels == image.color.channels(), "input.shape", || {
        format!("{} has {channels} channels in this layout, but `color` has {}", raw.shape, image.color.channels())
    });
    found.unless(width <= MAX_SIDE && height <= MAX_SIDE, "input.shape", || {
        format!("{} is over {MAX_SIDE} pixels a side", raw.shape)
    });
    let normalised =
        (image.scale, &image.mean[..], &image.std[..]) != (raw::Image::default().scale, &[0.0][..], &[1.0][..]);
    found.unless(raw.dtype == Dtype::F32 || !normalised, "input.image", || {
        "`scale`, `mean` and `std` belong to a model that takes floats: bytes take the pixels as they are".into()
    });
    found.finite("input.image.scale", &[image.scale]);
    let mean = per_channel("input.image.mean", &image.mean, found);
    let std = per_channel("input.image.std", &image.std, found);
    found.unless(std.iter().all(|&value| value > 0.0), "input.image.std", || "must be above 0".into());
    ImageInput {
        layout,
        width,
        height,
        color: image.color,
        resize: image.resize,
        filter: image.filter,
        scale: image.scale,
        mean,
        std,
    }
}

fn image_axes(raw: &raw::Input, found: &mut Found<'_>) -> (ImageLayout, [u32; 3]) {
    let layout = match raw.layout {
        Some(raw::Layout::Nhwc) => ImageLayout::Nhwc,
        Some(raw::Layout::Nchw) => ImageLayout::Nchw,
        Some(raw::Layout::Ntfc | raw::Layout::Ntc | raw::Layout::Nct) | None => {
            found.problem("input.layout", "must be \"NHWC\" or \"NCHW\" for an input of kind `image`");
            ImageLayout::Nhwc
        }
    };
    let &[1, first, second, third] = raw.shape.extents() else {
        found.problem("input.shape", format!("{} must be four extents that begin with a batch of 1", raw.shape));
        return (layout, [1, 1, 3]);
    };
    match layout {
        ImageLayout::Nhwc => (layout, [first, second, third]),
        ImageLayout::Nchw => (layout, [second, third, first]),
    }
}

fn per_channel(key: &str, values: &[f32], found: &mut Found<'_>) -> [f32; 3] {
    found.finite(key, values);
    match *values {
        [all] => [all; 3],
        [first, second, third] => [first, second, third],
        _ => {
            found.problem(key, format!("has {} values; 1 or 3 are expected", values.len()));
            [1.0; 3]
        }
    }
}

fn check_audio(raw: &raw::Input, window: Window, found: &mut Found<'_>) -> Option<AudioInput> {
    let audio = found_table(raw.audio.as_ref(), "input.audio", "`rate_hz` at least", found)?;
    found.unless((1_000..=384_000).contains(&audio.rate_hz), "input.audio.rate_hz", || {
        format!("is {}; 1000 to 384000 samples per second are expected", audio.rate_hz)
    });
    let features = match audio.features {
        raw::Features::Raw => {
            refuse_mel_keys(audio, found);
            Features::Raw
        }
        raw::Features::LogMel => {
            found.unless(audio.coefficients.is_none(), "input.audio.coefficients", || {
                "belongs to `features = \"mfcc\"`".into()
            });
            Features::LogMel(check_mel(audio, window, found)?)
        }
        raw::Features::Mfcc => {
            let mel = check_mel(audio, window, found)?;
            let coefficients = audio.coefficients.unwrap_or(13);
            found.unless((1..=mel.bands).contains(&coefficients), "input.audio.coefficients", || {
                format!("is {coefficients}; 1 to `mel_bins` ({}) are expected", mel.bands)
            });
            Features::Mfcc { mel, coefficients }
        }
    };
    check_audio_size(raw, &features, window, found);
    Some(AudioInput { rate_hz: audio.rate_hz, range: audio.range, normalize: audio.normalize, features, window })
}

fn found_table<'a, T>(table: Option<&'a T>, key: &str, what: &str, found: &mut Found<'_>) -> Option<&'a T> {
    if table.is_none() {
        found.problems.push(Problem {
            line: crate::text::line_of(found.text, "input"),
            key: key.to_owned(),
            message: format!("is missing: a table [{key}] with {what} is expected"),
        });
    }
    table
}

fn refuse_mel_keys(audio: &raw::Audio, found: &mut Found<'_>) {
    let given = [
        ("frame_length", audio.frame_length.is_some()),
        ("frame_step", audio.frame_step.is_some()),
        ("fft_length", audio.fft_length.is_some()),
        ("taper", audio.taper.is_some()),
        ("spectrum", audio.spectrum.is_some()),
        ("mel_bins", audio.mel_bins.is_some()),
        ("mel_low_hz", audio.mel_low_hz.is_some()),
        ("mel_high_hz", audio.mel_high_hz.is_some()),
        ("log_offset", audio.log_offset.is_some()),
        ("coefficients", audio.coefficients.is_some()),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        found.problem(&format!("input.audio.{key}"), "has no meaning with `features = \"raw\"`");
    }
}

fn check_mel(audio: &raw::Audio, window: Window, found: &mut Found<'_>) -> Option<Mel> {
    let why = "log-mel and mfcc features need it, in samples";
    let frame_length = found.required(audio.frame_length, "input.audio.frame_length", why);
    let frame_step = found.required(audio.frame_step, "input.audio.frame_step", why);
    let (frame_length, frame_step) = (frame_length?, frame_step?);
    let nyquist = half_of(audio.rate_hz);
    let mel = Mel {
        frame_length,
        frame_step,
        fft_length: audio.fft_length.unwrap_or_else(|| frame_length.min(1 << 20).next_power_of_two()),
        taper: audio.taper.unwrap_or(Taper::HannPeriodic),
        spectrum: audio.spectrum.unwrap_or(Spectrum::Magnitude),
        bands: audio.mel_bins.unwrap_or(40),
        low_hz: audio.mel_low_hz.unwrap_or(20.0),
        high_hz: audio.mel_high_hz.unwrap_or_else(|| nyquist.min(4000.0)),
        log_offset: audio.log_offset.unwrap_or(1e-6),
    };
    check_frames(&mel, window, found);
    found.unless((1..=512).contains(&mel.bands), "input.audio.mel_bins", || "must be 1 to 512".into());
    found.unless(mel.low_hz >= 0.0 && mel.low_hz < mel.high_hz, "input.audio.mel_low_hz", || {
        format!("is {}; 0 up to `mel_high_hz` ({}) is expected", mel.low_hz, mel.high_hz)
    });
    found.unless(mel.high_hz <= nyquist, "input.audio.mel_high_hz", || {
        format!("is {}, but at this rate there is nothing above {nyquist} Hz", mel.high_hz)
    });
    found.unless(mel.log_offset > 0.0 && mel.log_offset.is_finite(), "input.audio.log_offset", || {
        "must be above 0: the logarithm of silence has no value".into()
    });
    Some(mel)
}

fn check_frames(mel: &Mel, window: Window, found: &mut Found<'_>) {
    found.unless(mel.frame_step > 0, "input.audio.frame_step", || "must be at least 1".into());
    found.unless((1..=window.length).contains(&mel.frame_length), "input.audio.frame_length", || {
        format!("is {}; 1 to the window's {} samples are expected", mel.frame_length, window.length)
    });
    found.unless((mel.frame_length..=1 << 20).contains(&mel.fft_length), "input.audio.fft_length", || {
        format!("is {}; at least `frame_length` ({}) is expected", mel.fft_length, mel.frame_length)
    });
}

/// Rates below 2^24 are exact in a float.
#[expect(clippy::cast_precision_loss, reason = "checked rates are at most 384000")]
fn half_of(rate_hz: u32) -> f32 {
    rate_hz as f32 / 2.0
}

fn check_audio_size(raw: &raw::Input, features: &Features, window: Window, found: &mut Found<'_>) {
    let frames = |mel: &Mel| if mel.frame_step == 0 { 0 } else { mel.frames(window.length) };
    let (rows, columns) = match features {
        Features::Raw => (1, window.length),
        Features::LogMel(mel) => (frames(mel), mel.bands),
        Features::Mfcc { mel, coefficients } => (frames(mel), *coefficients),
    };
    let made = u64::from(rows) * u64::from(columns);
    found.unless(made == raw.shape.elements() as u64, "input.shape", || {
        format!(
            "{} has {} values, but these features make {rows} x {columns} = {made}",
            raw.shape,
            raw.shape.elements()
        )
    });
}

fn check_imu(raw: &raw::Input, window: Window, found: &mut Found<'_>) -> Option<ImuInput> {
    let imu = found_table(raw.imu.as_ref(), "input.imu", "`rate_hz` and `channels`", found)?;
    found.unless((0.001..=100_000.0).contains(&imu.rate_hz), "input.imu.rate_hz", || {
        format!("is {}; 0.001 to 100000 rows per second are expected", imu.rate_hz)
    });
    let count = imu.channels.len();
    found
        .unless((1..=64).contains(&count), "input.imu.channels", || format!("has {count} names; 1 to 64 are expected"));
    let offset = one_a_channel("input.imu.offset", imu.offset.as_deref(), 0.0, count, found);
    let scale = one_a_channel("input.imu.scale", imu.scale.as_deref(), 1.0, count, found);
    let channels = imu
        .channels
        .iter()
        .zip(offset.iter().zip(&scale))
        .map(|(name, (&offset, &scale))| ImuChannel { name: name.clone(), offset, scale })
        .collect();
    let layout = match raw.layout {
        Some(raw::Layout::Ntc) => ImuLayout::Ntc,
        Some(raw::Layout::Nct) => ImuLayout::Nct,
        Some(raw::Layout::Nhwc | raw::Layout::Nchw | raw::Layout::Ntfc) | None => {
            found.problem("input.layout", "must be \"NTC\" (rows) or \"NCT\" (channels) for an input of kind `imu`");
            ImuLayout::Ntc
        }
    };
    let made = u64::from(window.length) * count as u64;
    found.unless(made == raw.shape.elements() as u64, "input.shape", || {
        format!(
            "{} has {} values, but a window has {} x {count} = {made}",
            raw.shape,
            raw.shape.elements(),
            window.length
        )
    });
    Some(ImuInput { rate_hz: imu.rate_hz, channels, layout, window })
}

fn one_a_channel(key: &str, given: Option<&[f32]>, usual: f32, count: usize, found: &mut Found<'_>) -> Vec<f32> {
    let values = given.map_or_else(|| vec![usual; count], <[f32]>::to_vec);
    found.finite(key, &values);
    found.unless(values.len() == count, key, || format!("has {} values for {count} channels", values.len()));
    values
}

fn check_output(
    raw: raw::Output,
    found: &mut Found<'_>,
    read_text: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Output {
    let labels = check_labels(&raw, found, read_text);
    let belongs = |belongs: bool, key: &str, given: bool, found: &mut Found<'_>| {
        found.unless(belongs || !given, &format!("output.{key}"), || {
            format!("does not belong to task `{:?}`", raw.task).to_lowercase()
        });
    };
    let classification = raw.task == raw::TaskName::Classification;
    belongs(classification, "activation", raw.activation.is_some(), found);
    belongs(classification, "normal", raw.normal.is_some(), found);
    belongs(raw.task == raw::TaskName::Anomaly, "anomaly", raw.anomaly.is_some(), found);
    belongs(raw.task == raw::TaskName::Detection, "boxes", raw.boxes.is_some(), found);
    let task = match raw.task {
        raw::TaskName::Classification => Task::Classification {
            activation: raw.activation.unwrap_or(super::Activation::None),
            normal: indices("output.normal", raw.normal.as_deref().unwrap_or_default(), &labels, found),
        },
        raw::TaskName::Detection => check_boxes(raw.boxes, &labels, found),
        raw::TaskName::Anomaly => Task::Anomaly(raw.anomaly.unwrap_or(super::AnomalyScore::Score)),
        raw::TaskName::Regression => Task::Regression,
        raw::TaskName::Raw => Task::Raw,
    };
    Output { tensor: raw.tensor, labels, task }
}

fn check_labels(
    raw: &raw::Output,
    found: &mut Found<'_>,
    read_text: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Vec<String> {
    let labels = match (&raw.labels, &raw.labels_file) {
        (Some(_), Some(_)) => {
            found.problem("output.labels_file", "stands beside `labels`; one of them is expected");
            Vec::new()
        }
        (Some(labels), None) => labels.clone(),
        (None, Some(file)) => match read_text(file) {
            Ok(text) => text.lines().map(|line| line.trim().to_owned()).collect(),
            Err(reason) => {
                found.problem("output.labels_file", format!("cannot read `{file}`: {reason}"));
                return vec![String::new()];
            }
        },
        (None, None) => Vec::new(),
    };
    let needed = !matches!(raw.task, raw::TaskName::Anomaly | raw::TaskName::Raw);
    found.unless(!needed || !labels.is_empty(), "output.labels", || {
        "is missing: a name for every class or value is expected, in the order of the model's output".into()
    });
    found.unless(labels.len() <= MAX_VALUES, "output.labels", || format!("are more than {MAX_VALUES}"));
    labels
}

fn indices(key: &str, names: &[String], labels: &[String], found: &mut Found<'_>) -> Vec<u32> {
    names.iter().filter_map(|name| index_of(key, name, labels, found)).collect()
}

fn index_of(key: &str, name: &str, labels: &[String], found: &mut Found<'_>) -> Option<u32> {
    let index = labels.iter().position(|label| label == name);
    if index.is_none() {
        let hint = suggest(name, labels.iter().map(String::as_str))
            .map_or_else(|| "it must be one of `labels`".to_owned(), |meant| format!("did you mean `{meant}`?"));
        found.problem(key, format!("`{name}` is no label; {hint}"));
    }
    u32::try_from(index?).ok()
}

fn check_boxes(boxes: Option<raw::Boxes>, labels: &[String], found: &mut Found<'_>) -> Task {
    let Some(boxes) = boxes else {
        found.problem(
            "output.boxes",
            "is missing: a table [output.boxes] with `scores_tensor` is expected for detection",
        );
        return Task::Raw;
    };
    for (key, value) in [("min_score", boxes.min_score), ("max_overlap", boxes.max_overlap)] {
        found.unless((0.0..=1.0).contains(&value), &format!("output.boxes.{key}"), || {
            format!("is {value}; 0 to 1 is expected")
        });
    }
    let background = boxes.background.and_then(|name| index_of("output.boxes.background", &name, labels, found));
    Task::Detection(Boxes {
        scores_tensor: boxes.scores_tensor,
        background,
        min_score: boxes.min_score,
        max_overlap: boxes.max_overlap,
    })
}

fn check_decision(raw: &raw::Decision, task: &Task, found: &mut Found<'_>) -> Decision {
    let share = matches!(task, Task::Classification { .. } | Task::Detection(_));
    for (key, value) in [("threshold", raw.threshold), ("margin", raw.margin)] {
        let fine = value.is_finite() && (!share || (0.0..=1.0).contains(&value));
        found.unless(fine, &format!("decision.{key}"), || format!("is {value}; 0 to 1 is expected"));
    }
    Decision { threshold: raw.threshold, margin: raw.margin }
}

fn check_golden(raw: Vec<raw::Golden>, found: &mut Found<'_>) -> Vec<Golden> {
    let mut golden = Vec::with_capacity(raw.len());
    for (index, sample) in raw.into_iter().enumerate() {
        let key = |name: &str| format!("golden.{index}.{name}");
        found.path(&key("input"), &sample.input);
        found.path(&key("output"), &sample.output);
        found.unless(Format::of_file(&sample.input).is_some(), &key("input"), || {
            format!("`{}` must end in .jpg, .png, .bmp, .wav, .csv or .npy", sample.input)
        });
        found.unless(Format::of_file(&sample.output) == Some(Format::Npy), &key("output"), || {
            format!("`{}` must be a NumPy file (.npy)", sample.output)
        });
        found.unless(sample.tolerance >= 0.0 && sample.tolerance.is_finite(), &key("tolerance"), || {
            format!("is {}; 0 or more is expected", sample.tolerance)
        });
        golden.push(Golden { input: sample.input, output: sample.output, tolerance: sample.tolerance });
    }
    found.unless(golden.len() <= 64, "golden", || "has more than 64 samples: they are run at every start".into());
    golden
}

#[cfg(test)]
mod tests;
