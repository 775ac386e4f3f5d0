//! A model's manifest (`model.toml`): what goes in, how it is prepared, what comes out and what it means.
//!
//! [`Manifest::parse`] is the only way in. It reads [`raw`] TOML, checks everything that can be checked without the
//! model, and gives plain values in which no half-filled combination can be written down. The documentation of every
//! key is `docs/manifest.md`.

mod check;
mod raw;

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::frame::Dtype;
use crate::text::Problem;
use crate::{Digest, Name, Shape};

/// The manifest's file name in a bundle.
pub const FILE_NAME: &str = "model.toml";

/// The largest manifest that is read.
pub const MAX_BYTES: usize = 256 * 1024;

/// Whether this can be the path of a file in a bundle: relative, downwards, plain ASCII without spaces, `\` and `"`, at most
/// 200 bytes.
pub fn is_bundle_path(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= 200
        && path.split('/').all(plain)
        && path.chars().all(|letter| letter.is_ascii_graphic() && letter != '\\' && letter != '"')
}

/// A checked manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The model's name.
    pub name: Name,
    /// The version by semantic versioning.
    pub version: Version,
    /// A sentence for people.
    pub description: String,
    /// SPDX licence expression.
    pub licence: String,
    /// The model file.
    pub artifact: Artifact,
    /// What goes in.
    pub input: Input,
    /// What comes out.
    pub output: Output,
    /// When a prediction counts.
    pub decision: Decision,
    /// Recorded inputs with the outputs that this model must give.
    pub golden: Vec<Golden>,
    /// Digest of every other file in the bundle, by path. Empty in a folder that is not packed yet.
    pub files: BTreeMap<String, Digest>,
}

/// The model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Path in the bundle.
    pub file: String,
    /// What it is.
    pub format: ArtifactFormat,
}

/// Formats of model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactFormat {
    /// Open Neural Network Exchange.
    Onnx,
}

/// The model's input and how a window becomes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the input tensor; the model's only input where absent.
    pub tensor: Option<String>,
    /// Shape of the input tensor, batch of 1 included.
    pub shape: Shape,
    /// Element type of the input tensor.
    pub dtype: Dtype,
    /// From a window to the tensor.
    pub preprocess: Preprocess,
}

/// How a window of each kind becomes the input tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Preprocess {
    /// One image.
    Image(ImageInput),
    /// A stretch of sound.
    Audio(AudioInput),
    /// A stretch of motion.
    Imu(ImuInput),
    /// The window is the tensor.
    Tensor,
}

/// The kinds of windows, as a source offers and a model asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Images.
    Image,
    /// PCM.
    Audio,
    /// Rows of sensor values.
    Imu,
    /// Tensors as the model takes them.
    Tensor,
}

impl Kind {
    /// The word used in manifests, configuration and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Imu => "imu",
            Self::Tensor => "tensor",
        }
    }
}

/// From an image to `[1, H, W, C]` or `[1, C, H, W]`: resize to `width` x `height`, then per channel
/// `(pixel * scale - mean) / std` on pixels 0..=255. `u8` inputs take the pixels as they are, `i8` inputs less 128.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInput {
    /// Order of the axes.
    pub layout: ImageLayout,
    /// Columns of the tensor.
    pub width: u32,
    /// Rows of the tensor.
    pub height: u32,
    /// Channels and their order.
    pub color: Color,
    /// What happens to another aspect ratio.
    pub resize: Resize,
    /// How pixels are interpolated.
    pub filter: Filter,
    /// Factor on the pixel value.
    pub scale: f32,
    /// Subtracted per channel, after the factor, in tensor order; only the first counts for grey.
    pub mean: [f32; 3],
    /// Divisor per channel, in tensor order; only the first counts for grey.
    pub std: [f32; 3],
}

/// Order of an image tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageLayout {
    /// `[1, H, W, C]`
    #[serde(rename = "NHWC")]
    Nhwc,
    /// `[1, C, H, W]`
    #[serde(rename = "NCHW")]
    Nchw,
}

/// Channels of an image tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Three channels, red first.
    Rgb,
    /// Three channels, blue first.
    Bgr,
    /// One channel, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
    Grey,
}

impl Color {
    /// Number of channels.
    pub const fn channels(self) -> u32 {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// What happens to an image of another aspect ratio than the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Stretched to fit.
    Squash,
    /// Shorter side fitted, the middle kept.
    Crop,
    /// Longer side fitted, top-left, the rest filled with grey 114 (the YOLO convention).
    Letterbox,
}

/// How pixels are interpolated when an image is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Bilinear over the four neighbours, as OpenCV's `INTER_LINEAR`.
    Bilinear,
    /// Bilinear with support scaled to the reduction, as Pillow's `BILINEAR` and torchvision's `antialias=True`.
    BilinearAntialias,
    /// The nearest pixel.
    Nearest,
}

