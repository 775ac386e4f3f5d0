//! What a model said about one window, decoded.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::manifest::{Output, Task};

/// The most boxes that one prediction may hold; more are cut off by score.
pub const MAX_BOXES: usize = 256;

/// The most values that a raw or regression prediction may hold: what fits into one message with room to spare.
pub const MAX_VALUES: usize = 16_384;

/// A decoded model output. Class indices count from 0 in the order of the manifest's labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Prediction {
    /// A score for every class, in label order; after the activation, so 0..=1 for softmax and sigmoid.
    Classes(Vec<f32>),
    /// Found objects, best score first, at most [`MAX_BOXES`].
    Boxes(Vec<Detection>),
    /// How unusual the window is; larger is more so, the unit is the model's own.
    Anomaly(f32),
    /// Estimated quantities, in label order, in the model's own units.
    Values(Vec<f32>),
    /// The output tensor as it came, row-major, at most [`MAX_VALUES`] values.
    Raw(Vec<f32>),
}

impl Prediction {
    /// Checks that a model with this output can have said this: it is of the task's kind, has as many scores as the model has
    /// labels and no class beyond them, every number is finite, and no list is over its limit.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence about the answer.
    pub fn check(&self, output: &Output) -> Result<(), String> {
        let labels = output.labels.len();
        match (self, &output.task) {
            (Self::Classes(scores), Task::Classification { .. }) => {
                check_count("scores", scores.len(), labels..=labels)?;
                check_finite(scores)
            }
            (Self::Boxes(boxes), Task::Detection(_)) => {
                check_count("boxes", boxes.len(), 0..=MAX_BOXES)?;
                boxes.iter().try_for_each(|found| found.check(labels))
            }
            (Self::Anomaly(score), Task::Anomaly(_)) => check_finite(&[*score]),
            (Self::Values(values), Task::Regression) => {
                check_count("values", values.len(), labels..=labels.min(MAX_VALUES))?;
                check_finite(values)
            }
            (Self::Raw(values), Task::Raw) => {
                check_count("values", values.len(), 0..=MAX_VALUES)?;
                check_finite(values)
            }
            (other, task) => Err(format!("it gave {}, the model's task is {}", other.word(), task.word())),
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Classes(_) => "class scores",
            Self::Boxes(_) => "boxes",
            Self::Anomaly(_) => "an anomaly score",
            Self::Values(_) => "values",
            Self::Raw(_) => "a raw tensor",
        }
    }
}

fn check_count(what: &str, found: usize, allowed: RangeInclusive<usize>) -> Result<(), String> {
    if allowed.contains(&found) {
        return Ok(());
    }
    let (least, most) = allowed.into_inner();
    let expected = if least == most { most.to_string() } else { format!("up to {most}") };
    Err(format!("it gave {found} {what}, expected were {expected}"))
}

fn check_finite(values: &[f32]) -> Result<(), String> {
    let wrong = values.iter().find(|value| !value.is_finite());
    wrong.map_or(Ok(()), |value| Err(format!("it gave {value} for a number")))
}

/// One found object.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Class index.
    pub class: u32,
    /// Score, 0..=1.
    pub score: f32,
    /// Left, top, right, bottom as parts of the source image's width and height, 0..=1.
    pub area: [f32; 4],
}

impl Detection {
    fn check(&self, labels: usize) -> Result<(), String> {
        if self.class as usize >= labels {
            return Err(format!("it found class {}, the model has {labels}", self.class));
        }
        check_finite(&[self.score])?;
        check_finite(&self.area)
    }
}

/// Best and second-best class of a prediction over classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranking {
    /// Index of the best class.
    pub best: usize,
    /// Its score.
    pub confidence: f32,
    /// Lead over the second-best score; the confidence itself where there is but one class.
    pub margin: f32,
}

/// Ranks class scores; `None` for an empty slice. Of equal scores the first wins.
pub fn rank(scores: &[f32]) -> Option<Ranking> {
    let mut ranked = Ranking { best: 0, confidence: *scores.first()?, margin: 0.0 };
    let mut second = f32::NEG_INFINITY;
    for (index, &score) in scores.iter().enumerate().skip(1) {
        if score > ranked.confidence {
            second = ranked.confidence;
            ranked.best = index;
            ranked.confidence = score;
        } else if score > second {
            second = score;
        }
    }
    ranked.margin = if second.is_finite() { ranked.confidence - second } else { ranked.confidence };
    Some(ranked)
}

