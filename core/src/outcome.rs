//! What became of one window: the inference and the verdict. Sinks, metrics and sampling all consume this.

use std::sync::Arc;

use crate::prediction::{Prediction, StageTimes};
use crate::{ModelId, Name};

/// What the pipeline makes of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Something the pipeline was set up to find, with enough confidence.
    Event,
    /// Nothing to report, with enough confidence.
    Normal,
    /// The model is not sure enough for either.
    Uncertain,
    /// There is no prediction: the window could not be read or run. [`Outcome::result`] says why.
    Failed,
}

impl Verdict {
    /// All verdicts, in the order in which they are documented.
    pub const ALL: [Self; 4] = [Self::Event, Self::Normal, Self::Uncertain, Self::Failed];

    /// The word used in JSON, metrics and on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Normal => "normal",
            Self::Uncertain => "uncertain",
            Self::Failed => "failed",
        }
    }
}

/// Where a window failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FailedStage {
    /// The bytes could not be read as what they were said to be.
    Decode,
    /// They could be read but do not fit the model (wrong rate, channels, size).
    Preprocess,
    /// The backend refused or failed.
    Inference,
    /// The output holds NaN or infinity, or cannot be decoded.
    Postprocess,
    /// The runner answered too late and was ended.
    Deadline,
    /// The runner ended while it worked on this window, twice; or the pipeline ended before a runner had served it.
    RunnerDied,
}

impl FailedStage {
    /// All stages, in the order in which they are documented.
    pub const ALL: [Self; 6] =
        [Self::Decode, Self::Preprocess, Self::Inference, Self::Postprocess, Self::Deadline, Self::RunnerDied];

    /// The word used in JSON, metrics and on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Inference => "inference",
            Self::Postprocess => "postprocess",
            Self::Deadline => "deadline",
            Self::RunnerDied => "runner-died",
        }
    }
}

/// Why there is no prediction for a window.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// Where it failed.
    pub stage: FailedStage,
    /// A sentence for a person.
    pub reason: String,
}

/// What the runner made of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// The decoded output.
    pub prediction: Prediction,
    /// Where the time went.
    pub times: StageTimes,
}

/// One window's end: exactly one outcome leaves a pipeline for each window that entered it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The pipeline.
    pub pipeline: Name,
    /// The window's number: counts up by one from 0 at each start of the pipeline, also across swaps.
    pub window: u64,
    /// When the window's last frame was captured, nanoseconds since 1970 by the system's clock.
    pub captured_unix_ns: i64,
    /// From the frame being ready to the outcome, nanoseconds.
    pub latency_ns: u64,
    /// The version that served this window.
    pub model: Arc<ModelId>,
    /// That version's labels, by class index.
    pub labels: Arc<[String]>,
    /// The verdict.
    pub verdict: Verdict,
    /// Label index of the deciding class, where the task has classes and one was found.
    pub class: Option<usize>,
    /// How sure the model is of that class, or the anomaly score; 0 where there is neither.
    pub confidence: f32,
    /// Lead over the second class; 0 where there is none.
    pub margin: f32,
    /// The inference, or why there is none.
    pub result: Result<Inference, Failure>,
}

impl Outcome {
    /// The deciding class's label.
    pub fn label(&self) -> Option<&str> {
        self.class.and_then(|class| self.labels.get(class)).map(String::as_str)
    }
}
