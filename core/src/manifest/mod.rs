//! A model's manifest (`model.toml`): what goes in, how it is prepared, what comes out and what it means.
//!
//! [`Manifest::parse`] is the only way in. It reads [`raw`] TOML, checks everything that can be checked without the
//! model, and gives plain values in which no half-filled combination can be written down. The documentation of every
//! key is `docs/manifest.md`.

mod audio;
mod check;
mod image;
mod imu;
mod output;
mod raw;

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::frame::Dtype;
use crate::text::Problem;
use crate::{Digest, Name, Shape};
pub use audio::{AudioInput, Features, Mel, Normalize, Range, Spectrum, Taper};
pub use image::{Color, Filter, ImageInput, ImageLayout, Resize};
pub use imu::{ImuChannel, ImuInput, ImuLayout};
pub use output::{Activation, AnomalyScore, Boxes, Output, Task};

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

/// How a stream is cut into windows, in samples per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Samples in a window, at least 1.
    pub length: u32,
    /// Samples from the start of one window to the start of the next, at least 1.
    pub hop: u32,
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
