//! What comes out of a model and what it means.

use serde::{Deserialize, Serialize};

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