/// From PCM to a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioInput {
    /// Samples per second that the model was trained on; several channels are mixed down to one.
    pub rate_hz: u32,
    /// Scale of a sample.
    pub range: Range,
    /// What is done to a window's level.
    pub normalize: Normalize,
    /// What is computed from the samples.
    pub features: Features,
    /// Samples in a window and from one window to the next.
    pub window: Window,
}

/// Scale of audio samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    /// -1..1: the 16-bit value / 32768.
    Unit,
    /// The 16-bit value as it is.
    Int16,
}

/// What is done to a window's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// Nothing.
    None,
    /// Divided by the window's largest (signed) sample, which counts as at least one step of 16 bits. This is what the
    /// MLPerf Tiny keyword spotter was trained with (its `prepare_words_list` divides by `reduce_max`, not by `abs`).
    Peak,
}

/// What is computed from audio samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Features {
    /// The samples themselves: `[1, length]`, or any shape of that many elements.
    Raw,
    /// Log-mel energies `[frames, bands]`.
    LogMel(Mel),
    /// The first `coefficients` of the DCT-II of the log-mel energies, scaled by `1/sqrt(2 * bands)`: `[frames, coefficients]`
    /// (`tf.signal.mfccs_from_log_mel_spectrograms`).
    Mfcc {
        /// The energies.
        mel: Mel,
        /// How many coefficients are kept, from the 0th.
        coefficients: u32,
    },
}

/// Log-mel energies by the formulas of `tf.signal`: frames without padding at the end, a taper, an FFT, triangular bands
/// that are linear in mel (`1127 ln(1 + f/700)`), then `ln(energy + log_offset)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mel {
    /// Samples in a frame.
    pub frame_length: u32,
    /// Samples from one frame to the next.
    pub frame_step: u32,
    /// Points of the FFT; frames are filled up with zeros.
    pub fft_length: u32,
    /// Weights over a frame.
    pub taper: Taper,
    /// What of the spectrum is summed up.
    pub spectrum: Spectrum,
    /// Bands.
    pub bands: u32,
    /// Lower edge of the first band.
    pub low_hz: f32,
    /// Upper edge of the last band.
    pub high_hz: f32,
    /// Added before the logarithm.
    pub log_offset: f32,
}

impl Mel {
    /// Frames in a window of `length` samples.
    pub const fn frames(&self, length: u32) -> u32 {
        if length < self.frame_length { 0 } else { (length - self.frame_length) / self.frame_step + 1 }
    }
}

/// Weights over an audio frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taper {
    /// `0.5 - 0.5 cos(2 pi n / N)`: `tf.signal.hann_window`, `scipy.signal.get_window("hann")`.
    HannPeriodic,
    /// `0.5 - 0.5 cos(2 pi n / (N - 1))`: `numpy.hanning`.
    HannSymmetric,
    /// `0.54 - 0.46 cos(2 pi n / (N - 1))`: `numpy.hamming`.
    HammingSymmetric,
    /// No weights.
    Rectangular,
}

/// What of the spectrum is summed up into bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spectrum {
    /// `|X|`
    Magnitude,
    /// `|X|^2`
    Power,
}

/// From rows of sensor values to `[1, T, C]` or `[1, C, T]`: per channel `(value + offset) * scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImuInput {
    /// Rows per second that the model was trained on.
    pub rate_hz: f32,
    /// The channels in tensor order.
    pub channels: Vec<ImuChannel>,
    /// Order of the axes.
    pub layout: ImuLayout,
    /// Rows in a window and from one window to the next.
    pub window: Window,
}

impl ImuInput {
    /// How far a source's rate may be from [`ImuInput::rate_hz`], as a part of it: a sensor's own clock is off by up to a few
    /// per cent, and no gesture changes by that. The daemon and the runner both go by this one.
    pub const RATE_TOLERANCE: f64 = 0.05;
}

/// One sensor axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImuChannel {
    /// Its name in the recording's header or the device's channel list.
    pub name: String,
    /// Added first.
    pub offset: f32,
    /// Factor after that.
    pub scale: f32,
}

/// Order of an IMU tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImuLayout {
    /// `[1, T, C]`: one row after the other.
    #[serde(rename = "NTC")]
    Ntc,
    /// `[1, C, T]`: one channel after the other.
    #[serde(rename = "NCT")]
    Nct,
}

