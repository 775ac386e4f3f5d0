//! One pipeline's configuration: a source, a model, what counts and what is kept.

use std::path::PathBuf;

use inferd_core::Name;
use serde::{Deserialize, Serialize};

/// A source, a model and what to do with outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The model's name.
    pub model: Name,
    /// Start it with the service. Default `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where frames come from.
    pub source: Source,
    /// Instead of the manifest's `decision.threshold`; any number, 0 to 1 for class scores.
    #[serde(default)]
    pub threshold: Option<f32>,
    /// Instead of the manifest's `decision.margin`, 0 to 1.
    #[serde(default)]
    pub margin: Option<f32>,
    /// Which windows to keep.
    #[serde(default)]
    pub sampling: Sampling,
}

fn yes() -> bool {
    true
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", from = "SourceTable")]
pub enum Source {
    /// Files.
    Recording(Recording),
}

/// A source as it is written: the keys of every kind in one table. Serde buffers an internally tagged enum and so loses
/// which key is wrong; a plain table keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    kind: SourceKind,
    path: PathBuf,
    #[serde(default)]
    pace: Pace,
    #[serde(default)]
    at_end: AtEnd,
    fps: Option<f64>,
    rate_hz: Option<f64>,
    timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceKind {
    Recording,
}

impl From<SourceTable> for Source {
    fn from(table: SourceTable) -> Self {
        let SourceTable { kind, path, pace, at_end, fps, rate_hz, timestamp } = table;
        match kind {
            SourceKind::Recording => Self::Recording(Recording { path, pace, at_end, fps, rate_hz, timestamp }),
        }
    }
}

/// A recording, played.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recording {
    /// A folder of images or `.npy` tensors (in the order of their names), or a `.mjpeg`, `.y4m`, `.wav`, `.csv` or `.npy` file.
    pub path: PathBuf,
    /// How fast. Default `realtime`.
    pub pace: Pace,
    /// What happens after the last frame. Default `stop`.
    pub at_end: AtEnd,
    /// Frames per second of images and tensors, 0.001 to 1000. Default: a Y4M's own, else 10.
    pub fps: Option<f64>,
    /// Rows per second of a CSV that has no timestamp column, 0.001 to 100000.
    pub rate_hz: Option<f64>,
    /// The CSV column with seconds. Default `t`, where there is one and `rate_hz` is not given.
    pub timestamp: Option<String>,
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// At its own pace; waits for the model rather than drop a window.
    #[default]
    Realtime,
    /// As fast as the model takes it.
    Fast,
    /// At its own pace like a device: what the model cannot take in time is dropped, newest kept, and counted.
    Live,
}

/// What happens after the last frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtEnd {
    /// The pipeline is finished.
    #[default]
    Stop,
    /// It starts over; the stream goes on without a seam.
    Loop,
}

/// Which windows to keep for retraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// How uncertainty is measured. Default `none`: nothing is kept.
    pub strategy: Strategy,
    /// Keep a window when its uncertainty is above this, 0 to 1. Default 0.4.
    pub above: f32,
    /// Most samples a minute, over any minute, 0.01 to 6000. Default 6.
    pub per_minute: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { strategy: Strategy::None, above: 0.4, per_minute: 6.0 }
    }
}

/// How uncertainty is measured; each gives 0 (sure) to 1 (no idea). Settles, Active Learning Literature Survey (2009), 3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Nothing is kept.
    #[default]
    None,
    /// `1 - p1`
    LeastConfidence,
    /// `1 - (p1 - p2)`
    Margin,
    /// `-sum(p ln p) / ln(classes)`
    Entropy,
}
