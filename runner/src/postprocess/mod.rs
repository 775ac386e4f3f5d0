//! From the output tensors to a [`Prediction`], by the manifest's task.
//!
//! Invariants:
//! - A tensor of another size than the labels ask for is refused when the model is loaded; where the backend does not know
//!   the size before, after the first warm-up run. A model whose sizes change with its input fails those windows.
//! - NaN and infinity never leave here: they are a failure, also where a score computed from finite values overflows.

mod boxes;

use inferd_core::manifest::{Activation, AnomalyScore, Boxes};
use inferd_core::outcome::Failure;
use inferd_core::prediction::{Detection, MAX_VALUES, Prediction};
use inferd_core::wire::{Decoding, ModelSpec};

use crate::backend::Session;
use crate::failure;
use crate::preprocess::Placement;

/// Decodes outputs of one model.
pub(crate) struct Postprocessor {
    decoding: Decoding,
    labels: usize,
    /// The input as floats, where the task compares with it.
    input: Vec<f32>,
}

impl Postprocessor {
    pub(crate) fn new(model: &ModelSpec) -> Self {
        Self { decoding: model.decoding.clone(), labels: model.labels as usize, input: Vec::new() }
    }

    /// Checks the outputs' sizes (elements, in the order in which the manifest names them) against the task.
    pub(crate) fn check(&self, input: usize, outputs: &[usize]) -> Result<(), String> {
        let [found, rest @ ..] = outputs else { return Err("the model has no output".to_owned()) };
        let labels = self.labels;
        match &self.decoding {
            Decoding::Classification(_) | Decoding::Regression if *found != labels => Err(format!(
                "the model's output has {found} values, but the manifest has {labels} labels: a label for each value is expected"
            )),
            Decoding::Detection(_) => check_boxes(*found, rest.first().copied().unwrap_or(0), labels),
            Decoding::Anomaly(AnomalyScore::Score) if *found != 1 => Err(format!(
                "the model's output has {found} values, but an anomaly score is one: choose `reconstruction-error` or \
                 another output"
            )),
            Decoding::Anomaly(AnomalyScore::ReconstructionError) if *found != input => Err(format!(
                "the model's output has {found} values and its input {input}: a reconstruction has as many as the input"
            )),
            Decoding::Raw if *found > MAX_VALUES => {
                Err(format!("the model's output has {found} values, raw outputs are sent up to {MAX_VALUES}"))
            }
            Decoding::Classification(_) | Decoding::Regression | Decoding::Anomaly(_) | Decoding::Raw => Ok(()),
        }
    }

    /// Checks the sizes of the outputs of the last run.
    pub(crate) fn check_sizes(&self, session: &Session) -> Result<(), String> {
        self.check(session.input_elements(), &[session.output(0).len(), session.output(1).len()])
    }

    /// Decodes the outputs of the last run.
    pub(crate) fn predict(&mut self, session: &mut Session, placement: Placement) -> Result<Prediction, Failure> {
        self.check_sizes(session).map_err(failure::meaningless)?;
        let main = session.output(0);
        let second = session.output(1);
        refuse_non_finite(main)?;
        refuse_non_finite(second)?;
        if self.decoding == Decoding::Anomaly(AnomalyScore::ReconstructionError) {
            session.read_input(&mut self.input)?;
        }
        decode(&self.decoding, main, second, &self.input, placement)
    }
}

fn check_boxes(corners: usize, scores: usize, labels: usize) -> Result<(), String> {
    if !corners.is_multiple_of(4) {
        return Err(format!("the tensor of corners has {corners} values, which is no multiple of 4"));
    }
    let boxes = corners / 4;
    if boxes.checked_mul(labels) != Some(scores) {
        return Err(format!(
            "the tensor of scores has {scores} values, but {boxes} boxes with {labels} labels need one a box and label"
        ));
    }
    Ok(())
}

fn refuse_non_finite(values: &[f32]) -> Result<(), Failure> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(failure::meaningless(format_args!("the model's output holds {} at position {at}", values[at]))),
        None => Ok(()),
    }
}

fn decode(
    decoding: &Decoding,
    main: &[f32],
    second: &[f32],
    input: &[f32],
    placement: Placement,
) -> Result<Prediction, Failure> {
    Ok(match decoding {
        Decoding::Classification(activation) => Prediction::Classes(activate(*activation, main)),
        Decoding::Detection(settings) => Prediction::Boxes(find_boxes(settings, main, second, placement)),
        Decoding::Anomaly(AnomalyScore::Score) => Prediction::Anomaly(main[0]),
        Decoding::Anomaly(AnomalyScore::ReconstructionError) => {
            Prediction::Anomaly(mean_squared_difference(main, input)?)
        }
        Decoding::Regression => Prediction::Values(main.to_vec()),
        Decoding::Raw => Prediction::Raw(main.to_vec()),
    })
}

fn find_boxes(settings: &Boxes, corners: &[f32], scores: &[f32], placement: Placement) -> Vec<Detection> {
    let mut found = boxes::find(settings, corners, scores);
    found.iter_mut().for_each(|found| found.area = placement.to_source(found.area));
    found
}

fn activate(activation: Activation, scores: &[f32]) -> Vec<f32> {
    match activation {
        Activation::None => scores.to_vec(),
        Activation::Softmax => softmax(scores),
        Activation::Sigmoid => scores.iter().map(|score| 1.0 / (1.0 + (-score).exp())).collect(),
    }
}

/// `exp(x) / sum(exp(x))`; the largest score is subtracted first, so that nothing overflows.
fn softmax(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut shares: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f32 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    shares
}

/// In 64 bits, where no sum of squares of floats overflows. The mean may still be more than a float holds.
#[expect(clippy::cast_precision_loss, reason = "fewer elements than 2^24 matter to the mean; beyond, it is rounded")]
fn mean_squared_difference(output: &[f32], input: &[f32]) -> Result<f32, Failure> {
    let total: f64 = output.iter().zip(input).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let mean = total / output.len() as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a score does not need more digits")]
    let score = mean as f32;
    if score.is_finite() {
        return Ok(score);
    }
    Err(failure::meaningless(format_args!("the reconstruction error, {mean:e}, is no number that a score can be")))
}

#[cfg(test)]
mod tests;