/// How a stream is cut into windows, in samples per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Samples in a window, at least 1.
    pub length: u32,
    /// Samples from the start of one window to the start of the next, at least 1.
    pub hop: u32,
}

/// The model's output and how it is decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name of the output tensor; the model's only output where absent.
    pub tensor: Option<String>,
    /// Names of classes or values, by index; may be empty for anomaly and raw.
    pub labels: Vec<String>,
    /// The file of the bundle that the labels were read from, if they are not in the manifest itself.
    pub labels_file: Option<String>,
    /// What it means.
    pub task: Task,
}

/// What a model's output means.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// One score a class.
    Classification {
        /// Applied to the scores.
        activation: Activation,
        /// Classes that are no event, by label index.
        normal: Vec<u32>,
    },
    /// Boxes.
    Detection(Boxes),
    /// One number that says how unusual the window is.
    Anomaly(AnomalyScore),
    /// One number a label.
    Regression,
    /// The tensor as it is.
    Raw,
}

impl Task {
    /// The word used in manifests and messages.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Classification { .. } => "classification",
            Self::Detection(_) => "detection",
            Self::Anomaly(_) => "anomaly",
            Self::Regression => "regression",
            Self::Raw => "raw",
        }
    }
}

/// Applied to class scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The model's output is a probability already.
    None,
    /// `exp(x) / sum(exp(x))`
    Softmax,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
}

/// Boxes that the model has decoded itself: one tensor of corners `[1, N, 4]` (left, top, right, bottom, as parts of width
/// and height) and one of scores `[1, N, C]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boxes {
    /// Name of the tensor of scores; [`Output::tensor`] names the corners.
    pub scores_tensor: String,
    /// A class that means nothing was found, by label index.
    pub background: Option<u32>,
    /// Boxes with a lower score are dropped.
    pub min_score: f32,
    /// Of boxes of one class that overlap by more than this (intersection over union) only the best stays.
    pub max_overlap: f32,
}

/// How an anomaly score is read from the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnomalyScore {
    /// The output's only value.
    Score,
    /// The mean squared difference between output and input tensor (autoencoders).
    ReconstructionError,
}

/// When a prediction counts. A pipeline may set its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Least confidence (or anomaly score, or value) of an event.
    pub threshold: f32,
    /// Least lead over the second class.
    pub margin: f32,
}

/// A recorded input with the output that this model must give.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    /// Input file in the bundle: `.npy` goes to the model as it is, an image, `.wav` or `.csv` through the preprocessing.
    pub input: String,
    /// `.npy` file with the output tensor; for detection, with the corners.
    pub output: String,
    /// Detection: `.npy` file with the tensor of scores. `None` for every other task.
    pub scores: Option<String>,
    /// Largest absolute difference that passes.
    pub tolerance: f32,
}

impl Golden {
    fn files(&self) -> impl Iterator<Item = &String> {
        [&self.input, &self.output].into_iter().chain(&self.scores)
    }
}

impl Manifest {
    /// Reads and checks a manifest. `read_text` gives the text of another file of the bundle (labels).
    ///
    /// # Errors
    /// Everything found wrong, each with its line and key.
    pub fn parse(text: &str, read_text: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Self, Vec<Problem>> {
        if text.len() > MAX_BYTES {
            let message = format!("{} bytes are over the limit of {MAX_BYTES}", text.len());
            return Err(vec![Problem { line: None, key: String::new(), message }]);
        }
        let raw: raw::Manifest = crate::text::parse(text).map_err(|problem| vec![problem])?;
        check::check(raw, text, read_text)
    }

    /// What the model looks at.
    pub const fn kind(&self) -> Kind {
        match self.input.preprocess {
            Preprocess::Image(_) => Kind::Image,
            Preprocess::Audio(_) => Kind::Audio,
            Preprocess::Imu(_) => Kind::Imu,
            Preprocess::Tensor => Kind::Tensor,
        }
    }

    /// How a stream is cut into windows; `None` where each frame is one.
    pub const fn window(&self) -> Option<Window> {
        match &self.input.preprocess {
            Preprocess::Audio(audio) => Some(audio.window),
            Preprocess::Imu(imu) => Some(imu.window),
            Preprocess::Image(_) | Preprocess::Tensor => None,
        }
    }

    /// Every file that the manifest refers to, in its order: artifact, labels, golden inputs and outputs.
    pub fn referenced_files(&self) -> impl Iterator<Item = &str> {
        let single = [Some(&self.artifact.file), self.output.labels_file.as_ref()].into_iter().flatten();
        single.chain(self.golden.iter().flat_map(Golden::files)).map(String::as_str)
    }
}
