//! What a model said about one window, decoded.

use serde::{Deserialize, Serialize};

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