/// Nanoseconds that the runner spent on one window, by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTimes {
    /// From encoded bytes to pixels or samples.
    pub decode_ns: u64,
    /// From pixels or samples to the model's input tensor.
    pub preprocess_ns: u64,
    /// The model itself.
    pub inference_ns: u64,
    /// From the output tensor to the prediction.
    pub postprocess_ns: u64,
}

impl StageTimes {
    /// All stages together.
    pub const fn total_ns(&self) -> u64 {
        self.decode_ns
            .saturating_add(self.preprocess_ns)
            .saturating_add(self.inference_ns)
            .saturating_add(self.postprocess_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Activation, AnomalyScore, Boxes};

    fn output(task: Task, labels: usize) -> Output {
        Output { tensor: None, labels: vec!["label".to_owned(); labels], labels_file: None, task }
    }

    fn detection() -> Task {
        Task::Detection(Boxes { scores_tensor: "scores".into(), background: None, min_score: 0.1, max_overlap: 0.5 })
    }

    #[test]
    fn what_a_model_with_this_output_cannot_say_is_refused() {
        let classes = || output(Task::Classification { activation: Activation::None, normal: Vec::new() }, 2);
        let found = |class, score, right| Detection { class, score, area: [0.0, 0.0, right, 1.0] };
        let cases = [
            (Prediction::Classes(vec![0.5, 0.5]), classes(), ""),
            (Prediction::Classes(vec![0.5, f32::NAN]), classes(), "gave NaN"),
            (Prediction::Classes(vec![f32::INFINITY, 0.0]), classes(), "gave inf"),
            (Prediction::Classes(vec![0.5; 3]), classes(), "3 scores, expected were 2"),
            (Prediction::Classes(vec![]), classes(), "0 scores, expected were 2"),
            (Prediction::Raw(vec![0.5, 0.5]), classes(), "a raw tensor, the model's task is classification"),
            (Prediction::Boxes(vec![found(1, 0.5, 1.0)]), output(detection(), 2), ""),
            (Prediction::Boxes(vec![]), output(detection(), 2), ""),
            (Prediction::Boxes(vec![found(2, 0.5, 1.0)]), output(detection(), 2), "class 2, the model has 2"),
            (Prediction::Boxes(vec![found(0, f32::NAN, 1.0)]), output(detection(), 2), "gave NaN"),
            (Prediction::Boxes(vec![found(0, 0.5, f32::INFINITY)]), output(detection(), 2), "gave inf"),
            (Prediction::Boxes(vec![found(0, 0.5, 1.0); 257]), output(detection(), 2), "257 boxes"),
            (Prediction::Anomaly(7.0), output(Task::Anomaly(AnomalyScore::Score), 0), ""),
            (Prediction::Anomaly(f32::NAN), output(Task::Anomaly(AnomalyScore::Score), 0), "gave NaN"),
            (Prediction::Values(vec![1.0]), output(Task::Regression, 1), ""),
            (Prediction::Values(vec![1.0, 2.0]), output(Task::Regression, 1), "2 values, expected were 1"),
            (Prediction::Raw(vec![1.0; MAX_VALUES]), output(Task::Raw, 0), ""),
            (Prediction::Raw(vec![1.0; MAX_VALUES + 1]), output(Task::Raw, 0), "up to 16384"),
        ];
        for (prediction, output, expected) in cases {
            let problem = prediction.check(&output).err().unwrap_or_default();
            assert_eq!(problem.is_empty(), expected.is_empty(), "{problem} / {expected}");
            assert!(problem.contains(expected), "{problem} / {expected}");
        }
    }

    #[test]
    fn ranking_finds_best_and_lead() {
        let ranked = rank(&[0.1, 0.6, 0.3]).unwrap();
        assert_eq!(ranked.best, 1);
        assert!((ranked.margin - 0.3).abs() < 1e-6);
        assert_eq!(rank(&[0.4]).unwrap().margin, 0.4);
        assert_eq!(rank(&[0.5, 0.5]).unwrap().best, 0);
        assert!(rank(&[]).is_none());
    }
}
