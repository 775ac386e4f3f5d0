//! What a runner is told of a manifest: how a window becomes the input tensor and how outputs become a prediction, and no
//! more. Labels, descriptions and file names stay with the daemon, so its length does not grow with theirs: every name in it
//! is one whose length the manifest's check bounds.

use serde::{Deserialize, Serialize};

use crate::manifest::{Activation, AnomalyScore, Boxes, Input, Manifest, Task};

/// A model as a runner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// What goes in.
    pub input: Input,
    /// Name of the output tensor; the model's only output where absent. For detection, the tensor of corners.
    pub output: Option<String>,
    /// How many labels there are.
    pub labels: u32,
    /// How the output is decoded.
    pub decoding: Decoding,
}

/// How outputs become a prediction: a task without what only the daemon judges by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decoding {
    /// One score a label.
    Classification(Activation),
    /// Boxes, from a tensor of corners and one of scores.
    Detection(Boxes),
    /// One number that says how unusual the window is.
    Anomaly(AnomalyScore),
    /// One number a label.
    Regression,
    /// The tensor as it is.
    Raw,
}

impl From<&Manifest> for ModelSpec {
    fn from(manifest: &Manifest) -> Self {
        let output = &manifest.output;
        Self {
            input: manifest.input.clone(),
            output: output.tensor.clone(),
            labels: u32::try_from(output.labels.len()).expect("a checked manifest has at most 16384 labels"),
            decoding: match &output.task {
                Task::Classification { activation, .. } => Decoding::Classification(*activation),
                Task::Detection(boxes) => Decoding::Detection(boxes.clone()),
                Task::Anomaly(score) => Decoding::Anomaly(*score),
                Task::Regression => Decoding::Regression,
                Task::Raw => Decoding::Raw,
            },
        }
    }
}
