//! A loaded model with everything around it: one window's bytes in, one prediction out.
//!
//! Invariants:
//! - The buffers of this crate live as long as the engine: beside what the prediction holds, only the backend and the image
//!   libraries allocate for a window.
//! - A panic in a decoder or in the backend is a failure of that window. The backend's state is made anew after it.
//! - The stage times add up to the time in [`Engine::run`], but for a few clock reads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use inferd_core::frame::Format;
use inferd_core::outcome::{FailedStage, Failure};
use inferd_core::prediction::{Prediction, StageTimes};
use inferd_core::wire::ModelSpec;

use crate::backend::{BackendName, LoadError, Session};
use crate::failure;
use crate::postprocess::Postprocessor;
use crate::preprocess::{Placement, Preprocessor, npy};

/// A model ready to run.
pub struct Engine {
    preprocessor: Preprocessor,
    session: Session,
    postprocessor: Postprocessor,
    stage: FailedStage,
}

impl Engine {
    /// Loads `artifact` as `model` describes it. `threads` is what the backend may use; tract computes in one.
    ///
    /// # Errors
    /// [`LoadError`], a sentence that says what does not fit and what to do.
    pub fn load(model: &ModelSpec, artifact: &[u8], threads: u32) -> Result<Self, LoadError> {
        let load = || {
            let session = BackendName::Tract.load(model, artifact, threads)?;
            let postprocessor = Postprocessor::new(model);
            if let Some(found) = session.output_elements() {
                postprocessor.check(session.input_elements(), &found).map_err(LoadError::Output)?;
            }
            let preprocessor = Preprocessor::new(&model.input);
            Ok(Self { preprocessor, session, postprocessor, stage: FailedStage::Inference })
        };
        catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|panic| Err(LoadError::Panicked(said(&*panic))))
    }

    /// Runs the model `runs` times on zeros, so that the first window is as fast as the rest. Gives the time of the last
    /// run in nanoseconds.
    ///
    /// # Errors
    /// [`LoadError::Run`] where the model loads but does not run, [`LoadError::Output`] where it gives outputs of other
    /// sizes than the task needs: not every model lets them be known before.
    pub fn warm_up(&mut self, runs: u32) -> Result<u64, LoadError> {
        let mut last_ns = 0;
        for _ in 0..runs {
            let started = Instant::now();
            self.guarded(|engine| {
                engine.session.clear_input();
                engine.stage = FailedStage::Inference;
                engine.session.run()
            })
            .map_err(|failure| LoadError::Run(failure.reason))?;
            last_ns = nanos(started);
            self.postprocessor.check_sizes(&self.session).map_err(LoadError::Output)?;
        }
        Ok(last_ns)
    }

    /// Runs one window.
    ///
    /// # Errors
    /// The stage that failed and why; the engine can be used on.
    pub fn run(&mut self, bytes: &[u8], format: Format) -> Result<(Prediction, StageTimes), Failure> {
        self.guarded(|engine| {
            let (placement, mut times) = engine.infer(bytes, format)?;
            let started = Instant::now();
            engine.stage = FailedStage::Postprocess;
            let prediction = engine.postprocessor.predict(&mut engine.session, placement)?;
            times.postprocess_ns = nanos(started);
            Ok((prediction, times))
        })
    }

    /// Runs one window like any other, through to its prediction, and gives the largest absolute difference between this
    /// machine's outputs and `expected`: a `.npy` file for each output that the task reads, in the manifest's order.
    ///
    /// # Errors
    /// As for [`Engine::run`]; also where there are more or fewer files than outputs, and where one cannot be read, holds NaN
    /// or infinity, or has another number of elements.
    pub fn compare_golden(&mut self, input: &[u8], format: Format, expected: &[&[u8]]) -> Result<f32, Failure> {
        let outputs = self.session.outputs();
        if expected.len() != outputs {
            let given = expected.len();
            return Err(failure::undecodable(format_args!(
                "{given} golden outputs for {outputs} outputs of the model"
            )));
        }
        let expected = expected.iter().map(|bytes| golden_output(bytes)).collect::<Result<Vec<_>, _>>()?;
        self.run(input, format)?;
        expected.iter().enumerate().try_fold(0.0, |largest: f32, (index, expected)| {
            Ok(largest.max(largest_difference(self.session.output(index), expected)?))
        })
    }

    fn infer(&mut self, bytes: &[u8], format: Format) -> Result<(Placement, StageTimes), Failure> {
        let mut times = StageTimes::default();
        let started = Instant::now();
        self.stage = FailedStage::Decode;
        let window = self.preprocessor.decode(bytes, format)?;
        times.decode_ns = nanos(started);
        let started = Instant::now();
        self.stage = FailedStage::Preprocess;
        let placement = window.fill(self.session.input_mut())?;
        times.preprocess_ns = nanos(started);
        let started = Instant::now();
        self.stage = FailedStage::Inference;
        self.session.run()?;
        times.inference_ns = nanos(started);
        Ok((placement, times))
    }

    /// Runs `work`; a panic in it becomes a failure at the stage it had reached.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        // Unwind safety: every buffer is overwritten by the next window, and the backend's state is made anew.
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            self.session.reset()?;
            Err(failure::at(self.stage, format_args!("it broke down: {}", said(&*panic))))
        })
    }
}

/// The values of an expected output. NaN would differ from nothing.
fn golden_output(bytes: &[u8]) -> Result<Vec<f32>, Failure> {
    let array = npy::read(bytes).map_err(|error| failure::undecodable(format_args!("golden output: {error}")))?;
    let values = array.to_f32();
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(failure::undecodable(format_args!("golden output: it holds {} at position {at}", values[at]))),
        None => Ok(values),
    }
}

/// The largest absolute difference; both are finite.
fn largest_difference(found: &[f32], expected: &[f32]) -> Result<f32, Failure> {
    if found.len() != expected.len() {
        return Err(failure::meaningless(format_args!(
            "the model's output has {} values, the golden output {}",
            found.len(),
            expected.len()
        )));
    }
    Ok(found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max))
}

/// Nanoseconds since `started`.
pub(crate) fn nanos(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    failure::shortened(text.unwrap_or("no reason given").to_owned())
}

#[cfg(test)]
mod tests;
