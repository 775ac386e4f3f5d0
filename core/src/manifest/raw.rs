//! `model.toml` as it is written: every key, its type and its default. Nothing is checked here beyond that.

use std::collections::BTreeMap;

use semver::Version;
use serde::Deserialize;

use super::{
    Activation, AnomalyScore, ArtifactFormat, Color, Filter, Kind, Normalize, Range, Resize, Spectrum, Taper, Window,
};
use crate::frame::Dtype;
use crate::{Digest, Name, Shape};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) name: Name,
    pub(super) version: Version,
    #[serde(default)]
    pub(super) description: String,
    pub(super) licence: String,
    pub(super) artifact: Artifact,
    pub(super) input: Input,
    pub(super) window: Option<Window>,
    pub(super) output: Output,
    #[serde(default)]
    pub(super) decision: Decision,
    #[serde(default)]
    pub(super) golden: Vec<Golden>,
    #[serde(default)]
    pub(super) files: BTreeMap<String, Digest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Artifact {
    pub(super) file: String,
    #[serde(default = "onnx")]
    pub(super) format: ArtifactFormat,
}

fn onnx() -> ArtifactFormat {
    ArtifactFormat::Onnx
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) kind: Kind,
    pub(super) tensor: Option<String>,
    pub(super) shape: Shape,
    pub(super) layout: Option<Layout>,
    #[serde(default = "float32")]
    pub(super) dtype: Dtype,
    pub(super) image: Option<Image>,
    pub(super) audio: Option<Audio>,
    pub(super) imu: Option<Imu>,
}

fn float32() -> Dtype {
    Dtype::F32
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Layout {
    Nhwc,
    Nchw,
    Ntfc,
    Ntc,
    Nct,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Image {
    pub(super) color: Color,
    pub(super) resize: Resize,
    pub(super) filter: Filter,
    pub(super) scale: f32,
    pub(super) mean: Vec<f32>,
    pub(super) std: Vec<f32>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            color: Color::Rgb,
            resize: Resize::Squash,
            filter: Filter::BilinearAntialias,
            scale: 1.0 / 255.0,
            mean: vec![0.0],
            std: vec![1.0],
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audio {
    pub(super) rate_hz: u32,
    #[serde(default = "unit")]
    pub(super) range: Range,
    #[serde(default = "level_as_it_is")]
    pub(super) normalize: Normalize,
    #[serde(default)]
    pub(super) features: Features,
    pub(super) frame_length: Option<u32>,
    pub(super) frame_step: Option<u32>,
    pub(super) fft_length: Option<u32>,
    pub(super) taper: Option<Taper>,
    pub(super) spectrum: Option<Spectrum>,
    pub(super) mel_bins: Option<u32>,
    pub(super) mel_low_hz: Option<f32>,
    pub(super) mel_high_hz: Option<f32>,
    pub(super) log_offset: Option<f32>,
    pub(super) coefficients: Option<u32>,
}

fn unit() -> Range {
    Range::Unit
}

fn level_as_it_is() -> Normalize {
    Normalize::None
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Features {
    #[default]
    Raw,
    LogMel,
    Mfcc,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Imu {
    pub(super) rate_hz: f32,
    pub(super) channels: Vec<String>,
    pub(super) offset: Option<Vec<f32>>,
    pub(super) scale: Option<Vec<f32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Output {
    pub(super) task: TaskName,
    pub(super) tensor: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) labels_file: Option<String>,
    pub(super) activation: Option<Activation>,
    pub(super) normal: Option<Vec<String>>,
    pub(super) anomaly: Option<AnomalyScore>,
    pub(super) boxes: Option<Boxes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TaskName {
    Classification,
    Detection,
    Anomaly,
    Regression,
    Raw,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Boxes {
    pub(super) scores_tensor: String,
    pub(super) background: Option<String>,
    #[serde(default = "half")]
    pub(super) min_score: f32,
    #[serde(default = "usual_overlap")]
    pub(super) max_overlap: f32,
}

fn half() -> f32 {
    0.5
}

fn usual_overlap() -> f32 {
    0.45
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Decision {
    pub(super) threshold: f32,
    pub(super) margin: f32,
}

impl Default for Decision {
    fn default() -> Self {
        Self { threshold: half(), margin: 0.0 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    pub(super) input: String,
    pub(super) output: String,
    pub(super) scores: Option<String>,
    #[serde(default = "one_thousandth")]
    pub(super) tolerance: f32,
}

fn one_thousandth() -> f32 {
    1e-3
}
