//! From a prediction to a verdict: what the pipeline makes of what the model said.
//!
//! | task | event | uncertain | normal |
//! |---|---|---|---|
//! | classification | the top class is sure and not in `normal` | the top class is not sure | it is sure and in `normal` |
//! | detection | the best box's score is at least the threshold | there are boxes, all below it | there is no box |
//! | anomaly | the score is at least the threshold | - | it is below |
//! | regression | the first value is at least the threshold | - | it is below |
//! | raw | - | - | always |
//!
//! A class is sure when its score is at least the threshold and its lead over the second at least the margin. A window
//! without a prediction is failed, whatever the task.
//!
//! Invariants:
//! - A verdict depends on the prediction, the manifest and the pipeline's two figures only: no state, no clock.
//! - Nothing is allocated for a window.

use inferd_core::manifest::{Manifest, Task};
use inferd_core::outcome::{Failure, Inference, Verdict};
use inferd_core::prediction::{Detection, Prediction, rank};

/// Decides for one pipeline and one model version.
#[derive(Clone, Debug)]
pub struct Judge {
    threshold: f32,
    margin: f32,
    /// Classes that are no event, by label index.
    normal: Box<[u32]>,
}

/// A verdict and what it rests on, as the fields of an [`Outcome`](inferd_core::outcome::Outcome).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decided {
    /// The verdict.
    pub verdict: Verdict,
    /// Label index of the top class or of the best box.
    pub class: Option<usize>,
    /// That class's score, or the anomaly score; 0 where there is neither.
    pub confidence: f32,
    /// Lead over the second class; 0 where there is none.
    pub margin: f32,
}

impl Judge {
    /// The judge for a model version. `threshold` and `margin` are the pipeline's own; absent, the manifest's count.
    pub fn new(manifest: &Manifest, threshold: Option<f32>, margin: Option<f32>) -> Self {
        let normal: &[u32] = match &manifest.output.task {
            Task::Classification { normal, .. } => normal,
            Task::Detection(_) | Task::Anomaly(_) | Task::Regression | Task::Raw => &[],
        };
        Self {
            threshold: threshold.unwrap_or(manifest.decision.threshold),
            margin: margin.unwrap_or(manifest.decision.margin),
            normal: normal.into(),
        }
    }

    /// The verdict on one window.
    pub fn decide(&self, result: &Result<Inference, Failure>) -> Decided {
        match result.as_ref().map(|inference| &inference.prediction) {
            Ok(Prediction::Classes(scores)) => self.classes(scores),
            Ok(Prediction::Boxes(boxes)) => self.boxes(boxes),
            Ok(Prediction::Anomaly(score)) => Decided { confidence: *score, ..without_class(self.reached(*score)) },
            Ok(Prediction::Values(values)) => {
                without_class(values.first().map_or(Verdict::Normal, |&value| self.reached(value)))
            }
            Ok(Prediction::Raw(_)) => without_class(Verdict::Normal),
            Err(_) => without_class(Verdict::Failed),
        }
    }

    fn classes(&self, scores: &[f32]) -> Decided {
        let Some(top) = rank(scores) else { return without_class(Verdict::Uncertain) };
        let verdict = if top.confidence < self.threshold || top.margin < self.margin {
            Verdict::Uncertain
        } else if self.normal.iter().any(|&class| class as usize == top.best) {
            Verdict::Normal
        } else {
            Verdict::Event
        };
        Decided { verdict, class: Some(top.best), confidence: top.confidence, margin: top.margin }
    }

    fn boxes(&self, boxes: &[Detection]) -> Decided {
        let Some(best) = boxes.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else {
            return without_class(Verdict::Normal);
        };
        let verdict = if best.score >= self.threshold { Verdict::Event } else { Verdict::Uncertain };
        Decided { verdict, class: Some(best.class as usize), confidence: best.score, margin: 0.0 }
    }

    fn reached(&self, value: f32) -> Verdict {
        if value >= self.threshold { Verdict::Event } else { Verdict::Normal }
    }
}

const fn without_class(verdict: Verdict) -> Decided {
    Decided { verdict, class: None, confidence: 0.0, margin: 0.0 }
}

#[cfg(test)]
mod tests {
    use inferd_core::outcome::FailedStage;
    use inferd_core::prediction::StageTimes;

    use super::*;

    fn verdict(prediction: Prediction) -> Verdict {
        decide(prediction).verdict
    }

    fn decide(prediction: Prediction) -> Decided {
        let judge = Judge { threshold: 0.6, margin: 0.2, normal: Box::new([0]) };
        judge.decide(&Ok(Inference { prediction, times: StageTimes::default() }))
    }

    #[test]
    fn a_class_counts_when_it_is_sure_and_leads() {
        let cases = [
            ([0.9, 0.1, 0.0], Verdict::Normal),
            ([0.1, 0.9, 0.0], Verdict::Event),
            ([0.1, 0.6, 0.3], Verdict::Event),
            ([0.1, 0.59, 0.31], Verdict::Uncertain),
            ([0.0, 0.75, 0.65], Verdict::Uncertain),
            ([0.59, 0.41, 0.0], Verdict::Uncertain),
        ];
        for (scores, expected) in cases {
            assert_eq!(verdict(Prediction::Classes(scores.to_vec())), expected, "{scores:?}");
        }
        let decided = decide(Prediction::Classes(vec![0.25, 0.75]));
        assert_eq!((decided.class, decided.confidence, decided.margin), (Some(1), 0.75, 0.5));
    }

    #[test]
    fn the_best_box_decides() {
        let found = |class, score| Detection { class, score, area: [0.0; 4] };
        assert_eq!(verdict(Prediction::Boxes(vec![])), Verdict::Normal);
        assert_eq!(verdict(Prediction::Boxes(vec![found(0, 0.5)])), Verdict::Uncertain);
        let decided = decide(Prediction::Boxes(vec![found(1, 0.5), found(2, 0.6)]));
        assert_eq!((decided.verdict, decided.class, decided.confidence), (Verdict::Event, Some(2), 0.6));
    }

    #[test]
    fn scores_and_values_are_held_against_the_threshold() {
        assert_eq!(verdict(Prediction::Anomaly(0.6)), Verdict::Event);
        assert_eq!(verdict(Prediction::Anomaly(0.59)), Verdict::Normal);
        assert_eq!(decide(Prediction::Anomaly(7.5)).confidence, 7.5);
        assert_eq!(verdict(Prediction::Values(vec![0.7, 0.0])), Verdict::Event);
        assert_eq!(verdict(Prediction::Values(vec![0.0, 0.7])), Verdict::Normal);
        assert_eq!(decide(Prediction::Values(vec![0.7])).confidence, 0.0);
        assert_eq!(verdict(Prediction::Raw(vec![9.0])), Verdict::Normal);
    }

    #[test]
    fn a_window_without_a_prediction_is_failed() {
        let judge = Judge { threshold: 0.0, margin: 0.0, normal: Box::new([]) };
        let failure = Failure { stage: FailedStage::Decode, reason: "no JPEG".into() };
        assert_eq!(judge.decide(&Err(failure)).verdict, Verdict::Failed);
    }
}
